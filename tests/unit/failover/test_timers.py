"""Timers of a group, and the damping of its return."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.failover.model import Attempt, Damping, GroupState, Timers
from netmon.failover.protection import timers
from netmon.failover.protection.timers import damped_until_ns, hold_off_ns, is_damped, penalty, punished, retry_ns
from tests.unit.failover.groups import HOUR, NOON, SECOND, group

DAMPING = Damping()
MINUTE = 60 * SECOND


def state(**more: Any) -> GroupState:
    """A group on its working line."""
    return GroupState(**{"group_id": "gw-port/life", "on": "own", "since_unix_ns": NOON - HOUR, **more})


@pytest.mark.parametrize(("hold_off_s", "expected_ms"), [(0, 0), (0.04, 0), (0.06, 100), (2.0, 2_000), (11, 10_000)])
def test_hold_off_has_steps_of_100_ms(hold_off_s: float, expected_ms: int) -> None:
    """Up to ten seconds."""
    assert hold_off_ns(Timers(hold_off_s=hold_off_s)) == expected_ms * 1_000_000


@pytest.mark.parametrize(
    ("retry_s", "expected_s"), [(5.0, [5, 5, 10, 20, 40, 60, 60]), (90.0, [90, 90, 90, 90, 90, 90, 90])]
)
def test_rounds_come_less_and_less_often(retry_s: float, expected_s: list[int]) -> None:
    """Up to a minute, or what was configured; a thousand of them do not overflow."""
    waits = [retry_ns(Timers(retry_s=retry_s), rounds) // SECOND for rounds in range(7)]
    assert waits == expected_s
    assert retry_ns(Timers(retry_s=retry_s), 1_000) // SECOND == expected_s[-1]


def test_a_penalty_is_halved_with_each_half_life() -> None:
    """And is what it is as long as no time has passed, also on a clock that went back."""
    punished_once = punished(DAMPING, state(), NOON)
    ages = (-HOUR, 0, 15 * MINUTE, 30 * MINUTE)
    assert [penalty(DAMPING, punished_once, NOON + age) for age in ages] == [1_000.0, 1_000.0, 500.0, 250.0]
    assert penalty(DAMPING, state(), NOON) == 0.0


def test_from_the_third_failure_on_the_return_is_suppressed() -> None:
    """In one go; until the penalty has decayed to 750, which is two half-lives."""
    now = state()
    for expected in (False, False, True):
        now = punished(DAMPING, now, NOON)
        assert is_damped(DAMPING, now, NOON) is expected
    until_ns = damped_until_ns(DAMPING, now)
    assert until_ns == NOON + 30 * MINUTE
    assert is_damped(DAMPING, now, until_ns - 1)
    assert not is_damped(DAMPING, now, until_ns)


def test_suppression_lasts_an_hour_at_most() -> None:
    """After the last failure, however many there were."""
    now = state()
    for _ in range(1_000):
        now = punished(DAMPING, now, NOON)
    assert now.penalty == 12_000.0
    assert damped_until_ns(DAMPING, now) == NOON + HOUR


def test_a_failure_long_after_begins_anew() -> None:
    """What was suppressed once is not suppressed by the next failure alone."""
    now = state()
    for _ in range(3):
        now = punished(DAMPING, now, NOON)
    later = punished(DAMPING, now, NOON + 24 * HOUR)
    assert later.suppressed_unix_ns == 0
    assert damped_until_ns(DAMPING, later) == 0


def test_a_lower_reuse_than_the_penalty_is_needed_to_suppress() -> None:
    """A configuration that is changed may leave a penalty that is below it: it is over."""
    left = state(penalty=500.0, penalty_unix_ns=NOON, suppressed_unix_ns=NOON)
    assert not is_damped(DAMPING, left, NOON)


@given(st.lists(st.integers(0, 4 * 3_600), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_damping_always_ends(gaps_s: list[int]) -> None:
    """Within `suppress_max_s` of the last failure, and never below zero."""
    now, now_ns = state(), NOON
    for gap_s in gaps_s:
        now_ns += gap_s * SECOND
        now = punished(DAMPING, now, now_ns)
        assert 1_000.0 <= now.penalty <= timers.penalty_max(DAMPING)
    assert not is_damped(DAMPING, now, now_ns + HOUR)
    assert penalty(DAMPING, now, now_ns + HOUR) <= DAMPING.reuse + 1e-6


def test_a_clock_that_has_not_gone_back_changes_nothing() -> None:
    """The same object comes back, whatever runs."""
    attempt = Attempt(
        generation=1, to="near", reason="signal_fail", began_unix_ns=NOON, stage="ordered", due_unix_ns=NOON + SECOND
    )
    running = state(phase="WTR", due_unix_ns=NOON + 300 * SECOND, guard_until_unix_ns=NOON + 1, attempt=attempt)
    assert timers.in_time(group(), running, NOON) is running


def test_after_a_clock_went_back_what_runs_is_as_long_as_it_was() -> None:
    """Counted from now."""
    attempt = Attempt(
        generation=1, to="near", reason="signal_fail", began_unix_ns=NOON, stage="ordered", due_unix_ns=NOON + SECOND
    )
    running = state(
        phase="WTR",
        since_unix_ns=NOON,
        due_unix_ns=NOON + 300 * SECOND,
        guard_until_unix_ns=NOON + SECOND // 2,
        penalty=1_000.0,
        penalty_unix_ns=NOON,
        suppressed_unix_ns=NOON,
        rival="near",
        rival_unix_ns=NOON,
        attempt=attempt,
    )
    now_ns = NOON - HOUR
    expected = msgspec.structs.replace(
        running,
        since_unix_ns=now_ns,
        due_unix_ns=now_ns + 300 * SECOND,
        guard_until_unix_ns=now_ns + SECOND // 2,
        penalty_unix_ns=now_ns,
        suppressed_unix_ns=now_ns,
        rival_unix_ns=now_ns,
        attempt=msgspec.structs.replace(attempt, began_unix_ns=now_ns, due_unix_ns=now_ns + SECOND),
    )
    assert timers.in_time(group(), running, now_ns) == expected


@pytest.mark.parametrize(("stage", "longest_s"), [("ordered", 2), ("applied", 2), ("proposed", 120), ("refused", 60)])
def test_an_attempt_is_waited_for_as_long_as_its_stage_allows(stage: Any, longest_s: int) -> None:
    """Even if another version, or another clock, has written that it may take a year."""
    attempt = Attempt(
        generation=1, to="near", reason="forced", began_unix_ns=0, stage=stage, due_unix_ns=NOON + 9_000 * HOUR
    )
    checked = timers.in_time(group(), state(attempt=attempt), NOON).attempt
    assert checked is not None
    assert checked.due_unix_ns == NOON + longest_s * SECOND


@pytest.mark.parametrize(
    ("phase", "longest_s"), [("SF_PENDING", 2), ("WTR", 3_600), ("LO", 4 * 3_600), ("NO_BACKUP", 60), ("FS", 60)]
)
def test_no_phase_waits_for_longer_than_its_timer(phase: Any, longest_s: int) -> None:
    """The same for its own timer."""
    waits = state(phase=phase, due_unix_ns=NOON + 9_000 * HOUR)
    checked = timers.in_time(group(timers=Timers(hold_off_s=2.0)), waits, NOON)
    assert checked.due_unix_ns == NOON + longest_s * SECOND
