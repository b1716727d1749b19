"""MIB files to a catalogue: what is kept, and what is said about files that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from netmon.mib import catalogue as catalogues
from netmon.mib import text
from netmon.mib.compile import Compiled, compile_files, files_of
from netmon.mib.model import Catalogue, Module, Node, Syntax

SHIPPED = catalogues.read(catalogues.SHIPPED)

GOOD = """
-- A vendor's module; the file need not be called so. A comment may hold a " or FAKE-MIB DEFINITIONS ::= BEGIN
ACME-MIB DEFINITIONS ::= BEGIN
IMPORTS
    MODULE-IDENTITY, OBJECT-TYPE, NOTIFICATION-TYPE, Integer32, enterprises FROM SNMPv2-SMI
    TEXTUAL-CONVENTION, DateAndTime, MacAddress FROM SNMPv2-TC
    ifIndex FROM IF-MIB;

acme MODULE-IDENTITY
    LAST-UPDATED "202601010000Z" ORGANIZATION "Acme" CONTACT-INFO "-- none" DESCRIPTION "Words with ; and FROM X."
    ::= { enterprises 9999 }
AcmeTenths ::= TEXTUAL-CONVENTION DISPLAY-HINT "d-1" STATUS current DESCRIPTION "" SYNTAX Integer32 (0..1000)
AcmeWhen ::= DateAndTime
AcmeState ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION "" SYNTAX INTEGER { ok(1), on-fire(2) }
acmeTrap NOTIFICATION-TYPE OBJECTS { acmeState, ifIndex } STATUS current DESCRIPTION "Fire." ::= { acme 0 1 }
acmeState OBJECT-TYPE SYNTAX AcmeState MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acme 1 }
acme-heat OBJECT-TYPE SYNTAX AcmeTenths UNITS "kelvin" MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acme 2 }
acmeWhen OBJECT-TYPE SYNTAX AcmeWhen MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acme 3 }
acmeBits OBJECT-TYPE SYNTAX BITS { a(0), b(1) } MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acme 4 }
acmeTable OBJECT-TYPE SYNTAX SEQUENCE OF AcmeEntry MAX-ACCESS not-accessible STATUS current DESCRIPTION "" ::= { acme 5 }
acmeEntry OBJECT-TYPE SYNTAX AcmeEntry MAX-ACCESS not-accessible STATUS current DESCRIPTION ""
    INDEX { ifIndex } ::= { acmeTable 1 }
AcmeEntry ::= SEQUENCE { acmeMac MacAddress }
acmeMac OBJECT-TYPE SYNTAX MacAddress MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acmeEntry 1 }
END
"""
OLD = """
OLD-MIB DEFINITIONS ::= BEGIN
IMPORTS
    enterprises, Counter FROM RFC1155-SMI
    OBJECT-TYPE FROM RFC-1212
    TRAP-TYPE FROM RFC-1215
    DisplayString FROM RFC1213-MIB;
old OBJECT IDENTIFIER ::= { enterprises 8888 }
oldName OBJECT-TYPE SYNTAX DisplayString ACCESS read-only STATUS mandatory DESCRIPTION "" ::= { old 1 }
oldTrap TRAP-TYPE ENTERPRISE old VARIABLES { oldName } DESCRIPTION "" ::= 7
END
"""


def compiled(folder: Path, **files: str) -> Compiled:
    """What is made of these files' texts."""
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content)
    return compile_files(files_of([folder]), [SHIPPED])


def told(folder: Path, **files: str) -> list[str]:
    """The problems with these files, without the folder."""
    return [str(problem).removeprefix(f"{folder}/") for problem in compiled(folder, **files).problems]


def module(name: str, body: str, imports: str = "") -> str:
    """A small module; `body` begins in line 2."""
    clause = f"IMPORTS enterprises FROM SNMPv2-SMI {imports};"
    return f"{name} DEFINITIONS ::= BEGIN {clause}\n{body}\nEND\n"


# --- What is kept.


def test_facts_are_kept(tmp_path: Path) -> None:
    """Names, numbers, kinds, types through all their definitions, units, promises; no word of a description."""
    found = compiled(tmp_path, whatever=GOOD)
    (acme,) = found.catalogue.modules
    syntaxes = found.catalogue.syntaxes

    assert found.problems == ()
    assert [(node.name, node.oid.removeprefix("1.3.6.1.4.1.9999"), node.kind) for node in acme.nodes] == [
        ("acme", "", "other"),
        ("acmeTrap", ".0.1", "notification"),
        ("acmeState", ".1", "scalar"),
        ("acme-heat", ".2", "scalar"),
        ("acmeWhen", ".3", "scalar"),
        ("acmeBits", ".4", "scalar"),
        ("acmeTable", ".5", "table"),
        ("acmeEntry", ".5.1", "table"),
        ("acmeMac", ".5.1.1", "column"),
    ]
    assert {node.name: syntaxes[node.syntax] for node in acme.nodes if node.syntax >= 0} == {
        "acmeState": Syntax("INTEGER", "AcmeState", "", {1: "ok", 2: "on-fire"}),
        "acme-heat": Syntax("INTEGER", "AcmeTenths", "d-1"),
        "acmeWhen": Syntax("OCTET STRING", "DateAndTime", "2d-1d-1d,1d:1d:1d.1d,1a1d:1d"),
        "acmeBits": Syntax("BITS", "", "", {0: "a", 1: "b"}),
        "acmeMac": Syntax("OCTET STRING", "MacAddress", "1x:"),
    }
    assert {node.name: node.objects for node in acme.nodes if node.objects} == {"acmeTrap": ("acmeState", "ifIndex")}
    assert {node.name: node.unit for node in acme.nodes if node.unit} == {"acme-heat": "kelvin"}
    assert "Fire" not in repr(found.catalogue)


def test_modules_of_smiv1_are_compiled(tmp_path: Path) -> None:
    """Their traps have the OID that RFC 3584 section 3.1 translates them to; OBJECT-TYPE needs no RFC-1212 file."""
    found = compiled(tmp_path, old=OLD)
    assert found.problems == ()
    assert [(node.name, node.oid) for node in found.catalogue.modules[0].nodes] == [
        ("old", "1.3.6.1.4.1.8888"),
        ("oldTrap", "1.3.6.1.4.1.8888.0.7"),
        ("oldName", "1.3.6.1.4.1.8888.1"),
    ]


def test_modules_are_found_in_any_file(tmp_path: Path) -> None:
    """Two in one file, in Latin-1, with other line ends, in a folder below; other files and hidden ones are left alone."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "both.my").write_bytes((GOOD + OLD).replace("\n", "\r\n").encode() + b"-- K\xf6ln\r\n")
    (tmp_path / "README").write_text("These are our MIBs.\n")
    (tmp_path / ".hidden.my").write_text("broken DEFINITIONS")
    found = compile_files(files_of([tmp_path, tmp_path / "README"]), [SHIPPED])
    assert (found.modules, found.ignored, found.problems) == (("ACME-MIB", "OLD-MIB"), 1, ())


def test_a_copy_is_no_problem_but_another_version_is(tmp_path: Path) -> None:
    """Vendors ship the same module in many folders; when two differ, a person has to decide."""
    changed = GOOD.replace('"kelvin"', '"celsius"')
    assert compiled(tmp_path, a=GOOD, b=f"{GOOD}\n").problems == ()
    assert told(tmp_path, c=changed) == [
        f"c.txt:3: ACME-MIB is also in {tmp_path}/a.txt, and differs; leave out one of them"
    ]


def test_what_the_shipped_catalogue_knows_needs_no_file(tmp_path: Path, sample_data: Path) -> None:
    """Compiled alone against the catalogue, a standard module is what it is among all the others."""
    for name in ("IF-MIB", "BGP4-MIB", "BRIDGE-MIB", "RMON2-MIB", "ALARM-MIB"):
        found = compile_files([sample_data / "mibs" / f"{name}.txt"], [SHIPPED])
        (alone,) = found.catalogue.modules
        (among,) = (each for each in SHIPPED.modules if each.name == name)
        assert found.problems == ()
        assert readable(alone, found.catalogue) == readable(among, SHIPPED)


def readable(found: Module, catalogue: Catalogue) -> list[tuple[Node, Syntax | None]]:
    """The nodes with their syntax in place of its index."""
    return [
        (
            Node(node.name, node.oid, node.kind, -1, node.unit, node.objects),
            catalogue.syntaxes[node.syntax] if node.syntax >= 0 else None,
        )
        for node in found.nodes
    ]


def test_steps_are_told(tmp_path: Path) -> None:
    """Two for each module, for a progress bar."""
    (tmp_path / "a").write_text(GOOD)
    steps: list[tuple[str, str, int]] = []
    compile_files([tmp_path / "a"], [SHIPPED], lambda *step: steps.append(step))
    assert steps == [("reading", "ACME-MIB", 2), ("compiling", "ACME-MIB", 2)]


# --- What is wrong.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("X-MIB DEFINITIONS ::= BEGIN\nIMPORTS a FROM B\nEND\n", "x.txt:3: syntax error in 'END', or just before"),
        (module("X-MIB", "x OBJECT IDENTIFIER ::= { enterprises 1 "), "x.txt:3: syntax error in 'END', or just before"),
        ("X-MIB DEFINITIONS ::= BEGIN\nx OBJECT", "x.txt:2: syntax error in 'x OBJECT', or just before"),
        (
            module("X-MIB", "\nx OBJECT IDENTIFIER ::= { nowhere 1 }"),
            "x.txt:3: nowhere is neither defined nor imported; add it to IMPORTS, or correct its name",
        ),
        (
            module(
                "X-MIB",
                "x OBJECT-TYPE\n  SYNTAX Lost\n  ACCESS read-only STATUS mandatory ::= { enterprises 1 }",
            ),
            "x.txt:3: Lost is neither defined nor imported; add it to IMPORTS, or correct its name",
        ),
        (
            module("X-MIB", "x OBJECT IDENTIFIER ::= { enterprises 1 }\n\nx OBJECT IDENTIFIER ::= { enterprises 2 }"),
            "x.txt:4: x is defined twice; take one of the definitions away",
        ),
        (
            module("X-MIB", "x OBJECT IDENTIFIER ::= { sysFoo 1 }", "sysFoo FROM SNMPv2-MIB"),
            "x.txt:1: sysFoo is not in SNMPv2-MIB; correct IMPORTS, or add the file with the right SNMPv2-MIB",
        ),
        (
            module("X-MIB", "x OBJECT IDENTIFIER ::= { enterprises 1 }", "\n  Thing\n  FROM LOST-MIB"),
            "x.txt:3: imports from LOST-MIB, which is missing; name the file or folder that it is in, too",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_and_cure(tmp_path: Path, content: str, expected: str) -> None:
    """The first line that a person has to look at."""
    assert told(tmp_path, x=content) == [expected]


def test_lines_count_in_the_file_also_for_its_second_module(tmp_path: Path) -> None:
    """A file may have several modules, and words before the first."""
    content = (
        "Words.\n" + module("A-MIB", "a OBJECT IDENTIFIER ::= { enterprises 1 }") + module("B-MIB", "b OBJECT ::=")
    )
    assert told(tmp_path, x=content) == ["x.txt:6: syntax error in 'b OBJECT ::=', or just before"]


def test_one_broken_module_spoils_no_other(tmp_path: Path) -> None:
    """Also not those that import from it: their objects keep their names, and lack the labels."""
    broken = module("TYPES-MIB", "Colour ::= INTEGER { red(1 ")
    user = module(
        "USER-MIB",
        'x OBJECT-TYPE SYNTAX Colour ACCESS read-only STATUS mandatory DESCRIPTION "" ::= { enterprises 1 }',
        "Colour FROM TYPES-MIB",
    )
    found = compiled(tmp_path, a=broken, b=user, c=GOOD)
    assert found.modules == ("ACME-MIB", "USER-MIB")
    assert [problem.module for problem in found.problems] == ["TYPES-MIB"]
    (node,) = found.catalogue.modules[1].nodes
    assert (node.name, found.catalogue.syntaxes[node.syntax]) == ("x", Syntax(""))


@pytest.mark.parametrize(
    "body",
    [
        "A ::= B\nB ::= A\nx OBJECT-TYPE SYNTAX A ACCESS read-only STATUS mandatory ::= { enterprises 1 }",
        "x OBJECT IDENTIFIER ::= { y 1 }\ny OBJECT IDENTIFIER ::= { x 1 }",
        "x OBJECT IDENTIFIER ::= { enterprises 99999999999999999999999 }",
        "class OBJECT IDENTIFIER ::= { enterprises 1 }",
        "x OBJECT-TYPE SYNTAX INTEGER { } ACCESS read-only STATUS mandatory ::= { enterprises 1 }",
        "x TRAP-TYPE ENTERPRISE { } ::= 1",
        "\0\x01",
    ],
)
def test_odd_modules_end_in_problems_never_in_a_crash(tmp_path: Path, body: str) -> None:
    """Definitions in a circle, numbers out of range, a name that is Python's: the good module beside it is compiled."""
    found = compiled(tmp_path, x=module("X-MIB", body), good=GOOD)
    assert "ACME-MIB" in found.modules
    assert {"X-MIB"} >= {problem.module for problem in found.problems}


def test_every_cut_of_a_module_is_told_or_compiled(tmp_path: Path) -> None:
    """A download that broke off, at each line."""
    lines = GOOD.splitlines()
    for count in range(4, len(lines) - 1):
        (tmp_path / "cut.txt").write_text("\n".join(lines[:count]))
        found = compile_files([tmp_path / "cut.txt"], [SHIPPED])
        assert [problem.file for problem in found.problems] == [str(tmp_path / "cut.txt")]


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large for a MIB module, or gone between the listing and the reading."""
    monkeypatch.setattr("netmon.mib.compile.FILE_BYTES_MAX", 1 << 20)
    (tmp_path / "large").write_bytes(b" " * ((1 << 20) + 1))
    found = compile_files([tmp_path / "large", tmp_path / "gone"], [SHIPPED])
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in found.problems] == [
        "gone: cannot be read: No such file or directory",
        "large: has more than 1 MiB, so it is no MIB module",
    ]


def test_former_names_of_modules_are_understood() -> None:
    """RFC1271-MIB has been RMON-MIB since 1995, but only where that is at hand."""
    (source,) = text.modules("x", "X DEFINITIONS ::= BEGIN\nIMPORTS rmon, OwnerString FROM RFC1271-MIB;\nEND\n")
    assert text.imports(source, {"RMON-MIB"}).symbols == {"RMON-MIB": ("rmon", "OwnerString")}
    assert "FROM RMON-MIB;" in text.imports(source, {"RMON-MIB"}).text
    assert text.imports(source, {"RFC1271-MIB", "RMON-MIB"}).symbols == {"RFC1271-MIB": ("rmon", "OwnerString")}


def test_a_file_that_was_named_is_expected_to_hold_a_module(tmp_path: Path) -> None:
    """In a folder other files are left alone, but not those that are called a MIB and cannot be one."""
    (tmp_path / "wide.mib").write_bytes(GOOD.encode("utf-16"))
    (tmp_path / "empty.my").write_text("\n")
    (tmp_path / "readme.txt").write_text("Words.")
    (tmp_path / "notes.txt").write_text("")
    found = compile_files(files_of([tmp_path]), [SHIPPED], named=[tmp_path / "readme.txt"])
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in found.problems] == [
        "empty.my: is empty",
        "readme.txt: holds no MIB module: NAME DEFINITIONS ::= BEGIN is missing",
        "wide.mib: is UTF-16, in which no MIB module is read; write it again as UTF-8 or ASCII",
    ]


def test_a_missing_module_is_told_once(tmp_path: Path) -> None:
    """Not again for the parent that would be in it."""
    content = module("X-MIB", "x OBJECT IDENTIFIER ::= { lostRoot 1 }", "lostRoot FROM LOST-MIB")
    (problem,) = told(tmp_path, x=content)
    assert "imports from LOST-MIB, which is missing" in problem
