"""Values to SNMP notifications: what the tests and the load generator send.

Owns the shortest legal encoding of SNMPv1 traps (RFC 1157 section 4.1.6) and of SNMPv2c traps and informs (RFC 3416
sections 4.2.6 and 4.2.7). Pure. Arguments out of range raise `ValueError`, `KeyError` or `OverflowError`: they are the
caller's mistake, no datagram's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, Literal

Value = int | str | bytes | None
TypedVarbind = tuple[str, str, Value]
"""OID, type name as in `model.Varbind`, value."""

_TAGS: Final[dict[str, int]] = {
    "Integer32": 0x02,
    "OctetString": 0x04,
    "Null": 0x05,
    "ObjectIdentifier": 0x06,
    "IpAddress": 0x40,
    "Counter32": 0x41,
    "Gauge32": 0x42,
    "TimeTicks": 0x43,
    "Opaque": 0x44,
    "Counter64": 0x46,
    "noSuchObject": 0x80,
    "noSuchInstance": 0x81,
    "endOfMibView": 0x82,
}
_PDU_TAGS: Final[dict[str, int]] = {"trap": 0xA7, "inform": 0xA6}


def encode_v2c(
    *,
    community: bytes,
    pdu: Literal["trap", "inform"],
    request_id: int,
    uptime_centis: int,
    trap_oid: str,
    varbinds: Sequence[TypedVarbind],
) -> bytes:
    """Returns a whole SNMPv2c message; sysUpTime.0 and snmpTrapOID.0 are put before `varbinds`.

    Args:
        community: Any octets.
        pdu: `trap` (SNMPv2-Trap-PDU) or `inform` (InformRequest-PDU).
        request_id: -2^31 to 2^31 - 1.
        uptime_centis: Hundredths of a second, 0 to 2^32 - 1.
        trap_oid: Dotted, at least two arcs.
        varbinds: (OID, type name, value); octets as `bytes`, or `str` for UTF-8 text; OIDs and addresses dotted;
            type `tag-0xNN` with `bytes` makes a value of any other tag.
    """
    heads: tuple[TypedVarbind, ...] = (
        ("1.3.6.1.2.1.1.3.0", "TimeTicks", uptime_centis),
        ("1.3.6.1.6.3.1.1.4.1.0", "ObjectIdentifier", trap_oid),
    )
    body = _integer(request_id) + b"\x02\x01\x00\x02\x01\x00" + _varbind_list((*heads, *varbinds))
    return tlv(0x30, b"\x02\x01\x01" + tlv(0x04, community) + tlv(_PDU_TAGS[pdu], body))


def encode_v1(
    *,
    community: bytes,
    enterprise: str,
    agent_addr: str,
    generic: int,
    specific: int,
    uptime_centis: int,
    varbinds: Sequence[TypedVarbind],
) -> bytes:
    """Returns a whole SNMPv1 Trap message; arguments as in `encode_v2c`, `agent_addr` dotted IPv4."""
    body = (
        tlv(0x06, oid_contents(enterprise))
        + tlv(0x40, ipaddress.IPv4Address(agent_addr).packed)
        + _integer(generic)
        + _integer(specific)
        + tlv(0x43, _integer_contents(uptime_centis))
        + _varbind_list(varbinds)
    )
    return tlv(0x30, b"\x02\x01\x00" + tlv(0x04, community) + tlv(0xA4, body))


def tlv(tag: int, contents: bytes) -> bytes:
    """Returns tag, shortest definite length (X.690 section 10.1) and contents."""
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def oid_contents(oid: str) -> bytes:
    """Returns the contents octets of a dotted OID of at least two arcs (X.690 section 8.19)."""
    first, second, *rest = (int(arc) for arc in oid.split("."))
    if first > 2 or second < 0 or (first < 2 and second > 39):
        raise ValueError(f"not an OID: {oid}")
    return b"".join(_arc(arc) for arc in (first * 40 + second, *rest))


def _arc(arc: int) -> bytes:
    if arc < 0x80:
        return arc.to_bytes(1, "big")
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(0x80 | (arc & 0x7F))
    return bytes(reversed(groups))


def _integer(value: int) -> bytes:
    return tlv(0x02, _integer_contents(value))


def _integer_contents(value: int) -> bytes:
    """Returns two's complement in the fewest octets; an unsigned value with its high bit set gets a leading zero."""
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def _varbind_list(varbinds: Sequence[TypedVarbind]) -> bytes:
    return tlv(0x30, b"".join(tlv(0x30, tlv(0x06, oid_contents(oid)) + _value(kind, v)) for oid, kind, v in varbinds))


def _value(kind: str, value: Value) -> bytes:
    tag = int(kind.removeprefix("tag-"), 16) if kind.startswith("tag-") else _TAGS[kind]
    if value is None:
        return tlv(tag, b"")
    if isinstance(value, int):
        return tlv(tag, _integer_contents(value))
    if isinstance(value, bytes):
        return tlv(tag, value)
    if kind == "ObjectIdentifier":
        return tlv(tag, oid_contents(value))
    if kind == "IpAddress":
        return tlv(tag, ipaddress.IPv4Address(value).packed)
    return tlv(tag, value.encode())
