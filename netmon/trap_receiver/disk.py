"""Bringing to the disk what is there under a name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def sync_file(path: Path) -> None:
    """What has been written to a file, by whomever. Raises OSError."""
    _sync(path, os.O_RDWR, os.fdatasync)


def sync_directory(path: Path) -> None:
    """The names in a directory. Raises OSError."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY, os.fsync)


def _sync(path: Path, flags: int, sync: Callable[[int], None]) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)
