"""Moves classes as it is told: the actuator of this machine's routes, in whatever network namespace it is started.

    python moving.py FENCES

Each line of its standard input is a `Command`, answered by a line. It ends with its input, and may be killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec

from netmon.errors import ConfigError
from netmon.failover.actuators.base import Moved, Order
from netmon.failover.actuators.fences import Fences
from netmon.failover.actuators.linux_routes import LinuxRoutes
from netmon.failover.actuators.local import LocalActuator
from netmon.failover.model import ActionResult
from netmon.failover.plan.model import PlannedGroup, PlannedLine


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What shall be done."""

    do: Literal["plan", "move", "order", "actual"]
    groups: tuple[PlannedGroup, ...] = ()
    lines: tuple[PlannedLine, ...] = ()
    group_id: str = ""
    to: str = ""
    forced: bool = False
    down: tuple[str, ...] = ()
    """Lines that are known to be down."""
    order: Order | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it."""

    moved: Moved | None = None
    results: tuple[ActionResult, ...] = ()
    actual: dict[str, str] = {}
    mistakes: tuple[str, ...] = ()


class Hand:
    """Does it."""

    def __init__(self, fences: Path) -> None:
        self._down: tuple[str, ...] = ()
        self._mover = LinuxRoutes(is_down=lambda line_id: line_id in self._down)
        self._fences = Fences(fences)
        self._actuator: LocalActuator | None = None
        self._results: asyncio.Queue[ActionResult] = asyncio.Queue()

    async def do(self, command: Command) -> Answer:
        """One command."""
        self._down = command.down
        match command.do:
            case "plan":
                await self._take_plan(command)
                return Answer()
            case "move":
                return Answer(moved=await self._mover.move(command.group_id, command.to, forced=command.forced))
            case "order":
                assert command.order is not None
                assert self._actuator is not None
                self._actuator.order([command.order])
                return Answer(results=tuple([result async for result in self._until_done()]))
            case "actual":
                return Answer(actual=await self._mover.actual())

    async def _take_plan(self, command: Command) -> None:
        """The first begins: before it, what stands is not touched."""
        if self._actuator is not None:
            await self._actuator.take_plan(command.groups, command.lines)
        else:
            self._actuator = LocalActuator(self._mover, command.groups, command.lines, fences=self._fences)
            await self._actuator.begin(self._results.put_nowait)

    async def _until_done(self) -> AsyncIterator[ActionResult]:
        outcome = ""
        while outcome in {"", "applied"}:
            result = await self._results.get()
            yield result
            outcome = result.outcome


async def main() -> None:
    """Until the input ends."""
    hand = Hand(Path(sys.argv[1]))
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        try:
            answer = await hand.do(msgspec.json.decode(line, type=Command))
        except ConfigError as error:
            answer = Answer(mistakes=tuple(error.mistakes))
        print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
