"""`python -m netmon.northbound`: sinks and feeds by themselves, their settings as JSON on standard input."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from netmon.northbound.process import Northbound
from netmon.northbound.settings import NorthboundSettings
from netmon.process import begin


async def serve(settings: NorthboundSettings) -> None:
    """Works until SIGTERM."""
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await Northbound(settings).run()


def main() -> int:
    """Returns the exit code."""
    settings = begin("netmon.northbound", __doc__, NorthboundSettings, "northbound")
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
