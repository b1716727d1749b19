"""A clock that can be set for one process: libfaketime, preloaded. Monotonic clocks go on as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

LIBRARIES = "usr/lib/*/faketime/libfaketimeMT.so.1"


class FakedClock:
    """What `environment` a process needs, and by how much its time of day is ahead of ours."""

    def __init__(self, file: Path, library: Path) -> None:
        """As ours, until it is set."""
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self(0)

    def __call__(self, ahead_s: int) -> None:
        """Sets it, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+d}\n")
        new.replace(self._file)


def faked_clock(folder: Path, require_tool: Callable[[str], str]) -> FakedClock:
    """One whose setting is a file in this folder."""
    require_tool("faketime")
    return FakedClock(folder / "clock", next(Path("/").glob(LIBRARIES)))
