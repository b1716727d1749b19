"""Replay: a part of the journal read again with what is configured now, compared with what consumers have, and what differs sent.

What was sent is remembered by position and content (`marks.Digests`), so that a replay that was cut off, or is given twice, sends
nothing twice. What goes out goes to the late stream, by the same steps and with the same promises as what was parked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from netmon.buffer.late_stream import RangeReader
from netmon.buffer.stream import EntryId, IdRefusedError
from netmon.errors import UnavailableError
from netmon.model import LaneSettings
from netmon.trap_receiver.feed import StreamChangedError
from netmon.trap_receiver.journal.marks import DIGEST_BYTES, REASON_OF, Digests, Marks
from netmon.trap_receiver.journal.segment import Frame, Record, records
from netmon.trap_receiver.journal.survey import Span, segments_of
from netmon.trap_receiver.late.difference import (
    CONTROL,
    DECODED,
    GONE,
    REJECTED,
    UNREADABLE,
    WAITING,
    Difference,
    changed_fields,
    is_same,
)
from netmon.trap_receiver.late.feed import Late, LateFeed, decoded_limit
from netmon.trap_receiver.late.log import REJECT, TRAP
from netmon.trap_receiver.late.reread import Reading, Reread, frames
from netmon.trap_receiver.ledger import CONTROL_REASONS, DECODE_STATE
from netmon.trap_receiver.state import read_state

_BATCH_ENTRIES: Final = 4_096
_PUMP_EVERY: Final = 64
"""Datagrams between two looks whether Redis takes more: a socket's buffer holds some 200 entries."""
_BATCH_BYTES: Final = 4 << 20
_TEND_S: Final = 1.0
_FULL_WAIT_S: Final = 0.25
_DECODE_SILENT_S: Final = 10.0
_TRIES_MAX: Final = 8
_RETRY_MIN_S: Final = 0.25
_NO_DIGEST: Final = bytes(DIGEST_BYTES)
_END: Final = (1 << 64) - 1

Progress = Callable[[int], None]
"""Told how many datagrams more have been looked at, in range or not."""
Standing = tuple[int, bytes]
"""`log.TRAP` or `log.REJECT`, and the body of the entry that consumers have."""


class Patience:
    """Puts a late feed right after trouble, and gives up when it lasts."""

    def __init__(self, feed: LateFeed, say: Callable[[str], None]) -> None:
        """`say` is told, in words for a person, what is waited for."""
        self._feed = feed
        self._say = say

    def connect(self) -> None:
        """Connects the feed, and puts its stream right where that is needed.

        Raises:
            UnavailableError: Redis did not answer for many tries.
        """
        for attempt in range(1, _TRIES_MAX + 1):
            try:
                self._feed.look()
            except (IdRefusedError, StreamChangedError):
                continue
            except UnavailableError as error:
                self._feed.failed(error)
                if attempt == _TRIES_MAX:
                    raise
                self._say(f"Redis: {error}; trying again")
                time.sleep(min(_RETRY_MIN_S * 2**attempt, 5.0))
            else:
                return
        raise UnavailableError("refused", "somebody changes the late stream again and again")

    def settle(self) -> None:
        """What was put in is in the stream. Raises UnavailableError: not after many tries."""
        try:
            self._feed.settle()
        except (IdRefusedError, StreamChangedError, UnavailableError):
            self._feed.disconnect()
            self.connect()

    def pump(self) -> None:
        """Lets what was put in go on its way. Raises UnavailableError: not after many tries."""
        try:
            self._feed.pump()
        except UnavailableError:
            # The log has it.
            self._feed.disconnect()
            self.connect()

    def put(self, batch: list[Late]) -> None:
        """Puts a batch into the stream, when that has room. Raises UnavailableError: not after many tries."""
        self.settle()
        while self._feed.full:
            self.wait_for_room()
        try:
            self._feed.put(batch)
        except UnavailableError:
            # The log has it.
            self._feed.disconnect()
            self.connect()

    def wait_for_room(self) -> None:
        """Waits a moment for consumers to acknowledge, and looks again. Raises UnavailableError: nobody trims."""
        heartbeat = read_state(self._feed.directory / DECODE_STATE).get("heartbeat_unix_ns", 0)
        if time.time_ns() - heartbeat > _DECODE_SILENT_S * 1e9:
            raise UnavailableError(
                "out_of_memory", "the late stream is full, and decode, which trims it, is not running"
            )
        groups = ", ".join(self._feed.lagging) or "none"
        self._say(f"the late stream is full; waiting for its consumer groups ({groups})")
        time.sleep(_FULL_WAIT_S)
        self.connect()


class Replay:
    """One replay of one lane."""

    def __init__(
        self,
        settings: LaneSettings,
        span: Span,
        reread: Reread,
        patience: Patience | None,
        feed: LateFeed | None,
        *,
        every: bool,
    ) -> None:
        """Prepare.

        Args:
            settings: Of the lane.
            span: Which datagrams.
            reread: What reads them.
            patience: What puts entries into the stream; None only looks.
            feed: The stream that `patience` has.
            every: Also send what is unchanged, or no longer in a stream.
        """
        self.found = Difference()
        self.to_send = 0
        """Entries that were sent, or would be."""
        self._settings = settings
        self._directory = Path(settings.directory)
        self._span = span
        self._read = reread.read
        self._patience = patience
        self._every = every
        self._marks = feed.marks if feed else Marks(self._directory)
        self._digests = feed.digests if feed else Digests(self._directory)
        self._feed = feed
        self._batch: list[Late] = []
        self._size = 0
        self._tend_due = 0.0
        self._standings: _Standings | None = None

    def run(self, progress: Progress) -> None:
        """Looks at all that is meant, oldest first, and sends what is to be sent.

        Raises:
            UnavailableError: Redis did not answer for long. The same replay, given again, goes on where this one stopped.
            OSError: The disk is full.
        """
        limit = decoded_limit(self._directory)
        for segment in segments_of(self._directory, self._span):
            held = self._feed is not None and self._marks.hold(segment)
            marked, digested = self._marks.has(segment), self._digests.has(segment)
            for frame in frames(self._directory, segment, limit):
                if self._standings is None:
                    self._standings = _Standings(self._settings, EntryId(frame.id_ms, frame.first_seq))
                count = len(frame.lengths)
                marks = self._marks.read(segment, frame.first_seq, count) if marked else bytes(count)
                digests = self._digests.read(segment, frame.first_seq, count) if digested else b""
                self._frame(frame, marks, digests, self._standings.up_to(frame.after.seq))
                progress(count)
            self._flush()
            if held and self._patience is not None:
                self._patience.settle()
            self._marks.forget(segment)
            self._digests.forget(segment)
        if self._feed is not None and self._patience is not None:
            self._patience.settle()
            self._feed.end_pass()

    def _frame(self, frame: Frame, marks: bytes, digests: bytes, standing: dict[int, Standing]) -> None:
        has = self._span.has
        for index, record in enumerate(records(frame)):
            if index % _PUMP_EVERY == 0:
                self._pump()
            if has(record):
                seq = frame.first_seq + index
                known = digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES] or _NO_DIGEST
                self._look_at(seq, record, marks[index], known, standing.get(seq))
        if len(self._batch) >= _BATCH_ENTRIES or self._size >= _BATCH_BYTES:
            self._flush()

    def _pump(self) -> None:
        """Lets Redis take and send what waits, while this process works."""
        if self._standings is not None:
            self._standings.pump()
        if self._patience is not None:
            self._patience.pump()

    def _look_at(self, seq: int, record: Record, mark: int, known: bytes, standing: Standing | None) -> None:
        """Compares one datagram with what consumers have of it."""
        reading = self._read(seq, record)
        if isinstance(reading, str):
            self._count_unreadable(reading, standing, waits=mark in REASON_OF)
        elif mark in REASON_OF:
            self.found.count(DECODED if reading.kind == TRAP else REJECTED, REASON_OF[mark])
            self._send(Late(seq, mark, reading))
        elif known != _NO_DIGEST:
            # The late stream has had it: what it was there is newer than what the other streams have.
            if known == reading.digest:
                self.found.unchanged += 1
            else:
                self.found.count_changed(changed_fields(standing[1], reading.body) if standing else ("content",))
                self._send_trap(seq, reading)
        elif standing is None:
            self.found.gone += 1
            self._send_trap(seq, reading, wanted=self._every)
        else:
            self._compare(seq, reading, *standing)

    def _count_unreadable(self, reason: str, standing: Standing | None, *, waits: bool) -> None:
        if reason in CONTROL_REASONS:
            self.found.count(CONTROL, reason)
        elif waits:
            self.found.count(WAITING, reason)
        else:
            self.found.count(UNREADABLE if standing else GONE, reason)

    def _compare(self, seq: int, reading: Reading, kind: int, body: bytes) -> None:
        if kind == reading.kind:
            if is_same(body, reading.body):
                self.found.unchanged += 1
                self._send_trap(seq, reading, wanted=self._every)
                return
            self.found.count_changed(changed_fields(body, reading.body))
            self._send_trap(seq, reading)
        elif reading.kind == TRAP:
            self.found.count(DECODED, _reason(body))
            self._send_trap(seq, reading)
        else:
            # What was said cannot be taken back.
            self.found.count(REJECTED, reading.reason)

    def _send_trap(self, seq: int, reading: Reading, *, wanted: bool = True) -> None:
        if wanted and reading.kind == TRAP:
            self._send(Late(seq, 0, reading))

    def _send(self, late: Late) -> None:
        self.to_send += 1
        if self._patience is not None:
            self._batch.append(late)
            self._size += len(late.reading.body)

    def _flush(self) -> None:
        if not self._batch or self._patience is None:
            return
        batch, self._batch, self._size = self._batch, [], 0
        self._patience.put(batch)
        if time.monotonic() >= self._tend_due:
            self._tend_due = time.monotonic() + _TEND_S
            self._patience.settle()
            self._patience.connect()


class _Standings:
    """The entries that consumers have of successive datagrams: in traps, rejects and express."""

    def __init__(self, settings: LaneSettings, first: EntryId) -> None:
        last = EntryId(_END, _END)
        streams = (("traps", TRAP), ("rejects", REJECT), ("express", TRAP))
        readers = [
            (RangeReader(settings.redis, f"{settings.key_prefix}:{name}", first, last), kind) for name, kind in streams
        ]
        self._readers = [reader for reader, _ in readers]
        self._pages = [(_Pages(iter(reader)), kind) for reader, kind in readers]

    def pump(self) -> None:
        """Takes what Redis has sent meanwhile."""
        for reader in self._readers:
            reader.pump()

    def up_to(self, last_seq: int) -> dict[int, Standing]:
        """Those up to a seq that have not been told before, by seq."""
        found: dict[int, Standing] = {}
        for pages, kind in self._pages:
            pages.take(last_seq, kind, found)
        return found


class _Pages:
    """The pages of a stream, told up to one seq after another."""

    def __init__(self, pages: Iterator[list[Any]]) -> None:
        self._entries = chain.from_iterable(pages)
        self._ahead = 0, b""

    def take(self, last_seq: int, kind: int, found: dict[int, Standing]) -> None:
        """Puts those up to a seq into `found`."""
        seq, body = self._ahead
        if seq > last_seq:
            return
        if seq:
            found[seq] = kind, body
        for entry_id, fields in self._entries:
            seq = int(entry_id.partition(b"-")[2])
            if seq > last_seq:
                self._ahead = seq, fields[1]
                return
            found[seq] = kind, fields[1]
        self._ahead = 0, b""


def _reason(body: bytes) -> str:
    """Why an entry of the rejects stream was rejected."""
    try:
        return str(msgspec.json.decode(body)["reason"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "unknown"
