"""How values are written for people: DISPLAY-HINT (RFC 2579 section 3.1), DateAndTime and InetAddress.

Pure. Hints come from vendors' files and octets from the network: a hint that is none gives None instead of a writer, and
no octets make a writer raise, or work for long.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Final, NamedTuple

OCTETS_MAX: Final = 1_024
"""Longer values have no text: nobody reads it, and `value` has them."""
_SPECIFICATIONS_MAX: Final = 64
_NUMBER_OCTETS_MAX: Final = 8
"""A longer `d` or `o` is written in hexadecimal: it is no number that a person compares."""
_OCTET_SPECIFICATION: Final = re.compile(
    r"\*([0-9]{1,5})([xdoat])(?:([^0-9*])([^0-9*])?)?|([0-9]{1,5})([xdoat])([^0-9*])?", re.DOTALL
)
_INTEGER_HINT: Final = re.compile(r"([xob])|d(?:-([0-9]{1,2}))?")
_TEXT_HINT: Final = re.compile(r"[1-9][0-9]{0,4}[at]")
_WHITE_SPACE: Final = str.maketrans("", "", "\t\r\n\u3000")


class _Specification(NamedTuple):
    repeats: bool
    octets: int
    form: str
    separator: str
    terminator: str


def is_text(hint: str) -> bool:
    """Whether the hint says that the octets are text, such as `255a` of DisplayString and `255t` of SnmpAdminString."""
    return _TEXT_HINT.fullmatch(hint) is not None


def text(octets: bytes) -> str | None:
    """The text that the octets are, without the NULs that C programs leave at its end; None when they are none."""
    try:
        found = octets.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None
    return found if found.translate(_WHITE_SPACE).isprintable() and found else None


def octet_writer(hint: str) -> Callable[[bytes], str] | None:
    """Returns what writes an OCTET STRING as the hint says; None when it is no hint for one."""
    specifications: list[_Specification] = []
    pos = 0
    while pos < len(hint):
        found = _OCTET_SPECIFICATION.match(hint, pos)
        if found is None or len(specifications) == _SPECIFICATIONS_MAX:
            return None
        pos = found.end()
        octets, form, separator, terminator, plain_octets, plain_form, plain_separator = found.groups()
        if octets is None:
            specifications.append(
                _Specification(False, int(plain_octets), plain_form, plain_separator or "", plain_separator or "")
            )
        else:
            specifications.append(_Specification(True, int(octets), form, separator or "", terminator or ""))
    if not specifications or any(one.repeats and not one.octets for one in specifications):
        return None
    separator = specifications[0].separator
    if specifications == [(False, 1, "x", separator, separator)] and separator.isascii() and separator:
        return lambda data: data.hex(separator)  # as addresses are written: worth a short cut
    return lambda data: _written(specifications, data)


def _written(specifications: list[_Specification], data: bytes) -> str:
    parts: list[str] = []
    pos = at = 0
    while pos < len(data):
        one = specifications[min(at, len(specifications) - 1)]
        if not one.octets and at >= len(specifications):
            break  # the last one repeats, and takes nothing: it would for ever
        at += 1
        count = 1
        if one.repeats:
            count = data[pos]
            pos += 1
        for left in range(count - 1, -1, -1):
            if pos >= len(data):
                break
            parts.append(_formed(data[pos : pos + one.octets], one.form))
            pos += one.octets
            if pos < len(data):
                parts.append(one.separator if left else one.terminator)
    return "".join(parts)


def _formed(octets: bytes, form: str) -> str:
    if not octets:
        return ""
    if form == "a":
        return octets.decode("ascii", "replace")
    if form == "t":
        return octets.decode("utf-8", "replace")
    if form == "x" or len(octets) > _NUMBER_OCTETS_MAX:
        # All digits, as a MAC address is written; the RFC leaves it open, and Net-SNMP drops leading zeros.
        return octets.hex()
    number = int.from_bytes(octets, "big")
    return str(number) if form == "d" else f"{number:o}"


def integer_writer(hint: str) -> Callable[[int], str] | None:
    """Returns what writes a number as the hint says; None when it is no hint for one, or nothing but the number."""
    found = _INTEGER_HINT.fullmatch(hint)
    if found is None:
        return None
    form, places = found[1], int(found[2] or 0)
    if form:
        return lambda number: f"{number:{form}}"
    if not places:
        return None

    def write(number: int) -> str:
        digits = str(abs(number)).rjust(places + 1, "0")
        return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"

    return write


def date_and_time(octets: bytes) -> str | None:
    """DateAndTime (RFC 2579 section 2) in ISO 8601, with the zone when the device told it.

    Returns:
        Such as `2026-03-11T14:46:18.0+09:00`; None when it is no time, as the zeros that mean "never".
    """
    if len(octets) not in {8, 11}:
        return None
    year, (month, day, hour, minute, second, tenth) = int.from_bytes(octets[:2], "big"), octets[2:8]
    if hour > 23 or minute > 59 or second > 60 or tenth > 9:
        return None
    try:
        day_text = date(year, month, day).isoformat()
    except ValueError:
        return None
    written = f"{day_text}T{hour:02}:{minute:02}:{second:02}.{tenth}"
    if len(octets) == 8:
        return written
    direction, zone_hour, zone_minute = chr(octets[8]), octets[9], octets[10]
    # The RFC ends at 13 hours; Kiribati is at 14.
    if direction not in "+-" or zone_hour > 14 or zone_minute > 59:
        return None
    return f"{written}{direction}{zone_hour:02}:{zone_minute:02}"


def inet_address(octets: bytes) -> str | None:
    """InetAddress (RFC 4001) by its length: IPv4, IPv6, each with or without a zone index; None for others.

    A name of 16 octets that is printable is a name: no IPv6 address in use looks like one.
    """
    if len(octets) not in {4, 8, 16, 20} or (len(octets) > 4 and text(octets) is not None):
        return None
    width = 4 if len(octets) < 16 else 16
    address = ipaddress.IPv4Address(octets[:4]) if width == 4 else ipaddress.IPv6Address(octets[:16])
    zone = octets[width:]
    return f"{address}%{int.from_bytes(zone, 'big')}" if zone else str(address)
