"""Decode: from the journal to the Redis streams, in order, exactly once, whatever happens in between.

The loop has one batch on its way to Redis while it decodes the next. When a batch is settled, the counters and the place
in the journal are published together; whatever goes wrong before that, the streams are compared with the journal and the
work goes on from what Redis really has.
"""

from __future__ import annotations

import random
import socket
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path

from netmon.buffer.retention import NoTrim, TrimOldest, choose_trim
from netmon.buffer.stream import EntryId, GroupFacts, StreamChangedError, Streams
from netmon.errors import DecodeError, UnavailableError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.snmp import decode_notification
from netmon.trap_receiver.event import EventWriter
from netmon.trap_receiver.inform import Responder
from netmon.trap_receiver.journal import (
    Frame,
    Position,
    Reader,
    Record,
    locate,
    read_segment_header,
    records,
    segment_path,
    segments,
)
from netmon.trap_receiver.ledger import COMMIT_STATE, DECODE_FIELDS, DECODE_STATE, LATENCY_BOUNDS_MS
from netmon.trap_receiver.policy import ALLOW_LISTED, OTHER, Policy
from netmon.trap_receiver.resume import Known, Rebuild, Rewind, last_entry, plan
from netmon.trap_receiver.state import StatePage, StateReader

_BATCH_MIN = 256
"""Datagrams after which a batch is sent without waiting for more; a frame may bring up to 511 beyond."""
_POLL_S = 0.002
_PAUSE_S = 0.1
_TEND_S = 1.0
"""How often the streams' memory and consumer groups are looked at; sooner when a good part of the budget was sent."""
_TEND_SHARE = 16
_RETRY_MIN_S = 0.1
_RETRY_MAX_S = 2.0
_STOP_S = 5.0
"""Longest time that a decode told to stop goes on working off the backlog."""


class _Batch:
    """A batch between being decoded and being settled."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.size = 0
        self.last = EntryId(0, 0)
        self.traps = 0
        self.rejects = 0
        self.counts: Counter[str] = Counter()
        self.received_unix_ns: list[int] = []
        self.informs: list[Record] = []
        self.after = Position(0, 0, 0)
        self.records = 0


class Decode:
    """One lane's decode: it follows commit through the journal and feeds the lane's streams."""

    def __init__(self, settings: LaneSettings, sock: socket.socket) -> None:
        """Takes over where the decode before it had published last."""
        self._directory = Path(settings.directory)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._settings = settings
        self._state = StatePage(self._directory / DECODE_STATE, DECODE_FIELDS)
        self._values = self._state.values
        self._commit = StateReader(self._directory / COMMIT_STATE)
        self._policy = Policy(settings.allow, settings.trusted_relays)
        self._events = EventWriter(settings, self._policy)
        self._responder = Responder(settings, sock)
        self._answers = settings.inform_ack == "buffer"
        self._reader = Reader(self._directory, Position(0, 0, 0))
        self._present = EntryId(0, 0)
        self._groups: dict[str, list[GroupFacts]] = {}
        self._sent_bytes = 0
        self._tend_due = 0.0
        self._stopping = False
        self._streams: Streams | None = None

    def stop(self) -> None:
        """Makes `run` return once the backlog is worked off, or after 5 s. Fit for a signal handler."""
        self._stopping = True

    # -- the loop

    def run(self) -> None:
        """Decodes until `stop`."""
        retry_s = _RETRY_MIN_S
        deadline = None
        while True:
            try:
                self._attach()
                retry_s = _RETRY_MIN_S
                self._follow()
                break
            except UnavailableError as error:
                self._unavailable(error)
                if self._stopping:
                    deadline = deadline or time.monotonic() + _STOP_S
                    if time.monotonic() + retry_s > deadline:
                        break
                time.sleep(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
                retry_s = min(2 * retry_s, _RETRY_MAX_S)
            except StreamChangedError as error:
                log.warning("stream.change_found", detail=str(error))
        self._reader.close()

    def _follow(self) -> None:
        """Decodes, sends and settles until it is told to stop and the journal's end is reached."""
        pending: _Batch | None = None
        deadline = None
        while True:
            batch = self._next_batch()
            if pending is not None:
                self._settle(pending)
                pending = None
            self._tend()
            if batch is not None:
                self._wait_for_memory()
                self._send(batch)
                pending = batch
            if self._stopping:
                deadline = deadline or time.monotonic() + _STOP_S
                if pending is None or time.monotonic() > deadline:
                    break
            elif pending is None:
                time.sleep(_POLL_S)
        if pending is not None:
            self._settle(pending)
        self._release_lease()

    def _unavailable(self, error: UnavailableError) -> None:
        self._values["redis_up"] = 0
        self._values[f"unavailable_{error.reason}"] += 1
        self._publish()
        log.warning("redis.batch_refused", reason=error.reason, detail=error.detail)

    def _publish(self) -> None:
        self._values["heartbeat_unix_ns"] = time.time_ns()
        self._state.publish()

    def _limit(self) -> Position:
        """How far the journal is durable."""
        committed = self._commit.read()
        return Position(committed.get("segment", 0), committed.get("offset", 0), committed.get("seq", 0))

    # -- from the journal

    def _next_batch(self) -> _Batch | None:
        """The next datagrams of the journal, decoded; None when there are none yet."""
        limit = self._limit()
        batch = _Batch()
        while batch.records < _BATCH_MIN:
            expected = max(self._reader.position.seq, self._values["seq"]) + 1
            frame = self._reader.next(limit)
            if frame is None:
                break
            if frame.first_seq > expected:
                self._lose(batch, frame.first_seq - expected, frame.first_seq - 1)
            self._decode_frame(frame, batch)
        here = self._reader.position
        if here[:2] == limit[:2] and here.seq < limit.seq and limit.seq > self._values["seq"]:
            # The journal's end was reached, but not its last datagrams: they are damaged or deleted.
            self._lose(batch, limit.seq - max(here.seq, self._values["seq"]), limit.seq)
            self._reader.seek(limit)
            batch.after = limit
        return batch if batch.records else None

    def _lose(self, batch: _Batch, datagrams: int, last_seq: int) -> None:
        batch.counts["lost"] += datagrams
        batch.records += datagrams
        log.error("journal.datagrams_lost", datagrams=datagrams, up_to=last_seq, directory=str(self._directory))

    def _decode_frame(self, frame: Frame, batch: _Batch) -> None:
        seq = frame.first_seq
        for record in records(frame):
            self._decode_record(EntryId(frame.id_ms, seq), record, batch)
            seq += 1
        batch.records += len(frame.lengths)
        batch.after = frame.after

    def _decode_record(self, entry_id: EntryId, record: Record, batch: _Batch) -> None:
        """Decodes one datagram into the batch: a command for the stream, and what is to be counted."""
        assert self._streams is not None
        seq = entry_id.seq
        stream, counter = self._streams.traps, "buffered"
        try:
            notification = decode_notification(record.payload, self._settings.limits)
            trust = self._policy.judge(record.peer, notification.community)
            if trust is OTHER or trust is ALLOW_LISTED:
                body = self._events.trap(seq, record, notification, trust)
                if seq > self._values["seq"]:
                    self._note(record, notification.pdu, notification.flags, batch)
            else:
                stream, counter = self._streams.rejects, f"rejected_{trust}"
                body = self._events.reject(seq, record, trust, 0)
        except DecodeError as error:
            if error.reason == "snmpv3":
                counter, body = "parked_snmpv3_not_configured", b""
            else:
                stream, counter = self._streams.rejects, f"rejected_{error.reason}"
                body = self._events.reject(seq, record, error.reason, error.offset)
        if seq > self._values["seq"]:
            batch.counts[counter] += 1
        if body:
            self._add(stream, entry_id, body, batch)

    def _note(self, record: Record, pdu: str, flags: tuple[str, ...], batch: _Batch) -> None:
        """Takes down what is counted of an accepted notification beside the fact that it is there."""
        batch.received_unix_ns.append(record.received_unix_ns)
        if flags:
            batch.counts["flagged"] += 1
        if pdu == "inform":
            batch.informs.append(record)

    def _add(self, stream: str, entry_id: EntryId, body: bytes, batch: _Batch) -> None:
        assert self._streams is not None
        if entry_id > self._present:
            command = self._streams.encode(stream, entry_id.ms, entry_id.seq, body)
            batch.commands.append(command)
            batch.size += len(command)
            if entry_id.seq <= self._values["seq"]:
                batch.counts["refilled"] += 1
        batch.last = entry_id
        if entry_id.seq > self._values["sent_seq"]:
            if stream is self._streams.traps:
                batch.traps += 1
            else:
                batch.rejects += 1

    # -- to the streams

    def _send(self, batch: _Batch) -> None:
        assert self._streams is not None
        if batch.commands:
            self._streams.send(batch.commands)
            self._sent_bytes += batch.size

    def _settle(self, batch: _Batch) -> None:
        """Waits for Redis to have a batch, checks that the streams were as expected, counts, answers INFORMs."""
        assert self._streams is not None
        values = self._values
        if batch.commands:
            lengths = self._streams.settle()
            expected = (values["traps_length"], values["rejects_length"])
            if values["sent_seq"] >= self._present.seq and lengths != expected:
                raise StreamChangedError(f"the streams held {lengths} entries, expected {expected}")
        now = time.time_ns()
        for name, count in batch.counts.items():
            values[name] += count
        if batch.last.seq > values["sent_seq"]:
            values["sent_ms"], values["sent_seq"] = batch.last
        values["traps_length"] += batch.traps
        values["rejects_length"] += batch.rejects
        if batch.after.seq > values["seq"]:
            values["segment"], values["offset"], values["seq"] = batch.after
        self._observe_latency(batch.received_unix_ns, now)
        if self._answers and batch.informs:
            self._answer_informs(batch.informs)
        self._publish()

    def _observe_latency(self, received_unix_ns: list[int], now: int) -> None:
        """Counts latencies into the histogram. Receive times ascend, so each bucket is a slice of them."""
        values = self._values
        end = len(received_unix_ns)
        values["latency_sum_ns"] += max(0, end * now - sum(received_unix_ns))
        for bound in LATENCY_BOUNDS_MS:
            start = bisect_left(received_unix_ns, now - bound * 1_000_000, 0, end)
            values[f"latency_le_{bound}"] += end - start
            end = start
            if not end:
                return
        values["latency_over"] += end

    def _answer_informs(self, informs: list[Record]) -> None:
        """With `inform_ack: buffer`: answers once Redis has the entries on its disk, and not at all otherwise."""
        assert self._streams is not None
        if self._settings.redis.append_fsync_wait and not self._streams.wait_fsync():
            self._values["informs_withheld"] += len(informs)
            return
        for record in informs:
            self._responder.answer(record)
        self._values["informs_answered"] += self._responder.answered
        self._values["inform_send_failures"] += self._responder.failures
        self._responder.answered = self._responder.failures = 0

    # -- memory

    def _tend(self, *, now: bool = False) -> None:
        """Looks after the streams once a second, or after a good part of the budget was sent: lease, memory, trimming."""
        assert self._streams is not None
        mono = time.monotonic()
        budget = self._settings.redis.stream_memory_bytes_max
        if not now and mono < self._tend_due and self._sent_bytes < budget // _TEND_SHARE:
            return
        self._tend_due = mono + _TEND_S
        self._sent_bytes = 0
        self._streams.renew_lease()
        self._groups = {key: self._streams.groups(key) for key in (self._streams.traps, self._streams.rejects)}
        usage = self._streams.memory_bytes()
        if self._trim(usage, budget):
            usage = self._streams.memory_bytes()
        self._values["stream_bytes"] = usage
        self._values["paused"] = int(usage >= budget)
        self._publish()

    def _trim(self, usage: int, budget: int) -> bool:
        """Trims the streams as the budget wants it; whether there was something to trim."""
        assert self._streams is not None
        values = self._values
        floors = [group.floor for groups in self._groups.values() for group in groups]
        trim = choose_trim(usage, budget, floors, EntryId(values["floor_ms"], values["floor_seq"]))
        if isinstance(trim, NoTrim):
            return False
        values["trimming"] = 1
        self._publish()
        floor = self._trim_oldest(trim) if isinstance(trim, TrimOldest) else trim.floor
        for name, key in (("traps_length", self._streams.traps), ("rejects_length", self._streams.rejects)):
            removed = self._streams.trim_up_to(key, floor)
            values[name] -= removed
            values["trimmed"] += removed
        values["floor_ms"], values["floor_seq"] = floor
        values["trimming"] = 0
        self._publish()
        return True

    def _trim_oldest(self, trim: TrimOldest) -> EntryId:
        """Trims the longer stream by the share; returns the floor that this makes for both."""
        assert self._streams is not None
        values = self._values
        name, key = max(
            ("traps_length", self._streams.traps),
            ("rejects_length", self._streams.rejects),
            key=lambda stream: values[stream[0]],
        )
        removed = self._streams.trim_to_length(key, int(values[name] * trim.keep_ratio))
        values[name] -= removed
        values["trimmed"] += removed
        first = self._streams.first_id(key)
        return EntryId(first.ms, first.seq - 1) if first else EntryId(values["sent_ms"], values["sent_seq"])

    def _wait_for_memory(self) -> None:
        """While a lagging group fills the budget, the backlog stays in the journal."""
        while self._values["paused"] and not self._stopping:
            log.warning("decode.group_awaited", groups=self._lagging())
            time.sleep(_PAUSE_S)
            self._tend(now=True)

    def _lagging(self) -> list[str]:
        floors = {group.name: group.floor for groups in self._groups.values() for group in groups}
        lowest = min(floors.values(), default=None)
        return [name for name, floor in floors.items() if floor == lowest]

    def _release_lease(self) -> None:
        assert self._streams is not None
        self._streams.release_lease()
        self._streams.close()

    # -- attaching

    def _attach(self) -> None:
        """Connects, and puts the reader where the streams end; rewinds or rebuilds them where they need it.

        Raises:
            UnavailableError: Redis does not answer.
        """
        streams = self._ready_streams()
        ours = streams.connect()
        self._mend(streams, ours=ours)
        values = self._values
        if self._present.seq >= values["seq"]:
            self._reader.seek(Position(values["segment"], values["offset"], values["seq"]))
        else:
            # Some of what was counted is to be sent again, or was never meant for a stream.
            self._reader.seek(locate(self._directory, self._present.seq + 1, self._limit()))
        values["redis_up"] = 1
        self._tend_due = 0.0
        self._publish()

    def _ready_streams(self) -> Streams:
        """The streams of the journal in our folder.

        Raises:
            UnavailableError: There is no journal yet.
        """
        if self._streams is None:
            kept = segments(self._directory)
            header = read_segment_header(segment_path(self._directory, kept[-1])) if kept else None
            if header is None:
                raise UnavailableError("connection", "there is no journal yet")
            self._streams = Streams(self._settings.redis, self._settings.key_prefix, header.journal_id.hex())
        return self._streams

    def _mend(self, streams: Streams, *, ours: bool) -> None:
        values = self._values
        traps, rejects = streams.facts(streams.traps), streams.facts(streams.rejects)
        last = last_entry(traps, rejects)
        known = Known(
            EntryId(values["sent_ms"], values["sent_seq"]),
            EntryId(values["floor_ms"], values["floor_seq"]),
            values["traps_length"],
            values["rejects_length"],
            bool(values["trimming"]),
        )
        todo = plan(known, traps, rejects, made_here=last == EntryId(0, 0) or (ours and self._made(last)))
        if isinstance(todo, Rebuild):
            self._rebuild(streams, known.floor, set_aside=todo.set_aside)
            return
        self._present = todo.present
        if isinstance(todo, Rewind):
            log.warning("stream.tail_refilled", after=str(todo.present))
            values["sent_ms"], values["sent_seq"] = todo.present
        if isinstance(todo, Rewind) or known.trimming:
            values["traps_length"], values["rejects_length"] = traps.length, rejects.length
            values["trimming"] = 0

    def _rebuild(self, streams: Streams, floor: EntryId, *, set_aside: bool) -> None:
        """Makes both streams anew from the floor; consumer groups come back where they were."""
        log.error("stream.rebuild_begun", floor=str(floor), set_aside=set_aside)
        for key in (streams.traps, streams.rejects):
            groups = streams.groups(key) or self._groups.get(key, [])
            if set_aside:
                streams.set_aside(key, f"displaced-{time.time_ns() // 1_000_000}")
            else:
                streams.delete(key)
            streams.restore_groups(key, groups)
        values = self._values
        values["traps_length"] = values["rejects_length"] = values["trimming"] = 0
        values["sent_ms"], values["sent_seq"] = floor
        values["rebuilds"] += 1
        self._present = floor

    def _made(self, entry_id: EntryId) -> bool:
        """Whether our journal made this ID."""
        limit = self._limit()
        reader = Reader(self._directory, locate(self._directory, entry_id.seq, limit))
        frame = reader.next(limit)
        reader.close()
        return frame is not None and frame.first_seq <= entry_id.seq <= frame.after.seq and frame.id_ms == entry_id.ms
