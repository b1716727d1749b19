"""From a real socket into shared memory, and home into the journal after a kill in any moment."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmon import sockets
from netmon.model import LaneSettings
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.capture import Capture
from netmon.trap_receiver.journal.landing import BATCH_MAX, Landing
from netmon.trap_receiver.journal.segment import (
    LAYOUT_IPV4,
    LAYOUT_IPV6,
    PREFIX_BYTES,
    Frame,
    Position,
    Reader,
    Record,
    records,
    segments,
)
from netmon.trap_receiver.ledger import CAPTURE_STATE
from netmon.trap_receiver.state import read_state
from tests.unit.trap_receiver.samples import end_of, lane_settings, open_writer, read_back

BUFFER_BYTES = 8 << 20


@pytest.fixture(params=["dual-stack", "ipv4"])
def receiver(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket as the supervisor binds it: AF_INET6 for both families, AF_INET on a kernel without IPv6."""
    if request.param == "ipv4":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sockets.adopt(sock, "127.0.0.1:0", receive_buffer_bytes=BUFFER_BYTES)
    elif sockets.has_ipv6():
        sock = sockets.bind("[::]:0", receive_buffer_bytes=BUFFER_BYTES).sock
    else:
        pytest.skip("this kernel has no IPv6")
    with sock:
        yield sock


@pytest.fixture
def landing_fd() -> Iterator[int]:
    """Memory as the supervisor makes it."""
    fd = os.memfd_create("test-landing")
    yield fd
    os.close(fd)


def layout(sock: socket.socket) -> int:
    """The layout of the socket's family."""
    return LAYOUT_IPV6 if sock.family == socket.AF_INET6 else LAYOUT_IPV4


def send(sock: socket.socket, payloads: list[bytes], host: str = "127.0.0.1") -> int:
    """Sends datagrams to the receiver; returns the port that they come from."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, (host, sock.getsockname()[1]))
        port: int = sender.getsockname()[1]
        return port


def landed(landing: Landing) -> list[Record]:
    """What is in the landing, as the journal would give it back."""
    lengths, data = landing.landed()
    return list(records(Frame(landing.first_seq, 0, landing.layout, tuple(lengths), data, Position(0, 0, 0))))


def ends(record: Record) -> tuple[str, int, str, bytes]:
    """From where, to where, and what."""
    return record.peer, record.peer_port, record.local, record.payload


def test_a_datagram_lands_with_all_that_the_kernel_knows(receiver: socket.socket, landing_fd: int) -> None:
    """Peer, port, the address that it was sent to, the time; and nothing of it is there twice."""
    landing = Landing(landing_fd, layout(receiver))
    before = time.time_ns()
    port = send(receiver, [b"trap"])
    count = landing.receive(receiver, 7)
    (record,) = landed(landing)

    assert (count, landing.first_seq) == (1, 7)
    assert ends(record) == ("127.0.0.1", port, "127.0.0.1", b"trap")
    assert before <= record.received_unix_ns <= time.time_ns()
    assert landing.receive(receiver, 8) == 0
    assert landed(landing) == []


def test_a_datagram_over_ipv6_lands_too(landing_fd: int) -> None:
    """The same socket takes both families."""
    if not sockets.has_ipv6():
        pytest.skip("this kernel has no IPv6")
    with sockets.bind("[::]:0", receive_buffer_bytes=BUFFER_BYTES).sock as sock:
        landing = Landing(landing_fd, LAYOUT_IPV6)
        ports = [send(sock, [b"six"], "::1"), send(sock, [b"four"])]
        landing.receive(sock, 1)

    assert [ends(record) for record in landed(landing)] == [
        ("::1", ports[0], "::1", b"six"),
        ("127.0.0.1", ports[1], "127.0.0.1", b"four"),
    ]


def test_datagrams_of_every_size_land(receiver: socket.socket, landing_fd: int) -> None:
    """From none to the most that UDP over IPv4 carries; an empty one is a datagram, not the end."""
    payloads = [b"", b"x", bytes(1_472), b"y" * 65_507, b"", b"z"]
    landing = Landing(landing_fd, layout(receiver))
    send(receiver, payloads)
    landing.receive(receiver, 1)

    assert [record.payload for record in landed(landing)] == payloads


def test_more_than_a_batch_comes_in_batches(receiver: socket.socket, landing_fd: int) -> None:
    """In the order of arrival, with nothing left over from the batch before."""
    payloads = [b"%d" % number for number in range(2 * BATCH_MAX + 100)]
    landing = Landing(landing_fd, layout(receiver))
    send(receiver, payloads)
    found, sizes = [], []
    while count := landing.receive(receiver, len(found) + 1):
        found += [record.payload for record in landed(landing)]
        sizes.append(count)

    assert sizes == [512, 512, 100]
    assert found == payloads


@pytest.mark.parametrize("count", [0, 1, 5, BATCH_MAX])
def test_a_second_landing_sees_what_has_landed(receiver: socket.socket, landing_fd: int, count: int) -> None:
    """Another process that maps the same memory; and it goes on receiving there."""
    payloads = [b"%d" % number for number in range(count)]
    send(receiver, payloads)
    Landing(landing_fd, layout(receiver)).receive(receiver, 40)
    successor = Landing(landing_fd, layout(receiver))
    inherited = [record.payload for record in landed(successor)]
    first_seq = successor.first_seq
    send(receiver, [b"next"])
    successor.receive(receiver, 40 + count)

    assert (inherited, first_seq) == (payloads, 40)
    assert [record.payload for record in landed(successor)] == [b"next"]


def test_a_landing_of_another_layout_is_empty(landing_fd: int) -> None:
    """Its bytes would be read as what they are not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sockets.adopt(sock, "127.0.0.1:0", receive_buffer_bytes=BUFFER_BYTES)
        send(sock, [b"four"])
        Landing(landing_fd, LAYOUT_IPV4).receive(sock, 1)

    assert Landing(landing_fd, LAYOUT_IPV6).landed() == ([], b"")


def test_a_broken_socket_is_an_error(landing_fd: int) -> None:
    """Not "no datagrams": capture would wait for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock, pytest.raises(OSError, match="not connected"):
        Landing(landing_fd, LAYOUT_IPV4).receive(sock, 1)


# -- capture


def settings_of(directory: Path) -> LaneSettings:
    """A lane with a journal of small segments."""
    return lane_settings(directory, listen="127.0.0.1:0", segment_bytes=2 << 20)


def capture_all(directory: Path, sock: socket.socket, landing_fd: int) -> dict[str, int]:
    """Runs a capture until the socket's queue is empty; returns its counters."""
    capture = Capture(settings_of(directory), sock, Bells(None, None), landing_fd)
    capture.stop()
    capture.run()
    return read_state(directory / CAPTURE_STATE)


@pytest.mark.parametrize(("written", "recovered"), [(0, 5), (1, 4), (3, 2), (5, 0)])
def test_a_killed_captures_batch_comes_home_once(
    tmp_path: Path, receiver: socket.socket, landing_fd: int, written: int, recovered: int
) -> None:
    """Killed before, in the middle of, or after writing it: what is missing is brought home, nothing twice."""
    first = [b"before", b"", b"the kill"]
    batch = [b"a", b"", b"ccc", b"dd", b"e"]
    send(receiver, first)
    capture_all(tmp_path, receiver, landing_fd)
    predecessor = Landing(landing_fd, layout(receiver))
    send(receiver, batch)
    predecessor.receive(receiver, 4)
    lengths, data = predecessor.landed()
    if written:
        writer = open_writer(tmp_path, segment_bytes=2 << 20)
        size = sum(lengths[:written]) + written * PREFIX_BYTES[layout(receiver)]
        writer.append(layout(receiver), lengths[:written], data[:size])
        writer.close()
    send(receiver, [b"after"])
    counters = capture_all(tmp_path, receiver, landing_fd)

    assert read_back(tmp_path, end_of(tmp_path)) == list(enumerate([*first, *batch, b"after"], 1))
    assert (counters["recovered"], counters["captured"]) == (recovered, 9)


def test_a_landing_that_is_older_than_the_journal_is_left_alone(
    tmp_path: Path, receiver: socket.socket, landing_fd: int
) -> None:
    """Its numbers are given away already."""
    send(receiver, [b"old"])
    Landing(landing_fd, layout(receiver)).receive(receiver, 1)
    writer = open_writer(tmp_path, segment_bytes=2 << 20, durable_seq=10)
    writer.ensure_room()
    writer.close()
    counters = capture_all(tmp_path, receiver, landing_fd)

    assert (counters["captured"], counters["recovered"]) == (10, 0)
    assert read_back(tmp_path, end_of(tmp_path)) == []


def test_a_batch_of_large_datagrams_is_split_into_frames(
    tmp_path: Path, receiver: socket.socket, landing_fd: int
) -> None:
    """No frame needs more room than a segment keeps free."""
    payloads = [b"%d" % number + bytes(60_000) for number in range(40)]
    send(receiver, payloads)
    counters = capture_all(tmp_path, receiver, landing_fd)
    reader = Reader(tmp_path, Position(0, 0, 0))
    frames = []
    while isinstance(frame := reader.next(end_of(tmp_path)), Frame):
        frames.append(len(frame.records) <= 1 << 20)
    reader.close()

    assert read_back(tmp_path, end_of(tmp_path)) == list(enumerate(payloads, 1))
    assert frames == [True] * counters["frames"]
    assert counters["frames"] >= 3
    assert counters["captured_bytes"] == sum(map(len, payloads))
    assert len(segments(tmp_path)) >= 2


def test_kernel_drops_are_counted_from_one_capture_to_the_next(
    tmp_path: Path, receiver: socket.socket, landing_fd: int
) -> None:
    """The kernel counts for the socket's life; a successor neither forgets nor counts again."""
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    send(receiver, [bytes(1_000)] * 100)
    once = capture_all(tmp_path, receiver, landing_fd)
    again = capture_all(tmp_path, receiver, landing_fd)

    assert once["captured"] + once["kernel_drops"] == 100
    assert once["kernel_drops"] > 50
    assert again["kernel_drops"] == once["kernel_drops"]
