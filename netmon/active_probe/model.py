"""What the prober says, as values: outcomes of single probes, votes of vantage points, states of lines.

Pure. Times on the wire are nanoseconds since 1970 UTC; durations are seconds. What crosses processes is JSON of these.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

LineState = Literal["up", "degraded", "down", "unknown"]
"""degraded: signal degrade (SD); down: signal fail (SF); of G.808.1. unknown: nobody who could know says anything."""
LINE_STATES: Final[tuple[LineState, ...]] = ("up", "degraded", "down", "unknown")

OutcomeKind = Literal["reply", "lost", "failed", "local_error"]
"""lost: no answer in time; failed: an answer, but not a good one; local_error: it could not leave by its line, which says nothing of it."""

Reason = Literal[
    "",
    "no_data",  # unknown: nothing heard yet
    "no_answer",  # down: `fall` misses in a row
    "loss",  # degraded or down by quality
    "round_trip",  # degraded: round trips are too long
    "bad_answer",  # down: answers that fail
    "cannot_send",  # unknown: local errors
    "wrong_interface",  # unknown: answers came in by another interface
    "isolated",  # unknown: the vantage itself is cut off
    "stale",  # unknown: its prober tells nothing any more
    "disagreement",  # degraded: vantages differ, and no majority of at least two says down
    "one_way",  # degraded: probes fail, but something still arrives over the line
    "no_vantage",  # unknown: no live vantage probes it
]

VantageState = Literal["live", "isolated"]


class TargetReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One probe of a line as its window shows it now."""

    label: str
    """Of `netmon.inventory.probes.label`."""
    state: LineState
    reason: Reason = ""
    detail: str = ""
    """Such as `ENETUNREACH`, or `HTTP 503`: of the newest probe that was no reply."""
    sent: int = 0
    """In the window, decided: replies, losses and failures."""
    lost: int = 0
    """Losses and failures."""
    misses: int = 0
    """In a row, up to now."""
    local_errors: int = 0
    """In the window."""
    rtt_p50_s: float | None = None
    rtt_p99_s: float | None = None
    baseline_s: float | None = None
    """Median round trip when it was well."""
    ipdv_s: float | None = None
    """Mean absolute difference of one-way or round-trip delays of neighbours (RFC 3393)."""
    ipdv_forward_s: float | None = None
    """The same towards the far end alone, of the newest answers; only STAMP tells."""
    ipdv_backward_s: float | None = None
    lost_forward: int | None = None
    """Towards the far end; only STAMP tells, and counts only what is decided."""
    lost_backward: int | None = None
    reordered: int = 0
    duplicates: int = 0

    @property
    def loss(self) -> float:
        """Share of what was sent; 0 before anything was."""
        return self.lost / self.sent if self.sent else 0.0


class Vote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one vantage says of one line."""

    line_id: str
    vantage_id: str
    state: LineState
    reason: Reason = ""
    since_unix_ns: int
    """When it came to this state."""
    first_miss_unix_ns: int = 0
    """When the first probe of the present row of misses was sent; 0: none is missing."""
    unix_ns: int
    """When this was said."""
    targets: tuple[TargetReading, ...] = ()


class VantageHealth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a vantage is. Told every heartbeat; whoever reads it ages it by his own clock from when `beat` last grew."""

    vantage_id: str
    state: VantageState
    reason: str = ""
    """Of `isolated`: no_anchor, cannot_send, late."""
    beat: int
    started_unix_ns: int
    unix_ns: int
    heartbeat_s: float
    anchors: int = 0
    anchors_answering: int = 0
    lag_s: float = 0.0
    """Largest delay of its event loop since the last heartbeat."""
    lines: int = 0
    probes_sent: int = 0
    """Since it started."""
    local_errors: int = 0


class LineStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The verdict on one line, with its evidence: the value of the hash `netmon:lines`."""

    line_id: str
    state: LineState
    reason: Reason = ""
    since_unix_ns: int
    """When it came to this state."""
    unix_ns: int
    """When this was last looked at and told."""
    votes: tuple[Vote, ...] = ()
    vantages_live: int = 0
    vantages_isolated: int = 0
    vantages_stale: int = 0
    one_way: bool = False
    """Probes fail, but something still arrives: what needs both directions must not use it."""
    heard_unix_ns: int = 0
    """When something last arrived over the line by itself (trap, keepalive); 0: never, or it cannot be told."""
    availability: float | None = None
    """Of the month so far, by Y.1540."""


class LineChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One entry of the stream `netmon:line-changes`: the state of a line changed, or is told again."""

    line_id: str
    before: LineState
    after: LineState
    unix_ns: int
    restated: bool = False
    """Told again after a restart or a loss in Redis; nothing need have changed."""
    status: LineStatus


class VantageChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another entry of it: a vantage is cut off, silent, or back."""

    vantage_id: str
    before: Literal["live", "isolated", "stale", ""]
    after: Literal["live", "isolated", "stale"]
    unix_ns: int
    restated: bool = False
    reason: str = ""


class LineMonth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The account of one line in one month (UTC), from which the report follows. Intervals are minutes (Y.1540 section 7)."""

    line_id: str
    month: str
    """YYYY-MM."""
    minutes: int = 0
    """That were judged: some vantage could tell."""
    minutes_unavailable: int = 0
    """With a loss of more than c1."""
    minutes_unknown: int = 0
    """That nobody could judge; they are in no ratio."""
    failures: int = 0
    """Times that it went down."""
    down_s: float = 0.0
    degraded_s: float = 0.0
    sent: int = 0
    lost: int = 0
    rtt_sum_s: float = 0.0
    """Sum of the minutes' medians, for `rtt_minutes` minutes."""
    rtt_minutes: int = 0
    rtt_p99_max_s: float = 0.0
    accounted_unix_ns: int = 0
    """Up to when; what comes later is not in it yet."""
