"""The header of an SNMPv3 message: each part in its place and within its bounds."""

from __future__ import annotations

import pytest

from netmon.snmp.ber import tlv
from netmon.snmp.encode import encode_v2c
from netmon.snmp.seal import scoped_pdu
from netmon.snmp.v3 import is_v3
from tests.unit.snmp.usm_samples import raw, read, reason_of, trap, usm


def test_is_v3() -> None:
    """By the version alone, also behind a long length."""
    long_length = trap()
    assert long_length[1] > 127

    assert [
        is_v3(datagram) for datagram in (long_length, raw(), b"\x30\x03\x02\x01\x03", b"\x30\x84", b"\x30", b"")
    ] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert not is_v3(encode_v2c(community=b"c", pdu="trap", request_id=1, uptime_centis=1, trap_oid="1.3", varbinds=[]))


HEADERS_INVALID = {
    "privacy without authentication": raw(header=b"\x02\x01\x01\x02\x01\x10\x04\x01\x02\x02\x01\x03"),
    "msgFlags of no octet": raw(header=b"\x02\x01\x01\x02\x01\x10\x04\x00\x02\x01\x03"),
    "msgFlags of two": raw(header=b"\x02\x01\x01\x02\x01\x10\x04\x02\x00\x00\x02\x01\x03"),
    "negative msgID": raw(header=b"\x02\x01\xff\x02\x01\x10\x04\x01\x00\x02\x01\x03"),
    "msgMaxSize of 32 bits": raw(header=b"\x02\x01\x01\x02\x05\x00\xff\xff\xff\xff\x04\x01\x00\x02\x01\x03"),
    "more in the header": raw(header=b"\x02\x01\x01\x02\x01\x10\x04\x01\x00\x02\x01\x03\x05\x00"),
    "engine ID of 33 octets": raw(
        parameters=tlv(0x04, bytes(33)) + b"\x02\x01\x01\x02\x01\x01\x04\x06nobody\x04\x00\x04\x00"
    ),
    "no engine ID in a TRAP": raw(parameters=b"\x04\x00\x02\x01\x01\x02\x01\x01\x04\x06nobody\x04\x00\x04\x00"),
    "negative boots": raw(parameters=b"\x04\x01\x01\x02\x01\x80\x02\x01\x01\x04\x06nobody\x04\x00\x04\x00"),
    "time above 31 bits": raw(
        parameters=b"\x04\x01\x01\x02\x01\x01\x02\x05\x00\x80\x00\x00\x00\x04\x06nobody\x04\x00\x04\x00"
    ),
    "user of 33 octets": raw(
        parameters=b"\x04\x01\x01\x02\x01\x01\x02\x01\x01" + tlv(0x04, b"u" * 33) + b"\x04\0\x04\0"
    ),
    "digest of 65 octets": raw(
        parameters=b"\x04\x01\x01\x02\x01\x01\x02\x01\x01\x04\x06nobody" + tlv(0x04, bytes(65)) + b"\x04\x00"
    ),
    "more in the parameters": raw(
        parameters=b"\x04\x01\x01\x02\x01\x01\x02\x01\x01\x04\x06nobody\x04\x00\x04\x00\x05\x00"
    ),
    "more behind the parameters": raw(behind_parameters=b"\x05\x00"),
    "contextName of 33 octets": raw(data=scoped_pdu(b"", b"c" * 33, b"\xa7\x00")),
    "contextEngineID of 33 octets": raw(data=scoped_pdu(b"e" * 33, b"", b"\xa7\x00")),
}


@pytest.mark.parametrize("name", HEADERS_INVALID)
def test_invalid_headers(name: str) -> None:
    """RFC 3412 section 6 and RFC 3414 section 2.4 set the bounds."""
    assert reason_of(usm(), HEADERS_INVALID[name]) == "v3_header_invalid"


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (tlv(0x30, b"\x02\x01\x04\x30\x00"), "version_unknown"),
        (raw(header=b"\x02\x01\x01\x02\x01\x10\x04\x01\x00\x02\x01\x02"), "v3_security_model_unknown"),
        (raw(header=b"\x02\x00"), "integer_empty"),
        (raw(header=b"\x02\x01\x01\x02\x09" + b"\x7f" * 9), "integer_too_long"),
        (raw(data=b"\x04\x00"), "tag_unexpected"),  # encrypted, though msgFlags say it is not
        (raw(data=scoped_pdu(b"", b"", b"\x30\x00")), "tag_unexpected"),
        (raw(data=scoped_pdu(b"", b"", b"")), "length_overrun"),
        (raw(data=scoped_pdu(b"", b"", b"\xa4\x00")), "pdu_not_notification"),
        (raw(data=scoped_pdu(b"", b"", b"\xa2\x00")), "pdu_not_notification"),
        (raw(data=scoped_pdu(b"", b"", b"\xa7\x00")), "truncated"),
        (raw(), "truncated"),
    ],
)
def test_other_refusals_of_the_header(datagram: bytes, reason: str) -> None:
    """Each part in its place."""
    assert reason_of(usm(), datagram) == reason


def test_padded_numbers_are_forgiven() -> None:
    """A version of two octets, and the same in the header: flagged once."""
    datagram = raw(
        header=b"\x02\x02\x00\x01\x02\x02\x05\xdc\x04\x01\x00\x02\x01\x03",
        data=scoped_pdu(b"", b"", tlv(0xA7, b"\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x00")),
    )

    assert read(usm(), datagram).flags == ("integer_padded", "uptime_missing", "trap_oid_missing")
