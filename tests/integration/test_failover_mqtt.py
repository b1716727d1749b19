"""Orders by MQTT against a real Mosquitto: told once it can be, obeyed once, and only the newest leader's."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from netmon.errors import ConfigError
from netmon.failover import link as link_module
from netmon.failover import session, wire
from netmon.failover.actuators import Site, make_agent
from netmon.failover.actuators import mqtt as mqtt_module
from netmon.failover.actuators.base import Order
from netmon.failover.actuators.mqtt import Agents
from netmon.failover.link import Filter, Heard, Link, LinkState, Will
from netmon.failover.model import ActionResult
from netmon.failover.plan import sign
from netmon.failover.plan.model import Beat, Desired, Plan, PlannedGroup, Reported, ReportedGroup
from netmon.failover.settings import ControllerSettings, GatewaySettings, MqttSettings
from netmon.model import RedisSettings
from netmon.sockets import has_ipv6
from tests.integration.harness import free_port
from tests.integration.services import Certificate, Mosquitto

PRIVATE, PUBLIC = "01" * 32, sign.public_digits(sign.private_key("01" * 32))
KEY = sign.private_key(PRIVATE)
WAIT_S = 20.0
"""For anything that does not depend on speed."""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour in less time."""
    monkeypatch.setattr(link_module, "BACK_OFF_FIRST_S", 0.05)
    monkeypatch.setattr(link_module, "BACK_OFF_MAX_S", 0.2)
    monkeypatch.setattr(link_module, "_WATCH_S", 0.1)
    monkeypatch.setattr(mqtt_module, "SETTLE_S", 0.1)
    monkeypatch.setattr(mqtt_module, "AGAIN_S", 0.1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[str]:
    """The URL of a broker that lets anybody in."""
    require_tool("mosquitto")
    port = free_port(socket.SOCK_STREAM)
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), port, settings=["set_tcp_nodelay true"]):
        yield f"mqtt://127.0.0.1:{port}"


async def until(what: Callable[[], object]) -> None:
    """Waits for it."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - of what is waited for, there is no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    """A link, until it takes leave."""
    task = asyncio.create_task(link.run(), name="link")
    try:
        yield link
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

    def __init__(self, mqtt: MqttSettings, fence: int, gateway_ids: Sequence[str]) -> None:
        self.results: list[ActionResult] = []
        self.reports: list[Reported] = []
        gateways = tuple(gateway(gateway_id) for gateway_id in gateway_ids)
        settings = ControllerSettings(
            redis=RedisSettings(url="redis://none"),
            directory="/none",
            lines=(),
            groups=(),
            gateways=gateways,
            mqtt=mqtt,
            signing_key=PRIVATE,
            beat_s=0.1,
        )
        self.agents = make_agent(Site(settings, gateways, fence, self.reports.append))
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
        gateway_id, _, class_id = group.partition("/")
        order = Order(
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
        self.agents.order([order])


def gateway(gateway_id: str) -> GatewaySettings:
    """One with two classes."""
    planned = [
        PlannedGroup(group_id=f"{gateway_id}/{name}", class_id=name, priority=0, working="fibre")
        for name in ("life", "bulk")
    ]
    return GatewaySettings(gateway_id=gateway_id, actuator="agent", groups=tuple(planned))


@asynccontextmanager
async def centre(mqtt: MqttSettings, fence: int = 5, gateway_ids: Sequence[str] = ("gw-1",)) -> AsyncIterator[Centre]:
    """One that leads."""
    made = Centre(mqtt, fence, gateway_ids)
    await made.agents.begin(made.results.append)
    try:
        yield made
    finally:
        await made.agents.close()


@pytest.fixture
def mqtt(broker: str, request: pytest.FixtureRequest) -> MqttSettings:
    """The shared broker, with topics of this test's own."""
    return MqttSettings(url=broker, prefix=request.node.name.replace("[", "/").replace("]", ""))


VERIFIED = ("gw-1/life", 1, "verified")


async def test_order_is_obeyed_and_what_became_of_it_comes_back(mqtt: MqttSettings) -> None:
    """Also a bound for how long that takes: no packet waits for another one (Nagle, delayed acknowledgements)."""
    here = Gateway(mqtt)
    async with centre(mqtt) as there, running(here.link):
        await until(lambda: there.reports)
        took = []
        for generation in range(1, 12):
            began_s = time.monotonic()
            there.order(generation, fence=5)
            await until(lambda: there.results and there.results[-1].generation == generation)  # noqa: B023 - waited for
            took.append(time.monotonic() - began_s)

    assert there.outcomes() == [("gw-1/life", generation, "verified") for generation in range(1, 12)]
    assert here.moves == [("gw-1/life", generation, "leo") for generation in range(1, 12)]
    assert min(took) < 0.035


async def test_only_the_newest_of_many_orders_counts(mqtt: MqttSettings) -> None:
    """They come in order, none twice, and all groups in one message."""
    here = Gateway(mqtt)
    async with centre(mqtt) as there, running(here.link):
        await until(lambda: there.reports)
        for generation in range(1, 101):
            there.order(generation, fence=5)
            there.order(generation, "geo", "gw-1/bulk", fence=5)
        await until(lambda: {("gw-1/life", 100, "verified"), ("gw-1/bulk", 100, "verified")} <= set(there.outcomes()))

    assert [(group.on, group.generation) for group in here.on.values()] == [("leo", 100), ("geo", 100)]
    assert here.moves == sorted(set(here.moves), key=here.moves.index)
    generations = [generation for group, generation, _ in here.moves if group == "gw-1/life"]
    assert generations == sorted(generations)


async def test_gateway_that_is_away_finds_the_order_when_it_comes(mqtt: MqttSettings) -> None:
    """Until then it is unreachable; after a restart it finds the same again, and does nothing."""
    here = Gateway(mqtt)
    async with centre(mqtt) as there:
        await until(lambda: there.link.state.connected)
        there.order(1, fence=5)
        await until(lambda: there.results)
        async with running(here.link):
            await until(lambda: VERIFIED in there.outcomes())
        async with running(here.link):
            await until(lambda: here.heard.count(("Desired", 5)) >= 2)

    assert there.outcomes() == [("gw-1/life", 1, "unreachable"), VERIFIED]
    assert here.moves == [("gw-1/life", 1, "leo")]


async def test_order_that_is_staggered_waits(mqtt: MqttSettings) -> None:
    """And a newer one that does not overtakes it."""
    here = Gateway(mqtt)
    async with centre(mqtt) as there, running(here.link):
        await until(lambda: there.reports)
        there.order(1, "geo", fence=5, delay_s=0.1)
        there.order(2, fence=5)
        await until(lambda: len(there.results) == 2)

    assert there.outcomes() == [("gw-1/life", 2, "verified"), ("gw-1/life", 1, "refused")]
    assert [on for _, _, on in here.moves] == ["leo"]


async def test_broker_killed_in_mid_command_and_empty_when_it_is_back(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Nothing was retained on its disk: the centre publishes everything again, and the gateway moves once."""
    require_tool("mosquitto")
    port = free_port(socket.SOCK_STREAM)
    mqtt = MqttSettings(url=f"mqtt://127.0.0.1:{port}")
    here, fresh = Gateway(mqtt), Gateway(mqtt, "gw-2")
    with Mosquitto(tmp_path / "mosquitto", port) as broker:
        async with centre(mqtt, gateway_ids=("gw-1", "gw-2")) as there, running(here.link):
            await until(lambda: there.reports)
            there.order(1, "5g", "gw-2/life", fence=5)
            await until(lambda: there.link.counts["told"])
            broker.kill()
            there.order(1, fence=5)
            await until(lambda: ("gw-1/life", 1, "unreachable") in there.outcomes())
            broker.start()
            await until(lambda: VERIFIED in there.outcomes())
            async with running(fresh.link):
                await until(lambda: ("gw-2/life", 1, "verified") in there.outcomes())

    assert here.moves == [("gw-1/life", 1, "leo")]
    assert fresh.moves == [("gw-2/life", 1, "5g")]
    assert there.link.state.connected is False


async def test_broker_that_is_stopped_is_noticed(
    tmp_path: Path, require_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever has something to be acknowledged, and by whoever has nothing to say; its connections stay open all the time."""
    require_tool("mosquitto")
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_S", 0.5)
    port = free_port(socket.SOCK_STREAM)
    mqtt = MqttSettings(url=f"mqtt://127.0.0.1:{port}")
    here = Gateway(mqtt)
    states: list[LinkState] = []
    idle = Link(mqtt, "idle", [], print, message_bytes_max=1_000, changed=states.append, keepalive_s=1)
    with Mosquitto(tmp_path / "mosquitto", port) as broker:
        async with centre(mqtt) as there, running(here.link), running(idle):
            await until(lambda: there.reports and idle.state.connected)
            broker.signal(signal.SIGSTOP)
            there.order(1, fence=5)
            await until(lambda: ("gw-1/life", 1, "unreachable") in there.outcomes())
            assert there.results[0].detail == "no broker: the broker has acknowledged nothing for 0.5 s"
            await until(lambda: not idle.state.connected)
            broker.signal(signal.SIGCONT)
            await until(lambda: VERIFIED in there.outcomes())

    assert "Keep alive timeout" in states[1].why
    assert here.moves == [("gw-1/life", 1, "leo")]


async def test_stale_leader_moves_nothing(mqtt: MqttSettings) -> None:
    """He was stopped, another one leads, he goes on: the gateway refuses him, and what he leaves at the broker is put right, so that a gateway
    without a memory does not find it either. He leaves the newer leader's message alone.
    """
    here, replaced = Gateway(mqtt), Gateway(mqtt)
    async with centre(mqtt, fence=5) as stale, running(here.link):
        await until(lambda: stale.reports)
        stale.order(1, "5g", fence=5)
        await until(lambda: stale.results)
        async with centre(mqtt, fence=6) as there:
            await until(lambda: there.reports)
            there.order(2, fence=6)
            await until(lambda: ("gw-1/life", 2, "verified") in there.outcomes())
            stale.order(9, "geo", fence=5)
            await until(lambda: there.counts["desired_repaired"] and not there.link.pending)
            await until(lambda: ("gw-1/life", 9, "refused") in stale.outcomes() and stale.counts["greater_fences"] >= 2)
            assert [on for _, _, on in here.moves] == ["5g", "leo"]
            assert here.refused["fence"] > 0
            repaired = there.counts["desired_repaired"]
    async with running(replaced.link):
        await until(lambda: replaced.on)

    assert [(each.on, each.fence) for each in replaced.on.values()] == [("leo", 6)]
    assert repaired <= 2


async def test_new_leader_tells_on_what_the_former_one_wanted(mqtt: MqttSettings) -> None:
    """Under his own fence; so that one message has all groups of the gateway."""
    async with centre(mqtt, fence=5) as former:
        await until(lambda: former.link.state.connected)
        former.order(4, "5g", "gw-1/bulk", fence=5)
        await until(lambda: former.link.counts["told"])
    here = Gateway(mqtt)
    async with centre(mqtt, fence=6) as there:
        there.order(1, fence=6)  # before anything was heard of the broker
        await until(lambda: there.link.counts["told"] and not there.link.pending)
        async with running(here.link):
            await until(lambda: VERIFIED in there.outcomes())

    assert sorted(here.moves) == [("gw-1/bulk", 4, "5g"), ("gw-1/life", 1, "leo")]
    assert here.fence == 6


async def test_greater_fence_of_a_gateway_is_led_from_above(mqtt: MqttSettings) -> None:
    """Redis has lost its data, and with it the number: the report shows the greater one, the controller raises its own."""
    here = Gateway(mqtt)
    here.fence = 50
    async with centre(mqtt, fence=1) as there, running(here.link):
        await until(lambda: any(reported.fence == 50 for reported in there.reports))
        there.order(1, fence=1)
        await until(lambda: here.refused["fence"])
        assert here.moves == []
        there.agents.lead(51)
        there.order(1, fence=51)
        await until(lambda: VERIFIED in there.outcomes())

    assert [(group.on, group.fence, group.generation) for group in here.on.values()] == [("leo", 51, 1)]


async def test_plan_reaches_the_gateway_and_comes_again_if_it_is_lost(mqtt: MqttSettings) -> None:
    """A gateway that was replaced tells another version than it should."""
    here = Gateway(mqtt)
    plan = Plan(gateway_id="gw-1", version=3, fence=1, made_unix_ns=1, groups=(), lines=())
    async with centre(mqtt) as there, running(here.link):
        there.agents.plan([plan])
        await until(lambda: here.plan_version == 3 and ("Plan", 5) in here.heard)
        here.plan_version = 0
        await asyncio.sleep(mqtt_module.AGAIN_S)
        here.report()
        await until(lambda: here.plan_version == 3 and there.reports[-1].plan_version == 3)
        too_long = msgspec.structs.replace(plan, version=4, groups=gateway("x" * wire.PLAN_BYTES_MAX).groups)
        there.agents.plan([too_long])

        assert await there.agents.actual() == {}


async def test_who_is_not_the_centre_is_not_obeyed(mqtt: MqttSettings) -> None:
    """A stranger's message is ignored and counted by the gateway, and what is retained of it is put right."""
    here = Gateway(mqtt)
    other = sign.private_key("02" * 32)
    stranger = Link(mqtt, "stranger", [], print, message_bytes_max=1_000)
    async with centre(mqtt) as there, running(here.link), running(stranger):
        await until(lambda: there.reports)
        there.order(1, fence=5)
        await until(lambda: VERIFIED in there.outcomes())
        desired = Desired(gateway_id="gw-1", fence=9, version=1, unix_ns=1, groups=())
        told = there.link.counts["told"]
        for message in (
            b"junk",
            sign.sign(desired, other),
            sign.sign(msgspec.structs.replace(desired, gateway_id="gw-2"), KEY),
        ):
            stranger.publish(here.topics.of("gw-1", "desired"), message)
            await stranger.settle(WAIT_S)
        await until(lambda: there.counts["desired_refused"] == 3 and there.link.counts["told"] > told)

    assert here.refused == {"malformed": 1, "other_key": 1, "other_gateway": 1}
    assert here.moves == [("gw-1/life", 1, "leo")]


async def test_reports_that_cannot_be_used_are_counted(mqtt: MqttSettings) -> None:
    """The next one that can be is taken."""
    stranger = Link(mqtt, "stranger", [], print, message_bytes_max=1_000)
    topic = wire.Topics(mqtt.prefix).of("gw-1", "reported")
    here = Gateway(mqtt)
    async with centre(mqtt) as there, running(stranger):
        await until(lambda: there.link.state.connected)
        for message in (b"junk", b" " * (wire.REPORTED_BYTES_MAX + 1), here.reported().replace(b"gw-1", b"gw-2")):
            stranger.publish(topic, message)
            await stranger.settle(WAIT_S)
        stranger.publish(topic, here.reported())
        await until(lambda: there.reports)

    assert there.counts["reports_refused"] == 3
    assert len(there.reports) == 1


async def test_gateway_that_is_gone_without_leave_is_unreachable(mqtt: MqttSettings) -> None:
    """The broker publishes its will; who takes leave has told himself that he ends."""
    here = Gateway(mqtt)
    async with centre(mqtt) as there:
        gone = asyncio.create_task(here.link.run(), name="gone")
        await until(lambda: there.reports)
        assert here.link._session is not None
        here.link._session.drop()  # the socket is closed, and nothing is said
        gone.cancel()
        await until(lambda: there.reports[-1].stopped)
        there.order(1, fence=5)

    assert [result.detail for result in there.results] == [
        "the gateway is gone from the broker, or has never been there"
    ]
    with suppress(asyncio.CancelledError):
        await gone


async def test_what_the_broker_refuses_is_told(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A wrong password, and a topic that may not be written to, which is tried again later. (Of what may not be heard Mosquitto says nothing.)"""
    require_tool("mosquitto_passwd")
    port, acl = free_port(socket.SOCK_STREAM), tmp_path / "acl"
    acl.write_text("user probe\ntopic readwrite mine/#\n")
    acl.chmod(0o600)
    good = MqttSettings(url=f"mqtt://127.0.0.1:{port}", username="probe", password="right")
    wrong = msgspec.structs.replace(good, password="wrong")
    links = {
        "password": Link(wrong, "a", [], print, message_bytes_max=1_000),
        "written": Link(good, "c", [Filter("mine/x")], print, message_bytes_max=1_000),
    }
    with Mosquitto(tmp_path / "mosquitto", port, password="right", settings=[f"acl_file {acl}"]):
        async with AsyncExitStack() as stack:
            for link in links.values():
                await stack.enter_async_context(running(link))
            links["written"].publish("others/y", b"1")
            links["written"].publish("mine/y", b"1")
            await until(lambda: links["written"].counts["told"] and links["written"].counts["refused"])
            await until(lambda: links["password"].state.why)
            found = {name: link.state.why for name, link in links.items()}
            pending = links["written"].pending

    assert found == {
        "password": "the broker refuses us: Not authorized",
        "written": "",
    }
    assert pending == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_tls_password_and_both_families(tmp_path: Path, require_tool: Callable[[str], str], host: str) -> None:
    """A broker whose certificate nobody has signed is not believed, without the file that does."""
    require_tool("mosquitto_passwd")
    if host == "[::1]" and not has_ipv6():
        pytest.skip("no IPv6")
    port = free_port(socket.SOCK_STREAM)
    certificate = Certificate(tmp_path, host.strip("[]"))
    url = f"mqtts://{host}:{port}"
    good = MqttSettings(url=url, username="probe", password="pw", tls_ca_file=str(certificate.file))
    trusting = Link(good, "a", [], print, message_bytes_max=1_000)
    doubting = Link(msgspec.structs.replace(good, tls_ca_file=""), "b", [], print, message_bytes_max=1_000)
    broker = Mosquitto(tmp_path / "mosquitto", port, address=host.strip("[]"), password="pw", tls=certificate)
    with broker:
        async with running(trusting), running(doubting):
            trusting.publish("x", b"1")
            assert await trusting.settle(WAIT_S)
            await until(lambda: doubting.state.why)
            why = doubting.state.why

    assert "certificate verify failed" in why


async def test_all_files_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    """When the link is made, before anything is tried."""
    settings = MqttSettings(
        url="mqtts://localhost",
        tls_ca_file=str(tmp_path / "ca"),
        tls_cert_file=str(tmp_path / "cert"),
        tls_key_file="k",
    )
    with pytest.raises(ConfigError) as caught:
        Link(settings, "a", [], print, message_bytes_max=1_000)
    assert [mistake.partition(": ")[0] for mistake in caught.value.mistakes] == [
        "mqtt.tls_ca_file",
        "mqtt.tls_cert_file, tls_key_file",
    ]


async def test_names_are_looked_up_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that is dead costs the link, and nothing else; who stops meanwhile does not wait for it."""
    looked_up: list[object] = []

    def slow(host: object, *_: object, **__: object) -> list[object]:
        looked_up.append(host)
        time.sleep(0.2)
        raise socket.gaierror(socket.EAI_AGAIN, "the name server does not answer")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    link = Link(MqttSettings(url="mqtt://broker.example"), "a", [], print, message_bytes_max=1_000)
    async with running(link):
        await until(lambda: looked_up)
        began_s = time.monotonic()
        await asyncio.sleep(0.001)
        turn_s = time.monotonic() - began_s
        link.shout("x", b"1")
        await until(lambda: link.state.why)
        why = link.state.why

    assert looked_up[0] == "broker.example"
    assert turn_s < 0.2
    assert "the name server does not answer" in why
    assert link.counts["unsent"] == 1


CONNACK, SUBACK = bytes([0x20, 3, 0, 0, 0]), bytes([0x90, 4, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, "Protocol error"),
        (CONNACK + SUBACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]) + b"x" * 9_000, "a packet of more than"),
        (CONNACK + SUBACK + bytes([0x30, 2, 0, 9]), "Protocol error"),
        (CONNACK + SUBACK[:-1] + b"\x87", "subscription to x: Not authorized"),
        (CONNACK, "the connection broke"),
    ],
    ids=["http", "huge packet", "malformed", "forbids", "closes"],
)
async def test_server_that_makes_no_sense(said: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes no memory and ends no process: the link says why, and tries again."""
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_S", 0.3)
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        try:
            await reader.read(1_000)
            writer.write(said[: len(CONNACK)])
            if said.startswith(CONNACK):
                await reader.read(1_000)
            writer.write(said[len(CONNACK) :])
            if said != CONNACK:
                await reader.read()
        except ConnectionResetError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(MqttSettings(url=f"mqtt://127.0.0.1:{port}"), "a", [Filter("x")], print, message_bytes_max=1_000)
    async with server, running(link):
        await until(lambda: why in link.state.why and asked >= 2)

    assert link.counts["heard"] == 0


async def test_fault_of_whoever_hears_ends_the_link(mqtt: MqttSettings) -> None:
    """It is ours, not the broker's: it must not be hidden by connecting again."""

    def hear(_: Heard) -> None:
        raise ZeroDivisionError

    link = Link(mqtt, "faulty", [Filter(f"{mqtt.prefix}/x", own=True)], hear, message_bytes_max=1_000)
    link.publish(f"{mqtt.prefix}/x", b"1")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(link.run(), WAIT_S)


async def test_way_to_the_broker_has_changed(mqtt: MqttSettings) -> None:
    """The link connects anew at once, and what was published is at the broker."""
    states: list[LinkState] = []
    link = Link(mqtt, "moving", [], print, message_bytes_max=1_000, changed=states.append)
    async with running(link):
        await until(lambda: link.state.connected)
        link.renew()
        link.publish(f"{mqtt.prefix}/x", b"1")
        await until(lambda: link.counts["connected"] == 2)
        assert await link.settle(WAIT_S)

    assert [(state.connected, state.why) for state in states] == [(True, ""), (False, "connecting anew"), (True, "")]
