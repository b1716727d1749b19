"""The journal read again: what has changed is told, sent once, and never twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netmon.snmp.encode import encode_v2c
from tests.integration.harness import REPOSITORY, Netmon
from tests.integration.parking import late_entries, late_numbers, park
from tests.integration.snmpv3 import ENGINE, KNOWN, OTHER_ENGINE, Device, user, with_passphrases
from tests.integration.valkey import Valkey

ALL = ("--from", "-1d", "--to", "now")
GUARDED = {"receiver": {"allow": [{"sources": ["192.0.2.0/24"]}]}}
OPEN: dict[str, Any] = {"receiver": {"allow": []}}


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A netmon that is not started, on a Valkey that outlives it."""
    with Valkey(tmp_path / "redis") as server:
        yield Netmon(tmp_path / "netmon", {"redis": {"url": server.url}}, command="receive")


def replay(netmon: Netmon, *options: str, code: int = 0) -> dict[str, Any]:
    """What `netmon replay --json` tells of lane 0."""
    found = netmon.command_line("replay", "--json", *options)
    assert found.returncode == code, found.stderr
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def receive(netmon: Netmon, first: int, count: int) -> None:
    """Start, take numbered traps, stop."""
    with netmon:
        before = netmon.ledger().captured
        netmon.send(map(netmon.trap, range(first, first + count)), rate=20_000)
        netmon.wait_settled(captured=before + count)


def test_nothing_has_changed(netmon: Netmon) -> None:
    """Compared entry by entry, and nothing is sent; with netmon stopped."""
    receive(netmon, 1, 500)
    told = replay(netmon, *ALL)
    assert (told["looked_at"], told["unchanged"], told["sent"]) == (500, 500, 0)
    assert late_entries(netmon) == []


def test_what_was_rejected_is_decoded_when_the_rules_allow_it(netmon: Netmon) -> None:
    """Sent to the late stream once, however often the replay is given; a dry run sends nothing."""
    netmon.configure(GUARDED)
    receive(netmon, 1, 300)
    netmon.configure(OPEN)
    dry = replay(netmon, *ALL, "--dry-run")
    assert (dry["decoded"], dry["details"]["decoded"], dry["sent"]) == (300, {"source_not_allowed": 300}, 300)
    assert late_entries(netmon) == []
    told = replay(netmon, *ALL)
    assert (told["decoded"], told["sent"]) == (300, 300)
    assert late_numbers(netmon) == list(range(1, 301))
    again = replay(netmon, *ALL)
    assert (again["unchanged"], again["decoded"], again["sent"]) == (300, 0, 0)
    assert late_numbers(netmon) == list(range(1, 301))
    assert netmon.ledger().replayed == 300


def test_changed_fields_are_named(netmon: Netmon) -> None:
    """Another trust tier and a community that is shown now: what a consumer would see differently."""
    receive(netmon, 1, 50)
    netmon.configure({"receiver": {"redact_community": False, "allow": [{"sources": ["127.0.0.0/8"]}]}})
    told = replay(netmon, *ALL)
    assert (told["changed"], told["details"]["changed"], told["sent"]) == (50, {"community": 50, "trust": 50}, 50)
    assert {getattr(event, "trust", "") for _, event in late_entries(netmon)} == {"allow_listed"}
    # Back to what it was: that differs from what the late stream has said last.
    netmon.configure({"receiver": {"redact_community": True, "allow": []}})
    assert replay(netmon, *ALL)["sent"] == 50
    assert len(late_entries(netmon)) == 100


def test_what_is_rejected_now_is_told_and_not_sent(netmon: Netmon) -> None:
    """What was said cannot be taken back."""
    receive(netmon, 1, 20)
    netmon.configure(GUARDED)
    told = replay(netmon, *ALL)
    assert (told["rejected"], told["details"]["rejected"], told["sent"]) == (20, {"source_not_allowed": 20}, 0)


def test_all_is_sent_again_for_a_consumer_that_lost_its_data(netmon: Netmon) -> None:
    """Give my system the traps of that hour again: unchanged ones and those that the stream has let go of, once."""
    receive(netmon, 1, 200)
    with contextlib.closing(netmon.redis()) as client:
        client.xtrim(netmon.key(), maxlen=50, approximate=False)
    told = replay(netmon, *ALL)
    assert (told["unchanged"], told["gone"], told["sent"]) == (50, 150, 0)
    told = replay(netmon, *ALL, "--all")
    assert (told["unchanged"], told["gone"], told["sent"]) == (50, 150, 200)
    assert late_numbers(netmon) == list(range(1, 201))
    assert replay(netmon, *ALL, "--all")["sent"] == 0


def test_the_time_and_the_source_choose(netmon: Netmon) -> None:
    """By receive time, from inclusive, to exclusive; by the sender's network."""
    receive(netmon, 1, 30)
    middle = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    receive(netmon, 31, 12)
    assert replay(netmon, "--from", "-1d", "--to", middle)["looked_at"] == 30
    assert replay(netmon, "--from", middle, "--to", "now")["looked_at"] == 12
    assert replay(netmon, *ALL, "--source", "127.0.0.1/32")["looked_at"] == 42
    assert replay(netmon, *ALL, "--source", "192.0.2.0/24", code=1)["looked_at"] == 0
    assert netmon.quick("replay", "--from", "yesterday-ish", "--to", "now").returncode == 2
    assert netmon.quick("replay").returncode == 2
    assert netmon.quick("replay", *ALL, "--receiver", "other").returncode == 2


def test_what_waits_in_the_range_is_decoded_as_late_does(netmon: Netmon) -> None:
    """The books of what was parked move, not those of what is replayed."""
    receive(netmon, 1, 100)
    park(netmon, range(11, 21))
    told = replay(netmon, *ALL)
    assert (told["decoded"], told["unchanged"], told["sent"]) == (10, 90, 10)
    found = netmon.ledger()
    assert (found.late["usm_unknown_user"], found.replayed, sum(found.waiting.values())) == (10, 0, 0)


def test_parked_ones_are_tried_beside_a_running_netmon(netmon: Netmon) -> None:
    """The late role steps aside, and goes on afterwards."""
    receive(netmon, 1, 100)
    park(netmon, [100])
    with netmon:
        netmon.wait_until(lambda: netmon.ledger().late["usm_unknown_user"] == 1, what="late has had its one look")
        # Behind the back of decode, which has nothing to do now.
        netmon.signal(signal.SIGSTOP, "decode")
        park(netmon, range(1, 41))
        assert replay(netmon, "--parked", "--dry-run")["decoded"] == 40
        told = replay(netmon, "--parked")
        assert (told["decoded"], told["details"]["decoded"], told["sent"]) == (40, {"usm_unknown_user": 40}, 40)
        assert replay(netmon, "--parked", code=1)["sent"] == 0
        netmon.signal(signal.SIGCONT, "decode")
        assert late_numbers(netmon) == [100, *range(1, 41)]


def test_without_redis_it_says_so(netmon: Netmon, tmp_path: Path) -> None:
    """Exit code 3, and how to go on."""
    receive(netmon, 1, 5)
    netmon.configure({"redis": {"url": f"unix://{tmp_path}/nowhere.sock"}})
    found = netmon.command_line("replay", *ALL, "--dry-run")
    assert (found.returncode, "Traceback" in found.stderr) == (3, False)


@pytest.mark.slow
def test_a_replay_that_is_killed_again_and_again(netmon: Netmon) -> None:
    """kill -9 in the middle, the same again: in the end each is there once, and none is missing."""
    count = 30_000
    netmon.configure(GUARDED)
    receive(netmon, 1, count)
    netmon.configure(OPEN)
    arguments = [sys.executable, "-m", "netmon", "replay", *ALL, "-c", str(netmon.config_file)]
    for kill in range(8):
        process = subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        time.sleep(1.2 + 0.1 * kill)
        process.kill()
        process.wait()
    replay(netmon, *ALL)
    assert late_numbers(netmon) == list(range(1, count + 1))
    assert netmon.ledger().replayed == count
    assert replay(netmon, *ALL)["sent"] == 0


def test_snmpv3_is_judged_by_the_time_at_which_it_was_received(netmon: Netmon) -> None:
    """What was authentic then is authentic now: no datagram becomes a recorded one by being read again."""
    with_passphrases(netmon.folder)
    device, other = Device(KNOWN, ENGINE), Device(KNOWN, OTHER_ENGINE)
    netmon.configure({"snmpv3": {"users": [user("sha256", "aes128", KNOWN.name)]}})
    with netmon:
        for _ in range(10):
            netmon.send([device.message(), other.message()])
            time.sleep(0.02)
        # An old one, recorded and said again.
        netmon.send([device.message(ago_s=1_000)])
        found = netmon.wait_settled(captured=21)
        assert (found.buffered, found.rejected["usm_not_in_time_window"]) == (20, 1)
    told = replay(netmon, *ALL)
    assert (told["unchanged"], told["details"], told["sent"]) == (21, {}, 0)


def test_canaries_are_left_out(netmon: Netmon) -> None:
    """A consumer that has lost its data has not lost those; `--canary` sends them, too."""
    canary = encode_v2c(
        community=b"public", pdu="trap", request_id=1, uptime_centis=1, trap_oid="1.3.6.1.3.1162.0.1", varbinds=[]
    )
    with netmon:
        netmon.send([netmon.trap(1), canary, netmon.trap(2)])
        netmon.wait_settled(captured=3)
    exported = netmon.command_line("journal", "export", "--pcap", str(netmon.directory() / "x.pcap"))

    assert exported.stderr == "2 datagrams\n"
    assert [replay(netmon, *ALL, *more, "--all", "--dry-run")["sent"] for more in ((), ("--canary",))] == [2, 3]


def test_parked_goes_with_no_time(netmon: Netmon) -> None:
    """It tries all that waits."""
    for options in (("--from", "-1h"), ("--to", "now"), ("--all",)):
        found = netmon.quick("replay", "--parked", *options)
        assert (found.returncode, "--parked" in found.stderr) == (2, True)


def test_without_a_journal_nothing_is_made(netmon: Netmon) -> None:
    """Root who mistypes a path leaves no engine and no folder that netmon cannot write."""
    netmon.configure({})
    before = sorted(netmon.directory().parents[1].rglob("*"))
    found = netmon.command_line("replay", *ALL)

    assert (found.returncode, "there is no journal" in found.stderr) == (1, True)
    assert sorted(netmon.directory().parents[1].rglob("*")) == before
    assert not netmon.directory().parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_root_it_becomes_who_runs_netmon(netmon: Netmon, tmp_path: Path) -> None:
    """Also where that user may not read the installation: all has been loaded before. What it writes is theirs."""
    netmon.configure(GUARDED)
    receive(netmon, 1, 20)
    netmon.configure(OPEN)
    data = netmon.directory().parents[1]
    for path in (data, *data.rglob("*")):
        os.chown(path, 65_534, 65_534)
    for path in (tmp_path, *tmp_path.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o011)
    (tmp_path / "redis" / "valkey.sock").chmod(0o666)
    shown = netmon.command_line("replay", *ALL, "--dry-run")
    dry = replay(netmon, *ALL, "--dry-run")

    assert (shown.returncode, dry["sent"]) == (0, 20), shown.stderr
    assert {path.stat().st_uid for path in data.rglob("*")} == {65_534}


def test_ctrl_c_says_how_to_go_on_and_the_same_again_does(netmon: Netmon) -> None:
    """In the middle of the work: exit code 130, a sentence, and in the end each is there once."""
    count = 5_000
    receive(netmon, 1, count)
    arguments = [sys.executable, "-m", "netmon", "replay", *ALL, "--all", "-c", str(netmon.config_file)]
    late_log = netmon.directory() / "late.log"
    with contextlib.closing(netmon.redis()) as client:
        # What Redis is given hangs there: the replay cannot have ended.
        client.client_pause(60_000, all=False)
        process = subprocess.Popen(arguments, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        netmon.wait_until(lambda: late_log.exists() and late_log.stat().st_size, what="it is at work")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        client.client_unpause()
    assert (process.returncode, errors) == (130, "interrupted; the same again goes on where this one stopped\n")
    assert replay(netmon, *ALL, "--all")["looked_at"] == count
    assert late_numbers(netmon) == list(range(1, count + 1))
    assert replay(netmon, *ALL, "--all")["sent"] == 0
    assert netmon.ledger().replayed == count
