"""What has been decided and does not stand in Redis yet: written as a whole, and only then handed to actuators.

Pure. When it could not be written, and nobody else has led since, whoever begins anew writes it under the new number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from netmon.buffer.failover_store import FREEZE_FIELD, REQUESTS
from netmon.buffer.failover_writer import Flush
from netmon.failover.actuators.base import Order
from netmon.failover.model import Freeze, GroupState, Request
from netmon.failover.plan.model import Plan, Reported
from netmon.failover.record import Audit, CommandResult, Loads

AUDITS_MAX: Final = 200_000
"""Entries that wait to be written; of more, the oldest are dropped: the stream would not keep them either."""

_encode = msgspec.json.Encoder().encode


class Pending:
    """What waits."""

    def __init__(self) -> None:
        """Nothing does."""
        self.clear()

    def clear(self) -> None:
        """Forgets all: it stands, and was handed out."""
        self.states: dict[str, GroupState] = {}
        self.orders: dict[str, Order] = {}
        """To be written and handed out: of each group the newest."""
        self.restated: dict[str, Order] = {}
        """To be handed out again, as it was, with what the gateway may do by itself now."""
        self.audits: list[Audit] = []
        self.requests: dict[str, Request] = {}
        self.requests_gone: set[str] = set()
        self.gateways: dict[str, Reported] = {}
        self.plans: dict[str, Plan] = {}
        self.results: list[CommandResult] = []
        self.meta: dict[str, bytes | str] = {}
        self.meta_gone: set[str] = set()
        self.loads: Loads | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (
            self.states
            or self.orders
            or self.audits
            or self.requests
            or self.requests_gone
            or self.gateways
            or self.plans
            or self.results
            or self.meta
            or self.meta_gone
            or self.loads
        )

    def order(self, order: Order) -> None:
        """Takes an order in place of all before of its group."""
        self.orders[order.group_id] = order
        self.restated.pop(order.group_id, None)

    def restate(self, order: Order) -> None:
        """Takes an order that was given before, unless there is a newer one."""
        if order.group_id not in self.orders:
            self.restated[order.group_id] = order

    def request(self, wanted: Iterable[Request], gone: Iterable[str]) -> None:
        """Takes requests that are in force now, and IDs of those that are no more."""
        for request in wanted:
            self.requests[request.id] = request
            self.requests_gone.discard(request.id)
        for request_id in gone:
            self.requests.pop(request_id, None)
            self.requests_gone.add(request_id)

    def freeze(self, freeze: Freeze | None) -> None:
        """Takes that the region is frozen, or not."""
        if freeze is None:
            self.meta.pop(FREEZE_FIELD, None)
            self.meta_gone.add(FREEZE_FIELD)
        else:
            self.meta_gone.discard(FREEZE_FIELD)
            self.meta[FREEZE_FIELD] = _encode(freeze)

    def under(self, fence: int) -> Pending:
        """The same, as another time as the leader says it."""
        self.orders = {name: msgspec.structs.replace(order, fence=fence) for name, order in self.orders.items()}
        self.audits = [msgspec.structs.replace(audit, fence=fence) for audit in self.audits[-AUDITS_MAX:]]
        return self

    def flush(self) -> Flush:
        """What one transaction writes."""
        return Flush(
            states=list(self.states.values()),
            orders=list(self.orders.values()),
            audits=self.audits[-AUDITS_MAX:],
            requests=list(self.requests.values()),
            gateways=list(self.gateways.values()),
            plans=list(self.plans.values()),
            results=self.results,
            gone={REQUESTS: sorted(self.requests_gone)} if self.requests_gone else {},
            meta=self.meta,
            meta_gone=sorted(self.meta_gone),
            loads=self.loads,
        )
