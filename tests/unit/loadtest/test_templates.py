"""The storm's datagrams: real notifications, of one width, each with its number in place."""

from __future__ import annotations

import pytest

from loadtest.templates import (
    KINDS,
    NUMBER_OID,
    REQUEST_ID_BASE,
    RUN_MAX,
    RUN_MIN,
    Version,
    build,
    choose_kinds,
    number,
    source_address,
)
from netmon.errors import DecodeError
from netmon.model import Limits, Varbind
from netmon.snmp import Notification, decode_notification

REAL_KINDS = [kind for kind in KINDS if kind != "broken"]


def decode(datagram: bytes) -> Notification:
    """As the receiver does."""
    return decode_notification(datagram, Limits())


def test_the_linkdown_of_the_bar_has_178_bytes_and_7_varbinds() -> None:
    """The figures are measured with this datagram: two leading varbinds, four of IF-MIB, the number."""
    template = build("linkdown", "v2c", device=1_999)
    notification = decode(template.datagram)
    assert len(template.datagram) == 178
    assert len(notification.varbinds) == 5
    assert notification.uptime_centis is not None
    assert notification.trap_oid == "1.3.6.1.6.3.1.1.5.3"


@pytest.mark.parametrize("kind", REAL_KINDS)
@pytest.mark.parametrize("version", ["v1", "v2c", "inform"])
def test_every_kind_decodes_without_a_flag_to_its_own_oid(kind: str, version: Version) -> None:
    """The SNMPv1 form is translated (RFC 3584 section 3.1); nothing in any of them needs forgiving."""
    notification = decode(build(kind, version, device=7).datagram)
    translated = {"ups": "1.3.6.1.2.1.33.2.0.1", "bgp": "1.3.6.1.2.1.15.7.0.2", "ospf": "1.3.6.1.2.1.14.16.2.0.2"}
    expected = translated.get(kind) if version == "v1" else None
    assert notification.trap_oid == (expected or KINDS[kind].trap_oid)
    assert notification.version == ("v1" if version == "v1" else "v2c")
    assert notification.pdu == ("inform" if version == "inform" else "trap")
    assert notification.flags == ()


def test_the_broken_kind_is_refused_for_its_version() -> None:
    """It feeds the rejects stream."""
    with pytest.raises(DecodeError):
        decode(build("broken", "v2c", device=1).datagram)


@pytest.mark.parametrize(("run", "position"), [(RUN_MIN, 0), (RUN_MIN, (1 << 40) - 1), (RUN_MAX, 0), (RUN_MAX, 4_711)])
def test_a_number_patched_in_place_is_what_the_receiver_decodes(run: int, position: int) -> None:
    """Its width never changes, so that no length of the message does."""
    template = build("ups", "v2c", device=3)
    value = number(run, position)
    at = template.number_at
    datagram = template.datagram[:at] + value.to_bytes(8, "big") + template.datagram[at + 8 :]
    assert decode(datagram).varbinds[-1] == Varbind(NUMBER_OID, "Counter64", value)


def test_the_number_of_an_snmpv1_trap_is_text_of_sixteen_digits() -> None:
    """SNMPv1 has no Counter64."""
    template = build("ups", "v1", device=3)
    digits = b"%016x" % number(RUN_MIN, 255)
    datagram = template.datagram[: template.number_at] + digits + template.datagram[template.number_at + 16 :]
    assert [v for v in decode(datagram).varbinds if v.oid == NUMBER_OID] == [
        Varbind(NUMBER_OID, "OctetString", "01000000000000ff")
    ]


def test_a_request_id_patched_in_place_is_what_the_receiver_decodes() -> None:
    """An INFORM's answer is told by it."""
    template = build("linkdown", "inform", device=3)
    at = template.request_id_at
    datagram = template.datagram[:at] + (REQUEST_ID_BASE + 77).to_bytes(4, "big") + template.datagram[at + 4 :]
    assert decode(datagram).request_id == REQUEST_ID_BASE + 77


def test_sources_are_different_addresses_of_the_loopback_network() -> None:
    """Each device has an address of its own, none of them a network's or broadcast one."""
    addresses = [source_address(i) for i in range(65_000)]
    assert addresses[0] == "127.16.0.1"
    assert addresses[62_500] == "127.17.0.1"
    assert len(set(addresses)) == 65_000


def test_a_mix_is_drawn_by_weight_and_the_same_each_time() -> None:
    """Two storms with one seed are the same storm."""
    kinds = choose_kinds(["linkdown:3", "ups"], 4_000, seed=1)
    assert kinds == choose_kinds(["linkdown:3", "ups"], 4_000, seed=1)
    assert 2_900 < kinds.count("linkdown") < 3_100


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (["nonsense"], "no kind of notification is named 'nonsense'"),
        (["ups:0"], "weights of a mix are positive"),
        (["ups:many"], "could not convert string to float: 'many'"),
    ],
)
def test_an_impossible_mix_is_refused(mix: list[str], message: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(ValueError, match=message):
        choose_kinds(mix, 1, seed=1)
