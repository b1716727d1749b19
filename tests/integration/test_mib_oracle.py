"""Net-SNMP as the oracle: `snmptranslate` reads the same modules and must agree on every name, number and kind."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

from netmon.mib import catalogue as catalogues
from netmon.mib.model import Node, Syntax
from netmon.model import Varbind

SHIPPED = catalogues.read(catalogues.SHIPPED)
NAMES = catalogues.load_names(())
DETAILS = re.compile(r"^[\w-]+::([\w-]+)\n\1 OBJECT-TYPE\n(.*?)^  (?:MAX-ACCESS|STATUS)", re.DOTALL | re.MULTILINE)
NAMED_NUMBER = re.compile(r"([\w-]+)\((-?\d+)\)")


@pytest.fixture
def translate(require_tool: Callable[[str], str], sample_data: Path) -> Callable[..., str]:
    """A function from options and OIDs or names to what `snmptranslate` prints, all standard modules loaded."""
    program = require_tool("snmptranslate")

    def run(*arguments: str) -> str:
        command = [program, "-M", str(sample_data / "mibs"), "-m", "ALL", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    return run


@cache
def nodes(*kinds: str) -> dict[str, Node]:
    """What the shipped catalogue has of these kinds, by OID; where two modules have it, the one that decoding uses."""
    found = [node for module in SHIPPED.modules for node in module.nodes if node.kind in kinds]
    return {node.oid: node for node in reversed(found)}


def syntax(node: Node) -> Syntax:
    """The node's, or the one that says nothing."""
    return SHIPPED.syntaxes[node.syntax] if node.syntax >= 0 else Syntax("")


def lines(output: str) -> list[str]:
    """Those with something in them."""
    return [line for line in output.splitlines() if line]


def unlike(ours: Iterable[str], theirs: Iterable[str]) -> list[tuple[str, str]]:
    """Where two lists of names differ."""
    return [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]


def test_names_of_notifications_agree(translate: Callable[..., str]) -> None:
    """All of them, from OID to name."""
    oids = list(nodes("notification"))
    theirs = [line.partition("::")[2] for line in lines(translate("-OS", *oids))]
    assert len(oids) > 90
    assert unlike([str(NAMES.notification(oid)) for oid in oids], theirs) == []


def test_names_of_instances_agree(translate: Callable[..., str]) -> None:
    """All objects, with an index of three numbers; Net-SNMP shows the index as it is, with -Ob, and does not check it, with -Ir."""
    oids = [f"{oid}.7.8.9" for oid in nodes("scalar", "column")]
    theirs = [line.partition("::")[2] for line in lines(translate("-OS", "-Ob", "-Ir", *oids))]
    assert len(oids) > 2_500
    assert unlike([str(NAMES.varbind(Varbind(oid, "Null", None)).name) for oid in oids], theirs) == []


def test_numbers_of_names_agree(translate: Callable[..., str]) -> None:
    """From name to OID, each within its module."""
    asked = [(module.name, node) for module in SHIPPED.modules for node in module.nodes if node.kind != "other"]
    theirs = lines(translate("-On", *(f"{module}::{node.name}" for module, node in asked)))
    assert unlike([f".{node.oid}" for _, node in asked], theirs) == []


def test_enumerations_bits_and_hints_agree(translate: Callable[..., str]) -> None:
    """What `snmptranslate -Td` prints as SYNTAX, DISPLAY-HINT and UNITS.

    Of all objects but those of RFC1213-MIB: Net-SNMP takes some from there that later modules say more about.
    """
    old = {node.oid for module in SHIPPED.modules for node in module.nodes if module.name == "RFC1213-MIB"}
    objects = {oid: node for oid, node in nodes("scalar", "column").items() if oid not in old}
    found = DETAILS.findall(translate("-Td", *objects))
    assert len(found) == len(objects) > 2_500
    different = []
    for node, (name, details) in zip(objects.values(), found, strict=True):
        ours = syntax(node)
        kind, names = theirs_of(details, "SYNTAX", r"([A-Z][\w ]*)"), theirs_of(details, "SYNTAX", r"[\w ]*\{(.*?)\}")
        theirs = {int(number): each for each, number in NAMED_NUMBER.findall(names)}
        hint, unit = theirs_of(details, "DISPLAY-HINT", '"(.*?)"'), theirs_of(details, "UNITS", '"(.*?)"')
        unit = " ".join(unit.split())
        if ours.base and (node.name, ours.names, ours.hint, node.unit) != (name, theirs, hint, unit):
            different.append((node.name, ours, node.unit, details))
        assert not ours.base or (ours.base == "BITS") == kind.startswith("BITS")
    assert different == []


def theirs_of(details: str, clause: str, pattern: str) -> str:
    """What stands after a clause of `-Td`; empty when it has none."""
    found = re.search(rf"^  {clause}\s+{pattern}", details, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""
