"""What a vantage tells of itself: the file `probe.json` in its directory, written anew each second; a large one less often.

Pure. `netmon.status` reads it for metrics and /readyz. Counters begin at 0 with each start of the process. What stands there of a line is
as old as its newest vote, at most `refresh_s`: its windows are not computed for the report alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from netmon.active_probe.measure.track import ROUND_TRIP_BUCKETS_S, Histogram
from netmon.active_probe.model import LineState, Reason, TargetReading, VantageHealth

REPORT_FILE: Final = "probe.json"
REPORT_S: Final = 1.0
REPORT_MAX_S: Final = 5.0
BYTES_PER_S: Final = 1_000_000
"""A report of 10,000 lines has some megabytes, and disks wear out: larger ones are written less often, but at least each REPORT_MAX_S."""


class TargetReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One probe of a line, or one anchor."""

    reading: TargetReading
    """With its label, which is unique within the line."""
    round_trips: Histogram
    """Since the start; bounds are `buckets_s` of the report."""
    sent: int = 0
    """Probes since the start, also those that could not leave."""
    asked_unix_ns: int = 0
    """When the newest was sent; 0: none yet. One that is several intervals old is stuck."""
    interval_s: float = 0.0
    """At which it is asked now."""


class LineReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line, as this vantage votes."""

    line_id: str
    state: LineState
    reason: Reason = ""
    since_unix_ns: int
    unix_ns: int
    """When this was so."""
    held: bool = False
    """It looks down, but no anchor has answered since its first miss: the vote waits."""
    targets: tuple[TargetReport, ...] = ()


class Counts(msgspec.Struct, kw_only=True):
    """Since the start."""

    probes_sent: int = 0
    """That left."""
    replies: int = 0
    local_errors: int = 0
    """Probes that could not leave by their line."""
    wrong_interface: int = 0
    """Answers that came in by another interface than their pin expects."""
    refused: int = 0
    """Datagrams that answered nothing of ours."""
    skipped: int = 0
    """Turns that were let go: the process was late, or the former probe of a service was still under way."""
    extended: int = 0
    """Probes that were waited for longer, because the process was late."""
    stalls: int = 0
    """Times that the process was late by more than 50 ms."""
    clock_steps: int = 0
    """Times that the clock was set meanwhile."""
    channels: int = 0
    """Sockets of packet probers there are now."""
    reopened: int = 0
    """Times that one of them had died and was opened again."""
    held: int = 0
    """Lines that look down and wait for an anchor, now."""
    votes_told: int = 0
    redis_failures: int = 0
    redis_repairs: int = 0
    """Times that Redis had forgotten what it was told."""


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The vantage at one moment."""

    unix_ns: int
    """When it was written: the process's heartbeat."""
    vantage_id: str
    health: VantageHealth
    redis_reachable: bool
    counts: Counts
    buckets_s: tuple[float, ...] = ROUND_TRIP_BUCKETS_S
    anchors: tuple[TargetReport, ...] = ()
    lines: tuple[LineReport, ...] = ()


_encode: Final = msgspec.json.Encoder().encode


def encode_line(line: LineReport) -> bytes:
    """A line as it stands in the report."""
    return _encode(line)


def encode(report: ProbeReport, lines: Iterable[bytes]) -> bytes:
    """The report with these lines, each of `encode_line`: they were encoded one by one, so that nothing waits for all of them."""
    assert not report.lines, "they are given beside it"
    body = _encode(report)
    assert body.endswith(b"[]}"), "the lines come last"
    return b"%b%b]}" % (body[:-2], b",".join(lines))
