"""`python -m netmon.api`: the API by itself, its settings as JSON on standard input."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
import threading

import msgspec

from netmon import log
from netmon.api import lines, listen, reads, writes
from netmon.api.server import Api, Server
from netmon.api.settings import ApiSettings
from netmon.errors import ConfigError
from netmon.role import die_with_parent

_GC_THRESHOLD = 50_000
"""As in a role: what is made for a batch or an answer has no cycles."""


def _crash(args: threading.ExceptHookArgs) -> None:
    """A mirror whose thread has died would show old data for ever: the process goes with it, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)


async def serve(settings: ApiSettings) -> None:
    """Serves until SIGTERM. Raises ConfigError when it cannot listen."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(Api(settings), [*reads.ROUTES, *lines.ROUTES, *writes.ROUTES, *listen.ROUTES])
    await server.start()
    log.log.info("api.server_started", listen=server.listen)
    await stopping.wait()
    await server.stop()


def main() -> int:
    """Returns the exit code: 0 after SIGTERM, 2 when it cannot listen as it was told."""
    parser = argparse.ArgumentParser(prog="python -m netmon.api", description=__doc__)
    parser.add_argument("--parent-pid", type=int, help="the supervisor; the API ends when that process does")
    options = parser.parse_args()
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=ApiSettings)
    log.set_up(settings.log_level, settings.log_format, role="api")
    threading.excepthook = _crash
    gc.set_threshold(_GC_THRESHOLD)
    try:
        asyncio.run(serve(settings))
    except ConfigError as error:
        log.log.error("api.start_failed", reason=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
