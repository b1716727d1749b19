"""The verdict process on a real Valkey, and vantages that say what a test has them say.

with Verdict(tmp_path, server, lines=2, vantages=("v1", "v2")) as verdict, Place(server.client(), "v1", ["l0"]) as first, ...:
    first.say("l0", "down")
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import redis

from netmon.active_probe.model import (
    LineChange,
    LineState,
    LineStatus,
    Reason,
    TargetReading,
    VantageHealth,
    VantageState,
    Vote,
)
from netmon.active_probe.settings import JudgedLine, VerdictSettings
from netmon.active_probe.verdict.report import REPORT_FILE, VerdictReport
from netmon.buffer.line_store import CHANGES, LINES, NEWS, VANTAGES, told_of, votes_key
from netmon.model import RedisSettings
from tests.integration.leading import Leading
from tests.integration.valkey import Valkey

HEARTBEAT_S = 0.2
REFRESH_S = 1.0


class Place:
    """A vantage: heartbeats, and votes that are told again, in a thread. As a context manager it lives, and falls silent."""

    def __init__(self, client: Any, name: str, lines: Sequence[str]) -> None:
        """All lines are up. The client is closed at the end."""
        self.name = name
        self.state: VantageState = "live"
        self.reason = ""
        self._client = client
        self._votes = {line_id: self._vote(line_id, "up", "", 0) for line_id in lines}
        self._started = time.time_ns()
        self._beat = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.fall_silent()
        self._client.close()

    def fall_silent(self) -> None:
        """As if killed."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def say(self, line_id: str, state: LineState, reason: Reason = "", first_miss_unix_ns: int = 0) -> None:
        """Votes, at once."""
        with self._lock:
            self._votes[line_id] = self._vote(line_id, state, reason, first_miss_unix_ns)
            self._publish([self._votes[line_id]])

    def beat(self) -> None:
        """A sign of life, at once."""
        with self._lock:
            self._beat += 1
            health = VantageHealth(
                vantage_id=self.name,
                state=self.state,
                reason=self.reason,
                beat=self._beat,
                started_unix_ns=self._started,
                unix_ns=time.time_ns(),
                heartbeat_s=HEARTBEAT_S,
                anchors=1,
                anchors_answering=int(self.state == "live"),
                lines=len(self._votes),
            )
            body = msgspec.json.encode(health)
            with self._client.pipeline() as pipe:
                pipe.hset(VANTAGES, self.name, body)
                pipe.xadd(NEWS, {"health": body}, maxlen=20_000)
                pipe.execute()

    def _run(self) -> None:
        refreshed = 0.0
        while True:
            try:
                self.beat()
                if time.monotonic() - refreshed > REFRESH_S:
                    refreshed = time.monotonic()
                    with self._lock:
                        self._publish(list(self._votes.values()))
            except redis.RedisError:
                pass
            if self._ending.wait(HEARTBEAT_S):
                return

    def _publish(self, votes: list[Vote]) -> None:
        for at in range(0, len(votes), 200):
            bodies = {vote.line_id: msgspec.json.encode(vote) for vote in votes[at : at + 200]}
            with self._client.pipeline() as pipe:
                pipe.hset(votes_key(self.name), mapping=bodies)
                pipe.xadd(NEWS, {"votes": b"[" + b",".join(bodies.values()) + b"]"}, maxlen=20_000)
                pipe.execute()

    def _vote(self, line_id: str, state: LineState, reason: Reason, first_miss_unix_ns: int) -> Vote:
        now = time.time_ns()
        lost = 60 if state == "down" else 0
        reading = TargetReading(label="icmp 192.0.2.1", state=state, reason=reason, sent=60, lost=lost, rtt_p50_s=0.001)
        return Vote(
            line_id=line_id,
            vantage_id=self.name,
            state=state,
            reason=reason,
            since_unix_ns=now,
            first_miss_unix_ns=first_miss_unix_ns or (now if state == "down" else 0),
            unix_ns=now,
            targets=(reading,),
        )


class Verdict(Leading[VerdictReport]):
    """One `python -m netmon.active_probe.verdict`. As a context manager it starts, and ends."""

    def __init__(
        self, folder: Path, server: Valkey, lines: Sequence[str], vantages: Sequence[str], **settings: object
    ) -> None:
        """`settings` are laid over those of a test."""
        folder.mkdir(parents=True, exist_ok=True)
        judged = tuple(JudgedLine(line_id=line, fall_s=0.2, vantage_ids=tuple(vantages)) for line in lines)
        defaults = VerdictSettings(
            redis=RedisSettings(url=server.url), directory=str(folder), lines=judged, lease_s=1.0, heard_s=2.0
        )
        told = msgspec.structs.replace(defaults, **settings)
        super().__init__(folder, ("netmon.active_probe.verdict",), told, REPORT_FILE, VerdictReport)


def stored(client: redis.Redis) -> dict[str, LineStatus]:
    """Line ID to verdict, as it stands in Redis."""
    found: Any = client.hgetall(LINES)
    return {name.decode(): msgspec.json.decode(body, type=LineStatus) for name, body in found.items()}


def states(client: redis.Redis) -> dict[str, tuple[str, str]]:
    """Line ID to state and reason."""
    return {name: (status.state, status.reason) for name, status in stored(client).items()}


def changes(client: redis.Redis, line_id: str) -> list[LineChange]:
    """All that was told of a line."""
    return all_changes(client).get(line_id, [])


def all_changes(client: redis.Redis) -> dict[str, list[LineChange]]:
    """Line ID to all that was told of it."""
    found: dict[str, list[LineChange]] = {}
    entries: Any = client.xrange(CHANGES)
    for entry_id, fields in entries:
        if (change := told_of(entry_id, fields).line) is not None:
            found.setdefault(change.line_id, []).append(change)
    return found
