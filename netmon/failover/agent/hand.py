"""Carries out what the edge has decided, one move of a class at a time; a newer order of a class ends the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from netmon.failover.actuators.base import Moved, Mover, Order
from netmon.failover.model import ActionResult


class Hand:
    """The local actuator, as the edge uses it."""

    def __init__(self, mover: Mover, tasks: asyncio.TaskGroup, tell: Callable[[ActionResult], None]) -> None:
        """Makes ready.

        Args:
            mover: Moves.
            tasks: In which it does; when they are cancelled, each move stands, or does not, as a whole.
            tell: Takes what becomes of each order, in the loop: `applied`, and then how it ended.
        """
        self._mover = mover
        self._tasks = tasks
        self._tell = tell
        self._moves: dict[str, asyncio.Task[None]] = {}
        self._newest: dict[str, int] = {}

    def order(self, orders: Sequence[Order]) -> None:
        """Begins them all; returns at once. One that is older than what was begun for its class does nothing."""
        for order in orders:
            if order.generation <= self._newest.get(order.group_id, 0):
                continue
            self._newest[order.group_id] = order.generation
            former = self._moves.get(order.group_id)
            name = f"move {order.group_id}"
            self._moves[order.group_id] = self._tasks.create_task(self._carry_out(order, former), name=name)

    async def _carry_out(self, order: Order, former: asyncio.Task[None] | None) -> None:
        if former is not None and not former.done():
            former.cancel()
            await asyncio.wait([former])

        def applied(moved: Moved) -> None:
            self._tell(_result(order, moved))

        moved = await self._mover.move(order.group_id, order.on, forced=order.forced, applied=applied)
        self._tell(_result(order, moved))


def _result(order: Order, moved: Moved) -> ActionResult:
    return ActionResult(
        group_id=order.group_id,
        generation=order.generation,
        outcome=moved.outcome,
        on=moved.on,
        detail=moved.detail,
        phases_s=moved.phases_s,
    )
