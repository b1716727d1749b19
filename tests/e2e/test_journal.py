"""The journal as an operator looks at it: what waits and why, what is kept, and a capture file for Wireshark."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from netmon.trap_receiver.journal.marks import LATE_MARKS, Marks
from tests.integration.harness import REPOSITORY, Netmon
from tests.integration.snmpv3 import ENGINE, KNOWN, Device


@pytest.fixture
def stopped(tmp_path: Path) -> Netmon:
    """A netmon that has stopped, and its Valkey with it; 100 traps in its journal."""
    netmon = Netmon(tmp_path)
    with netmon:
        netmon.send(map(netmon.trap, range(1, 101)))
        netmon.wait_settled(captured=100)
    return netmon


def test_the_journal_is_shown_with_netmon_stopped(stopped: Netmon) -> None:
    """Segments with their sizes, times and marks; the limits beside what is used."""
    marks = Marks(stopped.directory())
    marks.write(1, 5, bytes([LATE_MARKS["shed"]] * 3))
    told = json.loads(stopped.command_line("journal", "--json").stdout)
    assert (told["receiver"], told["lane"], told["datagrams"], told["bytes_max"]) == ("test", 0, 100, 256 << 20)
    (segment,) = told["segments"]
    assert (segment["first_seq"], segment["last_seq"], segment["datagrams"]) == (1, 100, 100)
    assert (segment["marks"], segment["shipped"]) == ({"late": 3}, False)
    assert 0 < segment["first_ms"] <= segment["last_ms"]
    shown = stopped.command_line("journal")
    assert (shown.returncode, "100 datagrams in 1 segment," in shown.stdout, "late 3" in shown.stdout) == (
        0,
        True,
        True,
    )


def test_what_waits_is_shown_with_its_claimed_user_and_engine(tmp_path: Path) -> None:
    """This is how a misconfigured device is found: netmon and Redis may be down."""
    device = Device(KNOWN, ENGINE)
    netmon = Netmon(tmp_path)
    with netmon:
        netmon.send([netmon.trap(1), device.message(), netmon.trap(2), device.message()])
        netmon.wait_settled(captured=4)
    told = json.loads(netmon.command_line("parked", "--json").stdout)
    assert (told["datagrams"], told["reasons"]) == (2, {"usm_unknown_user": 2})
    (source,) = told["sources"]
    assert (source["peer"], source["user"], source["engine_id"]) == ("127.0.0.1", KNOWN.name, ENGINE)
    assert source["oldest_unix_ns"] <= source["newest_unix_ns"] == told["newest_unix_ns"]
    shown = netmon.command_line("parked").stdout
    assert "2 datagrams wait" in shown
    assert "usm_unknown" in shown


def test_nothing_waits(stopped: Netmon) -> None:
    """Exit code 0: nothing is wrong."""
    found = stopped.command_line("parked")
    assert (found.returncode, found.stdout) == (0, "lane 0: 0 datagrams wait\n")


def test_an_export_opens_in_tcpdump(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """IPv4 and IPv6, big and small, with sound checksums, in the order and at the time of their receipt."""
    tcpdump = require_tool("tcpdump")
    netmon = Netmon(tmp_path)
    netmon.configure({"receiver": {"listen": [f"[::]:{netmon.port}"]}})
    big = b"\x30" + bytes(40_000)
    with netmon:
        netmon.send([netmon.trap(1), big])
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.sendto(netmon.trap(2), ("::1", netmon.port))
        netmon.wait_settled(captured=3)
    file = tmp_path / "traps.pcap"
    assert netmon.command_line("journal", "export", "--pcap", str(file)).returncode == 0
    assert file.stat().st_mode & 0o077 == 0
    shown = subprocess.run([tcpdump, "-nvvr", str(file)], check=True, capture_output=True, text=True)
    text = shown.stdout.replace("\n    ", " ")
    packets = text.splitlines()
    assert len(packets) == 3
    assert [f"127.0.0.1.{netmon.port}" in line for line in packets] == [True, True, False]
    assert f"::1.{netmon.port}" in packets[2]
    assert "length 40001" in packets[1] or "length 40,001" in packets[1] or "40029" in packets[1]
    assert [line for line in packets if "bad" in line] == []


def test_an_export_goes_to_a_pipe_and_takes_a_range(stopped: Netmon) -> None:
    """`-` is standard output; nothing in the range is exit code 1, an impossible file 2."""
    command = [sys.executable, "-m", "netmon", "journal", "export", "-c", str(stopped.config_file), "--pcap"]
    piped = subprocess.run([*command, "-"], cwd=REPOSITORY, capture_output=True, check=True)
    assert (piped.stdout[:4].hex(), piped.stderr) == ("4d3cb2a1", b"100 datagrams\n")
    since = datetime.now().astimezone().isoformat()
    none = subprocess.run([*command, "-", "--from", since], cwd=REPOSITORY, capture_output=True, check=False)
    assert (none.returncode, none.stdout) == (1, b"")
    assert b"no file was made" in none.stderr
    before = stopped.folder / "before.pcap"
    before.write_bytes(b"of yesterday")
    for file in (before, stopped.folder / "none.pcap"):
        assert stopped.quick("journal", "export", "--pcap", str(file), "--from", since).returncode == 1
    assert before.read_bytes() == b"of yesterday"
    assert not (stopped.folder / "none.pcap").exists()
    other = subprocess.run(
        [*command, "-", "--source", "192.0.2.0/24"], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert other.returncode == 1
    assert stopped.quick("journal", "export", "--pcap", "/nowhere/at/all.pcap").returncode == 2
    assert stopped.quick("journal", "export", "--pcap", "-", "--source", "nobody").returncode == 2


def test_packets_are_not_written_to_a_terminal(stopped: Netmon) -> None:
    """They would set it to anything; a pipe is what was meant."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "netmon", "journal", "export", "-c", str(stopped.config_file), "--pcap", "-"]
    found = subprocess.run(command, cwd=REPOSITORY, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    os.close(ours)
    assert (found.returncode, b"expected a pipe" in found.stderr) == (2, True)


def test_a_narrow_terminal_cuts_nothing(tmp_path: Path) -> None:
    """80 columns: what is known of a segment, and of what waits, is there in full; one datagram is one."""
    device = Device(KNOWN, ENGINE)
    netmon = Netmon(tmp_path)
    with netmon:
        netmon.send([device.message()])
        netmon.wait_settled(captured=1)
    shown = {
        name: subprocess.run(
            [sys.executable, "-m", "netmon", name, "-c", str(netmon.config_file)],
            cwd=REPOSITORY,
            env={**os.environ, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("journal", "parked")
    }
    assert shown["journal"].startswith("lane 0: 1 datagram in 1 segment, ")
    assert shown["journal"].splitlines()[-1].endswith("  usm_unknown_user 1")
    assert shown["parked"].startswith("lane 0: 1 datagram waits\n")
    assert f"user {KNOWN.name}, engine {ENGINE}" in shown["parked"]
    assert "…" not in "".join(shown.values())
