"""What a canary says: a notification that carries its number, and how it is recognised again. Pure.

snmpTrapOID.0              1.3.6.1.3.1162.0.1, under the experimental arc (RFC 2578 section 4)
1.3.6.1.3.1162.2.1.0       run, 16 hexadecimal digits: who sent it
1.3.6.1.3.1162.2.2.0       number within the run, Counter64
1.3.6.1.3.1162.2.3.0       when it was sent, nanoseconds since 1970 UTC, Counter64
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.errors import DecodeError
from netmon.snmp.ber import OCTET_STRING, SEQUENCE, expect, integer
from netmon.snmp.encode import TypedVarbind, encode_v2c

Kind = Literal["inform", "trap"]
KINDS: Final[tuple[Kind, ...]] = ("inform", "trap")

TRAP_OID: Final = "1.3.6.1.3.1162.0.1"
RUN_OID: Final = "1.3.6.1.3.1162.2.1.0"
NUMBER_OID: Final = "1.3.6.1.3.1162.2.2.0"
SENT_OID: Final = "1.3.6.1.3.1162.2.3.0"

MARK: Final = f'"trap_oid":"{TRAP_OID}"'.encode()
"""Stands in the JSON of a canary's entry, and in no other: inside of a JSON text its quotation marks are escaped."""

_RESPONSE: Final = 0xA2
_REQUEST_ID_MASK: Final = 0x7FFF_FFFF


class _Varbind(msgspec.Struct):
    oid: str
    value: int | str | None


class _Event(msgspec.Struct):
    """The part of a `TrapEvent` that matters here."""

    trap_oid: str
    pdu: Kind
    varbinds: list[_Varbind]


_decode = msgspec.json.Decoder(_Event).decode


def encode(kind: Kind, *, community: bytes, run: str, number: int, sent_unix_ns: int) -> bytes:
    """The datagram of a canary; its request-id is the number's low 31 bits."""
    return encode_v2c(
        community=community,
        pdu=kind,
        request_id=number & _REQUEST_ID_MASK,
        uptime_centis=sent_unix_ns // 10_000_000 & 0xFFFF_FFFF,
        trap_oid=TRAP_OID,
        varbinds=varbinds_of(run, number, sent_unix_ns),
    )


def varbinds_of(run: str, number: int, sent_unix_ns: int) -> list[TypedVarbind]:
    """What a canary says."""
    return [
        (RUN_OID, "OctetString", run),
        (NUMBER_OID, "Counter64", number),
        (SENT_OID, "Counter64", sent_unix_ns),
    ]


def number_in(body: bytes, run: str) -> tuple[Kind, int] | None:
    """Kind and number of the canary of this run that a stream entry holds; None when it holds something else.

    Args:
        body: The JSON of a `TrapEvent`.
        run: The run that is looked for: a canary of somebody else's is none.
    """
    if MARK not in body:
        return None
    try:
        event = _decode(body)
    except msgspec.DecodeError:
        return None
    values = {varbind.oid: varbind.value for varbind in event.varbinds}
    number = values.get(NUMBER_OID)
    if values.get(RUN_OID) != run or not isinstance(number, int):
        return None
    return event.pdu, number


def request_id_of_answer(datagram: bytes) -> int | None:
    """The request-id in a Response (RFC 3416 section 4.2.7) to an INFORM; None when it is something else."""
    try:
        start, stop = expect(datagram, 0, len(datagram), SEQUENCE)
        _, pos = integer(datagram, start, stop, [])
        _, pos = expect(datagram, pos, stop, OCTET_STRING)
        pdu_start, pdu_stop = expect(datagram, pos, stop, _RESPONSE)
        request_id, _ = integer(datagram, pdu_start, pdu_stop, [])
    except (DecodeError, IndexError):
        return None
    return request_id
