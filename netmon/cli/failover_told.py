"""One group as it is explained to a person, and the audit: why traffic is where it is, what was decided, on what evidence.

Pure: values in, rich text out, in lines of the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from netmon.cli.columns import padded, wrapped
from netmon.cli.failover_evidence import DRY_RUN, told, why
from netmon.cli.failover_table import NOTHING, STYLES, frozen, line_shown, rate, request_shown, stage, style, target
from netmon.cli.failover_words import (
    AUDITS,
    COMMANDS,
    LINE_STATES,
    MODES,
    NOT_MOVED,
    OUTCOMES,
    PHASES,
    POSTURES,
    REASONS,
    REFUSALS,
    TIMERS,
    WHOSE,
    of,
)
from netmon.cli.line_table import Language, since
from netmon.failover.protection.admission import ROOM_STEPS
from netmon.failover.protection.choice import RTT_BANDS_MS
from netmon.failover.record import Audit, AuditKind
from netmon.failover.region.explain import Explanation, LineExplained
from netmon.show import printable

_MOVES: Final[frozenset[AuditKind]] = frozenset(
    {"proposed", "intent", "applied", "verified", "failed", "refused", "unreachable", "abandoned", "adopted"}
)
_S: Final = 1_000_000_000
_TITLES: Final = (
    ("LINE", "回線"),
    ("STATE", "状態"),
    ("BY", "根拠"),
    ("PLACE", "順位"),
    ("LOAD", "帯域"),
    ("WHY", "理由"),
)


# --- One group. ---


def explained(found: Explanation, *, width: int, language: Language, now: datetime) -> Iterator[Text]:
    """Yield all that the next decision on a group looks at, a line of the terminal each."""
    group, state = found.group, found.state
    head = Text.assemble((printable(group.id), "bold"), f"  P{group.priority}  ", (state.phase, style(state.phase)))
    head.append(f"  {of(PHASES[state.phase], language)}")
    yield head
    for text, look in _about(found, language, now):
        for line in wrapped(text, width, "  ", "    "):
            yield Text(line, style=look)
    yield from _lines_explained(found, width, language)


def _about(found: Explanation, language: Language, now: datetime) -> Iterator[tuple[str, str]]:
    """Texts, and how they look."""
    state = found.state
    on, moment = line_shown(state.on, language), since(state.there_unix_ns, now)
    reason = of(REASONS[state.reason], language)
    place = f"{moment} から {on}" if language == "ja" else f"on {on} since {moment}"
    yield f"{place}{f': {reason}' if reason else ''}", ""
    if state.attempt is not None:
        to, far = line_shown(state.attempt.to, language), stage(found.group, state.attempt, language)
        number = state.attempt.generation
        yield (
            f"{to} へ切替中（{far}、世代 {number}）"
            if language == "ja"
            else f"on its way to {to} ({far}, generation {number})",
            "",
        )
    yield from _circumstances(found, language, now)
    for timer in found.timers:
        left_s = timer.due_unix_ns / _S - now.timestamp()
        if left_s > 0:
            words = of(TIMERS.get(timer.name, (timer.name, timer.name)), language)
            left = f"{left_s:.0f} 秒後" if language == "ja" else f"in {left_s:.0f} s"
            yield f"{since(timer.due_unix_ns, now)} ({left})  {words}", ""
    for request in found.requests:
        yield request_shown(request, language, now), "magenta"


def _circumstances(found: Explanation, language: Language, now: datetime) -> Iterator[tuple[str, str]]:
    is_ja = language == "ja"
    if found.posture != "normal":
        area, posture = printable(found.group.area_id), of(POSTURES[found.posture], language)
        yield f"{area} の態勢: {posture}" if is_ja else f"posture of {area}: {posture}", "bold"
    if found.group.mode != "act":
        yield f"{'モード' if is_ja else 'mode'}: {of(MODES[found.group.mode], language)}", ""
    if found.freeze is not None:
        yield frozen(found.freeze, language, now), "bold magenta"
    if not found.reachable:
        yield "ゲートウェイに指示が届きません" if is_ja else "its gateway cannot be told anything now", "bold yellow"
    if found.failing_risk_ids:
        yield (
            f"{'地域で障害中のリスク' if is_ja else 'failing in the region'}: {printable(', '.join(found.failing_risk_ids))}",
            "",
        )
    own = _own_risks(found)
    if found.failing_risk_ids or own:
        names = printable(", ".join(own)) or ("なし" if is_ja else "nothing")
        yield f"{'この通信の回線に関わる障害リスク' if is_ja else 'failing of what its own lines share'}: {names}", ""
    if found.shed_for:
        names = printable(", ".join(found.shed_for))
        yield f"{'帯域を譲った相手' if is_ja else 'has made room for'}: {names}", ""


def _own_risks(found: Explanation) -> list[str]:
    """What has failed, of what the group's own lines lie in."""
    return sorted({risk for line in found.lines for risk in line.shared_risks})


def _lines_explained(found: Explanation, width: int, language: Language) -> Iterator[Text]:
    """Each line: state, whose word it is, its place or why it has none, its load; beneath, what candidates are compared by."""
    titles = [of(title, language) for title in _TITLES]
    cells = [_line_cells(line, found, language) for line in found.lines]
    widths = [max(map(cell_len, column)) for column in zip(titles[:-1], *cells, strict=True)]
    yield Text(f"  {'  '.join(map(padded, titles, (*widths, 0)))}", style="bold")
    before = " " * (sum(widths) + 2 * len(widths) + 2)
    for line, each in zip(found.lines, cells, strict=True):
        head = f"  {'  '.join(map(padded, each, widths))}  "
        reasons = wrapped(_why(line, found, language), max(width, len(before) + 20), before)
        text = Text(f"{head}{reasons[0][len(before) :]}")
        text.stylize(
            STYLES.get(line.sight.state, ""),
            len(f"  {padded(each[0], widths[0])}  "),
            len(f"  {padded(each[0], widths[0])}  {each[1]}"),
        )
        yield text
        yield from map(Text, reasons[1:])
        if line.rank:
            yield from (Text(text, style="dim") for text in wrapped(_compared(line, language), width, "    "))


def _line_cells(line: LineExplained, found: Explanation, language: Language) -> list[str]:
    used = "*" if line.line_id == found.state.on else ""
    state = of(LINE_STATES["one-way" if line.sight.one_way else line.sight.state], language)
    load = f"{rate(line.admitted_bps)}/{rate(line.usable_bps)}" if line.usable_bps else rate(line.admitted_bps)
    whose = of(WHOSE[line.by], language)
    return [f"{printable(line.line_id)}{used}", state, whose, str(line.place) if line.place else NOTHING, load]


def _why(line: LineExplained, found: Explanation, language: Language) -> str:
    words = []
    if line.line_id == found.state.on:
        words.append("使用中" if language == "ja" else "in use")
    if line.refusal or not words:
        words.append(of(REFUSALS[line.refusal], language))
    if line.shared_risks and line.sight.state != "down":
        shared = "共有リスク" if language == "ja" else "shares"
        words.append(f"{shared} {printable(', '.join(line.shared_risks))}")
    return "; ".join(words)


def _compared(line: LineExplained, language: Language) -> str:
    """What a candidate is compared by, in the order of the comparison; see `Candidate.rank`, and docs/failover.md."""
    risks, is_slow, is_same, cost, band = line.rank
    bounds = f"{RTT_BANDS_MS[min(band, len(RTT_BANDS_MS) - 1)]:.0f} ms"
    is_over = band == len(RTT_BANDS_MS)
    rest_bps = max(line.usable_bps - line.admitted_bps, 0)
    room = rest_bps * ROOM_STEPS // line.usable_bps if line.usable_bps else ROOM_STEPS
    if language == "ja":
        return "; ".join(
            (
                f"障害と共有するリスク {risks}",
                "この通信には遅すぎる" if is_slow else "遅延は許容内",
                "現用と同じ事業者" if is_same else "別の事業者",
                f"コスト {cost}",
                f"往復 {bounds} {'超' if is_over else '以下'}",
                f"空き {room}/{ROOM_STEPS}",
            )
        )
    return "; ".join(
        (
            f"shares {risks} failed {'risk' if risks == 1 else 'risks'}" if risks else "shares no failed risk",
            "too slow for the class" if is_slow else "fast enough",
            "the same carrier" if is_same else "another carrier",
            f"cost {cost}",
            f"round trip {'over' if is_over else 'to'} {bounds}",
            f"{room}/{ROOM_STEPS} of its room is free",
        )
    )


# --- The audit. ---


def audit_lines(audit: Audit, *, width: int, language: Language, now: datetime) -> Iterator[Text]:
    """Yield one entry of the audit: what, from where to where; beneath it who and why, and the evidence."""
    moment = datetime.fromtimestamp(audit.unix_ns / _S, now.tzinfo)
    day = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    line = Text(f"{day}{moment:%H:%M:%S}.{moment.microsecond // 1_000:03}  ")
    line.append(f"{audit.kind:<11}", style=_audit_style(audit))
    line.append(f"  {printable(audit.group) or ('全域' if language == 'ja' else 'region')}", style="bold")
    if audit.kind in _MOVES:
        line.append(f"  {line_shown(audit.before, language)} → {line_shown(audit.to, language)}")
    yield line
    for text in wrapped(_told(audit, language), width, "    ", "      "):
        yield Text(text)
    for evidence in audit.evidence:
        for text in wrapped(printable(told(evidence, language)), width, "    - ", "      "):
            yield Text(text, style="dim")


def _told(audit: Audit, language: Language) -> str:
    """What the entry says in words."""
    is_dry = audit.why == DRY_RUN and audit.kind in {"applied", "verified"}
    words = [of(REASONS[audit.reason], language)]
    if audit.command:
        outcome = of(OUTCOMES[audit.outcome], language)
        words.append(
            f"{of(COMMANDS[audit.command], language)}{target(audit.command, audit.to)}{outcome and f': {outcome}'}"
        )
    words += [printable(audit.by) if audit.by != "netmon" else "", "" if is_dry else printable(why(audit, language))]
    words += [f"[{printable(audit.ticket)}]" if audit.ticket else "", _phases(audit.phases_s)]
    about = "; ".join(filter(None, words))
    return f"{of(NOT_MOVED if is_dry else AUDITS[audit.kind], language)}{about and f': {about}'}"


def _phases(phases_s: Mapping[str, float]) -> str:
    return ", ".join(f"{printable(name)} {seconds * 1_000:.0f} ms" for name, seconds in phases_s.items())


def _audit_style(audit: Audit) -> str:
    bad = audit.kind in {"failed", "refused", "unreachable", "page", "freeze"} or audit.outcome == "refused"
    return "bold yellow" if bad else "green" if audit.kind == "verified" else ""
