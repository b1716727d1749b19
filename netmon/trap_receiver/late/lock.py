"""Who may write the late stream of a lane: one process at a time, and a person before the late role.

`late.lock` is held by whoever works. `replay.lock` is held by a `netmon replay` from its start to its end: the late role looks at
it between two batches, and steps aside. The kernel releases both when their holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

LATE_LOCK: Final = "late.lock"
REPLAY_LOCK: Final = "replay.lock"


class FileLock:
    """A lock that is a file (flock)."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def take(self) -> bool:
        """Takes it, if nobody else has it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Gives it back."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_wanted(self) -> bool:
        """Whether somebody else has it."""
        if not self.take():
            return True
        self.release()
        return False

    def close(self) -> None:
        """Gives it back for good."""
        os.close(self._fd)
