"""The journal: every datagram as it came, in append-only segment files, before anybody looks inside it.

A segment file is a header and then frames, one frame for each batch that capture took from the kernel:

    segment  "NETMONJ1" · journal id (16) · first seq u64 · created unix ns u64 · CRC-32 u32
    frame    "NMJF" · CRC-32 u32 · body bytes u32 · count u16 · layout u16 · first seq u64 · id ms u64 · body
    body     payload bytes u32 of each record, then the records, in the order of their seq
    record   the control messages and the peer's address as the kernel wrote them (100 bytes), then the payload

All integers are little-endian. A record is the kernel's own bytes, so that capture moves each datagram with one copy;
`records` reads them. `seq` counts the datagrams of a lane from 1 without gaps. `id ms` is the receive time in
milliseconds, held so that it never decreases: with seq it makes the entry's ID in the stream.

The files of sealed segments end after their last frame; the open one is allocated to its full size beforehand, so that
a disk filled by others does not stop it. The CRC covers the journal's ID and the frame but for itself. It finds the torn
end that a power cut leaves behind; and what is searched for the next sound frame behind damage was written by strangers,
who do not know the ID: a datagram that holds a frame of its sender's making is not taken for one.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

SEGMENT_MAGIC = b"NETMONJ1"
FRAME_MAGIC = b"NMJF"
SEGMENT_HEADER = struct.Struct("<8s16sQQI")
FRAME_HEADER = struct.Struct("<4sIIHHQQ")

LAYOUT_IPV6 = 6
"""Socket of AF_INET6, which also carries IPv4 as mapped addresses: 72 bytes of control messages, 28 of address."""
LAYOUT_IPV4 = 4
"""Socket of AF_INET, for a kernel without IPv6: 64 bytes of control messages, 16 of address."""
PREFIX_BYTES = {LAYOUT_IPV6: 100, LAYOUT_IPV4: 80}
"""Bytes in a record before the payload."""
_PREFIX = {
    # cmsghdr, seconds, nanoseconds; cmsghdr, local address, interface; sockaddr_in6
    LAYOUT_IPV6: struct.Struct("<16xqq16x16s4x4x2xH4x16sI"),
    # cmsghdr, seconds, nanoseconds; cmsghdr, interface, destination, local address; sockaddr_in
    LAYOUT_IPV4: struct.Struct("<16xqq16x4x4x4s4x2xH4s8x"),
}

ROOM_BYTES = 1 << 20
"""Free bytes that the open segment keeps for the next batch; a batch with more payload is split into frames."""
_READ_BYTES = 1 << 20
_ADDRESSES_MAX = 65_536
"""Addresses whose text is remembered; the memory is cleared when a flood of forged sources has filled it."""


class Position(NamedTuple):
    """A place in the journal: just after the datagram `seq`, at a byte of a segment."""

    segment: int
    """First seq of the segment: its file's name."""
    offset: int
    """Bytes from the file's start to the next frame; 0 stands for the first frame."""
    seq: int
    """Last datagram before this place; 0 at the journal's start."""


class Frame(NamedTuple):
    """One batch of datagrams, as read back."""

    first_seq: int
    id_ms: int
    layout: int
    lengths: tuple[int, ...]
    """Bytes of each payload."""
    records: bytes
    """The records, end to end."""
    after: Position
    """The place behind this frame."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One datagram and what the kernel said of it."""

    received_unix_ns: int
    peer: str
    peer_port: int
    local: str
    payload: bytes
    id_ms: int = 0
    """Of its frame: the receive time as it never goes back, whatever becomes of our clock."""

    @property
    def steady_unix_ns(self) -> int:
        """The receive time by which clocks of others, and our engine's, are judged: not long before any earlier one."""
        return max(self.received_unix_ns, self.id_ms * 1_000_000)


class SegmentHeader(msgspec.Struct, frozen=True):
    """The first bytes of a segment file."""

    journal_id: bytes
    first_seq: int
    created_unix_ns: int


class JournalFullError(OSError):
    """The journal may not grow: its quota is used up by datagrams that have not reached Redis."""

    def __init__(self, used_bytes: int, bytes_max: int) -> None:
        super().__init__(errno.EDQUOT, f"the journal uses {used_bytes} of {bytes_max} bytes")


def segment_path(directory: Path, first_seq: int) -> Path:
    """The file of the segment that begins with a seq."""
    return directory / f"{first_seq:020d}.nmj"


def segments(directory: Path) -> list[int]:
    """First seqs of the segments in a folder, ascending; may be empty."""
    return sorted(int(path.stem) for path in directory.glob("*.nmj") if path.stem.isdigit())


def frame_seed(journal_id: bytes) -> int:
    """What the CRC of each frame of a journal begins with."""
    return zlib.crc32(journal_id)


def encode_frame(seed: int, first_seq: int, id_ms: int, layout: int, lengths: list[int], records: bytes) -> bytes:
    """A frame's bytes.

    Args:
        seed: From `frame_seed`.
        first_seq: seq of the first record.
        id_ms: Milliseconds since 1970 UTC, not less than in the frame before.
        layout: `LAYOUT_IPV6` or `LAYOUT_IPV4`.
        lengths: Payload bytes of each record.
        records: The records end to end.
    """
    body = struct.pack(f"<{len(lengths)}I", *lengths) + records
    header = FRAME_HEADER.pack(FRAME_MAGIC, 0, len(body), len(lengths), layout, first_seq, id_ms)
    crc = zlib.crc32(body, zlib.crc32(header[8:], seed))
    return FRAME_HEADER.pack(FRAME_MAGIC, crc, len(body), len(lengths), layout, first_seq, id_ms) + body


def decode_frame(seed: int, data: bytes, at: int, segment: int, base: int) -> Frame | int | None:
    """The frame at byte `at` of `data`, which begins `base` bytes into its segment; `seed` is from `frame_seed`.

    Returns:
        The frame; or None where no sound frame stands; or, where `data` ends too early, the bytes that are needed from
        `at` on to know.
    """
    if len(data) - at < FRAME_HEADER.size:
        return FRAME_HEADER.size
    magic, crc, body_bytes, count, layout, first_seq, id_ms = FRAME_HEADER.unpack_from(data, at)
    if magic != FRAME_MAGIC or layout not in PREFIX_BYTES or body_bytes < count * (4 + PREFIX_BYTES[layout]):
        return None
    start = at + FRAME_HEADER.size
    end = start + body_bytes
    if end > len(data):
        return FRAME_HEADER.size + int(body_bytes)
    body = data[start:end]
    if zlib.crc32(body, zlib.crc32(data[at + 8 : start], seed)) != crc:
        return None
    lengths = struct.unpack_from(f"<{count}I", body)
    after = Position(segment, base + end, first_seq + count - 1)
    return Frame(first_seq, id_ms, layout, lengths, body[4 * count :], after)


class _AddressTexts(dict[bytes, str]):
    """Remembers the text of addresses that have no zone, which nearly all are."""

    def __missing__(self, raw: bytes) -> str:
        if len(self) >= _ADDRESSES_MAX:
            self.clear()
        text = self[raw] = address_text(raw)
        return text


_texts = _AddressTexts()


def address_text(raw: bytes, scope: int = 0) -> str:
    """An address for people: IPv4 and IPv4-mapped addresses dotted, IPv6 compressed, link-local with its zone."""
    if len(raw) == 4:
        return socket.inet_ntop(socket.AF_INET, raw)
    address = ipaddress.IPv6Address(raw)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return f"{address}%{scope}" if scope and address.is_link_local else str(address)


def records(frame: Frame) -> Iterator[Record]:
    """The datagrams of a frame, oldest first."""
    data = frame.records
    prefix = PREFIX_BYTES[frame.layout]
    unpack = _PREFIX[frame.layout].unpack_from
    texts = _texts
    swap = socket.ntohs
    at = 0
    for length in frame.lengths:
        seconds, nanoseconds, local, port, peer, *scope = unpack(data, at)
        start = at + prefix
        at = start + length
        yield Record(
            # A control message that the kernel did not write reads as 0: then the frame's own time stands in.
            seconds * 1_000_000_000 + nanoseconds or frame.id_ms * 1_000_000,
            address_text(peer, *scope) if scope and scope[0] else texts[peer],
            swap(port),
            texts[local],
            data[start:at],
            frame.id_ms,
        )


def read_segment_header(path: Path) -> SegmentHeader | None:
    """A segment's header, or None where the file has no sound one."""
    with path.open("rb") as file:
        data = file.read(SEGMENT_HEADER.size)
    if len(data) < SEGMENT_HEADER.size:
        return None
    magic, journal_id, first_seq, created, crc = SEGMENT_HEADER.unpack(data)
    if magic != SEGMENT_MAGIC or crc != zlib.crc32(data[:-4]):
        return None
    return SegmentHeader(journal_id, first_seq, created)


class Reader:
    """Follows a journal from a position, through segment after segment; never blocks, never writes."""

    def __init__(self, directory: Path, position: Position) -> None:
        self._directory = directory
        self.position = position
        self._segment = -1
        self._fd = -1
        self._seed = 0
        self._base = 0
        self._data = b""

    def seek(self, position: Position) -> None:
        """Goes to another position."""
        self.position = position
        self._base, self._data = 0, b""

    def next(self, limit: Position) -> Frame | None:
        """The next sound frame before `limit`, or None when there is none (yet).

        What is damaged or missing is stepped over: the caller sees it as a gap before `first_seq`, or, at the end, as
        `position` at the limit with less read than the limit's seq.

        Args:
            limit: Where the frames end that may be read: a position that commit or capture has published.
        """
        while self.position[:2] < limit[:2]:
            if self._open():
                frame = self._frame(limit)
                if frame is not None:
                    self.position = frame.after
                    return frame
            if not self._advance(limit):
                return None
        return None

    def close(self) -> None:
        """Closes the segment that is open."""
        if self._fd >= 0:
            os.close(self._fd)
        self._segment = self._fd = -1

    def _open(self) -> bool:
        if self._segment == self.position.segment:
            return True
        self.close()
        path = segment_path(self._directory, self.position.segment)
        try:
            header = read_segment_header(path)
            self._fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        # All segments have the same: with a damaged header, the one before still tells.
        self._seed = frame_seed(header.journal_id) if header else self._seed
        self._segment = self.position.segment
        self._base, self._data = 0, b""
        return True

    def _frame(self, limit: Position) -> Frame | None:
        """The next sound frame of the open segment, from `position` on and within the limit, or None."""
        at = max(self.position.offset, SEGMENT_HEADER.size)
        end = limit.offset if limit.segment == self._segment else os.fstat(self._fd).st_size
        while at < end:
            inside = self._base <= at < self._base + len(self._data)
            found = self._decode(at) if inside else 0
            if isinstance(found, Frame):
                return found
            if found is None or at + found > end:
                at = self._next_magic(at + 1)
            elif not self._load(at, min(max(found, _READ_BYTES), end - at)):
                return None
        return None

    def _decode(self, at: int) -> Frame | int | None:
        return decode_frame(self._seed, self._data, at - self._base, self._segment, self._base)

    def _next_magic(self, at: int) -> int:
        """Where, behind a damaged place, the next frame may begin."""
        found = self._data.find(FRAME_MAGIC, at - self._base)
        window_end = self._base + len(self._data)
        return self._base + found if found >= 0 else max(at, window_end - len(FRAME_MAGIC) + 1)

    def _load(self, at: int, size: int) -> bool:
        """Reads `size` bytes from `at`: never past what is published, for what lies behind it still changes."""
        self._base, self._data = at, os.pread(self._fd, size, at)
        return len(self._data) == size

    def _advance(self, limit: Position) -> bool:
        """Goes to the next segment that may be read; False, and on to the limit, when there is none."""
        for first_seq in segments(self._directory):
            if self.position.segment < first_seq <= limit.segment:
                self.position = Position(first_seq, 0, self.position.seq)
                return True
        self.position = Position(limit.segment, limit.offset, self.position.seq)
        return False


def locate(directory: Path, seq: int, limit: Position) -> Position:
    """A position from which reading meets the datagram `seq`, or the first one kept after it.

    The frame at the position may begin with datagrams before `seq`.
    """
    kept = segments(directory)
    if not kept:
        return limit
    before = [first_seq for first_seq in kept if first_seq <= seq]
    reader = Reader(directory, Position(before[-1] if before else kept[0], 0, 0))
    try:
        while True:
            here = reader.position
            frame = reader.next(limit)
            if frame is None:
                return limit
            if frame.after.seq >= seq:
                return Position(here.segment, here.offset, frame.first_seq - 1)
    finally:
        reader.close()
