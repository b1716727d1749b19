"""What operators ask of a group, and what its lines ask: which of it has the greatest weight.

Pure. The order is that of ITU-T G.8031 clause 11.1: lockout, SF on the protection line that is used, forced switch, SF on the working line,
SD, manual switch, wait to restore, exercise, do not revert, no request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from netmon.failover.model import Group, LineSight, Request, RequestKind

Health = Literal["up", "degraded", "down", "unknown"]
"""How a line is for one group: down is its SF, degraded its SD; unknown is neither, and moves nothing."""

_WEIGHTS: Final[dict[RequestKind, int]] = {"lockout": 3, "forced": 2, "manual": 1, "exercise": 0}


class InForce(NamedTuple):
    """What operators want of a group now."""

    request: Request | None
    """Of the greatest weight; for `Seen.request`."""
    locked: frozenset[str]
    """Lines locked out one by one; for `Seen.locked`."""


def health(group: Group, sight: LineSight | None) -> Health:
    """How a line is for this group: one that is one-way has failed for a class that needs both ways, and is degraded for others."""
    if sight is None or sight.state == "unknown":
        return "unknown"
    if sight.state == "down" or (sight.one_way and group.both_ways):
        return "down"
    return "degraded" if sight.one_way else sight.state


def strongest(asked: Iterable[Request], now_ns: int) -> InForce:
    """Of all requests for one group those in force, weighed.

    Of equal weight the one that was there first stays (G.8031 clause 11.1), by `unix_ns`, then by ID, so that the order given does not matter.
    """
    best: Request | None = None
    locked: set[str] = set()
    for request in asked:
        if request.until_unix_ns <= now_ns:
            continue
        if request.kind == "lockout" and request.line_id:
            locked.add(request.line_id)
        elif best is None or _weight(request) < _weight(best):
            best = request
    return InForce(best, frozenset(locked))


def _weight(request: Request) -> tuple[int, int, str]:
    """The smaller, the greater its weight: a total order over requests."""
    return -_WEIGHTS[request.kind], request.unix_ns, request.id
