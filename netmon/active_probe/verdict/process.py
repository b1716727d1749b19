"""The verdict process: what it is to lead, what of it outlives a Redis that was away, and what it reports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from netmon.active_probe.settings import VerdictSettings
from netmon.active_probe.verdict.judge import Judge
from netmon.active_probe.verdict.leader import Leader
from netmon.active_probe.verdict.report import REPORT_FILE, Counts, VantageReport, VerdictReport
from netmon.buffer.fenced import holder_name
from netmon.buffer.line_writer import LineWriter
from netmon.errors import UnavailableError
from netmon.leading import RememberingRole, name_file

_NAME: Final = "lines"


class VerdictProcess(RememberingRole[Leader]):
    """One process."""

    def __init__(self, settings: VerdictSettings) -> None:
        """Raises OSError: the folder cannot be written."""
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._settings = settings
        self._counts = Counts()
        self._judge: Judge | None = None
        """What we knew when we last led; in case that nobody else begins his time."""
        self._fence = 0
        """Our number then."""
        self._lines = LineWriter(
            settings.redis,
            holder_name(name_file(directory, _NAME)),
            lease_ms=int(settings.lease_s * 1_000),
            stream_entries_max=settings.stream_entries_max,
        )
        super().__init__(_NAME, directory, REPORT_FILE, self._lines, lease_s=settings.lease_s)

    def _begin_to_lead(self) -> Leader:
        if self._lines.fence > self._fence + 1:
            # Another one has led since. A smaller number than ours: Redis has lost what we wrote, and we know better.
            self._judge = None
        self._fence = self._lines.fence
        leader = Leader(self._settings, self._lines, self._counts, self._judge)
        self._judge = leader.judge
        return leader

    def _forget(self) -> None:
        self._judge = None

    def _count_lead_lost(self) -> None:
        self._counts.lead_lost += 1

    def _count_redis_lost(self, error: UnavailableError) -> None:
        errors = self._counts.redis_errors
        errors[error.reason] = errors.get(error.reason, 0) + 1

    def _now(self) -> VerdictReport:
        report = VerdictReport(
            unix_ns=time.time_ns(), started_unix_ns=self._started_unix_ns, state=self._state, counts=self._counts
        )
        leader = self._leader
        if leader is None:
            return report
        lag_s, leader.lag_s = leader.lag_s, 0.0
        return msgspec.structs.replace(
            report,
            leader=1,
            fence=self._lines.fence,
            lag_s=lag_s,
            behind=leader.is_behind,
            states={str(state): count for state, count in leader.judge.states().items()},
            lines=leader.shown,
            vantages=_vantages(leader),
        )


def _vantages(leader: Leader) -> dict[str, VantageReport]:
    found = {}
    for name, presence, health, age_s in leader.judge.vantages(leader.hearing_ns()):
        told = VantageReport(presence=presence, age_s=round(age_s, 3))
        if health is not None:
            told = VantageReport(
                presence=presence,
                reason=health.reason,
                age_s=told.age_s,
                anchors=health.anchors,
                anchors_answering=health.anchors_answering,
                lag_s=health.lag_s,
                lines=health.lines,
                probes_sent=health.probes_sent,
                local_errors=health.local_errors,
            )
        found[name] = told
    return found
