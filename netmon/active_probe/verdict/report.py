"""What the verdict process tells of itself: the file `lines.json` in its directory, written anew each second.

Pure. `netmon.status` reads it for metrics and /readyz. Counters begin at 0 with each start of the process; what is empty while it waits
for another one, or for Redis, is known to whoever leads.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.active_probe.figures import figures_of
from netmon.active_probe.model import LineState, LineStatus, Reason
from netmon.active_probe.verdict.quorum import Presence
from netmon.model import LeadState

REPORT_FILE: Final = "lines.json"


class LineReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One line."""

    state: LineState
    reason: Reason = ""
    since_unix_ns: int
    one_way: bool = False
    loss: float | None = None
    """Share of the probes of the last window; of this and the next see `netmon.active_probe.figures`."""
    ipdv_s: float | None = None
    availability: float | None = None
    """Of the month so far, by Y.1540."""
    votes: dict[str, LineState] = {}
    """By vantage."""


class VantageReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One vantage that the region's lines are probed from."""

    presence: Presence | Literal[""] = ""
    """Empty: it has not been heard yet, and has time to speak."""
    reason: str = ""
    age_s: float = 0.0
    """Since it last spoke, as seen from here."""
    anchors: int = 0
    anchors_answering: int = 0
    lag_s: float = 0.0
    """Largest delay of its event loop in its last heartbeat."""
    lines: int = 0
    probes_sent: int = 0
    local_errors: int = 0


class Counts(msgspec.Struct, kw_only=True):
    """Since the start of the process."""

    votes: int = 0
    heartbeats: int = 0
    foreign: int = 0
    """Votes and heartbeats of a line or vantage that the region does not know, or that nobody can have meant."""
    unreadable: int = 0
    """Entries of the news, and fields of hashes, that no netmon has written."""
    changes: dict[str, int] = {}
    """State to how often a line has come to it."""
    flushes: int = 0
    reloads: int = 0
    """Times that news may have been missed, and everything was read again."""
    lead_lost: int = 0
    """Times that another one, or nobody, led when we thought that we did."""
    redis_errors: dict[str, int] = {}
    """By reason."""


class VerdictReport(msgspec.Struct, frozen=True, kw_only=True):
    """The process at one moment."""

    unix_ns: int
    """When it was written: the process' heartbeat."""
    started_unix_ns: int
    state: LeadState
    leader: int = 0
    """1: this process judges."""
    fence: int = 0
    """Number of the leader; 0 while this process does not lead."""
    counts: Counts
    lag_s: float = 0.0
    """Largest time within the last second between news that came and what follows from it standing in Redis."""
    behind: bool = False
    """There is more news than could be read at once."""
    states: dict[str, int] = {}
    """State to number of lines."""
    lines: dict[str, LineReport] = {}
    """By line ID."""
    vantages: dict[str, VantageReport] = {}
    """By vantage ID."""


def line_report(status: LineStatus) -> LineReport:
    """What of a verdict goes into the report."""
    figures = figures_of(status)
    return LineReport(
        state=status.state,
        reason=status.reason,
        since_unix_ns=status.since_unix_ns,
        one_way=status.one_way,
        loss=figures.loss,
        ipdv_s=figures.ipdv_s,
        availability=status.availability,
        votes={vote.vantage_id: vote.state for vote in status.votes},
    )
