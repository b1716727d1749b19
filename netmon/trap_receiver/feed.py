"""Feed: the lane's streams, kept equal to what the journal says they should be.

It sends batches and settles them, counts what is settled, has the memory looked after, and after every connection
compares what Redis has with what was left there. All counters change together, when a batch is settled.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from pathlib import Path

from netmon.buffer.stream import EntryId, StreamFacts, Streams
from netmon.errors import NetmonError, UnavailableError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.batch import Batch, Track
from netmon.trap_receiver.journal.marks import EXPRESS, Marks
from netmon.trap_receiver.journal.segment import Position, Reader, locate, read_segment_header, segment_path, segments
from netmon.trap_receiver.ledger import LATENCY_BOUNDS_MS
from netmon.trap_receiver.memory import Memory
from netmon.trap_receiver.recovery import Recovery
from netmon.trap_receiver.resume import Rebuild, Rewind, last_entry, plan
from netmon.trap_receiver.state import StatePage

_TEND_S = 1.0
"""How often the streams' memory and consumer groups are looked at; sooner when a good part of the budget was sent."""
_TEND_SHARE = 16
_PAUSE_S = 0.1
_NO_ID = EntryId(0, 0)
_NO_STREAM = StreamFacts(0, _NO_ID)


class StreamChangedError(NetmonError):
    """A stream does not hold as many entries as it was left with: somebody else has put some in, or taken some out."""


class Feed:
    """The streams of one lane, and the counters that say how far they are.

    Attributes:
        values: The counters.
        main: The books of the traps and rejects streams.
        express: The books of the express stream.
    """

    def __init__(self, settings: LaneSettings, state: StatePage) -> None:
        self._directory = Path(settings.directory)
        self._settings = settings
        self._state = state
        self.values = self._values = values = state.values
        self.main = Track(values, "", "", ("traps_length", "rejects_length"), "buffered")
        self.express = Track(values, "express_", "head_", ("express_length",), "express_sent")
        self._memory = Memory(settings.redis.stream_memory_bytes_max, values, (self.main, self.express), self.publish)
        self._recovery = Recovery()
        self._streams: Streams | None = None
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
        batch.track.settle(batch)
        self._recovery.settled(batch.track, batch.after.seq)
        self._observe_latency(batch.received_unix_ns, time.time_ns())
        self.publish()

    def caught_up(self) -> None:
        """Notes that everything the journal holds for the streams is settled."""
        self._recovery.caught_up()

    def _compare(self, lengths: tuple[int, int, int]) -> None:
        for track, found in ((self.main, lengths[:2]), (self.express, lengths[2:])):
            if not track.expects(found):
                track.changed = True
        if self.main.changed or self.express.changed:
            names = (*self.main.lengths, *self.express.lengths)
            expected = tuple(self._values[name] for name in names)
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
            self._tend()

    def wait_for_memory(self) -> None:
        """While a consumer group that lags fills the budget, waits a moment and looks again. Raises UnavailableError."""
        if self._values["paused"]:
            log.warning("decode.group_awaited", groups=self._memory.lagging(self.streams))
            time.sleep(_PAUSE_S)
            self._tend()

    @property
    def paused(self) -> bool:
        """Whether the traps and rejects streams have no room for more."""
        return bool(self._values["paused"])

    @property
    def express_paused(self) -> bool:
        """Whether the express stream has no room for more."""
        return bool(self._values["express_paused"])

    def _tend(self) -> None:
        self._tend_due = time.monotonic() + _TEND_S
        self._sent_bytes = 0
        self.streams.renew_lease()
        self._compare(self.streams.lengths())
        self._memory.look_after(self.streams)
        self._recovery.tell(self._values)

    # -- attaching

    def attach(self, limit: Position) -> Position:
        """Connects, compares, rewinds or rebuilds the streams where they need it.

        Args:
            limit: How far the journal may be read.

        Returns:
            Where in the journal decode is to go on; for the express stream, `express.present_seq` tells.

        Raises:
            UnavailableError: Redis does not answer, or there is no journal yet.
        """
        values = self._values
        ours = self._connect()
        self._mend(self.main, ours, limit)
        self._mend(self.express, ours, limit)
        values["trimming"] = 0
        values["redis_up"] = 1
        self._tend_due = 0.0
        self.main.look_up()
        self.express.look_up()
        self.publish()
        self._recovery.attached(max(0, limit.seq - self.main.place.seq))
        if self.main.present_seq >= values["seq"]:
            return self.main.place
        # Some of what was counted is to be sent again, or was never meant for a stream.
        return locate(self._directory, self.main.present_seq + 1, limit)

    def detach(self) -> None:
        """Gives up the claim on the streams and disconnects. Raises UnavailableError."""
        if self._streams is not None and self._streams.connected:
            self._streams.release_lease()
            self._streams.close()

    def failed(self, error: UnavailableError) -> None:
        """Counts and says that Redis could not be used."""
        self._recovery.lost()
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
            self._streams = streams = Streams(self._settings.redis, self._settings.key_prefix, header.journal_id.hex())
            self.main.keys = streams.traps, streams.rejects
            self.express.keys = (streams.express,)
        return self._streams.connect()

    def _mend(self, track: Track, ours: bool, limit: Position) -> None:
        values, streams = self._values, self.streams
        first, second, *_ = (*(streams.facts(key) for key in track.keys), _NO_STREAM)
        last = last_entry(first, second)
        known = track.known()
        made_here = last == _NO_ID or (ours and (last == known.sent or self._made(track, last, limit)))
        todo = plan(known, first, second, made_here=made_here)
        if isinstance(todo, Rebuild):
            self._rebuild(track, set_aside=todo.set_aside)
            return
        track.present_seq = todo.present.seq
        if isinstance(todo, Rewind):
            log.warning("stream.tail_refilled", streams=track.keys, after=str(todo.present))
            track.sent = todo.present
        if isinstance(todo, Rewind) or known.trimming:
            values.update(zip(track.lengths, (first.length, second.length), strict=False))

    def _rebuild(self, track: Track, *, set_aside: bool) -> None:
        """Empties the streams of a track, to be filled again from the floor; consumer groups come back where they were."""
        floor = track.floor
        log.error("stream.rebuild_begun", streams=track.keys, floor=str(floor), set_aside=set_aside)
        self._recovery.rebuild_begun(track, track.sent.seq)
        streams, values = self.streams, self._values
        for key in track.keys:
            groups = self._memory.groups(streams, key)
            if set_aside:
                streams.set_aside(key, f"displaced-{time.time_ns() // 1_000_000}")
            else:
                streams.delete(key)
            streams.restore_groups(key, groups)
        values.update(dict.fromkeys(track.lengths, 0))
        track.sent = floor
        values["rebuilds"] += 1
        track.present_seq = floor.seq
        track.changed = False

    def _made(self, track: Track, entry_id: EntryId, limit: Position) -> bool:
        """Whether our journal made this ID, and for a stream of this track."""
        reader = Reader(self._directory, locate(self._directory, entry_id.seq, limit))
        frame = reader.next(limit)
        reader.close()
        if frame is None or not frame.first_seq <= entry_id.seq <= frame.after.seq or frame.id_ms != entry_id.ms:
            return False
        marks = Marks(self._directory)
        is_express = marks.read(frame.after.segment, entry_id.seq, 1)[0] == EXPRESS
        marks.close()
        return is_express == (track is self.express)
