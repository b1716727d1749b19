"""The processes beside the lanes as the supervisor holds them: alarm worker, API, northbound, those of the prober, failover.

Receiving comes first. A region or rules that cannot be used, or a process that ends again and again, keeps no lane from its work:
it is told in the log and in /readyz, and what ran before goes on.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from netmon.active_probe.vantage import report as probe_report
from netmon.active_probe.vantage.report import ProbeReport
from netmon.active_probe.verdict import report as verdict_report
from netmon.active_probe.verdict.report import VerdictReport
from netmon.alarms.worker import report as alarms_report
from netmon.alarms.worker.report import AlarmReport
from netmon.buffer.alarm_reader import destroy_groups
from netmon.config import Config, redis_settings
from netmon.config.alarm_service import alarm_settings, receivers_of
from netmon.config.api import api_settings
from netmon.config.failover import controller_settings
from netmon.config.northbound import northbound_settings
from netmon.config.probe import rehearsal_settings, vantage_settings, verdict_settings
from netmon.errors import ConfigError, UnavailableError
from netmon.failover.controller import report as failover_report
from netmon.failover.controller.report import ControllerReport
from netmon.log import limited, log
from netmon.model import RedisSettings
from netmon.northbound import report as northbound_report
from netmon.northbound.report import NorthboundReport
from netmon.supervisor.child import Child
from netmon.supervisor.lane import settings_fd

_Report = TypeVar("_Report", AlarmReport, ControllerReport, NorthboundReport, ProbeReport, VerdictReport)


class _Wanted(Protocol):
    """Gives the settings that a process is told, None when the configuration does not want it. Raises ConfigError."""

    def __call__(self, config: Config, *, redis_url: str) -> msgspec.Struct | None: ...


def _alarms(config: Config, *, redis_url: str) -> msgspec.Struct | None:
    return alarm_settings(config, redis_url=redis_url) if config.alarms.enabled else None


_SERVICES: Final[dict[str, tuple[tuple[str, ...], _Wanted]]] = {
    "alarms": (("netmon.role", "alarms"), _alarms),
    "api": (("netmon.api",), api_settings),
    "northbound": (("netmon.northbound",), northbound_settings),
    "rehearsal": (("netmon.active_probe.rehearsal",), rehearsal_settings),
    "lines": (("netmon.active_probe.verdict",), verdict_settings),
    "failover": (("netmon.failover.controller",), controller_settings),
    "probe": (("netmon.active_probe.vantage",), vantage_settings),
}
"""Name to module with its arguments, and what it is told. A new process of this kind is a line here."""
_ASKS: Final = "probe"
"""Stops before the others: what answers in a rehearsal must not be gone while it is still asked."""

_GIVE_UP_RETRY_S: Final = 5.0


class Keeper:
    """Runs one process while it is wanted, and again when it is to know something else.

    Attributes:
        child: The process; None while it is not wanted.
    """

    def __init__(
        self,
        name: str,
        module: Sequence[str],
        run: Callable[[Child], None],
        inherit: Callable[[], Sequence[int]],
    ) -> None:
        """Prepares.

        Args:
            name: For logs and metrics.
            module: What follows `python -m`.
            run: Keeps a child running until it is stopped.
            inherit: File descriptors that it keeps open and does not use.
        """
        self.child: Child | None = None
        self._name = name
        self._module = tuple(module)
        self._run = run
        self._inherit = inherit
        self._settings: msgspec.Struct | None = None

    async def follow(self, settings: msgspec.Struct | None, grace_s: float) -> None:
        """Make the process what is wanted of it: running, running with other settings, or not (None)."""
        if settings == self._settings:
            return
        self._settings = settings
        if settings is None:
            await self.stop(grace_s)
        elif self.child is None:
            self.child = Child(self._name, self._spawn)
            self._run(self.child)
        else:
            await self.child.restart(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Stop it, if it runs."""
        if self.child is not None:
            await self.child.stop(grace_s)
            self.child = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self._settings is not None, "not wanted"
        stdin = settings_fd(self._settings)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", *self._module, "--parent-pid", str(os.getpid())],
                stdin=stdin,
                pass_fds=tuple(self._inherit()),
                process_group=0,  # Ctrl-C at a terminal is for the supervisor, which stops all in order
            )
        finally:
            os.close(stdin)


class AlarmServiceKeeper:
    """The processes of the alarm service.

    Attributes:
        refused: Name of a process to why its settings could not be made: it goes on as before, or does not run.
    """

    def __init__(self, data_dir: Path, run: Callable[[Child], None], inherit: Callable[[], Sequence[int]]) -> None:
        """`data_dir` is where the worker reports; the others are as `Keeper` has them."""
        self.refused: dict[str, list[str]] = {}
        self._data_dir = data_dir
        self._report = data_dir / alarms_report.REPORT_FILE
        self._keepers = {name: Keeper(name, module, run, inherit) for name, (module, _) in _SERVICES.items()}

    async def follow(self, config: Config, redis_url: str, grace_s: float) -> None:
        """Make all of them what a configuration wants; one whose files are wrong stays as it is."""
        for name, (_, wanted) in _SERVICES.items():
            try:
                # Region and rules are read: a while for the disk, in which the supervisor has other things to do.
                settings = await asyncio.to_thread(wanted, config, redis_url=redis_url)
            except ConfigError as error:
                self.refused[name] = error.mistakes
                cure = "netmon check says what is wrong; correct it, and send SIGHUP"
                log.error("supervisor.service_refused", role=name, mistakes=error.mistakes, cure=cure)
                continue
            self.refused.pop(name, None)
            await self._keepers[name].follow(settings, grace_s)

    async def stop(self, grace_s: float) -> None:
        """Stop all of them at once, when nobody asks over the lines any more."""
        await self._keepers[_ASKS].stop(grace_s)
        await asyncio.gather(*(keeper.stop(grace_s) for keeper in self._keepers.values()))

    async def give_up_streams(self, config: Config, redis_url: str) -> None:
        """If alarms were made here before, say that they need the streams no more: else they would keep all entries for ever."""
        if not self._report.exists():
            return
        settings = redis_settings(config, redis_url=redis_url)
        while True:
            if await asyncio.to_thread(_destroy_groups, settings, receivers_of(config)):
                break
            await asyncio.sleep(_GIVE_UP_RETRY_S)
        self._report.unlink(missing_ok=True)

    def children(self) -> Iterator[Child]:
        """The processes that are wanted."""
        return (keeper.child for keeper in self._keepers.values() if keeper.child is not None)

    def report(self) -> AlarmReport | None:
        """What the alarm worker last told; None when it is not wanted, or has told nothing yet."""
        return self._told("alarms", alarms_report.REPORT_FILE, AlarmReport)

    def northbound(self) -> NorthboundReport | None:
        """The same of the northbound process."""
        return self._told("northbound", northbound_report.REPORT_FILE, NorthboundReport)

    def probe(self) -> ProbeReport | None:
        """The same of the vantage."""
        return self._told("probe", probe_report.REPORT_FILE, ProbeReport)

    def verdict(self) -> VerdictReport | None:
        """The same of the process that judges the lines."""
        return self._told("lines", verdict_report.REPORT_FILE, VerdictReport)

    def failover(self) -> ControllerReport | None:
        """The same of the controller of failover."""
        return self._told("failover", failover_report.REPORT_FILE, ControllerReport)

    def _told(self, name: str, file: str, kind: type[_Report]) -> _Report | None:
        if self._keepers[name].child is None:
            return None
        try:
            return msgspec.json.decode((self._data_dir / file).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None


def _destroy_groups(settings: RedisSettings, receivers: Sequence[str]) -> bool:
    """Whether it could be done."""
    try:
        destroy_groups(settings, receivers)
    except UnavailableError as error:
        limited.warning("supervisor.streams_kept", reason=error.reason, detail=error.detail)
        return False
    return True
