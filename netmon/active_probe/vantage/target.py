"""One probe of a line, or one anchor, at this vantage: its turns, its sequence numbers, and what its track makes of the answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from netmon.active_probe.measure.track import Track
from netmon.active_probe.model import TargetReading
from netmon.active_probe.probers.base import SEQ_MASK, ServiceProber
from netmon.active_probe.settings import Observed
from netmon.active_probe.vantage.channel import Channel
from netmon.active_probe.vantage.schedule import next_turn
from netmon.inventory.probes import AnyProbe, Profile, label

_S: Final = 1_000_000_000
_BEHIND_MAX: Final = 1 << 16
"""A packet's number that is so many behind the newest is none of ours."""


class Target:
    """Who is asked.

    Attributes:
        line_id: Empty: it is an anchor.
        period_s: From one turn to the next while all is well.
        due_ns: When its next turn is; what a wheel has for another time is out of date.
        asked: Probes so far; also the number of the next one.
        asked_ns: When its newest probe was sent; 0: none yet.
    """

    __slots__ = (
        "_phase_ns", "asked", "asked_ns", "busy", "channel", "confirming", "due_ns", "index", "label", "line_id", "period_s",
        "probe", "service", "standby", "track",
    )  # fmt: skip

    def __init__(
        self, line_id: str, name: str, probe: AnyProbe, profile: Profile, *, standby: bool, started_ns: int
    ) -> None:
        self.line_id = line_id
        self.label = name
        self.probe = probe
        self.standby = standby
        self.period_s = profile.standby_interval_s if standby else profile.interval_s
        self.track = Track(name, profile, started_ns)
        self.channel: Channel | None = None
        self.index = 0
        """Of its probe in the channel."""
        self.service: ServiceProber | None = None
        self.busy = False
        """A probe of the service is under way."""
        self.confirming = False
        """It is undecided, and has been asked at once."""
        self.due_ns = 0
        self.asked = 0
        self.asked_ns = 0
        self._phase_ns = 0

    @property
    def key(self) -> str:
        """Unique at this vantage."""
        return f"{self.line_id}/{self.label}"

    def take_place(self, phase_ns: int) -> None:
        """Its turns are at this moment, and every interval from then on."""
        self._phase_ns = phase_ns

    def restart(self, now_ns: int) -> None:
        """Forgets what it missed: it was the vantage's own fault."""
        self.track.restart(now_ns)
        self.confirming = False

    def interval_ns(self) -> int:
        """From one turn to the next, now."""
        return int(self.track.interval_s(self.standby) * _S)

    def next_turn_ns(self, now_ns: int) -> int:
        """When its next turn is, if one is now: on its own grid, or soon while it is undecided."""
        if self.track.undecided:
            return now_ns + self.interval_ns()
        return next_turn(self._phase_ns, self.interval_ns(), now_ns)

    def number(self, now_ns: int) -> int:
        """Number of the probe that goes out now, from 0; a packet carries the low 32 bits of it."""
        seq = self.asked
        self.asked = seq + 1
        self.asked_ns = now_ns
        return seq

    def full_number(self, wire_seq: int) -> int:
        """Number of the probe that a packet answers; -1: of none."""
        newest = self.asked - 1
        behind = (newest - wire_seq) & SEQ_MASK
        return newest - behind if behind < _BEHIND_MAX else -1

    def reading(self, now_ns: int) -> TargetReading:
        """What its track shows, and what its channel knows of the directions."""
        reading = self.track.reading(now_ns)
        variation = self.channel.variation(self.index) if self.channel else None
        if variation is None:
            return reading
        return msgspec.structs.replace(reading, ipdv_forward_s=variation[0], ipdv_backward_s=variation[1])


def targets_of(settings: Observed, started_ns: int) -> list[Target]:
    """Who has to be asked about lines, in the order of the settings."""
    return [
        target
        for line in settings.lines
        for target in _targets(line.line_id, line.probes, line.profile, standby=line.standby, started_ns=started_ns)
    ]


def anchors_of(settings: Observed, started_ns: int) -> list[Target]:
    """The anchors."""
    return _targets("", settings.anchors, settings.anchor_profile, standby=False, started_ns=started_ns)


def _targets(
    line_id: str, probes: Iterable[AnyProbe], profile: Profile, *, standby: bool, started_ns: int
) -> list[Target]:
    """Those of one line. What is asked twice, by two ways, has the same label: the second gets a number."""
    seen: dict[str, int] = {}
    made = []
    for probe in probes:
        name = label(probe)
        seen[name] = times = seen.get(name, 0) + 1
        name = f"{name} #{times}" if times > 1 else name
        made.append(Target(line_id, name, probe, profile, standby=standby, started_ns=started_ns))
    return made
