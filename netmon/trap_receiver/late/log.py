"""The late log: which entries the late stream has, or is about to have, in its order. It makes their IDs.

An intent is written, and on disk, before Redis gets the entry; so whoever is killed in between finds out from the stream's last ID
how far it came, and what Redis has lost is sent again under the ID that it had. 32 bytes for each entry:

    pass ms u64 · seq u64 · digest of the entry (8) · mark that it had u8 · kind u8 · 0 u16 · CRC-32 u32

All integers are little-endian. The file ends after its last sound record; what the stream has let go of is cut away in front.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from netmon.buffer.stream import EntryId
from netmon.trap_receiver.disk import sync_directory

TRAP: Final = 0
REJECT: Final = 1
VOID: Final = 2
"""It could not be put into the stream after all: nothing under this ID is expected there."""

_RECORD = struct.Struct("<QQ8sBBxxI")
_SIZE = _RECORD.size
_CONTENT = struct.Struct("<QQ8sBBxx")
"""A record without its CRC."""


class Intent(NamedTuple):
    """One entry of the late stream."""

    ms: int
    """Of the pass; first half of the entry's ID."""
    seq: int
    digest: bytes
    """Of the entry's JSON, 8 bytes."""
    mark: int
    """Why the datagram had waited (`marks.REASON_OF`); 0 for one that was replayed."""
    kind: int
    """`TRAP`, `REJECT` or `VOID`."""

    @property
    def id(self) -> EntryId:
        """The entry's ID."""
        return EntryId(self.ms, self.seq)


class LateLog:
    """The log of one lane; held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Opens the log, or makes it, and cuts what a power cut left of its last records."""
        self._path = path
        is_new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if is_new:
            sync_directory(path.parent)
        self._count = os.fstat(self._fd).st_size // _SIZE
        while self._count and self._at(self._count - 1) is None:
            self._count -= 1
        os.ftruncate(self._fd, self._count * _SIZE)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)

    def read(self, index: int, count: int) -> list[Intent]:
        """Up to `count` intents from an index on, oldest first; one that is damaged is void."""
        data = os.pread(self._fd, max(0, min(count, self._count - index)) * _SIZE, index * _SIZE)
        return [_decode(data[at : at + _SIZE]) or Intent(0, 0, bytes(8), 0, VOID) for at in range(0, len(data), _SIZE)]

    def after(self, entry_id: EntryId) -> int:
        """The index of the first intent behind an ID."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            found = self._at(middle)
            if found is not None and found.id > entry_id:
                high = middle
            else:
                low = middle + 1
        return low

    def has(self, entry_id: EntryId) -> bool:
        """Whether an entry of this ID was ever meant to be in the stream, and has not been cut away."""
        index = self.after(entry_id)
        found = self._at(index - 1) if index else None
        return found is not None and found.id == entry_id

    def between(self, after: EntryId, until: EntryId) -> int:
        """Entries that the stream was given behind the first ID, up to the second, included."""
        index, end = self.after(after), self.after(until)
        return sum(intent.kind != VOID for intent in self.read(index, end - index))

    def append(self, intents: Iterable[Intent]) -> None:
        """Adds intents, with IDs that ascend beyond those before, and brings them to the disk.

        Raises:
            OSError: The disk is full.
        """
        data = b"".join(map(_encode, intents))
        try:
            _write(self._fd, data, self._count * _SIZE)
            os.fdatasync(self._fd)
        except OSError:
            # Whoever opens the log next must not take the part that was written for intents.
            os.ftruncate(self._fd, self._count * _SIZE)
            raise
        self._count += len(data) // _SIZE

    def replace(self, index: int, intent: Intent) -> None:
        """Changes digest or kind of an intent."""
        _write(self._fd, _encode(intent), index * _SIZE)

    def drop_before(self, index: int) -> None:
        """Cuts the first `index` intents away: the stream has let go of them. Raises OSError: the disk is full; all is as it was."""
        fresh = self._path.with_suffix(".new")
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            _write(fd, os.pread(self._fd, (self._count - index) * _SIZE, index * _SIZE), 0)
            os.fdatasync(fd)
        except OSError:
            os.close(fd)
            fresh.unlink()
            raise
        fresh.rename(self._path)
        # Or a power cut brings the old file back, without what is added to this one.
        sync_directory(self._path.parent)
        os.close(self._fd)
        self._fd = fd
        self._count -= index

    def _at(self, index: int) -> Intent | None:
        return _decode(os.pread(self._fd, _SIZE, index * _SIZE))


def _encode(intent: Intent) -> bytes:
    content = _CONTENT.pack(*intent)
    return content + zlib.crc32(content).to_bytes(4, "little")


def _decode(data: bytes) -> Intent | None:
    if len(data) < _SIZE or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    ms, seq, digest, mark, kind, _ = _RECORD.unpack(data)
    return Intent(ms, seq, digest, mark, kind)


def _write(fd: int, data: bytes, at: int) -> None:
    """Raises OSError: the disk is full, also where it had room for a part."""
    if os.pwrite(fd, data, at) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
