"""`python -m netmon.active_probe.vantage`: one vantage by itself, its settings as JSON on standard input."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading

import msgspec

from netmon import log
from netmon.active_probe.settings import VantageSettings
from netmon.active_probe.vantage.process import Vantage
from netmon.errors import ConfigError
from netmon.role import die_with_parent

_GC_THRESHOLD = 50_000
"""As in a role: probes make tuples and numbers, and no cycles."""


def _crash(args: threading.ExceptHookArgs) -> None:
    """A vantage that cannot tell what it finds would look stale: the process goes with its thread, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)


async def serve(vantage: Vantage) -> None:
    """Works until SIGTERM."""
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(asyncio.CancelledError):
        await vantage.run()


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m netmon.active_probe.vantage", description=__doc__)
    parser.add_argument("--parent-pid", type=int, help="the supervisor; this process ends when that one does")
    options = parser.parse_args()
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=VantageSettings)
    log.set_up(settings.log_level, "json" if settings.log_format == "json" else "console", role="probe")
    threading.excepthook = _crash
    try:
        vantage = Vantage(settings)
    except ConfigError as error:
        for mistake in error.mistakes:
            log.log.error("probe.start_refused", reason=mistake)
        return 1
    # What is alive now lives as long as the process.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    asyncio.run(serve(vantage))
    return 0


if __name__ == "__main__":
    sys.exit(main())
