"""What the supervisor knows about its process tree at one moment, and what of it is not well.

Pure: `netmon.supervisor.supervisor` takes the snapshot, `netmon.status.metrics` and `netmon.status.http` show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from netmon.active_probe.vantage.report import LineReport, ProbeReport
from netmon.active_probe.verdict.report import VerdictReport
from netmon.alarms.worker.report import AlarmReport
from netmon.canary.accounts import WINDOWS_S, CanaryBooks
from netmon.failover.controller.report import ControllerReport
from netmon.model import LaneSettings
from netmon.northbound.report import NorthboundReport
from netmon.trap_receiver.ledger import SHED, LaneLedger

HEARTBEAT_AGE_MAX_NS: Final = 15_000_000_000
"""Roles publish their counters at least every few seconds, also when nothing arrives."""

_NAMED_MAX: Final = 3
"""Lines that a cure names."""

FAILOVER: Final = "failover"
"""Role of the controller of failover."""
ALARM_SERVICE: Final = frozenset({"alarms", "api", "northbound", "rehearsal", "lines", "probe", FAILOVER})
"""Processes without which traps are taken and kept as ever; those of prober and failover among them."""
STUCK_INTERVALS: Final = 3
"""A line that has not been asked for so many of its intervals ..."""
STUCK_S: Final = 15.0
"""... and for so long is not asked any more; the report may be some seconds old."""
ALARM_LAG_MAX_S: Final = 10.0
"""Alarms that are older than this when they are seen are late."""


class ProcessSample(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the tree."""

    role: str
    """`supervisor`, `capture`, `commit`, `decode` or `valkey`."""
    lane: int | None
    """None for what serves all lanes."""
    pid: int | None
    """None while it is not running."""
    restarts: int
    """Starts that nobody asked for."""
    resident_bytes: int
    cpu_seconds: float


class LaneSample(msgspec.Struct, frozen=True, kw_only=True):
    """One lane."""

    settings: LaneSettings
    ledger: LaneLedger
    granted_bytes: int
    """Receive buffer that the kernel gave; compare with `settings.receive_buffer_bytes`."""


class CanarySample(msgspec.Struct, frozen=True, kw_only=True):
    """The canaries to one listener."""

    receiver: str
    listen: str
    books: CanaryBooks


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree."""

    unix_ns: int
    """When it was taken."""
    lanes: tuple[LaneSample, ...]
    processes: tuple[ProcessSample, ...]
    embedded: Literal["down", "starting", "loading", "up", "silent"] | None
    """State of the embedded Valkey; None when the operator's Redis is used."""
    reloads_applied: int
    reloads_refused: int
    canaries: tuple[CanarySample, ...] = ()
    """A sample for each listener; empty while the canary is switched off."""
    alarms: AlarmReport | None = None
    """What the alarm worker last told; None while it is switched off, or has told nothing yet."""
    northbound: NorthboundReport | None = None
    """The same of the northbound process."""
    probe: ProbeReport | None = None
    """What the vantage of this netmon last told."""
    verdict: VerdictReport | None = None
    """The same of the process that judges the lines."""
    failover: ControllerReport | None = None
    """The same of the controller of failover."""
    services_refused: tuple[str, ...] = ()
    """Processes of the alarm service whose files are wrong: they go on as before, or do not run."""


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition of being ready."""

    name: str
    ok: bool
    state: str
    """What was found, in a few words."""
    cure: str | None = None
    """What a person can do about it; None when it is well."""
    advisory: bool = False
    """Told, and no condition: traps are taken and kept all the same, so nobody should send them elsewhere."""


def checks(snapshot: Snapshot) -> list[Check]:
    """Everything that /readyz asks about; netmon is ready when all but advisory ones are ok. Roles first, then lane by lane."""
    found = [_process_check(process) for process in snapshot.processes]
    for lane in snapshot.lanes:
        found += _lane_checks(lane, snapshot)
    found += [_canary_check(canary, snapshot.unix_ns) for canary in snapshot.canaries]
    found += _alarm_checks(snapshot)
    found += _probe_checks(snapshot)
    found += _verdict_checks(snapshot)
    found += _failover_checks(snapshot)
    return found


def is_ready(snapshot: Snapshot, found: list[Check]) -> bool:
    """Whether netmon takes and keeps traps."""
    return bool(snapshot.lanes) and all(check.ok or check.advisory for check in found)


def _process_check(process: ProcessSample) -> Check:
    name = f"process.{process.role}" if process.lane is None else f"lane-{process.lane}.process.{process.role}"
    advisory = process.role in ALARM_SERVICE
    if process.pid is not None:
        return Check(name, True, "running", advisory=advisory)
    cure = "the supervisor restarts it with back-off; its log line supervisor.role_exited says why it ended"
    return Check(name, False, f"not running, {process.restarts} restarts", cure, advisory)


def _lane_checks(lane: LaneSample, snapshot: Snapshot) -> Iterator[Check]:
    prefix = f"lane-{lane.settings.lane}"
    yield from _heartbeat_checks(prefix, lane.ledger, snapshot.unix_ns)
    yield _redis_check(prefix, lane, snapshot.embedded)
    yield _journal_check(prefix, lane)
    yield Check(f"{prefix}.order", True, _order(lane.ledger))


def _order(ledger: LaneLedger) -> str:
    """Whether traps come in their turn. Shedding is degraded, and ready: everything is taken, and what is new goes first."""
    if ledger.shedding:
        return f"shedding: {ledger.in_flight} behind; what is new goes first, who babbles waits"
    waiting = ledger.waiting[SHED]
    return f"in turn; {waiting} shed in a storm are being decoded late" if waiting > 0 else "in turn"


def _heartbeat_checks(prefix: str, ledger: LaneLedger, unix_ns: int) -> Iterator[Check]:
    beats = {
        "capture": ledger.capture_heartbeat_unix_ns,
        "commit": ledger.commit_heartbeat_unix_ns,
        "decode": ledger.decode_heartbeat_unix_ns,
    }
    for role, beat in beats.items():
        age_ns = unix_ns - beat
        if beat and age_ns <= HEARTBEAT_AGE_MAX_NS:
            yield Check(f"{prefix}.heartbeat.{role}", True, "fresh")
        else:
            state = f"{age_ns // 1_000_000_000} s old" if beat else "none yet"
            cure = "the process starts, is stopped (SIGSTOP), or waits for a disk; nothing is lost that reached the journal"
            yield Check(f"{prefix}.heartbeat.{role}", False, state, cure)


def _redis_check(prefix: str, lane: LaneSample, embedded: str | None) -> Check:
    # Decode learns that Redis is away from its next command; the embedded server's state is known sooner.
    if lane.ledger.redis_up and embedded in {None, "up"}:
        return Check(f"{prefix}.redis", True, "paused for a lagging group" if lane.ledger.paused else "reachable")
    if embedded is None:
        cure = "look after the Redis that redis.url names; traps wait in the journal, in order"
    else:
        cure = f"the embedded Valkey is {embedded}; its log is in data_dir/valkey; traps wait in the journal, in order"
    return Check(f"{prefix}.redis", False, "unreachable", cure)


def _journal_check(prefix: str, lane: LaneSample) -> Check:
    if not lane.ledger.held:
        return Check(f"{prefix}.journal", True, "writable")
    cure = f"make room on the disk of {lane.settings.directory}, raise journal.size_bytes_max, or get Redis going"
    return Check(f"{prefix}.journal", False, "held: disk or quota full, the kernel's queue fills", cure)


def _canary_check(canary: CanarySample, unix_ns: int) -> Check:
    name = f"canary.{canary.listen}"
    beat = canary.books.heartbeat_unix_ns
    if unix_ns - beat > HEARTBEAT_AGE_MAX_NS:
        # It has nothing to tell yet, and that is told by the process's own check.
        return Check(name, True, f"silent for {(unix_ns - beat) // 1_000_000_000} s" if beat else "none sent yet")
    due = sum(book.due[WINDOWS_S[0]] for book in canary.books.kinds.values())
    missing = sum(book.missing[WINDOWS_S[0]] for book in canary.books.kinds.values())
    if not missing:
        return Check(name, True, f"{due} of {due} stored in the last minute")
    cure = "decode is behind, or canaries are lost as traps are: look at kernel drops, in flight and rejected in `netmon ledger`"
    return Check(name, False, f"{missing} of {due} not stored in the last minute", cure)


def _alarm_checks(snapshot: Snapshot) -> Iterator[Check]:
    """Advisory: a receiver whose alarms lag still takes every trap, and the alarms catch up."""
    for name in snapshot.services_refused:
        cure = "netmon check says what is wrong in the files that it reads; correct it, and send SIGHUP"
        yield Check(
            f"{name}.settings", False, "refused; what was in force before goes on, if there was anything", cure, True
        )
    report = snapshot.alarms
    if report is None:
        return
    yield _leading_check(
        "alarms.worker",
        report,
        snapshot.unix_ns,
        silent="nothing is lost, alarms come when it goes on",
        unreachable="alarms go on where they stand",
    )
    lag = sum(report.lag_entries.values())
    if report.oldest_pending_s <= ALARM_LAG_MAX_S:
        yield Check("alarms.lag", True, f"{lag} entries", advisory=True)
    else:
        cure = "after a storm or a standstill it catches up by itself; if not, look for a processor that is busy with something else"
        yield Check("alarms.lag", False, f"{lag} entries, the oldest {report.oldest_pending_s:.0f} s old", cure, True)


def _leading_check(
    name: str, report: AlarmReport | VerdictReport | ControllerReport, unix_ns: int, *, silent: str, unreachable: str
) -> Check:
    """How a process is of which one leads; `silent` and `unreachable` say what that means for its work."""
    age_ns = unix_ns - report.unix_ns
    if age_ns > HEARTBEAT_AGE_MAX_NS:
        cure = f"the process starts, is stopped (SIGSTOP), or waits; {silent}"
        return Check(name, False, f"silent for {age_ns // 1_000_000_000} s", cure, True)
    if report.state == "unreachable":
        cure = f"look after the Redis that redis.url names; {unreachable}"
        return Check(name, False, "Redis is unreachable", cure, True)
    return Check(name, True, report.state, advisory=True)


def stuck_lines(report: ProbeReport) -> list[str]:
    """IDs of lines that the vantage did not ask when it was their turn; what it says of them is old."""
    return [line.line_id for line in report.lines if _is_stuck(line, report.unix_ns)]


def _is_stuck(line: LineReport, unix_ns: int) -> bool:
    asked_unix_ns = max((target.asked_unix_ns for target in line.targets), default=0) or line.since_unix_ns
    interval_s = max((target.interval_s for target in line.targets), default=0.0)
    return (unix_ns - asked_unix_ns) / 1e9 > STUCK_INTERVALS * interval_s + STUCK_S


def _probe_checks(snapshot: Snapshot) -> Iterator[Check]:
    """Advisory, as those of the alarms: what asks over lines is apart from what takes traps."""
    report = snapshot.probe
    if report is None:
        return
    age_ns, health = snapshot.unix_ns - report.unix_ns, report.health
    if age_ns > HEARTBEAT_AGE_MAX_NS:
        cure = "the process starts, is stopped (SIGSTOP), or waits; lines that only it asks become unknown"
        yield Check("probe.vantage", False, f"silent for {age_ns // 1_000_000_000} s", cure, True)
        return
    if health.state == "isolated":
        cure = f"look at the uplink of vantage {report.vantage_id}: {health.reason}; its votes do not count until then"
        yield Check("probe.vantage", False, "isolated", cure, True)
    else:
        yield Check("probe.vantage", True, f"asks over {len(report.lines)} lines", advisory=True)
    stuck = stuck_lines(report)
    if stuck:
        cure = (
            f"{', '.join(stuck[:_NAMED_MAX])} and others: the prober is too busy, or a service hangs; its log has why"
        )
        yield Check("probe.stuck", False, f"{len(stuck)} lines are not asked any more", cure, True)


def _verdict_checks(snapshot: Snapshot) -> Iterator[Check]:
    report = snapshot.verdict
    if report is None:
        return
    yield _leading_check(
        "lines.verdict",
        report,
        snapshot.unix_ns,
        silent="nobody judges the lines unless another netmon does",
        unreachable="the vantages go on asking, and what they say then is judged",
    )
    if report.leader:
        unknown = report.states.get("unknown", 0)
        state = ", ".join(f"{count} {name}" for name, count in report.states.items() if count)
        why = "netmon lines says why: no vantage is live that asks over them"
        yield Check("lines.known", not unknown, state or "none judged yet", why if unknown else None, True)


def _failover_checks(snapshot: Snapshot) -> Iterator[Check]:
    """Advisory: while nobody decides, traffic stays where it is, and gateways with an agent leave dead lines by themselves."""
    report = snapshot.failover
    if report is None:
        return
    alone = "gateways with an agent leave dead lines by themselves"
    yield _leading_check(
        "failover.controller", report, snapshot.unix_ns, silent=f"nobody decides; {alone}", unreachable=alone
    )
    if not report.leader:
        return
    if report.frozen:
        cure = "find out why, then netmon failover unfreeze; forced switches are done all the same"
        yield Check("failover.frozen", False, f"frozen by {report.frozen_by}: nothing moves by itself", cure, True)
    stuck = sum(report.phases.get("NO_BACKUP", ()))
    cure = "netmon failover status --phase NO_BACKUP names them, netmon failover explain says why no line will do"
    yield Check("failover.backups", not stuck, f"groups with nowhere to go: {stuck}", cure if stuck else None, True)
    silent = report.gateways_silent
    why = "netmon failover status --gateway names them; look at the broker, and at netmon agent there"
    told = f"silent: {silent} of {report.gateways_total}"
    yield Check("failover.gateways", not silent, told, why if silent else None, True)
    down = [f"{name}: {way.why or 'not tried yet'}" for name, way in report.ways.items() if not way.up]
    cure = "orders wait; gateways with an agent leave dead lines by themselves. Look at the broker, or call the carrier"
    if report.ways:
        yield Check("failover.ways", not down, "; ".join(down) or ", ".join(report.ways), cure if down else None, True)
