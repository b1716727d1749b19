"""Failover as it stands in Redis, beside the region: what `netmon failover` shows, whether a controller runs or not."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from netmon.cli.common import lanes_of
from netmon.cli.failover_table import Row, sorted_rows
from netmon.config import Config, failover
from netmon.errors import ConfigError
from netmon.failover.controller.intake import sight_of
from netmon.failover.model import PHASES, Freeze, Group, GroupState, LineSight, Request
from netmon.failover.plan.model import Reported
from netmon.failover.record import Command
from netmon.failover.region.coordinator import Coordinator
from netmon.failover.region.explain import Explanation
from netmon.failover.region.sights import Sights
from netmon.inventory import schema
from netmon.inventory.topology import Topology
from netmon.show import printable

if TYPE_CHECKING:
    from netmon.alarms.posture.model import Posture
    from netmon.buffer.failover_store import FailoverView

_GOOD: Final = frozenset({"up", "degraded"})


class Present(msgspec.Struct, frozen=True):
    """Everything at one moment."""

    states: Mapping[str, GroupState]
    requests: tuple[Request, ...]
    gateways: Mapping[str, Reported]
    """Those that have told something lately, with an agent."""
    silent: frozenset[str]
    """Those with an agent that have not."""
    verdicts: Mapping[str, LineSight]
    freeze: Freeze | None
    fence: int
    leads: bool


class Source:
    """The groups of a configuration's region, and what Redis knows of them."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError: there is no region, or no gateway of it carries a class."""
        self._config = config
        self.topology = topology_of(config)
        self.groups = failover.groups(self.topology, config.failover)
        if not self.groups:
            raise ConfigError([f"{config.region.file}: gateways: none carries a class, so there is nothing to move"])
        self.view = open_view(config)
        self._after = ""

    @property
    def group_ids(self) -> list[str]:
        """In the order of the region."""
        return [group.id for group in self.groups]

    def group(self, group_id: str) -> Group:
        """The group with this ID. Raises ConfigError: there is none."""
        found = next((group for group in self.groups if group.id == group_id), None)
        if found is None:
            raise ConfigError([unknown("GROUP", group_id, self.group_ids)])
        return found

    def present(self) -> Present:
        """How it is now. Raises UnavailableError."""
        meta, told = self.view.meta(), self.view.gateways()
        agents = {
            gateway.id
            for gateway in self.topology.inventory.gateways
            if gateway.actuator == "agent" and gateway.class_ids and not self._config.probe.rehearsal
        }
        since_ns = time.time_ns() - int(self._config.failover.gateway_silent_s * 1e9)
        fresh = {name: each for name, each in told.items() if each.unix_ns >= since_ns and not each.stopped}
        return Present(
            states={state.group_id: state for state in self.view.groups()},
            requests=tuple(self.view.requests()),
            gateways={name: each for name, each in fresh.items() if name in agents},
            silent=frozenset(agents - fresh.keys()),
            verdicts=self._verdicts(),
            freeze=meta.freeze,
            fence=meta.fence,
            leads=self.view.has_controller(),
        )

    def _verdicts(self) -> dict[str, LineSight]:
        """How lines are as those say who judge them; nobody knows while none of them runs. Raises UnavailableError."""
        from netmon.buffer.line_store import LineView  # noqa: PLC0415 - redis-py is slow to import

        view = LineView(lanes_of(self._config)[0].redis)
        try:
            if not view.has_judge():
                return {}
            now_ns = time.time_ns()
            return {
                status.line_id: msgspec.structs.replace(
                    sight_of(status), good_unix_ns=now_ns if status.state in _GOOD else 0
                )
                for status in view.lines()
            }
        finally:
            view.close()

    def rows(self, present: Present, wanted: Mapping[str, Sequence[str]]) -> list[Row]:
        """Groups that are asked for, those that are not well first."""
        sights = self._sights(present)
        asked: dict[str, list[Request]] = {}
        for request in present.requests:
            asked.setdefault(request.group_id, []).append(request)
        rows = (
            Row(
                group,
                present.states.get(group.id),
                {line: sights.of(group.gateway_id)[line] for line in (group.working, *group.protections)},
                tuple(asked.get(group.id, ())),
                group.gateway_id in present.silent,
            )
            for group in self.groups
        )
        return sorted_rows(row for row in rows if _is_wanted(row, wanted))

    def _sights(self, present: Present) -> Sights:
        mine: dict[str, frozenset[str]] = {}
        for group in self.groups:
            mine[group.gateway_id] = frozenset({group.working, *group.protections})
        sights = Sights(self.topology.lines, mine)
        for sight in present.verdicts.values():
            sights.see(sight)
        for name, reported in present.gateways.items():
            sights.see_gateway(name, reported.lines)
        return sights

    def explain(self, group_id: str) -> Explanation:
        """What the next decision on a group will look at. Raises UnavailableError."""
        present, now_ns = self.present(), time.time_ns()
        postures = self._postures()
        coordinator = Coordinator(
            failover.line_facts(self.topology), self.groups, present.states.values(), started_unix_ns=now_ns
        )
        coordinator.fence = present.fence
        for sight in present.verdicts.values():
            coordinator.see_line(sight)
        for reported in present.gateways.values():
            coordinator.see_gateway(reported, now_ns)
        for name in present.silent:
            coordinator.lose_gateway(name)
        for area, posture in postures.items():
            coordinator.see_posture(area, posture)
        for request in present.requests:
            coordinator.ask(request, now_ns)
        if present.freeze is not None:
            coordinator.freeze(present.freeze, now_ns)
        return coordinator.explain(group_id, now_ns)

    def _postures(self) -> dict[str, Posture]:
        from netmon.buffer.alarm_store import AlarmView  # noqa: PLC0415 - redis-py is slow to import

        view = AlarmView(lanes_of(self._config)[0].redis)
        try:
            return {area: each.posture for area, each in view.meta().postures.items() if area in self.topology.areas}
        finally:
            view.close()

    def waiting(self) -> list[Command]:
        """What operators have asked for and no controller has looked at, oldest first. Raises UnavailableError."""
        from netmon.buffer.failover_waiting import WaitingView  # noqa: PLC0415 - redis-py is slow to import

        view = WaitingView(lanes_of(self._config)[0].redis)
        try:
            return view.waiting()
        finally:
            view.close()

    def wait(self, block_ms: int) -> None:
        """Until something happens to a group, but no longer than this. Raises UnavailableError."""
        if not self._after:
            self._after = self.view.last_id()
        told = self.view.actions(self._after, block_ms=block_ms)
        self._after = told[-1].entry_id if told else self._after


def topology_of(config: Config) -> Topology:
    """The region of a configuration. Raises ConfigError."""
    if config.region.file is None:
        raise ConfigError(["region.file: names no region, so there are no gateways; config/region.example.yml is one"])
    return Topology(schema.read(config.region.file))


def open_view(config: Config) -> FailoverView:
    """Failover in a configuration's Redis. Raises ConfigError."""
    from netmon.buffer.failover_store import FailoverView  # noqa: PLC0415 - redis-py is slow to import

    return FailoverView(lanes_of(config)[0].redis)


def wanted_of(topology: Topology, **given: list[str] | None) -> dict[str, tuple[str, ...]]:
    """What of gateway, area, class and phase is asked for. Raises ConfigError: something that is not there."""
    wanted = {name: tuple(values) for name, values in given.items() if values}
    known: dict[str, Sequence[str]] = {
        "gateway": [*topology.gateways],
        "area": [*topology.areas],
        "class": [*topology.traffic_classes],
        "phase": PHASES,
    }
    mistakes = [
        unknown(f"--{name}", value, known[name])
        for name, values in wanted.items()
        for value in values
        if value not in known[name]
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return wanted


def unknown(where: str, value: str, known: Sequence[str]) -> str:
    """That there is no such thing, and what could have been meant."""
    near = difflib.get_close_matches(value, known, n=1)
    listed = f"expected one of {', '.join(known)}" if len(known) <= 20 else "`netmon failover status` has them"
    return f"{where}: found {printable(value)!r}; {f'did you mean {near[0]}?' if near else listed}"


def _is_wanted(row: Row, wanted: Mapping[str, Sequence[str]]) -> bool:
    group, state = row.group, row.state
    of: Iterator[tuple[str, str]] = iter(
        (
            ("gateway", group.gateway_id),
            ("area", group.area_id),
            ("class", group.class_id),
            ("phase", "" if state is None else state.phase),
        )
    )
    return all(name not in wanted or value in wanted[name] for name, value in of)
