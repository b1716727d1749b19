"""Commit: makes the journal durable, says how far it is, answers INFORMs, and lets go of what is old.

Everything behind it waits for its word: decode passes on nothing that a power cut could still take from the journal, so
that the journal is never behind Redis. It is a process of its own because `fdatasync` may take long, and capture must
not wait for it.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from pathlib import Path

from netmon.errors import DecodeError
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.disk import sync_directory, sync_file
from netmon.trap_receiver.inform import Responder, is_question, may_want_answer
from netmon.trap_receiver.journal.marks import Marks, side_files
from netmon.trap_receiver.journal.segment import (
    Frame,
    Position,
    Reader,
    Record,
    read_segment_header,
    records,
    segment_path,
    segments,
)
from netmon.trap_receiver.ledger import CAPTURE_STATE, COMMIT_FIELDS, COMMIT_STATE, DECODE_STATE
from netmon.trap_receiver.state import StatePage, StateReader

_HOUSEKEEPING_S = 1.0
_HELD_HOUSEKEEPING_S = 0.1
"""How often to look for what may be deleted while capture waits for room."""
_UNHEARD_S = 0.02
"""How often to look for a first word of capture."""


class Commit:
    """One lane's commit: it follows capture, and decode follows it."""

    def __init__(self, settings: LaneSettings, sock: socket.socket, bells: Bells) -> None:
        """Takes over where the commit before it had published last."""
        self._bells = bells
        self._settings = settings
        self._directory = Path(settings.directory)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._state = StatePage(self._directory / COMMIT_STATE, COMMIT_FIELDS)
        self._values = self._state.values
        self._capture = StateReader(self._directory / CAPTURE_STATE)
        self._decode = StateReader(self._directory / DECODE_STATE)
        # What a dead capture has left may tell of frames that a power cut took; its successor finds out which. A living
        # one speaks ten times a second: until then, nothing is believed.
        self._heartbeat_found = self._capture.read().get("heartbeat_unix_ns", 0)
        self._responder = Responder(settings, sock)
        self._answers = settings.inform_ack == "journal"
        self._durable = Position(self._values["segment"], self._values["offset"], self._values["seq"])
        self._reader = Reader(self._directory, self._durable)
        self._fd = -1
        self._marks = Marks(self._directory)
        self._bury_orphans()
        self._housekeeping_due = 0.0
        self._stopping = False

    def stop(self) -> None:
        """Makes `run` return once everything captured is durable. Fit for a signal handler."""
        self._stopping = True
        self._bells.captured.ring()

    def run(self) -> None:
        """Commits until `stop`."""
        interval_s = self._settings.sync_interval_ms / 1_000
        while True:
            began = time.monotonic()
            captured = self._capture.read()
            heard = captured.get("heartbeat_unix_ns", 0) != self._heartbeat_found
            end = _end(captured) if heard else self._durable
            if end > self._durable:
                self._commit(end)
            elif self._stopping:
                break
            elif end < self._durable:
                # A power loss cut frames that were counted as durable by a page that reached the disk before them.
                self._release(end)
            held = bool(captured.get("held", 0))
            if began >= self._housekeeping_due:
                self._housekeep(held)
                self._housekeeping_due = began + _HOUSEKEEPING_S
            if held:
                self._housekeeping_due = min(self._housekeeping_due, began + _HELD_HOUSEKEEPING_S)
            # Not more often than the interval, so that one trip to the disk serves many batches.
            time.sleep(max(0.0, began + interval_s - time.monotonic()))
            due = self._housekeeping_due if heard else began + _UNHEARD_S
            self._bells.captured.wait(max(0.0, due - time.monotonic()))

    def _commit(self, end: Position) -> None:
        """Brings everything up to `end` to the disk, then lets decode have it, then answers the INFORMs in it."""
        began = time.monotonic_ns()
        durable = self._sync(end)
        self._values["syncs"] += 1
        self._values["sync_ns"] += time.monotonic_ns() - began
        self._release(end)
        self._answer_informs(end, durable=durable)

    def _release(self, end: Position) -> None:
        self._durable = end
        values = self._values
        values["segment"], values["offset"], values["seq"] = end
        values["heartbeat_unix_ns"] = time.time_ns()
        self._state.publish()
        self._bells.durable.ring()

    def _sync(self, end: Position) -> bool:
        """Whether all segments up to `end` are on disk now.

        After a failure the kernel may drop what it could not write and report the next try as a success: what the failed
        one was to cover never counts as durable. It is still readable, so decode may have it.
        """
        try:
            if self._fd < 0 or end.segment != self._durable.segment:
                self._turn_to(end.segment)
            os.fdatasync(self._fd)
        except OSError as error:
            self._values["sync_failures"] += 1
            log.error("journal.sync_failed", reason=error.strerror, directory=str(self._directory))
            return False
        return True

    def _turn_to(self, segment: int) -> None:
        """Brings all segments before `segment` to the disk, and their names; goes on with that one."""
        for sealed in segments(self._directory):
            if self._durable.segment <= sealed < segment:
                sync_file(segment_path(self._directory, sealed))
        fd = os.open(segment_path(self._directory, segment), os.O_RDWR)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        sync_directory(self._directory)

    def _answer_informs(self, end: Position, *, durable: bool) -> None:
        while isinstance(frame := self._reader.next(end), Frame):
            # A glance at the whole frame first: most hold nothing that wants an answer.
            if may_want_answer(frame.records):
                for record in records(frame):
                    self._answer(record, durable=durable)
        # INFORMs first: their senders have something to lose.
        self._responder.report_due()
        if self._responder.count_into(self._values):
            self._state.publish()

    def _answer(self, record: Record, *, durable: bool) -> None:
        """Reports, which promise nothing, are sent in any case; with `inform_ack: buffer`, decode answers INFORMs."""
        if is_question(record.payload):
            self._responder.defer(record)
            return
        try:
            response = self._responder.response(record)
        except DecodeError:
            self._responder.defer(record)
            return
        if response is None or not self._answers:
            return
        if durable:
            self._responder.send(response, record)
        else:
            self._values["informs_withheld"] += 1

    def _housekeep(self, held: bool) -> None:
        """Deletes what is too old or too much, and measures what is left."""
        sizes = {first: segment_path(self._directory, first).stat().st_size for first in segments(self._directory)}
        shipped = self._decode.read().get("segment", 0)
        for first in [first for first in sizes if first < shipped]:
            if not (held or self._excess(sizes) or self._outlived(first, sizes)):
                break
            if self._delete(first):
                del sizes[first]
                held = False
        self._values["journal_bytes"] = sum(sizes.values())
        self._values["journal_segments"] = len(sizes)
        oldest = read_segment_header(segment_path(self._directory, min(sizes))) if sizes else None
        self._values["journal_oldest_unix_ns"] = oldest.created_unix_ns if oldest else 0
        self._values["heartbeat_unix_ns"] = time.time_ns()
        self._state.publish()

    def _excess(self, sizes: dict[int, int]) -> bool:
        """Whether the quota leaves no room for the segment after the open one."""
        return sum(sizes.values()) + 2 * self._settings.segment_bytes > self._settings.journal_bytes_max

    def _outlived(self, first: int, sizes: dict[int, int]) -> bool:
        """Whether all of a segment is older than the journal keeps: the segment after it began that long ago."""
        after = min((other for other in sizes if other > first), default=None)
        header = read_segment_header(segment_path(self._directory, after)) if after is not None else None
        age_ns = time.time_ns() - header.created_unix_ns if header else 0
        return age_ns > self._settings.journal_age_max_s * 1_000_000_000

    def _delete(self, first: int) -> bool:
        """Deletes a segment; False where something in it still waits that is sure to be decoded late."""
        waiting = self._marks.expire(first)
        if waiting is None:
            return False
        # What decode has counted of this segment must be on disk before the segment goes.
        sync_file(self._directory / DECODE_STATE)
        segment_path(self._directory, first).unlink()
        self._values["segments_deleted"] += 1
        self._bury(first, waiting)
        return True

    def _bury(self, first: int, waiting: Counter[str]) -> None:
        """Counts what waited in a segment that is gone, once, and deletes what was beside it."""
        if waiting.total() and self._values["expired_segment"] != first:
            for reason, count in waiting.items():
                self._values[f"expired_{reason}"] += count
            # Published together, before the marks go: whoever is killed in between has counted, and finds that here.
            self._values["expired_segment"] = first
            self._state.publish()
            sync_file(self._directory / COMMIT_STATE)
            log.warning("journal.parked_expired", datagrams=waiting.total(), directory=str(self._directory))
        for path in side_files(self._directory, first):
            path.unlink(missing_ok=True)
        self._marks.forget(first)

    def _bury_orphans(self) -> None:
        """Finishes what a commit that was killed had begun: marks whose segment is gone."""
        kept = set(segments(self._directory))
        beside = (*self._directory.glob("*.marks"), *self._directory.glob("*.digests"))
        for first in {int(path.stem) for path in beside if path.stem.isdigit()} - kept:
            waiting = self._marks.expire(first)
            if waiting is not None:
                self._bury(first, waiting)


def _end(captured: dict[str, int]) -> Position:
    """Where the journal ends, by what capture has counted."""
    return Position(captured.get("segment", 0), captured.get("offset", 0), captured.get("captured", 0))
