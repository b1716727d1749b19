"""What `netmon lines report` says of a month: each line or carrier in a row. Pure: accounts in, rows, text and CSV out."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from rich.table import Table

from netmon.active_probe.model import LineMonth
from netmon.active_probe.verdict.availability import ServiceLevel, by_carrier, by_line
from netmon.cli.line_table import WIDE, Language, availability_shown, loss_shown, ms_shown, name_of
from netmon.errors import ConfigError
from netmon.inventory.topology import Topology
from netmon.show import printable

Grouping = Literal["line", "carrier"]

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)
_NOTHING: Final = "-"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    month: str
    """YYYY-MM, of UTC."""
    by: Grouping


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row, as programs get it; durations in seconds."""

    month: str
    id: str
    """Of the line or carrier; empty for lines that the region knows no more, in a report by carrier."""
    name: str
    lines: int
    availability: float | None
    failures: int
    mttr_s: float | None
    mtbf_s: float | None
    down_s: float
    degraded_s: float
    minutes: int
    minutes_unavailable: int
    minutes_unknown: int
    loss: float | None
    rtt_mean_s: float | None
    rtt_p99_max_s: float | None


def month_of(text: str | None, now_s: float) -> str:
    """The month that is meant; without a text the present one. Raises ConfigError."""
    if text is None:
        return f"{datetime.fromtimestamp(now_s, UTC):%Y-%m}"
    if not _MONTH.fullmatch(text):
        raise ConfigError([f"--month: found {printable(text)!r}; expected a year and a month, such as 2026-11"])
    return text


def grouping_of(text: str) -> Grouping:
    """What a row is about. Raises ConfigError."""
    match text:
        case "line" | "carrier":
            return text
    raise ConfigError([f"--by: found {printable(text)!r}; expected line or carrier"])


def rows(wish: Wish, accounts: Sequence[LineMonth], topology: Topology, language: Language) -> list[ReportRow]:
    """A row for each line or carrier, by ID; none without accounts."""
    if wish.by == "line":
        names = {line.id: name_of(line, language) for line in topology.lines.values()}
        levels = by_line(accounts)
    else:
        names = {carrier.id: name_of(carrier, language) for carrier in topology.carriers.values()}
        levels = by_carrier(accounts, {line.id: line.carrier_id for line in topology.lines.values()})
    return [_row(wish.month, name, names.get(name, ""), level) for name, level in levels.items()]


def _row(month: str, name: str, shown: str, level: ServiceLevel) -> ReportRow:
    return ReportRow(
        month=month,
        id=name,
        name=shown,
        lines=level.lines,
        availability=level.availability,
        failures=level.failures,
        mttr_s=level.mttr_s,
        mtbf_s=level.mtbf_s,
        down_s=level.down_s,
        degraded_s=level.degraded_s,
        minutes=level.minutes,
        minutes_unavailable=level.minutes_unavailable,
        minutes_unknown=level.minutes_unknown,
        loss=level.loss,
        rtt_mean_s=level.rtt_mean_s,
        rtt_p99_max_s=level.rtt_p99_max_s,
    )


def csv_of(rows: Sequence[ReportRow]) -> str:
    """RFC 4180, the names of the fields first; what cannot be told is empty."""
    text = _Written()
    writer = csv.writer(text)
    writer.writerow(ReportRow.__struct_fields__)
    writer.writerows(["" if value is None else value for value in msgspec.structs.astuple(row)] for row in rows)
    return "".join(text)


class _Written(list[str]):
    def write(self, part: str) -> None:
        self.append(part)


def table(rows: Sequence[ReportRow], width: int) -> Table:
    """For a terminal of so many columns: durations in words; names where there is room for them."""
    is_wide = width >= WIDE
    shown = Table(box=None, pad_edge=False, title=f"{rows[0].month} (UTC)", title_justify="left")
    shown.add_column("ID", no_wrap=True)
    if is_wide:
        shown.add_column("NAME", no_wrap=True)
    for title in ("AVAIL %", "FAILED", "MTTR", "MTBF", "UNKNOWN", "LOSS", "RTT ms"):
        shown.add_column(title, no_wrap=True, justify="right")
    for row in rows:
        shown.add_row(
            printable(row.id) or _NOTHING,
            *([row.name] if is_wide else []),
            availability_shown(row.availability),
            f"{row.failures:,}",
            lasting(row.mttr_s),
            lasting(row.mtbf_s),
            lasting(row.minutes_unknown * 60) if row.minutes_unknown else "0",
            loss_shown(row.loss),
            ms_shown(row.rtt_mean_s),
        )
    return shown


def lasting(seconds: float | None) -> str:
    """A duration in its two largest units: `4 m 20 s`, `3 d 2 h`."""
    if seconds is None:
        return _NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError(seconds)
