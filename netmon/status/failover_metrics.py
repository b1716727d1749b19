"""Metrics of failover, from what the controller reports: `failover.json`.

A report that is old or missing is told as such, and nothing of it is shown as if it were of now. What only the controller that leads knows is
absent while another one leads, so that two netmons can be added up. Groups that are where they belong and at rest are counted, the others are
named, up to a limit of the report: a region of 10,000 gateways has no 10,000 series on a quiet day. Labels: IDs of the region, and closed sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

import msgspec
from prometheus_client.core import HistogramMetricFamily, Metric

from netmon.alarms.posture.model import Posture
from netmon.failover.actuators.base import Way
from netmon.failover.controller.report import (
    BUCKETS_S,
    STEPS,
    ControllerReport,
    GatewayReport,
    GroupReport,
    Histogram,
)
from netmon.failover.model import PHASES, RequestKind, SwitchReason
from netmon.failover.record import COMMAND_KINDS
from netmon.status.declared import Declared, Kind, Sample, Value, family
from netmon.status.health import FAILOVER, HEARTBEAT_AGE_MAX_NS, Snapshot

_REASONS: Final[tuple[SwitchReason, ...]] = tuple(reason for reason in get_args(SwitchReason) if reason)
_POSTURES: Final[tuple[Posture, ...]] = get_args(Posture)
_REQUESTS: Final[tuple[RequestKind, ...]] = get_args(RequestKind)
_PRIORITIES: Final = ("P0", "P1", "P2", "P3")
_SHED: Final = "shed"
"""What stands where a line would, of a group that is nowhere."""


class _OfReport(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[ControllerReport], Value]


class _OfLeader(_OfReport, frozen=True):
    """Known to the controller that leads alone."""


class _OfGroup(msgspec.Struct, frozen=True):
    name: str
    help: str
    value: Callable[[GroupReport], Value | None]
    """None: it does not apply."""
    kind: Kind = "gauge"


class _OfGateway(msgspec.Struct, frozen=True):
    name: str
    help: str
    value: Callable[[GatewayReport], Value]
    kind: Kind = "gauge"


class _OfReason(msgspec.Struct, frozen=True):
    name: str
    help: str
    label: str
    values: Callable[[ControllerReport], dict[str, int]]
    known: tuple[str, ...] = ()
    """Values of the label that are there from the start."""
    kind: Kind = "counter"


class _OfPriority(msgspec.Struct, frozen=True):
    name: str
    help: str
    values: Callable[[ControllerReport], tuple[int, int, int, int]]
    kind: Kind = "gauge"


_REPORT: Final = (
    _OfReport("netmon_failover_leads", "gauge", "1 while this process decides, 0 while another one does.", lambda x: x.leader),
    _OfReport("netmon_failover_orders_total", "counter", "Orders handed to what moves traffic, also those that were given again.", lambda x: x.counts.orders),
    _OfReport("netmon_failover_steps_total", "counter", "Times that a decision was taken.", lambda x: x.counts.steps),
    _OfReport("netmon_failover_line_changes_total", "counter", "Changes of lines that were read.", lambda x: x.counts.line_changes),
    _OfReport("netmon_failover_reports_total", "counter", "What gateways have told.", lambda x: x.counts.reports),
    _OfReport("netmon_failover_reports_refused_total", "counter", "Of gateways that the region does not know, or older than what is known.", lambda x: x.counts.reports_refused),
    _OfReport("netmon_failover_reloads_total", "counter", "Times that something may have been missed, and everything was read again.", lambda x: x.counts.reloads),
    _OfReport("netmon_failover_unreadable_total", "counter", "Entries that no netmon has written.", lambda x: x.counts.unreadable + x.counts.commands_unreadable),
    _OfReport("netmon_failover_lead_lost_total", "counter", "Times that another one led, or nobody, when this one thought that it did.", lambda x: x.counts.lead_lost),
    _OfReport("netmon_failover_redis_errors_total", "counter", "Times that Redis did not answer, or refused.", lambda x: sum(x.counts.redis_errors.values())),
    _OfReport("netmon_fence_rejected_total", "counter", "Orders refused by what moves traffic, which knew a newer one.", lambda x: x.counts.fences_rejected),
    _OfReport("netmon_fence_raised_total", "counter", "Times that a gateway knew a greater number of a leader than ours.", lambda x: x.counts.fences_raised),
    _OfReport("netmon_plan_pushed_total", "counter", "Plans told to gateways.", lambda x: x.counts.plans_pushed),
)  # fmt: skip
_LEADER: Final = (
    _OfLeader("netmon_failover_fence", "gauge", "Number of the leader.", lambda x: x.fence),
    _OfLeader("netmon_failover_lock_delay_seconds", "gauge", "For so long the leader makes no move that can wait, because it is new.", lambda x: x.lock_delay_s),
    _OfLeader("netmon_failover_lag_seconds", "gauge", "From news to the orders that follow from it, the longest of the last second.", lambda x: x.lag_s),
    _OfLeader("netmon_failover_frozen", "gauge", "1 while nothing moves by itself.", lambda x: int(x.frozen)),
    _OfLeader("netmon_group_left_out", "gauge", "Groups that are not where they belong, and had no room among those that are named.", lambda x: x.groups_left_out),
    _OfLeader("netmon_gateways", "gauge", "Gateways with an agent.", lambda x: x.gateways_total),
    _OfLeader("netmon_gateways_silent", "gauge", "Of them, those that tell nothing.", lambda x: x.gateways_silent),
    _OfLeader("netmon_gateways_behind", "gauge", "Of them, those that have another plan than the newest.", lambda x: x.gateways_behind),
)  # fmt: skip
_BY_REASON: Final = (
    _OfReason("netmon_failover_total", "Switches that were shown to carry their traffic, or that a gateway had made by itself.", "reason", lambda x: x.counts.switches, _REASONS),
    _OfReason("netmon_failover_failed_total", "Attempts to switch that came to nothing.", "reason", lambda x: x.counts.failed, _REASONS),
    _OfReason("netmon_failover_refused_total", "What was not done, by why not.", "reason", lambda x: x.counts.refused),
    _OfReason("netmon_failover_commands_total", "Commands of operators, also those that were refused.", "kind", lambda x: x.counts.commands, COMMAND_KINDS),
    _OfReason("netmon_failover_traps_total", "Traps about lines that counted as evidence, and those that did not.", "outcome", lambda x: {"heeded": x.counts.traps_heeded, "ignored": x.counts.traps_ignored}),
)  # fmt: skip
_REQUESTED: Final = _OfReason(
    "netmon_failover_requests",
    "Requests of operators that are in force.",
    "kind",
    lambda x: x.requests,
    _REQUESTS,
    "gauge",
)
_OF_PRIORITY: Final = (
    _OfPriority("netmon_class_admitted_bps", "Guaranteed rates of the groups that are on lines.", lambda x: x.admitted_bps),
    _OfPriority("netmon_class_shed_bps", "Guaranteed rates of the groups that are nowhere.", lambda x: x.shed_bps),
    _OfPriority("netmon_class_shed_groups", "Groups that are nowhere.", lambda x: x.shed),
)  # fmt: skip
_OF_GROUP: Final = (
    _OfGroup("netmon_wtr_remaining_seconds", "Until traffic returns to its working line.", lambda x: x.wtr_remaining_s),
    _OfGroup("netmon_damping_penalty", "Of a working line that fails again and again: from 3000 on traffic does not return, until it is 750.", lambda x: x.penalty or None),
)  # fmt: skip
_OF_GATEWAY: Final = (
    _OfGateway("netmon_gateway_silent", "1 while an agent tells nothing.", lambda x: int(x.silent)),
    _OfGateway("netmon_gateway_alone", "1 while a gateway does not hear the centre, as it says.", lambda x: int(x.alone)),
    _OfGateway("netmon_gateway_refused", "Orders that a gateway has refused, since its agent started.", lambda x: x.refused),
    _OfGateway("netmon_plan_version", "Version of the plan that was told to a gateway.", lambda x: x.plan_pushed),
    _OfGateway("netmon_plan_reported_version", "Version of the plan that it has.", lambda x: x.plan_reported),
)  # fmt: skip

_WAY_UP: Final = Declared(
    "netmon_failover_way_up",
    "gauge",
    "1 while orders get to gateways this way: a broker, or a carrier's controller.",
    ("way",),
)
_WAY_WAITING: Final = Declared(
    "netmon_failover_way_waiting", "gauge", "What is to be told this way and was not taken yet.", ("way",)
)
_WAY_EVENTS: Final = Declared(
    "netmon_failover_way_events_total", "counter", "What happened on it since the leader began.", ("way", "event")
)
_UP: Final = Declared("netmon_failover_up", "gauge", "1 while the controller reports and reaches Redis.", ())
_AGE: Final = Declared("netmon_failover_report_age_seconds", "gauge", "Age of its report.", ())
_PHASE_S: Final = Declared(
    "netmon_failover_phase_seconds", "histogram", "How long the parts of a switch took.", ("step",)
)
_GROUPS: Final = Declared("netmon_groups", "gauge", "Protection groups.", ("phase", "priority"))
_STATE: Final = Declared(
    "netmon_group_state", "gauge", "1 for the phase of a group that is not at rest on its working line.", ("group", "priority", "phase")
)  # fmt: skip
_ACTIVE: Final = Declared(
    "netmon_group_active_line", "gauge", "1 for the line that such a group is on; `shed`: on none.", ("group", "line")
)
_LINE_ADMITTED: Final = Declared(
    "netmon_line_admitted_bps", "gauge", "Guaranteed rates of the groups on a line.", ("line", "priority")
)
_LINE_USABLE: Final = Declared("netmon_line_usable_bps", "gauge", "What of a line is given away.", ("line",))
_MODE: Final = Declared(
    "netmon_region_mode", "gauge", "1 for the posture of an area by which traffic is moved.", ("region", "mode")
)
_FROZEN_FOR: Final = Declared(
    "netmon_failover_frozen_seconds", "gauge", "For how long nothing has moved by itself.", ()
)
_LOCKOUT: Final = Declared("netmon_lockout_age_seconds", "gauge", "Since when a group is locked out.", ("group",))

DECLARED: Final = (
    _UP,
    _AGE,
    *(Declared(m.name, m.kind, m.help, ()) for m in (*_REPORT, *_LEADER)),
    *(Declared(m.name, m.kind, m.help, (m.label,)) for m in (*_BY_REASON, _REQUESTED)),
    _PHASE_S,
    *(Declared(m.name, m.kind, m.help, ("priority",)) for m in _OF_PRIORITY),
    _GROUPS,
    _STATE,
    _ACTIVE,
    *(Declared(m.name, m.kind, m.help, ("group",)) for m in _OF_GROUP),
    _LOCKOUT,
    _LINE_ADMITTED,
    _LINE_USABLE,
    _MODE,
    _FROZEN_FOR,
    _WAY_UP,
    _WAY_WAITING,
    _WAY_EVENTS,
    *(Declared(m.name, m.kind, m.help, ("gateway",)) for m in _OF_GATEWAY),
)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Every metric declared here, with its samples."""
    report = snapshot.failover
    is_wanted = any(process.role == FAILOVER for process in snapshot.processes)
    age_ns = 0 if report is None else max(snapshot.unix_ns - report.unix_ns, 0)
    told = report if report is not None and age_ns <= HEARTBEAT_AGE_MAX_NS else None
    works = told is not None and told.state in {"leading", "waiting"}
    yield family(_UP, (), [((), int(works))] if is_wanted else [])
    yield family(_AGE, (), [] if report is None else [((), age_ns / 1e9)])
    yield from _of_process(told)
    yield from _of_leader(told if told is not None and told.leader else None, snapshot.unix_ns)


def _of_process(report: ControllerReport | None) -> Iterator[Metric]:
    for metric in _REPORT:
        yield family(metric, (), [] if report is None else [((), metric.value(report))])
    for by_reason in _BY_REASON:
        yield family(by_reason, (by_reason.label,), [] if report is None else _counted(by_reason, report))
    yield _histograms({} if report is None else report.counts.phases, () if report is None else STEPS)


def _of_leader(report: ControllerReport | None, unix_ns: int) -> Iterator[Metric]:
    for metric in _LEADER:
        yield family(metric, (), [] if report is None else [((), metric.value(report))])
    yield family(_REQUESTED, (_REQUESTED.label,), [] if report is None else _counted(_REQUESTED, report))
    for each in _OF_PRIORITY:
        rates = () if report is None else each.values(report)
        yield family(each, ("priority",), [((name,), rate) for name, rate in zip(_PRIORITIES, rates, strict=False)])
    yield from _of_groups(report)
    yield from _of_lines(report)
    areas = {} if report is None else report.areas
    modes = [((area, mode), int(mode == now)) for area, now in sorted(areas.items()) for mode in _POSTURES]
    yield family(_MODE, _MODE.labels, modes)
    is_frozen = report is not None and report.frozen
    since_ns = unix_ns - report.frozen_since_unix_ns if report is not None else 0
    yield family(_FROZEN_FOR, (), [((), max(since_ns, 0) / 1e9)] if is_frozen else [])
    yield from _of_ways({} if report is None else report.ways)
    gateways = [] if report is None else sorted(report.gateways.items())
    for of_gateway in _OF_GATEWAY:
        yield family(of_gateway, ("gateway",), [((name,), of_gateway.value(each)) for name, each in gateways])


def _of_ways(ways: dict[str, Way]) -> Iterator[Metric]:
    yield family(_WAY_UP, _WAY_UP.labels, [((name,), int(way.up)) for name, way in ways.items()])
    yield family(_WAY_WAITING, _WAY_WAITING.labels, [((name,), way.waiting) for name, way in ways.items()])
    events = [((name, event), count) for name, way in ways.items() for event, count in way.counts.items()]
    yield family(_WAY_EVENTS, _WAY_EVENTS.labels, events)


def _of_groups(report: ControllerReport | None) -> Iterator[Metric]:
    phases = {} if report is None else report.phases
    none = (0, 0, 0, 0)
    counted = [
        ((phase, priority), count)
        for phase in (PHASES if report is not None else ())
        for priority, count in zip(_PRIORITIES, phases.get(phase, none), strict=True)
    ]
    yield family(_GROUPS, _GROUPS.labels, counted)
    named = [] if report is None else sorted(report.groups.items())
    yield family(_STATE, _STATE.labels, [((name, _PRIORITIES[x.priority], x.phase), 1) for name, x in named])
    yield family(_ACTIVE, _ACTIVE.labels, [((name, x.on or _SHED), 1) for name, x in named])
    for of_group in _OF_GROUP:
        known = [((name,), value) for name, x in named if (value := of_group.value(x)) is not None]
        yield family(of_group, ("group",), known)
    locked = {} if report is None else report.lockouts
    yield family(_LOCKOUT, _LOCKOUT.labels, [((name,), age_s) for name, age_s in sorted(locked.items())])


def _of_lines(report: ControllerReport | None) -> Iterator[Metric]:
    lines = [] if report is None else sorted(report.lines.items())
    admitted = [
        ((name, priority), rate)
        for name, line in lines
        for priority, rate in zip(_PRIORITIES, line.admitted_bps, strict=True)
    ]
    yield family(_LINE_ADMITTED, _LINE_ADMITTED.labels, admitted)
    yield family(_LINE_USABLE, _LINE_USABLE.labels, [((name,), line.usable_bps) for name, line in lines])


def _counted(metric: _OfReason, report: ControllerReport) -> list[Sample]:
    """Those of the closed set first, whether anything happened or not: a series that begins with 1 has no increase."""
    found = {**dict.fromkeys(metric.known, 0), **metric.values(report)}
    return [((name,), count) for name, count in found.items()]


def _histograms(found: dict[str, Histogram], steps: Iterable[str]) -> Metric:
    metric = HistogramMetricFamily(_PHASE_S.name, _PHASE_S.help, labels=_PHASE_S.labels)
    for step in steps:
        histogram = found.get(step, Histogram())
        ends = [*map(str, BUCKETS_S), "+Inf"]
        totals = [sum(histogram.counts[: at + 1]) for at in range(len(ends))]
        metric.add_metric([step], list(zip(ends, totals, strict=True)), sum_value=histogram.sum_s)
    return metric
