"""A gateway as tests of the agent know it: three lines, a class of each weight, and an edge that is driven through time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import msgspec

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.model import LineState
from netmon.failover.actuators.base import Order
from netmon.failover.agent.edge import Edge, Turn
from netmon.failover.agent.held import Kept
from netmon.failover.model import ActionResult, LineSight, Timers
from netmon.failover.plan.model import (
    Beat,
    Desired,
    DesiredGroup,
    Plan,
    PlannedGroup,
    PlannedLine,
    Ranking,
    ReportedGroup,
)

S: Final = 1_000_000_000
T0: Final = 1_700_000_000 * S
GATEWAY: Final = "gw"
FIBRE, FIVE_G, GEO = "fibre", "five-g", "geo"
LINES: Final = (FIBRE, FIVE_G, GEO)
LIFE, CONTROL, BULK = "gw/life", "gw/control", "gw/bulk"
TIMERS: Final = Timers(wtr_s=60.0, wtb_s=5.0, guard_s=0.5, verify_s=2.0, retry_s=5.0)


def line(line_id: str, *, capacity_bps: int = 0, standby: bool = False) -> PlannedLine:
    """One of its lines."""
    return PlannedLine(
        line_id=line_id, capacity_bps=capacity_bps, profile=BUILT_IN["fast"], standby=standby, interface=line_id
    )


def rankings(lines: Sequence[str] = LINES) -> tuple[Ranking, ...]:
    """For each combination of failures, the lines that are left, in their order."""
    return tuple(
        Ranking(failed=tuple(sorted(failed)), order=tuple(each for each in lines if each not in failed))
        for size in range(len(lines) + 1)
        for failed in combinations(lines, size)
    )


def group(group_id: str, priority: int, **fields: Any) -> PlannedGroup:
    """One of its classes: at home on the fibre."""
    given: dict[str, Any] = {
        "working": FIBRE,
        "protections": (FIVE_G, GEO),
        "mark": 16 + priority,
        "table": 100 + priority,
        "rankings": rankings(),
        "timers": TIMERS,
    }
    return PlannedGroup(
        group_id=group_id, class_id=group_id.partition("/")[2], priority=priority, **(given | fields)  # type: ignore[arg-type]
    )  # fmt: skip


def plan(groups: Sequence[PlannedGroup] = (), **fields: Any) -> Plan:
    """Its plan; without groups, one of life safety."""
    given: dict[str, Any] = {"version": 1, "fence": 1, "lines": tuple(map(line, LINES)), "centre_lost_s": 30.0}
    return Plan(gateway_id=GATEWAY, made_unix_ns=T0, groups=tuple(groups) or (group(LIFE, 0),), **(given | fields))


def desired(*groups: DesiredGroup, fence: int = 1, version: int = 1) -> Desired:
    """What the centre wants."""
    return Desired(gateway_id=GATEWAY, fence=fence, version=version, unix_ns=T0, groups=groups)


def wanted(on: str, generation: int, *, group_id: str = LIFE, fence: int = 1, **fields: Any) -> DesiredGroup:
    """Of one class."""
    return DesiredGroup(group_id=group_id, on=on, fence=fence, generation=generation, **fields)


class Driven:
    """An edge with its clock, an actuator that does what it is told, and a centre that beats while it is there."""

    def __init__(self, the_plan: Plan | None = None, *, kept: Sequence[Kept] = (), fence: int = 0) -> None:
        self.now_ns = T0
        self.edge = Edge(GATEWAY, T0, fence=fence, kept=kept)
        self.plan = the_plan or plan()
        self.kernel: dict[str, str] = {}
        self.orders: list[Order] = []
        self.broken: set[str] = set()
        """Lines by which nothing arrives, whatever the probes say."""
        self.is_centre_there = True
        self.states: dict[str, LineState] = dict.fromkeys((each.line_id for each in self.plan.lines), "up")
        self._since: dict[str, int] = {}
        self._beat = 0
        assert self.edge.plan(self.plan, T0) == ""
        self.kernel = {each.group_id: each.on for each in self.edge.step(T0).groups}
        self.orders.clear()

    def see(self, line_id: str, state: LineState) -> None:
        """The gateway's own probes come to this."""
        self.states[line_id] = state
        self._since[line_id] = self.now_ns

    def step(self) -> Turn:
        """One step, in which all that is ordered is done at once; and another, which hears of it."""
        self._tell()
        turn = self.edge.step(self.now_ns)
        while turn.orders:
            self._carry_out(turn.orders)
            turn = self.edge.step(self.now_ns)
        return turn

    def passes(self, seconds: float, step_s: float = 0.5) -> Turn:
        """So much time, in steps."""
        turn = self.step()
        for _ in range(round(seconds / step_s)):
            self.now_ns += round(step_s * S)
            turn = self.step()
        return turn

    def group(self, group_id: str = LIFE) -> ReportedGroup:
        """How a class is reported now."""
        return next(each for each in self.edge.reported(self.now_ns).groups if each.group_id == group_id)

    def places(self) -> dict[str, str]:
        """Where every class is."""
        return {each.group_id: each.on for each in self.edge.reported(self.now_ns).groups}

    def _tell(self) -> None:
        if self.is_centre_there:
            self._beat += 1
            self.edge.beat(Beat(fence=self.edge.fence, beat=self._beat, unix_ns=self.now_ns), self.now_ns)
        for line_id, state in self.states.items():
            since_ns = self._since.get(line_id, T0)
            good_ns = self.now_ns if state in {"up", "degraded"} else since_ns
            sight = LineSight(line_id=line_id, state=state, since_unix_ns=since_ns, good_unix_ns=good_ns)
            self.edge.sight(sight, since_ns - S // 10 if state == "down" else 0)

    def _carry_out(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.orders.append(order)
            is_well = order.on not in self.broken and self.states.get(order.on) != "down"
            if is_well or order.forced:
                self.kernel[order.group_id] = order.on
            told = ActionResult(
                group_id=order.group_id,
                generation=order.generation,
                outcome="verified" if is_well else "failed",
                on=self.kernel.get(order.group_id),
                detail="" if is_well else "does not arrive",
                phases_s={"act": 0.001, "verify": 0.002},
            )
            self.edge.result(msgspec.structs.replace(told, outcome="applied"), self.now_ns)
            self.edge.result(told, self.now_ns)
