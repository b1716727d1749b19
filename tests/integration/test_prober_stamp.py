"""A STAMP channel over real sockets: reflectors that count or do not, restarts, forgers, and what one direction does."""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import msgspec
import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.probers.base import Reply
from netmon.active_probe.probers.stamp import StampChannel, open_channel
from netmon.active_probe.stamp.packet import (
    OCTETS_MAX,
    Answer,
    Question,
    decode_question,
    encode_answer,
    timestamp_of,
    unix_ns_of,
)
from netmon.active_probe.vantage.channel import Channel, Poll
from netmon.active_probe.vantage.target import Target
from netmon.errors import ConfigError
from netmon.inventory.probes import Pin, StampProbe
from tests.integration.stamping import KEY, LIMIT_S, answer_to, ask, channel_to, probe_at, reflecting, replies_of


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
