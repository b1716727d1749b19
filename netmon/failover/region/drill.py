"""What would become of a region's traffic if lines failed: the real decisions, a clock of its own, and nothing that is touched.

Pure. The coordinator that decides in earnest is told that lines are down and that areas are in a disaster. What it orders is done a moment
later, as if every line carried what it should. So a drill finds what risks, room and the order of priority make of a failure; a gateway that
cannot be told, or a line that looks well and is not, it does not play.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.model import SHED, Action, ActionResult, Group, GroupState, LineFacts, LineSight, SwitchReason
from netmon.failover.region.coordinator import Coordinator
from netmon.inventory.model import RiskKind
from netmon.inventory.topology import Topology

SHAKEN: Final[frozenset[RiskKind]] = frozenset({"duct", "bridge", "pole_route"})
"""What an earthquake breaks, if nothing else is said: what lies in the ground, hangs on bridges and on poles."""
DONE_S: Final = 0.3
"""From an order to when the class was shown to arrive, as a drill has it."""
SETTLE_S: Final = 120.0
"""So long after the failure everything is looked at: the commands of a disaster are spread over a minute."""
RECOVER_S: Final = 600.0
"""An area is recovering for so long after its lines are mended; then it is as usual."""
STILL_S: Final = 3_600.0
"""When nothing has moved for so long, and for the longest wait to restore besides, what has not returned waits for somebody."""
STEPS_MAX: Final = 1_000_000
_PROOF_S: Final = 4.0
"""Lines that are up prove themselves so often: before what they have shown is forgotten."""
_S: Final = 1_000_000_000
_BEGIN_NS: Final = 1_000_000_000 * _S
"""When a drill begins, on its own clock: it has no meaning."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What fails."""

    area_ids: tuple[str, ...]
    risk_group_ids: tuple[str, ...] = ()
    """Sorted."""
    line_ids: tuple[str, ...] = ()
    """All lines that are down, sorted."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A group that has come to be somewhere else."""

    at_s: float
    """Since the drill began."""
    group_id: str
    before: str
    to: str
    """Line ID, or SHED."""
    reason: SwitchReason = ""


def earthquake(
    topology: Topology, area_ids: Sequence[str], risk_group_ids: Sequence[str] = (), line_ids: Sequence[str] = ()
) -> Failure:
    """What an earthquake takes down. Raises KeyError: there is no such risk group or line.

    Args:
        topology: The region.
        area_ids: Where it is.
        risk_group_ids: What breaks. With none, and no lines: every duct, bridge and pole route of a line that has an end in these areas.
        line_ids: Lines that fail besides.
    """
    broken = set(risk_group_ids)
    if not broken and not line_ids:
        near = {line for area in area_ids for line in topology.lines_of_area(area)}
        risks = {risk for line in near for risk in topology.risk_groups_of_line(line)}
        broken = {risk for risk in risks if topology.risk_groups[risk].kind in SHAKEN}
    down = {topology.lines[line].id for line in line_ids}
    for risk in broken:
        down.update(topology.lines_of_risk_group(topology.risk_groups[risk].id))
        down.update(line for site in topology.sites_of_risk_group(risk) for line in topology.lines_of_site(site))
    return Failure(area_ids=tuple(area_ids), risk_group_ids=tuple(sorted(broken)), line_ids=tuple(sorted(down)))


def cut_off(topology: Topology, down: frozenset[str], stranded: Iterable[Group]) -> dict[str, tuple[str, ...]]:
    """Sectors that somebody cannot reach any more.

    Args:
        topology: The region.
        down: Lines that are down.
        stranded: Groups whose traffic goes nowhere.

    Returns:
        Sector to the sites whose devices no line leads to any more, and the groups that carry it and go nowhere; each sorted.
    """
    found: dict[str, set[str]] = {}
    for device in topology.inventory.devices:
        uplinks = topology.uplinks(device.id)
        if uplinks and down.issuperset(uplinks):
            for sector in topology.place(device.id).sectors:
                found.setdefault(sector, set()).add(device.site_id)
    for group in stranded:
        for sector in topology.traffic_classes[group.class_id].sectors:
            found.setdefault(sector, set()).add(group.id)
    return {sector: tuple(sorted(places)) for sector, places in sorted(found.items())}


class Drill:
    """A region on a clock of its own.

    Attributes:
        groups: Of the region, each acting whatever its mode is.
        moves: What has moved, oldest first.
        down: Lines that are down.
    """

    def __init__(self, lines: Sequence[LineFacts], groups: Sequence[Group]) -> None:
        """All lines are up, and every group is at home."""
        self.groups = [msgspec.structs.replace(group, mode="act") for group in groups]
        self.moves: list[Move] = []
        self.down: frozenset[str] = frozenset()
        self._since_ns = {line.line_id: _BEGIN_NS - _S for line in lines}
        self._now_ns = _BEGIN_NS
        self._proven_ns = 0
        self._due_ns = 0
        self._results: list[tuple[int, int, Action]] = []
        """Heap: when what was ordered is done, a number that tells them apart, and the order."""
        self._steps = 0
        self._coordinator = Coordinator(lines, self.groups, started_unix_ns=_BEGIN_NS)
        self._coordinator.see_vantages(1, 1, _BEGIN_NS)
        self._step()

    @property
    def at_s(self) -> float:
        """Since it began."""
        return (self._now_ns - _BEGIN_NS) / _S

    @property
    def states(self) -> Mapping[str, GroupState]:
        """Group ID to where it stands."""
        return self._coordinator.states

    def fail(self, line_ids: Iterable[str], detected_s: Mapping[str, float]) -> None:
        """Lines fail now, and each is found to have failed when so much time has passed."""
        began_s = self.at_s
        for after_s, line_id in sorted((detected_s.get(line_id, 0.0), line_id) for line_id in line_ids):
            self.run(began_s + after_s)
            self.down |= {line_id}
            self._see(line_id)
        self._step()

    def mend(self) -> None:
        """All lines are up again."""
        mended, self.down = self.down, frozenset()
        for line_id in sorted(mended):
            self._see(line_id)
        self._step()

    def see_posture(self, area_ids: Iterable[str], posture: Posture) -> None:
        """Areas come to a posture."""
        for area_id in area_ids:
            self._coordinator.see_posture(area_id, posture)
        self._step()

    def run(self, until_s: float) -> None:
        """Everything that happens until then, and what follows from it."""
        until_ns = _BEGIN_NS + round(until_s * _S)
        while self._steps < STEPS_MAX and (next_ns := self._next_ns()) <= until_ns:
            self._now_ns = next_ns
            self._step()
        self._now_ns = max(self._now_ns, until_ns)

    def run_to_rest(self) -> None:
        """Until every group is back on its working line, or nothing is to be expected any more."""
        still_s = STILL_S + max((group.timers.wtr_s for group in self.groups), default=0.0)
        moved_s, moves = self.at_s, len(self.moves)
        while not self.is_at_rest and self._steps < STEPS_MAX and self.at_s < moved_s + still_s:
            self.run((self._next_ns() - _BEGIN_NS) / _S)
            if len(self.moves) > moves:
                moved_s, moves = self.at_s, len(self.moves)

    @property
    def is_at_rest(self) -> bool:
        """Whether every group is on its working line, and none is on its way."""
        states = (self.states[group.id] for group in self.groups)
        return all(
            state.phase == "NR" and state.on == group.working and state.attempt is None
            for group, state in zip(self.groups, states, strict=True)
        )

    def stranded(self) -> list[Group]:
        """Groups whose traffic goes nowhere: shed, or on a line that is down."""
        nowhere = {SHED, *self.down}
        return [group for group in self.groups if self.states[group.id].on in nowhere]

    # -- one step after the other

    def _next_ns(self) -> int:
        """When something is to be done next: a timer, an order that is carried out, lines that prove themselves."""
        times = [self._proven_ns + round(_PROOF_S * _S)]
        times += [self._results[0][0]] if self._results else []
        times += [self._due_ns] if self._due_ns else []
        return max(min(times), self._now_ns + 1)

    def _step(self) -> None:
        self._steps += 1
        if self._now_ns >= self._proven_ns + round(_PROOF_S * _S):
            self._proven_ns = self._now_ns
            for line_id in self._since_ns:
                self._coordinator.see_line(self._sight(line_id))
        while self._results and self._results[0][0] <= self._now_ns:
            self._carry_out(heapq.heappop(self._results)[2])
        decided = self._coordinator.step(self._now_ns)
        self._due_ns = decided.due_unix_ns
        for number, action in enumerate(decided.actions):
            if action.kind == "switch":
                done_ns = self._now_ns + round((self._coordinator.delay_s(action) + DONE_S) * _S)
                heapq.heappush(self._results, (done_ns, self._steps * len(self.groups) + number, action))

    def _carry_out(self, action: Action) -> None:
        state = self.states[action.group_id]
        if state.attempt is None or state.attempt.generation != action.generation:
            return
        at_s = round(self.at_s, 3)
        move = Move(at_s=at_s, group_id=action.group_id, before=state.on, to=action.to, reason=action.reason)
        self.moves.append(move)
        result = ActionResult(group_id=action.group_id, generation=action.generation, outcome="verified", on=action.to)
        self._coordinator.result(result)

    def _see(self, line_id: str) -> None:
        self._since_ns[line_id] = self._now_ns
        self._coordinator.see_line(self._sight(line_id))

    def _sight(self, line_id: str) -> LineSight:
        is_down = line_id in self.down
        return LineSight(
            line_id=line_id,
            state="down" if is_down else "up",
            since_unix_ns=self._since_ns[line_id],
            good_unix_ns=0 if is_down else self._now_ns,
            reason="no_answer" if is_down else "",
        )
