"""Catalogue files: written and read, damaged and hostile; the one that ships; how they are asked."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon import log
from netmon.errors import ConfigError
from netmon.mib import catalogue as catalogues
from netmon.mib.lookup import look_up
from netmon.mib.model import Catalogue, Module, Node, Syntax
from netmon.model import Varbind
from netmon.snmp.names import SPECIAL

SMALL = Catalogue(
    (
        Module(
            "X-MIB", (Node("x", "1.9", "scalar", 0, "s"), Node("t", "1.9.0", "notification", objects=("x",))), {"T": 0}
        ),
    ),
    (Syntax("INTEGER", "T", "d-1", {1: "one"}),),
)
HEAD = b"netmon MIB catalogue 1\n"


def refusal(file: Path) -> str:
    """What is said about a file that cannot be used, without its name; the cure must be in it."""
    with pytest.raises(ConfigError) as caught:
        catalogues.read(file)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"{file} ")
    assert mistake.endswith("; make it again with `netmon mib compile`")
    return mistake.removeprefix(f"{file} ").partition(";")[0]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """And nothing else is left in the folder; the file is for every user, as MIBs are no secret."""
    file = tmp_path / "x.cat"
    catalogues.write(file, SMALL)
    catalogues.write(file, SMALL)
    assert catalogues.read(file) == SMALL
    assert [each.name for each in tmp_path.iterdir()] == ["x.cat"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A folder stands at its place."""
    (tmp_path / "x.cat").mkdir()
    with pytest.raises(OSError, match="directory"):
        catalogues.write(tmp_path / "x.cat", SMALL)
    assert [each.name for each in tmp_path.iterdir()] == ["x.cat"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is no catalogue that can be used: it begins with something else"),
        (b"IF-MIB DEFINITIONS ::= BEGIN\n", "is no catalogue that can be used: it begins with something else"),
        (b"netmon MIB catalogue 7\n", "is no catalogue that can be used: it has version 7, and this netmon reads 1"),
        (HEAD, "is no catalogue that can be used: it is cut short, or too large"),
        (HEAD + b"rubbish", "is a damaged catalogue"),
        (HEAD + zlib.compress(b"{}")[:-1], "is no catalogue that can be used: it is cut short, or too large"),
        (HEAD + zlib.compress(b"{}"), "is a damaged catalogue"),
        (HEAD + zlib.compress(b"[" * 100_000), "is a damaged catalogue"),
        (HEAD + zlib.compress(b'{"modules":[["M",[["n",7]]]]}'), "is a damaged catalogue"),
        (HEAD + zlib.compress(b'{"modules":[["M",[["' + b"n" * 256 + b'","1.9"]]]]}'), "is a damaged catalogue"),
    ],
)
def test_a_damaged_catalogue_is_told_with_its_cure(tmp_path: Path, content: bytes, expected: str) -> None:
    """Another file, another version, cut, damaged, of the wrong types, with a name that would swell every trap."""
    (tmp_path / "x.cat").write_bytes(content)
    assert refusal(tmp_path / "x.cat") == expected


def test_a_catalogue_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may inflate to terabytes; so may a large one be named by mistake."""
    monkeypatch.setattr(catalogues, "INFLATED_BYTES_MAX", 1 << 20)
    (tmp_path / "x.cat").write_bytes(HEAD + zlib.compress(b" " * (2 << 20)))
    assert refusal(tmp_path / "x.cat") == "is no catalogue that can be used: it is cut short, or too large"
    monkeypatch.setattr(catalogues, "FILE_BYTES_MAX", 100)
    assert refusal(tmp_path / "x.cat") == "is no catalogue that can be used: it has more than 0 MiB"
    assert refusal(tmp_path / "none") == "cannot be read: No such file or directory"


@given(body=st.binary(max_size=200), packed=st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, body: bytes, packed: bool) -> None:
    """Whatever follows the first line."""
    file = tmp_path_factory.mktemp("any") / "x.cat"
    file.write_bytes(HEAD + (zlib.compress(body) if packed else body))
    refusal(file)


# --- The one that ships.


def test_the_shipped_catalogue_has_the_standard_notifications() -> None:
    """Those of every device, by the OIDs of RFC 3418 and 2863, and for SNMPv1 by RFC 3584."""
    names = catalogues.load_names(())
    assert [names.notification(f"1.3.6.1.6.3.1.1.5.{arc}") for arc in (1, 2, 3, 4, 5)] == [
        "coldStart",
        "warmStart",
        "linkDown",
        "linkUp",
        "authenticationFailure",
    ]
    status = names.varbind(Varbind("1.3.6.1.2.1.2.2.1.8.7", "Integer32", 7))
    assert (status.name, status.label) == ("ifOperStatus.7", "lowerLayerDown")


def test_the_shipped_catalogue_has_only_facts() -> None:
    """Names, numbers, hints: the longest string is a unit of measure, nowhere a description or a path."""
    shipped = catalogues.read(catalogues.SHIPPED)
    strings = {each for m in shipped.modules for n in m.nodes for each in (n.name, n.unit, *n.objects)}
    strings |= {each for s in shipped.syntaxes for each in (s.convention, s.hint, *s.names.values())}
    assert max(map(len, strings)) < 80
    assert not [each for each in strings if "/" in each and " " in each and len(each) > 40]
    assert set(SPECIAL) - {name for module in shipped.modules for name in module.types} == {"Ipv6Address"}


def test_the_shipped_catalogue_is_what_its_command_makes(sample_data: Path) -> None:
    """CONTRIBUTING.md has the command; whoever changes the compiler makes the file again."""
    from netmon.mib.compile import compile_files, files_of

    found = compile_files(files_of([sample_data / "mibs"]), [])
    assert found.catalogue == catalogues.read(catalogues.SHIPPED)


def test_names_are_there_at_once() -> None:
    """A role that restarts in a storm must not read for long; the promise is 0.2 s."""
    begun = time.perf_counter()
    catalogues.load_names(())
    assert time.perf_counter() - begun < 0.2


def test_a_role_goes_on_without_a_broken_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It logs an error, and has the names of the others."""
    (tmp_path / "bad.cat").write_bytes(b"rubbish")
    catalogues.write(tmp_path / "good.cat", SMALL)
    log.set_up("info", "json")
    names = catalogues.load_names([str(tmp_path / each) for each in ("bad.cat", "none.cat", "good.cat")])
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(each["event"], each["level"], Path(each["path"]).name) for each in logged] == [
        ("names.catalogue_refused", "error", "bad.cat"),
        ("names.catalogue_refused", "error", "none.cat"),
    ]
    assert (names.notification("1.9.0"), names.notification("1.3.6.1.6.3.1.1.5.3")) == ("t", "linkDown")


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    """Equal for a copy, another for another content, empty for what cannot be read."""
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (catalogues.digest(tmp_path / name) for name in "abc")
    assert (a == b, a == c, len(a)) == (True, False, 16)
    assert catalogues.digest(tmp_path / "none") == ""


# --- Questions.


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("x", [("x", "1.9")]),
        ("X-MIB::x.0", [("x.0", "1.9.0")]),
        ("Y-MIB::x", []),
        ("y", []),
        ("1.9", [("x", "1.9")]),
        (".1.9.0", [("t", "1.9.0")]),
        ("1.9.4.5", [("x.4.5", "1.9.4.5")]),
        ("1.8", []),
        ("x y", []),
        ("", []),
    ],
)
def test_names_and_oids_are_looked_up(asked: str, expected: list[tuple[str, str]]) -> None:
    """Both ways, with an instance, with a module."""
    assert [(found.name, found.oid) for found in look_up({"x.cat": SMALL}, asked)] == expected


def test_an_answer_has_all_that_is_known() -> None:
    """In the order of the catalogues."""
    other = Catalogue((Module("O-MIB", (Node("x", "1.7"),)),))
    (first, second) = look_up({"o.cat": other, "x.cat": SMALL}, "x")
    assert (first.module, first.catalogue, first.syntax) == ("O-MIB", "o.cat", None)
    assert (second.module, second.syntax, second.unit, second.kind) == ("X-MIB", SMALL.syntaxes[0], "s", "scalar")
