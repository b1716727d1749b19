"""What the northbound process tells of itself: the file `northbound.json` in the data directory, written anew each second.

Pure. `netmon.status` reads it for metrics. Counters begin at 0 with each start of the process.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

REPORT_FILE: Final = "northbound.json"

Outcome = Literal["ok", "refused", "denied", "failed", "timeout"]
"""`refused`: what we sent is wrong in their eyes. `denied`: whoever we say we are may not, or there is no such service there.
`failed`: not reachable, or in trouble of its own."""
OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "refused", "denied", "failed", "timeout")


class MemberReport(msgspec.Struct, frozen=True, kw_only=True):
    """One server that a sink sends to, or a feed reads from."""

    requests: dict[str, int] = {}
    """By outcome."""
    queue_entries: int = 0
    """Changes that it has not taken yet."""
    last_success_unix_ns: int = 0
    """0: never."""


class SinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """One sink or feed."""

    members: tuple[MemberReport, ...] = ()
    """In the order of the configuration."""
    alerts: int = 0
    """Alarms that others are told of now."""
    refused: int = 0
    """Of them, those that a member refuses to take."""
    left_out: int = 0
    """Alarms that had no room."""


class NorthboundReport(msgspec.Struct, frozen=True, kw_only=True):
    """The process at one moment."""

    unix_ns: int
    """When it was written: the heartbeat."""
    started_unix_ns: int
    following: bool = False
    """Whether the alarms are read as they change."""
    sinks: dict[str, SinkReport] = {}
    """By name."""
