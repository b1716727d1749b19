"""A whole region in one process and no time: true lines, gateways, vantages, a broker, Redis, two controllers, and somebody who watches them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from netmon.active_probe.model import LineState
from netmon.failover.actuators.base import Order
from netmon.failover.agent.held import Kept
from netmon.failover.model import SHED
from netmon.failover.plan.compute import Plans, plan_of
from netmon.failover.record import Command, CommandKind
from netmon.failover.region.coordinator import Decided
from tests.sim.broker import FakeBroker
from tests.sim.controller import SimController
from tests.sim.engine import MS, START_NS, Engine, S
from tests.sim.gateway import PLAN, SimGateway
from tests.sim.invariants import Invariants
from tests.sim.judges import Judges
from tests.sim.redis import FakeRedis
from tests.sim.region import Region

BEAT_NS: Final = 5 * S
FEEL_NS: Final = (80 * MS, 400 * MS)
"""From a change for the worse until a gateway's own probes tell it."""
TRUST_NS: Final = (1 * S, 3 * S)
"""The same for the better."""
_PUBLISHER: Final = "planner"


class Line:
    """The truth about one line. Faults may overlap: each is counted.

    Attributes:
        cuts: Nothing passes.
        one_way: Nothing passes towards the gateway.
        brown: Much is lost.
        good_since_ns: Since when it has been good; 0: it is not.
        answering_since_ns: Since when it has answered, well or not, but for moments that probes may miss; 0: it does not.
        bad_ns: When it was last not good; 0: never.
    """

    __slots__ = ("answering_since_ns", "bad_ns", "brown", "cuts", "good_since_ns", "lost", "one_way")

    def __init__(self) -> None:
        self.cuts = self.one_way = self.brown = 0
        self.good_since_ns = self.answering_since_ns = START_NS - 3_600 * S
        self.bad_ns = 0
        self.lost = (0, 0)
        """When it ceased to answer, and since when it had answered then."""

    def answers(self, now_ns: int) -> None:
        """Notes since when it has answered."""
        if not self.is_answering:
            if self.answering_since_ns:
                self.lost = now_ns, self.answering_since_ns
            self.answering_since_ns = 0
        elif not self.answering_since_ns:
            lost_ns, since_ns = self.lost
            self.answering_since_ns = since_ns if now_ns - lost_ns < FEEL_NS[1] else now_ns

    @property
    def is_answering(self) -> bool:
        """Whether a question over it is answered."""
        return not self.cuts and not self.one_way


class World:
    """A region and all that happens to it.

    Attributes:
        counts: What happened how often.
    """

    def __init__(self, region: Region, seed: int) -> None:
        """All is well; nobody leads yet."""
        self.counts: Counter[str] = Counter()
        self.region = region
        self.engine = Engine(seed)
        self.lines = {line_id: Line() for line_id in region.facts}
        self.broker = FakeBroker(self.engine)
        self.redis = FakeRedis()
        self.ports_down: set[tuple[str, str]] = set()
        """Gateway and line, where the gateway's own access is broken."""
        self.lying: dict[str, set[str]] = {}
        """Gateway to lines that it says are dead."""
        self.port_ns: dict[tuple[str, str], int] = {}
        """Gateway and line to when the gateway's own word of it was last different from the truth."""
        self.lied_ns: dict[str, int] = {}
        """Line to when vantages last said of it what was not so."""
        self.trap_ns: dict[str, int] = {}
        """Line to when a trap last said that it had failed."""
        self.cleared_ns: dict[str, int] = {}
        """Group to when an operator last said `clear`."""
        self.cleared: Counter[str] = Counter()
        self.touched: set[SimGateway] = set()
        """Gateways to which something has happened since the last look."""
        self.judges = Judges(self.engine, list(region.facts), self.look, self.hears, self._verdict)
        self.watch = Invariants(self)
        self.gateways = {
            gateway_id: SimGateway(self.engine, self.broker, self, gateway_id, line_ids)
            for gateway_id, line_ids in region.gateways.items()
        }
        self._on_line: dict[str, list[SimGateway]] = {line_id: [] for line_id in region.facts}
        for gateway in self.gateways.values():
            for line_id in gateway.line_ids:
                self._on_line[line_id].append(gateway)
        self.controllers = [
            SimController(self.engine, self.redis, self.broker, region, self.judges, self, name) for name in ("a", "b")
        ]
        self._push_plans()
        for gateway in self.gateways.values():
            gateway.start()
        for controller in self.controllers:
            controller.start()
        self.engine.after(BEAT_NS, self._beat)

    def run(self, seconds: float) -> None:
        """Lets time pass; invariants are looked at after each event."""
        self.engine.run(self.engine.now_ns + round(seconds * S), self.watch.after_each)

    def _push_plans(self) -> None:
        plans = Plans(self.region.facts.values(), self.region.groups.values())
        while plans.pending:
            plans.advance()
        self.broker.join(_PUBLISHER, lambda _topic, _message: None, set())
        for gateway_id, settings in self.region.settings.items():
            plan = plan_of(settings, plans.rankings(gateway_id), None, fence=0, now_unix_ns=self.engine.now_ns)
            self.broker.publish(_PUBLISHER, f"{PLAN}/{gateway_id}", plan)

    def _beat(self) -> None:
        for controller in self.controllers:
            beat = controller.beat()
            for gateway in self.gateways.values() if beat is not None else ():
                if self.broker.hears(gateway.id):
                    gateway.hear(beat)
        self.watch.after_beat()
        self.engine.after(BEAT_NS, self._beat)

    def command(self, kind: CommandKind, group_id: str = "", line_id: str = "", *, until_s: float = 0.0) -> Command:
        """What an operator wants, from now on for so long."""
        self.counts["commands"] += 1
        return Command(
            id=f"command-{self.counts['commands']}",
            kind=kind,
            group_id=group_id,
            line_id=line_id,
            by="operator",
            why="works",
            unix_ns=self.engine.now_ns,
            until_unix_ns=self.engine.now_ns + round(until_s * S) if until_s else 0,
        )

    def clear(self, group_id: str, controllers: Iterable[SimController]) -> None:
        """An operator takes back whatever was asked of a group: whoever leads lets it return at once."""
        for controller in controllers:
            controller.obey(self.command("clear", group_id))
        self.cleared_ns[group_id] = self.engine.now_ns
        self.cleared[group_id] += 1

    # -- the truth, as others ask for it

    def look(self, line_id: str) -> LineState:
        """How a line is for a vantage that sees."""
        line = self.lines[line_id]
        if not line.is_answering:
            return "down"
        return "degraded" if line.brown else "up"

    def hears(self, line_id: str) -> bool:
        """Whether something arrives over a line by itself."""
        return not self.lines[line_id].cuts

    def answers(self, gateway_id: str, line_id: str) -> bool:
        """Whether a probe of a gateway's is answered."""
        return self.lines[line_id].is_answering and (gateway_id, line_id) not in self.ports_down

    def believed(self, gateway_id: str, line_id: str) -> bool:
        """The same as the gateway believes."""
        return self.answers(gateway_id, line_id) and line_id not in self.lying.get(gateway_id, ())

    def changed(self, line_id: str) -> None:
        """A line is different now: everybody who probes it notices in his time."""
        line, now_ns = self.lines[line_id], self.engine.now_ns
        is_good = line.is_answering and not line.brown
        if not is_good or not line.good_since_ns:
            line.bad_ns = now_ns
        line.answers(now_ns)
        line.good_since_ns = (line.good_since_ns or now_ns) if is_good else 0
        self.judges.changed(line_id)
        for gateway in self._on_line[line_id]:
            self.felt(gateway.id, line_id)

    def felt(self, gateway_id: str, line_id: str) -> None:
        """A line is different for a gateway."""
        self.engine.within(
            *(TRUST_NS if self.believed(gateway_id, line_id) else FEEL_NS), self.gateways[gateway_id].look
        )

    # -- whom it is told

    def _verdict(self, line_id: str) -> None:
        self.counts[f"verdict {self.judges.sights[line_id].state}"] += 1
        for controller in self.controllers:
            controller.see_line(line_id)

    def decided(self, controller: SimController, decided: Decided) -> None:
        """A controller has decided."""
        for action in decided.actions:
            self.counts[f"{action.kind} {action.text or action.reason}".strip()] += 1
        if controller.core is not None and controller.core.frozen is not None:
            self.counts["frozen steps"] += 1
        self.watch.decided(controller, decided)

    def raised(self) -> None:
        """A leader took a greater number."""
        self.counts["fences raised"] += 1

    def moved(self, gateway_id: str, order: Order, before: str, kept: Kept | None) -> None:
        """A gateway has put a class somewhere."""
        who = kept.owner if kept is not None and kept.owner else "edge"
        self.counts[f"moved by {who}"] += 1
        if order.on == SHED:
            self.counts["shed"] += 1
        if who == "edge" and self.gateways[gateway_id].edge.is_alone(self.gateways[gateway_id].now_ns):
            self.counts["moved alone"] += 1
        self.watch.moved(gateway_id, order, before, kept)
