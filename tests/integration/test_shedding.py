"""Far behind, decode lets what is new go first and what babbles wait. Whatever breaks meanwhile, each trap is in one place."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from netmon.model import TrapEvent
from netmon.trap_receiver.journal.marks import EXPRESS, PARKED_MARKS, TURN, Marks
from netmon.trap_receiver.ledger import LaneLedger
from tests.integration.harness import Netmon
from tests.integration.sending import NUMBER_OID, trap

SHED = PARKED_MARKS["shed"]
BATTERY_LOW = "1.3.6.1.4.1.8072.9999.0.7"
FLOOD, SIREN = "127.0.0.1", "127.0.0.2"
SHEDDING = {
    "backlog_max": 1_000,
    "source_rate_max": 5,
    "source_burst_max": 100,
    "critical": ["1.3.6.1.4.1.8072.9999.1."],
}
RATE = 4_000.0
STREAMS = ("traps", "express", "late")
SENDERS: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def no_sender_is_left() -> Iterator[None]:
    """Whatever becomes of a test."""
    yield
    while SENDERS:
        sender = SENDERS.pop()
        sender.kill()
        sender.wait()


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A running netmon that sheds soon."""
    with Netmon(tmp_path, {"shedding": SHEDDING}) as running:
        yield running


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Netmon]:
    """One whose streams may use 1 MiB: a group that does not read holds decode, and lets head go on."""
    with Netmon(tmp_path, {"shedding": SHEDDING, "redis": {"stream_memory_bytes_max": 1 << 20}}) as running:
        yield running


def send(netmon: Netmon, source: str, datagrams: Iterable[bytes], rate: float = RATE) -> None:
    """Sends from an address of the loopback; capture must get all."""
    before = netmon.ledger().captured
    count = netmon.send(datagrams, rate=rate, source=source)
    netmon.wait_until(lambda: netmon.ledger().captured == before + count, what="captured")


def storm(netmon: Netmon, count: int) -> subprocess.Popen[bytes]:
    """Numbered traps in a process of its own: nine of ten from one source, the rest from five others; each fiftieth is new."""
    sender = netmon.start_storm(1, count, RATE, "babble")
    SENDERS.append(sender)
    return sender


def entries(netmon: Netmon, stream: str) -> list[tuple[int, int]]:
    """The journal position and the number of each trap in a stream, in stream order."""
    with contextlib.closing(netmon.redis()) as client:
        found: Any = client.xrange(netmon.key(stream))
    return [_numbered(entry_id, fields) for entry_id, fields in found]


def lengths(netmon: Netmon) -> int:
    """How many entries are in all streams together."""
    with contextlib.closing(netmon.redis()) as client:
        found: Any = [client.xlen(netmon.key(stream)) for stream in STREAMS]
    return sum(found)


def _numbered(entry_id: bytes, fields: dict[bytes, bytes]) -> tuple[int, int]:
    event = msgspec.json.decode(fields[b"trap"], type=TrapEvent)
    assert event.seq == int(entry_id.partition(b"-")[2])
    return event.seq, next(int(v.value or 0) for v in event.varbinds if v.oid == NUMBER_OID)


def marks(netmon: Netmon, *wanted: int) -> list[int]:
    """The datagrams that have one of these marks."""
    found = Marks(netmon.directory())
    return [seq for segment in found.segments() for seq, _ in found.find(segment, wanted)]


class Reader:
    """A consumer group on all three streams, which acknowledges what it reads."""

    def __init__(self, netmon: Netmon) -> None:
        """Makes the groups."""
        self._client = netmon.redis()
        self._keys = {netmon.key(stream): stream for stream in STREAMS}
        self.found: dict[str, list[tuple[int, int]]] = {stream: [] for stream in STREAMS}
        for key in self._keys:
            self._client.xgroup_create(key, "reader", "0", mkstream=True)

    def read(self) -> int:
        """All that is new; how many."""
        reply: Any = self._client.xreadgroup("reader", "one", dict.fromkeys(self._keys, ">"), count=1_000)
        for key, found in reply or []:
            self.found[self._keys[key.decode()]] += [_numbered(*entry) for entry in found]
            self._client.xack(key, "reader", *(entry_id for entry_id, _ in found))
        return sum(len(found) for _, found in reply or [])

    def close(self) -> None:
        """Disconnects."""
        self._client.close()


def fall_behind(netmon: Netmon, by: int = 2_000) -> None:
    """Makes decode shed: holds it until it is so far behind, in a storm."""
    sheddings = netmon.ledger().sheddings
    with netmon.stopped("decode"):
        netmon.wait_until(lambda: netmon.ledger().durable - decoded(netmon) > by, what="behind")
    netmon.wait_until(lambda: netmon.ledger().shedding or netmon.ledger().sheddings > sheddings, what="shedding")


def decoded(netmon: Netmon) -> int:
    """How far decode is."""
    found = netmon.ledger()
    return found.captured - found.in_flight


def assert_each_in_one_place(netmon: Netmon, count: int) -> LaneLedger:
    """Everything has been decoded, in its turn, first or late; each number is in one stream, once; the books agree."""
    netmon.wait_settled(count, timeout_s=60)
    netmon.wait_until(lambda: not sum(netmon.ledger().waiting.values()), 60, "all decoded late")
    netmon.wait_until(lambda: not netmon.ledger().shedding, what="no storm")
    netmon.wait_until(lambda: lengths(netmon) >= count, 30, "all there")
    found = netmon.ledger()
    place = {stream: entries(netmon, stream) for stream in STREAMS}
    everywhere = sorted(itertools.chain(*place.values()))
    assert (found.captured, found.kernel_drops, found.lost, found.difference) == (count, 0, 0, 0), found
    assert [number for _, number in everywhere] == list(range(1, count + 1))
    assert [seq for seq, _ in everywhere] == list(range(1, count + 1))
    assert {stream: len(there) for stream, there in place.items()} == {
        "traps": found.buffered,
        "express": found.express,
        "late": found.late["shed"],
    }
    assert (found.express_sent, found.express_entries) == (found.express, found.express)
    assert all(place[stream] == sorted(place[stream]) for stream in ("traps", "express"))
    return found


# --- What it does.


def test_what_is_new_goes_first_and_who_babbles_waits(small: Netmon) -> None:
    """A group that lags holds decode; a siren is heard at once, and everything else comes when its time has come."""
    reader = Reader(small)
    late = small.signal(signal.SIGSTOP, "late")
    send(small, SIREN, (trap(n) for n in range(1, 4_001)))
    small.wait_until(lambda: small.ledger().shedding, what="shedding")
    send(small, FLOOD, (trap(n) for n in range(4_001, 4_601)))
    send(small, SIREN, [trap(5_001, BATTERY_LOW), trap(5_002, BATTERY_LOW)])
    send(small, FLOOD, [trap(n, "1.3.6.1.4.1.8072.9999.1.1") for n in (5_003, 5_004)])
    small.wait_until(lambda: marks(small, TURN, SHED, EXPRESS)[-1] == 4_604, what="all looked at")
    assert small.ledger().paused
    # They are marked before they are sent.
    small.wait_until(lambda: len(entries(small, "express")) == 5, what="in the express stream")
    first = [number for _, number in entries(small, "express")]
    # Before the storm was noticed, the siren was new only in what was looked back at.
    assert first[-4:] == [4_001, 5_001, 5_003, 5_004]
    shed = [seq for seq in marks(small, SHED) if seq > 4_000]
    flood = [seq for seq in shed if seq <= 4_600]
    assert 500 - 5 <= len(flood) <= 500
    # The siren has sent 4,000 itself: what it says for the second time may be beyond its share, too.
    assert set(shed) - set(flood) <= {4_602}
    assert small.ledger().in_flight > 2_000
    os.kill(late, signal.SIGCONT)
    small.wait_until(lambda: not reader.read() and small.ledger().in_flight == 0, 60, "drained")
    small.wait_until(lambda: not reader.read() and not small.ledger().waiting["shed"], 60, "all decoded late")
    small.wait_until(lambda: not reader.read(), what="all read")
    found = small.ledger()
    assert sorted(itertools.chain(*reader.found.values())) == [
        *((n, n) for n in range(1, 4_601)),
        *((4_601 + n, 5_001 + n) for n in range(4)),
    ]
    assert [len(reader.found[stream]) for stream in STREAMS] == [found.buffered, found.express, found.late["shed"]]
    assert (found.express, found.parked["shed"], found.difference) == (5, found.late["shed"], 0)
    assert found.parked["shed"] >= len(shed)
    reader.close()


def test_what_was_shed_waits_visibly(netmon: Netmon) -> None:
    """Counted as waiting, on /metrics and in the ledger, until late has come to it; readiness is not at stake."""
    with netmon.stopped("late"):
        sender = storm(netmon, 30_000)
        # So far that it sheds hundreds, however slowly the storm goes on afterwards.
        fall_behind(netmon, 20_000)
        assert sender.wait(60) == 0
        found = netmon.wait_settled(30_000)
        assert found.waiting["shed"] == found.parked["shed"] > 500
        assert (found.difference, found.balanced) == (0, True)
        metrics = netmon.metrics()
        labels = f'lane="0",listener="127.0.0.1:{netmon.port}"'
        assert metrics[f'netmon_trap_waiting{{{labels},reason="shed",receiver="test"}}'] == found.waiting["shed"]
        assert metrics[f'netmon_trap_express_total{{{labels},receiver="test"}}'] == found.express
        assert netmon.get("/readyz")[0] == 200
    assert_each_in_one_place(netmon, 30_000)


def test_a_full_express_stream_is_no_loss(small: Netmon) -> None:
    """A group that does not read it: what is new keeps its turn, and is counted as refused."""
    Reader(small).close()
    client = small.redis()
    send(small, SIREN, (trap(n) for n in range(1, 4_001)))
    small.wait_until(lambda: small.ledger().shedding, what="shedding")
    send(small, SIREN, (trap(4_000 + n, f"1.3.6.1.4.1.8072.9999.0.{n}") for n in range(1, 901)), 1_000)
    small.wait_until(lambda: small.ledger().express_refused > 50, what="refused")
    express = small.ledger().express_sent
    assert 100 < express < 850
    for stream in STREAMS:
        client.xgroup_destroy(small.key(stream), "reader")
    found = small.wait_settled(4_900, 60)
    assert (found.express, found.difference, found.lost) == (found.express_sent, 0, 0)
    assert found.buffered + found.express + found.parked["shed"] == 4_900
    client.close()


def test_shedding_can_be_switched_off_by_a_reload(netmon: Netmon) -> None:
    """And a storm that is on goes to its end by the marks that it has."""
    sender = storm(netmon, 16_000)
    fall_behind(netmon)
    netmon.configure({"shedding": {"backlog_max": 0}})
    former = netmon.pid("decode")
    netmon.signal(signal.SIGHUP)
    netmon.wait_restarted("decode", former)
    sheddings = netmon.ledger().sheddings
    with netmon.stopped("decode"):
        netmon.wait_until(lambda: netmon.ledger().durable - decoded(netmon) > 2_000, what="behind")
    assert sender.wait(60) == 0
    found = assert_each_in_one_place(netmon, 16_000)
    assert found.sheddings == sheddings


# --- When something breaks.


def test_decode_killed_while_it_sheds(netmon: Netmon) -> None:
    """kill -9, again and again, a few milliseconds into a storm: between marks and entries, too."""
    sender = storm(netmon, 30_000)
    dice = random.Random(7)
    kills = 0
    while netmon.ledger().captured < 26_000:
        fall_behind(netmon)
        time.sleep(dice.uniform(0, 0.05))
        netmon.wait_restarted("decode", netmon.signal(signal.SIGKILL, "decode"))
        begun = time.time_ns()
        netmon.wait_until(lambda at=begun: netmon.ledger().decode_heartbeat_unix_ns > at, what="decode is back")
        kills += 1
    assert sender.wait(60) == 0
    found = assert_each_in_one_place(netmon, 30_000)
    assert kills > 3
    assert (found.express > 20, found.parked["shed"] > 1_000) == (True, True), found


@pytest.mark.parametrize("role", ["valkey", "decode", "commit", "capture", "late"])
def test_a_role_killed_while_decode_sheds(netmon: Netmon, role: str) -> None:
    """Each once, in a storm that is on."""
    sender = storm(netmon, 12_000)
    fall_behind(netmon)
    netmon.wait_restarted(role, netmon.signal(signal.SIGKILL, role))
    fall_behind(netmon)
    assert sender.wait(60) == 0
    assert_each_in_one_place(netmon, 12_000)


def test_a_valkey_that_hangs_while_decode_sheds(netmon: Netmon) -> None:
    """Batches whose outcome is unknown: asked for, not guessed."""
    sender = storm(netmon, 20_000)
    fall_behind(netmon)
    with netmon.stopped("valkey"):
        time.sleep(7)
    assert sender.wait(60) == 0
    assert_each_in_one_place(netmon, 20_000)


@pytest.mark.parametrize("damage", ["flushall", "express deleted", "express trimmed", "foreign entry", "entry of ours"])
@pytest.mark.parametrize("quiet", [False, True], ids=["in-a-storm", "in-silence"])
def test_a_redis_that_forgets(netmon: Netmon, damage: str, quiet: bool) -> None:
    """What stood in the express stream comes back, in its order, with its groups; what has its turn is not put there."""
    sender = storm(netmon, 14_000)
    fall_behind(netmon)
    if quiet:
        assert sender.wait(60) == 0
        assert_each_in_one_place(netmon, 14_000)
    else:
        netmon.wait_until(lambda: netmon.ledger().express_sent, what="some went first")
    with contextlib.closing(netmon.redis()) as client:
        client.xgroup_create(netmon.key("express"), "alarms", "0")
        time.sleep(1.5)
        break_express(client, netmon, damage)
        netmon.wait_until(lambda: netmon.ledger().rebuilds, what="noticed")
        fall_behind(netmon) if not quiet else None
        assert sender.wait(60) == 0
        netmon.wait_until(lambda: netmon.ledger().express_entries == netmon.ledger().express_sent, what="refilled")
        assert_each_in_one_place(netmon, 14_000)
        if damage != "foreign entry":
            assert [group["name"] for group in client.xinfo_groups(netmon.key("express"))] == [b"alarms"]


def break_express(client: redis.Redis, netmon: Netmon, damage: str) -> None:
    """Does what nobody should."""
    key = netmon.key("express")
    if damage == "flushall":
        client.flushall()
    elif damage == "express deleted":
        client.delete(key)
    elif damage == "express trimmed":
        client.xtrim(key, maxlen=1, approximate=False)
    elif damage == "foreign entry":
        client.xadd(key, {"trap": "not ours"}, id="99999999999999-1")
    else:
        ((newest, fields),) = client.xrevrange(netmon.key(), count=1)
        client.xadd(key, fields, id=newest)


def test_a_valkey_that_lost_its_newest_entries_gets_them_again(tmp_path: Path) -> None:
    """A torn append-only file takes the tail of all three streams."""
    with Netmon(tmp_path, {"shedding": SHEDDING}) as netmon:
        sender = storm(netmon, 10_000)
        fall_behind(netmon)
        assert sender.wait(60) == 0
        assert_each_in_one_place(netmon, 10_000)
        netmon.stop()
        (tail,) = (tmp_path / "data" / "valkey" / "appendonlydir").glob("*.incr.aof")
        os.truncate(tail, tail.stat().st_size * 2 // 5)
        netmon.start()
        netmon.wait_until(lambda: netmon.ledger().express_entries == netmon.ledger().express_sent, what="refilled")
        assert_each_in_one_place(netmon, 10_000)


def test_a_storm_on_the_other_side_of_a_stop(netmon: Netmon) -> None:
    """Stopped in the middle and started again: what was looked at is not looked at again, and nothing is missing."""
    sender = storm(netmon, 12_000)
    fall_behind(netmon)
    netmon.kill()
    sender.kill()
    captured = netmon.ledger().captured
    netmon.start()
    found = netmon.wait_settled(captured)
    netmon.wait_until(lambda: not netmon.ledger().waiting["shed"], 30, "all decoded late")
    seqs = sorted(seq for stream in STREAMS for seq, _ in entries(netmon, stream))
    assert (seqs, found.difference) == (list(range(1, found.captured + 1)), 0)
