"""What operators want, read from hostile bodies: every mistake is named, and nothing else gets through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.model import Command, CommandKind
from netmon.alarms.posture.model import Declaration
from netmon.api.problem import ProblemError
from netmon.api.wish import KINDS, command_of, declaration_of

NOON = 1_767_268_800_000_000_000


def command(kind: CommandKind, body: object) -> Command:
    """What a body asks for."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return command_of(raw, kind, command_id="c1", alarm_id="a1", version=None, now_unix_ns=NOON)


def wrong(kind: CommandKind, body: object) -> list[str]:
    """Where it is wrong."""
    with pytest.raises(ProblemError) as error:
        command(kind, body)
    assert error.value.problem.status == 400
    return [mistake.where for mistake in error.value.problem.errors]


def outcome(kind: CommandKind, body: object) -> str | int:
    """The kind of the command, or the status of the problem."""
    try:
        return command(kind, body).kind
    except ProblemError as error:
        return error.problem.status


def test_a_body_becomes_a_command() -> None:
    """With its text, and for a shelf its end."""
    found = command("shelve", {"by": " ito ", "reason": "工事\n夜間　作業", "for_s": 600})
    expected = Command(
        id="c1",
        kind="shelve",
        alarm_id="a1",
        by="ito",
        text="工事\n夜間　作業",
        until_unix_ns=NOON + 600 * 10**9,
        unix_ns=NOON,
    )
    assert found == expected
    until = command("shelve", {"by": "ito", "reason": "x", "until": "2026-01-01T21:10:00+09:00"})
    assert until.until_unix_ns == NOON + 600 * 10**9
    assert command("ack", {"by": "ito", "reason": None}).text == ""
    assert command("comment", {"by": "ito", "text": "見た"}).text == "見た"


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("ack", {}, ["body by"]),
        ("ack", {"by": 7, "reason": [], "x": 1}, ["body 'x'", "body by", "body reason"]),
        ("ack", {"by": "  "}, ["body by"]),
        ("ack", {"by": "x" * 101}, ["body by"]),
        ("ack", {"by": "a\x1b[31m"}, ["body by"]),
        ("ack", {"by": "a\u202eb"}, ["body by"]),
        ("shelve", {"by": "ito"}, ["body reason", "body until"]),
        ("shelve", {"by": "ito", "reason": "x", "for_s": 1, "until": "2026-01-02T00:00:00Z"}, ["body until"]),
        ("shelve", {"by": "ito", "reason": "x", "until": "2026-01-02T00:00:00"}, ["body until"]),
        ("shelve", {"by": "ito", "reason": "x", "until": "2025-01-01T00:00:00Z"}, ["body until"]),
        ("shelve", {"by": "ito", "reason": "x", "until": "9999-12-31T23:59:59Z"}, ["body until"]),
        ("shelve", {"by": "ito", "reason": "x", "until": 7}, ["body until"]),
        ("shelve", {"by": "ito", "reason": "x", "for_s": True}, ["body for_s"]),
        ("shelve", {"by": "ito", "reason": "x", "for_s": -1}, ["body for_s"]),
        ("shelve", {"by": "ito", "reason": "x", "for_s": 1e300}, ["body for_s"]),
        ("comment", {"by": "ito", "text": "x" * 2_001}, ["body text"]),
        ("comment", {"by": "ito", "reason": "x"}, ["body 'reason'", "body text"]),
        ("ack", [], ["body"]),
        ("ack", b"", ["body"]),
        ("ack", b'{"by": NaN}', ["body"]),
        ("ack", b"[" * 10_000, ["body"]),
        ("ack", b"\xff\xfe", ["body"]),
    ],
)
def test_each_mistake_is_named(kind: CommandKind, body: object, expected: list[str]) -> None:
    """All of them at once."""
    assert wrong(kind, body) == expected


@given(st.sampled_from(KINDS), st.binary(max_size=60))
def test_any_octets_are_a_command_or_a_problem(kind: CommandKind, body: bytes) -> None:
    """Nothing else is raised."""
    assert outcome(kind, body) in {kind, 400}


@given(
    st.dictionaries(
        st.sampled_from(["by", "reason", "until", "for_s"]),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
            st.lists,
            max_leaves=4,
        ),
    )
)
def test_any_values_are_a_command_or_a_problem(body: dict[str, Any]) -> None:
    """Of the right names and the wrong types."""
    assert outcome("shelve", body) in {"shelve", 400}


def test_a_declaration_is_made_and_withdrawn() -> None:
    """Null withdraws; without the field nobody knows what is meant."""
    body = {"posture": "disaster", "by": "mayor", "reason": "津波", "for_s": 60}
    expected = Declaration(posture="disaster", by="mayor", reason="津波", unix_ns=NOON, until_unix_ns=NOON + 60 * 10**9)
    assert declaration_of(json.dumps(body).encode(), NOON) == ("mayor", expected)
    assert declaration_of(b'{"posture": null, "by": "mayor"}', NOON) == ("mayor", None)
    for wrong_body in (
        b'{"by": "mayor"}',
        b'{"posture": "recovering", "by": "a", "reason": "x"}',
        b'{"posture": "normal", "by": "a"}',
    ):
        with pytest.raises(ProblemError):
            declaration_of(wrong_body, NOON)
