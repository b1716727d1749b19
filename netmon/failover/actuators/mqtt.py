"""Gateways with agents: what is desired of each is retained at the broker, signed; what each tells is retained, too.

Nothing is a command that could be lost or come twice. An order changes what is desired, and the broker keeps that for a gateway that is away. What
became of it is read from the gateway's reports by `(fence, generation)`.

We hear the topics that we publish on, but for our own messages. So with each new connection it is known what the broker has, and only what it lacks
or has of an older leader is published again; and when a former leader goes on and publishes over us, which its gateways refuse by the fence, ours is
put in its place at once: a gateway that was replaced, and knows of no fence, would find nothing else. A *later* leader's message is left alone: two
that overwrite each other would never end.

The topics are subscribed to one by one, a hundred in a packet, although wildcards would do: a broker queues what is retained all at once for a
wildcard, and drops what is more than its queue holds (Mosquitto: 1,000). Besides, what strangers publish is never seen.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
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
from netmon.failover.mqtt import wire
from netmon.failover.mqtt.link import Filter, Heard, Link, LinkState
from netmon.failover.plan import sign
from netmon.failover.plan.model import Beat, Desired, Plan, Reported
from netmon.log import limited, log

SETTLE_S: Final = 1.0
"""After connecting, for what the broker has retained of a gateway, before it counts as nothing. Until then a gateway's orders wait for it, because
what a former leader wanted of its other groups is told on."""
AGAIN_S: Final = 30.0
"""A gateway that still tells another plan or an older order than it should is told again so often."""
PLAN_BODY_BYTES_MAX: Final = wire.PLAN_BYTES_MAX - 1_024
"""Before it is signed; a gateway reads no longer ones."""
_LOOK_S: Final = 1.0

COUNTS: Final = ("reports", "reports_refused", "desired_repaired", "desired_refused", "greater_fences")
"""Of `Agents.counts`: reports of gateways; those that could not be used; desired states of others that ours was put in the place of; those of them
that nobody with our key has signed; those of a later leader."""


class Agents:
    """All gateways with agents, over one broker.

    Attributes:
        counts: See COUNTS; all there from the start.
        link: To the broker.
    """

    def __init__(self, site: Site) -> None:
        """Raises ConfigError: no broker, or no key; or the broker's settings can never work."""
        settings = site.settings
        if settings.mqtt is None or not settings.signing_key:
            raise ConfigError(
                [
                    "failover: gateways with agents need a broker (mqtt) and a signing key; `netmon failover keys` makes one"
                ]
            )
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._private = sign.private_key(settings.signing_key, "failover: signing key")
        self._public = sign.public_key(sign.public_digits(self._private))
        self._topics = wire.Topics(settings.mqtt.prefix)
        self._ledger = Ledger(
            {gateway.gateway_id: [group.group_id for group in gateway.groups] for gateway in site.gateways}, site.fence
        )
        self._hear_report = site.hear
        self._silent_s = settings.gateway_silent_s
        self._beat_s = settings.beat_s
        self._beats = 0
        self._heard_s: dict[str, float] = {}
        self._told_s: dict[tuple[str, str], float] = {}
        self._plans: dict[str, tuple[int, bytes]] = {}
        self._held: set[str] = set()
        self._is_settled = False
        self._found: set[str] = set()
        self._tell: Tell = _nobody
        self._background = Background()
        filters = [Filter(self._topics.of(each, kind)) for each in self._ledger for kind in ("desired", "reported")]
        self.link = Link(
            settings.mqtt,
            f"netmon-centre-{os.urandom(6).hex()}",
            filters,
            self._hear,
            message_bytes_max=max(wire.DESIRED_BYTES_MAX, wire.REPORTED_BYTES_MAX),
            changed=self._link_changed,
        )

    async def begin(self, tell: Tell) -> None:
        """Begins to connect."""
        self._tell = tell
        self._background.begin(self.link.run(), "broker")
        self._background.begin(self._beat_again(), "beats")
        self._background.begin(self._look_again(), "silence")

    def order(self, orders: Sequence[Order]) -> None:
        """As an actuator's."""
        at_once = []
        for order in orders:
            if order.delay_s > 0:
                self._background.later(order.delay_s, partial(self._order, [order]))
            else:
                at_once.append(order)
        self._order(at_once)

    def lead(self, fence: int) -> None:
        """From now on the leader's number is this one; everything that is desired is told under it."""
        self._ledger.fence = fence
        self._told_s.clear()  # plans under the smaller one were refused
        self._tell_again(self._ledger)
        self._beat()

    def plan(self, plans: Sequence[Plan]) -> None:
        """Takes plans; see `AgentActuator`."""
        for plan in plans:
            # Ten thousand plans are kept to be told again to a gateway that lost its own; they are alike in themselves.
            body = msgspec.json.encode(plan)
            if len(body) > PLAN_BODY_BYTES_MAX:
                log.error(
                    "failover.plan_too_long",
                    gateway=plan.gateway_id,
                    length=len(body),
                    limit=PLAN_BODY_BYTES_MAX,
                    cure="give it fewer lines",
                )
                continue
            self._plans[plan.gateway_id] = (plan.version, zlib.compress(body, 1))
            self._tell_plan(plan.gateway_id)

    async def actual(self) -> dict[str, str]:
        """As gateways tell, that were heard of lately."""
        return {
            group_id: on
            for gateway_id in self._ledger
            if not self._why_silent(gateway_id)
            for group_id, on in self._ledger.actual(gateway_id)
        }

    def ways(self) -> dict[str, Way]:
        """See `HasWays`."""
        way = self.link.way
        return {"agents": msgspec.structs.replace(way, counts=way.counts | self.counts)}

    async def close(self) -> None:
        """Takes leave of the broker; gateways go on by what they have."""
        await self._background.close()

    # --- To gateways. ---

    def _order(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self._tell_all(self._ledger.order(order))
        for gateway_id in dict.fromkeys(order.gateway_id for order in orders):
            if self._is_settled or gateway_id in self._found:
                self._tell_desired(gateway_id, urgent=True)
            else:
                self._held.add(gateway_id)
            why = self._why_silent(gateway_id)
            if why:
                self._tell_all(self._ledger.unreachable(gateway_id, why))

    def _tell_desired(self, gateway_id: str, *, urgent: bool) -> None:
        def made() -> bytes | None:
            desired = self._ledger.desired(gateway_id, time.time_ns())
            return None if desired is None else sign.sign(desired, self._private)

        self._told_s[gateway_id, "desired"] = time.monotonic()
        self.link.publish(self._topics.of(gateway_id, "desired"), made, urgent=urgent)

    def _tell_plan(self, gateway_id: str) -> None:
        def made() -> bytes:
            plan = msgspec.json.decode(zlib.decompress(self._plans[gateway_id][1]), type=Plan)
            return sign.sign(msgspec.structs.replace(plan, fence=self._ledger.fence), self._private)

        self._told_s[gateway_id, "plan"] = time.monotonic()
        self.link.publish(self._topics.of(gateway_id, "plan"), made, urgent=False)

    def _tell_again(self, gateway_ids: Iterable[str]) -> None:
        for gateway_id in gateway_ids:
            self._tell_desired(gateway_id, urgent=False)

    def _is_due(self, gateway_id: str, kind: str) -> bool:
        return time.monotonic() - self._told_s.get((gateway_id, kind), -AGAIN_S) >= AGAIN_S

    def _beat(self) -> None:
        self._beats += 1
        beat = Beat(fence=self._ledger.fence, beat=self._beats, unix_ns=time.time_ns())
        self.link.shout(self._topics.centre, sign.sign(beat, self._private))

    async def _beat_again(self) -> None:
        while True:
            if self.link.state.connected:
                self._beat()
            await asyncio.sleep(self._beat_s)

    # --- From the broker. ---

    def _link_changed(self, state: LinkState) -> None:
        self._is_settled = False
        self._found.clear()
        if state.connected:
            log.info("failover.broker_connected")
            self._beat()
            self._background.later(SETTLE_S, self._settle)
        else:
            limited.warning("failover.broker_lost", reason=state.why)
            for gateway_id in self._ledger.waiting():
                self._tell_all(self._ledger.unreachable(gateway_id, f"no broker: {state.why}"))

    def _settle(self) -> None:
        """What the broker has, it has told by now."""
        if self.link.state.connected and not self._is_settled:
            self._is_settled = True
            self._tell_again(
                gateway_id
                for gateway_id in self._ledger
                if gateway_id not in self._found and gateway_id not in self._held
            )
            self._release(set(self._held))

    def _release(self, gateway_ids: set[str]) -> None:
        for gateway_id in gateway_ids & self._held:
            self._held.discard(gateway_id)
            self._tell_desired(gateway_id, urgent=True)

    def _hear(self, heard: Heard) -> None:
        place = self._topics.place(heard.topic)
        if place is None or place.gateway_id not in self._ledger:
            return
        if place.kind == "reported":
            self._hear_reported(place.gateway_id, heard)
        elif place.kind == "desired":
            self._hear_desired(place.gateway_id, heard)

    def _hear_reported(self, gateway_id: str, heard: Heard) -> None:
        try:
            reported = wire.decode_reported(heard.payload, gateway_id)
        except wire.WireError as error:
            self.counts["reports_refused"] += 1
            limited.warning("failover.report_refused", gateway=gateway_id, reason=error.reason)
            return
        self.counts["reports"] += 1
        self._note(reported, is_retained=heard.retained)
        self._tell_all(self._ledger.report(gateway_id, reported.groups))
        self._hear_report(reported)
        if (
            gateway_id in self._plans
            and reported.plan_version != self._plans[gateway_id][0]
            and self._is_due(gateway_id, "plan")
        ):
            self._tell_plan(gateway_id)
        if self._ledger.is_behind(gateway_id) and self._is_due(gateway_id, "desired"):
            self._tell_desired(gateway_id, urgent=False)

    def _note(self, reported: Reported, *, is_retained: bool) -> None:
        """When the gateway was heard of. What was retained may be of any age: it counts if its own clock says that it is new."""
        if reported.stopped:
            self._heard_s.pop(reported.gateway_id, None)
            self._tell_all(self._ledger.unreachable(reported.gateway_id, "the gateway is gone from the broker"))
        elif not is_retained or abs(time.time_ns() - reported.unix_ns) < self._silent_s * 1e9:
            self._heard_s[reported.gateway_id] = time.monotonic()

    def _hear_desired(self, gateway_id: str, heard: Heard) -> None:
        try:
            found = sign.verify_as(Desired, heard.payload, self._public, gateway_id)
        except sign.SignatureError as error:
            self.counts["desired_refused"] += 1
            limited.warning("failover.desired_refused", gateway=gateway_id, reason=error.reason)
            verdict = "older"
        else:
            verdict = self._ledger.compare(found)
        self._found.add(gateway_id)
        if verdict == "greater":
            self.counts["greater_fences"] += 1
            limited.warning("failover.fence_overtaken", gateway=gateway_id)
        elif verdict == "older" and gateway_id not in self._held:
            self.counts["desired_repaired"] += not heard.retained  # else it is what a former leader has left to us
            self._tell_desired(gateway_id, urgent=False)
        self._release({gateway_id})

    # --- To the controller. ---

    def _tell_all(self, results: Iterable[ActionResult]) -> None:
        for result in results:
            self._tell(result)

    def _why_silent(self, gateway_id: str) -> str:
        """Why a gateway cannot be told anything now; empty: it can."""
        if not self.link.state.connected:
            return f"no broker: {self.link.state.why}"
        heard_s = self._heard_s.get(gateway_id)
        if heard_s is None:
            return "the gateway is gone from the broker, or has never been there"
        silent_s = time.monotonic() - heard_s
        return f"the gateway has told nothing for {self._silent_s:g} s" if silent_s > self._silent_s else ""

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            for gateway_id in self._ledger.waiting():
                why = self._why_silent(gateway_id)
                if why:
                    self._tell_all(self._ledger.unreachable(gateway_id, why))


def actuator(site: Site) -> Agents:
    """The actuator of gateways with agents. Raises ConfigError: it can never work."""
    return Agents(site)


def _nobody(_: ActionResult) -> None:
    """Before `begin`."""
