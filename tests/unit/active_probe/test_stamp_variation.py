"""Variation of delay, each way by itself, whatever the clocks of both ends say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.stamp.variation import STEP_NS, Variation

MILLI = 1_000_000
HOUR = 3_600_000_000_000


def noted(*delays: tuple[int, int]) -> Variation:
    """After these delays there and back, in milliseconds."""
    variation = Variation()
    for sequence, (forward, backward) in enumerate(delays):
        variation.note(sequence, forward * MILLI, backward * MILLI)
    return variation


def test_one_answer_says_nothing() -> None:
    """There is nothing to compare it with."""
    assert (noted().known, noted((5, 5)).known, noted((5, 5), (5, 5)).known) == (False, False, True)


def test_each_direction_has_its_own() -> None:
    """The way there trembles, the way back does not."""
    variation = noted((10, 20), (12, 20), (10, 20), (12, 20))

    assert variation.forward_s == pytest.approx(0.002)
    assert variation.backward_s == 0.0


def test_an_answer_that_comes_twice_counts_once() -> None:
    """Or duplicates would make a line look calm."""
    variation = Variation()
    for sequence, delay in ((1, 10), (2, 14), (2, 14), (2, 14)):
        variation.note(sequence, delay * MILLI, 0)

    assert variation.forward_s == pytest.approx(0.004)


def test_a_clock_that_is_set_is_no_variation() -> None:
    """Neither when it jumps nor afterwards."""
    variation = noted((10, 20), (12, 21))
    before = (variation.forward_s, variation.backward_s)
    variation.note(7, 12 * MILLI + HOUR, 21 * MILLI - HOUR)

    assert (variation.forward_s, variation.backward_s) == before
    variation.note(8, 14 * MILLI + HOUR, 22 * MILLI - HOUR)
    assert variation.forward_s == pytest.approx(0.002)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), min_size=2), st.integers(-(10**6), 10**6))
def test_what_one_clock_is_ahead_changes_nothing(delays: list[tuple[int, int]], ahead: int) -> None:
    """It lengthens one way by what it shortens the other; and no variation is above the largest difference."""
    right = noted(*delays)
    shifted = noted(*((forward + ahead, backward - ahead) for forward, backward in delays))
    largest_s = max(forward for forward, _ in delays) / 1e3

    assert (right.forward_s, right.backward_s) == (shifted.forward_s, shifted.backward_s)
    assert 0 <= right.forward_s <= largest_s + 1e-9
    assert STEP_NS > 3_000 * MILLI
