"""The shapes of a storm and the arithmetic of pacing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.profile import Pace, Profile, Shape, area, for_count, level, pace

SHAPES: tuple[Shape, ...] = ("step", "ramp", "earthquake")
STEP = Profile(shape="step", rate=1_000.0, duration_s=10.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_area_is_the_integral_of_the_level(shape: Shape) -> None:
    """Checked against a sum of 10,000 small steps."""
    steps = 10_000
    total = sum(level(shape, (i + 0.5) / steps) for i in range(steps)) / steps
    assert total == pytest.approx(area(shape, 1.0), rel=1e-3)


@given(st.sampled_from(SHAPES), st.floats(0.5, 1e6), st.integers(1, 10**7))
def test_a_profile_for_a_count_sends_exactly_that_count(shape: Shape, rate: float, count: int) -> None:
    """Whatever its shape and rate."""
    profile = for_count(shape, rate, count)
    assert profile.total == count
    assert profile.due(profile.duration_s) == count


@given(st.sampled_from(SHAPES), st.lists(st.floats(0, 12), min_size=2).map(sorted))
def test_what_is_due_never_falls_and_never_exceeds_the_total(shape: Shape, moments: list[float]) -> None:
    """Time only adds."""
    profile = Profile(shape=shape, rate=1_000.0, duration_s=10.0)
    due = [profile.due(moment) for moment in moments]
    assert due == sorted(due)
    assert due[-1] <= profile.total


def test_the_earthquake_is_quiet_then_at_its_peak_then_decays_with_after_shocks() -> None:
    """The documented shape."""
    assert level("earthquake", 0.05) == 0.01
    assert level("earthquake", 0.1) == 1.0
    assert level("earthquake", 0.399) < 0.1
    assert level("earthquake", 0.4) > 0.5
    assert max(level("earthquake", i / 1_000) for i in range(1_001)) == 1.0


def test_what_is_due_is_sent_at_once_up_to_a_batch() -> None:
    """At 1,000/s, 50 ms are 50 traps."""
    assert pace(STEP, elapsed_s=0.05, sent=0, batch_max=128) == Pace(50, 0.0)
    assert pace(STEP, elapsed_s=0.05, sent=20, batch_max=16) == Pace(16, 0.0)


def test_nothing_is_sent_before_it_is_due() -> None:
    """Also when more was sent than the schedule says."""
    assert pace(STEP, elapsed_s=0.05, sent=50, batch_max=128) == Pace(0, 0.0)
    assert pace(STEP, elapsed_s=0.05, sent=60, batch_max=128) == Pace(0, 0.0)


def test_a_sender_that_is_a_little_late_catches_up() -> None:
    """Up to a tenth of a second of the rate."""
    assert pace(STEP, elapsed_s=5.0, sent=4_901, batch_max=128) == Pace(99, 0.0)


def test_a_sender_that_is_very_late_moves_its_schedule_instead_of_bursting() -> None:
    """Three seconds behind: the schedule slips by three seconds, all but the trap that is just due."""
    step = pace(STEP, elapsed_s=5.0, sent=2_000, batch_max=128)
    assert step.send == 128
    assert step.slip_s == pytest.approx(3.0, abs=0.002)


def test_the_last_trap_is_due_at_the_end_and_none_after() -> None:
    """The sum is exact."""
    assert pace(STEP, elapsed_s=10.0, sent=9_999, batch_max=128) == Pace(1, 0.0)
    assert pace(STEP, elapsed_s=60.0, sent=10_000, batch_max=128) == Pace(0, 0.0)
