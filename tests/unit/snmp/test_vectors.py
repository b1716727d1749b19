"""Malformed traps that broke other receivers, from captures outside the repository."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmon.errors import DecodeError
from netmon.model import Limits
from netmon.snmp import FLAGS, REASONS, decode_notification, encode_response, find_inform, mask_community

_UDP_PAYLOAD = 14 + 20 + 8
"""Ethernet, IPv4 without options, UDP."""


@pytest.fixture
def traps(sample_data: Path) -> Path:
    """The folder of captured traps."""
    folder = sample_data / "traps"
    if not folder.is_dir():
        pytest.skip(f"no captured traps in {folder}: set NETMON_TEST_DATA")
    return folder


def frames(capture: bytes) -> Iterator[bytes]:
    """The frames of a little-endian pcap file; one cut short at the end of the file is given as far as it goes."""
    assert capture[:4] == b"\xd4\xc3\xb2\xa1"
    pos = 24
    while pos + 16 <= len(capture):
        (captured_bytes,) = struct.unpack_from("<I", capture, pos + 8)
        yield capture[pos + 16 : pos + 16 + captured_bytes]
        pos += 16 + captured_bytes


def outcome(datagram: bytes) -> str:
    """How a datagram is decoded: its flags, or why not; anything but a DecodeError goes through."""
    try:
        words = decode_notification(datagram).flags
    except DecodeError as error:
        words = (error.reason,)
    assert set(words) <= {*FLAGS, *REASONS}
    return " ".join(words) or "ok"


def test_protos_traps_have_one_outcome_each(traps: Path) -> None:
    """The first twelve traps of PROTOS c06-snmpv1: six good ones, then PDU tags in many octets."""
    capture = (traps / "protos-c06-snmpv1-trap-app-1-12.pcap").read_bytes()
    assert [outcome(frame[_UDP_PAYLOAD:]) for frame in frames(capture)] == ["ok"] * 6 + ["tag_unexpected"] * 6


def test_every_suffix_of_every_capture_decodes_or_is_refused(traps: Path) -> None:
    """Captures that overflowed tcpdump's heap, read from each byte on, raise nothing but DecodeError."""
    for file in sorted(traps.glob("*.pcap")):
        content = file.read_bytes()
        for start in range(len(content)):
            datagram = content[start:]
            outcome(datagram)
            find_inform(datagram)
            assert len(mask_community(datagram)) == len(datagram)


def test_cold_start_of_an_old_agent(traps: Path) -> None:
    """An SNMPv1 coldStart is translated by RFC 3584 section 3.1."""
    datagram = (traps / "snmpv1_trap_coldstart.bin").read_bytes()
    notification = decode_notification(datagram)
    assert notification.trap_oid == "1.3.6.1.6.3.1.1.5.1"
    assert [(varbind.oid, varbind.value) for varbind in notification.varbinds] == [
        ("1.3.6.1.2.1.2.1.0", 33),
        ("1.3.6.1.6.3.18.1.3.0", "127.0.0.1"),
        ("1.3.6.1.6.3.1.1.4.3.0", "1.3.6.1.4.1.4.1.2.21"),
    ]
    assert notification.trap_address == "127.0.0.1"
    with pytest.raises(DecodeError, match="pdu_not_notification"):
        encode_response(datagram, Limits())
