"""The distance between the two clocks: followed while it creeps, noticed when it jumps."""

from __future__ import annotations

import pytest

from netmon.active_probe.vantage.clock import Clock

SECOND = 1_000_000_000
MILLI = 1_000_000
NOON = 1_767_268_800 * SECOND


class Times:
    """Both clocks, moved by hand; reading the monotonic one takes `cost_ns`, if it is told so."""

    def __init__(self) -> None:
        self.mono_ns = 5 * SECOND
        self.unix_ns = NOON
        self.costs_ns: list[int] = []

    def mono(self) -> int:
        """Each reading takes as long as the next of the costs says."""
        cost_ns = self.costs_ns.pop(0) if self.costs_ns else 0
        self.mono_ns += cost_ns
        self.unix_ns += cost_ns
        return self.mono_ns

    def unix(self) -> int:
        """The time of day."""
        return self.unix_ns

    def pass_s(self, seconds: float, *, slewed_ns: int = 0) -> None:
        """Time goes by; `slewed_ns` more of it on the clock that people set."""
        self.mono_ns += round(seconds * SECOND)
        self.unix_ns += round(seconds * SECOND) + slewed_ns


@pytest.fixture
def times() -> Times:
    """At noon."""
    return Times()


def test_moment_of_one_clock_is_a_moment_of_the_other(times: Times) -> None:
    """There and back."""
    clock = Clock(times.mono, times.unix)

    assert clock.mono_of(NOON + 7) == 5 * SECOND + 7
    assert clock.unix_of(5 * SECOND + 7) == NOON + 7


def test_clock_that_is_slewed_is_followed_without_a_step(times: Times) -> None:
    """adjtime: half a millisecond a second, for a minute."""
    clock = Clock(times.mono, times.unix)

    for _ in range(60):
        times.pass_s(1, slewed_ns=500_000)
        assert clock.adjust() is False

    assert clock.mono_of(times.unix_ns) == times.mono_ns
    assert clock.steps == 0


@pytest.mark.parametrize("step_ns", [3_600 * SECOND, -3_600 * SECOND, 3 * MILLI])
def test_clock_that_was_set_is_noticed_once(times: Times, step_ns: int) -> None:
    """By an hour, or by milliseconds; from then on the new distance counts."""
    clock = Clock(times.mono, times.unix)
    times.pass_s(0.001, slewed_ns=step_ns)

    assert clock.adjust() is True
    assert clock.adjust() is False
    assert clock.steps == 1
    assert clock.mono_of(times.unix_ns) == times.mono_ns


def test_reading_that_was_interrupted_is_taken_again(times: Times) -> None:
    """The process lost the processor between two readings: the narrowest of some tries counts."""
    clock = Clock(times.mono, times.unix)
    times.pass_s(1)
    times.costs_ns = [0, 40 * MILLI, 0, 30 * MILLI, 0, 10_000]

    assert clock.adjust() is False
    assert abs(clock.mono_of(times.unix_ns) - times.mono_ns) <= 5_000


def test_moment_that_was_told_is_told_the_same_again(times: Times) -> None:
    """A clock that is slewed a little does not move what lies behind; one that was set does."""
    clock = Clock(times.mono, times.unix)
    before = clock.told(5 * SECOND)
    times.pass_s(10, slewed_ns=5 * MILLI)
    clock.adjust()

    assert clock.told(5 * SECOND) == before
    times.pass_s(1, slewed_ns=SECOND)
    clock.adjust()
    assert clock.told(5 * SECOND) == before + SECOND + 5 * MILLI
