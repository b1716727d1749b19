"""Basic Encoding Rules, as much as SNMP uses: a tag, a length, contents.

Owns how lengths, integers and object identifiers are read (X.690 section 8, narrowed by RFC 3417 section 8), the
bounded cache of OIDs, and how lengths and integers are written. Pure. A position is a number of bytes from the start of
the datagram; every reader is told where the enclosing value stops and refuses to read a value that goes past it. A read
past the end of the datagram raises `IndexError`: the decoder catches it once, as `truncated`, instead of asking before
each byte.
"""

from __future__ import annotations

from typing import Final

from netmon.errors import DecodeError

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
CONSTRUCTED: Final = 0x20
HIGH_TAG_NUMBER: Final = 0x1F

LENGTH_OCTETS_MAX: Final = 4
"""Octets after the first one of a long length; SNMP messages never need more than 2, some agents send 4."""
INTEGER_BITS_MAX: Final = 64
ARC_MAX: Final = 0xFFFFFFFF
"""Greatest sub-identifier (RFC 3416 section 4.1)."""
ARC_OCTETS_MAX: Final = 5

CACHE_ENTRIES_MAX: Final = 65_536
CACHE_OCTETS_MAX: Final = 64
"""Nothing that is longer is cached, so that a full cache stays below 40 MB whatever is sent."""
OID_CACHE: Final[dict[bytes, str]] = {}
"""Contents octets to dotted text, of flawless OIDs only. When full it is emptied, not aged: senders of random OIDs
gain nothing, and the OIDs of real devices are back after one trap each."""


def expect(data: bytes, pos: int, end: int, tag: int) -> tuple[int, int]:
    """Enters the value at `pos`, which must have this tag and stop at or before `end`.

    Returns:
        Where its contents start and stop.

    Raises:
        DecodeError: `tag_unexpected`, `length_invalid`, `length_overrun`, `truncated`.
    """
    if data[pos] != tag:
        raise DecodeError("tag_unexpected", pos)
    length = data[pos + 1]
    start = pos + 2
    if length > 127:
        length, start = long_length(data, start, length)
    stop = start + length
    if stop > end:
        raise overrun(pos)
    return start, stop


def long_length(data: bytes, pos: int, first: int) -> tuple[int, int]:
    """Reads a length in the long form (X.690 section 8.1.3.5); more octets than necessary are legal.

    Args:
        data: The datagram.
        pos: Where the octets after the first one start.
        first: The first octet, 128 or more.

    Returns:
        The length and where the contents start.

    Raises:
        DecodeError: `length_invalid` for the indefinite form (which RFC 3417 section 8 forbids), the reserved one, and
            lengths of more than `LENGTH_OCTETS_MAX` octets.
    """
    octets = first & 0x7F
    if not 0 < octets <= LENGTH_OCTETS_MAX:
        raise DecodeError("length_invalid", pos - 1)
    start = pos + octets
    if start > len(data):
        raise IndexError
    return int.from_bytes(data[pos:start], "big"), start


def overrun(pos: int) -> DecodeError:
    """Returns the error for a value at `pos` that goes past what encloses it: for the message, that is the datagram."""
    return DecodeError("length_overrun" if pos else "truncated", pos)


def integer(data: bytes, pos: int, end: int, flags: list[str]) -> tuple[int, int]:
    """Reads an INTEGER of at most 64 bits, forgiving redundant leading octets and values that need more than 32 bits.

    Returns:
        Its value and where it stops.

    Raises:
        DecodeError: `integer_empty`, `integer_too_long`, and those of `expect`.
    """
    start, stop = expect(data, pos, end, INTEGER)
    if start == stop:
        raise DecodeError("integer_empty", pos)
    value = signed(data[start:stop], flags)
    if stop - start > 4 and not fits(value, 32):
        if not fits(value, INTEGER_BITS_MAX):
            raise DecodeError("integer_too_long", pos)
        flags.append("integer_out_of_range")
    return value, stop


def signed(contents: bytes, flags: list[str]) -> int:
    """Returns the value of two's complement octets, one or more; flags redundant leading ones (X.690 8.3.2)."""
    if len(contents) > 1 and ((first := contents[0]) == 0 or first == 0xFF) and (contents[1] ^ first) < 128:
        flags.append("integer_padded")
    return int.from_bytes(contents, "big", signed=True)


def fits(value: int, bits: int) -> bool:
    """Whether two's complement of so many bits can hold the value."""
    return -1 << (bits - 1) <= value < 1 << (bits - 1)


def oid_text(contents: bytes, pos: int, arcs_max: int, flags: list[str]) -> str:
    """Decodes an OID (X.690 section 8.19), from `OID_CACHE` if it can.

    Args:
        contents: Its octets; none at all is forgiven and means 0.0, as old agents do.
        pos: Where they start, for errors.
        arcs_max: Most sub-identifiers allowed.
        flags: Gets `oid_empty` or `oid_padded` (a sub-identifier with leading zeros).

    Returns:
        Dotted decimal.

    Raises:
        DecodeError: `oid_too_long`; `oid_invalid`: cut within a sub-identifier, or one above 2^32 - 1.
    """
    if (cached := OID_CACHE.get(contents)) is not None and len(contents) < arcs_max:
        return cached
    if not contents:
        flags.append("oid_empty")
        return "0.0"
    if len(contents) > ARC_OCTETS_MAX * arcs_max:
        raise DecodeError("oid_too_long", pos)
    arcs, padded = _arcs(contents, pos)
    if len(arcs) > arcs_max:
        raise DecodeError("oid_too_long", pos)
    text = ".".join(map(str, arcs))
    if padded:
        flags.append("oid_padded")
    elif len(contents) <= CACHE_OCTETS_MAX:
        if len(OID_CACHE) >= CACHE_ENTRIES_MAX:
            OID_CACHE.clear()
        OID_CACHE[contents] = text
    return text


def _arcs(contents: bytes, pos: int) -> tuple[list[int], bool]:
    """Returns the sub-identifiers, and whether one of them had leading zeros."""
    if contents[-1] > 127:
        raise DecodeError("oid_invalid", pos)
    arcs: list[int] = []
    arc = 0
    padded = False
    for octet in contents:
        if octet < 128:
            arcs.append(arc + octet)
            arc = 0
        else:
            padded = padded or (octet == 0x80 and arc == 0)
            arc = (arc + octet - 128) << 7
            if arc > ARC_MAX:
                raise DecodeError("oid_invalid", pos)
    root = min(arcs[0] // 40, 2)
    arcs[:1] = (root, arcs[0] - 40 * root)
    return arcs, padded


def tlv(tag: int, contents: bytes) -> bytes:
    """Returns tag, shortest definite length (X.690 section 10.1) and contents."""
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def encode_integer(value: int) -> bytes:
    """Returns an INTEGER."""
    return tlv(INTEGER, integer_contents(value))


def integer_contents(value: int) -> bytes:
    """Returns two's complement in the fewest octets; an unsigned value with its high bit set gets a leading zero."""
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)
