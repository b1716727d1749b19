"""Moves nothing: tells what would be moved, as if every class arrived wherever it is put.

For a region that is tried out, and for gateways that are moved by other means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netmon.failover.actuators import Site
from netmon.failover.actuators.base import Moved
from netmon.failover.actuators.local import LocalActuator
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.log import log


def actuator(site: Site) -> LocalActuator:
    """See `netmon.failover.actuators`. It keeps no fences: what moves nothing cannot do harm."""
    groups = [group for gateway in site.gateways for group in gateway.groups]
    return LocalActuator(DryRun(), groups)


class DryRun:
    """See `Mover`."""

    def __init__(self) -> None:
        self._on: dict[str, str] = {}
        """Group ID to where it would be, once it was moved."""

    async def take_plan(
        self,
        groups: Sequence[PlannedGroup],
        lines: Sequence[PlannedLine],  # noqa: ARG002 - of those that move something
    ) -> None:
        """See `Mover`; where a group is that has never been moved, nobody knows here."""
        known = {group.group_id for group in groups}
        self._on = {group_id: on for group_id, on in self._on.items() if group_id in known}

    async def move(
        self,
        group_id: str,
        to: str,
        *,
        forced: bool = False,  # noqa: ARG002 - of those that move something
        verify_s: float | None = None,  # noqa: ARG002 - there is nothing to be shown
        applied: Callable[[Moved], None] | None = None,
    ) -> Moved:
        """See `Mover`."""
        log.info("dry_run.group_moved", group=group_id, on=to or "nowhere: shed")
        self._on[group_id] = to
        if applied is not None:
            applied(Moved(group_id=group_id, outcome="applied", on=to))
        return Moved(group_id=group_id, outcome="verified", on=to, detail="dry run: nothing was moved")

    async def actual(self) -> dict[str, str]:
        """See `Mover`."""
        return dict(self._on)

    async def close(self) -> None:
        """See `Mover`."""
