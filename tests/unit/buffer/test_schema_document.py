"""docs/buffer-schema.md is an interface: it names every field and every word, and its examples are what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from netmon.model import RejectEvent, TrapEvent, Varbind
from netmon.snmp import FLAGS
from netmon.trap_receiver.ledger import REJECT_REASONS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "buffer-schema.md"


def section(title: str) -> str:
    """The text under a heading."""
    return DOCUMENT.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[tuple[str, str]]:
    """Of each table: field and default."""
    return re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|", text, re.MULTILINE)


def fields(*structs: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """The fields of the values, as the document writes them."""
    shown = {None: "null ", (): "`[]` "}
    return [
        (field.name, "" if field.required else shown[field.default])
        for struct in structs
        for field in msgspec.structs.fields(struct)
    ]


@pytest.mark.parametrize(("title", "structs"), [("TrapEvent", (TrapEvent, Varbind)), ("RejectEvent", (RejectEvent,))])
def test_every_field_is_told_in_its_order(title: str, structs: tuple[type[msgspec.Struct], ...]) -> None:
    """With its default, which is what a reader must put where the field is left out."""
    assert rows(section(title)) == fields(*structs)


@pytest.mark.parametrize(("title", "struct"), [("TrapEvent", TrapEvent), ("RejectEvent", RejectEvent)])
def test_the_examples_are_events(title: str, struct: type[msgspec.Struct]) -> None:
    """Nothing in them that the program does not write, and nothing left out that it does."""
    (example,) = re.findall(r"```json\n(.*?)```", section(title), re.DOTALL)
    event = msgspec.json.decode(example, type=struct, strict=True)

    assert json.loads(msgspec.json.encode(event)) == json.loads(example)


def test_every_flag_and_every_reason_is_told() -> None:
    """In the order of the code."""
    flags = section("TrapEvent").split("`flags`, each")[1]
    reasons = section("RejectEvent").split("`reason`:")[1]

    assert tuple(re.findall(r"`(\w+)`", flags)) == FLAGS
    assert tuple(re.findall(r"`(\w+)`", reasons)) == REJECT_REASONS


@pytest.mark.parametrize("name", ["buffer-schema.md", "architecture.md"])
def test_links_lead_somewhere(name: str) -> None:
    """A relative link names a file that exists."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (DOCUMENT.parent / name).read_text())

    assert [link for link in links if not (DOCUMENT.parent / link).exists()] == []
