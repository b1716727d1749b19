"""Metrics of the alarm service, from what its processes report: `alarms.json` and `northbound.json`.

A report that is old or missing is told as such, and nothing of it is shown as if it were of now. What only a leader knows is
absent while another worker leads, so that two netmons can be added up. Labels: codes of areas, names of sinks, and closed sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

import msgspec
from prometheus_client.core import Metric

from netmon.alarms.model import SEVERITIES, ChangeKind
from netmon.alarms.posture.model import POSTURES
from netmon.alarms.worker.report import AlarmReport, AreaReport
from netmon.northbound.report import OUTCOMES, MemberReport, NorthboundReport, SinkReport
from netmon.status.declared import Declared, Kind, Sample, Value, family
from netmon.status.health import HEARTBEAT_AGE_MAX_NS, Snapshot

FORECASTS_MAX: Final = 16
"""Kinds of forecasts that are shown."""
_COUNTED: Final = ("matched", "ignored", "unmatched", "canaries", "duplicates", "rejects", "foreign", "failed")
"""Fields of `Counts`: each entry of a stream is in exactly one."""


class _OfReport(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    samples: Callable[[AlarmReport], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    leader: bool = True
    """Whether only a leader knows it."""


class _OfSink(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[SinkReport], Value]


class _OfMember(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[MemberReport], Value]


def _one(name: str, kind: Kind, text: str, value: Callable[[AlarmReport], Value], *, leader: bool = True) -> _OfReport:
    return _OfReport(name, kind, text, lambda report: [((), value(report))], leader=leader)


def _of_areas(value: Callable[[AreaReport], Value]) -> Callable[[AlarmReport], list[Sample]]:
    return lambda report: [((area.code or name,), value(area)) for name, area in sorted(report.areas.items())]


_REPORT: Final = (
    _one("netmon_alarm_worker_leads", "gauge", "1 while this worker keeps the alarms, 0 while another one does.", lambda x: int(x.state == "leading"), leader=False),
    _OfReport(
        "netmon_alarm_notifications_total", "counter", "Entries of the streams, by what the rules made of them.",
        lambda x: [((name,), getattr(x.counts, name)) for name in _COUNTED], ("outcome",), leader=False,
    ),
    _OfReport(
        "netmon_alarm_changes_total", "counter", "Changes of alarms that were told.",
        lambda x: [((kind,), x.counts.changes.get(kind, 0)) for kind in get_args(ChangeKind)], ("kind",), leader=False,
    ),
    _one("netmon_alarm_commands_total", "counter", "Commands of operators, done or refused.", lambda x: x.counts.commands, leader=False),
    _one("netmon_alarm_line_changes_total", "counter", "What the prober said of lines and vantages.", lambda x: x.counts.line_changes, leader=False),
    _one("netmon_alarm_flushes_total", "counter", "Transactions by which alarms were written.", lambda x: x.counts.flushes, leader=False),
    _one("netmon_alarm_refused_total", "counter", "Alarms that had no room in the list.", lambda x: x.refused),
    _OfReport(
        "netmon_alarm_lag_entries", "gauge", "Entries of the streams that the alarms have not come to.",
        lambda x: [((kind,), count) for kind, count in sorted(x.lag_entries.items())], ("stream",),
    ),
    _one("netmon_alarm_oldest_pending_seconds", "gauge", "How long the oldest of those entries has waited.", lambda x: x.oldest_pending_s),
    _OfReport(
        "netmon_alarms_active", "gauge", "Alarms that stand.",
        lambda x: [((severity,), x.active.get(severity, 0)) for severity in SEVERITIES], ("severity",),
    ),
    _one("netmon_alarms_listed", "gauge", "Alarms in the list, cleared ones too.", lambda x: x.alarms),
    _one("netmon_alarms_flapping", "gauge", "Alarms that come and go, shown as standing.", lambda x: x.flapping),
    _one("netmon_alarms_shelved", "gauge", "Alarms that an operator has shelved.", lambda x: x.shelved),
    _one("netmon_alarms_roots", "gauge", "Alarms that stand and that no other one explains.", lambda x: x.roots),
    _one("netmon_alarms_causes", "gauge", "Alarms that explain others.", lambda x: x.causes),
    _one("netmon_alarms_explained", "gauge", "Alarms that others explain.", lambda x: x.explained),
    _one("netmon_alarms_flood", "gauge", "1 while there are more new alarms than a person can read.", lambda x: int(x.flood)),
    _OfReport(
        "netmon_disaster_posture", "gauge", "Of an area: 0 normal, 1 suspected, 2 disaster, 3 recovering.",
        _of_areas(lambda area: POSTURES.index(area.posture)), ("region",),
    ),
    _OfReport(
        "netmon_area_notifications_total", "counter", "Notifications of an area's devices.",
        _of_areas(lambda area: area.notifications), ("region",),
    ),
    _OfReport(
        "netmon_forecast_seconds", "gauge", "Until the first of its kind runs out, at the present pace.",
        lambda x: [((kind,), left) for kind, left in sorted(x.forecasts.items())[:FORECASTS_MAX]], ("kind",),
    ),
)  # fmt: skip

_SINK: Final = (
    _OfSink("netmon_northbound_alerts", "gauge", "Alarms that others are told of.", lambda x: x.alerts),
    _OfSink("netmon_northbound_alerts_refused", "gauge", "Of them, those that a server refuses to take.", lambda x: x.refused),
    _OfSink("netmon_northbound_left_out_total", "counter", "Times that an alarm had no room.", lambda x: x.left_out),
)  # fmt: skip
_MEMBER: Final = (
    _OfMember("netmon_northbound_queue_entries", "gauge", "Changes that a server has not taken yet.", lambda x: x.queue_entries),
    _OfMember(
        "netmon_northbound_last_success_timestamp_seconds", "gauge", "When a server last took what it was sent; 0: never.",
        lambda x: x.last_success_unix_ns / 1e9,
    ),
)  # fmt: skip
_MEMBER_LABELS: Final = ("sink", "member")

_WORKER_UP: Final = Declared(
    "netmon_alarm_worker_up", "gauge", "1 while the alarm worker reports and reaches Redis.", ()
)
_WORKER_AGE: Final = Declared("netmon_alarm_report_age_seconds", "gauge", "Age of the alarm worker's report.", ())
_NORTHBOUND_UP: Final = Declared(
    "netmon_northbound_up", "gauge", "1 while the northbound process reports and follows.", ()
)
_NORTHBOUND_AGE: Final = Declared("netmon_northbound_report_age_seconds", "gauge", "Age of its report.", ())
_REQUESTS: Final = Declared(
    "netmon_northbound_requests_total", "counter", "Requests to a server.", (*_MEMBER_LABELS, "outcome")
)

DECLARED: Final = (
    _WORKER_UP,
    _WORKER_AGE,
    *(Declared(m.name, m.kind, m.help, m.labels) for m in _REPORT),
    _NORTHBOUND_UP,
    _NORTHBOUND_AGE,
    _REQUESTS,
    *(Declared(m.name, m.kind, m.help, _MEMBER_LABELS) for m in _MEMBER),
    *(Declared(m.name, m.kind, m.help, ("sink",)) for m in _SINK),
)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Every metric declared here, with its samples."""
    roles = {process.role for process in snapshot.processes}
    alarms, northbound = snapshot.alarms, snapshot.northbound
    fresh = alarms if alarms is not None and _is_fresh(alarms.unix_ns, snapshot) else None
    works = fresh is not None and fresh.state in {"leading", "waiting"}
    yield family(_WORKER_UP, (), [((), int(works))] if "alarms" in roles else [])
    yield family(_WORKER_AGE, (), _age(alarms, snapshot))
    for metric in _REPORT:
        known = fresh is not None and (fresh.state == "leading" or not metric.leader)
        yield family(metric, metric.labels, list(metric.samples(fresh)) if fresh is not None and known else [])
    told = northbound if northbound is not None and _is_fresh(northbound.unix_ns, snapshot) else None
    follows = told is not None and (told.following or not told.sinks)
    yield family(_NORTHBOUND_UP, (), [((), int(follows))] if "northbound" in roles else [])
    yield family(_NORTHBOUND_AGE, (), _age(northbound, snapshot))
    yield from _sinks({} if told is None else told.sinks)


def _sinks(sinks: dict[str, SinkReport]) -> Iterator[Metric]:
    members = [((sink, str(n)), member) for sink, report in sinks.items() for n, member in enumerate(report.members)]
    requests = [((*of, word), member.requests.get(word, 0)) for of, member in members for word in OUTCOMES]
    yield family(_REQUESTS, _REQUESTS.labels, requests)
    for of_member in _MEMBER:
        yield family(of_member, _MEMBER_LABELS, [(of, of_member.value(member)) for of, member in members])
    for of_sink in _SINK:
        yield family(of_sink, ("sink",), [((name,), of_sink.value(report)) for name, report in sinks.items()])


def _is_fresh(unix_ns: int, snapshot: Snapshot) -> bool:
    return snapshot.unix_ns - unix_ns <= HEARTBEAT_AGE_MAX_NS


def _age(report: AlarmReport | NorthboundReport | None, snapshot: Snapshot) -> list[Sample]:
    return [] if report is None else [((), max(snapshot.unix_ns - report.unix_ns, 0) / 1e9)]
