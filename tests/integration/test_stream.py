"""The streams against a real Valkey: exactly once, all or nothing, fenced, and mended."""

from __future__ import annotations

import contextlib

import pytest
import redis

from netmon.buffer.stream import EntryId, GroupFacts, IdRefusedError, StreamFacts, Streams
from netmon.errors import UnavailableError
from tests.integration.valkey import PREFIX, REJECTS, TRAPS, Valkey, batch, fill, ids, new_streams, reason_of

# -- appending


def test_a_batch_goes_to_both_streams(streams: Streams, client: redis.Redis) -> None:
    """Each entry under its own ID, with one field; the lengths told are those before the batch."""
    lengths = [fill(streams, 1, 2, -3), fill(streams, 14, -15)]

    assert lengths == [(0, 0, 0), (2, 1, 0)]
    assert client.xrange(TRAPS) == [
        (b"1000-1", {b"trap": b"{}"}),
        (b"1000-2", {b"trap": b"{}"}),
        (b"1001-14", {b"trap": b"{}"}),
    ]
    assert client.xrange(REJECTS) == [(b"1000-3", {b"reject": b"{}"}), (b"1001-15", {b"reject": b"{}"})]


def test_the_express_stream_holds_traps_too(streams: Streams, client: redis.Redis) -> None:
    """Under their own IDs, whatever the traps stream holds; its length is told beside the others."""
    fill(streams, 7)
    streams.send([streams.encode_express(1_000, 3, b"{}")])
    before = streams.settle()

    assert (before, streams.lengths()) == ((1, 0, 0), (1, 0, 1))
    assert client.xrange(streams.express) == [(b"1000-3", {b"trap": b"{}"})]


def test_a_batch_sent_again_is_refused(streams: Streams, client: redis.Redis) -> None:
    """The ID is the proof: nothing is in a stream twice, whoever sends it again."""
    fill(streams, 1, 2, 3)
    with pytest.raises(IdRefusedError):
        fill(streams, 1, 2, 3)

    assert not streams.connected
    assert ids(client) == ["1000-1", "1000-2", "1000-3"]


@pytest.mark.parametrize("first", [2, 3])
def test_of_a_batch_sent_half_again_only_the_new_half_is_taken(
    streams: Streams, client: redis.Redis, first: int
) -> None:
    """The order stays right, too."""
    fill(streams, 1, 2, 3)
    with pytest.raises(IdRefusedError):
        fill(streams, *range(first, 6))

    assert ids(client) == [f"1000-{seq}" for seq in range(1, 6)]


def test_an_id_may_not_go_back(streams: Streams, client: redis.Redis) -> None:
    """Not after everything has been trimmed either."""
    fill(streams, 1, 22)
    client.xtrim(TRAPS, maxlen=0)
    with pytest.raises(IdRefusedError):
        fill(streams, 21)

    assert ids(client) == []


def test_a_batch_is_taken_whole_or_not_at_all_when_memory_runs_out(streams: Streams, client: redis.Redis) -> None:
    """However much room is left: a hole in the middle of a batch could never be filled."""
    fill(streams, 1)
    seqs = range(2, 402)
    for room in range(0, 400_000, 40_000):
        client.config_set("maxmemory", client.info("memory")["used_memory"] + room)
        with pytest.raises(UnavailableError) as refused:
            fill(streams, *seqs, body=bytes(2_000))
        assert reason_of(refused) == "out_of_memory"
        assert ids(client) == ["1000-1"]
        client.config_set("maxmemory", 0)
        streams.connect()
    fill(streams, *seqs, body=bytes(2_000))

    assert len(ids(client)) == 401


def test_a_connection_lost_after_sending_leaves_all_or_nothing(
    server: Valkey, streams: Streams, client: redis.Redis
) -> None:
    """The outcome is unknown to the sender; the last ID tells."""
    streams.send(batch(streams, 1, 2, 3))
    client.client_kill_filter(_type="normal", skipme=True)
    with contextlib.suppress(UnavailableError):
        streams.settle()
    streams.connect()

    assert streams.facts(TRAPS) in (StreamFacts(0, EntryId(0, 0)), StreamFacts(3, EntryId(1_000, 3)))


# -- whose streams they are


def test_a_second_receiver_is_fenced_while_the_first_lives(
    server: Valkey, client: redis.Redis, streams: Streams
) -> None:
    """Two journals must not feed one stream; the lease tells, and ends by itself 15 s after the last sign of life."""
    second = new_streams(server, "journal-2")
    with pytest.raises(UnavailableError) as fenced:
        second.connect()

    assert reason_of(fenced) == "fenced"
    assert "receiver.name" in fenced.value.detail
    assert not second.connected
    assert 10_000 < client.pttl(f"{PREFIX}:lease") <= 15_000


def test_a_receiver_finds_its_own_streams_again(server: Valkey, streams: Streams) -> None:
    """After a crash its lease still stands: it is its own."""
    assert [new_streams(server).connect(), new_streams(server).connect()] == [True, True]


@pytest.mark.parametrize("how", ["released", "expired"])
def test_a_successor_with_another_journal_is_told(
    server: Valkey, client: redis.Redis, streams: Streams, how: str
) -> None:
    """It may go on at once, or 15 s later, and learns that what is there is not its own; from then on it is."""
    if how == "released":
        streams.release_lease()
    else:
        client.delete(f"{PREFIX}:lease")
    second = new_streams(server, "journal-2")
    ours = [second.connect(), second.connect()]
    with pytest.raises(UnavailableError) as fenced:
        streams.connect()

    assert ours == [False, True]
    assert reason_of(fenced) == "fenced"


# -- looking and mending


def test_facts(streams: Streams, client: redis.Redis) -> None:
    """The last ID is the last that ever was, also of a stream that was emptied."""
    nothing = streams.facts(TRAPS)
    fill(streams, 1, 2, 25)
    whole = streams.facts(TRAPS)
    client.xtrim(TRAPS, maxlen=0)

    assert nothing == StreamFacts(0, EntryId(0, 0))
    assert whole == StreamFacts(3, EntryId(1_002, 25))
    assert streams.facts(TRAPS) == StreamFacts(0, EntryId(1_002, 25))
    assert streams.lengths() == (0, 0, 0)


def test_memory_is_that_of_the_streams_asked_for(streams: Streams) -> None:
    """Nothing for streams that are not there."""
    nothing = streams.memory_bytes(TRAPS, REJECTS)
    fill(streams, *range(1, 101), body=bytes(1_000))
    traps = streams.memory_bytes(TRAPS)
    fill(streams, *range(-201, -101, 1)[::-1], body=bytes(1_000))

    assert nothing == 0
    assert 100_000 < traps < 200_000
    assert streams.memory_bytes(TRAPS, REJECTS) > 1.8 * traps


def test_a_groups_floor_is_what_it_has_acknowledged_without_a_gap(streams: Streams, client: redis.Redis) -> None:
    """What some consumer has and has not acknowledged may have to be given out again."""
    fill(streams, *range(1, 6))
    client.xgroup_create(TRAPS, "alarms", "0")

    def floor() -> list[GroupFacts]:
        return streams.groups(TRAPS)

    found = [floor()]
    client.xreadgroup("alarms", "one", {TRAPS: ">"}, count=4)
    for acknowledged in ("1000-3", "1000-1", "1000-2", "1000-4"):
        found.append(floor())
        client.xack(TRAPS, "alarms", acknowledged)
    found.append(floor())

    assert [group.floor.seq for (group,) in found] == [0, 0, 0, 1, 3, 4]
    assert found[-1] == [GroupFacts("alarms", EntryId(1_000, 4))]
    assert streams.groups(REJECTS) == []


def test_groups_come_back_where_they_were(streams: Streams, client: redis.Redis) -> None:
    """A stream made anew and filled again: each group gets what it had not acknowledged, and nothing else."""
    fill(streams, *range(1, 6))
    client.xgroup_create(TRAPS, "alarms", "0")
    client.xgroup_create(TRAPS, "map", "0")
    client.xreadgroup("alarms", "one", {TRAPS: ">"}, count=4)
    client.xack(TRAPS, "alarms", "1000-1", "1000-2")
    groups = streams.groups(TRAPS)
    streams.delete(TRAPS)
    gone = ids(client)
    streams.restore_groups(TRAPS, groups)
    streams.restore_groups(TRAPS, [GroupFacts("map", EntryId(9_999, 9))])
    restored = streams.groups(TRAPS)
    fill(streams, *range(1, 6))

    assert gone == []
    assert restored == groups
    for group, first in (("alarms", 3), ("map", 1)):
        ((_, entries),) = client.xreadgroup(group, "two", {TRAPS: ">"})
        assert [entry_id for entry_id, _ in entries] == [b"1000-%d" % seq for seq in range(first, 6)]


def test_trimming(streams: Streams, client: redis.Redis) -> None:
    """Up to an ID, that included; or about a number of entries, as Redis' nodes allow."""
    fill(streams, *range(1, 501))
    by_id = streams.trim_up_to(TRAPS, EntryId(1_001, 14))
    first = streams.first_id(TRAPS, EntryId(0, 0))
    by_length = streams.trim_to_length(TRAPS, 200)

    assert (by_id, first) == (14, EntryId(1_001, 15))
    assert 200 <= 486 - by_length <= 300
    assert streams.first_id(REJECTS, EntryId(0, 0)) is None
    assert streams.trim_up_to(REJECTS, EntryId(1, 1)) == 0


def test_a_stream_is_set_aside_whole(streams: Streams, client: redis.Redis) -> None:
    """Somebody's data: renamed, with its groups, not deleted."""
    fill(streams, 1, 2)
    client.xgroup_create(TRAPS, "alarms", "0")
    aside = streams.set_aside(TRAPS, "displaced-1767268800000")

    assert aside == f"{TRAPS}:displaced-1767268800000"
    assert ids(client, aside) == ["1000-1", "1000-2"]
    assert len(client.xinfo_groups(aside)) == 1
    assert streams.set_aside(TRAPS, "displaced-1767268800001") is None
