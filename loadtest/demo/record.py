"""What happened in a demo, as it was told by those who did it: the kernel, the agents, the controller, the alarm worker.

Pure.
"""

from __future__ import annotations

import msgspec

from loadtest.lab.flows import Came
from netmon.failover.record import Audit


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an agent's log."""

    unix_ns: int
    gateway: str
    event: str
    facts: dict[str, object]


class Posture(msgspec.Struct, frozen=True, kw_only=True):
    """An area has come to a posture."""

    unix_ns: int
    area: str
    posture: str
    why: str


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A group has come to a phase, at the centre."""

    unix_ns: int
    group: str
    phase: str
    on: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    storm_unix_ns: int
    cut_unix_ns: int
    mended_unix_ns: int
    ended_unix_ns: int
    notifications: int
    """That the storm sent."""
    flows: dict[str, Came]
    """Group ID to what came of its flow, from before the storm to the end."""
    interfaces: dict[str, str]
    """Of the centre, to the line that comes in by it."""
    told: tuple[Told, ...]
    postures: tuple[Posture, ...]
    phases: tuple[Phase, ...]
    audit: tuple[Audit, ...]
