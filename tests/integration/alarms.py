"""The alarm worker as a process on a real Valkey, and a lane's streams filled by hand, as decode would.

with Worker(tmp_path, server) as worker:
    fill(client, [event(1, down=True)])
    worker.wait_done(client)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis

from netmon.alarms.model import Alarm, Change, Text
from netmon.alarms.rules.model import ResourceOf, Rule
from netmon.alarms.settings import AlarmSettings
from netmon.alarms.worker.report import REPORT_FILE, AlarmReport
from netmon.buffer.alarm_reader import KINDS, position_field
from netmon.buffer.alarm_store import META, STATE, STREAM, told_of
from netmon.model import RedisSettings, TrapEvent, Varbind
from tests.integration.leading import Leading
from tests.integration.valkey import Valkey, wait_until

RECEIVER = "test"
OWNER = "journal-1"
LINK_DOWN, LINK_UP = "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.6.3.1.1.5.4"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1"
FIRST_MS = 1_795_000_000_000

RULES = tuple(
    Rule(
        id=effect,
        trap_oids=(trap_oid,),
        resource=ResourceOf(kind="interface", value_of=IF_INDEX),
        alarm_type="link-down",
        effect=effect,
        severity="major",
        text=Text("down", "断"),
    )
    for effect, trap_oid in (("raise", LINK_DOWN), ("clear", LINK_UP))
)


def event(
    seq: int, *, source: str = "192.0.2.1", port: int = 1, trap_oid: str = LINK_DOWN, event_ms: int | None = None
) -> TrapEvent:
    """A notification about a port, a millisecond after the one with the seq before it."""
    unix_ns = (FIRST_MS + seq if event_ms is None else event_ms) * 1_000_000
    return TrapEvent(
        seq=seq,
        received_unix_ns=unix_ns,
        event_unix_ns=unix_ns,
        event_time_from="received",
        source=source,
        peer=source,
        peer_port=162,
        local="127.0.0.1",
        version="v2c",
        pdu="trap",
        trust="other",
        trap_oid=trap_oid,
        uptime_centis=seq,
        varbinds=[Varbind(f"{IF_INDEX}.{port}", "Integer32", port, name=f"ifIndex.{port}")],
        digest="0123456789abcdef",
    )


def key(kind: str = "traps", lane: int = 0) -> str:
    """Of a stream."""
    return f"netmon:{{{RECEIVER}:{lane}}}:{kind}"


def fill(
    client: redis.Redis,
    events: Iterable[TrapEvent],
    *,
    kind: str = "traps",
    lane: int = 0,
    owner: str = OWNER,
    first_ms: int = FIRST_MS,
) -> None:
    """Appends notifications to a stream, as decode does; `seq` makes the ID."""
    pipe = client.pipeline(transaction=False)
    pipe.set(key("owner", lane), owner)
    for one in events:
        pipe.xadd(key(kind, lane), {"trap": msgspec.json.encode(one)}, id=f"{first_ms + one.seq}-{one.seq}")
    pipe.execute()


def stored(client: redis.Redis) -> dict[str, Alarm]:
    """Resource to alarm, as they stand in Redis."""
    found: Any = client.hgetall(STATE)
    alarms = (msgspec.json.decode(body, type=Alarm) for body in found.values())
    return {alarm.resource: alarm for alarm in alarms}


def changes(client: redis.Redis) -> list[Change]:
    """All changes of alarms that were told."""
    entries: Any = client.xrange(STREAM)
    told = (told_of(entry_id, fields) for entry_id, fields in entries)
    return [one.change for one in told if one.change is not None]


def raises(client: redis.Redis) -> dict[str, int]:
    """Resource to how often it was told to be raised."""
    found: dict[str, int] = {}
    for change in changes(client):
        if change.kind == "raised":
            found[change.alarm.resource] = found.get(change.alarm.resource, 0) + 1
    return found


def is_done(client: redis.Redis, lanes: Sequence[int] = (0,), owner: str = OWNER) -> bool:
    """Whether the effects of all entries of all lanes stand."""
    for lane in lanes:
        for kind in KINDS:
            newest: Any = client.xrevrange(key(kind, lane), count=1)
            done: Any = client.hget(META, position_field(owner, key(kind, lane)))
            if newest and newest[0][0] != done:
                return False
    return True


class Worker(Leading[AlarmReport]):
    """One `python -m netmon.role alarms`. As a context manager it starts, and ends."""

    def __init__(self, folder: Path, server: Valkey, **settings: object) -> None:
        """`settings` are laid over those of a test."""
        folder.mkdir(parents=True, exist_ok=True)
        defaults = AlarmSettings(
            receivers=(RECEIVER,),
            redis=RedisSettings(url=server.url),
            directory=str(folder),
            rules=RULES,
            lease_s=1.0,
        )
        told = msgspec.structs.replace(defaults, **settings)
        super().__init__(folder, ("netmon.role", "alarms"), told, REPORT_FILE, AlarmReport)

    def wait_done(self, client: redis.Redis, lanes: Sequence[int] = (0,)) -> None:
        """Until the effects of all entries stand."""
        wait_until(lambda: is_done(client, lanes), "the worker has done everything")


def pause() -> None:
    """A moment, for something to go wrong in."""
    time.sleep(0.05)
