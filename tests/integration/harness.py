"""A whole netmon under test: real processes, real Valkey, its own folder and ports.

with Netmon(tmp_path, {"redis": {"stream_memory_bytes_max": "1MiB"}}) as netmon:
    netmon.send(netmon.trap(number) for number in range(1_000))
    netmon.signal(signal.SIGKILL, "decode")
    netmon.wait_until(lambda: netmon.ledger().buffered == 1_000)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import redis
import yaml
from typer.testing import CliRunner

from netmon.buffer import embedded
from netmon.cli import build
from netmon.model import RejectEvent, TrapEvent
from netmon.trap_receiver import ledger
from netmon.trap_receiver.ledger import LaneLedger
from tests.integration import sending
from tests.integration.sending import NUMBER_OID

REPOSITORY = Path(__file__).resolve().parents[2]
POLL_S = 0.02
LOG_TAIL_LINES = 40


def free_port(kind: socket.SocketKind) -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `overrides` laid over it, section by section."""
    result = dict(base)
    for key, value in overrides.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return result


def quick(*words: str, environ: Mapping[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
    """A `netmon` command in this process, for what needs no process of its own to be believed; None takes a variable away."""
    found = CliRunner().invoke(build(words), words, env=environ, catch_exceptions=False)
    return subprocess.CompletedProcess(words, found.exit_code, found.stdout, found.stderr)


class Netmon:
    """One `python -m netmon run` in a folder of its own. As a context manager it starts, and ends with no orphans."""

    def __init__(self, folder: Path, overrides: Mapping[str, Any] | None = None, *, command: str = "run") -> None:
        """Write the configuration; `overrides` are laid over a small test configuration, section by section."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.command = command
        self.port = free_port(socket.SOCK_DGRAM)
        self.http_port = free_port(socket.SOCK_STREAM)
        self.config_file = folder / "netmon.yml"
        self.data_dir = folder / "data"
        self.log_file = folder / "netmon.log"
        self.output_file = folder / "netmon.out"
        self.process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, Any] = {
            "data_dir": str(self.data_dir),
            "receiver": {"name": "test", "listen": [f"127.0.0.1:{self.port}"]},
            "journal": {"segment_bytes": "4MiB", "size_bytes_max": "256MiB"},
            "redis": {"stream_memory_bytes_max": "64MiB"},
            "http": {"listen": f"127.0.0.1:{self.http_port}"},
            "canary": {"enabled": False},  # tests count every trap
            "alarms": {"enabled": False},  # and every consumer group
            "api": {"enabled": False},  # which has a port of its own
            "log": {"format": "json"},
        }
        self.configure(overrides or {})

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self.process is not None and self.process.poll() is None and kind is None:
                assert self.stop() == 0, self.log_tail()
        finally:
            self.kill()
        if error is not None:
            error.add_note(self.log_tail())

    # --- Life.

    def configure(self, overrides: Mapping[str, Any]) -> None:
        """Lay settings over the present ones and write the file; SIGHUP makes a running netmon read it."""
        self.settings = merged(self.settings, overrides)
        self.config_file.write_text(yaml.safe_dump(self.settings), encoding="utf-8")

    def start(self, *, ready: bool = True, timeout_s: float = 30.0, environ: Mapping[str, str] | None = None) -> None:
        """Start the process; with `ready`, wait until /readyz says so."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with self.log_file.open("ab") as log, self.output_file.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netmon", self.command, "-c", str(self.config_file)],
                cwd=REPOSITORY,
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        if ready:
            self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Until /readyz answers 200."""
        self.wait_until(self.is_ready, timeout_s, "ready")

    def is_ready(self) -> bool:
        """Whether /readyz answers 200 now. Fails the test if netmon has ended."""
        assert self.process is not None, "not started"
        assert self.process.poll() is None, f"netmon ended with {self.process.returncode}\n{self.log_tail()}"
        return self.get("/readyz")[0] == 200

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; returns the exit code, and fails the test when a child is left."""
        assert self.process is not None, "not started"
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        left = [pid for pid in self.started_pids() if is_alive(pid)]
        assert left == [], f"orphans: {left}\n{self.log_tail()}"
        return code

    def kill(self, timeout_s: float = 15.0) -> None:
        """SIGKILL to the supervisor; returns when its children have ended by themselves, and makes sure of it."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        deadline = time.monotonic() + timeout_s
        while (left := [pid for pid in self.started_pids() if is_alive(pid)]) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- Processes.

    @property
    def supervisor_pid(self) -> int:
        """Pid of the supervisor."""
        assert self.process is not None, "not started"
        return self.process.pid

    def pids(self) -> dict[tuple[str, int | None], int]:
        """(role, lane) to pid of every living child; Valkey is ("valkey", None)."""
        started = {(e["role"], e.get("lane")): e["pid"] for e in self.events("supervisor.role_started")}
        return {key: pid for key, pid in started.items() if is_alive(pid)}

    def pid(self, role: str, lane: int | None = 0) -> int:
        """Pid of a living child: `capture`, `commit`, `decode` or `valkey` (lane does not matter)."""
        return self.pids()[(role, None if role == "valkey" else lane)]

    def started_pids(self) -> list[int]:
        """Every child that was ever started."""
        return [event["pid"] for event in self.events("supervisor.role_started")]

    def signal(self, number: signal.Signals, role: str = "supervisor", lane: int | None = 0) -> int:
        """Send a signal to a role (default: the supervisor); returns the pid that got it."""
        pid = self.supervisor_pid if role == "supervisor" else self.pid(role, lane)
        os.kill(pid, number)
        return pid

    @contextlib.contextmanager
    def stopped(self, role: str, lane: int = 0) -> Iterator[None]:
        """A role stands still meanwhile (SIGSTOP); it goes on at the end, also when the test fails."""
        pid = self.signal(signal.SIGSTOP, role, lane)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def wait_restarted(self, role: str, former_pid: int, lane: int = 0, timeout_s: float = 15.0) -> int:
        """Until the role runs under another pid; returns it."""
        key = (role, None if role == "valkey" else lane)
        self.wait_until(lambda: self.pids().get(key, former_pid) != former_pid, timeout_s, f"{role} restarted")
        return self.pids()[key]

    def socket_inodes(self, pid: int | None = None) -> set[int]:
        """Inodes of the UDP sockets that a process (default: the supervisor) holds on our port."""
        inodes = set()
        for table in ("udp", "udp6"):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == self.port:
                    inodes.add(int(fields[9]))
        held = set()
        for fd in Path(f"/proc/{pid or self.supervisor_pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                held.add(str(fd.readlink()))
        return {inode for inode in inodes if f"socket:[{inode}]" in held}

    # --- What it says.

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Log lines as objects, of one event or all, oldest first."""
        found = []
        if self.log_file.exists():
            for line in self.log_file.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if name in {None, event.get("event")}:
                        found.append(event)
        return found

    def log_tail(self) -> str:
        """The last lines of log and output, for a failing test."""
        files: Iterable[Path] = (self.output_file, self.log_file, self.data_dir / "valkey" / "valkey.log")
        texts = [
            f"--- {file.name}\n" + "\n".join(file.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:])
            for file in files
            if file.exists()
        ]
        return "\n".join(texts)

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
        """HTTP GET: status and body; status 0 when nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics: `name{labels}` to value."""
        lines = (line for line in self.get("/metrics")[1].splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def command_line(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `netmon` command with this configuration: `command_line("ledger", "--json")`."""
        return subprocess.run(
            [sys.executable, "-m", "netmon", *arguments, "-c", str(self.config_file)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def quick(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same in this process: see `quick`."""
        return quick(*arguments, "-c", str(self.config_file))

    def directory(self, lane: int = 0) -> Path:
        """Folder of a lane's journal and counters."""
        return self.data_dir / str(self.settings["receiver"]["name"]) / f"lane-{lane}"

    def ledger(self, lane: int = 0) -> LaneLedger:
        """The lane's ledger, read from its files: needs no running netmon."""
        return ledger.read(self.directory(lane))

    def wait_until(self, predicate: Callable[[], object], timeout_s: float = 15.0, what: str = "the condition") -> None:
        """Look again and again until `predicate()` is true; fail with the log when it has not become so in time.

        A Redis that does not answer while it looks is "not yet".
        """

        def holds() -> object:
            try:
                return predicate()
            except (redis.ConnectionError, redis.TimeoutError):
                return False

        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {timeout_s} s\n{self.ledger()}\n{self.log_tail()}")
            time.sleep(POLL_S)

    def wait_settled(self, captured: int | None = None, timeout_s: float = 30.0, lane: int = 0) -> LaneLedger:
        """Until the socket is empty and nothing is in flight (and `captured` have come); returns the ledger."""

        def settled() -> bool:
            now = self.ledger(lane)
            enough = captured is None or now.captured >= captured
            return enough and now.in_flight == 0 and now.socket_queue_bytes == 0

        self.wait_until(settled, timeout_s, "settled")
        return self.ledger(lane)

    # --- The buffer.

    def key(self, stream: str = "traps", lane: int = 0) -> str:
        """Key of a lane's `traps` or `rejects` stream."""
        return f"netmon:{{{self.settings['receiver']['name']}:{lane}}}:{stream}"

    def redis(self) -> redis.Redis:
        """A client of the Redis in use; close it, or let the test end."""
        url = self.settings["redis"].get("url", "embedded")
        return redis.Redis.from_url(embedded.url(self.data_dir) if url == "embedded" else url)

    def entries(self, lane: int = 0) -> list[tuple[str, TrapEvent]]:
        """The whole traps stream: (entry ID, event), oldest first."""
        return [
            (entry_id, msgspec.json.decode(fields[b"trap"], type=TrapEvent))
            for entry_id, fields in self._range(self.key("traps", lane))
        ]

    def rejects(self, lane: int = 0) -> list[tuple[str, RejectEvent]]:
        """The whole rejects stream: (entry ID, event), oldest first."""
        return [
            (entry_id, msgspec.json.decode(fields[b"reject"], type=RejectEvent))
            for entry_id, fields in self._range(self.key("rejects", lane))
        ]

    def _range(self, key: str) -> list[tuple[str, dict[bytes, bytes]]]:
        with contextlib.closing(self.redis()) as client:
            found: Any = client.xrange(key)
            return [(entry_id.decode(), fields) for entry_id, fields in found]

    def numbers(self, lane: int = 0) -> list[int]:
        """The numbers of our test traps (see `trap`) in the stream, in stream order."""
        return [
            int(varbind.value)
            for _, event in self.entries(lane)
            for varbind in event.varbinds
            if varbind.oid == NUMBER_OID and varbind.value is not None
        ]

    # --- Traps.

    @staticmethod
    def trap(number: int, *, inform: bool = False, community: bytes = b"public") -> bytes:
        """A v2c linkDown that carries a number; for an INFORM it is the request ID too."""
        return sending.trap(number, inform=inform, community=community)

    def send(self, datagrams: Iterable[bytes], *, rate: float | None = None, source: str = "") -> int:
        """Send datagrams to the first listener, at most `rate` a second (None: as fast as we can); returns how many."""
        return sending.send(self.port, datagrams, rate, source)

    def start_storm(self, first: int, count: int, rate: float, *kind: str) -> subprocess.Popen[bytes]:
        """Send numbered traps from a process of its own, so that the test can break things meanwhile; `wait()` for it."""
        arguments = [str(each) for each in (self.port, first, count, rate)]
        return subprocess.Popen([sys.executable, "-m", "tests.integration.sending", *arguments, *kind], cwd=REPOSITORY)

    def inform(self, number: int, *, timeout_s: float = 5.0, tries: int = 1) -> bytes | None:
        """Send an INFORM and wait for the answer; None when none came."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self.port))
            sock.settimeout(timeout_s)
            for _ in range(tries):
                sock.send(self.trap(number, inform=True))
                with contextlib.suppress(TimeoutError):
                    return sock.recv(65_536)
        return None
