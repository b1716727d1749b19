"""The controller's process: what it is to lead, what of it outlives a Redis that was away, and what it reports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from netmon.buffer.failover_writer import FailoverWriter
from netmon.buffer.fenced import holder_name
from netmon.errors import ConfigError, UnavailableError, disk_cure
from netmon.failover.actuators.fences import Fences
from netmon.failover.controller.decisions import Kept
from netmon.failover.controller.leader import Leader
from netmon.failover.controller.report import (
    GATEWAYS_SHOWN_MAX,
    GROUPS_SHOWN_MAX,
    REPORT_FILE,
    ControllerReport,
    Counts,
    GatewayReport,
)
from netmon.failover.settings import ControllerSettings
from netmon.leading import RememberingRole, name_file
from netmon.log import limited, log

_NAME: Final = "failover"
_FENCES_FILE: Final = "failover.leader"
"""The greatest number of a leader that was heard of, in case that Redis forgets it."""


class ControllerProcess(RememberingRole[Leader]):
    """One process."""

    def __init__(self, settings: ControllerSettings) -> None:
        """Raises OSError: the folder cannot be written."""
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._settings = settings
        self._counts = Counts()
        self._kept: Kept | None = None
        """What we knew when we last led; in case that nobody else begins his time."""
        self._fence = 0
        """Our number then."""
        self._fences = _fences(directory / _FENCES_FILE)
        self._holder = holder_name(name_file(directory, _NAME))
        self._failover = FailoverWriter(
            settings.redis,
            self._holder,
            lease_ms=int(settings.lease_s * 1_000),
            stream_entries_max=settings.stream_entries_max,
        )
        super().__init__(_NAME, directory, REPORT_FILE, self._failover, lease_s=settings.lease_s)

    def _begin_to_lead(self) -> Leader:
        if self._failover.fence > self._fence + 1:
            # Another one has led since. A smaller number than ours: Redis has lost what we wrote, and we know better.
            self._kept = None
        known = max(self._fence, self._fences.greatest if self._fences is not None else 0)
        leader = Leader(
            self._settings,
            self._failover,
            self._holder,
            self._counts,
            kept=self._kept,
            fence_known=known,
            ring=self._bell.ring,
        )
        try:
            leader.begin()
        except UnavailableError:
            leader.close()
            raise
        self._counts.reloads += self._kept is not None or self._counts.steps > 0
        self._kept = leader.kept
        self._fence = self._failover.fence
        self._note_fence()
        return leader

    def _forget(self) -> None:
        self._kept = None

    def _note_fence(self) -> None:
        """Writes our number down: a Redis that has lost everything begins at 1 again, and gateways would obey nobody."""
        if self._fences is None:
            return
        try:
            self._fences.see(self._fence)
        except OSError as error:
            limited.warning("failover.fence_unsaved", why=error.strerror or str(error), cure=disk_cure(error))

    def _turn(self) -> float:
        sleep_s = super()._turn()
        if self._leader is not None and self._failover.fence != self._fence:
            self._fence = self._failover.fence
            self._note_fence()
        return sleep_s

    def _count_lead_lost(self) -> None:
        self._counts.lead_lost += 1

    def _count_redis_lost(self, error: UnavailableError) -> None:
        errors = self._counts.redis_errors
        errors[error.reason] = errors.get(error.reason, 0) + 1

    # -- what it tells

    def _now(self) -> ControllerReport:
        report = ControllerReport(
            unix_ns=time.time_ns(), started_unix_ns=self._started_unix_ns, state=self._state, counts=self._counts
        )
        return report if self._leader is None else _of_leader(report, self._leader, self._failover.fence)


def _of_leader(report: ControllerReport, leader: Leader, fence: int) -> ControllerReport:
    now_unix_ns, decisions, intake = report.unix_ns, leader.decisions, leader.intake
    lag_s, leader.lag_s = leader.lag_s, 0.0
    tally, frozen = decisions.tally, decisions.frozen
    groups, left_out = tally.away(now_unix_ns)
    shed, shed_bps = tally.shed()
    kinds: dict[str, int] = {}
    lockouts: dict[str, float] = {}
    for request in decisions.requests.values():
        kinds[request.kind] = kinds.get(request.kind, 0) + 1
        if request.kind == "lockout" and (request.group_id in lockouts or len(lockouts) < GROUPS_SHOWN_MAX):
            age_s = max(now_unix_ns - request.unix_ns, 0) / 1e9
            lockouts[request.group_id] = max(lockouts.get(request.group_id, 0.0), age_s)
    gateways, behind = _gateways(leader)
    return msgspec.structs.replace(
        report,
        leader=1,
        fence=fence,
        lock_delay_s=max(leader.calm_until_unix_ns - now_unix_ns, 0) / 1e9,
        lag_s=lag_s,
        total=tally.total,
        phases=tally.phases(),
        groups=groups,
        groups_left_out=left_out,
        lines=tally.lines(leader.usable_bps),
        admitted_bps=tally.admitted_bps(),
        shed_bps=shed_bps,
        shed=shed,
        areas=dict(intake.postures),
        frozen=frozen is not None,
        frozen_by="" if frozen is None else frozen.by,
        frozen_since_unix_ns=0 if frozen is None else frozen.unix_ns,
        vantages=len(intake.vantages),
        vantages_live=sum(intake.vantages.values()),
        requests=kinds,
        lockouts=lockouts,
        gateways=gateways,
        gateways_total=len(intake.agents),
        gateways_silent=len(intake.silent),
        gateways_behind=behind,
        ways=leader.ways(),
    )


def _gateways(leader: Leader) -> tuple[dict[str, GatewayReport], int]:
    """Gateways of which something is to be said, and how many have another plan than the newest."""
    intake, plans = leader.intake, leader.plans.known
    shown: dict[str, GatewayReport] = {}
    behind = 0
    for gateway_id in intake.agents:
        reported, plan = intake.gateways.get(gateway_id), plans.get(gateway_id)
        has = 0 if reported is None else reported.plan_version
        wanted = 0 if plan is None else plan.version
        is_silent, is_alone = gateway_id in intake.silent, reported is not None and reported.alone
        behind += has != wanted
        if (has != wanted or is_silent or is_alone) and len(shown) < GATEWAYS_SHOWN_MAX:
            shown[gateway_id] = GatewayReport(
                silent=is_silent,
                alone=is_alone,
                plan_pushed=wanted,
                plan_reported=has,
                refused=0 if reported is None else reported.refused,
            )
    return shown, behind


def _fences(path: Path) -> Fences | None:
    """What was heard of leaders; None: the file is of no use, and Redis and the gateways have to tell."""
    try:
        return Fences(path)
    except ConfigError as error:
        log.error("failover.fence_unknown", mistakes=error.mistakes, cure=f"delete {path}, it is made again")
        return None
