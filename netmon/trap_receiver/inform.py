"""Answers INFORMs: the sender may forget a notification when we have said that we keep it (RFC 3416 section 4.2.7).

And the questions that SNMPv3 puts before one: who and when we are (RFC 3414 section 4), or why a message was refused. Those
are answered by Reports, which promise nothing, but are sent before anybody has proved who he is; so to anyone whose address
somebody has forged, too. Hence their rate is limited.
"""

from __future__ import annotations

import re
import secrets
import socket
import struct
import time
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from netmon.errors import DecodeError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.snmp import decode_notification, find_inform
from netmon.snmp.notification import decode_notification_v3
from netmon.snmp.response import response_message, response_pdu
from netmon.snmp.usm import Usm
from netmon.snmp.v3 import is_v3
from netmon.trap_receiver.bucket import NS, Bucket
from netmon.trap_receiver.journal.segment import Record
from netmon.trap_receiver.policy import ALLOW_LISTED, OTHER, Policy

REPORTS_RATE_MAX: Final = 1_000.0
"""Reports a second, to all together: a hundred kilobytes."""
PEER_REPORTS_RATE_MAX: Final = 50.0
"""Reports a second to one address; behind one there may be a whole site."""
REPORTS_S_MAX: Final = 0.05
"""Seconds of each cycle of commit for Reports: meanwhile nothing is brought to the disk, and no INFORM is answered."""
PEERS_MAX: Final = 4_096
"""Addresses whose Reports are counted; when so many ask in one second, the one that asked first is counted anew."""

_HEADER_OCTETS_MAX = 64
"""Where a discovery's empty engine ID is found, if it is one."""
_IP_PKTINFO = 8
"""linux/in.h; Python's socket module has no name for it before 3.14."""
_IPV4_PKTINFO = struct.Struct("=I4s4s")
_IPV6_PKTINFO = struct.Struct("=16sI")

_V2C_INFORM = re.compile(rb"\xa6(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)\x02", re.DOTALL)
"""The tag and length of an InformRequest-PDU, and the tag of its request-id. The first octet alone is in every other
datagram that is encrypted."""
_V3_REPORTABLE = re.compile(rb"\x04\x01[\x04-\x07]\x02")
"""msgFlags with reportableFlag, and the tag of what follows (RFC 3412 section 6): rare in anything else."""


_V3_QUESTION = re.compile(
    rb"\x04\x01[\x04-\x07]\x02\x01\x03\x04(?:[\x00-\x7f]|\x81.|\x82..)\x30(?:[\x00-\x7f]|\x81.|\x82..)\x04\x00",
    re.DOTALL,
)
"""The same of USM, and an empty msgAuthoritativeEngineID: a discovery, by its header alone."""


def may_want_answer(octets: bytes) -> bool:
    """Whether an INFORM or a question may be among datagrams, at a glance. False is certain."""
    return _V2C_INFORM.search(octets) is not None or _V3_REPORTABLE.search(octets) is not None


def is_question(payload: bytes) -> bool:
    """Whether a datagram is a discovery, which may wait for its Report; at a glance, True is certain enough for that."""
    return is_v3(payload) and _V3_QUESTION.search(payload, 0, _HEADER_OCTETS_MAX) is not None


class Responder:
    """Sends the Responses and Reports of one lane, from the address and port that the message was sent to.

    It counts what it does until `count_into` takes the counts away.
    """

    def __init__(self, settings: LaneSettings, sock: socket.socket) -> None:
        self._sock = sock
        self._limits = settings.limits
        self._policy = Policy(settings.allow, settings.trusted_relays)
        self._usm = Usm(settings.snmpv3, salt=secrets.randbits(64))
        self._reports = ReportRate()
        self._counts: Counter[str] = Counter()
        self._due: list[Record] = []

    def count_into(self, values: dict[str, int]) -> bool:
        """Adds what was counted to a role's counters; whether there was anything.

        `informs_answered`; `inform_send_failures`, what the network has refused: the sender will ask again;
        `reports_sent`; `reports_withheld`, because there were too many, or no time. Decode sends no Reports.
        """
        counts, self._counts = self._counts, Counter()
        for name, count in counts.items():
            values[name] += count
        return bool(counts)

    def answer(self, record: Record) -> None:
        """Answers an INFORM that is stored. One that is refused, or that does not decode, gets no answer."""
        try:
            response = self.response(record)
        except DecodeError:
            return
        if response is not None:
            self.send(response, record)

    def response(self, record: Record) -> bytes | None:
        """What is to be sent once an INFORM is stored; None for what is no INFORM, or not listened to.

        Raises:
            DecodeError: It cannot be read: `report` may have an answer.
        """
        payload = record.payload
        if is_v3(payload):
            return self._response_v3(record) if _V3_REPORTABLE.search(payload) and self._hears(record, None) else None
        if not find_inform(payload):
            return None
        community = decode_notification(payload, self._limits).community
        return response_message(payload) if self._hears(record, community) else None

    def _response_v3(self, record: Record) -> bytes | None:
        opened = self._usm.open(record.payload, record.steady_unix_ns, self._limits)
        if decode_notification_v3(opened, self._limits).pdu != "inform":
            return None
        return self._usm.respond(opened, response_pdu(opened.scoped, opened.pdu_start, opened.pdu_stop))

    def _hears(self, record: Record, community: bytes | None) -> bool:
        return self._policy.judge(record.peer, community) in (ALLOW_LISTED, OTHER)

    def send(self, response: bytes, record: Record) -> None:
        """Sends what `response` has said."""
        self._send(response, record, "informs_answered")

    def defer(self, record: Record) -> None:
        """Keeps a question, or what `response` could not read, for `report_due`, as many as may be answered in a second."""
        if len(self._due) < REPORTS_RATE_MAX:
            self._due.append(record)
        elif _V3_REPORTABLE.search(record.payload):
            self._counts["reports_withheld"] += 1

    def report_due(self) -> None:
        """Sends the Reports to what was deferred, for at most `REPORTS_S_MAX`; what is left then gets none."""
        due, self._due = self._due, []
        stop = time.monotonic() + REPORTS_S_MAX
        for index, record in enumerate(due):
            if time.monotonic() >= stop:
                withheld = len(due) - index
                self._counts["reports_withheld"] += withheld
                log.warning("inform.reports_withheld", count=withheld, reason="no time")
                return
            self.report(record)

    def report(self, record: Record) -> None:
        """Sends the Report that an SNMPv3 message is due which `response` could not read; others get none."""
        if not is_v3(record.payload) or not _V3_REPORTABLE.search(record.payload) or not self._hears(record, None):
            return
        # Asked before anything is computed: what is beyond the rate shall cost next to nothing.
        if not self._reports.admit(record.peer, time.monotonic()):
            self._counts["reports_withheld"] += 1
            log.warning("inform.report_withheld", peer=record.peer)
            return
        report = self._usm.report(record.payload, record.steady_unix_ns, self._limits)
        if report is not None:
            self._send(report, record, "reports_sent")

    def _send(self, answer: bytes, record: Record, counted: str) -> None:
        try:
            self._sendmsg(answer, record)
        except OSError as error:
            counted = "inform_send_failures"
            log.warning("inform.response_failed", reason=error.strerror, peer=record.peer)
        self._counts[counted] += 1

    def _sendmsg(self, answer: bytes, record: Record) -> None:
        peer, _, zone = record.peer.partition("%")
        if self._sock.family == socket.AF_INET:
            local = ip_address(record.local).packed
            control = (socket.IPPROTO_IP, _IP_PKTINFO, _IPV4_PKTINFO.pack(0, local, local))
            self._sock.sendmsg([answer], [control], 0, (peer, record.peer_port))
            return
        scope = int(zone) if zone.isdigit() else 0
        control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IPV6_PKTINFO.pack(_mapped(record.local), scope))
        address = (str(IPv6Address(_mapped(peer))), record.peer_port, 0, scope)
        self._sock.sendmsg([answer], [control], 0, address)


class ReportRate:
    """How many Reports go out, all together and to each address."""

    def __init__(self) -> None:
        self._all = Bucket(REPORTS_RATE_MAX, REPORTS_RATE_MAX, 0)
        self._peers: dict[str, Bucket] = {}

    def admit(self, peer: str, mono_s: float) -> bool:
        """Whether a Report to this address may be sent now.

        Args:
            peer: Its address.
            mono_s: Monotonic time, seconds.
        """
        now_ns = int(mono_s * NS)
        bucket = self._peers.get(peer)
        if bucket is None:
            if len(self._peers) >= PEERS_MAX:
                del self._peers[next(iter(self._peers))]
            bucket = self._peers[peer] = Bucket(PEER_REPORTS_RATE_MAX, PEER_REPORTS_RATE_MAX, now_ns)
        if not self._all.take(now_ns):
            return False
        if not bucket.take(now_ns):
            self._all.give_back()
            return False
        return True


def _mapped(text: str) -> bytes:
    """The 16 bytes of an address; IPv4 as an IPv4-mapped one (RFC 4291 section 2.5.5.2)."""
    address = ip_address(text.partition("%")[0])
    return b"\0" * 10 + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed
