"""A vantage as a process: makes everything from its settings, probes, votes, tells how it is, and reports. `__main__` runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from netmon.active_probe.model import VantageHealth
from netmon.active_probe.settings import VantageSettings
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.keepalives import Keepalives
from netmon.active_probe.vantage.observer import Observer
from netmon.active_probe.vantage.report import (
    BYTES_PER_S,
    REPORT_FILE,
    REPORT_MAX_S,
    REPORT_S,
    ProbeReport,
    encode,
)
from netmon.buffer.line_reader import HeardWriter
from netmon.buffer.vote_writer import VoteWriter
from netmon.errors import disk_cure
from netmon.log import limited, log

SLICE_S: Final = 0.005
SLICE_LINES: Final = 8
"""Votes are said again in slices: a few lines each time, which takes about a millisecond."""
LEAVE_S: Final = 1.0
"""How long a stop waits until Redis has heard of it."""


class Vantage:
    """One place that probes."""

    def __init__(self, settings: VantageSettings, clock: Clock | None = None) -> None:
        """Prepares everything; no packet leaves yet.

        Raises:
            ConfigError: The probes need more files than this process may open.
            OSError: The folder for the report cannot be written.
        """
        self._settings = settings
        self._folder = Path(settings.directory)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._clock = clock or Clock()
        self._writer = VoteWriter(
            settings.redis,
            settings.vantage_id,
            (line.line_id for line in settings.lines),
            check_s=settings.refresh_s / 2,
        )
        self._observer = Observer(settings, self._clock, self._writer.put, self._tell_health)
        self._votes = self._observer.votes
        self._heard = HeardWriter(settings.redis)
        self._keepalives = (
            None
            if settings.keepalives is None
            else Keepalives(settings.keepalives, settings.vantage_id, self._heard.put)
        )
        self._beat = 0

    # -- run

    async def run(self) -> None:
        """Works until cancelled; then says that it leaves."""
        log.info(
            "probe.run_started",
            vantage=self._settings.vantage_id,
            lines=len(self._settings.lines),
            targets=self._observer.engine.targets,
            anchors=len(self._observer.anchors),
        )
        self._writer.start()
        self._tell_health()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._observer.start(tasks)
                tasks.create_task(self._beat_again(), name="heartbeat")
                tasks.create_task(self._refresh_again(), name="refresh")
                tasks.create_task(self._report_again(), name="report")
                if self._keepalives is not None:
                    self._heard.start()
                    tasks.create_task(self._keepalives.run(), name="keepalives")
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Its votes are worth nothing from now on, and nobody shall have to find that out by waiting."""
        self._observer.close()
        self._beat += 1
        self._writer.put_health(self._health_now(stopped=True))
        self._writer.stop(LEAVE_S)
        self._heard.stop()
        await self._observer.close_services(LEAVE_S)
        log.info("probe.run_stopped", vantage=self._settings.vantage_id)

    # -- what it tells

    async def _beat_again(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_s)
            if not self._observer.beat():
                self._tell_health()
            self._votes.hear(self._clock.now_ns())

    def _tell_health(self) -> None:
        self._beat += 1
        self._writer.put_health(self._health_now())

    def _health_now(self, *, stopped: bool = False) -> VantageHealth:
        anchors, counts = [anchor.track for anchor in self._observer.anchors], self._observer.engine.counts
        health = self._observer.health
        return VantageHealth(
            vantage_id=self._settings.vantage_id,
            state="isolated" if stopped else health.state,
            reason="stopped" if stopped else health.reason,
            beat=self._beat,
            started_unix_ns=self._clock.told(self._observer.started_ns),
            unix_ns=self._clock.unix_now_ns(),
            heartbeat_s=self._settings.heartbeat_s,
            anchors=len(anchors),
            anchors_answering=sum(track.state in ("up", "degraded") for track in anchors),
            lag_s=self._observer.lag_s,
            lines=len(self._votes),
            probes_sent=counts.probes_sent,
            local_errors=counts.local_errors,
        )

    async def _refresh_again(self) -> None:
        """Every line once in `refresh_s`, in slices."""
        refresh_s, lines = self._settings.refresh_s, len(self._votes)
        pause_s = min(max(SLICE_LINES * refresh_s / max(lines, 1), SLICE_S), refresh_s / 10)
        done = 0
        while True:
            await asyncio.sleep(pause_s)
            now_ns = self._clock.now_ns()
            since_s = (now_ns - self._observer.started_ns) / 1e9
            # After a stall, what was left out is left out.
            due = min(int(since_s / refresh_s * lines) - done, 1 + int(2 * lines * pause_s / refresh_s))
            done = int(since_s / refresh_s * lines)
            self._votes.refresh(now_ns, due, settled=since_s >= refresh_s)

    # -- the report

    async def _report_again(self) -> None:
        while True:
            body = encode(self._report(), self._votes.bodies())
            await asyncio.to_thread(self._write, body)
            await asyncio.sleep(min(max(REPORT_S, len(body) / BYTES_PER_S), REPORT_MAX_S))

    def _report(self) -> ProbeReport:
        now_ns, engine, telling = self._clock.now_ns(), self._observer.engine, self._writer.telling
        counts = engine.counts
        counts.clock_steps = self._clock.steps
        counts.channels = len(engine.poll)
        counts.reopened = sum(channel.reopened for channel in engine.channels)
        counts.refused = engine.unasked + sum(channel.refused for channel in engine.channels)
        counts.held = len(self._votes.held)
        counts.votes_told = telling.votes
        counts.redis_failures, counts.redis_repairs = telling.failures, telling.repairs
        return ProbeReport(
            unix_ns=self._clock.unix_now_ns(),
            vantage_id=self._settings.vantage_id,
            health=self._health_now(),
            redis_reachable=telling.reachable,
            counts=counts,
            anchors=tuple(
                self._votes.target_report(anchor, anchor.reading(now_ns)) for anchor in self._observer.anchors
            ),
        )

    def _write(self, body: bytes) -> None:
        """In a thread."""
        fresh = self._folder / f"{REPORT_FILE}.new"
        try:
            fresh.write_bytes(body)
            fresh.replace(self._folder / REPORT_FILE)
        except OSError as error:
            limited.warning("probe.report_refused", reason=error.strerror, cure=disk_cure(error))
