"""Protection groups as a person reads them on a terminal: where each class is, why, how its lines are, what happens next.

Pure: values in, rich text out. It fits 80 columns; what is to be said of a group that is not at rest on its working line stands beneath it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from netmon.cli.failover_words import (
    AUDITS,
    COMMANDS,
    PHASES,
    PROPOSED,
    REASONS,
    REFUSALS,
    REQUESTS,
    SHED,
    TIMERS,
    of,
    until,
)
from netmon.cli.line_table import Language, since
from netmon.failover.model import Attempt, Freeze, Group, GroupState, LineSight, Phase, Request
from netmon.failover.record import Audit, AuditKind, CommandKind
from netmon.failover.region.explain import Explanation, LineExplained
from netmon.show import counted, printable

AT_REST: Final[frozenset[Phase]] = frozenset({"NR", "EXER"})
WORST_FIRST: Final[tuple[Phase, ...]] = (
    "NO_BACKUP", "SF_PENDING", "FROZEN", "LO", "FS", "MS", "PROTECTING", "DEGRADED", "DNR", "WTR", "EXER", "NR",
)  # fmt: skip
ID_CELLS_MAX: Final = 32
_TIMED: Final[frozenset[Phase]] = frozenset({"SF_PENDING", "WTR"})
"""Phases that end by themselves, at a time that people want to know."""
_MOVES: Final[frozenset[AuditKind]] = frozenset(
    {"proposed", "intent", "applied", "verified", "failed", "refused", "unreachable", "abandoned", "adopted"}
)
_NOTHING: Final = "-"
_S: Final = 1_000_000_000
_TITLES: Final = ("GROUP", "P", "PHASE", "ON", "SINCE", "MODE")
_STYLES: Final[dict[str, str]] = {
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
        return state is not None and state.phase in AT_REST and state.on == self.group.working and state.attempt is None

    @property
    def is_well(self) -> bool:
        """At rest, and what it is on has not failed: a group in mode observe stays where it is."""
        sight = None if self.state is None else self.sights.get(self.state.on)
        return self.is_at_rest and (sight is None or sight.state != "down")


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """Those that are not well first, by weight; the others in the order of the region."""

    def rank(row: Row) -> tuple[bool, int, int]:
        if row.is_well or row.state is None:
            return True, 0, 0
        return False, row.group.priority, WORST_FIRST.index(row.state.phase)

    return sorted(rows, key=rank)


# --- All groups. ---


def headline(rows: Sequence[Row], freeze: Freeze | None, fence: int, *, leads: bool, language: Language) -> Text:
    """How many groups are in which phase, and who decides."""
    counts = Counter("-" if row.state is None else row.state.phase for row in rows)
    text = Text(f"{counted(len(rows), 'group')}: ")
    known = [(phase, counts[phase]) for phase in (*WORST_FIRST, "-") if counts[phase]]
    for index, (phase, count) in enumerate(known):
        text.append(", " if index else "")
        text.append(f"{count:,} {phase}", style=_style(phase))
    if shed := sum(row.state is not None and not row.state.on for row in rows):
        text.append(f"; {shed:,} {of(SHED, language)}", style="bold red")
    text.append(f"; controller {fence} leads" if leads else "; no controller leads")
    if freeze is not None:
        text.append(f"; frozen by {printable(freeze.by)}: {printable(freeze.why)}", style="bold magenta")
    return text


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
    titles = _TITLES if with_mode else _TITLES[:-1]
    cells = [_cells(row, now)[: len(titles)] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    shown = [_aligned(titles, widths, width, "bold")]
    for index, (row, found) in enumerate(zip(rows, cells, strict=True)):
        block = [_aligned(found, widths, width, "", "-" if row.state is None else row.state.phase)]
        block += (
            []
            if row.is_well
            else [Text(_cut(f"  {line}", width), style="dim") for line in _beneath(row, language, now)]
        )
        rest = len(rows) - index
        if rows_max is not None and len(shown) + len(block) > rows_max - (rest > 1):
            shown.append(Text(f"and {counted(rest, 'group')} more", style="dim"))
            break
        shown.extend(block)
    return shown


def _cells(row: Row, now: datetime) -> list[str]:
    group, state = row.group, row.state
    cells = [_cut(printable(group.id), ID_CELLS_MAX), f"P{group.priority}"]
    if state is None:
        return [*cells, _NOTHING, _NOTHING, _NOTHING, group.mode]
    return [*cells, state.phase, line_shown(state.on), since(state.since_unix_ns, now), group.mode]


def line_shown(line_id: str) -> str:
    """The line, or that it is none."""
    return printable(line_id) or "(shed)"


def _beneath(row: Row, language: Language, now: datetime) -> Iterator[str]:
    """What a person wants to know of a group that is not well: why, what comes next, how its lines are."""
    state = row.state
    if state is not None:
        words = [of(PHASES[state.phase], language), of(REASONS[state.reason], language)]
        if state.attempt is not None:
            words.append(f"→ {line_shown(state.attempt.to)} ({_stage(row.group, state.attempt, language)})")
        if state.due_unix_ns and state.phase in _TIMED:
            words.append(until(since(state.due_unix_ns, now), language))
        if row.is_silent:
            words.append("ゲートウェイ無応答" if language == "ja" else "its gateway is silent")
        yield "; ".join(filter(None, words))
    yield ", ".join(_line(row, line_id) for line_id in (row.group.working, *row.group.protections))
    for request in row.requests:
        yield _request(request, language, now)


def _stage(group: Group, attempt: Attempt, language: Language) -> str:
    return of(PROPOSED[group.mode], language) if attempt.stage == "proposed" else attempt.stage


def _line(row: Row, line_id: str) -> str:
    sight = row.sights.get(line_id)
    state = "unknown" if sight is None else "one-way" if sight.one_way else sight.state
    used = " *" if row.state is not None and row.state.on == line_id else ""
    return f"{printable(line_id)} {state}{used}"


def _request(request: Request, language: Language, now: datetime) -> str:
    ticket = f" [{printable(request.ticket)}]" if request.ticket else ""
    what = f"{of(REQUESTS[request.kind], language)}{target(request.kind, request.line_id)}"
    told = f"{what}: {printable(request.by)}: {printable(request.why)}{ticket}"
    return f"{told}; {until(since(request.until_unix_ns, now), language)}"


def target(kind: CommandKind, line_id: str) -> str:
    """Which line an operator's command is about, behind its name; empty: none."""
    if not line_id:
        return ""
    return f" ({printable(line_id)})" if kind == "lockout" else f" → {printable(line_id)}"


# --- One group. ---


def explained(found: Explanation, *, language: Language, now: datetime) -> Iterator[Text]:
    """Yield all that the next decision on a group looks at, a line of the terminal each."""
    group, state = found.group, found.state
    yield Text.assemble(
        (printable(group.id), "bold"),
        f"  P{group.priority}  ",
        (state.phase, _style(state.phase)),
        f"  {of(PHASES[state.phase], language)}",
    )
    reason = of(REASONS[state.reason], language)
    yield Text(f"  on {line_shown(state.on)} since {since(state.since_unix_ns, now)}{f': {reason}' if reason else ''}")
    if state.attempt is not None:
        to, stage = line_shown(state.attempt.to), _stage(group, state.attempt, language)
        yield Text(f"  on its way to {to} ({stage}, generation {state.attempt.generation})")
    yield from _circumstances(found, language)
    for timer in found.timers:
        left_s = timer.due_unix_ns / _S - now.timestamp()
        if left_s > 0:
            words = of(TIMERS.get(timer.name, (timer.name, timer.name)), language)
            yield Text(f"  {since(timer.due_unix_ns, now)} (in {left_s:.0f} s)  {words}")
    for request in found.requests:
        yield Text(f"  {_request(request, language, now)}", style="magenta")
    yield from _lines_explained(found, language)


def _circumstances(found: Explanation, language: Language) -> Iterator[Text]:
    if found.posture != "normal":
        yield Text(f"  posture of {printable(found.group.area_id)}: {found.posture}", style="bold")
    if found.group.mode != "act":
        yield Text(f"  mode: {found.group.mode}")
    if found.freeze is not None:
        by, why = printable(found.freeze.by), printable(found.freeze.why)
        yield Text(f"  {of(PHASES['FROZEN'], language)}: {by}: {why}", style="bold magenta")
    if not found.reachable:
        text = "ゲートウェイに指示が届きません" if language == "ja" else "its gateway cannot be told anything now"
        yield Text(f"  {text}", style="bold yellow")
    if found.failing_risk_ids:
        yield Text(f"  failing in the region: {printable(', '.join(found.failing_risk_ids))}")
    if found.shed_for:
        yield Text(f"  has made room for: {printable(', '.join(found.shed_for))}")


def _lines_explained(found: Explanation, language: Language) -> Iterator[Text]:
    """Each line: state, whose word it is, its place or why it has none, what it shares with what has failed, its load."""
    titles = ("LINE", "STATE", "BY", "PLACE", "LOAD")
    cells = [_line_cells(line, found) for line in found.lines]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    yield Text(
        f"  {'  '.join(_padded(title, size) for title, size in zip((*titles, 'WHY'), (*widths, 0), strict=True))}",
        style="bold",
    )
    for line, each in zip(found.lines, cells, strict=True):
        text = Text("  ")
        for index, (cell, size) in enumerate(zip(each, widths, strict=True)):
            text.append(_padded(cell, size), style=_STYLES.get(line.sight.state) if index == 1 else None)
            text.append("  ")
        text.append(_why(line, found, language))
        yield text


def _line_cells(line: LineExplained, found: Explanation) -> list[str]:
    used = "*" if line.line_id == found.state.on else ""
    state = "one-way" if line.sight.one_way else line.sight.state
    load = f"{rate(line.admitted_bps)}/{rate(line.usable_bps)}" if line.usable_bps else rate(line.admitted_bps)
    return [f"{printable(line.line_id)}{used}", state, line.by, str(line.place) if line.place else _NOTHING, load]


def _why(line: LineExplained, found: Explanation, language: Language) -> str:
    words = []
    if line.line_id == found.state.on:
        words.append("使用中" if language == "ja" else "in use")
    if line.refusal or not words:
        words.append(of(REFUSALS[line.refusal], language))
    if line.shared_risks and line.sight.state != "down":
        shared = "共有リスク" if language == "ja" else "shares"
        words.append(f"{shared} {printable(', '.join(line.shared_risks))}")
    if line.rank:
        words.append(f"rank {'.'.join(map(str, line.rank))}")
    return "; ".join(words)


# --- The audit. ---


def audit_lines(audit: Audit, *, language: Language, now: datetime) -> Iterator[Text]:
    """Yield one entry of the audit: what, from where to where, who, why; beneath it the evidence."""
    moment = datetime.fromtimestamp(audit.unix_ns / _S, now.tzinfo)
    line = Text(f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1_000:03}  ")
    line.append(f"{audit.kind:<11}", style=_audit_style(audit))
    line.append(f"  {printable(audit.group) or 'region'}", style="bold")
    if audit.kind in _MOVES:
        line.append(f"  {line_shown(audit.before)} → {line_shown(audit.to)}")
    line.append(f"  {of(AUDITS[audit.kind], language)}")
    words = [of(REASONS[audit.reason], language)]
    if audit.command:
        is_done = audit.outcome == "done"
        outcome = f": {audit.outcome}" if audit.outcome and not is_done else ""
        words.append(of(COMMANDS[audit.command], language) if is_done else f"{audit.command}{outcome}")
    words += [printable(audit.by) if audit.by != "netmon" else "", printable(audit.why)]
    words += [f"[{printable(audit.ticket)}]" if audit.ticket else "", _phases(audit.phases_s)]
    told = "; ".join(filter(None, words))
    line.append(f": {told}" if told else "")
    yield line
    for text in audit.evidence:
        yield Text(f"    {printable(text)}", style="dim")


def _phases(phases_s: Mapping[str, float]) -> str:
    return ", ".join(f"{printable(name)} {seconds * 1_000:.0f} ms" for name, seconds in phases_s.items())


def _audit_style(audit: Audit) -> str:
    bad = audit.kind in {"failed", "refused", "unreachable", "page", "freeze"} or audit.outcome == "refused"
    return "bold yellow" if bad else "green" if audit.kind == "verified" else ""


# --- Values. ---


def rate(bits: float) -> str:
    """Bits a second, short."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if bits >= size:
            return f"{bits / size:.3g}{unit}"
    return f"{bits:.0f}"


def _style(phase: str) -> str:
    return _STYLES.get(phase, _OTHER)


def _aligned(cells: Sequence[str], widths: Sequence[int], width: int, style: str, phase: str = "") -> Text:
    text = Text(style=style)
    for index, (cell, size) in enumerate(zip(cells, widths, strict=True)):
        text.append("  " if index else "")
        is_last = index == len(cells) - 1
        text.append(cell if is_last else _padded(cell, size), style=_style(phase) if phase and index == 2 else None)
    text.truncate(width, overflow="ellipsis")
    return text


def _padded(text: str, cells: int) -> str:
    return text + " " * max(cells - cell_len(text), 0)


def _cut(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1) + "…"
