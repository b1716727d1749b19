"""A controller of a simulated region: the real intake, coordinator, decisions and ledger of orders, around a lease that may be lost unnoticed.

It does what the process does, in the same order: what is heard goes into the coordinator, what that decides is written under the fence, and only
then ordered. Between any two of these it may be stopped, and go on later as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from netmon.failover.actuators.base import Order
from netmon.failover.actuators.ledger import Ledger
from netmon.failover.controller.decisions import Decisions, Kept, parts
from netmon.failover.controller.intake import Intake
from netmon.failover.controller.pending import Pending
from netmon.failover.controller.report import Counts
from netmon.failover.model import LineSight
from netmon.failover.plan.model import Beat, Desired, Reported
from netmon.failover.record import Command
from netmon.failover.region.coordinator import Coordinator, Decided
from netmon.failover.settings import ControllerSettings
from netmon.model import RedisSettings
from tests.sim.broker import FakeBroker
from tests.sim.engine import MS, Engine, Event, S
from tests.sim.gateway import DESIRED, REPORTED
from tests.sim.judges import Judges
from tests.sim.redis import AwayError, FakeRedis
from tests.sim.region import Region

LEASE_NS: Final = 15 * S
RENEW_NS: Final = 5 * S
GOOD_NS: Final = 10 * S
"""From a renewal: later nothing is ordered."""
SILENT_NS: Final = 30 * S
AGAIN_NS: Final = 20 * S
FRESH_NS: Final = 3_500 * MS
"""Lines are told anew so often, while something is decided."""


class Watcher(Protocol):
    """Who looks at what a controller decides and hears."""

    def decided(self, controller: SimController, decided: Decided) -> None:
        """A decision, before anything is done about it."""

    def raised(self) -> None:
        """A leader took a greater number, because a gateway knew one."""


class SimController:
    """One of several processes that may lead.

    Attributes:
        core: While it thinks that it leads; else None.
        fence: Its number.
        is_stopped: By SIGSTOP.
        is_cut_off: From Redis.
        stops_at_order: It is stopped in the middle of its next order.
        skew_ns: How wrong the time is by which it goes.
    """

    def __init__(
        self,
        engine: Engine,
        redis: FakeRedis,
        broker: FakeBroker,
        region: Region,
        judges: Judges,
        watcher: Watcher,
        name: str,
    ) -> None:
        """Does not lead."""
        self.name = name
        self.core: Coordinator | None = None
        self.fence = 0
        self.is_stopped = self.is_cut_off = self.is_running = False
        self.stops_at_order: Event | None = None
        self.skew_ns = self._ahead_ns = 0
        self.postures: dict[str, Any] = {}
        self.posture_ns: dict[str, int] = {}
        self._engine, self._redis, self._broker = engine, redis, broker
        self._region, self._judges, self._watcher = region, judges, watcher
        self._settings = ControllerSettings(
            redis=RedisSettings(url="redis://simulated"),
            directory="",
            lines=tuple(region.facts.values()),
            groups=tuple(region.groups.values()),
            gateways=tuple(region.settings.values()),
        )
        self._life = 0
        self._deferred: list[Event] = []
        self._fence_heard = 0
        self._beat = 0
        broker.join(name, self._receive, {f"{REPORTED}/{gateway_id}" for gateway_id in region.gateways})

    @property
    def now_ns(self) -> int:
        """By its own clock, as it follows that."""
        return self._engine.now_ns + self.skew_ns

    # -- its life

    def start(self) -> None:
        """The process begins."""
        self._life += 1
        self.is_running, self.is_stopped, self.core = True, False, None
        self._deferred.clear()
        self._broker.rejoin(self.name)
        self._every(S, self._tick)

    def kill(self) -> None:
        """SIGKILL."""
        self._life += 1
        self.is_running, self.core = False, None
        self._broker.leave(self.name)
        self._broker.forget(self.name)

    def stop(self) -> None:
        """SIGSTOP."""
        self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT: whatever was about to happen happens now."""
        self.is_stopped = False
        deferred, self._deferred = self._deferred, []
        for event in deferred:
            self._live(event)()

    def set_clock(self, by_ns: int) -> None:
        """Its clock is set; whoever is stopped just now finds that out when he goes on."""
        self._ahead_ns += by_ns
        self._live(self._follow_clock)()

    def _follow_clock(self) -> None:
        by_ns, self.skew_ns = self._ahead_ns - self.skew_ns, self._ahead_ns
        if self.core is not None and by_ns:
            self._decisions.shift(by_ns)
            self._fresh_ns = 0
            self._ring()

    def _live(self, event: Event) -> Event:
        life = self._life

        def run() -> None:
            if life != self._life:
                return
            if self.is_stopped:
                self._deferred.append(event)
            else:
                event()

        return run

    def _after(self, delay_ns: int, event: Event) -> None:
        self._engine.after(delay_ns, self._live(event))

    def _every(self, period_ns: int, event: Event) -> None:
        def again() -> None:
            event()
            self._after(period_ns, again)

        self._after(self._engine.rng.randint(0, period_ns), again)

    # -- leading

    def _tick(self) -> None:
        try:
            if self.core is None:
                self._try_to_lead()
            elif self._engine.now_ns >= self._renew_ns:
                self._renew()
        except AwayError:
            pass
        if self.core is not None and self._engine.now_ns >= self._good_ns:
            self._stop_leading()
        if self.core is not None:
            self._look_after_gateways(self.core)

    def _reach(self) -> FakeRedis:
        """Redis, if it can be reached. Raises AwayError."""
        if self.is_cut_off or self._redis.is_away:
            raise AwayError
        return self._redis

    def _try_to_lead(self) -> None:
        self.skew_ns = self._ahead_ns
        redis, true_ns = self._reach(), self._engine.now_ns
        fence = redis.acquire(self.name, LEASE_NS, true_ns)
        if fence is None:
            return
        orders = {order.group_id: order for order in redis.orders()}
        known = max([self._fence_heard, *(order.fence for order in orders.values())])
        if known >= fence:
            self._watcher.raised()
        if fence == 1:
            # Redis knows of no leader, which may be because it has lost everything.
            known = max(known, self.now_ns // S)
        if known >= fence:
            fence = redis.raise_fence(self.name, fence, known, true_ns) or fence
        self.fence = fence
        self._renewed()
        self._go_on(redis, orders)
        self._ledger = Ledger(
            {name: [group.group_id for group in gateway.groups] for name, gateway in self._region.settings.items()},
            fence,
        )
        self._heard_ns = dict.fromkeys(self._region.gateways, true_ns)
        self._silent: set[str] = set()
        self._again_ns, self._look_ns = true_ns, 0
        self._fresh_ns = self._due_ns = self._work_ns = 0
        for gateway_id in self._region.gateways:
            found = self._broker.retained(f"{DESIRED}/{gateway_id}")
            if found is not None:
                self._ledger.compare(found)
        self.see_vantages()
        self._broker.greet(self.name)
        self._decisions.give_again(self.now_ns)
        self._flush()
        self._ring(200 * MS)

    def _go_on(self, redis: FakeRedis, orders: dict[str, Order]) -> None:
        """Begins where the leader before has ended, as Redis has it."""
        now_ns, counts = self.now_ns, Counts()
        core = self.core = Coordinator(
            self._settings.lines,
            self._settings.groups,
            redis.states(),
            started_unix_ns=now_ns,
            calm_from_unix_ns=now_ns + LEASE_NS,
        )
        core.fence = self.fence
        stored = redis.requests()
        for request in stored:
            core.ask(request, now_ns)
        core.freeze(redis.freeze, now_ns)
        for area_id, posture in self.postures.items():
            core.see_posture(area_id, posture)
        self._pending = Pending()
        self._intake = Intake(core, self._settings, counts, mono_ns=self._engine.now_ns, fence=self.fence)
        for reported in redis.gateways():
            self._intake.remember(reported, now_ns)
        kept = Kept(core, self._pending, orders)
        self._decisions = Decisions(self._settings, kept, self._intake, counts, self.fence)
        wanted = self._decisions.requests
        self._pending.request(wanted.values(), {request.id for request in stored} - wanted.keys())
        self._pending.freeze(self._decisions.frozen)

    def _renew(self) -> None:
        if self._reach().renew(self.name, self.fence, LEASE_NS, self._engine.now_ns):
            self._renewed()
        else:
            self._stop_leading()

    def _renewed(self) -> None:
        self._renew_ns = self._engine.now_ns + RENEW_NS
        self._good_ns = self._engine.now_ns + GOOD_NS

    def _stop_leading(self) -> None:
        self.core = None
        self._life += 1
        self._deferred.clear()
        self._broker.forget(self.name)
        self._every(S, self._tick)

    def _look_after_gateways(self, core: Coordinator) -> None:
        now_ns = self._engine.now_ns
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + 3 * S
        for gateway_id in self._region.gateways:
            if self._broker.hears(gateway_id) and self._broker.hears(self.name):
                self._heard_ns[gateway_id] = now_ns
                self._silent.discard(gateway_id)
            elif now_ns - self._heard_ns[gateway_id] > SILENT_NS and gateway_id not in self._silent:
                self._silent.add(gateway_id)
                core.lose_gateway(gateway_id)
                self._ring()
        if now_ns - self._again_ns > AGAIN_NS:
            self._again_ns = now_ns
            for gateway_id in self._region.gateways:
                if self._ledger.is_behind(gateway_id):
                    self._publish(gateway_id)

    def beat(self) -> Beat | None:
        """A sign of life, if it thinks that it leads and can tell anybody."""
        if self.core is None or self.is_stopped or not self._broker.hears(self.name):
            return None
        self._beat += 1
        return Beat(fence=self.fence, beat=self._beat, unix_ns=self.now_ns)

    # -- what it hears

    def see_line(self, line_id: str) -> None:
        """The verdict on a line is another. It stands in Redis."""
        self._after(self._engine.rng.randint(MS, 20 * MS), lambda: self._see(line_id))

    def _see(self, line_id: str) -> None:
        if self.core is not None and not self.is_cut_off and not self._redis.is_away:
            self.core.see_line(self._fresh(line_id))
            self._ring()

    def _fresh(self, line_id: str) -> LineSight:
        """The verdict on a line, proven as our clock has it."""
        sight = self._judges.fresh(line_id)
        good_ns = sight.good_unix_ns and sight.good_unix_ns + self.skew_ns
        return sight if good_ns == sight.good_unix_ns else msgspec.structs.replace(sight, good_unix_ns=good_ns)

    def see_vantages(self) -> None:
        """One of the vantages is another."""
        if self.core is not None:
            self.core.see_vantages(self._judges.live, 3, self.now_ns)
            self._ring()

    def see_trap(self, line_id: str, failed: bool) -> None:
        """Trusted traps say something of a line."""
        if self.core is not None and not self.is_stopped:
            self.core.see_trap(line_id, failed, self.now_ns)
            self._ring()

    def see_posture(self, area_id: str, posture: Any) -> None:
        """An area is in another posture."""
        self.postures[area_id] = posture
        self.posture_ns[area_id] = self._engine.now_ns
        if self.core is not None:
            self.core.see_posture(area_id, posture)
            self._ring()

    def _receive(self, topic: str, message: Any) -> None:
        if isinstance(message, Reported):
            self._live(lambda: self._hear(message))()

    def _hear(self, reported: Reported) -> None:
        self._fence_heard = max(self._fence_heard, reported.fence)
        if self.core is None:
            return
        gateway_id = reported.gateway_id
        self._heard_ns[gateway_id] = self._engine.now_ns
        is_first = gateway_id not in self._intake.gateways
        self._intake.gateway(reported, self.now_ns, self._engine.now_ns)
        if is_first:
            self._decisions.restate(gateway_id)
        for result in self._ledger.report(gateway_id, reported.groups):
            self._decisions.result(result, self.now_ns)
        if self._intake.fence_heard > self.fence:
            self._raise_fence()
        self._ring()

    def _raise_fence(self) -> None:
        try:
            raised = self._reach().raise_fence(self.name, self.fence, self._intake.fence_heard, self._engine.now_ns)
        except AwayError:
            return
        if raised is None or self.core is None:
            return
        self.fence = self.core.fence = self._decisions.fence = self._ledger.fence = raised
        self._watcher.raised()
        self._pending.under(raised)
        self._decisions.give_again(self.now_ns)

    # -- what operators want

    def obey(self, command: Command) -> str:
        """A command; why it is refused, empty: it is done."""
        if self.core is None or self.is_stopped or self.is_cut_off or self._redis.is_away:
            return "nobody leads"
        self._decisions.obey(command, self.now_ns)
        self._ring()
        result = self._pending.results[-1]
        return "" if result.outcome == "done" else result.detail

    # -- what it does

    def _ring(self, delay_ns: int = 5 * MS) -> None:
        """Something is to be worked on: once, however often it is said."""
        when_ns = self._engine.now_ns + delay_ns
        if not self._work_ns or when_ns < self._work_ns:
            self._work_ns = when_ns
            self._after(delay_ns, lambda: self._work(when_ns))

    def _work(self, when_ns: int) -> None:
        if self._work_ns != when_ns or self.core is None:
            return
        self._work_ns = 0
        if self._engine.now_ns >= self._good_ns:
            return
        if not self.is_cut_off and not self._redis.is_away and self._engine.now_ns - self._fresh_ns >= FRESH_NS:
            self._fresh_ns = self._engine.now_ns
            for line_id in self._region.facts:
                self.core.see_line(self._fresh(line_id))
        decided = self.core.step(self.now_ns)
        self._watcher.decided(self, decided)
        self._decisions.follow_up(self.now_ns)
        for part in parts(decided):
            self._decisions.note(part, self.now_ns)
            self._flush()
            if self.core is None:
                return
        self._share()
        self._flush()
        if decided.due_unix_ns:
            self._ring(max(decided.due_unix_ns - self.now_ns, MS))

    def _share(self) -> None:
        """What gateways have told is kept, too."""
        for gateway_id in self._intake.told:
            self._pending.gateways[gateway_id] = self._intake.gateways[gateway_id]
        self._intake.told.clear()

    def _flush(self) -> None:
        """Writes what was decided; then hands it out."""
        if self.core is None:
            return
        pending = self._pending
        if not pending.is_empty:
            try:
                is_written = self._reach().commit(self.fence, pending.flush(), self._engine.now_ns)
            except AwayError:
                self._after(500 * MS, self._flush)
                return
            if not is_written:
                self._stop_leading()
                return
        orders = [*pending.orders.values(), *pending.restated.values()]
        pending.clear()
        by_delay: dict[float, list[Order]] = {}
        for order in orders:
            by_delay.setdefault(order.delay_s, []).append(order)
        for delay_s, some in by_delay.items():
            self._after(round(delay_s * S) + MS, lambda some=some: self._hand_out(some))  # type: ignore[misc]

    def _hand_out(self, orders: list[Order]) -> None:
        if self.core is None or self._engine.now_ns >= self._good_ns:
            return
        for order in orders:
            for result in self._ledger.order(order):
                self._decisions.result(result, self.now_ns)
        for gateway_id in dict.fromkeys(order.gateway_id for order in orders):
            self._publish(gateway_id)
        self._ring()

    def _publish(self, gateway_id: str) -> None:
        """What is wanted of a gateway goes out; whoever is stopped just now sends it when he goes on."""
        desired = self._ledger.desired(gateway_id, self.now_ns)
        if desired is None:
            return
        if self.stops_at_order is not None:
            stop, self.stops_at_order = self.stops_at_order, None
            stop()
        self._after(MS, self._sending(gateway_id, desired))

    def _sending(self, gateway_id: str, desired: Desired) -> Callable[[], None]:
        return lambda: self._broker.publish(self.name, f"{DESIRED}/{gateway_id}", desired)
