"""What the files of a lane's journal tell without a running netmon: its segments, and what waits in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Final

import msgspec

from netmon.errors import DecodeError
from netmon.snmp.v3 import is_v3, read_message
from netmon.trap_receiver.journal.marks import EXPRESS, LATE_MARKS, REASON_OF, Marks
from netmon.trap_receiver.journal.segment import (
    Position,
    Record,
    read_segment_header,
    records,
    segment_path,
    segments,
)
from netmon.trap_receiver.late.feed import decoded_limit
from netmon.trap_receiver.late.reread import frame_heads, frames
from netmon.trap_receiver.late.waiting import ALL_MARKS, find
from netmon.trap_receiver.ledger import COMMIT_STATE
from netmon.trap_receiver.state import read_state

SOURCES_MAX: Final = 65_536
"""Sources that are told apart; those that come later are counted together."""
OTHER_SOURCES: Final = "others"
CANARY_OID: Final = bytes.fromhex("06 08 2b 06 01 03 89 0a 00 01")
"""A canary's snmpTrapOID.0 in BER: 1.3.6.1.3.1162.0.1."""
_FOREVER_NS: Final = 1 << 63


class Span(msgspec.Struct, frozen=True):
    """Which datagrams are meant."""

    from_unix_ns: int = 0
    """Received at this time or later."""
    to_unix_ns: int = _FOREVER_NS
    """Received before this time."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """From these addresses; empty: from all."""
    canary: bool = True
    """Canaries, too."""

    def has(self, record: Record) -> bool:
        """Whether a datagram is meant."""
        if not self.from_unix_ns <= record.received_unix_ns < self.to_unix_ns:
            return False
        if not self.canary and CANARY_OID in record.payload:
            return False
        if not self.networks:
            return True
        peer = ip_address(record.peer.partition("%")[0])
        return any(peer in network for network in self.networks)


class SegmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One segment of a journal."""

    first_seq: int
    last_seq: int
    """Less than `first_seq` when it holds nothing yet."""
    datagrams: int
    """Of those between, the ones that are there."""
    size_bytes: int
    created_unix_ns: int
    first_ms: int
    """When its first frame was written, milliseconds since 1970; 0 when it has none."""
    last_ms: int
    shipped: bool
    """Decode has passed it: nothing in it waits for its turn."""
    marks: dict[str, int]
    """Datagrams that were not decoded in their turn: `express`, `late`, and the reason of what waits."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams of one lane that wait for the same reason, from one source that claims one user of one engine."""

    reason: str
    peer: str
    user: str | None
    """msgUserName that an SNMPv3 header claims; nothing has proved it. None for other datagrams."""
    engine_id: str | None
    """msgAuthoritativeEngineID that it claims, in hexadecimal."""
    datagrams: int
    oldest_unix_ns: int
    newest_unix_ns: int


def segment_facts(directory: Path) -> list[SegmentFacts]:
    """The segments of a journal, oldest first; may be empty."""
    marks = Marks(directory)
    shipped = decoded_limit(directory).segment
    try:
        return [_facts(directory, first, marks, shipped) for first in segments(directory)]
    finally:
        marks.close()


def _facts(directory: Path, segment: int, marks: Marks, shipped: int) -> SegmentFacts:
    path = segment_path(directory, segment)
    heads = list(frame_heads(path))
    header = read_segment_header(path)
    found = Counter(marks.read_all(segment))
    marks.forget(segment)
    named = {EXPRESS: "express", **dict.fromkeys(LATE_MARKS.values(), "late"), **REASON_OF}
    by_name: Counter[str] = Counter()
    for mark, name in named.items():
        by_name[name] += found[mark]
    return SegmentFacts(
        first_seq=segment,
        last_seq=heads[-1][1] + heads[-1][0] - 1 if heads else segment - 1,
        datagrams=sum(count for count, _, _ in heads),
        size_bytes=path.stat().st_size,
        created_unix_ns=header.created_unix_ns if header else 0,
        first_ms=heads[0][2] if heads else 0,
        last_ms=heads[-1][2] if heads else 0,
        shipped=segment < shipped,
        marks={name: count for name, count in by_name.items() if count},
    )


def segments_of(directory: Path, span: Span) -> list[int]:
    """The segments that may hold datagrams of a time, oldest first.

    A frame is written after its datagrams were received, soon or, when the journal was full, late; so the time of a segment's
    frames does not end before that of its datagrams. One more on either side, for a clock that was set.
    """
    kept = segments(directory)
    begins = [_first_ns(directory, first) for first in kept]
    ends = [*begins[1:], _FOREVER_NS]
    meant = [
        index
        for index, (begin, end) in enumerate(zip(begins, ends, strict=True))
        if min(begin, end) < span.to_unix_ns and max(begin, end) >= span.from_unix_ns
    ]
    return kept[max(0, meant[0] - 1) : meant[-1] + 2] if meant else []


def _first_ns(directory: Path, segment: int) -> int:
    head = next(frame_heads(segment_path(directory, segment)), None)
    return head[2] * 1_000_000 if head else _FOREVER_NS


def select(directory: Path, span: Span) -> Iterator[tuple[int, Record]]:
    """The datagrams of the durable journal that are meant, oldest first: seq and record."""
    values = read_state(directory / COMMIT_STATE)
    limit = Position(values.get("segment", 0), values.get("offset", 0), values.get("seq", 0))
    for segment in segments_of(directory, span):
        for frame in frames(directory, segment, limit):
            for seq, record in enumerate(records(frame), frame.first_seq):
                if span.has(record):
                    yield seq, record


def waiting(directory: Path) -> list[Waiting]:
    """What waits in a lane, the most frequent first."""
    limit = decoded_limit(directory)
    marks = Marks(directory)
    groups: dict[tuple[str, str, str | None, str | None], list[int]] = {}
    for segment in segments(directory):
        for frame, chosen in find(marks, segment, limit, ALL_MARKS):
            for seq, record in enumerate(records(frame), frame.first_seq):
                if seq in chosen:
                    _add(groups, REASON_OF[chosen[seq]], record)
        marks.forget(segment)
    found = [
        Waiting(
            reason=reason,
            peer=peer,
            user=user,
            engine_id=engine,
            datagrams=count,
            oldest_unix_ns=oldest,
            newest_unix_ns=newest,
        )
        for (reason, peer, user, engine), (count, oldest, newest) in groups.items()
    ]
    return sorted(found, key=lambda group: group.datagrams, reverse=True)


def _add(groups: dict[tuple[str, str, str | None, str | None], list[int]], reason: str, record: Record) -> None:
    key = (reason, record.peer, *claimed(record.payload))
    if key not in groups and len(groups) >= SOURCES_MAX:
        key = (reason, OTHER_SOURCES, None, None)
    received = record.received_unix_ns
    group = groups.setdefault(key, [0, received, received])
    group[:] = group[0] + 1, min(group[1], received), max(group[2], received)


def claimed(datagram: bytes) -> tuple[str | None, str | None]:
    """User and engine ID that the header of an SNMPv3 message claims; it needs no key, and proves nothing."""
    if not is_v3(datagram):
        return None, None
    try:
        message = read_message(datagram)
    except (DecodeError, IndexError):
        return None, None
    return message.user.decode("utf-8", "backslashreplace"), message.engine_id.hex()
