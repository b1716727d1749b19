"""What is on its way to Redis: batches, and the books of the streams that they are for.

The traps and the rejects stream are filled in the order of one cursor, decode's own; the express stream in the order of
another, which runs ahead. Each cursor has a `Track`: how far it is in the journal, and what of that Redis has.
"""

from __future__ import annotations

from collections import Counter

from netmon.buffer.stream import EncodeEntry, EntryId
from netmon.snmp import Notification
from netmon.trap_receiver.event import EventWriter
from netmon.trap_receiver.journal.segment import Position, Record
from netmon.trap_receiver.resume import Known


class Track:
    """The books of one cursor and its streams, by the names that they have in decode's state.

    Attributes:
        present_seq: Redis has all entries up to this seq.
        sent_seq: Entries up to this seq are counted in the streams' lengths.
        counted_seq: Datagrams up to this seq are counted; what comes before it again is sent again, and not counted.
        changed: The streams have been seen with other lengths than they should have.
    """

    def __init__(self, values: dict[str, int], prefix: str, place: str, lengths: tuple[str, ...], stored: str) -> None:
        """Args:
        values: Decode's state.
        prefix: Of the names for the last entry sent and for the floor.
        place: Prefix of the names for the place in the journal.
        lengths: Names of the streams' lengths.
        stored: Name of the count of accepted notifications.
        """
        self._values = values
        self._sent = (f"{prefix}sent_ms", f"{prefix}sent_seq")
        self._floor = (f"{prefix}floor_ms", f"{prefix}floor_seq")
        self._place = (f"{place}segment", f"{place}offset", f"{place}seq")
        self._stored = stored
        self.lengths = lengths
        self.keys: tuple[str, ...] = ()
        """Keys of the streams, as long as `lengths`."""
        self.present_seq = self.sent_seq = self.counted_seq = 0
        self.changed = False

    @property
    def sent(self) -> EntryId:
        """Last entry that Redis has acknowledged."""
        return EntryId(*(self._values[name] for name in self._sent))

    @sent.setter
    def sent(self, entry_id: EntryId) -> None:
        self._values.update(zip(self._sent, entry_id, strict=True))

    @property
    def floor(self) -> EntryId:
        """Entries up to this one are not expected any more: they were trimmed on purpose."""
        return EntryId(*(self._values[name] for name in self._floor))

    @floor.setter
    def floor(self, entry_id: EntryId) -> None:
        self._values.update(zip(self._floor, entry_id, strict=True))

    @property
    def place(self) -> Position:
        """The place in the journal behind what is settled."""
        return Position(*(self._values[name] for name in self._place))

    @place.setter
    def place(self, position: Position) -> None:
        self._values.update(zip(self._place, position, strict=True))

    def known(self) -> Known:
        """What the last settled batch left behind."""
        traps, rejects, *_ = (*(self._values[name] for name in self.lengths), 0)
        return Known(self.sent, self.floor, traps, rejects, bool(self._values["trimming"]), self.changed)

    def expects(self, lengths: tuple[int, ...]) -> bool:
        """Whether the streams may have these lengths."""
        # While entries are counted that Redis had already, the lengths run ahead of the count.
        counting = self._values[self._sent[1]] < self.present_seq
        return counting or lengths == tuple(self._values[name] for name in self.lengths)

    def settle(self, batch: Batch) -> None:
        """Takes a batch into the books: Redis has it."""
        values = self._values
        values[self._stored] += len(batch.received_unix_ns)
        if batch.last_seq > values[self._sent[1]]:
            self.sent = EntryId(batch.last_ms, batch.last_seq)
        for name, entries in zip(self.lengths, (batch.traps, batch.rejects), strict=False):
            values[name] += entries
        if batch.after.seq > values[self._place[2]]:
            self.place = batch.after
        self.look_up()

    def look_up(self) -> None:
        """What every record is compared with, out of the counters."""
        self.sent_seq, self.counted_seq = self._values[self._sent[1]], self._values[self._place[2]]


class Batch:
    """Datagrams between being decoded and being settled."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.commands: list[bytes] = []
        """What Redis is to do, encoded."""
        self.last_ms = 0
        """ID of the newest entry, whether it is to be sent or there already."""
        self.last_seq = 0
        self.traps = 0
        """Entries by which the traps stream, or the express stream, is longer afterwards."""
        self.rejects = 0
        self.counts: Counter[str] = Counter()
        """What is to be counted, by the names of the decode state."""
        self.received_unix_ns: list[int] = []
        """Receive times of the accepted notifications that are counted."""
        self.informs: list[Record] = []
        """INFORMs that are counted, to be answered once they are stored."""
        self.parked: list[tuple[int, str]] = []
        """Datagrams of the frame at hand that are to be marked as parked: seq and reason."""
        self.needs_marks = False
        """The batch relies on marks, which have to be on the disk before it is sent."""
        self.after = Position(0, 0, 0)
        """The place in the journal behind the batch."""
        self.datagrams = 0


class Acceptor:
    """Puts accepted notifications into the batches of one track."""

    def __init__(self, track: Track, events: EventWriter) -> None:
        self._track = track
        self._events = events
        self.encode: EncodeEntry
        """`Streams.encode_trap` or `Streams.encode_express`, without a detour for every trap."""

    def accept(self, ms: int, seq: int, record: Record, notification: Notification, trust: str, batch: Batch) -> None:
        """An entry for the stream, and what is counted of it."""
        track = self._track
        body, first_copy = self._events.trap(seq, record, notification, trust)
        batch.last_ms, batch.last_seq = ms, seq
        if seq > track.present_seq:
            batch.commands.append(self.encode(ms, seq, body))
        if seq > track.sent_seq:
            batch.traps += 1
        if seq <= track.counted_seq:
            batch.counts["refilled"] += seq > track.present_seq
            return
        batch.received_unix_ns.append(record.received_unix_ns)
        if notification.flags:
            batch.counts["flagged"] += 1
        if notification.pdu == "inform":
            batch.informs.append(record)
            if first_copy is not None:
                batch.counts["duplicates"] += 1
