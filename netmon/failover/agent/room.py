"""Where a class may go, as its gateway can tell by itself: the plan's ranking for what has failed here, what is proven, and what fits.

Pure. The centre knows what other gateways need of a line, and has put that into the rankings; what fits is asked here of the gateway's own
classes alone, the more important ones first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from netmon.active_probe.model import LineState
from netmon.failover.model import SHED, LineSight
from netmon.failover.plan.model import PlannedGroup, PlannedLine

USABLE: Final = 0.8
"""Share of a line's capacity that guaranteed rates may take: the rest is for what is not guaranteed, and for bursts."""

GOOD: Final[frozenset[LineState]] = frozenset({"up", "degraded"})


def ranking(group: PlannedGroup, failed: Collection[str]) -> tuple[str, ...]:
    """Lines for the class, the best first, when these have failed; without those. Empty: the plan has none.

    A plan of many lines does not have every combination: then that counts which knows most of what has failed.
    """
    known = [each for each in group.rankings if set(each.failed) <= set(failed)]
    if not known:
        return ()
    nearest = max(known, key=lambda each: len(each.failed))
    return tuple(line_id for line_id in nearest.order if line_id not in failed)


def is_proven(sight: LineSight | None, proven_s: float, now_ns: int) -> bool:
    """Whether the gateway's own probes show that the line is good, and have lately."""
    return sight is not None and sight.state in GOOD and now_ns - sight.good_unix_ns <= proven_s * 1e9


class Room:
    """What the gateway's classes take of its lines, while they are decided one after another, the most important one first."""

    def __init__(self, lines: Iterable[PlannedLine], groups: Iterable[PlannedGroup], places: Mapping[str, str]) -> None:
        """`places`: group ID to where its traffic is, or is going."""
        self._usable_bps = {line.line_id: USABLE * line.capacity_bps for line in lines if line.capacity_bps}
        self._groups = {group.group_id: group for group in groups}
        self._places = dict(places)

    def put(self, group_id: str, line_id: str) -> None:
        """The class is going there."""
        self._places[group_id] = line_id

    def fits(self, group: PlannedGroup, line_id: str) -> bool:
        """Whether the line has room for the class beside those that are not less important; the others would have to make room."""
        usable_bps = self._usable_bps.get(line_id)
        if usable_bps is None or line_id == SHED or not group.bandwidth_bps:
            return True
        return self._taken_bps(line_id, group) + group.bandwidth_bps <= usable_bps

    def _taken_bps(self, line_id: str, group: PlannedGroup) -> int:
        """By classes that go before this one: greater weight, or the same and a smaller ID if both are on the line already."""
        is_there = self._places.get(group.group_id) == line_id
        taken = 0
        for other_id, place in self._places.items():
            other = self._groups.get(other_id)
            if place != line_id or other is None or other_id == group.group_id:
                continue
            before = (other.priority, other_id) < (group.priority, group.group_id)
            if before if is_there else other.priority <= group.priority:
                taken += other.bandwidth_bps
        return taken
