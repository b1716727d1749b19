"""Laws over any bytes, any damage and any notification; pysnmp is the oracle for those that are right."""

from __future__ import annotations

import ipaddress
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder as oracle
from pysnmp.proto import api
from pysnmp.proto.proxy import rfc2576

from netmon.errors import DecodeError
from netmon.mib.catalogue import load_names
from netmon.model import Limits, Varbind
from netmon.snmp import (
    FLAGS,
    REASONS,
    SNMP_TRAP_ADDRESS,
    SNMP_TRAP_COMMUNITY,
    SNMP_TRAP_ENTERPRISE,
    SNMP_TRAP_OID,
    SYS_UPTIME,
    Notification,
    decode_notification,
    encode_response,
    find_inform,
    mask_community,
)
from netmon.snmp.encode import TypedVarbind, encode_v1, encode_v2c
from netmon.snmp.notification import _VARBIND_CACHE

WITHOUT_SHORT_CUTS = Limits(oid_arcs_max=63)
"""So tight that nothing cached and no guess is used, wide enough for the OIDs that are made here."""
NAMES = load_names(())
UINT32 = st.integers(0, 2**32 - 1)

oids = st.builds(
    lambda first, second, rest: ".".join(map(str, (first, second, *rest))),
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.one_of(st.integers(0, 255), UINT32), max_size=20),
)
addresses = st.ip_addresses(v=4).map(str)
v1_values = st.one_of(
    st.tuples(st.just("Integer32"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("OctetString"), st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode))),
    st.tuples(st.just("Null"), st.none()),
    st.tuples(st.just("ObjectIdentifier"), oids),
    st.tuples(st.just("IpAddress"), addresses),
    st.tuples(st.sampled_from(("Counter32", "Gauge32", "TimeTicks")), UINT32),
    st.tuples(st.just("Opaque"), st.binary(max_size=20)),
)
values = st.one_of(
    v1_values,
    st.tuples(st.just("Counter64"), st.integers(0, 2**64 - 1)),
    st.tuples(st.sampled_from(("noSuchObject", "noSuchInstance", "endOfMibView")), st.none()),
)


def varbind_lists(of_values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[TypedVarbind]]:
    """Lists of bindings, long enough for lengths of two octets."""
    return st.lists(st.tuples(oids, of_values).map(lambda pair: (pair[0], *pair[1])), max_size=12)


v2c_fields = st.fixed_dictionaries(
    {
        "community": st.binary(max_size=140),
        "pdu": st.sampled_from(("trap", "inform")),
        "request_id": st.integers(-(2**31), 2**31 - 1),
        "uptime_centis": UINT32,
        "trap_oid": oids,
        "varbinds": varbind_lists(values),
    }
)
v1_fields = st.fixed_dictionaries(
    {
        "community": st.binary(max_size=20),
        "enterprise": oids,
        "agent_addr": addresses,
        "generic": st.integers(0, 6),
        "specific": st.integers(0, 2**31 - 1),
        "uptime_centis": UINT32,
        "varbinds": varbind_lists(v1_values),
    }
)


def any_v2c(fields: dict[str, Any]) -> bytes:
    """The message of `v2c_fields`."""
    return encode_v2c(**fields)


def any_v1(fields: dict[str, Any]) -> bytes:
    """The message of `v1_fields`."""
    return encode_v1(**fields)


datagrams = st.one_of(v2c_fields.map(any_v2c), v1_fields.map(any_v1))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good datagram with octets changed, cut out or put in."""
    octets = bytearray(draw(datagrams))
    for _ in range(draw(st.integers(1, 4))):
        pos = draw(st.integers(0, len(octets)))
        removed = draw(st.sampled_from((0, 1, 1, 1, 5)))
        octets[pos : pos + removed] = draw(st.one_of(st.binary(min_size=1, max_size=1), st.binary(max_size=4)))
    return bytes(octets)


def outcome(datagram: bytes, limits: Limits | None = None) -> Notification | tuple[str, int]:
    """The notification, or why there is none and where."""
    try:
        return decode_notification(datagram, limits or Limits())
    except DecodeError as error:
        return error.reason, error.offset


def octets_of(varbind: Varbind) -> bytes:
    """The octets that a string stands for."""
    assert isinstance(varbind.value, str)
    return bytes.fromhex(varbind.value) if varbind.encoding == "hex" else varbind.value.encode()


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=200), damaged()))
@example(b"")
def test_any_bytes_decode_or_raise_decode_error(datagram: bytes) -> None:
    """Whatever arrives, the answer is in the closed sets, and the same when parts of it are cached."""
    first = outcome(datagram)
    if isinstance(first, Notification):
        assert set(first.flags) <= set(FLAGS)
        assert len(set(first.flags)) == len(first.flags)
        assert all(-(2**63) <= v.value < 2**64 for v in first.varbinds if isinstance(v.value, int))
    else:
        assert first[0] in REASONS
        assert 0 <= first[1] <= len(datagram)
    assert outcome(datagram) == first
    _VARBIND_CACHE.clear()
    assert outcome(datagram) == first
    assert outcome(datagram, WITHOUT_SHORT_CUTS) in (first, ("oid_too_long", ANY))


@settings(max_examples=200, deadline=None)
@given(datagrams, datagrams)
def test_caches_never_leak_between_datagrams(one: bytes, other: bytes) -> None:
    """A datagram decodes the same before and after any other, and with caches that were just emptied."""
    before = outcome(one)
    outcome(other)
    assert outcome(one) == before
    assert outcome(one, WITHOUT_SHORT_CUTS) == before


def expected_varbind(sent: TypedVarbind, got: Varbind) -> tuple[str, str, object]:
    """What came back, in the form in which it was sent."""
    value = sent[2]
    if isinstance(value, bytes):
        assert octets_of(got) == value
        return got.oid, got.type, value
    return got.oid, got.type, got.value


@settings(max_examples=200, deadline=None)
@given(v2c_fields)
def test_v2c_round_trip(fields: dict[str, Any]) -> None:
    """What was encoded is what is decoded, and nothing had to be forgiven."""
    got = decode_notification(encode_v2c(**fields))
    assert {name: getattr(got, name) for name in fields if name != "varbinds"} == {
        name: value for name, value in fields.items() if name != "varbinds"
    }
    sent = fields["varbinds"]
    assert [expected_varbind(*pair) for pair in zip(sent, got.varbinds, strict=True)] == sent
    assert (got.version, got.flags) == ("v2c", ())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_octets_are_always_recoverable(octets: bytes) -> None:
    """Text is exactly its octets in UTF-8, everything else is hexadecimal."""
    fields: dict[str, Any] = {"community": b"", "pdu": "trap", "request_id": 1, "uptime_centis": 1, "trap_oid": "1.3"}
    (got,) = decode_notification(encode_v2c(**fields, varbinds=[("1.3.6", "OctetString", octets)])).varbinds
    assert octets_of(got) == octets


def oracle_value(value: Any) -> object:
    """A value of pysnmp as `model.Varbind` has it; octets as bytes."""
    kind = type(value).__name__
    if kind in ("Null", "NoSuchObject", "NoSuchInstance", "EndOfMibView"):
        return None
    if kind == "IpAddress":
        return str(ipaddress.IPv4Address(bytes(value)))
    if kind in ("OctetString", "Opaque"):
        return bytes(value)
    return str(value) if kind == "ObjectIdentifier" else int(value)


def our_value(varbind: Varbind) -> object:
    """The same for ours."""
    return octets_of(varbind) if varbind.type in ("OctetString", "Opaque") else varbind.value


@settings(max_examples=120, deadline=None)
@given(v2c_fields)
def test_pysnmp_reads_v2c_as_we_do(fields: dict[str, Any]) -> None:
    """PySNMP's decoder agrees on every field of an SNMPv2c notification."""
    datagram = encode_v2c(**fields)
    got = decode_notification(datagram)
    v2c = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
    message, rest = oracle.decode(datagram, asn1Spec=v2c.Message())
    assert not rest
    pdu = v2c.apiMessage.get_pdu(message)
    bindings = [(str(oid), oracle_value(value)) for oid, value in v2c.apiPDU.get_varbinds(pdu)]
    assert bytes(v2c.apiMessage.get_community(message)) == got.community
    assert int(v2c.apiPDU.get_request_id(pdu)) == got.request_id
    assert pdu.isSameTypeWith(v2c.InformRequestPDU()) == (got.pdu == "inform")
    assert bindings[:2] == [(SYS_UPTIME, got.uptime_centis), (SNMP_TRAP_OID, got.trap_oid)]
    assert bindings[2:] == [(varbind.oid, our_value(varbind)) for varbind in got.varbinds]


@settings(max_examples=120, deadline=None)
@given(v1_fields)
def test_pysnmp_translates_v1_as_we_do(fields: dict[str, Any]) -> None:
    """PySNMP's RFC 2576 proxy makes the same SNMPv2 trap of an SNMPv1 trap, but for the community, which we leave out.

    It puts the two bindings of RFC 3584 section 3.1 (4) first, we put them last, as the text says.
    """
    datagram = encode_v1(**fields)
    got = decode_notification(datagram)
    v1 = api.PROTOCOL_MODULES[api.SNMP_VERSION_1]
    message, rest = oracle.decode(datagram, asn1Spec=v1.Message())
    assert not rest
    translated = rfc2576.v1_to_v2(v1.apiMessage.get_pdu(message))
    v2c = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
    bindings = [(str(oid), oracle_value(value)) for oid, value in v2c.apiPDU.get_varbinds(translated)]
    assert bindings.pop(3) == (SNMP_TRAP_COMMUNITY, b"")
    assert bindings[:2] == [(SYS_UPTIME, got.uptime_centis), (SNMP_TRAP_OID, got.trap_oid)]
    ours = [(varbind.oid, our_value(varbind)) for varbind in got.varbinds]
    assert bindings[2:] == ours[-2:] + ours[:-2]
    assert tuple(oid for oid, _ in ours[-2:]) == (SNMP_TRAP_ADDRESS, SNMP_TRAP_ENTERPRISE)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=100), damaged(), datagrams))
@example(b"\x30\x82\xff\xff\x02\x01\x00\x04\x84\xff\xff\xff\xffpublic")
def test_masking_hides_the_community_and_nothing_else(datagram: bytes) -> None:
    """Masking keeps the length, is done by once, and touches one run of octets: all of what decoding calls community."""
    masked = mask_community(datagram)
    assert len(masked) == len(datagram)
    assert mask_community(masked) == masked
    changed = [pos for pos, (was, now) in enumerate(zip(datagram, masked, strict=True)) if was != now]
    if changed:
        assert set(masked[changed[0] : changed[-1] + 1]) == {0x2A}
    before, after = outcome(datagram), outcome(masked)
    if isinstance(before, Notification):
        assert isinstance(after, Notification)
        assert after.community == b"*" * len(before.community)
        assert (after.varbinds, after.trap_oid, after.flags) == (before.varbinds, before.trap_oid, before.flags)
    else:
        assert after == before


@settings(max_examples=50, deadline=None)
@given(v2c_fields)
def test_masking_works_on_every_piece(fields: dict[str, Any]) -> None:
    """However early a message is cut, none of the community's octets are left."""
    fields["community"] = b"\xf5\xf5\xf5\xf5"  # octets that stand nowhere else before it
    datagram = encode_v2c(**fields)
    start = datagram.index(fields["community"])
    for length in range(len(datagram)):
        assert mask_community(datagram[:length])[start : start + 4] == b"****"[: max(0, length - start)]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), damaged(), datagrams))
def test_names_only_add(datagram: bytes) -> None:
    """With the standard modules' names everything is decoded, or refused, as it is without them."""
    try:
        plain = decode_notification(datagram)
    except DecodeError as error:
        with pytest.raises(DecodeError, match=str(error)):
            decode_notification(datagram, Limits(), NAMES)
        return
    named = decode_notification(datagram, Limits(), NAMES)
    varbinds = [msgspec.structs.replace(v, name=None, label=None, text=None, unit=None) for v in named.varbinds]
    assert msgspec.structs.replace(named, name=None, varbinds=varbinds) == plain


def test_masking_leaves_snmpv3_alone() -> None:
    """An SNMPv3 message has no community."""
    datagram = bytes.fromhex("300e020103300902010102020100040100")
    assert mask_community(datagram) == datagram


@settings(max_examples=200, deadline=None)
@given(v2c_fields, st.binary(max_size=3))
def test_response_answers_exactly_the_inform(fields: dict[str, Any], trailing: bytes) -> None:
    """RFC 3416 section 4.2.7: same request-id, community and bindings, no error; only informs are answered."""
    datagram = encode_v2c(**fields)
    assert find_inform(datagram + trailing) == (fields["pdu"] == "inform")
    if fields["pdu"] == "trap":
        with pytest.raises(DecodeError, match="pdu_not_notification"):
            encode_response(datagram, Limits())
        return
    response = encode_response(datagram + trailing, Limits())
    differing = [pos for pos, (was, now) in enumerate(zip(datagram, response, strict=True)) if was != now]
    assert [(datagram[pos], response[pos]) for pos in differing] == [(0xA6, 0xA2)]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=100), damaged()))
def test_response_or_decode_error(datagram: bytes) -> None:
    """Any bytes get a Response or a DecodeError; `find_inform` says yes to all that get a Response."""
    try:
        response = encode_response(datagram, Limits())
    except DecodeError:
        return
    assert find_inform(datagram)
    assert response[0] == 0x30
    with pytest.raises(DecodeError, match="pdu_not_notification"):
        decode_notification(response)


def test_response_clears_the_error_status() -> None:
    """An inform that carries an error status and padded lengths is answered without either."""
    inform = bytes.fromhex("308113 020101 0400 a60c 0201ff 020105 02020101 3000")
    response = bytes.fromhex("3012 020101 0400 a20b 0201ff 020100 020100 3000")
    assert encode_response(inform + b"\x00", Limits()) == response
