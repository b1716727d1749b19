"""What the streams hold, as JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.model import LaneSettings, RedisSettings, RejectEvent, TrapEvent, Varbind
from netmon.snmp import decode_notification
from netmon.snmp.encode import encode_v1, encode_v2c
from netmon.trap_receiver import event as module
from netmon.trap_receiver.event import EventWriter
from netmon.trap_receiver.journal.segment import Record
from netmon.trap_receiver.policy import OTHER, Policy
from tests.unit.trap_receiver.samples import NOON_NS

SETTINGS = LaneSettings(
    receiver="test", lane=0, listen="", directory="", redis=RedisSettings(url=""), trusted_relays=("198.51.100.0/24",)
)
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1.7"
TRAP_ADDRESS = "1.3.6.1.6.3.18.1.3.0"
TRAP_COMMUNITY = "1.3.6.1.6.3.18.1.4.0"


def writer(**changes: Any) -> EventWriter:
    """A writer with these settings instead of the defaults."""
    changed = msgspec.structs.replace(SETTINGS, **changes)
    return EventWriter(changed, Policy(changed.allow, changed.trusted_relays))


def v2c(**changes: Any) -> bytes:
    """A linkDown of interface 7."""
    message: dict[str, Any] = {
        "community": b"secret",
        "pdu": "trap",
        "request_id": 77,
        "uptime_centis": 12_345,
        "trap_oid": LINK_DOWN,
        "varbinds": [(IF_INDEX, "Integer32", 7)],
    }
    return encode_v2c(**{**message, **changes})


def trap(writer: EventWriter, payload: bytes, *, seq: int = 5, peer: str = "192.0.2.7") -> TrapEvent:
    """The event for a datagram, read back from its JSON."""
    record = Record(NOON_NS, peer, 50_000, "192.0.2.1", payload)
    body, first_copy = writer.trap(seq, record, decode_notification(payload), OTHER)
    found = msgspec.json.decode(body, type=TrapEvent)
    assert found.duplicate_of == first_copy
    return found


def test_a_trap_is_written_in_full() -> None:
    """Every field, by its name: the JSON is an interface."""
    payload = v2c()
    record = Record(NOON_NS, "192.0.2.7", 50_000, "192.0.2.1", payload)
    notification = decode_notification(payload)
    body, first_copy = writer().trap(5, record, notification, "allow_listed")

    assert first_copy is None
    assert json.loads(body) == {
        "seq": 5,
        "received_unix_ns": NOON_NS,
        "event_unix_ns": NOON_NS,
        "event_time_from": "received",
        "source": "192.0.2.7",
        "peer": "192.0.2.7",
        "peer_port": 50_000,
        "local": "192.0.2.1",
        "version": "v2c",
        "pdu": "trap",
        "trust": "allow_listed",
        "trap_oid": LINK_DOWN,
        "uptime_centis": 12_345,
        "varbinds": [{"oid": IF_INDEX, "type": "Integer32", "value": 7}],
        "digest": notification.digest,
        "request_id": 77,
    }


def test_a_v1_trap_has_no_request_id() -> None:
    """It is written with the OID that RFC 3584 gives it, and what its header said is among the varbinds."""
    payload = encode_v1(
        community=b"secret",
        enterprise="1.3.6.1.4.1.9",
        agent_addr="203.0.113.5",
        generic=6,
        specific=3,
        uptime_centis=1,
        varbinds=[],
    )
    found = trap(writer(), payload)

    assert (found.version, found.trap_oid, found.request_id) == ("v1", "1.3.6.1.4.1.9.0.3", None)
    assert [varbind.oid for varbind in found.varbinds] == [TRAP_ADDRESS, "1.3.6.1.6.3.1.1.4.3.0"]
    assert b"secret" not in msgspec.json.encode(found)


@pytest.mark.parametrize(("redact", "community"), [(True, None), (False, "secret")])
def test_the_community_is_left_out_unless_wanted(redact: bool, community: str | None) -> None:
    """In SNMPv1 and v2c it is a password."""
    assert trap(writer(redact_community=redact), v2c()).community == community


def test_a_community_that_is_no_text_is_written_with_its_octets() -> None:
    """Nothing is replaced: two communities never look the same."""
    assert trap(writer(redact_community=False), v2c(community=b"a\xffb")).community == "a\\xffb"


@pytest.mark.parametrize(("redact", "value"), [(True, "<redacted>"), (False, "hidden")])
def test_a_community_that_a_proxy_put_among_the_varbinds_is_redacted(redact: bool, value: str) -> None:
    """snmpTrapCommunity.0 (RFC 3584 section 3.1); the others stay as they are."""
    payload = v2c(varbinds=[(IF_INDEX, "Integer32", 7), (TRAP_COMMUNITY, "OctetString", b"hidden")])

    assert trap(writer(redact_community=redact), payload).varbinds == [
        Varbind(IF_INDEX, "Integer32", 7),
        Varbind(TRAP_COMMUNITY, "OctetString", value),
    ]


@pytest.mark.parametrize(("peer", "source"), [("198.51.100.7", "203.0.113.5"), ("192.0.2.7", "192.0.2.7")])
def test_only_a_trusted_relay_names_the_source(peer: str, source: str) -> None:
    """Anyone else could claim to be any device; who really sent it is always there."""
    found = trap(writer(), v2c(varbinds=[(TRAP_ADDRESS, "IpAddress", "203.0.113.5")]), peer=peer)

    assert (found.source, found.peer) == (source, peer)


def test_retransmitted_informs_are_recognised() -> None:
    """Same peer, same request, same content; a trap is never one, and neither is the same entry written again."""
    events = writer()
    inform = v2c(pdu="inform")
    found = [
        trap(events, inform, seq=5).duplicate_of,
        trap(events, inform, seq=8).duplicate_of,
        trap(events, inform, seq=9).duplicate_of,
        trap(events, inform, seq=5).duplicate_of,
        trap(events, inform, seq=10, peer="192.0.2.8").duplicate_of,
        trap(events, v2c(pdu="inform", request_id=78), seq=11).duplicate_of,
        trap(events, v2c(pdu="inform", uptime_centis=12_346), seq=12).duplicate_of,
        trap(events, v2c(), seq=13).duplicate_of,
        trap(events, v2c(), seq=14).duplicate_of,
    ]

    assert found == [None, 5, 5, None, None, None, None, None, None]


def test_informs_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(module, "_INFORMS_MAX", 3)
    events = writer()
    for seq in range(1, 5):
        trap(events, v2c(pdu="inform", request_id=seq), seq=seq)
    again = [
        trap(events, v2c(pdu="inform", request_id=request), seq=request + 10).duplicate_of for request in (2, 3, 4, 1)
    ]

    assert again == [2, 3, 4, None]
    assert len(events._informs) == 3


def test_a_reject_is_written_in_full() -> None:
    """Every field, by its name, and the datagram with its community masked."""
    payload = v2c()[:-3]
    record = Record(NOON_NS, "192.0.2.7", 50_000, "192.0.2.1", payload)

    assert json.loads(writer().reject(5, record, "truncated", 61)) == {
        "seq": 5,
        "received_unix_ns": NOON_NS,
        "peer": "192.0.2.7",
        "peer_port": 50_000,
        "local": "192.0.2.1",
        "reason": "truncated",
        "offset": 61,
        "raw": payload.replace(b"secret", b"******").hex(),
    }


def test_a_reject_is_whole_when_nothing_is_redacted() -> None:
    """Byte by byte what came."""
    record = Record(NOON_NS, "192.0.2.7", 50_000, "192.0.2.1", b"\x00\xff nonsense")
    body = writer(redact_community=False).reject(5, record, "tag_unexpected", 0)

    assert bytes.fromhex(msgspec.json.decode(body, type=RejectEvent).raw) == b"\x00\xff nonsense"


@settings(max_examples=100, deadline=None)
@given(
    numbers=st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    octets=st.binary(max_size=40),
    redact=st.booleans(),
)
def test_values_survive_the_json(numbers: tuple[int, int, int], octets: bytes, redact: bool) -> None:
    """Numbers up to Counter64 exactly, octets as text or hexadecimal: what was decoded is what is read back."""
    payload = v2c(
        varbinds=[
            ("1.3.1", "Integer32", numbers[0]),
            ("1.3.2", "Gauge32", numbers[1]),
            ("1.3.3", "Counter64", numbers[2]),
            ("1.3.4", "OctetString", octets),
        ]
    )

    assert trap(writer(redact_community=redact), payload).varbinds == decode_notification(payload).varbinds
