"""Lines and their months as a person reads them on a terminal: figures in columns, reasons in words.

Pure: values in, rich text out. It fits 80 columns; the reason of a line that is not up stands beneath it there, and beside it on a wider
terminal, which has room for names, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final, Literal

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from netmon.active_probe.figures import figures_of
from netmon.active_probe.model import LINE_STATES, LineState, LineStatus, Reason, VantageChange
from netmon.inventory.model import Line, Named
from netmon.show import counted, printable

Language = Literal["ja", "en"]

WIDE: Final = 120
"""Columns of a terminal from which on names have a column, and reasons stand beside what they explain."""
ID_CELLS_MAX: Final = 24
NAME_CELLS_MAX: Final = 32
TARGETS_TOLD_MAX: Final = 2

WORST_FIRST: Final[tuple[LineState, ...]] = ("down", "degraded", "unknown", "up")
_STYLES: Final[dict[str, str]] = {
    "up": "green",
    "degraded": "bold yellow",
    "down": "bold white on red",
    "unknown": "bold cyan",
    "live": "green",
    "isolated": "bold yellow",
    "stale": "bold cyan",
}
REASONS: Final[dict[Reason, tuple[str, str]]] = {
    "": ("", ""),
    "no_data": ("nothing was heard yet", "まだ結果がありません"),
    "no_answer": ("no answer", "応答なし"),
    "loss": ("it loses packets", "パケット損失"),
    "round_trip": ("round trips take too long", "往復時間の増大"),
    "bad_answer": ("wrong answers", "異常な応答"),
    "cannot_send": ("probes cannot leave by this line", "この回線から送信できません"),
    "wrong_interface": ("answers come in by another interface", "別のインターフェースに応答が届いています"),
    "isolated": ("whoever asks is cut off", "観測点が孤立しています"),
    "stale": ("whoever asks is silent", "観測点から報告がありません"),
    "disagreement": ("vantages disagree", "観測点の間で判定が一致しません"),
    "one_way": (
        "no answers, but something still arrives: one direction has failed",
        "応答はないが受信あり: 片方向の障害",
    ),
    "no_vantage": ("nobody asks", "試験する観測点がありません"),
}
_NOTHING: Final = "-"
_LAST_UNIX_S: Final = 253_402_128_000


class Row(msgspec.Struct, frozen=True):
    """A line of the region, and what is said of it; None: nothing is yet."""

    line: Line
    status: LineStatus | None

    @property
    def state(self) -> LineState:
        """Unknown as long as nothing is said."""
        return "unknown" if self.status is None else self.status.state


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """The worst first, of them the newest; those that are up in the order of the region."""

    def rank(row: Row) -> tuple[int, int]:
        since = 0 if row.status is None or row.state == "up" else row.status.since_unix_ns
        return WORST_FIRST.index(row.state), -since

    return sorted(rows, key=rank)


def headline(rows: Sequence[Row], vantages: Mapping[str, VantageChange]) -> Text:
    """How many lines are in which state, and how those are who ask."""
    counts = Counter(row.state for row in rows)
    text = Text(f"{counted(len(rows), 'line')}: ")
    states = [(state, f"{counts[state]:,} {state}") for state in WORST_FIRST if counts[state]]
    _joined(text, states, ", ")
    if vantages:
        text.append("; vantages: " if len(vantages) > 1 else "; vantage: ")
        told = [(change.after, _vantage(name, change)) for name, change in sorted(vantages.items())]
        _joined(text, told, ", ")
    return text


def _joined(text: Text, parts: Sequence[tuple[str, str]], between: str) -> None:
    for index, (state, words) in enumerate(parts):
        text.append(between if index else "")
        text.append(printable(words), style=_STYLES.get(state))


def _vantage(name: str, change: VantageChange) -> str:
    reason = f" ({change.reason.replace('_', ' ')})" if change.reason and change.after != "live" else ""
    return f"{name} {change.after}{reason}"


# --- The table. ---

_TITLES: Final = ("LINE", "STATE", "SINCE", "LOSS", "RTT p50/p99 ms", "VAR ms", "AVAIL %", "BY")
_RIGHT: Final = frozenset(_TITLES[3:])
_STATE_CELLS: Final = max(map(len, LINE_STATES))


def table(
    rows: Sequence[Row], *, width: int, language: Language, now: datetime, rows_max: int | None = None
) -> list[Text]:
    """The table, a text for each line of the terminal, the titles first.

    Args:
        rows: In the order to show them in.
        width: Columns of the terminal.
        language: Of names and reasons.
        now: With the zone to show times in.
        rows_max: Lines of the terminal that there are; what is beyond is counted in the last one. None: as many as it takes.
    """
    is_wide = width >= WIDE
    cells = [_cells(row, language, now, with_name=is_wide) for row in rows]
    titles = [_TITLES[0], *(["NAME"] if is_wide else []), *_TITLES[1:], *(["WHY"] if is_wide else [])]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    shown = [_aligned(titles, titles, widths, width, "bold")]
    reasons = ["" if is_wide else why(row.status, language, now.tzinfo) for row in rows]
    for index, (row, found) in enumerate(zip(rows, cells, strict=True)):
        block = [_aligned(found, titles, widths, width, "", row.state)]
        # Neighbours with one reason have it once, beneath them: when a vantage is cut off, all lines have.
        if reasons[index] and reasons[index : index + 2] != [reasons[index]] * 2:
            block.append(Text(_cut(f"  {reasons[index]}", width), style="dim"))
        rest = len(rows) - index
        if rows_max is not None and len(shown) + len(block) > rows_max - (rest > 1):
            shown.append(Text(f"and {counted(rest, 'line')} more", style="dim"))
            break
        shown.extend(block)
    return shown


def _cells(row: Row, language: Language, now: datetime, *, with_name: bool) -> list[str]:
    line, status = row.line, row.status
    cells = [_cut(printable(line.id), ID_CELLS_MAX)]
    if with_name:
        cells.append(_cut(name_of(line, language), NAME_CELLS_MAX))
    if status is None:
        return [*cells, row.state, *[_NOTHING] * 6, *([why(None, language, now.tzinfo)] if with_name else [])]
    figures = figures_of(status)
    asked = status.vantages_live + status.vantages_isolated + status.vantages_stale
    cells += [
        row.state,
        since(status.since_unix_ns, now),
        loss_shown(figures.loss),
        _pair(figures.rtt_p50_s, figures.rtt_p99_s),
        ms_shown(figures.ipdv_s),
        availability_shown(status.availability),
        f"{status.vantages_live}/{asked}",
    ]
    return [*cells, why(status, language, now.tzinfo)] if with_name else cells


def _aligned(
    cells: Sequence[str], titles: Sequence[str], widths: Sequence[int], width: int, style: str, state: str = ""
) -> Text:
    text = Text(style=style)
    for index, (cell, title, size) in enumerate(zip(cells, titles, widths, strict=True)):
        blanks = " " * (size - cell_len(cell))
        text.append("  " if index else "")
        text.append(blanks if title in _RIGHT else "")
        text.append(cell, style=_STYLES.get(state) if title == "STATE" and state else None)
        text.append("" if title in _RIGHT or index == len(cells) - 1 else blanks)
    text.truncate(width, overflow="ellipsis")
    return text


def name_of(thing: Named, language: Language) -> str:
    """What people call it."""
    return printable((thing.name_en or thing.name) if language == "en" else thing.name)


def why(status: LineStatus | None, language: Language, zone: tzinfo | None) -> str:
    """Why a line is not up, in words, with who says so; empty when it is."""
    index = 1 if language == "ja" else 0
    if status is None:
        return REASONS["no_data"][index]
    if status.state == "up":
        return ""
    words = [REASONS[status.reason][index]]
    if status.reason == "disagreement":
        words.append(", ".join(f"{vote.vantage_id} {vote.state}" for vote in status.votes))
    elif status.one_way and status.heard_unix_ns:
        words.append(f"{since(status.heard_unix_ns, _moment(status.unix_ns, zone))}")
    else:
        words.append(_targets(status))
    return printable(": ".join(filter(None, words)))


def _targets(status: LineStatus) -> str:
    """The first targets that are as bad as the line, with what they have answered."""
    told = dict.fromkeys(
        f"{target.label} {target.detail}".strip()
        for vote in status.votes
        for target in vote.targets
        if target.state == status.state
    )
    more = f" (+{len(told) - TARGETS_TOLD_MAX})" if len(told) > TARGETS_TOLD_MAX else ""
    return ", ".join([*told][:TARGETS_TOLD_MAX]) + more


# --- Values. ---


def since(unix_ns: int, now: datetime) -> str:
    """A time without what goes without saying: today's date, or the seconds of another day; in the zone of `now`."""
    if not unix_ns:
        return _NOTHING
    moment = _moment(unix_ns, now.tzinfo)
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%m-%d %H:%M}" if moment.year == now.year else f"{moment:%Y-%m-%d}"


def _moment(unix_ns: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(min(unix_ns // 1_000_000_000, _LAST_UNIX_S), zone)


def loss_shown(share: float | None) -> str:
    """In percent; never 0 when something is lost, nor 100 when something arrives."""
    if share is None:
        return _NOTHING
    percent = share * 100
    if percent in {0, 100}:
        return f"{percent:.0f}%"
    return f"{max(percent, 0.1):.1f}%" if percent < 9.95 else f"{min(percent, 99.0):.0f}%"


def availability_shown(share: float | None) -> str:
    """In percent, rounded down: 100 is said of what was never away."""
    if share is None:
        return _NOTHING
    hundredths = math.floor(share * 10_000 + 1e-6)
    return f"{hundredths / 100:.2f}".removesuffix("0").removesuffix(".0")


def ms_shown(seconds: float | None) -> str:
    """Milliseconds with three digits."""
    if seconds is None:
        return _NOTHING
    ms = seconds * 1_000
    return f"{ms:.2f}" if ms < 9.995 else f"{ms:.1f}" if ms < 99.95 else f"{ms:.0f}"


def _pair(p50_s: float | None, p99_s: float | None) -> str:
    return _NOTHING if p50_s is None else f"{ms_shown(p50_s)}/{ms_shown(p99_s)}"


def _cut(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1) + "…"
