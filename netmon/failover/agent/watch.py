"""The gateway's own look at its lines: the vantage's engine, votes and health, without Redis, and told of each change at once.

A gateway has nobody to ask but itself. Its other lines stand in for anchors: while none of them answers, no line is down, whatever it misses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from netmon.active_probe.measure.profiles import WIRED
from netmon.active_probe.model import Vote
from netmon.active_probe.settings import Observed, ProbedLine
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.observer import Observer
from netmon.failover.agent.room import GOOD
from netmon.failover.model import LineSight
from netmon.failover.plan.model import PlannedLine

HEARTBEAT_S: Final = 1.0
LEAVE_S: Final = 1.0
"""How long service probers may take to end."""


_NO_WAY: Final = (
    "ENETUNREACH", "ENETDOWN", "ENODEV", "ENXIO", "EADDRNOTAVAIL", "interface ", "pin to source ",
)  # fmt: skip
"""What details begin with that say: there is no interface, it is down, or it has no address or route. A firewall, a missing right or a full queue
says less."""
_GONE: Final = "there is no interface"
"""Of a pin that cannot be had any more: the socket was made anew."""


class Look(NamedTuple):
    """A line now."""

    sight: LineSight
    first_miss_unix_ns: int
    """When the first probe of the present row of misses was sent; 0: none is missing."""


class _Known(NamedTuple):
    """A vote, with its times on the monotonic clock: the other one may be set at any time."""

    vote: Vote
    since_ns: int
    first_miss_ns: int


class Watch:
    """Asks over all lines of one plan that have probes."""

    def __init__(
        self,
        gateway_id: str,
        lines: Sequence[PlannedLine],
        secrets: Mapping[str, str],
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        """Prepares; no packet leaves yet.

        Args:
            gateway_id: Who asks, for probers that tell.
            lines: Of the plan.
            secrets: File name, as a probe has it, to what is in it.
            clock: All times are its.
            changed: Told in the very moment in which a line is found dead or good again, or the gateway cut off.

        Raises:
            ConfigError: The probes need more files than this process may open.
        """
        probed = tuple(
            ProbedLine(line_id=line.line_id, profile=line.profile, standby=line.standby, probes=line.probes)
            for line in lines
            if line.probes
        )
        told = Observed(
            vantage_id=gateway_id, lines=probed, anchor_profile=WIRED, secrets=dict(secrets), heartbeat_s=HEARTBEAT_S
        )
        self._clock = clock
        self._changed = changed
        self._known: dict[str, _Known] = {}
        self._good_ns: dict[str, int] = {}
        self._observer = Observer(told, clock, self._hear, changed)

    async def run(self) -> None:
        """Asks until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._observer.start(tasks)
                tasks.create_task(self._beat_again(), name="heartbeat")
        finally:
            self._observer.close()
            await self._observer.close_services(LEAVE_S)

    def looks(self, offset_ns: int) -> list[Look]:
        """Every line of which something is known, as it is now.

        Args:
            offset_ns: From the monotonic clock to the time that is told.
        """
        return [self._look(known, offset_ns) for known in self._known.values()]

    @property
    def isolated(self) -> str:
        """Empty: it may judge its lines; else why it may not, a word such as `no_anchor`."""
        health = self._observer.health
        return "" if health.state == "live" else health.reason or "isolated"

    async def _beat_again(self) -> None:
        votes = self._observer.votes
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._observer.beat()
            now_ns = self._clock.now_ns()
            votes.hear(now_ns)
            votes.refresh(now_ns, len(votes), settled=True)

    def _hear(self, vote: Vote, *, urgent: bool) -> None:
        zero_ns = self._clock.told(0)
        first_miss_ns = vote.first_miss_unix_ns - zero_ns if vote.first_miss_unix_ns else 0
        self._known[vote.line_id] = _Known(vote, vote.since_unix_ns - zero_ns, first_miss_ns)
        if urgent:
            self._changed()

    def _look(self, known: _Known, offset_ns: int) -> Look:
        vote = known.vote
        if vote.state in GOOD:
            self._good_ns[vote.line_id] = self._observer.votes.answered_ns(vote.line_id)
        good_ns = self._good_ns.get(vote.line_id, 0)
        reading = min(vote.targets, key=lambda target: target.loss, default=None)
        sight = LineSight(
            line_id=vote.line_id,
            state="down" if _has_no_way(vote) else vote.state,
            since_unix_ns=known.since_ns + offset_ns,
            good_unix_ns=good_ns + offset_ns if good_ns else 0,
            loss=None if reading is None or not reading.sent else reading.loss,
            rtt_s=None if reading is None else reading.rtt_p50_s,
            reason=vote.reason,
        )
        return Look(sight, known.first_miss_ns + offset_ns if known.first_miss_ns else 0)


def _has_no_way(vote: Vote) -> bool:
    """Whether the gateway has no way onto the line at all. To a vantage that says nothing of the line; to a gateway it says that its classes have
    none either.
    """
    mute = [target.detail for target in vote.targets if target.reason == "cannot_send"]
    return vote.reason == "cannot_send" and all(detail.startswith(_NO_WAY) or _GONE in detail for detail in mute)
