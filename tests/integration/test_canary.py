"""The canary beside real processes: its counts, and what they say when something is stopped, killed or lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netmon.canary import community
from netmon.canary.accounts import CanaryBooks, books
from netmon.canary.message import TRAP_OID, request_id_of_answer
from netmon.canary.settings import state_file
from netmon.trap_receiver.state import read_state
from tests.integration.harness import REPOSITORY, Netmon, is_alive
from tests.integration.snmpv3 import user, with_passphrases

FAST: dict[str, Any] = {"canary": {"enabled": True, "interval_ms": 100, "timeout_s": 2}}


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A netmon with a canary ten times a second, that is given up after two seconds."""
    with Netmon(tmp_path, FAST) as started:
        yield started


def book(netmon: Netmon) -> CanaryBooks:
    """What the canary has published of the first listener."""
    folder = netmon.data_dir / str(netmon.settings["receiver"]["name"])
    return books(read_state(folder / state_file(netmon.settings["receiver"]["listen"][0])))


def totals(netmon: Netmon) -> dict[str, int]:
    """Both kinds together."""
    kinds = book(netmon).kinds.values()
    names = ("sent", "stored", "lost", "late", "unknown", "answered")
    return {name: sum(getattr(kind, name) for kind in kinds) for name in names}


def test_each_canary_is_sent_answered_and_stored(netmon: Netmon) -> None:
    """Its counts agree with the ledger's and the stream's, which know nothing of it; people do not see it."""
    netmon.wait_until(lambda: totals(netmon)["stored"] >= 20, what="canaries are stored")
    os.kill(netmon.pid("canary", None), signal.SIGTERM)
    netmon.wait_until(lambda: totals(netmon)["stored"] == totals(netmon)["sent"], what="all are stored")
    netmon.configure({"canary": {"enabled": False}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: ("canary", None) not in netmon.pids(), what="the canary is gone")
    found, ledger = book(netmon), netmon.wait_settled()
    entries = netmon.entries()

    for kind in ("inform", "trap"):
        mine = [event for _, event in entries if event.pdu == kind]
        assert {event.trap_oid for event in mine} == {TRAP_OID}
        assert found.kinds[kind].sent == found.kinds[kind].stored == len(mine)
        assert sum(found.kinds[kind].stored_latency.counts) == len(mine)
    assert found.kinds["inform"].answered == found.kinds["inform"].sent == ledger.informs_answered
    assert ledger.captured == ledger.buffered == len(entries)
    assert netmon.command_line("traps").stdout == ""
    assert len(netmon.command_line("traps", "--canary", "-n", "1000").stdout.splitlines()) == len(entries)


def test_metrics_and_readiness_tell_of_it(netmon: Netmon) -> None:
    """A person need not know where its file is."""
    labels = f'listener="127.0.0.1:{netmon.port}",receiver="test"'
    names = [f'netmon_canary_{name}_total{{kind="inform",{labels}}}' for name in ("sent", "stored", "answered", "lost")]
    netmon.wait_until(lambda: netmon.metrics().get(names[1], 0) >= 15, what="stored is told")
    found = netmon.metrics()
    assert [found[name] > 0 for name in names] == [True, True, True, False]
    assert found[f'netmon_canary_loss_ratio{{kind="trap",{labels}}}'] == 0
    assert found[f'netmon_canary_stored_latency_seconds_count{{kind="trap",{labels}}}'] >= 10
    checks = json.loads(netmon.get("/readyz")[1])["checks"]
    (check,) = (check for check in checks if check["name"] == f"canary.127.0.0.1:{netmon.port}")
    assert (check["ok"], "stored in the last minute" in check["state"]) == (True, True)


def test_decode_that_stands_still_delays_and_loses_nothing(netmon: Netmon) -> None:
    """INFORMs are answered from the journal; what comes too late is lost, and then late."""
    netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
    with netmon.stopped("decode"):
        stored, answered = totals(netmon)["stored"], totals(netmon)["answered"]
        netmon.wait_until(lambda: totals(netmon)["lost"] >= 6, what="some are given up")
        during = totals(netmon)
        assert during["answered"] > answered + 10
        assert during["stored"] <= stored + 4  # what was under way
        netmon.wait_until(lambda: netmon.get("/readyz")[0] != 200, what="degraded")
        assert "not stored in the last minute" in netmon.get("/readyz")[1]
    netmon.wait_until(lambda: totals(netmon)["late"] == totals(netmon)["lost"] >= 6, what="they have come after all")
    netmon.wait_until(lambda: totals(netmon)["stored"] > during["stored"] + 10, what="it goes on")
    netmon.wait_until(netmon.is_ready, what="ready again")


def test_a_killed_valkey_loses_none(netmon: Netmon) -> None:
    """It is started again, decode goes on, and the canary finds its entries by a new connection."""
    netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
    before = totals(netmon)["stored"]
    netmon.wait_restarted("valkey", netmon.signal(signal.SIGKILL, "valkey"))
    netmon.wait_until(lambda: totals(netmon)["stored"] >= before + 20, what="canaries are stored again")
    netmon.wait_until(lambda: totals(netmon)["late"] == totals(netmon)["lost"], what="none is lost for good")


def test_a_killed_canary_owns_up(netmon: Netmon) -> None:
    """What was under way is unknown; its successor goes on counting."""
    netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
    with netmon.stopped("decode"):
        netmon.wait_until(lambda: totals(netmon)["sent"] > totals(netmon)["stored"] + 3, what="some are under way")
        pid = netmon.pid("canary", None)
        os.kill(pid, signal.SIGKILL)
        netmon.wait_until(lambda: not is_alive(pid), what="it is gone")
        at_death = totals(netmon)
    netmon.wait_until(lambda: totals(netmon)["stored"] > at_death["stored"] + 5, what="the next one counts on")
    found = totals(netmon)
    assert found["unknown"] == at_death["sent"] - at_death["stored"] - at_death["lost"]
    assert found["lost"] == at_death["lost"]


def test_a_canary_that_was_stopped_blames_nobody(netmon: Netmon) -> None:
    """While nobody looks, no time passes: longer than the time-out, and none is lost."""
    netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
    with netmon.stopped("decode"):
        netmon.wait_until(lambda: totals(netmon)["sent"] > totals(netmon)["stored"] + 3, what="some are under way")
        canary = netmon.pid("canary", None)
        os.kill(canary, signal.SIGSTOP)
    stopped = time.monotonic()
    netmon.wait_until(lambda: time.monotonic() - stopped > 4, what="a while has passed")
    before = totals(netmon)
    os.kill(canary, signal.SIGCONT)
    netmon.wait_until(lambda: totals(netmon)["stored"] > before["sent"] + 10, what="it goes on")
    assert totals(netmon)["lost"] == before["lost"]


def test_a_canary_in_a_storm_that_is_shed_is_found_in_whatever_stream(tmp_path: Path) -> None:
    """Decode is far behind a babbling device: canaries come by express, in their turn or late, and all of them come."""
    shedding = {"backlog_max": 2_000, "source_rate_max": 50.0, "source_burst_max": 100}
    with Netmon(tmp_path, {**FAST, "shedding": shedding}) as netmon:
        netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
        with netmon.stopped("decode"):
            netmon.send((netmon.trap(number) for number in range(20_000)), rate=10_000)
        netmon.wait_until(
            lambda: netmon.ledger().sheddings == 1 and not netmon.ledger().shedding, 60, "the storm is over"
        )
        before = totals(netmon)["stored"]
        netmon.wait_until(lambda: totals(netmon)["stored"] > before + 10, what="it goes on")
        netmon.wait_until(lambda: totals(netmon)["late"] == totals(netmon)["lost"], 30, "none is lost for good")
        assert netmon.ledger().parked["shed"] > 0


def test_dropped_datagrams_are_lost(tmp_path: Path) -> None:
    """Capture stands still and the socket's queue is full of a storm: the kernel drops, the canary notices by itself."""
    small = {"receiver": {"receive_buffer_bytes": "64KiB"}}
    with Netmon(tmp_path, {**FAST, **small}) as netmon:
        netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
        with netmon.stopped("capture"):
            netmon.send([netmon.trap(number) for number in range(2_000)])
            netmon.wait_until(lambda: totals(netmon)["lost"] >= 4, what="lost")
        before = totals(netmon)["stored"]
        netmon.wait_until(lambda: totals(netmon)["stored"] > before + 4, what="it goes on")
        found = totals(netmon)
        assert netmon.ledger().kernel_drops > 0
        assert 4 <= found["lost"] - found["late"] <= netmon.ledger().kernel_drops


def test_all_lanes_of_a_listener_are_tried(tmp_path: Path) -> None:
    """The kernel spreads our sockets over the lanes."""
    with Netmon(tmp_path, {**FAST, "receiver": {"lanes_per_listener": 2}}) as netmon:
        netmon.wait_until(lambda: totals(netmon)["stored"] >= 40, what="canaries are stored")
        netmon.wait_until(lambda: all(netmon.ledger(lane).buffered for lane in (0, 1)), what="both have had some")
        assert totals(netmon)["lost"] == 0


def test_an_allow_list_lets_the_canary_in_and_nobody_with_its_oid(tmp_path: Path) -> None:
    """Its community is a secret that the supervisor has made; a reload of the same file restarts nothing."""
    allow = {"receiver": {"allow": [{"sources": ["192.0.2.0/24"]}]}}
    with Netmon(tmp_path, {**FAST, **allow}) as netmon:
        netmon.wait_until(lambda: totals(netmon)["stored"] >= 5, what="canaries are stored")
        netmon.send([netmon.trap(1)])
        netmon.wait_until(lambda: sum(netmon.ledger().rejected.values()) == 1, what="the stranger is refused")
        pids = netmon.pids()
        netmon.signal(signal.SIGHUP)
        netmon.wait_until(lambda: netmon.events("supervisor.configuration_applied"), what="reloaded")
        assert netmon.pids() == pids
        token = community.find(netmon.data_dir)
        assert token is not None
        assert (netmon.data_dir / community.FILE).stat().st_mode & 0o777 == 0o600
        told = netmon.log_file.read_text() + netmon.get("/metrics")[1] + str(netmon.entries())
        assert token not in told


# --- From another host.


def canary_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`netmon canary` as a person calls it."""
    return subprocess.run(
        [sys.executable, "-m", "netmon", "canary", *arguments],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_canaries_from_another_host(tmp_path: Path) -> None:
    """Every INFORM is answered: exit code 0; the streams have all of them."""
    with Netmon(tmp_path) as netmon:
        to = ("--to", f"127.0.0.1:{netmon.port}", "--interval", "0.05")
        found = canary_command(*to, "--count", "10", "--json")
        assert (found.returncode, found.stderr) == (0, "")
        told = json.loads(found.stdout.splitlines()[-1])
        assert (told["inform"]["sent"], told["inform"]["answered"], told["inform"]["lost"]) == (10, 10, 0)
        assert 0 < told["inform"]["p50_ms"] <= told["inform"]["max_ms"] < 5_000
        assert told["trap"]["sent"] == 10
        assert netmon.wait_settled(20).buffered == 20
        table = canary_command(*to, "--count", "3", "--inform")
        assert (table.returncode, "answered" in table.stdout) == (0, True)
        assert netmon.wait_settled(23).captured == 23


def test_an_answer_that_does_not_come_is_a_loss() -> None:
    """Exit code 1: a listener that answers every other INFORM."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)

        def answer_half() -> None:
            for number in range(6):
                datagram, peer = sock.recvfrom(65_535)
                if number % 2:
                    sock.sendto(datagram.replace(b"\xa6", b"\xa2", 1), peer)

        thread = threading.Thread(target=answer_half)
        thread.start()
        to = f"127.0.0.1:{sock.getsockname()[1]}"
        found = canary_command("--to", to, "--count", "6", "--interval", "0.05", "--inform", "--timeout", "1", "--json")
        thread.join()

    told = json.loads(found.stdout.splitlines()[-1])
    assert (found.returncode, told["inform"]["answered"], told["inform"]["lost"]) == (1, 3, 3)
    assert request_id_of_answer(b"\x30\x00") is None


@pytest.mark.parametrize(("auth", "priv"), [("sha256", "aes128"), ("sha512", None), (None, None)])
def test_canaries_by_snmpv3(tmp_path: Path, auth: str | None, priv: str | None) -> None:
    """The receiver's engine is asked for, INFORMs are answered as they were said, TRAPs come from an engine of their own."""
    folder = with_passphrases(tmp_path / "netmon")
    known = user(auth, priv)
    options = ["--auth", auth, "--auth-passphrase-file", str(folder / "auth.txt")] if auth else []
    options += ["--priv", priv, "--priv-passphrase-file", str(folder / "priv.txt")] if priv else []
    with Netmon(folder, {"snmpv3": {"users": [known]}}) as netmon:
        to = ("--to", f"127.0.0.1:{netmon.port}", "--interval", "0.05", "--count", "5", "--json")
        found = canary_command(*to, "--user", known["name"], *options)
        assert (found.returncode, found.stderr) == (0, "")
        told = json.loads(found.stdout.splitlines()[-1])
        assert (told["inform"]["sent"], told["inform"]["answered"], told["inform"]["lost"]) == (5, 5, 0)
        netmon.wait_until(lambda: netmon.ledger().buffered == 10, what="all are stored")
        assert {event.user for _, event in netmon.entries()} == {known["name"]}
        # An INFORM is protected with our engine's key: whose it is, it only claims.
        assert {event.engine_id for _, event in netmon.entries() if event.pdu == "inform"} == {None}
        assert len({event.engine_id for _, event in netmon.entries() if event.pdu == "trap"}) == 1


def test_a_passphrase_that_is_wrong_is_a_loss(tmp_path: Path) -> None:
    """Nothing is answered; and protocols that nobody knows are refused at once."""
    folder = with_passphrases(tmp_path / "netmon")
    with Netmon(folder, {"snmpv3": {"users": [user("sha256", None)]}}) as netmon:
        to = ("--to", f"127.0.0.1:{netmon.port}", "--count", "1", "--timeout", "1", "--inform", "--json")
        wrong = ("--user", "sha256-none", "--auth-passphrase-file", str(folder / "other.txt"))
        found = canary_command(*to, *wrong, "--auth", "sha256")
        assert (found.returncode, json.loads(found.stdout.splitlines()[-1])["inform"]["lost"]) == (1, 1)
        assert "the receiver refuses: wrong digest" in found.stderr
        assert canary_command(*to, *wrong, "--auth", "rot13").returncode == 2
        assert canary_command(*to, *wrong).returncode == 2


def test_a_refusal_is_shown_as_what_it_is(tmp_path: Path) -> None:
    """A closed port, a user that nobody knows there, a protocol that does not exist: in words, with its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{sock.getsockname()[1]}"
    found = canary_command("--to", closed, "--count", "2", "--interval", "0.1", "--timeout", "0.5")
    assert (found.returncode, "nothing listens there" in found.stderr, found.stdout[-1]) == (1, True, "\n")
    with Netmon(tmp_path, {"snmpv3": {"users": [{"name": "other"}]}}) as netmon:
        to = ("--to", f"127.0.0.1:{netmon.port}", "--count", "1", "--timeout", "1", "--inform", "--json")
        found = canary_command(*to, "--user", "nobody")
        assert (found.returncode, "the receiver refuses: unknown user" in found.stderr) == (1, True)
    found = canary_command("--to", closed, "--user", "x", "--auth", "rot13")
    assert (found.returncode, found.stderr.startswith("--auth rot13: expected one of md5")) == (2, True)
