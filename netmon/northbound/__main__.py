"""`python -m netmon.northbound`: sinks and feeds by themselves, their settings as JSON on standard input."""

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
from netmon.northbound.process import Northbound
from netmon.northbound.settings import NorthboundSettings
from netmon.role import die_with_parent

_GC_THRESHOLD = 50_000
"""As in a role: alarms are read in batches, and make no cycles."""


def _crash(args: threading.ExceptHookArgs) -> None:
    """A follower that has died would have others believe what was true then: the process goes with it, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)


async def serve(settings: NorthboundSettings) -> None:
    """Works until SIGTERM."""
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(asyncio.CancelledError):
        await Northbound(settings).run()


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m netmon.northbound", description=__doc__)
    parser.add_argument("--parent-pid", type=int, help="the supervisor; this process ends when that one does")
    options = parser.parse_args()
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=NorthboundSettings)
    log.set_up(settings.log_level, settings.log_format, role="northbound")
    threading.excepthook = _crash
    gc.set_threshold(_GC_THRESHOLD)
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
