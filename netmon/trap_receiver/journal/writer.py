"""Writes the journal: opens it after whatever happened, appends frames, rolls segments. One writer for each journal.

Nothing here waits for the disk to be durable: that is `commit`'s work, in a process of its own.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
import zlib
from pathlib import Path

from netmon.trap_receiver.journal.segment import (
    FRAME_HEADER,
    ROOM_BYTES,
    SEGMENT_HEADER,
    SEGMENT_MAGIC,
    Frame,
    JournalFullError,
    Position,
    Reader,
    encode_frame,
    frame_seed,
    read_segment_header,
    segment_path,
    segments,
)


class JournalWriter:
    """The end of a journal. `position` is behind the last frame; `torn_bytes` were cut off when it was opened."""

    def __init__(self, directory: Path, *, segment_bytes: int, bytes_max: int, durable_seq: int) -> None:
        """Opens the journal of a folder at its end, or begins one.

        Args:
            directory: Folder of the segments; it exists.
            segment_bytes: Size to which a segment file is allocated.
            bytes_max: The journal's quota.
            durable_seq: Last seq that others have been told of. It is not given to another datagram, even if the journal
                should have lost it.

        Raises:
            BlockingIOError: Another process writes this journal.
            OSError: The folder cannot be read or written.
        """
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._bytes_max = bytes_max
        self._lock = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._fd = -1
        self.torn_bytes = 0
        self._id_ms = 0
        self._journal_id = b""
        self.position = Position(0, 0, durable_seq)
        self._open_last()

    def _open_last(self) -> None:
        """Goes behind the last sound frame of the last sound segment, and cuts what a power loss left behind it."""
        for first_seq in reversed(segments(self._directory)):
            path = segment_path(self._directory, first_seq)
            header = read_segment_header(path)
            if header is None:
                # Usually one whose header never reached the disk, so that it never held a frame. If it did, it is evidence.
                path.rename(path.with_suffix(".damaged"))
                continue
            self._journal_id = header.journal_id
            self._resume(path, first_seq)
            return

    def _resume(self, path: Path, first_seq: int) -> None:
        size = path.stat().st_size
        reader = Reader(self._directory, Position(first_seq, 0, first_seq - 1))
        end, last = Position(first_seq, SEGMENT_HEADER.size, first_seq - 1), None
        while isinstance(frame := reader.next(Position(first_seq, size, 0)), Frame):
            end, last = frame.after, frame
        reader.close()
        self._id_ms = last.id_ms if last else 0
        self._fd = os.open(path, os.O_RDWR)
        self.torn_bytes = _torn(self._fd, end.offset, size)
        os.ftruncate(self._fd, end.offset)
        self.position = Position(end.segment, end.offset, max(end.seq, self.position.seq))
        if end.seq < self.position.seq:
            # Datagrams that were passed on are gone from here; decode will find the gap and count them as lost.
            self._seal()
            return
        try:
            self._allocate(self._fd)
        except OSError:
            # A full disk: `ensure_room` asks again, as often as it takes. An empty segment is not made anew: whoever
            # reads the journal may have its file open, and would not see another one under the same name.
            if not self._empty:
                self._seal()

    @property
    def _empty(self) -> bool:
        return self.position.offset == SEGMENT_HEADER.size

    def _allocate(self, fd: int) -> None:
        os.posix_fallocate(fd, 0, self._segment_bytes)

    def _seal(self) -> None:
        """Ends the open segment after its last frame, which also gives back what it had allocated."""
        os.ftruncate(self._fd, self.position.offset)
        os.close(self._fd)
        self._fd = -1

    def ensure_room(self, size: int = 0) -> None:
        """Makes sure that the open segment can take a batch, or `size` bytes, more; rolls to a new one when it cannot.

        Raises:
            OSError: There is no room: quota (`JournalFullError`) or disk. Call again later; nothing has changed.
        """
        size = max(size, min(ROOM_BYTES, self._segment_bytes // 4))
        if self._fd >= 0 and self._empty:
            self._allocate(self._fd)
            return
        if self._fd >= 0 and self.position.offset + size <= self._segment_bytes:
            return
        used = sum(segment_path(self._directory, first).stat().st_size for first in segments(self._directory))
        if used + self._segment_bytes > self._bytes_max:
            raise JournalFullError(used, self._bytes_max)
        fd = self._create(self.position.seq + 1)
        if self._fd >= 0:
            self._seal()
        self._fd = fd
        self.position = Position(self.position.seq + 1, SEGMENT_HEADER.size, self.position.seq)

    def _create(self, first_seq: int) -> int:
        """A new segment file, allocated and with its header, under its final name."""
        self._journal_id = self._journal_id or uuid.uuid4().bytes
        head = SEGMENT_HEADER.pack(SEGMENT_MAGIC, self._journal_id, first_seq, time.time_ns(), 0)[:-4]
        unfinished = self._directory / "segment.new"
        fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._allocate(fd)
            os.pwrite(fd, head + zlib.crc32(head).to_bytes(4, "little"), 0)
            unfinished.rename(segment_path(self._directory, first_seq))
        except OSError:
            os.close(fd)
            # A half-allocated file would hold on to the space that everybody waits for.
            unfinished.unlink()
            raise
        return fd

    def append(self, layout: int, lengths: list[int], records: bytes) -> None:
        """Writes one frame behind the last; on return a killed process no longer loses it.

        Raises:
            OSError: It is not written, and `position` is where it was. Call again later with the same frame.
        """
        self.ensure_room(FRAME_HEADER.size + 4 * len(lengths) + len(records))
        # The wall clock may be set back; IDs in the stream may not go back.
        id_ms = max(self._id_ms, time.time_ns() // 1_000_000)
        frame = encode_frame(frame_seed(self._journal_id), self.position.seq + 1, id_ms, layout, lengths, records)
        written = os.pwrite(self._fd, frame, self.position.offset)
        while written < len(frame):
            written += os.pwrite(self._fd, frame[written:], self.position.offset + written)
        self._id_ms = id_ms
        segment, offset, seq = self.position
        self.position = Position(segment, offset + len(frame), seq + len(lengths))

    def close(self) -> None:
        """Gives the journal to the next writer; the open segment stays open for it."""
        if self._fd >= 0:
            os.close(self._fd)
        os.close(self._lock)


def _torn(fd: int, start: int, size: int) -> int:
    """Bytes behind the last sound frame that somebody wrote: up to the last one that is not zero."""
    tail = os.pread(fd, max(size - start, 0), start)
    return len(tail.rstrip(b"\0"))
