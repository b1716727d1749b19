"""Laws of the edge: whatever comes, in whatever order, with messages lost, repeated and late, and the process killed at any moment."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netmon.active_probe.model import LINE_STATES, LineState
from netmon.failover.actuators.base import Order
from netmon.failover.agent.edge import Edge, Turn
from netmon.failover.model import SHED, ActionResult, LineSight
from netmon.failover.plan.model import Beat, DesiredGroup, Plan
from tests.unit.failover.gateways import BULK, CONTROL, FIBRE, GATEWAY, LIFE, LINES, T0, S, desired, group, line, plan

GROUPS: Final = (LIFE, CONTROL, BULK)
PLAN: Final[Plan] = plan(
    [
        group(LIFE, 0, bandwidth_bps=4_000_000, moves_on_sd=True),
        group(CONTROL, 1, bandwidth_bps=4_000_000),
        group(BULK, 3, bandwidth_bps=4_000_000),
    ],
    lines=tuple(line(line_id, capacity_bps=10_000_000) for line_id in LINES),
)
ORDERS: Final = st.builds(
    DesiredGroup,
    group_id=st.sampled_from(GROUPS),
    on=st.sampled_from((*LINES, SHED, "copper")),
    fence=st.integers(0, 3),
    generation=st.integers(0, 6),
    phase=st.sampled_from(("NR", "PROTECTING", "MS", "FS", "LO", "DNR", "WTR", "NO_BACKUP", "FROZEN")),
    forced=st.booleans(),
    locked=st.booleans(),
    avoid=st.sets(st.sampled_from(LINES), max_size=2).map(lambda lines: tuple(sorted(lines))),
)


class Gateway(RuleBasedStateMachine):
    """One gateway with a kernel that does what it is told, late or never, and a centre that says anything."""

    @initialize()
    def begin(self) -> None:
        """Everything is at home, and every line is up."""
        self.now_ns = T0
        self.edge = Edge(GATEWAY, T0)
        self.edge.plan(PLAN, T0)
        self.kernel = dict.fromkeys(GROUPS, FIBRE)
        self.pending: dict[str, Order] = {}
        self.beats = 0
        self.numbers = dict.fromkeys(GROUPS, (0, 0))
        self.wanted: dict[str, DesiredGroup] = {}
        for line_id in LINES:
            self._see(line_id, "up")

    # -- what happens

    @rule(line_id=st.sampled_from(LINES), state=st.sampled_from(LINE_STATES))
    def see(self, line_id: str, state: LineState) -> None:
        """A line is found so."""
        self._see(line_id, state)

    def _see(self, line_id: str, state: LineState) -> None:
        good_ns = self.now_ns if state in {"up", "degraded"} else 0
        self.edge.sight(LineSight(line_id=line_id, state=state, since_unix_ns=self.now_ns, good_unix_ns=good_ns))

    @rule(orders=st.lists(ORDERS, max_size=3), fence=st.integers(0, 3), version=st.integers(0, 5))
    def desire(self, orders: list[DesiredGroup], fence: int, version: int) -> None:
        """The centre, or a former leader, says something."""
        if self.edge.desired(desired(*orders, fence=fence, version=version)) == "":
            self.wanted |= {each.group_id: each for each in orders}

    @rule(fence=st.integers(0, 3))
    def beat(self, fence: int) -> None:
        """Somebody who leads, or led, is alive."""
        self.beats += 1
        self.edge.beat(Beat(fence=fence, beat=self.beats, unix_ns=self.now_ns), self.now_ns)

    @rule(seconds=st.sampled_from((0.1, 1.0, 10.0, 40.0, 100.0)))
    def wait(self, seconds: float) -> None:
        """Time passes, and lines that are up answer on."""
        self.now_ns += round(seconds * S)
        for sight in self.edge.sights:
            self._see(sight.line_id, sight.state) if sight.state == "up" else None

    @rule(seconds=st.sampled_from((-3_600.0, 0.2, 90_000.0)))
    def set_clock(self, seconds: float) -> None:
        """The clock is set."""
        self.now_ns += round(seconds * S)
        self.edge.shift(round(seconds * S))

    @rule(group_id=st.sampled_from(GROUPS), outcome=st.sampled_from(("applied", "verified", "failed", "nothing")))
    def answer(self, group_id: str, outcome: Any) -> None:
        """The actuator gets on with what it was told; a move that fails leaves the class where it was, as a rule."""
        order = self.pending.get(group_id)
        if order is None or outcome == "nothing":
            return
        if outcome != "failed":
            self.kernel[group_id] = order.on
        told = ActionResult(
            group_id=group_id, generation=order.generation, outcome=outcome, on=self.kernel[group_id], detail="x"
        )
        self.edge.result(told, self.now_ns)
        if outcome != "applied":
            del self.pending[group_id]

    @rule()
    def restart(self) -> None:
        """kill -9: what was noted and what the kernel has is all that is left."""
        sights, kept, fence = self.edge.sights, self.edge.kept(), self.edge.fence
        self.edge = Edge(GATEWAY, self.now_ns, fence=fence, kept=kept)
        assert self.edge.plan(PLAN, self.now_ns) == ""
        self.edge.actual(self.kernel)
        for sight in sights:
            self.edge.sight(sight)
        self.pending.clear()
        self.wanted.clear()

    @rule()
    def step(self) -> None:
        """It decides, and what it orders is lawful."""
        before = {each.group_id: each for each in self.edge.reported(self.now_ns).groups}
        is_alone = self.edge.is_alone(self.now_ns)
        down = {sight.line_id for sight in self.edge.sights if sight.state == "down"}
        turn = self.edge.step(self.now_ns)
        for order in turn.orders:
            self.pending[order.group_id] = order
            self._check(order, before[order.group_id].on, down, turn, is_alone=is_alone)

    # -- the laws

    def _check(self, order: Order, on: str, down: set[str], turn: Turn, *, is_alone: bool) -> None:
        told = next(each for each in turn.groups if each.group_id == order.group_id)
        is_centres = (told.fence, told.generation) != self.numbers[order.group_id] and told.outcome == ""
        assert order.on == SHED or order.on in LINES, "only to lines of the plan"
        assert order.forced or order.on not in down, "never to a line that is seen dead, unless somebody forces it"
        if is_centres or order.reason == "reconcile":
            return
        wanted = self.wanted.get(order.group_id)
        assert not order.locked, "what is locked is moved by orders alone"
        assert wanted is None or order.on not in wanted.avoid or order.on == PLAN.groups[0].working
        if not is_alone and order.on != SHED:
            assert on in down or on == SHED or told.reason != "revert", "while the centre is heard, nothing returns"
            assert on in down or order.reason in {"preempted", "verify_failed", "signal_fail"}, (
                "it has to have a reason"
            )

    @invariant()
    def orders_only_grow(self) -> None:
        """The newest order that was dealt with is never older than the one before."""
        for each in self.edge.reported(self.now_ns).groups:
            pair = (each.fence, each.generation)
            assert pair >= self.numbers[each.group_id]
            self.numbers[each.group_id] = max(pair, self.numbers[each.group_id])

    @invariant()
    def a_second_look_changes_nothing(self) -> None:
        """At the same time with the same view, there is nothing more to order."""
        first = self.edge.step(self.now_ns)
        for order in first.orders:
            self.pending[order.group_id] = order
        assert self.edge.step(self.now_ns).orders == []

    @invariant()
    def what_is_under_way_has_an_end(self) -> None:
        """Even if the actuator never tells of it."""
        turn = self.edge.step(self.now_ns)
        assert turn.orders == []
        assert turn.due_unix_ns or not any(each.state.attempt for each in self.edge.kept())
        assert turn.due_unix_ns > self.now_ns or not turn.due_unix_ns, "or it would be woken for ever"


TestGateway = Gateway.TestCase
TestGateway.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
