"""The link to the broker, against a real Mosquitto that is stopped, forbids and encrypts, and against servers that are no brokers."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from netmon.errors import ConfigError
from netmon.failover.mqtt import link as link_module
from netmon.failover.mqtt import session, wire
from netmon.failover.mqtt.link import Filter, Link, LinkState
from netmon.failover.settings import MqttSettings
from netmon.sockets import has_ipv6
from tests.integration.failover_mqtt import VERIFIED, WAIT_S, Gateway, centre, running, until
from tests.integration.harness import free_port
from tests.integration.services import Certificate, Mosquitto


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour in less time."""
    monkeypatch.setattr(link_module, "BACK_OFF_FIRST_S", 0.05)
    monkeypatch.setattr(link_module, "BACK_OFF_MAX_S", 0.2)
    monkeypatch.setattr(link_module, "_WATCH_S", 0.1)


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """Nobody may be told of an exception that nobody waited for: a role would end with it."""
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    yield
    gc.collect(1)
    assert told == []


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
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(MqttSettings(url=f"mqtt://127.0.0.1:{port}"), "a", [Filter("x")], print, message_bytes_max=1_000)
    async with server, running(link):
        await until(lambda: why in link.state.why and asked >= 2)

    assert link.counts["heard"] == 0


async def test_newest_of_a_topic_is_sent_again_when_nothing_was_acknowledged() -> None:
    """Two were under way when the connection broke: the older one must not come last."""
    connections: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(b"")
        await reader.read(1_000)
        writer.write(CONNACK)
        with suppress(OSError):
            while b"newer" not in connections[number] and (octets := await reader.read(1_000)):
                connections[number] += octets
        if number:
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    link = Link(
        MqttSettings(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"),
        "a",
        [],
        print,
        message_bytes_max=1_000,
    )
    async with server, running(link):
        await until(lambda: link.state.connected)
        link.publish("x", b"older")
        await until(lambda: b"older" in connections[0])
        link.publish("x", b"newer")
        await until(lambda: len(connections) == 2 and b"newer" in connections[1])
        assert link.pending == 1

    assert b"older" not in connections[1]


def hash_passwords(passwd: str, file: Path, text: str) -> None:
    """Writes what Mosquitto takes for a password file."""
    file.write_text(text)
    file.chmod(0o600)
    subprocess.run([passwd, "-U", str(file)], check=True)


async def test_access_list_of_the_documentation_is_enough_and_no_more(
    tmp_path: Path, repository: Path, require_tool: Callable[[str], str]
) -> None:
    """The centre moves a gateway, and a gateway may neither speak for another nor for the centre."""
    passwd = require_tool("mosquitto_passwd")
    port, users, acl = free_port(socket.SOCK_STREAM), tmp_path / "users", tmp_path / "acl"
    text = (repository / "docs/failover.md").read_text("utf-8")
    acl.write_text(text.partition("```acl\n")[2].partition("```")[0])
    conf = [
        line
        for line in text.partition("```conf\n")[2].partition("```")[0].splitlines()
        if line.startswith(("set_", "max_"))
    ]
    hash_passwords(passwd, users, "netmon:pw\ngw-1:pw\ngw-2:pw\n")
    acl.chmod(0o600)
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{port}", username="netmon", password="pw")
    here = Gateway(msgspec.structs.replace(settings, username="gw-1"))
    topics = wire.Topics(settings.prefix)
    rogue = Link(msgspec.structs.replace(settings, username="gw-2"), "rogue", [], print, message_bytes_max=1_000)
    forbidden = [topics.of("gw-1", kind) for kind in wire.KINDS] + [topics.of("gw-2", "desired")]
    broker = Mosquitto(tmp_path / "mosquitto", port, settings=[*conf, f"password_file {users}", f"acl_file {acl}"])
    with broker:
        async with centre(settings) as there, running(here.link), running(rogue):
            there.order(1, fence=5)
            await until(lambda: VERIFIED in there.outcomes() and ("Beat", 5) in here.heard)
            for topic in forbidden:
                rogue.publish(topic, b"x")
            await until(lambda: rogue.counts["refused"] == len(forbidden))

    assert there.counts["reports_refused"] == there.counts["desired_refused"] == 0
    assert there.link.counts["refused"] == here.link.counts["refused"] == 0


async def test_link_that_is_given_up_at_any_moment_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In mid-connect, in mid-subscribe, just when a time-out ends: no socket, no task, and no exception for the loop's handler."""
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_S", 0.01)
    monkeypatch.setattr(link_module, "BACK_OFF_FIRST_S", 0.001)
    chance = random.Random(6)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in (CONNACK[:3] + chance.choice([b"\x00", b"\x87"]) + b"\x00", SUBACK, b""):
                await asyncio.wait_for(reader.read(1_000), 0.1)
                await asyncio.sleep(chance.random() * 0.02)
                writer.write(answer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tasks = len(asyncio.all_tasks())
    async with server:
        for _ in range(40):
            link = Link(MqttSettings(url=url), "a", [Filter("x")], print, message_bytes_max=1_000)
            async with running(link):
                await asyncio.sleep(chance.random() * 0.02)
                link.renew()
                await asyncio.sleep(chance.random() * 0.02)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
