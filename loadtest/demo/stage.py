"""The demo as it is played: everything is built and started, the earth quakes, the duct is cut and mended; what is told is written down."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from loadtest.demo import record
from loadtest.demo.scene import CAMERA_SERVICE, COAST, CUT, FAILOVER, RETURNING, SCENE
from loadtest.demo.storm import Storm
from loadtest.lab.deployment import BROKER_PORT, Deployment, is_open, region_of
from loadtest.lab.gateways import CENTRE, Region, Traffic
from loadtest.lab.namespaces import require
from loadtest.lab.prober import Role
from netmon.buffer import embedded
from netmon.buffer.alarm_store import AlarmView
from netmon.buffer.failover_store import FailoverView
from netmon.buffer.line_store import LineView
from netmon.errors import UnavailableError
from netmon.failover.agent.report import REPORT_FILE, decode
from netmon.model import RedisSettings

READY_S: Final = 60.0
PLAYED_S: Final = 60.0
"""For each thing that has to come by itself."""
TRAPS: Final = ("127.0.0.1", 1_162)
RATE: Final = 400.0
STORM_S: Final = 20.0
CUT_S: Final = 5.0
"""Between the cut and its mending."""
CALM_S: Final = 2.0
"""With all flows, before the earth quakes; and at the end."""
_LOOK_S: Final = 0.05
_TAIL_CHARS: Final = 1_000

Step = Callable[[str], None]
"""Told what is done now."""


class StageError(Exception):
    """Something has not come by itself, or has ended; says what."""


class Stage:
    """The region with netmon in it. As a context manager it is built, and gone with everything that ran in it."""

    def __init__(self, folder: Path, step: Step) -> None:
        self._folder = folder
        self._step = step
        self._stack = contextlib.ExitStack()
        self._roles: list[Role] = []
        self._phases: dict[tuple[str, str, int], record.Phase] = {}
        self.region: Region
        self.netmon: Deployment
        self.traffic: Traffic

    def __enter__(self) -> Self:
        require("mosquitto")
        with contextlib.ExitStack() as stack:
            self._step("the region is built: namespaces, routers of carriers, a duct")
            self.region = stack.enter_context(region_of(SCENE))
            self.region[CENTRE].ip(f"addr add {CAMERA_SERVICE}/32 dev lo")
            self.netmon = stack.enter_context(Deployment(SCENE, self.region, self._folder, **FAILOVER))
            self._step("Mosquitto, netmon run, an agent at each gateway")
            self.netmon.reflect()
            self.netmon.serve_broker()
            self._until(lambda: is_open(self.region[CENTRE], BROKER_PORT), "the broker listens", READY_S)
            self._roles = [self.netmon.run_netmon(), *map(self.netmon.run_agent, self.region.gateways)]
            settings = RedisSettings(url=embedded.url(self._folder / "data"))
            self._failover = stack.enter_context(contextlib.closing(FailoverView(settings)))
            self._alarms = stack.enter_context(contextlib.closing(AlarmView(settings)))
            self._lines = stack.enter_context(contextlib.closing(LineView(settings)))
            self._step("every line is asked over, every gateway has its plan")
            self._until(self._is_ready, "all lines up, all gateways heard", READY_S)
            self._step("the flows of all classes begin")
            flows = {gateway: SCENE.flows(gateway) for gateway in SCENE.gateways}
            self.traffic = stack.enter_context(Traffic(self.region, flows))
            count = sum(map(len, flows.values()))
            self._until(lambda: len(self.traffic.report()) == count, "all flows have come", READY_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _is_ready(self) -> bool:
        try:
            groups = {state.group_id for state in self._failover.groups() if state.phase == "NR"}
            up = {line.line_id for line in self._lines.lines() if line.state == "up"}
            heard = self._failover.gateways()
            known = self._alarms.meta().fence
        except UnavailableError:
            return False
        is_asked = all(self._asks(gateway) for gateway in SCENE.gateways)
        lines = {SCENE.line_id(name) for name in SCENE.lines()}
        return (
            is_asked
            and groups == set(SCENE.groups())
            and up == lines
            and len(heard) == len(SCENE.gateways)
            and known > 0
        )

    def _asks(self, gateway: str) -> bool:
        """Whether an agent finds all its lines up."""
        try:
            report = decode((self._folder / gateway / "data" / REPORT_FILE).read_bytes())
        except FileNotFoundError:
            return False
        up = {sight.line_id for sight in report.reported.lines if sight.state == "up"}
        return up == set(SCENE.lines_of(gateway)) and report.centre == "heard"

    def play(self) -> record.Record:
        """The earthquake, the cut, the mending, the return; returns what happened.

        Raises:
            StageError: Something has not come by itself, or has ended.
        """
        after_actions, after_alarms = self._failover.last_id(), self._alarms.last_id()
        self._pass(CALM_S)
        self._step("the earth quakes: traps from everywhere")
        storm_ns = time.time_ns()
        storm = self._start_storm()
        self._until(lambda: self._posture(COAST) == "disaster", f"{COAST} is in a disaster", PLAYED_S)
        self._step("the duct is cut: four of seven lines are dead")
        cut_ns = time.time_ns()
        self.region.cut(*CUT)
        self._pass(CUT_S)
        self._step("the duct is mended; traffic waits to return")
        mended_ns = time.time_ns()
        self.region.mend(*CUT)
        with contextlib.suppress(StageError):  # what has not returned is told as a fault
            self._until(self._has_returned, "ridge has returned", PLAYED_S)
        self._pass(CALM_S)
        sent, _ = storm.communicate()
        report = self.traffic.report()
        return record.Record(
            storm_unix_ns=storm_ns,
            cut_unix_ns=cut_ns,
            mended_unix_ns=mended_ns,
            ended_unix_ns=time.time_ns(),
            notifications=int(sent or 0),
            flows={SCENE.group_of(number): report[number] for number in sorted(report)},
            interfaces={line.far_interface: SCENE.line_id(line.line_id) for line in self.region.lines.values()},
            told=tuple(self._told()),
            postures=tuple(self._postures(after_alarms)),
            phases=tuple(sorted(self._phases.values(), key=lambda phase: phase.unix_ns)),
            audit=tuple(told.audit for told in self._failover.actions(after_actions) if told.audit is not None),
        )

    def _start_storm(self) -> subprocess.Popen[bytes]:
        storm = Storm(region=str(self._folder / "region.yml"), to=TRAPS, rate=RATE, seconds=STORM_S)
        process = self.region.start(
            CENTRE, ["-m", "loadtest.demo.storm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(storm))
        process.stdin.close()
        process.stdin = None
        return process

    def _posture(self, area: str) -> str:
        found = self._alarms.meta().postures.get(area)
        return "normal" if found is None else found.posture

    def _has_returned(self) -> bool:
        """Whether those that shall return flow by their first line again."""
        report = self.traffic.report()
        interfaces = {SCENE.group_of(number): came.interface for number, came in report.items()}
        working = {gateway: self.region.of(gateway)[0].far_interface for gateway in SCENE.gateways}
        return all(interfaces[group] == working[group.partition("/")[0]] for group in RETURNING)

    # -- looking on

    def _until(self, holds: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            for role in self._roles:
                if not role.is_alive():
                    raise StageError(
                        f"{role.folder.name} has ended: {role.log.read_text('utf-8', 'replace')[-_TAIL_CHARS:]}"
                    )
            if time.monotonic() > deadline:
                raise StageError(f"not within {timeout_s:.0f} s: {what}")
            self._look()
            time.sleep(_LOOK_S)

    def _pass(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._look()
            time.sleep(_LOOK_S)

    def _look(self) -> None:
        """Notes the phases of all groups."""
        if not hasattr(self, "_failover"):
            return
        with contextlib.suppress(UnavailableError):
            for state in self._failover.groups():
                key = (state.group_id, state.phase, state.since_unix_ns)
                if key not in self._phases:
                    self._phases[key] = record.Phase(
                        unix_ns=state.since_unix_ns, group=state.group_id, phase=state.phase, on=state.on
                    )

    def _postures(self, after: str) -> Iterator[record.Posture]:
        for told in self._alarms.changes(after):
            if told.posture is not None:
                now = told.posture.now
                why = "; ".join(reason.en for reason in now.reasons)
                yield record.Posture(unix_ns=told.posture.unix_ns, area=now.area, posture=now.posture, why=why)

    def _told(self) -> Iterator[record.Told]:
        """What the agents logged."""
        for gateway in SCENE.gateways:
            for line in (self._folder / gateway / "output.log").read_text("utf-8", "replace").splitlines():
                with contextlib.suppress(ValueError, KeyError):
                    facts = json.loads(line)
                    moment = datetime.fromisoformat(facts.pop("timestamp"))
                    yield record.Told(
                        unix_ns=round(moment.timestamp() * 1e9), gateway=gateway, event=facts.pop("event"), facts=facts
                    )
