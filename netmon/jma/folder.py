"""Telegrams that another program puts into a folder, a file each: for networks that reach no feed.

Nothing in the folder is changed, so it may be read-only, or shared. A file is read when it has rested for a moment; one that
is no telegram yet is tried again, since it may still be written, and given up when it has not changed for a while.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from netmon.alarms.posture.model import Bulletin
from netmon.jma.markup import TelegramError
from netmon.jma.memory import Memory
from netmon.jma.telegram import TELEGRAM_BYTES_MAX
from netmon.log import limited, log

REST_S: Final = 0.5
"""A file that has changed so recently may still be written."""
GIVE_UP_S: Final = 60.0
"""A file that is no telegram and has rested for so long will not become one."""
FILES_MAX: Final = 500
"""Files of one look; the newest."""
SCAN_MAX: Final = 100_000
"""Names of one look."""


class _File(NamedTuple):
    mtime_ns: int
    size: int
    path: str

    @property
    def name(self) -> str:
        """That is remembered: a file that is written again is another one."""
        return f"{self.path}:{self.mtime_ns}:{self.size}"


def look(
    folder: Path, memory: Memory, parse: Callable[[bytes], Bulletin | None], *, hold_s: float
) -> list[tuple[str, Bulletin | None]]:
    """What has come into the folder, oldest first: the name to remember, and the telegram; None: none that is understood.

    Args:
        folder: It may be missing.
        memory: What has been read.
        parse: Raises TelegramError.
        hold_s: Older files say nothing any more.
    """
    now = time.time()
    found = []
    for file in _files(folder, oldest_ns=int((now - hold_s) * 1e9)):
        age_s = now - file.mtime_ns / 1e9
        if memory.has(file.name) or 0 <= age_s < REST_S:
            continue
        try:
            found.append((file.name, parse(_content(file.path))))
        except TelegramError as error:
            if 0 <= age_s < GIVE_UP_S:
                continue
            log.warning("jma.file_refused", file=file.path, reason=error.reason, detail=str(error))
            found.append((file.name, None))
        except OSError as error:
            limited.warning("jma.file_unreadable", file=file.path, reason=error.strerror)
    return found


def _files(folder: Path, *, oldest_ns: int) -> list[_File]:
    files = []
    try:
        with os.scandir(folder) as listed:
            for _, entry in zip(range(SCAN_MAX), listed, strict=False):
                if entry.name.startswith(".") or not entry.name.endswith(".xml"):
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_mtime_ns >= oldest_ns:
                    files.append(_File(status.st_mtime_ns, status.st_size, entry.path))
    except OSError as error:
        limited.warning("jma.folder_unreadable", folder=str(folder), reason=error.strerror, cure="see jma.folder")
    return sorted(files)[-FILES_MAX:]


def _content(path: str) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return file.read(TELEGRAM_BYTES_MAX + 1)
