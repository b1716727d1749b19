"""Makes an actuator of a mover: orders are carried out on this machine, each group's newest, none of a leader that has been replaced.

Owns the stagger of orders, the check of fences, and what is told of an order and when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Final, Literal

from netmon.errors import UnavailableError, disk_cure
from netmon.failover.actuators.base import Moved, Mover, Order, Tell
from netmon.failover.actuators.fences import Fences
from netmon.failover.model import ActionResult
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.log import limited

RETRY_S: Final = 0.5
"""Until the mover is tried again, when it could not begin."""
ORDERS_MAX: Final = 16_384
"""Groups with an order at one time; those of more are told to be unreachable."""


class LocalActuator:
    """See `Actuator`."""

    def __init__(
        self,
        mover: Mover,
        groups: Sequence[PlannedGroup] = (),
        lines: Sequence[PlannedLine] = (),
        *,
        fences: Fences | None = None,
    ) -> None:
        """`fences`: None where whoever orders has checked them already."""
        self._mover = mover
        self._plan = (tuple(groups), tuple(lines))
        self._fences = fences
        self._turn = asyncio.Lock()
        """Of the fences: a thread writes them."""
        self._tell: Tell = lambda _: None
        self._ready = asyncio.Event()
        self._beginning: asyncio.Task[None] | None = None
        self._newest: dict[str, Order] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fault: BaseException | None = None

    async def begin(self, tell: Tell) -> None:
        """See `Actuator`."""
        self._tell = tell
        await self.take_plan(*self._plan)

    async def take_plan(self, groups: Sequence[PlannedGroup], lines: Sequence[PlannedLine]) -> None:
        """See `Mover`; what does not work now is tried again in the background. Raises ConfigError: it can never work."""
        self._plan = (tuple(groups), tuple(lines))
        await _ended(self._beginning)
        self._beginning = None
        try:
            await self._mover.take_plan(*self._plan)
            self._ready.set()
        except UnavailableError as error:
            limited.warning("actuator.plan_delayed", why=error.detail)
            self._beginning = self._started(self._begin_again(), "actuator plan")

    async def _begin_again(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                await self._mover.take_plan(*self._plan)
            except UnavailableError as error:
                limited.warning("actuator.plan_delayed", why=error.detail)
            else:
                self._ready.set()
                return

    def order(self, orders: Sequence[Order]) -> None:
        """See `Actuator`."""
        self._raise_fault()
        for order in orders:
            name = order.group_id
            running = self._tasks.get(name)
            newest = self._newest.get(name)
            if running is None and len(self._tasks) >= ORDERS_MAX:
                self._say(order, "unreachable", f"more than {ORDERS_MAX} groups are being moved")
            elif running is not None and newest is not None and _number(order) <= _number(newest):
                continue  # told again, or late: the newest is on its way
            else:
                self._newest[name] = order
                self._tasks[name] = self._started(self._carry_out(order, running), f"order {name}")

    async def _carry_out(self, order: Order, former: asyncio.Task[None] | None) -> None:
        await _ended(former)
        try:
            await asyncio.sleep(order.delay_s)
            if not self._ready.is_set():
                self._say(order, "unreachable", "this machine's routes cannot be changed yet")
                await self._ready.wait()
            if not await self._is_fresh(order):
                self._say(order, "refused", f"({order.fence}, {order.generation}) is older than what was obeyed last")
                return
            moved = await self._mover.move(
                order.group_id, order.on, forced=order.forced, applied=lambda moved: self._told(order, moved)
            )
            self._told(order, moved)
        finally:
            if self._tasks.get(order.group_id) is asyncio.current_task():
                del self._tasks[order.group_id]

    async def _is_fresh(self, order: Order) -> bool:
        fences = self._fences
        if fences is None:
            return True
        try:
            # In a thread: to sync a memory card takes as long as ten probes.
            async with self._turn:
                return await asyncio.to_thread(
                    lambda: fences.see(order.fence) and fences.take(order.group_id, order.fence, order.generation)
                )
        except OSError as error:
            # It is remembered until we end. Who lets a siren's class stay on a dead line for a full disk does more harm than a leader that
            # comes back after both.
            limited.warning("actuator.fence_unsaved", why=error.strerror or str(error), cure=disk_cure(error))
            return True

    def _told(self, order: Order, moved: Moved) -> None:
        self._tell(
            ActionResult(
                group_id=order.group_id,
                generation=order.generation,
                outcome=moved.outcome,
                on=moved.on,
                detail=moved.detail,
                phases_s=moved.phases_s,
            )
        )

    def _say(self, order: Order, outcome: Literal["refused", "unreachable"], detail: str) -> None:
        self._tell(ActionResult(group_id=order.group_id, generation=order.generation, outcome=outcome, detail=detail))

    async def actual(self) -> dict[str, str]:
        """See `Actuator`."""
        self._raise_fault()
        return await self._mover.actual() if self._ready.is_set() else {}

    async def close(self) -> None:
        """See `Actuator`."""
        for task in (self._beginning, *self._tasks.copy().values()):
            await _ended(task)
        await self._mover.close()

    def _started(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_fault)
        return task

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and self._fault is None:
            self._fault = task.exception()

    def _raise_fault(self) -> None:
        """A fault of ours in the background is raised where somebody sees it."""
        if self._fault is not None:
            raise self._fault


def _number(order: Order) -> tuple[int, int]:
    return (order.fence, order.generation)


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Has a task end, whatever it is at."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
