"""The alarm worker on a real Valkey: nothing is lost, and nothing is done twice, whoever dies when."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis
from redis.cluster import RedisCluster

from netmon.alarms.model import Alarm, Command, Key, alarm_id
from netmon.buffer.alarm_reader import GROUP, position_field
from netmon.buffer.alarm_store import META, STATE, AlarmView
from netmon.model import RedisSettings
from netmon.snmp.encode import TypedVarbind, encode_v2c
from tests.integration.alarms import (
    FIRST_MS,
    IF_INDEX,
    LINK_DOWN,
    LINK_UP,
    OWNER,
    Worker,
    changes,
    event,
    fill,
    is_done,
    key,
    pause,
    raises,
    stored,
)
from tests.integration.harness import REPOSITORY, Netmon
from tests.integration.test_buffer_schema import program
from tests.integration.valkey import Valkey, wait_until


def test_notifications_become_alarms(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """A port goes down twice and up once: one alarm, which tells all of it."""
    fill(client, [event(1), event(2), event(3, trap_oid=LINK_UP)])
    with Worker(tmp_path, server) as worker:
        worker.wait_done(client)
        assert worker.stop() == 0
    alarm = stored(client)["source/192.0.2.1/interface/1"]
    assert (alarm.is_cleared, alarm.notifications, alarm.severity) == (True, 3, "major")
    assert [change.kind for change in changes(client)] in (["raised", "cleared"], ["cleared"])


def test_kill_at_any_moment_does_everything_once(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Killed a dozen times in a flood: each alarm has counted each of its entries once, and was raised once."""
    ports, rounds, per_round = 200, 12, 1_600
    worker = Worker(tmp_path, server)
    numbers = itertools.count(1)
    killed_at = []
    for _ in range(rounds):
        fill(client, (event(seq, port=1 + seq % ports) for seq in itertools.islice(numbers, per_round)))
        before = position(client)
        with worker:
            wait_until(lambda before=before: position(client) != before, "the worker is at it")
        killed_at.append(is_done(client))
    with worker:
        worker.wait_done(client)
    assert not all(killed_at), "it was always too late"
    sent = rounds * per_round
    counted = {resource: alarm.notifications for resource, alarm in stored(client).items()}
    assert counted == {f"source/192.0.2.1/interface/{1 + port}": sent // ports for port in range(ports)}
    assert set(raises(client).values()) == {1}
    assert len(raises(client)) == ports


def position(client: redis.Redis) -> object:
    """Up to where the effects of the stream of traps stand."""
    return client.hget(META, position_field(OWNER, key()))


def test_a_stopped_leader_is_replaced_and_writes_nothing_more(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """SIGSTOP beyond the lease, another worker takes over, SIGCONT: what the stale one had in memory is refused."""
    with Worker(tmp_path / "a", server) as first:
        fill(client, (event(seq, port=1 + seq % 50) for seq in range(1, 2_001)))
        wait_until(lambda: first.state() == "leading", "the first leads")
        with Worker(tmp_path / "b", server) as second:
            wait_until(lambda: second.state() == "waiting", "the second waits")
            fill(client, (event(seq, port=1 + seq % 50) for seq in range(2_001, 4_001)))
            first.send(signal.SIGSTOP)
            wait_until(lambda: second.state() == "leading", "the second leads")
            fill(client, (event(seq, port=1 + seq % 50) for seq in range(4_001, 6_001)))
            first.send(signal.SIGCONT)
            wait_until(lambda: first.state() == "waiting", "the first has noticed")
            second.wait_done(client)
        assert len(first.events("alarms.lead_lost")) == 1
    assert {alarm.notifications for alarm in stored(client).values()} == {6_000 // 50}
    assert Counter(raises(client).values()) == {1: 50}


def test_who_waits_takes_over_at_once_when_the_leader_stops(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """A leader that is told to stop gives its lease back: nobody waits until it has run out."""
    with Worker(tmp_path / "a", server, lease_s=60.0) as first:
        wait_until(lambda: first.state() == "leading", "the first leads")
        with Worker(tmp_path / "b", server, lease_s=60.0) as second:
            wait_until(lambda: second.state() == "waiting", "the second waits")
            assert first.stop() == 0
            fill(client, [event(1)])
            second.wait_done(client)


def test_a_restarted_worker_need_not_wait_for_its_own_lease(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """kill -9 leaves a lease behind that the next process of the same worker knows to be its own."""
    with Worker(tmp_path, server, lease_s=60.0) as worker:
        fill(client, [event(1)])
        worker.wait_done(client)
    with Worker(tmp_path, server, lease_s=60.0) as worker:
        fill(client, [event(2)])
        worker.wait_done(client)
    assert {alarm.notifications for alarm in stored(client).values()} == {2}


def test_fifty_thousand_alarms_survive_a_restart(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """A worker begins with what Redis has, all of it, and goes on with any of them."""
    count = 50_000
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1)])
        worker.wait_done(client)
    (found,) = stored(client).values()
    client.hset(STATE, mapping=dict(copies(found, range(2, count + 1))))
    with Worker(tmp_path, server) as worker:
        fill(client, [event(2, port=count)])
        worker.wait_done(client)
        assert worker.stop() == 0
    counted = Counter(alarm.notifications for alarm in stored(client).values())
    assert counted == {1: count - 1, 2: 1}
    assert raises(client) == {found.resource: 1}


def copies(alarm: Alarm, ports: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """The same alarm at other ports, as it stands in Redis."""
    for port in ports:
        resource = f"source/192.0.2.1/interface/{port}"
        made = msgspec.structs.replace(alarm, id=alarm_id(Key(resource, alarm.alarm_type)), resource=resource)
        yield made.id, msgspec.json.encode(made)


def test_redis_killed_and_back(client: redis.Redis, tmp_path: Path) -> None:
    """Redis dies in the middle and comes back with what its append-only file has: the counts are exact."""
    settings = {"appendonly": "yes", "appendfsync": "always"}
    own = Valkey(tmp_path / "valkey", **settings)
    with own, Worker(tmp_path / "worker", own) as worker:
        client = own.client()
        fill(client, (event(seq, port=1 + seq % 20) for seq in range(1, 1_001)))
        pause()
        own.kill()
        wait_until(lambda: worker.state() == "unreachable", "the worker has noticed")
        with own:
            fill(client, (event(seq, port=1 + seq % 20) for seq in range(1_001, 2_001)))
            worker.wait_done(client)
            assert {alarm.notifications for alarm in stored(client).values()} == {100}
            assert set(raises(client).values()) == {1}
            client.close()


def test_after_flushall_everything_is_made_anew(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Redis has forgotten all; decode fills the streams again, and the alarms come of them, with a word to those who follow."""
    with Worker(tmp_path, server) as worker:
        fill(client, (event(seq, port=1 + seq % 10) for seq in range(1, 101)))
        worker.wait_done(client)
        client.flushall()
        fill(client, (event(seq, port=1 + seq % 10) for seq in range(1, 101)))
        worker.wait_done(client)
        first = client.xrange("netmon:alarms", count=1)[0][1]
    assert list(first) == [b"reset"]
    assert {alarm.notifications for alarm in stored(client).values()} == {10}
    assert set(raises(client).values()) == {1}


def test_all_streams_of_all_lanes(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Two lanes, each with express, traps and late; a third that comes later; the late one tells the past, not the present."""
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1, port=1), event(4, port=1, trap_oid=LINK_UP)])
        fill(client, [event(3, port=1)], kind="express")
        fill(client, [event(2, port=1, event_ms=1_000), event(5, port=2)], kind="late")
        fill(client, [event(1, source="192.0.2.2")], lane=1)
        fill(client, [event(2, source="192.0.2.2")], lane=1, kind="late")
        worker.wait_done(client, (0, 1))
        fill(client, [event(1, source="192.0.2.3")], lane=2)
        worker.wait_done(client, (0, 1, 2))
    found = {resource: (alarm.is_cleared, alarm.notifications) for resource, alarm in stored(client).items()}
    assert found == {
        "source/192.0.2.1/interface/1": (True, 4),
        "source/192.0.2.1/interface/2": (False, 1),
        "source/192.0.2.2/interface/1": (False, 2),
        "source/192.0.2.3/interface/1": (False, 1),
    }


def test_entries_that_come_again_do_nothing(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """A stream is made anew under the same IDs: what stands is not done again."""
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1), event(2)])
        worker.wait_done(client)
        client.delete(key())
        fill(client, [event(1), event(2), event(3)])
        worker.wait_done(client)
    assert {alarm.notifications for alarm in stored(client).values()} == {3}


def test_a_receiver_with_a_new_journal_begins_at_its_beginning(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """The old streams are set aside a moment after the new owner has come: neither is taken for the other's."""
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1), event(2)])
        worker.wait_done(client)
        client.set(key("owner"), "journal-2")
        pause()
        client.rename(key(), key() + ":displaced-1")
        fill(client, [event(1), event(2), event(3)], owner="journal-2", first_ms=FIRST_MS + 60_000)
        wait_until(lambda: is_done(client, owner="journal-2"), "the new journal's entries are done")
    assert {alarm.notifications for alarm in stored(client).values()} == {5}


def test_what_is_not_an_alarm_is_counted(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Canaries, rejects, entries of others and notifications that no rule knows: skipped, and told apart."""
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1, trap_oid="1.3.6.1.3.1162.0.1"), event(2, trap_oid="1.3.6.1.4.1.9.9.9.9")])
        fill(client, [msgspec.structs.replace(event(3), duplicate_of=1)])
        client.xadd(key("late"), {"reject": "{}"})
        client.xadd(key("late"), {"trap": "no JSON"})
        client.xadd(key("late"), {"a": "b", "c": "d"})
        worker.wait_done(client)
        assert worker.stop() == 0
        report = worker.report()
    assert report is not None
    counts = report.counts
    assert (counts.canaries, counts.unmatched, counts.duplicates, counts.rejects, counts.foreign) == (1, 1, 1, 1, 2)
    assert stored(client) == {}


def test_a_command_is_done_once(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """The same command twice, the second time after a restart: one comment, one change, one result."""
    view = AlarmView(RedisSettings(url=server.url))
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1)])
        worker.wait_done(client)
        (alarm,) = view.alarms()
        command = Command(id="c1", kind="comment", alarm_id=alarm.id, by="akiko", text="on my way")
        result = view.ask(command, 5.0)
        unknown = view.ask(msgspec.structs.replace(command, id="c2", alarm_id="nosuch"), 5.0)
    with Worker(tmp_path, server):
        view.put(command)
        last = view.ask(msgspec.structs.replace(command, id="c3", kind="ack"), 5.0)
    view.close()
    assert result is not None
    assert unknown is not None
    assert last is not None
    assert (result.outcome, unknown.outcome, last.outcome) == ("done", "unknown_alarm", "done")
    assert last.alarm is not None
    assert [comment.text for comment in last.alarm.comments] == ["on my way"]
    assert [change.command_id for change in changes(client) if change.command_id] == ["c1", "c3"]


def test_the_group_follows_what_stands(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Retention may remove what has been worked on, and nothing else; a group that somebody destroyed comes back."""
    with Worker(tmp_path, server) as worker:
        fill(client, [event(1), event(2)])
        worker.wait_done(client)
        wait_until(lambda: group_at(client) == f"{FIRST_MS + 2}-2", "the group has followed")
        client.xgroup_destroy(key(), GROUP)
        wait_until(lambda: group_at(client) == f"{FIRST_MS + 2}-2", "the group is back")


def group_at(client: redis.Redis) -> str:
    """Up to where the group has the stream of traps."""
    found: Any = client.xinfo_groups(key())
    return next((group["last-delivered-id"].decode() for group in found if group["name"] == GROUP.encode()), "")


def test_the_consumer_in_the_documents(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """The program of docs/buffer-schema.md mirrors the list: what was there, what comes, and a Redis that has forgotten it."""
    output = tmp_path / "output.txt"
    with Worker(tmp_path, server) as worker, output.open("wb") as file:
        fill(client, [event(1)])
        worker.wait_done(client)
        command = [sys.executable, "-c", program("python", "Alarms"), server.url]
        consumer = subprocess.Popen(command, stdout=file)
        try:
            wait_until(lambda: output.read_text() == "1 alarms\n", "it has read the list")
            fill(client, [event(2, port=2)])
            wait_until(lambda: "raised major source/192.0.2.1/interface/2 down\n" in output.read_text(), "it is told")
            client.flushall()
            wait_until(lambda: "0 alarms\n" in output.read_text(), "it has begun anew")
        finally:
            consumer.kill()
            consumer.wait()


def test_a_second_worker_from_the_command_line(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """`netmon alarm-worker` is the worker of a configuration: it leads when nobody else does, and gives way when told."""
    folder = tmp_path / "data"
    config = tmp_path / "netmon.yml"
    config.write_text(
        f"data_dir: {folder}\nreceiver: {{name: test}}\nredis: {{url: '{server.url}'}}\n", encoding="utf-8"
    )
    fill(client, [event(1)])
    worker = subprocess.Popen([sys.executable, "-m", "netmon", "alarm-worker", "-c", str(config)], cwd=REPOSITORY)
    try:
        wait_until(lambda: is_done(client), "it has done everything")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.wait()
    assert {alarm.alarm_type for alarm in stored(client).values()} == {"link-down"}


def test_in_a_cluster(cluster: list[Valkey], tmp_path: Path) -> None:
    """Lanes and alarms are on nodes of their own; the worker is told one of them and finds all."""
    client: Any = RedisCluster(host="127.0.0.1", port=cluster[0].port)
    with Worker(tmp_path, cluster[0]) as worker:
        for lane in (0, 1, 2):
            for seq in (1, 2):
                one = event(seq, source=f"192.0.2.{lane}")
                client.set(key("owner", lane), OWNER)
                client.xadd(key("traps", lane), {"trap": msgspec.json.encode(one)}, id=f"{FIRST_MS + seq}-{seq}")
        worker.wait_done(client, (0, 1, 2))
    assert {resource: alarm.notifications for resource, alarm in stored(client).items()} == {
        f"source/192.0.2.{lane}/interface/1": 2 for lane in (0, 1, 2)
    }
    client.close()


def test_a_trap_on_the_wire_becomes_an_alarm(tmp_path: Path) -> None:
    """A whole netmon with the standard rules: linkDown raises, kill -9 of everything between, linkUp clears."""
    with Netmon(tmp_path, {"alarms": {"enabled": True}}) as netmon, contextlib.closing(netmon.redis()) as client:
        netmon.send([link_trap(LINK_DOWN)])
        netmon.wait_until(lambda: link_alarm(client) == (False, 1), what="raised")
        former = netmon.pid("alarms", None)
        netmon.signal(signal.SIGKILL, "alarms", None)
        netmon.send([link_trap(LINK_UP)])
        netmon.wait_until(lambda: link_alarm(client) == (True, 2), what="cleared")
        assert netmon.pid("alarms", None) != former
        netmon.wait_until(lambda: "alarms.worker" in netmon.get("/readyz")[1], what="/readyz tells of it")
        assert netmon.is_ready()
        assert {group["name"] for group in client.xinfo_groups(netmon.key())} == {b"alarms"}
        client.flushall()
        netmon.wait_until(lambda: link_alarm(client) == (True, 2), what="made anew from what decode fills again")
        netmon.configure({"alarms": {"enabled": False}})
        assert netmon.process is not None
        netmon.process.send_signal(signal.SIGHUP)
        netmon.wait_until(lambda: client.xinfo_groups(netmon.key()) == [], what="the streams are given up")
        assert ("alarms", None) not in netmon.pids()


def test_a_region_that_is_wrong_keeps_no_trap_out(tmp_path: Path) -> None:
    """Receiving goes on without alarms, and says why; when the file is right, they come, with what had waited."""
    region = tmp_path / "region.yml"
    region.write_text("areas: nonsense\n", encoding="utf-8")
    overrides = {"alarms": {"enabled": True}, "region": {"file": str(region)}}
    with Netmon(tmp_path, overrides) as netmon, contextlib.closing(netmon.redis()) as client:
        netmon.send([link_trap(LINK_DOWN)])
        netmon.wait_settled(1)
        netmon.wait_until(lambda: netmon.events("supervisor.service_refused"), what="it is told")
        assert netmon.is_ready()
        region.write_text("name: test\n", encoding="utf-8")
        assert netmon.process is not None
        netmon.process.send_signal(signal.SIGHUP)
        netmon.wait_until(lambda: link_alarm(client) == (False, 1), what="raised")


def link_trap(trap_oid: str) -> bytes:
    """About port 7 of whoever sends it."""
    varbinds: list[TypedVarbind] = [(f"{IF_INDEX}.7", "Integer32", 7)]
    return encode_v2c(
        community=b"public", pdu="trap", request_id=1, uptime_centis=1, trap_oid=trap_oid, varbinds=varbinds
    )


def link_alarm(client: redis.Redis) -> tuple[bool, int] | None:
    """Whether the alarm of that port is cleared, and how many notifications spoke of it; None without one."""
    alarm = stored(client).get("source/127.0.0.1/interface/7")
    return None if alarm is None else (alarm.is_cleared, alarm.notifications)
