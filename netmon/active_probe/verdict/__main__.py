"""`python -m netmon.active_probe.verdict`: the verdict process by itself, its settings as JSON on standard input."""

from __future__ import annotations

import argparse
import gc
import signal
import sys

import msgspec

from netmon import log
from netmon.active_probe.settings import VerdictSettings
from netmon.active_probe.verdict.process import VerdictProcess
from netmon.role import die_with_parent

_GC_THRESHOLD = 50_000
"""As in a role: what is made of news has no cycles."""


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m netmon.active_probe.verdict", description=__doc__)
    parser.add_argument("--parent-pid", type=int, help="the supervisor; the process ends when that one does")
    options = parser.parse_args()
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=VerdictSettings)
    log.set_up(settings.log_level, settings.log_format, role="lines")
    process = VerdictProcess(settings)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(_GC_THRESHOLD)
    process.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
