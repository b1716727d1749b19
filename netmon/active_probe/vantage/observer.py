"""Whoever asks over lines and votes on them: the engine, its probers, the health of the place, and the votes, put together.

A vantage tells its votes to Redis, the agent of a gateway acts on them: what they share is here, so that a line is judged in one way. Nothing in
here knows who is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Callable, Sequence
from typing import Final

from netmon.active_probe.probers import is_packet_prober
from netmon.active_probe.probers.base import PacketProbe, ServiceContext
from netmon.active_probe.settings import Observed
from netmon.active_probe.vantage.channel import Channel, arrange
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.engine import Engine
from netmon.active_probe.vantage.health import Health, patience_s
from netmon.active_probe.vantage.services import UNDER_WAY_MAX, Services, make_service
from netmon.active_probe.vantage.target import Target, anchors_of, targets_of
from netmon.active_probe.vantage.votes import Tell, Votes
from netmon.errors import ConfigError
from netmon.inventory.probes import IcmpProbe, StampProbe, kind_of
from netmon.log import log

FILES_SPARE: Final = 64
"""Descriptors beside those of the probers: Redis, the report, epoll, what a library opens for a moment."""
ANCHOR: Final = "anchor"
"""What an anchor's service prober is told instead of a line."""


class Observer:
    """One place that asks.

    Attributes:
        anchors: Whom it asks besides the lines.
        clock: All its times are of it.
        engine: Asks.
        health: Whether it may judge at all.
        lag_s: Largest delay of the event loop between the last two heartbeats.
        votes: What it says of its lines.
    """

    def __init__(self, told: Observed, clock: Clock, tell: Tell, turned: Callable[[], None]) -> None:
        """Prepares everything; no packet leaves yet.

        Args:
            told: What there is to ask.
            clock: All times are its.
            tell: Takes votes.
            turned: Told when the place is isolated, or back; `health` says which.

        Raises:
            ConfigError: The probes need more files than this process may open.
        """
        self.clock = clock
        self.started_ns = clock.now_ns()
        self.lag_s = 0.0
        targets = targets_of(told, self.started_ns)
        self.anchors = anchors_of(told, self.started_ns)
        self._told = told
        self._turned = turned
        self._targets = [*targets, *self.anchors]
        tracks = [anchor.track for anchor in self.anchors]
        self.health = Health(tracks, len(told.lines), patience_s(told.lines), self.started_ns)
        self.votes = Votes(told.vantage_id, targets, clock, self.health, tell)
        self._services = Services(clock)
        self.engine = Engine(
            targets,
            self.anchors,
            clock,
            changed=self._changed,
            answered=self._answered,
            ask_service=self._services.ask,
            work=self.votes.work,
        )
        self._add_probers()

    def _add_probers(self) -> None:
        """Raises ConfigError."""
        secrets = self._told.secrets
        groups = arrange([target.probe for target in self._targets])
        services = sum(not is_packet_prober(kind_of(target.probe)) for target in self._targets)
        _allow_files(len(groups) + min(services, UNDER_WAY_MAX) + FILES_SPARE)
        for group in groups:
            those = [self._targets[index] for index in group]
            self.engine.add_channel(Channel(_packet_probes(those), secrets, self.engine.poll), those)
        for target in self._targets:
            if not is_packet_prober(kind_of(target.probe)):
                context = ServiceContext(self._told.vantage_id, target.line_id or ANCHOR, secrets)
                target.service = make_service(target.probe, context)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Asks from now on, in tasks of this group."""
        self._services.start(self.engine, tasks)
        tasks.create_task(self.engine.run(), name="engine")

    def close(self) -> None:
        """Asks no more."""
        self.engine.close()

    async def close_services(self, limit_s: float) -> None:
        """Ends what service probers keep, if that takes no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for target in self._targets:
                    if target.service is not None:
                        await target.service.close()

    def beat(self) -> bool:
        """A heartbeat. Returns whether the place is isolated by it, or back, of which `turned` was told."""
        now_ns = self.clock.now_ns()
        self.lag_s = self.engine.take_lag_s()
        is_turn = self.health.beat(self.lag_s, now_ns)
        if is_turn:
            self._turn(now_ns)
        return is_turn

    # -- what happens

    def _changed(self, target: Target) -> None:
        if target.line_id:
            self.votes.touch(target.line_id)
        else:
            self._look()

    def _answered(self, target: Target, sent_ns: int) -> None:
        """An answer may prove that the fault of a line that is silent is not our own."""
        if target.line_id:
            if self.anchors:
                return
            self.health.heard(sent_ns)
        self.votes.hear(self.clock.now_ns())

    def _look(self) -> None:
        """An anchor has changed."""
        now_ns = self.clock.now_ns()
        self.votes.hear(now_ns)
        if self.health.look(now_ns):
            self._turn(now_ns)

    def _turn(self, now_ns: int) -> None:
        """It is isolated, or back."""
        health = self.health
        tell = log.info if health.state == "live" else log.warning
        tell("probe.vantage_changed", state=health.state, reason=health.reason)
        if health.state == "live":
            # What they missed by now was our own fault. Those on standby are not left in the dark until their turn comes.
            for place, target in enumerate(self._targets):
                if target.line_id:
                    target.restart(now_ns)
                    self.engine.hurry(target, now_ns + target.interval_ns() * place // len(self._targets))
        self.votes.touch_all()
        self._turned()


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
