"""What a netmon that is upgraded leaves to the one that takes its place: sockets, landing memory, and when it began.

All of it is in the environment of the new process, which has the pid of the old one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from netmon import __version__, sockets
from netmon.log import log

PREFLIGHT_TIMEOUT_S: Final = 30.0
LANDING_ENV: Final = "NETMON_LANDING_FDS"
BEGUN_ENV: Final = "NETMON_UPGRADE_BEGUN"
"""Monotonic time, seconds: it is the same clock in the new process."""
SPARE_FD: Final = 200
"""File descriptors are moved above this number first, out of each other's way."""


def would_start(path: Path) -> bool:
    """Whether the netmon that is installed now can be imported and likes the configuration."""
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        command = [sys.executable, "-m", "netmon", "check", "-c", str(path)]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=PREFLIGHT_TIMEOUT_S)
        return done.returncode == 0
    return False


def note_begun() -> None:
    """Remember for the new process when the old one began to stop."""
    os.environ[BEGUN_ENV] = str(time.monotonic())


def tell_finished() -> None:
    """Log that we have taken the place of another netmon, if that is so."""
    begun = os.environ.pop(BEGUN_ENV, None)
    if begun is not None:
        with contextlib.suppress(ValueError):
            log.info(
                "supervisor.upgrade_finished", version=__version__, took_s=round(time.monotonic() - float(begun), 1)
            )


def replace_process(kept: Sequence[int], landings: Mapping[str, int]) -> NoReturn:
    """Become the netmon that is installed now.

    Args:
        kept: File descriptors of the sockets, in the order of the lanes.
        landings: Those of the landing memory, by the lane's directory.
    """
    first = sockets.LISTEN_FDS_START
    _hand_down([*kept, *landings.values()], first)
    after = first + len(kept)
    os.environ |= {
        "LISTEN_FDS": str(len(kept)),
        "LISTEN_PID": str(os.getpid()),
        LANDING_ENV: msgspec.json.encode(
            {directory: after + index for index, directory in enumerate(landings)}
        ).decode(),
    }
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this is the purpose


def inherited_landings() -> dict[str, int]:
    """Landing memory that the netmon before an upgrade left to us, by the lane's directory."""
    handed: dict[str, int] = msgspec.json.decode(os.environ.pop(LANDING_ENV, "{}"), type=dict[str, int])
    for fd in handed.values():
        os.set_inheritable(fd, False)
    return handed


def _hand_down(fds: Sequence[int], first: int) -> None:
    """Give file descriptors the numbers from `first` on, and let them live through the exec."""
    spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, SPARE_FD) for fd in fds]
    for index, fd in enumerate(spare):
        os.dup2(fd, first + index, inheritable=True)
