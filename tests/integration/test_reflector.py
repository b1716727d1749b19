"""The STAMP reflector: what it answers, what it refuses, its program; and the stand-ins of a rehearsal."""

from __future__ import annotations

import ipaddress
import json
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from netmon.active_probe.probers.stamp import open_channel
from netmon.active_probe.rehearsed import Fault, Faults, RehearsalSettings, anchor_of, probe_of
from netmon.active_probe.stamp.packet import (
    OCTETS,
    OCTETS_MAX,
    PTP,
    Question,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    error_estimate_of,
    timestamp_of,
    unix_ns_of,
)
from netmon.active_probe.stamp.reflector import RefusedError, way_back
from netmon.inventory.probes import Pin
from tests.integration.stamping import KEY, LIMIT_S, answer_to, ask, channel_to, reflecting, replies_of


def exchange(where: str, data: bytes) -> bytes:
    """What comes back for a datagram."""
    address, _, port = where.rpartition(":")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.settimeout(LIMIT_S)
        sock.sendto(data, (address, int(port)))
        return sock.recv(2 * OCTETS_MAX)


QUESTION = encode_question(Question(1, timestamp_of(1_767_268_800_000_000_000), error_estimate_of(0.1), 77))


@pytest.mark.parametrize("octets", [OCTETS, OCTETS + 1, 112, OCTETS_MAX])
def test_no_answer_is_longer_than_its_question(octets: int) -> None:
    """Nobody makes more of a forged source than he sends himself (RFC 8762 section 7)."""
    with reflecting() as reflector:
        assert len(exchange(reflector.listening[0], QUESTION + bytes(octets - OCTETS))) == octets


def test_under_a_key_extensions_do_not_go_back() -> None:
    """Nobody has signed them."""
    signed = encode_question(decode_question(QUESTION), KEY)
    with reflecting(key=KEY) as reflector:
        assert len(exchange(reflector.listening[0], signed + bytes(40))) == len(signed)


def test_whoever_asks_for_ptp_gets_ptp() -> None:
    """All timestamps of the reflector's are in the question's format; and it tells the TTL that the question came with."""
    estimate = error_estimate_of(0.1, style="ptp")
    with reflecting() as reflector:
        before_ns = time.time_ns()
        found = decode_answer(exchange(reflector.listening[0], encode_question(Question(3, 4, estimate, 77))))
        after_ns = time.time_ns()

    times = [unix_ns_of(stamp, found.error_estimate) for stamp in (found.receive_timestamp, found.timestamp)]
    assert found.error_estimate & PTP == PTP
    assert before_ns <= times[0] <= times[1] <= after_ns
    assert (found.sequence, found.sender_sequence, found.sender_timestamp, found.sender_ttl) == (0, 3, 4, 64)


def test_what_is_refused_is_counted_by_name() -> None:
    """And answered with nothing."""
    with reflecting(source_max=8) as reflector:
        where = reflector.listening[0]
        address, _, port = where.rpartition(":")
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            for data in (
                b"",
                bytes(OCTETS),
                QUESTION + bytes(OCTETS_MAX),
                encode_answer(answer_to(Question(1, 2, 3, 4))),
            ):
                sock.sendto(data, (address, int(port)))
            exchange(where, QUESTION)

        assert reflector.reflection.refused == {"short": 1, "error_estimate": 1, "long": 1, "answer": 1}
        assert reflector.reflection.answered == 1


def test_sources_that_are_not_allowed_are_refused() -> None:
    """By network; the others are answered."""
    with reflecting("0.0.0.0:0", allow=(ipaddress.ip_network("127.1.0.0/16"),)) as reflector:
        where = reflector.listening[0]
        with (
            closing(channel_to(where, host="127.1.0.1", pin=Pin(source="127.0.0.1"))) as stranger,
            closing(channel_to(where, host="127.1.0.1", pin=Pin(source="127.1.0.2"))) as friend,
        ):
            stranger.send(0, 0, time.time_ns())

            assert (len(ask(friend, 0)), stranger.receive()) == (1, [])
        assert reflector.reflection.refused == {"not_allowed": 1}


def test_a_source_that_asks_too_much_is_answered_its_share() -> None:
    """Of each second; however the seconds fall, most of these are refused."""
    with reflecting(source_max=1) as reflector, closing(channel_to(reflector.listening[0])) as channel:
        for seq in range(50):
            channel.send(0, seq, time.time_ns())
        deadline_s = time.monotonic() + LIMIT_S
        reflection = reflector.reflection
        while reflection.answered + reflection.refused["rate_source"] < 50 and time.monotonic() < deadline_s:
            select.select([], [], [], 0.01)
        taken = channel.receive()

    assert (len(taken), reflection.refused["rate_source"]) == (reflection.answered, 50 - reflection.answered)
    assert 1 <= reflection.answered < 25


def test_reflectors_do_not_answer_each_other() -> None:
    """A forged question in the other's name would go round for ever."""
    with reflecting("127.0.0.1:0", "127.0.0.2:0") as reflector:
        first, second = ((where.rpartition(":")[0], int(where.rpartition(":")[2])) for where in reflector.listening)
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.bind(("127.0.0.3", second[1]))
            sock.sendto(QUESTION, first)
            exchange(reflector.listening[0], QUESTION)

        assert reflector.reflection.refused == {"from_reflector": 1}


def test_what_was_sent_to_many_is_not_answered() -> None:
    """A broadcast or multicast question would have an answer of each reflector in reach."""
    broadcast = (socket.IPPROTO_IP, 8, (2).to_bytes(4, "little") + bytes([192, 0, 2, 1]) + bytes([192, 0, 2, 255]))
    multicast = (socket.IPPROTO_IPV6, 50, b"\xff\x02" + bytes(13) + b"\x01" + (2).to_bytes(4, "little"))

    for message in (broadcast, multicast):
        with pytest.raises(RefusedError) as refused:
            way_back([message])
        assert refused.value.reason == "broadcast"


def run_reflector(*words: str) -> subprocess.Popen[str]:
    """The process."""
    return subprocess.Popen(
        [sys.executable, "-m", "netmon.active_probe.stamp", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_reflector_is_a_program_of_its_own(tmp_path: Path) -> None:
    """It says when it is ready and where, answers, and goes at SIGTERM, with its counts in the log and the key nowhere."""
    key_file = tmp_path / "stamp.key"
    key_file.write_text(KEY.decode() + "\n")
    with run_reflector(
        "--listen", "127.0.0.1:0", "--key-file", str(key_file), "--json", "--interface", "lo"
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with closing(channel_to(ready["listening"][0], key_file="key")) as channel:
            found = ask(channel, 0)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=LIMIT_S)

    counted = json.loads(log.splitlines()[-1])
    assert (len(found), process.returncode, ready["pid"]) == (1, 0, process.pid)
    assert (counted["event"], counted["answered"], counted["refused"]) == ("reflector.minute_counted", 1, {})
    assert KEY.decode() not in log


@pytest.mark.parametrize(
    ("words", "mistakes"),
    [
        (
            ["--listen", "127.0.0.1:0", "--allow", "192.0.2.1/24", "--key-file", "/nowhere", "--rate", "0"],
            [
                "--allow 192.0.2.1/24: 192.0.2.1/24 has host bits set; write it as 192.0.2.0/24 or 2001:db8::/32",
                "--key-file /nowhere: No such file or directory",
                "--rate 0: expected at least 1 answer a second",
            ],
        ),
        (
            ["--listen", "here", "--listen", "192.0.2.1:0"],
            [
                "--listen: 'here' is not ADDRESS:PORT, such as [::]:1162 or 192.0.2.1:162",
                "--listen 192.0.2.1:0: no interface of this machine has that address; `ip address` lists them",
            ],
        ),
        (
            ["--listen", "127.0.0.1:0", "--interface", "none"],
            ["--listen 127.0.0.1:0: pin to interface none: there is no interface 'none' now; `ip link` lists them"],
        ),
    ],
    ids=["options", "addresses", "interface"],
)
def test_all_mistakes_are_told_at_once(words: list[str], mistakes: list[str]) -> None:
    """Each with its cure."""
    with run_reflector(*words) as process:
        _, said = process.communicate(timeout=LIMIT_S)

    assert (said.splitlines(), process.returncode) == (mistakes, 2)


def test_a_rehearsal_plays_what_its_file_says(tmp_path: Path) -> None:
    """Cuts, losses by direction, delays, duplicates; what stands in no file, or in one that is broken, is well."""
    file, place = tmp_path / "rehearsal.json", str(tmp_path)
    settings = RehearsalSettings(line_ids=("cut", "one-way", "slow", "twice"), file=str(file), place=place)
    faults: Faults = {
        "cut": Fault(cut=True), "one-way": Fault(one_way=True), "slow": Fault(delay_s=0.2), "twice": Fault(duplicate=1.0),
    }  # fmt: skip
    words = [sys.executable, "-m", "netmon.active_probe.rehearsal"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(msgspec.json.encode(settings))
        process.stdin.close()
        log = process.stderr
        assert b"rehearsal.started" in log.readline()
        probes = [*(probe_of(index, place) for index in range(4)), anchor_of(0, place)]
        with closing(open_channel(Pin(), probes, {})) as channel:
            well = [ask(channel, 0, target=target)[0].forward_seq for target in range(5)]
            file.write_bytes(msgspec.json.encode(faults))
            assert b"rehearsal.faults_changed" in log.readline()
            sent_s = time.monotonic()
            for target in range(5):
                channel.send(target, 1, time.time_ns())
            ill = sorted(reply.target for reply in replies_of(channel, 4))
            took_s = time.monotonic() - sent_s
            file.write_text('{"cut": {"loss": 2}}')
            assert b"rehearsal.file_refused" in log.readline()
            file.unlink()
            mended: dict[int, int | None] = {}
            for seq in range(2, 2_000):
                for target in {0, 1} - set(mended):
                    channel.send(target, seq, time.time_ns())
                select.select([channel.fileno()], [], [], 0.01)
                mended |= {reply.target: reply.forward_seq for reply in channel.receive() if reply.target not in mended}
                if len(mended) == 2:
                    break
        process.terminate()

    assert (well, ill, took_s >= 0.2) == ([0] * 5, [2, 3, 3, 4], True)
    # What was cut never arrived; what was one-way did, all of it, and its answers are what is missing.
    assert (mended[0], (mended[1] or 0) >= 2) == (1, True)
    assert process.returncode == 0
