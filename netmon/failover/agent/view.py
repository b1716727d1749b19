"""What a gateway sees of its own lines, and which of them a class may go to by that.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from netmon.failover.agent import room
from netmon.failover.agent.room import Room
from netmon.failover.model import Candidate, LineSight
from netmon.failover.plan.model import PlannedGroup, PlannedLine

_S: Final = 1_000_000_000


class View:
    """The lines of one plan."""

    def __init__(self, lines: Iterable[PlannedLine] = (), known: Iterable[LineSight] = ()) -> None:
        """`known`: what a former view knew; of it counts what is of lines that are still there."""
        self._proven_s = {line.line_id: 2 * _rest_s(line) for line in lines}
        self._sights: dict[str, LineSight] = {}
        self._first_miss_ns: dict[str, int] = {}
        for sight in known:
            self.take(sight, 0)

    def take(self, sight: LineSight, first_miss_ns: int) -> None:
        """A line as it is now; one that is not in the plan is nobody's business."""
        if sight.line_id in self._proven_s:
            self._sights[sight.line_id] = sight
            self._first_miss_ns[sight.line_id] = first_miss_ns

    def forget(self) -> None:
        """Nothing is known of any of them."""
        self._sights.clear()
        self._first_miss_ns.clear()

    @property
    def sights(self) -> tuple[LineSight, ...]:
        """Of all lines that anything is known of."""
        return tuple(self._sights.values())

    @property
    def failed(self) -> frozenset[str]:
        """Lines that are down."""
        return frozenset(line_id for line_id, sight in self._sights.items() if sight.state == "down")

    def down(self, line_id: str) -> LineSight | None:
        """The sight of a line, if that says down."""
        sight = self._sights.get(line_id)
        return sight if sight is not None and sight.state == "down" else None

    def of(self, line_ids: Iterable[str]) -> dict[str, LineSight]:
        """These lines; of which nothing is known, that is unknown."""
        return {line_id: self._sights.get(line_id) or LineSight(line_id=line_id) for line_id in line_ids}

    def candidates(
        self, planned: PlannedGroup, on: str, avoid: Collection[str], free: Room, now_ns: int
    ) -> tuple[Candidate, ...]:
        """Protection lines that the class may use now, the best first.

        Those that have answered since its own line fell silent go before those that have not yet: a line in the same duct may be just as dead, and
        what is asked more rarely has not been found so. Next, those that are up go before those that are degraded; of these there is none while the
        class may as well go home.

        Args:
            planned: The class.
            on: The line that it is on.
            avoid: Lines that the centre does not want to be used.
            free: What fits.
            now_ns: Now.
        """
        order = [
            line_id
            for line_id in room.ranking(planned, self.failed)
            if line_id != planned.working
            and line_id not in avoid
            and self._is_proven(planned, line_id, now_ns)
            and free.fits(planned, line_id)
        ]
        home = self._sights.get(planned.working)
        if on != planned.working and home is not None and home.state in room.GOOD:
            order = [line_id for line_id in order if self._sights[line_id].state == "up"]
        silent_ns = self._first_miss_ns.get(on, 0) if on in self.failed else 0
        found = []
        for place, line_id in enumerate(order):
            sight = self._sights[line_id]
            rank = (int(sight.good_unix_ns < silent_ns), int(sight.state == "degraded"), place)
            found.append(Candidate(line_id, rank))
        return tuple(sorted(found, key=_rank))

    def _is_proven(self, planned: PlannedGroup, line_id: str, now_ns: int) -> bool:
        proven_s = max(planned.timers.proven_s, self._proven_s.get(line_id, 0.0))
        return room.is_proven(self._sights.get(line_id), proven_s, now_ns)

    def waited_s(self, line_id: str, now_ns: int) -> dict[str, float]:
        """How long it took to see that a line is dead, and how long that was waited with; empty: it is not dead."""
        sight, first_miss_ns = self.down(line_id), self._first_miss_ns.get(line_id, 0)
        if sight is None or not first_miss_ns:
            return {}
        detect_ns, hold_ns = sight.since_unix_ns - first_miss_ns, now_ns - sight.since_unix_ns
        return {"detect": max(detect_ns, 0) / _S, "hold": max(hold_ns, 0) / _S}


def _rest_s(line: PlannedLine) -> float:
    """From one probe of a line to the next, while all is well."""
    return line.profile.standby_interval_s if line.standby else line.profile.interval_s


def _rank(candidate: Candidate) -> tuple[int, ...]:
    return candidate.rank
