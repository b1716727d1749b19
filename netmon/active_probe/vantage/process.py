"""A vantage as a process: makes everything from its settings, probes, votes, tells how it is, and reports. `__main__` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netmon.active_probe.model import VantageHealth
from netmon.active_probe.probers import is_packet_prober
from netmon.active_probe.probers.base import PacketProbe, ServiceContext
from netmon.active_probe.settings import VantageSettings
from netmon.active_probe.vantage.channel import Channel, arrange
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.engine import Engine
from netmon.active_probe.vantage.health import Health, patience_s
from netmon.active_probe.vantage.keepalives import Keepalives
from netmon.active_probe.vantage.report import (
    BYTES_PER_S,
    REPORT_FILE,
    REPORT_MAX_S,
    REPORT_S,
    ProbeReport,
    encode,
)
from netmon.active_probe.vantage.services import UNDER_WAY_MAX, Services, make_service
from netmon.active_probe.vantage.target import Target, anchors_of, targets_of
from netmon.active_probe.vantage.votes import Votes
from netmon.buffer.line_reader import HeardWriter
from netmon.buffer.vote_writer import VoteWriter
from netmon.errors import ConfigError, disk_cure
from netmon.inventory.probes import IcmpProbe, StampProbe, kind_of
from netmon.log import limited, log

FILES_SPARE: Final = 64
"""Descriptors beside those of the probers: Redis, the report, epoll, what a library opens for a moment."""
SLICE_S: Final = 0.005
SLICE_LINES: Final = 8
"""Votes are said again in slices: a few lines each time, which takes about a millisecond."""
LEAVE_S: Final = 1.0
"""How long a stop waits until Redis has heard of it."""
ANCHOR: Final = "anchor"
"""What an anchor's service prober is told instead of a line."""


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
        self._started_ns = self._clock.now_ns()
        targets = targets_of(settings, self._started_ns)
        self._anchors = anchors_of(settings, self._started_ns)
        self._targets = [*targets, *self._anchors]
        self._health = Health(
            [anchor.track for anchor in self._anchors],
            len(settings.lines),
            patience_s(settings.lines),
            self._started_ns,
        )
        self._writer = VoteWriter(
            settings.redis,
            settings.vantage_id,
            (line.line_id for line in settings.lines),
            check_s=settings.refresh_s / 2,
        )
        self._votes = Votes(settings.vantage_id, targets, self._clock, self._health, self._writer.put)
        self._heard = HeardWriter(settings.redis)
        self._keepalives = (
            None
            if settings.keepalives is None
            else Keepalives(settings.keepalives, settings.vantage_id, self._heard.put)
        )
        self._services = Services(self._clock)
        self._engine = Engine(
            targets,
            self._anchors,
            self._clock,
            changed=self._changed,
            answered=self._answered,
            ask_service=self._services.ask,
            work=self._votes.work,
        )
        self._add_probers()
        self._beat = 0
        self._lag_s = 0.0

    def _add_probers(self) -> None:
        """Raises ConfigError."""
        groups = arrange([target.probe for target in self._targets])
        services = sum(not is_packet_prober(kind_of(target.probe)) for target in self._targets)
        _allow_files(len(groups) + min(services, UNDER_WAY_MAX) + FILES_SPARE)
        for group in groups:
            those = [self._targets[index] for index in group]
            self._engine.add_channel(Channel(_packet_probes(those), self._settings.secrets, self._engine.poll), those)
        for target in self._targets:
            if not is_packet_prober(kind_of(target.probe)):
                context = ServiceContext(self._settings.vantage_id, target.line_id or ANCHOR, self._settings.secrets)
                target.service = make_service(target.probe, context)

    # -- run

    async def run(self) -> None:
        """Works until cancelled; then says that it leaves."""
        log.info(
            "probe.run_started",
            vantage=self._settings.vantage_id,
            lines=len(self._settings.lines),
            targets=len(self._targets),
            anchors=len(self._anchors),
        )
        self._writer.start()
        self._tell_health()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._services.start(self._engine, tasks)
                tasks.create_task(self._engine.run(), name="engine")
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
        self._engine.close()
        self._beat += 1
        self._writer.put_health(self._health_now(stopped=True))
        self._writer.stop(LEAVE_S)
        self._heard.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                for target in self._targets:
                    if target.service is not None:
                        await target.service.close()
        log.info("probe.run_stopped", vantage=self._settings.vantage_id)

    # -- what happens

    def _changed(self, target: Target) -> None:
        if target.line_id:
            self._votes.touch(target.line_id)
        else:
            self._look()

    def _answered(self, target: Target, sent_ns: int) -> None:
        """An answer may prove that the fault of a line that is silent is not our own."""
        if target.line_id:
            if self._anchors:
                return
            self._health.heard(sent_ns)
        self._votes.hear(self._clock.now_ns())

    def _look(self) -> None:
        """An anchor has changed."""
        now_ns = self._clock.now_ns()
        self._votes.hear(now_ns)
        if self._health.look(now_ns):
            self._turn(now_ns)

    def _turn(self, now_ns: int) -> None:
        """The vantage is isolated, or back: that is told at once."""
        health = self._health
        tell = log.info if health.state == "live" else log.warning
        tell("probe.vantage_changed", state=health.state, reason=health.reason)
        if health.state == "live":
            # What they missed by now was our own fault. Those on standby are not left in the dark until their turn comes.
            for place, target in enumerate(self._targets):
                if target.line_id:
                    target.restart(now_ns)
                    self._engine.hurry(target, now_ns + target.interval_ns() * place // len(self._targets))
        self._votes.touch_all()
        self._tell_health()

    # -- what it tells

    async def _beat_again(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_s)
            now_ns = self._clock.now_ns()
            self._lag_s = self._engine.take_lag_s()
            if self._health.beat(self._lag_s, now_ns):
                self._turn(now_ns)
            else:
                self._tell_health()
            self._votes.hear(now_ns)

    def _tell_health(self) -> None:
        self._beat += 1
        self._writer.put_health(self._health_now())

    def _health_now(self, *, stopped: bool = False) -> VantageHealth:
        anchors, counts = [anchor.track for anchor in self._anchors], self._engine.counts
        return VantageHealth(
            vantage_id=self._settings.vantage_id,
            state="isolated" if stopped else self._health.state,
            reason="stopped" if stopped else self._health.reason,
            beat=self._beat,
            started_unix_ns=self._clock.told(self._started_ns),
            unix_ns=self._clock.unix_now_ns(),
            heartbeat_s=self._settings.heartbeat_s,
            anchors=len(anchors),
            anchors_answering=sum(track.state in ("up", "degraded") for track in anchors),
            lag_s=self._lag_s,
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
            since_s = (now_ns - self._started_ns) / 1e9
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
        now_ns, counts, telling = self._clock.now_ns(), self._engine.counts, self._writer.telling
        counts.clock_steps = self._clock.steps
        counts.channels = len(self._engine.poll)
        counts.reopened = sum(channel.reopened for channel in self._engine.channels)
        counts.refused = self._engine.unasked + sum(channel.refused for channel in self._engine.channels)
        counts.held = len(self._votes.held)
        counts.votes_told = telling.votes
        counts.redis_failures, counts.redis_repairs = telling.failures, telling.repairs
        return ProbeReport(
            unix_ns=self._clock.unix_now_ns(),
            vantage_id=self._settings.vantage_id,
            health=self._health_now(),
            redis_reachable=telling.reachable,
            counts=counts,
            anchors=tuple(self._votes.target_report(anchor, anchor.reading(now_ns)) for anchor in self._anchors),
        )

    def _write(self, body: bytes) -> None:
        """In a thread."""
        fresh = self._folder / f"{REPORT_FILE}.new"
        try:
            fresh.write_bytes(body)
            fresh.replace(self._folder / REPORT_FILE)
        except OSError as error:
            limited.warning("probe.report_refused", reason=error.strerror, cure=disk_cure(error))


def _packet_probes(targets: Sequence[Target]) -> list[PacketProbe]:
    return [target.probe for target in targets if isinstance(target.probe, StampProbe | IcmpProbe)]


def _allow_files(needed: int) -> None:
    """Raises the limit as far as it goes. Raises ConfigError: that is not far enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        what = f"the probes need {needed} open files (a socket for each pin), and this process may have {hard}"
        raise ConfigError([f"{what}: raise LimitNOFILE= of the service, or `ulimit -Hn` of the shell that starts it"])
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
