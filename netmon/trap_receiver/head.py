"""Head: the cursor that runs ahead of decode while it is far behind, and sends what goes first.

A storm begins when decode is too far behind the journal's end, and ends when decode has come to where head is. Between
the two, head looks at every datagram that arrives, and marks it (`marks`) before anything is sent: `EXPRESS` is decoded now, a
datagram that is shed waits for late, and `TURN` keeps its turn. Decode, when it comes by, believes the marks. So does head
after a restart: what is marked is not sorted again, and what is marked `EXPRESS` and not in the stream is sent again.
"""

from __future__ import annotations

import time
from pathlib import Path

from netmon.errors import DecodeError, disk_cure
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.snmp import Notification
from netmon.trap_receiver.batch import Acceptor, Batch
from netmon.trap_receiver.decoder import Decoder
from netmon.trap_receiver.disk import sync_file
from netmon.trap_receiver.event import EventWriter
from netmon.trap_receiver.express import AUTHENTIC, Sorter, Source, glance
from netmon.trap_receiver.feed import Feed
from netmon.trap_receiver.journal.marks import EXPRESS, TURN, UNSEEN, Marks, marks_path
from netmon.trap_receiver.journal.segment import Frame, Position, Reader, Record, locate, records

_SLICE_S = 0.01
"""Time after which head lets decode have a batch, which takes about as long; a frame is finished first."""
_COMMANDS_MAX = 512
"""Express entries of one batch; a frame may bring up to 511 beyond."""
_LAG_MAX = 20_000
"""Datagrams by which head may itself be behind; then it goes on at the journal's end, and what lies between keeps its turn:
what goes first is worth that only while it is new. Head looks at so many in half a second, or in a tenth."""
_LOOK_BACK_MAX = 10_000
"""Datagrams before the journal's end with which a storm begins: what came in the moments before it was noticed."""

Decoded = tuple[Notification, str]
"""A notification and its trust tier."""


class CursorMarks:
    """Marks as a cursor comes by them: however many segments it goes through, one file is open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._marks = Marks(directory)
        self._segment = 0

    def read(self, frame: Frame) -> bytes:
        """The marks of a frame."""
        self._turn_to(frame.after.segment)
        return self._marks.read(self._segment, frame.first_seq, len(frame.lengths))

    def write(self, frame: Frame, first_seq: int, marks: bytes) -> None:
        """Marks successive datagrams of a frame. Raises OSError: the disk is full."""
        self._turn_to(frame.after.segment)
        self._marks.write(self._segment, first_seq, marks)

    def sync(self) -> None:
        """Brings what was written to the disk. After a failure it stands all the same, but for a power cut."""
        try:
            self._marks.sync()
        except OSError as error:
            log.error(
                "decode.marks_not_synced",
                reason=error.strerror,
                directory=str(self._directory),
                cure=disk_cure(error),
            )

    def _turn_to(self, segment: int) -> None:
        if segment != self._segment:
            self.sync()
            self._marks.close()
            self._segment = segment


class Head:
    """The head cursor of one lane."""

    def __init__(self, settings: LaneSettings, feed: Feed, decoder: Decoder, events: EventWriter) -> None:
        """Nothing is read before `attach`."""
        self._directory = Path(settings.directory)
        self._settings = settings.shedding
        self._values = feed.values
        self._feed = feed
        self._decoder = decoder
        self._acceptor = Acceptor(feed.express, events)
        self._informs_wait = settings.inform_ack == "journal"
        self._sorter = self._new_sorter()
        self._reader = Reader(self._directory, Position(0, 0, 0))
        self._end = Position(0, 0, 0)
        self._redo_seq = 0
        self._marks = CursorMarks(self._directory)
        self.marked_seq = 0
        """No datagram behind this one has a mark."""
        self.synced_seq = 0
        """The marks of all datagrams up to this one are on the disk."""

    def _new_sorter(self) -> Sorter:
        return Sorter(self._settings, time.time_ns())

    @property
    def shedding(self) -> bool:
        """Whether a storm is on."""
        return bool(self._values["shedding"])

    def attach(self, limit: Position) -> None:
        """Finds out, after `Feed.attach`, where to go on, and what of the express stream Redis has lost.

        Args:
            limit: How far the journal may be read.
        """
        track = self._feed.express
        self._acceptor.encode = self._feed.streams.encode_express
        every = Marks(self._directory)
        marked = every.segments()
        self.marked_seq = marked[-1] + len(every.read_all(marked[-1])) - 1 if marked else 0
        first, last = _find_express(every, min(track.present_seq, track.counted_seq))
        every.close()
        for segment in marked:
            if segment >= self._values["segment"]:
                # What a predecessor had written, and was killed before it was on the disk.
                sync_file(marks_path(self._directory, segment))
        self.synced_seq = self.marked_seq
        self._redo_seq = last
        self._end = track.place
        redo = first and (first <= self._end.seq or not self.shedding)
        self._reader.seek(locate(self._directory, first, limit) if redo else self._end)

    # -- the storm

    def bound(self, durable: Position, main_seq: int) -> Position:
        """Begins or ends the storm; returns how far decode may go.

        Args:
            durable: How far the journal may be read.
            main_seq: How far decode has come.
        """
        if self.shedding:
            # Switched off by a reload, it ends at once: what is marked is marked, and the rest has its turn.
            if self._settings.backlog_max and main_seq < self._end.seq:
                return self._end
            self._finish()
        elif durable.seq - main_seq > self._settings.backlog_max > 0 and self._settled():
            self._begin(durable, main_seq)
            return self._end
        return durable

    def _settled(self) -> bool:
        """Whether all that head has read before is counted."""
        return not self._redoing and self._values["head_seq"] >= self._end.seq

    def _begin(self, durable: Position, main_seq: int) -> None:
        values = self._values
        back = min(_LOOK_BACK_MAX, self._settings.backlog_max // 2)
        start = locate(self._directory, durable.seq - back + 1, durable)
        # The frame that is found may begin where decode has been already.
        self._end = self._feed.express.place = start if start.seq >= main_seq else durable
        values["shedding"] = 1
        values["sheddings"] += 1
        self._feed.express.look_up()
        self._feed.publish()
        self._sorter = self._new_sorter()
        self._reader.seek(self._end)
        log.warning("decode.shedding_begun", backlog=durable.seq - main_seq)

    def _finish(self) -> None:
        # Late begins with what was shed now, and judges SNMPv3 by what we know of its engines.
        self._decoder.remember(at_once=True)
        self._values["shedding"] = 0
        self._feed.publish()
        self._sorter = self._new_sorter()
        log.warning("decode.shedding_ended", express_sent=self._values["express_sent"])

    # -- what goes first

    @property
    def _redoing(self) -> bool:
        return self._reader.position.seq < self._redo_seq

    def next_batch(self, durable: Position, main_seq: int) -> Batch | None:
        """Looks at what has arrived, for a bounded time; None when there is nothing to look at, as nearly always.

        Args:
            durable: How far the journal may be read.
            main_seq: How far decode has come.
        """
        if not self.shedding and not self._redoing:
            return None
        batch = Batch(self._feed.express)
        self._catch_up(durable, batch)
        refused, until_s = self._sorter.refused, time.monotonic() + _SLICE_S
        while len(batch.commands) < _COMMANDS_MAX and (self.shedding or self._redoing):
            frame = self._reader.next(durable)
            if frame is None:
                self._redo_seq = 0
                break
            self._look_at(frame, batch, main_seq)
            if time.monotonic() >= until_s:
                break
        if self._reader.position.seq > self._end.seq:
            self._end = self._reader.position
        batch.after = self._reader.position
        batch.counts["express_refused"] += self._sorter.refused - refused
        return batch if batch.datagrams or batch.counts["head_skipped"] else None

    def _catch_up(self, durable: Position, batch: Batch) -> None:
        """Leaves out what head has looked at before, and what it cannot look at in time."""
        if self._redoing:
            return
        if self._reader.position.seq < self._end.seq:
            self._reader.seek(self._end)
        behind = durable.seq - self._reader.position.seq
        if behind > _LAG_MAX:
            batch.counts["head_skipped"] += behind
            self._reader.seek(durable)

    def _look_at(self, frame: Frame, batch: Batch, main_seq: int) -> None:
        """Sorts a frame, unless that was done before, marks it, and puts what goes first into the batch."""
        found: dict[int, Decoded] = {}
        marks = self._marks.read(frame)
        if self.shedding and frame.after.seq > self._end.seq and UNSEEN in marks:
            marks = self._mark(frame, self._sort(frame, marks, found), frame.first_seq)
        self.marked_seq = max(self.marked_seq, frame.after.seq)
        if EXPRESS in marks:
            batch.needs_marks = True
            for seq, (record, mark) in enumerate(zip(records(frame), marks, strict=True), frame.first_seq):
                if mark == EXPRESS and not self._is_done(seq):
                    self._enter(frame, seq, record, found.get(seq), batch, main_seq)
        batch.datagrams += len(frame.lengths)

    def _is_done(self, seq: int) -> bool:
        track = self._feed.express
        return seq <= track.present_seq and seq <= track.counted_seq

    def _enter(
        self, frame: Frame, seq: int, record: Record, decoded: Decoded | None, batch: Batch, main_seq: int
    ) -> None:
        try:
            notification, trust = decoded or self._decoder.decode(record)
        except DecodeError as error:
            # Marked under another configuration. As long as its turn is to come, it may have it.
            log.warning("decode.express_refused", reason=error.reason, peer=record.peer)
            if seq > main_seq:
                self._mark(frame, bytes([TURN]), seq)
            return
        self._acceptor.accept(frame.id_ms, seq, record, notification, trust, batch)

    def _sort(self, frame: Frame, marks: bytes, found: dict[int, Decoded]) -> bytes:
        """The marks of a frame; what goes first is put into `found`, decoded."""
        sorted_marks = bytearray(marks)
        for index, record in enumerate(records(frame)):
            if not sorted_marks[index]:
                sorted_marks[index] = self._judge(frame.first_seq + index, record, found)
        return bytes(sorted_marks)

    def _judge(self, seq: int, record: Record, found: dict[int, Decoded]) -> int:
        sorter, peer = self._sorter, record.peer
        beginning = glance(record.payload)
        if beginning is not None and (trust := sorter.repeats(peer, beginning)) is not None:
            return sorter.sort_repeated((trust, peer), record.received_unix_ns)
        try:
            notification, trust = self._decoder.decode(record)
        except DecodeError:
            # Rejected or parked, in its turn.
            return TURN
        is_relay = self._decoder.policy.trusts_relay(peer)
        address = notification.trap_address if is_relay and notification.trap_address else peer
        source = _identity(notification, trust, address)
        resource = notification.varbinds[0].oid if notification.varbinds else ""
        mark = sorter.sort(
            source,
            notification.trap_oid,
            resource,
            record.received_unix_ns,
            may_go_first=not self._feed.express_paused,
            # Late answers nobody: with inform_ack: buffer, an INFORM that waits would be sent again and again.
            may_wait=self._informs_wait or notification.pdu != "inform",
        )
        if mark == EXPRESS:
            found[seq] = notification, trust
        if beginning is not None and not is_relay and sorter.is_repeated(source, notification.trap_oid, resource):
            sorter.note_repeated(peer, beginning, trust)
        return mark

    def _mark(self, frame: Frame, marks: bytes, first_seq: int) -> bytes:
        """Writes marks of a frame; returns those that stand, which on a full disk may be others."""
        try:
            self._marks.write(frame, first_seq, marks)
        except OSError as error:
            log.error(
                "decode.marks_refused", reason=error.strerror, directory=str(self._directory), cure=disk_cure(error)
            )
            return self._marks.read(frame)
        return marks

    def sync(self) -> None:
        """Brings the marks to the disk."""
        self._marks.sync()
        self.synced_seq = self.marked_seq


def _identity(notification: Notification, trust: str, address: str) -> Source:
    """Who a notification counts for: what anybody can forge must not spend the share of what is proved."""
    if trust in AUTHENTIC:
        return trust, notification.engine_id or address, notification.user or ""
    return trust, address


def _find_express(marks: Marks, after_seq: int) -> tuple[int, int]:
    """The first and the last datagram behind one that are marked as express; zeros when there is none."""
    first = last = 0
    for segment in marks.segments():
        found = marks.read_all(segment)
        start = max(0, after_seq + 1 - segment)
        if (at := found.find(EXPRESS, start)) >= 0:
            first = first or segment + at
            last = segment + found.rfind(EXPRESS, start)
    return first, last
