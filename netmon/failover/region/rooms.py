"""Who has room on which line of a region, who waits for it, and who has to leave.

Pure. `Loads` is the ledger and knows rates and weights; here it meets where groups are, where they are going, and what came of that. It is
level-triggered as well: whoever is on a line that is not his own is asked at each step whether the line is overfull, however that came about.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from netmon.failover.model import SHED, LineFacts
from netmon.failover.protection.admission import Loads
from netmon.failover.region.member import Member
from netmon.failover.region.sights import Sights


class Rooms:
    """The lines of a region, and who takes room of them.

    Attributes:
        loads: The ledger; read only.
    """

    def __init__(
        self,
        facts: Iterable[LineFacts],
        members: Mapping[str, Member],
        sights: Sights,
        stays: Container[str],
        mark: Callable[[Member], None],
    ) -> None:
        """Everybody takes room where he is, or is being moved to.

        Args:
            facts: Of the lines.
            members: Group ID to its member.
            sights: How lines are.
            stays: IDs of groups that cannot be made to leave, as they are whenever it is asked.
            mark: Has a group stepped again: it has to leave, or what it waits for is there.
        """
        facts = list(facts)
        self.loads = Loads(facts, (member.group for member in members.values()), stays)
        self._members, self._sights, self._stays, self._mark = members, sights, stays, mark
        self._waiting: dict[str, set[str]] = {line.line_id: set() for line in facts}
        """Line ID to those of its groups that wait for room or for their turn."""
        for member in members.values():
            self.loads.place(member.group.id, self.place(member))

    def place(self, member: Member) -> str:
        """Line that a group takes room of; one that the region has no more takes none."""
        return member.place if member.place in self._waiting else SHED

    def update(self, member: Member) -> None:
        """Notes where a group is after its step: whoever is in its way has to leave, and who waits for what it took is looked at."""
        self._note_stuck(member)
        place, before = self.place(member), self.loads.where(member.group.id)
        if place != before:
            member.evicted_from, member.is_stuck = "", False
            # Who was stuck, and has left now, may be on its way to somewhere else already.
            place = self.place(member)
        if place != before or self._is_crowded(member, place):
            self._ask_to_leave(member, place, before)
        self.loads.place(member.group.id, place)
        if place != before:
            self._look_for_room(before)

    def give_back(self, member: Member) -> None:
        """A move has come to nothing: until its group is stepped, it is counted where it is, and nobody is given the room that it was to leave."""
        told = (member.news.on if member.news is not None else None, member.told_on, member.state.on)
        on = next(line_id for line_id in told if line_id is not None)
        before = self.loads.where(member.group.id)
        self.loads.place(member.group.id, on if on in self._waiting else SHED)
        self._look_for_room(before)

    def wait(self, member: Member, *, waits: bool) -> None:
        """Has a group looked at when somebody leaves one of its lines, or no longer."""
        if waits != member.waits:
            member.waits = waits
            for line_id in member.lines:
                (self._waiting[line_id].add if waits else self._waiting[line_id].discard)(member.group.id)

    def leavers(self, member: Member, line_id: str, before: str | None = None) -> tuple[str, ...] | None:
        """Who leaves a line so that the group can come to it: of lower weight; or of the same, if the two are on each other's working lines.

        Args:
            member: The group.
            line_id: Where to.
            before: Line that it comes from; None: where it is.

        Returns:
            Group IDs, may be empty; None: there is no room.
        """
        group, loads = member.group, self.loads
        before = loads.where(group.id) if before is None else before
        leavers = loads.victims(line_id, group, self._has_elsewhere)
        if leavers is not None or line_id != group.working or before in {SHED, line_id}:
            return leavers
        need = sum(loads.admitted(line_id)) + group.bandwidth_bps - loads.usable(line_id)
        room = loads.usable(before) - sum(loads.admitted(before)) + group.bandwidth_bps
        for group_id in loads.groups(line_id):
            other = self._members[group_id].group
            if group_id in self._stays or other.working != before or other.priority != group.priority:
                continue
            if need <= other.bandwidth_bps <= room or (need <= other.bandwidth_bps and not loads.usable(before)):
                return (group_id,)
        return None

    def has_to_leave(self, member: Member) -> bool:
        """Whether the line that a group was told to leave is overfull still; or whether others wait for it to leave, if it could not so far."""
        reported = member.reported_on
        if member.news is not None and member.news.outcome == "verified":
            reported = member.news.on
        on = self.loads.where(member.group.id) if reported is None else reported
        is_there = bool(member.evicted_from) and on == member.evicted_from
        if is_there and (self._is_overfull(on) or (member.is_stuck and self._is_waited_for(member, on))):
            return True
        member.evicted_from = ""
        return False

    def _is_waited_for(self, member: Member, line_id: str) -> bool:
        """Whether somebody of greater weight, who would take its room, is nowhere."""
        return any(
            self.loads.priority(group_id) < member.group.priority and self.loads.where(group_id) != line_id
            for group_id in self._waiting[line_id]
        )

    def _note_stuck(self, member: Member) -> None:
        """Notes whether a group cannot leave a line that it was told to leave: its gateway failed to move it, or nobody may.

        From then on it keeps its room there until it has really left, however often that is tried again, and others have to leave in its place.
        """
        was_stuck = member.is_stuck
        member.is_stuck = bool(member.evicted_from) and (was_stuck or member.state.attempt is None)
        if member.is_stuck and not was_stuck:
            for group_id in self.loads.groups(member.evicted_from):
                self._mark(self._members[group_id])

    def _ask_to_leave(self, member: Member, place: str, before: str) -> None:
        """Tells those that are in a group's way."""
        group, attempt = member.group, member.state.attempt
        if place == SHED:
            return
        leavers = self.leavers(member, place, before)
        if leavers is None and attempt is not None and attempt.reason == "forced":
            leavers = self.loads.lower(place, group)
        if leavers is None and group.priority and group.id not in self._stays:
            # Its gateway has put it there, where others have been put as well: it does not fit, and shall not crowd them.
            leavers = (group.id,)
        for group_id in leavers or ():
            victim = self._members[group_id]
            if victim.evicted_from != place:
                victim.evicted_from = place
                self._mark(victim)

    def _is_crowded(self, member: Member, place: str) -> bool:
        """Whether a group is a guest on a line that is overfull, also when those have left that were told to.

        At home it stays as it is: the region may give away more than there is.
        """
        if place in {SHED, member.group.working} or member.evicted_from or not self._is_overfull(place):
            return False
        others = (self._members[group_id] for group_id in self.loads.groups(place))
        leaving = sum(each.group.bandwidth_bps for each in others if each.evicted_from == place and not each.is_stuck)
        return sum(self.loads.admitted(place)) - leaving > self.loads.usable(place)

    def _is_overfull(self, line_id: str) -> bool:
        usable = self.loads.usable(line_id)
        return bool(usable) and sum(self.loads.admitted(line_id)) > usable

    def _has_elsewhere(self, group_id: str) -> bool:
        """Whether a group has another line that would take it as things are."""
        member = self._members[group_id]
        sights = self._sights.of(member.group.gateway_id)
        return any(
            line_id != member.place and sights[line_id].state == "up" and self.loads.fits(line_id, member.group)
            for line_id in member.lines
        )

    def _look_for_room(self, line_id: str) -> None:
        """Has those that wait for room of a line looked at: somebody has left it."""
        if line_id != SHED:
            for group_id in self._waiting[line_id]:
                self._mark(self._members[group_id])
