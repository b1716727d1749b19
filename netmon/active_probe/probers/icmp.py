"""Asks by ICMP echo (RFC 792, RFC 4443 section 4): one socket, many targets.

Owns what makes an echo ours: a random cookie of the channel, the target's index and the whole sequence number stand in the payload, for
the header's are 16 bits, and other programs and other vantages on this machine send echoes, too. Where the kernel lets every group send
echoes (`net.ipv4.ping_group_range`), it is a ping socket, to which the kernel gives an identifier of its own; else a raw one, with a filter
in the kernel that lets nothing pass but answers with our identifier and cookie: a thousand sockets do not each read all answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import secrets as randomness
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from netmon.active_probe import arrival
from netmon.active_probe.probers.base import PacketProbe, Reply
from netmon.active_probe.probers.datagram import DatagramChannel, as_received, is_recent
from netmon.active_probe.vantage.pinning import PinError, SockAddr, family_of, make_socket, sockaddr_of
from netmon.inventory.probes import IcmpProbe, Pin

ECHO: Final = struct.Struct("!BBHHHQII")
"""Type, code, checksum, identifier, sequence number; payload: cookie, target, sequence number of 32 bits."""
OCTETS_MAX: Final = 128
"""The longest IPv4 header, and the echo."""

_REQUEST_4, _REPLY_4 = 8, 0
_REQUEST_6, _REPLY_6 = 128, 129
_SO_ATTACH_FILTER: Final = 26
_WORDS: Final = struct.Struct("!12H")
_NO_PING_SOCKET: Final = {errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}


def open_channel(pin: Pin, probes: Sequence[PacketProbe], _secrets: Mapping[str, str], /) -> IcmpChannel:
    """See `OpenChannel`.

    Raises:
        PinError: It cannot be opened now, or CAP_NET_RAW is missing; says the cure.
    """
    targets = [as_received(sockaddr_of(pin, probe.address, 0)) for probe in probes if isinstance(probe, IcmpProbe)]
    assert len(targets) == len(probes)
    family = family_of(probes[0].address)
    proto = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    try:
        sock = make_socket(pin, family, socket.SOCK_DGRAM, proto)
    except PinError as error:
        if error.errno not in _NO_PING_SOCKET:
            raise
        sock = make_socket(pin, family, socket.SOCK_RAW, proto)
    return IcmpChannel(sock, pin, targets)


class IcmpChannel(DatagramChannel):
    """See `PacketProber`."""

    def __init__(self, sock: socket.socket, pin: Pin, targets: Sequence[SockAddr]) -> None:
        self._targets = targets
        self._newest: list[int | None] = [None] * len(targets)
        self._cookie = randomness.randbits(64)
        self._identifier = 1 + randomness.randbelow(0xFFFF)
        self._is_raw = sock.type == socket.SOCK_RAW
        self._is_4 = sock.family == socket.AF_INET
        if self._is_raw:
            attach_filter(sock, reply_filter(self._identifier, self._cookie >> 32, is_4=self._is_4))
            _empty(sock)
        super().__init__(sock, pin, targets=len(targets), octets_max=OCTETS_MAX)

    def send(self, target: int, seq: int, unix_ns: int) -> None:  # noqa: ARG002 - an echo has no place for a time that anybody reads
        """Sends one echo request.

        Raises:
            OSError: It did not leave.
        """
        self._newest[target] = seq
        kind = _REQUEST_4 if self._is_4 else _REQUEST_6
        echo = ECHO.pack(kind, 0, 0, self._identifier, seq & 0xFFFF, self._cookie, target, seq)
        if self._is_raw and self._is_4:
            # Of a ping socket and of ICMPv6, the kernel sees to the checksum.
            echo = ECHO.pack(kind, 0, checksum(echo), self._identifier, seq & 0xFFFF, self._cookie, target, seq)
        self._sock.sendto(echo, self._targets[target])

    def _reply(self, octets: int, messages: arrival.ControlMessages, sender: SockAddr) -> Reply | None:
        # A raw IPv4 socket hands out the IP header, too; its length is in the lower half of its first octet.
        start = (self._buffer[0] & 0x0F) * 4 if self._is_raw and self._is_4 else 0
        if octets < start + ECHO.size:
            return None
        kind, code, _, _, short, cookie, target, seq = ECHO.unpack_from(self._buffer, start)
        if kind != (_REPLY_4 if self._is_4 else _REPLY_6) or code or cookie != self._cookie:
            return None
        if target >= len(self._targets) or sender != self._targets[target]:
            return None
        newest = self._newest[target]
        if newest is None or short != seq & 0xFFFF or not is_recent(seq, newest):
            return None
        return Reply(target, seq, arrival.received_unix_ns(messages), None, self._wrong_interface(messages))


def _empty(sock: socket.socket) -> None:
    """Throws away what came before there was a filter."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(1)


def checksum(echo: bytes) -> int:
    """Of an echo whose own checksum is 0: the ones' complement of the ones' complement sum of its 16-bit words (RFC 1071)."""
    total: int = sum(_WORDS.unpack(echo))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def reply_filter(identifier: int, cookie_start: int, *, is_4: bool) -> list[tuple[int, int, int, int]]:
    """A socket filter (classic BPF) that lets only echo replies with this identifier and these first 32 bits of payload pass.

    An IPv4 socket's filter sees the IP header, whose length goes into X; an IPv6 socket's begins at the ICMPv6 header.
    """
    indexed = 0x20 if is_4 else 0
    octet, half, word = 0x30 + indexed, 0x28 + indexed, 0x20 + indexed
    skip_header = [(0xB1, 0, 0, 0)] if is_4 else []
    return [
        *skip_header,
        (octet, 0, 0, 0),
        (0x15, 0, 5, _REPLY_4 if is_4 else _REPLY_6),
        (half, 0, 0, 4),
        (0x15, 0, 3, identifier),
        (word, 0, 0, 8),
        (0x15, 0, 1, cookie_start),
        (0x06, 0, 0, 0xFFFF_FFFF),
        (0x06, 0, 0, 0),
    ]


def attach_filter(sock: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> None:
    """Has the kernel ask the program about each datagram for this socket (socket(7), SO_ATTACH_FILTER)."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
