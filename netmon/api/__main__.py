"""`python -m netmon.api`: the API by itself, its settings as JSON on standard input."""

from __future__ import annotations

import asyncio
import signal
import sys

from netmon import log
from netmon.api import lines, listen, reads, writes
from netmon.api.server import Api, Server
from netmon.api.settings import ApiSettings
from netmon.errors import ConfigError
from netmon.process import begin


async def serve(settings: ApiSettings) -> None:
    """Serves until SIGTERM. Raises ConfigError when it cannot listen."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    server = Server(Api(settings), [*reads.ROUTES, *lines.ROUTES, *writes.ROUTES, *listen.ROUTES])
    await server.start()
    log.log.info("api.server_started", listen=server.listen)
    await stopping.wait()
    await server.stop()


def main() -> int:
    """Returns the exit code: 0 after SIGTERM, 2 when it cannot listen as it was told."""
    settings = begin("netmon.api", __doc__, ApiSettings, "api")
    try:
        asyncio.run(serve(settings))
    except ConfigError as error:
        log.log.error("api.start_failed", reason=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
