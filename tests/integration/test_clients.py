"""Real senders, Net-SNMP and pysnmp, and pysnmp's decoder as the judge of what netmon made of their datagrams."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyasn1.codec.ber import decoder as oracle
from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    NotificationType,
    ObjectIdentity,
    SnmpEngine,
    Udp6TransportTarget,
    UdpTransportTarget,
    send_notification,
)
from pysnmp.proto import api, rfc1902
from pysnmp.proto.proxy import rfc2576

from netmon.model import TrapEvent
from netmon.snmp import SNMP_TRAP_COMMUNITY, SNMP_TRAP_OID, SYS_UPTIME
from netmon.trap_receiver.journal import segment as journal
from netmon.trap_receiver.state import read_state
from tests.integration.harness import Netmon
from tests.unit.snmp.test_laws import oracle_value, our_value

V1 = api.PROTOCOL_MODULES[api.SNMP_VERSION_1]
V2C = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
PLAYPEN = "1.3.6.1.4.1.8072.9999"

TYPES = {
    "i": ("-7", "Integer32"),
    "u": ("4294967295", "Gauge32"),
    "c": ("4294967295", "Counter32"),
    "t": ("12345", "TimeTicks"),
    "o": ("1.3.6.1.4.1.9.1.4294967295", "ObjectIdentifier"),
    "a": ("192.0.2.7", "IpAddress"),
    "s": ("雄別線 断線", "OctetString"),
    "x": ("00 FF 10 20", "OctetString"),
    "d": ("7.228.12.31.23.59", "OctetString"),
    "b": ("1,2,11", "OctetString"),
    "n": ("0", "Null"),
    "C": ("18446744073709551615", "Counter64"),
    "U": ("18446744073709551615", "Opaque"),
    "I": ("-9223372036854775808", "Opaque"),
    "F": ("0.5", "Opaque"),
    "D": ("0.5", "Opaque"),
}
"""snmptrap's letters for types: a value each, and what it is on the wire."""
BINDINGS = [
    word for number, (letter, (value, _)) in enumerate(TYPES.items()) for word in (f"{PLAYPEN}.{number}", letter, value)
]


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """A netmon on the dual-stack wildcard that shows communities."""
    netmon = Netmon(tmp_path_factory.mktemp("clients"))
    netmon.configure({"receiver": {"listen": [f"[::]:{netmon.port}"], "redact_community": False}})
    with netmon:
        yield netmon


def received(netmon: Netmon, before: int, count: int = 1) -> list[tuple[TrapEvent, bytes]]:
    """The events after `before`, each with the raw datagram that the journal keeps."""
    found = netmon.wait_settled(before + count)
    assert (found.captured, found.difference, sum(found.rejected.values())) == (before + count, 0, 0)
    raw = payloads(netmon.directory())
    return [(event, raw[event.seq - 1]) for _, event in netmon.entries() if event.seq > before]


def payloads(directory: Path) -> list[bytes]:
    """Every datagram of a journal, oldest first."""
    committed = read_state(directory / "commit.state")
    limit = journal.Position(committed["segment"], committed["offset"], committed["seq"])
    reader = journal.Reader(directory, journal.Position(0, 0, 0))
    found = []
    while (frame := reader.next(limit)) is not None:
        found += [record.payload for record in journal.records(frame)]
    reader.close()
    return found


def assert_agrees(event: TrapEvent, raw: bytes) -> None:
    """Pysnmp reads the same out of the datagram; an SNMPv1 trap by its own RFC 2576 proxy."""
    is_v1 = event.version == "v1"
    message, rest = oracle.decode(raw, asn1Spec=(V1 if is_v1 else V2C).Message())
    assert not rest
    community, pdu = V2C.apiMessage.get_community(message), V2C.apiMessage.get_pdu(message)
    assert bytes(community).decode() == event.community
    if is_v1:
        pdu = rfc2576.v1_to_v2(pdu)
    else:
        assert int(V2C.apiPDU.get_request_id(pdu)) == event.request_id
        assert pdu.isSameTypeWith(V2C.InformRequestPDU()) == (event.pdu == "inform")
    bindings = {str(oid): oracle_value(value) for oid, value in V2C.apiPDU.get_varbinds(pdu)}
    if is_v1:
        # The proxy adds an empty community; we leave it out.
        assert bindings.pop(SNMP_TRAP_COMMUNITY) == b""
    assert bindings.pop(SYS_UPTIME) == event.uptime_centis
    assert bindings.pop(SNMP_TRAP_OID) == event.trap_oid
    assert {varbind.oid: our_value(varbind) for varbind in event.varbinds} == bindings
    assert event.flags == ()


@pytest.mark.parametrize("target", ["127.0.0.1", "udp6:[::1]"])
def test_snmptrap_v2c_with_every_type(netmon: Netmon, require_tool: Callable[[str], str], target: str) -> None:
    """Each type that Net-SNMP can send arrives under its name, with the value that pysnmp reads."""
    before = netmon.ledger().captured
    command = [require_tool("snmptrap"), "-v2c", "-c", "Öffentlich", f"{target}:{netmon.port}", "98765", LINK_DOWN]
    subprocess.run([*command, *BINDINGS], check=True)
    ((event, raw),) = received(netmon, before)
    assert_agrees(event, raw)
    assert (event.uptime_centis, event.trap_oid, event.community) == (98_765, LINK_DOWN, "Öffentlich")
    assert [varbind.type for varbind in event.varbinds] == [name for _, name in TYPES.values()]
    assert event.source == ("::1" if "::" in target else "127.0.0.1")


@pytest.mark.parametrize(
    ("generic", "specific", "trap_oid"),
    [
        *((str(generic), "0", f"1.3.6.1.6.3.1.1.5.{generic + 1}") for generic in range(6)),
        ("6", "4711", f"{PLAYPEN}.0.4711"),
    ],
)
def test_snmptrap_v1_of_every_kind(
    netmon: Netmon, require_tool: Callable[[str], str], generic: str, specific: str, trap_oid: str
) -> None:
    """SNMPv1 is translated by RFC 3584, as pysnmp's proxy does it."""
    before = netmon.ledger().captured
    command = [require_tool("snmptrap"), "-v1", "-c", "public", f"127.0.0.1:{netmon.port}", PLAYPEN, "192.0.2.9"]
    subprocess.run([*command, generic, specific, "4242", *without_counter64()], check=True)
    ((event, raw),) = received(netmon, before)
    assert_agrees(event, raw)
    assert (event.version, event.trap_oid, event.uptime_centis) == ("v1", trap_oid, 4_242)
    # Nobody is a trusted relay here: what agent-addr claims is told, and not believed.
    assert event.source == "127.0.0.1"
    assert ("1.3.6.1.6.3.18.1.3.0", "192.0.2.9") in [(varbind.oid, varbind.value) for varbind in event.varbinds]


def without_counter64() -> list[str]:
    """The bindings that SNMPv1 can carry (RFC 3584 section 4.2.2.1)."""
    at = BINDINGS.index("C")
    return BINDINGS[: at - 1] + BINDINGS[at + 2 :]


PYSNMP_BINDINGS = (
    (f"{PLAYPEN}.1.1", rfc1902.Integer32(-2_147_483_647)),
    (f"{PLAYPEN}.1.2", rfc1902.OctetString("断線".encode())),
    (f"{PLAYPEN}.1.3", rfc1902.OctetString(hexValue="00ff10")),
    (f"{PLAYPEN}.1.4", rfc1902.ObjectIdentifier("1.3.6.1.4.1.9")),
    (f"{PLAYPEN}.1.5", rfc1902.IpAddress("192.0.2.1")),
    (f"{PLAYPEN}.1.6", rfc1902.Counter32(4_294_967_295)),
    (f"{PLAYPEN}.1.7", rfc1902.Gauge32(1)),
    (f"{PLAYPEN}.1.8", rfc1902.TimeTicks(99)),
    (f"{PLAYPEN}.1.9", rfc1902.Opaque(hexValue="9f780442280000")),
)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize(("version", "kind"), [("v1", "trap"), ("v2c", "trap"), ("v2c", "inform")])
async def test_pysnmp_as_the_sender(netmon: Netmon, version: str, kind: str, family: str) -> None:
    """The other implementation that many scripts use; it takes our answer to its INFORM."""
    before = netmon.ledger().captured
    engine = SnmpEngine()
    transport = UdpTransportTarget if family == "IPv4" else Udp6TransportTarget
    address = "127.0.0.1" if family == "IPv4" else "::1"
    error, status, _, _ = await send_notification(
        engine,
        CommunityData("public", mpModel=0 if version == "v1" else 1),
        await transport.create((address, netmon.port), timeout=5, retries=0),
        ContextData(),
        kind,
        NotificationType(ObjectIdentity(LINK_DOWN)).add_varbinds(*PYSNMP_BINDINGS),
    )
    engine.close_dispatcher()
    assert (error, int(status or 0)) == (None, 0)
    ((event, raw),) = received(netmon, before)
    assert_agrees(event, raw)
    assert (event.version, event.pdu, event.trap_oid, event.peer) == (version, kind, LINK_DOWN, address)
    values = [our_value(varbind) for varbind in event.varbinds if varbind.oid.startswith(f"{PLAYPEN}.1.")]
    assert values == [oracle_value(value) for _, value in PYSNMP_BINDINGS]
