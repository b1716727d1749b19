"""Asks STAMP reflectors (RFC 8762): one channel, many of them; loss per direction where the reflector counts by itself.

Owns what makes an answer ours: the address that was asked, a random SSID for each target (RFC 8972 section 3), and sequence numbers that
begin at a random place instead of 0. To a reflector that looks as if the first packets had been lost; to us it tells a reflector that
counts by itself from one that copies our number, which has to be known before losses are laid to a direction.
"""

from __future__ import annotations

import errno
import secrets as randomness
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from netmon.active_probe import arrival
from netmon.active_probe.probers.base import RECEIVE_BUFFER_BYTES, RECEIVE_MAX, SEQ_MASK, PacketProbe, Reply
from netmon.active_probe.stamp import clock
from netmon.active_probe.stamp.packet import (
    ANSWER,
    AUTHENTICATED_OCTETS,
    OCTETS,
    OCTETS_MAX,
    QUESTION,
    SIGNED_ANSWER,
    SIGNED_QUESTION,
    is_authentic,
    key_of,
    signed,
    timestamp_of,
)
from netmon.active_probe.vantage.pinning import SockAddr, family_of, make_socket, sockaddr_of
from netmon.errors import ConfigError
from netmon.inventory.probes import Pin, StampProbe
from netmon.sockets import set_receive_buffer

TTL: Final = 255
"""So that the TTL that the reflector tells counts the hops (RFC 5357 section 4.1.2)."""
WINDOW: Final = 1 << 16
"""An answer to a packet that is so many behind the newest is none of ours."""
SSID_MAX: Final = 0xFFFF
_START_MIN: Final = 1 << 16
_BROKEN: Final = {errno.ENETDOWN, errno.ENODEV, errno.EBADF, errno.ENOTSOCK}


class _Target:
    """One reflector."""

    __slots__ = ("index", "key", "newest", "sockaddr", "ssid", "start")

    def __init__(self, index: int, ssid: int, sockaddr: SockAddr, key: bytes | None) -> None:
        self.index = index
        self.sockaddr = sockaddr
        self.key = key
        self.ssid = ssid
        self.start = _START_MIN + randomness.randbelow(SEQ_MASK - 2 * _START_MIN)
        self.newest: int | None = None
        """Sequence number on the wire that was sent last."""


def open_channel(pin: Pin, probes: Sequence[PacketProbe], secrets: Mapping[str, str], /) -> StampChannel:
    """See `OpenChannel`.

    Raises:
        PinError: It cannot be opened now.
        ConfigError: A key is none.
    """
    asked = [probe for probe in probes if isinstance(probe, StampProbe)]
    assert len(asked) == len(probes)
    # No two alike: one host may be the far end of many lines, and tells their sessions apart by the SSID alone.
    ssids = randomness.SystemRandom().sample(range(1, SSID_MAX + 1), len(asked))
    targets = [
        _Target(index, ssid, sockaddr_of(pin, probe.address, probe.port), _key(probe, secrets))
        for index, (probe, ssid) in enumerate(zip(asked, ssids, strict=True))
    ]
    return StampChannel(make_socket(pin, family_of(asked[0].address), socket.SOCK_DGRAM), pin, targets)


def _key(probe: StampProbe, secrets: Mapping[str, str]) -> bytes | None:
    if not probe.key_file:
        return None
    try:
        return key_of(secrets[probe.key_file])
    except KeyError:
        raise ConfigError([f"{probe.key_file}: the key of stamp {probe.address} was not handed over"]) from None
    except ConfigError as error:
        raise ConfigError([f"{probe.key_file}: {mistake}" for mistake in error.mistakes]) from None


class StampChannel:
    """See `PacketProber`."""

    def __init__(self, sock: socket.socket, pin: Pin, targets: Sequence[_Target]) -> None:
        self.refused = 0
        self._sock = sock
        self._error_estimate = clock.error_estimate()
        self._targets = targets
        self._by_sockaddr = {_as_received(target.sockaddr): target for target in targets}
        self._check = arrival.InterfaceCheck(pin) if pin.expect_interface else None
        self._buffer = bytearray(OCTETS_MAX)
        self._view = memoryview(self._buffer)
        arrival.stamp_arrivals(sock)
        if self._check:
            arrival.tell_interface(sock)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
        set_receive_buffer(sock, RECEIVE_BUFFER_BYTES)

    def fileno(self) -> int:
        """Of the socket."""
        return self._sock.fileno()

    def send(self, target: int, seq: int, unix_ns: int) -> None:
        """Sends one question.

        Raises:
            OSError: It did not leave.
        """
        to = self._targets[target]
        sequence = (seq + to.start) & SEQ_MASK
        if to.key is None:
            packet = QUESTION.pack(sequence, timestamp_of(unix_ns), self._error_estimate, to.ssid)
        else:
            packet = signed(
                SIGNED_QUESTION.pack(sequence, timestamp_of(unix_ns), self._error_estimate, to.ssid), to.key
            )
        to.newest = sequence
        self._sock.sendto(packet, to.sockaddr)

    def receive(self) -> list[Reply]:
        """Reads what is there.

        Raises:
            OSError: The socket is of no use any more.
        """
        replies: list[Reply] = []
        receive = self._sock.recvmsg_into
        buffers = [self._buffer]
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

    def _reply(self, octets: int, messages: arrival.ControlMessages, sender: SockAddr) -> Reply | None:
        target = self._by_sockaddr.get(sender)
        if target is None or target.newest is None:
            return None
        if target.key is None:
            if octets < OCTETS:
                return None
            counted, _, _, ssid, _, sequence, _, _, _ = ANSWER.unpack_from(self._buffer)
        else:
            if octets < AUTHENTICATED_OCTETS or not is_authentic(self._view, target.key):
                return None
            counted, _, _, ssid, _, sequence, _, _, _ = SIGNED_ANSWER.unpack_from(self._buffer)
        # A reflector that does not know RFC 8972 leaves the SSID 0.
        if (ssid and ssid != target.ssid) or (target.newest - sequence) & SEQ_MASK >= WINDOW:
            return None
        return Reply(
            target.index,
            (sequence - target.start) & SEQ_MASK,
            arrival.received_unix_ns(messages),
            None if counted == sequence else counted,
            self._check.wrong(messages) if self._check else "",
        )

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()


def _as_received(to: SockAddr) -> SockAddr:
    """The address as `recvmsg` tells it: in the kernel's own way to write it."""
    family = socket.AF_INET if len(to) == 2 else socket.AF_INET6
    return (socket.inet_ntop(family, socket.inet_pton(family, to[0])), *to[1:])
