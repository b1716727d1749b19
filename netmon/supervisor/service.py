"""What a service manager and the machine ask of a daemon: sd_notify, and one daemon for each data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from netmon.errors import ConfigError
from netmon.log import log

LOCK_FILE: Final = "netmon.lock"
ORPHANS_WAIT_S: Final = 15.0
LOCK_POLL_S: Final = 0.05


def notify(environ: Mapping[str, str], *lines: str) -> None:
    """Tell systemd about our state (sd_notify(3)); nothing without NOTIFY_SOCKET, and a deaf systemd is no error."""
    path = environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send("\n".join(lines).encode())


def notify_reloading(environ: Mapping[str, str]) -> None:
    """Tell systemd that a reload began, with the time stamp that Type=notify-reload needs."""
    notify(environ, "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """How often systemd wants WATCHDOG=1: half of its limit; None when it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid) or not environ.get("WATCHDOG_USEC", "").isdecimal():
        return None
    return int(environ["WATCHDOG_USEC"]) / 2_000_000 or None


def lock_data_dir(data_dir: Path, config_file: Path | None = None) -> int:
    """Claim a data directory for this process and all children that inherit the returned file descriptor.

    The lock lasts until the last of them has ended, so that a new supervisor never meets the roles of one that was
    killed: it waits for them to finish.

    Args:
        data_dir: The directory.
        config_file: With what this process runs, for `running_config`.

    Raises:
        ConfigError: Another netmon has it (its pid is named), or the folder cannot be written.
    """
    try:
        data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigError([f"data_dir: {data_dir}: {error.strerror}; netmon must be able to write there"]) from None
    try:
        _wait_for_lock(fd, data_dir)
    except ConfigError:
        os.close(fd)
        raise
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n{config_file or ''}\n".encode(), 0)
    return fd


def running_config(data_dir: Path) -> Path | None:
    """The configuration with which a netmon runs that has this data directory; None when none does, or it cannot be told."""
    try:
        holder, _, path = (data_dir / LOCK_FILE).read_text("utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    file = path.rstrip("\n")
    is_running = holder.isdecimal() and _is_alive(int(holder))
    return Path(file) if is_running and file and os.access(file, os.R_OK) else None


def _wait_for_lock(fd: int, data_dir: Path) -> None:
    deadline = time.monotonic() + ORPHANS_WAIT_S
    told = False
    while not _try_lock(fd):
        holder = os.pread(fd, 32, 0).decode(errors="replace").partition("\n")[0].strip()
        if holder.isdecimal() and _is_alive(int(holder)):
            raise ConfigError(
                [
                    f"data_dir: {data_dir} is in use by the netmon with pid {holder}; stop it, or give each its own data_dir"
                ]
            )
        if time.monotonic() > deadline:
            raise ConfigError(
                [f"data_dir: {data_dir}: children of a killed netmon (pid {holder}) still hold {LOCK_FILE}"]
            )
        if not told:
            log.warning("supervisor.orphans_awaited", data_dir=str(data_dir), former_pid=holder)
            told = True
        time.sleep(LOCK_POLL_S)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) != "Z"


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return "Z"


class Usage(msgspec.Struct, frozen=True):
    """What a process has used."""

    resident_bytes: int
    cpu_seconds: float


def usage(pid: int | None) -> Usage:
    """Memory and CPU of a process from /proc (proc_pid_stat(5)); zero when it is gone."""
    if pid is None:
        return Usage(0, 0.0)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return Usage(0, 0.0)
    ticks = int(fields[11]) + int(fields[12])
    return Usage(int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"))
