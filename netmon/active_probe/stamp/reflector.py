"""The Session-Reflector of RFC 8762: answers STAMP questions, and nothing else.

Owns what is answered, and that no answer is longer than its question: nobody makes more of a forged source by it than he sends himself
(RFC 8762 section 7). One thread, one epoll; what it refuses, it counts by name.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import struct
import time
from collections import Counter
from typing import Final, NamedTuple

import msgspec

from netmon.active_probe import arrival
from netmon.active_probe.stamp import clock
from netmon.active_probe.stamp.packet import (
    OCTETS,
    OCTETS_MAX,
    PTP,
    Answer,
    Format,
    decode_question,
    encode_answer,
    extensions_answered,
    timestamp_of,
)
from netmon.active_probe.stamp.sessions import Allowed, Limits, Network, Sessions
from netmon.active_probe.vantage.pinning import PinError, SockAddr, family_of, make_socket
from netmon.errors import ConfigError, DecodeError, NetmonError
from netmon.inventory.probes import Pin
from netmon.log import log
from netmon.sockets import IP_PKTINFO, Address, has_ipv6, name_of, parse_address, set_receive_buffer

RECEIVE_BUFFER_BYTES: Final = 4 << 20
DRAIN_MAX: Final = 64
"""Datagrams of one socket, before the others have their turn."""
MINUTE_NS: Final = 60 * 1_000_000_000
TTL: Final = 255
"""So that whoever asked can count the hops back (RFC 5357 section 4.2.1)."""
TOTAL_MAX: Final = 50_000
SOURCE_MAX: Final = 20_000

_PKTINFO_4: Final = struct.Struct("=i4s4s")
"""Interface, our address, destination (struct in_pktinfo)."""
_PKTINFO_6: Final = struct.Struct("=16si")
_MULTICAST_6: Final = 0xFF


class ReflectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of one reflector."""

    listen: tuple[str, ...]
    """ADDRESS:PORT each; `[::]` is every address, `0.0.0.0` every one of IPv4."""
    interface: str = ""
    """Answers only what comes in by it."""
    key: bytes | None = None
    """Then answers only what is signed with it."""
    allow: tuple[Network, ...] = ()
    """Sources; empty: all."""
    stateless: bool = False
    """Answers carry the question's number instead of the reflector's own, so that nobody can tell by which direction a packet was lost."""
    total_max: int = TOTAL_MAX
    """Answers a second."""
    source_max: int = SOURCE_MAX
    """Answers a second to one address."""

    def __repr__(self) -> str:
        """Without the key."""
        return f"ReflectorSettings(listen={self.listen!r})"


class Arrived(NamedTuple):
    """One datagram and what the kernel tells of it."""

    data: memoryview
    sender: SockAddr
    where: object
    """Where it arrived: the same for all questions of a session."""
    received_unix_ns: int
    """0: the kernel did not say."""
    ttl: int


class RefusedError(NetmonError):
    """A datagram that gets no answer; `reason` is a word of a closed set."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reflection:
    """Questions to answers; knows no sockets."""

    def __init__(self, settings: ReflectorSettings) -> None:
        self.answered = 0
        self.refused: Counter[str] = Counter()
        self.sessions = Sessions()
        self._key = settings.key
        self._stateless = settings.stateless
        self._allowed = Allowed(settings.allow)
        self._limits = Limits(settings.total_max, settings.source_max)
        self._estimates = (0, 0)
        self.look_at_clock()

    def look_at_clock(self) -> None:
        """Reads how far the clock may be off; now and then."""
        self._estimates = (clock.error_estimate("ntp"), clock.error_estimate("ptp"))

    def answer(self, arrived: Arrived, mono_ns: int) -> bytes:
        """The answer.

        Raises:
            RefusedError: `not_allowed`, `rate_total`, `rate_source`.
            DecodeError: It is no question.
        """
        source = arrived.sender[0]
        if source not in self._allowed:
            raise RefusedError("not_allowed")
        refusal = self._limits.refusal(source, mono_ns)
        if refusal:
            raise RefusedError(refusal)
        question = decode_question(arrived.data, self._key)
        number = None
        if not self._stateless:
            number = self.sessions.next_number((arrived.where, arrived.sender, question.ssid), mono_ns)
        # In the format of the question: whoever asks for PTP reads PTP.
        is_ptp = bool(question.error_estimate & PTP)
        style: Format = "ptp" if is_ptp else "ntp"
        now_unix_ns = time.time_ns()
        self.answered += 1
        answer = Answer(
            question.sequence if number is None else number,
            timestamp_of(now_unix_ns, style),
            self._estimates[is_ptp],
            question.ssid,
            timestamp_of(arrived.received_unix_ns or now_unix_ns, style),
            question.sequence,
            question.timestamp,
            question.error_estimate,
            arrived.ttl,
        )
        return encode_answer(answer, self._key) + self._extensions(arrived.data)

    def _extensions(self, data: memoryview) -> bytes:
        # Unsigned extensions do not go back under a key: the answer is what RFC 8762 alone knows, and shorter than the question.
        if self._key is not None or len(data) == OCTETS:
            return b""
        return extensions_answered(data[OCTETS:])


class _Listener(NamedTuple):
    sock: socket.socket
    is_wildcard: bool
    """Then the answer has to be told by which of our addresses it leaves."""


class Reflector:
    """Sockets, and the loop that answers."""

    def __init__(self, settings: ReflectorSettings) -> None:
        """Listens.

        Raises:
            ConfigError: Addresses that cannot be listened at, all of them, with the cure.
        """
        self._reflection = Reflection(settings)
        self._listeners: dict[int, _Listener] = {}
        self._stopped = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        mistakes: list[str] = []
        self._listen(settings, mistakes)
        if mistakes:
            self.close()
            raise ConfigError(mistakes)
        self.listening = [name_of(listener.sock) for listener in self._listeners.values()]
        """ADDRESS:PORT each, as bound."""
        self._ports = {listener.sock.getsockname()[1] for listener in self._listeners.values()}

    @property
    def reflection(self) -> Reflection:
        """What it answered and refused."""
        return self._reflection

    def _listen(self, settings: ReflectorSettings, mistakes: list[str]) -> None:
        wanted = [address for listen in settings.listen if (address := _parsed(listen, mistakes)) is not None]
        for address in wanted:
            try:
                if address.host != "::":
                    self._add(_listening(address, settings.interface))
                    continue
                # All addresses, as anywhere else in netmon; but of each family by itself, for their control messages differ.
                port = address.port
                if has_ipv6():
                    self._add(sock := _listening(address, settings.interface))
                    port = sock.getsockname()[1]
                if Address("0.0.0.0", address.port) not in wanted:  # noqa: S104 - as told
                    self._add(_listening(Address("0.0.0.0", port), settings.interface))  # noqa: S104 - as told
            except ConfigError as error:
                mistakes += error.mistakes

    def _add(self, sock: socket.socket) -> None:
        is_wildcard = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_unspecified
        if is_wildcard:
            arrival.tell_interface(sock)
        self._listeners[sock.fileno()] = _Listener(sock, is_wildcard)
        self._epoll.register(sock, select.EPOLLIN)

    def run(self) -> None:
        """Answers until `stop`; tells each minute what it did."""
        due_ns = time.monotonic_ns() + MINUTE_NS
        while not self._stopped:
            mono_ns = time.monotonic_ns()
            if mono_ns >= due_ns:
                due_ns = mono_ns + MINUTE_NS
                self._tell(mono_ns)
            for fd, _ in self._epoll.poll((due_ns - mono_ns) / 1e9):
                if fd in self._listeners:
                    self._drain(self._listeners[fd])
        self._tell(time.monotonic_ns())

    def stop(self) -> None:
        """Makes `run` return soon; may be called from a signal handler or another thread."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Closes all sockets."""
        for listener in self._listeners.values():
            listener.sock.close()
        self._epoll.close()
        os.close(self._wake)

    def _tell(self, mono_ns: int) -> None:
        reflection = self._reflection
        reflection.sessions.forget_idle(mono_ns)
        reflection.look_at_clock()
        log.info(
            "reflector.minute_counted",
            answered=reflection.answered,
            refused=dict(reflection.refused),
            sessions=len(reflection.sessions),
        )

    def _drain(self, listener: _Listener) -> None:
        buffer = bytearray(OCTETS_MAX + 1)
        view = memoryview(buffer)
        for _ in range(DRAIN_MAX):
            try:
                octets, messages, _, sender = listener.sock.recvmsg_into([buffer], arrival.ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of somebody who asked and went away
                continue
            try:
                self._answer(listener, view[:octets], messages, sender)
            except (RefusedError, DecodeError) as error:
                self._reflection.refused[error.reason] += 1

    def _answer(
        self, listener: _Listener, data: memoryview, messages: arrival.ControlMessages, sender: SockAddr
    ) -> None:
        # Another reflector that a forged question has set on us.
        if sender[1] in self._ports:
            raise RefusedError("from_reflector")
        way = way_back(messages) if listener.is_wildcard else None
        arrived = Arrived(
            data,
            sender,
            listener.sock.fileno() if way is None else way.where,
            arrival.received_unix_ns(messages),
            arrival.ttl_of(messages),
        )
        answer = self._reflection.answer(arrived, time.monotonic_ns())
        try:
            if way is None:
                listener.sock.sendto(answer, sender)
            else:
                listener.sock.sendmsg([answer], [way.message], 0, sender)
        except OSError:
            raise RefusedError("cannot_send") from None


class Way(NamedTuple):
    """How an answer leaves by the address that was asked."""

    where: bytes
    """Our address that was asked."""
    message: tuple[int, int, bytes]
    """Has the answer leave from that address."""


def way_back(messages: arrival.ControlMessages) -> Way:
    """How to answer a datagram that came to any of our addresses.

    Raises:
        RefusedError: `broadcast`: it was sent to many, and one question would have many answers.
    """
    for level, kind, data in messages:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            _, ours, asked = _PKTINFO_4.unpack_from(data)
            if ours == asked:
                return Way(ours, (level, kind, _PKTINFO_4.pack(0, ours, bytes(4))))
        if level == socket.IPPROTO_IPV6 and kind == arrival.IPV6_PKTINFO:
            asked, interface = _PKTINFO_6.unpack_from(data)
            if asked[0] != _MULTICAST_6:
                scope = interface if asked[:2] == b"\xfe\x80" else 0
                return Way(asked, (level, kind, _PKTINFO_6.pack(asked, scope)))
    raise RefusedError("broadcast")


def _parsed(listen: str, mistakes: list[str]) -> Address | None:
    try:
        return parse_address(listen)
    except ConfigError as error:
        mistakes += [f"--{mistake}" for mistake in error.mistakes]
        return None


def _listening(address: Address, interface: str) -> socket.socket:
    family = family_of(address.host)
    where = f"[{address.host}]:{address.port}" if family == socket.AF_INET6 else f"{address.host}:{address.port}"
    try:
        sock = make_socket(Pin(interface=interface), family, socket.SOCK_DGRAM)
    except PinError as error:
        raise ConfigError([f"--listen {where}: {error.strerror}"]) from None
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
            host, _, zone = address.host.partition("%")
            sock.bind((host, address.port, 0, socket.if_nametoindex(zone) if zone else 0))
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
            sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise ConfigError([f"--listen {where}: {_cure(address, error)}"]) from None
    arrival.stamp_arrivals(sock)
    arrival.tell_ttl(sock)
    set_receive_buffer(sock, RECEIVE_BUFFER_BYTES)
    return sock


def _cure(address: Address, error: OSError) -> str:
    cures = {
        errno.EADDRINUSE: f"the port is in use; `ss -ulpn 'sport = :{address.port}'` says by whom",
        errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; add it to AmbientCapabilities= of the service, or take another port",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address; `ip address` lists them",
    }
    return cures.get(error.errno or 0, error.strerror or str(error))
