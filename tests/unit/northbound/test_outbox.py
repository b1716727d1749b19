"""What a member has still to be told."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from netmon.northbound import outbox
from netmon.northbound.alerts import Alert, Identity, resolved
from netmon.northbound.outbox import NS, Outbox

RESEND_S, RESOLVED_S = 60.0, 300.0


def alert(name: str = "a", **changes: Any) -> Alert:
    """One that fires."""
    base = Alert(
        identity=Identity(name, "critical"), labels={"alarm_id": name}, annotations={"summary": "1"}, starts_unix_ns=1
    )
    return msgspec.structs.replace(base, **changes)


def over(name: str = "a") -> Alert:
    """The same, resolved."""
    return resolved(alert(name), 5, 10)


def names(alerts: list[Alert]) -> list[str]:
    """Which they are."""
    return [one.identity.alarm_id for one in alerts]


def sent(box: Outbox, now_s: float) -> list[Alert]:
    """What goes out at a time, and is taken."""
    found = box.take(int(now_s * NS), 100)
    box.delivered(found, int(now_s * NS))
    return found


def test_news_go_at_once_and_then_again_and_again() -> None:
    """Prometheus does so every minute; Alertmanager counts on it."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert(), 0)
    assert [len(sent(box, second)) for second in (0, 1, 59, 60, 61, 120)] == [1, 0, 0, 1, 0, 1]
    assert (box.due_ns(), box.waiting) == (180 * NS, 0)


def test_the_last_state_wins() -> None:
    """A member that was away gets what is true now, once."""
    box = Outbox(RESEND_S, RESOLVED_S)
    for one in (alert("a"), over("a"), alert("b"), alert("a", starts_unix_ns=7)):
        box.put(one, 0)
    found = sent(box, 1)
    assert [(one.identity.alarm_id, one.starts_unix_ns, one.ended_unix_ns) for one in found] == [
        ("a", 7, 0),
        ("b", 1, 0),
    ]


def test_a_new_alert_waits_whether_it_is_explained() -> None:
    """Who is explained within two seconds is never heard of; who is not is told then."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert("a"), 0, is_new=True)
    box.put(alert("b"), 0, is_new=True)
    box.put(alert("b", starts_unix_ns=9), NS, is_new=True)
    box.put(over("a"), NS)
    assert ([names(sent(box, second)) for second in (0, 1, 2)], len(box)) == ([[], [], ["b"]], 1)


def test_an_end_is_told_for_five_minutes_and_then_forgotten() -> None:
    """A member may have been away when it ended."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert(), 0)
    sent(box, 0)
    box.put(over(), 10 * NS)
    assert [len(sent(box, second)) for second in (10, 70, 130, 190, 250, 310, 400)] == [1, 1, 1, 1, 1, 1, 0]
    assert (len(box), box.due_ns()) == (0, None)


def test_mere_words_wait_for_more() -> None:
    """In a storm a cause counts up many times a second; that is no reason to send it as often."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert(), 0)
    sent(box, 0)
    for count in range(50):
        box.put(alert(annotations={"summary": str(count)}), NS)
    assert [len(sent(box, second)) for second in (1, 5, 11, 12)] == [0, 0, 1, 0]


def test_what_changes_on_its_way_goes_again() -> None:
    """What is delivered is what was taken, not what came since."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert("a"), 0)
    box.put(alert("b"), 0)
    taken = box.take(0, 10)
    box.put(over("a"), 1)
    box.put(alert("b", annotations={"summary": "2"}), 1)
    box.delivered(taken, 2)
    assert [(one.identity.alarm_id, bool(one.ended_unix_ns)) for one in sent(box, 1)] == [("a", True)]
    assert names(sent(box, 11)) == ["b"]


def test_what_failed_goes_again() -> None:
    """Nothing is lost by a member that does not answer."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert("a"), 0)
    box.failed(box.take(0, 10), 0)
    assert (box.waiting, names(sent(box, 1))) == (1, ["a"])


def test_what_is_refused_waits_for_a_change() -> None:
    """Sent again as it is, it would be refused again."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(alert(), 0)
    (refused,) = box.take(0, 10)
    box.refuse(refused)
    assert (box.refused, box.waiting, sent(box, 1_000)) == (1, 0, [])
    box.put(alert(annotations={"summary": "better"}), 1_000 * NS)
    assert (box.refused, len(sent(box, 1_000))) == (0, 1)


def test_an_end_that_nobody_took_is_dropped_when_the_member_has_forgotten_the_alert() -> None:
    """An alert of which nobody tells ends by itself; a long outage leaves no heap of ends."""
    box = Outbox(RESEND_S, RESOLVED_S)
    box.put(over(), 0)
    for second in (0, 100, 500):
        box.failed(box.take(second * NS, 10), second * NS)
    assert (box.waiting, box.take(541 * NS, 10), len(box)) == (1, [], 0)


def test_there_is_a_limit() -> None:
    """What is there already stays; more is refused, and can be counted."""
    box = Outbox(RESEND_S, RESOLVED_S)
    for number in range(outbox.ALERTS_MAX):
        assert box.put(alert(str(number)), 0)
    assert (box.put(alert("one more"), 0), box.put(over("7"), 0)) == (False, True)


STEPS = st.lists(
    st.tuples(st.sampled_from(["fire", "end", "words", "ok", "fail"]), st.integers(0, 2), st.integers(0, 400)),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_a_member_that_answers_learns_what_is_true(steps: list[tuple[str, int, int]]) -> None:
    """After any history of changes and failures, an hour of answers leaves it with exactly what fires."""
    box, now_ns = Outbox(RESEND_S, RESOLVED_S), 0
    true: dict[str, Alert] = {}
    told: dict[Identity, Alert] = {}

    def answer(how: str) -> None:
        taken = box.take(now_ns, 2)
        if how == "ok":
            box.delivered(taken, now_ns)
            told.update({one.identity: one for one in taken})
        else:
            box.failed(taken, now_ns)

    for kind, number, seconds in steps:
        now_ns += seconds * NS
        name = "abc"[number]
        if kind == "fire":
            true[name] = alert(name, starts_unix_ns=now_ns + 1)
            box.put(true[name], now_ns, is_new=seconds % 2 == 0)
        elif kind == "words" and name in true:
            true[name] = msgspec.structs.replace(true[name], annotations={"summary": str(now_ns)})
            box.put(true[name], now_ns)
        elif kind == "end" and name in true:
            box.put(resolved(true.pop(name), now_ns, now_ns), now_ns)
        elif kind in {"ok", "fail"}:
            answer(kind)
    told.clear()  # the member is restarted, and has forgotten everything
    for _ in range(3_600 // 10):
        now_ns += 10 * NS
        answer("ok")
        answer("ok")

    assert {one.identity.alarm_id: one for one in told.values() if not one.ended_unix_ns} == true
    assert (box.waiting, len(box)) == (0, len(true))
