"""Things break in the middle of a storm. Afterwards the ledger balances, nothing is lost, and nothing is there twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from netmon.trap_receiver.journal.segment import SEGMENT_HEADER, segment_path, segments
from netmon.trap_receiver.ledger import LaneLedger
from netmon.trap_receiver.state import read_state
from tests.integration.harness import Netmon

RATE = 4_000.0
"""Traps a second of a storm here: Python's sender and two busy cores, so that the kernel drops none."""


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A running netmon with its embedded Valkey."""
    with Netmon(tmp_path) as running:
        yield running


@contextlib.contextmanager
def storm(netmon: Netmon, count: int, first: int = 1) -> Iterator[None]:
    """Numbered traps `first`, `first` + 1, … while the body breaks something; then checks that each arrived once."""
    sender = netmon.start_storm(first, count, RATE)
    try:
        netmon.wait_until(lambda: netmon.ledger().captured >= first - 1 + count // 20, what="the storm has begun")
        yield
    finally:
        assert sender.wait(60) == 0
    assert_complete(netmon, first - 1 + count)


def assert_complete(netmon: Netmon, count: int) -> LaneLedger:
    """Exactly the traps 1 to `count` are in the stream, in order, and every account agrees."""
    found = netmon.wait_settled(count, timeout_s=60)
    assert (found.kernel_drops, found.lost, found.difference) == (0, 0, 0), found
    assert (found.captured, found.buffered) == (count, count), found
    netmon.wait_until(lambda: netmon.ledger().redis_up, what="redis is up")
    assert netmon.numbers() == list(range(1, count + 1))
    assert netmon.ledger().traps_entries == count
    return found


@pytest.mark.parametrize("role", ["capture", "commit", "decode", "valkey"])
def test_a_role_killed_again_and_again_loses_nothing(netmon: Netmon, role: str) -> None:
    """kill -9 of each child, three times in a storm: its successor goes on where it was."""
    with storm(netmon, 12_000):
        for _ in range(3):
            pid = netmon.signal(signal.SIGKILL, role)
            netmon.wait_restarted(role, pid)
            time.sleep(0.2)


def test_all_roles_killed_at_once_lose_nothing(netmon: Netmon) -> None:
    """The out-of-memory killer may take them all; the socket and the landing are the supervisor's."""
    with storm(netmon, 8_000):
        pids = {role: netmon.signal(signal.SIGKILL, role) for role in ("valkey", "decode", "commit", "capture")}
        for role, pid in pids.items():
            netmon.wait_restarted(role, pid)


def test_a_capture_killed_with_a_batch_in_its_hands_loses_nothing(netmon: Netmon) -> None:
    """Killed as often as it comes back, in a dense storm: some kills fall between the kernel and the journal."""
    sender = netmon.start_storm(1, 24_000, RATE)
    kills = 0
    while sender.poll() is None:
        with contextlib.suppress(KeyError, ProcessLookupError):
            netmon.signal(signal.SIGKILL, "capture")
            kills += 1
        time.sleep(0.011)
    assert kills > 5
    assert_complete(netmon, 24_000)


def test_valkey_stopped_for_twenty_seconds_delays_and_loses_nothing(netmon: Netmon) -> None:
    """A Redis that hangs is not a Redis that is gone: batches may still be carried out after the time-out."""
    with storm(netmon, 16_000):
        pid = netmon.signal(signal.SIGSTOP, "valkey")
        time.sleep(20)
        assert netmon.ledger().in_flight > 0
        assert not netmon.ledger().redis_up
        os.kill(pid, signal.SIGCONT)


def test_valkey_out_of_memory_delays_and_loses_nothing(netmon: Netmon) -> None:
    """`maxmemory` with `noeviction`: a batch is refused as a whole, so that no hole is left in the stream."""
    with storm(netmon, 12_000), contextlib.closing(netmon.redis()) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
        netmon.wait_until(lambda: netmon.ledger().unavailable["out_of_memory"] >= 2, what="refused for want of memory")
        assert netmon.ledger().in_flight > 0
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize("quiet", [False, True], ids=["in-a-storm", "in-silence"])
def test_flushall_is_refilled_from_the_journal(netmon: Netmon, quiet: bool) -> None:
    """Everything that Redis held comes back, and the consumer groups go on where they were."""
    netmon.send(netmon.trap(number) for number in range(1, 2_001))
    assert_complete(netmon, 2_000)
    with contextlib.closing(netmon.redis()) as client:
        client.xgroup_create(netmon.key(), "alarms", "0")
        read = client.xreadgroup("alarms", "one", {netmon.key(): ">"}, count=1_500)
        ids = [entry_id for entry_id, _ in read[0][1]]
        client.xack(netmon.key(), "alarms", *ids[:1_000])
        time.sleep(1.5)
        if quiet:
            client.flushall()
            assert_rebuilt(netmon, 2_000)
        else:
            with storm(netmon, 8_000, first=2_001):
                client.flushall()
        read = client.xreadgroup("alarms", "one", {netmon.key(): ">"}, count=1)
        # 500 were read and not acknowledged: they come again, because Redis forgot who had them.
        assert read[0][1][0][0] == next(entry_id.encode() for entry_id, _ in netmon.entries()[1_000:])


def assert_rebuilt(netmon: Netmon, count: int) -> None:
    """The streams were made anew, and are complete."""
    netmon.wait_until(lambda: netmon.ledger().rebuilds >= 1, what="rebuilt")
    netmon.wait_until(lambda: len(netmon.numbers()) >= count, what="refilled")
    assert_complete(netmon, count)


@pytest.mark.parametrize("damage", ["trimmed", "deleted", "one-entry-deleted", "foreign-entry"])
def test_a_stream_changed_by_others_is_put_right(netmon: Netmon, damage: str) -> None:
    """Whatever somebody does to the stream in a storm, it ends as the journal says it should be."""
    with storm(netmon, 8_000), contextlib.closing(netmon.redis()) as client:
        # What is captured is not in the stream yet, and of an empty one nothing can be taken.
        netmon.wait_until(lambda: client.xlen(netmon.key()) > 10, what="there is something to be changed")
        if damage == "trimmed":
            client.xtrim(netmon.key(), maxlen=10)
        elif damage == "deleted":
            client.delete(netmon.key())
        elif damage == "one-entry-deleted":
            client.xdel(netmon.key(), client.xrange(netmon.key(), count=1)[0][0])
        else:
            client.xadd(netmon.key(), {"trap": "not ours"}, id="99999999999999-1")
    assert netmon.ledger().rebuilds == 1
    if damage == "foreign-entry":
        with contextlib.closing(netmon.redis()) as client:
            (aside,) = client.scan_iter(match=b"netmon:{test:0}:traps:displaced-*".replace(b"[", b"?"))
            assert client.xrevrange(aside, count=1)[0][0] == b"99999999999999-1"


def test_a_valkey_that_lost_its_newest_entries_gets_them_again(tmp_path: Path) -> None:
    """A torn append-only file: the server comes back without its tail, as a replica may after a fail-over."""
    with Netmon(tmp_path) as netmon:
        netmon.send(netmon.trap(number) for number in range(1, 4_001))
        assert_complete(netmon, 4_000)
        netmon.stop()
        (tail,) = (tmp_path / "data" / "valkey" / "appendonlydir").glob("*.incr.aof")
        os.truncate(tail, tail.stat().st_size - 300_000)
        netmon.start()
        netmon.wait_until(lambda: netmon.ledger().refilled > 100, what="refilled")
        assert_complete(netmon, 4_000)


def test_a_journal_tail_torn_by_a_power_cut_is_cut_off(tmp_path: Path) -> None:
    """What was not yet on disk is gone, was never passed on or answered, and is not counted as captured any more."""
    with Netmon(tmp_path) as netmon:
        netmon.send(netmon.trap(number) for number in range(1, 1_001))
        assert_complete(netmon, 1_000)
        netmon.signal(signal.SIGSTOP, "commit")
        netmon.send((netmon.trap(number) for number in range(1_001, 1_501)), rate=2_000)
        netmon.wait_until(lambda: netmon.ledger().captured == 1_500, what="captured")
        assert netmon.ledger().buffered == 1_000
        netmon.kill()
        cut_tail(netmon, bytes_kept_ratio=0.5)
        netmon.start()
        found = netmon.wait_settled()
        assert 1_000 <= found.captured < 1_500
        assert (found.torn, found.difference, found.lost) == (1_500 - found.captured, 0, 0)
        netmon.send(netmon.trap(number) for number in range(2_001, 2_101))
        netmon.wait_settled(found.captured + 100)
        assert netmon.numbers() == [*range(1, found.captured + 1), *range(2_001, 2_101)]


def cut_tail(netmon: Netmon, bytes_kept_ratio: float) -> None:
    """Zeroes the end of the newest segment, as a file system may leave it: the size is there, the data is not."""
    path = segment_path(netmon.directory(), segments(netmon.directory())[-1])
    data = path.read_bytes()
    written = len(data.rstrip(b"\0"))
    # The un-synced part only: what commit had reported as durable stays.
    durable = _durable_offset(netmon)
    keep = durable + int((written - durable) * bytes_kept_ratio)
    assert SEGMENT_HEADER.size < durable < keep < written
    with path.open("r+b") as file:
        file.seek(keep)
        file.write(bytes(len(data) - keep))


def _durable_offset(netmon: Netmon) -> int:
    return read_state(netmon.directory() / "commit.state")["offset"]


def test_damaged_and_deleted_journal_segments_are_counted_as_lost(tmp_path: Path) -> None:
    """A bad disk or a helpful hand: what decode can no longer read is said, and what stands behind it still comes."""
    with Netmon(tmp_path, {"journal": {"segment_bytes": "1MiB"}}) as netmon:
        netmon.signal(signal.SIGSTOP, "decode")
        sender = netmon.start_storm(1, 12_000, RATE)
        assert sender.wait(60) == 0
        netmon.wait_until(lambda: netmon.ledger().captured == 12_000, what="captured")
        kept = segments(netmon.directory())
        assert len(kept) >= 3
        segment_path(netmon.directory(), kept[1]).unlink()
        with segment_path(netmon.directory(), kept[0]).open("r+b") as file:
            file.seek(200_000)
            file.write(b"\xff" * 100)
        netmon.signal(signal.SIGCONT, "decode")
        found = netmon.wait_settled()
        assert found.lost > kept[2] - kept[1]
        assert found.difference == found.lost
        assert found.buffered + found.lost == 12_000
        numbers = netmon.numbers()
        assert len(numbers) == found.buffered
        assert numbers == sorted(set(numbers))
        assert netmon.command_line("ledger").returncode == 1


def test_a_reload_and_an_upgrade_in_a_storm_lose_nothing(netmon: Netmon) -> None:
    """SIGHUP with changed settings, then SIGUSR2: the socket stays open throughout."""
    inodes = netmon.socket_inodes()
    with storm(netmon, 20_000):
        netmon.configure({"receiver": {"limits": {"varbinds_max": 77}}, "journal": {"sync_interval_ms": 7}})
        netmon.signal(signal.SIGHUP)
        time.sleep(1.5)
        netmon.signal(signal.SIGUSR2)
        time.sleep(1.5)
    assert netmon.socket_inodes() == inodes


def test_kernel_drops_are_counted_to_the_last_datagram(tmp_path: Path) -> None:
    """A capture that stands still, and a small queue: what the kernel dropped is sent minus captured, exactly."""
    with Netmon(tmp_path, {"receiver": {"receive_buffer_bytes": "64KiB"}}) as netmon:
        netmon.signal(signal.SIGSTOP, "capture")
        netmon.send(netmon.trap(number) for number in range(1, 5_001))
        netmon.signal(signal.SIGCONT, "capture")
        netmon.wait_until(lambda: netmon.ledger().delivered == 5_000, what="all accounted for")
        found = netmon.wait_settled()
        assert found.kernel_drops > 1_000
        assert found.captured + found.kernel_drops == 5_000
        assert found.difference == 0
        assert netmon.numbers() == list(range(1, found.captured + 1))
        drops = found.kernel_drops
        pid = netmon.signal(signal.SIGKILL, "capture")
        netmon.wait_restarted("capture", pid)
        netmon.send([netmon.trap(5_001)])
        netmon.wait_until(lambda: netmon.ledger().delivered == 5_001, what="counted on")
        assert netmon.ledger().kernel_drops == drops
    with netmon:
        # A new socket counts from 0; the ledger does not.
        assert netmon.ledger().kernel_drops == drops


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("mounting a small disk needs root")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def test_a_full_journal_disk_holds_and_goes_on_by_itself(tmp_path: Path, small_disk: Path) -> None:
    """Policy `hold`: datagrams wait in the kernel while the disk is full, and nobody has to restart anything."""
    with Netmon(tmp_path / "redis") as server:
        url = f"unix://{server.data_dir}/run/valkey.sock"
        overrides = {
            "data_dir": str(small_disk / "data"),
            "redis": {"url": url},
            "receiver": {"name": "full"},
            "journal": {"segment_bytes": "1MiB"},
        }
        netmon = Netmon(tmp_path / "netmon", overrides)
        netmon.data_dir = small_disk / "data"
        with netmon:
            filler = small_disk / "filler"
            with storm(netmon, 16_000):
                fill(filler)
                netmon.wait_until(lambda: netmon.ledger().held, what="held")
                time.sleep(0.5)
                assert netmon.get("/readyz")[0] == 503
                pid = netmon.signal(signal.SIGKILL, "capture")
                netmon.wait_restarted("capture", pid)
                filler.unlink()
            found = netmon.ledger()
            assert (found.held, found.held_times >= 1, found.held_seconds > 0.3) == (False, True, True)


def fill(path: Path) -> None:
    """Writes until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))


def test_a_disk_full_under_journal_and_valkey_is_survived(small_disk: Path) -> None:
    """The default: one small machine, one disk. Valkey refuses writes, capture holds; both go on by themselves."""
    overrides = {"journal": {"size_bytes_max": "16MiB", "segment_bytes": "1MiB"}}
    with Netmon(small_disk / "n", overrides) as netmon, storm(netmon, 6_000):
        filler = small_disk / "filler"
        fill(filler)
        time.sleep(3)
        filler.unlink()


def test_the_journals_quota_is_kept_and_unshipped_segments_are_never_deleted(tmp_path: Path) -> None:
    """With Redis away, the journal fills to its quota and capture holds; when Redis is back, all of it drains."""
    overrides = {"journal": {"segment_bytes": "1MiB", "size_bytes_max": "4MiB"}}
    with Netmon(tmp_path, overrides) as netmon:
        pid = netmon.signal(signal.SIGSTOP, "valkey")
        sender = netmon.start_storm(1, 24_000, RATE)
        netmon.wait_until(lambda: netmon.ledger().held, 30, "held")
        assert sum(path.stat().st_size for path in netmon.directory().glob("*.nmj")) <= 4 << 20
        os.kill(pid, signal.SIGCONT)
        assert sender.wait(60) == 0
        assert_complete(netmon, 24_000)
        netmon.wait_until(lambda: netmon.ledger().segments_deleted > 0, what="shipped segments deleted")


@pytest.fixture
def clock() -> Iterator[Callable[[float], None]]:
    """A function that sets the machine's wall clock by some seconds from the truth; the truth comes back at the end."""
    if os.environ.get("CI") != "true":
        pytest.skip("sets the clock of the whole machine: only with CI=true")
    truth = time.time() - time.monotonic()

    def set_clock(seconds: float) -> None:
        time.clock_settime(time.CLOCK_REALTIME, truth + time.monotonic() + seconds)

    yield set_clock
    set_clock(0)


@pytest.mark.alone
def test_a_wall_clock_stepped_back_stops_nothing(netmon: Netmon, clock: Callable[[float], None]) -> None:
    """An hour back in the middle of a storm: IDs in the stream never go back, receive times are what the clock said."""
    with storm(netmon, 8_000):
        before = time.time()
        clock(-3_600)
        time.sleep(0.5)
        pid = netmon.signal(signal.SIGKILL, "capture")
        netmon.wait_restarted("capture", pid)
        pid = netmon.signal(signal.SIGKILL, "decode")
        netmon.wait_restarted("decode", pid)
    ids = [tuple(map(int, entry_id.split("-"))) for entry_id, _ in netmon.entries()]
    assert ids == sorted(ids)
    assert ids[-1][0] >= (before - 1) * 1_000
    assert netmon.entries()[-1][1].received_unix_ns < (before - 3_000) * 1e9


def test_a_second_receiver_of_the_same_name_is_kept_out(tmp_path: Path) -> None:
    """Two journals must not feed one stream: the second one waits, and says what to change."""
    with Netmon(tmp_path / "one") as first:
        url = f"unix://{first.data_dir}/run/valkey.sock"
        first.send([first.trap(1)])
        first.wait_settled(1)
        second = Netmon(tmp_path / "two", {"redis": {"url": url}})
        second.start(ready=False)
        try:
            second.wait_until(
                lambda: second.process is not None and second.ledger().unavailable["fenced"], what="fenced"
            )
            second.send([second.trap(2)])
            second.wait_until(lambda: second.ledger().captured == 1, what="captured all the same")
            assert first.numbers() == [1]
        finally:
            second.kill()


def test_redis_errors_carry_no_password(tmp_path: Path) -> None:
    """A server that refuses our password is named in the log; the password is not."""
    secret = tmp_path / "password"
    secret.write_text("correct-horse-battery\n")
    secret.chmod(0o600)
    with Netmon(tmp_path / "server") as server, contextlib.closing(server.redis()) as client:
        client.config_set("requirepass", "something-else")
        url = f"unix://{server.data_dir}/run/valkey.sock"
        netmon = Netmon(tmp_path / "netmon", {"redis": {"url": url, "password_file": str(secret)}})
        netmon.start(ready=False)
        try:
            netmon.wait_until(lambda: netmon.ledger().unavailable["refused"], what="refused")
            assert "correct-horse-battery" not in netmon.log_file.read_text()
        finally:
            netmon.kill()
            redis.Redis(unix_socket_path=f"{server.data_dir}/run/valkey.sock", password="something-else").config_set(
                "requirepass", ""
            )
