"""What carriers are held to, from the accounts of their lines' months."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.model import LineMonth
from netmon.active_probe.verdict.availability import ServiceLevel, by_carrier, by_line, service_level

JUNE = 30 * 24 * 60
"""Minutes."""


def account(line_id: str = "fibre-coast", **more: Any) -> LineMonth:
    """Of June 2026."""
    return LineMonth(line_id=line_id, month="2026-06", **more)


def test_a_month_with_two_failures() -> None:
    """Half an hour, and an hour and a half, of which 119 minutes lost more than a fifth."""
    level = service_level(
        [
            account(
                minutes=JUNE,
                minutes_unavailable=119,
                failures=2,
                down_s=7_200.0,
                degraded_s=110.0,
                sent=2_592_000,
                lost=7_776,
                rtt_sum_s=JUNE * 0.002,
                rtt_minutes=JUNE,
                rtt_p99_max_s=0.4,
            )
        ]
    )

    assert level == ServiceLevel(
        lines=1,
        minutes=JUNE,
        minutes_unavailable=119,
        minutes_unknown=0,
        availability=pytest.approx(1 - 119 / 43_200),
        failures=2,
        down_s=7_200.0,
        degraded_s=110.0,
        mttr_s=3_600.0,
        mtbf_s=(43_200 * 60 - 7_200) / 2,
        loss=0.003,
        rtt_mean_s=pytest.approx(0.002),
        rtt_p99_max_s=0.4,
    )


def test_a_month_without_a_failure() -> None:
    """Neither of the means can be told; the line was available all the time."""
    level = service_level([account(minutes=JUNE, sent=2_592_000)])

    assert (level.availability, level.mttr_s, level.mtbf_s, level.loss) == (1.0, None, None, 0.0)


def test_nothing_was_judged() -> None:
    """Minutes that are unknown are in no ratio."""
    level = service_level([account(minutes_unknown=JUNE)])

    assert (level.minutes_unknown, level.availability, level.loss, level.rtt_mean_s, level.rtt_p99_max_s) == (
        JUNE, None, None, None, None,
    )  # fmt: skip


def test_unknown_minutes_make_nothing_better_or_worse() -> None:
    """The same line, seen only half of the time."""
    whole = service_level([account(minutes=1_000, minutes_unavailable=10)])
    half = service_level([account(minutes=500, minutes_unavailable=5, minutes_unknown=500)])

    assert whole.availability == half.availability == 0.99


def test_a_line_that_was_down_all_month() -> None:
    """It did not fail in this month, and was restored in none."""
    level = service_level([account(minutes=JUNE, minutes_unavailable=JUNE, down_s=JUNE * 60.0, sent=9, lost=9)])

    assert (level.availability, level.failures, level.mttr_s, level.mtbf_s, level.loss) == (0.0, 0, None, None, 1.0)


def test_a_line_that_was_down_longer_than_it_was_judged() -> None:
    """It was up for no time, not for less than none."""
    assert service_level([account(minutes=1, failures=1, down_s=90.0)]).mtbf_s == 0.0


def test_a_line_that_was_added_in_the_middle() -> None:
    """It counts for as long as it was judged: among a carrier's lines, each minute counts the same."""
    carriers = {"old": "north-net", "new": "north-net"}
    accounts = [account("old", minutes=30_000, minutes_unavailable=300), account("new", minutes=10_000)]
    level = by_carrier(accounts, carriers)["north-net"]

    assert (level.lines, level.minutes, level.availability) == (2, 40_000, 0.9925)


def test_carriers_are_sorted_and_a_line_of_nobody_is_counted() -> None:
    """It was in the region when it was judged."""
    carriers = {"b": "west-net", "a": "east-net"}
    levels = by_carrier([account("b", failures=1, down_s=5.0), account("a"), account("gone", minutes=3)], carriers)

    assert [(carrier, level.lines, level.mttr_s) for carrier, level in levels.items()] == [
        ("", 1, None),
        ("east-net", 1, None),
        ("west-net", 1, 5.0),
    ]


def test_a_line_over_several_months() -> None:
    """Sums of its months, and it is one line."""
    months = [
        LineMonth(line_id="a", month=month, minutes=100, minutes_unavailable=bad)
        for month, bad in (("2026-05", 3), ("2026-06", 5))
    ]

    assert [(name, level.lines, level.availability) for name, level in by_line(months).items()] == [("a", 1, 0.96)]


def test_no_accounts() -> None:
    """Nothing is known of nothing."""
    assert (by_line([]), service_level([]).availability) == ({}, None)


ACCOUNTS = st.lists(
    st.builds(
        LineMonth,
        line_id=st.sampled_from("abc"),
        month=st.just("2026-06"),
        minutes=st.integers(0, JUNE),
        minutes_unknown=st.integers(0, JUNE),
        failures=st.integers(0, 9),
        down_s=st.floats(0, JUNE * 60.0),
    ),
    max_size=5,
)


@given(ACCOUNTS, ACCOUNTS)
def test_ratios_of_all_lie_between_those_of_parts(ones: list[LineMonth], others: list[LineMonth]) -> None:
    """A carrier is not better than its best line, nor worse than its worst."""
    both = service_level([*ones, *others])
    parts = [service_level(ones), service_level(others)]
    repairs = [part.mttr_s for part in parts if part.mttr_s is not None]

    assert both.minutes == sum(part.minutes for part in parts)
    assert (both.mttr_s is None) == (not repairs)
    if both.mttr_s is not None and not any(part.mttr_s is None and part.down_s for part in parts):
        assert min(repairs) <= both.mttr_s * (1 + 1e-9)
        assert both.mttr_s <= max(repairs) * (1 + 1e-9)
