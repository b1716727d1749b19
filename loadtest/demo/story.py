"""What a demo shows: a timeline, what each class has suffered, and whether it went as it is promised.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from loadtest.demo.record import Record
from loadtest.demo.scene import CUT, DUCT, RETURNING, SCENE, SHED, UNFIT
from loadtest.lab.flows import Came, Gap
from netmon.failover.record import Audit

LIFE_MAX_MS: Final = 1_000.0
"""Outage of P0 that is still as promised. The figure of `failover-edge` is a quarter of it, on a machine that does nothing else."""
OTHERS_MAX_MS: Final = 2_000.0

Kind = Literal["quake", "cut", "edge", "centre", "mended"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the timeline."""

    ms: float
    """Since the cut."""
    kind: Kind
    what: str
    detail: str = ""


class Suffered(msgspec.Struct, frozen=True, kw_only=True):
    """What the cut was to one class at one gateway, and the return."""

    group: str
    priority: int
    line: str
    """Where it was moved; empty: nowhere, for want of room."""
    shed: bool
    """It had to make room: its packets are refused at the gateway."""
    outage_ms: float
    lost: int
    phases_ms: dict[str, float]
    """As its gateway tells: detect, hold, decide, act, verify."""
    returned: bool
    lost_returning: int


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    moments: tuple[Moment, ...]
    """The first one first."""
    classes: tuple[Suffered, ...]
    """By gateway, P0 first."""
    faults: tuple[str, ...]
    """What was not as promised, a sentence for each."""


def tell(record: Record) -> Story:
    """What a record shows."""
    classes = tuple(_suffered(record, group) for group in record.flows)
    moments = [
        *_quake(record),
        *_found(record),
        *_moves(record, classes),
        *_centre(record),
        *_returns(record),
    ]
    moments.sort(key=lambda moment: moment.ms)
    return Story(moments=tuple(moments), classes=classes, faults=tuple(_faults(record, classes)))


# --- The timeline. ---


def _ms(record: Record, unix_ns: int) -> float:
    return (unix_ns - record.cut_unix_ns) / 1e6


def _quake(record: Record) -> Iterator[Moment]:
    yield Moment(
        ms=_ms(record, record.storm_unix_ns),
        kind="quake",
        what="earthquake: a storm of traps begins",
        detail=f"{record.notifications:,} in all",
    )
    for posture in record.postures:
        yield Moment(
            ms=_ms(record, posture.unix_ns),
            kind="quake",
            what=f"{posture.area}: posture {posture.posture}",
            detail=posture.why,
        )
    yield Moment(ms=0.0, kind="cut", what=f"{DUCT} is cut, without a word", detail=", ".join(CUT))
    yield Moment(ms=_ms(record, record.mended_unix_ns), kind="mended", what=f"{DUCT} is mended")


def _found(record: Record) -> Iterator[Moment]:
    """Which gateway saw when that its line is dead."""
    seen: set[object] = set()
    for told in record.told:
        line = told.facts.get("line")
        is_found = told.event == "agent.line_changed" and told.facts.get("state") == "down" and line in CUT
        if is_found and record.cut_unix_ns <= told.unix_ns < record.mended_unix_ns and line not in seen:
            seen.add(line)
            yield Moment(ms=_ms(record, told.unix_ns), kind="edge", what=f"{told.gateway}: finds {line} dead")


def _moves(record: Record, classes: tuple[Suffered, ...]) -> Iterator[Moment]:
    for suffered in classes:
        moved = _first_move(record, suffered.group)
        if moved is None:
            continue
        unix_ns, line = moved
        gateway, _, name = suffered.group.partition("/")
        phases = suffered.phases_ms
        yield Moment(
            ms=_ms(record, unix_ns),
            kind="edge",
            what=f"{gateway}: P{suffered.priority} {name} flows by {line}",
            detail=", ".join(f"{phase} {phases[phase]:.1f} ms" for phase in ("act", "verify") if phase in phases),
        )


def _centre(record: Record) -> Iterator[Moment]:
    """What the controller wrote down, once for each gateway."""
    settled: dict[str, list[int]] = {}
    for group, entry in _settled(record).items():
        settled.setdefault(group.partition("/")[0], []).append(entry.unix_ns)
    for group in sorted(_shed(record)):
        yield Moment(
            ms=_ms(record, _shed(record)[group]),
            kind="centre",
            what=f"centre: {group} make room",
            detail="refused at the gateway, so that they take none",
        )
    for gateway, moments in settled.items():
        yield Moment(
            ms=_ms(record, max(moments)),
            kind="centre",
            what=f"centre: {gateway} is settled in the audit",
            detail=f"{len(moments)} classes, each verified by a probe of its own",
        )
    for phase in record.phases:
        if phase.phase == "NO_BACKUP" and record.cut_unix_ns <= phase.unix_ns < record.mended_unix_ns:
            yield Moment(
                ms=_ms(record, phase.unix_ns),
                kind="centre",
                what=f"centre: no room for {phase.group}",
                detail="what is left is for those that matter more",
            )


def _settled(record: Record) -> dict[str, Audit]:
    """Group ID to the entry by which the centre knows that it was moved and arrives: by its own order, or by the gateway's plan."""
    found: dict[str, Audit] = {}
    for entry in record.audit:
        is_known = entry.kind in {"verified", "adopted"} and bool(entry.to)
        if is_known and record.cut_unix_ns <= entry.unix_ns < record.mended_unix_ns:
            found[entry.group] = entry
    return found


def _shed(record: Record) -> dict[str, int]:
    """Group ID to when its packets were refused, as its gateway told."""
    return {
        entry.group: entry.unix_ns
        for entry in record.audit
        if entry.kind == "verified" and not entry.to and entry.unix_ns >= record.cut_unix_ns
    }


def _returns(record: Record) -> Iterator[Moment]:
    waiting = [phase for phase in record.phases if phase.phase == "WTR" and phase.unix_ns >= record.mended_unix_ns]
    gateways = dict.fromkeys(phase.group.partition("/")[0] for phase in waiting)
    for gateway in gateways:
        first = min(phase.unix_ns for phase in waiting if phase.group.startswith(f"{gateway}/"))
        yield Moment(ms=_ms(record, first), kind="centre", what=f"centre: {gateway} waits to restore")
    for group, came in record.flows.items():
        for unix_ns, interface in came.moves:
            if unix_ns >= record.mended_unix_ns:
                line = record.interfaces[interface]
                yield Moment(ms=_ms(record, unix_ns), kind="centre", what=f"{group} is back on {line}")


# --- The classes. ---


def _suffered(record: Record, group: str) -> Suffered:
    came = record.flows[group]
    moved = _first_move(record, group)
    is_shed = group in _shed(record)
    gap = _gap_at_cut(record, came)
    if is_shed and gap is None:
        gap = Gap(last_unix_ns=came.newest_unix_ns, next_unix_ns=record.ended_unix_ns, lost=0)
    gateway, _, name = group.partition("/")
    working, *_ = SCENE.lines_of(gateway)
    return Suffered(
        group=group,
        priority=SCENE.classes[name].priority,
        line=moved[1] if moved is not None else "",
        shed=is_shed,
        outage_ms=gap.outage_ms if gap is not None else 0.0,
        lost=gap.lost if gap is not None else 0,
        phases_ms=_phases_ms(record, group),
        returned=moved is not None and record.interfaces[came.interface] == working,
        lost_returning=sum(gap.lost for gap in came.gaps if gap.last_unix_ns >= record.mended_unix_ns),
    )


def _first_move(record: Record, group: str) -> tuple[int, str] | None:
    """When the first datagram came by another line, while the duct was cut, and by which."""
    for unix_ns, interface in record.flows[group].moves:
        if record.cut_unix_ns <= unix_ns < record.mended_unix_ns:
            return unix_ns, record.interfaces[interface]
    return None


def _gap_at_cut(record: Record, came: Came) -> Gap | None:
    """The longest that began while the duct was cut."""
    slack_ns = 100_000_000  # the last datagram before it came a moment earlier
    gaps = [gap for gap in came.gaps if record.cut_unix_ns - slack_ns <= gap.last_unix_ns < record.mended_unix_ns]
    return max(gaps, key=lambda gap: gap.outage_ms, default=None)


def _phases_ms(record: Record, group: str) -> dict[str, float]:
    """Of its gateway's report, as the audit has it."""
    entry = _settled(record).get(group)
    return {} if entry is None else {name: seconds * 1e3 for name, seconds in entry.phases_s.items()}


# --- The promise. ---


def _faults(record: Record, classes: tuple[Suffered, ...]) -> Iterator[str]:
    settled = _settled(record)
    for suffered in classes:
        group, limit_ms = suffered.group, LIFE_MAX_MS if suffered.priority == 0 else OTHERS_MAX_MS
        if suffered.shed != (group in SHED):
            yield f"{group} was {'' if suffered.shed else 'not '}shed"
        if group in SHED:
            continue
        if group in UNFIT:
            if suffered.line:
                yield f"{group} was moved to {suffered.line}, where there is no room for it"
            if not _flows_at_the_end(record, group):
                yield f"{group} does not flow although the duct is mended"
            continue
        if not suffered.line:
            yield f"{group} was not moved"
        elif suffered.outage_ms > limit_ms:
            yield f"{group} was away for {suffered.outage_ms:.0f} ms, more than {limit_ms:.0f}"
        if suffered.line and group not in settled:
            yield f"the centre does not know that {group} was moved"
        if group in RETURNING and not suffered.returned:
            yield f"{group} has not returned"
        if group not in RETURNING and suffered.returned:
            yield f"{group} has returned, in a disaster, after less than 12 minutes"
        if suffered.priority == 0 and suffered.lost_returning:
            yield f"{group} lost {suffered.lost_returning} datagrams after the duct was mended"
    yield from _order_faults(record, classes)


def _order_faults(record: Record, classes: tuple[Suffered, ...]) -> Iterator[str]:
    """P0 first at each gateway."""
    for gateway in SCENE.gateways:
        moved = {
            suffered.priority: move[0]
            for suffered in classes
            if suffered.group.startswith(f"{gateway}/") and (move := _first_move(record, suffered.group)) is not None
        }
        if moved and moved.get(0) != min(moved.values()):
            yield f"P0 was not the first to flow again at {gateway}"


def _flows_at_the_end(record: Record, group: str) -> bool:
    return record.ended_unix_ns - record.flows[group].newest_unix_ns < 1_000_000_000
