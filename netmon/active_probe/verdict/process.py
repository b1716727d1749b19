"""The verdict process: it leads, or waits until the one that leads is gone.

It may be killed at any moment: the next one begins where the last flush stands.
"""

from __future__ import annotations

import gc
import os
import random
import time
from pathlib import Path
from typing import Final

import msgspec

from netmon.active_probe.settings import VerdictSettings
from netmon.active_probe.verdict.judge import Judge
from netmon.active_probe.verdict.leader import Leader
from netmon.active_probe.verdict.report import REPORT_FILE, Counts, ProcessState, VantageReport, VerdictReport
from netmon.buffer.fenced import FencedError, holder_name
from netmon.buffer.line_writer import LineWriter
from netmon.errors import UnavailableError, disk_cure
from netmon.log import limited, log
from netmon.trap_receiver.bell import Bell
from netmon.trap_receiver.late.lock import FileLock

LOCK_FILE: Final = "lines.lock"
NAME_FILE: Final = "lines.name"

_REPORT_S: Final = 1.0
_WAIT_S: Final = 0.25
"""Between two looks whether the leader is gone."""
_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0
_CURE: Final = "look after the Redis that redis.url names; lines go on where they stand when it is back"


class VerdictProcess:
    """One process."""

    def __init__(self, settings: VerdictSettings) -> None:
        """Raises OSError: the folder cannot be written."""
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._settings = settings
        self._directory = directory
        self._lock = FileLock(directory / LOCK_FILE)
        self._bell = Bell(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._stopping = False
        self._writer = LineWriter(
            settings.redis,
            holder_name(directory / NAME_FILE),
            lease_ms=int(settings.lease_s * 1_000),
            stream_entries_max=settings.stream_entries_max,
        )
        self._leader: Leader | None = None
        self._judge: Judge | None = None
        """What we knew when we last led."""
        self._fence = 0
        """Our number then."""
        self._follows = False
        """Whether another one led when we last looked."""
        self._forgotten_mono = 0.0
        """Since when Redis has known of no leader, while we wait; 0: it does."""
        self._counts = Counts()
        self._state: ProcessState = "starting"
        self._started_unix_ns = time.time_ns()
        self._report_due_mono = 0.0
        self._retry_s = _RETRY_MIN_S

    def stop(self) -> None:
        """Makes `run` return after the pass at hand. Fit for a signal handler."""
        self._stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Works until `stop`."""
        # Held while we live: the lease of an earlier process of this name is ours, and need not run out.
        while not self._stopping and not self._lock.take():
            self._bell.wait(_WAIT_S)
        while not self._stopping:
            try:
                self._turn()
            except FencedError as error:
                self._counts.lead_lost += 1
                log.warning("lines.lead_lost", detail=error.detail)
                self._drop()
            except UnavailableError as error:
                errors = self._counts.redis_errors
                errors[error.reason] = errors.get(error.reason, 0) + 1
                limited.warning("lines.redis_lost", reason=error.reason, detail=error.detail, cure=_CURE)
                self._drop()
                self._state = "unreachable"
                self._wait_for_redis()
        self._hand_over()

    def _turn(self) -> None:
        """Leads for a moment, or looks whether it may, and waits. Raises UnavailableError."""
        if self._leader is None and not self._take_lead():
            self._report()
            self._bell.wait(_WAIT_S)
            return
        assert self._leader is not None
        self._leader.work()
        self._report()

    def _take_lead(self) -> bool:
        if self._leaves_it_to_another() or not self._writer.take(time.time_ns()):
            if self._state != "waiting":
                log.info("lines.wait_begun", reason="another process leads")
            self._state = "waiting"
            self._follows = True
            # Whatever we know, the other one knows better.
            self._judge = None
            return False
        if self._writer.fence > self._fence + 1:
            # Another one has led since. A smaller number than ours: Redis has lost what we wrote, and we know better.
            self._judge = None
        self._fence = self._writer.fence
        self._follows = False
        self._leader = Leader(self._settings, self._writer, self._counts, self._judge)
        self._judge = self._leader.judge
        # What has been loaded stays; a collector that looked through all lines would stand in the way of the next ones.
        gc.freeze()
        self._state = "leading"
        self._retry_s = _RETRY_MIN_S
        return True

    def _leaves_it_to_another(self) -> bool:
        """Whether somebody led until Redis forgot everything: he knows it all, and gets the time of a lease to come back."""
        if not self._follows or not self._writer.is_forgotten():
            self._forgotten_mono = 0.0
            return False
        self._forgotten_mono = self._forgotten_mono or time.monotonic()
        return time.monotonic() - self._forgotten_mono < self._settings.lease_s

    def _drop(self) -> None:
        """Ends our time as the leader. What we know stays, in case that nobody else begins his."""
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
                log.warning("lines.lead_lost", detail=error.detail)
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
            limited.warning("lines.report_refused", reason=error.strerror, cure=disk_cure(error))

    def _now(self) -> VerdictReport:
        report = VerdictReport(
            unix_ns=time.time_ns(), started_unix_ns=self._started_unix_ns, state=self._state, counts=self._counts
        )
        leader = self._leader
        if leader is None:
            return report
        lag_s, leader.lag_s = leader.lag_s, 0.0
        return msgspec.structs.replace(
            report,
            leader=1,
            fence=self._writer.fence,
            lag_s=lag_s,
            behind=leader.is_behind,
            states={str(state): count for state, count in leader.judge.states().items()},
            lines=leader.shown,
            vantages=_vantages(leader),
        )


def _vantages(leader: Leader) -> dict[str, VantageReport]:
    found = {}
    for name, presence, health, age_s in leader.judge.vantages(leader.hearing_ns()):
        told = VantageReport(presence=presence, age_s=round(age_s, 3))
        if health is not None:
            told = VantageReport(
                presence=presence,
                reason=health.reason,
                age_s=told.age_s,
                anchors=health.anchors,
                anchors_answering=health.anchors_answering,
                lag_s=health.lag_s,
                lines=health.lines,
                probes_sent=health.probes_sent,
                local_errors=health.local_errors,
            )
        found[name] = told
    return found
