"""What the packet probers have in common: one socket with the kernel's time stamps, read until it is empty."""

from __future__ import annotations

import errno
import socket
from abc import ABC, abstractmethod
from typing import Final

from netmon.active_probe import arrival
from netmon.active_probe.probers.base import RECEIVE_BUFFER_BYTES, RECEIVE_MAX, SEQ_MASK, Reply
from netmon.active_probe.vantage.pinning import SockAddr
from netmon.inventory.probes import Pin
from netmon.sockets import set_receive_buffer

WINDOW: Final = 1 << 16
"""An answer to a packet that is so many behind the newest is none of ours."""
_ROOM_MIN_BYTES: Final = 256 << 10
_TARGET_BYTES: Final = 16 << 10
"""Of the socket's receive buffer: several answers, as the kernel books them, of each target."""
_BROKEN: Final = {errno.ENETDOWN, errno.ENODEV, errno.EBADF, errno.ENOTSOCK}


class DatagramChannel(ABC):
    """See `PacketProber`; `send` and what a datagram means are the prober's."""

    def __init__(self, sock: socket.socket, pin: Pin, *, targets: int, octets_max: int) -> None:
        """Takes a pinned socket over.

        Args:
            sock: Closed by `close`.
            pin: Its `expect_interface` is checked.
            targets: How many answer on it.
            octets_max: Longer datagrams are read as that long.
        """
        self.refused = 0
        self._sock = sock
        self._buffer = bytearray(octets_max)
        self._check = arrival.InterfaceCheck(pin) if pin.expect_interface else None
        arrival.stamp_arrivals(sock)
        if self._check:
            arrival.tell_interface(sock)
        room = max(_ROOM_MIN_BYTES, targets * _TARGET_BYTES)
        set_receive_buffer(sock, min(room, RECEIVE_BUFFER_BYTES))

    def fileno(self) -> int:
        """Of the socket."""
        return self._sock.fileno()

    def receive(self) -> list[Reply]:
        """Reads what is there, up to `RECEIVE_MAX` datagrams.

        Raises:
            OSError: The socket is of no use any more.
        """
        replies: list[Reply] = []
        receive, buffers = self._sock.recvmsg_into, [self._buffer]
        for _ in range(RECEIVE_MAX):
            try:
                octets, messages, _, sender = receive(buffers, arrival.ANCILLARY_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _BROKEN:
                    raise
                continue
            reply = self._reply(octets, messages, sender)
            if reply is None:
                self.refused += 1
            else:
                replies.append(reply)
        return replies

    def variation(self, target: int) -> tuple[float, float] | None:  # noqa: ARG002 - of those that can tell
        """See `PacketProber`: what only echoes cannot tell the directions apart."""
        return None

    @abstractmethod
    def _reply(self, octets: int, messages: arrival.ControlMessages, sender: SockAddr) -> Reply | None:
        """What the first `octets` of the buffer answer; None: nothing of ours."""

    def _wrong_interface(self, messages: arrival.ControlMessages) -> str:
        return self._check.wrong(messages) if self._check else ""

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()


def is_recent(sequence: int, newest: int) -> bool:
    """Whether a sequence number is among the last `WINDOW` up to `newest`; both wrap at 32 bits."""
    return (newest - sequence) & SEQ_MASK < WINDOW


def as_received(to: SockAddr) -> SockAddr:
    """The address as `recvmsg` tells it: in the kernel's own way to write it."""
    family = socket.AF_INET if len(to) == 2 else socket.AF_INET6
    return (socket.inet_ntop(family, socket.inet_pton(family, to[0])), *to[1:])
