"""Datagrams of the journal, read again with what is configured now; for late, for replay, and for what Redis has lost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from netmon.errors import DecodeError
from netmon.model import LaneSettings
from netmon.trap_receiver.decoder import Decoder
from netmon.trap_receiver.event import EventWriter
from netmon.trap_receiver.journal.marks import DIGEST_BYTES
from netmon.trap_receiver.journal.segment import (
    FRAME_HEADER,
    FRAME_MAGIC,
    SEGMENT_HEADER,
    Frame,
    Position,
    Reader,
    Record,
    records,
    segment_path,
    segments,
)
from netmon.trap_receiver.late.log import REJECT, TRAP
from netmon.trap_receiver.ledger import CONTROL_REASONS, PARKED

_SEALED_MAX: Final = 4_096
"""Segments whose last seq is remembered; they do not change."""
_END: Final = (1 << 64) - 1
_UNREADABLE = frozenset((*PARKED, *CONTROL_REASONS))


class Reading(NamedTuple):
    """What a datagram is now."""

    kind: int
    """`log.TRAP` or `log.REJECT`."""
    body: bytes
    """JSON of the entry."""
    first_copy: int | None
    """seq of the INFORM that this one repeats."""
    reason: str
    """Why it is rejected; empty for a notification."""

    @property
    def digest(self) -> bytes:
        """Of the entry; a repeated INFORM has that of its first sending."""
        return digest_of(self.body, self.first_copy)


class Reread:
    """What one receiver's configuration makes of datagrams, as entries of a stream."""

    def __init__(self, settings: LaneSettings) -> None:
        decoder = Decoder(settings)
        self.refresh = decoder.refresh
        self._decode = decoder.decode
        self._events = EventWriter(settings, decoder.policy)

    def read(self, seq: int, record: Record) -> Reading | str:
        """The entry that a datagram makes, or why there is none: it goes on waiting, or never was a notification."""
        try:
            notification, trust = self._decode(record)
        except DecodeError as error:
            if error.reason in _UNREADABLE:
                return error.reason
            return Reading(REJECT, self._events.reject(seq, record, error.reason, error.offset), None, error.reason)
        body, first_copy = self._events.trap(seq, record, notification, trust)
        return Reading(TRAP, body, first_copy, "")


def digest_of(body: bytes, first_copy: int | None = None) -> bytes:
    """8 bytes that stand for an entry, whether it is marked as the copy of another one or not; never all zero.

    Args:
        body: JSON of the entry.
        first_copy: Its `duplicate_of`.
    """
    if first_copy is not None:
        body = without_copy(body, first_copy)
    return blake2b(body, digest_size=DIGEST_BYTES).digest()


def without_copy(body: bytes, first_copy: int) -> bytes:
    """The entry of an INFORM as if it were not known to repeat another one: whether it is known depends on the reader."""
    return body.replace(b',"duplicate_of":%d' % first_copy, b"", 1)


def segment_of(directory: Path, kept: list[int], seq: int) -> int | None:
    """The segment that holds a seq; None when it is gone.

    Args:
        directory: Of the lane.
        kept: First seqs of the segments, ascending.
        seq: Of the datagram.
    """
    segment = max((first for first in kept if first <= seq), default=None)
    return None if segment is None or seq > last_seq(directory, kept, segment) else segment


def last_seq(directory: Path, kept: list[int], segment: int) -> int:
    """The last seq of a segment; where segments behind it are gone, it is not the one before the next. No end: of the open one."""
    return _END if segment == kept[-1] else _sealed_last_seq(segment_path(directory, segment), segment)


@lru_cache(maxsize=_SEALED_MAX)
def _sealed_last_seq(path: Path, segment: int) -> int:
    last = segment - 1
    try:
        for count, first_seq, _ in frame_heads(path):
            last = first_seq + count - 1
    except FileNotFoundError:
        # Deleted since it was listed.
        return segment - 1
    return last


def frame_heads(path: Path) -> Iterator[tuple[int, int, int]]:
    """Count, first seq and ms of each frame, up to the first place that holds none; what is inside is not looked at."""
    at = SEGMENT_HEADER.size
    with path.open("rb", buffering=0) as file:
        while len(data := os.pread(file.fileno(), FRAME_HEADER.size, at)) == FRAME_HEADER.size:
            magic, _, body_bytes, count, _, first_seq, ms = FRAME_HEADER.unpack(data)
            if magic != FRAME_MAGIC:
                return
            yield count, first_seq, ms
            at += FRAME_HEADER.size + body_bytes


def segment_end(kept: list[int], segment: int, limit: Position) -> Position:
    """Where reading is to stop that shall not go beyond a segment; `limit` is where all reading stops."""
    after = min((first for first in kept if first > segment), default=None)
    if segment >= limit.segment or after is None:
        return limit
    return Position(after, 0, 0)


def frames(directory: Path, segment: int, limit: Position) -> Iterator[Frame]:
    """The sound frames of one segment, up to the limit."""
    reader = Reader(directory, Position(segment, 0, segment - 1))
    end = segment_end(segments(directory), segment, limit)
    try:
        while (frame := reader.next(end)) is not None:
            yield frame
    finally:
        reader.close()


def fetch(directory: Path, seqs: Iterable[int], limit: Position) -> Iterator[tuple[int, Record | None]]:
    """The datagrams of these seqs, in the order asked for, which is quick where it ascends; None for one that is gone."""
    kept = segments(directory)
    segment: int | None = None
    source: Iterator[Frame] = iter(())
    frame: Frame | None = None
    found: dict[int, Record] = {}
    for seq in seqs:
        wanted = segment_of(directory, kept, seq)
        if wanted != segment or frame is None or seq < frame.first_seq:
            segment, frame = wanted, None
            source = iter(()) if wanted is None else frames(directory, wanted, limit)
        while frame is None or frame.after.seq < seq:
            frame = next(source, None)
            if frame is None:
                break
            found = {}
        if frame is not None and not found:
            found = dict(enumerate(records(frame), frame.first_seq))
        yield seq, found.get(seq) if frame is not None else None
