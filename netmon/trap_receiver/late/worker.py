"""Late: what was parked, into the late stream as soon as that can be done; the role with the lowest priority.

What was shed comes when the storm has passed. What waits for another configuration is tried once after every start, for a
reload starts the role anew; and by `netmon replay --parked`, for which this role steps aside.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

from netmon.buffer.stream import IdRefusedError
from netmon.errors import UnavailableError, disk_cure
from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.bell import Bell
from netmon.trap_receiver.feed import StreamChangedError
from netmon.trap_receiver.journal.segment import Position
from netmon.trap_receiver.late.feed import LateFeed, decoded_limit
from netmon.trap_receiver.late.lock import LATE_LOCK, REPLAY_LOCK, FileLock
from netmon.trap_receiver.late.reread import Reread
from netmon.trap_receiver.late.waiting import SHED_MARKS, UNREADABLE_MARKS, WaitingPass
from netmon.trap_receiver.ledger import COMMIT_STATE, DECODE_STATE, LATE_STATE, PARK_REASONS, SHED
from netmon.trap_receiver.state import StateReader

NICE: Final = 10
"""Added to the niceness of whoever works on what has waited for long."""

_LOOK_S = 1.0
_RETRY_MIN_S = 0.5
_RETRY_MAX_S = 10.0
_BACKLOG_MAX = 20_000
"""Datagrams between journal and stream from which on late waits for decode."""


class LateRole:
    """One lane's late decoding."""

    def __init__(self, settings: LaneSettings) -> None:
        """Raises OSError: the lane's folder cannot be written."""
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._settings = settings
        self._directory = directory
        self._lock = FileLock(directory / LATE_LOCK)
        self._replay = FileLock(directory / REPLAY_LOCK)
        self._decode = StateReader(directory / DECODE_STATE)
        self._commit = StateReader(directory / COMMIT_STATE)
        self._late = StateReader(directory / LATE_STATE)
        self._reread = Reread(settings)
        self._feed = LateFeed(settings, self._reread)
        self._bell = Bell(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._stopping = False
        self._tried_seq = 0
        """All that waits for a configuration has been tried with this one, up to here."""
        self._shed_seq = 0
        """All that was shed has been decoded up to here."""
        self._retry_s = _RETRY_MIN_S

    def stop(self) -> None:
        """Makes `run` return after the batch at hand. Fit for a signal handler."""
        self._stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Works until `stop`."""
        os.nice(NICE)
        # What was journaled before this start may have been parked under another configuration; what comes now is not.
        before = self._commit.read().get("seq", 0)
        while not self._stopping:
            self._bell.wait(self._turn(before))

    def _turn(self, before: int) -> float:
        """Does what there is to do, when nobody else is at it; returns how long to sleep."""
        if self._replay.is_wanted() or not self._lock.take():
            return _LOOK_S
        try:
            self._feed.open()
            try:
                return self._work(before)
            finally:
                self._feed.close()
        except OSError as error:
            # What was begun is found in the log; it is worth a retry, as a Redis that does not answer is.
            cure = f"{disk_cure(error)}; it goes on by itself"
            log.error("late.disk_refused", reason=error.strerror, directory=str(self._directory), cure=cure)
            self._feed.disconnect()
            return self._retry_wait_s()
        finally:
            self._lock.release()

    def _work(self, before: int) -> float:
        """What a turn does with an open feed. Raises OSError."""
        try:
            if self._feed.idle and not self._has_waiting():
                self._feed.publish()
                return _LOOK_S
            self._feed.look()
            self._retry_s = _RETRY_MIN_S
            self._pass_over(before)
        except (IdRefusedError, StreamChangedError) as error:
            log.warning("stream.change_found", stream="late", detail=str(error))
            return _RETRY_MIN_S
        except UnavailableError as error:
            self._feed.failed(error)
            return self._retry_wait_s()
        return _LOOK_S

    def _retry_wait_s(self) -> float:
        """How long to wait before the next try: doubling, jittered, capped."""
        wait_s = self._retry_s * random.uniform(0.5, 1.0)  # noqa: S311 - a jitter, not a secret
        self._retry_s = min(2 * self._retry_s, _RETRY_MAX_S)
        return wait_s

    def _pass_over(self, before: int) -> None:
        """Goes over what may be tried now."""
        limit = decoded_limit(self._directory)
        work = WaitingPass(self._feed, self._reread)
        due = Position(*limit[:2], min(limit.seq, before))
        if self._tried_seq < due.seq and self._may(limit.seq):
            self._tried_seq = work.run(UNREADABLE_MARKS, self._tried_seq, due, self._may)
        if self._waiting(SHED) and self._shed_seq < limit.seq and self._may(limit.seq):
            self._shed_seq = work.run(SHED_MARKS, self._shed_seq, limit, self._may)
        if done := sum(work.outcome.values()):
            log.info(
                "late.pass_finished", decoded=done - work.rejected, rejected=work.rejected, waiting=work.still.total()
            )

    def _may(self, _: int) -> bool:
        """Whether to go on: nobody is kept waiting by it."""
        if self._stopping or self._feed.full or self._replay.is_wanted():
            return False
        decode = self._decode.read()
        backlog = self._commit.read().get("seq", 0) - decode.get("seq", 0)
        return not decode.get("shedding", 0) and not decode.get("paused", 0) and backlog <= _BACKLOG_MAX

    def _has_waiting(self) -> bool:
        return any(self._waiting(reason) for reason in PARK_REASONS)

    def _waiting(self, reason: str) -> bool:
        """Whether the ledger has datagrams that wait for this reason."""
        decode, late, commit = self._decode.read(), self._late.read(), self._commit.read()
        gone = sum(
            (late.get(f"late_{reason}", 0), late.get(f"late_rejected_{reason}", 0), commit.get(f"expired_{reason}", 0))
        )
        return decode.get(f"parked_{reason}", 0) > gone
