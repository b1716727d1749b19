"""`python -m netmon.active_probe.vantage`: one vantage by itself, its settings as JSON on standard input."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys

from netmon import log
from netmon.active_probe.settings import VantageSettings
from netmon.active_probe.vantage.process import Vantage
from netmon.errors import ConfigError
from netmon.process import begin


async def serve(vantage: Vantage) -> None:
    """Works until SIGTERM."""
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await vantage.run()


def main() -> int:
    """Returns the exit code."""
    settings = begin("netmon.active_probe.vantage", __doc__, VantageSettings, "probe")
    try:
        vantage = Vantage(settings)
    except ConfigError as error:
        for mistake in error.mistakes:
            log.log.error("probe.start_refused", reason=mistake)
        return 1
    # What is alive now lives as long as the process.
    gc.freeze()
    asyncio.run(serve(vantage))
    return 0


if __name__ == "__main__":
    sys.exit(main())
