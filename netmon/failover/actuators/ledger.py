"""What was ordered of gateways, and what they told of it: the same for each way of telling them.

Pure. A gateway is told all its groups at once, each time, because what is retained at a broker is one message. So what a former leader has ordered
is kept and told on under its own number, until it is ordered anew. Fences and generations are compared as pairs; see `netmon.failover.actuators.fences`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from netmon.failover.actuators.base import Order
from netmon.failover.model import ActionResult
from netmon.failover.plan.model import Desired, DesiredGroup, ReportedGroup

Number = tuple[int, int]
"""(fence, generation)."""

Verdict = Literal["same", "older", "greater"]
"""What somebody else's desired state is, compared with ours: nothing has to be told; ours has to be told; a leader after us has spoken."""

_OVERTAKEN: Final = "the gateway has obeyed a newer order"


class _Waiting(NamedTuple):
    number: Number
    told: str
    """The last outcome that was told of it; empty: none."""


class _Gateway:
    """One gateway: what is desired of it, what is waited for, what it told last."""

    __slots__ = ("groups", "known", "reported", "version", "waiting")

    def __init__(self, known: Iterable[str]) -> None:
        self.known = frozenset(known)
        self.groups: dict[str, DesiredGroup] = {}
        self.reported: dict[str, ReportedGroup] = {}
        self.waiting: dict[str, _Waiting] = {}
        self.version = 0


class Ledger:
    """Of one leader and its gateways.

    Attributes:
        fence: The leader's number.
    """

    def __init__(self, gateways: Mapping[str, Iterable[str]], fence: int) -> None:
        """`gateways`: ID to the IDs of its groups; what is told of others is passed over."""
        self.fence = fence
        self._gateways = {gateway_id: _Gateway(known) for gateway_id, known in gateways.items()}

    def __contains__(self, gateway_id: str) -> bool:
        return gateway_id in self._gateways

    def __iter__(self) -> Iterator[str]:
        return iter(self._gateways)

    def order(self, order: Order) -> list[ActionResult]:
        """Takes an order; the gateway has to be told. Returns what is known to have become of it already, because it was given before; or that
        it is refused, because a newer one was.
        """
        gateway = self._gateways[order.gateway_id]
        number = (order.fence, order.generation)
        known = gateway.groups.get(order.group_id)
        if known is not None and number < _number(known):
            return [_result(order.group_id, order.generation, "refused", "a newer order was given")]
        gateway.groups[order.group_id] = _desired(order)
        gateway.version += 1
        gateway.waiting[order.group_id] = _Waiting(number, "")
        reported = gateway.reported.get(order.group_id)
        return [] if reported is None else _news(gateway, [reported])

    def desired(self, gateway_id: str, unix_ns: int) -> Desired | None:
        """All that is wanted of a gateway; None: nothing was ever ordered of it."""
        gateway = self._gateways[gateway_id]
        if not gateway.groups:
            return None
        return Desired(
            gateway_id=gateway_id,
            fence=self.fence,
            version=gateway.version,
            unix_ns=unix_ns,
            groups=tuple(gateway.groups.values()),
        )

    def compare(self, found: Desired) -> Verdict:
        """What somebody has published of a gateway of ours, and is to be believed.

        A former leader's groups that we have ordered nothing of, and those whose number is greater than what we know, are adopted.
        """
        if found.fence > self.fence:
            return "greater"
        gateway = self._gateways[found.gateway_id]
        for group in found.groups:
            known = gateway.groups.get(group.group_id)
            if group.group_id in gateway.known and (known is None or _number(group) > _number(known)):
                gateway.groups[group.group_id] = group
                gateway.version += 1
        gateway.version = max(gateway.version, found.version if found.fence == self.fence else 0)
        return "same" if found.fence == self.fence and set(found.groups) == set(gateway.groups.values()) else "older"

    def report(self, gateway_id: str, groups: Iterable[ReportedGroup]) -> list[ActionResult]:
        """Takes what a gateway tells of its groups; returns what is new of orders that are waited for."""
        gateway = self._gateways[gateway_id]
        known = [group for group in groups if group.group_id in gateway.known]
        gateway.reported = {group.group_id: group for group in known}
        return _news(gateway, known)

    def actual(self, gateway_id: str) -> list[tuple[str, str]]:
        """Groups and where they are, as the gateway last told."""
        return [(group.group_id, group.on) for group in self._gateways[gateway_id].reported.values()]

    def is_behind(self, gateway_id: str) -> bool:
        """Whether the gateway does not know of something that is wanted of it, as it last told."""
        gateway = self._gateways[gateway_id]
        for group_id, group in gateway.groups.items():
            reported = gateway.reported.get(group_id)
            if reported is None or (reported.fence, reported.generation) < _number(group):
                return True
        return False

    def unreachable(self, gateway_id: str, why: str) -> list[ActionResult]:
        """The gateway cannot be told now; returns of which orders that is news."""
        waiting = self._gateways[gateway_id].waiting
        results = []
        for group_id, order in waiting.items():
            if not order.told:
                waiting[group_id] = order._replace(told="unreachable")
                results.append(_result(group_id, order.number[1], "unreachable", why))
        return results

    def waiting(self) -> list[str]:
        """Gateways of which an order is waited for."""
        return [gateway_id for gateway_id, gateway in self._gateways.items() if gateway.waiting]


def _number(group: DesiredGroup) -> Number:
    return group.fence, group.generation


def _desired(order: Order) -> DesiredGroup:
    return DesiredGroup(
        group_id=order.group_id,
        on=order.on,
        fence=order.fence,
        generation=order.generation,
        phase=order.phase,
        reason=order.reason,
        forced=order.forced,
        locked=order.locked,
        avoid=order.avoid,
    )


def _news(gateway: _Gateway, groups: Iterable[ReportedGroup]) -> list[ActionResult]:
    results = []
    for group in groups:
        order = gateway.waiting.get(group.group_id)
        if order is None or not group.generation >= 0:
            continue
        number = (group.fence, group.generation)
        if number > order.number:
            del gateway.waiting[group.group_id]
            results.append(_result(group.group_id, order.number[1], "refused", _OVERTAKEN, on=group.on))
        elif number == order.number and group.outcome and group.outcome != order.told:
            if group.outcome == "applied":
                gateway.waiting[group.group_id] = order._replace(told="applied")
            else:
                del gateway.waiting[group.group_id]
            results.append(
                ActionResult(
                    group_id=group.group_id,
                    generation=group.generation,
                    outcome=group.outcome,
                    on=group.on,
                    detail=group.detail,
                    phases_s=group.phases_s,
                )
            )
    return results


def _result(
    group_id: str, generation: int, outcome: Literal["refused", "unreachable"], detail: str, on: str | None = None
) -> ActionResult:
    return ActionResult(group_id=group_id, generation=generation, outcome=outcome, on=on, detail=detail)
