"""Feed: the lane's streams, kept equal to what the journal says they should be.

It sends batches and settles them, counts what is settled, trims within the memory budget, and after every connection
compares what Redis has with what was left there. All counters change together, when a batch is settled.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from netmon.buffer.retention import NoTrim, TrimOldest, choose_trim
from netmon.buffer.stream import EntryId, GroupFacts, Streams
from netmon.errors import NetmonError, UnavailableError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.journal import Position, Reader, Record, locate, read_segment_header, segment_path, segments
from netmon.trap_receiver.ledger import LATENCY_BOUNDS_MS
from netmon.trap_receiver.resume import Known, Rebuild, Rewind, last_entry, plan
from netmon.trap_receiver.state import StatePage

_TEND_S = 1.0
"""How often the streams' memory and consumer groups are looked at; sooner when a good part of the budget was sent."""
_TEND_SHARE = 16
_PAUSE_S = 0.1


EncodeEntry = Callable[[int, int, bytes], bytes]


class StreamChangedError(NetmonError):
    """A stream does not hold as many entries as it was left with: somebody else has put some in, or taken some out."""


class Batch:
    """Datagrams between being decoded and being settled."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        """What Redis is to do, encoded."""
        self.last_ms = 0
        """ID of the newest entry, whether it is to be sent or there already."""
        self.last_seq = 0
        self.traps = 0
        """Entries by which the traps stream is longer afterwards."""
        self.rejects = 0
        self.counts: Counter[str] = Counter()
        """What is to be counted, by the names of the decode state."""
        self.received_unix_ns: list[int] = []
        """Receive times of the accepted notifications; each is counted as buffered."""
        self.informs: list[Record] = []
        """INFORMs that are counted, to be answered once they are stored."""
        self.after = Position(0, 0, 0)
        """The place in the journal behind the batch."""
        self.datagrams = 0


class Feed:
    """The streams of one lane, and the counters that say how far they are."""

    def __init__(self, settings: LaneSettings, state: StatePage) -> None:
        self.present_seq = 0
        """Redis has all entries up to this seq."""
        self.sent_seq = 0
        """Entries up to this seq are counted in the streams' lengths."""
        self.counted_seq = 0
        """Datagrams up to this seq are counted; what comes before it again is sent again, and not counted."""
        self._directory = Path(settings.directory)
        self._settings = settings
        self._state = state
        self._values = state.values
        self._streams: Streams | None = None
        self.encode_trap: EncodeEntry
        """`Streams.encode_trap` and `Streams.encode_reject`, without a detour for every trap."""
        self.encode_reject: EncodeEntry
        self._groups: dict[str, list[GroupFacts]] = {}
        self._changed = False
        self._sent_bytes = 0
        self._tend_due = 0.0

    @property
    def streams(self) -> Streams:
        """The streams that `attach` has connected."""
        assert self._streams is not None, "not attached"
        return self._streams

    def publish(self) -> None:
        """Makes the counters visible."""
        self._values["heartbeat_unix_ns"] = time.time_ns()
        self._state.publish()

    # -- batches

    def send(self, batch: Batch) -> None:
        """Writes a batch's commands; `settle` must follow, in order. Raises UnavailableError."""
        if batch.commands:
            self._sent_bytes += self.streams.send(batch.commands)

    def pump(self) -> None:
        """Lets what was sent go on its way while other things are done. Raises UnavailableError."""
        self.streams.pump()

    def settle(self, batch: Batch) -> None:
        """Waits until Redis has a batch, then counts it.

        Raises:
            UnavailableError: Redis did not take it, or that is unknown. Nothing is counted; `attach` finds out.
            IdRefusedError: Redis has some of it already, or something newer. Nothing is counted; `attach` finds out.
            StreamChangedError: The streams were not as they had been left. Nothing is counted; `attach` mends them.
        """
        values = self._values
        if batch.commands:
            self._compare(self.streams.settle())
        for name, count in batch.counts.items():
            values[name] += count
        values["buffered"] += len(batch.received_unix_ns)
        if batch.last_seq > values["sent_seq"]:
            values["sent_ms"], values["sent_seq"] = batch.last_ms, batch.last_seq
        values["traps_length"] += batch.traps
        values["rejects_length"] += batch.rejects
        if batch.after.seq > values["seq"]:
            values["segment"], values["offset"], values["seq"] = batch.after
        self._observe_latency(batch.received_unix_ns, time.time_ns())
        self._look_up()
        self.publish()

    def _look_up(self) -> None:
        """What every record is compared with, out of the counters."""
        self.sent_seq, self.counted_seq = self._values["sent_seq"], self._values["seq"]

    def _compare(self, lengths: tuple[int, int]) -> None:
        expected = (self._values["traps_length"], self._values["rejects_length"])
        # While entries are counted that Redis had already, the lengths run ahead of the count.
        if lengths != expected and self._values["sent_seq"] >= self.present_seq:
            self._changed = True
            raise StreamChangedError(f"the streams held {lengths} entries, expected {expected}")

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

    # -- memory

    def must_tend(self) -> bool:
        """Whether it is time to look after the streams: everything that was sent is to be settled first."""
        budget = self._settings.redis.stream_memory_bytes_max
        return time.monotonic() >= self._tend_due or self._sent_bytes >= budget // _TEND_SHARE

    def tend(self) -> None:
        """Looks after the streams when it is time: lease, lengths, memory.

        Raises:
            UnavailableError: Redis does not answer.
            StreamChangedError: The streams are not as they had been left; `attach` mends them.
        """
        if self.must_tend():
            self._tend(self._settings.redis.stream_memory_bytes_max)

    def wait_for_memory(self) -> None:
        """While a consumer group that lags fills the budget, waits a moment and looks again. Raises UnavailableError."""
        if self._values["paused"]:
            log.warning("decode.group_awaited", groups=self._lagging())
            time.sleep(_PAUSE_S)
            self._tend(self._settings.redis.stream_memory_bytes_max)

    @property
    def paused(self) -> bool:
        """Whether the streams have no room for more."""
        return bool(self._values["paused"])

    def _tend(self, budget: int) -> None:
        streams = self.streams
        self._tend_due = time.monotonic() + _TEND_S
        self._sent_bytes = 0
        streams.renew_lease()
        self._compare(streams.lengths())
        self._groups = {key: streams.groups(key) for key in (streams.traps, streams.rejects)}
        usage = streams.memory_bytes()
        if self._trim(usage, budget):
            usage = streams.memory_bytes()
        self._values["stream_bytes"] = usage
        self._values["paused"] = int(usage >= budget)
        self.publish()

    def _trim(self, usage: int, budget: int) -> bool:
        """Trims the streams as the budget wants it; whether there was something to trim."""
        values = self._values
        floors = [floor for floor, _ in self._floors()]
        trim = choose_trim(usage, budget, floors, EntryId(values["floor_ms"], values["floor_seq"]))
        if isinstance(trim, NoTrim):
            return False
        # Until the outcome is known and published, the lengths prove nothing.
        values["trimming"] = 1
        self.publish()
        floor = self._trim_oldest(trim) if isinstance(trim, TrimOldest) else trim.floor
        for name, key in self._lengths():
            self._trimmed(name, self.streams.trim_up_to(key, floor))
        values["floor_ms"], values["floor_seq"] = floor
        values["trimming"] = 0
        return True

    def _trim_oldest(self, trim: TrimOldest) -> EntryId:
        """Trims the longer stream by the share; returns the floor that this makes for both."""
        values = self._values
        name, key = max(self._lengths(), key=lambda stream: values[stream[0]])
        self._trimmed(name, self.streams.trim_to_length(key, int(values[name] * trim.keep_ratio)))
        first = self.streams.first_id(key, EntryId(0, 0))
        return EntryId(first.ms, first.seq - 1) if first else EntryId(values["sent_ms"], values["sent_seq"])

    def _trimmed(self, name: str, entries: int) -> None:
        self._values[name] -= entries
        self._values["trimmed"] += entries

    def _lengths(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The counter of each stream's length, and the stream."""
        return ("traps_length", self.streams.traps), ("rejects_length", self.streams.rejects)

    def _floors(self) -> list[tuple[EntryId, str]]:
        """For each consumer group, the ID up to which it needs nothing any more, and its name.

        That is just before the next entry of its own stream, not where it stands: a group that has read all of a quiet
        stream must not keep the other one from being trimmed.
        """
        sent = EntryId(self._values["sent_ms"], self._values["sent_seq"])
        floors = []
        for key, groups in self._groups.items():
            for group in groups:
                first = self.streams.first_id(key, group.floor)
                floors.append((EntryId(first.ms, first.seq - 1) if first else sent, group.name))
        return floors

    def _lagging(self) -> list[str]:
        floors = self._floors()
        return [name for floor, name in floors if floor == min(floors)[0]]

    # -- attaching

    def attach(self, limit: Position) -> Position:
        """Connects, compares, rewinds or rebuilds the streams where they need it.

        Args:
            limit: How far the journal may be read.

        Returns:
            Where in the journal to go on.

        Raises:
            UnavailableError: Redis does not answer, or there is no journal yet.
        """
        values = self._values
        self._mend(self._connect(), limit)
        values["redis_up"] = 1
        self._tend_due = 0.0
        self._look_up()
        self.publish()
        if self.present_seq >= values["seq"]:
            return Position(values["segment"], values["offset"], values["seq"])
        # Some of what was counted is to be sent again, or was never meant for a stream.
        return locate(self._directory, self.present_seq + 1, limit)

    def detach(self) -> None:
        """Gives up the claim on the streams and disconnects. Raises UnavailableError."""
        if self._streams is not None and self._streams.connected:
            self._streams.release_lease()
            self._streams.close()

    def failed(self, error: UnavailableError) -> None:
        """Counts and says that Redis could not be used."""
        self._values["redis_up"] = 0
        self._values[f"unavailable_{error.reason}"] += 1
        self.publish()
        log.warning("redis.batch_refused", reason=error.reason, detail=error.detail)

    def _connect(self) -> bool:
        """Connects to the streams of the journal in our folder; whether they were made from it."""
        if self._streams is None:
            kept = segments(self._directory)
            header = read_segment_header(segment_path(self._directory, kept[-1])) if kept else None
            if header is None:
                raise UnavailableError("connection", "there is no journal yet")
            self._streams = Streams(self._settings.redis, self._settings.key_prefix, header.journal_id.hex())
            self.encode_trap, self.encode_reject = self._streams.encode_trap, self._streams.encode_reject
        return self._streams.connect()

    def _mend(self, ours: bool, limit: Position) -> None:
        values, streams = self._values, self.streams
        traps, rejects = streams.facts(streams.traps), streams.facts(streams.rejects)
        last = last_entry(traps, rejects)
        known = Known(
            EntryId(values["sent_ms"], values["sent_seq"]),
            EntryId(values["floor_ms"], values["floor_seq"]),
            values["traps_length"],
            values["rejects_length"],
            bool(values["trimming"]),
            self._changed,
        )
        made_here = last == EntryId(0, 0) or (ours and self._made(last, limit))
        todo = plan(known, traps, rejects, made_here=made_here)
        if isinstance(todo, Rebuild):
            self._rebuild(known.floor, set_aside=todo.set_aside)
            return
        self.present_seq = todo.present.seq
        if isinstance(todo, Rewind):
            log.warning("stream.tail_refilled", after=str(todo.present))
            values["sent_ms"], values["sent_seq"] = todo.present
        if isinstance(todo, Rewind) or known.trimming:
            values["traps_length"], values["rejects_length"] = traps.length, rejects.length
            values["trimming"] = 0

    def _rebuild(self, floor: EntryId, *, set_aside: bool) -> None:
        """Empties both streams, to be filled again from the floor; consumer groups come back where they were."""
        log.error("stream.rebuild_begun", floor=str(floor), set_aside=set_aside)
        streams, values = self.streams, self._values
        for _, key in self._lengths():
            groups = streams.groups(key) or self._groups.get(key, [])
            if set_aside:
                streams.set_aside(key, f"displaced-{time.time_ns() // 1_000_000}")
            else:
                streams.delete(key)
            streams.restore_groups(key, groups)
        values["traps_length"] = values["rejects_length"] = values["trimming"] = 0
        values["sent_ms"], values["sent_seq"] = floor
        values["rebuilds"] += 1
        self.present_seq = floor.seq
        self._changed = False

    def _made(self, entry_id: EntryId, limit: Position) -> bool:
        """Whether our journal made this ID."""
        reader = Reader(self._directory, locate(self._directory, entry_id.seq, limit))
        frame = reader.next(limit)
        reader.close()
        return frame is not None and frame.first_seq <= entry_id.seq <= frame.after.seq and frame.id_ms == entry_id.ms
