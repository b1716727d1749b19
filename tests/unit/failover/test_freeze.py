"""When most lines fail while most observers are blind, nothing moves; when the observers see, it is a disaster."""

from __future__ import annotations

import pytest

from netmon.failover.model import Freeze
from netmon.failover.protection.freeze import BY, Guard
from tests.unit.failover.samples import at, line

LIVE = (2, 4)
BLIND = (1, 4)


def region(*, areas: int = 2, lines: int = 10) -> Guard:
    """Ten lines, up, in turn in each of the areas; four vantages, all live."""
    guard = Guard([line(str(number), area_ids=(f"area{number % areas}",)) for number in range(lines)])
    for number in range(lines):
        guard.see_line(str(number), known=True, failed=False, since_unix_ns=at(-3600))
    guard.see_vantages(4, 4, at(-3600))
    return guard


def fail(guard: Guard, *numbers: int, since_s: float = 0) -> None:
    """These lines go down."""
    for number in numbers:
        guard.see_line(str(number), known=True, failed=True, since_unix_ns=at(since_s))


def blinded(guard: Guard) -> bool:
    """Whether it freezes when most vantages are lost as well."""
    guard.see_vantages(*BLIND, at(1))
    return guard.step(at(1)) is not None


def test_six_of_ten_lines_and_three_of_four_vantages_freeze_the_region() -> None:
    """And it says why."""
    guard = region()
    fail(guard, *range(6))

    guard.see_vantages(*BLIND, at(1))

    why = "6 of 10 lines in 2 areas failed within 30 s, while 1 of 4 vantages are live"
    assert guard.step(at(1)) == Freeze(by=BY, why=why, unix_ns=at(1))
    assert guard.freeze == guard.step(at(2))


def test_a_disaster_that_the_vantages_see_freezes_nothing() -> None:
    """All lines of the region, and half of the vantages say so."""
    guard = region()
    fail(guard, *range(10))

    guard.see_vantages(*LIVE, at(1))

    assert guard.step(at(1)) is None


@pytest.mark.parametrize("numbers", [range(5), (0, 2, 4, 6, 8)])
def test_half_of_the_lines_is_not_most_of_them(numbers: range | tuple[int, ...]) -> None:
    """Five of ten."""
    guard = region()
    fail(guard, *numbers)

    assert not blinded(guard)


def test_one_area_that_fails_is_a_disaster_there() -> None:
    """Six of ten lines, all in one area of two."""
    guard = Guard([line(str(number), area_ids=("a" if number < 6 else "b",)) for number in range(10)])
    for number in range(10):
        guard.see_line(str(number), known=True, failed=number < 6, since_unix_ns=at(0))

    assert not blinded(guard)


def test_a_region_of_one_area_has_no_other_one() -> None:
    """There the areas cannot tell."""
    guard = region(areas=1)
    fail(guard, *range(6))

    assert blinded(guard)


def test_failures_of_more_than_half_a_minute_ago_do_not_count() -> None:
    """Also those that a new leader reads of."""
    guard = region()
    fail(guard, *range(6), since_s=-29.1)

    assert not blinded(guard)


def test_lines_of_which_nothing_was_ever_known_do_not_count() -> None:
    """Forty lines without probes do not hide that six of ten have failed."""
    guard = Guard([line(str(number), area_ids=(f"area{number % 2}",)) for number in range(50)])
    for number in range(10):
        guard.see_line(str(number), known=True, failed=False, since_unix_ns=at(-3600))
    fail(guard, *range(6))

    assert blinded(guard)


def test_it_ends_when_half_of_the_vantages_were_live_for_a_minute() -> None:
    """And what has failed before freezes nothing again; a relapse begins the minute anew."""
    guard = region()
    fail(guard, *range(6))
    assert blinded(guard)
    assert guard.due_ns(at(1)) == 0

    guard.see_vantages(*LIVE, at(10))
    guard.see_vantages(*BLIND, at(40))
    guard.see_vantages(*LIVE, at(41))
    guard.see_vantages(3, 4, at(70))

    assert guard.step(at(100)) is not None
    assert guard.due_ns(at(100)) == at(101)
    assert guard.step(at(101)) is None
    guard.see_vantages(*BLIND, at(102))
    assert guard.step(at(102)) is None


def test_an_operator_lifts_it_and_it_stays_lifted() -> None:
    """The same failures are no reason any more; new ones are."""
    guard = region()
    fail(guard, *range(6))
    assert blinded(guard)

    guard.lift()
    fail(guard, *range(6))
    assert guard.step(at(2)) is None

    for number in range(6):
        guard.see_line(str(number), known=True, failed=False, since_unix_ns=at(3))
    fail(guard, *range(6), since_s=4)
    assert guard.step(at(4)) is not None


def test_a_flapping_line_counts_once() -> None:
    """One line that fails six times is not six lines."""
    guard = region()
    for second in range(6):
        guard.see_line("0", known=True, failed=False, since_unix_ns=at(second - 6))
        fail(guard, 0, since_s=second - 6)

    assert not blinded(guard)
