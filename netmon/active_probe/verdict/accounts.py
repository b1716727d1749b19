"""The months' accounts as they grow: seconds in each state, and intervals of a minute by their loss (Y.1540 section 7).

Pure. An account says up to when it goes, so a verdict process that begins with what another one has written counts nothing twice, and
nothing that it has not seen: time in which nobody judged is in minutes that are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from msgspec.structs import replace

from netmon.active_probe.model import LineMonth, LineState, TargetReading, Vote

GAP_MAX_NS: Final = 90_000_000_000
"""Longer than that without a word, and nobody has judged: a minute, and a change of leaders."""
PACKETS_MIN: Final = 5
"""Of an interval; the loss of fewer says nothing, and the state counts. A line on standby is asked so rarely."""

_MINUTE_NS: Final = 60_000_000_000
_S_NS: Final = 1_000_000_000
_MONTHS_AT_ONCE_MAX: Final = 36
"""A clock that leaps further has been wrong before, or is now."""


class Minute(NamedTuple):
    """What one interval showed."""

    is_unavailable: bool
    sent: int
    lost: int
    rtt_p50_s: float | None
    rtt_p99_s: float | None


def month_of(unix_ns: int) -> str:
    """`YYYY-MM`, UTC."""
    return _date(unix_ns).strftime("%Y-%m")


def month_before(month: str, count: int) -> str:
    """The month that is so many before this one."""
    year, number = map(int, month.split("-"))
    at = year * 12 + number - 1 - count
    return f"{at // 12:04}-{at % 12 + 1:02}"


def minute_of(state: LineState, votes: Sequence[Vote], loss_unavailable: float) -> Minute | None:
    """What the windows of the vantages that can tell show of the last minute; None: nobody could.

    It is as good as the best of them, since the line has brought at least so much. But when it is down by the verdict, those that
    still say otherwise have been outvoted, and do not count.

    Args:
        state: The line's, by the verdict.
        votes: Of live vantages.
        loss_unavailable: c1 of Y.1540: with a greater loss, the minute is unavailable.
    """
    telling = [vote for vote in votes if vote.state != "unknown"]
    if state == "down":
        telling = [vote for vote in telling if vote.state == "down"]
    readings = [reading for vote in telling for reading in vote.targets if 0 <= reading.lost <= reading.sent > 0]
    if state == "unknown" or not readings:
        return None
    best = min(readings, key=_by_loss)
    bad = state == "down" if best.sent < PACKETS_MIN else best.loss > loss_unavailable
    return Minute(bad, best.sent, best.lost, best.rtt_p50_s, best.rtt_p99_s)


def _by_loss(reading: TargetReading) -> tuple[float, int]:
    return reading.loss, -reading.sent


class Accounts:
    """The accounts of all lines: the month at hand, and the one before while it is written."""

    def __init__(self, stored: Iterable[LineMonth]) -> None:
        """`stored`: of this month and the one before."""
        self._accounts: dict[str, dict[str, LineMonth]] = {}
        self._dirty: dict[tuple[str, str], LineMonth] = {}
        for account in stored:
            self._accounts.setdefault(account.line_id, {})[account.month] = account

    def advance(self, line_id: str, state: LineState, unix_ns: int, minute: Minute | None) -> None:
        """Brings a line's account up to now.

        Args:
            line_id: The line.
            state: In which it has been since the last call.
            unix_ns: Now.
            minute: What the last minute showed, for the case that one has ended since; None: it is unknown.
        """
        account = self._newest(line_id, unix_ns)
        gap = unix_ns - account.accounted_unix_ns
        if gap < -GAP_MAX_NS or gap > _MONTHS_AT_ONCE_MAX * 31 * 86_400 * _S_NS:
            # The clock was wrong, or is: go on from here.
            self._put(replace(self._of_month(line_id, unix_ns), accounted_unix_ns=unix_ns))
            return
        if gap > GAP_MAX_NS:
            state, minute = "unknown", None
        boundary = unix_ns // _MINUTE_NS * _MINUTE_NS
        while account.accounted_unix_ns < unix_ns:
            until = min(unix_ns, _end_of_month(account.accounted_unix_ns))
            is_its = account.accounted_unix_ns < boundary <= until
            account = _forward(account, state, until, minute if is_its else None)
            self._put(account)
            if until < unix_ns:
                account = replace(self._of_month(line_id, until), accounted_unix_ns=until)

    def has_ended(self, line_id: str, unix_ns: int) -> bool:
        """Whether a minute has ended since the line's account was last brought up, or there is none."""
        return self._newest(line_id, unix_ns).accounted_unix_ns // _MINUTE_NS != unix_ns // _MINUTE_NS

    def failed(self, line_id: str, unix_ns: int) -> None:
        """Counts that a line went down."""
        account = self._newest(line_id, unix_ns)
        self._put(replace(account, failures=account.failures + 1))

    def availability(self, line_id: str) -> float | None:
        """Share of the minutes of the month at hand that were available; None before one could be judged."""
        months = self._accounts.get(line_id)
        if not months:
            return None
        account = months[max(months)]
        return 1 - account.minutes_unavailable / account.minutes if account.minutes else None

    def take(self) -> list[LineMonth]:
        """What has changed since the last time."""
        dirty, self._dirty = self._dirty, {}
        return list(dirty.values())

    def touch_all(self) -> None:
        """Has all of them taken."""
        accounts = (account for months in self._accounts.values() for account in months.values())
        self._dirty = {(account.line_id, account.month): account for account in accounts}

    def _newest(self, line_id: str, unix_ns: int) -> LineMonth:
        months = self._accounts.get(line_id)
        if months is None:
            self._put(LineMonth(line_id=line_id, month=month_of(unix_ns), accounted_unix_ns=unix_ns))
            months = self._accounts[line_id]
        return months[max(months)]

    def _of_month(self, line_id: str, unix_ns: int) -> LineMonth:
        month = month_of(unix_ns)
        found = self._accounts.get(line_id, {}).get(month)
        return LineMonth(line_id=line_id, month=month) if found is None else found

    def _put(self, account: LineMonth) -> None:
        months = self._accounts.setdefault(account.line_id, {})
        months[account.month] = account
        self._dirty[account.line_id, account.month] = account
        oldest = month_before(month_of(account.accounted_unix_ns), 1)
        for month in [month for month in months if month < oldest or month > account.month]:
            del months[month]


def _forward(account: LineMonth, state: LineState, until_ns: int, minute: Minute | None) -> LineMonth:
    """The account up to a moment of the same month, or its end."""
    lasted_s = (until_ns - account.accounted_unix_ns) / _S_NS
    ended = until_ns // _MINUTE_NS - account.accounted_unix_ns // _MINUTE_NS
    judged = int(minute is not None)
    moved = replace(
        account,
        accounted_unix_ns=until_ns,
        down_s=account.down_s + (lasted_s if state == "down" else 0.0),
        degraded_s=account.degraded_s + (lasted_s if state == "degraded" else 0.0),
        minutes=account.minutes + judged,
        minutes_unknown=account.minutes_unknown + ended - judged,
    )
    if minute is None:
        return moved
    return replace(
        moved,
        minutes_unavailable=moved.minutes_unavailable + minute.is_unavailable,
        sent=moved.sent + minute.sent,
        lost=moved.lost + minute.lost,
        rtt_sum_s=moved.rtt_sum_s + (minute.rtt_p50_s or 0.0),
        rtt_minutes=moved.rtt_minutes + (minute.rtt_p50_s is not None),
        rtt_p99_max_s=max(moved.rtt_p99_max_s, minute.rtt_p99_s or 0.0),
    )


def _end_of_month(unix_ns: int) -> int:
    first = _date(unix_ns).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return int(following.timestamp()) * _S_NS


def _date(unix_ns: int) -> datetime:
    return datetime.fromtimestamp(unix_ns // _S_NS, UTC)
