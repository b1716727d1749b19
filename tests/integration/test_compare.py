"""What a comparison reads: all streams of a lane, the part that is whole, and nothing of our own canaries."""

from __future__ import annotations

import msgspec
import pytest
import redis

from netmon.buffer import compare, consumer
from netmon.buffer.compare import Report
from netmon.canary import message
from netmon.errors import UnavailableError
from netmon.model import RedisSettings, TrapEvent
from tests.integration.valkey import Valkey

START_S = 1_800_000_000
STOP_S = START_S + 1_000


def add(client: redis.Redis, receiver: str, *seconds: int, kind: str = "traps", trap_oid: str = "1.3.6") -> None:
    """A trap received at each of these seconds; in the late stream it is written 500 s later."""
    for second in seconds:
        at = (START_S + second) * 1_000_000_000
        positional = (1, at, at, "received", "192.0.2.7", "192.0.2.7", 161, "::1", "v2c", "trap", "other", trap_oid, 0)
        body = msgspec.json.encode(TrapEvent(*positional, [], f"{second:016x}"))
        ms = (START_S + second + (500 if kind == "late" else 0)) * 1_000
        client.xadd(f"netmon:{{{receiver}:0}}:{kind}", {"trap": body}, id=f"{ms}-{second}")


def compared(server: Valkey, from_s: int = 0) -> Report:
    """East and west, from a second on."""
    paths = [consumer.Path(name, RedisSettings(url=server.url)) for name in ("east", "west")]
    return compare.compare(paths, (START_S + from_s) * 1_000_000_000, STOP_S * 1_000_000_000)


def missed(report: Report) -> dict[str, int]:
    """By path."""
    return {path.path: path.missed for path in report.paths}


def test_what_was_decoded_out_of_turn_is_not_missed(server: Valkey, client: redis.Redis) -> None:
    """Express comes before its turn, late in any order."""
    add(client, "east", 1, 2, 3, 4, 5, 6)
    add(client, "west", 1, 2)
    add(client, "west", 5, kind="express")
    add(client, "west", 3, 4, kind="late")

    report = compared(server)

    assert (report.total, missed(report), report.complete) == (6, {"east": 0, "west": 1}, False)
    assert report.newest_unix_ns == {name: (START_S + s) * 10**9 for name, s in (("east", 6), ("west", 5))}


def test_only_the_period_counts(server: Valkey, client: redis.Redis) -> None:
    """From its start, included, to its end, excluded; a copy on the other side of the edge is a copy."""
    add(client, "east", 99, 100, 500, 1_000)
    add(client, "west", 100, 500)

    report = compared(server, from_s=100)

    assert (report.total, missed(report), report.complete) == (2, {"east": 0, "west": 0}, True)


def test_what_a_path_has_trimmed_is_not_held_against_it(server: Valkey, client: redis.Redis) -> None:
    """The period begins where all paths are whole."""
    add(client, "east", *range(10))
    add(client, "west", *range(10))
    client.xtrim("netmon:{west:0}:traps", maxlen=4, approximate=False)

    report = compared(server)

    assert report.from_unix_ns == ((START_S + 6) * 1_000 + 1) * 1_000_000
    assert (report.total, missed(report)) == (3, {"east": 0, "west": 0})
    client.xtrim("netmon:{west:0}:traps", maxlen=0)
    assert compared(server).total == 0


def test_canaries_are_each_receivers_own(server: Valkey, client: redis.Redis) -> None:
    """They are sent to one listener only."""
    add(client, "east", 1)
    add(client, "west", 1)
    add(client, "west", 2, trap_oid=message.TRAP_OID)

    assert compared(server).complete


def test_a_receiver_that_never_wrote_is_told(server: Valkey, client: redis.Redis) -> None:
    """A name misspelt must not look like a receiver that missed everything."""
    add(client, "east", 1)
    with pytest.raises(UnavailableError, match="west"):
        compared(server)


def test_a_large_late_stream_is_cut_and_says_so(
    server: Valkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(compare, "LATE_MAX", 2)
    add(client, "east", 1, 2, 3)
    add(client, "west", 1, 2, 3, kind="late")
    client.set("netmon:{west:0}:owner", "journal")

    report = compared(server)

    assert (report.late_left_out, missed(report)) == (1, {"east": 0, "west": 1})
