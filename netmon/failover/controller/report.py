"""What the controller tells of itself: the file `failover.json` in its directory, written anew each second.

Pure. `netmon.status` reads it for metrics and /readyz. Counters begin at 0 with each start of the process; what is empty while it waits
for another one, or for Redis, is known to whoever leads. However many groups there are, the report stays small: they are counted, and
only those that are not where they belong are named, up to a limit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.actuators.base import Way
from netmon.failover.model import Phase, Priority, SwitchReason
from netmon.model import LeadState

REPORT_FILE: Final = "failover.json"
GROUPS_SHOWN_MAX: Final = 1_000
"""Groups that are named, P0 first."""
GATEWAYS_SHOWN_MAX: Final = 1_000
"""Gateways that are named: those that are silent or have another plan than they should."""
BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of a histogram's buckets; one more has no end."""
STEPS: Final = ("detect", "hold", "decide", "act", "verify")
"""Parts of a switch that are timed."""


class Histogram(msgspec.Struct, kw_only=True):
    """How long something took."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Of each bucket by itself, not of all up to it."""
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        at = next((at for at, end in enumerate(BUCKETS_S) if seconds <= end), len(BUCKETS_S))
        self.counts[at] += 1
        self.sum_s += seconds


class Counts(msgspec.Struct, kw_only=True):
    """Since the start of the process."""

    orders: int = 0
    """Handed to actuators, also those that were given again."""
    switches: dict[str, int] = {}
    """By reason (SwitchReason): verified, or adopted from a gateway."""
    failed: dict[str, int] = {}
    """By reason: attempts that came to nothing."""
    refused: dict[str, int] = {}
    """Why something was not done, by a word: of commands, of orders (`fence`, `unreachable`), of groups that found no backup."""
    phases: dict[str, Histogram] = {}
    """By STEPS."""
    commands: dict[str, int] = {}
    """By kind; also those that were refused."""
    commands_unreadable: int = 0
    reports: int = 0
    """Of gateways."""
    reports_refused: int = 0
    """Of gateways that the region does not know, or older than what is known."""
    line_changes: int = 0
    traps_heeded: int = 0
    """Line alarms by traps that were trusted enough to count as evidence."""
    traps_ignored: int = 0
    fences_rejected: int = 0
    """Orders that an actuator refused because it knew a greater fence or generation."""
    fences_raised: int = 0
    """Times that a gateway knew a greater fence than ours, and ours was raised above it."""
    unreadable: int = 0
    """Entries and fields that no netmon has written."""
    steps: int = 0
    flushes: int = 0
    reloads: int = 0
    """Times that something may have been missed, and everything was read again."""
    plans_pushed: int = 0
    lead_lost: int = 0
    """Times that another one, or nobody, led when we thought that we did."""
    redis_errors: dict[str, int] = {}
    """By reason."""


class GroupReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One group that is not where it belongs, or not at rest."""

    phase: Phase
    priority: Priority
    on: str
    """Line ID; empty: it is shed."""
    reason: SwitchReason = ""
    since_unix_ns: int = 0
    wtr_remaining_s: float | None = None
    """Until it returns; None: it does not wait for that."""
    penalty: float = 0.0
    """Of damping, as of now."""
    damped: bool = False


class LineReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line that carries something, or should."""

    groups: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Groups that are on it: P0, P1, P2, P3."""
    admitted_bps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Their guaranteed rates."""
    usable_bps: int = 0


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One gateway of which something is to be said."""

    silent: bool = False
    alone: bool = False
    """It does not hear the centre, as it says."""
    plan_pushed: int = 0
    """Version; 0: none yet."""
    plan_reported: int = 0
    refused: int = 0
    """Orders that it has refused, since it started."""


class ControllerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The process at one moment."""

    unix_ns: int
    """When it was written: the process' heartbeat."""
    started_unix_ns: int
    state: LeadState
    leader: int = 0
    """1: this process decides."""
    fence: int = 0
    """Number of the leader; 0 while this process does not lead."""
    lock_delay_s: float = 0.0
    """For so long it still makes no move that can wait, because it leads only since now."""
    counts: Counts
    lag_s: float = 0.0
    """Largest time within the last second between news that came and the orders that follow from it being handed out."""
    total: int = 0
    """Groups."""
    phases: dict[str, tuple[int, int, int, int]] = {}
    """Phase to number of groups that are in it: P0, P1, P2, P3."""
    groups: dict[str, GroupReport] = {}
    """By group ID: those that are not in phase NR on their working line, no more than GROUPS_SHOWN_MAX."""
    groups_left_out: int = 0
    lines: dict[str, LineReport] = {}
    """By line ID."""
    admitted_bps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """P0, P1, P2, P3."""
    shed_bps: tuple[int, int, int, int] = (0, 0, 0, 0)
    shed: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Groups that are nowhere."""
    areas: dict[str, Posture] = {}
    """Area ID to posture."""
    frozen: bool = False
    frozen_by: str = ""
    frozen_since_unix_ns: int = 0
    vantages: int = 0
    vantages_live: int = 0
    requests: dict[str, int] = {}
    """Operators' requests in force, by kind."""
    lockouts: dict[str, float] = {}
    """Group ID to how old its lockout is in seconds; no more than GROUPS_SHOWN_MAX."""
    gateways: dict[str, GatewayReport] = {}
    """By gateway ID: those of which something is to be said, no more than GATEWAYS_SHOWN_MAX."""
    gateways_total: int = 0
    gateways_silent: int = 0
    gateways_behind: int = 0
    """That have another plan than the newest."""
    ways: dict[str, Way] = {}
    """How orders get to gateways: `agents` and `iota_json`, over the broker; `webhook NAME`."""
