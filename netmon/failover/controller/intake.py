"""From what streams and gateways say to what the coordinator sees: lines, areas, vantages, ports, gateways.

No I/O: the leader hands in what its readers have read, and the times. What nobody can read is counted, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

import msgspec

from netmon.active_probe.figures import figures_of
from netmon.active_probe.model import LineChange, LineStatus, VantageChange, VantageHealth
from netmon.alarms.model import Trust
from netmon.alarms.posture.model import AreaPosture, Posture, PostureChange
from netmon.buffer.alarm_reader import Batch
from netmon.failover.controller.report import Counts
from netmon.failover.model import LineSight
from netmon.failover.plan.model import Reported, ReportedGroup
from netmon.failover.region.coordinator import Coordinator
from netmon.failover.region.lives import Lives
from netmon.failover.settings import ControllerSettings

JUDGE_SILENT_NS: Final = 30_000_000_000
"""Of a verdict process that has looked at nothing for so long, nothing is believed any more: its lines are unknown."""
JUDGE_FRESH_NS: Final = 5_000_000_000
"""When we look for the first time, it lives if it looked not longer ago than this."""
SKEW_MIN_NS: Final = 500_000_000
"""By less than this, a gateway's clock may differ from ours."""
FENCE_STEP_MAX: Final = 1 << 32
"""By no more than this a gateway's word raises our fence: numbers are not to be used up by one that lies."""
PORTS_MAX: Final = 100_000
"""Ports that are down of which traps are trusted; of more, the later ones do not count."""

_TRUSTS: Final[tuple[Trust, ...]] = ("v3_auth_priv", "v3_auth", "allow_listed", "other")
_DIGITS_MAX: Final = 20
_GOOD: Final = ("up", "degraded")

_Value = TypeVar("_Value")


class _Place(msgspec.Struct):
    line: str = ""


class _Port(msgspec.Struct):
    """What of an alarm about a port matters here."""

    id: str
    event_unix_ns: int
    trust: Trust = "other"
    is_cleared: bool = False
    place: _Place = msgspec.field(default_factory=_Place)


class _PortChange(msgspec.Struct):
    kind: str
    alarm: _Port


_status = msgspec.json.Decoder(LineStatus).decode
_change = msgspec.json.Decoder(LineChange).decode
_vantage = msgspec.json.Decoder(VantageChange).decode
_health = msgspec.json.Decoder(VantageHealth).decode
_area = msgspec.json.Decoder(AreaPosture).decode
_posture = msgspec.json.Decoder(PostureChange).decode
_port = msgspec.json.Decoder(_Port).decode
_port_change = msgspec.json.Decoder(_PortChange).decode


class _Beat(NamedTuple):
    """When somebody was last known to live."""

    number: tuple[int, int]
    """When it started, and its beat."""
    unix_ns: int
    """By our clock."""


class _Heard(NamedTuple):
    """Of a gateway."""

    lives: Lives
    mono_ns: int
    """When it was last known to live."""


class LineFound(NamedTuple):
    """How a line was found to be down."""

    since_unix_ns: int
    detect_s: float | None
    """From the first probe that was missing; None: it cannot be told."""


class Intake:
    """What has been heard.

    Attributes:
        coordinator: Gets what follows.
        fence_heard: The greatest fence that a gateway has told.
        agents: IDs of gateways that report.
        gateways: Gateway ID to what it last reported.
        told: Gateways that have reported since `told` was last emptied.
        silent: Gateways with agents that have told nothing for too long.
        vantages: Vantage ID to whether it lives.
        postures: Area ID to posture.
    """

    def __init__(
        self, coordinator: Coordinator, settings: ControllerSettings, counts: Counts, *, mono_ns: int, fence: int
    ) -> None:
        """Prepares.

        Args:
            coordinator: Gets what follows.
            settings: Of the process.
            counts: Counted up here.
            mono_ns: Now: from here on the silence of gateways and of the judge is measured.
            fence: Ours.
        """
        self.coordinator = coordinator
        self.fence_heard = fence
        self.gateways: dict[str, Reported] = {}
        self.told: set[str] = set()
        self.silent: set[str] = set()
        self.vantages: dict[str, bool] = {}
        self.postures: dict[str, Posture] = {}
        self._counts = counts
        self._settings = settings
        self._line_ids = frozenset(line.line_id for line in settings.lines)
        self._areas = {group.area_id for group in settings.groups} | {
            area for line in settings.lines for area in line.area_ids
        }
        self._silence_ns = int(settings.gateway_silent_s * 1e9)
        self._statuses: dict[str, LineStatus] = {}
        self._sights: dict[str, LineSight] = {}
        """The same as the coordinator has it, but for when it was last good."""
        self._judged = 0
        """When the judge looked, by his clock."""
        self._judged_mono_ns = mono_ns
        """When that last grew."""
        self._proof_unix_ns = 0
        """The same by our wall clock; 0: not since we listen."""
        self._is_judged = True
        """Whether what the judge said is believed."""
        self._beats: dict[str, _Beat] = {}
        self._ports: dict[str, str] = {}
        """Alarm ID of a port that is down, by trusted traps, to its line."""
        self._down_ports: dict[str, set[str]] = {}
        self.agents = tuple(gateway.gateway_id for gateway in settings.gateways if gateway.actuator == "agent")
        self._heard = {gateway_id: _Heard(Lives(), mono_ns) for gateway_id in self.agents}
        self._live: set[str] = set()
        """Gateways that have told something since we listen."""

    # -- streams

    def lines(self, batch: Batch, now_unix_ns: int) -> None:
        """Takes entries of the stream of lines, or how all of them are."""
        are_vantages_told = False
        for _, fields in batch.entries:
            kind, body = (fields[0], fields[1]) if len(fields) == 2 else (b"", b"")
            if kind == b"line":
                for change in self._readable(_change, body):
                    self._counts.line_changes += 1
                    self._status(change.status)
            elif kind == b"status":
                for status in self._readable(_status, body):
                    self._status(status)
            elif kind == b"vantage":
                for told in self._readable(_vantage, body):
                    self.vantages[told.vantage_id] = told.after == "live"
                    are_vantages_told = True
        if are_vantages_told:
            self._see_vantages(now_unix_ns)

    def alarms(self, batch: Batch) -> None:
        """Takes what the alarm worker says of areas and of ports."""
        for _, fields in batch.entries:
            kind, body = fields[0], fields[1]
            if kind == b"area":
                for area in self._readable(_area, body):
                    self._see_area(area)
            elif kind == b"posture":
                for change in self._readable(_posture, body):
                    self._see_area(change.now)
            elif kind == b"alarm":
                for port in self._readable(_port, body):
                    self._see_port(port, gone=False)
            elif kind == b"change":
                for told in self._readable(_port_change, body):
                    self._see_port(told.alarm, gone=told.kind == "purged")

    def pulse(self, batch: Batch, now_unix_ns: int, mono_ns: int) -> None:
        """Takes a look at those who judge the lines: what they said is still true, if they live."""
        for _, (kind, body) in batch.entries:
            if kind == b"health":
                for health in self._readable(_health, body):
                    self._beat(health, now_unix_ns)
            elif kind == b"status":
                for status in self._readable(_status, body):
                    known = self._statuses.get(status.line_id)
                    if known is None or known.unix_ns <= status.unix_ns:
                        self._status(status)
            elif kind == b"judged":
                self._judge(int(body) if body.isdigit() and len(body) < _DIGITS_MAX else 0, now_unix_ns, mono_ns)

    def _judge(self, judged_unix_ns: int, now_unix_ns: int, mono_ns: int) -> None:
        is_first, self._judged, before = self._judged == 0, judged_unix_ns, self._judged
        lives = abs(now_unix_ns - judged_unix_ns) < JUDGE_FRESH_NS if is_first else judged_unix_ns != before
        if lives:
            self._judged_mono_ns, self._proof_unix_ns = mono_ns, now_unix_ns
        self._is_judged = mono_ns - self._judged_mono_ns < JUDGE_SILENT_NS
        for line_id in self._statuses:
            self._see_line(line_id)

    def _beat(self, health: VantageHealth, now_unix_ns: int) -> None:
        number = (health.started_unix_ns, health.beat)
        known = self._beats.get(health.vantage_id)
        if known is None:
            self._beats[health.vantage_id] = _Beat(number, min(now_unix_ns, health.unix_ns))
        elif number != known.number:
            self._beats[health.vantage_id] = _Beat(number, now_unix_ns)

    # -- lines

    def _status(self, status: LineStatus) -> None:
        if status.line_id in self._line_ids:
            self._statuses[status.line_id] = status
            self._sights[status.line_id] = sight_of(status)
            self._see_line(status.line_id)

    def _see_line(self, line_id: str) -> None:
        status = self._statuses[line_id]
        if not self._is_judged:
            self.coordinator.see_line(LineSight(line_id=line_id, reason="stale"))
            return
        sight = msgspec.structs.replace(self._sights[line_id], good_unix_ns=self._good_unix_ns(status))
        self.coordinator.see_line(sight)

    def _good_unix_ns(self, status: LineStatus) -> int:
        """When it was last shown to be good: while its vantages and the judge live, now, but not later than the first probe that is missing."""
        if status.state not in _GOOD:
            return 0
        shown = [
            vote.first_miss_unix_ns or self._beats[vote.vantage_id].unix_ns
            for vote in status.votes
            if vote.state in _GOOD and vote.vantage_id in self._beats
        ]
        # A verdict that has just come proves as much as one that stands.
        judged = max(self._proof_unix_ns, status.unix_ns)
        return min(judged, max(shown)) if shown else 0

    def failed(self, line_id: str) -> LineFound | None:
        """How a line was found to be down; None: nobody says that it is."""
        status = self._statuses.get(line_id)
        if status is None or status.state != "down":
            return None
        missed = [vote.first_miss_unix_ns for vote in status.votes if vote.first_miss_unix_ns]
        detect_s = max(status.since_unix_ns - min(missed), 0) / 1e9 if missed else None
        return LineFound(status.since_unix_ns, detect_s)

    # -- vantages, areas, ports

    def _see_vantages(self, now_unix_ns: int) -> None:
        known = self._settings.vantage_ids or tuple(self.vantages)
        live = sum(self.vantages.get(vantage_id, False) for vantage_id in known)
        self.coordinator.see_vantages(live, len(known), now_unix_ns)

    def _see_area(self, area: AreaPosture) -> None:
        if area.area in self._areas:
            self.postures[area.area] = area.posture
            self.coordinator.see_posture(area.area, area.posture)

    def _see_port(self, port: _Port, *, gone: bool) -> None:
        """A port at the end of a line is down, or not, as a trap says. Of whom it is that says so, the settings decide."""
        least, line_id = self._settings.trap_trust, port.place.line
        if least is None or line_id not in self._line_ids:
            return
        is_down = not (gone or port.is_cleared)
        if is_down and _TRUSTS.index(port.trust) > _TRUSTS.index(least):
            self._counts.traps_ignored += 1
            is_down = False
        if is_down == (port.id in self._ports) or (is_down and len(self._ports) >= PORTS_MAX):
            return
        down = self._down_ports.setdefault(line_id, set())
        if is_down:
            self._counts.traps_heeded += 1
            self._ports[port.id] = line_id
            down.add(port.id)
        else:
            self._down_ports[self._ports.pop(port.id)].discard(port.id)
        self.coordinator.see_trap(line_id, bool(down), port.event_unix_ns)

    # -- gateways

    def reported(self, gateway_id: str, group_id: str) -> ReportedGroup | None:
        """What a gateway last told of one of its groups; None: nothing."""
        reported = self.gateways.get(gateway_id)
        groups = () if reported is None else reported.groups
        return next((each for each in groups if each.group_id == group_id), None)

    def remember(self, reported: Reported, now_unix_ns: int) -> None:
        """Takes what Redis has of a gateway: where its groups are, and not how its lines were, which may be long ago.

        It is told again by the broker, and is news then.
        """
        if (heard := self._heard.get(reported.gateway_id)) is None:
            return
        self._hear_fence(reported)
        before = msgspec.structs.replace(reported, lines=(), beat=reported.beat - 1)
        lives, _ = heard.lives.hear(before.started_unix_ns, before.beat)
        self._heard[reported.gateway_id] = _Heard(lives, heard.mono_ns)
        self.gateways[reported.gateway_id] = reported
        self.coordinator.see_gateway(before, now_unix_ns)

    def gateway(self, reported: Reported, now_unix_ns: int, mono_ns: int) -> None:
        """Takes what a gateway tells now, or has told some time ago and the broker has kept."""
        gateway_id = reported.gateway_id
        if (heard := self._heard.get(gateway_id)) is None:
            self._counts.reports_refused += 1
            return
        self._counts.reports += 1
        before = self.gateways.get(gateway_id)
        self._hear_fence(reported)
        if before is not None and before.started_unix_ns == reported.started_unix_ns:
            self._counts.fences_rejected += max(reported.refused - before.refused, 0)
        if reported.stopped:
            # As its last will has it: of what it saw and did, this says nothing new.
            self._lose(gateway_id)
            return
        lives, is_news = heard.lives.hear(reported.started_unix_ns, reported.beat)
        if not is_news:
            self._heard[gateway_id] = _Heard(lives, heard.mono_ns)
            return
        # What comes while we listen has just been said: its clock is compared with ours. What the broker has kept says nothing of that.
        is_live = heard.lives.started_unix_ns == reported.started_unix_ns and gateway_id in self._live
        self._live.add(gateway_id)
        self._heard[gateway_id] = _Heard(lives, mono_ns)
        self.silent.discard(gateway_id)
        self.told.add(gateway_id)
        reported = _by_our_clock(reported, now_unix_ns) if is_live else _without_future(reported, now_unix_ns)
        self.gateways[gateway_id] = reported
        self.coordinator.see_gateway(reported, now_unix_ns)

    def tend(self, mono_ns: int) -> None:
        """Finds out who has been silent for too long."""
        for gateway_id, heard in self._heard.items():
            if gateway_id not in self.silent and mono_ns - heard.mono_ns > self._silence_ns:
                self._lose(gateway_id)

    def forgive(self, mono_ns: int) -> None:
        """Begins the silence of all anew: we were away, and nobody could be heard."""
        self._heard = {gateway_id: heard._replace(mono_ns=mono_ns) for gateway_id, heard in self._heard.items()}
        self._judged_mono_ns = mono_ns

    def _lose(self, gateway_id: str) -> None:
        self.silent.add(gateway_id)
        self.coordinator.lose_gateway(gateway_id)

    def _hear_fence(self, reported: Reported) -> None:
        fence = max((reported.fence, *(group.fence for group in reported.groups)))
        if fence > self.fence_heard + FENCE_STEP_MAX:
            self._counts.reports_refused += 1
            return
        self.fence_heard = max(self.fence_heard, fence)

    # -- hostile input

    def _readable(self, decode: Callable[[bytes], _Value], body: bytes) -> Iterable[_Value]:
        try:
            return (decode(body),)
        except (msgspec.DecodeError, RecursionError, ValueError):
            self._counts.unreadable += 1
            return ()


def sight_of(status: LineStatus) -> LineSight:
    """The verdict on a line as a sight; when it was last shown to be good is not in it."""
    figures = figures_of(status)
    return LineSight(
        line_id=status.line_id,
        state=status.state,
        one_way=status.one_way,
        since_unix_ns=status.since_unix_ns,
        loss=figures.loss,
        rtt_s=figures.rtt_p50_s,
        reason=status.reason,
    )


def _by_our_clock(reported: Reported, now_unix_ns: int) -> Reported:
    """The report with its times as our clock has them, if the gateway's differs by more than what a message takes."""
    skew_ns = now_unix_ns - reported.unix_ns
    if abs(skew_ns) < SKEW_MIN_NS:
        return reported
    lines = tuple(
        msgspec.structs.replace(
            line,
            since_unix_ns=line.since_unix_ns and line.since_unix_ns + skew_ns,
            good_unix_ns=line.good_unix_ns and line.good_unix_ns + skew_ns,
        )
        for line in reported.lines
    )
    groups = tuple(
        msgspec.structs.replace(group, since_unix_ns=group.since_unix_ns and group.since_unix_ns + skew_ns)
        for group in reported.groups
    )
    return msgspec.structs.replace(reported, lines=lines, groups=groups, unix_ns=now_unix_ns)


def _without_future(reported: Reported, now_unix_ns: int) -> Reported:
    """The report without what it says is still to come: by a clock that differs from ours, and of unknown age, it proves nothing."""
    if reported.unix_ns - now_unix_ns < SKEW_MIN_NS:
        return reported
    lines = tuple(msgspec.structs.replace(line, good_unix_ns=0) for line in reported.lines)
    return msgspec.structs.replace(reported, lines=lines)
