"""What lines have room for: a ledger of guaranteed rates for the whole region, and who makes room for whom.

Pure. Of a line, 80 % are given away; the rest is for what is not guaranteed, for bursts, and for P0 that comes before anybody has made room.
A line whose capacity is not known has room for all. Nobody who is at home is sent away because the region gives more away than there is:
the ledger may begin overfull, but nothing comes to a line that would not fit.

A rate of 0 is as little as to need no room. P0 and P1 with it always fit. P2 and P3 with it come only to a line that is not full, since it
may also mean that nobody has thought about it; and none of them is ever made to leave, as that would make no room.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final

from netmon.failover.model import SHED, Candidate, Group, LineFacts
from netmon.failover.protection.choice import TOO_SLOW
from netmon.failover.protection.posture import URGENT_MAX

USABLE_PERCENT: Final = 80
"""Of a line's capacity."""
ROOM_STEPS: Final = 4
"""Room is compared in quarters of what is usable: two lines of one rank do not change places with each group that moves."""
ELSEWHERE_LOOKS: Final = 8
"""Of so many groups that would make the same room, at most, it is asked whether they have somewhere else to go."""


def usable_bps(capacity_bps: int) -> int:
    """What of a line is given away; 0: its capacity is not known, and there is no limit."""
    return capacity_bps * USABLE_PERCENT // 100


def _nowhere(_: str) -> bool:
    return False


class _Ledger:
    """One line."""

    __slots__ = ("admitted", "groups", "total", "usable")

    def __init__(self, usable: int) -> None:
        self.usable = usable
        self.total = 0
        self.admitted = [0, 0, 0, 0]
        self.groups: list[list[tuple[int, str]]] = [[], [], [], []]
        """Of each priority: rate and group ID, sorted."""

    def put(self, group: Group) -> None:
        self.total += group.bandwidth_bps
        self.admitted[group.priority] += group.bandwidth_bps
        insort(self.groups[group.priority], (group.bandwidth_bps, group.id))

    def take(self, group: Group) -> None:
        self.total -= group.bandwidth_bps
        self.admitted[group.priority] -= group.bandwidth_bps
        groups = self.groups[group.priority]
        del groups[bisect_left(groups, (group.bandwidth_bps, group.id))]


class Loads:
    """Which group takes room of which line."""

    def __init__(
        self, facts: Iterable[LineFacts], groups: Iterable[Group], stays: Container[str] = frozenset()
    ) -> None:
        """Nobody is anywhere: `place` them. `stays`: IDs of groups that cannot be made to leave, as they are whenever it is asked."""
        self._stays = stays
        self._lines = {line.line_id: _Ledger(usable_bps(line.capacity_bps)) for line in facts}
        self._groups = {group.id: group for group in groups}
        self._places: dict[str, str] = {}

    def place(self, group_id: str, line_id: str) -> None:
        """Puts a group onto a line, or nowhere (SHED), whether it fits or not; what it took elsewhere is free again."""
        group = self._groups[group_id]
        before = self._places.get(group_id, SHED)
        if before == line_id:
            return
        if before != SHED:
            self._lines[before].take(group)
        if line_id != SHED:
            self._lines[line_id].put(group)
        self._places[group_id] = line_id

    def where(self, group_id: str) -> str:
        """Line of which the group takes room; or SHED."""
        return self._places.get(group_id, SHED)

    def priority(self, group_id: str) -> int:
        """Of a group, 0 to 3."""
        return self._groups[group_id].priority

    def fits(self, line_id: str, group: Group) -> bool:
        """Whether the group may come to the line as things are. One that is there fits."""
        line = self._lines[line_id]
        if not line.usable or self._places.get(group.id) == line_id:
            return True
        if group.bandwidth_bps:
            return line.total + group.bandwidth_bps <= line.usable
        return group.priority <= URGENT_MAX or line.total < line.usable

    def victims(
        self, line_id: str, group: Group, elsewhere: Callable[[str], bool] = _nowhere
    ) -> tuple[str, ...] | None:
        """Who has to leave the line so that it has room for the group: of the lowest priority first, as few as possible.

        Args:
            line_id: The line.
            group: Who comes, or is there already, on a line that is overfull.
            elsewhere: Whether a group of lower priority has another line to go to; of those that would make the same room, such a one leaves.

        Returns:
            Group IDs, P3 first; empty: there is room; None: there would be none even if all of lower priority left, and it is not P0.
        """
        line = self._lines[line_id]
        need = self._need(line, line_id, group)
        if need <= 0 and group.bandwidth_bps:
            return ()
        if not self.has_room(line_id, group, evict=True):
            return None
        if need <= 0:
            return ()
        chosen: list[tuple[int, str]] = []
        for priority in range(3, group.priority, -1):
            movable = [each for each in line.groups[priority] if each[1] not in self._stays]
            found = _fewest(movable, need, elsewhere)
            chosen += found
            need -= sum(rate for rate, _ in found)
            if need <= 0:
                break
        return _without_surplus(chosen, -need)

    def lower(self, line_id: str, group: Group) -> tuple[str, ...]:
        """All of lower priority on a line that can be made to leave it and make room, P3 first: where even that is not enough, it is a help."""
        groups = self._lines[line_id].groups
        return tuple(
            group_id
            for priority in range(3, group.priority, -1)
            for rate, group_id in groups[priority]
            if rate and group_id not in self._stays
        )

    def has_room(self, line_id: str, group: Group, *, evict: bool) -> bool:
        """Whether the group may come to the line: as things are, or (`evict`) when others have made room; P0 also where they cannot."""
        if not evict or not group.bandwidth_bps:
            return self.fits(line_id, group)
        line = self._lines[line_id]
        return self._can_make_room(line, line_id, group) or self._is_life(line, line_id, group)

    def order(self, group: Group, candidates: Sequence[Candidate], *, evict: bool) -> list[Candidate]:
        """Candidates that have room for the group, or could have, the best first; may be empty.

        Among those of one rank, the one with more room (in quarters) goes first. When others may be made to leave: P0 goes to a line on which
        it drives nobody away if such a one shares as few risks and is not slower than it can use; P1 and P2 prefer any such line. Where not
        enough can be made to leave, P0 goes last of all.

        Args:
            group: Who is to go.
            candidates: As `Chooser.rank` returns them.
            evict: Whether groups of lower priority may be made to leave for it: it has to go somewhere, and does not merely look for something
                better.
        """
        found = []
        for place, candidate in enumerate(candidates):
            driven = not self.fits(candidate.line_id, group)
            if driven and not (evict and self.has_room(candidate.line_id, group, evict=True)):
                continue
            is_crowded = driven and not self._can_make_room(self._lines[candidate.line_id], candidate.line_id, group)
            grade = candidate.rank[: TOO_SLOW + 1] if group.priority == 0 else ()
            found.append((is_crowded, grade, driven, candidate.rank, -self._room(candidate.line_id), place, candidate))
        found.sort()
        return [each[-1] for each in found]

    def usable(self, line_id: str) -> int:
        """What of the line is given away, in bit/s; 0: there is no limit."""
        return self._lines[line_id].usable

    def admitted(self, line_id: str) -> tuple[int, int, int, int]:
        """What P0 to P3 have of the line, in bit/s."""
        first, second, third, fourth = self._lines[line_id].admitted
        return first, second, third, fourth

    def groups(self, line_id: str) -> list[str]:
        """IDs of the groups that have room of the line, P0 first, the smaller ones first."""
        return [group_id for groups in self._lines[line_id].groups for _, group_id in groups]

    def _need(self, line: _Ledger, line_id: str, group: Group) -> int:
        """What has to go before the group fits, if it has a rate; 0 or less: nothing."""
        if not line.usable or not group.bandwidth_bps:
            return 0
        comes = 0 if self._places.get(group.id) == line_id else group.bandwidth_bps
        return line.total + comes - line.usable

    def _can_make_room(self, line: _Ledger, line_id: str, group: Group) -> bool:
        """Whether there is room once all of lower priority that can be made to leave have left."""
        need = self._need(line, line_id, group)
        if need <= 0:
            return True
        if sum(line.admitted[group.priority + 1 :]) < need:
            return False
        # The largest first: mostly a few are enough to know.
        for priority in range(3, group.priority, -1):
            for rate, group_id in reversed(line.groups[priority]):
                need -= 0 if group_id in self._stays else rate
                if need <= 0:
                    return True
        return False

    def _is_life(self, line: _Ledger, line_id: str, group: Group) -> bool:
        """Whether it is P0, and fits with all P0: that others cannot be made to leave keeps no siren out, which else would be nowhere."""
        comes = 0 if self._places.get(group.id) == line_id else group.bandwidth_bps
        return group.priority == 0 and line.admitted[0] + comes <= line.usable

    def _room(self, line_id: str) -> int:
        line = self._lines[line_id]
        return ROOM_STEPS if not line.usable else max(line.usable - line.total, 0) * ROOM_STEPS // line.usable


def _fewest(groups: Sequence[tuple[int, str]], need: int, elsewhere: Callable[[str], bool]) -> list[tuple[int, str]]:
    """As few of these groups as make so much room, or all that make any: the largest ones, and the smallest that suffices as the last."""
    if sum(rate for rate, _ in groups) <= need:
        return [each for each in groups if each[0]]
    left, chosen = list(groups), []
    while need > 0:
        # No tuple with this rate sorts before ("rate", "").
        enough = bisect_left(left, (need, ""))
        rate = left[enough][0] if enough < len(left) else left[-1][0]
        first = bisect_left(left, (rate, ""))
        equal = range(first, min(bisect_left(left, (rate + 1, "")), first + ELSEWHERE_LOOKS))
        place = next((place for place in equal if elsewhere(left[place][1])), first)
        chosen.append(left.pop(place))
        need -= rate
    return chosen


def _without_surplus(chosen: Sequence[tuple[int, str]], surplus: int) -> tuple[str, ...]:
    """Who really has to leave: whoever of the last, and so of the higher priority, is not needed stays."""
    needed = []
    for rate, group_id in reversed(chosen):
        if rate <= surplus:
            surplus -= rate
        else:
            needed.append(group_id)
    return tuple(reversed(needed))
