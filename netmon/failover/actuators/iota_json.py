"""Edges without an agent that speak IoTA-JSON, the topics and documents of FIWARE's IoT Agent for JSON.

An edge is a device with one command, `route`. What is wanted of all its classes is published, retained, on `/<apikey>/<device>/cmd`; what became of
them the edge answers on `/json/<apikey>/<device>/cmdexe`. The device is the gateway's ID.

    {"route": {"fence": 6, "classes": {"life": {"on": "leo", "fence": 6, "generation": 3}}}}
    {"route": {"classes": {"life": {"on": "leo", "fence": 6, "generation": 3, "outcome": "verified"}}}}

There is no signature: whoever may write to the topic is obeyed, so the broker's access list is what protects it. The edge has to keep the greatest
`(fence, generation)` of each class, refuse what is smaller, and answer again when it is told again what it has done.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from netmon.errors import ConfigError
from netmon.failover.actuators import Site
from netmon.failover.actuators.background import Background
from netmon.failover.actuators.base import Order, Tell, Way
from netmon.failover.actuators.ledger import Ledger
from netmon.failover.model import ActionResult
from netmon.failover.mqtt.link import Filter, Heard, Link, LinkState
from netmon.failover.mqtt.wire import REPORTED_BYTES_MAX, is_bounded, is_level
from netmon.failover.plan.model import DesiredGroup, ReportedGroup
from netmon.log import limited, log

AGAIN_S: Final = 10.0
"""An edge that does not answer is told again so often: its answer may have been lost, for it is not retained."""

COUNTS: Final = ("answers", "answers_refused")
"""Of `Edges.counts`: answers of edges; those that could not be used."""


class _Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one class."""

    on: str
    """Line ID; empty: nowhere, its packets are to be refused."""
    fence: int
    generation: int
    phase: str = "NR"
    reason: str = ""
    forced: bool = False
    locked: bool = False
    avoid: tuple[str, ...] = ()


class _Route(msgspec.Struct, frozen=True, kw_only=True):
    fence: int
    classes: dict[str, _Wanted]


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    route: _Route


class _Became(ReportedGroup, frozen=True, kw_only=True, omit_defaults=True):
    """Of one class."""

    group_id: str = ""
    """Not used: the class says which it is."""


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    classes: dict[str, _Became]


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    route: _Result


_answer: Final = msgspec.json.Decoder(_Answer)


class Edges:
    """All gateways that speak IoTA-JSON, over one broker.

    Attributes:
        counts: See COUNTS; all there from the start.
        link: To the broker.
    """

    def __init__(self, site: Site) -> None:
        """Raises ConfigError: no broker, or its settings can never work."""
        settings = site.settings.mqtt
        if settings is None:
            raise ConfigError(["failover: gateways with the actuator iota_json need a broker (mqtt)"])
        self._key = settings.iota_apikey
        if not is_level(self._key):
            raise ConfigError([f"failover.mqtt.iota_apikey {self._key!r}: expected a word without /, + and #"])
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._classes = {
            gateway.gateway_id: {group.class_id: group.group_id for group in gateway.groups}
            for gateway in site.gateways
        }
        self._class_of = {group_id: name for classes in self._classes.values() for name, group_id in classes.items()}
        self._ledger = Ledger({gateway: classes.values() for gateway, classes in self._classes.items()}, site.fence)
        self._devices = {f"/json/{self._key}/{gateway}/cmdexe": gateway for gateway in self._classes}
        self._tell: Tell = _nobody
        self._background = Background()
        self.link = Link(
            settings,
            f"netmon-iota-{os.urandom(6).hex()}",
            [Filter(topic) for topic in self._devices],
            self._hear,
            message_bytes_max=REPORTED_BYTES_MAX,
            changed=self._link_changed,
        )

    async def begin(self, tell: Tell) -> None:
        """Begins to connect."""
        self._tell = tell
        self._background.begin(self.link.run(), "iota broker")
        self._background.begin(self._ask_again(), "iota silence")

    def order(self, orders: Sequence[Order]) -> None:
        """As an actuator's."""
        for order in orders:
            if order.delay_s > 0:
                self._background.later(order.delay_s, partial(self._order, order))
            else:
                self._order(order)

    async def actual(self) -> dict[str, str]:
        """As edges have answered since we began."""
        return {group_id: on for gateway_id in self._ledger for group_id, on in self._ledger.actual(gateway_id)}

    def ways(self) -> dict[str, Way]:
        """See `HasWays`."""
        way = self.link.way
        return {"iota_json": msgspec.structs.replace(way, counts=way.counts | self.counts)}

    async def close(self) -> None:
        """Takes leave of the broker; edges go on by what they have."""
        await self._background.close()

    def _order(self, order: Order) -> None:
        self._tell_all(self._ledger.order(order))
        self._publish(order.gateway_id, urgent=True)
        if not self.link.state.connected:
            self._tell_all(self._ledger.unreachable(order.gateway_id, f"no broker: {self.link.state.why}"))

    def _publish(self, gateway_id: str, *, urgent: bool) -> None:
        def made() -> bytes | None:
            desired = self._ledger.desired(gateway_id, time.time_ns())
            if desired is None:
                return None
            classes = {self._class_of[group.group_id]: _wanted(group) for group in desired.groups}
            return msgspec.json.encode(_Command(route=_Route(fence=desired.fence, classes=classes)))

        self.link.publish(f"/{self._key}/{gateway_id}/cmd", made, urgent=urgent)

    def _hear(self, heard: Heard) -> None:
        gateway_id = self._devices.get(heard.topic)
        if gateway_id is None:
            return
        known = self._classes[gateway_id]
        try:
            answer = _answer.decode(heard.payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            answer = None
        if answer is None or not is_bounded(answer.route.classes.values()):
            self.counts["answers_refused"] += 1
            limited.warning("failover.answer_refused", gateway=gateway_id, reason="malformed")
            return
        self.counts["answers"] += 1
        became = [
            msgspec.structs.replace(each, group_id=known[name])
            for name, each in answer.route.classes.items()
            if name in known
        ]
        self._tell_all(self._ledger.report(gateway_id, became))

    def _link_changed(self, state: LinkState) -> None:
        if state.connected:
            log.info("failover.broker_connected", edges=len(self._devices))
            for gateway_id in self._ledger:
                self._publish(gateway_id, urgent=False)
        else:
            limited.warning("failover.broker_lost", reason=state.why)
            for gateway_id in self._ledger.waiting():
                self._tell_all(self._ledger.unreachable(gateway_id, f"no broker: {state.why}"))

    async def _ask_again(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            for gateway_id in self._ledger.waiting():
                self._publish(gateway_id, urgent=False)

    def _tell_all(self, results: Iterable[ActionResult]) -> None:
        for result in results:
            self._tell(result)


def actuator(site: Site) -> Edges:
    """The actuator of edges that speak IoTA-JSON. Raises ConfigError: it can never work."""
    return Edges(site)


def _wanted(group: DesiredGroup) -> _Wanted:
    return _Wanted(
        on=group.on,
        fence=group.fence,
        generation=group.generation,
        phase=group.phase,
        reason=group.reason,
        forced=group.forced,
        locked=group.locked,
        avoid=group.avoid,
    )


def _nobody(_: ActionResult) -> None:
    """Before `begin`."""
