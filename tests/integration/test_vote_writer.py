"""Votes on their way to a real Redis that is there, stopped, emptied, or gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from netmon.active_probe.model import LineState, VantageHealth, Vote
from netmon.buffer.line_store import NEWS, VANTAGES, votes_key
from netmon.buffer.vote_writer import VoteWriter
from netmon.model import RedisSettings
from tests.integration.valkey import Valkey, wait_until

NOON = 1_767_268_800_000_000_000
LINES = [f"line-{number}" for number in range(1_000)]
KEY = votes_key("hq")


def vote(line_id: str, state: LineState = "up", unix_ns: int = NOON) -> Vote:
    """Of the vantage `hq`."""
    return Vote(line_id=line_id, vantage_id="hq", state=state, since_unix_ns=NOON, unix_ns=unix_ns)


def health(beat: int) -> VantageHealth:
    """The same vantage, well."""
    return VantageHealth(vantage_id="hq", state="live", beat=beat, started_unix_ns=NOON, unix_ns=NOON, heartbeat_s=1.0)


@contextlib.contextmanager
def writing(server: Valkey, lines: list[str] | None = None) -> Iterator[VoteWriter]:
    """A writer at work."""
    writer = VoteWriter(RedisSettings(url=server.url), "hq", lines or LINES, check_s=0.2)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop(1.0)


def told(client: redis.Redis) -> dict[str, Vote]:
    """The hash."""
    votes: Any = client.hgetall(KEY)
    return {name.decode(): msgspec.json.decode(body, type=Vote) for name, body in votes.items()}


def news(client: redis.Redis) -> list[tuple[str, Any]]:
    """The stream: field, and what is in it."""
    entries: Any = client.xrange(NEWS)
    return [(field.decode(), msgspec.json.decode(body)) for _, fields in entries for field, body in fields.items()]


def test_votes_go_into_the_hash_and_the_news_together(server: Valkey, client: redis.Redis) -> None:
    """The urgent one first and alone, the others gathered in entries of 200."""
    with writing(server) as writer:
        wait_until(lambda: writer.telling.reachable, "connected")
        writer.put(vote("line-7", "down"), urgent=True)
        wait_until(lambda: client.hlen(KEY) == 1, "the urgent vote is there")
        for line_id in LINES:
            writer.put(vote(line_id), urgent=False)
        writer.put_health(health(1))
        wait_until(lambda: client.hlen(KEY) == len(LINES), "all votes are there")

    heard = news(client)
    assert heard[0] == ("votes", [msgspec.to_builtins(vote("line-7", "down"))])
    assert max(len(body) for field, body in heard if field == "votes") == 200
    assert [body["beat"] for field, body in heard if field == "health"] == [1]
    assert told(client) == {line_id: vote(line_id) for line_id in LINES}


def test_votes_on_lines_of_a_former_configuration_are_removed(server: Valkey, client: redis.Redis) -> None:
    """Nobody would ever say anything else of them."""
    client.hset(KEY, mapping={"closed": b"{}", "line-1": msgspec.json.encode(vote("line-1"))})

    with writing(server) as writer:
        wait_until(lambda: writer.telling.reachable, "connected")

    assert list(told(client)) == ["line-1"]


def test_redis_that_forgets_is_told_again(server: Valkey, client: redis.Redis) -> None:
    """FLUSHALL, and later the loss of one vote, with nothing new to say."""
    with writing(server) as writer:
        writer.put_health(health(1))
        for line_id in LINES:
            writer.put(vote(line_id), urgent=False)
        wait_until(lambda: writer.telling.votes == len(LINES), "all votes are told")
        client.flushall()
        wait_until(lambda: client.hlen(KEY) == len(LINES) and client.hexists(VANTAGES, "hq"), "all are told again")
        client.hdel(KEY, "line-500")
        wait_until(lambda: client.hexists(KEY, "line-500"), "the lost one is told again")

    assert writer.telling.repairs == 2


def test_only_the_newest_waits_for_a_redis_that_stands_still(server: Valkey, client: redis.Redis) -> None:
    """Putting never waits; when Redis goes on, it gets what is true by then, and not what was true meanwhile."""
    assert server._process is not None
    with writing(server) as writer:
        writer.put(vote("line-1"), urgent=True)
        wait_until(lambda: client.hlen(KEY) == 1, "told")
        os.kill(server._process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for turn in range(50):
                for line_id in LINES:
                    writer.put(vote(line_id, "down" if turn % 2 else "up", NOON + turn), urgent=True)
            took_s = time.monotonic() - began
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
        wait_until(lambda: client.hlen(KEY) == len(LINES), "all votes are told")

        assert took_s < 5.0
        wait_until(lambda: {one.unix_ns for one in told(client).values()} == {NOON + 49}, "the newest are told")
    assert len([field for field, _ in news(client) if field == "votes"]) < 50


def test_redis_that_was_gone_gets_everything(tmp_path: Path) -> None:
    """Started late, killed and started empty."""
    server = Valkey(tmp_path / "valkey")
    with writing(server, LINES[:10]) as writer:
        for line_id in LINES[:10]:
            writer.put(vote(line_id), urgent=True)
        writer.put_health(health(1))
        wait_until(lambda: writer.telling.failures, "nobody is there")
        for _ in range(2):
            with server, contextlib.closing(server.client()) as client:
                wait_until(lambda client=client: client.hlen(KEY) == 10 and client.hlen(VANTAGES) == 1, "all is told")


@pytest.mark.parametrize("is_there", [True, False])
def test_writer_that_stops_says_its_last_word_if_somebody_listens(
    server: Valkey, client: redis.Redis, tmp_path: Path, is_there: bool
) -> None:
    """And does not wait for long if nobody does."""
    with writing(server if is_there else Valkey(tmp_path / "none")) as writer:
        writer.put_health(health(7))
        began = time.monotonic()
        writer.stop(1.0)

    assert time.monotonic() - began < 5.0
    assert client.hexists(VANTAGES, "hq") == is_there
