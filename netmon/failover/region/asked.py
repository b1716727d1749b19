"""What operators ask of groups: taken if it makes sense, kept until it is cleared, is over, or expires.

Pure. Refusals are texts for the operator: what is wrong, and what may be asked instead.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from netmon.failover.model import Group, Request
from netmon.failover.protection import requests as protection_requests
from netmon.failover.protection.requests import InForce

GROUP_REQUESTS_MAX: Final = 16
"""Of one group; more are refused until some are cleared."""
NOTHING: Final = InForce(None, frozenset())
"""Of a group of which nothing is asked."""

_NAMES: Final = {"lockout": "lockout", "forced": "forced switch", "manual": "manual switch", "exercise": "exercise"}
_JST: Final = timezone(timedelta(hours=9))
_DAY_NS: Final = 86_400_000_000_000


class Asked:
    """All requests of a region.

    Attributes:
        by_group: Group ID to its requests, oldest first; a group without any is missing.
    """

    def __init__(self, groups: Mapping[str, Group]) -> None:
        """Nothing is asked; `groups` are those that something may be asked of."""
        self.by_group: dict[str, list[Request]] = {}
        self._groups = groups
        self._ends: list[tuple[int, str]] = []
        """Heap: when a request of which group ends."""

    def refusal(self, request: Request, now_ns: int) -> str:
        """Why it cannot be asked; empty: it can."""
        group = self._groups.get(request.group_id)
        if group is None:
            return f"there is no group {request.group_id}"
        lines = (group.working, *group.protections)
        if request.until_unix_ns <= now_ns:
            return "its end has passed"
        if not request.line_id and request.kind in {"forced", "manual"}:
            return f"it needs a line: one of {', '.join(lines)}"
        if request.line_id and request.line_id not in lines:
            return f"{request.line_id} is no line of {group.id}: it has {', '.join(lines)}"
        known = [each for each in self.by_group.get(group.id, ()) if each.until_unix_ns > now_ns]
        for other in known:
            if other.id != request.id and protection_requests.outweighs(other, request):
                return f"{_told(other, now_ns)} is in force: clear it first"
        if sum(not protection_requests.replaces(request, each) for each in known) >= GROUP_REQUESTS_MAX:
            return f"{GROUP_REQUESTS_MAX} requests of {group.id} are in force, and no more are taken: clear them first"
        return ""

    def add(self, request: Request) -> bool:
        """Takes a request that is not refused, and ends for good those whose place it takes; False: it is there already."""
        known = self.by_group.get(request.group_id, [])
        if any(each.id == request.id for each in known):
            return False
        rest = [each for each in known if not protection_requests.replaces(request, each)]
        self.by_group[request.group_id] = [*rest, request]
        heapq.heappush(self._ends, (request.until_unix_ns, request.group_id))
        return True

    def clear(self, group_id: str) -> bool:
        """Drops all of a group; tells whether there were any."""
        return bool(self.by_group.pop(group_id, None))

    def drop(self, group_id: str, request_id: str) -> None:
        """Drops one that is over before its time."""
        self._keep(group_id, lambda request: request.id != request_id)

    def expire(self, now_ns: int) -> list[str]:
        """Drops those whose end has come; IDs of their groups."""
        ended = []
        while self._ends and self._ends[0][0] <= now_ns:
            group_id = heapq.heappop(self._ends)[1]
            ended.append(group_id)
            self._keep(group_id, lambda request: request.until_unix_ns > now_ns)
        return ended

    def in_force(self, group_id: str, now_ns: int) -> InForce:
        """What is wanted of a group now."""
        known = self.by_group.get(group_id)
        return protection_requests.strongest(known, now_ns) if known else NOTHING

    @property
    def due_unix_ns(self) -> int:
        """When the next one ends; 0: none does."""
        return self._ends[0][0] if self._ends else 0

    def _keep(self, group_id: str, may_stay: Callable[[Request], bool]) -> None:
        rest = [request for request in self.by_group.get(group_id, ()) if may_stay(request)]
        if rest:
            self.by_group[group_id] = rest
        else:
            self.by_group.pop(group_id, None)


def _told(request: Request, now_ns: int) -> str:
    """Such as `a forced switch of suzuki until 17:00 JST`; with the day, if it is not within one."""
    end = datetime.fromtimestamp(request.until_unix_ns // 1_000_000_000, UTC).astimezone(_JST)
    shown = f"{end:%H:%M}" if request.until_unix_ns - now_ns < _DAY_NS else f"{end:%Y-%m-%d %H:%M}"
    article = "an" if request.kind == "exercise" else "a"
    line = f" of {request.line_id}" if request.kind == "lockout" and request.line_id else ""
    return f"{article} {_NAMES[request.kind]}{line} by {request.by} until {shown} JST"
