"""What is remembered of raises and clears tells the same, in whatever order they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.lifecycle import marks as remembered
from netmon.alarms.lifecycle.marks import MARKS_MIN, Marks

MARK = st.integers(1, 60).flatmap(lambda time: st.sampled_from([time, -time]))


def marks_of(*said: int) -> Marks:
    """Marks in which these were inserted, one after the other."""
    marks: Marks = []
    for mark in said:
        remembered.insert(marks, mark, MARKS_MIN)
    return marks


@pytest.mark.parametrize(
    ("said", "marks"),
    [
        ([1, -2, 3], [1, -2, 3]),
        ([3, -2, 1], [1, -2, 3]),
        ([1, 2, 3, 4], [1, 4]),
        ([-1, -2, -3], [-1, -3]),
        ([4, 1, 2], [1, 4]),
        ([1, 4, -2], [1, -2, 4]),
        ([5, 5, -5], [-5, 5]),
    ],
)
def test_marks_are_sorted_and_rows_have_two_ends(said: list[int], marks: list[int]) -> None:
    """At the same time a raise is the later one."""
    assert marks_of(*said) == marks


def test_the_oldest_are_forgotten() -> None:
    """However many there are."""
    marks = marks_of(*(time if time % 2 else -time for time in range(1, 101)))

    assert marks == [time if time % 2 else -time for time in range(101 - MARKS_MIN, 101)]


def test_times_of_state() -> None:
    """When the present state began, and when each kind was said last."""
    marks = marks_of(1, 3, -5, -7, 8, 9)

    assert (remembered.newest(marks, raised=True), remembered.newest(marks, raised=False)) == (9, 7)
    assert (remembered.since(marks, raised=True), remembered.since(marks, raised=False)) == (8, 5)
    assert remembered.last_toggle(marks) == 8
    assert remembered.since(marks_of(4), raised=False) == 0


@pytest.mark.parametrize(
    ("said", "fast"),
    [
        ([1, -2, 3, -4, 5], True),
        ([1, -2, 3, -4], False),
        ([1, 2, 3, 4, 5], False),
        ([1, -2, 30, -40, 62], False),
        ([1, -2, 30, -40, 61], True),
    ],
)
def test_three_raises_in_a_window_are_fast(said: list[int], fast: bool) -> None:
    """Each of them after a clear; the first and the third may be 60 apart."""
    assert remembered.toggles_fast(marks_of(*said), 3, 60, 0) == fast


def test_what_was_fast_long_ago_does_not_count() -> None:
    """So that an old backlog does not make alarms flap today."""
    assert not remembered.toggles_fast(marks_of(1, -2, 3, -4, 5), 3, 60, 6)


def test_the_newest_rows_remain_when_toggles_are_forgotten() -> None:
    """They tell when the alarm was raised and cleared last."""
    marks = marks_of(1, -2, 3, -4, 5, 6, -7, -9)
    remembered.forget_toggles(marks)

    assert marks == [5, 6, -7, -9]


def test_nothing_is_in_the_future() -> None:
    """What a wrong clock put there has happened now; the newest still is the newest."""
    marks = marks_of(1, -50, 60)
    remembered.end_by(marks, 40)

    assert marks == [1, 40]


@given(st.lists(MARK, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(said: list[int], chance: object) -> None:
    """The newest raise, the newest clear and so the state are the same for any order."""
    shuffled = list(said)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = marks_of(*said), marks_of(*shuffled)

    assert one[-1] == other[-1] == max(said, key=lambda mark: (abs(mark), mark > 0))
    for raised in (True, False):
        assert remembered.newest(one, raised=raised) == remembered.newest(other, raised=raised)


@given(st.lists(MARK, min_size=1, max_size=40))
def test_no_row_has_more_than_two(said: list[int]) -> None:
    """And all are sorted."""
    marks = marks_of(*said)
    signs = [mark > 0 for mark in marks]

    assert not any(one == two == three for one, two, three in zip(signs, signs[1:], signs[2:], strict=False))
    assert marks == sorted(marks, key=lambda mark: (abs(mark), mark > 0))
