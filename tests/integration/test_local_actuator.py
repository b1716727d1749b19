"""Orders that are carried out on the spot: the newest of each group, told as it goes; and what moves nothing tells the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from netmon.errors import UnavailableError
from netmon.failover.actuators.base import Order
from netmon.failover.actuators.dry_run import DryRun
from netmon.failover.actuators.local import LocalActuator
from netmon.failover.model import ActionResult
from tests.integration.lab import LIMIT_S
from tests.integration.test_linux_routes import SIREN

GROUP: Final = SIREN.group_id


def order(generation: int, to: str, delay_s: float = 0.0) -> Order:
    """For the siren."""
    return Order(
        group_id=GROUP, gateway_id="harbour", class_id="siren", fence=1, generation=generation, on=to, phase="NR",
        delay_s=delay_s, unix_ns=0,
    )  # fmt: skip


class Late(DryRun):
    """One that cannot begin the first time."""

    tries = 0

    async def take_plan(self, *_: object) -> None:
        """Only the second time."""
        self.tries += 1
        if self.tries == 1:
            raise UnavailableError("timeout", "the kernel has not answered")


def told(
    actuator: LocalActuator, work: Callable[[LocalActuator], Awaitable[None]], results: int
) -> tuple[list[ActionResult], dict[str, str]]:
    """What is told until so many results have come, and where the groups are then."""

    async def run() -> tuple[list[ActionResult], dict[str, str]]:
        heard: asyncio.Queue[ActionResult] = asyncio.Queue()
        await actuator.begin(heard.put_nowait)
        await work(actuator)
        async with asyncio.timeout(LIMIT_S):
            found = [await heard.get() for _ in range(results)]
        assert heard.empty()
        actual = await actuator.actual()
        await actuator.close()
        return found, actual

    return asyncio.run(run())


def test_newest_order_of_a_group_is_the_one_that_counts() -> None:
    """One that waits for its turn gives way to a newer one; an older one, and the same again, do nothing."""

    async def work(actuator: LocalActuator) -> None:
        actuator.order([order(1, "radio", delay_s=60.0)])
        actuator.order([order(3, "modem")])
        actuator.order([order(2, "radio"), order(3, "modem")])

    results, actual = told(LocalActuator(DryRun(), [SIREN]), work, 2)

    assert [(result.generation, result.outcome, result.on) for result in results] == [
        (3, "applied", "modem"),
        (3, "verified", "modem"),
    ]
    assert actual == {GROUP: "modem"}


def test_what_cannot_begin_yet_says_so_and_goes_on() -> None:
    """An order waits until the routes can be changed."""

    async def work(actuator: LocalActuator) -> None:
        assert await actuator.actual() == {}  # where a class is that was never moved, nobody knows here
        actuator.order([order(1, "radio")])

    results, _ = told(LocalActuator(Late(), [SIREN]), work, 3)

    assert [result.outcome for result in results] == ["unreachable", "applied", "verified"]
