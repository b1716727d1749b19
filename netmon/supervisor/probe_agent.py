"""A vantage by itself, on a machine of its own: kept running, told of a changed configuration, stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

from netmon.active_probe.settings import VantageSettings
from netmon.errors import ConfigError
from netmon.log import log
from netmon.supervisor.alarms import Keeper
from netmon.supervisor.child import Child
from netmon.supervisor.service import notify, notify_reloading

GRACE_S: Final = 5.0

_MODULE: Final = ("netmon.active_probe.vantage",)


async def run(settings: VantageSettings, again: Callable[[], VantageSettings]) -> None:
    """Keep the vantage running until SIGTERM or SIGINT.

    Args:
        settings: What it is told now.
        again: Reads everything again, at SIGHUP. Raises ConfigError: then all goes on as before.
    """
    loop = asyncio.get_running_loop()
    wishes: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, wishes.put_nowait, number)
    async with asyncio.TaskGroup() as tasks:

        def start(child: Child) -> None:
            tasks.create_task(child.keep_running(), name=child.name)

        keeper = Keeper("probe", _MODULE, start, tuple)
        await keeper.follow(settings, GRACE_S)
        notify(os.environ, "READY=1")
        while await wishes.get() == signal.SIGHUP:
            notify_reloading(os.environ)
            try:
                await keeper.follow(await asyncio.to_thread(again), GRACE_S)
            except ConfigError as error:
                log.error("agent.reload_refused", mistakes=error.mistakes)
            notify(os.environ, "READY=1")
        notify(os.environ, "STOPPING=1")
        await keeper.stop(GRACE_S)
