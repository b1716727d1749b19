"""What the tests of the trap receiver share: records as the kernel writes them, and journals made of them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netmon.model import LaneSettings, RedisSettings
from netmon.trap_receiver.journal.segment import LAYOUT_IPV6, Frame, Position, Reader, records, segment_path, segments
from netmon.trap_receiver.journal.writer import JournalWriter

NOON_NS = 1_767_268_800_000_000_000
"""2026-01-01 12:00:00 UTC."""
START = Position(0, 0, 0)


def lane_settings(directory: Path, **others: Any) -> LaneSettings:
    """Those of a lane whose Redis nobody can reach; `others` as in `LaneSettings`."""
    needed = {"receiver": "test", "lane": 0, "listen": "", "redis": RedisSettings(url="redis://192.0.2.1")}
    return LaneSettings(directory=str(directory), **{**needed, **others})


def record_ipv6(
    payload: bytes = b"",
    *,
    peer: str = "::ffff:192.0.2.7",
    port: int = 50_000,
    local: str = "2001:db8::1",
    unix_ns: int = NOON_NS,
    scope: int = 0,
) -> bytes:
    """A record of an AF_INET6 socket: timestamp and packet information (cmsg(3)), sockaddr_in6 (ipv6(7)), payload."""
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    timestamp = struct.pack("@Nii", 32, socket.SOL_SOCKET, 35) + struct.pack("=qq", seconds, nanoseconds)
    information = struct.pack("@Nii", 36, socket.IPPROTO_IPV6, 50) + socket.inet_pton(socket.AF_INET6, local)
    interface = struct.pack("=Ixxxx", 3)
    name = struct.pack("=H2sI", socket.AF_INET6, port.to_bytes(2, "big"), 0xABCD)
    address = socket.inet_pton(socket.AF_INET6, peer) + struct.pack("=I", scope)
    return timestamp + information + interface + name + address + payload


def record_ipv4(
    payload: bytes = b"",
    *,
    peer: str = "192.0.2.7",
    port: int = 50_000,
    local: str = "192.0.2.1",
    unix_ns: int = NOON_NS,
) -> bytes:
    """A record of an AF_INET socket: timestamp and packet information (ip(7)), sockaddr_in, payload."""
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    timestamp = struct.pack("@Nii", 32, socket.SOL_SOCKET, 35) + struct.pack("=qq", seconds, nanoseconds)
    destination = socket.inet_aton("203.0.113.9")
    information = struct.pack("@Nii", 28, socket.IPPROTO_IP, 8) + struct.pack("=I", 3) + destination
    name = struct.pack("=H2s", socket.AF_INET, port.to_bytes(2, "big")) + socket.inet_aton(peer) + bytes(8)
    return timestamp + information + socket.inet_aton(local) + bytes(4) + name + payload


def open_writer(
    directory: Path, *, segment_bytes: int = 4_096, bytes_max: int = 1 << 30, durable_seq: int = 0
) -> JournalWriter:
    """A writer with segments so small that a few frames fill one."""
    return JournalWriter(directory, segment_bytes=segment_bytes, bytes_max=bytes_max, durable_seq=durable_seq)


def append(writer: JournalWriter, payloads: Iterable[bytes]) -> Position:
    """Appends one frame; returns the place behind it."""
    batch = list(payloads)
    writer.append(LAYOUT_IPV6, [len(payload) for payload in batch], b"".join(map(record_ipv6, batch)))
    return writer.position


def end_of(directory: Path) -> Position:
    """A limit behind everything that the files hold."""
    last = segments(directory)[-1]
    return Position(last, segment_path(directory, last).stat().st_size, 0)


def read_back(directory: Path, limit: Position, start: Position = START) -> list[tuple[int, bytes]]:
    """seq and payload of every datagram that a new reader finds."""
    reader = Reader(directory, start)
    found = []
    while isinstance(frame := reader.next(limit), Frame):
        found += [(frame.first_seq + index, record.payload) for index, record in enumerate(records(frame))]
    reader.close()
    return found
