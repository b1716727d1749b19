"""`python -m netmon.canary`: the canary by itself, its settings as JSON on standard input."""

from __future__ import annotations

import signal
import sys

from netmon.canary.process import Canary
from netmon.canary.settings import CanarySettings
from netmon.process import begin


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    settings = begin("netmon.canary", __doc__, CanarySettings, "canary")
    canary = Canary(settings)
    signal.signal(signal.SIGTERM, lambda *_: canary.stop())
    canary.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
