"""The controller on a real Valkey, a judge of lines and a carrier that do what a test has them do, and gateways with real agents.

with Valkey(tmp_path) as server, Judge(server.client()) as judge, Controller(tmp_path, server, region) as controller:
    judge.say("fibre", "down")
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import redis

from netmon.active_probe.model import LineChange, LineState, LineStatus, VantageChange, VantageHealth, Vote
from netmon.buffer import line_store
from netmon.buffer.failover_store import FailoverView
from netmon.failover.controller.report import REPORT_FILE, ControllerReport, Counts
from netmon.failover.model import Damping, Group, LineFacts, Priority, Timers
from netmon.failover.plan import sign
from netmon.failover.plan.model import PlannedGroup
from netmon.failover.record import Audit, Command, CommandKind, CommandResult
from netmon.failover.settings import (
    AgentSettings,
    ControllerSettings,
    GatewaySettings,
    MqttSettings,
    WebhookSettings,
)
from netmon.inventory.model import ActuatorKind
from netmon.model import RedisSettings
from tests.integration.harness import REPOSITORY
from tests.integration.leading import Leading
from tests.integration.valkey import Valkey, wait_until

BEAT_S = 0.2
LINES = ("fibre", "radio", "modem")
"""Of every gateway: its own, and two that share no risk with it."""
PRIVATE, PUBLIC = sign.generate()
SECRET = "a secret of sixteen letters and more"
Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
PATIENCE_S = 60.0
"""For a command that is not done before something else happens."""


class Judge:
    """Says how lines are, as vantages and the verdict process do. As a context manager it lives, and falls silent."""

    def __init__(self, client: Any, lines: Sequence[str] = LINES) -> None:
        """All lines are up. The client is closed at the end."""
        self._client = client
        self._lock = threading.Lock()
        self._lines: dict[str, LineStatus] = {}
        self._beat = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        for line_id in lines:
            self._lines[line_id] = _status(line_id, "up")

    def __enter__(self) -> Self:
        self.tell_all()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
        self._client.close()

    def say(self, line_id: str, state: LineState) -> None:
        """A line changes its state."""
        with self._lock:
            before = self._lines[line_id].state
            status = self._lines[line_id] = _status(line_id, state)
            change = LineChange(line_id=line_id, before=before, after=state, unix_ns=status.unix_ns, status=status)
            body = msgspec.json.encode(status)
            with self._client.pipeline() as pipe:
                pipe.hset(line_store.LINES, line_id, body)
                pipe.xadd(line_store.CHANGES, {"line": msgspec.json.encode(change)})
                pipe.execute()

    def vantage(self, state: str) -> None:
        """The only vantage is live, isolated or stale."""
        body = msgspec.json.encode({"vantage_id": "v1", "before": "", "after": state, "unix_ns": time.time_ns()})
        msgspec.json.decode(body, type=VantageChange)
        self._client.hset(line_store.META, line_store.vantage_field("v1"), body)
        self._client.xadd(line_store.CHANGES, {"vantage": body})

    def tell_all(self) -> None:
        """Everything again, as after Redis has lost it."""
        with self._lock:
            bodies = {line_id: msgspec.json.encode(status) for line_id, status in self._lines.items()}
            self._client.hset(line_store.LINES, mapping=bodies)
        self._say_hello()
        self.vantage("live")

    def _say_hello(self) -> None:
        self._beat += 1
        health = VantageHealth(
            vantage_id="v1",
            state="live",
            beat=self._beat,
            started_unix_ns=1,
            unix_ns=time.time_ns(),
            heartbeat_s=BEAT_S,
        )
        with self._client.pipeline() as pipe:
            pipe.hset(line_store.VANTAGES, "v1", msgspec.json.encode(health))
            pipe.hset(line_store.META, line_store.JUDGED_FIELD, str(time.time_ns()))
            pipe.execute()

    def _run(self) -> None:
        while not self._ending.wait(BEAT_S):
            with contextlib.suppress(redis.RedisError):
                self._say_hello()


def _status(line_id: str, state: LineState) -> LineStatus:
    now = time.time_ns()
    vote = Vote(
        line_id=line_id,
        vantage_id="v1",
        state=state,
        since_unix_ns=now,
        first_miss_unix_ns=now - 50_000_000 if state == "down" else 0,
        unix_ns=now,
    )
    return LineStatus(line_id=line_id, state=state, since_unix_ns=now, unix_ns=now, votes=(vote,), vantages_live=1)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Whoever asked has been killed."""


class Carrier:
    """A carrier's controller, over HTTP: it obeys no smaller number than the greatest that it knows of.

    Attributes:
        stated: Groups of which a controller that knows of none before has said where they belong.
        asked: Orders as they came, but for those.
        moved: Group ID and line of those that were obeyed, each once.
        answer: Makes the answer to one that may be obeyed: status, and JSON.
    """

    def __init__(self) -> None:
        self.stated: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.moved: list[tuple[str, str]] = []
        self.answer: Answer = _verified
        self._newest: dict[str, tuple[int, int]] = {}
        carrier = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._reply(*carrier.take(body))

            def _reply(self, status: int, answer: dict[str, Any]) -> None:
                octets = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(octets)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/move"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def take(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer to an order."""
        number, name = (asked["fence"], asked["generation"]), asked["group"]
        if asked["reason"] == "reconcile":
            self.stated.append(name)
            return _verified(asked)
        self.asked.append(asked)
        if number < self._newest.get(name, (0, 0)):
            return 409, {"state": "refused"}
        self._newest[name] = number
        status, said = self.answer(asked)
        if status == 200 and said["state"] == "verified" and self.moved[-1:] != [(name, asked["line"])]:
            self.moved.append((name, asked["line"]))
        return status, said

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def _verified(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, {"state": "verified", "line": asked["line"]}


def group(gateway_id: str, name: str = "life", priority: Priority = 0, **fields: Any) -> Group:
    """A class at a gateway, at home on the fibre, impatient."""
    timers = Timers(wtr_s=0.5, wtb_s=0.2, guard_s=0.05, verify_s=20.0, retry_s=0.2)
    given: dict[str, Any] = {"working": LINES[0], "protections": LINES[1:], "area_id": "hoshimi", "timers": timers}
    given |= {"damping": Damping(suppress=1e9), **fields}
    return Group(id=f"{gateway_id}/{name}", gateway_id=gateway_id, class_id=name, priority=priority, **given)


def region(kind: ActuatorKind, *groups: Group, **settings: Any) -> dict[str, Any]:
    """Settings of a controller whose gateways are all moved in one way."""
    lines = tuple(
        LineFacts(line_id=line_id, carrier_id=line_id, area_ids=("hoshimi",), capacity_bps=100_000_000)
        for line_id in LINES
    )
    gateways = tuple(
        GatewaySettings(
            gateway_id=gateway_id,
            area_id="hoshimi",
            actuator=kind,
            webhook="carrier" if kind == "webhook" else "",
            groups=tuple(_planned(each, number) for number, each in enumerate(groups) if each.gateway_id == gateway_id),
        )
        for gateway_id in dict.fromkeys(each.gateway_id for each in groups)
    )
    return {"lines": lines, "groups": groups, "gateways": gateways, **settings}


def _planned(each: Group, number: int) -> PlannedGroup:
    return PlannedGroup(
        group_id=each.id,
        class_id=each.class_id,
        priority=each.priority,
        working=each.working,
        protections=each.protections,
        mark=16 + number,
        table=1_000 + number,
        timers=each.timers,
    )


def carriers(url: str) -> tuple[WebhookSettings, ...]:
    """The only one."""
    return (WebhookSettings(name="carrier", url=url, secret=SECRET, timeout_s=2.0),)


class Controller(Leading[ControllerReport]):
    """One `python -m netmon.failover.controller`. As a context manager it starts, and ends."""

    def __init__(self, folder: Path, server: Valkey, told: dict[str, Any], **settings: Any) -> None:
        """`told` is a `region`; `settings` are laid over those of a test."""
        folder.mkdir(parents=True, exist_ok=True)
        given: dict[str, Any] = {"lease_s": 1.0, "lock_delay_s": 0.0, "signing_key": PRIVATE} | told | settings
        made = ControllerSettings(redis=RedisSettings(url=server.url), directory=str(folder), **given)
        super().__init__(folder, ("netmon.failover.controller",), made, REPORT_FILE, ControllerReport)

    def wait_led(self, state: str = "leading") -> None:
        """Until it says of itself that it leads, or waits."""
        wait_until(lambda: self.state() == state, f"it is {state}")

    def counts(self) -> Counts:
        """What it has counted, as of a second ago."""
        report = self.report()
        return Counts() if report is None else report.counts


class Agent:
    """`python -m netmon.failover.agent`, which moves nothing and asks over no line. As a context manager it starts, and is killed."""

    def __init__(self, folder: Path, gateway_id: str, mqtt: MqttSettings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        settings = AgentSettings(
            gateway_id=gateway_id,
            directory=str(folder),
            mqtt=mqtt,
            verify_key=PUBLIC,
            dry_run=True,
            report_s=0.5,
        )
        self._settings = msgspec.json.encode(settings)
        self._log = folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        if error is not None and self._log.exists():
            error.add_note(self._log.read_text("utf-8", "replace")[-2_000:])

    def start(self) -> None:
        """Starts it."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "netmon.failover.agent"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(self._settings)
        self._process.stdin.close()

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait()


class Centre:
    """What people see, and want."""

    def __init__(self, server: Valkey) -> None:
        self._view = FailoverView(RedisSettings(url=server.url))
        self._number = 0

    def on(self, group_id: str) -> str | None:
        """The line that a group is on; None: nothing is known of it."""
        state = self._view.group(group_id)
        return None if state is None else state.on

    def wait_on(self, group_id: str, line_id: str) -> None:
        """Until a group is on a line, and no order of it is under way."""
        wait_until(
            lambda: self.rests(group_id, line_id), f"{group_id} is on {line_id}, not {self._view.group(group_id)}"
        )

    def rests(self, group_id: str, line_id: str) -> bool:
        """Whether it is there, and no order of it is under way."""
        state = self._view.group(group_id)
        return state is not None and state.on == line_id and state.attempt is None

    def phase(self, group_id: str) -> str:
        """Of a group."""
        state = self._view.group(group_id)
        return "" if state is None else state.phase

    def audit(self, group_id: str = "") -> list[Audit]:
        """All entries, or those about a group."""
        told = [told.audit for told in self._view.newest_actions(10_000)]
        return [each for each in told if each is not None and (not group_id or each.group == group_id)]

    def kinds(self, group_id: str) -> list[str]:
        """What has become of a group, in words."""
        return [each.kind for each in self.audit(group_id)]

    def command(self, kind: CommandKind, group_id: str = "", line_id: str = "", **fields: Any) -> Command:
        """One that is not put yet."""
        self._number += 1
        given: dict[str, Any] = {
            "id": f"c{self._number}",
            "by": "sato",
            "why": "works in the duct",
            "unix_ns": time.time_ns(),
        }
        return Command(kind=kind, group_id=group_id, line_id=line_id, **(given | fields))

    def ask(self, kind: CommandKind, group_id: str = "", line_id: str = "", **fields: Any) -> CommandResult:
        """Puts it, and waits for what becomes of it."""
        result = self._view.ask(self.command(kind, group_id, line_id, **fields), PATIENCE_S)
        assert result is not None, "nobody has done it"
        return result

    @property
    def view(self) -> FailoverView:
        """All of it."""
        return self._view


@contextlib.contextmanager
def centre(server: Valkey) -> Iterator[Centre]:
    """As people see it."""
    made = Centre(server)
    try:
        yield made
    finally:
        made.view.close()


def port() -> int:
    """One that is free."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        number: int = sock.getsockname()[1]
        return number
