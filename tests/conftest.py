"""What every test may use: real tools by name, and sample data from outside the repository.

`require_tool` and `sample_data` skip with a reason where the thing is missing. With `CI=true` a missing tool is a
failure: a test that never ran must not look like one that passed.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background by a shell, which has it ignored, and all children with us: tests press Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

TOOL_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
"""Debian keeps `snmptrapd` and `ip` where a user's PATH does not look."""


def _find_tool(name: str) -> str:
    found = shutil.which(name, path=TOOL_PATH)
    if found is not None:
        return found
    message = f"`{name}` is missing: run tests/tools.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message} (CI=true: no test is skipped for a missing tool)", pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """A function from a program's name to its absolute path; it skips the test, or fails it with CI=true."""
    return _find_tool


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real traps, MIBs and maps: `$NETMON_TEST_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("NETMON_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no sample data in {folder}: set NETMON_TEST_DATA")
    return folder
