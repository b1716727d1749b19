"""A small region for tests of the coordinator: a clock, lines that are told of, gateways that obey."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from netmon.active_probe.model import LineState
from netmon.failover.model import Action, ActionResult, Group, GroupState, LineFacts, LineSight, Request, Timers
from netmon.failover.plan.model import Reported, ReportedGroup
from netmon.failover.region.coordinator import Coordinator, Decided

S: Final = 1_000_000_000
START: Final = 1_795_000_000 * S
MBIT: Final = 1_000_000

LINES: Final = (
    LineFacts(line_id="f1", capacity_bps=100 * MBIT, risk_group_ids=("duct-1",), carrier_id="c1", area_ids=("north",)),
    LineFacts(line_id="f2", capacity_bps=100 * MBIT, risk_group_ids=("duct-1",), carrier_id="c1", area_ids=("north",)),
    LineFacts(line_id="f3", capacity_bps=100 * MBIT, risk_group_ids=("duct-2",), carrier_id="c2", area_ids=("south",)),
    LineFacts(line_id="m1", medium="5g", capacity_bps=10 * MBIT, cost_tier=3, carrier_id="c3", area_ids=("south",)),
)
"""Two in one duct, one in another, and a small one."""
TIMERS: Final = Timers(wtr_s=60.0, verify_s=2.0)


def group(number: int, priority: int, **changes: Any) -> Group:
    """Class `p<priority>` at gateway `g<number>`: f1 first, then its twin in the same duct, f3, and the small m1."""
    fields: dict[str, Any] = {
        "id": f"g{number}/p{priority}",
        "gateway_id": f"g{number}",
        "class_id": f"p{priority}",
        "area_id": "north",
        "priority": priority,
        "working": "f1",
        "protections": ("f2", "f3", "m1"),
        "bandwidth_bps": MBIT,
        "timers": TIMERS,
    }
    return Group(**(fields | changes))


class Bench:
    """A coordinator with a clock. All lines are up, and are proven anew before each step."""

    def __init__(
        self,
        groups: Sequence[Group],
        states: Iterable[GroupState] = (),
        *,
        lines: Sequence[LineFacts] = LINES,
        calm_s: float = 0,
    ) -> None:
        self.now = START
        self.fence = 7
        self.beats: dict[str, int] = {}
        self.stale: set[str] = set()
        self.sights = {
            line.line_id: LineSight(line_id=line.line_id, state="up", since_unix_ns=START - 1_000 * S) for line in lines
        }
        calm_ns = START + round(calm_s * S)
        self.core = Coordinator(lines, groups, states, started_unix_ns=START, calm_from_unix_ns=calm_ns)
        self.core.fence = self.fence

    def line(self, line_id: str, state: LineState, **changes: Any) -> None:
        """The verdict on a line changes."""
        self.sights[line_id] = LineSight(line_id=line_id, state=state, since_unix_ns=self.now, **changes)

    def step(self, after_s: float = 0.0) -> Decided:
        """Time passes, without a step in between; good lines are proven."""
        self.now += round(after_s * S)
        for line_id, sight in self.sights.items():
            if sight.state in {"up", "degraded"} and line_id not in self.stale:
                self.sights[line_id] = msgspec.structs.replace(sight, good_unix_ns=self.now)
            self.core.see_line(self.sights[line_id])
        return self.core.step(self.now)

    def moves(self, after_s: float = 0.0) -> list[str]:
        """The same; `group>line` of what is ordered, in its order."""
        return [told(action) for action in self.step(after_s).actions if action.kind != "page"]

    def verify(self, decided: Decided) -> Decided:
        """All that was ordered arrives; what that leads to."""
        for action in decided.actions:
            if action.kind == "switch":
                self.core.result(
                    ActionResult(
                        group_id=action.group_id, generation=action.generation, outcome="verified", on=action.to
                    )
                )
        return self.core.step(self.now)

    def settle(self, after_s: float = 0.0) -> list[str]:
        """Steps, and has all that is ordered arrive until nothing more is."""
        found = []
        decided = self.step(after_s)
        while decided.actions:
            found += [told(action) for action in decided.actions if action.kind != "page"]
            decided = self.verify(decided)
        return found

    def run(self, seconds: int) -> list[str]:
        """Settles each second; `second: move` of all that is done."""
        return [f"{second}: {move}" for second in range(1, seconds + 1) for move in self.settle(1.0)]

    def report(self, gateway_id: str, *groups: ReportedGroup, lines: Sequence[LineSight] = (), **fields: Any) -> None:
        """A gateway tells of itself."""
        self.beats[gateway_id] = self.beats.get(gateway_id, 0) + 1
        known = {"beat": self.beats[gateway_id], "started_unix_ns": 1, "unix_ns": self.now} | fields
        self.core.see_gateway(Reported(gateway_id=gateway_id, groups=groups, lines=tuple(lines), **known), self.now)

    def ask(self, kind: Any, group_id: str, line_id: str = "", seconds: float = 3_600.0) -> str:
        """An operator asks for something."""
        request = Request(
            id=f"{kind} {line_id}",
            kind=kind,
            group_id=group_id,
            line_id=line_id,
            by="suzuki",
            why="works",
            unix_ns=self.now,
            until_unix_ns=self.now + round(seconds * S),
        )
        return self.core.ask(request, self.now)

    def on(self, group_id: str) -> str:
        """Where a group is."""
        return self.core.states[group_id].on

    def phase(self, group_id: str) -> str:
        """The phase of a group."""
        return self.core.states[group_id].phase


def reported(group_id: str, on: str, **fields: Any) -> ReportedGroup:
    """Where a group is at its gateway."""
    return ReportedGroup(group_id=group_id, on=on, **fields)


def told(action: Action) -> str:
    """A move as a text."""
    return f"{'' if action.kind == 'switch' else action.kind + ' '}{action.group_id}>{action.to or 'nowhere'}"


def crowd() -> Bench:
    """f1 and its twin are about to die; all classes of a gateway then want what is left: 8 Mbit/s of m1."""
    lines = tuple(line for line in LINES if line.line_id != "f3")
    rates = {0: 3 * MBIT, 1: 3 * MBIT, 2: 2 * MBIT, 3: 5 * MBIT}
    groups = [group(1, priority, protections=("f2", "m1"), bandwidth_bps=rate) for priority, rate in rates.items()]
    bench = Bench(groups, lines=lines)
    bench.step()
    return bench


def cut_both(bench: Bench) -> None:
    """The duct is cut."""
    bench.line("f1", "down")
    bench.line("f2", "down")
