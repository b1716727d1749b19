"""The report of a vantage: lines that were encoded one by one are read as one report."""

from __future__ import annotations

import msgspec

from netmon.active_probe.measure.track import ROUND_TRIP_BUCKETS_S, Histogram
from netmon.active_probe.model import TargetReading, VantageHealth
from netmon.active_probe.vantage.report import Counts, LineReport, ProbeReport, TargetReport, encode, encode_line

NOON = 1_767_268_800_000_000_000


def line(name: str) -> LineReport:
    """One line with one probe."""
    counts = tuple(range(len(ROUND_TRIP_BUCKETS_S) + 1))
    reading = TargetReading(label="stamp 192.0.2.1:862", state="up", sent=15, rtt_p50_s=0.001)
    target = TargetReport(reading=reading, round_trips=Histogram(counts, 0.5), sent=15, interval_s=1.0)
    return LineReport(line_id=name, state="up", since_unix_ns=NOON, unix_ns=NOON, targets=(target,))


def report() -> ProbeReport:
    """Of a vantage without lines."""
    health = VantageHealth(vantage_id="hq", state="live", beat=3, started_unix_ns=NOON, unix_ns=NOON, heartbeat_s=1.0)
    return ProbeReport(
        unix_ns=NOON, vantage_id="hq", health=health, redis_reachable=True, counts=Counts(probes_sent=15)
    )


def test_report_is_read_as_it_was_put_together() -> None:
    """With all its lines."""
    lines = [line("fibre-coast"), line("5g-inland")]

    body = encode(report(), [encode_line(one) for one in lines])

    assert msgspec.json.decode(body, type=ProbeReport) == msgspec.structs.replace(report(), lines=tuple(lines))


def test_report_without_lines_is_read_too() -> None:
    """At the start, nothing has been said of any."""
    assert msgspec.json.decode(encode(report(), []), type=ProbeReport) == report()
