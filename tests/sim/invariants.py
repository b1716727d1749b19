"""What must never happen in a region, whatever else does; looked at after each event, and at the end of a day.

Nothing here asks the code that is watched: what fits, what is proven and what is good is worked out anew from the truth and from what was told.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from netmon.failover.actuators.base import Order
from netmon.failover.agent.held import Kept
from netmon.failover.model import SHED, Action, Group, LineSight
from netmon.failover.region.coordinator import Coordinator, Decided
from tests.sim.engine import MS, S

if TYPE_CHECKING:
    from tests.sim.controller import SimController
    from tests.sim.world import World

HOUR_NS: Final = 3_600 * S
RETURNS_MAX: Final = 12
"""Of one group in an hour, by itself; with the short timers of the simulation."""
CAUSE_NS: Final = 60 * S
"""What moves traffic off a line has happened not longer ago."""
CROWDED_NS: Final = 60 * S
"""Of a line that carries too much, until somebody has left: every guest is looked at twice meanwhile."""
SLACK_NS: Final = 1_500 * MS
"""By which the clocks of two machines may differ, and by which who judges comes later than what happens."""


class ViolationError(AssertionError):
    """Something that must never happen has happened."""


class Invariants:
    """Watches a world.

    Attributes:
        checks: How often each was looked at.
    """

    def __init__(self, world: World) -> None:
        """Nothing has happened."""
        self.world = world
        self.checks = 0
        self._of_line: dict[str, list[Group]] = {}
        """Line ID to the groups that have it."""
        for group in world.region.groups.values():
            for line_id in (group.working, *group.protections):
                self._of_line.setdefault(line_id, []).append(group)
        self._obeyed: dict[str, tuple[int, int]] = {}
        """Group ID to the greatest (fence, generation) that its gateway has carried out."""
        self._returns: dict[str, deque[int]] = {}
        self._turns: dict[tuple[Coordinator, str], int] = {}
        """Coordinator and area to when it last let a group return; a new leader has nothing to go by."""
        self._crowded_ns: dict[str, int] = {}
        """Line to since when it carries more than it should although somebody could go."""
        self._fences: dict[str, int] = {}
        self._now_ns = 0
        """Of the controller that has just decided."""

    def fail(self, text: str) -> None:
        """Ends the day."""
        raise ViolationError(f"at {(self.world.engine.now_ns % 10**15) / S:.3f} s: {text}")

    # -- what a controller decides

    def decided(self, controller: SimController, decided: Decided) -> None:
        """Each action on its own, then the region as it is left."""
        core, self._now_ns = controller.core, controller.now_ns
        assert core is not None, "it has just decided"
        for action in decided.actions:
            self.checks += 1
            if action.kind in {"switch", "propose"}:
                self._target(core, action)
                self._cause(controller, core, action)
            if action.kind == "switch":
                self._holds(core, action)
                self._turn(controller, core, action)
            if action.kind != "page" and not core.evidence(action):
                self.fail(f"{action} has no evidence")
        for state in decided.states:
            is_nowhere = state.phase == "NO_BACKUP" or (state.on if state.attempt is None else state.attempt.to) == SHED
            if is_nowhere and core.frozen is None:
                self._cut_off(controller, core, state.group_id)
        self._room(core, decided)

    def _target(self, core: Coordinator, action: Action) -> None:
        """Nobody is sent to a line that is SF, locked out, not proven, or none of his own."""
        if action.to == SHED:
            return
        group = self.world.region.groups[action.group_id]
        if action.to not in (group.working, *group.protections):
            self.fail(f"{action.group_id} is sent to {action.to}, which it does not have")
        sight = sight_of(core, group.id, action.to, self._now_ns)
        if is_failed(group, sight):
            self.fail(f"{action.group_id} is sent to {action.to}, which is {sight.state}")
        requests = core.requests.get(group.id, ())
        if any(request.kind == "lockout" and request.line_id == action.to for request in requests):
            self.fail(f"{action.group_id} is sent to {action.to}, which is locked out")
        if action.forced:
            return
        age_ns = self._now_ns - sight.good_unix_ns
        if sight.state == "unknown" or (action.to != group.working and age_ns > 5 * S + SLACK_NS):
            self.fail(f"{action.group_id} is sent to {action.to}, which nobody has proven for {age_ns / S:.1f} s")

    def _cause(self, controller: SimController, core: Coordinator, action: Action) -> None:
        """A line is left for SF only if something was wrong with it, or somebody whose word counts said so."""
        if action.reason != "signal_fail" or action.before == SHED:
            return
        group, world = self.world.region.groups[action.group_id], self.world
        line = world.lines[action.before]
        lied = world.lied_ns.get(action.before, 0)
        ports = world.port_ns.get((group.gateway_id, action.before), 0)
        newest_ns = max(line.bad_ns, lied, ports, world.trap_ns.get(action.before, 0))
        is_bad = not line.is_answering or not world.believed(group.gateway_id, action.before)
        # One observer who is left alone is believed, whatever it says.
        is_bad = is_bad or (world.judges.live == 1 and world.judges.is_lied_about(action.before))
        if not is_bad and world.engine.now_ns - newest_ns > CAUSE_NS:
            self.fail(f"{controller.name} moves {action.group_id} off {action.before}, which was never bad")

    def _holds(self, core: Coordinator, action: Action) -> None:
        """Frozen, locked out, observed: nothing moves."""
        group = self.world.region.groups[action.group_id]
        requests = core.requests.get(group.id, ())
        if any(request.kind == "lockout" and not request.line_id for request in requests):
            self.fail(f"{group.id} is locked out, and moves: {action}")
        if core.frozen is not None and not action.forced:
            self.fail(f"the region is frozen, and {group.id} moves: {action}")
        if group.mode == "observe":
            self.fail(f"{group.id} is only observed, and moves: {action}")

    def _turn(self, controller: SimController, core: Coordinator, action: Action) -> None:
        """In a disaster one group of an area returns in half a minute; else one a second."""
        if action.reason != "revert":
            return
        area = self.world.region.groups[action.group_id].area_id
        gap_ns = 30 * S if controller.postures.get(area) in {"disaster", "recovering"} else S
        now_ns, before_ns = self.world.engine.now_ns, self._turns.get((core, area), 0)
        self._turns[core, area] = now_ns
        if before_ns and now_ns - before_ns < gap_ns - MS and controller.posture_ns.get(area, 0) < before_ns:
            self.fail(f"two groups of {area} return within {(now_ns - before_ns) / S:.1f} s")

    def _cut_off(self, controller: SimController, core: Coordinator, group_id: str) -> None:
        """P0 is never nowhere, nor on a dead line, while anything lower is on a line that it could use."""
        group, attempt = self.world.region.groups[group_id], core.states[group_id].attempt
        if group.priority or (attempt is not None and attempt.to != SHED):
            return
        explained = core.explain(group_id, self._now_ns)
        on = explained.state.on
        if on != SHED and not any(line.line_id == on and is_failed(group, line.sight) for line in explained.lines):
            # What is unknown moves nothing.
            return
        for line in explained.lines:
            if is_failed(group, line.sight) or line.sight.state == "unknown":
                continue
            if any(request.line_id == line.line_id for request in core.requests.get(group_id, ())):
                continue
            age_ns = self._now_ns - line.sight.good_unix_ns
            lower = self._lower_bps(core, line.line_id)
            is_there = lower >= group.bandwidth_bps and self._fits_with_life(core, line.line_id, group)
            if age_ns < 4 * S and is_there and line.line_id not in explained.state.tried:
                self.fail(
                    f"{controller.name} leaves {group_id} nowhere while {lower} bit/s of less weight are on {line.line_id}"
                )

    def _lower_bps(self, core: Coordinator, line_id: str) -> int:
        """What groups below P0 have of a line, of those that can be moved."""
        return sum(
            group.bandwidth_bps
            for group in self._of_line[line_id]
            if group.priority and core.states[group.id].on == line_id and self._can_leave(core, group)
        )

    def _fits_with_life(self, core: Coordinator, line_id: str, group: Group) -> bool:
        """Whether a line could carry a group if all that is not P0 were gone."""
        life = sum(each.bandwidth_bps for each in self._on(core, line_id) if not each.priority)
        return life + group.bandwidth_bps <= self.world.region.facts[line_id].capacity_bps * 80 // 100

    def _room(self, core: Coordinator, decided: Decided) -> None:
        """Nobody comes to a line that has no room for him, as the controller counts; P0 excepted, before others have left."""
        going: dict[str, list[Group]] = {}
        for action in decided.actions:
            if action.kind == "switch" and action.to != SHED and not action.forced and action.reason != "manual":
                going.setdefault(action.to, []).append(self.world.region.groups[action.group_id])
        for line_id, groups in going.items():
            load = core.loads[line_id]
            comers = [group for group in groups if group.bandwidth_bps]
            if not comers or not load.usable_bps or sum(load.admitted_bps) <= load.usable_bps:
                continue
            names = [group.id for group in comers]
            least = min(group.priority for group in comers)
            if least == 0 and load.admitted_bps[0] > load.usable_bps:
                self.fail(f"{names} come to {line_id}, which is full of P0: {load}")
            there = self._on(core, line_id)
            is_excused = least == 0 or any(each.priority > least or not self._can_leave(core, each) for each in there)
            if not is_excused:
                self.fail(f"{names} come to {line_id}, which is overfull: {load}")

    def _on(self, core: Coordinator, line_id: str) -> list[Group]:
        found = []
        for group in self._of_line[line_id]:
            state = core.states[group.id]
            place = state.attempt.to if state.attempt is not None and state.attempt.stage != "proposed" else state.on
            if place == line_id:
                found.append(group)
        return found

    def _can_leave(self, core: Coordinator, group: Group) -> bool:
        return (
            group.mode == "act" and not core.requests.get(group.id) and core.explain(group.id, self._now_ns).reachable
        )

    # -- what a gateway does

    def moved(self, gateway_id: str, order: Order, before: str, kept: Kept | None) -> None:
        """One class is somewhere else."""
        self.checks += 1
        world, group = self.world, self.world.region.groups[order.group_id]
        if order.on != SHED and order.on not in world.region.gateways[gateway_id]:
            self.fail(f"{group.id} is put onto {order.on}, which {gateway_id} does not have")
        assert kept is not None, "it is in the plan"
        if kept.owner == "centre":
            self._obeys(order, kept)
        if order.reason == "revert" and order.on == group.working and before not in {SHED, order.on}:
            self._returned(gateway_id, group, kept)

    def _obeys(self, order: Order, kept: Kept) -> None:
        """(fence, generation) only grows at a gateway, whatever restarts; and what is done stood in the audit before it was ordered."""
        number = (kept.fence, kept.generation)
        if number < self._obeyed.get(order.group_id, (0, 0)):
            self.fail(f"{order.group_id} obeys {number} after {self._obeyed[order.group_id]}")
        self._obeyed[order.group_id] = number
        intent = self.world.redis.intent(kept.fence, order.group_id, kept.generation)
        if intent is None or not intent.evidence:
            self.fail(f"{order.group_id} obeys {number}, of which nothing stands in the audit")
        elif intent.to != order.on:
            self.fail(f"{order.group_id} goes to {order.on}, and the audit says {intent.to}")

    def _returned(self, gateway_id: str, group: Group, kept: Kept) -> None:
        """Not before the wait to restore is over, as whoever decided it could see; and not often."""
        now_ns, world = self.world.engine.now_ns, self.world
        is_orphan = kept.owner == "centre" and kept.fence < max(each.fence for each in world.controllers)
        if is_orphan and world.counts["fault lost_all"]:
            # Nobody knew of the order any more who could have taken it back.
            good_ns = 0
        elif kept.owner == "centre":
            good_ns = world.judges.bad_ns.get((group.working, group.both_ways), 0)
        else:
            port_ns = world.port_ns.get((gateway_id, group.working), 0)
            good_ns = max(world.lines[group.working].answering_since_ns, port_ns)
        wait_ns = round(group.timers.wtr_s * S) - SLACK_NS
        if not world.cleared_ns.get(group.id, 0) > now_ns - 30 * S and now_ns - good_ns < wait_ns:
            self.fail(f"{group.id} returns to {group.working}, which is good for {(now_ns - good_ns) / S:.1f} s")
        returns = self._returns.setdefault(group.id, deque())
        returns.append(now_ns)
        while returns[0] < now_ns - HOUR_NS:
            returns.popleft()
        if len(returns) > RETURNS_MAX + world.cleared.get(group.id, 0):
            self.fail(f"{group.id} has returned {len(returns)} times in an hour")

    # -- at any time

    def after_each(self) -> None:
        """After each event: what holds of all gateways."""
        self.checks += 1
        for gateway in self.world.touched:
            if gateway.is_running:
                fence = gateway.edge.fence
                if fence < self._fences.get(gateway.id, 0):
                    self.fail(f"{gateway.id} has forgotten fence {self._fences[gateway.id]}, and believes {fence}")
                self._fences[gateway.id] = fence
        self.world.touched.clear()

    def after_beat(self) -> None:
        """Every few seconds: a line on which more is than it gives away is not left so while somebody could go who is a guest there."""
        leaders = [each.core for each in self.world.controllers if each.core is not None]
        core = leaders[0] if len(leaders) == 1 and leaders[0].frozen is None else None
        rates: Counter[str] = Counter()
        for group in self.world.region.groups.values():
            rates[self._place(group)] += group.bandwidth_bps
        for line_id, facts in self.world.region.facts.items():
            is_crowded = rates[line_id] * 100 > facts.capacity_bps * 80
            if not is_crowded or core is None or not self._has_guest(core, line_id):
                self._crowded_ns.pop(line_id, None)
                continue
            since_ns = self._crowded_ns.setdefault(line_id, self.world.engine.now_ns)
            if self.world.engine.now_ns - since_ns > CROWDED_NS:
                self.fail(f"{line_id} carries {rates[line_id]} bit/s for {CROWDED_NS / S:.0f} s, and nobody goes")

    def _place(self, group: Group) -> str:
        """Where a group's packets go."""
        return self.world.gateways[group.gateway_id].kernel.get(group.id, SHED)

    def _has_guest(self, core: Coordinator, line_id: str) -> bool:
        """Whether somebody is on the line who could go, and is not at home there."""
        return any(
            group.priority and group.working != line_id and self._place(group) == line_id and self._can_go(core, group)
            for group in self._of_line.get(line_id, ())
        )

    def _can_go(self, core: Coordinator, group: Group) -> bool:
        gateway = self.world.gateways[group.gateway_id]
        is_well = gateway.is_running and not gateway.breaks and self.world.broker.hears(gateway.id)
        return is_well and self._can_leave(core, group)

    # -- at the end

    def life_is_safe(self) -> None:
        """Some time after the last fault: P0 of every gateway is on a line that carries it."""
        for group in self.world.region.groups.values():
            if group.priority == 0:
                on = self._place(group)
                if on == SHED or not self.world.answers(group.gateway_id, on):
                    self.fail(f"{group.id} is on {on or 'nothing'}, a while after all lines were good again")

    def is_all_home(self) -> bool:
        """Whether `all_is_home` would find nothing."""
        try:
            self.all_is_home()
        except ViolationError:
            return False
        return True

    def all_is_home(self) -> None:
        """Long after: every group that returns is at home, if there is room for it, and everybody knows where each is."""
        leaders = [each for each in self.world.controllers if each.core is not None]
        if len(leaders) != 1:
            self.fail(f"{len(leaders)} controllers lead")
        core = leaders[0].core
        assert core is not None, "it leads"
        for group in self.world.region.groups.values():
            on = self._place(group)
            state = core.states[group.id]
            if state.on != on:
                self.fail(f"{group.id} is on {on or 'nothing'}, and the centre thinks {state}")
            if group.mode == "act" and group.revertive and on != group.working and self._has_room_at_home(group):
                self.fail(f"{group.id} is on {on or 'nothing'}, and not at home: {state}")

    def _has_room_at_home(self, group: Group) -> bool:
        """Whether it would fit there if all of lower weight that can be moved had left: some regions give away more than there is."""
        taken = sum(
            other.bandwidth_bps
            for other in self._of_line[group.working]
            if self._place(other) == group.working and (other.priority <= group.priority or other.mode != "act")
        )
        usable = self.world.region.facts[group.working].capacity_bps * 80 // 100
        return taken + group.bandwidth_bps <= usable


def sight_of(core: Coordinator, group_id: str, line_id: str, now_ns: int) -> LineSight:
    """How a line is for a group, as its controller sees it."""
    return next(line.sight for line in core.explain(group_id, now_ns).lines if line.line_id == line_id)


def is_failed(group: Group, sight: LineSight) -> bool:
    """Whether a line is SF for a group."""
    return sight.state == "down" or (sight.one_way and group.both_ways)
