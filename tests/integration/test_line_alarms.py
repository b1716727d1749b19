"""What the prober says becomes alarms, on a real Valkey, by a real alarm worker; and what arrives over a line is told to the prober."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from redis.cluster import RedisCluster

from netmon.active_probe.model import LineChange, LineState, LineStatus, TargetReading, VantageChange, Vote
from netmon.alarms.model import Alarm
from netmon.buffer.alarm_reader import position_field
from netmon.buffer.alarm_store import META
from netmon.buffer.line_store import CHANGES, HEARD, LINES, vantage_field
from netmon.buffer.line_store import META as VERDICT_META
from netmon.inventory.model import Area, Carrier, Device, Interface, Inventory, Line, Site
from netmon.inventory.probes import Vantage
from tests.integration.alarms import FIRST_MS, LINK_UP, OWNER, Worker, changes, event, fill, key, stored
from tests.integration.valkey import Valkey, wait_until

LINE = "line/coast"
REGION = Inventory(
    areas=(Area(id="a", name="浜町", code="302015"),),
    carriers=(Carrier(id="kii", name="紀伊通信"),),
    sites=tuple(Site(id=name, name=name, area_id="a", longitude=135.0, latitude=34.0) for name in ("hall", "port")),
    lines=(
        Line(
            id="coast", name="沿岸", name_en="Coast", medium="fibre", carrier_id="kii",
            endpoint_site_ids=("hall", "port"), capacity_bps=10**9,
        ),
    ),
    devices=(
        Device(
            id="r", name="r", site_id="port", kind="router", addresses=("192.0.2.1",),
            interfaces=(Interface(index=1, line_id="coast"),),
        ),
    ),
    vantages=(Vantage(id="hall", name="市役所", name_en="City hall", site_id="hall"),),
)  # fmt: skip
PROBED: dict[str, Any] = {
    "inventory": REGION, "probed_line_ids": ("coast",), "vantage_ids": ("hall",), "own_site_id": "hall",
}  # fmt: skip


def verdict(after: LineState, at_ms: int, *, before: LineState = "unknown", restated: bool = False) -> LineChange:
    """As the verdict process writes it."""
    unix_ns = (FIRST_MS + at_ms) * 1_000_000
    target = TargetReading(label="icmp 192.0.2.9", state=after, sent=60, lost=5, misses=5)
    vote = Vote(
        line_id="coast", vantage_id="hall", state=after, since_unix_ns=unix_ns, unix_ns=unix_ns, targets=(target,)
    )
    status = LineStatus(line_id="coast", state=after, since_unix_ns=unix_ns, unix_ns=unix_ns, votes=(vote,))
    return LineChange(line_id="coast", before=before, after=after, unix_ns=unix_ns, restated=restated, status=status)


def tell(client: redis.Redis, change: LineChange | VantageChange) -> bytes:
    """Appends an entry to the stream; its ID."""
    field = "line" if isinstance(change, LineChange) else "vantage"
    entry_id: Any = client.xadd(CHANGES, {field: msgspec.json.encode(change)})
    return bytes(entry_id)


def wait_told(client: redis.Redis) -> None:
    """Until the effects of all entries stand."""
    newest: Any = client.xrevrange(CHANGES, count=1)
    wait_until(lambda: client.hget(META, position_field("", CHANGES)) == newest[0][0], "the changes have been read")


def line_down(client: redis.Redis) -> Alarm:
    """The alarm of the line."""
    return stored(client)[LINE]


def test_a_verdict_raises_and_clears_one_alarm(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """With its evidence; so does a vantage's state; read once, also by the worker that comes after a kill."""
    with Worker(tmp_path, server, **PROBED) as worker:
        wait_until(lambda: worker.state() == "leading", "the worker leads")
        down = tell(client, verdict("down", 1))
        tell(client, VantageChange(vantage_id="hall", before="", after="isolated", unix_ns=FIRST_MS * 1_000_000))
        wait_told(client)
        alarm = line_down(client)
        assert (alarm.alarm_type, alarm.is_active, alarm.severity) == ("line-down", True, "major")
        assert alarm.evidence == (CHANGES, down.decode())
        assert "City hall: 5 in a row without an answer" in alarm.text.en
        assert stored(client)["vantage/hall"].alarm_type == "vantage-isolated"
    with Worker(tmp_path, server, **PROBED) as worker:
        tell(client, verdict("up", 60, before="down"))
        wait_told(client)
        assert line_down(client).is_cleared is True
        assert line_down(client).notifications == 2
        # A stream that was trimmed, or is gone, is nothing to worry about; neither is one whose IDs are smaller than before.
        client.delete(CHANGES)
        wait_until(lambda: is_read_from_the_start(client), "the new stream is read from its start")
        assert line_down(client).is_active is True
    told = [(change.alarm.resource, change.kind) for change in changes(client)]
    assert told == [(LINE, "raised"), ("vantage/hall", "raised"), (LINE, "cleared"), (LINE, "raised")]


def is_read_from_the_start(client: redis.Redis) -> bool:
    """Another stream, by a server whose clock is wrong; its first entry is told until it has been heard."""
    client.xadd(CHANGES, {"line": msgspec.json.encode(verdict("down", 90, before="up"))}, id="5-*")
    return line_down(client).is_active


def test_where_the_stream_does_not_go_on_the_list_of_lines_is_read(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """A worker that never read it takes how lines are, and not how they came to it; so does one that was away too long."""

    def keep(state: LineState, at_ms: int) -> None:
        client.hset(LINES, "coast", msgspec.json.encode(verdict(state, at_ms).status))

    for at_ms in range(1, 7, 2):
        tell(client, verdict("down", at_ms))
        tell(client, verdict("up", at_ms + 1))
    tell(client, verdict("down", 9))
    keep("down", 9)
    silent = VantageChange(vantage_id="hall", before="live", after="stale", unix_ns=FIRST_MS * 1_000_000)
    client.hset(VERDICT_META, vantage_field("hall"), msgspec.json.encode(silent))
    with Worker(tmp_path, server, **PROBED):
        wait_told(client)
        alarm = line_down(client)
        assert (alarm.is_active, alarm.raises, alarm.flapping) == (True, 1, False)
        assert alarm.evidence == (LINES, "coast")
        assert stored(client)["vantage/hall"].alarm_type == "vantage-silent"
    tell(client, verdict("up", 20))
    keep("up", 20)
    other = VantageChange(vantage_id="hall", before="stale", after="live", unix_ns=(FIRST_MS + 30) * 1_000_000)
    tell(client, other)
    client.hset(VERDICT_META, vantage_field("hall"), msgspec.json.encode(other))
    client.xtrim(CHANGES, maxlen=1, approximate=False)
    with Worker(tmp_path, server, **PROBED):
        wait_told(client)
        assert line_down(client).is_cleared is True
        assert stored(client)["vantage/hall"].is_cleared is True


def test_in_a_cluster(cluster: list[Valkey], tmp_path: Path) -> None:
    """Lines, their changes and the alarms are on nodes of their own; the worker is told one of them and finds all."""
    nodes: Any = RedisCluster(host="127.0.0.1", port=cluster[0].port)
    now_ms = time.time_ns() // 1_000_000
    nodes.hset(LINES, "coast", msgspec.json.encode(verdict("up", 1).status))
    tell(nodes, verdict("up", 1))
    with Worker(tmp_path, cluster[0], **PROBED) as worker:
        wait_told(nodes)
        tell(nodes, verdict("down", 2))
        wait_told(nodes)
        assert line_down(nodes).evidence.key == CHANGES
        one = event(1, event_ms=now_ms)
        nodes.set(key("owner"), OWNER)
        nodes.xadd(key(), {"trap": msgspec.json.encode(one)}, id=f"{FIRST_MS + 1}-1")
        wait_until(lambda: bool(nodes.hexists(HEARD, "coast")), "the line has been heard")
        assert worker.stop() == 0
    nodes.close()


@pytest.mark.parametrize("prober_first", [True, False])
def test_port_and_prober_make_one_alarm(
    server: Valkey, client: redis.Redis, tmp_path: Path, prober_first: bool
) -> None:
    """Raised by whoever is first, cleared by whoever is last; after FLUSHALL it is made anew of what both tell again."""

    def say(*, down: bool, by_prober: bool, at_ms: int) -> None:
        if by_prober:
            tell(client, verdict("down" if down else "up", at_ms))
            wait_told(client)
        else:
            fill(client, [event(at_ms) if down else event(at_ms, trap_oid=LINK_UP)])
            worker.wait_done(client)

    with Worker(tmp_path, server, **PROBED) as worker:
        say(down=True, by_prober=prober_first, at_ms=1)
        say(down=True, by_prober=not prober_first, at_ms=2)
        alarm = line_down(client)
        assert (alarm.is_active, alarm.raised_unix_ns) == (True, (FIRST_MS + 1) * 1_000_000)
        assert alarm.text.en.endswith("; a port at its end is down, too")
        assert stored(client)["device/r/interface/1"].cause == alarm.id

        client.flushall()
        fill(client, [event(1 if not prober_first else 2)])
        tell(client, verdict("down", 1 if prober_first else 2, restated=True))
        wait_told(client)
        worker.wait_done(client)
        assert line_down(client).raised_unix_ns == alarm.raised_unix_ns

        say(down=False, by_prober=prober_first, at_ms=60)
        assert line_down(client).is_active is True
        say(down=False, by_prober=not prober_first, at_ms=61)
        assert line_down(client).is_cleared is True
    assert [one.alarm.alarm_type for one in changes(client) if one.kind == "raised"].count("line-down") == 1


def test_what_arrives_over_a_line_is_told_to_the_prober(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """A device behind it has sent something just now."""
    with Worker(tmp_path, server, **PROBED) as worker:
        now_ms = time.time_ns() // 1_000_000
        fill(client, [event(1), event(2, event_ms=now_ms)])
        worker.wait_done(client)
        wait_until(lambda: bool(client.hexists(HEARD, "coast")), "the line has been heard")
    found: Any = client.hgetall(HEARD)
    heard = {line: msgspec.json.decode(body, type=tuple[int, str]) for line, body in found.items()}
    assert heard == {b"coast": (now_ms * 1_000_000, "trap from r")}
