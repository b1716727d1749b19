"""The greatest fence that was seen, and of each group the newest order that was obeyed, on disk: what makes a stale leader harmless.

Owns one small file, put in place of the one before as a whole and synced, so that it survives `kill -9` and power cuts. Its first line is a
check sum of the rest: who cannot tell whether a number is the one that was written must not compare with it. A file that is damaged is refused,
never overwritten: the orders of the centre wait until somebody has looked.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Final

import msgspec

from netmon.errors import ConfigError, disk_cure
from netmon.trap_receiver.disk import sync_directory

GROUPS_MAX: Final = 65_536
"""Of which a file remembers; orders of more are refused."""
FILE_BYTES_MAX: Final = 32 << 20
NUMBER_MAX: Final = (1 << 63) - 1

Number = tuple[int, int]
"""(fence, generation)."""

_DAMAGED: Final = (
    "is damaged, so nobody can tell a stale order of the centre from a new one; "
    "restore it, or delete it once no former leader can be running any more"
)


class _Kept(msgspec.Struct, kw_only=True):
    fence: int = 0
    groups: dict[str, Number] = {}


class Fences:
    """One file of them. What is taken is on the disk when `take` or `see` returns."""

    def __init__(self, path: Path) -> None:
        """Reads the file; one that is not there is empty.

        Raises:
            ConfigError: It is damaged, or cannot be read.
        """
        self._path = path
        self._kept = _read(path)
        self._is_written = True

    @property
    def greatest(self) -> int:
        """The greatest fence of all that was seen; 0: none."""
        return self._kept.fence

    def newest(self, group_id: str) -> Number:
        """Of the newest order of a group that was taken; (0, 0): none."""
        return self._kept.groups.get(group_id, (0, 0))

    def see(self, fence: int) -> bool:
        """Whether somebody with this fence may say anything here: nobody with a greater one has been seen.

        Raises:
            OSError: It is greater than all before, and cannot be written down. It is remembered while this process lives.
        """
        if not self._kept.fence <= fence <= NUMBER_MAX:
            return False
        if fence > self._kept.fence:
            self._kept.fence = fence
            self._is_written = False
        self._write()
        return True

    def take(self, group_id: str, fence: int, generation: int) -> bool:
        """Whether an order may be obeyed: it is the newest of its group, or the one that was taken last, told again.

        An order may be older than the newest leader, who lets it stand: whether its teller may speak, `see` says.

        Raises:
            OSError: It may, and cannot be written down. It is remembered while this process lives.
        """
        number = (fence, generation)
        if number < self.newest(group_id) or not (0 <= fence <= NUMBER_MAX and 0 <= generation <= NUMBER_MAX):
            return False
        if group_id not in self._kept.groups and len(self._kept.groups) >= GROUPS_MAX:
            return False
        if number > self.newest(group_id):
            self._kept.groups[group_id] = number
            self._kept.fence = max(self._kept.fence, fence)
            self._is_written = False
        self._write()
        return True

    def _write(self) -> None:
        if self._is_written:
            return
        body = msgspec.json.encode(self._kept)
        fresh = self._path.with_name(f"{self._path.name}.new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as stream:
            stream.write(b"%08x\n%b\n" % (zlib.crc32(body), body))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.rename(self._path)
        sync_directory(self._path.parent)
        self._is_written = True


def _read(path: Path) -> _Kept:
    try:
        with path.open("rb") as stream:
            octets = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return _Kept()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}; {disk_cure(error)}"]) from None
    kept = _parsed(octets)
    if kept is None:
        raise ConfigError([f"{path}: {_DAMAGED}"])
    return kept


def _parsed(octets: bytes) -> _Kept | None:
    """What a file says; None: it is not as it was written."""
    head, _, rest = octets.partition(b"\n")
    body, end, none = rest.partition(b"\n")
    if not end or none or head != b"%08x" % zlib.crc32(body):
        return None
    try:
        return msgspec.json.decode(body, type=_Kept)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
