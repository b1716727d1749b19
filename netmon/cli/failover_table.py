"""Protection groups as a person reads them on a terminal: where each class is, why, how its lines are, what happens next.

Pure: values in, rich text out. It fits 80 columns; what is to be said of a group that is not at rest on its working line stands beneath it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.text import Text

from netmon.cli.columns import cut, padded
from netmon.cli.failover_evidence import told
from netmon.cli.failover_words import (
    AT_REST,
    COMMANDS,
    LEADS,
    LINE_STATES,
    MODES,
    NOBODY_LEADS,
    NOWHERE,
    PHASES,
    PROPOSED,
    REASONS,
    SHED,
    STAGES,
    UNTIL_LIFTED,
    of,
    until,
)
from netmon.cli.line_table import Language, since
from netmon.failover.model import Attempt, Freeze, Group, GroupState, LineSight, Phase, Request
from netmon.failover.record import CommandKind
from netmon.show import counted, printable

_RESTING: Final[frozenset[Phase]] = frozenset({"NR", "EXER"})
WORST_FIRST: Final[tuple[Phase, ...]] = (
    "NO_BACKUP", "SF_PENDING", "FROZEN", "LO", "FS", "MS", "PROTECTING", "DEGRADED", "DNR", "WTR", "EXER", "NR",
)  # fmt: skip
ID_CELLS_MAX: Final = 32
_TIMED: Final[frozenset[Phase]] = frozenset({"SF_PENDING", "WTR"})
"""Phases that end by themselves, at a time that people want to know."""
_COMMANDED: Final[frozenset[Phase]] = frozenset({"FS", "MS"})
"""Phases that say themselves why the group is where it is."""
NOTHING: Final = "-"
_TITLES: Final = (
    ("GROUP", "グループ"),
    ("P", "P"),
    ("PHASE", "状態"),
    ("ON", "使用回線"),
    ("SINCE", "開始"),
    ("MODE", "モード"),
)
STYLES: Final[dict[str, str]] = {
    "NR": "green",
    "EXER": "green",
    "NO_BACKUP": "bold white on red",
    "FROZEN": "bold magenta",
    "LO": "bold magenta",
    "up": "green",
    "degraded": "bold yellow",
    "down": "bold red",
    "unknown": "bold cyan",
}
_OTHER: Final = "bold yellow"


class Row(msgspec.Struct, frozen=True):
    """A group of the region, and where it stands; None: no controller has decided of it yet."""

    group: Group
    state: GroupState | None
    sights: Mapping[str, LineSight] = {}
    """How its lines are, for it."""
    requests: tuple[Request, ...] = ()
    is_silent: bool = False
    """Its gateway tells nothing."""

    @property
    def is_at_rest(self) -> bool:
        """On its working line, and nothing goes on."""
        state = self.state
        return (
            state is not None and state.phase in _RESTING and state.on == self.group.working and state.attempt is None
        )

    @property
    def is_well(self) -> bool:
        """At rest, and what it is on has not failed: a group in mode observe stays where it is."""
        sight = None if self.state is None else self.sights.get(self.state.on)
        return self.is_at_rest and (sight is None or sight.state != "down")

    @property
    def is_quiet(self) -> bool:
        """Well, and nobody wants anything of it."""
        return self.is_well and not self.requests and self.state is not None and self.state.phase == "NR"


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """Those that are not well first, by weight; the others in the order of the region."""

    def rank(row: Row) -> tuple[bool, int, int]:
        if row.is_well or row.state is None:
            return True, 0, 0
        return False, row.group.priority, WORST_FIRST.index(row.state.phase)

    return sorted(rows, key=rank)


# --- All groups. ---


def headline(rows: Sequence[Row], freeze: Freeze | None, *, leads: bool, language: Language, now: datetime) -> Text:
    """How many groups are in which phase, who decides, and until when nobody does."""
    counts = Counter("-" if row.state is None else row.state.phase for row in rows)
    text = Text(f"{len(rows):,} グループ: " if language == "ja" else f"{counted(len(rows), 'group')}: ")
    known = [(phase, counts[phase]) for phase in (*WORST_FIRST, "-") if counts[phase]]
    for index, (phase, count) in enumerate(known):
        text.append(", " if index else "")
        text.append(f"{count:,} {phase}", style=style(phase))
    if shed := sum(row.state is not None and not row.state.on for row in rows):
        text.append(f"; {shed:,} {of(SHED, language)}", style="bold red")
    text.append(f"; {of(LEADS if leads else NOBODY_LEADS, language)}")
    if freeze is not None:
        text.append(f"; {frozen(freeze, language, now)}", style="bold magenta")
    return text


def frozen(freeze: Freeze, language: Language, now: datetime) -> str:
    """Until when nothing moves by itself, who wanted that, and why."""
    end = until(since(freeze.until_unix_ns, now), language) if freeze.until_unix_ns else of(UNTIL_LIFTED, language)
    by, why = printable(freeze.by), printable(told(freeze.why, language))
    return f"凍結中、{end}（{by}: {why}）" if language == "ja" else f"frozen {end} by {by}: {why}"


def legend(rows: Iterable[Row], language: Language) -> str:
    """What the phases mean that are in the table; empty: none are."""
    shown = {row.state.phase for row in rows if row.state is not None}
    words = [f"{phase} {of(PHASES[phase], language)}" for phase in WORST_FIRST if phase in shown]
    return "; ".join(words)


def table(
    rows: Sequence[Row], *, width: int, language: Language, now: datetime, rows_max: int | None = None
) -> list[Text]:
    """The table, a text for each line of the terminal, the titles first.

    Args:
        rows: In the order to show them in.
        width: Columns of the terminal.
        language: Of what is told in words.
        now: With the zone to show times in.
        rows_max: Lines of the terminal that there are; what is beyond is counted in the last one. None: as many as it takes.
    """
    with_mode = any(row.group.mode != "act" for row in rows)
    titles = [of(title, language) for title in (_TITLES if with_mode else _TITLES[:-1])]
    cells = [_cells(row, language, now)[: len(titles)] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    rest_cells = width - sum(widths) - 2 * len(widths)
    shown = [_aligned(titles, widths, width, "bold")]
    for index, (row, found) in enumerate(zip(rows, cells, strict=True)):
        first = _aligned(found, widths, width, "", "-" if row.state is None else row.state.phase)
        if row.is_quiet and cell_len(of(AT_REST, language)) <= rest_cells:
            first.append(f"{' ' * (width - rest_cells - first.cell_len)}{of(AT_REST, language)}", style="dim")
        beneath = [Text(cut(f"  {line}", width), style="dim") for line in _beneath(row, language, now)]
        rest = len(rows) - index
        if rows_max is not None and len(shown) + 1 + len(beneath) > rows_max - (rest > 1):
            more = f"ほか {rest:,} グループ" if language == "ja" else f"and {counted(rest, 'group')} more"
            shown.append(Text(more, style="dim"))
            break
        shown.extend((first, *beneath))
    return shown


def _cells(row: Row, language: Language, now: datetime) -> list[str]:
    group, state = row.group, row.state
    cells = [cut(printable(group.id), ID_CELLS_MAX), f"P{group.priority}"]
    mode = of(MODES[group.mode], language)
    if state is None:
        return [*cells, NOTHING, NOTHING, NOTHING, mode]
    return [*cells, state.phase, line_shown(state.on, language), since(state.there_unix_ns, now), mode]


def line_shown(line_id: str, language: Language = "en") -> str:
    """The line, or that it is none."""
    return printable(line_id) or f"({of(NOWHERE, language)})"


def _beneath(row: Row, language: Language, now: datetime) -> Iterator[str]:
    """What a person wants to know of a group that is not well, the time first: what comes next, why, how its lines are."""
    if row.is_quiet:
        return
    state = row.state
    if state is not None and not (row.is_well and state.phase == "NR"):
        yield "; ".join(filter(None, _words(row, state, language, now)))
    if not row.is_well:
        yield ", ".join(_line(row, line_id, language) for line_id in (row.group.working, *row.group.protections))
    for request in row.requests:
        yield request_shown(request, language, now)


def _words(row: Row, state: GroupState, language: Language, now: datetime) -> Iterator[str]:
    end = until(since(state.due_unix_ns, now), language) if state.due_unix_ns and state.phase in _TIMED else ""
    yield ": ".join(filter(None, (end, of(PHASES[state.phase], language))))
    if state.attempt is not None:
        yield f"→ {line_shown(state.attempt.to, language)} ({stage(row.group, state.attempt, language)})"
    if state.phase not in _COMMANDED:
        yield of(REASONS[state.reason], language)
    if row.is_silent:
        yield "ゲートウェイ無応答" if language == "ja" else "its gateway is silent"


def stage(group: Group, attempt: Attempt, language: Language) -> str:
    """How far a switch is that is under way."""
    return of(PROPOSED[group.mode] if attempt.stage == "proposed" else STAGES[attempt.stage], language)


def _line(row: Row, line_id: str, language: Language) -> str:
    sight = row.sights.get(line_id)
    state = "unknown" if sight is None else "one-way" if sight.one_way else sight.state
    used = " *" if row.state is not None and row.state.on == line_id else ""
    return f"{printable(line_id)} {of(LINE_STATES[state], language)}{used}"


def request_shown(request: Request, language: Language, now: datetime) -> str:
    """What an operator wants, until when, who, and why."""
    ticket = f" [{printable(request.ticket)}]" if request.ticket else ""
    what = f"{of(COMMANDS[request.kind], language)}{target(request.kind, request.line_id)}"
    end = until(since(request.until_unix_ns, now), language)
    return f"{end}: {what}; {printable(request.by)}: {printable(request.why)}{ticket}"


def target(kind: CommandKind, line_id: str) -> str:
    """Which line an operator's command is about, behind its name; empty: none."""
    if not line_id:
        return ""
    return f" ({printable(line_id)})" if kind in {"lockout", "exercise"} else f" → {printable(line_id)}"


# --- Values. ---


def rate(bits: float) -> str:
    """Bits a second, short."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if bits >= size:
            return f"{bits / size:.3g}{unit}"
    return f"{bits:.0f}"


def style(phase: str) -> str:
    """How a phase looks."""
    return STYLES.get(phase, _OTHER)


def _aligned(cells: Sequence[str], widths: Sequence[int], width: int, look: str, phase: str = "") -> Text:
    text = Text(style=look)
    for index, (cell, size) in enumerate(zip(cells, widths, strict=True)):
        text.append("  " if index else "")
        is_last = index == len(cells) - 1
        text.append(cell if is_last else padded(cell, size), style=style(phase) if phase and index == 2 else None)
    text.truncate(width, overflow="ellipsis")
    return text
