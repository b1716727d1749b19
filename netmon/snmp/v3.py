"""The SNMPv3 message around a PDU: where its parts lie, before anybody knows whether they are true.

Owns SNMPv3Message, HeaderData and ScopedPDU (RFC 3412 section 6) and UsmSecurityParameters (RFC 3414 section 2.4).
Pure. Nothing is verified or decrypted here: that is `netmon.snmp.usm`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.errors import DecodeError
from netmon.snmp.ber import OCTET_STRING, SEQUENCE, expect, integer, overrun
from netmon.snmp.message import V3

SecurityLevel = Literal["noAuthNoPriv", "authNoPriv", "authPriv"]

AUTH: Final = 0x01
PRIV: Final = 0x02
REPORTABLE: Final = 0x04
"""Bits of msgFlags; the other five are ignored (RFC 3412 section 6.4)."""
USM: Final = 3
"""The User-based Security Model (RFC 3411 section 5, SnmpSecurityModel)."""
INT31_MAX: Final = 2**31 - 1
"""Greatest of every number in the header."""
ENGINE_ID_OCTETS_MAX: Final = 32
"""RFC 3411 section 5. It wants five octets or more; engines with fewer exist, and nothing but their name is odd."""
NAME_OCTETS_MAX: Final = 32
"""Of a user (RFC 3414 section 2.4) and of a context (RFC 3411 section 5)."""
PARAMETERS_OCTETS_MAX: Final = 64
"""Of a digest or salt; the longest that there is has 48."""
PDUS: Final = range(0xA0, 0xA9)
"""GetRequest to Report (RFC 3416 section 3)."""
CONFIRMED: Final = frozenset((0xA0, 0xA1, 0xA3, 0xA5, 0xA6))
"""PDUs that are answered (RFC 3411 section 2.8): Get, GetNext, Set, GetBulk, Inform."""
_VERSION: Final = b"\x02\x01\x03"


class Message(msgspec.Struct, frozen=True, gc=False):
    """What stands before the data. Positions are octets from the start of the datagram."""

    msg_id: int
    msg_flags: int
    engine_id: bytes
    """msgAuthoritativeEngineID, at most `ENGINE_ID_OCTETS_MAX`; empty in a question for ours."""
    boots: int
    time_s: int
    user: bytes
    """msgUserName, at most `NAME_OCTETS_MAX`."""
    mac_start: int
    """Where the contents of msgAuthenticationParameters start."""
    mac_stop: int
    salt: bytes
    """msgPrivacyParameters, at most `PARAMETERS_OCTETS_MAX`."""
    data_start: int
    """Where the ScopedPDU stands, tag and all; or, with `PRIV`, where its encrypted octets start."""
    data_stop: int
    stop: int
    """Where the message stops. What is behind is no part of it, and not authenticated."""
    forgiven: tuple[str, ...]
    """Words of `netmon.snmp.FLAGS`."""


class ScopedPdu(msgspec.Struct, frozen=True, gc=False):
    """A PDU with its context. Positions are octets from the start of what it was read from."""

    context_engine_id: bytes
    context: bytes
    context_start: int
    """Where contextEngineID and contextName stand, one behind the other."""
    pdu_pos: int
    """Where they stop and the PDU stands, tag and all."""
    pdu_tag: int
    pdu_start: int
    """Where the PDU's contents start."""
    pdu_stop: int
    stop: int
    """Where the ScopedPDU stops."""


class Opened(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message that is what it claims to be, as far as its security level can tell."""

    user: str
    security_level: SecurityLevel
    engine_id: str
    """msgAuthoritativeEngineID in hexadecimal: the sender of a TRAP; our own for an INFORM."""
    context_engine_id: str
    """In hexadecimal, empty when the sender left it out."""
    context: str
    """contextName; empty is the default context. Octets that are no UTF-8 are written as `\\xNN`."""
    boots: int
    time_s: int
    msg_id: int
    reportable: bool
    received_unix_ns: int
    pdu_tag: int
    """0xA0 to 0xA8: not always a notification."""
    scoped: bytes
    """What holds the ScopedPDU in clear: the datagram, or what was decrypted. Positions are octets from its start."""
    context_start: int
    """Where contextEngineID and contextName stand, one behind the other."""
    pdu_pos: int
    """Where they stop and the PDU stands, tag and all."""
    pdu_start: int
    """Where the PDU's contents start."""
    pdu_stop: int
    flags: tuple[str, ...]
    """Words of `netmon.snmp.FLAGS`: what the header was forgiven, and `engine_boots_reset`."""


def is_v3(datagram: bytes) -> bool:
    """Whether the datagram looks like an SNMPv3 message; nothing behind its version is looked at."""
    if len(datagram) < 2:
        return False
    length = datagram[1]
    return datagram.startswith(_VERSION, 2 if length < 128 else 2 + (length & 0x7F))


def read_message(data: bytes) -> Message:
    """Reads a message up to its data.

    Raises:
        DecodeError: `version_unknown`, `v3_security_model_unknown`; `v3_header_invalid`: a number, name or engine ID
            out of the bounds above, msgFlags that are not one octet, privacy without authentication (RFC 3412 section 7.2
            step 5), or anything behind the last part of a header; and those of `netmon.snmp.ber.integer`.
        IndexError: The datagram is truncated.
    """
    forgiven: list[str] = []
    start, stop = expect(data, 0, len(data), SEQUENCE)
    pos = start + 3
    if data[start:pos] != _VERSION:
        version, pos = integer(data, start, stop, forgiven)
        if version != V3:
            raise DecodeError("version_unknown", start)
    msg_id, msg_flags, pos = _header(data, pos, stop, forgiven)
    octets_start, octets_stop = expect(data, pos, stop, OCTET_STRING)
    pos, end = expect(data, octets_start, octets_stop, SEQUENCE)
    engine_id, pos = _octets(data, pos, end, ENGINE_ID_OCTETS_MAX)
    boots, pos = _number(data, pos, end, forgiven)
    time_s, pos = _number(data, pos, end, forgiven)
    user, pos = _octets(data, pos, end, NAME_OCTETS_MAX)
    mac, mac_stop = _octets(data, pos, end, PARAMETERS_OCTETS_MAX)
    salt, pos = _octets(data, mac_stop, end, PARAMETERS_OCTETS_MAX)
    if pos != octets_stop:
        raise DecodeError("v3_header_invalid", pos)
    data_start, data_stop = expect(data, octets_stop, stop, OCTET_STRING if msg_flags & PRIV else SEQUENCE)
    if data_stop != len(data):
        forgiven.append("trailing_bytes")
    return Message(
        msg_id,
        msg_flags,
        engine_id,
        boots,
        time_s,
        user,
        mac_stop - len(mac),
        mac_stop,
        salt,
        data_start if msg_flags & PRIV else octets_stop,
        data_stop,
        stop,
        tuple(dict.fromkeys(forgiven)) if forgiven else (),
    )


def _header(data: bytes, pos: int, end: int, forgiven: list[str]) -> tuple[int, int, int]:
    """Reads HeaderData; returns msgID, msgFlags and where it stops. What we send is never near any msgMaxSize."""
    pos, end = expect(data, pos, end, SEQUENCE)
    msg_id, pos = _number(data, pos, end, forgiven)
    _, pos = _number(data, pos, end, forgiven)
    flags_pos = pos
    flags, pos = _octets(data, pos, end, 1)
    if not flags or flags[0] & (AUTH | PRIV) == PRIV:
        raise DecodeError("v3_header_invalid", flags_pos)
    model_pos = pos
    model, pos = _number(data, pos, end, forgiven)
    if model != USM:
        raise DecodeError("v3_security_model_unknown", model_pos)
    if pos != end:
        raise DecodeError("v3_header_invalid", pos)
    return msg_id, flags[0], end


def _number(data: bytes, pos: int, end: int, forgiven: list[str]) -> tuple[int, int]:
    value, stop = integer(data, pos, end, forgiven)
    if not 0 <= value <= INT31_MAX:
        raise DecodeError("v3_header_invalid", pos)
    return value, stop


def _octets(data: bytes, pos: int, end: int, octets_max: int) -> tuple[bytes, int]:
    start, stop = expect(data, pos, end, OCTET_STRING)
    if stop - start > octets_max:
        raise DecodeError("v3_header_invalid", pos)
    return data[start:stop], stop


def read_scoped_pdu(data: bytes, pos: int, end: int) -> ScopedPdu:
    """Reads a ScopedPDU up to the contents of its PDU.

    Raises:
        DecodeError: `v3_header_invalid`: a context beyond the bounds above; `tag_unexpected`: no PDU; and those of
            `netmon.snmp.ber.expect`.
        IndexError: The data end within it.
    """
    context_start, stop = expect(data, pos, end, SEQUENCE)
    context_engine_id, pos = _octets(data, context_start, stop, ENGINE_ID_OCTETS_MAX)
    context, pos = _octets(data, pos, stop, NAME_OCTETS_MAX)
    if pos >= stop:
        raise overrun(pos)
    tag = data[pos]
    if tag not in PDUS:
        raise DecodeError("tag_unexpected", pos)
    pdu_start, pdu_stop = expect(data, pos, stop, tag)
    return ScopedPdu(context_engine_id, context, context_start, pos, tag, pdu_start, pdu_stop, stop)
