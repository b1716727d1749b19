"""A controller of a simulated region: the real coordinator and the real ledger of orders, around a lease that may be lost unnoticed.

It does what the process does, in the same order: what is heard goes into the coordinator, what that decides is written under the fence, and only
then ordered. Between any two of these it may be stopped, and go on later as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from netmon.failover.actuators.base import Order
from netmon.failover.actuators.ledger import Ledger
from netmon.failover.controller.intake import _by_our_clock
from netmon.failover.model import Action, Freeze, Request
from netmon.failover.plan.model import Beat, Desired, Reported
from netmon.failover.record import Audit, AuditKind
from netmon.failover.region.coordinator import Coordinator, Decided
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
        skew_ns: How wrong its clock is.
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
        self.skew_ns = 0
        self.postures: dict[str, Any] = {}
        self.posture_ns: dict[str, int] = {}
        self._engine, self._redis, self._broker = engine, redis, broker
        self._region, self._judges, self._watcher = region, judges, watcher
        self._life = 0
        self._deferred: list[Event] = []
        self._fence_heard = 0
        self._beat = 0
        broker.join(name, self._receive, {f"{REPORTED}/{gateway_id}" for gateway_id in region.gateways})

    @property
    def now_ns(self) -> int:
        """By its own clock."""
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

    def stop(self) -> None:
        """SIGSTOP."""
        self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT: whatever was about to happen happens now."""
        self.is_stopped = False
        deferred, self._deferred = self._deferred, []
        for event in deferred:
            self._live(event)()

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
        redis, true_ns = self._reach(), self._engine.now_ns
        fence = redis.acquire(self.name, LEASE_NS, true_ns)
        if fence is None:
            return
        self.fence = fence
        known = max([self._fence_heard, *(order.fence for order in redis.orders())])
        if known >= fence:
            self.fence = redis.raise_fence(self.name, fence, known, true_ns) or fence
            self._watcher.raised()
        self._renewed()
        core = self.core = Coordinator(
            list(self._region.facts.values()),
            list(self._region.groups.values()),
            redis.states(),
            started_unix_ns=self.now_ns,
            calm_from_unix_ns=self.now_ns + LEASE_NS,
        )
        core.fence = self.fence
        for request in redis.requests():
            core.ask(request, self.now_ns)
        core.freeze(redis.freeze, self.now_ns)
        for area_id, posture in self.postures.items():
            core.see_posture(area_id, posture)
        groups = {name: [group.group_id for group in gateway.groups] for name, gateway in self._region.settings.items()}
        self._ledger = Ledger(groups, self.fence)
        self._orders = {order.group_id: order for order in redis.orders()}
        self._states: dict[str, Any] = {}
        self._audits: list[Audit] = []
        self._open: list[Order] = []
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
        self._give_again()
        self._ring(200 * MS)

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
            self.core.see_line(self._judges.fresh(line_id))
            self._ring()

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
        self.posture_ns[area_id] = self.now_ns
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
        self._heard_ns[reported.gateway_id] = self._engine.now_ns
        if self._fence_heard > self.fence:
            self._raise_fence()
        for result in self._ledger.report(reported.gateway_id, reported.groups):
            self.core.result(result)
        self.core.see_gateway(_by_our_clock(reported, self.now_ns), self.now_ns)
        self._ring()

    def _raise_fence(self) -> None:
        try:
            raised = self._reach().raise_fence(self.name, self.fence, self._fence_heard, self._engine.now_ns)
        except AwayError:
            return
        if raised is None or self.core is None:
            return
        self.fence = self.core.fence = self._ledger.fence = raised
        self._watcher.raised()
        self._audits = [msgspec.structs.replace(audit, fence=raised) for audit in self._audits]
        self._open = [msgspec.structs.replace(order, fence=raised) for order in self._open]
        self._give_again()

    # -- what operators want

    def ask(self, request: Request) -> str:
        """A request, of which the same is in Redis."""
        if self.core is None or not self._can_be_asked():
            return "nobody leads"
        why = self.core.ask(request, self.now_ns)
        if not why:
            self._redis.put_request(request, self._engine.now_ns)
            self._ring()
        return why

    def _can_be_asked(self) -> bool:
        return not self.is_stopped and not self.is_cut_off and not self._redis.is_away

    def clear(self, group_id: str) -> None:
        """Takes back what was asked of a group."""
        if self.core is not None and self._can_be_asked():
            self.core.clear(group_id, self.now_ns)
            self._redis.drop_requests(group_id, self._engine.now_ns)
            self._ring()

    def freeze(self, freeze: Freeze | None) -> None:
        """Freezes the region, or lifts that."""
        if self.core is not None and self._can_be_asked():
            self.core.freeze(freeze, self.now_ns)
            self._redis.freeze = freeze
            self._ring()

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
                self.core.see_line(self._judges.fresh(line_id))
        decided = self.core.step(self.now_ns)
        self._watcher.decided(self, decided)
        self._states |= {state.group_id: state for state in decided.states}
        for action in decided.actions:
            self._note(self.core, action)
        for gateway_id in decided.gateways:
            self._restate(gateway_id)
        self._flush()
        if decided.due_unix_ns:
            self._ring(max(decided.due_unix_ns - self.now_ns, MS))

    def _note(self, core: Coordinator, action: Action) -> None:
        state, group = core.states[action.group_id], self._region.groups[action.group_id]
        kind: AuditKind = "page" if action.kind == "page" else "proposed" if action.kind == "propose" else "intent"
        self._write(kind, action.group_id, action.generation, action.before, action.to, core.evidence(action))
        if action.kind not in {"switch", "abandon"}:
            return
        order = Order(
            group_id=group.id,
            gateway_id=group.gateway_id,
            class_id=group.class_id,
            fence=self.fence,
            generation=action.generation,
            on=action.to,
            before=action.before,
            phase=state.phase,
            reason=action.reason,
            forced=action.forced,
            locked=core.locked(group.id),
            avoid=core.avoid(group.id),
            delay_s=core.delay_s(action),
            unix_ns=self.now_ns,
        )
        self._orders[group.id] = order
        self._open.append(order)

    def _write(
        self, kind: AuditKind, group_id: str, generation: int, before: str, to: str, evidence: tuple[str, ...]
    ) -> None:
        """What goes into the audit with the next flush."""
        self._audits.append(
            Audit(
                kind=kind, unix_ns=self.now_ns, fence=self.fence, group=group_id, generation=generation, before=before,
                to=to, evidence=evidence,
            )
        )  # fmt: skip

    def _flush(self) -> None:
        """Writes what was decided; then hands it out."""
        if not (self._states or self._audits or self._open):
            return
        try:
            is_written = self._reach().commit(
                self.fence, list(self._states.values()), list(self._open), list(self._audits), self._engine.now_ns
            )
        except AwayError:
            self._after(500 * MS, self._flush)
            return
        if not is_written:
            self._stop_leading()
            return
        orders, self._open = self._open, []
        self._states, self._audits = {}, []
        for order in orders:
            self._after(round(order.delay_s * S) + MS, lambda order=order: self._hand_out(order))  # type: ignore[misc]

    def _hand_out(self, order: Order) -> None:
        if self.core is None or self._engine.now_ns >= self._good_ns or self._orders.get(order.group_id) is not order:
            return
        for result in self._ledger.order(order):
            self.core.result(result)
        self._publish(order.gateway_id)

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

    def _restate(self, gateway_id: str) -> None:
        """Tells a gateway what it may do by itself now, with what was ordered before."""
        unwritten = {order.group_id for order in self._open}
        for group in self._region.groups_of(gateway_id):
            if group.id in unwritten:
                continue
            order = self._orders.get(group.id)
            if order is not None:
                self._ledger.order(self._as_now(order))
            elif self.core is not None and (self.core.locked(group.id) or self.core.avoid(group.id)):
                self._ledger.order(self._as_now(self._known(group.id, gateway_id)))
        self._publish(gateway_id)

    def _as_now(self, order: Order) -> Order:
        assert self.core is not None, "asked before"
        return msgspec.structs.replace(
            order,
            locked=self.core.locked(order.group_id),
            avoid=self.core.avoid(order.group_id),
            phase=self.core.states[order.group_id].phase,
            delay_s=0.0,
        )

    def _known(self, group_id: str, gateway_id: str) -> Order:
        """What stands of a group of which nothing was ordered."""
        assert self.core is not None, "asked before"
        state, group = self.core.states[group_id], self._region.groups[group_id]
        return Order(
            group_id=group_id,
            gateway_id=gateway_id,
            class_id=group.class_id,
            fence=0,
            generation=0,
            on=dict(self._ledger.actual(gateway_id)).get(group_id, state.on),
            phase=state.phase,
            unix_ns=0,
        )

    def _give_again(self) -> None:
        """Orders once more, under our number, what is under way; and tells gateways what was ordered of them before."""
        assert self.core is not None, "asked before"
        for order in list(self._orders.values()):
            attempt = self.core.states[order.group_id].attempt
            is_open = attempt is not None and attempt.stage in {"ordered", "applied"}
            if is_open and attempt is not None and attempt.generation == order.generation:
                again = msgspec.structs.replace(order, fence=self.fence, delay_s=0.0, unix_ns=self.now_ns)
                self._orders[order.group_id] = again
                self._open.append(again)
                why = ("given again by a new leader",)
                self._write("intent", again.group_id, again.generation, again.before, again.on, why)
            else:
                self._ledger.order(self._as_now(order))
        for gateway_id in {order.gateway_id for order in self._orders.values()}:
            self._publish(gateway_id)
        self._flush()
