"""Marks: what became of datagrams that were not decoded in their turn, one byte for each, beside their segment.

A segment `N.nmj` has a file `N.marks` as soon as one of its datagrams is marked: byte `seq - N` is the mark of `seq`, a
hole or what lies behind the file's end is `UNSEEN`. Writers write different bytes, each with one system call, so decode, late and
replay need no lock for that; who may go from which mark to which is in docs/architecture.md. The file goes with its segment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from netmon.trap_receiver.journal import segments
from netmon.trap_receiver.ledger import PARK_REASONS

UNSEEN: Final = 0
"""Nothing out of the ordinary: decoded in its turn."""
TURN: Final = 1
"""Decode has looked at it ahead of time, and left it its turn."""
EXPRESS: Final = 2
"""Decoded ahead of time: its entry is, or is about to be, in the express stream."""
LATE_PENDING: Final = 3
"""Was parked; its entry is about to be in the late stream. On restart, the stream's last ID says whether it is."""
LATE_DONE: Final = 4
"""Was parked; its entry, or its rejection, is in the late stream."""
_PARKED_FIRST: Final = 16
PARKED_MARKS: Final = {reason: _PARKED_FIRST + index for index, reason in enumerate(PARK_REASONS)}
"""Waits in the journal, by reason."""
REASON_OF: Final = {mark: reason for reason, mark in PARKED_MARKS.items()}


def marks_path(directory: Path, segment: int) -> Path:
    """The file of a segment's marks; most segments have none."""
    return directory / f"{segment:020d}.marks"


class Marks:
    """The marks of one lane's journal, to be read and written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fds: dict[int, int] = {}
        self._dirty: set[int] = set()

    def has(self, segment: int) -> bool:
        """Whether any datagram of a segment was ever marked."""
        return segment in self._fds or marks_path(self._directory, segment).exists()

    def read(self, segment: int, first_seq: int, count: int) -> bytes:
        """The marks of successive datagrams of one segment, `count` bytes."""
        fd = self._fd(segment, create=False)
        found = b"" if fd is None else os.pread(fd, count, first_seq - segment)
        return found.ljust(count, b"\0")

    def write(self, segment: int, first_seq: int, marks: bytes) -> None:
        """Marks successive datagrams of one segment; durable after `sync`.

        Raises:
            OSError: The disk is full.
        """
        fd = self._fd(segment, create=True)
        assert fd is not None
        written = os.pwrite(fd, marks, first_seq - segment)
        assert written == len(marks), "a regular file takes all or fails"
        self._dirty.add(segment)

    def sync(self) -> None:
        """Brings all that was written to the disk. Raises OSError."""
        for segment in sorted(self._dirty):
            fd = self._fd(segment, create=False)
            if fd is not None:
                os.fdatasync(fd)
        self._dirty.clear()

    def find(self, segment: int, wanted: Iterable[int], after_seq: int = 0) -> Iterator[tuple[int, int]]:
        """The datagrams of a segment behind `after_seq` that have one of these marks: seq and mark, ascending."""
        start = max(after_seq + 1, segment)
        fd = self._fd(segment, create=False)
        if fd is None:
            return
        table, at = frozenset(wanted), start - segment
        for seq, mark in enumerate(os.pread(fd, max(0, os.fstat(fd).st_size - at), at), start):
            if mark in table:
                yield seq, mark

    def segments(self) -> list[int]:
        """First seqs of the segments that have marks, ascending."""
        return [segment for segment in segments(self._directory) if self.has(segment)]

    def forget(self, segment: int) -> None:
        """Closes a segment's file, if it is open: the segment is gone."""
        fd = self._fds.pop(segment, None)
        self._dirty.discard(segment)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Closes all files."""
        for segment in list(self._fds):
            self.forget(segment)

    def _fd(self, segment: int, *, create: bool) -> int | None:
        fd = self._fds.get(segment)
        if fd is None:
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            try:
                fd = os.open(marks_path(self._directory, segment), flags, 0o640)
            except FileNotFoundError:
                return None
            self._fds[segment] = fd
        return fd
