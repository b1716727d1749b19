"""Metrics of the prober, from what its processes report: `probe.json` of the vantage here, `lines.json` of whoever judges here.

A report that is old or missing is told as such, and nothing of it is shown as if it were of now: a line that nobody judges has no
state here rather than a good one. What only the leading judge knows is absent while another one leads, so that two netmons can be
added up. Labels: IDs of lines and vantages of the region, labels of its probes, and closed sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from prometheus_client.core import HistogramMetricFamily, Metric

from netmon.active_probe.model import LINE_STATES
from netmon.active_probe.vantage.report import ProbeReport, TargetReport
from netmon.active_probe.verdict.report import LineReport, VantageReport, VerdictReport
from netmon.status.declared import Declared, Kind, Sample, Value, family
from netmon.status.health import HEARTBEAT_AGE_MAX_NS, Snapshot, stuck_lines

FULL_HISTOGRAMS_MAX: Final = 1_000
"""Probes with all buckets; with more of them, each has only every third, or a scrape would be too large."""
_FEW: Final = 3

_PROBE_LABELS: Final = ("line", "vantage", "probe")


class _OfReport(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[ProbeReport], Value]


class _OfVerdict(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[VerdictReport], Value]


class _OfLine(msgspec.Struct, frozen=True):
    name: str
    help: str
    value: Callable[[LineReport], Value | None]
    """None: not known."""
    kind: Kind = "gauge"


class _OfVantage(msgspec.Struct, frozen=True):
    name: str
    help: str
    value: Callable[[VantageReport], Value]
    kind: Kind = "gauge"


_REPORT: Final = (
    _OfReport("netmon_probe_redis_up", "gauge", "1 while the vantage reaches Redis; without it, it goes on probing.", lambda x: int(x.redis_reachable)),
    _OfReport("netmon_probe_stuck", "gauge", "Lines that were not asked when it was their turn.", lambda x: len(stuck_lines(x))),
    _OfReport("netmon_probe_held", "gauge", "Lines that look down and wait for an anchor.", lambda x: x.counts.held),
    _OfReport("netmon_probe_anchors", "gauge", "What the vantage asks to know that it is not cut off itself.", lambda x: x.health.anchors),
    _OfReport("netmon_probe_anchors_answering", "gauge", "Of them, those that answer.", lambda x: x.health.anchors_answering),
    _OfReport("netmon_probe_loop_lag_seconds", "gauge", "Largest delay of the prober since its last heartbeat.", lambda x: x.health.lag_s),
    _OfReport("netmon_probe_departed_total", "counter", "Probes that left, of lines and anchors.", lambda x: x.counts.probes_sent),
    _OfReport("netmon_probe_replies_total", "counter", "Answers to them.", lambda x: x.counts.replies),
    _OfReport("netmon_probe_local_errors_total", "counter", "Probes that could not leave by their line: they say nothing of it.", lambda x: x.counts.local_errors),
    _OfReport("netmon_probe_wrong_interface_total", "counter", "Answers that came in by another interface than their line's.", lambda x: x.counts.wrong_interface),
    _OfReport("netmon_probe_refused_total", "counter", "Datagrams that answered nothing of ours.", lambda x: x.counts.refused),
    _OfReport("netmon_probe_skipped_total", "counter", "Turns that were let go because the prober was late.", lambda x: x.counts.skipped),
    _OfReport("netmon_probe_stalls_total", "counter", "Times that the prober was late by more than 50 ms.", lambda x: x.counts.stalls),
    _OfReport("netmon_probe_clock_steps_total", "counter", "Times that the clock was set.", lambda x: x.counts.clock_steps),
    _OfReport("netmon_probe_redis_failures_total", "counter", "Times that votes could not be told.", lambda x: x.counts.redis_failures),
)  # fmt: skip
_ROUND_TRIP: Final = Declared(
    "netmon_probe_round_trip_seconds", "histogram", "Round trips of probes that were answered.", _PROBE_LABELS
)
_SENT: Final = Declared(
    "netmon_probe_sent_total", "counter", "Probes sent, also those that could not leave.", _PROBE_LABELS
)
_AGE: Final = Declared(
    "netmon_probe_age_seconds", "gauge", "Since a line was last asked, by any of its probes.", ("line", "vantage")
)
_PROBE_UP: Final = Declared("netmon_probe_up", "gauge", "1 while the vantage of this netmon reports.", ())
_PROBE_REPORT_AGE: Final = Declared("netmon_probe_report_age_seconds", "gauge", "Age of its report.", ())

_VERDICT: Final = (
    _OfVerdict("netmon_verdict_leads", "gauge", "1 while this process judges the lines, 0 while another one does.", lambda x: x.leader),
    _OfVerdict("netmon_verdict_lag_seconds", "gauge", "From a vote that came to the verdict that stands in Redis.", lambda x: x.lag_s),
    _OfVerdict("netmon_verdict_behind", "gauge", "1 while there is more news than can be read at once.", lambda x: int(x.behind)),
    _OfVerdict("netmon_verdict_votes_total", "counter", "Votes of vantages that were read.", lambda x: x.counts.votes),
    _OfVerdict("netmon_verdict_foreign_total", "counter", "Votes of lines or vantages that the region does not know.", lambda x: x.counts.foreign + x.counts.unreadable),
    _OfVerdict("netmon_verdict_redis_errors_total", "counter", "Times that Redis did not answer, or refused.", lambda x: sum(x.counts.redis_errors.values())),
)  # fmt: skip
_VERDICT_UP: Final = Declared(
    "netmon_verdict_up", "gauge", "1 while the process that judges the lines reports and reaches Redis.", ()
)
_VERDICT_AGE: Final = Declared("netmon_verdict_report_age_seconds", "gauge", "Age of its report.", ())
_CHANGES: Final = Declared("netmon_line_changes_total", "counter", "Times that a line came to a state.", ("state",))
_STATES: Final = Declared("netmon_lines", "gauge", "Lines, by state.", ("state",))
_STATE: Final = Declared(
    "netmon_line_state", "gauge", "1 for the state that a line is in, 0 for the others.", ("line", "state")
)
_LINE: Final = (
    _OfLine("netmon_line_one_way", "1 while probes fail, but something still arrives.", lambda x: int(x.one_way)),
    _OfLine("netmon_line_loss_ratio", "Share of the probes of the last window that were lost, by the best of them.", lambda x: x.loss),
    _OfLine("netmon_line_ipdv_seconds", "Mean difference of the delays of neighbouring probes (RFC 3393).", lambda x: x.ipdv_s),
    _OfLine("netmon_line_availability_ratio", "Of the month so far, by ITU-T Y.1540.", lambda x: x.availability),
)  # fmt: skip
_VANTAGE: Final = (
    _OfVantage("netmon_vantage_isolated", "1 while a vantage is cut off itself: its votes do not count.", lambda x: int(x.presence == "isolated")),
    _OfVantage("netmon_vantage_silent", "1 while a vantage says nothing.", lambda x: int(x.presence == "stale")),
    _OfVantage("netmon_vantage_age_seconds", "Since a vantage last spoke.", lambda x: x.age_s),
    _OfVantage("netmon_vantage_lines", "Lines that a vantage asks.", lambda x: x.lines),
)  # fmt: skip

DECLARED: Final = (
    _PROBE_UP,
    _PROBE_REPORT_AGE,
    *(Declared(m.name, m.kind, m.help, ("vantage",)) for m in _REPORT),
    _SENT,
    _AGE,
    _ROUND_TRIP,
    _VERDICT_UP,
    _VERDICT_AGE,
    *(Declared(m.name, m.kind, m.help, ()) for m in _VERDICT),
    _CHANGES,
    _STATES,
    _STATE,
    *(Declared(m.name, m.kind, m.help, ("line",)) for m in _LINE),
    *(Declared(m.name, m.kind, m.help, ("vantage",)) for m in _VANTAGE),
)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Every metric declared here, with its samples."""
    roles = {process.role for process in snapshot.processes}
    probe, verdict = snapshot.probe, snapshot.verdict
    fresh = probe if probe is not None and _is_fresh(probe.unix_ns, snapshot) else None
    yield family(_PROBE_UP, (), [((), int(fresh is not None))] if "probe" in roles else [])
    yield family(_PROBE_REPORT_AGE, (), _age(probe, snapshot))
    yield from _of_probe(fresh, snapshot.unix_ns)
    told = verdict if verdict is not None and _is_fresh(verdict.unix_ns, snapshot) else None
    works = told is not None and told.state in {"leading", "waiting"}
    yield family(_VERDICT_UP, (), [((), int(works))] if "lines" in roles else [])
    yield family(_VERDICT_AGE, (), _age(verdict, snapshot))
    yield from _of_verdict(told)


def _of_probe(report: ProbeReport | None, unix_ns: int) -> Iterator[Metric]:
    name = "" if report is None else report.vantage_id
    for metric in _REPORT:
        yield family(metric, ("vantage",), [] if report is None else [((name,), metric.value(report))])
    lines = () if report is None else report.lines
    targets = [((line.line_id, name, x.reading.label), x) for line in lines for x in line.targets]
    yield family(_SENT, _SENT.labels, [(labels, target.sent) for labels, target in targets])
    asked = ((line.line_id, max((x.asked_unix_ns for x in line.targets), default=0)) for line in lines)
    yield family(_AGE, _AGE.labels, [((line, name), max(unix_ns - at, 0) / 1e9) for line, at in asked if at])
    yield _round_trips(targets, () if report is None else report.buckets_s)


def _round_trips(targets: Sequence[tuple[Sequence[str], TargetReport]], buckets_s: Sequence[float]) -> Metric:
    every = 1 if len(targets) <= FULL_HISTOGRAMS_MAX else _FEW
    # The last of each group, so that the greatest bound is there in any case.
    kept = [(at, str(bound)) for at, bound in enumerate(buckets_s) if (at + 1) % every == 0]
    found = HistogramMetricFamily(_ROUND_TRIP.name, _ROUND_TRIP.help, labels=_ROUND_TRIP.labels)
    for labels, target in targets:
        counts = target.round_trips.counts
        buckets = [*((bound, counts[at]) for at, bound in kept), ("+Inf", counts[-1])]
        found.add_metric(labels, buckets, sum_value=target.round_trips.sum_s)
    return found


def _of_verdict(report: VerdictReport | None) -> Iterator[Metric]:
    for metric in _VERDICT:
        yield family(metric, (), [] if report is None else [((), metric.value(report))])
    changes = {} if report is None else report.counts.changes
    leads = report is not None and report.leader == 1
    told = [((state,), changes.get(state, 0)) for state in LINE_STATES] if report is not None else []
    yield family(_CHANGES, _CHANGES.labels, told)
    states = [((state,), report.states.get(state, 0)) for state in LINE_STATES] if report is not None and leads else []
    yield family(_STATES, _STATES.labels, states)
    lines = sorted(report.lines.items()) if report is not None and leads else []
    in_state = [((name, state), int(line.state == state)) for name, line in lines for state in LINE_STATES]
    yield family(_STATE, _STATE.labels, in_state)
    for of_line in _LINE:
        known = [((name,), value) for name, line in lines if (value := of_line.value(line)) is not None]
        yield family(of_line, ("line",), known)
    vantages = sorted(report.vantages.items()) if report is not None and leads else []
    for of_vantage in _VANTAGE:
        yield family(of_vantage, ("vantage",), [((name,), of_vantage.value(x)) for name, x in vantages])


def _is_fresh(unix_ns: int, snapshot: Snapshot) -> bool:
    return snapshot.unix_ns - unix_ns <= HEARTBEAT_AGE_MAX_NS


def _age(report: ProbeReport | VerdictReport | None, snapshot: Snapshot) -> list[Sample]:
    return [] if report is None else [((), max(snapshot.unix_ns - report.unix_ns, 0) / 1e9)]
