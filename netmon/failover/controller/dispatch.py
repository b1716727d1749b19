"""The actuators, all in one asyncio loop in a thread of its own: orders and plans go in, what became of them and what gateways tell come out.

Orders that shall wait, so that not all of a region move at once, wait here: when their time has come, they go out only if the lease of the
leader that gave them is still good. What is stopped for longer, and goes on, sends nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from netmon.errors import ConfigError
from netmon.failover.actuators import AgentActuator, Site, make, make_agent
from netmon.failover.actuators.base import Actuator, HasWays, Order, Way
from netmon.failover.model import ActionResult
from netmon.failover.plan.model import Plan, Reported
from netmon.failover.settings import ControllerSettings, GatewaySettings
from netmon.inventory.model import ActuatorKind
from netmon.log import log

RESULTS_MAX: Final = 200_000
"""Results that wait for the leader; of more, the oldest are dropped, and their groups wait for the time that an attempt has."""
ACTUAL_S: Final = 30.0
"""Between two looks at where groups really are whose gateways tell nothing by themselves."""
_CLOSE_S: Final = 5.0


class Actual(NamedTuple):
    """Where groups really are, as read from what moves them."""

    unix_ns: int
    """When the reading began."""
    on: Mapping[str, str]
    """Group ID to line ID, or SHED."""


class Events(NamedTuple):
    """What has come, oldest first."""

    results: list[ActionResult]
    reports: list[Reported]
    """The newest of each gateway."""
    actual: list[Actual]


class Dispatch:
    """The actuators of one time as the leader."""

    def __init__(self, settings: ControllerSettings, fence: int, ring: Callable[[], None]) -> None:
        """Prepares.

        Args:
            settings: Of the process.
            fence: The leader's number.
            ring: Called, in the thread, when there is something to `take`.
        """
        self._settings = settings
        self._ring = ring
        self._fence = fence
        self._kinds: dict[str, ActuatorKind] = {each.gateway_id: each.actuator for each in settings.gateways}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="failover.dispatch", daemon=True)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._actuators: dict[ActuatorKind, Actuator] = {}
        self._agents: AgentActuator | None = None
        self._refused: dict[ActuatorKind, str] = {}
        """Kinds that can never work, and why."""
        self._are_begun = False
        self._early: list[Callable[[], None]] = []
        """What was to be done before all actuators had begun."""
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        """Group ID to the order that waits."""
        self._good_until_mono = 0.0
        self._lock = threading.Lock()
        self._results: deque[ActionResult] = deque(maxlen=RESULTS_MAX)
        self._reports: dict[str, Reported] = {}
        self._actual: list[Actual] = []

    # -- from the leader's thread

    def start(self) -> None:
        """Begins; what the actuators find and hear comes by `take`."""
        self._thread.start()

    def good_until(self, mono: float) -> None:
        """The lease is good until then, by the monotonic clock: later nothing goes out."""
        self._good_until_mono = mono

    def order(self, orders: Sequence[Order]) -> None:
        """Takes orders and returns at once; of one group only the newest counts."""
        if orders:
            self._call(self._order, orders)

    def plan(self, plans: Sequence[Plan]) -> None:
        """Takes plans and returns at once."""
        if plans:
            self._call(self._plan, plans)

    def lead(self, fence: int) -> None:
        """The leader's number is a greater one now."""
        self._call(self._lead, fence)

    def take(self) -> Events:
        """What has come since the last time."""
        with self._lock:
            events = Events(list(self._results), list(self._reports.values()), self._actual)
            self._results.clear()
            self._reports = {}
            self._actual = []
        return events

    def ways(self) -> dict[str, Way]:
        """How orders get to gateways, as it is now."""
        found: dict[str, Way] = {}
        for actuator in list(self._actuators.values()):
            if isinstance(actuator, HasWays):
                found |= actuator.ways()
        return found

    def close(self) -> None:
        """Ends; what waits is not sent. Returns when the actuators have ended, or do not."""
        if self._thread.is_alive():
            self._good_until_mono = 0.0
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join(_CLOSE_S)
        elif not self._loop.is_closed():
            # It never began.
            self._loop.close()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(self._when_begun, partial(function, *arguments))

    # -- in the thread

    def _run(self) -> None:
        self._loop.set_exception_handler(self._fail)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of ours: the process ends, and is started again."""
        error = context.get("exception")
        if not self._ended.done():
            self._ended.set_exception(error or RuntimeError(str(context.get("message"))))

    async def _main(self) -> None:
        for kind in dict.fromkeys(self._kinds.values()):
            gateways = tuple(each for each in self._settings.gateways if each.actuator == kind)
            await self._begin(kind, gateways)
        self._are_begun = True
        for call in self._early:
            call()
        looking = self._loop.create_task(self._look(), name="failover.actual")
        looking.add_done_callback(_raise_fault)
        try:
            await self._ended
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            for waiting in self._waiting.values():
                waiting.cancel()
            for actuator in self._actuators.values():
                await actuator.close()

    async def _begin(self, kind: ActuatorKind, gateways: tuple[GatewaySettings, ...]) -> None:
        site = Site(self._settings, gateways, self._fence, self._hear)
        try:
            actuator: Actuator
            if kind == "agent":
                self._agents = make_agent(site)
                actuator = self._agents
            else:
                actuator = make(kind, site)
            await actuator.begin(self._tell)
        except ConfigError as error:
            # The others work: a carrier's secret that is missing must not keep gateways from moving.
            self._refused[kind] = "; ".join(error.mistakes)
            cure = "netmon check says what is wrong; correct it, and send SIGHUP"
            log.error("failover.actuator_refused", kind=kind, mistakes=error.mistakes, cure=cure)
            if kind == "agent":
                self._agents = None
            return
        self._actuators[kind] = actuator

    def _when_begun(self, call: Callable[[], None]) -> None:
        if self._are_begun:
            call()
        else:
            self._early.append(call)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _order(self, orders: Iterable[Order]) -> None:
        at_once: dict[ActuatorKind, list[Order]] = {}
        for order in orders:
            if (former := self._waiting.pop(order.group_id, None)) is not None:
                former.cancel()
            if order.delay_s > 0:
                now = msgspec.structs.replace(order, delay_s=0.0)
                self._waiting[order.group_id] = self._loop.call_later(order.delay_s, self._release, now)
            else:
                at_once.setdefault(self._kinds[order.gateway_id], []).append(order)
        for kind, some in at_once.items():
            self._send(kind, some)

    def _release(self, order: Order) -> None:
        self._waiting.pop(order.group_id, None)
        self._send(self._kinds[order.gateway_id], [order])

    def _send(self, kind: ActuatorKind, orders: Sequence[Order]) -> None:
        if time.monotonic() >= self._good_until_mono:
            # Somebody else may lead: he finds the orders in Redis, and gives them.
            log.warning("failover.orders_held", orders=len(orders), reason="the lease could not be renewed")
            return
        actuator = self._actuators.get(kind)
        if actuator is None:
            why = self._refused[kind]
            for order in orders:
                self._tell(
                    ActionResult(
                        group_id=order.group_id, generation=order.generation, outcome="unreachable", detail=why
                    )
                )
            return
        actuator.order(orders)

    def _plan(self, plans: Sequence[Plan]) -> None:
        if self._agents is not None and time.monotonic() < self._good_until_mono:
            self._agents.plan(plans)

    def _lead(self, fence: int) -> None:
        self._fence = fence
        if self._agents is not None:
            self._agents.lead(fence)

    # -- what comes back

    def _tell(self, result: ActionResult) -> None:
        with self._lock:
            self._results.append(result)
        self._ring()

    def _hear(self, reported: Reported) -> None:
        with self._lock:
            self._reports[reported.gateway_id] = reported
        self._ring()

    async def _look(self) -> None:
        """Reads now and then where those groups are whose gateways do not tell."""
        while True:
            for kind, actuator in self._actuators.items():
                if kind == "agent":
                    continue
                began = time.time_ns()
                on = await actuator.actual()
                with self._lock:
                    self._actual.append(Actual(began, on))
                self._ring()
            await asyncio.sleep(ACTUAL_S)


def _raise_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        # In a callback: the loop's handler gets it.
        task.result()
