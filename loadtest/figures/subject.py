"""The receivers under test, each started, watched and stopped in the same way."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from loadtest import lanes, proc

ROOT: Final = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
KEEP_ALL: Final = 8 << 30
USUAL: Final = 256 << 20
"""netmon's default."""


class Process(abc.ABC):
    """A receiver as a process tree, in a folder of its own that goes with it; a context manager.

    Attributes:
        port: UDP port on 127.0.0.1 that it listens on.
        folder: Its files.
        pid: The root of its process tree.
    """

    def __init__(self, work_dir: Path) -> None:
        """Chooses port and folder; `start` starts it."""
        work_dir.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="receiver-", dir=work_dir))
        self.port = free_port(socket.SOCK_DGRAM)
        self._process: subprocess.Popen[bytes] | None = None

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Writes what it needs into its folder; returns the command that starts it."""

    def is_ready(self) -> bool:
        """Whether it receives."""
        return self.port in _bound_ports()

    @property
    def log(self) -> Path:
        """Where its standard output and error go."""
        return self.folder / "output.log"

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it receives.

        Raises:
            RuntimeError: It ended, or is not ready in time; with its last words.
        """
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SNMP_PERSISTENT_DIR": str(self.folder / "snmp")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder,
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.command()} does not start: {self.log.read_text()[-2_000:]}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ends it cleanly, or by force after a minute."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in proc.descendants(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()

    def cpu_s(self) -> float:
        """CPU seconds of the whole process tree."""
        return sum(proc.cpu_s(pid) for pid in proc.descendants(self.pid))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Netmon(Process):
    """`python -m netmon run` with its embedded Valkey.

    Attributes:
        config_file: Its configuration.
    """

    def __init__(self, work_dir: Path, *, stream_bytes_max: int = KEEP_ALL, **sections: dict[str, Any]) -> None:
        """Writes its configuration.

        Args:
            work_dir: Where its folder is made.
            stream_bytes_max: Redis memory for the streams; the default keeps a whole storm, to be read afterwards.
            **sections: Other settings, such as `shedding={"backlog_max": 0}`; those that a section does not name stay.
        """
        super().__init__(work_dir)
        self._http_port = free_port(socket.SOCK_STREAM)
        self.config_file = self.folder / "netmon.json"  # JSON is YAML
        base: dict[str, Any] = {
            "data_dir": str(self.folder / "var"),
            "receiver": {"listen": [f"127.0.0.1:{self.port}"]},
            "redis": {"stream_memory_bytes_max": stream_bytes_max},
            "http": {"listen": f"127.0.0.1:{self._http_port}"},
            "canary": {"enabled": False},  # every trap is counted
            "alarms": {"enabled": False},  # the receiver is measured by itself
            "api": {"enabled": False},
        }
        settings = base | {name: {**base.get(name, {}), **section} for name, section in sections.items()}
        self.config_file.write_text(json.dumps(settings))
        self.deployment = lanes.from_config(self.config_file)

    def command(self) -> list[str]:
        """The supervisor."""
        return [sys.executable, "-m", "netmon", "run", "-c", str(self.config_file)]

    def is_ready(self) -> bool:
        """As /readyz says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def roles(self) -> dict[int, str]:
        """Process ID to role: `supervisor`, `capture`, `commit`, `decode`, `valkey`, or the command's name."""
        return {pid: _role(pid, pid == self.pid) for pid in proc.descendants(self.pid)}

    def cpu_by_role(self) -> dict[str, float]:
        """CPU seconds of each role, lanes added up."""
        spent: dict[str, float] = {}
        for pid, role in self.roles().items():
            spent[role] = spent.get(role, 0.0) + proc.cpu_s(pid)
        return spent

    def totals(self) -> lanes.Totals:
        """The ledgers of its lanes."""
        return lanes.totals(self.deployment)


def free_port(kind: socket.SocketKind) -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _role(pid: int, is_root: bool) -> str:
    if is_root:
        return "supervisor"
    words = proc.command_line(pid)
    if "netmon.role" in words:
        return words[words.index("netmon.role") + 1]
    name = proc.program(pid)
    return "valkey" if name == "valkey-server" else name or "gone"


def _bound_ports() -> set[int]:
    lines = [line for table in ("udp", "udp6") for line in _table(table)]
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines}


def _table(name: str) -> list[str]:
    try:
        return Path("/proc/net", name).read_text().splitlines()[1:]
    except FileNotFoundError:
        return []
