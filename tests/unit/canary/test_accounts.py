"""The books of the canary: every one that was sent is accounted for, whatever happens to it and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from netmon.canary import accounts
from netmon.canary.accounts import BOUNDS_MS, FIELDS, Accounts, books
from netmon.status import metrics
from netmon.status.health import CanarySample, Check, Snapshot, checks

MS = 1_000_000
SECOND = 1_000 * MS
LISTEN = "[::]:1162"


def new(timeout_s: float = 30, **values: int) -> Accounts:
    """Books, empty but for these."""
    return Accounts({**dict.fromkeys(FIELDS, 0), **values}, timeout_s)


def counts(found: Accounts, kind: str = "trap") -> dict[str, int]:
    """What was counted of a kind, without zeros."""
    names = ("sent", "stored", "lost", "late", "unknown")
    return {name: count for name in names if (count := found.values[f"{kind}_{name}"])}


def test_one_that_comes_in_time() -> None:
    """Stored once, however often it is seen; the answer is counted apart."""
    found = new()
    found.sent("inform", 1, 0)
    assert [found.stored(1, 15 * MS), found.stored(1, 16 * MS)] == [True, False]
    assert [found.answered(1, 8 * MS), found.answered(1, 9 * MS)] == [True, False]

    told = books(found.values).kinds["inform"]
    assert (counts(found, "inform"), told.answered, found.sought) == ({"sent": 1, "stored": 1}, 1, False)
    assert (told.stored_latency.counts[BOUNDS_MS.index(20)], told.stored_latency.sum_seconds) == (1, 0.015)
    assert told.answered_latency is not None
    assert (told.answered_latency.counts[BOUNDS_MS.index(10)], told.answered_latency.sum_seconds) == (1, 0.008)


def test_one_that_is_lost_and_one_that_comes_late() -> None:
    """The late one is taken back from those that are missing, not from those that were lost."""
    found = new()
    found.sent("trap", 1, 0)
    found.sent("trap", 2, SECOND)
    found.advance(30 * SECOND - 1)
    assert counts(found) == {"sent": 2}
    found.advance(40 * SECOND)
    found.count_windows(40 * SECOND)
    assert (counts(found), found.sought) == ({"sent": 2, "lost": 2}, True)
    assert (found.values["trap_due_60s"], found.values["trap_missing_60s"]) == (2, 2)

    assert found.stored(2, 41 * SECOND)
    found.count_windows(41 * SECOND)
    assert counts(found) == {"sent": 2, "lost": 2, "late": 1}
    assert (found.values["trap_due_60s"], found.values["trap_missing_60s"]) == (2, 1)
    found.advance(40 * SECOND + accounts.LATE_NS)
    assert (found.sought, found.stored(1, 2 * accounts.LATE_NS)) == (False, False)


def test_the_last_minutes_are_forgotten() -> None:
    """A loss of an hour ago is no reason to be degraded now."""
    found = new(timeout_s=1)
    found.sent("trap", 1, 0)
    for now_s, expected in ((1, (1, 1)), (60, (1, 1)), (61, (0, 1)), (300, (0, 1)), (301, (0, 0))):
        found.advance(now_s * SECOND)
        found.count_windows(now_s * SECOND)
        assert (found.values["trap_missing_60s"], found.values["trap_missing_300s"]) == expected


def test_what_was_under_way_in_an_earlier_process_is_unknown() -> None:
    """It is neither stored nor lost: nobody looked."""
    found = new(trap_sent=10, trap_stored=5, trap_lost=2, trap_late=1, trap_unknown=1)
    assert counts(found) == {"sent": 10, "stored": 5, "lost": 2, "late": 1, "unknown": 3}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that waits is given up."""
    monkeypatch.setattr(accounts, "WAITING_MAX", 3)
    found = new()
    for number in range(5):
        found.sent("trap", number, 0)
    assert (found.waiting, counts(found)) == (3, {"sent": 5, "lost": 2})


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["inform", "trap", "stored", "answered", "advance"]), st.integers(0, 30), st.integers(0, 900)
    ),
    max_size=80,
)


@given(STEPS)
def test_every_canary_is_accounted_for(steps: list[tuple[str, int, int]]) -> None:
    """After each step: sent = stored + lost + unknown + waiting, late <= lost, and nothing is negative."""
    found, now_ns, number = new(), 0, 0
    for what, which, passed_s in steps:
        now_ns += passed_s * SECOND
        if what in {"inform", "trap"}:
            number += 1
            found.sent(what, number, now_ns)  # type: ignore[arg-type]
        elif what == "advance":
            found.advance(now_ns)
        else:
            getattr(found, what)(which, now_ns)
        found.count_windows(now_ns)
        told = books(found.values).kinds
        assert sum(x.sent - x.stored - x.lost - x.unknown for x in told.values()) == found.waiting
        assert all(x.late <= x.lost and x.answered <= x.sent for x in told.values())
        assert all(x.missing[w] <= x.due[w] for x in told.values() for w in accounts.WINDOWS_S)
        assert all(sum(x.stored_latency.counts) == x.stored + x.late for x in told.values())


# --- What the supervisor tells of them.


def snapshot(found: Accounts, *, age_ns: int = SECOND) -> Snapshot:
    """A tree with one canary and no lane, a while after the books were published."""
    found.values["heartbeat_unix_ns"] = 10**18
    sample = CanarySample(receiver="trap1", listen=LISTEN, books=books(found.values))
    return Snapshot(
        unix_ns=10**18 + age_ns,
        lanes=(),
        processes=(),
        embedded=None,
        reloads_applied=0,
        reloads_refused=0,
        canaries=(sample,),
    )


def lossy() -> Accounts:
    """One of four was not stored."""
    found = new(timeout_s=10)
    for number in range(4):
        found.sent("trap", number, 0)
    for number in range(3):
        found.stored(number, MS)
    found.advance(10 * SECOND)
    found.count_windows(10 * SECOND)
    return found


def test_health_is_degraded_while_one_is_missing() -> None:
    """With a cure; a canary that is silent, or has nothing to tell, says so and is no fault of the receiver."""
    (bad,) = checks(snapshot(lossy()))
    assert (bad.ok, bad.state, bool(bad.cure)) == (False, "1 of 4 not stored in the last minute", True)
    assert checks(snapshot(new())) == [Check(f"canary.{LISTEN}", True, "0 of 0 stored in the last minute")]
    assert checks(snapshot(lossy(), age_ns=60 * SECOND)) == [Check(f"canary.{LISTEN}", True, "silent for 60 s")]


def test_metrics_have_counts_ratio_and_latencies() -> None:
    """By listener and kind."""
    text = generate_latest(metrics.registry(lambda: snapshot(lossy()))).decode()
    samples = {
        (sample.name, sample.labels["kind"], sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name.startswith("netmon_canary") and sample.labels["listener"] == LISTEN
    }
    assert samples["netmon_canary_sent_total", "trap", None] == 4
    assert samples["netmon_canary_lost_total", "trap", None] == 1
    assert samples["netmon_canary_loss_ratio", "trap", None] == 0.25
    assert samples["netmon_canary_loss_ratio", "inform", None] == 0
    assert samples["netmon_canary_stored_latency_seconds_bucket", "trap", "0.001"] == 3
    assert ("netmon_canary_answered_latency_seconds_count", "inform", None) in samples
    assert ("netmon_canary_answered_latency_seconds_count", "trap", None) not in samples
