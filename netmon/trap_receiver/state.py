"""Counters that outlive the process that counts: one small file for each role, read by anyone, written by one.

The file is self-describing: a header page names the fields, and two banks hold the values. The writer fills the older
bank and seals it with a generation number and a CRC, so that a reader, or the writer after `kill -9` or a power cut,
finds one complete bank: all counters of one moment, never a mixture. Fields are matched by name when a file of another
version is opened, so an upgrade keeps its counts.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

_MAGIC = b"NETMONS1"
_HEADER_BYTES = 8_192
_BANK_BYTES = 4_096
_FILE_BYTES = _HEADER_BYTES + 2 * _BANK_BYTES
_READ_TRIES = 10


class StatePage:
    """The writer's side of a state file; `values` are the counters, `publish` makes them visible at once."""

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        """Opens the file, or makes it, and takes over the counts of an earlier process.

        Raises:
            OSError: The file cannot be made (a full disk, no permission).
        """
        earlier = read_state(path)
        # In the order of the file's header, which is the order of its banks.
        names = [name for name in earlier if name] if earlier.keys() == {"", *fields} else fields
        self.values: dict[str, int] = {name: earlier.get(name, 0) for name in names}
        self._bank = struct.Struct(f"<Q{len(self.values)}Q")
        assert self._bank.size + 4 <= _BANK_BYTES, "too many counters for a bank"
        self._generation = earlier.get("", 0)
        if earlier.keys() == {"", *fields}:
            # No new file: a role that restarts while the disk is full still starts.
            self._map = _open(path)
            return
        fresh = path.with_suffix(".new")
        self._map = _create(fresh, tuple(self.values))
        self.publish()
        self.publish()
        # Readers, and a writer that crashes here, see the old file or the new one, never half of one.
        fresh.rename(path)

    def publish(self) -> None:
        """Makes the present `values` the ones that readers and a restarted writer see."""
        self._generation += 1
        at = _HEADER_BYTES + (self._generation & 1) * _BANK_BYTES
        self._bank.pack_into(self._map, at, self._generation, *self.values.values())
        end = at + self._bank.size
        struct.pack_into("<I", self._map, end, zlib.crc32(self._map[at:end]))


def read_state(path: Path) -> dict[str, int]:
    """The newest complete set of counters in a file, and under the empty name its generation.

    Returns:
        Name to value; empty when the file is missing or holds no complete bank.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    return _newest(data, _fields(data))


class StateReader:
    """Reads one state file again and again, cheaply; follows it when an upgrade puts a new file in its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._map: mmap.mmap | None = None
        self._fields: list[str] = []

    def read(self) -> dict[str, int]:
        """Like `read_state`."""
        try:
            inode = self._path.stat().st_ino
            if inode != self._inode:
                self._map = _open(self._path)
                self._fields = _fields(self._map[:])
                self._inode = inode
        except FileNotFoundError:
            return {}
        assert self._map is not None
        for _ in range(_READ_TRIES):
            # The writer may seal both banks while one is copied; the next copy then finds a sound one.
            if found := _newest(self._map, self._fields):
                return found
        return {}


def _fields(data: bytes) -> list[str]:
    if len(data) != _FILE_BYTES or data[:8] != _MAGIC:
        return []
    (header_bytes,) = struct.unpack_from("<I", data, 8)
    try:
        return [str(name) for name in json.loads(data[12 : 12 + header_bytes])]
    except ValueError:
        return []


def _newest(data: bytes | mmap.mmap, fields: list[str]) -> dict[str, int]:
    if not fields:
        return {}
    bank = struct.Struct(f"<Q{len(fields)}Q")
    places = [_HEADER_BYTES, _HEADER_BYTES + _BANK_BYTES]
    for at in sorted(places, key=lambda at: struct.unpack_from("<Q", data, at), reverse=True):
        sealed = data[at : at + bank.size + 4]
        generation, *values = bank.unpack_from(sealed)
        if generation and struct.unpack_from("<I", sealed, bank.size)[0] == zlib.crc32(sealed[:-4]):
            return {"": generation, **dict(zip(fields, values, strict=True))}
    return {}


def _open(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _FILE_BYTES)


def _create(path: Path, fields: tuple[str, ...]) -> mmap.mmap:
    """Makes a state file with empty banks. Written, not only sized: a full disk must show here, not as SIGBUS later."""
    header = json.dumps(fields).encode()
    assert 12 + len(header) <= _HEADER_BYTES, "too many counters for the header"
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640), "r+b") as file:
        file.write((_MAGIC + struct.pack("<I", len(header)) + header).ljust(_FILE_BYTES, b"\0"))
        file.flush()
        return mmap.mmap(file.fileno(), _FILE_BYTES)
