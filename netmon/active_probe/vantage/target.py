"""One probe of a line, or one anchor, at this vantage: its turns, its sequence numbers, and what its track makes of the answers."""

from __future__ import annotations

from typing import Final

from netmon.active_probe.measure.track import Track
from netmon.active_probe.probers.base import SEQ_MASK, ServiceProber
from netmon.active_probe.vantage.channel import Channel
from netmon.active_probe.vantage.schedule import next_turn
from netmon.inventory.probes import Profile

_S: Final = 1_000_000_000
_BEHIND_MAX: Final = 1 << 16
"""A packet's number that is so many behind the newest is none of ours."""


class Target:
    """Who is asked.

    Attributes:
        line_id: Empty: it is an anchor.
        due_ns: When its next turn is; what a wheel has for another time is out of date.
        asked_ns: When its newest probe was sent.
    """

    __slots__ = (
        "_phase_ns", "_seq", "asked_ns", "busy", "channel", "due_ns", "index", "interval_ns", "label", "line_id", "service",
        "standby", "track",
    )  # fmt: skip

    def __init__(self, line_id: str, label: str, profile: Profile, *, standby: bool, started_ns: int) -> None:
        self.line_id = line_id
        self.label = label
        self.standby = standby
        self.interval_ns = int(profile.interval_s * _S)
        self.track = Track(label, profile, started_ns)
        self.channel: Channel | None = None
        self.index = 0
        """Of its probe in the channel."""
        self.service: ServiceProber | None = None
        self.busy = False
        """A probe of the service is under way."""
        self.due_ns = 0
        self.asked_ns = 0
        self._phase_ns = 0
        self._seq = 0

    def take_place(self, phase_ns: int) -> None:
        """Its turns are at this moment, and every interval from then on."""
        self._phase_ns = phase_ns

    def next_turn_ns(self, now_ns: int) -> int:
        """When its next turn is, if one is now: on its own grid, or soon while it is undecided."""
        period_ns = int(self.track.interval_s(self.standby) * _S)
        if self.track.undecided:
            return now_ns + period_ns
        return next_turn(self._phase_ns, period_ns, now_ns)

    def number(self, now_ns: int) -> int:
        """Number of the probe that goes out now, from 0; a packet carries the low 32 bits of it."""
        seq = self._seq
        self._seq = seq + 1
        self.asked_ns = now_ns
        return seq

    def full_number(self, wire_seq: int) -> int:
        """Number of the probe that a packet answers; -1: of none."""
        newest = self._seq - 1
        behind = (newest - wire_seq) & SEQ_MASK
        return newest - behind if behind < _BEHIND_MAX else -1
