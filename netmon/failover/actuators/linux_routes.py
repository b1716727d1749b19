"""Moves classes by the routes of this machine: a table for each, rules that lead there, one `route replace` for each move.

Owns what stands in the kernel under its protocol number, and nothing else: whatever another daemon or a person has put there stays. What shall
be is compared with what is, at the start, with each piece of news of the kernel, and now and then; so an interface that was gone and is back gets
its route again, and a rule that somebody has deleted is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from netmon.errors import ConfigError, UnavailableError
from netmon.failover.actuators import Site, arrival, layout
from netmon.failover.actuators.base import Moved
from netmon.failover.actuators.fences import Fences
from netmon.failover.actuators.kernel import Kernel, KernelError, News
from netmon.failover.actuators.layout import Route
from netmon.failover.actuators.local import LocalActuator
from netmon.failover.model import SHED
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.log import log

LOOK_S: Final = 10.0
"""How things are is compared with how they shall be at least so often ..."""
BROKEN_LOOK_S: Final = 1.0
"""... and so often while something of it cannot be had."""
CALM_S: Final = 0.1
"""After a piece of news: what comes with it is looked at once, and when all classes of a dead line have been moved."""
GROUPS_MAX: Final = 1_024
"""Of one machine."""
FENCES: Final = "routes-fences.json"
"""In the controller's directory, for classes of its own machine."""

_REVERSE_PATH: Final = Path("/proc/sys/net/ipv4/conf")
_STRICT: Final = "1"


def actuator(site: Site) -> LocalActuator:
    """See `netmon.failover.actuators`: the classes of gateways that are this very machine. Raises ConfigError: its fences are damaged."""
    groups = [group for gateway in site.gateways for group in gateway.groups]
    lines = {line.line_id: line for gateway in site.gateways for line in gateway.lines}
    fences = Fences(Path(site.settings.directory) / FENCES)
    gateway_id = site.gateways[0].gateway_id if site.gateways else ""
    mover = LinuxRoutes(secrets=site.settings.secrets, gateway_id=gateway_id)
    return LocalActuator(mover, groups, list(lines.values()), fences=fences)


class LinuxRoutes:
    """See `Mover`."""

    def __init__(
        self,
        *,
        protocol: int = 0,
        is_down: Callable[[str], bool] = lambda _: False,
        secrets: Mapping[str, str] | None = None,
        gateway_id: str = "",
    ) -> None:
        """Nothing is opened yet.

        Args:
            protocol: What its routes and rules carry; 0: `layout.PROTOCOL`.
            is_down: Whether a line is known to be down, so that nothing is put back onto it.
            secrets: File name, as a probe has it, to what is in it.
            gateway_id: For probers that tell who asks.
        """
        self._kernel = Kernel(protocol or layout.PROTOCOL)
        self._is_down = is_down
        self._secrets = secrets or {}
        self._gateway_id = gateway_id
        self._groups: dict[str, PlannedGroup] = {}
        self._left: dict[str, PlannedGroup] = {}
        """Groups that are only observed, and of which the kernel has nothing."""
        self._lines: dict[str, PlannedLine] = {}
        self._wanted: dict[str, str] = {}
        """Group ID to where it shall be."""
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._news: News | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._broken: dict[str, str] = {}
        """Group ID to why its route does not stand."""
        self._tracks_sessions = True
        self._warned: set[str] = set()

    # -- the plan

    async def take_plan(self, groups: Sequence[PlannedGroup], lines: Sequence[PlannedLine]) -> None:
        """See `Mover`."""
        mistakes = layout.mistakes(groups, lines)
        if len(groups) > GROUPS_MAX:
            mistakes.append(f"{len(groups)} classes on one machine; at most {GROUPS_MAX} can be moved")
        if mistakes:
            raise ConfigError(mistakes)
        self._warn_of_strict_filters(lines)
        async with self._lock:
            try:
                await self._adopt(groups, {line.line_id: line for line in lines})
                await self._repair()
            except KernelError as error:
                if error.code == errno.EPERM:
                    raise ConfigError([str(error.detail)]) from None
                raise
        self._keep()

    async def _adopt(self, groups: Sequence[PlannedGroup], lines: dict[str, PlannedLine]) -> None:
        """What stands is wanted; what stands nowhere is wanted on its working line, or left alone where netmon only observes.

        Raises ConfigError, or KernelError: then what was planned before is kept up.
        """
        mistakes, kept, left, wanted = [], {}, {}, {}
        for group in groups:
            ours, others = await self._kernel.table(group.table)
            if others:
                mistakes.append(
                    f"group {group.group_id}: table {group.table} has routes of somebody else: "
                    f"`ip route show table {group.table}`; remove them, or give the class another table"
                )
            if group.mode == "observe" and not ours:
                left[group.group_id] = group
                continue
            known = self._wanted.get(group.group_id)
            stands = layout.where(ours, lines, known)
            shall = known if known in {SHED, *lines} else stands
            kept[group.group_id] = group
            wanted[group.group_id] = group.working if shall is None else shall
            if stands is not None and known is None:
                log.info("routes.group_adopted", group=group.group_id, on=stands)
        if mistakes:
            raise ConfigError(mistakes)
        self._lines, self._groups, self._left, self._wanted = lines, kept, left, wanted

    def _warn_of_strict_filters(self, lines: Sequence[PlannedLine]) -> None:
        """Strict filtering drops what comes in by a line that is not preferred: a class that was moved would be mute."""
        for name in sorted({line.interface for line in lines if line.interface} - self._warned):
            with contextlib.suppress(OSError):
                values = [(_REVERSE_PATH / of / "rp_filter").read_text().strip() for of in ("all", name)]
                if max(values) == _STRICT:
                    cure = f"sysctl -w net.ipv4.conf.{name}.rp_filter=2"
                    log.warning("routes.strict_filter_found", interface=name, cure=cure)
                    self._warned.add(name)

    # -- moving

    async def move(
        self,
        group_id: str,
        to: str,
        *,
        forced: bool = False,
        verify_s: float | None = None,
        applied: Callable[[Moved], None] | None = None,
    ) -> Moved:
        """See `Mover`."""
        await self._take_up(group_id)
        group = self._groups.get(group_id)
        line = self._lines.get(to)
        if group is None or (line is None and to != SHED):
            missing = f"line {to}" if group else f"group {group_id}"
            return Moved(group_id=group_id, outcome="failed", detail=f"{missing} is not in the plan of this gateway")
        former = self._wanted[group_id]
        began = time.monotonic()
        try:
            phases = {"act": await self._switch(group, to) - began}
        except UnavailableError as error:
            return await self._undone(group, former, f"could not be moved to {to or 'nowhere'}: {error.detail}", began)
        if applied is not None:
            applied(Moved(group_id=group_id, outcome="applied", on=to, phases_s=phases))
        if to != former:
            await self._forget_sessions(group)
        if line is None:
            return Moved(group_id=group_id, outcome="verified", on=SHED, phases_s=phases)
        shown = await self._verify(group, line, group.timers.verify_s if verify_s is None else verify_s)
        phases = phases | {"verify": shown.took_s}
        if shown.arrived:
            return Moved(group_id=group_id, outcome="verified", on=to, detail=shown.detail, phases_s=phases)
        return await self._not_arrived(group, former, to, shown.detail, phases, forced=forced)

    async def _take_up(self, group_id: str) -> None:
        """A class that was left alone is moved all the same, by the word of somebody at the gateway: its rules are made now."""
        async with self._lock:
            if (group := self._left.pop(group_id, None)) is None:
                return
            self._groups[group_id] = group
            self._wanted[group_id] = group.working
            with contextlib.suppress(KernelError):  # which the move tells of, and the keeper goes on to put right
                await self._repair()

    async def _not_arrived(
        self, group: PlannedGroup, former: str, to: str, why: str, phases: dict[str, float], *, forced: bool
    ) -> Moved:
        detail = f"does not arrive by {to}: {why}"
        stays = forced or former == to or (former != SHED and self._is_down(former))
        if self._wanted.get(group.group_id) == to and not stays:
            with contextlib.suppress(KernelError):  # which the keeper goes on to put right
                await self._switch(group, former)
            await self._forget_sessions(group)
        on = await self._now(group)
        return Moved(group_id=group.group_id, outcome="failed", on=on, detail=detail, phases_s=phases)

    async def _undone(self, group: PlannedGroup, former: str, detail: str, began: float) -> Moved:
        """After a move that the kernel refused, in one family perhaps after it had taken the other."""
        with contextlib.suppress(KernelError):
            await self._switch(group, former)
        phases = {"act": time.monotonic() - began}
        on = await self._now(group)
        return Moved(group_id=group.group_id, outcome="failed", on=on, detail=detail, phases_s=phases)

    async def _switch(self, group: PlannedGroup, to: str) -> float:
        """Replaces the routes of a class, and reads them back; returns when they stood, by the monotonic clock.

        Raises:
            KernelError: The kernel refused one, or has something else than what it was told.
        """
        async with self._lock:
            self._wanted[group.group_id] = to
            self._changed.set()  # whatever becomes of this: the keeper looks afterwards
            await self._put(group, set())
        stood = time.monotonic()
        # A lock is given in turn: classes that wait to be moved go before this one is read back.
        async with self._lock:
            there, _ = await self._kernel.table(group.table)
            wrong = [route for route in self._routes(group) if route not in there and self._is_sure(group, route)]
        if wrong:
            raise KernelError(
                f"table {group.table}", errno.EIO, "the kernel has not kept what it was told; see `ip monitor`"
            )
        return stood

    async def _put(self, group: PlannedGroup, there: set[Route]) -> None:
        """Puts those routes of a class that are not there yet."""
        for route in self._routes(group):
            if route in there:
                continue
            try:
                await self._kernel.put(route)
            except KernelError:
                if self._is_sure(group, route):
                    raise
                # A point-to-point interface without this family: its packets have no way there, and get no other.
                await self._kernel.put(Route(family=route.family, table=route.table, metric=route.metric))

    def _routes(self, group: PlannedGroup) -> list[Route]:
        line = self._lines.get(self._wanted[group.group_id])
        return layout.routes_of(group.table, line, self._kernel.families)

    def _is_sure(self, group: PlannedGroup, route: Route) -> bool:
        return layout.is_sure(route, self._lines.get(self._wanted[group.group_id]))

    async def _forget_sessions(self, group: PlannedGroup) -> None:
        """After the route, never before: a session that comes back at once would be bound to the former line again."""
        if not group.mark or not self._tracks_sessions:
            return
        try:
            await self._kernel.forget_sessions(group.mark)
        except KernelError as error:
            if error.code:
                self._tracks_sessions = False
            log.warning("routes.sessions_kept", why=error.detail, until="netmon starts again" if error.code else "")

    async def _verify(self, group: PlannedGroup, line: PlannedLine, deadline_s: float) -> arrival.Arrival:
        strayed = await self._strayed(group, line)
        if strayed:
            return arrival.Arrival(arrived=False, took_s=0.0, detail=strayed)
        return await arrival.verify(
            group, line, deadline_s=deadline_s, secrets=self._secrets, gateway_id=self._gateway_id
        )

    async def _strayed(self, group: PlannedGroup, line: PlannedLine) -> str:
        """Why a packet of the class would not leave by its line, for all that the table says; empty: it would."""
        mark = layout.mark_of(group)
        for address in () if group.verify else arrival.far_ends(line):
            with contextlib.suppress(KernelError):
                interface = await self._kernel.way(address, mark)
                if interface != line.interface:
                    by = f"leaves by {interface}" if interface else "is refused"
                    return (
                        f"a packet to {address} {by}: a rule or a route goes before netmon's; "
                        f"see `ip rule` and `ip route get {address} mark {mark:#x}`"
                    )
        return ""

    # -- keeping

    def _keep(self) -> None:
        if self._keeper is None:
            with contextlib.suppress(OSError):  # then it is looked at now and then all the same
                self._news = News(self._changed.set)
            self._keeper = asyncio.create_task(self._keep_on(), name="routes")

    async def _keep_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BROKEN_LOOK_S if self._broken else LOOK_S):
                    await self._changed.wait()
                    await asyncio.sleep(CALM_S)
            self._changed.clear()
            try:
                async with self._lock:
                    await self._repair()
            except UnavailableError as error:
                log.warning("routes.look_failed", why=error.detail)

    async def _repair(self) -> None:
        """Makes what is what shall be. Raises KernelError: not even the rules can be had."""
        tables = {group.table for group in self._groups.values()}
        rules = {rule for group in self._groups.values() for rule in layout.rules_of(group, self._kernel.families)}
        has_rules, has_routes = await self._kernel.rules(), await self._kernel.routes()
        for rule in sorted(has_rules - rules):  # before the routes, or their packets would be refused
            await self._kernel.remove_rule(rule)
        for route in sorted(has_routes):
            if route.table not in tables:
                await self._kernel.remove(route)
        for group in self._groups.values():
            await self._repair_group(group, {route for route in has_routes if route.table == group.table})
        for rule in sorted(rules - has_rules):  # after the routes, for the same reason
            await self._kernel.add_rule(rule)

    async def _repair_group(self, group: PlannedGroup, there: set[Route]) -> None:
        shall = self._routes(group)
        why = ""
        if any(route not in there and self._is_sure(group, route) for route in shall):
            try:
                await self._put(group, there)
            except KernelError as error:
                if error.code == errno.EPERM:
                    raise
                why = error.detail
        for last in layout.last_resorts(group.table, self._kernel.families) - there:
            await self._kernel.put(last)
        self._tell(group, why)

    def _tell(self, group: PlannedGroup, why: str) -> None:
        """Says once that a route cannot be had, and once that it can."""
        name = group.group_id
        if why and self._broken.get(name) != why:
            log.warning("routes.route_missed", group=name, on=self._wanted[name], why=why)
        elif not why and name in self._broken:
            log.info("routes.route_repaired", group=name, on=self._wanted[name])
        if why:
            self._broken[name] = why
        else:
            self._broken.pop(name, None)

    # -- showing

    async def _now(self, group: PlannedGroup) -> str | None:
        try:
            ours, _ = await self._kernel.table(group.table)
        except KernelError:
            return None
        return layout.where(ours, self._lines, self._wanted.get(group.group_id))

    async def actual(self) -> dict[str, str]:
        """See `Mover`. Raises UnavailableError: the kernel does not answer."""
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()  # a fault of ours: it is raised where somebody sees it
        async with self._lock:
            there = await self._kernel.routes()
        found = {}
        for name, group in self._groups.items():
            on = layout.where({route for route in there if route.table == group.table}, self._lines, self._wanted[name])
            if on is not None:
                found[name] = on
        return found

    async def close(self) -> None:
        """See `Mover`."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._news is not None:
            self._news.close()
        await self._kernel.close()
