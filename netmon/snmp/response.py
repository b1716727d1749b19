"""The answer to an InformRequest.

Owns the Response-PDU (RFC 3416 section 4.2.7). Pure.
"""

from __future__ import annotations

from typing import Final

from netmon.errors import DecodeError
from netmon.model import Limits
from netmon.snmp.ber import OCTET_STRING, SEQUENCE, expect, integer, tlv
from netmon.snmp.message import INFORM_REQUEST, frame
from netmon.snmp.notification import decode_notification

_RESPONSE: Final = 0xA2
_NO_ERROR: Final = b"\x02\x01\x00\x02\x01\x00"
_V2C: Final = b"\x02\x01\x01"


def encode_response(datagram: bytes, limits: Limits) -> bytes:
    """Returns the Response to an InformRequest: its request-id, community and bindings, octet for octet; no error.

    Raises:
        DecodeError: The datagram is no notification, or (`pdu_not_notification`) not one that is answered.
    """
    decode_notification(datagram, limits)
    return response_message(datagram)


def response_message(datagram: bytes) -> bytes:
    """The same for a datagram that `decode_notification` has read: it is not read in full once more.

    Raises:
        DecodeError: `pdu_not_notification`: it is not one that is answered.
    """
    _, community, tag, pos, start, end = frame(datagram, [])
    if tag != INFORM_REQUEST:
        raise DecodeError("pdu_not_notification", pos)
    return tlv(SEQUENCE, _V2C + tlv(OCTET_STRING, community) + response_pdu(datagram, start, end))


def response_pdu(data: bytes, start: int, end: int) -> bytes:
    """Returns the Response-PDU to an InformRequest-PDU that was decoded, whose contents are at `start` to `end`."""
    _, request_id_stop = integer(data, start, end, [])
    _, pos = integer(data, request_id_stop, end, [])
    _, list_pos = integer(data, pos, end, [])
    _, list_stop = expect(data, list_pos, end, SEQUENCE)
    return tlv(_RESPONSE, data[start:request_id_stop] + _NO_ERROR + data[list_pos:list_stop])
