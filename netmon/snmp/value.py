"""The value of a variable binding: octets to `model.Varbind`.

Owns which tags have a name (RFC 3416 section 3, RFC 2578 section 2), and how each becomes a number or text. Pure.
Nothing here rejects a trap because one value is odd: what does not fit its type is kept as hexadecimal octets with the
flag `value_malformed`, what has no type that SNMP knows as `tag-0xNN` with the flag `tag_unknown`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from netmon.errors import DecodeError
from netmon.model import Limits, Varbind
from netmon.snmp.ber import (
    CONSTRUCTED,
    HIGH_TAG_NUMBER,
    INTEGER_BITS_MAX,
    expect,
    fits,
    oid_text,
    signed,
)

Reader = Callable[[str, bytes, list[str]], Varbind]
"""(OID of the binding, contents of the value, flags to add to) -> the binding."""

ARCS_MAX: Final = 128
"""Sub-identifiers of an OID that is a value (RFC 3416 section 4.1); `Limits.oid_arcs_max` is for those that are names."""
VALUE_DEPTH: Final = 5
"""A value is inside a binding, in a list, in a PDU, in a message."""
IDENTIFIER_OCTETS_MAX: Final = 4
_NOT_PRINTABLE_BUT_TEXT: Final = str.maketrans("", "", "\t\r\n\u3000")
"""`str.isprintable` refuses these: white space that descriptions have; U+3000 is the space of Japanese text."""


def malformed(oid: str, kind: str, contents: bytes, flags: list[str]) -> Varbind:
    """Returns a binding whose contents do not fit their type, as hexadecimal octets."""
    flags.append("value_malformed")
    return Varbind(oid, kind, contents.hex(), "hex")


def unnamed(data: bytes, pos: int, end: int, oid: str, limits: Limits, flags: list[str]) -> tuple[Varbind, int]:
    """Reads a value whose tag SNMP does not know; constructed ones are kept whole, after a look at their depth.

    Returns:
        The binding, its type `tag-0x` and the identifier octets in hexadecimal; and where the value stops.

    Raises:
        DecodeError: `nesting_too_deep`, `tag_unexpected` (its identifier is longer than any in use), and those of
            `netmon.snmp.ber.expect`.
    """
    tag = data[pos]
    last = pos
    if tag & HIGH_TAG_NUMBER == HIGH_TAG_NUMBER:
        last += 1
        while data[last] > 127:
            last += 1
        if last - pos >= IDENTIFIER_OCTETS_MAX:
            raise DecodeError("tag_unexpected", pos)
    start, stop = expect(data, last, end, data[last])
    if tag & CONSTRUCTED and _depth(data, start, stop, limits.nesting_max) > limits.nesting_max:
        raise DecodeError("nesting_too_deep", pos)
    flags.append("tag_unknown")
    return Varbind(oid, f"tag-0x{data[pos : last + 1].hex()}", data[start:stop].hex(), "hex"), stop


def _depth(data: bytes, start: int, stop: int, enough: int) -> int:
    """Returns how deep a constructed value's contents nest, counted from the message; stops counting past `enough`.

    What is not BER inside ends the count: nobody descends there later.
    """
    deepest = VALUE_DEPTH
    enclosing = [stop]
    pos = start
    while enclosing and deepest <= enough:
        if pos >= enclosing[-1]:
            enclosing.pop()
            continue
        try:
            inner, inner_stop = expect(data, pos, enclosing[-1], data[pos])
        except (DecodeError, IndexError):
            break
        if data[pos] & CONSTRUCTED:
            enclosing.append(inner_stop)
            deepest = max(deepest, VALUE_DEPTH - 1 + len(enclosing))
            pos = inner
        else:
            pos = inner_stop
    return deepest


def _integer32(oid: str, contents: bytes, flags: list[str]) -> Varbind:
    if len(contents) == 1:
        octet = contents[0]
        return Varbind(oid, "Integer32", octet if octet < 128 else octet - 256)
    if not contents:
        return malformed(oid, "Integer32", contents, flags)
    value = signed(contents, flags)
    if not fits(value, 32):
        if not fits(value, INTEGER_BITS_MAX):
            return malformed(oid, "Integer32", contents, flags)
        flags.append("integer_out_of_range")
    return Varbind(oid, "Integer32", value)


def _unsigned(kind: str, bits: int) -> Reader:
    """Returns the reader of a type that has no negative values but, in BER, two's complement all the same.

    Many agents leave out the leading zero octet, or extend a sign that is none: the octets are read as unsigned.
    """
    greatest = (1 << bits) - 1
    octets = bits // 8

    def read(oid: str, contents: bytes, flags: list[str]) -> Varbind:
        if not contents:
            return malformed(oid, kind, contents, flags)
        value = int.from_bytes(contents, "big")
        first = contents[0]
        if first > 127:
            flags.append("unsigned_high_bit")
            if contents[:-octets].count(0xFF) == len(contents) - octets:
                value &= greatest
        elif first == 0 and len(contents) > 1 and contents[1] < 128:
            flags.append("integer_padded")
        if value > greatest:
            if value >> INTEGER_BITS_MAX:
                return malformed(oid, kind, contents, flags)
            flags.append("integer_out_of_range")
        return Varbind(oid, kind, value)

    return read


def _octet_string(oid: str, contents: bytes, _flags: list[str]) -> Varbind:
    try:
        text = contents.decode()
    except UnicodeDecodeError:
        return Varbind(oid, "OctetString", contents.hex(), "hex")
    if text.isprintable() or text.translate(_NOT_PRINTABLE_BUT_TEXT).isprintable():
        return Varbind(oid, "OctetString", text)
    return Varbind(oid, "OctetString", contents.hex(), "hex")


def _opaque(oid: str, contents: bytes, _flags: list[str]) -> Varbind:
    return Varbind(oid, "Opaque", contents.hex(), "hex")


def _object_identifier(oid: str, contents: bytes, flags: list[str]) -> Varbind:
    try:
        return Varbind(oid, "ObjectIdentifier", oid_text(contents, 0, ARCS_MAX, flags))
    except DecodeError:
        return malformed(oid, "ObjectIdentifier", contents, flags)


def _ip_address(oid: str, contents: bytes, flags: list[str]) -> Varbind:
    if len(contents) != 4:
        return malformed(oid, "IpAddress", contents, flags)
    return Varbind(oid, "IpAddress", dotted(contents))


def dotted(address: bytes) -> str:
    """Returns an IPv4 address as people write it."""
    return ".".join(map(str, address))


def _without_value(kind: str) -> Reader:
    def read(oid: str, contents: bytes, flags: list[str]) -> Varbind:
        return malformed(oid, kind, contents, flags) if contents else Varbind(oid, kind, None)

    return read


READERS: Final[dict[int, Reader]] = {
    0x02: _integer32,
    0x04: _octet_string,
    0x05: _without_value("Null"),
    0x06: _object_identifier,
    0x40: _ip_address,
    0x41: _unsigned("Counter32", 32),
    0x42: _unsigned("Gauge32", 32),
    0x43: _unsigned("TimeTicks", 32),
    0x44: _opaque,
    0x46: _unsigned("Counter64", 64),
    0x80: _without_value("noSuchObject"),
    0x81: _without_value("noSuchInstance"),
    0x82: _without_value("endOfMibView"),
}
"""By tag. NsapAddress (0x45) and UInteger32 (0x47) left the standard with RFC 1902: unnamed, their octets kept."""
