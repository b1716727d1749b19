"""What carriers are held to: availability by ITU-T Y.1540, mean time to restore, mean time between failures.

Pure. All of it follows from the accounts of months that the verdict process keeps (`LineMonth`). Their months and minutes are those of
UTC, whatever the region's clock: a report is then the same wherever it is made. In Japan such a month begins on the first at 09:00.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from netmon.active_probe.model import LineMonth


class ServiceLevel(msgspec.Struct, frozen=True, kw_only=True):
    """What the report says of a line's month, of a carrier, or of any accounts together. None: it cannot be told."""

    lines: int
    minutes: int
    """That were judged: a line that was added in the middle of a month has fewer."""
    minutes_unavailable: int
    minutes_unknown: int
    """That nobody could judge; they are in no figure."""
    availability: float | None
    """Share of the judged minutes that were available (Y.1540 section 7). None: none was judged."""
    failures: int
    """Times that a line went down. One that was down already when the month began is not among them, though the time is in `down_s`."""
    down_s: float
    degraded_s: float
    mttr_s: float | None
    """Mean time to restore: time down by failures. None: there was no failure."""
    mtbf_s: float | None
    """Mean time between failures: time up (judged, and not down) by failures. None: there was no failure."""
    loss: float | None
    """Share of all probes."""
    rtt_mean_s: float | None
    """Mean of the minutes' medians."""
    rtt_p99_max_s: float | None
    """The worst minute's 99th percentile."""


def service_level(accounts: Iterable[LineMonth]) -> ServiceLevel:
    """Sum accounts up: one for a line's month, several for a carrier's, or for a year.

    Ratios are of the sums, not means of ratios: each minute of each line counts the same, and so does each failure.
    """
    several = list(accounts)
    minutes = sum(account.minutes for account in several)
    unavailable = sum(account.minutes_unavailable for account in several)
    failures = sum(account.failures for account in several)
    down_s = sum(account.down_s for account in several)
    rtt_minutes = sum(account.rtt_minutes for account in several)
    return ServiceLevel(
        lines=len({account.line_id for account in several}),
        minutes=minutes,
        minutes_unavailable=unavailable,
        minutes_unknown=sum(account.minutes_unknown for account in several),
        availability=_ratio(minutes - unavailable, minutes),
        failures=failures,
        down_s=down_s,
        degraded_s=sum(account.degraded_s for account in several),
        mttr_s=_ratio(down_s, failures),
        mtbf_s=_ratio(max(minutes * 60 - down_s, 0.0), failures),
        loss=_ratio(sum(account.lost for account in several), sum(account.sent for account in several)),
        rtt_mean_s=_ratio(sum(account.rtt_sum_s for account in several), rtt_minutes),
        rtt_p99_max_s=max(account.rtt_p99_max_s for account in several) if rtt_minutes else None,
    )


def by_line(accounts: Iterable[LineMonth]) -> dict[str, ServiceLevel]:
    """Of each line, sorted by its ID."""
    return _grouped((account.line_id, account) for account in accounts)


def by_carrier(accounts: Iterable[LineMonth], carriers: Mapping[str, str]) -> dict[str, ServiceLevel]:
    """Of each carrier, sorted by its ID.

    Args:
        accounts: Of any lines.
        carriers: Line ID to carrier ID. A line that is missing here, since the region knows it no more, is counted under "".
    """
    return _grouped((carriers.get(account.line_id, ""), account) for account in accounts)


def _grouped(accounts: Iterable[tuple[str, LineMonth]]) -> dict[str, ServiceLevel]:
    """Sum up by a name."""
    groups: dict[str, list[LineMonth]] = {}
    for name, account in accounts:
        groups.setdefault(name, []).append(account)
    return {name: service_level(groups[name]) for name in sorted(groups)}


def _ratio(part: float, whole: float) -> float | None:
    """None instead of a division by nothing."""
    return part / whole if whole else None
