"""A real Valkey for a test, from the same wheel as netmon's embedded one, with any settings; and a lane's streams on it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest
import redis

from netmon.buffer import embedded
from netmon.buffer.stream import Streams
from netmon.errors import UnavailableError
from netmon.model import RedisSettings
from tests.integration.harness import free_port

PREFIX = "netmon:{test:0}"
TRAPS, REJECTS = f"{PREFIX}:traps", f"{PREFIX}:rejects"

_START_S = 10.0
_POLL_S = 0.005


class Valkey:
    """A server in a folder of its own. As a context manager it starts, and is killed."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings` are those of valkey.conf, with `_` for `-`; without `port` it listens on a Unix socket only."""
        folder.mkdir(parents=True, exist_ok=True)
        self.socket_path = folder / "valkey.sock"
        self.port = int(settings.get("port", "0"))
        self.url = f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket_path}"
        self._log = folder / "valkey.log"
        self._password = settings.get("requirepass")
        defaults = {"port": "0", "bind": "127.0.0.1", "save": "", "maxmemory_policy": "noeviction"}
        named = {**defaults, "unixsocket": str(self.socket_path), "dir": str(folder), **settings}
        options = [part for name, value in named.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._command = [str(embedded.find_binary()), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            wait_until(self._answers, f"valkey answers; see {self._log}")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()

    def client(self, **options: Any) -> redis.Redis:
        """A client of this server's, as the administrator."""
        return redis.Redis(unix_socket_path=str(self.socket_path), **{"password": self._password, **options})

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait()


def wait_until(predicate: Callable[[], object], what: str) -> None:
    """Look again and again until `predicate()` is true; fail when it has not become so in 10 s."""
    deadline = time.monotonic() + _START_S
    while not predicate():
        assert time.monotonic() < deadline, f"not within {_START_S} s: {what}"
        time.sleep(_POLL_S)


def new_streams(server: Valkey, journal_id: str = "journal-1", **settings: object) -> Streams:
    """A lane's streams, not connected yet."""
    return Streams(msgspec.convert({"url": server.url, **settings}, RedisSettings), PREFIX, journal_id)


def batch(streams: Streams, *seqs: int, body: bytes = b"{}") -> list[bytes]:
    """Commands for traps with these seqs, ten a millisecond; a negative one is a reject."""
    return [
        (streams.encode_trap if seq > 0 else streams.encode_reject)(1_000 + abs(seq) // 10, abs(seq), body)
        for seq in seqs
    ]


def fill(streams: Streams, *seqs: int, body: bytes = b"{}") -> tuple[int, int, int]:
    """Sends and settles one batch."""
    streams.send(batch(streams, *seqs, body=body))
    return streams.settle()


def ids(client: redis.Redis, key: str = TRAPS) -> list[str]:
    """All IDs of a stream."""
    return [entry_id.decode() for entry_id, _ in client.xrange(key)]


def reason_of(error: pytest.ExceptionInfo[UnavailableError]) -> str:
    """The word that the metrics count."""
    return error.value.reason


def raw(client: redis.Redis, command: str) -> bytes:
    """A reply as it came."""
    client.response_callbacks.pop(command, None)
    return bytes(client.execute_command(command))


def cluster_node(folder: Path) -> Valkey:
    """A node of a Redis Cluster, not started; it knows no others and has no slots yet."""
    ports = {"port": str(free_port(socket.SOCK_STREAM)), "cluster_port": str(free_port(socket.SOCK_STREAM))}
    return Valkey(folder, cluster_enabled="yes", **ports)
