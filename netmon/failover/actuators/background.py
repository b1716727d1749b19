"""What an actuator has under way while nobody calls it: tasks, and things to be done later; all ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Background:
    """Of one actuator, in one loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begins something. If it fails that is a fault of ours: the loop's exception handler is told, and ends the process."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Does it then, unless all is ended before."""

        def now() -> None:
            self._timers.discard(timer)
            do()

        timer = asyncio.get_running_loop().call_later(delay_s, now)
        self._timers.add(timer)

    async def close(self) -> None:
        """Ends everything, and waits until it has ended."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            facts = {"message": f"{task.get_name()} failed", "exception": task.exception(), "task": task}
            task.get_loop().call_exception_handler(facts)
