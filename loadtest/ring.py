"""The storm's datagrams in memory, laid out once for sendmmsg(2), numbered in place and sent in batches.

A ring of datagrams is walked again and again: trap number n always uses slot n modulo the ring's size, so that a batch
costs one call that patches the numbers, one system call, and no encoding, copying or allocation per trap.

Source addresses: every address of 127.0.0.0/8 is local, so one unconnected socket may name another source in each
message (IP_PKTINFO, ip(7)), without privileges and without a socket for each. Measured on one core of a 2-core machine:
connected socket, one source 360,000-400,000/s; IP_PKTINFO, 2,000 sources 280,000-320,000/s; the same with UDP_SEGMENT,
8 datagrams a message, 745,000/s into a receiver that keeps up. The receiver sees ordinary datagrams in each case.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Final

import msgspec

from loadtest.target import Target
from loadtest.templates import (
    POSITION_BITS,
    REQUEST_ID_BASE,
    REQUEST_ID_MASK,
    Template,
    Version,
    build,
    choose_kinds,
    number,
    source_address,
)

RING_SLOTS_MIN: Final = 2_048
GSO_MAX: Final = 64
"""Datagrams of one message with UDP_SEGMENT; Linux allows 64 (128 since 6.9)."""
_IP_PKTINFO: Final = 8  # Python names it from 3.14 on
_UDP_SEGMENT: Final = 103
_SO_SNDBUFFORCE: Final = 32
_SOL_UDP: Final = 17
_SEND_BUFFER_BYTES: Final = 4 << 20
_MMSGHDR: Final = struct.Struct("<QIIQQQQiIII")
_IOVEC: Final = struct.Struct("<QQ")
_CONTROL_BYTES: Final = 64

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


class RingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the ring's datagrams are."""

    target: Target
    version: Version = "v2c"
    mix: tuple[str, ...] = ("linkdown",)
    sources: int = 1
    community: str = "public"
    run: int
    """Identifies this storm in the numbers, `templates.RUN_MIN` to `RUN_MAX`."""
    gso: int = 1
    """Datagrams of one message (UDP_SEGMENT), all of the same kind and source; 1 sends each by itself."""
    seed: int = 1162


class Ring:
    """The datagrams of a storm, ready to send."""

    def __init__(self, plan: RingPlan) -> None:
        """Encodes the datagrams and opens the socket.

        Raises:
            OSError: No socket, or no such address on this machine.
            ValueError: An unknown kind in the mix.
        """
        self.plan = plan
        self._run = plan.run
        self._per_message = plan.gso
        templates = _templates(plan)
        self.slots = len(templates) * plan.gso
        self.socket = open_socket(plan.target, sources=plan.sources)
        self._fd = self.socket.fileno()
        self._lay_out(templates)

    def send(self, position: int, count: int) -> int:
        """Sends traps `position`, `position` + 1, …; at most `count`.

        Returns:
            How many the kernel took: fewer at the ring's end, or when the kernel took part of a batch. `count` should
            be a multiple of `gso`, except for a storm's last message.

        Raises:
            OSError: The kernel took none. ECONNREFUSED tells of an earlier one, and may be tried again.
        """
        slot = position % self.slots
        count = min(count, self.slots - slot)
        self._patch(slot, position, count)
        if count < self._per_message:
            return self._send_part(slot, count)
        return self._send_messages(slot // self._per_message, count // self._per_message) * self._per_message

    def _patch(self, slot: int, position: int, count: int) -> None:
        """Writes the numbers of `count` traps; `deque(map(…), 0)` runs the whole loop in C."""
        first = number(self._run, position)
        at = self._number_at[slot : slot + count]
        if self.plan.version == "v1":
            digits = (b"%016x" % n for n in range(first, first + count))
            deque(map(struct.Struct("16s").pack_into, repeat(self._payload), at, digits), 0)
            return
        deque(map(struct.Struct(">Q").pack_into, repeat(self._payload), at, range(first, first + count)), 0)
        if self.plan.version == "inform":
            ids = (request_id(p) for p in range(position, position + count))
            deque(map(struct.Struct(">I").pack_into, repeat(self._payload), self._id_at[slot : slot + count], ids), 0)

    def _send_messages(self, message: int, count: int) -> int:
        return send_messages(self._fd, self._headers_address + message * _MMSGHDR.size, count)

    def _send_part(self, slot: int, count: int) -> int:
        """Sends the first `count` datagrams of a message only."""
        at = slot // self._per_message * _IOVEC.size
        address, whole = _IOVEC.unpack_from(self._vectors, at)
        _IOVEC.pack_into(self._vectors, at, address, whole // self._per_message * count)
        try:
            return self._send_messages(slot // self._per_message, 1) * count
        finally:
            _IOVEC.pack_into(self._vectors, at, address, whole)

    def _lay_out(self, templates: Sequence[Template]) -> None:
        """Fills payload, vectors, control data and headers; the addresses stay valid as long as the ring lives."""
        per_message, messages = self._per_message, len(templates)
        self._payload = bytearray(b"".join(template.datagram * per_message for template in templates))
        self._vectors = bytearray(_IOVEC.size * messages)
        self._headers = bytearray(_MMSGHDR.size * messages)
        self._control = bytearray(_CONTROL_BYTES * messages)
        self._name = bytearray(self._peer_name())
        payload, vectors, control = _address(self._payload), _address(self._vectors), _address(self._control)
        self._headers_address = _address(self._headers)
        name = _address(self._name) if self._name else 0
        self._number_at: list[int] = []
        self._id_at: list[int] = []
        start = 0
        for i, template in enumerate(templates):
            size = len(template.datagram)
            starts = range(start, start + size * per_message, size)
            self._number_at += [at + template.number_at for at in starts]
            self._id_at += [at + template.request_id_at for at in starts]
            _IOVEC.pack_into(self._vectors, _IOVEC.size * i, payload + start, size * per_message)
            data = self._control_data(i, size)
            self._control[_CONTROL_BYTES * i : _CONTROL_BYTES * i + len(data)] = data
            head = (name, len(self._name), 0, vectors + _IOVEC.size * i, 1)
            tail = (control + _CONTROL_BYTES * i if data else 0, len(data), 0, 0, 0, 0)
            _MMSGHDR.pack_into(self._headers, _MMSGHDR.size * i, *head, *tail)
            start += size * per_message

    def _peer_name(self) -> bytes:
        """The sockaddr_in of the target; empty for a connected socket, which is faster."""
        if self.plan.sources == 1:
            return b""
        port = self.plan.target.port.to_bytes(2, "big")
        return struct.pack("<H2s4s8x", socket.AF_INET, port, socket.inet_aton(self.plan.target.address))

    def _control_data(self, message: int, datagram_bytes: int) -> bytes:
        """The message's source address (struct in_pktinfo, ipi_spec_dst) and segment size, if any."""
        data = b""
        if self.plan.sources > 1:
            source = socket.inet_aton(source_address(message % self.plan.sources))
            data += struct.pack("<QiiI4s4s4x", 28, socket.IPPROTO_IP, _IP_PKTINFO, 0, source, b"")
        if self._per_message > 1:
            data += struct.pack("<QiiH6x", 18, _SOL_UDP, _UDP_SEGMENT, datagram_bytes)
        return data


def request_id(position: int) -> int:
    """The request ID of an INFORM, unique among 2^30 successive ones."""
    return REQUEST_ID_BASE | position & REQUEST_ID_MASK


def _templates(plan: RingPlan) -> list[Template]:
    """One template for each message: the sources in turn, whole rounds of them, and at least `RING_SLOTS_MIN` slots."""
    assert plan.run < 1 << (64 - POSITION_BITS)
    rounds = -(-RING_SLOTS_MIN // (plan.sources * plan.gso))
    kinds = choose_kinds(list(plan.mix), plan.sources * rounds, plan.seed)
    community = plan.community.encode()
    made: dict[tuple[str, int], Template] = {}
    for i, kind in enumerate(kinds):
        key = (kind, i % plan.sources)
        if key not in made:
            made[key] = build(kind, plan.version, device=key[1], community=community)
    return [made[kind, i % plan.sources] for i, kind in enumerate(kinds)]


def send_messages(fd: int, headers_address: int, count: int) -> int:
    """Sends messages whose headers (struct mmsghdr) lie one after the other; returns how many the kernel took.

    Raises:
        OSError: It took none.
    """
    taken = int(_sendmmsg(fd, headers_address, count, 0))
    if taken < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return taken


def open_socket(target: Target, *, sources: int) -> socket.socket:
    """A socket with a large send buffer; connected, which is faster, for a single source.

    Raises:
        OSError: The kernel gives none.
    """
    opened = socket.socket(socket.AF_INET6 if target.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER_BYTES)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if sources == 1:
        opened.connect((target.address, target.port))
    else:
        opened.bind(("", 0))
    return opened


def _address(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
