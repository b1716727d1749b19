"""A ScopedPDU to a protected SNMPv3 message.

Owns the shortest legal encoding of SNMPv3Message and UsmSecurityParameters, and the procedures for outgoing messages
of RFC 3414 section 3.1, 6.3.1 and 8.3.1. Pure. `netmon.snmp.v3` and `netmon.snmp.usm` read what this writes.
"""

from __future__ import annotations

from typing import Final

from netmon.snmp.ber import OCTET_STRING, SEQUENCE, encode_integer, tlv
from netmon.snmp.keys import LocalKeys
from netmon.snmp.v3 import AUTH, PRIV, USM

MSG_SIZE_MAX: Final = 65_507
"""msgMaxSize: what fits a UDP datagram."""
_VERSION: Final = b"\x02\x01\x03"


def scoped_pdu(context_engine_id: bytes, context: bytes, pdu: bytes) -> bytes:
    """Returns the ScopedPDU (RFC 3412 section 6.8) of a whole PDU."""
    return tlv(SEQUENCE, tlv(OCTET_STRING, context_engine_id) + tlv(OCTET_STRING, context) + pdu)


def seal(
    *,
    user: bytes,
    engine_id: bytes,
    keys: LocalKeys | None,
    msg_id: int,
    msg_flags: int,
    boots: int,
    time_s: int,
    scoped: bytes,
    salt: int,
) -> bytes:
    """Returns a message, authenticated and encrypted as `msg_flags` say.

    Args:
        user: msgUserName.
        engine_id: msgAuthoritativeEngineID.
        keys: Of the user at this engine; None is enough for a message without authentication.
        msg_id: 0 to 2^31 - 1.
        msg_flags: `AUTH`, `PRIV`, `REPORTABLE`, combined.
        boots: msgAuthoritativeEngineBoots.
        time_s: msgAuthoritativeEngineTime.
        scoped: A whole ScopedPDU.
        salt: 64 bits; a number that never comes twice with the same key, boots and time. DES takes the lower 32 bits.
    """
    salt_octets, data = b"", scoped
    if msg_flags & PRIV:
        assert keys is not None
        salt_octets, secret = keys.cipher.encrypt(boots, time_s, salt, scoped)
        data = tlv(OCTET_STRING, secret)
    mac = keys.mac if keys is not None and msg_flags & AUTH else None
    assert mac is not None or not msg_flags & AUTH
    after_digest = tlv(OCTET_STRING, salt_octets)
    parameters = tlv(
        SEQUENCE,
        tlv(OCTET_STRING, engine_id)
        + encode_integer(boots)
        + encode_integer(time_s)
        + tlv(OCTET_STRING, user)
        + tlv(OCTET_STRING, bytes(mac.octets) if mac else b"")
        + after_digest,
    )
    header = tlv(
        SEQUENCE,
        encode_integer(msg_id)
        + encode_integer(MSG_SIZE_MAX)
        + tlv(OCTET_STRING, bytes((msg_flags,)))
        + encode_integer(USM),
    )
    message = tlv(SEQUENCE, _VERSION + header + tlv(OCTET_STRING, parameters) + data)
    if mac is None:
        return message
    stop = len(message) - len(data) - len(after_digest)
    start = stop - mac.octets
    return message[:start] + mac.of(message, start, len(message)) + message[stop:]
