"""The table of the protection machine, and its document."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import get_args

from netmon.failover.model import PAGES, PHASES
from netmon.failover.protection import machine
from netmon.failover.protection.machine import TABLE, Response
from netmon.failover.protection.requests import CONDITIONS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "failover.md"
RESPONSES = get_args(Response)


def section() -> str:
    """What the document says of the state machine."""
    return DOCUMENT.read_text().split("\n## The state machine\n")[1].split("\n## ")[0]


def test_every_pair_is_in_the_table() -> None:
    """And leads to a response that exists; none is there for nothing."""
    assert set(TABLE) == set(product(PHASES, CONDITIONS))
    assert set(TABLE.values()) == set(RESPONSES) == set(machine._RESPONSES)


def test_the_document_has_the_table() -> None:
    """As it is: a row for each condition, in the order of their weight."""
    rows = re.findall(r"^\| `(\w+)` \|((?: \w+ \|){12})$", section(), re.MULTILINE)
    written = {
        (phase, given): response
        for given, row in rows
        for phase, response in zip(PHASES, re.findall(r"\w+", row), strict=True)
    }
    assert tuple(given for given, _ in rows) == CONDITIONS
    assert written == TABLE


def test_the_document_explains_every_word() -> None:
    """Phases, conditions, responses, and what people are told."""
    text = section()
    words = (*PHASES, *CONDITIONS, *RESPONSES, *PAGES)
    assert [word for word in words if f"`{word}`" not in text] == []
