"""`python -m netmon.active_probe.verdict`: the verdict process by itself, its settings as JSON on standard input."""

from __future__ import annotations

import signal
import sys

from netmon.active_probe.settings import VerdictSettings
from netmon.active_probe.verdict.process import VerdictProcess
from netmon.process import begin


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    settings = begin("netmon.active_probe.verdict", __doc__, VerdictSettings, "lines")
    process = VerdictProcess(settings)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
