"""The worker's hold on the alarms: who leads, and flushes that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from netmon.alarms.model import Alarm, Change, CommandResult, Text
from netmon.buffer.alarm_store import LEASE, META, STATE, STREAM, AlarmView
from netmon.buffer.alarm_writer import AlarmWriter, Flush
from netmon.buffer.fenced import FencedError
from netmon.errors import UnavailableError
from netmon.model import RedisSettings
from tests.integration.valkey import Valkey, reason_of, wait_until

MakeWriter = Callable[..., AlarmWriter]


@pytest.fixture
def writer(server: Valkey, client: redis.Redis) -> Iterator[MakeWriter]:
    """Makes workers by name."""
    made: list[AlarmWriter] = []

    def make(name: str, lease_ms: int = 60_000) -> AlarmWriter:
        made.append(AlarmWriter(RedisSettings(url=server.url), name, lease_ms=lease_ms, stream_entries_max=1_000))
        return made[-1]

    client.ping()
    yield make
    for each in made:
        each.close()


def alarm(alarm_id: str, version: int = 1) -> Alarm:
    """Some alarm."""
    return Alarm(
        id=alarm_id,
        resource=f"device/{alarm_id}",
        alarm_type="link-down",
        severity="major",
        event_type="communicationsAlarm",
        probable_cause="loss_of_signal",
        text=Text("down", "断"),
        version=version,
        created_unix_ns=1,
        raised_unix_ns=1,
        event_unix_ns=1,
        changed_unix_ns=1,
    )


def written(writer: AlarmWriter, flush: Flush) -> None:
    """Flush, and wait until it stands."""
    writer.flush(flush)
    writer.settle()


def test_one_leads_and_the_other_waits(writer: MakeWriter) -> None:
    """The lease is one worker's, until it gives it back; each leader has a greater number."""
    first, second = writer("a"), writer("b")
    assert (first.take(1), second.take(1)) == (True, False)
    assert (first.fence, second.fence) == (1, 0)
    first.release()
    assert second.take(1)
    assert second.fence == 2


def test_a_worker_takes_over_from_its_former_self(writer: MakeWriter) -> None:
    """Its name says so; one whose name begins in the same way is another one."""
    assert writer("a").take(1)
    assert not writer("a2").take(1)
    assert not writer("").take(1)
    again = writer("a")
    assert again.take(1)
    assert again.fence == 2


def test_a_lease_that_ran_out_goes_on_if_nobody_took_it(client: redis.Redis, writer: MakeWriter) -> None:
    """A worker that slept for a while and is still the last leader has missed nothing."""
    first = writer("a", lease_ms=1)
    assert first.take(1)
    wait_until(lambda: not client.exists(LEASE), "the lease has run out")
    first.renew()
    written(first, Flush(alarms=[alarm("x")]))
    assert client.hlen(STATE) == 1


def test_a_stale_leader_writes_nothing(client: redis.Redis, writer: MakeWriter) -> None:
    """Not an alarm, not a change, not a position; and it learns of it, with the flush or with the lease."""
    stale, other, third = writer("a", lease_ms=1), writer("b", lease_ms=1), writer("c")
    assert stale.take(1)
    wait_until(lambda: other.take(1), "the lease has run out")
    before = everything(client)
    flush = Flush(alarms=[alarm("x")], told=[("change", Change(kind="raised", unix_ns=1, alarm=alarm("x")))])
    stale.flush(flush._replace(meta={"position:o:s": b"9-9"}))
    with pytest.raises(FencedError):
        stale.settle()
    assert (everything(client), stale.fence) == (before, 0)

    wait_until(lambda: third.take(1), "the lease has run out")
    with pytest.raises(FencedError):
        other.renew()


def test_a_flush_on_its_way_is_refused_too(client: redis.Redis, writer: MakeWriter) -> None:
    """The fence was right when the last flush was written, and has moved before this one is."""
    first, second = writer("a", lease_ms=1), writer("b")
    assert first.take(1)
    written(first, Flush(alarms=[alarm("x")]))
    wait_until(lambda: second.take(1), "the lease has run out")
    written(second, Flush(alarms=[alarm("x", 2)]))
    first.flush(Flush(alarms=[alarm("x", 3)]))
    with pytest.raises(FencedError):
        first.settle()
    assert [each.version for each in second.load_alarms()] == [2]


def test_a_redis_that_has_forgotten_us_is_no_place_to_write(client: redis.Redis, writer: MakeWriter) -> None:
    """After FLUSHALL the next flush is refused, and whoever begins tells that all is void."""
    first = writer("a")
    assert first.take(1)
    written(first, Flush(alarms=[alarm("x")]))
    client.flushall()
    first.flush(Flush(alarms=[alarm("y")]))
    with pytest.raises(FencedError):
        first.settle()
    assert client.hlen(STATE) == 0
    assert first.take(7)
    entries: Any = client.xrange(STREAM)
    assert [fields for _, fields in entries] == [{b"reset": b'{"unix_ns":7,"fence":1}'}]


def test_a_full_redis_takes_nothing_of_a_flush(client: redis.Redis, writer: MakeWriter) -> None:
    """maxmemory: the whole transaction is refused, and says why; with room again, it goes on."""
    first = writer("a")
    assert first.take(1)
    client.config_set("maxmemory", 1)
    before = everything(client)
    first.flush(Flush(alarms=[alarm("x")], forgotten=["leader"]))
    with pytest.raises(UnavailableError) as error:
        first.settle()
    assert reason_of(error) == "out_of_memory"
    assert everything(client) == before
    client.config_set("maxmemory", 0)
    assert first.take(1)
    written(first, Flush(alarms=[alarm("x")]))
    assert client.hlen(STATE) == 1


def test_all_parts_of_a_flush(server: Valkey, client: redis.Redis, writer: MakeWriter) -> None:
    """Alarms, purges, changes in order, fields that come and go, results; an alarm that left and came back is there."""
    first = writer("a")
    assert first.take(1)
    written(first, Flush(alarms=[alarm("x"), alarm("y")], meta={"a": "1", "b": "2"}))
    told = [("change", Change(kind=kind, unix_ns=1, alarm=alarm("x"))) for kind in ("purged", "raised")]
    result = CommandResult(command_id="c", outcome="done")
    written(
        first,
        Flush(
            alarms=[alarm("x", 5)],
            purged=["x", "y"],
            told=told,
            meta={"position:o:s": "3-4"},
            forgotten=["b"],
            results=[("c", result)],
        ),
    )
    view = AlarmView(RedisSettings(url=server.url))
    assert [(each.id, each.version) for each in view.alarms()] == [("x", 5)]
    assert [change.change.kind for change in view.changes("0-0") if change.change] == ["purged", "raised"]
    assert view.meta().positions == {"o:s": "3-4"}
    assert set(first.load_meta()) == {"fence", "leader", "a", "position:o:s"}
    assert view.result("c") == result
    assert first.known_results(["c", "d"]) == {"c"}
    view.close()


def test_many_alarms_are_read_back(writer: MakeWriter) -> None:
    """More than one page has."""
    first = writer("a")
    assert first.take(1)
    written(first, Flush(alarms=[alarm(f"n{number}") for number in range(5_000)]))
    assert {each.id for each in first.load_alarms()} == {f"n{number}" for number in range(5_000)}


def everything(client: redis.Redis) -> object:
    """All that a flush could change."""
    return client.hgetall(META), client.hgetall(STATE), client.xrange(STREAM)
