"""The API as a process on a real Valkey, asked over real HTTP; and alarms put where the worker puts them.

with ApiServer(tmp_path, server) as api:
    assert api.get("/alarms").json["alarms"] == []
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import msgspec
import redis

from netmon.alarms.model import Alarm, Change, Key, Place, StateChange, Text, alarm_id
from netmon.api.settings import ApiSettings
from netmon.buffer.alarm_store import LEASE, STATE, STREAM
from netmon.model import RedisSettings
from tests.integration.harness import REPOSITORY
from tests.integration.valkey import Valkey, wait_until

NOON = 1_767_268_800_000_000_000
TIMEOUT_S = 10.0


def alarm(number: int, **fields: Any) -> Alarm:
    """An alarm that stands; each number is another one."""
    key = Key(f"device/r{number}", str(fields.pop("alarm_type", "link-down")))
    unix_ns = NOON + number * 1_000_000_000
    defaults: dict[str, Any] = {
        "severity": "major",
        "event_type": "communicationsAlarm",
        "probable_cause": "loss_of_signal",
        "text": Text(f"Port {number} is down", f"ポート{number}が停止"),
        "action": Text("Look at it", "確認してください"),
        "place": Place(area="hama", site="hall", device=f"r{number}", sectors=("water",)),
        "created_unix_ns": unix_ns,
        "raised_unix_ns": unix_ns,
        "event_unix_ns": unix_ns,
        "changed_unix_ns": unix_ns,
        "history": (StateChange(unix_ns, "raised", "major"),),
    }
    return Alarm(**{**defaults, "id": alarm_id(key), "resource": key.resource, "alarm_type": key.alarm_type, **fields})


def put(client: redis.Redis, *alarms: Alarm) -> None:
    """Into the list, and nobody is told."""
    if alarms:
        client.hset(STATE, mapping={one.id: msgspec.json.encode(one) for one in alarms})


def tell(client: redis.Redis, *alarms: Alarm, kind: str = "updated") -> list[str]:
    """Into the list and the stream, as the worker does; returns the entries' IDs."""
    pipe = client.pipeline()
    for one in alarms:
        change = Change(kind=kind, unix_ns=one.changed_unix_ns, alarm=one)  # type: ignore[arg-type]
        if kind == "purged":
            pipe.hdel(STATE, one.id)
        else:
            pipe.hset(STATE, one.id, msgspec.json.encode(one))
        pipe.xadd(STREAM, {"change": msgspec.json.encode(change)})
    return [reply.decode() for reply in pipe.execute()[1::2]]


def lead(client: redis.Redis) -> None:
    """As if there were a worker that takes every command and never answers."""
    client.set(LEASE, "somebody")


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        """Of a problem: its status and code. Fails for what is none."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        return self.status, self.json["code"]

    @property
    def wrong(self) -> list[str]:
        """Of a problem: what is wrong."""
        assert self.headers["content-type"] == "application/problem+json", self
        return [mistake["where"] for mistake in self.json["errors"]]


class ApiServer:
    """One `python -m netmon.api`. As a context manager it starts, is ready, and ends."""

    def __init__(self, folder: Path, server: Valkey, **settings: Any) -> None:
        """`settings` are laid over those of a test."""
        defaults = ApiSettings(listen="127.0.0.1:0", redis=RedisSettings(url=server.url), log_format="json")
        self._settings = msgspec.json.encode(msgspec.structs.replace(defaults, **settings))
        self._token = settings.get("token")
        self.log_file = folder / "api.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        try:
            wait_until(self.is_listening, "the API listens")
            wait_until(self.is_loaded, "the alarms are loaded")
        except BaseException as error:
            self.kill()
            error.add_note(self.log_file.read_text("utf-8", "replace")[-4_000:])
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            error.add_note(self.log_file.read_text("utf-8", "replace")[-4_000:])

    def start(self) -> None:
        """Starts it."""
        with self.log_file.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netmon.api"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(self._settings)
        self.process.stdin.close()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        assert self.process is not None, "not started"
        self.process.kill()
        self.process.wait()

    def is_listening(self) -> bool:
        """Whether it has said where it listens."""
        for event in self.events("api.server_started"):
            self.port = int(event["listen"].rpartition(":")[2])
        assert self.process is not None
        assert self.port or self.process.poll() is None, "the API has ended"
        return bool(self.port)

    def is_loaded(self) -> bool:
        """Whether it shows what is of now."""
        return self.get("/healthz").status == 200

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of an event."""
        lines = self.log_file.read_text("utf-8", "replace").splitlines()
        found = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in found if line["event"] == name]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; the path is below /api/v1."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        bearer = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        with contextlib.closing(connection):
            connection.request(method, f"/api/v1{path}", body, {**bearer, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def get(self, path: str, **parameters: object) -> Answer:
        """GET."""
        return self.ask("GET", f"{path}?{urlencode(parameters)}" if parameters else path)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """POST of JSON; `If_Match` is the header If-Match."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **named})

    def walk(self, path: str = "/alarms", **parameters: object) -> Iterator[list[dict[str, Any]]]:
        """All pages of a list."""
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, **({} if cursor is None else {"cursor": cursor})).json
            yield page[path.strip("/")]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def resources(self, **parameters: object) -> list[str]:
        """Of all alarms that are found, in their order."""
        return [found["resource"] for page in self.walk(**parameters) for found in page]


class Listener:
    """A client of /events."""

    def __init__(self, api: ApiServer, after: str | None = None, last_event_id: str | None = None) -> None:
        """Listens; `event: ready` has come."""
        self._connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=TIMEOUT_S)
        query = "" if after is None else f"?after={after}"
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._connection.request("GET", f"/api/v1/events{query}", headers=headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        assert self._response.headers["Content-Type"] == "text/event-stream"
        name, self.ready_id, _ = self.next()
        assert name == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._response.close()

    def next(self) -> tuple[str, str, Any]:
        """Name, ID and data of the next event; waits for it."""
        fields: dict[str, str] = {}
        while True:
            line = self._response.readline().decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return fields["event"], fields["id"], json.loads(fields["data"])

    def take(self, count: int) -> list[tuple[str, str, Any]]:
        """So many events."""
        return [self.next() for _ in range(count)]


def ids(events: Iterable[tuple[str, str, Any]]) -> list[str]:
    """Of events."""
    return [entry_id for _, entry_id, _ in events]
