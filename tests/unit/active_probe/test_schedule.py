"""Turns: evenly spread, in order, each once, and back on their grid after anything."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.vantage.schedule import (
    BUNDLE_LEAST,
    BUNDLE_NS,
    GRID_MAX_NS,
    Wheel,
    bundle_max,
    grid_of,
    next_turn,
    on_grid,
    phases,
)

SECOND = 1_000_000_000
TIMES = st.integers(0, 100 * SECOND)


@given(st.lists(TIMES), TIMES)
def test_wheel_gives_what_is_due_in_order_and_keeps_the_rest(times: list[int], now_ns: int) -> None:
    """Each item once, none before its time, none more than a bundle after it."""
    wheel: Wheel[int] = Wheel()
    for time_ns in times:
        wheel.add(time_ns, time_ns)

    taken = []
    while (bundle := wheel.take(now_ns)) is not None:
        taken.append(bundle)

    given_items = [item for _, items in taken for item in items]
    assert sorted(given_items) == sorted(item for item in times if -(-item // BUNDLE_NS) * BUNDLE_NS <= now_ns)
    assert [due for due, _ in taken] == sorted({due for due, _ in taken})
    assert all(0 <= due - item < BUNDLE_NS for due, items in taken for item in items)


def test_wheel_tells_when_it_is_next_needed() -> None:
    """The first bundle, whatever was put in last; None when it is empty."""
    wheel: Wheel[str] = Wheel()
    assert wheel.next_ns() is None
    wheel.add(3 * BUNDLE_NS, "later")
    wheel.add(BUNDLE_NS + 1, "sooner")

    assert wheel.next_ns() == 2 * BUNDLE_NS
    assert wheel.take(2 * BUNDLE_NS) == (2 * BUNDLE_NS, ["sooner"])
    assert wheel.take(2 * BUNDLE_NS) is None
    assert wheel.next_ns() == 3 * BUNDLE_NS


def test_phases_give_no_millisecond_more_than_its_share() -> None:
    """10,000 lines at 1 Hz: 10 in each millisecond, where drawn phases would have up to 25."""
    places = phases([f"line-{number}" for number in range(10_000)], SECOND)

    assert set(Counter(place // BUNDLE_NS for place in places.values()).values()) == {10}


def test_phases_stay_where_they_are_and_mix_neighbours() -> None:
    """The order of the list does not matter, and its neighbours are no neighbours in time."""
    names = [f"line-{number}" for number in range(100)]

    places = phases(names, SECOND)

    assert phases(reversed(names), SECOND) == places
    apart = [abs(places[one] - places[other]) for one, other in itertools.pairwise(names)]
    assert sum(apart) / len(apart) > SECOND / 5


@given(TIMES, st.integers(BUNDLE_NS, 30 * SECOND), TIMES)
def test_next_turn_is_the_first_on_the_grid(phase_ns: int, period_ns: int, after_ns: int) -> None:
    """Later than now, by a period at most, and a whole number of periods from the phase."""
    turn_ns = next_turn(phase_ns, period_ns, after_ns)

    assert after_ns < turn_ns <= after_ns + period_ns
    assert (turn_ns - phase_ns) % period_ns == 0


def test_bundle_is_twice_the_mean_and_never_less_than_a_few() -> None:
    """At 10,000 a second 20 in a millisecond, 60 after three of them, and 160 after eight, or after a second."""
    assert bundle_max(0, SECOND) == BUNDLE_LEAST
    assert [bundle_max(10_000, elapsed_ns) for elapsed_ns in (0, BUNDLE_NS, 3 * BUNDLE_NS, SECOND)] == [20, 20, 60, 160]


def test_slow_turns_share_wakes_as_long_as_bundles_stay_small() -> None:
    """1,000 a second: four in a wake; 10,000: one wake a millisecond; what is fast is never rounded."""
    grids = [grid_of(SECOND, rate) // BUNDLE_NS for rate in (0, 100, 1_000, 5_000, 10_000)]

    assert grids == [1, 4, 4, 3, 1]
    assert grid_of(SECOND // 20, 1_000) == BUNDLE_NS


def test_phases_on_a_grid_keep_their_share() -> None:
    """1,000 lines at 1 Hz on a grid of 4 ms: 4 in each."""
    places = phases([f"line-{number}" for number in range(1_000)], SECOND, GRID_MAX_NS)

    assert set(Counter(places.values()).values()) == {4}
    assert all(place % GRID_MAX_NS == 0 for place in places.values())


@given(TIMES, st.integers(1, 10 * SECOND))
def test_wait_is_never_shorter_and_little_longer(now_ns: int, wait_ns: int) -> None:
    """By 1 % at most."""
    waited_ns = on_grid(now_ns, wait_ns) - now_ns

    assert wait_ns <= waited_ns <= wait_ns * 1.01
