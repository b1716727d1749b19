"""Metrics and checks of the prober: from reports that are fresh, old or missing, and for so many lines that a scrape is large."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from netmon.active_probe.measure.track import ROUND_TRIP_BUCKETS_S, Histogram
from netmon.active_probe.model import TargetReading, VantageHealth
from netmon.active_probe.vantage.report import Counts as ProbeCounts
from netmon.active_probe.vantage.report import LineReport as AskedLine
from netmon.active_probe.vantage.report import ProbeReport, TargetReport
from netmon.active_probe.verdict.report import Counts, LineReport, VantageReport, VerdictReport
from netmon.status import metrics
from netmon.status.health import ProcessSample, Snapshot, checks
from netmon.status.probe_metrics import DECLARED, FULL_HISTOGRAMS_MAX

NOW_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
COUNTS = tuple(range(1, len(ROUND_TRIP_BUCKETS_S) + 2))


def asked(
    line: str, *, ago_s: float = 1.0, interval_s: float = 1.0, labels: tuple[str, ...] = ("icmp a",)
) -> AskedLine:
    """A line as the vantage reports it."""
    targets = [
        TargetReport(
            reading=TargetReading(label=label, state="up", sent=60),
            round_trips=Histogram(COUNTS, 1.5),
            sent=100,
            asked_unix_ns=NOW_NS - int(ago_s * SECOND_NS),
            interval_s=interval_s,
        )
        for label in labels
    ]
    return AskedLine(line_id=line, state="up", since_unix_ns=1, unix_ns=NOW_NS, targets=tuple(targets))


def probe(*lines: AskedLine, **changes: Any) -> ProbeReport:
    """A vantage at work."""
    health = VantageHealth(
        vantage_id="hall", state="live", beat=1, started_unix_ns=1, unix_ns=NOW_NS, heartbeat_s=1.0, anchors=3,
        anchors_answering=2,
    )  # fmt: skip
    values: dict[str, Any] = {
        "unix_ns": NOW_NS - SECOND_NS,
        "vantage_id": "hall",
        "health": health,
        "redis_reachable": True,
        "counts": ProbeCounts(local_errors=4, wrong_interface=3),
        "lines": lines,
    }
    return ProbeReport(**{**values, **changes})


def verdict(**changes: Any) -> VerdictReport:
    """A judge at work."""
    values: dict[str, Any] = {
        "unix_ns": NOW_NS - SECOND_NS,
        "started_unix_ns": 1,
        "state": "leading",
        "leader": 1,
        "counts": Counts(changes={"down": 7}),
        "states": {"up": 1, "down": 1},
        "lines": {
            "coast": LineReport(state="down", since_unix_ns=1, loss=1.0, availability=0.9995),
            "hill": LineReport(state="up", since_unix_ns=1, ipdv_s=0.002),
        },
        "vantages": {"hall": VantageReport(presence="live", age_s=0.5), "pref": VantageReport(presence="isolated")},
    }
    return VerdictReport(**{**values, **changes})


def snapshot(asks: ProbeReport | None, judges: VerdictReport | None) -> Snapshot:
    """Of a netmon that does nothing but probe."""
    running = [
        ProcessSample(role=role, lane=None, pid=1, restarts=0, resident_bytes=1, cpu_seconds=1)
        for role in ("probe", "lines")
    ]
    return Snapshot(
        unix_ns=NOW_NS,
        lanes=(),
        processes=tuple(running),
        embedded=None,
        reloads_applied=0,
        reloads_refused=0,
        probe=asks,
        verdict=judges,
    )


def samples(asks: ProbeReport | None = None, judges: VerdictReport | None = None) -> dict[str, float]:
    """`name{labels}` to value, of all that the prober has."""
    text = generate_latest(metrics.registry(lambda: snapshot(asks, judges))).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    own = tuple(declared.name.removesuffix("_total") for declared in DECLARED)
    return {name: value for name, value in found.items() if name.startswith(own)}


def test_a_vantage_tells_how_it_asks() -> None:
    """Round trips with all their buckets, how long ago each line was asked, and what went wrong on our side."""
    found = samples(probe(asked("coast", ago_s=2.5, labels=("icmp a", "stamp b:862"))))
    of_probe = "line=coast,probe=icmp a,vantage=hall"
    assert {
        name: found[name]
        for name in (
            "netmon_probe_up{}",
            "netmon_probe_report_age_seconds{}",
            f"netmon_probe_sent_total{{{of_probe}}}",
            "netmon_probe_age_seconds{line=coast,vantage=hall}",
            f"netmon_probe_round_trip_seconds_bucket{{le=0.0001,{of_probe}}}",
            f"netmon_probe_round_trip_seconds_bucket{{le=5.0,{of_probe}}}",
            f"netmon_probe_round_trip_seconds_count{{{of_probe}}}",
            f"netmon_probe_round_trip_seconds_sum{{{of_probe}}}",
            "netmon_probe_stuck{vantage=hall}",
            "netmon_probe_anchors_answering{vantage=hall}",
            "netmon_probe_local_errors_total{vantage=hall}",
            "netmon_probe_wrong_interface_total{vantage=hall}",
        )
    } == {
        "netmon_probe_up{}": 1,
        "netmon_probe_report_age_seconds{}": 1,
        f"netmon_probe_sent_total{{{of_probe}}}": 100,
        "netmon_probe_age_seconds{line=coast,vantage=hall}": 2.5,
        f"netmon_probe_round_trip_seconds_bucket{{le=0.0001,{of_probe}}}": 1,
        f"netmon_probe_round_trip_seconds_bucket{{le=5.0,{of_probe}}}": 15,
        f"netmon_probe_round_trip_seconds_count{{{of_probe}}}": 16,
        f"netmon_probe_round_trip_seconds_sum{{{of_probe}}}": 1.5,
        "netmon_probe_stuck{vantage=hall}": 0,
        "netmon_probe_anchors_answering{vantage=hall}": 2,
        "netmon_probe_local_errors_total{vantage=hall}": 4,
        "netmon_probe_wrong_interface_total{vantage=hall}": 3,
    }


def test_a_judge_tells_how_the_lines_are() -> None:
    """Every state of each, so that a series is there before it is needed; what is not known has no sample."""
    found = samples(judges=verdict())
    assert {
        name: found.get(name)
        for name in (
            "netmon_line_state{line=coast,state=down}",
            "netmon_line_state{line=coast,state=up}",
            "netmon_line_state{line=hill,state=up}",
            "netmon_line_state{line=hill,state=unknown}",
            "netmon_line_loss_ratio{line=coast}",
            "netmon_line_loss_ratio{line=hill}",
            "netmon_line_ipdv_seconds{line=hill}",
            "netmon_line_availability_ratio{line=coast}",
            "netmon_line_changes_total{state=down}",
            "netmon_line_changes_total{state=degraded}",
            "netmon_lines{state=unknown}",
            "netmon_vantage_isolated{vantage=hall}",
            "netmon_vantage_isolated{vantage=pref}",
            "netmon_vantage_silent{vantage=pref}",
            "netmon_vantage_age_seconds{vantage=hall}",
        )
    } == {
        "netmon_line_state{line=coast,state=down}": 1,
        "netmon_line_state{line=coast,state=up}": 0,
        "netmon_line_state{line=hill,state=up}": 1,
        "netmon_line_state{line=hill,state=unknown}": 0,
        "netmon_line_loss_ratio{line=coast}": 1,
        "netmon_line_loss_ratio{line=hill}": None,
        "netmon_line_ipdv_seconds{line=hill}": 0.002,
        "netmon_line_availability_ratio{line=coast}": 0.9995,
        "netmon_line_changes_total{state=down}": 7,
        "netmon_line_changes_total{state=degraded}": 0,
        "netmon_lines{state=unknown}": 0,
        "netmon_vantage_isolated{vantage=hall}": 0,
        "netmon_vantage_isolated{vantage=pref}": 1,
        "netmon_vantage_silent{vantage=pref}": 0,
        "netmon_vantage_age_seconds{vantage=hall}": 0.5,
    }


def test_nothing_old_is_shown_as_new() -> None:
    """Of a process that is silent there is the age of its report, and that it is not up; no line is said to be well."""
    old = NOW_NS - 60 * SECOND_NS
    assert samples(probe(asked("coast"), unix_ns=old), verdict(unix_ns=old)) == {
        "netmon_probe_up{}": 0,
        "netmon_probe_report_age_seconds{}": 60,
        "netmon_verdict_up{}": 0,
        "netmon_verdict_report_age_seconds{}": 60,
    }
    assert samples() == {"netmon_probe_up{}": 0, "netmon_verdict_up{}": 0}


def test_who_waits_says_nothing_of_lines() -> None:
    """Another one judges: of two netmons, one tells each line."""
    found = samples(judges=verdict(state="waiting", leader=0))
    assert (found["netmon_verdict_up{}"], found["netmon_verdict_leads{}"]) == (1, 0)
    assert [name for name in found if name.startswith(("netmon_line_state", "netmon_lines", "netmon_vantage"))] == []


def test_of_many_probes_fewer_buckets_are_told() -> None:
    """The greatest bound and all others that are left are exact, since buckets are cumulative."""
    lines = [asked(f"line-{number}") for number in range(FULL_HISTOGRAMS_MAX + 1)]
    found = samples(probe(*lines))
    of_one = [name for name in found if "_bucket{" in name and "line=line-7," in name]
    assert [name.partition("le=")[2].partition(",")[0] for name in of_one] == [
        "0.0005",
        "0.005",
        "0.05",
        "0.5",
        "5.0",
        "+Inf",
    ]
    assert found["netmon_probe_round_trip_seconds_bucket{le=0.05,line=line-7,probe=icmp a,vantage=hall}"] == 9


def test_both_formats_can_be_written() -> None:
    """OpenMetrics is strict about types and endings."""
    registry = metrics.registry(lambda: snapshot(probe(asked("coast")), verdict()))
    assert openmetrics.generate_latest(registry).endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("line", "stuck"),
    [
        (asked("coast", ago_s=14), 0),
        (asked("coast", ago_s=20), 1),
        (asked("coast", ago_s=60, interval_s=30), 0),
        (asked("coast", ago_s=120, interval_s=30), 1),
        (msgspec.structs.replace(asked("coast"), targets=()), 1),
    ],
    ids=["asked", "not asked", "asked sparingly", "not even that", "never"],
)
def test_a_prober_that_is_stuck_is_seen(line: AskedLine, stuck: int) -> None:
    """By how long ago each line was asked, in its own measure: a report that is written says nothing of that."""
    assert samples(probe(line))["netmon_probe_stuck{vantage=hall}"] == stuck


def found_by(asks: ProbeReport | None, judges: VerdictReport | None) -> dict[str, tuple[bool, str]]:
    """Checks of the prober: name to whether it is well, and what was found."""
    found = [check for check in checks(snapshot(asks, judges)) if not check.name.startswith("process.")]
    assert all(check.advisory and bool(check.cure) is not check.ok for check in found)
    return {check.name: (check.ok, check.state) for check in found}


def test_readyz_tells_how_the_prober_is() -> None:
    """Advisory: traps are taken all the same."""
    assert found_by(probe(asked("coast")), verdict()) == {
        "probe.vantage": (True, "asks over 1 lines"),
        "lines.verdict": (True, "leading"),
        "lines.known": (True, "1 up, 1 down"),
    }
    isolated = msgspec.structs.replace(probe().health, state="isolated", reason="no_anchor")
    assert found_by(probe(asked("coast", ago_s=99), health=isolated), verdict(state="unreachable", leader=0)) == {
        "probe.vantage": (False, "isolated"),
        "probe.stuck": (False, "1 lines are not asked any more"),
        "lines.verdict": (False, "Redis is unreachable"),
    }
    old = NOW_NS - 60 * SECOND_NS
    assert found_by(probe(unix_ns=old), verdict(unix_ns=old, leader=0)) == {
        "probe.vantage": (False, "silent for 60 s"),
        "lines.verdict": (False, "silent for 60 s"),
    }
    assert found_by(None, verdict(states={"unknown": 2}))["lines.known"] == (False, "2 unknown")
