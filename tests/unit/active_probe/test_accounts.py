"""The months' accounts: seconds and minutes, at the end of a month, after a restart, and when the clock is set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.model import LineMonth, LineState, TargetReading, Vote
from netmon.active_probe.verdict.accounts import Accounts, Minute, minute_of, month_before, month_of

S: Final = 1_000_000_000
MINUTE: Final = 60 * S
GOOD: Final = Minute(is_unavailable=False, sent=60, lost=0, rtt_p50_s=0.01, rtt_p99_s=0.02)
BAD: Final = Minute(is_unavailable=True, sent=60, lost=60, rtt_p50_s=None, rtt_p99_s=None)


def at(text: str) -> int:
    """Nanoseconds since 1970 of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


def months(accounts: Accounts) -> dict[str, LineMonth]:
    """What was written of line a, by month."""
    return {account.month: account for account in accounts.take()}


def test_seconds_and_minutes() -> None:
    """Up for a minute and a half, down for half a minute, up again."""
    accounts = Accounts(())
    start = at("2026-11-10T12:00:00")
    accounts.advance("a", "up", start, None)
    accounts.advance("a", "up", start + MINUTE, GOOD)
    accounts.advance("a", "up", start + 90 * S, None)
    accounts.advance("a", "down", start + 2 * MINUTE, BAD)
    accounts.advance("a", "up", start + 3 * MINUTE, GOOD)
    (account,) = accounts.take()
    assert account == LineMonth(
        line_id="a",
        month="2026-11",
        minutes=3,
        minutes_unavailable=1,
        down_s=30.0,
        sent=180,
        lost=60,
        rtt_sum_s=0.02,
        rtt_minutes=2,
        rtt_p99_max_s=0.02,
        accounted_unix_ns=start + 3 * MINUTE,
    )
    assert accounts.availability("a") == pytest.approx(2 / 3)


def test_the_same_moment_twice_counts_once() -> None:
    """A process that begins with what stands, and does the same again."""
    start = at("2026-11-10T12:00:00")
    accounts = Accounts(())
    accounts.advance("a", "down", start, None)
    accounts.advance("a", "down", start + MINUTE, BAD)
    (before,) = accounts.take()
    again = Accounts([before])
    again.advance("a", "down", start + MINUTE, BAD)
    assert again.take() == []
    again.advance("a", "down", start + MINUTE + S, BAD)
    (after,) = again.take()
    assert (after.minutes, after.down_s) == (1, 61.0)


def test_the_end_of_a_month() -> None:
    """The minute before midnight belongs to the month that ends, and so do its seconds."""
    accounts = Accounts(())
    accounts.advance("a", "down", at("2026-12-31T23:59:30"), None)
    accounts.advance("a", "down", at("2027-01-01T00:00:10"), BAD)
    found = months(accounts)
    assert {month: (account.minutes, account.down_s) for month, account in found.items()} == {
        "2026-12": (1, 30.0),
        "2027-01": (0, 10.0),
    }
    assert accounts.availability("a") is None


def test_time_in_which_nobody_judged_is_unknown() -> None:
    """An hour without a verdict process: no seconds of any state, and sixty minutes that nobody knows."""
    start = at("2026-11-10T12:00:00")
    accounts = Accounts([LineMonth(line_id="a", month="2026-11", accounted_unix_ns=start)])
    accounts.advance("a", "down", start + 60 * MINUTE, BAD)
    (account,) = accounts.take()
    assert (account.minutes, account.minutes_unknown, account.down_s) == (0, 60, 0.0)


def test_a_change_of_leaders_costs_nothing() -> None:
    """Some seconds in which nobody led: the state stood meanwhile."""
    start = at("2026-11-10T12:00:50")
    accounts = Accounts([LineMonth(line_id="a", month="2026-11", accounted_unix_ns=start)])
    accounts.advance("a", "down", start + 15 * S, BAD)
    (account,) = accounts.take()
    assert (account.minutes, account.minutes_unknown, account.down_s) == (1, 0, 15.0)


@pytest.mark.parametrize("leap_s", [-60, -86_400 * 40, 86_400 * 365 * 50])
def test_a_clock_that_is_set(leap_s: int) -> None:
    """Back a little: it is waited for. Far away: the account goes on there, and counts nothing in between."""
    start = at("2026-11-10T12:00:30")
    accounts = Accounts(())
    accounts.advance("a", "down", start, None)
    accounts.advance("a", "down", start + leap_s * S, None)
    accounts.advance("a", "down", start + leap_s * S + 10 * S, None)
    expected = 0.0 if leap_s == -60 else 10.0
    assert sum(account.down_s for account in accounts.take()) == expected


def test_a_minute_is_as_good_as_the_best_of_those_who_can_tell() -> None:
    """Two places, three targets; and one that cannot tell."""
    votes = [
        vote("v1", "up", [TargetReading(label="x", state="down", sent=60, lost=60)]),
        vote("v2", "up", [TargetReading(label="x", state="up", sent=60, lost=6, rtt_p50_s=0.5, rtt_p99_s=0.9)]),
        vote("v3", "unknown", [TargetReading(label="x", state="unknown", sent=60, lost=0)]),
    ]
    assert minute_of("up", votes, 0.2) == Minute(is_unavailable=False, sent=60, lost=6, rtt_p50_s=0.5, rtt_p99_s=0.9)


def test_who_was_outvoted_does_not_count() -> None:
    """Two say down, one says up: the minute is theirs."""
    readings = {"v1": 60, "v2": 58, "v3": 0}
    votes = [
        vote(name, "down" if lost else "up", [TargetReading(label="x", state="up", sent=60, lost=lost)])
        for name, lost in readings.items()
    ]
    minute = minute_of("down", votes, 0.2)
    assert minute is not None
    assert (minute.is_unavailable, minute.lost) == (True, 58)


@pytest.mark.parametrize(("lost", "expected"), [(0, False), (12, False), (13, True), (60, True)])
def test_the_threshold_of_unavailability(lost: int, expected: bool) -> None:
    """More than a fifth (Y.1540)."""
    votes = [vote("v1", "up", [TargetReading(label="x", state="up", sent=60, lost=lost)])]
    minute = minute_of("up", votes, 0.2)
    assert minute is not None
    assert minute.is_unavailable == expected


def test_few_packets_say_nothing_by_themselves() -> None:
    """A line on standby: one of two lost, and it is up."""
    votes = [vote("v1", "up", [TargetReading(label="x", state="up", sent=2, lost=1)])]
    minute = minute_of("up", votes, 0.2)
    assert minute is not None
    assert not minute.is_unavailable


@pytest.mark.parametrize(
    "votes",
    [
        [],
        [("v1", 0, 0)],
        [("v1", -1, -1)],
        [("v1", 5, 9)],
    ],
)
def test_nothing_that_could_tell(votes: list[tuple[str, int, int]]) -> None:
    """No vote, nothing sent, or numbers that cannot be: the minute is unknown."""
    made = [vote(name, "up", [TargetReading(label="x", state="up", sent=s, lost=n)]) for name, s, n in votes]
    assert minute_of("up", made, 0.2) is None


def test_months() -> None:
    """UTC, and back over the turn of the year."""
    assert month_of(at("2026-11-30T23:59:59")) == "2026-11"
    assert month_before("2026-11", 1) == "2026-10"
    assert month_before("2026-01", 1) == "2025-12"
    assert month_before("2026-11", 24) == "2024-11"


@given(st.lists(st.tuples(st.sampled_from(("up", "degraded", "down")), st.integers(1, 89)), max_size=60))
def test_no_second_and_no_minute_is_lost_or_counted_twice(steps: list[tuple[LineState, int]]) -> None:
    """However it is cut into pieces, and whoever goes on with it: the sums are those of the whole."""
    now = start = at("2026-11-30T23:40:00")
    accounts = Accounts(())
    accounts.advance("a", "up", now, None)
    written: dict[str, LineMonth] = {}
    for state, seconds in steps:
        now += seconds * S
        accounts.advance("a", state, now, GOOD)
        written |= months(accounts)
        accounts = Accounts(written.values())
    total = sum(account.minutes + account.minutes_unknown for account in written.values())
    assert total == (now // MINUTE - start // MINUTE if steps else 0)
    for state in ("down", "degraded"):
        expected = sum(seconds for each, seconds in steps if each == state)
        assert sum(getattr(account, f"{state}_s") for account in written.values()) == pytest.approx(expected)


def vote(name: str, state: LineState, readings: list[TargetReading]) -> Vote:
    """Of a vantage, about line a."""
    return Vote(line_id="a", vantage_id=name, state=state, since_unix_ns=1, unix_ns=1, targets=tuple(readings))
