"""Answers INFORMs: the sender may forget a notification when we have said that we keep it (RFC 3416 section 4.2.7)."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from netmon.errors import DecodeError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.snmp import decode_notification, encode_response
from netmon.trap_receiver.journal import Record
from netmon.trap_receiver.policy import ALLOW_LISTED, OTHER, Policy

_IP_PKTINFO = 8
"""linux/in.h; Python's socket module has no name for it before 3.14."""
_IPV4_PKTINFO = struct.Struct("=I4s4s")
_IPV6_PKTINFO = struct.Struct("=16sI")


class Responder:
    """Sends the Responses of one lane, from the address and port that the INFORM was sent to."""

    def __init__(self, settings: LaneSettings, sock: socket.socket) -> None:
        self._sock = sock
        self._limits = settings.limits
        self._policy = Policy(settings.allow, settings.trusted_relays)
        self.answered = 0
        self.failures = 0

    def answer(self, record: Record) -> None:
        """Answers an INFORM that is stored. One that policy refuses, or that does not decode, gets no answer.

        What the network refuses is counted in `failures`: the sender will ask again.
        """
        try:
            community = decode_notification(record.payload, self._limits).community
            response = encode_response(record.payload, self._limits)
        except DecodeError:
            return
        if self._policy.judge(record.peer, community) not in (ALLOW_LISTED, OTHER):
            return
        try:
            self._send(response, record)
            self.answered += 1
        except OSError as error:
            self.failures += 1
            log.warning("inform.response_failed", reason=error.strerror, peer=record.peer)

    def _send(self, response: bytes, record: Record) -> None:
        peer, _, zone = record.peer.partition("%")
        if self._sock.family == socket.AF_INET:
            local = ip_address(record.local).packed
            control = (socket.IPPROTO_IP, _IP_PKTINFO, _IPV4_PKTINFO.pack(0, local, local))
            self._sock.sendmsg([response], [control], 0, (peer, record.peer_port))
            return
        scope = int(zone) if zone.isdigit() else 0
        control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IPV6_PKTINFO.pack(_mapped(record.local), scope))
        address = (str(IPv6Address(_mapped(peer))), record.peer_port, 0, scope)
        self._sock.sendmsg([response], [control], 0, address)


def _mapped(text: str) -> bytes:
    """The 16 bytes of an address; IPv4 as an IPv4-mapped one (RFC 4291 section 2.5.5.2)."""
    address = ip_address(text.partition("%")[0])
    return b"\0" * 10 + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed
