"""`python -m netmon.failover.agent`: the agent of one gateway, its settings as JSON on standard input."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from pathlib import Path
from typing import Final

from netmon import log
from netmon.errors import ConfigError
from netmon.failover.agent.process import Agent
from netmon.failover.settings import AgentSettings
from netmon.process import begin
from netmon.supervisor.service import lock_data_dir

GC_THRESHOLD: Final = 5_000
"""netlink's messages are full of cycles, and memory is what a small machine has least of."""


async def serve(settings: AgentSettings) -> None:
    """Works until SIGTERM or Ctrl-C. Raises ConfigError: it cannot."""
    # Held while the process lives: two agents in one folder would take turns at undoing what the other does.
    lock_data_dir(Path(settings.directory))
    agent = Agent(settings)
    loop = asyncio.get_running_loop()
    # Nobody is above it who would say in which order to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    gc.set_threshold(GC_THRESHOLD)
    await agent.run()


def main() -> int:
    """Returns the exit code."""
    settings = begin("netmon.failover.agent", __doc__, AgentSettings, "agent")
    try:
        asyncio.run(serve(settings))
    except ConfigError as error:
        for mistake in error.mistakes:
            log.log.error("agent.start_refused", reason=mistake)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
