"""Packets byte by byte: whole, cut at every byte, with trailing bytes; and one packet for each reason and each flag."""

from __future__ import annotations

import re
from hashlib import blake2b

import pytest

from netmon.errors import DecodeError
from netmon.model import Limits, Varbind
from netmon.snmp import FLAGS, REASONS, Notification, decode_notification
from netmon.snmp.ber import OID_CACHE
from netmon.snmp.encode import Value, encode_v1, encode_v2c, oid_contents, tlv
from tests.unit.snmp import usm_samples


def packet(annotated: str) -> bytes:
    """Octets from hexadecimal text with comments."""
    return bytes.fromhex(re.sub(r"#.*", "", annotated))


LINK_DOWN_V2C = packet("""
    30 54                                  # Message: SEQUENCE
      02 01 01                             #   version: SNMPv2c
      04 06 70 75 62 6c 69 63              #   community: public
      a7 47                                #   SNMPv2-Trap-PDU
        02 04 12 34 56 78                  #     request-id
        02 01 00                           #     error-status
        02 01 00                           #     error-index
        30 39                              #     variable-bindings
          30 10 06 08 2b 06 01 02 01 01 03 00         # sysUpTime.0
                43 04 07 5b cd 15                     #   TimeTicks 123456789
          30 14 06 0a 2b 06 01 06 03 01 01 04 01 00   # snmpTrapOID.0
                06 06 2b 06 01 04 01 09               #   1.3.6.1.4.1.9
          30 0f 06 0a 2b 06 01 02 01 02 02 01 01 07   # ifIndex.7
                02 01 07                              #   INTEGER 7
""")
INFORM_V2C = packet("""
    30 81 2e                               # Message, its length longer than necessary: legal BER
      02 01 01                             #   version: SNMPv2c
      04 00                                #   an empty community
      a6 27                                #   InformRequest-PDU
        02 01 ff                           #     request-id -1
        02 01 05                           #     error-status genErr, which a request should not have
        02 01 02                           #     error-index
        30 82 00 1a                        #     variable-bindings
          30 18 06 0a 2b 06 01 06 03 01 01 04 01 00   # snmpTrapOID.0; no sysUpTime.0
                06 0a 2b 06 01 06 03 01 01 05 87 68   #   1.3.6.1.6.3.1.1.5.1000
""")
ENTERPRISE_V1 = packet("""
    30 35                                  # Message: SEQUENCE
      02 01 00                             #   version: SNMPv1
      04 06 73 65 63 72 65 74              #   community: secret
      a4 28                                #   Trap-PDU
        06 08 2b 06 01 04 01 ce 0f 01      #     enterprise: 1.3.6.1.4.1.9999.1
        40 04 c0 00 02 01                  #     agent-addr: 192.0.2.1
        02 01 06                           #     generic-trap: enterpriseSpecific
        02 02 01 2c                        #     specific-trap: 300
        43 02 03 e8                        #     time-stamp: 1000
        30 0b                              #     variable-bindings
          30 09 06 05 2b 06 01 02 03       #       1.3.6.1.2.3
                04 00                      #         an empty OCTET STRING
""")
PACKETS = {"v2c": LINK_DOWN_V2C, "inform": INFORM_V2C, "v1": ENTERPRISE_V1}


def digest_of(said: bytes) -> str:
    """The digest of these octets."""
    return blake2b(said, digest_size=8).hexdigest()


def reason_of(datagram: bytes, limits: Limits | None = None) -> str:
    """Why a datagram is refused."""
    with pytest.raises(DecodeError) as caught:
        decode_notification(datagram, limits or Limits())
    assert 0 <= caught.value.offset <= len(datagram)
    return caught.value.reason


def v2c(list_contents: bytes, head: bytes = b"\x02\x01\x07\x02\x01\x00\x02\x01\x00") -> bytes:
    """A trap with these contents of its variable-bindings."""
    pdu = tlv(0xA7, head + tlv(0x30, list_contents))
    return tlv(0x30, b"\x02\x01\x01" + tlv(0x04, b"public") + pdu)


def v1(**change: bytes) -> bytes:
    """An SNMPv1 trap whose fields are TLVs that can be changed."""
    fields = {
        "enterprise": tlv(0x06, oid_contents("1.3.6.1.4.1.9")),
        "agent_addr": b"\x40\x04\x0a\x00\x00\x01",
        "generic": b"\x02\x01\x06",
        "specific": b"\x02\x01\x05",
        "time_stamp": b"\x43\x01\x09",
        "varbinds": b"\x30\x00",
    }
    return tlv(0x30, b"\x02\x01\x00\x04\x01c" + tlv(0xA4, b"".join({**fields, **change}.values())))


UPTIME = tlv(0x30, tlv(0x06, oid_contents("1.3.6.1.2.1.1.3.0")) + b"\x43\x01\x05")
LONG_UPTIME = UPTIME[:-3].replace(b"\x30\x0d", b"\x30\x10") + b"\x43\x04"
TRAP_OID = tlv(0x30, tlv(0x06, oid_contents("1.3.6.1.6.3.1.1.4.1.0")) + b"\x06\x02\x2a\x03")
NAME = tlv(0x06, oid_contents("1.3.6.1.9"))


def with_value(value: bytes) -> bytes:
    """A trap with one binding, 1.3.6.1.9, with this TLV as its value."""
    return v2c(UPTIME + TRAP_OID + tlv(0x30, NAME + value))


def read(value: bytes) -> tuple[Varbind, tuple[str, ...]]:
    """How the value's TLV is read, and what was forgiven."""
    notification = decode_notification(with_value(value))
    assert notification.trap_oid == "1.2.3"
    (varbind,) = notification.varbinds
    assert varbind.oid == "1.3.6.1.9"
    return varbind, notification.flags


def test_v2c_trap_whole() -> None:
    """A trap of the usual shape is read in full and nothing had to be forgiven."""
    assert decode_notification(LINK_DOWN_V2C) == Notification(
        version="v2c",
        pdu="trap",
        community=b"public",
        request_id=0x12345678,
        uptime_centis=123456789,
        trap_oid="1.3.6.1.4.1.9",
        varbinds=[Varbind("1.3.6.1.2.1.2.2.1.1.7", "Integer32", 7)],
        trap_address=None,
        digest=digest_of(LINK_DOWN_V2C[-59:]),
        flags=(),
    )


def test_inform_whole() -> None:
    """An inform with long lengths, an error status and without sysUpTime.0 is read all the same."""
    assert decode_notification(INFORM_V2C) == Notification(
        version="v2c",
        pdu="inform",
        community=b"",
        request_id=-1,
        uptime_centis=None,
        trap_oid="1.3.6.1.6.3.1.1.5.1000",
        varbinds=[],
        trap_address=None,
        digest=digest_of(INFORM_V2C[-30:]),
        flags=("uptime_missing",),
    )


def test_v1_trap_whole() -> None:
    """RFC 3584 section 3.1: enterprise.0.specific, then agent-addr and enterprise as bindings, never the community."""
    assert decode_notification(ENTERPRISE_V1) == Notification(
        version="v1",
        pdu="trap",
        community=b"secret",
        request_id=None,
        uptime_centis=1000,
        trap_oid="1.3.6.1.4.1.9999.1.0.300",
        varbinds=[
            Varbind("1.3.6.1.2.3", "OctetString", ""),
            Varbind("1.3.6.1.6.3.18.1.3.0", "IpAddress", "192.0.2.1"),
            Varbind("1.3.6.1.6.3.1.1.4.3.0", "ObjectIdentifier", "1.3.6.1.4.1.9999.1"),
        ],
        trap_address="192.0.2.1",
        digest=digest_of(ENTERPRISE_V1[-40:]),
        flags=(),
    )


@pytest.mark.parametrize("name", PACKETS)
def test_cut_at_every_byte_is_truncated(name: str) -> None:
    """A message whose end is missing is never decoded, and never anything but `truncated`."""
    whole = PACKETS[name]
    assert {reason_of(whole[:length]) for length in range(len(whole))} == {"truncated"}


@pytest.mark.parametrize("name", PACKETS)
def test_trailing_bytes_are_flagged(name: str) -> None:
    """Bytes behind the message change nothing but the flags."""
    whole = decode_notification(PACKETS[name])
    for trailing in (b"\x00", PACKETS[name], b"\xff" * 300):
        padded = decode_notification(PACKETS[name] + trailing)
        assert padded.flags == ("trailing_bytes", *whole.flags)
        assert (padded.varbinds, padded.digest) == (whole.varbinds, whole.digest)


@pytest.mark.parametrize("name", PACKETS)
def test_every_byte_changed_to_every_value(name: str) -> None:
    """One wrong octet anywhere gives a notification or a DecodeError of the closed set."""
    whole = bytearray(PACKETS[name])
    for pos, right in enumerate(whole):
        for wrong in range(256):
            whole[pos] = wrong
            try:
                words = set(decode_notification(bytes(whole)).flags)
            except DecodeError as error:
                words = {error.reason}
            assert words <= {*FLAGS, *REASONS}
        whole[pos] = right


DEEP = tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, b"")))))
REFUSED: dict[str, list[bytes]] = {
    "datagram_too_big": [LINK_DOWN_V2C + bytes(65_507)],
    "truncated": [b"", b"\x30", LINK_DOWN_V2C[:-1], b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01"],
    "length_invalid": [b"\x30\x80\x02\x01\x01", b"\x30\x85\0\0\0\0\x03\x02\x01\x01", b"\x30\xff\x02\x01\x01"],
    "length_overrun": [
        tlv(0x30, b"\x02\x01\x01\x04\x06public") + LINK_DOWN_V2C,
        with_value(b"\x04\x05four"),
        with_value(b"\x9f\x78\x05four"),
        v2c(tlv(0x30, NAME)) + b"\x05\x00",
        v2c(LONG_UPTIME),
        v2c(LONG_UPTIME + b"\x01\x02\x03"),
    ],
    "tag_unexpected": [
        b"\x31" + LINK_DOWN_V2C[1:],
        tlv(0x30, b"\x02\x01\x01\x05\x00" + LINK_DOWN_V2C[13:]),
        tlv(0x30, b"\x02\x01\x01\x04\x00\x30\x00"),
        v2c(b"\x04\x00"),
        v2c(tlv(0x30, b"\x02\x01\x07\x05\x00")),
        v1(time_stamp=b"\x04\x01\x09"),
        v1(time_stamp=b"\x30\x01\x09"),
        with_value(b"\x1f\x81\x81\x81\x01\x00"),
    ],
    "integer_empty": [tlv(0x30, b"\x02\x00\x04\x00\xa7\x00"), v2c(b"", b"\x02\x00\x02\x01\x00\x02\x01\x00")],
    "integer_too_long": [
        v2c(b"", b"\x02\x09" + b"\x7f" * 9 + b"\x02\x01\x00\x02\x01\x00"),
        v1(time_stamp=b"\x43\x09" + b"\x7f" * 9),
    ],
    "oid_invalid": [
        v2c(tlv(0x30, b"\x06\x02\x2b\x86\x05\x00")),
        v2c(tlv(0x30, b"\x06\x06\x2b\x90\x80\x80\x80\x00\x05\x00")),
        v1(enterprise=b"\x06\x01\xff"),
    ],
    "oid_too_long": [
        v2c(tlv(0x30, tlv(0x06, b"\x01" * 128) + b"\x05\x00")),
        v2c(tlv(0x30, tlv(0x06, b"\xff" * 30_000) + b"\x05\x00")),
    ],
    "nesting_too_deep": [with_value(DEEP)],
    "too_many_varbinds": [v2c(UPTIME * 1_001), v2c(tlv(0x30, NAME + b"\x05\x00") * 2_000)],
    "version_unknown": [tlv(0x30, b"\x02\x01\x02\x04\x00"), tlv(0x30, b"\x02\x01\xff\x04\x00")],
    "pdu_not_notification": [
        LINK_DOWN_V2C.replace(b"\xa7\x47", b"\xa2\x47"),
        LINK_DOWN_V2C.replace(b"\xa7\x47", b"\xa4\x47"),
        ENTERPRISE_V1.replace(b"\xa4\x28", b"\xa7\x28"),
        tlv(0x30, b"\x02\x01\x01\x04\x00\xa8\x00"),
    ],
}


def test_every_reason_has_an_example() -> None:
    """The closed set holds what can happen and nothing else."""
    assert (*REFUSED, *usm_samples.REFUSED) == REASONS


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        pytest.param(reason, datagram, id=f"{reason}-{n}")
        for reason, all_ in REFUSED.items()
        for n, datagram in enumerate(all_)
    ],
)
def test_refused(reason: str, datagram: bytes) -> None:
    """Each example is refused for its reason."""
    assert reason_of(datagram) == reason


@pytest.mark.parametrize("reason", usm_samples.REFUSED)
def test_refused_v3(reason: str) -> None:
    """The same for what only SNMPv3 has."""
    model, datagrams = usm_samples.REFUSED[reason]

    assert [usm_samples.reason_of(model, datagram) for datagram in datagrams] == [reason] * len(datagrams)


def test_v3_without_users() -> None:
    """Who decodes SNMPv1 and SNMPv2c only knows no user."""
    assert reason_of(tlv(0x30, b"\x02\x01\x03\x30\x00")) == "usm_unknown_user"


FORGIVEN: dict[str, list[bytes]] = {
    "trailing_bytes": [
        LINK_DOWN_V2C + b"\x00",
        with_value(b"\x05\x00\x05\x00"),
        tlv(0x30, b"\x02\x01\x01\x04\x00" + tlv(0xA7, b"\x02\x01\x00" * 3 + tlv(0x30, UPTIME + TRAP_OID) + b"\x00")),
    ],
    "uptime_missing": [v2c(TRAP_OID)],
    "uptime_type": [
        v2c(UPTIME.replace(b"\x43\x01", b"\x02\x01") + TRAP_OID),
        v1(time_stamp=b"\x02\x01\x09"),
    ],
    "uptime_without_instance": [
        v2c(tlv(0x30, tlv(0x06, oid_contents("1.3.6.1.2.1.1.3")) + b"\x43\x01\x05") + TRAP_OID)
    ],
    "trap_oid_missing": [v2c(UPTIME)],
    "trap_oid_without_instance": [
        v2c(UPTIME + tlv(0x30, tlv(0x06, oid_contents("1.3.6.1.6.3.1.1.4.1")) + b"\x06\x01\x2b"))
    ],
    "heads_misplaced": [v2c(TRAP_OID + UPTIME)],
    "oid_empty": [v2c(UPTIME + TRAP_OID + b"\x30\x04\x06\x00\x05\x00"), v1(enterprise=b"\x06\x00")],
    "oid_padded": [v2c(UPTIME + TRAP_OID + b"\x30\x07\x06\x03\x2b\x80\x06\x05\x00")],
    "integer_padded": [
        v2c(LONG_UPTIME + b"\x00\x00\x00\x05" + TRAP_OID),
        with_value(b"\x02\x02\x00\x05"),
        v1(specific=b"\x02\x05\0\0\0\0\x05"),
    ],
    "integer_out_of_range": [with_value(b"\x02\x05\x00\xff\xff\xff\xff"), with_value(b"\x41\x05\x01\0\0\0\0")],
    "unsigned_high_bit": [v2c(LONG_UPTIME + b"\x80\x00\x00\x05" + TRAP_OID), with_value(b"\x41\x04\xff\xff\xff\xff")],
    "value_malformed": [with_value(b"\x40\x10" + bytes(16)), with_value(b"\x02\x00"), with_value(b"\x05\x01\x00")],
    "tag_unknown": [with_value(b"\x47\x01\x05"), with_value(b"\x30\x00")],
    "agent_addr_malformed": [v1(agent_addr=b"\x40\x00")],
    "generic_trap_unknown": [v1(generic=b"\x02\x01\x07"), v1(generic=b"\x02\x01\xff")],
    "specific_trap_wrapped": [v1(specific=b"\x02\x01\xff")],
}
FORGIVEN_V3 = ("engine_boots_reset",)
"""What takes more than one datagram: see test_usm_window.py."""


def test_every_flag_has_an_example() -> None:
    """The closed set holds what is forgiven and nothing else."""
    assert (*FORGIVEN, *FORGIVEN_V3) == FLAGS


@pytest.mark.parametrize(
    ("flag", "datagram"),
    [
        pytest.param(flag, datagram, id=f"{flag}-{n}")
        for flag, all_ in FORGIVEN.items()
        for n, datagram in enumerate(all_)
    ],
)
def test_forgiven(flag: str, datagram: bytes) -> None:
    """Each example is accepted with its one flag, also the second time, when parts of it may be cached."""
    assert decode_notification(datagram).flags == (flag,)
    assert decode_notification(datagram).flags == (flag,)


def test_flags_are_not_repeated() -> None:
    """What is forgiven twice is told once."""
    datagram = v2c(UPTIME + TRAP_OID + tlv(0x30, NAME + b"\x02\x02\x00\x05") * 3)
    assert decode_notification(datagram).flags == ("integer_padded",)


VALUES: list[tuple[bytes, str, int | str | None, str | None]] = [
    (b"\x02\x01\x80", "Integer32", -128, None),
    (b"\x02\x04\x80\x00\x00\x00", "Integer32", -(2**31), None),
    (b"\x02\x04\xff\xff\xff\xff", "Integer32", -1, None),
    (b"\x02\x09" + b"\x7f" * 9, "Integer32", "7f" * 9, "hex"),
    (b"\x04\x05plain", "OctetString", "plain", None),
    (b"\x04\x04a\t\r\n", "OctetString", "a\t\r\n", None),
    (b"\x04\x09" + "東　京".encode(), "OctetString", "東　京", None),
    (b"\x04\x02a\x00", "OctetString", "6100", "hex"),
    (b"\x04\x02\xc3\x28", "OctetString", "c328", "hex"),
    (b"\x04\x08\x07\xea\x0b\x16\x0e\x1e\x00\x00", "OctetString", "07ea0b160e1e0000", "hex"),  # DateAndTime
    (b"\x04\x06\x00\x1b\x21\x3c\x9d\xf8", "OctetString", "001b213c9df8", "hex"),  # MAC address
    (b"\x05\x00", "Null", None, None),
    (b"\x06\x03\x88\x37\x01", "ObjectIdentifier", "2.999.1", None),
    (b"\x06\x02\x2b\x86", "ObjectIdentifier", "2b86", "hex"),
    (b"\x40\x04\xff\x00\x02\x01", "IpAddress", "255.0.2.1", None),
    (b"\x41\x05\x00\xff\xff\xff\xff", "Counter32", 2**32 - 1, None),
    (b"\x41\x01\xff", "Counter32", 255, None),
    (b"\x42\x05\xff\xff\xff\xff\xfe", "Gauge32", 2**32 - 2, None),
    (b"\x43\x04\xff\xff\xff\xff", "TimeTicks", 2**32 - 1, None),
    (b"\x43\x00", "TimeTicks", "", "hex"),
    (b"\x44\x07\x9f\x78\x04\x42\xf6\x00\x00", "Opaque", "9f780442f60000", "hex"),  # a float in an Opaque
    (b"\x46\x09\x00" + b"\xff" * 8, "Counter64", 2**64 - 1, None),
    (b"\x46\x08" + b"\xff" * 8, "Counter64", 2**64 - 1, None),
    (b"\x46\x09\x01" + bytes(8), "Counter64", "01" + "00" * 8, "hex"),
    (b"\x80\x00", "noSuchObject", None, None),
    (b"\x81\x00", "noSuchInstance", None, None),
    (b"\x82\x00", "endOfMibView", None, None),
    (b"\x45\x02\x01\x02", "tag-0x45", "0102", "hex"),  # NsapAddress
    (b"\x30\x03\x02\x01\x05", "tag-0x30", "020105", "hex"),
    (b"\x30\x03\x02\x7f\x05", "tag-0x30", "027f05", "hex"),  # what is inside need not be BER
    (b"\x30\x01\x02", "tag-0x30", "02", "hex"),
    (b"\x24\x04\x04\x02ab", "tag-0x24", "04026162", "hex"),  # a constructed OCTET STRING
    (b"\x9f\x78\x04\x42\xf6\x00\x00", "tag-0x9f78", "42f60000", "hex"),  # a float without its Opaque
]


@pytest.mark.parametrize(("octets", "kind", "value", "encoding"), VALUES, ids=[octets.hex() for octets, *_ in VALUES])
def test_value(octets: bytes, kind: str, value: Value, encoding: str | None) -> None:
    """Each type becomes a number, text or hexadecimal octets; octets that are text are exactly their own text."""
    varbind, _ = read(octets)
    assert (varbind.type, varbind.value, varbind.encoding) == (kind, value, encoding)


def test_symptom_v1_time_stamp_as_integer() -> None:
    """Net-SNMP drops these traps (netxms#3576); a negative one is TimeTicks that went past 2^31."""
    notification = decode_notification(v1(time_stamp=b"\x02\x04\x80\x00\x00\x01"))
    assert notification.uptime_centis == 2**31 + 1
    assert notification.flags == ("uptime_type",)


def test_symptom_full_oid_in_enterprise() -> None:
    """An enterprise that already ends in 0.specific (netxms#3576) is translated by the letter of RFC 3584."""
    enterprise = tlv(0x06, oid_contents("1.3.6.1.4.1.9.0.5"))
    assert decode_notification(v1(enterprise=enterprise)).trap_oid == "1.3.6.1.4.1.9.0.5.0.5"


def test_symptom_misplaced_heads() -> None:
    """sysUpTime.0 and snmpTrapOID.0 at the end are found; the others keep their order."""
    first, second = (tlv(0x30, NAME + bytes((0x02, 1, n))) for n in (1, 2))
    notification = decode_notification(v2c(first + TRAP_OID + second + UPTIME))
    assert (notification.uptime_centis, notification.trap_oid) == (5, "1.2.3")
    assert [varbind.value for varbind in notification.varbinds] == [1, 2]
    assert notification.flags == ("heads_misplaced",)


def test_symptom_no_varbinds_at_all() -> None:
    """A trap that says nothing is still a trap."""
    notification = decode_notification(v2c(b""))
    assert (notification.uptime_centis, notification.trap_oid, notification.varbinds) == (None, "0.0", [])
    assert notification.flags == ("uptime_missing", "trap_oid_missing")


def test_symptom_heads_of_another_type_stay_varbinds() -> None:
    """A sysUpTime.0 that is text and a snmpTrapOID.0 that is text are kept where the sender put them."""
    heads = UPTIME.replace(b"\x43\x01\x05", b"\x04\x01x") + TRAP_OID.replace(b"\x06\x02\x2a\x03", b"\x04\x02hi")
    notification = decode_notification(v2c(heads))
    assert [varbind.value for varbind in notification.varbinds] == ["x", "hi"]
    assert notification.flags == ("uptime_missing", "trap_oid_missing")


def test_symptom_repeated_heads_stay_varbinds() -> None:
    """Of two snmpTrapOID.0 the first counts; the other is a binding like any other."""
    notification = decode_notification(v2c(UPTIME + TRAP_OID + TRAP_OID))
    assert [varbind.value for varbind in notification.varbinds] == ["1.2.3"]


@pytest.mark.parametrize(("generic", "trap_oid"), [(n, f"1.3.6.1.6.3.1.1.5.{n + 1}") for n in range(6)])
def test_v1_generic_traps(generic: int, trap_oid: str) -> None:
    """RFC 3584 section 3.1 (2): coldStart to egpNeighborLoss are the arcs of snmpTraps."""
    assert decode_notification(v1(generic=bytes((0x02, 1, generic)))).trap_oid == trap_oid


def test_trap_address() -> None:
    """The device's address is agent-addr or snmpTrapAddress.0; 0.0.0.0 means that it does not know."""
    relayed: list[tuple[str, str, Value]] = [("1.3.6.1.6.3.18.1.3.0", "IpAddress", "192.0.2.9")]
    for agent_addr, varbinds, address in (
        ("192.0.2.1", [], "192.0.2.1"),
        ("0.0.0.0", [], None),
        ("0.0.0.0", relayed, "192.0.2.9"),
    ):
        datagram = encode_v1(
            community=b"c",
            enterprise="1.3.6.1.4.1.9",
            agent_addr=agent_addr,
            generic=0,
            specific=0,
            uptime_centis=0,
            varbinds=varbinds,
        )
        notification = decode_notification(datagram)
        assert notification.trap_address == address
        assert [v.oid for v in notification.varbinds].count("1.3.6.1.6.3.18.1.3.0") == 1
    assert decode_notification(trap(relayed)).trap_address == "192.0.2.9"


def trap(varbinds: list[tuple[str, str, Value]], request_id: int = 7, community: bytes = b"public") -> bytes:
    """An SNMPv2c linkDown."""
    return encode_v2c(
        community=community,
        pdu="trap",
        request_id=request_id,
        uptime_centis=99,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=varbinds,
    )


def test_digest_is_of_what_was_said() -> None:
    """The same notification to two receivers has one digest, whatever the request-id and the community."""
    said: list[tuple[str, str, Value]] = [("1.3.6.1.9", "Integer32", 1)]
    first = decode_notification(trap(said)).digest
    assert decode_notification(trap(said, request_id=8, community=b"other")).digest == first
    assert decode_notification(trap([("1.3.6.1.9", "Integer32", 2)])).digest != first


def test_limits_are_exact() -> None:
    """What is at the limit passes, what is one above does not, also for bindings that were decoded before."""
    datagram = trap([("1.3.6.1.2.3", "Integer32", 1)] * 8)
    decode_notification(datagram, Limits(varbinds_max=10, oid_arcs_max=11, datagram_bytes_max=len(datagram)))
    assert reason_of(datagram, Limits(varbinds_max=9)) == "too_many_varbinds"
    assert reason_of(datagram, Limits(oid_arcs_max=8)) == "oid_too_long"
    assert reason_of(datagram, Limits(datagram_bytes_max=len(datagram) - 1)) == "datagram_too_big"
    decode_notification(with_value(DEEP), Limits(nesting_max=9))


def test_random_oids_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caches are emptied when they are full."""
    monkeypatch.setattr("netmon.snmp.ber.CACHE_ENTRIES_MAX", 100)
    monkeypatch.setattr("netmon.snmp.notification.CACHE_ENTRIES_MAX", 100)
    OID_CACHE.clear()
    for arc in range(1_000):
        decode_notification(trap([(f"1.3.6.1.9.{arc}", "Integer32", 1)]))
        assert len(OID_CACHE) <= 100
