"""Metrics of the alarm service: from reports that are fresh, old or missing."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from netmon.alarms.worker.report import AlarmReport, AreaReport, Counts
from netmon.northbound.report import MemberReport, NorthboundReport, SinkReport
from netmon.status import metrics
from netmon.status.health import ProcessSample, Snapshot

NOW_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000


def process(role: str) -> ProcessSample:
    """One that runs."""
    return ProcessSample(role=role, lane=None, pid=1, restarts=0, resident_bytes=1, cpu_seconds=1)


def report(**changes: Any) -> AlarmReport:
    """A leader at work."""
    values: dict[str, Any] = {
        "unix_ns": NOW_NS - SECOND_NS,
        "started_unix_ns": 1,
        "state": "leading",
        "counts": Counts(matched=7, unmatched=2, changes={"raised": 5, "cleared": 4}),
        "active": {"critical": 1, "minor": 3},
        "flood": True,
        "lag_entries": {"traps": 9, "late": 0},
        "oldest_pending_s": 2.5,
        "areas": {
            "minato": AreaReport(code="992011", posture="disaster", notifications=40),
            "unknown": AreaReport(posture="normal"),
        },
        "forecasts": {"ups_battery": 1_200.0},
    }
    return AlarmReport(**{**values, **changes})


def samples(alarms: AlarmReport | None = None, north: NorthboundReport | None = None) -> dict[str, float]:
    """`name{labels}` to value, of all that the alarm service has."""
    snapshot = Snapshot(
        unix_ns=NOW_NS,
        lanes=(),
        processes=(process("alarms"), process("northbound")),
        embedded=None,
        reloads_applied=0,
        reloads_refused=0,
        alarms=alarms,
        northbound=north,
    )
    text = generate_latest(metrics.registry(lambda: snapshot)).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    prefixes = ("netmon_alarm", "netmon_area", "netmon_disaster", "netmon_forecast", "netmon_northbound")
    return {name: value for name, value in found.items() if name.startswith(prefixes)}


def test_a_leader_tells_all() -> None:
    """Areas by their codes, and closed sets whole, so that a series is there before it is needed."""
    found = samples(report())
    assert {
        name: found[name]
        for name in (
            "netmon_alarm_worker_up{}",
            "netmon_alarms_active{severity=critical}",
            "netmon_alarms_active{severity=major}",
            "netmon_alarm_notifications_total{outcome=unmatched}",
            "netmon_alarm_changes_total{kind=raised}",
            "netmon_alarm_changes_total{kind=shelved}",
            "netmon_alarm_lag_entries{stream=traps}",
            "netmon_alarm_oldest_pending_seconds{}",
            "netmon_alarms_flood{}",
            "netmon_disaster_posture{region=992011}",
            "netmon_disaster_posture{region=unknown}",
            "netmon_area_notifications_total{region=992011}",
            "netmon_forecast_seconds{kind=ups_battery}",
        )
    } == {
        "netmon_alarm_worker_up{}": 1,
        "netmon_alarms_active{severity=critical}": 1,
        "netmon_alarms_active{severity=major}": 0,
        "netmon_alarm_notifications_total{outcome=unmatched}": 2,
        "netmon_alarm_changes_total{kind=raised}": 5,
        "netmon_alarm_changes_total{kind=shelved}": 0,
        "netmon_alarm_lag_entries{stream=traps}": 9,
        "netmon_alarm_oldest_pending_seconds{}": 2.5,
        "netmon_alarms_flood{}": 1,
        "netmon_disaster_posture{region=992011}": 2,
        "netmon_disaster_posture{region=unknown}": 0,
        "netmon_area_notifications_total{region=992011}": 40,
        "netmon_forecast_seconds{kind=ups_battery}": 1_200,
    }


@pytest.mark.parametrize(
    ("alarms", "up", "age_s"),
    [
        (report(unix_ns=NOW_NS - 60 * SECOND_NS), 0, 60.0),
        (report(state="unreachable"), 0, 1.0),
        (report(state="starting"), 0, 1.0),
        (report(state="waiting"), 1, 1.0),
        (report(unix_ns=NOW_NS + 60 * SECOND_NS), 1, 0.0),
        (None, 0, None),
    ],
)
def test_nothing_old_is_shown_as_new(alarms: AlarmReport | None, up: int, age_s: float | None) -> None:
    """A worker that is silent, waits or has no Redis does not say that there are no alarms."""
    found = samples(alarms)
    assert (found["netmon_alarm_worker_up{}"], found.get("netmon_alarm_report_age_seconds{}")) == (up, age_s)
    leads = alarms is not None and alarms.state == "leading" and bool(up)
    assert ("netmon_alarms_active{severity=critical}" in found) == leads


def north(**changes: Any) -> NorthboundReport:
    """One sink with two servers, of which one answers."""
    members = (
        MemberReport(requests={"ok": 12}, queue_entries=0, last_success_unix_ns=NOW_NS - 5 * SECOND_NS),
        MemberReport(requests={"timeout": 3, "strange": 1}, queue_entries=8),
    )
    sinks = {"alertmanager": SinkReport(members=members, alerts=4, refused=1, left_out=2)}
    values: dict[str, Any] = {"unix_ns": NOW_NS, "started_unix_ns": 1, "following": True, "sinks": sinks}
    return NorthboundReport(**{**values, **changes})


def test_northbound_tells_server_by_server() -> None:
    """By number, since addresses are no labels; outcomes are a closed set."""
    found = samples(None, north())
    assert {name: value for name, value in found.items() if value and "northbound" in name} == {
        "netmon_northbound_up{}": 1,
        "netmon_northbound_requests_total{member=0,outcome=ok,sink=alertmanager}": 12,
        "netmon_northbound_requests_total{member=1,outcome=timeout,sink=alertmanager}": 3,
        "netmon_northbound_queue_entries{member=1,sink=alertmanager}": 8,
        "netmon_northbound_last_success_timestamp_seconds{member=0,sink=alertmanager}": NOW_NS / 1e9 - 5,
        "netmon_northbound_alerts{sink=alertmanager}": 4,
        "netmon_northbound_alerts_refused{sink=alertmanager}": 1,
        "netmon_northbound_left_out_total{sink=alertmanager}": 2,
    }


@pytest.mark.parametrize("changes", [{"following": False}, {"unix_ns": NOW_NS - 60 * SECOND_NS}])
def test_northbound_that_does_not_see_the_alarms_is_down(changes: dict[str, Any]) -> None:
    """It runs, and what it tells others is not what is true."""
    assert samples(None, north(**changes))["netmon_northbound_up{}"] == 0
