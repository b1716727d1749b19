"""A real Prometheus and real members of an Alertmanager cluster for a test, each in a folder and on ports of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.harness import free_port

_START_S = 20.0
_POLL_S = 0.05
_LOG_LINES = 30


class Server:
    """A program that serves HTTP. As a context manager it starts, and is killed."""

    def __init__(self, folder: Path, command: list[str], *, port: int, ready: str) -> None:
        """`ready`: path that answers 200 once it works."""
        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{port}"
        self._command = command
        self._ready = ready
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            error.add_note("\n".join(self._log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]))

    def start(self) -> None:
        """Starts it; returns when it is ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            assert self._process.poll() is None, self._log.read_text("utf-8", "replace")
            assert time.monotonic() < deadline, f"not ready within {_START_S} s; see {self._log}"
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. What it held in memory is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, path: str, body: Any = None, method: str | None = None, **parameters: str) -> Any:
        """JSON from a path; with a body, a POST."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}{query}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
            return json.loads(content) if content else None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{self._ready}", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Alertmanager(Server):
    """One member."""

    def __init__(self, folder: Path, program: str, peer: Alertmanager | None = None) -> None:
        """`peer`: another member whose cluster it joins."""
        folder.mkdir(parents=True, exist_ok=True)
        port, self.cluster_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
        config = folder / "alertmanager.yml"
        config.write_text("route: {receiver: nobody, group_wait: 1s}\nreceivers: [{name: nobody}]\n", encoding="utf-8")
        command = [
            program,
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--cluster.listen-address=127.0.0.1:{self.cluster_port}",
            "--cluster.gossip-interval=50ms",
        ]
        if peer is not None:
            command.append(f"--cluster.peer=127.0.0.1:{peer.cluster_port}")
        super().__init__(folder, command, port=port, ready="/-/ready")

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Alerts that fire, by the resource of their alarm."""
        return {alert["labels"]["resource"]: alert for alert in self.ask("/api/v2/alerts")}

    def silences(self) -> list[dict[str, Any]]:
        """Silences in force."""
        return [silence for silence in self.ask("/api/v2/silences") if silence["status"]["state"] == "active"]


class Prometheus(Server):
    """A server with a configuration as it stands in a file."""

    def __init__(self, folder: Path, program: str, config: Path) -> None:
        """`config`: of Prometheus."""
        port = free_port(socket.SOCK_STREAM)
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        super().__init__(folder, command, port=port, ready="/-/ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now; fails when it cannot be parsed or run."""
        try:
            answer = self.ask("/api/v1/query", query=expression)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def names(self) -> set[str]:
        """Of all series there are."""
        return set(self.ask("/api/v1/label/__name__/values")["data"])
