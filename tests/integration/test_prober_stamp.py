"""STAMP over real sockets: a channel, reflectors that count or do not, forgers, and the stand-ins of a rehearsal."""

from __future__ import annotations

import ipaddress
import json
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.probers.base import PacketProber, Reply
from netmon.active_probe.probers.stamp import StampChannel, open_channel
from netmon.active_probe.rehearsed import Fault, Faults, RehearsalSettings, anchor_of, probe_of
from netmon.active_probe.stamp.packet import (
    OCTETS,
    OCTETS_MAX,
    PTP,
    Answer,
    Question,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    error_estimate_of,
    timestamp_of,
    unix_ns_of,
)
from netmon.active_probe.stamp.reflector import Reflector, ReflectorSettings, RefusedError, way_back
from netmon.active_probe.vantage.channel import Channel, Poll
from netmon.active_probe.vantage.target import Target
from netmon.errors import ConfigError
from netmon.inventory.probes import Pin, StampProbe

LIMIT_S = 10.0
KEY = b"0123456789abcdef"
SECRETS = {"key": KEY.decode(), "wrong": KEY.decode()[::-1]}


def replies_of(channel: PacketProber, count: int) -> list[Reply]:
    """The next replies, as soon as there are so many; fewer after a time in which a machine in distress has answered, too."""
    found: list[Reply] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(found) < count and (left_s := deadline_s - time.monotonic()) > 0:
        select.select([channel.fileno()], [], [], left_s)
        found += channel.receive()
    return found


def ask(channel: PacketProber, *seqs: int, target: int = 0) -> list[Reply]:
    """Sends these, and returns as many replies."""
    for seq in seqs:
        channel.send(target, seq, time.time_ns())
    return replies_of(channel, len(seqs))


@contextmanager
def reflecting(*listen: str, **settings: Any) -> Iterator[Reflector]:
    """A reflector at work."""
    reflector = Reflector(ReflectorSettings(listen=listen or ("127.0.0.1:0",), **settings))
    thread = threading.Thread(target=reflector.run)
    thread.start()
    try:
        yield reflector
    finally:
        reflector.stop()
        thread.join()
        reflector.close()


def probe_at(where: str, *, host: str = "", key_file: str = "") -> StampProbe:
    """Of what listens at ADDRESS:PORT."""
    address, _, port = where.rpartition(":")
    return StampProbe(address=host or address.strip("[]"), port=int(port), key_file=key_file)


def channel_to(where: str, *, host: str = "", key_file: str = "", pin: Pin | None = None) -> StampChannel:
    """One target."""
    return open_channel(pin or Pin(), [probe_at(where, host=host, key_file=key_file)], SECRETS)


@pytest.mark.parametrize("key_file", ["", "key"], ids=["plain", "signed"])
@pytest.mark.parametrize(
    ("listen", "host"),
    [("127.0.0.1:0", ""), ("[::1]:0", ""), ("0.0.0.0:0", "127.3.2.1"), ("[::]:0", "::1"), ("[::]:0", "127.3.2.1")],
    ids=["IPv4", "IPv6", "all of IPv4", "all, by IPv6", "all, by IPv4"],
)
def test_questions_are_answered(listen: str, host: str, key_file: str) -> None:
    """From the address that was asked; with the kernel's time, the reflector's count, and the interface that it came in by."""
    with reflecting(listen, key=KEY if key_file else None) as reflector:
        pin = Pin(interface="lo", expect_interface="lo")
        with closing(channel_to(reflector.listening[0], host=host, key_file=key_file, pin=pin)) as channel:
            before_ns = time.time_ns()
            found = ask(channel, 7, 8, 12)
            after_ns = time.time_ns()

    assert [(reply.seq, reply.forward_seq, reply.wrong_interface) for reply in found] == [
        (7, 0, ""),
        (8, 1, ""),
        (12, 2, ""),
    ]
    assert all(before_ns <= reply.received_unix_ns <= after_ns for reply in found)
    assert channel.refused == 0


def test_sequence_numbers_go_round() -> None:
    """32 bits are used up after 136 years of a probe a second, or in a test."""
    with reflecting() as reflector, closing(channel_to(reflector.listening[0])) as channel:
        assert [reply.seq for reply in ask(channel, 0xFFFF_FFFF, 0)] == [0xFFFF_FFFF, 0]


def test_the_variation_of_each_direction_is_known_after_two_answers() -> None:
    """A far end that takes longer to be reached the second time, by its own clock, which is an hour ahead."""
    hour_ns = 3_600_000_000_000
    with far_end() as (channel, first, answer, sock):

        def reached_after(question: Question, delay_ms: int) -> Answer:
            stamp = timestamp_of(unix_ns_of(question.timestamp) + hour_ns + delay_ms * 1_000_000)
            return msgspec.structs.replace(answer_to(question), receive_timestamp=stamp, timestamp=stamp)

        answer(reached_after(first, 10))
        replies_of(channel, 1)
        before = channel.variation(0)
        channel.send(0, 6, time.time_ns())
        answer(reached_after(decode_question(sock.recv(OCTETS_MAX)), 14))
        replies_of(channel, 1)
        after = channel.variation(0)

    assert before is None
    assert after is not None
    assert after[0] == pytest.approx(0.004, abs=1e-6)


def test_a_reading_shows_the_variation_of_each_direction() -> None:
    """Beside what the track knows of round trips."""
    with reflecting() as reflector, closing(Poll()) as poll:
        probe = probe_at(reflector.listening[0])
        target = Target("fibre", "stamp", probe, BUILT_IN["fast"], standby=False, started_ns=0)
        before = target.reading(1)
        target.channel = Channel([probe], {}, poll)
        with closing(target.channel) as channel:
            for seq in range(2):
                channel.send(0, seq, 1, time.time_ns())
                select.select([poll.fileno()], [], [], LIMIT_S)
                channel.receive(1)
            after = target.reading(1)

    assert (before.ipdv_forward_s, before.ipdv_backward_s) == (None, None)
    assert (after.ipdv_forward_s or 0) + (after.ipdv_backward_s or 0) > 0
    assert msgspec.structs.replace(after, ipdv_forward_s=None, ipdv_backward_s=None) == before


def test_a_stateless_reflector_is_recognised() -> None:
    """Its number says nothing of directions, so it is not told."""
    with reflecting(stateless=True) as reflector, closing(channel_to(reflector.listening[0])) as channel:
        assert [(reply.seq, reply.forward_seq) for reply in ask(channel, 0, 1)] == [(0, None), (1, None)]


def test_a_wrong_key_is_refused() -> None:
    """By the reflector, silently: it is no oracle."""
    with reflecting(key=KEY) as reflector:
        where = reflector.listening[0]
        with closing(channel_to(where, key_file="wrong")) as wrong, closing(channel_to(where, key_file="key")) as right:
            wrong.send(0, 0, time.time_ns())
            ask(right, 0)

            assert wrong.receive() == []
        assert reflector.reflection.refused == {"hmac": 1}


def test_a_key_that_was_not_handed_over_is_a_mistake() -> None:
    """And so is one that is too short; the message names the file and shows nothing of what is in it."""
    for secrets, words in (({}, "was not handed over"), ({"key": "short"}, "needs 16")):
        with pytest.raises(ConfigError, match=words) as refused:
            open_channel(Pin(), [StampProbe(address="127.0.0.1", key_file="key")], secrets)
        assert str(refused.value).startswith("key: ")


def test_two_sessions_of_one_host_are_counted_apart() -> None:
    """Two targets on one socket, at two addresses of one reflector."""
    with reflecting("127.0.0.1:0", "127.0.0.2:0") as reflector:
        probes = [probe_at(where) for where in reflector.listening]
        with closing(open_channel(Pin(), probes, {})) as channel:
            found = ask(channel, 0, 1, target=0) + ask(channel, 2, target=1)

    assert [(reply.target, reply.forward_seq) for reply in found] == [(0, 0), (0, 1), (1, 0)]


def test_a_reflector_that_was_restarted_begins_its_count_anew() -> None:
    """The channel goes on."""
    with reflecting() as reflector:
        where = reflector.listening[0]
        channel = channel_to(where)
        ask(channel, 0, 1)
    with reflecting(where), closing(channel):
        assert [(reply.seq, reply.forward_seq) for reply in ask(channel, 2)] == [(2, 0)]


@contextmanager
def far_end() -> Iterator[tuple[StampChannel, Question, Callable[[Answer], None], socket.socket]]:
    """A channel that has asked once, its question, a way to answer it, and the far end's socket."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(LIMIT_S)
        with closing(channel_to(f"127.0.0.1:{sock.getsockname()[1]}")) as channel:
            channel.send(0, 5, time.time_ns())
            data, sender = sock.recvfrom(OCTETS_MAX)
            yield channel, decode_question(data), lambda answer: sock.sendto(encode_answer(answer), sender), sock


def answer_to(question: Question) -> Answer:
    """A good one."""
    now = timestamp_of(time.time_ns())
    estimate = error_estimate_of(0.001)
    return Answer(
        9, now, estimate, question.ssid, now, question.sequence, question.timestamp, question.error_estimate, 64
    )


def test_answers_that_nobody_asked_for_are_refused() -> None:
    """Another session's, one from long ago, one from the future, one that is cut: all are counted, none is taken."""
    with far_end() as (channel, question, answer, _):
        good = answer_to(question)
        answer(msgspec.structs.replace(good, ssid=question.ssid ^ 1))
        answer(msgspec.structs.replace(good, sender_sequence=(question.sequence - 70_000) & 0xFFFF_FFFF))
        answer(msgspec.structs.replace(good, sender_sequence=(question.sequence + 1) & 0xFFFF_FFFF))
        answer(good)

        assert [(reply.seq, reply.forward_seq) for reply in replies_of(channel, 1)] == [(5, 9)]
        assert channel.refused == 3


def test_a_stranger_cannot_answer() -> None:
    """Not even with the right octets: the answer has to come from where the question went."""
    with far_end() as (channel, question, answer, sock):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger:
            stranger.sendto(encode_answer(answer_to(question)), ("127.0.0.1", _port_of(channel)))
        sock.sendto(b"short", ("127.0.0.1", _port_of(channel)))
        answer(answer_to(question))

        assert len(replies_of(channel, 1)) == 1
        assert channel.refused == 2


def _port_of(channel: StampChannel) -> int:
    with closing(socket.socket(fileno=socket.dup(channel.fileno()))) as sock:
        port: int = sock.getsockname()[1]
        return port


def test_a_reflector_that_knows_no_ssid_is_understood() -> None:
    """RFC 8762 without RFC 8972 leaves it 0; and so does TWAMP Light."""
    with far_end() as (channel, question, answer, _):
        answer(msgspec.structs.replace(answer_to(question), ssid=0))

        assert [reply.seq for reply in replies_of(channel, 1)] == [5]


def test_the_same_answer_twice_is_told_twice() -> None:
    """Whoever counts duplicates has to see them."""
    with far_end() as (channel, question, answer, _):
        answer(answer_to(question))
        answer(answer_to(question))

        assert [reply.seq for reply in replies_of(channel, 2)] == [5, 5]


@pytest.mark.parametrize("key_file", ["", "key"], ids=["plain", "signed"])
def test_no_octets_from_the_far_end_do_any_harm(key_file: str) -> None:
    """Random ones, and answers with some of them changed: all are refused, or are the answer still."""
    dice = random.Random(862)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        with closing(channel_to(f"127.0.0.1:{sock.getsockname()[1]}", key_file=key_file)) as channel:
            key = KEY if key_file else None
            channel.send(0, 5, time.time_ns())
            data, sender = sock.recvfrom(OCTETS_MAX)
            good = encode_answer(answer_to(decode_question(data, key)), key)
            taken: list[Reply] = []
            for number in range(400):
                forged = bytearray(good if number % 2 else dice.randbytes(dice.randrange(1, 200)))
                for _ in range(dice.randrange(1, 4)):
                    forged[dice.randrange(len(forged))] = dice.randrange(256)
                sock.sendto(forged[: dice.choice([len(forged), dice.randrange(len(forged))])], sender)
                taken += channel.receive()
            sock.sendto(good, sender)
            deadline_s = time.monotonic() + LIMIT_S
            while len(taken) + channel.refused < 401 and time.monotonic() < deadline_s:
                select.select([channel.fileno()], [], [], LIMIT_S)
                taken += channel.receive()

    assert ({reply.target for reply in taken}, len(taken) + channel.refused) == ({0}, 401)
    assert channel.refused > 200


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
