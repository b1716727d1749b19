"""Orders by MQTT against a real Mosquitto: told once it can be, obeyed once, and only the newest leader's."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netmon.failover.actuators import Site, make
from netmon.failover.actuators import iota_json as iota_module
from netmon.failover.actuators import mqtt as mqtt_module
from netmon.failover.agent.centre import Centre as Edge
from netmon.failover.model import ActionResult
from netmon.failover.mqtt import link as link_module
from netmon.failover.mqtt import wire
from netmon.failover.mqtt.link import Filter, Heard, Link, LinkState
from netmon.failover.plan import sign
from netmon.failover.plan.model import Desired, Plan, Reported
from netmon.failover.settings import MqttSettings
from tests.integration.failover_mqtt import (
    KEY,
    PUBLIC,
    VERIFIED,
    WAIT_S,
    Gateway,
    centre,
    gateway,
    order_of,
    running,
    settings_of,
    until,
)
from tests.integration.harness import free_port
from tests.integration.services import Mosquitto


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


@pytest.fixture
def mqtt(broker: str, request: pytest.FixtureRequest) -> MqttSettings:
    """The shared broker, with topics of this test's own."""
    return MqttSettings(url=broker, prefix=request.node.name.replace("[", "/").replace("]", ""))


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

        (way,) = there.agents.ways().values()

    assert (way.up, way.why, way.waiting, way.counts["lost"]) == (True, "", 0, 0)
    assert way.counts["told"] >= 11
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
        there.order(1, "geo", fence=5, delay_s=2.0)  # longer than the other takes on a busy machine
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


async def test_new_leader_tells_on_what_the_former_one_wanted(
    mqtt: MqttSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under his own fence, so that one message has all groups of the gateway; as soon as it was heard what that was."""
    async with centre(mqtt, fence=5) as former:
        await until(lambda: former.link.state.connected)
        former.order(4, "5g", "gw-1/bulk", fence=5)
        await until(lambda: former.link.counts["told"])
    here = Gateway(mqtt)
    monkeypatch.setattr(mqtt_module, "SETTLE_S", 1_000.0)
    async with centre(mqtt, fence=6) as there:
        there.order(1, fence=6)  # before anything was heard of the broker
        await until(lambda: there.link.counts["told"] and not there.link.pending)
        async with running(here.link):
            await until(lambda: VERIFIED in there.outcomes())

    assert sorted(here.moves) == [("gw-1/bulk", 4, "5g"), ("gw-1/life", 1, "leo")]
    assert here.fence == 6


async def test_greater_fence_of_a_gateway_is_led_from_above(
    mqtt: MqttSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has lost its data, and with it the number: the report shows the greater one, the controller raises its own."""
    monkeypatch.setattr(mqtt_module, "AGAIN_S", 1_000.0)
    here = Gateway(mqtt)
    here.fence = 50
    async with centre(mqtt, fence=1) as there, running(here.link):
        there.agents.plan([Plan(gateway_id="gw-1", version=3, fence=1, made_unix_ns=1, groups=(), lines=())])
        await until(lambda: any(reported.fence == 50 for reported in there.reports))
        there.order(1, fence=1)
        await until(lambda: there.link.counts["told"] >= 2 and here.refused["fence"] >= 2)
        assert (here.moves, here.plan_version) == ([], 0)
        there.agents.lead(51)
        there.order(1, fence=51)
        await until(lambda: VERIFIED in there.outcomes() and here.plan_version == 3)

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


async def test_last_word_of_an_agent_is_the_last(mqtt: MqttSettings) -> None:
    """A move that ends after it has taken leave is told by one that is gone: else the centre took it for one that is there, and waited for it."""
    beats = itertools.count(1)

    def now() -> Reported:
        return Reported(gateway_id="gw-1", beat=next(beats), started_unix_ns=1, unix_ns=time.time_ns())

    edge = Edge(mqtt, "gw-1", sign.public_key(PUBLIC), lambda _told, _octets: None, now)
    async with centre(mqtt) as there, running(edge):
        edge.tell()
        await until(lambda: there.reports)
        await edge.leave()
        await edge.tell_surely()
        await until(lambda: there.reports[-1].stopped)
        left = len(there.reports)
        edge.tell()
        await until(lambda: len(there.reports) > left)

    assert not there.reports[0].stopped
    assert there.reports[-1].stopped


async def test_gateway_that_is_silent_is_unreachable(mqtt: MqttSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the broker has an old report of it, or it told something and then nothing more."""
    monkeypatch.setattr(mqtt_module, "_LOOK_S", 0.02)
    old, new = Gateway(mqtt, "gw-1"), Gateway(mqtt, "gw-2")
    stranger = Link(mqtt, "stranger", [], print, message_bytes_max=1_000)
    report = wire.decode_reported(old.reported(), "gw-1")
    stranger.publish(
        old.topics.of("gw-1", "reported"), wire.encode_reported(msgspec.structs.replace(report, unix_ns=1))
    )
    async with running(stranger):
        assert await stranger.settle(WAIT_S)
        async with centre(mqtt, gateway_ids=("gw-1", "gw-2"), silent_s=0.4) as there:
            await until(lambda: there.reports)
            there.order(1, fence=5)
            stranger.publish(new.topics.of("gw-2", "reported"), new.reported())
            await until(lambda: len(there.reports) == 2)
            there.order(1, "leo", "gw-2/life", fence=5)
            await until(lambda: len(there.results) == 2)

    assert there.outcomes() == [("gw-1/life", 1, "unreachable"), ("gw-2/life", 1, "unreachable")]
    assert there.results[0].detail == "the gateway is gone from the broker, or has never been there"
    assert there.results[1].detail == "the gateway has told nothing for 0.4 s"


async def test_connection_that_died_unnoticed_ends_before_the_next_one_speaks(
    mqtt: MqttSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a gateway has changed: the broker publishes the old connection's will first, and the new report after it."""
    monkeypatch.setattr(link_module, "BACK_OFF_FIRST_S", 1_000.0)
    monkeypatch.setattr(link_module, "BACK_OFF_MAX_S", 1_000.0)
    before, after = Gateway(mqtt), Gateway(mqtt)
    async with centre(mqtt) as there, running(before.link):
        await until(lambda: there.reports)
        async with running(after.link):
            await until(lambda: before.link.state.why and len(there.reports) >= 3)

    assert [reported.stopped for reported in there.reports] == [False, True, False]


async def test_edge_that_speaks_iota_json(mqtt: MqttSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs nothing of netmon: one retained command, one answer; what it does not answer it is asked again, and what makes no sense is counted."""
    monkeypatch.setattr(iota_module, "AGAIN_S", 0.1)
    settings = msgspec.structs.replace(mqtt, iota_apikey=mqtt.prefix)
    commands: list[dict[str, Any]] = []

    def hear(heard: Heard) -> None:
        commands.append(json.loads(heard.payload)["route"])
        classes = {"life": commands[-1]["classes"]["life"] | {"outcome": "verified"}}
        answers = [
            b"junk",
            b'{"route": {"classes": {"life": {"on": "leo", "fence": 9007199254740993}}}}',
            json.dumps({"route": {"classes": classes}}).encode(),
        ]
        edge.publish(f"/json/{mqtt.prefix}/gw-1/cmdexe", answers[min(len(commands), len(answers)) - 1])

    edge = Link(mqtt, "edge", [Filter(f"/{mqtt.prefix}/gw-1/cmd")], hear, message_bytes_max=10_000)
    gateways = (gateway("gw-1"),)
    results: list[ActionResult] = []
    there = make("iota_json", Site(settings_of(settings, gateways), gateways, 5, print))
    assert isinstance(there, iota_module.Edges)
    await there.begin(results.append)
    there.order([order_of(1, "leo", fence=5), order_of(1, "geo", "gw-1/bulk", fence=5)])
    await until(lambda: there.link.counts["told"])
    async with running(edge):
        await until(lambda: "verified" in [result.outcome for result in results])
        there.order([order_of(1, "leo", fence=4)])
    actual = await there.actual()
    await there.close()

    life = {"on": "leo", "fence": 5, "generation": 1, "phase": "PROTECTING"}
    assert commands[0] == {"fence": 5, "classes": {"life": life, "bulk": life | {"on": "geo"}}}
    assert there.counts["answers_refused"] == 2
    assert actual == {"gw-1/life": "leo"}
    assert [result.outcome for result in results if result.group_id == "gw-1/life"] == [
        "unreachable",
        "verified",
        "refused",
    ]


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
