"""Late feed: the late stream of a lane, kept equal to what the late log says it should be.

For whoever holds `late.lock`. A batch goes through these steps; `kill -9` or a power cut between any two of them loses nothing and
doubles nothing:

1. The datagrams that had waited are marked as pending: commit keeps their segment.
2. The intents are written to the late log, and are on disk: they have their IDs.
3. Redis gets the entries, in one transaction.
4. Marks, digests and counters are set; the counters say up to which ID that has been done.

Killed before 2, the datagrams still wait. Killed before 3, the entries are sent by the next one, under their IDs. Killed before 4,
the stream's last ID says that Redis has them, and 4 is done again, which changes nothing where it had been done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from netmon.buffer.late_stream import LateFacts, LateStream
from netmon.buffer.stream import EntryId, GroupFacts
from netmon.errors import UnavailableError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.feed import StreamChangedError
from netmon.trap_receiver.journal.marks import LATE_MARKS, PENDING_MARKS, REASON_OF, Digests, Marks
from netmon.trap_receiver.journal.segment import Position, read_segment_header, segment_path, segments
from netmon.trap_receiver.late.log import REJECT, TRAP, VOID, Intent, LateLog
from netmon.trap_receiver.late.reread import Reading, Reread, fetch, last_seq, segment_of
from netmon.trap_receiver.ledger import DECODE_STATE, LATE_FIELDS, LATE_STATE
from netmon.trap_receiver.state import StatePage, read_state

LATE_LOG: Final = "late.log"

_SHARE = 4
"""The late stream may use this part of the lane's budget, then it waits; decode trims what has been acknowledged."""
_MEASURE_SHARE = 64
"""Of the budget: after so many bytes, the stream is measured anew."""
_REDONE_MAX = 65_536
"""Intents whose marks and digests are brought to the disk together, and set once more by the next process."""
_REFILL_ENTRIES = 1_000
_REFILL_BYTES = 1 << 20
_LOG_EXCESS = 65_536
"""Intents of entries that the stream has let go of, from which on they are cut away, if they are half of the log."""
_NO_ID = EntryId(0, 0)


class Late(NamedTuple):
    """A datagram on its way to the late stream."""

    seq: int
    mark: int
    """Why it waited (`marks.REASON_OF`); 0 for one that is replayed."""
    reading: Reading


def decoded_limit(directory: Path) -> Position:
    """How far decode has come: what lies before it is decoded late or never."""
    values = read_state(directory / DECODE_STATE)
    return Position(values.get("segment", 0), values.get("offset", 0), values.get("seq", 0))


class LateFeed:
    """The late stream of one lane, its log and its counters."""

    def __init__(self, settings: LaneSettings, reread: Reread) -> None:
        self.directory = Path(settings.directory)
        self.marks = Marks(self.directory)
        self.digests = Digests(self.directory)
        self.full = False
        """The stream uses its part of the budget: nothing more is to be put in."""
        self._settings = settings
        self._reread = reread
        self._stream: LateStream | None = None
        self._groups: list[GroupFacts] = []
        self._last = _NO_ID
        self._deleted = _NO_ID
        self._pass_ms = 0
        self._pending: list[Intent] = []
        self._unsynced = 0
        self._unmeasured = 0
        self._redone = False
        self._rebuilding_since: float | None = None

    # -- taking and giving back the lane

    def open(self) -> None:
        """Reads what whoever had `late.lock` before has left; the lock is ours now. Raises OSError."""
        self._state = StatePage(self.directory / LATE_STATE, LATE_FIELDS)
        self._values = self._state.values
        self._log = LateLog(self.directory / LATE_LOG)
        self._pass_ms = 0

    def close(self) -> None:
        """Closes the log, before `late.lock` is given back; the connection stays. Raises OSError: then, too, all is closed."""
        try:
            self.sync()
        finally:
            self._log.close()
            self.marks.close()
            self.digests.close()

    def disconnect(self) -> None:
        """Gives up the connection; what was on its way is found by the next `attach`."""
        self._pending.clear()
        if self._stream is not None:
            self._stream.close()

    @property
    def idle(self) -> bool:
        """Whether the late stream never held anything, so that there is nothing to look after."""
        return not len(self._log)

    def publish(self) -> None:
        """Makes the counters visible."""
        self._values["heartbeat_unix_ns"] = time.time_ns()
        self._state.publish()

    def counts(self) -> dict[str, int]:
        """The counters as they are now."""
        return dict(self._values)

    @property
    def lagging(self) -> list[str]:
        """The consumer groups of the late stream, those that lag most first."""
        return [group.name for group in sorted(self._groups, key=lambda group: group.floor)]

    def failed(self, error: UnavailableError) -> None:
        """Says that Redis could not be used."""
        self.disconnect()
        self._values["redis_up"] = 0
        self.publish()
        log.warning("late.batch_refused", reason=error.reason, detail=error.detail)

    # -- looking

    def look(self) -> None:
        """Connects when there is no connection, and puts the stream right where it is not as it was left.

        Raises:
            UnavailableError: Redis does not answer, or there is no journal yet.
        """
        stream = self._connected()
        self._redo()
        facts = stream.look()
        if self._is_changed(facts) or self._sent < self._last_meant:
            self._mend(facts)
            facts = stream.look()
            if self._is_changed(facts):
                self._refuse(facts)
        self._last, self._deleted = facts.last, facts.deleted
        self._groups = stream.groups(stream.key)
        # It is the same stream, and none of it was deleted: what it lacks in front has been trimmed.
        self._remember(facts)
        self._move_floor(facts)
        self._measure()
        self._values["redis_up"] = 1
        self.publish()

    def _is_changed(self, facts: LateFacts) -> bool:
        """Whether the stream is not as it was left, or may not be."""
        return (
            bool(self._values["changed"])
            or facts.last != self._last
            or facts.deleted != self._deleted
            or not self._is_ours(facts)
        )

    def _is_ours(self, facts: LateFacts) -> bool:
        """Whether the stream has been given as many entries as the log says, since we looked last.

        A stream that FLUSHALL or DEL has ended, and that a batch on its way has begun anew, ends as it should and looks as if it
        had been trimmed. The count tells it from one that was.
        """
        if facts.added < 0 or (not self._values["added_ms"] and self._sent > _NO_ID):
            # Nothing to compare with: an old Redis, or counters of a version that did not count this.
            return True
        known = self._remembered
        more = self._log.between(known, facts.last) - self._log.between(facts.last, known)
        return facts.added == self._values["added"] + more

    @property
    def _remembered(self) -> EntryId:
        """The end of the stream when `added` was its count."""
        return EntryId(self._values["added_ms"], self._values["added_seq"])

    def _remember(self, facts: LateFacts) -> None:
        self._values["added_ms"], self._values["added_seq"] = facts.last
        self._values["added"] = max(0, facts.added)

    def _refuse(self, facts: LateFacts) -> None:
        """Notes that the stream is to be made anew, for whoever looks next, even in another process."""
        self._values["changed"] = 1
        self.publish()
        raise StreamChangedError(f"the late stream ended with {facts.last}, expected {self._last}")

    def _measure(self) -> None:
        """Finds out whether there is room for more. Raises UnavailableError."""
        self._unmeasured = 0
        self.full = self._connected().late_memory_bytes() >= self._settings.redis.stream_memory_bytes_max // _SHARE

    @property
    def _sent(self) -> EntryId:
        """Up to this ID, everything is in the stream, marked and counted."""
        return EntryId(self._values["sent_ms"], self._values["sent_seq"])

    @property
    def _floor(self) -> EntryId:
        """Up to this ID, nothing is expected in the stream any more: it has been trimmed."""
        return EntryId(self._values["floor_ms"], self._values["floor_seq"])

    @property
    def _last_meant(self) -> EntryId:
        """ID of the newest intent."""
        return self._log.read(len(self._log) - 1, 1)[0].id if len(self._log) else _NO_ID

    def _connected(self) -> LateStream:
        if self._stream is None:
            kept = segments(self.directory)
            header = read_segment_header(segment_path(self.directory, kept[-1])) if kept else None
            if header is None:
                raise UnavailableError("connection", "there is no journal yet")
            self._stream = LateStream(self._settings.redis, self._settings.key_prefix, header.journal_id.hex())
        if not self._stream.connected:
            self._stream.connect()
            # Whoever else was here meanwhile: everything is compared anew.
            self._last, self._deleted = self._sent, _NO_ID
        return self._stream

    def _move_floor(self, facts: LateFacts) -> None:
        """Remembers what has been trimmed, and forgets its intents when they are many."""
        floor = EntryId(facts.first.ms, facts.first.seq - 1) if facts.length else facts.last
        if floor > self._floor:
            self._values["floor_ms"], self._values["floor_seq"] = floor
        behind = self._log.after(self._floor) - 1
        if behind > max(_LOG_EXCESS, len(self._log) // 2):
            self._log.drop_before(behind)

    # -- putting right

    def _mend(self, facts: LateFacts) -> None:
        """Makes the stream what the log says, and counts what Redis has had already."""
        stream, present = self._connected(), facts.last
        if present != _NO_ID and not self._log.has(present):
            self._rebuild(set_aside=True)
            present = self._floor
        elif (
            self._values["changed"]
            or not self._is_ours(facts)
            or facts.deleted > self._floor
            or (present == _NO_ID and self._sent > _NO_ID)
        ):
            self._rebuild(set_aside=False)
            present = self._floor
        else:
            self._finish_intents(present)
        facts = stream.look()
        self._last, self._deleted = facts.last, facts.deleted
        self._remember(facts)
        self._refill(max(present, self._floor))
        self._values["changed"] = 0
        if self._rebuilding_since is not None:
            took_s = round(time.monotonic() - self._rebuilding_since, 1)
            log.warning("stream.rebuild_finished", stream="late", took_s=took_s)
            self._rebuilding_since = None

    def _rebuild(self, *, set_aside: bool) -> None:
        """Empties the stream, to be filled again from the floor; consumer groups come back where they were."""
        log.error("stream.rebuild_begun", stream="late", floor=str(self._floor), set_aside=set_aside)
        if self._rebuilding_since is None:
            self._rebuilding_since = time.monotonic()
        stream = self._connected()
        groups = stream.groups(stream.key) or self._groups
        if set_aside:
            stream.set_aside(stream.key, f"displaced-{time.time_ns() // 1_000_000}")
        else:
            stream.delete(stream.key)
        stream.restore_groups(stream.key, groups)

    def _finish_intents(self, present: EntryId) -> None:
        """Counts what Redis has of the intents that nobody had counted."""
        index = self._log.after(self._sent)
        while intents := [x for x in self._log.read(index, _REFILL_ENTRIES) if x.id <= present]:
            self._count(intents)
            index += len(intents)

    def _redo(self) -> None:
        """Sets marks and digests once more that a power cut may have taken."""
        if self._redone:
            return
        self._redone = True
        end = self._log.after(self._sent)
        self._set([x for x in self._log.read(max(0, end - _REDONE_MAX), min(end, _REDONE_MAX)) if x.kind != VOID])

    def _refill(self, present: EntryId) -> None:
        """Sends what the log has after an ID, under the IDs that it had."""
        for batch in self._read_again(self._log.after(present)):
            log.warning("stream.tail_refilled", stream="late", after=str(present))
            self._send(batch)
            self._settle()
        # What could not be sent any more is void, and done with.
        self._values["sent_ms"], self._values["sent_seq"] = max(self._sent, self._last_meant)

    def _read_again(self, index: int) -> Iterator[list[tuple[Intent, Reading]]]:
        """The entries of the log from an index on, read from the journal again, in batches."""
        batch: list[tuple[Intent, Reading]] = []
        size = 0
        for at, intent, reading in self._readings(index):
            if isinstance(reading, Reading):
                fresh = intent._replace(digest=reading.digest, kind=reading.kind)
                if fresh != intent:
                    self._log.replace(at, fresh)
                batch.append((fresh, reading))
                size += len(reading.body)
            elif intent.id > self._sent:
                self._log.replace(at, intent._replace(kind=VOID))
            if len(batch) >= _REFILL_ENTRIES or size >= _REFILL_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _readings(self, index: int) -> Iterator[tuple[int, Intent, Reading | str]]:
        """The intents from an index on, and what their datagrams are now."""
        limit = decoded_limit(self.directory)
        while chunk := self._log.read(index, _REFILL_ENTRIES):
            live = [(at, intent) for at, intent in enumerate(chunk, index) if intent.kind != VOID]
            found = fetch(self.directory, [intent.seq for _, intent in live], limit)
            for (at, intent), (seq, record) in zip(live, found, strict=True):
                yield at, intent, "gone" if record is None else self._reread.read(seq, record)
            index += len(chunk)

    # -- putting in

    def put(self, batch: Sequence[Late]) -> None:
        """Puts datagrams into the stream, in ascending order of seq within a pass; settles the batch before.

        Raises:
            UnavailableError: Redis does not take it.
            IdRefusedError: Of the batch before.
            StreamChangedError: Of the batch before.
            OSError: The disk is full.

        After `settle`, which raises for the batch before, the intents of this one are in the log whatever Redis says; `look` is to
        bring them to the stream.
        """
        self.settle()
        pass_ms = self._pass_ms or self._begin_pass()
        self._mark((late.seq, PENDING_MARKS[REASON_OF[late.mark]]) for late in batch if late.mark)
        self.marks.sync()
        intents = [Intent(pass_ms, late.seq, late.reading.digest, late.mark, late.reading.kind) for late in batch]
        self._log.append(intents)
        self._send([(intent, late.reading) for intent, late in zip(intents, batch, strict=True)])

    def pump(self) -> None:
        """Lets what was put in go on its way while other things are done. Raises UnavailableError."""
        if self._pending and self._stream is not None:
            self._stream.pump()

    def end_pass(self) -> None:
        """Settles what is on its way; what is put in afterwards belongs to a new pass. Raises as `put` does."""
        self.settle()
        self._pass_ms = 0

    def settle(self) -> None:
        """Waits until Redis has what was put in, and counts it. Raises as `put` does; then `look` is to follow."""
        self._settle()
        if self._unmeasured >= self._settings.redis.stream_memory_bytes_max // _MEASURE_SHARE:
            self._measure()

    def _begin_pass(self) -> int:
        """The `ms` of a new pass: greater than any before, published before it is used."""
        newest = max(self._last.ms, self._last_meant.ms, self._values["pass_ms"])
        self._pass_ms = self._values["pass_ms"] = max(time.time_ns() // 1_000_000, newest + 1)
        self.publish()
        return self._pass_ms

    def _send(self, batch: list[tuple[Intent, Reading]]) -> None:
        stream = self._connected()
        encoders = {TRAP: stream.encode_late_trap, REJECT: stream.encode_late_reject}
        self._unmeasured += stream.send(
            [encoders[reading.kind](*intent[:2], reading.body) for intent, reading in batch]
        )
        self._pending = [intent for intent, _ in batch]

    def _settle(self) -> None:
        """Waits until Redis has what was sent, then marks and counts it."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        facts = self._connected().settle_late()
        if facts.last != self._last or facts.deleted != self._deleted or not self._is_ours(facts):
            self._refuse(facts)
        self._last = pending[-1].id
        self._remember(facts._replace(last=self._last, added=facts.added + len(pending)))
        self._count(pending)

    def _count(self, intents: list[Intent]) -> None:
        """Marks, remembers and counts what Redis has; all counters change together."""
        live = [intent for intent in intents if intent.kind != VOID]
        self._set(live)
        values = self._values
        sent = self._sent
        # IDs ascend: mostly all are new.
        new = live if intents[0].id > sent else [intent for intent in live if intent.id > sent]
        for kind, count in Counter((intent.mark, intent.kind) for intent in new).items():
            values[_counter(*kind)] += count
        values["sent_ms"], values["sent_seq"] = max(sent, intents[-1].id)
        self.publish()

    def _set(self, intents: Sequence[Intent]) -> None:
        self._mark((intent.seq, LATE_MARKS[REASON_OF[intent.mark]]) for intent in intents if intent.mark)
        for segment, first_seq, run in self._runs((intent.seq, intent.digest) for intent in intents):
            self.digests.write(segment, first_seq, b"".join(run))
        self._unsynced += len(intents)
        if self._unsynced >= _REDONE_MAX // 2:
            self.sync()

    def sync(self) -> None:
        """Brings marks and digests to the disk. Raises OSError."""
        self.marks.sync()
        self.digests.sync()
        self._unsynced = 0

    def _mark(self, marks: Iterable[tuple[int, int]]) -> None:
        for segment, first_seq, run in self._runs((seq, bytes((mark,))) for seq, mark in marks):
            self.marks.write(segment, first_seq, b"".join(run))

    def _runs(self, values: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int, list[bytes]]]:
        """Values by seq, ascending, as runs of successive ones: segment, first seq, values. Without segments that are gone."""
        kept = segments(self.directory)
        run: list[bytes] = []
        first, segment, last = 0, 0, -1
        for seq, value in values:
            if run and (seq != first + len(run) or seq > last):
                yield segment, first, run
                run = []
            if not segment <= seq <= last:
                found = segment_of(self.directory, kept, seq)
                if found is None:
                    continue
                segment, last = found, last_seq(self.directory, kept, found)
            if not run:
                first = seq
            run.append(value)
        if run:
            yield segment, first, run


def _counter(mark: int, kind: int) -> str:
    """The counter that an entry belongs to, by why it had waited and what it is."""
    if not mark:
        return "replayed"
    return f"{'late' if kind == TRAP else 'late_rejected'}_{REASON_OF[mark]}"
