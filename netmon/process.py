"""What every process beside the lanes begins with: arguments, settings from standard input, log, signals, what a crash means."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from typing import Any, Final, TypeVar

import msgspec

from netmon import log
from netmon.role import die_with_parent

GC_THRESHOLD: Final = 50_000
"""Containers made and still alive before the collector looks for cycles; what is made for news, probes and answers has none."""

_Settings = TypeVar("_Settings")


def begin(module: str, about: str | None, kind: type[_Settings], role: str, argv: list[str] | None = None) -> _Settings:
    """Makes this process one that the supervisor runs, and returns what it is told. SIGTERM is left to the caller.

    Args:
        module: Its name after `python -m`.
        about: For `--help`.
        kind: Of the settings, which are JSON on standard input; they have `log_level` and `log_format`.
        role: What the log calls it.
        argv: Arguments instead of those of the process.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--parent-pid", type=int, help="the supervisor; this process ends when that one does")
    options = parser.parse_args(argv)
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    settings: Any = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    log.set_up(settings.log_level, settings.log_format, role=role)
    threading.excepthook = _crash
    # Ctrl-C goes to the whole terminal; the supervisor says in which order to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(GC_THRESHOLD)
    told: _Settings = settings
    return told


def _crash(args: threading.ExceptHookArgs) -> None:
    """A process that has lost a thread would show, tell or believe what was true then: it goes as a whole, and is started again."""
    threading.__excepthook__(args)
    os._exit(1)
