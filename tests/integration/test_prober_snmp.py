"""The SNMP prober against a real agent: both versions, each refusal in words, and what a far end that makes no sense can do."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.probers.snmp import ENGINES_MAX, make_service
from netmon.errors import ConfigError
from netmon.inventory.probes import Pin, SnmpProbe
from netmon.model import V3User
from netmon.snmp.ber import tlv
from netmon.snmp.encode import oid_contents
from netmon.snmp.seal import scoped_pdu, seal
from netmon.snmp.v3 import read_message
from netmon.sockets import has_ipv6
from tests.integration.harness import free_port
from tests.integration.services import (
    AGENT_USER,
    COMMUNITY,
    TIMEOUT_S,
    Snmpd,
    cancelled,
    leaving_nothing,
    prober,
    refused_port,
    user_file,
)

SHORT_S = 0.2
NO_SUCH_INTERFACE = 999_999


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[int]:
    """The port of an agent."""
    require_tool("snmpd")
    port = free_port(socket.SOCK_DGRAM)
    with Snmpd(tmp_path_factory.mktemp("snmpd"), port):
        yield port


async def answer_of(port: int, *, user: V3User | None = None, if_index: int = 0, address: str = "127.0.0.1") -> Outcome:
    """What comes of one GET."""
    named = {"user_file": "user"} if user else {"community_file": "community"}
    probe = SnmpProbe(address=address, port=port, if_index=if_index, **named)
    async with prober(probe, community=COMMUNITY, user=user_file(user or AGENT_USER)) as asked:
        return await asked.probe(TIMEOUT_S)  # type: ignore[no-any-return]


@pytest.mark.parametrize("user", [None, AGENT_USER], ids=["v2c", "v3"])
async def test_uptime_and_interface_are_answered(agent: int, user: V3User | None) -> None:
    """sysUpTime.0, and ifOperStatus of the loopback, which is up or unknown to this kernel; the round trip is that of one request."""
    uptime = await answer_of(agent, user=user)
    up = await answer_of(agent, user=user, if_index=1)

    assert (uptime.kind, uptime.detail) == ("reply", "")
    assert uptime.rtt_s is not None
    assert (up.kind, up.detail) == ("reply", "ifOperStatus up")


@pytest.mark.skipif(not has_ipv6(), reason="this kernel has no IPv6")
@pytest.mark.parametrize("user", [None, AGENT_USER], ids=["v2c", "v3"])
async def test_agent_by_ipv6(agent: int, user: V3User | None) -> None:
    """RFC 4001 writes its address otherwise; it is asked all the same."""
    assert (await answer_of(agent, user=user, address="::1")).kind == "reply"


async def test_interface_that_is_not_there(agent: int) -> None:
    """The agent is there, and knows nothing of it."""
    found = await answer_of(agent, if_index=NO_SUCH_INTERFACE)

    assert (found.kind, found.detail.partition(":")[0]) == ("failed", "ifOperStatus")


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"name": "nobody"}, "the agent does not know the user"),
        ({"auth_passphrase": "another one"}, "the agent refuses the authentication: wrong passphrase or protocol"),
        ({"priv": None, "priv_passphrase": None}, "authorizationError"),
    ],
)
async def test_v3_refusals_in_words(agent: int, change: dict[str, str | None], detail: str) -> None:
    """The line is there, and the agent says what is wrong with the user."""
    found = await answer_of(agent, user=msgspec.structs.replace(AGENT_USER, **change))

    assert (found.kind, found.detail) == ("failed", detail)


async def test_closed_port_is_a_bad_answer() -> None:
    """The kernel of the far end says so (ICMP)."""
    found = await answer_of(refused_port())

    assert (found.kind, found.detail) == ("failed", "ECONNREFUSED")


async def test_wrong_community_is_silence(agent: int) -> None:
    """An agent does not answer it (RFC 1157 section 4.1): that cannot be told from a dead line."""
    async with prober(
        SnmpProbe(address="127.0.0.1", port=agent, community_file="community"), community="another"
    ) as asked:
        found = await asked.probe(SHORT_S)

    assert (found.kind, found.detail) == ("lost", "no answer in time: round trip")


@pytest.mark.parametrize("user", [None, AGENT_USER], ids=["v2c", "v3"])
async def test_agent_that_comes_back_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str], user: V3User | None
) -> None:
    """After silence, and after a restart with another engine ID and clock: the second probe at the latest is a reply."""
    require_tool("snmpd")
    port = free_port(socket.SOCK_DGRAM)
    named = {"user_file": "user"} if user else {"community_file": "community"}
    probe = SnmpProbe(address="127.0.0.1", port=port, **named)
    async with prober(probe, community=COMMUNITY, user=user_file(AGENT_USER)) as asked:
        with Snmpd(tmp_path_factory.mktemp("first"), port) as agent:
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
            agent.signal(signal.SIGSTOP)
            assert (await asked.probe(SHORT_S)).kind == "lost"
            agent.signal(signal.SIGCONT)
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
        assert (await asked.probe(TIMEOUT_S)).detail == "ECONNREFUSED"
        with Snmpd(tmp_path_factory.mktemp("second"), port):
            found = [await asked.probe(SHORT_S), await asked.probe(TIMEOUT_S)]
            assert found[-1].kind == "reply"


@pytest.mark.parametrize("pin", [Pin(interface="no-such-line"), Pin(netns="no-such-space"), Pin(source="192.0.2.77")])
async def test_pin_that_cannot_be_had_is_a_local_error(agent: int, pin: Pin) -> None:
    """Although the agent would be there by another way."""
    probe = SnmpProbe(address="127.0.0.1", port=agent, community_file="community", pin=pin)
    async with prober(probe, community=COMMUNITY) as asked:
        found = await asked.probe(TIMEOUT_S)

    assert found.kind == "local_error"
    assert found.detail.startswith("pin to ")


class Babbler(asyncio.DatagramProtocol):
    """Answers with what was asked, changed a little: the answers of a far end that is broken, or ill-meaning."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps it."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Cut, changed and lengthened."""
        changed = bytearray(data.replace(b"\xa0", b"\xa2", 1))
        for _ in range(self._random.randrange(4)):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        for answer in (changed[: self._random.randrange(len(changed))], changed, changed + b"\0", b""):
            self._transport.sendto(bytes(answer), addr)


@asynccontextmanager
async def babbling(seed: int) -> AsyncIterator[int]:
    """The port of one."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Babbler(seed), ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.parametrize("user", [None, AGENT_USER], ids=["v2c", "v3"])
async def test_nonsense_is_an_outcome(user: V3User | None) -> None:
    """Whatever the far end says, a probe comes to an end in time, and the event loop hears of nothing."""
    trouble: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: trouble.append(context))
    async with babbling(seed=1) as port:
        named = {"user_file": "user"} if user else {"community_file": "community"}
        probe = SnmpProbe(address="127.0.0.1", port=port, if_index=1, **named)
        async with prober(probe, community=COMMUNITY, user=user_file(AGENT_USER)) as asked:
            found = [await asked.probe(0.01) for _ in range(30)]

    assert {outcome.kind for outcome in found} <= {"failed", "lost"}
    assert trouble == []


class Chameleon(asyncio.DatagramProtocol):
    """Says that it is another engine each time that it is asked (RFC 3414 section 4), and nothing else."""

    def __init__(self) -> None:
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps it."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A Report with usmStatsUnknownEngineIDs."""
        question = read_message(data)
        if not question.engine_id:
            self.asked += 1
            engine_id = b"\x80\x00\x1f\x88\x04" + self.asked.to_bytes(8, "big")
            varbind = tlv(0x30, tlv(0x06, oid_contents("1.3.6.1.6.3.15.1.1.4.0")) + b"\x41\x01\x01")
            report = tlv(0xA8, b"\x02\x01\x00" * 3 + tlv(0x30, varbind))
            scoped = scoped_pdu(engine_id, b"", report)
            message = {"user": b"", "keys": None, "msg_id": question.msg_id, "msg_flags": 0, "boots": 1, "time_s": 1}
            self._transport.sendto(seal(engine_id=engine_id, scoped=scoped, salt=0, **message), addr)


async def test_agent_that_is_another_each_time_costs_no_memory() -> None:
    """What pysnmp keeps of each engine is for ever: after some, they are told, and forgotten."""
    loop = asyncio.get_running_loop()
    transport, agent = await loop.create_datagram_endpoint(Chameleon, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    probe = SnmpProbe(address="127.0.0.1", port=port, user_file="user")
    async with prober(probe, user=user_file(AGENT_USER)) as asked:
        found = [await asked.probe(0.02) for _ in range(2 * ENGINES_MAX)]
    transport.close()

    assert agent.asked >= ENGINES_MAX
    assert (found[0].kind, found[-1].kind) == ("lost", "failed")
    assert found[-1].detail == "the agent has another engine ID each time"


async def test_lost_requests_are_forgotten(agent: int) -> None:
    """By pysnmp's timer, which would stop with the last socket; a line that is dead for weeks must cost no memory."""
    probe = SnmpProbe(address="127.0.0.1", port=agent, community_file="community")
    async with prober(probe, community="another") as asked:
        await asked.probe(0.01)

        assert asked._wire is None
        assert not asked._engine.snmp.transport_dispatcher.loopingcall.done()


async def test_nothing_is_left_behind(agent: int) -> None:
    """Answered, lost and cancelled probes leave no socket; the shared engine ends with its last prober, and its timer with it."""
    async with leaving_nothing():
        for community, timeout_s, times in ((COMMUNITY, TIMEOUT_S, 100), ("another", 0.005, 20)):
            probe = SnmpProbe(address="127.0.0.1", port=agent, community_file="community")
            async with prober(probe, community=community) as asked:
                for _ in range(times):
                    await asked.probe(timeout_s)
                await cancelled(asked)


@pytest.mark.parametrize(
    ("probe", "secrets", "mistake"),
    [
        (SnmpProbe(address="192.0.2.1"), {}, "community_file: : expected a community, or user_file"),
        (
            SnmpProbe(address="192.0.2.1", community_file="c"),
            {},
            "community_file: c: expected a community, or user_file",
        ),
        (
            SnmpProbe(address="192.0.2.1", user_file="u"),
            {"u": '{"secret": 1'},
            "user_file: u: expected one user of SNMPv3",
        ),
    ],
)
async def test_secret_that_is_of_no_use(probe: SnmpProbe, secrets: dict[str, str], mistake: str) -> None:
    """Is a mistake of the configuration, told without what is in the file."""
    with pytest.raises(ConfigError) as caught:
        make_service(probe, ServiceContext("here", "line", secrets))

    assert str(caught.value) == f"snmp 192.0.2.1: {mistake}"
