"""A disk that is full, and lets go of its room a page at a time."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = os.sysconf("SC_PAGE_SIZE")


class SmallDisk:
    """A file system of a few MiB, with a file that takes what is to be taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, pages_left: int = 0) -> None:
        """Leaves room for so many pages, and not for one more."""
        with self._filler.open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(PAGE)) == PAGE:
                    pass
            os.ftruncate(file.fileno(), max(0, file.tell() // PAGE - pages_left) * PAGE)

    def make_room(self) -> None:
        """Nobody fills it any more."""
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(mount: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mounts one; skips the test where only root could, and fails it with CI=true."""
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(mount)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("mounting a small disk needs root")
    try:
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
