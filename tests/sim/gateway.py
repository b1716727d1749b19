"""A gateway of a simulated region: the real edge, over a kernel and a disk that outlive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from netmon.failover.actuators.base import Order
from netmon.failover.agent.edge import Edge
from netmon.failover.agent.held import Kept
from netmon.failover.model import SHED, ActionResult, LineSight
from netmon.failover.plan.model import Beat, Desired, Plan, Reported, ReportedGroup
from tests.sim.broker import FakeBroker
from tests.sim.engine import MS, Engine, S

PLAN, DESIRED, REPORTED, CENTRE = "plan", "desired", "reported", "centre"
CENTRE_LOST_NS = 30 * S + 1
RETELL_NS = 10 * S
"""A report is told again after so long, and again and again while messages are lost: not for ever as it really is, for want of time."""


class Ground(Protocol):
    """What a gateway stands on: the truth about its lines, and who watches where its traffic goes."""

    def answers(self, gateway_id: str, line_id: str) -> bool:
        """Whether a probe over the line gets its answer."""

    def believed(self, gateway_id: str, line_id: str) -> bool:
        """The same as its own probes tell, which may be wrong."""

    def moved(self, gateway_id: str, order: Order, before: str, kept: Kept | None) -> None:
        """The kernel has a class somewhere else from now on."""


class _Disk:
    """What outlives the process."""

    def __init__(self) -> None:
        self.fence = 0
        self.kept: tuple[Kept, ...] = ()
        self.plan: Plan | None = None
        self.desired: Desired | None = None


class SimGateway:
    """One of them.

    Attributes:
        kernel: Group ID to where its packets go; outlives the process, not the machine.
        is_running: The agent is there.
        breaks: Moves that will fail at the actuator.
        skew_ns: How wrong its clock is.
    """

    def __init__(
        self, engine: Engine, broker: FakeBroker, ground: Ground, gateway_id: str, line_ids: tuple[str, ...]
    ) -> None:
        """Has no plan yet, and its classes are nowhere."""
        self.id = gateway_id
        self.line_ids = line_ids
        self.kernel: dict[str, str] = {}
        self.is_running = False
        self.breaks = 0
        self.skew_ns = 0
        self.edge: Edge
        self._engine, self._broker, self._ground = engine, broker, ground
        self._disk = _Disk()
        self._life = 0
        self._is_anew = False
        """The machine was switched off since the agent last looked where its classes are."""
        self._moves: dict[str, int] = {}
        self._flying: set[str] = set()
        """Classes that are being moved, or whose move is being verified."""
        self._seen: dict[str, tuple[bool, int]] = {}
        """Line ID to whether it is good, and since when."""
        self._told: object = None
        self._due_ns = 0
        broker.join(gateway_id, self._receive, {f"{PLAN}/{gateway_id}", f"{DESIRED}/{gateway_id}", CENTRE})

    # -- its life

    @property
    def now_ns(self) -> int:
        """By its own clock."""
        return self._engine.now_ns + self.skew_ns

    def start(self) -> None:
        """The agent begins: with what is on its disk, and where the kernel has everything."""
        self._life += 1
        self.is_running, self._told, self._due_ns = True, None, 0
        self._seen.clear()
        self._flying.clear()
        self.edge = Edge(self.id, self.now_ns, fence=self._disk.fence, kept=self._disk.kept)
        if self._disk.plan is not None:
            self._take_plan(self._disk.plan)
        if self._disk.desired is not None:
            self.edge.desired(self._disk.desired)
        self.look()
        self._broker.rejoin(self.id)

    def kill(self, *, power: bool) -> None:
        """The agent is gone in the middle of whatever it did; with the machine's power, its routes are, too."""
        self._life += 1
        self.is_running = False
        self._moves.clear()
        self._broker.leave(self.id)
        self._broker.forget(self.id)
        if power:
            self.kernel.clear()
            self._is_anew = True

    # -- what it hears and sees

    def look(self) -> None:
        """Its probes tell how its lines are now."""
        if self.is_running:
            self._see()
            self._act()

    def hear(self, beat: Beat) -> None:
        """A beat of the centre that has arrived."""
        if self.is_running:
            self.edge.beat(beat, self.now_ns)

    def _see(self) -> None:
        now_ns = self.now_ns
        if not self._flying:
            self.edge.actual(self.kernel)
        for line_id in self.line_ids:
            is_good = self._ground.believed(self.id, line_id)
            if self._seen.get(line_id, (not is_good, 0))[0] != is_good:
                self._seen[line_id] = is_good, now_ns
            self.edge.sight(
                LineSight(
                    line_id=line_id,
                    state="up" if is_good else "down",
                    since_unix_ns=self._seen[line_id][1],
                    good_unix_ns=now_ns if is_good else 0,
                    reason="" if is_good else "no_answer",
                )
            )

    def _receive(self, topic: str, message: Any) -> None:
        if not self.is_running:
            return
        if isinstance(message, Plan):
            self._take_plan(message)
        elif isinstance(message, Desired) and not self.edge.desired(message):
            self._disk.desired = message
        self._see()
        self._act()

    def _take_plan(self, plan: Plan) -> None:
        if self.edge.plan(plan, self.now_ns):
            return
        self._disk.plan = plan
        for planned in plan.groups:
            self.kernel.setdefault(planned.group_id, planned.working)
        self.edge.actual(self.kernel, is_anew=self._is_anew)
        self._is_anew = False

    # -- what it does

    def _act(self) -> None:
        turn = self.edge.step(self.now_ns)
        self._disk.kept, self._disk.fence = self.edge.kept(), self.edge.fence
        for order in turn.orders:
            self._begin(order)
        self._tell(turn.groups)
        due_ns = turn.due_unix_ns - self.skew_ns
        if turn.due_unix_ns and not self._engine.now_ns <= self._due_ns <= due_ns:
            self._due_ns = due_ns
            self._engine.at(due_ns, self._living(lambda: self._wake(due_ns)))

    def _wake(self, due_ns: int) -> None:
        if self._due_ns != due_ns:
            return
        self._due_ns = 0
        lost_ns = self.edge._heard_ns + CENTRE_LOST_NS - self.skew_ns
        if lost_ns > self._engine.now_ns and not any(held.due_ns for held in self.edge._held.values()):
            # It was due for nothing but to look whether the centre lives.
            self._due_ns = lost_ns
            self._engine.at(lost_ns, self._living(lambda: self._wake(lost_ns)))
            return
        self._see()
        self._act()

    def _begin(self, order: Order) -> None:
        number = self._moves[order.group_id] = self._moves.get(order.group_id, 0) + 1
        # As it is now: another order may be refused while this one is carried out.
        kept = self._kept(order.group_id)
        self._flying.add(order.group_id)
        self._engine.within(2 * MS, 20 * MS, self._living(lambda: self._move(order, number, kept)))

    def _move(self, order: Order, number: int, kept: Kept | None) -> None:
        if self._moves.get(order.group_id) != number:
            return
        if self.breaks:
            self.breaks -= 1
            self._result(order, "failed", self.kernel.get(order.group_id), "no such device")
            return
        before = self.kernel.get(order.group_id, SHED)
        self.kernel[order.group_id] = order.on
        self._ground.moved(self.id, order, before, kept)
        self._result(order, "applied", order.on)
        self._engine.within(20 * MS, 200 * MS, self._living(lambda: self._verify(order, number, before)))

    def _verify(self, order: Order, number: int, before: str) -> None:
        if self._moves.get(order.group_id) != number:
            return
        if order.on == SHED or order.forced or self._ground.answers(self.id, order.on):
            self._result(order, "verified", order.on)
            return
        if before not in {SHED, order.on} and self._ground.believed(self.id, before):
            self.kernel[order.group_id] = before
        self._result(order, "failed", self.kernel[order.group_id], "does not arrive")

    def _result(self, order: Order, outcome: str, on: str | None, detail: str = "") -> None:
        result = ActionResult(
            group_id=order.group_id,
            generation=order.generation,
            outcome=outcome,  # type: ignore[arg-type]
            on=on,
            detail=detail,
        )
        if outcome != "applied":
            self._flying.discard(order.group_id)
        self.edge.result(result, self.now_ns)
        self._see()
        self._act()

    # -- what it tells

    def _tell(self, groups: tuple[ReportedGroup, ...]) -> None:
        lines = tuple(self._ground.believed(self.id, line_id) for line_id in self.line_ids)
        if (groups, lines) == self._told:
            return
        self._told = groups, lines
        self.report()
        self._engine.after(RETELL_NS, self._living(self._retell(self._told)))

    def report(self) -> None:
        """Tells how everything is."""
        self._broker.publish(self.id, f"{REPORTED}/{self.id}", self.reported())

    def reported(self) -> Reported:
        """What it would tell now."""
        return self.edge.reported(self.now_ns)

    def _retell(self, told: object) -> Callable[[], None]:
        def again() -> None:
            if self._told is not told:
                return
            self.report()
            if self._broker.weather.lost:
                self._engine.after(RETELL_NS, self._living(again))

        return again

    def _kept(self, group_id: str) -> Kept | None:
        return next((kept for kept in self._disk.kept if kept.state.group_id == group_id), None)

    def _living(self, event: Callable[[], None]) -> Callable[[], None]:
        life = self._life
        return lambda: event() if life == self._life and self.is_running else None
