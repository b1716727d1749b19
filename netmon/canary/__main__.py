"""`python -m netmon.canary`: the canary by itself, its settings as JSON on standard input."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

import msgspec

from netmon import log
from netmon.canary.process import Canary
from netmon.canary.settings import CanarySettings
from netmon.role import die_with_parent


def _crash(args: threading.ExceptHookArgs) -> None:
    """A watcher that has died would make every canary look lost: the process goes with it, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m netmon.canary", description=__doc__)
    parser.add_argument("--parent-pid", type=int, help="the supervisor; the canary ends when that process does")
    options = parser.parse_args()
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=CanarySettings)
    log.set_up(settings.log_level, settings.log_format, role="canary")
    threading.excepthook = _crash
    canary = Canary(settings)
    signal.signal(signal.SIGTERM, lambda *_: canary.stop())
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    canary.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
