"""Metrics and checks of failover: from a controller that decides, one that waits, one that is silent, and none at all."""

from __future__ import annotations

from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from netmon.failover.actuators.base import Way
from netmon.failover.controller.report import (
    ControllerReport,
    Counts,
    GatewayReport,
    GroupReport,
    Histogram,
    LineReport,
)
from netmon.status import metrics
from netmon.status.failover_metrics import DECLARED
from netmon.status.health import ProcessSample, Snapshot, checks, is_ready

NOW_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000


def report(**changes: Any) -> ControllerReport:
    """A controller that decides, on a bad day."""
    verify = Histogram()
    for seconds in (0.004, 0.2, 90.0):
        verify.add(seconds)
    values: dict[str, Any] = {
        "unix_ns": NOW_NS - SECOND_NS,
        "started_unix_ns": 1,
        "state": "leading",
        "leader": 1,
        "fence": 7,
        "counts": Counts(
            orders=9,
            switches={"signal_fail": 3},
            refused={"unreachable": 2},
            phases={"verify": verify},
            commands={"lockout": 1},
            fences_rejected=4,
            traps_ignored=5,
        ),
        "total": 12,
        "phases": {"NR": (1, 2, 3, 4), "WTR": (1, 0, 0, 0), "NO_BACKUP": (0, 0, 0, 1)},
        "groups": {
            "a/life": GroupReport(phase="WTR", priority=0, on="geo", reason="signal_fail", wtr_remaining_s=120.5),
            "b/bulk": GroupReport(phase="NO_BACKUP", priority=3, on="", penalty=2_000.0),
        },
        "lines": {"geo": LineReport(admitted_bps=(64_000, 0, 0, 0), usable_bps=3_200_000)},
        "admitted_bps": (64_000, 0, 0, 0),
        "shed_bps": (0, 0, 0, 20_000_000),
        "shed": (0, 0, 0, 1),
        "areas": {"east": "disaster"},
        "requests": {"lockout": 1},
        "lockouts": {"a/life": 20_000.0},
        "gateways": {"b": GatewayReport(silent=True, plan_pushed=5, plan_reported=4)},
        "gateways_total": 3,
        "gateways_silent": 1,
        "gateways_behind": 1,
        "ways": {
            "agents": Way(up=True, counts={"told": 9, "refused": 1}),
            "webhook kdx": Way(up=False, why="503 Service Unavailable", waiting=2),
        },
    }
    return ControllerReport(**{**values, **changes})


def snapshot(found: ControllerReport | None) -> Snapshot:
    """Of a netmon that does nothing but decide."""
    running = ProcessSample(role="failover", lane=None, pid=1, restarts=0, resident_bytes=1, cpu_seconds=1)
    return Snapshot(
        unix_ns=NOW_NS,
        lanes=(),
        processes=(running,),
        embedded=None,
        reloads_applied=0,
        reloads_refused=0,
        failover=found,
    )


def samples(found: ControllerReport | None) -> dict[str, float]:
    """`name{labels}` to value, of all that failover has."""
    text = generate_latest(metrics.registry(lambda: snapshot(found))).decode()
    own = {declared.name.removesuffix("_total") for declared in DECLARED}
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        if family.name in own
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def told(found: ControllerReport | None) -> dict[str, tuple[bool, str]]:
    """Each check of failover."""
    return {
        check.name: (check.ok, check.state) for check in checks(snapshot(found)) if check.name.startswith("failover")
    }


def test_groups_that_are_not_where_they_belong_are_named() -> None:
    """With the line that they are on; the others are counted."""
    found = samples(report())
    assert {
        name: value
        for name, value in found.items()
        if name.startswith(("netmon_group_", "netmon_wtr", "netmon_damping", "netmon_lockout"))
    } == {
        "netmon_group_state{group=a/life,phase=WTR,priority=P0}": 1,
        "netmon_group_state{group=b/bulk,phase=NO_BACKUP,priority=P3}": 1,
        "netmon_group_active_line{group=a/life,line=geo}": 1,
        "netmon_group_active_line{group=b/bulk,line=shed}": 1,
        "netmon_group_left_out{}": 0,
        "netmon_wtr_remaining_seconds{group=a/life}": 120.5,
        "netmon_damping_penalty{group=b/bulk}": 2_000,
        "netmon_lockout_age_seconds{group=a/life}": 20_000,
    }
    assert (found["netmon_groups{phase=NR,priority=P3}"], found["netmon_groups{phase=FS,priority=P0}"]) == (4, 0)


def test_what_is_carried_what_is_shed_and_who_is_silent() -> None:
    """By priority, by line, by gateway."""
    found = samples(report())
    assert {name: found[name] for name in (
        "netmon_class_admitted_bps{priority=P0}",
        "netmon_class_shed_bps{priority=P3}",
        "netmon_class_shed_groups{priority=P3}",
        "netmon_line_admitted_bps{line=geo,priority=P0}",
        "netmon_line_usable_bps{line=geo}",
        "netmon_region_mode{mode=disaster,region=east}",
        "netmon_region_mode{mode=normal,region=east}",
        "netmon_gateway_silent{gateway=b}",
        "netmon_plan_version{gateway=b}",
        "netmon_plan_reported_version{gateway=b}",
        "netmon_gateways{}",
        "netmon_gateways_silent{}",
        "netmon_failover_requests{kind=lockout}",
        "netmon_failover_requests{kind=forced}",
    )} == {
        "netmon_class_admitted_bps{priority=P0}": 64_000,
        "netmon_class_shed_bps{priority=P3}": 20_000_000,
        "netmon_class_shed_groups{priority=P3}": 1,
        "netmon_line_admitted_bps{line=geo,priority=P0}": 64_000,
        "netmon_line_usable_bps{line=geo}": 3_200_000,
        "netmon_region_mode{mode=disaster,region=east}": 1,
        "netmon_region_mode{mode=normal,region=east}": 0,
        "netmon_gateway_silent{gateway=b}": 1,
        "netmon_plan_version{gateway=b}": 5,
        "netmon_plan_reported_version{gateway=b}": 4,
        "netmon_gateways{}": 3,
        "netmon_gateways_silent{}": 1,
        "netmon_failover_requests{kind=lockout}": 1,
        "netmon_failover_requests{kind=forced}": 0,
    }  # fmt: skip


def test_ways_by_which_orders_get_to_gateways() -> None:
    """Whether they do, what waits, and what happened."""
    found = samples(report())
    assert {name: value for name, value in found.items() if name.startswith("netmon_failover_way")} == {
        "netmon_failover_way_up{way=agents}": 1,
        "netmon_failover_way_up{way=webhook kdx}": 0,
        "netmon_failover_way_waiting{way=agents}": 0,
        "netmon_failover_way_waiting{way=webhook kdx}": 2,
        "netmon_failover_way_events_total{event=told,way=agents}": 9,
        "netmon_failover_way_events_total{event=refused,way=agents}": 1,
    }


def test_counters_are_there_before_they_count() -> None:
    """What begins with 1 has no increase; a histogram counts everything below each end."""
    found = samples(report())
    assert {name: found[name] for name in (
        "netmon_failover_total{reason=signal_fail}",
        "netmon_failover_total{reason=revert}",
        "netmon_failover_failed_total{reason=verify_failed}",
        "netmon_failover_refused_total{reason=unreachable}",
        "netmon_failover_commands_total{kind=lockout}",
        "netmon_failover_commands_total{kind=freeze}",
        "netmon_failover_traps_total{outcome=ignored}",
        "netmon_fence_rejected_total{}",
        "netmon_failover_phase_seconds_bucket{le=0.005,step=verify}",
        "netmon_failover_phase_seconds_bucket{le=60.0,step=verify}",
        "netmon_failover_phase_seconds_count{step=verify}",
        "netmon_failover_phase_seconds_count{step=detect}",
    )} == {
        "netmon_failover_total{reason=signal_fail}": 3,
        "netmon_failover_total{reason=revert}": 0,
        "netmon_failover_failed_total{reason=verify_failed}": 0,
        "netmon_failover_refused_total{reason=unreachable}": 2,
        "netmon_failover_commands_total{kind=lockout}": 1,
        "netmon_failover_commands_total{kind=freeze}": 0,
        "netmon_failover_traps_total{outcome=ignored}": 5,
        "netmon_fence_rejected_total{}": 4,
        "netmon_failover_phase_seconds_bucket{le=0.005,step=verify}": 1,
        "netmon_failover_phase_seconds_bucket{le=60.0,step=verify}": 2,
        "netmon_failover_phase_seconds_count{step=verify}": 3,
        "netmon_failover_phase_seconds_count{step=detect}": 0,
    }  # fmt: skip


def test_who_waits_counts_but_says_nothing_of_groups() -> None:
    """Another one decides: of two netmons, one tells each group."""
    found = samples(report(state="waiting", leader=0))
    assert (
        found["netmon_failover_up{}"],
        found["netmon_failover_leads{}"],
        found["netmon_fence_rejected_total{}"],
    ) == (1, 0, 4)
    assert [
        name for name in found if name.startswith(("netmon_group", "netmon_class", "netmon_gateway", "netmon_region"))
    ] == []


def test_nothing_old_is_shown_as_new() -> None:
    """Of a controller that is silent there is the age of its report, and that it is not up."""
    old = samples(report(unix_ns=NOW_NS - 60 * SECOND_NS))
    assert {name: value for name, value in old.items() if "_count" not in name} == {
        "netmon_failover_up{}": 0,
        "netmon_failover_report_age_seconds{}": 60,
    }
    assert samples(None) == {"netmon_failover_up{}": 0}


def test_for_how_long_nothing_moves() -> None:
    """Only while it is so."""
    frozen = report(frozen=True, frozen_by="sato", frozen_since_unix_ns=NOW_NS - 90 * SECOND_NS)
    assert samples(frozen)["netmon_failover_frozen_seconds{}"] == 90
    assert "netmon_failover_frozen_seconds{}" not in samples(report())


def test_what_is_not_well_is_told_and_keeps_no_trap_from_being_taken() -> None:
    """Each with a cure; none is a condition of being ready."""
    bad = report(frozen=True, frozen_by="netmon", frozen_since_unix_ns=NOW_NS)
    assert told(bad) == {
        "failover.controller": (True, "leading"),
        "failover.frozen": (False, "frozen by netmon: nothing moves by itself"),
        "failover.backups": (False, "groups with nowhere to go: 1"),
        "failover.gateways": (False, "silent: 1 of 3"),
        "failover.ways": (False, "webhook kdx: 503 Service Unavailable"),
    }
    assert all(check.advisory and (check.ok or check.cure) for check in checks(snapshot(bad)))
    assert not is_ready(snapshot(bad), checks(snapshot(bad)))


def test_a_controller_that_is_well_waits_or_is_away() -> None:
    """A report of each kind."""
    well = report(phases={"NR": (1, 0, 0, 0)}, gateways_silent=0, ways={"agents": Way(up=True)})
    assert told(well) == {
        "failover.controller": (True, "leading"),
        "failover.backups": (True, "groups with nowhere to go: 0"),
        "failover.gateways": (True, "silent: 0 of 3"),
        "failover.ways": (True, "agents"),
    }
    assert told(report(state="waiting", leader=0)) == {"failover.controller": (True, "waiting")}
    assert told(report(state="unreachable", leader=0)) == {"failover.controller": (False, "Redis is unreachable")}
    assert told(report(unix_ns=NOW_NS - 60 * SECOND_NS, leader=0)) == {
        "failover.controller": (False, "silent for 60 s")
    }
    assert told(None) == {}
