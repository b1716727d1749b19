"""A centre and gateways over MQTT for tests: the real actuator and link; a gateway obeys as a gateway should, but moves nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from netmon.failover.actuators import Site, make_agent
from netmon.failover.actuators.base import Order
from netmon.failover.actuators.mqtt import Agents
from netmon.failover.agent.centre import Centre as EdgeCentre
from netmon.failover.model import ActionResult
from netmon.failover.mqtt import wire
from netmon.failover.mqtt.link import Filter, Heard, Link, Will
from netmon.failover.plan import sign
from netmon.failover.plan.model import Beat, Desired, Plan, PlannedGroup, Reported, ReportedGroup
from netmon.failover.settings import ControllerSettings, GatewaySettings, MqttSettings
from netmon.model import RedisSettings

PRIVATE, PUBLIC = "01" * 32, sign.public_digits(sign.private_key("01" * 32))
KEY = sign.private_key(PRIVATE)
VERIFIED = ("gw-1/life", 1, "verified")
WAIT_S = 20.0
"""For anything that does not depend on speed."""


async def until(what: Callable[[], object]) -> None:
    """Waits for it."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - of what is waited for, there is no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(link: Link | EdgeCentre) -> AsyncIterator[None]:
    """A link, or an agent's, until it is cancelled."""
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Gateway:
    """What a gateway does with orders, without routes: numbers decide.

    Attributes:
        on: Group to where it is.
        moves: What it has carried out, in order: group, generation, line.
    """

    def __init__(self, settings: MqttSettings, gateway_id: str = "gw-1") -> None:
        self.id = gateway_id
        self.topics = wire.Topics(settings.prefix)
        self.public = sign.public_key(PUBLIC)
        self.on: dict[str, ReportedGroup] = {}
        self.moves: list[tuple[str, int, str]] = []
        self.fence = self.plan_version = self.beats = 0
        self.heard: list[tuple[str, int]] = []
        self.refused: Counter[str] = Counter()
        topics = [Filter(self.topics.of(gateway_id, "plan")), Filter(self.topics.of(gateway_id, "desired"))]
        self.link = Link(
            settings,
            f"netmon-{gateway_id}",
            [*topics, Filter(self.topics.centre, 0)],
            self.hear,
            message_bytes_max=wire.PLAN_BYTES_MAX,
            changed=lambda state: self.report() if state.connected else None,
            will=lambda: Will(self.topics.of(gateway_id, "reported"), self.reported(stopped=True)),
        )

    def hear(self, heard: Heard) -> None:
        """Obeys, or counts why not."""
        try:
            told = sign.verify(heard.payload, self.public, self.id)
        except sign.SignatureError as error:
            self.refused[error.reason] += 1
            return
        if told.fence < self.fence:
            self.refused["fence"] += 1
            return
        self.fence = told.fence
        self.heard.append((type(told).__name__, told.fence))
        if isinstance(told, Plan):
            self.plan_version = told.version
        elif isinstance(told, Desired):
            self.obey(told)
        if not isinstance(told, Beat):
            self.report()

    def obey(self, desired: Desired) -> None:
        """Moves what has a newer number than the last."""
        for group in desired.groups:
            known = self.on.get(group.group_id)
            if known is None or (group.fence, group.generation) > (known.fence, known.generation):
                self.moves.append((group.group_id, group.generation, group.on))
                self.on[group.group_id] = ReportedGroup(
                    group_id=group.group_id,
                    on=group.on,
                    fence=group.fence,
                    generation=group.generation,
                    outcome="verified",
                )

    def reported(self, *, stopped: bool = False) -> bytes:
        """What it tells."""
        self.beats += 1
        reported = Reported(
            gateway_id=self.id,
            plan_version=self.plan_version,
            fence=self.fence,
            beat=self.beats,
            started_unix_ns=1,
            unix_ns=time.time_ns(),
            groups=tuple(self.on.values()),
            stopped=stopped,
        )
        return wire.encode_reported(reported)

    def report(self) -> None:
        """Tells it."""
        self.link.publish(self.topics.of(self.id, "reported"), self.reported())


class Centre:
    """An actuator, and what it tells.

    Attributes:
        results: What became of orders.
        reports: What gateways told.
    """

    def __init__(self, mqtt: MqttSettings, fence: int, gateway_ids: Sequence[str], silent_s: float) -> None:
        self.results: list[ActionResult] = []
        self.reports: list[Reported] = []
        gateways = tuple(gateway(gateway_id) for gateway_id in gateway_ids)
        self.agents = make_agent(
            Site(settings_of(mqtt, gateways, silent_s=silent_s), gateways, fence, self.reports.append)
        )
        assert isinstance(self.agents, Agents)
        self.link = self.agents.link
        self.counts = self.agents.counts

    def outcomes(self) -> list[tuple[str, int, str]]:
        """Group, generation and what became of it."""
        return [(result.group_id, result.generation, result.outcome) for result in self.results]

    def order(
        self, generation: int, on: str = "leo", group: str = "gw-1/life", *, fence: int, delay_s: float = 0.0
    ) -> None:
        """Orders one class onto a line."""
        self.agents.order([order_of(generation, on, group, fence=fence, delay_s=delay_s)])


def order_of(generation: int, on: str, group: str = "gw-1/life", *, fence: int, delay_s: float = 0.0) -> Order:
    """To put one class onto a line."""
    gateway_id, _, class_id = group.partition("/")
    return Order(
        group_id=group,
        gateway_id=gateway_id,
        class_id=class_id,
        fence=fence,
        generation=generation,
        on=on,
        phase="PROTECTING",
        delay_s=delay_s,
        unix_ns=1,
    )


def settings_of(
    mqtt: MqttSettings, gateways: tuple[GatewaySettings, ...], *, silent_s: float = 30.0
) -> ControllerSettings:
    """Of a controller that has a broker."""
    return ControllerSettings(
        redis=RedisSettings(url="redis://none"),
        directory="/none",
        lines=(),
        groups=(),
        gateways=gateways,
        mqtt=mqtt,
        signing_key=PRIVATE,
        gateway_silent_s=silent_s,
        beat_s=0.1,
    )


def gateway(gateway_id: str) -> GatewaySettings:
    """One with two classes."""
    planned = [
        PlannedGroup(group_id=f"{gateway_id}/{name}", class_id=name, priority=0, working="fibre")
        for name in ("life", "bulk")
    ]
    return GatewaySettings(gateway_id=gateway_id, actuator="agent", groups=tuple(planned))


@asynccontextmanager
async def centre(
    mqtt: MqttSettings, fence: int = 5, gateway_ids: Sequence[str] = ("gw-1",), *, silent_s: float = 30.0
) -> AsyncIterator[Centre]:
    """One that leads."""
    made = Centre(mqtt, fence, gateway_ids, silent_s)
    await made.agents.begin(made.results.append)
    try:
        yield made
    finally:
        await made.agents.close()
