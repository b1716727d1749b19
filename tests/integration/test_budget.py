"""Redis memory has a budget: what fills it is trimmed only where no consumer group still wants it, and counted."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from netmon.model import TrapEvent
from tests.integration.harness import Netmon
from tests.integration.sending import NUMBER_OID

BUDGET_BYTES = 1 << 20
"""The smallest that the configuration allows: some 2,000 test traps."""
OVERSHOOT_BYTES = 1 << 19
"""At most one batch and one frame more (767 datagrams) are on their way when the budget is found full."""
RATE = 16_000.0
"""Traps a second that capture takes into a small queue without a drop; whether decode keeps up does not matter here."""


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A netmon whose streams may use 1 MiB."""
    with Netmon(tmp_path, {"redis": {"stream_memory_bytes_max": BUDGET_BYTES}}) as running:
        yield running


@pytest.fixture
def client(netmon: Netmon) -> Iterator[redis.Redis]:
    """A consumer's connection."""
    with contextlib.closing(netmon.redis()) as connected:
        yield connected


class Consumer:
    """A member of a consumer group that reads and acknowledges when it is told to."""

    def __init__(self, client: redis.Redis, key: str, group: str, start: str = "0") -> None:
        """Make the group, and the stream where there is none yet."""
        self.client, self.key, self.group = client, key, group
        client.xgroup_create(key, group, start, mkstream=True)
        self.numbers: list[int] = []
        """What was read, in that order."""
        self._pending: list[bytes] = []

    def read(self, count: int) -> int:
        """Read at most so many new entries; returns how many there were."""
        reply: Any = self.client.xreadgroup(self.group, "one", {self.key: ">"}, count=count)
        entries = reply[0][1] if reply else []
        self._pending += [entry_id for entry_id, _ in entries]
        self.numbers += [number(fields) for _, fields in entries]
        return len(entries)

    def acknowledge(self, keep: int = 0) -> None:
        """Acknowledge all that was read but for the newest `keep`."""
        count = max(0, len(self._pending) - keep)
        done, self._pending = self._pending[:count], self._pending[count:]
        if done:
            self.client.xack(self.key, self.group, *done)

    def take(self, count: int) -> int:
        """Read and acknowledge; returns how many."""
        found = self.read(count)
        self.acknowledge()
        return found


def number(fields: dict[bytes, bytes]) -> int:
    """The number of a test trap; the journal's position of a reject."""
    if b"reject" in fields:
        seq: int = msgspec.json.decode(fields[b"reject"])["seq"]
        return seq
    event = msgspec.json.decode(fields[b"trap"], type=TrapEvent)
    return next(int(varbind.value or 0) for varbind in event.varbinds if varbind.oid == NUMBER_OID)


def memory(netmon: Netmon, client: redis.Redis, stream: str = "traps") -> int:
    """Bytes of a stream as Redis counts them, all of its entries."""
    return int(client.memory_usage(netmon.key(stream), samples=0) or 0)


def send(netmon: Netmon, first: int, last: int) -> None:
    """Send the numbered traps of a range; capture must get all of them."""
    captured = netmon.ledger().captured
    netmon.send((netmon.trap(n) for n in range(first, last + 1)), rate=RATE)
    netmon.wait_until(lambda: netmon.ledger().captured == captured + last - first + 1, what="captured")
    assert netmon.ledger().kernel_drops == 0


def wait_paused(netmon: Netmon) -> None:
    """Until decode waits for a group."""
    netmon.wait_until(lambda: netmon.ledger().paused, what="paused")


def assert_settled(netmon: Netmon, captured: int) -> None:
    """Everything went through, and the accounts agree."""
    found = netmon.wait_settled(captured)
    assert (found.captured, found.buffered, found.difference, found.lost) == (captured, captured, 0, 0), found
    netmon.wait_until(lambda: not netmon.ledger().paused, what="not paused")
    assert netmon.ledger().rebuilds == 0


def test_without_a_group_the_oldest_are_trimmed_and_counted(netmon: Netmon, client: redis.Redis) -> None:
    """Nobody has asked for the entries: within the budget the newest stay, and the journal has the others."""
    storm = netmon.start_storm(1, 10_000, 5_000)
    highest = 0
    while storm.poll() is None:
        highest = max(highest, memory(netmon, client))
    assert storm.wait() == 0
    assert_settled(netmon, 10_000)
    assert BUDGET_BYTES // 4 < highest < BUDGET_BYTES + OVERSHOOT_BYTES
    netmon.wait_until(lambda: memory(netmon, client) <= BUDGET_BYTES, what="within the budget")
    found = netmon.ledger()
    kept = netmon.numbers()
    assert kept == list(range(10_001 - len(kept), 10_001))
    assert (found.trimmed, found.traps_entries) == (10_000 - len(kept), len(kept))
    assert found.trimmed > 5_000
    assert netmon.metrics()[f"netmon_redis_trimmed_total{labels(netmon)}"] == found.trimmed


def labels(netmon: Netmon) -> str:
    """The labels of the only lane's metrics."""
    return f'{{lane="0",listener="127.0.0.1:{netmon.port}",receiver="test"}}'


def test_a_group_that_acknowledges_gets_all_and_only_what_it_acknowledged_is_trimmed(
    netmon: Netmon, client: redis.Redis
) -> None:
    """Its newest 300 are read and not acknowledged: they stay until they are."""
    alarms = Consumer(client, netmon.key(), "alarms")
    storm = netmon.start_storm(1, 10_000, 5_000)
    while alarms.read(200) or storm.poll() is None or len(alarms.numbers) < 10_000:
        alarms.acknowledge(keep=300)
        oldest: Any = client.xpending(netmon.key(), "alarms")["min"]
        assert oldest is None or client.xrange(netmon.key(), oldest, oldest), "trimmed before it was acknowledged"
    assert storm.wait() == 0
    assert alarms.numbers == list(range(1, 10_001))
    assert_settled(netmon, 10_000)
    assert netmon.ledger().trimmed > 5_000
    assert set(range(9_701, 10_001)) <= set(netmon.numbers())


def test_a_lagging_group_pauses_decode_and_gets_everything_once(netmon: Netmon, client: redis.Redis) -> None:
    """The backlog waits in the journal, visibly, and drains by itself when the group has caught up."""
    alarms = Consumer(client, netmon.key(), "alarms")
    send(netmon, 1, 500)
    netmon.wait_until(lambda: len(alarms.numbers) == 500 or not alarms.take(500) or len(alarms.numbers) == 500)
    send(netmon, 501, 9_000)
    wait_paused(netmon)
    before = netmon.ledger()
    assert before.in_flight > 2_000
    assert memory(netmon, client) < BUDGET_BYTES + OVERSHOOT_BYTES
    assert netmon.numbers()[0] <= 501
    assert netmon.metrics()[f"netmon_redis_paused{labels(netmon)}"] == 1
    status, body = netmon.get("/readyz")
    assert (status, "paused for a lagging group" in body) == (200, True)
    netmon.wait_until(lambda: netmon.events("decode.group_awaited"), what="logged")
    assert netmon.events("decode.group_awaited")[0]["groups"] == ["alarms"]
    send(netmon, 9_001, 9_500)
    assert netmon.ledger().in_flight == before.in_flight + 500
    netmon.wait_until(lambda: not alarms.take(500) and len(alarms.numbers) >= 9_500, 30, "caught up")
    assert alarms.numbers == list(range(1, 9_501))
    assert_settled(netmon, 9_500)
    assert netmon.metrics()[f"netmon_redis_paused{labels(netmon)}"] == 0


def test_a_paused_decode_survives_being_killed(netmon: Netmon, client: redis.Redis) -> None:
    """Its successor finds the streams as they were left, and is paused again."""
    alarms = Consumer(client, netmon.key(), "alarms")
    send(netmon, 1, 6_000)
    wait_paused(netmon)
    entries = netmon.ledger().traps_entries
    netmon.wait_restarted("decode", netmon.signal(signal.SIGKILL, "decode"))
    netmon.wait_until(lambda: netmon.events("decode.group_awaited")[1:], what="paused again")
    assert (netmon.ledger().traps_entries, netmon.ledger().trimmed) == (entries, 0)
    netmon.wait_until(lambda: not alarms.take(1_000) and len(alarms.numbers) >= 6_000, 30, "caught up")
    assert alarms.numbers == list(range(1, 6_001))
    assert_settled(netmon, 6_000)


def test_of_two_groups_the_slower_one_rules(netmon: Netmon, client: redis.Redis) -> None:
    """What the fast one has acknowledged stays for the slow one; both get everything. Removing the slow one goes on."""
    fast, slow = (Consumer(client, netmon.key(), name) for name in ("fast", "slow"))
    send(netmon, 1, 1_000)
    netmon.wait_until(lambda: fast.take(500) + slow.take(500) == 0 and len(slow.numbers) == 1_000)
    send(netmon, 1_001, 7_000)
    netmon.wait_until(lambda: not fast.take(500) and netmon.ledger().paused, what="paused")
    netmon.wait_until(lambda: netmon.events("decode.group_awaited"), what="logged")
    assert "slow" in netmon.events("decode.group_awaited")[0]["groups"]
    assert netmon.numbers()[0] <= 1_001
    assert len(fast.numbers) < 7_000
    slow.take(1_500)
    netmon.wait_until(lambda: not fast.take(500) and netmon.ledger().paused and netmon.numbers()[0] > 1_001)
    assert slow.numbers == list(range(1, 2_501))
    client.xgroup_destroy(netmon.key(), "slow")
    netmon.wait_until(lambda: not fast.take(500) and len(fast.numbers) >= 7_000, 30, "drained")
    assert fast.numbers == list(range(1, 7_001))
    assert_settled(netmon, 7_000)


def garbage(first: int, last: int) -> Iterator[bytes]:
    """Datagrams that are rejected, each with its number in it."""
    return (b"\x30\x82\x01\x00garbage" + n.to_bytes(4, "big") + bytes(200) for n in range(first, last + 1))


def test_the_rejects_stream_counts_and_is_trimmed_too(netmon: Netmon, client: redis.Redis) -> None:
    """A flood of rubbish takes no more memory than a flood of traps, and leaves traps in the stream."""
    send(netmon, 1, 100)
    assert netmon.send(garbage(1, 5_000), rate=5_000) == 5_000
    found = netmon.wait_settled(5_100)
    assert (sum(found.rejected.values()), found.difference, found.kernel_drops) == (5_000, 0, 0)
    netmon.wait_until(lambda: memory(netmon, client, "rejects") <= BUDGET_BYTES, what="within the budget")
    found = netmon.ledger()
    seqs = [event.seq for _, event in netmon.rejects()]
    assert seqs == list(range(5_101 - len(seqs), 5_101))
    assert 0 < found.trimmed == 5_100 - len(seqs) - found.traps_entries
    assert found.rejects_entries == len(seqs)


def test_a_group_that_lags_in_the_rejects_pauses_decode(netmon: Netmon, client: redis.Redis) -> None:
    """Somebody investigates the rejects: they are kept for him as traps are."""
    inspector = Consumer(client, netmon.key("rejects"), "inspector")
    netmon.send(garbage(1, 4_000), rate=8_000)
    netmon.wait_until(lambda: netmon.ledger().captured == 4_000, what="captured")
    wait_paused(netmon)
    assert netmon.ledger().in_flight > 500
    netmon.wait_until(lambda: not inspector.take(500) and len(inspector.numbers) >= 4_000, 30, "caught up")
    assert inspector.numbers == list(range(1, 4_001))
    found = netmon.wait_settled(4_000)
    assert (sum(found.rejected.values()), found.difference) == (4_000, 0)


@pytest.mark.parametrize("quiet", ["traps", "rejects"])
def test_a_group_with_nothing_left_to_read_is_never_waited_for(netmon: Netmon, client: redis.Redis, quiet: str) -> None:
    """A group that has acknowledged all of a quiet stream does not lag, however old the last entry it got is."""
    send(netmon, 1, 1)
    netmon.send(garbage(1, 1))
    netmon.wait_settled(2)
    reader = Consumer(client, netmon.key(quiet), "reader")
    assert reader.take(10) == 1
    if quiet == "traps":
        netmon.send(garbage(2, 4_001), rate=8_000)
    else:
        busy = Consumer(client, netmon.key("traps"), "busy")
        netmon.send((netmon.trap(n) for n in range(2, 4_002)), rate=8_000)
        netmon.wait_until(lambda: not busy.take(500) and len(busy.numbers) >= 4_001, what="read by the other group")
    found = netmon.wait_settled(4_002)
    assert (found.captured, found.difference, found.kernel_drops) == (4_002, 0, 0)
    assert found.trimmed > 0
    assert not any("reader" in event["groups"] for event in netmon.events("decode.group_awaited"))


def test_everything_acknowledged_and_trimmed_does_not_come_back_after_flushall(
    netmon: Netmon, client: redis.Redis
) -> None:
    """Redis forgets everything, and had nothing left to give: only what is new is sent."""
    alarms = Consumer(client, netmon.key(), "alarms")
    sent = 0
    while memory(netmon, client) < BUDGET_BYTES * 0.85:
        send(netmon, sent + 1, sent + 100)
        sent += 100
        netmon.wait_settled(sent)
    assert alarms.take(sent) == sent
    netmon.wait_until(lambda: netmon.ledger().traps_entries == 0, what="all trimmed")
    client.flushall()
    netmon.wait_restarted("decode", netmon.signal(signal.SIGKILL, "decode"))
    send(netmon, sent + 1, sent + 100)
    netmon.wait_settled(sent + 100)
    assert netmon.numbers() == list(range(sent + 1, sent + 101))
    assert (netmon.ledger().refilled, netmon.ledger().rebuilds, netmon.ledger().difference) == (0, 1, 0)
