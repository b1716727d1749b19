"""The alarm worker: what it is to lead, and what it reports.

It holds nothing that Redis does not have. `python -m netmon.role alarms` runs it.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from netmon.alarms.rules.matcher import Matcher
from netmon.alarms.settings import AlarmSettings
from netmon.alarms.worker.intake import EntryError
from netmon.alarms.worker.leader import Leader
from netmon.alarms.worker.report import REPORT_FILE, AlarmReport, AreaReport, Counts
from netmon.buffer.alarm_writer import AlarmWriter
from netmon.buffer.fenced import holder_name
from netmon.inventory.topology import Topology
from netmon.leading import LeadingRole, name_file
from netmon.log import log

NICE: Final = 5
"""Added to the niceness: receiving and decoding come first."""
LEFT_OUT_MAX: Final = 1_000
"""Entries that netmon failed at and leaves out; more of them, and something is wrong with all."""
_NAME: Final = "alarms"


class AlarmRole(LeadingRole[Leader]):
    """One worker."""

    def __init__(self, settings: AlarmSettings) -> None:
        """Raises OSError: the folder cannot be written."""
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._settings = settings
        self._topology = Topology(settings.inventory)
        self._matcher = Matcher(settings.rules, self._topology)
        self._counts = Counts()
        self._left_out: set[tuple[str, bytes]] = set()
        self._alarms = AlarmWriter(
            settings.redis,
            holder_name(name_file(directory, _NAME)),
            lease_ms=int(settings.lease_s * 1_000),
            stream_entries_max=settings.stream_entries_max,
        )
        super().__init__(_NAME, directory, REPORT_FILE, self._alarms)

    def run(self) -> None:
        """Works until `stop`."""
        os.nice(NICE)
        threading.excepthook = _crash
        super().run()

    def _turn(self) -> float:
        try:
            return super()._turn()
        except EntryError as error:
            self._leave_out(error)
            return 0.0

    def _leave_out(self, error: EntryError) -> None:
        """Begins anew from Redis without an entry that netmon failed at."""
        assert len(self._left_out) < LEFT_OUT_MAX, "netmon fails at everything"
        log.error("alarms.entry_failed", entry=str(error), reason=repr(error.__cause__), cure="tell its makers")
        self._left_out.add(error.entry)
        self._drop()

    def _begin_to_lead(self) -> Leader:
        return Leader(
            self._settings,
            self._alarms,
            matcher=self._matcher,
            topology=self._topology,
            counts=self._counts,
            left_out=self._left_out,
            ring=self._bell.ring,
        )

    def _now(self) -> AlarmReport:
        report = AlarmReport(
            unix_ns=time.time_ns(), started_unix_ns=self._started_unix_ns, state=self._state, counts=self._counts
        )
        leader = self._leader
        if leader is None:
            return report
        book, lags = leader.book.counters, leader.lags()
        oldest_ms = min((lag.oldest_unix_ms for lag in lags.values() if lag.entries), default=0)
        return msgspec.structs.replace(
            report,
            fence=self._alarms.fence,
            alarms=len(leader.book.alarms),
            active=dict(book.active),
            flapping=book.flapping,
            shelved=book.shelved,
            roots=book.roots,
            causes=book.causes,
            explained=book.explained,
            refused=book.refused,
            flood=leader.flooding,
            lag_entries={kind: lag.entries for kind, lag in lags.items()},
            oldest_pending_s=max(report.unix_ns / 1e9 - oldest_ms / 1e3, 0.0) if oldest_ms else 0.0,
            areas={
                shown.area: AreaReport(
                    code=self._topology.areas[shown.area].code,
                    posture=shown.posture,
                    notifications=leader.intake.area_totals[shown.area],
                    trap_rate=leader.situation.rates[shown.area],
                )
                for shown in leader.situation.postures
            },
            forecasts=leader.situation.seconds_left(report.unix_ns),
        )


def _crash(args: threading.ExceptHookArgs) -> None:
    """A reader that has died would leave its lane unread for ever: the process goes with it, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)
