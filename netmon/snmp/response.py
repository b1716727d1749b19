"""The answer to an InformRequest.

Owns the Response-PDU (RFC 3416 section 4.2.7). Pure.
"""

from __future__ import annotations

from typing import Final

from netmon.errors import DecodeError
from netmon.model import Limits
from netmon.snmp.ber import OCTET_STRING, SEQUENCE, expect, integer
from netmon.snmp.encode import tlv
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
    notification = decode_notification(datagram, limits)
    _, _, tag, pos, start, end = frame(datagram, [])
    if tag != INFORM_REQUEST:
        raise DecodeError("pdu_not_notification", pos)
    _, request_id_stop = integer(datagram, start, end, [])
    _, pos = integer(datagram, request_id_stop, end, [])
    _, list_pos = integer(datagram, pos, end, [])
    _, list_stop = expect(datagram, list_pos, end, SEQUENCE)
    pdu = datagram[start:request_id_stop] + _NO_ERROR + datagram[list_pos:list_stop]
    return tlv(SEQUENCE, _V2C + tlv(OCTET_STRING, notification.community) + tlv(_RESPONSE, pdu))
