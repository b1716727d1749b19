"""Reading the traps of all lanes, for people: the last ones, and then those that come."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import msgspec
import pytest
import redis

from netmon.buffer import consumer
from netmon.errors import UnavailableError
from netmon.model import RedisSettings, TrapEvent
from tests.integration.valkey import TRAPS, Valkey

OTHER_TRAPS = "netmon:{test:1}:traps"


def event(seq: int) -> bytes:
    """A trap's JSON."""
    return msgspec.json.encode(
        TrapEvent(
            seq, 1, 1, "received", "192.0.2.7", "192.0.2.7", 161, "::1", "v2c", "trap", "other", "1.3.6", 0, [], ""
        )
    )


def add(client: redis.Redis, key: str, *seqs: int) -> None:
    """Entries with these seqs, one a millisecond."""
    for seq in seqs:
        client.xadd(key, {"trap": event(seq)}, id=f"{1_000 + seq}-{seq}")


@pytest.mark.parametrize(
    ("last", "expected"), [(0, []), (1, [6]), (3, [4, 5, 6]), (6, [1, 2, 3, 4, 5, 6]), (9, [1, 2, 3, 4, 5, 6])]
)
def test_the_last_traps_of_all_lanes(server: Valkey, client: redis.Redis, last: int, expected: list[int]) -> None:
    """Oldest first, over the streams together; one that does not exist has none."""
    add(client, TRAPS, 1, 3, 4)
    add(client, OTHER_TRAPS, 2, 5, 6)
    with contextlib.closing(consumer.open(RedisSettings(url=server.url))) as reader:
        found = list(consumer.tail(reader, [TRAPS, OTHER_TRAPS, "netmon:{test:2}:traps"], last, follow=False))

    assert [trap.seq for _, _, trap in found] == expected
    assert all(entry_id == f"{1_000 + trap.seq}-{trap.seq}" for _, entry_id, trap in found)
    assert {key for key, _, trap in found if trap.seq in (2, 5, 6)} <= {OTHER_TRAPS}


def test_more_than_one_reply_of_the_last_traps(server: Valkey, client: redis.Redis) -> None:
    """They are asked for in pieces, without a seam."""
    pipeline = client.pipeline()
    for seq in range(1, 2_502):
        pipeline.xadd(TRAPS, {"trap": event(seq)}, id=f"1000-{seq}")
    pipeline.execute()
    with contextlib.closing(consumer.open(RedisSettings(url=server.url))) as reader:
        found = [trap.seq for _, _, trap in consumer.tail(reader, [TRAPS], 2_400, follow=False)]

    assert found == list(range(102, 2_502))


def test_following(server: Valkey, client: redis.Redis) -> None:
    """What comes after the last ones, in any of the streams, also a new one; a lost connection is made again."""
    add(client, TRAPS, 1, 2)
    with contextlib.closing(consumer.open(RedisSettings(url=server.url))) as reader:
        following = consumer.tail(reader, [TRAPS, OTHER_TRAPS], 1, follow=True)
        found = [next(following)]
        add(client, TRAPS, 3)
        found.append(next(following))
        add(client, OTHER_TRAPS, 4)
        found.append(next(following))
        client.client_kill_filter(_type="normal", skipme=True)
        add(client, TRAPS, 5)
        found += itertools.islice(following, 1)

    assert [(key, trap.seq) for key, _, trap in found] == [(TRAPS, 2), (TRAPS, 3), (OTHER_TRAPS, 4), (TRAPS, 5)]


def test_a_reader_is_told_what_is_wrong(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """No server, or something that is no stream."""
    client.set(TRAPS, "not a stream")
    for url in (f"unix://{tmp_path}/nobody.sock", server.url):
        with contextlib.closing(consumer.open(RedisSettings(url=url))) as reader, pytest.raises(UnavailableError):
            list(consumer.tail(reader, [TRAPS], 1, follow=False))
