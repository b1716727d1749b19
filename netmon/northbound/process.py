"""The northbound process: follows the alarms, runs every sink and the feed of telegrams, and reports once a second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from netmon.alarms.model import Command
from netmon.alarms.posture.model import Bulletin
from netmon.buffer.alarm_store import AlarmView
from netmon.errors import UnavailableError, disk_cure
from netmon.log import limited, log
from netmon.northbound.follow import Follower
from netmon.northbound.report import REPORT_FILE, NorthboundReport
from netmon.northbound.settings import NorthboundSettings
from netmon.northbound.sinks import configured

_REPORT_S: Final = 1.0
_RETRY_MIN_S: Final = 0.5
_RETRY_MAX_S: Final = 10.0


class Northbound:
    """Everything that the settings want."""

    def __init__(self, settings: NorthboundSettings) -> None:
        """Prepares; needs a running event loop. Raises OSError: the folder for the report cannot be written."""
        self._settings = settings
        self._folder = Path(settings.directory)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._started_unix_ns = time.time_ns()
        self._wishes = AlarmView(settings.redis)
        self._sinks = configured(settings, self._acknowledge)
        self._follower = Follower(AlarmView(settings.redis), self._sinks.values())

    async def run(self) -> None:
        """Works until cancelled."""
        log.info("northbound.run_started", sinks=sorted(self._sinks), feed=self._settings.jma is not None)
        self._report()
        if self._sinks:
            self._follower.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, sink in self._sinks.items():
                    tasks.create_task(sink.run(), name=f"sink.{name}")
                if self._settings.jma is not None:
                    from netmon.jma.feed import run as run_feed  # noqa: PLC0415 - XML is for those who have a feed

                    tasks.create_task(run_feed(self._settings.jma, self._put_bulletin), name="jma")
                tasks.create_task(self._report_again(), name="report")
        finally:
            self._follower.stop()

    # --- What it asks of the alarm worker.

    def _acknowledge(self, commands: Sequence[Command]) -> None:
        """In a thread. A silence is looked at again, so what Redis did not take now, it gets then."""
        with contextlib.suppress(UnavailableError):
            for command in commands:
                self._wishes.put(command)
                log.info("northbound.silence_acknowledged", alarm=command.alarm_id, by=command.by)

    async def _put_bulletin(self, bulletin: Bulletin) -> None:
        """Until Redis has it: a telegram is read once only."""
        retry_s = _RETRY_MIN_S
        while True:
            try:
                await asyncio.to_thread(self._wishes.put_bulletin, bulletin)
            except UnavailableError as error:
                limited.warning("northbound.bulletin_delayed", reason=error.reason, detail=error.detail)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _RETRY_MAX_S)
            else:
                return

    # --- What it tells.

    async def _report_again(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            self._report()

    def _report(self) -> None:
        report = NorthboundReport(
            unix_ns=time.time_ns(),
            started_unix_ns=self._started_unix_ns,
            following=self._follower.following,
            sinks={name: sink.report() for name, sink in self._sinks.items()},
        )
        fresh = self._folder / f"{REPORT_FILE}.new"
        try:
            fresh.write_bytes(msgspec.json.encode(report))
            fresh.replace(self._folder / REPORT_FILE)
        except OSError as error:
            limited.warning("northbound.report_refused", reason=error.strerror, cure=disk_cure(error))
