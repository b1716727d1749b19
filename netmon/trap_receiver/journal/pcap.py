"""A capture file of datagrams that were received: pcap with nanoseconds, raw IP with headers made anew. Pure.

The journal has what the kernel told: addresses, the sender's port, the payload. The rest of the headers is made up so that a
dissector finds it sound: lengths and checksums are right, identification and flow label are 0, nothing is fragmented.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from netmon.trap_receiver.journal.segment import Record

_MAGIC_NS: Final = 0xA1B2_3C4D
"""Little-endian here, with nanoseconds (pcap-savefile(5))."""
_LINKTYPE_RAW: Final = 101
"""IPv4 or IPv6, as its first four bits say."""
_SNAPSHOT_BYTES: Final = 262_144
_FILE_HEADER: Final = struct.Struct("<IHHiIII")
_PACKET_HEADER: Final = struct.Struct("<IIII")
_IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
_IPV6: Final = struct.Struct(">IHBB16s16s")
_UDP: Final = struct.Struct(">HHHH")
_UDP_NUMBER: Final = 17
_TTL: Final = 64
_DO_NOT_FRAGMENT: Final = 0x4000
_LENGTH_MAX: Final = 0xFFFF
"""Of an IPv4 packet, or of what follows an IPv6 header."""

_SECOND: Final = 1_000_000_000


def file_header() -> bytes:
    """What a file begins with."""
    return _FILE_HEADER.pack(_MAGIC_NS, 2, 4, 0, 0, _SNAPSHOT_BYTES, _LINKTYPE_RAW)


def packet(record: Record, port: int) -> bytes:
    """One datagram as a packet of the file.

    Args:
        record: From the journal.
        port: UDP port that it was sent to.
    """
    source, destination = _addresses(record)
    v6 = isinstance(source, ipaddress.IPv6Address)
    room = _LENGTH_MAX - _UDP.size - (0 if v6 else _IPV4.size)
    # More than a packet can carry cannot have come in one; what fits is shown, and that there was more.
    payload = record.payload[:room]
    udp = _udp(source.packed, destination.packed, record.peer_port, port, payload)
    head = (
        _ipv6(source.packed, destination.packed, len(udp)) if v6 else _ipv4(source.packed, destination.packed, len(udp))
    )
    seconds, nanoseconds = divmod(record.received_unix_ns, _SECOND)
    size = len(head) + len(udp)
    missing = len(record.payload) - len(payload)
    return _PACKET_HEADER.pack(seconds & 0xFFFF_FFFF, nanoseconds, size, size + missing) + head + udp


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071: the complement of the ones' complement sum of 16-bit words."""
    total = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big")
    # Modulo 2^16 - 1 the words of a number add up; only a sum of nothing is 0, any other 0 is written 0xFFFF.
    return 0xFFFF - ((total % 0xFFFF) or (0xFFFF if total else 0))


def _addresses(record: Record) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]:
    """Source and destination, of one family; where ours is not known, its family's unspecified address."""
    source = ipaddress.ip_address(record.peer.partition("%")[0])
    destination = ipaddress.ip_address(record.local.partition("%")[0])
    return source, destination if destination.version == source.version else type(source)(0)


def _udp(source: bytes, destination: bytes, from_port: int, to_port: int, payload: bytes) -> bytes:
    """RFC 768, with the pseudo-header of RFC 768 or RFC 8200 section 8.1."""
    length = _UDP.size + len(payload)
    # The same sum for both families: the fields are 16 or 32 bits wide, and zero where they differ.
    pseudo = source + destination + struct.pack(">II", length, _UDP_NUMBER)
    found = checksum(pseudo + _UDP.pack(from_port, to_port, length, 0) + payload)
    # 0 would say that there is none.
    return _UDP.pack(from_port, to_port, length, found or 0xFFFF) + payload


def _ipv4(source: bytes, destination: bytes, length: int) -> bytes:
    """RFC 791 section 3.1, without options."""
    fields = (0x45, 0, _IPV4.size + length, 0, _DO_NOT_FRAGMENT, _TTL, _UDP_NUMBER)
    found = checksum(_IPV4.pack(*fields, 0, source, destination))
    return _IPV4.pack(*fields, found, source, destination)


def _ipv6(source: bytes, destination: bytes, length: int) -> bytes:
    """RFC 8200 section 3."""
    return _IPV6.pack(6 << 28, length, _UDP_NUMBER, _TTL, source, destination)
