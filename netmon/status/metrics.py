"""Every metric of netmon, declared once: name, type, help, labels and where its value comes from.

Names are `netmon_<area>_<what>_<base unit>[_total]`. Labels are bounded by the configuration, by the
region and by closed sets of reasons; no sender's address, OID or community is ever a label. docs and tests read `DECLARED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from netmon import __version__
from netmon.canary.accounts import BOUNDS_MS as CANARY_BOUNDS_MS
from netmon.canary.accounts import WINDOWS_S, Book, Latency
from netmon.status import alarm_metrics, failover_metrics, probe_metrics
from netmon.status.declared import Declared, Kind, Value, family
from netmon.status.health import CanarySample, LaneSample, ProcessSample, Snapshot
from netmon.trap_receiver.ledger import LATENCY_BOUNDS_MS, LaneLedger

LANE_LABELS: Final = ("receiver", "lane", "listener")
PROCESS_LABELS: Final = ("role", "lane")
CANARY_LABELS: Final = ("receiver", "listener", "kind")


class _OfLane(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[LaneSample], Value]


class _OfLaneByLabel(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    label: str
    values: Callable[[LaneLedger], dict[str, int]]


class _OfProcess(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[ProcessSample], Value]


class _OfCanary(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    value: Callable[[Book], Value | None]
    """None: nothing is counted for this kind."""


def _ledger(name: str, kind: Kind, text: str, value: Callable[[LaneLedger], Value]) -> _OfLane:
    return _OfLane(name, kind, text, lambda lane: value(lane.ledger))


_LANE: Final = (
    _ledger("netmon_trap_delivered_total", "counter", "Datagrams that reached the socket.", lambda x: x.delivered),
    _ledger(
        "netmon_trap_kernel_drops_total",
        "counter",
        "Datagrams that the kernel dropped at this socket: queue full or a wrong checksum.",
        lambda x: x.kernel_drops,
    ),
    _ledger("netmon_trap_captured_total", "counter", "Datagrams written to the journal.", lambda x: x.captured),
    _ledger("netmon_trap_captured_bytes_total", "counter", "UDP payload written to the journal.", lambda x: x.captured_bytes),
    _ledger("netmon_trap_buffered_total", "counter", "Notifications that Redis acknowledged.", lambda x: x.buffered),
    _ledger("netmon_trap_express_total", "counter", "Notifications in the express stream whose turn has come.", lambda x: x.express),
    _ledger("netmon_trap_express_sent_total", "counter", "Notifications in the express stream.", lambda x: x.express_sent),
    _ledger("netmon_trap_express_refused_total", "counter", "Notifications worth going first that had to keep their turn.", lambda x: x.express_refused),
    _ledger("netmon_trap_express_skipped_total", "counter", "Datagrams that came too fast to be looked at ahead of their turn.", lambda x: x.express_skipped),
    _ledger("netmon_trap_shedding", "gauge", "1 while decode is far behind and sorts what comes.", lambda x: int(x.shedding)),
    _ledger("netmon_trap_sheddings_total", "counter", "Times that decode was far behind.", lambda x: x.sheddings),
    _ledger("netmon_trap_replayed_total", "counter", "Entries that netmon replay has put into the late stream.", lambda x: x.replayed),
    _ledger("netmon_trap_in_flight", "gauge", "Datagrams in the journal that decode has not come to.", lambda x: x.in_flight),
    _ledger(
        "netmon_trap_lost_total",
        "counter",
        "Datagrams gone from the journal before decode came to them: a damaged or deleted segment.",
        lambda x: x.lost,
    ),
    _ledger(
        "netmon_trap_ledger_balanced",
        "gauge",
        "1 when captured = buffered + express + rejected + parked + control + in flight.",
        lambda x: int(x.balanced),
    ),
    _ledger(
        "netmon_trap_ledger_difference", "gauge", "Captured less all that is accounted for; 0.", lambda x: x.difference
    ),
    _ledger("netmon_trap_recovered_total", "counter", "Datagrams that a killed capture had taken and its successor wrote.", lambda x: x.recovered),
    _ledger("netmon_trap_duplicates_total", "counter", "Retransmitted INFORMs that were recognised.", lambda x: x.duplicates),
    _ledger("netmon_trap_flagged_total", "counter", "Notifications that broke a rule and were accepted.", lambda x: x.flagged),
    _ledger("netmon_trap_socket_queue_bytes", "gauge", "Kernel memory of datagrams that wait in the socket.", lambda x: x.socket_queue_bytes),
    _OfLane("netmon_trap_receive_buffer_bytes", "gauge", "Receive buffer that the kernel granted.", lambda x: x.granted_bytes),
    _OfLane(
        "netmon_trap_receive_buffer_wanted_bytes",
        "gauge",
        "Receive buffer that the configuration asks for.",
        lambda x: x.settings.receive_buffer_bytes,
    ),
    _ledger("netmon_journal_bytes", "gauge", "Disk that the journal uses.", lambda x: x.journal_bytes),
    _OfLane("netmon_journal_max_bytes", "gauge", "Disk that the journal may use.", lambda x: x.settings.journal_bytes_max),
    _ledger("netmon_journal_segments", "gauge", "Files of the journal.", lambda x: x.journal_segments),
    _ledger("netmon_journal_segments_deleted_total", "counter", "Files deleted by age or size.", lambda x: x.segments_deleted),
    _ledger(
        "netmon_journal_oldest_timestamp_seconds",
        "gauge",
        "Receive time of the oldest datagram kept.",
        lambda x: x.journal_oldest_unix_ns / 1e9,
    ),
    _ledger("netmon_journal_durable_position", "gauge", "Last position that is on disk.", lambda x: x.durable),
    _ledger("netmon_journal_held", "gauge", "1 while capture does not read because the journal cannot grow.", lambda x: int(x.held)),
    _ledger("netmon_journal_holds_total", "counter", "Times that the journal could not grow.", lambda x: x.held_times),
    _ledger("netmon_journal_held_seconds_total", "counter", "Time that the journal could not grow.", lambda x: x.held_seconds),
    _ledger("netmon_journal_write_failures_total", "counter", "Writes that failed.", lambda x: x.write_failures),
    _ledger("netmon_trap_torn_total", "counter", "Captured, and taken back by a power cut before they were durable.", lambda x: x.torn),
    _ledger("netmon_journal_syncs_total", "counter", "Calls of fdatasync.", lambda x: x.syncs),
    _ledger("netmon_journal_sync_seconds_total", "counter", "Time spent in fdatasync.", lambda x: x.sync_seconds),
    _ledger("netmon_journal_sync_failures_total", "counter", "Calls of fdatasync that failed.", lambda x: x.sync_failures),
    _ledger("netmon_inform_answered_total", "counter", "INFORMs answered.", lambda x: x.informs_answered),
    _ledger("netmon_inform_withheld_total", "counter", "INFORMs not answered, because they were not stored.", lambda x: x.informs_withheld),
    _ledger("netmon_inform_send_failures_total", "counter", "Answers that the kernel refused to send.", lambda x: x.inform_send_failures),
    _ledger("netmon_inform_reports_total", "counter", "SNMPv3 Reports sent: our engine ID and time, or why not.", lambda x: x.reports_sent),
    _ledger("netmon_inform_reports_withheld_total", "counter", "SNMPv3 Reports beyond the safe rate.", lambda x: x.reports_withheld),
    _ledger("netmon_redis_up", "gauge", "1 when the lane's decode reaches Redis.", lambda x: int(x.redis_up)),
    _ledger("netmon_redis_stream_memory_bytes", "gauge", "Redis memory of the lane's streams.", lambda x: x.stream_bytes),
    _OfLane(
        "netmon_redis_stream_memory_max_bytes",
        "gauge",
        "Redis memory that the lane's streams may use.",
        lambda x: x.settings.redis.stream_memory_bytes_max,
    ),
    _ledger("netmon_redis_paused", "gauge", "1 while decode waits for a consumer group that lags.", lambda x: int(x.paused)),
    _ledger("netmon_redis_refilled_total", "counter", "Entries sent again because Redis had lost them.", lambda x: x.refilled),
    _ledger("netmon_redis_trimmed_total", "counter", "Entries trimmed to stay in the memory budget.", lambda x: x.trimmed),
    _ledger("netmon_redis_rebuilds_total", "counter", "Streams found changed by others and made anew.", lambda x: x.rebuilds),
)  # fmt: skip

_LANE_BY_LABEL: Final = (
    _OfLaneByLabel(
        "netmon_trap_rejected_total", "counter", "Datagrams in the rejects stream.", "reason", lambda x: x.rejected
    ),
    _OfLaneByLabel("netmon_trap_parked_total", "counter", "Datagrams kept undecoded.", "reason", lambda x: x.parked),
    _OfLaneByLabel(
        "netmon_trap_control_total", "counter", "Datagrams that are no notification.", "reason", lambda x: x.control
    ),
    _OfLaneByLabel("netmon_trap_waiting", "gauge", "Of the parked, those that still wait in the journal.", "reason", lambda x: x.waiting),
    _OfLaneByLabel("netmon_trap_late_total", "counter", "Of the parked, those decoded since, in the late stream.", "reason", lambda x: x.late),
    _OfLaneByLabel(
        "netmon_trap_late_rejected_total", "counter", "Of the parked, those rejected since, in the late stream.", "reason", lambda x: x.late_rejected
    ),
    _OfLaneByLabel("netmon_trap_expired_total", "counter", "Of the parked, those that the journal let go of unread.", "reason", lambda x: x.expired),
    _OfLaneByLabel(
        "netmon_redis_failures_total", "counter", "Batches that Redis did not take.", "reason", lambda x: x.unavailable
    ),
    _OfLaneByLabel(
        "netmon_redis_stream_entries",
        "gauge",
        "Entries in the lane's streams.",
        "stream",
        lambda x: {
            "traps": x.traps_entries,
            "rejects": x.rejects_entries,
            "express": x.express_entries,
            "late": x.late_entries,
        },
    ),
)  # fmt: skip

_PROCESS: Final = (
    _OfProcess("netmon_process_up", "gauge", "1 while the process runs.", lambda x: int(x.pid is not None)),
    _OfProcess("netmon_process_restarts_total", "counter", "Restarts that nobody asked for.", lambda x: x.restarts),
    _OfProcess("netmon_process_resident_memory_bytes", "gauge", "Resident memory.", lambda x: x.resident_bytes),
    _OfProcess("netmon_process_cpu_seconds_total", "counter", "CPU time, user and system.", lambda x: x.cpu_seconds),
)

_CANARY: Final = (
    _OfCanary("netmon_canary_sent_total", "counter", "Canaries sent to our own listener.", lambda x: x.sent),
    _OfCanary("netmon_canary_stored_total", "counter", "Canaries seen in a stream in time.", lambda x: x.stored),
    _OfCanary("netmon_canary_answered_total", "counter", "INFORMs among the canaries that were answered.", lambda x: x.answered if x.answered_latency else None),
    _OfCanary("netmon_canary_lost_total", "counter", "Canaries not seen in a stream in time.", lambda x: x.lost),
    _OfCanary("netmon_canary_late_total", "counter", "Of the lost canaries, those that came after all.", lambda x: x.late),
    _OfCanary("netmon_canary_unknown_total", "counter", "Canaries under way when the canary was stopped.", lambda x: x.unknown),
    _OfCanary(
        "netmon_canary_loss_ratio",
        "gauge",
        "Share of the canaries of the last 5 minutes that is missing.",
        lambda x: x.missing[WINDOWS_S[-1]] / x.due[WINDOWS_S[-1]] if x.due[WINDOWS_S[-1]] else 0.0,
    ),
)  # fmt: skip
_CANARY_LATENCY: Final = (
    Declared("netmon_canary_stored_latency_seconds", "histogram", "From sent to seen in a stream.", CANARY_LABELS),
    Declared("netmon_canary_answered_latency_seconds", "histogram", "From sent to answered.", CANARY_LABELS),
)
_LATENCY: Final = Declared(
    "netmon_trap_store_latency_seconds", "histogram", "From the socket to acknowledged by Redis.", LANE_LABELS
)
_HEARTBEAT: Final = Declared(
    "netmon_process_heartbeat_timestamp_seconds", "gauge", "When the role last published its counters.", PROCESS_LABELS
)
_RELOADS: Final = Declared(
    "netmon_supervisor_reloads_total", "counter", "Configurations read on SIGHUP, by result.", ("result",)
)
_BUILD: Final = Declared("netmon_build_info", "gauge", "Always 1; the label says which netmon runs.", ("version",))

DECLARED: Final[tuple[Declared, ...]] = (
    *(Declared(m.name, m.kind, m.help, LANE_LABELS) for m in _LANE),
    *(Declared(m.name, m.kind, m.help, (*LANE_LABELS, m.label)) for m in _LANE_BY_LABEL),
    *(Declared(m.name, m.kind, m.help, PROCESS_LABELS) for m in _PROCESS),
    *(Declared(m.name, m.kind, m.help, CANARY_LABELS) for m in _CANARY),
    *_CANARY_LATENCY,
    _LATENCY,
    _HEARTBEAT,
    _RELOADS,
    *alarm_metrics.DECLARED,
    *probe_metrics.DECLARED,
    *failover_metrics.DECLARED,
    _BUILD,
)


def registry(take: Callable[[], Snapshot]) -> CollectorRegistry:
    """A registry that takes a fresh snapshot for every scrape."""
    found = CollectorRegistry(auto_describe=False)
    found.register(_SnapshotCollector(take))
    return found


class _SnapshotCollector(Collector):
    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take

    def collect(self) -> Iterable[Metric]:
        return families(self._take())


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Every declared metric with its samples, in the order of declaration."""
    for of_lane in _LANE:
        yield family(of_lane, LANE_LABELS, [(_lane_values(x), of_lane.value(x)) for x in snapshot.lanes])
    for split in _LANE_BY_LABEL:
        samples = [
            ((*_lane_values(lane), word), value)
            for lane in snapshot.lanes
            for word, value in split.values(lane.ledger).items()
        ]
        yield family(split, (*LANE_LABELS, split.label), samples)
    for of_process in _PROCESS:
        yield family(
            of_process, PROCESS_LABELS, [(_process_values(x), of_process.value(x)) for x in snapshot.processes]
        )
    yield from _canary(snapshot.canaries)
    yield _latency(snapshot.lanes)
    yield family(_HEARTBEAT, PROCESS_LABELS, list(_heartbeats(snapshot.lanes)))
    reloads = [(("applied",), snapshot.reloads_applied), (("refused",), snapshot.reloads_refused)]
    yield family(_RELOADS, _RELOADS.labels, reloads)
    yield from alarm_metrics.families(snapshot)
    yield from probe_metrics.families(snapshot)
    yield from failover_metrics.families(snapshot)
    yield family(_BUILD, _BUILD.labels, [((__version__,), 1)])


def _latency(lanes: Sequence[LaneSample]) -> Metric:
    found = HistogramMetricFamily(_LATENCY.name, _LATENCY.help, labels=_LATENCY.labels)
    for lane in lanes:
        found.add_metric(
            _lane_values(lane),
            _cumulative(lane.ledger.latency_counts, LATENCY_BOUNDS_MS),
            sum_value=lane.ledger.latency_sum_seconds,
        )
    return found


def _canary(canaries: Sequence[CanarySample]) -> Iterator[Metric]:
    books = [((x.receiver, x.listen, kind), book) for x in canaries for kind, book in x.books.kinds.items()]
    for metric in _CANARY:
        samples = [(labels, value) for labels, book in books if (value := metric.value(book)) is not None]
        yield family(metric, CANARY_LABELS, samples)
    stored, answered = (HistogramMetricFamily(x.name, x.help, labels=x.labels) for x in _CANARY_LATENCY)
    for labels, book in books:
        _add_latency(stored, labels, book.stored_latency)
        if book.answered_latency is not None:
            _add_latency(answered, labels, book.answered_latency)
    yield from (stored, answered)


def _add_latency(histogram: HistogramMetricFamily, labels: Sequence[str], found: Latency) -> None:
    histogram.add_metric(labels, _cumulative(found.counts, CANARY_BOUNDS_MS), sum_value=found.sum_seconds)


def _cumulative(counts: Sequence[int], bounds_ms: Sequence[int]) -> list[tuple[str, float]]:
    bounds = [*(str(bound / 1_000) for bound in bounds_ms), "+Inf"]
    total = 0
    found: list[tuple[str, float]] = []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        found.append((bound, total))
    return found


def _heartbeats(lanes: Sequence[LaneSample]) -> Iterator[tuple[tuple[str, str], float]]:
    for lane in lanes:
        number = str(lane.settings.lane)
        yield ("capture", number), lane.ledger.capture_heartbeat_unix_ns / 1e9
        yield ("commit", number), lane.ledger.commit_heartbeat_unix_ns / 1e9
        yield ("decode", number), lane.ledger.decode_heartbeat_unix_ns / 1e9
        yield ("late", number), lane.ledger.late_heartbeat_unix_ns / 1e9


def _lane_values(lane: LaneSample) -> tuple[str, str, str]:
    return (lane.settings.receiver, str(lane.settings.lane), lane.settings.listen)


def _process_values(process: ProcessSample) -> tuple[str, str]:
    return (process.role, "" if process.lane is None else str(process.lane))
