"""Which silences there should be, and which of them acknowledge."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from netmon.alarms.model import Alarm, Text
from netmon.northbound import silences
from netmon.northbound.silences import ACK_S, Matcher, Silence, Wish

NOW_NS = 1_795_000_000_000_000_000
SECOND_NS = 1_000_000_000
LABELS = {"alarm_id": "a1", "alertname": "LinkDown", "source": "netmon"}


def at(seconds: float) -> datetime:
    """So long from now."""
    return datetime.fromtimestamp(NOW_NS / 1e9 + seconds, UTC)


def silence(number: int = 1, *, ends_s: float = ACK_S, by: str = "taro (netmon)", **matchers: str) -> Silence:
    """One in force since a minute."""
    return Silence(
        id=f"s{number}",
        matchers=tuple(Matcher(name, value) for name, value in (matchers or {"alarm_id": "a1"}).items()),
        starts_at=at(-60),
        ends_at=at(ends_s),
        updated_at=at(-60),
        created_by=by,
        comment="known",
    )


def wish(until_s: float = 0) -> Wish:
    """That a1 be silent."""
    return Wish(
        alarm_id="a1", by="taro", comment="on it", until_unix_ns=int(NOW_NS + until_s * SECOND_NS) if until_s else 0
    )


def alarm(**changes: Any) -> Alarm:
    """One that stands."""
    values: dict[str, Any] = {"operator_state": "none", **changes}
    return Alarm(
        id="a1",
        resource="device/r1",
        alarm_type="x",
        severity="major",
        event_type="equipmentAlarm",
        probable_cause="x",
        text=Text("x", "x"),
        created_unix_ns=1,
        raised_unix_ns=1,
        event_unix_ns=1,
        changed_unix_ns=1,
        **values,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"operator_state": "ack", "operator_by": "taro"}, ("taro", "ack", 0)),
        ({"operator_state": "ack", "operator_by": "taro", "operator_reason": "on it"}, ("taro", "on it", 0)),
        ({"operator_state": "shelved", "operator_by": "taro", "shelved_until_unix_ns": 9}, ("taro", "shelved", 9)),
        ({"operator_state": "ack", "is_cleared": True}, None),
        ({"operator_state": "closed"}, None),
    ],
)
def test_what_operators_wish(changes: dict[str, Any], expected: tuple[str, str, int] | None) -> None:
    """An alarm that stands is silent while it is acknowledged or shelved."""
    found = silences.wish(alarm(**changes))
    assert (None if found is None else (found.by, found.comment, found.until_unix_ns)) == expected


def test_a_wish_becomes_a_silence() -> None:
    """For that alarm alone, with who and why; an acknowledgement's ends by itself when netmon does."""
    plan = silences.plan([wish()], [], NOW_NS)
    assert (plan.delete, len(plan.create)) == ((), 1)
    assert plan.create[0] == {
        "matchers": [Matcher("alarm_id", "a1")],
        "startsAt": "2026-11-18T11:06:40.000Z",
        "endsAt": "2026-11-18T15:06:40.000Z",
        "createdBy": "taro (netmon)",
        "comment": "on it",
    }


@pytest.mark.parametrize(
    ("wished", "present", "created", "deleted"),
    [
        ([wish()], [silence()], [], []),
        ([wish()], [silence(ends_s=ACK_S / 2 + 60)], [], []),
        ([wish()], [silence(ends_s=ACK_S / 2 - 60)], ["s1"], []),  # prolonged
        ([wish()], [silence(ends_s=10 * ACK_S)], ["s1"], []),  # from a shelf that was opened
        ([wish(600)], [silence(ends_s=601)], [], []),
        ([wish(600)], [silence(ends_s=700)], ["s1"], []),
        ([wish(-5)], [], [], []),  # a shelf that is just about to end
        ([wish()], [silence(1), silence(2, ends_s=ACK_S - 9)], [], ["s2"]),  # two members made one each
        ([], [silence()], [], ["s1"]),
        ([], [silence(by="taro")], [], []),  # somebody else's
        ([], [silence(alarm_id="a1", line="x")], [], []),
        ([wish()], [silence(by="taro")], [None], []),
    ],
)
def test_a_plan_puts_right_what_is_there(
    wished: list[Wish], present: list[Silence], created: list[str | None], deleted: list[str]
) -> None:
    """Made, prolonged, shortened, ended; and only ours."""
    plan = silences.plan(wished, present, NOW_NS)
    assert [body.get("id") for body in plan.create] == created
    assert list(plan.delete) == deleted


def test_carried_out_a_plan_leaves_nothing_to_do() -> None:
    """No silence is made again and again."""
    (body,) = silences.plan([wish()], [], NOW_NS).create
    ends = (datetime.fromisoformat(body["endsAt"]) - at(0)).total_seconds()
    assert silences.plan([wish()], [silence(ends_s=ends)], NOW_NS) == silences.Plan((), ())


@pytest.mark.parametrize(
    ("present", "operator_s", "is_ack"),
    [
        (silence(by="hanako"), -100, True),
        (silence(by="hanako"), -10, False),  # un-acknowledged here since
        (silence(by="hanako (netmon)"), -100, False),  # ours
        (silence(by="hanako", alarm_id="a1", source="netmon"), -100, True),
        (silence(by="hanako", alarm_id="a1", source="other"), -100, False),
    ],
)
def test_who_silences_there_acknowledges_here(present: Silence, operator_s: float, is_ack: bool) -> None:
    """Unless netmon made it, or somebody has said otherwise here after it."""
    found = silences.ack(present, int(NOW_NS + operator_s * SECOND_NS), LABELS, NOW_NS)
    assert (found is not None) == is_ack
    if found is not None:
        assert (found.kind, found.alarm_id, found.by, found.text) == ("ack", "a1", "hanako", "known")


def test_only_silences_of_one_alarm_are_read() -> None:
    """Patterns, negations and what has ended are none of ours."""

    def written(state: str, **matcher: Any) -> dict[str, Any]:
        one = {"name": "alarm_id", "value": "a1", "isRegex": False, "isEqual": True, **matcher}
        times = dict.fromkeys(("startsAt", "endsAt", "updatedAt"), "2026-11-18T11:06:40.123Z")
        return {"id": "s", "matchers": [one], **times, "createdBy": "x", "comment": "", "status": {"state": state}}

    found = [
        written("active"),
        written("expired"),
        written("pending"),
        written("active", isRegex=True),
        written("active", isEqual=False),
        written("active", name="line"),
    ]
    assert len(silences.read(json.dumps(found).encode())) == 1
