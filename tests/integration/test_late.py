"""What was parked reaches the late stream exactly once, whatever dies on the way."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from netmon.trap_receiver.journal.marks import Digests
from netmon.trap_receiver.ledger import LATE_STATE, PARK_REASONS
from netmon.trap_receiver.state import read_state
from tests.integration.harness import Netmon
from tests.integration.parking import late_entries, late_numbers, park
from tests.integration.snmpv3 import ENGINE, KNOWN, Device, user, with_passphrases

REASON = "usm_unknown_user"


def parked(tmp_path: Path, count: int, *, reason: str = REASON, junk: int = 0) -> Netmon:
    """A stopped netmon with so many traps that wait, and some that turn out to be no SNMP."""
    # Without a consumer group, a late stream of more than a quarter of the budget is trimmed.
    netmon = Netmon(tmp_path, {"redis": {"stream_memory_bytes_max": "256MiB"}})
    with netmon:
        netmon.send(map(netmon.trap, range(1, count + 1)), rate=20_000)
        netmon.wait_settled(captured=count)
        netmon.send([b"junk"] * junk)
        netmon.wait_settled(captured=count + junk)
    park(netmon, range(1, count + 1), reason)
    return netmon


def test_what_waits_is_decoded_at_the_next_start(tmp_path: Path) -> None:
    """As after a reload that adds a user: in the late stream, in order, under IDs of one pass, and in the books."""
    netmon = parked(tmp_path, 1_000)
    assert netmon.ledger().waiting[REASON] == 1_000
    with netmon:
        netmon.wait_until(lambda: netmon.ledger().late[REASON] == 1_000, what="decoded late")
        entries = late_entries(netmon)
        assert late_numbers(netmon) == list(range(1, 1_001))
        assert len({entry_id.partition("-")[0] for entry_id, _ in entries}) == 1
        assert [entry_id.rpartition("-")[2] for entry_id, _ in entries] == [str(event.seq) for _, event in entries]
        found = netmon.ledger()
        assert (found.waiting[REASON], found.late_rejected[REASON], found.balanced) == (0, 0, True)


def test_a_trap_that_came_before_its_user_was_configured(tmp_path: Path) -> None:
    """SNMPv3: parked, told with what it claims, and in the late stream once a reload has brought the user."""
    device = Device(KNOWN, ENGINE)
    netmon = Netmon(with_passphrases(tmp_path))
    with netmon:
        netmon.send([netmon.trap(1), *(device.message() for _ in range(3)), netmon.trap(2)])
        netmon.wait_settled(captured=5)
        assert netmon.ledger().waiting[REASON] == 3
        netmon.configure({"snmpv3": {"users": [user("sha256", "aes128", KNOWN.name)]}})
        netmon.signal(signal.SIGHUP)
        netmon.wait_until(lambda: netmon.ledger().late[REASON] == 3, what="decoded late")
        assert [(event.seq, getattr(event, "user", "")) for _, event in late_entries(netmon)] == [
            (seq, KNOWN.name) for seq in (2, 3, 4)
        ]
        assert {getattr(event, "trust", "") for _, event in late_entries(netmon)} == {"v3_auth_priv"}
        netmon.send([device.message()])
        netmon.wait_until(lambda: netmon.ledger().buffered == 3, what="from now on, in its turn")
        with contextlib.closing(netmon.redis()) as client:
            client.flushall()
        netmon.wait_until(lambda: len(netmon.entries()) == 3 and len(late_entries(netmon)) == 3, what="made anew")
        assert [event.seq for _, event in netmon.entries()] == [1, 5, 6]


def test_a_reload_is_a_start(tmp_path: Path) -> None:
    """A trap that was sent before its user was configured appears after SIGHUP: the late role is started anew."""
    with Netmon(tmp_path) as netmon:
        netmon.send(map(netmon.trap, range(1, 101)))
        netmon.wait_settled(captured=100)
        assert netmon.stop() == 0
        park(netmon, range(1, 51))
        # One at which nothing is tried: late has no Redis yet when it looks first.
        netmon.start()
        netmon.wait_until(lambda: len(late_entries(netmon)) == 50, what="decoded late")
        assert netmon.stop() == 0
        park(netmon, range(51, 101))
        netmon.start()
        netmon.wait_until(lambda: len(late_entries(netmon)) == 100, what="decoded late")
        former = netmon.pid("late")
        netmon.configure({"receiver": {"redact_community": False}})
        netmon.signal(signal.SIGHUP)
        netmon.wait_restarted("late", former)
        assert late_numbers(netmon) == list(range(1, 101))


def test_what_was_shed_comes_when_the_storm_has_passed(tmp_path: Path) -> None:
    """It waits for time only, so no start is needed."""
    netmon = parked(tmp_path, 300, reason="shed")
    with netmon:
        netmon.wait_until(lambda: netmon.ledger().late["shed"] == 300, what="decoded late")
        assert late_numbers(netmon) == list(range(1, 301))


def test_what_is_refused_now_stands_in_the_late_stream_as_a_rejection(tmp_path: Path) -> None:
    """It was worth waiting for, and is worth an answer."""
    netmon = parked(tmp_path, 10)
    netmon.configure({"receiver": {"allow": [{"sources": ["192.0.2.0/24"]}]}})
    with netmon:
        netmon.wait_until(lambda: netmon.ledger().late_rejected[REASON] == 10, what="rejected late")
        assert [getattr(event, "reason", "") for _, event in late_entries(netmon)] == ["source_not_allowed"] * 10
        assert (netmon.ledger().waiting[REASON], netmon.ledger().late[REASON]) == (0, 0)


def settled(netmon: Netmon, count: int, timeout_s: float = 60.0) -> None:
    """Until the books say that all are late, and the stream has each once, in some order of passes."""
    netmon.wait_until(lambda: netmon.ledger().late[REASON] == count, timeout_s, "decoded late")
    assert sorted(late_numbers(netmon)) == list(range(1, count + 1))
    found = netmon.ledger()
    assert (found.waiting, found.late[REASON], found.balanced) == (dict.fromkeys(PARK_REASONS, 0), count, True)


@pytest.mark.slow
def test_killed_again_and_again_in_the_middle_of_a_pass(tmp_path: Path) -> None:
    """kill -9 at any moment: nothing twice, nothing missing, the books exact."""
    count, kills, late = 60_000, 7, 0
    netmon = parked(tmp_path, count)
    with netmon:
        for kill in range(kills):
            netmon.wait_until(lambda: netmon.ledger().late[REASON] > late, what="it is at work again")  # noqa: B023
            time.sleep(0.013 * kill)
            former = netmon.signal(signal.SIGKILL, "late")
            late = netmon.ledger().late[REASON]
            assert late < count, "all was done before it could be killed"
            netmon.wait_restarted("late", former)
        settled(netmon, count)


@pytest.mark.slow
def test_valkey_killed_in_the_middle_of_a_pass(tmp_path: Path) -> None:
    """What its file has lost comes again, under the same IDs."""
    count = 40_000
    netmon = parked(tmp_path, count)
    with netmon:
        for _ in range(3):
            netmon.wait_restarted("valkey", netmon.signal(signal.SIGKILL, "valkey"))
            netmon.wait_ready()
            time.sleep(0.3)
        settled(netmon, count)
        with contextlib.closing(netmon.redis()) as client:
            ids = [entry_id for entry_id, _ in late_entries(netmon)]
            assert client.xlen(netmon.key("late")) == len(set(ids))


@pytest.mark.parametrize("harm", ["flushall", "del", "xdel", "foreign"])
def test_a_stream_that_somebody_changed_is_made_anew(tmp_path: Path, harm: str) -> None:
    """FLUSHALL, DEL, XDEL, an entry that is not ours: same IDs and content afterwards, groups where they were."""
    netmon = parked(tmp_path, 2_000)
    with netmon, contextlib.closing(netmon.redis()) as client:
        settled(netmon, 2_000)
        key = netmon.key("late")
        before: Any = client.xrange(key)
        client.xgroup_create(key, "consumer", id=before[499][0])
        time.sleep(2.5)
        if harm == "flushall":
            client.flushall()
        elif harm == "del":
            client.delete(key)
        elif harm == "xdel":
            client.xdel(key, before[700][0])
        else:
            client.xadd(key, {"trap": "{}"})
        netmon.wait_until(lambda: client.xrange(key) == before, 20, "made anew")
        groups = client.xinfo_groups(key)
        assert [(group["name"], group["last-delivered-id"]) for group in groups] == [(b"consumer", before[499][0])]
        assert netmon.ledger().late[REASON] == 2_000
        displaced = list(client.keys("*late:displaced*"))
        assert len(displaced) == (harm == "foreign")


def test_a_pass_waits_while_redis_takes_nothing(tmp_path: Path) -> None:
    """Memory full, then not: it goes on by itself."""
    netmon = parked(tmp_path, 5_000)
    with netmon, contextlib.closing(netmon.redis()) as client:
        client.config_set("maxmemory", 1)
        netmon.send([netmon.trap(5_001)])
        time.sleep(2)
        assert netmon.ledger().late[REASON] < 5_000
        client.config_set("maxmemory", 0)
        settled(netmon, 5_000)


def test_a_group_that_lags_makes_late_wait_and_nothing_else(tmp_path: Path) -> None:
    """A quarter of the budget for the late stream: what the group has acknowledged makes room for the rest."""
    count = 6_000
    netmon = parked(tmp_path, count)
    netmon.configure({"redis": {"stream_memory_bytes_max": "4MiB"}})
    key = netmon.key("late")
    with netmon, contextlib.closing(netmon.redis()) as client:
        client.xgroup_create(key, "slow", id="0", mkstream=True)
        netmon.wait_until(lambda: netmon.ledger().late[REASON] > 500, what="some are late")
        time.sleep(3)
        assert netmon.ledger().late[REASON] < count
        netmon.send(map(netmon.trap, range(10_000, 10_100)))
        netmon.wait_until(lambda: netmon.numbers()[-1:] == [10_099], what="the main stream goes on")
        seen: list[bytes] = []
        while len(seen) < count:
            reply: Any = client.xreadgroup("slow", "reader", {key: ">"}, count=500, block=10_000)
            assert reply, f"{len(seen)} read\n{netmon.ledger()}\n{netmon.log_tail()}"
            ids = [entry_id for entry_id, _ in reply[0][1]]
            client.xack(key, "slow", *ids)
            seen += ids
        assert sorted(int(entry_id.rpartition(b"-")[2]) for entry_id in seen) == list(range(1, count + 1))


def test_counters_that_a_power_cut_took_are_counted_again(tmp_path: Path) -> None:
    """The state file is older than log and stream: they tell what has been done."""
    netmon = parked(tmp_path, 3_000)
    file = netmon.directory() / LATE_STATE
    older = file.read_bytes()
    with netmon:
        settled(netmon, 3_000)
    (netmon.directory() / "00000000000000000001.digests").write_bytes(b"")
    file.write_bytes(older)
    with netmon:
        settled(netmon, 3_000)
        netmon.wait_until(lambda: not is_zero(netmon, 3_000), what="digests are set again")


def is_zero(netmon: Netmon, count: int) -> bool:
    """Whether any datagram that is late has no digest."""
    digests = Digests(netmon.directory()).read(1, 1, count)
    return any(digests[at : at + 8] == bytes(8) for at in range(0, len(digests), 8))


def test_late_by_itself_needs_no_socket(tmp_path: Path) -> None:
    """For those who let systemd supervise: it says that it lives, and stops when told."""
    netmon = Netmon(tmp_path, command="late")
    netmon.start(ready=False)
    try:
        heartbeat = "heartbeat_unix_ns"
        netmon.wait_until(lambda: read_state(netmon.directory() / LATE_STATE).get(heartbeat), what="it lives")
        assert netmon.stop() == 0
    finally:
        netmon.kill()
