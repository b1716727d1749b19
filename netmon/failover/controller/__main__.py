"""`python -m netmon.failover.controller`: the controller of failover by itself, its settings as JSON on standard input."""

from __future__ import annotations

import signal
import sys

from netmon.failover.controller.process import ControllerProcess
from netmon.failover.settings import ControllerSettings
from netmon.process import begin


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    settings = begin("netmon.failover.controller", __doc__, ControllerSettings, "failover")
    process = ControllerProcess(settings)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
