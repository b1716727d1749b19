"""SNMPv3 in a netmon of one's own: our engine's ID and boots, users that come and go, what is promised and kept secret."""

from __future__ import annotations

import select
import signal
import socket
from pathlib import Path

from netmon.model import V3User
from netmon.snmp.encode import encode_discovery
from netmon.snmp.keys import AUTH
from netmon.snmp.v3 import read_message
from tests.integration.harness import Netmon
from tests.integration.snmpv3 import (
    AUTH_PHRASE,
    ENGINE,
    KNOWN,
    OTHER_ENGINE,
    PRIV_PHRASE,
    Device,
    Sender,
    ask,
    counted,
    new_engine,
    told,
    user,
    with_passphrases,
)

# --- Our own engine. ---


def test_a_sender_that_knows_our_last_life_learns_of_this_one(tmp_path: Path) -> None:
    """After a restart: same engine, one boot more; an INFORM with the old boots is not stored as new, and gets the
    Report from which its sender goes on.
    """
    with Netmon(with_passphrases(tmp_path), {"snmpv3": {"users": [user("sha256", "aes128")]}}) as netmon:
        first = told(netmon)
        device = Device(KNOWN, first.engine_id.hex(), first.boots, first.time_s)
        assert ask(netmon, device.message(pdu="inform")) is not None
        assert netmon.stop() == 0
        netmon.start()
        second = told(netmon)
        assert (second.engine_id, second.boots) == (first.engine_id, first.boots + 1)

        report = ask(netmon, device.message(pdu="inform"))

        assert report is not None
        assert (report.boots, report.msg_flags & AUTH) == (second.boots, AUTH)
        netmon.wait_until(lambda: netmon.ledger().rejected["usm_not_in_time_window"] == 1)
        device.boots, device.time_s = report.boots, report.time_s
        assert ask(netmon, device.message(pdu="inform")) is not None
        netmon.wait_until(lambda: netmon.ledger().informs_answered == 2)
        assert netmon.wait_settled().buffered == 2


def test_a_reload_and_a_crash_keep_our_boots(tmp_path: Path) -> None:
    """An upgrade counts one: it is a start. A reload, and a role that dies, are none."""
    with Netmon(with_passphrases(tmp_path), {"snmpv3": {"users": [user("sha256", "aes128")]}}) as netmon:
        first = told(netmon)
        netmon.wait_restarted("commit", netmon.signal(signal.SIGKILL, "commit"))
        netmon.configure({"snmpv3": {"users": [user("sha256", "aes128"), user("sha1", None)]}})
        netmon.signal(signal.SIGHUP)
        netmon.wait_until(lambda: netmon.events("supervisor.configuration_applied"))
        assert told(netmon).boots == first.boots
        supervised = len(netmon.events("supervisor.upgrade_begun"))
        pid = netmon.pid("commit")
        netmon.signal(signal.SIGUSR2)
        netmon.wait_restarted("commit", pid, timeout_s=30)
        netmon.wait_ready()

        assert supervised == 0
        assert told(netmon).boots == first.boots + 1
        assert told(netmon).engine_id == first.engine_id


def test_a_broken_engine_file_is_said_and_does_not_stop_reception(tmp_path: Path, sender: Sender) -> None:
    """Another engine ID, never the same one with fewer boots."""
    with Netmon(with_passphrases(tmp_path), {"snmpv3": {"users": [user("sha256", "aes128")]}}) as netmon:
        first = told(netmon)
        assert netmon.stop() == 0
        (netmon.data_dir / "test" / "engine.json").write_text("{")
        netmon.start()

        assert told(netmon).engine_id != first.engine_id
        assert len(netmon.events("engine.file_broken")) == 1
        assert sender.send(netmon, "sha256", "aes128", inform=True).returncode == 0


def test_with_acknowledgement_by_the_buffer_decode_answers_and_commit_reports(tmp_path: Path, sender: Sender) -> None:
    """Discovery promises nothing, so it does not wait for Redis; the INFORM does."""
    overrides = {"snmpv3": {"users": [user("sha256", "aes128")]}, "receiver": {"inform_ack": "buffer"}}
    with Netmon(with_passphrases(tmp_path), overrides) as netmon:
        assert sender.send(netmon, "sha256", "aes128", inform=True).returncode == 0
        netmon.wait_until(lambda: netmon.ledger().informs_answered == 1)
        with netmon.stopped("decode"):
            us = told(netmon)
            inform = Device(KNOWN, us.engine_id.hex(), us.boots, us.time_s).message(pdu="inform")
            assert ask(netmon, inform, timeout_s=1.0) is None
        netmon.wait_until(lambda: netmon.ledger().informs_answered == 2)
        assert [event.pdu for _, event in netmon.entries()] == ["inform", "inform"]


def test_who_is_not_allowed_is_not_answered(tmp_path: Path) -> None:
    """Neither INFORM nor question; counted as everything from there. A listed source without proof is `allow_listed`."""
    overrides = {
        "snmpv3": {"users": [user("sha256", "aes128"), user(None, None)]},
        "receiver": {"allow": [{"sources": ["127.0.0.2"]}]},
    }
    with Netmon(with_passphrases(tmp_path), overrides) as netmon:
        assert ask(netmon, encode_discovery(msg_id=1, request_id=1), timeout_s=0.7) is None
        assert netmon.wait_settled(1).rejected["source_not_allowed"] == 1
        assert netmon.ledger().reports_sent == 0
        unproven = Device(V3User(name="open-none"), ENGINE).message()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.2", 0))
            for datagram in (unproven, Device(KNOWN, ENGINE).message()):
                sock.sendto(datagram, ("127.0.0.1", netmon.port))
        assert netmon.wait_settled(3).buffered == 2
        assert [event.trust for _, event in netmon.entries()] == ["allow_listed", "v3_auth_priv"]


# --- Users that come and go. ---


def test_a_user_is_added_by_reload_without_a_loss(tmp_path: Path, sender: Sender) -> None:
    """What comes before its user waits, what comes afterwards is read, and nothing in between is lost."""
    with Netmon(with_passphrases(tmp_path), {"snmpv3": {"users": [user("sha1", None)]}}) as netmon:
        assert sender.send(netmon, "sha256", "aes128").returncode == 0
        assert netmon.wait_settled(1).parked["usm_unknown_user"] == 1
        storm = netmon.start_storm(1, 2_000, 2_000.0)
        netmon.configure({"snmpv3": {"users": [user("sha1", None), user("sha256", "aes128")]}})
        netmon.signal(signal.SIGHUP)
        netmon.wait_until(lambda: netmon.events("supervisor.configuration_applied"))
        assert storm.wait() == 0

        assert sender.send(netmon, "sha256", "aes128", inform=True).returncode == 0

        netmon.wait_until(lambda: any(event.user == "sha256-aes128" for _, event in netmon.entries()))
        found = netmon.wait_settled(2_002)
        assert (found.kernel_drops, found.lost, found.difference) == (0, 0, 0)
        assert sorted(netmon.numbers()) == list(range(1, 2_001))


def test_one_name_at_two_engines(tmp_path: Path) -> None:
    """A user that is configured for an engine wins; one for other engines only waits."""
    users = [
        user("sha256", None, "lift", engine_ids=[ENGINE]),
        user("sha1", None, "lift", auth_passphrase_file="other.txt"),
        user("sha1", None, "bell", engine_ids=[f"0x{ENGINE}"]),
    ]
    here = V3User(name="lift", auth="sha256", auth_passphrase=AUTH_PHRASE)
    elsewhere = V3User(name="lift", auth="sha1", auth_passphrase="another passphrase")
    bell = V3User(name="bell", auth="sha1", auth_passphrase=AUTH_PHRASE)
    with Netmon(with_passphrases(tmp_path), {"snmpv3": {"users": users}}) as netmon:
        good = [
            Device(here, ENGINE).message(),
            Device(elsewhere, OTHER_ENGINE).message(),
            Device(bell, ENGINE).message(),
        ]
        assert counted(netmon, good) == {"buffered": 3}
        assert counted(netmon, [Device(elsewhere, new_engine()).message()]) == {"buffered": 1}
        assert counted(netmon, [Device(here, OTHER_ENGINE).message()]) == {"usm_wrong_digest": 1}
        assert counted(netmon, [Device(bell, OTHER_ENGINE).message()]) == {"usm_unknown_engine": 1}


def test_contexts_that_are_not_listed_wait(tmp_path: Path, sender: Sender) -> None:
    """The default context is the one without a name."""
    snmpv3 = {"users": [user(None, None)], "contexts": ["bridge1"]}
    with Netmon(with_passphrases(tmp_path), {"snmpv3": snmpv3}) as netmon:
        assert counted(netmon, [Device(V3User(name="open-none"), ENGINE).message()]) == {"v3_unknown_context": 1}


# --- Secrets and promises. ---


def test_no_passphrase_is_written_anywhere(tmp_path: Path, sender: Sender) -> None:
    """Not in a file below data_dir, the log, the output, a metric, `netmon check`, an environment, or a process list."""
    users = [user("sha256", "aes128"), user("md5", "des")]
    secret = [AUTH_PHRASE.encode(), PRIV_PHRASE.encode()]
    overrides = {"snmpv3": {"users": users}, "log": {"level": "debug"}}
    with Netmon(with_passphrases(tmp_path), overrides) as netmon:
        for inform in (False, True):
            assert sender.send(netmon, "sha256", "aes128", inform=inform).returncode == 0
        sender.send(netmon, "sha256", "aes128", auth_phrase="somebody else's")
        sender.send(netmon, None, None, name="sha256-aes128")
        netmon.wait_settled(5)
        said = [netmon.get(path)[1].encode() for path in ("/metrics", "/healthz", "/readyz")]
        for command in (["check"], ["check", "--json"], ["ledger", "--json"], ["traps", "--json"]):
            done = netmon.command_line(*command)
            said += [done.stdout.encode(), done.stderr.encode()]
        for pid in (netmon.supervisor_pid, *netmon.pids().values()):
            said += [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        netmon.redis().bgrewriteaof()
    files = [file for file in netmon.folder.rglob("*") if file.is_file() and file.suffix != ".txt"]
    said += [file.read_bytes() for file in files]

    assert len([file for file in files if file.is_relative_to(netmon.data_dir)]) > 5
    assert [text[:80] for text in said if any(word in text for word in secret)] == []


def test_no_inform_is_answered_that_is_not_stored(tmp_path: Path) -> None:
    """kill -9 of commit again and again in a storm of INFORMs: what was answered is in the stream."""
    with Netmon(with_passphrases(tmp_path), {"snmpv3": {"users": [user("sha256", "aes128")]}}) as netmon:
        us = told(netmon)
        device = Device(KNOWN, us.engine_id.hex(), us.boots, us.time_s)
        answered: set[int] = set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", netmon.port))
            sock.setblocking(False)
            for number in range(1, 3_001):
                sock.send(device.message(pdu="inform"))
                if number % 600 == 300:
                    netmon.wait_restarted("commit", netmon.signal(signal.SIGKILL, "commit"))
                while select.select([sock], [], [], 0.0005)[0]:
                    answered.add(read_message(sock.recv(65_536)).msg_id)
            while select.select([sock], [], [], 1.0)[0]:
                answered.add(read_message(sock.recv(65_536)).msg_id)
        found = netmon.wait_settled(3_001)
        stored = {event.request_id for _, event in netmon.entries()}

        assert len(answered) > 1_000
        assert answered - stored == set()
        assert (found.buffered, found.difference) == (3_000, 0)
