"""What the kernel tells of a datagram beside its octets: when it came, by which interface, with which TTL, to which address.

Owns the control messages of the prober's sockets: SO_TIMESTAMPNS, IP_PKTINFO and IPV6_RECVPKTINFO, IP_RECVTTL and IPV6_RECVHOPLIMIT
(RFC 3542 sections 6 and 7, ip(7)).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Final

from netmon.active_probe.vantage.pinning import in_netns
from netmon.inventory.probes import Pin
from netmon.sockets import IP_PKTINFO, IPV6_RECVPKTINFO, SO_TIMESTAMPNS

# Python 3.11 names none of these (linux/in.h, linux/in6.h).
IP_RECVTTL: Final = 12
IP_TTL: Final = 2
IPV6_PKTINFO: Final = 50
IPV6_RECVHOPLIMIT: Final = 51
IPV6_HOPLIMIT: Final = 52

ANCILLARY_BYTES: Final = 256
"""Room for all of them together."""

ControlMessages = Sequence[tuple[int, int, bytes]]

_TIMESPEC: Final = struct.Struct("=qq")
_INT: Final = struct.Struct("=i")
_INDEX_4: Final = struct.Struct("=i")
_INDEX_6: Final = struct.Struct("=16xi")
_INDEXES_MAX: Final = 64
"""Interfaces whose names are remembered; one that is made anew has a new number."""


def stamp_arrivals(sock: socket.socket) -> None:
    """Each datagram comes with the kernel's time of its arrival."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def tell_interface(sock: socket.socket) -> None:
    """Each datagram comes with the interface that it came in by, and the address that it was sent to."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def tell_ttl(sock: socket.socket) -> None:
    """Each datagram comes with its TTL or hop limit."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)


def received_unix_ns(messages: ControlMessages) -> int:
    """When it came, CLOCK_REALTIME; 0: the kernel did not say."""
    for level, kind, data in messages:
        if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET:
            seconds, rest_ns = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(rest_ns)
    return 0


def ttl_of(messages: ControlMessages) -> int:
    """TTL or hop limit that it came with; 0: the kernel did not say."""
    for level, kind, data in messages:
        if (level, kind) in {(socket.IPPROTO_IP, IP_TTL), (socket.IPPROTO_IPV6, IPV6_HOPLIMIT)}:
            return int(_INT.unpack_from(data)[0]) & 0xFF
    return 0


def interface_of(messages: ControlMessages) -> int:
    """Number of the interface that it came in by; 0: the kernel did not say."""
    for level, kind, data in messages:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            return int(_INDEX_4.unpack_from(data)[0])
        if level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            return int(_INDEX_6.unpack_from(data)[0])
    return 0


class InterfaceCheck:
    """Whether datagrams came in by the interface that a pin expects. By name: an interface made anew has another number."""

    def __init__(self, pin: Pin) -> None:
        self._pin = pin
        self._wrong: dict[int, str] = {}

    def wrong(self, messages: ControlMessages) -> str:
        """Name of the interface that it came in by, if that is another than `pin.expect_interface`; else empty."""
        index = interface_of(messages)
        if index not in self._wrong:
            if len(self._wrong) >= _INDEXES_MAX:
                self._wrong.clear()
            self._wrong[index] = self._look_up(index)
        return self._wrong[index]

    def _look_up(self, index: int) -> str:
        try:
            name = in_netns(self._pin, lambda: socket.if_indextoname(index))
        except OSError:
            return f"interface {index}"  # gone meanwhile, or the kernel did not say
        return "" if name == self._pin.expect_interface else name
