"""What the alarm worker tells of itself: the file `alarms.json` in its data directory, written anew each second.

Pure. `netmon.status` reads it for metrics and /readyz. Counters begin at 0 with each start of the worker; what is `None` or
empty while the worker waits for another one, or for Redis, is known to whoever leads.
"""

from __future__ import annotations

from typing import Final

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.model import LeadState

REPORT_FILE: Final = "alarms.json"


class AreaReport(msgspec.Struct, frozen=True, kw_only=True):
    """One area."""

    code: str = ""
    """全国地方公共団体コード: what metrics and others call it."""
    posture: Posture = "normal"
    notifications: int = 0
    """Of its devices, since the start."""
    trap_rate: float = 0.0
    """Of them, notifications a second, in the last second."""


class Counts(msgspec.Struct, kw_only=True):
    """Since the start of the worker. Each entry of a stream is counted in exactly one of the first eight."""

    matched: int = 0
    """Notifications that spoke of alarms."""
    ignored: int = 0
    """Known to a rule that says: not worth an alarm."""
    unmatched: int = 0
    """No rule knows them; `netmon rules` shows which."""
    canaries: int = 0
    """netmon's own."""
    duplicates: int = 0
    """Retransmitted INFORMs: the first copy has been listened to."""
    rejects: int = 0
    """In the late stream: what turned out not to be a notification."""
    foreign: int = 0
    """Entries that no netmon has written."""
    failed: int = 0
    """Notifications that could not be worked on, for a fault of netmon's: the log has which."""
    commands: int = 0
    """Of operators, that were done or refused."""
    commands_unreadable: int = 0
    line_changes: int = 0
    """What the prober said of lines and vantages."""
    line_changes_unreadable: int = 0
    flushes: int = 0
    changes: dict[str, int] = {}
    """By kind, as told in the stream `netmon:alarms`."""


class AlarmReport(msgspec.Struct, frozen=True, kw_only=True):
    """The worker at one moment."""

    unix_ns: int
    """When it was written: the worker's heartbeat."""
    started_unix_ns: int
    state: LeadState
    fence: int = 0
    """Number of the leader; 0 while this worker does not lead."""
    counts: Counts
    alarms: int = 0
    """In the list, also cleared ones."""
    active: dict[str, int] = {}
    """By severity."""
    flapping: int = 0
    shelved: int = 0
    causes: int = 0
    """Active alarms that explain others."""
    roots: int = 0
    """Active alarms that nothing explains: what is left for a person to read."""
    explained: int = 0
    """Active alarms that others explain."""
    refused: int = 0
    """Alarms that had no room in the list."""
    flood: bool = False
    lag_entries: dict[str, int] = {}
    """By kind of stream: entries that have not been worked on, about; 0 when all have."""
    oldest_pending_s: float = 0.0
    """How long the oldest of them has waited, about."""
    areas: dict[str, AreaReport] = {}
    """By area ID."""
    forecasts: dict[str, float] = {}
    """By kind (`ups_battery`, ...): seconds until the first of its kind runs out; only what is running out."""
