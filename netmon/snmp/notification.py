"""Notifications: datagram to value.

Owns the SNMPv1 Trap-PDU (RFC 1157 section 4.1.6) with its translation to SNMPv2 (RFC 3584 section 3.1), and the
SNMPv2-Trap-PDU and InformRequest-PDU (RFC 3416 sections 4.2.6 and 4.2.7). Pure. Runs once for each trap of a storm:
where a line looks less plain than it might be, it was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from netmon.errors import DecodeError
from netmon.model import Limits, Varbind
from netmon.snmp.ber import (
    CACHE_ENTRIES_MAX,
    CACHE_OCTETS_MAX,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    expect,
    integer,
    long_length,
    oid_text,
    overrun,
)
from netmon.snmp.message import INFORM_REQUEST, TRAP_V2, V1, V3, Frame, frame
from netmon.snmp.names import Names
from netmon.snmp.v3 import Opened
from netmon.snmp.value import READERS, dotted, unnamed

SYS_UPTIME: Final = "1.3.6.1.2.1.1.3.0"
SNMP_TRAP_OID: Final = "1.3.6.1.6.3.1.1.4.1.0"
SNMP_TRAP_ENTERPRISE: Final = "1.3.6.1.6.3.1.1.4.3.0"
SNMP_TRAP_ADDRESS: Final = "1.3.6.1.6.3.18.1.3.0"
SNMP_TRAP_COMMUNITY: Final = "1.3.6.1.6.3.18.1.4.0"
"""The value of this binding is a community: a secret, which whoever shows or stores a notification must redact."""

_UNSPECIFIED: Final = "0.0.0.0"  # noqa: S104 - what agents without an address send; nothing is bound
_GENERIC_TRAPS: Final = "1.3.6.1.6.3.1.1.5"
"""snmpTraps (RFC 3418): coldStart to egpNeighborLoss are its arcs 1 to 6, for generic-trap 0 to 5."""
_GENERIC_MAX: Final = 5
_ENTERPRISE_SPECIFIC: Final = 6
_IP_ADDRESS: Final = 0x40
_TIME_TICKS: Final = 0x43
_NO_ERROR: Final = b"\x02\x01\x00\x02\x01\x00"
"""error-status and error-index of every notification, as INTEGER 0."""
_NO_TRAP_OID: Final = "0.0"
_UINT32: Final = 0xFFFFFFFF
_NUMBERS: Final = ("TimeTicks", "Integer32", "Gauge32", "Counter32")
_NOTHING_CACHED: Final[dict[bytes, Varbind]] = {}
_UPTIME_START: Final = bytes.fromhex("30 10 06 08 2b 06 01 02 01 01 03 00 43 04")
"""sysUpTime.0 up to its value, four octets of TimeTicks."""
_UPTIME_MIN: Final = 1 << 23
_UPTIME_END: Final = 1 << 31
"""What needs four octets, no fewer and no more: 23 hours to 248 days."""
_REPEATING: Final = frozenset((0x02, 0x04, 0x05, 0x06, 0x40))
"""Tags of values that come again: indexes, states, names; not counters and times."""
_VARBIND_CACHE: Final[dict[bytes, Varbind]] = {}
"""Whole flawless bindings by their octets, without names; bounded like `netmon.snmp.ber.OID_CACHE`. Named ones are in
`Names.cache`."""
_DEFAULT_LIMITS: Final = Limits()


class Notification(msgspec.Struct, frozen=True, gc=False):
    """One trap or inform, whatever the version it was sent in."""

    version: Literal["v1", "v2c", "v3"]
    pdu: Literal["trap", "inform"]
    community: bytes
    """Empty for SNMPv3."""
    request_id: int | None
    """None for SNMPv1."""
    uptime_centis: int | None
    """sysUpTime.0 or time-stamp, hundredths of a second; None when the sender left it out."""
    trap_oid: str
    """snmpTrapOID.0; 0.0 when the sender left it out."""
    varbinds: list[Varbind]
    """In the sender's order, without sysUpTime.0 and snmpTrapOID.0; for SNMPv1 with snmpTrapAddress.0 and
    snmpTrapEnterprise.0 at the end, unless the sender has them (RFC 3584 section 3.1 (4))."""
    trap_address: str | None
    """What the sender says is the device's address: agent-addr or snmpTrapAddress.0; None for 0.0.0.0."""
    digest: str
    """16 hexadecimal digits: BLAKE2b of the variable bindings (v2c) or of the Trap-PDU's contents (v1)."""
    flags: tuple[str, ...]
    """What was forgiven, each word of `netmon.snmp.FLAGS` at most once, in the order of discovery."""
    name: str | None = None
    """Of the notification, such as `linkDown`; None when no MIB of the catalogue knows it."""
    user: str | None = None
    """SNMPv3: the USM user."""
    security_level: Literal["noAuthNoPriv", "authNoPriv", "authPriv"] | None = None
    """SNMPv3: what the message was protected with (RFC 3411 section 3.4.3)."""
    engine_id: str | None = None
    """SNMPv3: the engine whose key protects a trap, in hexadecimal; None for an INFORM: that is our own engine's key."""
    context: str | None = None
    """SNMPv3: contextName, None for the default context."""
    context_engine_id: str | None = None
    """SNMPv3: contextEngineID in hexadecimal, where it is not `engine_id`: a claim, which no key proves."""


def decode_notification(datagram: bytes, limits: Limits = _DEFAULT_LIMITS, names: Names | None = None) -> Notification:
    """Decodes one SNMPv1 or SNMPv2c notification, forgiving what has one sensible reading.

    Args:
        datagram: Payload of one UDP datagram, any bytes.
        limits: Beyond them the datagram is rejected.
        names: Fill in what they know: `name`, and of each binding `name`, `label`, `text` and `unit`.

    Raises:
        DecodeError: With a reason of `netmon.snmp.REASONS`. Nothing else is raised, whatever the bytes.
    """
    if len(datagram) > limits.datagram_bytes_max:
        raise DecodeError("datagram_too_big", limits.datagram_bytes_max)
    flags: list[str] = []
    try:
        opened = frame(datagram, flags)
        if opened[0] == V1:
            return _trap_v1(datagram, opened, limits, flags, names)
        return _notification_v2c(datagram, opened, limits, flags, names)
    except IndexError:
        raise DecodeError("truncated", len(datagram)) from None


def decode_notification_v3(
    opened: Opened, limits: Limits = _DEFAULT_LIMITS, names: Names | None = None
) -> Notification:
    """Decodes the notification in an SNMPv3 message that `netmon.snmp.usm.Usm.open` has opened.

    Args:
        opened: The message.
        limits: As for `decode_notification`.
        names: As for `decode_notification`.

    Raises:
        DecodeError: With a reason of `netmon.snmp.REASONS`. Nothing else is raised, whatever the bytes.
    """
    tag = opened.pdu_tag
    if tag not in (TRAP_V2, INFORM_REQUEST):
        raise DecodeError("pdu_not_notification", opened.pdu_pos)
    body = (V3, b"", tag, opened.pdu_pos, opened.pdu_start, opened.pdu_stop)
    try:
        notification = _notification_v2c(opened.scoped, body, limits, list(opened.flags), names)
    except IndexError:
        raise DecodeError("truncated", opened.pdu_stop) from None
    # Whoever has the key of one engine may write any contextEngineID: only the key's engine is who it is.
    engine_id = opened.engine_id if tag == TRAP_V2 else None
    claimed = opened.context_engine_id or None
    return msgspec.structs.replace(
        notification,
        version="v3",
        user=opened.user,
        security_level=opened.security_level,
        engine_id=engine_id,
        context=opened.context or None,
        context_engine_id=claimed if claimed != engine_id else None,
    )


def _notification_v2c(
    data: bytes, opened: Frame, limits: Limits, flags: list[str], names: Names | None
) -> Notification:
    _, community, pdu, _, start, end = opened
    request_id, pos = integer(data, start, end, flags)
    list_pos = pos + len(_NO_ERROR)
    if data[pos:list_pos] != _NO_ERROR:
        _, pos = integer(data, pos, end, flags)
        _, list_pos = integer(data, pos, end, flags)
    list_start, list_stop = expect(data, list_pos, end, SEQUENCE)
    if list_stop != end:
        flags.append("trailing_bytes")
    varbinds = _varbinds(data, list_start, list_stop, limits, flags, names)
    uptime_centis, trap_oid = _take_heads(varbinds, flags)
    return Notification(
        "v2c",
        "inform" if pdu == INFORM_REQUEST else "trap",
        community,
        request_id,
        uptime_centis,
        trap_oid,
        varbinds,
        _trap_address(varbinds),
        blake2b(data[list_pos:list_stop], digest_size=8).hexdigest(),
        tuple(dict.fromkeys(flags)) if flags else (),
        None if names is None else names.notification(trap_oid),
    )


def _trap_v1(data: bytes, opened: Frame, limits: Limits, flags: list[str], names: Names | None) -> Notification:
    _, community, _, _, start, end = opened
    enterprise_start, pos = expect(data, start, end, OBJECT_IDENTIFIER)
    enterprise = oid_text(data[enterprise_start:pos], enterprise_start, limits.oid_arcs_max, flags)
    address_start, pos = expect(data, pos, end, _IP_ADDRESS)
    agent_addr = _agent_addr(data[address_start:pos], flags)
    generic, pos = integer(data, pos, end, flags)
    specific, pos = integer(data, pos, end, flags)
    uptime_centis, pos = _time_stamp(data, pos, end, flags)
    list_start, list_stop = expect(data, pos, end, SEQUENCE)
    if list_stop != end:
        flags.append("trailing_bytes")
    varbinds = _varbinds(data, list_start, list_stop, limits, flags, names)
    present = {varbind.oid for varbind in varbinds}
    added: list[Varbind] = []
    if SNMP_TRAP_ADDRESS not in present:
        added.append(Varbind(SNMP_TRAP_ADDRESS, "IpAddress", agent_addr))
    if SNMP_TRAP_ENTERPRISE not in present:
        added.append(Varbind(SNMP_TRAP_ENTERPRISE, "ObjectIdentifier", enterprise))
    varbinds.extend(added if names is None else map(names.varbind, added))
    trap_oid = _translated_trap_oid(enterprise, generic, specific, flags)
    return Notification(
        "v1",
        "trap",
        community,
        None,
        uptime_centis,
        trap_oid,
        varbinds,
        agent_addr if agent_addr != _UNSPECIFIED else _trap_address(varbinds),
        blake2b(data[start:end], digest_size=8).hexdigest(),
        tuple(dict.fromkeys(flags)) if flags else (),
        None if names is None else names.notification(trap_oid),
    )


def _agent_addr(contents: bytes, flags: list[str]) -> str:
    if len(contents) == 4:
        return dotted(contents)
    flags.append("agent_addr_malformed")
    return _UNSPECIFIED


def _time_stamp(data: bytes, pos: int, end: int, flags: list[str]) -> tuple[int | None, int]:
    """Reads time-stamp, also when sent as INTEGER, Gauge or Counter; returns it and where it stops."""
    tag = data[pos]
    reader = READERS.get(tag)
    if reader is None:
        raise DecodeError("tag_unexpected", pos)
    start, stop = expect(data, pos, end, tag)
    stamp = reader(SYS_UPTIME, data[start:stop], flags)
    if not _is_uptime(stamp):
        raise DecodeError("tag_unexpected" if tag != _TIME_TICKS else "integer_too_long", pos)
    return _uptime(stamp, flags), stop


def _translated_trap_oid(enterprise: str, generic: int, specific: int, flags: list[str]) -> str:
    """Returns snmpTrapOID.0 for an SNMPv1 trap (RFC 3584 section 3.1 (2) and (3))."""
    if 0 <= generic <= _GENERIC_MAX:
        return f"{_GENERIC_TRAPS}.{generic + 1}"
    if generic != _ENTERPRISE_SPECIFIC:
        flags.append("generic_trap_unknown")
    if not 0 <= specific <= _UINT32:
        flags.append("specific_trap_wrapped")
        specific &= _UINT32
    return f"{enterprise}.0.{specific}"


def _varbinds(data: bytes, pos: int, end: int, limits: Limits, flags: list[str], names: Names | None) -> list[Varbind]:
    """Reads the contents of a VarBindList, and names what it knows.

    Most bindings of a storm were seen before, octet for octet. A binding that is in the cache was read without flaw
    once: only its length octet is looked at, to cut it out.
    """
    varbinds: list[Varbind] = []
    append = varbinds.append
    cache = _VARBIND_CACHE if names is None else names.cache
    cached = cache.get
    if limits.oid_arcs_max < CACHE_OCTETS_MAX:
        # What is cached has at most one arc more than octets; under a tighter limit every binding is read and checked.
        cached = _NOTHING_CACHED.get
    elif data.startswith(_UPTIME_START, pos) and pos + 18 <= end:
        # Nearly every list starts so, and never twice with the same value: worth a tenth of the time of a trap.
        uptime_centis = int.from_bytes(data[pos + 14 : pos + 18], "big")
        if _UPTIME_MIN <= uptime_centis < _UPTIME_END:
            append(Varbind(SYS_UPTIME, "TimeTicks", uptime_centis))
            pos += 18
    while pos < end:
        stop = pos + 2 + data[pos + 1]
        varbind = cached(data[pos:stop])
        if varbind is None or stop > end:
            if len(varbinds) >= limits.varbinds_max:
                break
            varbind, stop = _varbind(data, pos, end, limits, flags, names, cache)
        append(varbind)
        pos = stop
    if len(varbinds) > limits.varbinds_max or pos < end:
        raise DecodeError("too_many_varbinds", pos)
    return varbinds


def _varbind(
    data: bytes,
    pos: int,
    end: int,
    limits: Limits,
    flags: list[str],
    names: Names | None,
    cache: dict[bytes, Varbind],
) -> tuple[Varbind, int]:
    """Reads one variable binding; returns it and where it stops.

    It is `expect(SEQUENCE)`, `expect(OBJECT IDENTIFIER)`, `expect(any)`, written out: calls cost half as much again.
    """
    if data[pos] != SEQUENCE:
        raise DecodeError("tag_unexpected", pos)
    length = data[pos + 1]
    name_pos = pos + 2
    if length > 127:
        length, name_pos = long_length(data, name_pos, length)
    stop = name_pos + length
    if stop > end:
        raise overrun(pos)

    if data[name_pos] != OBJECT_IDENTIFIER:
        raise DecodeError("tag_unexpected", name_pos)
    length = data[name_pos + 1]
    start = name_pos + 2
    if length > 127:
        length, start = long_length(data, start, length)
    value_pos = start + length
    if value_pos > stop:
        raise overrun(name_pos)
    oid = oid_text(data[start:value_pos], start, limits.oid_arcs_max, flags)

    tag = data[value_pos]
    reader = READERS.get(tag)
    if reader is None:
        varbind, value_stop = unnamed(data, value_pos, stop, oid, limits, flags)
    else:
        length = data[value_pos + 1]
        start = value_pos + 2
        if length > 127:
            length, start = long_length(data, start, length)
        value_stop = start + length
        if value_stop > stop:
            raise overrun(value_pos)
        varbind = reader(oid, data[start:value_stop], flags)
    if names is not None:
        varbind = names.varbind(varbind)
    if value_stop != stop:
        flags.append("trailing_bytes")
    elif tag in _REPEATING and not flags and stop - pos <= CACHE_OCTETS_MAX:
        if len(cache) >= CACHE_ENTRIES_MAX:
            cache.clear()
        cache[data[pos:stop]] = varbind
    return varbind, stop


def _take_heads(varbinds: list[Varbind], flags: list[str]) -> tuple[int | None, str]:
    """Removes sysUpTime.0 and snmpTrapOID.0 from the bindings and returns their values, wherever they are."""
    if len(varbinds) > 1:
        first, second = varbinds[0], varbinds[1]
        if first.oid == SYS_UPTIME and second.oid == SNMP_TRAP_OID and first.type == "TimeTicks":
            uptime, trap_oid = first.value, second.value
            if isinstance(uptime, int) and _is_trap_oid(second):
                del varbinds[:2]
                return uptime, str(trap_oid)
    return _find_heads(varbinds, flags)


def _find_heads(varbinds: list[Varbind], flags: list[str]) -> tuple[int | None, str]:
    """Does the work of `_take_heads` for senders that leave one out, misplace or misspell it."""
    uptime_at = _index(varbinds, SYS_UPTIME, _is_uptime)
    trap_oid_at = _index(varbinds, SNMP_TRAP_OID, _is_trap_oid)
    uptime_centis, trap_oid = None, _NO_TRAP_OID
    if uptime_at is None:
        flags.append("uptime_missing")
    else:
        uptime_centis = _uptime(varbinds[uptime_at], flags)
        if varbinds[uptime_at].oid != SYS_UPTIME:
            flags.append("uptime_without_instance")
    if trap_oid_at is None:
        flags.append("trap_oid_missing")
    else:
        trap_oid = str(varbinds[trap_oid_at].value)
        if varbinds[trap_oid_at].oid != SNMP_TRAP_OID:
            flags.append("trap_oid_without_instance")
    found = [at for at in (uptime_at, trap_oid_at) if at is not None]
    if found != list(range(len(found))):
        flags.append("heads_misplaced")
    for at in sorted(found, reverse=True):
        del varbinds[at]
    return uptime_centis, trap_oid


def _index(varbinds: list[Varbind], oid: str, fit: Callable[[Varbind], bool]) -> int | None:
    """Returns where the first fitting binding of a scalar object is, also when the sender forgot its `.0`."""
    names = (oid, oid.removesuffix(".0"))
    return next((at for at, varbind in enumerate(varbinds) if varbind.oid in names and fit(varbind)), None)


def _is_uptime(varbind: Varbind) -> bool:
    return varbind.type in _NUMBERS and isinstance(varbind.value, int)


def _is_trap_oid(varbind: Varbind) -> bool:
    return varbind.type == "ObjectIdentifier" and varbind.encoding is None


def _uptime(varbind: Varbind, flags: list[str]) -> int:
    """Returns the hundredths of a second of a binding that `_is_uptime`; a negative INTEGER is a wrapped TimeTicks."""
    assert isinstance(varbind.value, int)
    if varbind.type != "TimeTicks":
        flags.append("uptime_type")
    return varbind.value if varbind.value >= 0 else varbind.value & _UINT32


def _trap_address(varbinds: list[Varbind]) -> str | None:
    for varbind in varbinds:
        if varbind.oid == SNMP_TRAP_ADDRESS and varbind.type == "IpAddress" and varbind.encoding is None:
            return str(varbind.value) if varbind.value != _UNSPECIFIED else None
    return None
