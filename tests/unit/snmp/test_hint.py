"""DISPLAY-HINT (RFC 2579 section 3.1), DateAndTime and InetAddress: the RFCs' examples, and what is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.snmp import hint

DATE_AND_TIME = "2d-1d-1d,1d:1d:1d.1d,1a1d:1d"
TRANSPORT_IPV6 = "0a[2x:2x:2x:2x:2x:2x:2x:2x]0a:2d"


@pytest.mark.parametrize(
    ("written", "octets", "expected"),
    [
        ("1x:", "02005e1000ff", "02:00:5e:10:00:ff"),
        ("1x:", "", ""),
        ("1d.1d.1d.1d", "c0000201", "192.0.2.1"),
        ("1d.1d.1d.1d", "c000", "192.0"),
        ("1d.1d.1d.1d/2d", "c000020100a1", "192.0.2.1/161"),
        (DATE_AND_TIME, "07c8051a0d1e0f00 2d0400", "1992-5-26,13:30:15.0,-4:0"),
        (DATE_AND_TIME, "07c8051a0d1e0f00", "1992-5-26,13:30:15.0"),
        (TRANSPORT_IPV6, "20010db8000000000000000000000001 00a1", "[2001:0db8:0000:0000:0000:0000:0000:0001]:161"),
        ("*1x:/1x:", "02aabb010203", "aa:bb/01:02:03"),  # RFC 2579: `*` takes the count from the octets
        ("*1d./1d", "000102", "12"),
        ("1o", "0a", "12"),
        ("255t", "c3a9", "é"),
        ("2a", "6162ff", "ab\ufffd"),
        ("9d", "ff" * 9, "ff" * 9),
    ],
)
def test_octets_are_written_as_the_hint_says(written: str, octets: str, expected: str) -> None:
    """Each part of the RFC's grammar: repeat, length, format, separator, terminator; the last part repeats."""
    write = hint.octet_writer(written)
    assert write is not None
    assert write(bytes.fromhex(octets)) == expected


@pytest.mark.parametrize("written", ["", "x", "d-2", "1", "1q", "a1", "*0x:/", "1x:*", "999999x", "1x" * 100])
def test_what_is_no_hint_for_octets_writes_nothing(written: str) -> None:
    """A vendor's mistake costs the text, and no more; neither does one that would never end."""
    assert hint.octet_writer(written) is None


def test_a_hint_that_takes_no_octets_ends() -> None:
    """`0a` at the end repeats for ever by the letter of the RFC."""
    write = hint.octet_writer("1x0a:")
    assert write is not None
    assert write(b"\x01\x02\x03") == "01:"


@pytest.mark.parametrize(
    ("written", "number", "expected"),
    [
        ("d-2", 1234, "12.34"),
        ("d-2", -5, "-0.05"),
        ("d-1", 0, "0.0"),
        ("x", 255, "ff"),
        ("o", 8, "10"),
        ("b", 5, "101"),
        ("x", -1, "-1"),
    ],
)
def test_numbers_are_written_as_the_hint_says(written: str, number: int, expected: str) -> None:
    """With its point, or in another base."""
    write = hint.integer_writer(written)
    assert write is not None
    assert write(number) == expected


@pytest.mark.parametrize("written", ["", "d", "d-0", "1d", "d-", "d-100", "q", "d-2x"])
def test_what_is_no_hint_for_numbers_or_adds_nothing(written: str) -> None:
    """`d` is the number itself."""
    assert hint.integer_writer(written) is None


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("07ea030b0e2e1200", "2026-03-11T14:46:18.0"),
        ("07ea030b0e2e12052b0900", "2026-03-11T14:46:18.5+09:00"),
        ("07ea030b0e2e12002d031e", "2026-03-11T14:46:18.0-03:30"),
        ("07e8021d173b3c002b0e00", "2024-02-29T23:59:60.0+14:00"),
        ("0000000000000000", None),
        ("07ea021d00000000", None),
        ("07ea0d0100000000", None),
        ("07ea030b18000000", None),
        ("07ea030b003c0000", None),
        ("07ea030b00003d00", None),
        ("07ea030b0000000a", None),
        ("07ea030b000000002a0900", None),
        ("07ea030b000000002b0f00", None),
        ("07ea030b000000002b093c", None),
        ("ffff010100000000", None),
        ("07ea030b0e2e12", None),
        ("07ea030b0e2e12002b", None),
        ("", None),
    ],
)
def test_date_and_time_is_iso_8601_or_nothing(octets: str, expected: str | None) -> None:
    """8 octets without a zone, 11 with one; a leap second is a time, 29 February 2026 is none."""
    assert hint.date_and_time(bytes.fromhex(octets)) == expected


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\xc0\x00\x02\x01", "192.0.2.1"),
        (bytes.fromhex("c0000201 00000002"), "192.0.2.1%2"),
        (bytes.fromhex("20010db8000000000000000000000001"), "2001:db8::1"),
        (bytes.fromhex("fe800000000000000000000000000001 00000003"), "fe80::1%3"),
        (b"host.example.com", None),
        (b"a.example.org", None),
        (b"", None),
    ],
)
def test_internet_addresses_by_their_length(octets: bytes, expected: str | None) -> None:
    """RFC 4001 tells the kind in another object; a name stays text, also one of 16 octets."""
    assert hint.inet_address(octets) == expected


def test_text_hints_are_known() -> None:
    """Those of DisplayString and SnmpAdminString, not those that mix or measure."""
    assert [hint.is_text(each) for each in ("255a", "255t", "1x:", "0a", "8a4d", "*1a")] == [True, True, *[False] * 4]


@given(written=st.text(alphabet="0123456789*xdoat-:.[]é\n", max_size=12), octets=st.binary(max_size=hint.OCTETS_MAX))
def test_no_hint_and_no_octets_raise(written: str, octets: bytes) -> None:
    """And no text is much longer than what it was made from."""
    write = hint.octet_writer(written)
    if write is not None:
        assert len(write(octets)) <= 24 * len(octets) + 24


@given(written=st.text(alphabet="dxob-0123456789", max_size=5), number=st.integers(-(2**64), 2**64))
def test_no_hint_and_no_number_raise(written: str, number: int) -> None:
    """Whatever the hint."""
    write = hint.integer_writer(written)
    if write is not None:
        assert write(number)
