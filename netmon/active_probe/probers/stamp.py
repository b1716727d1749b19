"""Asks STAMP reflectors (RFC 8762): one channel, many of them; loss per direction where the reflector counts by itself.

Owns what makes an answer ours: the address that was asked, a random SSID for each target (RFC 8972 section 3), and sequence numbers that
begin at a random place instead of 0. To a reflector that looks as if the first packets had been lost; to us it tells a reflector that
counts by itself from one that copies our number, which has to be known before losses are laid to a direction.
"""

from __future__ import annotations

import secrets as randomness
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from netmon.active_probe import arrival
from netmon.active_probe.probers.base import SEQ_MASK, PacketProbe, Reply
from netmon.active_probe.probers.datagram import DatagramChannel, as_received, is_recent
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
    unix_ns_of,
)
from netmon.active_probe.stamp.variation import Variation
from netmon.active_probe.vantage.pinning import SockAddr, family_of, make_socket, sockaddr_of
from netmon.errors import ConfigError
from netmon.inventory.probes import Pin, StampProbe

TTL: Final = 255
"""So that the TTL that the reflector tells counts the hops (RFC 5357 section 4.1.2)."""
SSID_MAX: Final = 0xFFFF
_START_MIN: Final = 1 << 16


class _Target:
    """One reflector."""

    __slots__ = ("index", "key", "newest", "sockaddr", "ssid", "start", "variation")

    def __init__(self, index: int, ssid: int, sockaddr: SockAddr, key: bytes | None) -> None:
        self.index = index
        self.sockaddr = sockaddr
        self.key = key
        self.ssid = ssid
        self.start = _START_MIN + randomness.randbelow(SEQ_MASK - 2 * _START_MIN)
        self.newest: int | None = None
        """Sequence number on the wire that was sent last."""
        self.variation = Variation()


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


class StampChannel(DatagramChannel):
    """See `PacketProber`."""

    def __init__(self, sock: socket.socket, pin: Pin, targets: Sequence[_Target]) -> None:
        super().__init__(sock, pin, targets=len(targets), octets_max=OCTETS_MAX)
        self._targets = targets
        self._by_sockaddr = {as_received(target.sockaddr): target for target in targets}
        self._view = memoryview(self._buffer)
        self._error_estimate = clock.error_estimate()
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)

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

    def variation(self, target: int) -> tuple[float, float] | None:
        """See `PacketProber`."""
        of = self._targets[target].variation
        return (of.forward_s, of.backward_s) if of.known else None

    def _reply(self, octets: int, messages: arrival.ControlMessages, sender: SockAddr) -> Reply | None:
        target = self._by_sockaddr.get(sender)
        if target is None or target.newest is None:
            return None
        if target.key is None:
            if octets < OCTETS:
                return None
            counted, answered, estimate, ssid, arrived, sequence, asked, _, _ = ANSWER.unpack_from(self._buffer)
        else:
            if octets < AUTHENTICATED_OCTETS or not is_authentic(self._view, target.key):
                return None
            counted, answered, estimate, ssid, arrived, sequence, asked, _, _ = SIGNED_ANSWER.unpack_from(self._buffer)
        # A reflector that does not know RFC 8972 leaves the SSID 0.
        if (ssid and ssid != target.ssid) or not is_recent(sequence, target.newest):
            return None
        received_unix_ns = arrival.received_unix_ns(messages)
        target.variation.note(
            sequence,
            unix_ns_of(arrived, estimate) - unix_ns_of(asked),
            received_unix_ns - unix_ns_of(answered, estimate),
        )
        return Reply(
            target.index,
            (sequence - target.start) & SEQ_MASK,
            received_unix_ns,
            None if counted == sequence else counted,
            self._wrong_interface(messages),
        )
