"""The ring of prepared datagrams, sent over a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from loadtest.ring import Ring, RingPlan, request_id
from loadtest.target import Target
from loadtest.templates import NUMBER_OID, RUN_MIN, number, source_address
from netmon.model import Limits
from netmon.snmp import Notification, decode_notification


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """A socket with room for a batch."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def receive(sock: socket.socket, count: int) -> list[tuple[Notification, str]]:
    """The next datagrams, decoded, with their source addresses."""
    packets = [sock.recvfrom(65_535) for _ in range(count)]
    return [(decode_notification(data, Limits()), address[0]) for data, address in packets]


def positions(received: list[tuple[Notification, str]]) -> list[int]:
    """The number of each, less the run."""
    values = [next(v.value for v in found.varbinds if v.oid == NUMBER_OID) for found, _ in received]
    base = number(RUN_MIN, 0)
    return [(int(value, 16) if isinstance(value, str) else value or 0) - base for value in values]


def open_ring(receiver: socket.socket, **changes: Any) -> Ring:
    """A ring for the receiver."""
    return Ring(RingPlan(target=Target("127.0.0.1", receiver.getsockname()[1]), run=RUN_MIN, **changes))


@pytest.mark.parametrize("version", ["v1", "v2c", "inform"])
def test_traps_arrive_numbered_in_order_from_their_sources(receiver: socket.socket, version: str) -> None:
    """Source i sends the positions that are i modulo the number of sources."""
    ring = open_ring(receiver, sources=3, version=version, mix=("linkdown", "ups", "ospf"))
    with ring.socket:
        assert ring.send(6, 5) == 5
        received = receive(receiver, 5)
    assert positions(received) == [6, 7, 8, 9, 10]
    assert [source for _, source in received] == [source_address(i % 3) for i in range(6, 11)]


def test_an_inform_has_the_request_id_of_its_position(receiver: socket.socket) -> None:
    """Each a different one."""
    with (ring := open_ring(receiver, version="inform")).socket:
        ring.send(1 << 20, 2)
        received = receive(receiver, 2)
    assert [found.request_id for found, _ in received] == [request_id(1 << 20), request_id((1 << 20) + 1)]


def test_segmented_messages_arrive_as_single_datagrams(receiver: socket.socket) -> None:
    """Also the last message of a storm, which is not full."""
    with (ring := open_ring(receiver, sources=2, gso=4, mix=("linkdown", "coldstart"))).socket:
        assert ring.send(0, 8) == 8
        assert ring.send(8, 3) == 3
        assert ring.send(8, 4) == 4
        received = receive(receiver, 15)
    assert positions(received) == [*range(8), 8, 9, 10, 8, 9, 10, 11]
    assert [source for _, source in received[:8]] == [source_address(0)] * 4 + [source_address(1)] * 4


def test_a_batch_ends_at_the_ring_s_end(receiver: socket.socket) -> None:
    """The rest is the next batch."""
    with (ring := open_ring(receiver, sources=700)).socket:
        assert ring.slots == 2_100
        assert ring.send(2_098, 10) == 2
        assert ring.send(2_100, 1) == 1
        received = receive(receiver, 3)
    assert positions(received) == [2_098, 2_099, 2_100]
