"""The SNMPv1 and SNMPv2c message around a PDU (RFC 1157 section 4, RFC 1901 section 3), and what is done to it whole.

Owns where the community and the PDU lie, the masking of communities, and the Response to an InformRequest. Pure.
"""

from __future__ import annotations

from typing import Final

from netmon.errors import DecodeError
from netmon.snmp.ber import OCTET_STRING, SEQUENCE, expect, integer, overrun

V1: Final = 0
V2C: Final = 1
V3: Final = 3

TRAP_V1: Final = 0xA4
INFORM_REQUEST: Final = 0xA6
TRAP_V2: Final = 0xA7
_PDUS: Final = range(0xA0, 0xA9)
"""GetRequest to Report (RFC 3416 section 3)."""
_NOTIFICATIONS: Final = ((TRAP_V1,), (TRAP_V2, INFORM_REQUEST))
"""By version."""
_SHORT_VERSIONS: Final = {b"\x02\x01\x00": V1, b"\x02\x01\x01": V2C}
"""The versions in their shortest encoding, which nearly everybody uses."""
_INTEGER_TAG: Final = b"\x02"
_MASK: Final = b"*"


Frame = tuple[int, bytes, int, int, int, int]
"""Version (0 is SNMPv1, 1 is SNMPv2c); community; the PDU's tag, where it stands, where its contents start and stop."""


def frame(data: bytes, flags: list[str]) -> Frame:
    """Opens a message up to the contents of its PDU.

    Raises:
        DecodeError: `usm_unknown_user` (SNMPv3), `version_unknown`, `pdu_not_notification`, and those of `netmon.snmp.ber.integer`.
        IndexError: The datagram is truncated.
    """
    start, message_stop = expect(data, 0, len(data), SEQUENCE)
    pos = start + 3
    version = _SHORT_VERSIONS.get(data[start:pos])
    if version is None:
        version, pos = integer(data, start, message_stop, flags)
    if version not in (V1, V2C):
        raise DecodeError("usm_unknown_user" if version == V3 else "version_unknown", start)
    community_start, pdu_pos = expect(data, pos, message_stop, OCTET_STRING)
    tag = data[pdu_pos]
    if tag not in _NOTIFICATIONS[version]:
        raise _not_notification(data, pdu_pos, message_stop)
    pdu_start, pdu_stop = expect(data, pdu_pos, message_stop, tag)
    if pdu_stop != len(data):
        flags.append("trailing_bytes")
    return version, data[community_start:pdu_pos], tag, pdu_pos, pdu_start, pdu_stop


def _not_notification(data: bytes, pos: int, end: int) -> DecodeError:
    if pos >= end:
        return overrun(pos)
    return DecodeError("pdu_not_notification" if data[pos] in _PDUS else "tag_unexpected", pos)


def find_inform(datagram: bytes) -> bool:
    """Whether the datagram looks like an SNMPv2c InformRequest; nothing behind the PDU's tag is checked."""
    if INFORM_REQUEST not in datagram:
        return False
    try:
        return frame(datagram, [])[2] == INFORM_REQUEST
    except (DecodeError, IndexError):
        return False


def mask_community(datagram: bytes) -> bytes:
    """Returns the datagram with `*` for each octet of its community, or as it is when none can be found.

    Works on what is left of truncated and corrupt messages: of a message's header only the tag of the version must be
    right. A community that claims more octets than there are is masked to the end.
    """
    version = _after_header(datagram, 0)
    if datagram[version : version + 1] != _INTEGER_TAG:
        return datagram
    version_start = _after_header(datagram, version)
    community = version_start + _length(datagram, version)
    if int.from_bytes(datagram[version_start:community], "big") == V3:
        return datagram
    start = _after_header(datagram, community)
    stop = min(start + _length(datagram, community), len(datagram))
    if stop <= start:
        return datagram
    return datagram[:start] + _MASK * (stop - start) + datagram[stop:]


def _after_header(data: bytes, pos: int) -> int:
    """Returns where the contents of the value at `pos` would start; past the end of the data when it is cut short."""
    first = data[pos + 1] if pos + 1 < len(data) else 0
    return pos + 2 + (first & 0x7F if first > 127 else 0)


def _length(data: bytes, pos: int) -> int:
    """Returns the length that the value at `pos` claims; 0 when there is no such value, all when it cannot be read."""
    if pos + 1 >= len(data):
        return 0
    first = data[pos + 1]
    if first < 128:
        return first
    octets = data[pos + 2 : pos + 2 + (first & 0x7F)]
    return int.from_bytes(octets, "big") if first > 128 else len(data)
