"""What waits in the journal, tried again: one pass after another over the marks, oldest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Final

from netmon.trap_receiver.journal.marks import PARKED_MARKS, PENDING_MARKS, REASON_OF, SHED_TRIED, Marks
from netmon.trap_receiver.journal.segment import Frame, Position, Record, records, segments
from netmon.trap_receiver.late.difference import DECODED, REJECTED, WAITING, Difference
from netmon.trap_receiver.late.feed import Late, LateFeed, decoded_limit
from netmon.trap_receiver.late.reread import Reading, Reread, frames
from netmon.trap_receiver.ledger import PARK_REASONS, PARKED, SHED

SHED_MARKS: Final = frozenset({PARKED_MARKS[SHED], PENDING_MARKS[SHED]})
"""Waits for nothing but time."""
UNREADABLE_MARKS: Final = frozenset(
    {SHED_TRIED, *(marks[reason] for reason in PARKED for marks in (PARKED_MARKS, PENDING_MARKS))}
)
"""Waits for another configuration."""
ALL_MARKS: Final = SHED_MARKS | UNREADABLE_MARKS

BATCH_ENTRIES: Final = 1_024
BATCH_BYTES: Final = 1 << 20

Progress = Callable[[int], bool]
"""Told the seq that a pass has come to, after each batch; False ends the pass there."""
Wanted = Callable[[Record], bool]


def find(marks: Marks, segment: int, limit: Position, wanted: Container[int]) -> Iterator[tuple[Frame, dict[int, int]]]:
    """The frames of a segment that hold datagrams with one of the marks, and those datagrams: seq to mark."""
    found = marks.read_all(segment)
    if not any(mark in wanted for mark in set(found)):
        return
    for frame in frames(marks.directory, segment, limit):
        start = frame.first_seq - segment
        here = found[start : frame.after.seq + 1 - segment]
        if any(here):
            chosen = {frame.first_seq + at: mark for at, mark in enumerate(here) if mark in wanted}
            if chosen:
                yield frame, chosen


def rehearse(directory: Path, reread: Reread, wanted: Wanted) -> Difference:
    """What a pass over all that waits would find; nothing is sent or marked."""
    found = Difference()
    marks, limit = Marks(directory), decoded_limit(directory)
    for segment in marks.segments():
        for frame, chosen in find(marks, segment, limit, ALL_MARKS):
            for seq, record in enumerate(records(frame), frame.first_seq):
                if seq in chosen and wanted(record):
                    _rehearse(found, chosen[seq], reread.read(seq, record))
        marks.forget(segment)
    return found


def _rehearse(found: Difference, mark: int, reading: Reading | str) -> None:
    if isinstance(reading, str):
        found.count(WAITING, reading)
    else:
        found.count(REJECTED if reading.reason else DECODED, REASON_OF[mark])


class WaitingPass:
    """Goes over what waits and puts what can be read now into the late stream."""

    def __init__(self, feed: LateFeed, reread: Reread) -> None:
        self._feed = feed
        self._reread = reread
        self._batch: list[Late] = []
        self._size = 0
        self.outcome = dict.fromkeys(PARK_REASONS, 0)
        """Entries put into the late stream, by the reason why they had waited."""
        self.rejected = 0
        """Of them, rejections."""
        self.still: Counter[str] = Counter()
        """Datagrams that go on waiting, by the reason that they have now."""

    def run(
        self,
        marks: Container[int],
        after_seq: int,
        limit: Position,
        go_on: Progress,
        wanted: Wanted = lambda _: True,
    ) -> int:
        """One pass.

        Args:
            marks: Of the datagrams to try.
            after_seq: Begin behind this one.
            limit: How far decode has come.
            go_on: Asked after each batch.
            wanted: Which of the datagrams to try.

        Returns:
            The seq up to which all have been tried.

        Raises:
            UnavailableError, IdRefusedError, StreamChangedError, OSError: As `LateFeed.put`; what is not in the stream waits on.
        """
        tried = after_seq
        # A message is judged by what is known of its engine: decode has learnt since.
        self._reread.refresh()
        kept = segments(self._feed.directory)
        for index, segment in enumerate(kept):
            last = kept[index + 1] - 1 if index + 1 < len(kept) else limit.seq
            if segment > limit.seq or last <= after_seq or not self._feed.marks.has(segment):
                continue
            if not self._feed.marks.hold(segment):
                continue
            for tried in self._segment(segment, limit, marks, after_seq, wanted):
                if not go_on(tried):
                    self._flush()
                    self._feed.end_pass()
                    return tried
            self._flush()
            self._feed.settle()
            self._feed.sync()
            self._feed.marks.forget(segment)
        self._feed.end_pass()
        return limit.seq

    def _segment(
        self, segment: int, limit: Position, marks: Container[int], after_seq: int, wanted: Wanted
    ) -> Iterator[int]:
        """Tries what waits in one segment; yields up to where, after each batch."""
        for frame, chosen in find(self._feed.marks, segment, limit, marks):
            for seq, record in enumerate(records(frame), frame.first_seq):
                mark = chosen.get(seq)
                if mark is not None and seq > after_seq and wanted(record):
                    self._try(segment, seq, mark, record)
            if len(self._batch) >= BATCH_ENTRIES or self._size >= BATCH_BYTES:
                self._flush()
                yield frame.after.seq

    def _try(self, segment: int, seq: int, mark: int, record: Record) -> None:
        reading = self._reread.read(seq, record)
        if isinstance(reading, Reading):
            self._batch.append(Late(seq, mark, reading))
            self._size += len(reading.body)
            return
        self.still[reading] += 1
        # Only another configuration can help, so it must not keep its segment for ever, as what is shed or pending does.
        left = SHED_TRIED if mark in SHED_MARKS else PARKED_MARKS[REASON_OF[mark]]
        if mark not in (left, SHED_TRIED):
            self._feed.marks.write(segment, seq, bytes((left,)))

    def _flush(self) -> None:
        if not self._batch:
            return
        batch, self._batch, self._size = self._batch, [], 0
        self._feed.put(batch)
        for late in batch:
            self.outcome[REASON_OF[late.mark]] += 1
            self.rejected += bool(late.reading.reason)
