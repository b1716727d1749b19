"""The journal's disk is full for those who write beside the journal: late, replay, and decode's marks. Nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmon.model import LaneSettings, RedisSettings
from netmon.snmp.encode import encode_v2c
from netmon.trap_receiver.journal.marks import PARKED_MARKS, Marks
from netmon.trap_receiver.late.feed import LateFeed, decoded_limit
from netmon.trap_receiver.late.reread import Reread
from netmon.trap_receiver.late.waiting import ALL_MARKS, WaitingPass
from netmon.trap_receiver.ledger import (
    CAPTURE_FIELDS,
    CAPTURE_STATE,
    COMMIT_FIELDS,
    COMMIT_STATE,
    DECODE_FIELDS,
    DECODE_STATE,
)
from netmon.trap_receiver.state import StatePage
from tests.integration.disk import SmallDisk, small_disk
from tests.integration.harness import Netmon
from tests.integration.parking import late_numbers
from tests.integration.sending import NUMBER_OID
from tests.integration.snmpv3 import ENGINE, KNOWN, Device
from tests.integration.valkey import Valkey
from tests.unit.trap_receiver.samples import append, open_writer

REASON = "usm_unknown_user"
COUNT = 3_000
NO_SPACE = "No space left on device"
ALL = ("--from", "2020-01-01", "--to", "now")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """8 MiB."""
    with small_disk(tmp_path / "disk", 8) as mounted:
        yield mounted


@pytest.fixture
def netmon(tmp_path: Path, disk: SmallDisk) -> Iterator[Netmon]:
    """One that is not started, with numbered traps in its journal that decode has passed; its Redis is on another disk."""
    with Valkey(tmp_path / "redis") as server:
        overrides = {"data_dir": str(disk.folder / "data"), "redis": {"url": server.url}}
        found = Netmon(tmp_path / "netmon", overrides, command="late")
        found.data_dir = disk.folder / "data"
        make_journal(found.directory())
        yield found
        found.kill()


def make_journal(directory: Path) -> None:
    """`COUNT` traps, captured, durable and decoded."""
    directory.mkdir(parents=True)
    writer = open_writer(directory, segment_bytes=1 << 20)
    for first in range(1, COUNT + 1, 200):
        end = append(writer, [trap(number) for number in range(first, first + 200)])
    writer.close()
    for name, fields, seq in (
        (CAPTURE_STATE, CAPTURE_FIELDS, "captured"),
        (COMMIT_STATE, COMMIT_FIELDS, "seq"),
        (DECODE_STATE, DECODE_FIELDS, "seq"),
    ):
        page = StatePage(directory / name, fields)
        page.values["segment"], page.values["offset"], page.values[seq] = end
        if name == DECODE_STATE:
            page.values["buffered"] = COUNT
        page.publish()


def trap(number: int) -> bytes:
    """A linkDown with a number."""
    return encode_v2c(
        community=b"public",
        pdu="trap",
        request_id=number,
        uptime_centis=number,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=[(NUMBER_OID, "Integer32", number)],
    )


def park_all(netmon: Netmon) -> None:
    """As if decode had parked them."""
    marks = Marks(netmon.directory())
    marks.write(1, 1, bytes([PARKED_MARKS[REASON]]) * COUNT)
    marks.close()
    page = StatePage(netmon.directory() / DECODE_STATE, DECODE_FIELDS)
    page.values["buffered"] = 0
    page.values[f"parked_{REASON}"] = COUNT
    page.publish()


def assert_all_late_once(netmon: Netmon) -> None:
    """Each in the late stream once, and the books agree with that."""
    assert late_numbers(netmon) == list(range(1, COUNT + 1))
    found = netmon.ledger()
    assert (found.late[REASON], found.waiting[REASON], found.balanced) == (COUNT, 0, True), found
    assert netmon.command_line("ledger").returncode == 0


@pytest.mark.parametrize("pages_left", [0, 30])
def test_late_waits_for_room_and_goes_on_by_itself(netmon: Netmon, disk: SmallDisk, pages_left: int) -> None:
    """Wherever the disk becomes full for a pass: it is said with its cure, the role lives on, and each comes once."""
    park_all(netmon)
    disk.fill(pages_left)
    netmon.start(ready=False)
    netmon.wait_until(lambda: netmon.events("late.disk_refused"), what="refused")
    event = netmon.events("late.disk_refused")[0]
    assert (event["reason"], event["directory"]) == (NO_SPACE, str(netmon.directory()))
    assert "make room" in event["cure"]
    assert netmon.ledger().balanced
    disk.make_room()
    netmon.wait_until(lambda: netmon.ledger().late[REASON] == COUNT, what="decoded late")
    assert netmon.process is not None
    assert netmon.process.poll() is None
    netmon.process.send_signal(signal.SIGTERM)
    assert netmon.process.wait(20) == 0
    assert_all_late_once(netmon)


def test_a_pass_may_be_refused_at_any_page(netmon: Netmon, disk: SmallDisk) -> None:
    """A page more for each try: marks, intents and digests are refused in turn, and nothing is sent twice for it."""
    park_all(netmon)
    settings = LaneSettings(
        receiver="test",
        lane=0,
        listen="",
        directory=str(netmon.directory()),
        redis=RedisSettings(url=netmon.settings["redis"]["url"]),
    )
    LateFeed(settings, Reread(settings)).open()  # its counters have their file
    refused = 0
    for pages_left in range(60):
        disk.fill(pages_left)
        try:
            try_pass(settings)
        except OSError as error:
            assert error.strerror == NO_SPACE  # noqa: PT017 - each of them, or none
            refused += 1
            disk.make_room()
            continue
        break
    assert refused > 10
    assert_all_late_once(netmon)


def try_pass(settings: LaneSettings) -> None:
    """One pass by a process that was just started. Raises OSError."""
    reread = Reread(settings)
    feed = LateFeed(settings, reread)
    feed.open()
    try:
        feed.look()
        WaitingPass(feed, reread).run(ALL_MARKS, 0, decoded_limit(Path(settings.directory)), lambda _: True)
    finally:
        feed.disconnect()
        feed.close()


@pytest.mark.parametrize(("parked", "pages_left"), [(True, 0), (True, 30), (False, 6)])
def test_a_replay_says_what_it_lacks_and_the_same_again_completes(
    netmon: Netmon, disk: SmallDisk, parked: bool, pages_left: int
) -> None:
    """Exit code 3 and a sentence; then each is in the late stream once, however much the first one had done."""
    if parked:
        park_all(netmon)
    options = ("--parked",) if parked else (*ALL, "--all")
    disk.fill(pages_left)
    refused = netmon.command_line("replay", *options)
    assert_said(netmon, refused)
    if not pages_left:
        assert late_numbers(netmon) == []
    disk.make_room()
    done = netmon.command_line("replay", "--json", *options)
    assert done.returncode == 0, done.stderr
    if parked:
        assert_all_late_once(netmon)
    else:
        assert late_numbers(netmon) == list(range(1, COUNT + 1))
        assert (netmon.ledger().replayed, netmon.ledger().balanced) == (COUNT, True)
        assert json.loads(netmon.command_line("replay", "--json", *options).stdout)["sent"] == 0


def assert_said(netmon: Netmon, refused: subprocess.CompletedProcess[str]) -> None:
    """What a person needs to know, in one line, and no traceback."""
    assert (refused.returncode, refused.stdout) == (3, ""), refused.stderr
    assert refused.stderr.splitlines()[-1] == (
        f"{netmon.directory()}: {NO_SPACE}: make room there; the same again goes on where this one stopped"
    )
    assert "Traceback" not in refused.stderr


def test_what_cannot_be_marked_is_not_shed_and_not_counted_as_parked(tmp_path: Path, disk: SmallDisk) -> None:
    """In a storm, everything keeps its turn; what needs a key is waited with, by a decode that was killed, too."""
    device = Device(KNOWN, ENGINE)
    count, keyless = 2_000, 3
    with Valkey(tmp_path / "redis") as server:
        overrides = {
            "data_dir": str(disk.folder / "data"),
            "redis": {"url": server.url},
            "journal": {"segment_bytes": "2MiB"},
            "shedding": {"backlog_max": 500, "source_rate_max": 1, "source_burst_max": 1},
        }
        netmon = Netmon(tmp_path / "netmon", overrides, command="receive")
        netmon.data_dir = disk.folder / "data"
        with netmon:
            decode = netmon.signal(signal.SIGSTOP, "decode")
            netmon.send(map(trap, range(1, 1_001)), rate=20_000)
            netmon.send([device.message() for _ in range(keyless)])
            netmon.send(map(trap, range(1_001, count + 1)), rate=20_000)
            netmon.wait_until(lambda: netmon.ledger().durable == count + keyless, what="durable")
            disk.fill()
            os.kill(decode, signal.SIGCONT)
            netmon.wait_until(lambda: netmon.events("decode.marks_refused"), what="refused")
            assert "make room" in netmon.events("decode.marks_refused")[0]["cure"]
            assert netmon.ledger().sheddings == 1
            netmon.wait_until(lambda: netmon.ledger().buffered >= 256, what="what came before it has its turn")
            netmon.wait_restarted("decode", netmon.signal(signal.SIGKILL, "decode"))
            found = netmon.ledger()
            assert (sum(found.parked.values()), found.express_sent, found.in_flight > count // 2) == (0, 0, True)
            disk.make_room()
            found = netmon.wait_settled(count + keyless)
            assert (found.parked[REASON], found.waiting[REASON], found.balanced) == (keyless, keyless, True)
            # What head looked at only when there was room again (at most what it looks back at) may be shed by then.
            shed = found.parked["shed"]
            assert (found.buffered + found.express_sent + shed, shed < 500) == (count, True)
            numbers = netmon.numbers()
            assert numbers[:1_500] == list(range(1, 1_501))
            assert (len(set(numbers)), sorted(numbers)) == (found.buffered, numbers)
