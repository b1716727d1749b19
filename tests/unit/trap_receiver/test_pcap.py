"""Packets that a dissector finds sound; read back here by hand, and by tcpdump in the end-to-end tests."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.trap_receiver.journal.pcap import checksum, file_header, packet
from netmon.trap_receiver.journal.segment import Record

NOON_NS = 1_767_268_800_123_456_789


def record(peer: str, local: str, payload: bytes = b"trap", port: int = 50_000) -> Record:
    """A datagram as the journal gives it."""
    return Record(NOON_NS, peer, port, local, payload)


def word_sum(data: bytes) -> int:
    """Ones' complement sum of 16-bit words, as RFC 1071 section 4.1 writes it."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_file_says_what_it_is() -> None:
    """Magic of nanoseconds, version 2.4, raw IP."""
    assert struct.unpack("<IHHiIII", file_header()) == (0xA1B23C4D, 2, 4, 0, 0, 262_144, 101)


@pytest.mark.parametrize(
    ("peer", "local", "head_bytes"), [("192.0.2.7", "198.51.100.1", 20), ("2001:db8::7", "2001:db8::1", 40)]
)
@pytest.mark.parametrize("payload", [b"", b"odd", b"even", bytes(65_507), b"\xff" * 65_507])
def test_headers_are_sound(peer: str, local: str, head_bytes: int, payload: bytes) -> None:
    """Time, lengths, addresses, ports, checksums; payloads of every size that a datagram can have."""
    data = packet(record(peer, local, payload), 162)
    seconds, nanoseconds, kept, length = struct.unpack_from("<IIII", data)
    ip = data[16:]
    assert (seconds * 1_000_000_000 + nanoseconds, kept, length) == (NOON_NS, len(ip), head_bytes + 8 + len(payload))
    source, destination = ipaddress.ip_address(peer).packed, ipaddress.ip_address(local).packed
    assert ip[head_bytes - 2 * len(source) : head_bytes] == source + destination
    from_port, to_port, udp_bytes, _ = struct.unpack_from(">HHHH", ip, head_bytes)
    assert (from_port, to_port, udp_bytes) == (50_000, 162, 8 + len(payload))
    assert ip[head_bytes + 8 :] == payload
    pseudo = source + destination + struct.pack(">II", udp_bytes, 17)
    assert word_sum(pseudo + ip[head_bytes:]) == 0xFFFF
    if head_bytes == 20:
        assert (word_sum(ip[:20]), struct.unpack_from(">H", ip, 2)[0]) == (0xFFFF, 28 + len(payload))
    else:
        assert struct.unpack_from(">IHB", ip) == (6 << 28, udp_bytes, 17)


def test_more_than_a_packet_can_carry_is_cut_and_said_so() -> None:
    """IPv6 over the loopback carries 20 octets more than IPv4 can; what is beyond is missing, not a broken file."""
    _, _, kept, length = struct.unpack_from("<IIII", packet(record("192.0.2.7", "192.0.2.1", bytes(65_527)), 162))
    assert (kept, length) == (65_535, 65_555)
    _, _, kept, length = struct.unpack_from("<IIII", packet(record("::1", "::1", bytes(65_527)), 162))
    assert (kept, length) == (65_575, 65_575)


def test_odd_addresses() -> None:
    """A zone is not on the wire; an address of ours that the kernel did not tell is unspecified."""
    assert packet(record("fe80::1%3", "2001:db8::1"), 162)[24:40] == ipaddress.ip_address("fe80::1").packed
    assert packet(record("192.0.2.7", "::"), 162)[16 + 16 : 16 + 20] == bytes(4)


@given(st.binary(max_size=64))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    """The quick way and the book's give the same."""
    assert checksum(data) == 0xFFFF - word_sum(data)
