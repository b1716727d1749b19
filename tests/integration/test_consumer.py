"""Reading the streams of all lanes of one or several receivers: the last ones, and then those that come."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import msgspec
import pytest
import redis

from netmon.buffer import consumer
from netmon.buffer.consumer import Follower, Found
from netmon.buffer.union import Union
from netmon.canary import message
from netmon.errors import UnavailableError
from netmon.model import RedisSettings, TrapEvent
from tests.integration.valkey import TRAPS, Valkey

OTHER_TRAPS = "netmon:{test:1}:traps"
EXPRESS, LATE = "netmon:{test:0}:express", "netmon:{test:0}:late"
SECOND_NS = 1_000_000_000


def event(seq: int, trap_oid: str = "1.3.6", seconds: float = 1.0) -> bytes:
    """A trap's JSON."""
    at = int(seconds * SECOND_NS)
    return msgspec.json.encode(
        TrapEvent(
            seq, at, at, "received", "192.0.2.7", "192.0.2.7", 161, "::1", "v2c", "trap", "other", trap_oid, 0, [],
            f"{seq:016x}",
        )
    )  # fmt: skip


def add(client: redis.Redis, key: str, *seqs: int, trap_oid: str = "1.3.6") -> None:
    """Entries with these seqs, one a millisecond."""
    for seq in seqs:
        client.xadd(key, {"trap": event(seq, trap_oid)}, id=f"{1_000 + seq}-{seq}")


def path(server: Valkey, lanes: int | None = 3, receiver: str = "test") -> consumer.Path:
    """A receiver that writes to the test's server."""
    return consumer.Path(receiver, RedisSettings(url=server.url), lanes)


def seqs(found: list[Found]) -> list[int]:
    """What was found, in short."""
    return [x.event.seq for x in found]


@pytest.mark.parametrize(
    ("last", "expected"), [(0, []), (1, [6]), (3, [4, 5, 6]), (6, [1, 2, 3, 4, 5, 6]), (9, [1, 2, 3, 4, 5, 6])]
)
def test_the_last_traps_of_all_lanes(server: Valkey, client: redis.Redis, last: int, expected: list[int]) -> None:
    """Oldest first, over the streams together; one that does not exist has none."""
    add(client, TRAPS, 1, 3, 4)
    add(client, OTHER_TRAPS, 2, 5, 6)
    found = Follower([path(server)]).newest(last)

    assert seqs(found) == expected
    assert all(x.entry_id == f"{1_000 + x.event.seq}-{x.event.seq}" for x in found)
    assert {x.key for x in found if x.event.seq in (2, 5, 6)} <= {OTHER_TRAPS}


def test_what_was_decoded_out_of_turn_is_shown_too(server: Valkey, client: redis.Redis) -> None:
    """Marked by its stream; a rejection in the late stream is no trap."""
    add(client, TRAPS, 2, 5)
    add(client, EXPRESS, 3)
    add(client, LATE, 4)
    client.xadd(LATE, {"reject": b"{}"}, id="1006-6")
    found = Follower([path(server)]).newest(10)

    assert [(x.kind, x.event.seq) for x in found] == [("traps", 2), ("express", 3), ("late", 4), ("traps", 5)]
    assert [x.in_order_lane for x in found] == [0, None, None, 0]


def test_more_than_one_reply_of_the_last_traps(server: Valkey, client: redis.Redis) -> None:
    """They are asked for in pieces, without a seam."""
    pipeline = client.pipeline()
    for seq in range(1, 2_502):
        pipeline.xadd(TRAPS, {"trap": event(seq)}, id=f"1000-{seq}")
    pipeline.execute()

    assert seqs(Follower([path(server)], canaries=True).newest(2_400)) == list(range(102, 2_502))
    assert seqs(Follower([path(server)]).newest(2_400)) == list(range(102, 2_502))


def test_canaries_are_hidden_unless_asked_for(server: Valkey, client: redis.Redis) -> None:
    """The last ten traps are ten traps, however many canaries came since."""
    add(client, TRAPS, 1, 2, 3)
    add(client, TRAPS, *range(4, 1_600), trap_oid=message.TRAP_OID)

    follower = Follower([path(server)])
    assert seqs(follower.newest(2)) == [2, 3]
    assert seqs(Follower([path(server)], canaries=True).newest(2)) == [1_598, 1_599]
    add(client, TRAPS, 1_600, trap_oid=message.TRAP_OID)
    add(client, TRAPS, 1_601)
    assert next(follower.follow()).event.seq == 1_601


def test_following(server: Valkey, client: redis.Redis) -> None:
    """What comes after the last ones, in any of the streams, also a new one; a lost connection is made again."""
    add(client, TRAPS, 1, 2)
    follower = Follower([path(server)])
    found = follower.newest(1)
    following = follower.follow()
    add(client, TRAPS, 3)
    found.append(next(following))
    add(client, OTHER_TRAPS, 4)
    found.append(next(following))
    client.client_kill_filter(_type="normal", skipme=True)
    add(client, TRAPS, 5)
    found += itertools.islice(following, 1)

    assert [(x.key, x.event.seq) for x in found] == [(TRAPS, 2), (TRAPS, 3), (OTHER_TRAPS, 4), (TRAPS, 5)]


def test_lanes_are_found(server: Valkey, client: redis.Redis) -> None:
    """A reader need not know how many there are."""
    add(client, TRAPS, 1)
    add(client, OTHER_TRAPS, 2)
    client.set("netmon:{test:2}:owner", "journal")
    add(client, "netmon:{test:4}:traps", 4)
    follower = Follower([path(server, lanes=None)])

    assert seqs(follower.newest(9)) == [1, 2]
    assert len(follower.positions) == 9


def test_a_reader_that_starts_again_goes_on_where_it_was(server: Valkey, client: redis.Redis) -> None:
    """With positions that it has saved; what it had is told first, for a union that has lost its memory."""
    add(client, TRAPS, 1, 2, 3)
    add(client, OTHER_TRAPS, 4)
    saved = {TRAPS: "1002-2", OTHER_TRAPS: "1004-4"}
    follower = Follower([path(server)], positions=saved, warm_up_s=60)

    found = list(itertools.islice(follower.follow(), 4))

    assert [(x.event.seq, x.known) for x in found] == [(1, True), (2, True), (4, True), (3, False)]
    assert follower.positions[TRAPS] == "1003-3"
    assert saved[TRAPS] == "1002-2"


def test_two_receivers_of_which_one_is_away(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """What can be read is read; the other one is named, and read when it is there."""
    add(client, TRAPS, 1, 2)
    with Valkey(tmp_path / "b") as away:
        away.kill()
        follower = Follower([path(server), path(away, receiver="far")])
        found = follower.newest(5)
        assert (seqs(found), list(follower.unreachable)) == ([1, 2], ["far"])
        following = follower.follow()
        add(client, TRAPS, 3)
        assert next(following).event.seq == 3
        with away, contextlib.closing(away.client()) as other:
            other.xadd("netmon:{far:0}:traps", {"trap": event(4)})
            assert next(following).event.seq == 4
            assert follower.unreachable == {}


def test_two_receivers_in_one_redis_and_each_notification_once(server: Valkey, client: redis.Redis) -> None:
    """The example of docs/buffer-schema.md."""
    add(client, TRAPS, 1, 2, 4)
    add(client, "netmon:{far:0}:traps", 1, 3, 4)
    both = Union(["test", "far"])
    follower = Follower([path(server), path(server, receiver="far")])

    told = [x for x in follower.newest(10) if both.tell(x.receiver, x.event, x.in_order_lane)]

    assert seqs(told) == [1, 2, 3, 4]


def test_a_reader_is_told_what_is_wrong(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """No server, or something that is no stream."""
    client.set(TRAPS, "not a stream")
    for url in (f"unix://{tmp_path}/nobody.sock", server.url):
        with pytest.raises(UnavailableError):
            Follower([consumer.Path("test", RedisSettings(url=url), 1)]).newest(1)
    with pytest.raises(UnavailableError, match="refused"):
        next(Follower([path(server)]).follow())


def test_the_lanes_in_a_redis_cluster(cluster: list[Valkey]) -> None:
    """Lanes live on different nodes; they are read from any of them."""
    follower = Follower([path(cluster[0], lanes=8)])
    with contextlib.closing(consumer.open(RedisSettings(url=cluster[1].url))) as client:
        for lane in range(8):
            client.xadd(f"netmon:{{test:{lane}}}:traps", {"trap": event(lane + 1)}, id=f"{lane + 1}-{lane + 1}")
        owners = {client.get_node_from_key(f"netmon:{{test:{lane}}}:traps").port for lane in range(8)}
        assert owners == {node.port for node in cluster}
        assert seqs(follower.newest(3)) == [6, 7, 8]
        for lane in range(8):
            client.xadd(f"netmon:{{test:{lane}}}:traps", {"trap": event(lane + 11)}, id=f"{lane + 11}-{lane + 11}")
        assert sorted(seqs(list(itertools.islice(follower.follow(), 8)))) == list(range(11, 19))
