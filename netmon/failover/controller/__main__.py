"""`python -m netmon.failover.controller`: the controller of failover by itself, its settings as JSON on standard input."""

from __future__ import annotations

import signal
import sys
from typing import Final

from netmon.failover.controller.process import ControllerProcess
from netmon.failover.settings import ControllerSettings
from netmon.process import begin

_SWITCH_S: Final = 0.000_5
"""After so long another thread may go on: whoever decides does not wait for plans that are made, nor for orders that are signed."""


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    settings = begin("netmon.failover.controller", __doc__, ControllerSettings, "failover")
    sys.setswitchinterval(_SWITCH_S)
    process = ControllerProcess(settings)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
