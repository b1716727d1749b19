"""The MQTT prober and the listener for keepalives against a real broker, and against brokers that make no sense."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import redis

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.model import Vote
from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.probers.mqtt import make_service
from netmon.active_probe.settings import KeepaliveSettings, ProbedLine, VantageSettings
from netmon.active_probe.vantage.keepalives import Heard, Keepalives
from netmon.buffer.line_store import HEARD, votes_key
from netmon.errors import ConfigError
from netmon.inventory.probes import HttpProbe, MqttProbe, Pin, TcpProbe
from netmon.model import RedisSettings
from netmon.mqtt.connection import Connection
from netmon.mqtt.packet import Hello
from tests.integration.harness import REPOSITORY, free_port
from tests.integration.services import (
    TIMEOUT_S,
    Certificate,
    Mosquitto,
    cancelled,
    leaving_nothing,
    prober,
    refused_port,
)
from tests.integration.valkey import Valkey

SHORT_S = 0.2


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[int]:
    """The port of a broker that lets anybody in."""
    require_tool("mosquitto")
    port = free_port(socket.SOCK_STREAM)
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), port):
        yield port


def probe_of(port: int, **fields: object) -> MqttProbe:
    """A probe of the loopback."""
    return MqttProbe(url=f"mqtt://127.0.0.1:{port}", **fields)  # type: ignore[arg-type]


async def outcome_of(probe: MqttProbe, timeout_s: float = TIMEOUT_S, **secrets: str) -> Outcome:
    """What comes of one probe."""
    async with prober(probe, **secrets) as asked:
        return await asked.probe(timeout_s)  # type: ignore[no-any-return]


async def test_message_comes_back(broker: int) -> None:
    """The first probe makes a connection, which the others use; the round trip is the message's alone."""
    async with prober(probe_of(broker)) as asked:
        first = await asked.probe(TIMEOUT_S)
        assert list(asked.phases.seconds) == ["connect", "mqtt", "round trip"]
        second = await asked.probe(TIMEOUT_S)
        assert list(asked.phases.seconds) == ["round trip"]

    assert (first.kind, second.kind) == ("reply", "reply")
    assert second.rtt_s is not None


async def test_two_vantages_do_not_disturb_each_other(broker: int) -> None:
    """Nor two lines of one: each has its own name and topic at the broker."""
    async with prober(probe_of(broker), line_id="a") as one, prober(probe_of(broker), line_id="b") as other:
        found = [await asked.probe(TIMEOUT_S) for _ in range(3) for asked in (one, other)]

    assert [outcome.kind for outcome in found] == ["reply"] * 6


async def test_broker_that_restarts_or_stops_is_found_again(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A stopped broker is lost within the timeout; once it goes on, or is there again, the line is not waited for."""
    require_tool("mosquitto")
    port = free_port(socket.SOCK_STREAM)
    broker = Mosquitto(tmp_path, port)
    async with prober(probe_of(port)) as asked:
        with broker:
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
            broker.signal(signal.SIGSTOP)
            started = time.monotonic()
            assert (await asked.probe(SHORT_S)).kind == "lost"
            assert time.monotonic() - started < SHORT_S + 1.0
            assert (await asked.probe(SHORT_S)).kind == "lost"
            broker.signal(signal.SIGCONT)
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
        away = [await asked.probe(TIMEOUT_S) for _ in range(2)]
        assert (away[-1].kind, away[-1].detail) == ("failed", "ECONNREFUSED")
        broker.start()
        try:
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
        finally:
            broker.kill()


async def test_refusal_is_told_and_not_repeated(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A wrong password is the broker's answer; it is not asked again with each probe."""
    require_tool("mosquitto_passwd")
    port = free_port(socket.SOCK_STREAM)
    probe = probe_of(port, username="probe", password_file="password")
    with Mosquitto(tmp_path, port, password="let me in"):
        assert (await outcome_of(probe, password="let me in")).kind == "reply"
        async with prober(probe, password="wrong") as asked:
            found = [await asked.probe(TIMEOUT_S) for _ in range(5)]

    assert {outcome.kind for outcome in found} == {"failed"}
    assert {outcome.detail for outcome in found} <= {"bad user name or password", "not authorized"}
    assert (tmp_path / "log").read_text().count("as netmon") <= 3


async def test_tls_is_verified(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """With the broker's authority it answers, without it is a bad answer."""
    require_tool("mosquitto")
    certificate = Certificate(tmp_path, "127.0.0.1")
    port = free_port(socket.SOCK_STREAM)
    with Mosquitto(tmp_path / "mosquitto", port, tls=certificate):
        url = f"mqtts://127.0.0.1:{port}"
        good = await outcome_of(MqttProbe(url=url, tls_ca_file=str(certificate.file)))
        bad = await outcome_of(MqttProbe(url=url))

    assert good.kind == "reply"
    assert (bad.kind, bad.detail.partition(":")[0]) == ("failed", "TLS")


async def test_closed_port_is_a_bad_answer() -> None:
    """Somebody is there, but no broker."""
    found = await outcome_of(probe_of(refused_port()))

    assert (found.kind, found.detail) == ("failed", "ECONNREFUSED")


@pytest.mark.parametrize("pin", [Pin(interface="no-such-line"), Pin(netns="no-such-space"), Pin(source="192.0.2.77")])
async def test_pin_that_cannot_be_had_is_a_local_error(broker: int, pin: Pin) -> None:
    """Although the broker would be there by another way."""
    found = await outcome_of(probe_of(broker, pin=pin))

    assert found.kind == "local_error"
    assert found.detail.startswith("pin to ")


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """The port of a server that says one of these to each thing that it is told, and then goes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                await reader.read(1_000)
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


CONNACK = b"\x20\x03\0\0\0"
SUBACK = b"\x90\x04\0\x01\0\0"


@pytest.mark.parametrize(
    ("answers", "detail"),
    [
        ((b"",), "the broker has closed the connection"),
        ((b"\x20\x02\0\x01",), "speaks no MQTT 5"),
        ((b"\x20\x03\0\x87\0",), "not authorized"),
        ((b"\x20\x0a\0\x89\x07\x1f\0\x04full",), "server busy: full"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "an answer that is no MQTT, or none to what was asked"),
        ((b"\x20\xff\xff\xff\x7f",), "a packet that is too long, or no MQTT"),
        ((b"\x20\xff\xff\xff\xff",), "a packet that is too long, or no MQTT"),
        ((b"\x20\x01\0",), "a CONNACK that is too short"),
        ((b"\x20\x05\0\0\x02\x7f\0",), "a property that the standard does not know"),
        ((CONNACK, b"\x90\x04\0\x01\0\x87"), "not authorized"),
        ((CONNACK, SUBACK, b"\xe0\x01\x8e"), "session taken over"),
        ((CONNACK, SUBACK, b"\x30\x05\0\x09abc"), "a packet that is cut off"),
        ((CONNACK, SUBACK, b"\x32\x05\0\x01a\0\x01"), "a message at a QoS that nobody asked for"),
    ],
)
async def test_brokers_of_all_kinds(answers: tuple[bytes, ...], detail: str) -> None:
    """What a broker says instead of what it should is a bad answer, in words."""
    async with answering(*answers) as port:
        found = await outcome_of(probe_of(port))

    assert found.kind == "failed"
    assert found.detail.endswith(detail)


async def test_nothing_is_left_behind(broker: int) -> None:
    """Answered, lost and cancelled probes leave no task and no socket."""
    async with leaving_nothing():
        async with prober(probe_of(broker)) as asked:
            for _ in range(300):
                assert (await asked.probe(TIMEOUT_S)).kind == "reply"
            for _ in range(50):
                await cancelled(asked, turns=3)
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
        async with answering(b"") as port:
            for _ in range(50):
                await outcome_of(probe_of(port), 0.01)


@pytest.mark.parametrize(
    "url", ["http://a", "mqtt://", "mqtt://user:word@a", "mqtt://a:port", "mqtt://a/topic", "mqtt://a?b"]
)
def test_url_that_is_of_no_use(url: str) -> None:
    """Is a mistake of the configuration."""
    with pytest.raises(ConfigError, match="expected mqtt://HOST:PORT or mqtts://HOST:PORT, without a user"):
        make_service(MqttProbe(url=url), ServiceContext("here", "line", {}))


@asynccontextmanager
async def listener(port: int, **topics: str) -> AsyncIterator[list[Heard]]:
    """What a listener tells, as it comes."""
    told: list[Heard] = []
    keepalives = Keepalives(
        KeepaliveSettings(url=f"mqtt://127.0.0.1:{port}", topics={topic: line for line, topic in topics.items()}),
        "here",
        told.append,
    )
    listening = asyncio.create_task(keepalives.run())
    try:
        yield told
    finally:
        listening.cancel()
        await asyncio.wait({listening})


@asynccontextmanager
async def device(port: int) -> AsyncIterator[Connection]:
    """A device's connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection, _ = await Connection.open(
        reader, writer, Hello(client_id="device", keep_alive_s=60, packet_bytes_max=4_096)
    )
    try:
        yield connection
    finally:
        connection.abort()


async def heard(port: int, told: list[Heard], *topics: str, until: set[str]) -> dict[str, str]:
    """Publishes on these topics again and again until the listener has told of these lines; line to what it told."""
    found: dict[str, str] = {}
    async with device(port) as connection, asyncio.timeout(20):
        while not until <= found.keys():
            for topic in topics:
                connection.publish(topic, b"alive")
            await asyncio.sleep(0.05)
            found |= {line: what for each in told for line, (_, what) in each.items()}
    return found


async def test_keepalives_are_heard_by_line(broker: int) -> None:
    """By topic and by pattern; what nobody asked for, and what was retained, is nothing; a line is told once a second at most."""
    retained = b"\x31\x09\0\x05a/old" + b"\0x"
    async with device(broker) as connection:
        connection._writer.write(retained)
    before_ns = time.time_ns()
    async with listener(broker, fibre="pump/7", radio="sensor/+/alive", both="pump/#", old="a/old") as told:
        found = await heard(broker, told, "pump/7", "sensor/a/alive", "sensor/alive", until={"fibre", "radio", "both"})

    assert found == {"fibre": "mqtt pump/7", "radio": "mqtt sensor/a/alive", "both": "mqtt pump/7"}
    assert all(before_ns <= unix_ns <= time.time_ns() for each in told for unix_ns, _ in each.values())


async def test_listener_finds_a_broker_again(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """Whether it is there at first or not, and after it was away."""
    require_tool("mosquitto")
    port = free_port(socket.SOCK_STREAM)
    async with listener(port, fibre="pump/7") as told:
        for _ in range(2):
            told.clear()
            with Mosquitto(tmp_path, port):
                assert await heard(port, told, "pump/7", until={"fibre"}) == {"fibre": "mqtt pump/7"}


def states_of(vote: bytes | None) -> list[str]:
    """Of the probes of a line."""
    return [target.state for target in msgspec.json.decode(vote, type=Vote).targets] if vote else []


async def test_vantage_asks_services_and_tells_what_was_heard(
    tmp_path: Path, broker: int, server: Valkey, client: redis.Redis
) -> None:
    """The whole way: each probe has its state in the vote, and a device that publishes is in the hash of what was heard."""
    profile = BUILT_IN["fast"]
    probes = (
        TcpProbe(address="127.0.0.1", port=broker),
        HttpProbe(url=f"http://127.0.0.1:{broker}/"),
        MqttProbe(url=f"mqtt://127.0.0.1:{broker}"),
    )
    settings = VantageSettings(
        vantage_id="here",
        redis=RedisSettings(url=server.url),
        directory=str(tmp_path),
        lines=(ProbedLine(line_id="fibre", profile=profile, probes=probes),),
        anchor_profile=profile,
        refresh_s=0.5,
        keepalives=KeepaliveSettings(url=f"mqtt://127.0.0.1:{broker}", topics={"pump/7": "fibre"}),
    )
    found, states = None, []
    command = (sys.executable, "-m", "netmon.active_probe.vantage")
    vantage = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, cwd=REPOSITORY)
    try:
        assert vantage.stdin is not None
        vantage.stdin.write(msgspec.json.encode(settings))
        vantage.stdin.close()
        async with device(broker) as connection, asyncio.timeout(30):
            while not found or states != ["up", "down", "up"]:
                connection.publish("pump/7", b"alive")
                await asyncio.sleep(0.1)
                found, states = client.hget(HEARD, "fibre"), states_of(client.hget(votes_key("here"), "fibre"))
    except TimeoutError:
        pytest.fail(f"found {found!r}, {states}")
    finally:
        vantage.kill()
        await vantage.wait()

    unix_ns, what = msgspec.json.decode(found, type=tuple[int, str])
    assert abs(time.time_ns() - unix_ns) < 60e9
    assert what == "mqtt pump/7"


async def test_broker_that_vanishes_without_a_word_is_noticed() -> None:
    """It is asked for a sign of life, as often as it wants; if none comes, another connection is made."""
    connected, connected_again = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (connected_again if connected.is_set() else connected).set()
        await reader.readuntil(b"netmon")
        writer.write(b"\x20\x06\0\0\x03\x13\0\x01")  # Server Keep Alive: 1 s
        await reader.readuntil(b"pump/7 ")
        writer.write(SUBACK)
        while await reader.read(100):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, listener(server.sockets[0].getsockname()[1], fibre="pump/7"), asyncio.timeout(20):
        await connected_again.wait()
