"""Marks: what became of datagrams that were not decoded in their turn, one byte for each, beside their segment.

A segment `N.nmj` has a file `N.marks` as soon as one of its datagrams is marked: byte `seq - N` is the mark of `seq`, a
hole or what lies behind the file's end is `UNSEEN`. Writers write different bytes, each with one system call, so decode, late and
replay need no lock for that; who may go from which mark to which is in docs/architecture.md. The file goes with its segment,
and so does `N.digests`: what was put into the late stream, 8 bytes for each datagram, zero for none.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from netmon.trap_receiver.disk import sync_directory
from netmon.trap_receiver.journal.segment import segment_path, segments
from netmon.trap_receiver.ledger import PARK_REASONS, SHED

UNSEEN: Final = 0
"""Nothing out of the ordinary: decoded in its turn."""
TURN: Final = 1
"""Decode has looked at it ahead of time, and left it its turn."""
EXPRESS: Final = 2
"""Decoded ahead of time: its entry is, or is about to be, in the express stream."""
SHED_TRIED: Final = 5
"""Was shed, and cannot be read with what is configured now: waits for that, as those do that were parked for want of it."""
_PARKED_FIRST: Final = 16
_PENDING_FIRST: Final = 32
_LATE_FIRST: Final = 48
PARKED_MARKS: Final = {reason: _PARKED_FIRST + index for index, reason in enumerate(PARK_REASONS)}
"""Waits in the journal, by reason."""
PENDING_MARKS: Final = {reason: _PENDING_FIRST + index for index, reason in enumerate(PARK_REASONS)}
"""Waits, and is about to be in the late stream; the intents of late.log say whether it is. By the reason why it waited."""
LATE_MARKS: Final = {reason: _LATE_FIRST + index for index, reason in enumerate(PARK_REASONS)}
"""Was parked; its entry, or its rejection, is in the late stream. By the reason why it waited, which decode counts once more after
a power cut that took its counters."""
REASON_OF: Final = {
    SHED_TRIED: SHED,
    **{mark: reason for marks in (PARKED_MARKS, PENDING_MARKS) for reason, mark in marks.items()},
}
"""The marks of all that waits, and why."""
PARKED_AS: Final = {**REASON_OF, **{mark: reason for reason, mark in LATE_MARKS.items()}}
"""The marks of all that was ever parked, and why."""
ELSEWHERE: Final = frozenset({EXPRESS, *PARKED_AS})
"""Neither in the traps nor in the rejects stream, and not to be put there when they are filled again."""
_KEPT: Final = frozenset({PARKED_MARKS[SHED], *PENDING_MARKS.values()})
"""Nothing but time keeps them from the late stream: their segment is not to be deleted before."""

DIGEST_BYTES: Final = 8


def marks_path(directory: Path, segment: int) -> Path:
    """The file of a segment's marks; most segments have none."""
    return directory / f"{segment:020d}.marks"


def digests_path(directory: Path, segment: int) -> Path:
    """The file of what was put into the late stream of a segment; most segments have none."""
    return directory / f"{segment:020d}.digests"


def side_files(directory: Path, segment: int) -> tuple[Path, ...]:
    """The files that go with a segment when it is deleted; some or all may not exist."""
    return marks_path(directory, segment), digests_path(directory, segment)


class _SideFiles:
    """One file beside each segment, a value of fixed size for each datagram."""

    def __init__(self, directory: Path, suffix: str, width: int) -> None:
        self.directory = directory
        self._suffix = suffix
        self._width = width
        self._fds: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._named: set[int] = set()
        """Segments whose file is on the disk by name, too."""

    def has(self, segment: int) -> bool:
        """Whether a segment has the file."""
        return segment in self._fds or self._path(segment).exists()

    def read(self, segment: int, first_seq: int, count: int) -> bytes:
        """The values of successive datagrams of one segment, end to end."""
        fd = self._fd(segment, create=False)
        size = count * self._width
        found = b"" if fd is None else os.pread(fd, size, (first_seq - segment) * self._width)
        return found.ljust(size, b"\0")

    def write(self, segment: int, first_seq: int, values: bytes) -> None:
        """Sets the values of successive datagrams of one segment; durable after `sync`.

        Raises:
            OSError: The disk is full.
        """
        fd = self._fd(segment, create=True)
        assert fd is not None
        written = os.pwrite(fd, values, (first_seq - segment) * self._width)
        self._dirty.add(segment)
        if written < len(values):
            # The disk had room for the end of one block, and not for the next.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Brings all that was written to the disk. Raises OSError."""
        for segment in sorted(self._dirty):
            fd = self._fd(segment, create=False)
            if fd is not None:
                os.fdatasync(fd)
        if not self._dirty <= self._named:
            # A file is on the disk when its folder is.
            sync_directory(self.directory)
            self._named |= self._dirty
        self._dirty.clear()

    def forget(self, segment: int) -> None:
        """Closes a segment's file, if it is open: the segment is gone, or done with."""
        fd = self._fds.pop(segment, None)
        self._dirty.discard(segment)
        self._named.discard(segment)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Closes all files."""
        for segment in self._open():
            self.forget(segment)

    def _open(self) -> list[int]:
        return list(self._fds)

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:020d}{self._suffix}"

    def _fd(self, segment: int, *, create: bool) -> int | None:
        fd = self._fds.get(segment)
        if fd is None:
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            try:
                fd = os.open(self._path(segment), flags, 0o640)
            except FileNotFoundError:
                return None
            self._fds[segment] = fd
        return fd


class Marks(_SideFiles):
    """The marks of one lane's journal, to be read and written."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, ".marks", 1)
        self._held: dict[int, int] = {}
        """Descriptors of segments that are locked: a segment without marks can be held, too."""

    def read_all(self, segment: int) -> bytes:
        """All marks of a segment, from its first datagram to the last one that was marked; may be empty."""
        fd = self._fd(segment, create=False)
        return b"" if fd is None else os.pread(fd, os.fstat(fd).st_size, 0)

    def find(self, segment: int, wanted: Iterable[int], after_seq: int = 0) -> Iterator[tuple[int, int]]:
        """The datagrams of a segment behind `after_seq` that have one of these marks: seq and mark, ascending."""
        start = max(after_seq + 1, segment)
        table = frozenset(wanted)
        for seq, mark in enumerate(self.read_all(segment)[start - segment :], start):
            if mark in table:
                yield seq, mark

    def segments(self) -> list[int]:
        """First seqs of the segments that have marks, ascending."""
        return [segment for segment in segments(self.directory) if self.has(segment)]

    def hold(self, segment: int) -> bool:
        """Keeps a segment from being deleted, until `forget`, `let_go` or our end; False: it is gone."""
        fd = self._lock(segment)
        if fd is None:
            return False
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_nlink == 0:
            self.forget(segment)
            return False
        return True

    def let_go(self, segment: int) -> None:
        """Ends what `hold` or `expire` has begun."""
        fd = self._held.pop(segment, None)
        if fd is not None:
            os.close(fd)

    def forget(self, segment: int) -> None:
        """As for all such files, and lets the segment go."""
        super().forget(segment)
        self.let_go(segment)

    def _open(self) -> list[int]:
        return [*{*self._fds, *self._held}]

    def _lock(self, segment: int) -> int | None:
        """The descriptor by which a segment is locked; None when it is gone."""
        if segment not in self._held:
            try:
                self._held[segment] = os.open(segment_path(self.directory, segment), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        return self._held[segment]

    def expire(self, segment: int) -> Counter[str] | None:
        """For commit, before it deletes a segment: the datagrams that wait in it and will be gone, by reason.

        Nobody else begins to decode them until `forget`, which is to follow when the files are deleted, or are kept.

        Returns:
            None when the segment is to stay: something in it is on its way to the late stream, or is sure to be soon.
        """
        fd = self._lock(segment)
        try:
            if fd is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.forget(segment)
            return None
        marks = self.read_all(segment)
        # In the order of speed: commit asks this of many segments, ten times a second, while the disk is full.
        if any(mark in marks for mark in _KEPT):
            self.forget(segment)
            return None
        found = Counter(marks)
        waiting: Counter[str] = Counter()
        for mark, reason in REASON_OF.items():
            waiting[reason] += found[mark]
        return waiting


class Digests(_SideFiles):
    """What of one lane's journal was put into the late stream last, as digests of its entries."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, ".digests", DIGEST_BYTES)
