"""The region's groups counted: how many are in which phase and on which line, kept up with each change so that a report costs nothing.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from netmon.failover.controller.report import (
    GROUPS_SHOWN_MAX,
    STEPS,
    Counts,
    GroupReport,
    Histogram,
    LineReport,
)
from netmon.failover.model import SHED, Group, GroupState, Phase, Priority
from netmon.failover.protection import timers
from netmon.failover.record import Audit

Four = tuple[int, int, int, int]
"""P0, P1, P2, P3."""
_NONE: Final[Four] = (0, 0, 0, 0)


class Tally:
    """All groups, as of their last change."""

    def __init__(self, groups: Mapping[str, Group], states: Iterable[GroupState]) -> None:
        """`groups`: by group ID; `states` of others are left out."""
        self._groups = groups
        self._phases: Counter[tuple[Phase, Priority]] = Counter()
        self._on: Counter[tuple[str, Priority]] = Counter()
        self._bps: Counter[tuple[str, Priority]] = Counter()
        self._states: dict[str, GroupState] = {}
        self._away: tuple[dict[str, None], ...] = ({}, {}, {}, {})
        """Groups that are not at rest where they belong: P0, P1, P2, P3."""
        for state in states:
            self.put(state)

    def put(self, state: GroupState) -> None:
        """Takes how a group is now."""
        group = self._groups.get(state.group_id)
        if group is None:
            return
        before = self._states.get(group.id)
        if before is not None:
            self._count(group, before, -1)
        self._states[group.id] = state
        self._count(group, state, 1)
        if state.phase == "NR" and state.on == group.working and state.attempt is None:
            self._away[group.priority].pop(group.id, None)
        else:
            self._away[group.priority][group.id] = None

    def _count(self, group: Group, state: GroupState, by: int) -> None:
        self._phases[state.phase, group.priority] += by
        self._on[state.on, group.priority] += by
        self._bps[state.on, group.priority] += by * group.bandwidth_bps

    @property
    def total(self) -> int:
        """Groups."""
        return len(self._states)

    def phases(self) -> dict[str, Four]:
        """Phase to number of groups, of those phases that there are."""
        return _fours({key: count for key, count in self._phases.items() if count})

    def lines(self, usable_bps: Mapping[str, int]) -> dict[str, LineReport]:
        """Line ID to what it carries; nowhere is no line."""
        counts = _fours({key: count for key, count in self._on.items() if count})
        bps = _fours(self._bps)
        return {
            line_id: LineReport(
                groups=counts[line_id], admitted_bps=bps.get(line_id, _NONE), usable_bps=usable_bps.get(line_id, 0)
            )
            for line_id in sorted(counts)
            if line_id != SHED
        }

    def shed(self) -> tuple[Four, Four]:
        """How many groups are nowhere, and their guaranteed rates."""
        return (
            _fours({(SHED, priority): self._on[SHED, priority] for priority in (0, 1, 2, 3)})[SHED],
            _fours({(SHED, priority): self._bps[SHED, priority] for priority in (0, 1, 2, 3)})[SHED],
        )

    def admitted_bps(self) -> Four:
        """Guaranteed rates of all groups that are somewhere."""
        found = [0, 0, 0, 0]
        for (line_id, priority), bps in self._bps.items():
            if line_id != SHED:
                found[priority] += bps
        return found[0], found[1], found[2], found[3]

    def away(self, now_unix_ns: int) -> tuple[dict[str, GroupReport], int]:
        """Groups that are not at rest where they belong, P0 and who has been away longest first, no more than GROUPS_SHOWN_MAX; and how many more."""
        ranked = (group_id for away in self._away for group_id in away)
        shown = sorted(
            islice(ranked, GROUPS_SHOWN_MAX), key=lambda group_id: (self._groups[group_id].priority, group_id)
        )
        named = {group_id: self._report(group_id, now_unix_ns) for group_id in shown}
        return named, sum(map(len, self._away)) - len(named)

    def _report(self, group_id: str, now_unix_ns: int) -> GroupReport:
        group, state = self._groups[group_id], self._states[group_id]
        is_waiting = state.phase == "WTR" and state.due_unix_ns
        return GroupReport(
            phase=state.phase,
            priority=group.priority,
            on=state.on,
            reason=state.reason,
            since_unix_ns=state.since_unix_ns,
            wtr_remaining_s=max(state.due_unix_ns - now_unix_ns, 0) / 1e9 if is_waiting else None,
            penalty=round(timers.penalty(group.damping, state, now_unix_ns), 1),
            damped=timers.is_damped(group.damping, state, now_unix_ns),
        )


def count_audit(counts: Counts, audit: Audit) -> None:
    """Counts what the audit tells of switches."""
    reason = audit.reason or "reconcile"
    if audit.kind in ("verified", "adopted"):
        counts.switches[reason] = counts.switches.get(reason, 0) + 1
        for step in STEPS:
            if (seconds := audit.phases_s.get(step)) is not None:
                counts.phases.setdefault(step, Histogram()).add(seconds)
    elif audit.kind == "failed":
        counts.failed[reason] = counts.failed.get(reason, 0) + 1
    elif audit.kind == "refused":
        counts.fences_rejected += 1
        refuse(counts, "fence")
    elif audit.kind == "unreachable":
        refuse(counts, "unreachable")
    elif audit.page in ("no_backup", "exercise_no_target"):
        refuse(counts, audit.page)


def refuse(counts: Counts, word: str) -> None:
    """Counts that something was not done. `word` is of a closed set."""
    counts.refused[word] = counts.refused.get(word, 0) + 1


def _fours(counts: Mapping[tuple[str, Priority], int]) -> dict[str, Four]:
    found: dict[str, list[int]] = {}
    for (name, priority), count in counts.items():
        found.setdefault(name, [0, 0, 0, 0])[priority] = count
    return {name: (four[0], four[1], four[2], four[3]) for name, four in found.items()}
