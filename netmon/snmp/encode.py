"""Values to SNMP notifications: what the tests and the load generator send.

Owns the shortest legal encoding of SNMPv1 traps (RFC 1157 section 4.1.6), of SNMPv2c and SNMPv3 traps and informs
(RFC 3416 sections 4.2.6 and 4.2.7), and of SNMPv3 discovery (RFC 3414 section 4). Pure. Arguments out of range raise
`ValueError`, `KeyError` or `OverflowError`: they are the caller's mistake, no datagram's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, Literal

from netmon.snmp.ber import encode_integer, integer_contents, tlv
from netmon.snmp.keys import LocalKeys
from netmon.snmp.seal import scoped_pdu, seal
from netmon.snmp.v3 import REPORTABLE

__all__ = ["TypedVarbind", "Value", "encode_discovery", "encode_v1", "encode_v2c", "encode_v3", "oid_contents", "tlv"]

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
_GET_REQUEST: Final = 0xA0
_NO_ERROR: Final = b"\x02\x01\x00\x02\x01\x00"
"""error-status and error-index, as INTEGER 0."""


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
    return tlv(0x30, b"\x02\x01\x01" + tlv(0x04, community) + _pdu(pdu, request_id, uptime_centis, trap_oid, varbinds))


def encode_v3(
    *,
    keys: LocalKeys,
    boots: int,
    time_s: int,
    salt: int,
    msg_id: int,
    pdu: Literal["trap", "inform"],
    request_id: int,
    uptime_centis: int,
    trap_oid: str,
    varbinds: Sequence[TypedVarbind],
    context: bytes = b"",
    context_engine_id: bytes | None = None,
) -> bytes:
    """Returns a whole SNMPv3 message, with the security level of its user.

    Args:
        keys: `LocalKeys(UserKeys(user), engine_id)`: the user at the engine that is authoritative: the sender's for a
            trap, the receiver's for an inform. Worth keeping: made new, it costs milliseconds.
        boots: snmpEngineBoots of that engine, 0 to 2^31 - 1.
        time_s: snmpEngineTime of that engine, 0 to 2^31 - 1.
        salt: 64 bits, another one in each message.
        msg_id: 0 to 2^31 - 1.
        pdu: `trap` or `inform`.
        request_id: As in `encode_v2c`, and so are the following.
        uptime_centis: Hundredths of a second.
        trap_oid: Dotted.
        varbinds: (OID, type name, value).
        context: contextName, at most 32 octets.
        context_engine_id: None for the authoritative engine's.
    """
    if context_engine_id is None:
        context_engine_id = keys.engine_id
    return seal(
        user=keys.user.name.encode(),
        engine_id=keys.engine_id,
        keys=keys,
        msg_id=msg_id,
        msg_flags=keys.level | (REPORTABLE if pdu == "inform" else 0),
        boots=boots,
        time_s=time_s,
        scoped=scoped_pdu(context_engine_id, context, _pdu(pdu, request_id, uptime_centis, trap_oid, varbinds)),
        salt=salt,
    )


def encode_discovery(*, msg_id: int, request_id: int) -> bytes:
    """Returns the question for a receiver's engine ID, boots and time, to which a Report is the answer."""
    get = tlv(_GET_REQUEST, encode_integer(request_id) + _NO_ERROR + _varbind_list(()))
    return seal(
        user=b"",
        engine_id=b"",
        keys=None,
        msg_id=msg_id,
        msg_flags=REPORTABLE,
        boots=0,
        time_s=0,
        scoped=scoped_pdu(b"", b"", get),
        salt=0,
    )


def _pdu(
    pdu: Literal["trap", "inform"],
    request_id: int,
    uptime_centis: int,
    trap_oid: str,
    varbinds: Sequence[TypedVarbind],
) -> bytes:
    heads: tuple[TypedVarbind, ...] = (
        ("1.3.6.1.2.1.1.3.0", "TimeTicks", uptime_centis),
        ("1.3.6.1.6.3.1.1.4.1.0", "ObjectIdentifier", trap_oid),
    )
    return tlv(_PDU_TAGS[pdu], encode_integer(request_id) + _NO_ERROR + _varbind_list((*heads, *varbinds)))


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
        + encode_integer(generic)
        + encode_integer(specific)
        + tlv(0x43, integer_contents(uptime_centis))
        + _varbind_list(varbinds)
    )
    return tlv(0x30, b"\x02\x01\x00" + tlv(0x04, community) + tlv(0xA4, body))


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


def _varbind_list(varbinds: Sequence[TypedVarbind]) -> bytes:
    return tlv(0x30, b"".join(tlv(0x30, tlv(0x06, oid_contents(oid)) + _value(kind, v)) for oid, kind, v in varbinds))


def _value(kind: str, value: Value) -> bytes:
    tag = int(kind.removeprefix("tag-"), 16) if kind.startswith("tag-") else _TAGS[kind]
    if value is None:
        return tlv(tag, b"")
    if isinstance(value, int):
        return tlv(tag, integer_contents(value))
    if isinstance(value, bytes):
        return tlv(tag, value)
    if kind == "ObjectIdentifier":
        return tlv(tag, oid_contents(value))
    if kind == "IpAddress":
        return tlv(tag, ipaddress.IPv4Address(value).packed)
    return tlv(tag, value.encode())
