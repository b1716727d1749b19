"""What is seen and asked in a region, and whom it concerns: all protection groups, their lines, gateways, areas, and what operators want.

Pure. Taking something in is cheap: it is kept, and the groups that it concerns are marked. `netmon.failover.region.coordinator` decides for them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.model import ActionResult, Freeze, Group, GroupState, LineFacts, LineSight, Request
from netmon.failover.plan.model import Reported
from netmon.failover.protection import machine
from netmon.failover.protection.choice import Chooser, has_failed
from netmon.failover.protection.freeze import BY as GUARD
from netmon.failover.protection.freeze import Guard
from netmon.failover.protection.posture import EFFECTS, effective
from netmon.failover.region.asked import NOTHING, Asked
from netmon.failover.region.lives import Lives
from netmon.failover.region.member import Member
from netmon.failover.region.sights import Sights

GATEWAY_FIRST_S: Final = 0.3
"""A gateway that leaves a dead line by itself is given so long to tell of it, before it is ordered to: both would choose in the same moment, and
where two lines are equally good, not always the same one."""


class Watched:
    """All groups of a region, and what has come in about them.

    Attributes:
        fence: The leader's number, which the controller sets; 0: nobody leads. A report of an order under another fence is no result of ours.
        states: Group ID to where it stands; read only.
    """

    def __init__(
        self,
        lines: Sequence[LineFacts],
        groups: Sequence[Group],
        states: Iterable[GroupState] = (),
        *,
        started_unix_ns: int,
    ) -> None:
        """Begins where another one ended; every group is marked."""
        self.fence = 0
        self._facts = {facts.line_id: facts for facts in lines}
        known = {state.group_id: state for state in states}
        in_order = sorted(groups, key=lambda group: (group.priority, group.id))
        self._members = [
            Member(group, order, known.get(group.id) or machine.initial(group, started_unix_ns))
            for order, group in enumerate(in_order)
        ]
        self.states: dict[str, GroupState] = {member.group.id: member.state for member in self._members}
        self._by_id = {member.group.id: member for member in self._members}
        self._of_line: dict[str, list[Member]] = {line_id: [] for line_id in self._facts}
        self._of_gateway: dict[str, list[Member]] = {}
        self._of_area: dict[str, list[Member]] = {}
        for member in self._members:
            for line_id in member.lines:
                self._of_line[line_id].append(member)
            self._of_gateway.setdefault(member.group.gateway_id, []).append(member)
            self._of_area.setdefault(member.group.area_id, []).append(member)
        self._sights = Sights(
            self._facts,
            {
                gateway_id: frozenset(line_id for member in members for line_id in member.lines)
                for gateway_id, members in self._of_gateway.items()
            },
        )
        self._lives: dict[str, Lives] = {}
        """Of gateways, by their IDs."""
        self._heard_ns: dict[str, int] = {}
        """Gateway ID to when it last told something."""
        self._postures: dict[str, Posture] = {}
        self._asked = Asked({group.id: group for group in in_order})
        self._frozen: Freeze | None = None
        self._guard = Guard(lines)
        self._chooser = Chooser(lines)
        self._todo = [member.order for member in self._members]
        """Heap of groups to be stepped, by their order."""
        self._marked = set(self._todo)
        self._restless: set[int] = set()
        """Groups that are not at home and at rest, by their order."""
        self._terms_due: set[int] = set()
        """Groups of which a line is different now, by their order: their gateways may have to be told to avoid it."""
        self._stays = {member.group.id for member in self._members if member.group.mode != "act"}
        """Groups that cannot be made to leave their lines: operators have placed them, nobody reaches them, they could not, or are only observed."""

    # -- what happens: cheap, and only notes whom it concerns

    def see_line(self, sight: LineSight) -> None:
        """Takes the verdict on a line; of one that is not in the region: nothing happens."""
        if sight.line_id not in self._facts:
            return
        is_different = self._sights.see(sight)
        self._guard.see_line(
            sight.line_id,
            known=sight.state != "unknown",
            failed=has_failed(sight, both_ways=True),
            since_unix_ns=sight.since_unix_ns,
        )
        self._line_seen(sight.line_id, is_different)

    def see_gateway(self, reported: Reported, now_ns: int) -> None:
        """Takes what a gateway tells: of its lines, of where its groups are, of orders. One that is older than the last known does nothing."""
        members = self._of_gateway.get(reported.gateway_id)
        if members is None or not self._is_newer(reported):
            return
        if reported.stopped:
            self.lose_gateway(reported.gateway_id)
            return
        self._heard_ns[reported.gateway_id] = now_ns
        is_different = self._sights.see_gateway(reported.gateway_id, reported.lines)
        told = {each.group_id: each for each in reported.groups}
        for member in members:
            was_lost, member.reachable = not member.reachable, True
            is_led = member.group.leaves_by_itself and member.group.mode == "act" and reported.plan_version > 0
            if is_led != member.is_led:
                member.is_led = is_led
                self._fit(member)
            news = told.get(member.group.id)
            if was_lost:
                self._fix(member, now_ns)
            if (news is not None and member.report(news, now_ns)) or is_different:
                self._mark(member)

    def lose_gateway(self, gateway_id: str) -> None:
        """A gateway is silent: what it saw counts no more, and it cannot be told anything until it speaks."""
        self._sights.lose_gateway(gateway_id)
        for member in self._of_gateway.get(gateway_id, ()):
            member.reachable = member.is_led = False
            self._fit(member)
            self._stays.add(member.group.id)
            self._mark(member)

    def see_posture(self, area_id: str, posture: Posture) -> None:
        """Takes the posture of an area."""
        self._postures[area_id] = posture
        for member in self._of_area.get(area_id, ()):
            if member.posture != posture:
                member.posture = posture
                self._fit(member)
                self._mark(member)

    def see_vantages(self, live: int, total: int, now_ns: int) -> None:
        """Takes how many of the vantages live: with too few of them, a region that fails all at once freezes."""
        self._guard.see_vantages(live, total, now_ns)

    def see_trap(self, line_id: str, failed: bool, unix_ns: int) -> None:
        """Takes what trusted traps say of a line; it counts as SF until a probe shows the line good later than that, or traps take it back."""
        if line_id in self._facts:
            self._line_seen(line_id, self._sights.see_trap(line_id, failed, unix_ns))

    def ask(self, request: Request, now_ns: int) -> str:
        """Takes an operator's request; the same one twice is taken once.

        Returns:
            Empty, or why it is refused.
        """
        if why := self._asked.refusal(request, now_ns):
            return why
        member = self._by_id[request.group_id]
        if request.kind == "exercise" and not EFFECTS[member.posture].exercises:
            return f"area {member.group.area_id} is in posture {member.posture}: nothing is exercised there now"
        if request.id == member.state.void_request_id:
            return "it is over already"
        if self._asked.add(request):
            self._fix(member, now_ns)
        return ""

    def clear(self, group_id: str, now_ns: int) -> str:
        """Takes back all requests of a group; what it waits for (WTR, damping, DNR, the next round of attempts) waits no longer.

        Returns:
            Empty, or why it is refused.
        """
        member = self._by_id.get(group_id)
        if member is None:
            return f"there is no group {group_id}"
        state = member.state
        is_asked = self._asked.in_force(group_id, now_ns) != NOTHING
        if not is_asked and state.phase == "NR" and state.attempt is None and not state.penalty:
            return f"nothing is asked of {group_id}, and it waits for nothing"
        self._asked.clear(group_id)
        member.clear = True
        self._fix(member, now_ns)
        return ""

    def freeze(self, freeze: Freeze | None, now_ns: int) -> None:
        """Freezes the region, or lifts that, whoever froze it. One whose end has passed does nothing."""
        if freeze is None:
            self._guard.lift()
            self._frozen = None
        elif freeze.by == GUARD:
            # Of a leader before: it ends by itself, as it would have then.
            self._guard.resume(freeze)
        elif not freeze.until_unix_ns or freeze.until_unix_ns > now_ns:
            self._frozen = freeze

    def approve(self, group_id: str, generation: int) -> str:
        """Lets a proposal be done (mode advise).

        Returns:
            Empty, or why it is refused.
        """
        member = self._by_id.get(group_id)
        if member is None:
            return f"there is no group {group_id}"
        attempt = member.state.attempt
        if member.group.mode != "advise":
            return f"{group_id} is in mode {member.group.mode}: only in mode advise is there anything to be approved"
        if attempt is None or attempt.stage != "proposed" or attempt.generation != generation:
            return f"no proposal {generation} of {group_id} waits for approval"
        member.approved = generation
        self._mark(member)
        return ""

    def result(self, result: ActionResult) -> None:
        """Takes what became of an order; of one that is not the newest of its group: nothing happens."""
        member = self._by_id.get(result.group_id)
        if member is not None and member.tell(result):
            self._mark(member)

    # -- shows

    @property
    def requests(self) -> Mapping[str, Sequence[Request]]:
        """Group ID to the operators' requests that are in force, oldest first; a group without any is missing."""
        return self._asked.by_group

    @property
    def frozen(self) -> Freeze | None:
        """Why nothing moves by itself; None: it is not so."""
        return self._frozen or self._guard.freeze

    @property
    def failed(self) -> frozenset[str]:
        """IDs of the lines that are SF for whatever needs both ways."""
        return frozenset(self._sights.failed)

    @property
    def failing(self) -> frozenset[str]:
        """Risk groups that are suspected of having failed, for plans: none of them is about to be cleared by the next answer."""
        return self._chooser.risks.settled

    # -- whom it concerns

    def _mark(self, member: Member) -> None:
        if member.order not in self._marked:
            self._marked.add(member.order)
            heapq.heappush(self._todo, member.order)

    def _fit(self, member: Member) -> None:
        """Makes its timers what they are now: by the posture of its area, and by whether its gateway goes first."""
        group = effective(member.group, member.posture)
        if member.is_led:
            hold_off_s = group.timers.hold_off_s + GATEWAY_FIRST_S
            group = msgspec.structs.replace(group, timers=msgspec.structs.replace(group.timers, hold_off_s=hold_off_s))
        member.effective = group

    def _fix(self, member: Member, now_ns: int) -> None:
        """Notes whether it can be made to leave its line, and marks it."""
        request = self._asked.in_force(member.group.id, now_ns).request
        is_placed = request is not None and request.kind != "exercise"
        if is_placed or member.is_stuck or not member.reachable or member.group.mode != "act":
            self._stays.add(member.group.id)
        else:
            self._stays.discard(member.group.id)
        self._mark(member)

    def _line_seen(self, line_id: str, is_different: bool) -> None:
        self._chooser.risks.see(self._sights.region[line_id])
        if not is_different:
            return
        for member in self._of_line[line_id]:
            # What another line is like does not move who is at home and at rest.
            if line_id == member.state.on or member.order in self._restless:
                self._mark(member)
            else:
                self._terms_due.add(member.order)

    def _is_newer(self, reported: Reported) -> bool:
        lives = self._lives.get(reported.gateway_id, Lives())
        self._lives[reported.gateway_id], is_news = lives.hear(reported.started_unix_ns, reported.beat)
        return is_news
