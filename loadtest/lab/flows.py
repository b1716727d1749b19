"""Traffic of classes, and what it suffers: numbered datagrams at a steady pace, and a receiver that knows which of them are missing.

    python -m loadtest.lab.flows send       sends until it is killed
    python -m loadtest.lab.flows receive    answers each line of its standard input with a report (`Report`)

The first line of the standard input has the settings: `Sending` or `Receiving`.

Times are the kernel's of the receiving socket: a process that is late does not make an outage, and a sender that is late neither, for only
where numbers are missing something was lost.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from netmon.active_probe import arrival
from netmon.sockets import set_receive_buffer

_PACKET: Final = struct.Struct("!HQ")
"""Number of the flow, number of the datagram."""
_SO_MARK: Final = 36
_BUFFER_BYTES: Final = 8 << 20
_BATCH: Final = 256
_LINES_BYTES: Final = 4_096
LATE_MAX: Final = 200
"""Datagrams that a sender makes up for when it was late; what is older is left out, and its numbers with it."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What one class of one gateway sends."""

    number: int
    to: tuple[str, int]
    interval_s: float
    mark: int = 0
    octets: int = 64


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """Of one sender."""

    flows: tuple[Flow, ...]
    source: str = ""
    """Address that they come from; empty: that of the interface by which they leave."""


class Receiving(msgspec.Struct, frozen=True, kw_only=True):
    """Of one receiver."""

    listen: tuple[tuple[str, int], ...]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams in a row that never came."""

    last_unix_ns: int
    """When the last one before came."""
    next_unix_ns: int
    """When the first one after came."""
    lost: int

    @property
    def outage_ms(self) -> float:
        """How long the flow was away."""
        return (self.next_unix_ns - self.last_unix_ns) / 1e6


class Came(msgspec.Struct, kw_only=True):
    """What came of one flow."""

    received: int = 0
    newest: int = -1
    newest_unix_ns: int = 0
    interface: str = ""
    """By which the newest came."""
    moves: list[tuple[int, str]] = []
    """When it first came by another interface than before, and by which; the newest `MOVES_MAX`."""
    gaps: list[Gap] = []
    """The newest `GAPS_MAX`."""
    late: int = 0
    """Came after one that was sent later, or twice."""


MOVES_MAX: Final = 10_000
GAPS_MAX: Final = 10_000

Report = dict[int, Came]


def send(settings: Sending) -> None:
    """Sends each flow at its pace, for ever. A datagram that cannot leave is lost: its number is not used again."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if settings.source:
        sock.bind((settings.source, 0))
    flows = settings.flows
    seqs = [0] * len(flows)
    now = time.monotonic()
    dues = [now + flow.interval_s * index / len(flows) for index, flow in enumerate(flows)]
    marked = 0
    while True:
        index = min(range(len(flows)), key=dues.__getitem__)
        flow = flows[index]
        now = time.monotonic()
        if dues[index] > now:
            time.sleep(dues[index] - now)
        elif now - dues[index] > flow.interval_s * LATE_MAX:
            dues[index] = now
        dues[index] += flow.interval_s
        if flow.mark != marked:
            sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, flow.mark)
            marked = flow.mark
        with contextlib.suppress(OSError):
            sock.sendto(_PACKET.pack(flow.number, seqs[index]).ljust(flow.octets), flow.to)
        seqs[index] += 1


class Receiver:
    """All flows of some sockets."""

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self.flows: Report = {}
        self.selector = selectors.DefaultSelector()
        for address in addresses:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            set_receive_buffer(sock, _BUFFER_BYTES)
            arrival.stamp_arrivals(sock)
            arrival.tell_interface(sock)
            sock.bind(address)
            self.selector.register(sock, selectors.EVENT_READ, sock)
        self._names: dict[int, str] = {}

    def read(self, sock: socket.socket) -> None:
        """Takes what is there."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_BATCH):
                data, messages, _, _ = sock.recvmsg(_PACKET.size, arrival.ANCILLARY_BYTES)
                number, seq = _PACKET.unpack_from(data)
                unix_ns = arrival.received_unix_ns(messages)
                self._note(self.flows.setdefault(number, Came()), seq, unix_ns, self._name(messages))

    def _name(self, messages: arrival.ControlMessages) -> str:
        index = arrival.interface_of(messages)
        if index not in self._names:
            self._names[index] = socket.if_indextoname(index)
        return self._names[index]

    @staticmethod
    def _note(came: Came, seq: int, unix_ns: int, interface: str) -> None:
        came.received += 1
        if seq <= came.newest:
            came.late += 1
            return
        if came.newest >= 0 and seq > came.newest + 1:
            gap = Gap(last_unix_ns=came.newest_unix_ns, next_unix_ns=unix_ns, lost=seq - came.newest - 1)
            came.gaps = [*came.gaps[-GAPS_MAX + 1 :], gap]
        if interface != came.interface:
            came.moves = [*came.moves[-MOVES_MAX + 1 :], (unix_ns, interface)]
            came.interface = interface
        came.newest, came.newest_unix_ns = seq, unix_ns


def receive(settings: Receiving) -> None:
    """Receives until its standard input ends; says `ready`, then answers each line with a report."""
    receiver = Receiver(settings.listen)
    stdin = sys.stdin.fileno()
    receiver.selector.register(stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    while True:
        asked = 0
        for key, _ in receiver.selector.select():
            if key.data is not None:
                receiver.read(key.data)
                continue
            octets = os.read(stdin, _LINES_BYTES)
            if not octets:
                return
            asked = octets.count(b"\n")
        for _ in range(asked):
            print(msgspec.json.encode(receiver.flows).decode(), flush=True)


def main(words: Sequence[str]) -> None:
    """`send` or `receive`."""
    line = _first_line(sys.stdin.fileno())
    if words == ["send"]:
        send(msgspec.json.decode(line, type=Sending))
    else:
        receive(msgspec.json.decode(line, type=Receiving))


def _first_line(fd: int) -> bytes:
    """Up to the end of the line, and not an octet more."""
    octets = b""
    while not octets.endswith(b"\n"):
        octets += os.read(fd, 1)
    return octets


if __name__ == "__main__":
    main(sys.argv[1:])
