"""The alarm worker: one process that leads, or waits until the one that leads is gone.

It holds nothing that Redis does not have, so it may be killed at any moment: the next one begins where the last flush stands.
`python -m netmon.role alarms` runs it.
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from netmon.alarms.rules.matcher import Matcher
from netmon.alarms.settings import AlarmSettings
from netmon.alarms.worker.intake import EntryError
from netmon.alarms.worker.leader import Leader
from netmon.alarms.worker.report import REPORT_FILE, AlarmReport, AreaReport, Counts, WorkerState
from netmon.buffer.alarm_writer import AlarmWriter
from netmon.buffer.fenced import FencedError, holder_name
from netmon.errors import UnavailableError, disk_cure
from netmon.inventory.topology import Topology
from netmon.log import limited, log
from netmon.trap_receiver.bell import Bell
from netmon.trap_receiver.late.lock import FileLock

NICE: Final = 5
"""Added to the niceness: receiving and decoding come first."""
LOCK_FILE: Final = "alarms.lock"
NAME_FILE: Final = "alarms.name"
LEFT_OUT_MAX: Final = 1_000
"""Entries that netmon failed at and leaves out; more of them, and something is wrong with all."""

_REPORT_S: Final = 1.0
_WAIT_S: Final = 0.25
"""Between two looks whether the leader is gone."""
_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0
_CURE: Final = "look after the Redis that redis.url names; alarms go on where they stand when it is back"


class AlarmRole:
    """One worker."""

    def __init__(self, settings: AlarmSettings) -> None:
        """Raises OSError: the folder cannot be written."""
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._settings = settings
        self._directory = directory
        self._lock = FileLock(directory / LOCK_FILE)
        self._bell = Bell(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._stopping = False
        self._topology = Topology(settings.inventory)
        self._matcher = Matcher(settings.rules, self._topology)
        self._writer = AlarmWriter(
            settings.redis,
            holder_name(directory / NAME_FILE),
            lease_ms=int(settings.lease_s * 1_000),
            stream_entries_max=settings.stream_entries_max,
        )
        self._leader: Leader | None = None
        self._counts = Counts()
        self._left_out: set[tuple[str, bytes]] = set()
        self._state: WorkerState = "starting"
        self._started_unix_ns = time.time_ns()
        self._report_due_mono = 0.0
        self._retry_s = _RETRY_MIN_S

    def stop(self) -> None:
        """Makes `run` return after the pass at hand. Fit for a signal handler."""
        self._stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Works until `stop`."""
        os.nice(NICE)
        threading.excepthook = _crash
        # Held while we live: the lease of an earlier process of this name is ours, and need not run out.
        while not self._stopping and not self._lock.take():
            self._bell.wait(_WAIT_S)
        while not self._stopping:
            try:
                self._bell.wait(self._turn())
            except EntryError as error:
                self._leave_out(error)
            except FencedError as error:
                log.warning("alarms.lead_lost", detail=error.detail)
                self._drop()
            except UnavailableError as error:
                limited.warning("alarms.redis_lost", reason=error.reason, detail=error.detail, cure=_CURE)
                self._drop()
                self._state = "unreachable"
                self._wait_for_redis()
        self._hand_over()

    def _turn(self) -> float:
        """Leads, or looks whether it may; returns how long to sleep. Raises UnavailableError and EntryError."""
        if self._leader is None and not self._take_lead():
            self._report()
            return _WAIT_S
        assert self._leader is not None
        sleep_s = self._leader.work()
        self._report()
        return sleep_s

    def _take_lead(self) -> bool:
        if not self._writer.take(time.time_ns()):
            if self._state != "waiting":
                log.info("alarms.wait_begun", reason="another worker leads")
            self._state = "waiting"
            return False
        self._leader = Leader(
            self._settings,
            self._writer,
            matcher=self._matcher,
            topology=self._topology,
            counts=self._counts,
            left_out=self._left_out,
            ring=self._bell.ring,
        )
        # What has been loaded stays; a collector that looked through all alarms would stand in the way of the next ones.
        gc.freeze()
        self._state = "leading"
        self._retry_s = _RETRY_MIN_S
        return True

    def _leave_out(self, error: EntryError) -> None:
        """Begins anew from Redis without an entry that netmon failed at."""
        assert len(self._left_out) < LEFT_OUT_MAX, "netmon fails at everything"
        log.error("alarms.entry_failed", entry=str(error), reason=repr(error.__cause__), cure="tell its makers")
        self._left_out.add(error.entry)
        self._drop()

    def _drop(self) -> None:
        """Forgets everything that Redis does not have."""
        if self._leader is not None:
            self._leader.close()
            self._leader = None
            gc.unfreeze()
        self._writer.close()
        self._state = "starting"

    def _wait_for_redis(self) -> None:
        self._report()
        self._bell.wait(self._retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
        self._retry_s = min(2 * self._retry_s, _RETRY_MAX_S)

    def _hand_over(self) -> None:
        if self._leader is not None:
            try:
                self._leader.leave()
            except UnavailableError as error:
                log.warning("alarms.lead_lost", detail=error.detail)
        self._drop()
        self._state = "stopped"
        self._report_due_mono = 0.0
        self._report()

    # -- what it tells

    def _report(self) -> None:
        """Writes the report once in a second."""
        if time.monotonic() < self._report_due_mono:
            return
        self._report_due_mono = time.monotonic() + _REPORT_S
        body = msgspec.json.encode(self._now())
        fresh = self._directory / f"{REPORT_FILE}.new"
        try:
            fresh.write_bytes(body)
            fresh.replace(self._directory / REPORT_FILE)
        except OSError as error:
            limited.warning("alarms.report_refused", reason=error.strerror, cure=disk_cure(error))

    def _now(self) -> AlarmReport:
        report = AlarmReport(
            unix_ns=time.time_ns(), started_unix_ns=self._started_unix_ns, state=self._state, counts=self._counts
        )
        leader = self._leader
        if leader is None:
            return report
        book, lags = leader.book.counters, leader.lags()
        oldest_ms = min((lag.oldest_unix_ms for lag in lags.values() if lag.entries), default=0)
        return msgspec.structs.replace(
            report,
            fence=self._writer.fence,
            alarms=len(leader.book.alarms),
            active=dict(book.active),
            flapping=book.flapping,
            shelved=book.shelved,
            roots=book.roots,
            causes=book.causes,
            explained=book.explained,
            refused=book.refused,
            flood=leader.flooding,
            lag_entries={kind: lag.entries for kind, lag in lags.items()},
            oldest_pending_s=max(report.unix_ns / 1e9 - oldest_ms / 1e3, 0.0) if oldest_ms else 0.0,
            areas={
                shown.area: AreaReport(
                    code=self._topology.areas[shown.area].code,
                    posture=shown.posture,
                    notifications=leader.intake.area_totals[shown.area],
                    trap_rate=leader.situation.rates[shown.area],
                )
                for shown in leader.situation.postures
            },
            forecasts=leader.situation.seconds_left(report.unix_ns),
        )


def _crash(args: threading.ExceptHookArgs) -> None:
    """A reader that has died would leave its lane unread for ever: the process goes with it, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)
