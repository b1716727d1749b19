"""Service probers in network namespaces: two lines to one far end, and each probe goes by its own or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from loadtest.lab.namespaces import Namespaces, missing
from netmon.active_probe.probers.base import Outcome
from netmon.inventory.probes import AnyProbe, HttpProbe, MqttProbe, Pin, SnmpProbe, TcpProbe
from tests.integration.services import COMMUNITY, TIMEOUT_S, Mosquitto, Program, Snmpd, prober

FAR: Final = "10.91.9.9"
"""An address of the far end that both lines lead to; the routing table prefers line b."""
SHORT_S: Final = 0.3
MQTT_PORT, SNMP_PORT, HTTP_PORT = 1883, 161, 80

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a namespace is entered by its path, which takes root")


class Website(Program):
    """Python's own."""

    ready = b"Serving HTTP"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Namespaces]:
    """`near` and `far`, with the interfaces `line-a` and `line-b` in each, and all servers in `far`."""
    require_tool("mosquitto")
    require_tool("snmpd")
    if missing():
        pytest.skip(missing())
    with contextlib.ExitStack() as stack:
        spaces = stack.enter_context(Namespaces())
        near, far = spaces.add("near"), spaces.add("far")
        for number, line in enumerate(("line-a", "line-b"), 1):
            spaces.link("near", line, "far", line)
            near.ip(f"address add 10.91.{number}.1/24 dev {line}")
            far.ip(f"address add 10.91.{number}.2/24 dev {line}")
        far.ip(f"address add {FAR}/32 dev lo")
        plug(spaces)
        folder = tmp_path_factory.mktemp("far")
        stack.enter_context(Mosquitto(folder / "mosquitto", MQTT_PORT, address="0.0.0.0", start=far.start))
        stack.enter_context(Snmpd(folder / "snmpd", SNMP_PORT, address="0.0.0.0", start=far.start))
        serve = [sys.executable, "-u", "-m", "http.server", str(HTTP_PORT), "--directory", str(folder)]
        stack.enter_context(Website(folder, serve, start=far.start))
        yield spaces


def plug(spaces: Namespaces) -> None:
    """The routes of the near end: line b first."""
    spaces["near"].ip(
        f"route add {FAR} via 10.91.2.2 dev line-b metric 10",
        f"route add {FAR} via 10.91.1.2 dev line-a metric 20",
    )


@contextlib.contextmanager
def cut(spaces: Namespaces) -> Iterator[None]:
    """Line a brings nothing back; nobody says so."""
    spaces["far"].ip("route add blackhole 10.91.1.1/32")
    try:
        yield
    finally:
        spaces["far"].ip("route del blackhole 10.91.1.1/32")


@contextlib.contextmanager
def unplugged(spaces: Namespaces) -> Iterator[None]:
    """The near end's interface of line a is down."""
    spaces["near"].ip("link set line-a down")
    try:
        yield
    finally:
        spaces["near"].ip("link set line-a up", f"route add {FAR} via 10.91.1.2 dev line-a metric 20")


def probes(pin: Pin) -> dict[str, AnyProbe]:
    """One of each kind."""
    return {
        "tcp": TcpProbe(address=FAR, port=HTTP_PORT, pin=pin),
        "http": HttpProbe(url=f"http://{FAR}/", statuses=(200,), pin=pin),
        "snmp": SnmpProbe(address=FAR, community_file="community", pin=pin),
        "mqtt": MqttProbe(url=f"mqtt://{FAR}", pin=pin),
    }


@contextlib.asynccontextmanager
async def probing(spaces: Namespaces, *ways: str | Pin) -> AsyncIterator[list[dict[str, Any]]]:
    """Probers of each kind, for each of these interfaces or pins."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for number, way in enumerate(ways):
            pin = way if isinstance(way, Pin) else Pin(netns=str(spaces["near"].path), interface=way)
            made.append(
                {
                    kind: await stack.enter_async_context(prober(probe, line_id=f"line-{number}", community=COMMUNITY))
                    for kind, probe in probes(pin).items()
                }
            )
        yield made


async def ask(probers: Mapping[str, Any], timeout_s: float) -> dict[str, Outcome]:
    """One probe of each, at the same time."""
    found = await asyncio.gather(*(each.probe(timeout_s) for each in probers.values()))
    return dict(zip(probers, found, strict=True))


def kinds(found: Mapping[str, Outcome]) -> set[str]:
    """What came of them."""
    return {outcome.kind for outcome in found.values()}


def words(found: Mapping[str, Outcome]) -> Sequence[str]:
    """For a failure's message."""
    return [f"{kind}: {outcome.kind} {outcome.detail}" for kind, outcome in found.items()]


async def test_silent_cut_is_of_one_line_only(lines: Namespaces) -> None:
    """All kinds lose what they ask over it, in time; over the other line all are answered; once it is mended, at the next probe."""
    async with probing(lines, "line-a", "line-b") as (over_a, over_b):
        before = await ask(over_a, TIMEOUT_S)
        assert kinds(before) == {"reply"}, words(before)
        assert kinds(await ask(over_b, TIMEOUT_S)) == {"reply"}

        with cut(lines):
            started = time.monotonic()
            during = await ask(over_a, SHORT_S)
            took_s = time.monotonic() - started
            assert kinds(during) == {"lost"}, words(during)
            assert took_s < SHORT_S + 2.0
            assert kinds(await ask(over_b, TIMEOUT_S)) == {"reply"}

        after = await ask(over_a, TIMEOUT_S)
        assert kinds(after) == {"reply"}, words(after)


async def test_unplugged_interface_is_a_local_error(lines: Namespaces) -> None:
    """Nothing leaves by the other line instead, although the routing table would have it so."""
    async with probing(lines, "line-a") as (over_a,):
        assert kinds(await ask(over_a, TIMEOUT_S)) == {"reply"}

        with unplugged(lines):
            # Of a connection that stands the kernel says nothing: that first message is lost.
            first, second = await ask(over_a, SHORT_S), await ask(over_a, TIMEOUT_S)
            assert kinds(second) == {"local_error"}, (words(first), words(second))

        after = [await ask(over_a, TIMEOUT_S) for _ in range(2)][-1]
        assert kinds(after) == {"reply"}, words(after)


async def test_mark_chooses_the_line_by_its_rule(lines: Namespaces) -> None:
    """A table that leads to the line, and one that ends in `unreachable`: from there nothing leaves by another."""
    lines["near"].ip(
        "rule add fwmark 7 table 77",
        "route add default via 10.91.1.2 dev line-a table 77",
        "rule add fwmark 8 table 88",
        "route add unreachable default table 88",
    )
    netns = str(lines["near"].path)
    async with probing(lines, Pin(netns=netns, mark=7), Pin(netns=netns, mark=8)) as (good, closed):
        assert kinds(await ask(good, TIMEOUT_S)) == {"reply"}
        found = await ask(closed, TIMEOUT_S)
        assert kinds(found) == {"local_error"}, words(found)
        with cut(lines):
            assert kinds(await ask(good, SHORT_S)) == {"lost"}
