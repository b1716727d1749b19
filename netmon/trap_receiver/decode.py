"""Decode: from the journal to the Redis streams, in order, exactly once, whatever happens in between.

The loop has a batch or two on their way to Redis while it decodes the next. What it knows for sure is what was published when
the last batch was settled; after any trouble it starts from there, and `feed` finds out what Redis really has.

When it is far behind, `head` runs ahead and marks what goes first and what waits; here, what is marked is passed over and counted.
"""

from __future__ import annotations

import random
import socket
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from netmon.buffer.stream import IdRefusedError
from netmon.errors import DecodeError, UnavailableError, disk_cure
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.batch import Acceptor, Batch
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.decoder import Decoder
from netmon.trap_receiver.event import EventWriter
from netmon.trap_receiver.feed import Feed, StreamChangedError
from netmon.trap_receiver.head import CursorMarks, Head
from netmon.trap_receiver.inform import Responder
from netmon.trap_receiver.journal.marks import ELSEWHERE, EXPRESS, PARKED_AS, PARKED_MARKS
from netmon.trap_receiver.journal.segment import Frame, Position, Reader, Record, records, segments
from netmon.trap_receiver.ledger import (
    COMMIT_STATE,
    CONTROL_REASONS,
    DECODE_FIELDS,
    DECODE_STATE,
    PARKED,
)
from netmon.trap_receiver.state import StatePage, StateReader

_BATCH_MIN = 256
"""Datagrams after which a batch is sent without waiting for more; a frame may bring up to 511 beyond."""
_BATCH_BYTES = 1 << 20
"""Bytes of journal after which a batch is sent, however few datagrams they are: in Redis they may take twice as much."""
_LOOK_S = 0.5
"""Longest sleep without a look at the journal and the streams."""
_LOGGED = {"parked": "parked", "rejected": "refused"}
_PENDING_MAX = 2
"""Batches that are on their way to Redis while the next is decoded."""
_FIRST_LOOK_S = 0.05
_RETRY_MIN_S = 0.1
_RETRY_MAX_S = 2.0
_STOP_S = 5.0
"""Longest time that a decode told to stop goes on working off the backlog."""


class Decode:
    """One lane's decode: it follows commit through the journal and feeds the lane's streams."""

    def __init__(self, settings: LaneSettings, sock: socket.socket, bells: Bells) -> None:
        """Takes over where the decode before it had published last."""
        self._durable = bells.durable
        self._directory = Path(settings.directory)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._settings = settings
        state = StatePage(self._directory / DECODE_STATE, DECODE_FIELDS)
        self._values = state.values
        self._feed = Feed(settings, state)
        self._main = self._feed.main
        self._commit = StateReader(self._directory / COMMIT_STATE)
        self._decoder = Decoder(settings)
        self._events = EventWriter(settings, self._decoder.policy)
        self._acceptor = Acceptor(self._main, self._events)
        self._head = Head(settings, self._feed, self._decoder, self._events)
        self._marks = CursorMarks(self._directory)
        self._pending: deque[Batch] = deque()
        self._unanswered: list[Record] = []
        """INFORMs that are settled, and wait until Redis can be asked whether they are on its disk."""
        self._responder = Responder(settings, sock)
        self._answers = settings.inform_ack == "buffer"
        self._reader = Reader(self._directory, Position(0, 0, 0))
        self._stop_at: float | None = None

    def stop(self) -> None:
        """Makes `run` return once the backlog is worked off, or after 5 s. Fit for a signal handler."""
        self._stop_at = time.monotonic() + _STOP_S
        self._durable.ring()

    def run(self) -> None:
        """Decodes until `stop`."""
        while not segments(self._directory) and not self._must_stop():
            # The very first start: capture is about to begin the journal.
            self._durable.wait(_FIRST_LOOK_S)
        retry_s = _RETRY_MIN_S
        while True:
            try:
                self._attach()
                retry_s = _RETRY_MIN_S
                self._follow()
                self._feed.detach()
                break
            except (IdRefusedError, StreamChangedError) as error:
                log.warning("stream.change_found", detail=str(error))
                # Whoever changes the streams again and again shall not keep us busy with it.
                time.sleep(_RETRY_MIN_S)
            except UnavailableError as error:
                self._feed.failed(error)
                if self._must_stop(retry_s):
                    break
                time.sleep(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
                retry_s = min(2 * retry_s, _RETRY_MAX_S)
        self._decoder.remember(at_once=True)
        self._reader.close()

    def _attach(self) -> None:
        """Connects to the streams, and goes on where they tell."""
        self._pending.clear()
        # Whether Redis kept them is not known any more: their senders ask again.
        self._unanswered.clear()
        limit = self._limit()
        self._reader.seek(self._feed.attach(limit))
        self._acceptor.encode = self._feed.streams.encode_trap
        self._head.attach(limit)

    def _follow(self) -> None:
        """Decodes, sends and settles until it is told to stop and the journal's end is reached."""
        while not self._must_stop():
            self._decoder.remember()
            durable = self._limit()
            ahead = self._head.next_batch(durable, self._seen)
            if ahead is not None:
                self._make_way()
                self._send(ahead)
            batch = self._next_batch(self._head.bound(durable, self._seen))
            if batch is not None:
                self._make_way()
                self._await_memory()
                if not self._must_stop():
                    self._send(batch)
            elif ahead is None:
                self._settle_all()
                self._feed.caught_up()
                self._feed.tend()
                if self._stop_at is not None:
                    break
                self._durable.wait(_LOOK_S)
        self._settle_all()

    def _make_way(self) -> None:
        """Settles what has to be before another batch is sent; looks after the streams when it is time."""
        while len(self._pending) > (0 if self._unanswered or self._feed.must_tend() else _PENDING_MAX - 1):
            self._settle(self._pending.popleft())
        if not self._pending:
            self._feed.tend()

    def _await_memory(self) -> None:
        """Waits while a group that lags fills the streams; what goes first has room of its own."""
        while self._feed.paused and not self._must_stop():
            self._settle_all()
            self._feed.wait_for_memory()
            durable = self._limit()
            self._head.bound(durable, self._seen)
            ahead = self._head.next_batch(durable, self._seen)
            if ahead is not None:
                self._send(ahead)

    def _send(self, batch: Batch) -> None:
        if batch.needs_marks:
            self._marks.sync()
            if batch.after.seq > self._head.synced_seq:
                self._head.sync()
        self._feed.send(batch)
        self._pending.append(batch)

    def _settle_all(self) -> None:
        while self._pending:
            self._settle(self._pending.popleft())

    @property
    def _seen(self) -> int:
        """Last datagram that was decoded, or had been before."""
        return max(self._reader.position.seq, self._values["seq"])

    def _must_stop(self, wait_s: float = 0.0) -> bool:
        """Whether the time to stop has come, or comes within `wait_s`, backlog or not."""
        return self._stop_at is not None and time.monotonic() + wait_s >= self._stop_at

    def _settle(self, batch: Batch) -> None:
        self._feed.settle(batch)
        if self._answers:
            self._unanswered += batch.informs
        # While another batch is on its way, the next reply is that one's, and Redis cannot be asked for its disk.
        if self._unanswered and not self._pending:
            informs, self._unanswered = self._unanswered, []
            self._answer_informs(informs)

    def _answer_informs(self, informs: list[Record]) -> None:
        """With `inform_ack: buffer`: answers once Redis has the entries on its disk, and not at all otherwise."""
        if self._settings.redis.append_fsync_wait and not self._feed.streams.wait_fsync():
            self._values["informs_withheld"] += len(informs)
            return
        for record in informs:
            self._responder.answer(record)
        self._responder.count_into(self._values)
        self._feed.publish()

    def _limit(self) -> Position:
        """How far the journal is durable."""
        committed = self._commit.read()
        return Position(committed.get("segment", 0), committed.get("offset", 0), committed.get("seq", 0))

    def _next_batch(self, limit: Position) -> Batch | None:
        """The next datagrams of the journal, decoded; None when there are none yet."""
        batch = Batch(self._main)
        size = 0
        while batch.datagrams < _BATCH_MIN and size < _BATCH_BYTES:
            seen = self._seen
            frame = self._reader.next(limit)
            if frame is None:
                break
            if frame.first_seq > seen + 1:
                self._lose(batch, seen, frame.first_seq - 1)
            self._decode_frame(frame, batch)
            self._feed.pump()
            size += len(frame.records)
        here = self._reader.position
        seen = self._seen
        if here[:2] == limit[:2] and seen < limit.seq:
            # The journal's end was reached, but not its last datagrams: they are damaged or deleted.
            self._lose(batch, seen, limit.seq)
            self._reader.seek(limit)
            batch.after = limit
        return batch if batch.datagrams else None

    def _lose(self, batch: Batch, seen: int, last_seq: int) -> None:
        """Counts datagrams that the journal no longer has."""
        batch.counts["lost"] += last_seq - seen
        batch.datagrams += last_seq - seen
        log.error("journal.datagrams_lost", first=seen + 1, last=last_seq, directory=str(self._directory))

    def _decode_frame(self, frame: Frame, batch: Batch) -> None:
        ms = frame.id_ms
        decode, accept = self._decoder.decode, self._acceptor.accept
        for seq, record in self._in_turn(frame, batch):
            try:
                notification, trust = decode(record)
            except DecodeError as error:
                self._refuse(ms, seq, record, error.reason, error.offset, batch)
                continue
            accept(ms, seq, record, notification, trust, batch)
        if batch.parked:
            self._park(frame, batch)
        batch.datagrams += len(frame.lengths)
        batch.after = frame.after

    def _in_turn(self, frame: Frame, batch: Batch) -> Iterable[tuple[int, Record]]:
        """The datagrams of a frame whose turn it is. Those that are, or will be, elsewhere are counted as such."""
        numbered = enumerate(records(frame), frame.first_seq)
        if frame.first_seq > self._head.marked_seq:
            return numbered
        marks = self._marks.read(frame)
        if ELSEWHERE.isdisjoint(marks):
            return numbered
        for seq, mark in enumerate(marks, frame.first_seq):
            if mark in ELSEWHERE and seq > self._main.counted_seq:
                batch.counts["express" if mark == EXPRESS else f"parked_{PARKED_AS[mark]}"] += 1
                batch.needs_marks = True
        return [pair for pair, mark in zip(numbered, marks, strict=True) if mark not in ELSEWHERE]

    def _refuse(self, ms: int, seq: int, record: Record, reason: str, offset: int, batch: Batch) -> None:
        """An entry for the rejects stream, or nothing for what is parked; and what is counted of it."""
        main = self._main
        kind = "parked" if reason in PARKED else "control" if reason in CONTROL_REASONS else "rejected"
        if kind == "rejected":
            batch.last_ms, batch.last_seq = ms, seq
            if seq > main.present_seq:
                body = self._events.reject(seq, record, reason, offset)
                batch.commands.append(self._feed.streams.encode_reject(ms, seq, body))
            if seq > main.sent_seq:
                batch.rejects += 1
        if seq > main.counted_seq:
            if kind == "parked":
                batch.parked.append((seq, reason))
            batch.counts[f"{kind}_{reason}"] += 1
            if kind != "control":
                log.warning(f"decode.datagram_{_LOGGED[kind]}", reason=reason, peer=record.peer)

    def _park(self, frame: Frame, batch: Batch) -> None:
        """Marks the parked datagrams of a frame. They are counted only with their marks: a full disk is waited for."""
        while not self._must_stop():
            try:
                for seq, reason in batch.parked:
                    self._marks.write(frame, seq, bytes([PARKED_MARKS[reason]]))
                break
            except OSError as error:
                log.error(
                    "decode.marks_refused", reason=error.strerror, directory=str(self._directory), cure=disk_cure(error)
                )
                # What was sent before has its answer, and the streams stay ours, however long that takes.
                self._settle_all()
                self._feed.tend()
                time.sleep(_RETRY_MAX_S)
        self._head.marked_seq = max(self._head.marked_seq, frame.after.seq)
        batch.parked.clear()
        batch.needs_marks = True
