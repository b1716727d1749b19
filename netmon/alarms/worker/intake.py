"""From entries of the streams to observations in the book: decoding, matching, counting.

No I/O: the leader hands in what its readers have read. An entry that netmon itself cannot work on stops nothing: the leader is
told which one it was, begins anew from Redis, and leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from netmon.alarms.model import Evidence, Observation
from netmon.alarms.rules.matcher import Matcher
from netmon.alarms.worker.passive import Arrival, PassiveLines
from netmon.alarms.worker.report import Counts
from netmon.buffer.alarm_reader import Batch
from netmon.canary.message import MARK
from netmon.errors import NetmonError
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent

SENDERS_MAX: Final = 50_000
"""Senders of whom it is remembered where they are; beyond it, all are looked up again."""

_decode = msgspec.json.Decoder(TrapEvent).decode


class EntryError(NetmonError):
    """An entry that netmon fails at, for a fault of its own; what is in memory may be half done."""

    def __init__(self, key: str, entry_id: bytes) -> None:
        super().__init__(f"{key} {entry_id.decode()}")
        self.entry = (key, entry_id)


class Intake:
    """Takes batches of the lanes' streams.

    Attributes:
        area_seconds: (area ID, second since 1970 in which it was received) to notifications, since they were last taken.
        area_totals: Area ID to notifications.
        passive: What has come over lines.
    """

    def __init__(
        self,
        matcher: Matcher,
        topology: Topology,
        counts: Counts,
        observe: Callable[[Observation, int], None],
        *,
        unmatched: Callable[[TrapEvent], None],
        hear: Callable[[TrapEvent], None],
        left_out: Iterable[tuple[str, bytes]] = (),
        passive: PassiveLines | None = None,
    ) -> None:
        """Prepares.

        Args:
            matcher: The rules.
            topology: The region.
            counts: Counted up here.
            observe: Gets what notifications say, and the time.
            unmatched: Gets notifications that no rule knows.
            hear: Gets every notification, for what it says beside alarms.
            left_out: Stream key and ID of entries that netmon failed at.
            passive: Is told who sent something over which line; None: nobody is.
        """
        self.area_seconds: dict[tuple[str, int], int] = {}
        self.area_totals: dict[str, int] = dict.fromkeys(topology.areas, 0)
        self._match = matcher.match
        self._topology = topology
        self._counts = counts
        self._observe = observe
        self._unmatched = unmatched
        self._hear = hear
        self._left_out = frozenset(left_out)
        self.passive = passive or PassiveLines(topology, (), "")
        self._senders: dict[tuple[str, str | None], tuple[str, Arrival | None]] = {}
        """The area of each, and what it shows of a line when it sends something."""

    def take(self, batch: Batch, now_unix_ns: int) -> None:
        """Takes all entries of a batch, in order. Raises EntryError."""
        key = batch.key
        for entry_id, fields in batch.entries:
            try:
                self._take(key, entry_id, fields, now_unix_ns)
            except Exception as error:
                # One notification must not keep all others from being seen, whatever it is that we did not think of.
                raise EntryError(key, entry_id) from error

    def _take(self, key: str, entry_id: bytes, fields: list[bytes], now_unix_ns: int) -> None:
        counts = self._counts
        event = self._event(key, entry_id, fields)
        if event is None:
            return
        match = self._match(event, Evidence(key, entry_id.decode()))
        self._count_sender(event)
        self._hear(event)
        if not match.rule_ids:
            counts.unmatched += 1
            self._unmatched(event)
            return
        if not match.observations:
            counts.ignored += 1
            return
        counts.matched += 1
        for observation in match.observations:
            self._observe(observation, now_unix_ns)

    def _event(self, key: str, entry_id: bytes, fields: list[bytes]) -> TrapEvent | None:
        """The notification in an entry; None, and counted, for anything else."""
        counts = self._counts
        if len(fields) != 2 or fields[0] != b"trap":
            if fields and fields[0] == b"reject":
                counts.rejects += 1
            else:
                counts.foreign += 1
            return None
        body = fields[1]
        if MARK in body:
            counts.canaries += 1
            return None
        if self._left_out and (key, entry_id) in self._left_out:
            counts.failed += 1
            return None
        try:
            event = _decode(body)
        except msgspec.DecodeError:
            counts.foreign += 1
            return None
        if event.duplicate_of is not None:
            # Its time of reception is later than what it tells of: it could undo what has happened since.
            counts.duplicates += 1
            return None
        return event

    def _count_sender(self, event: TrapEvent) -> None:
        sender = (event.source, event.engine_id)
        known = self._senders.get(sender)
        if known is None:
            known = self._sender(event)
            if len(self._senders) >= SENDERS_MAX:
                self._senders.clear()
            self._senders[sender] = known
        area, arrival = known
        if arrival is not None and event.received_unix_ns > arrival.unix_ns:
            arrival.unix_ns = event.received_unix_ns
        if area:
            second = (area, event.received_unix_ns // 1_000_000_000)
            self.area_seconds[second] = self.area_seconds.get(second, 0) + 1
            self.area_totals[area] += 1

    def _sender(self, event: TrapEvent) -> tuple[str, Arrival | None]:
        device = self._topology.device_of(event.source, event.engine_id)
        if device is None:
            return "", None
        return self._topology.place(device.id).area, self.passive.arrival(device.id)
