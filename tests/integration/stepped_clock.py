"""Runs a vantage whose time of day can be set without setting this machine's: SIGUSR1 puts it forward by an hour, SIGUSR2 back by two.

    python stepped_clock.py < settings.json

What the process can see of CLOCK_REALTIME moves together, as after clock_settime(2): what Python reads, and the kernel's stamps of
datagrams that arrive from then on (those that were stamped before and are read later keep the old time). The monotonic clock and
everything else is real.
"""

from __future__ import annotations

import runpy
import signal
import time
from typing import Any

from netmon.active_probe import arrival

FORWARD_NS, BACK_NS = 3_600_000_000_000, -7_200_000_000_000

_read_ns = time.time_ns
_stamp_of = arrival.received_unix_ns
_offset_ns = 0
_before_ns = 0
_set_ns = 0


def step(by_ns: int) -> None:
    """Sets the clock."""
    global _before_ns, _offset_ns, _set_ns
    _before_ns, _set_ns = _offset_ns, _read_ns()
    _offset_ns += by_ns


def stamp(messages: Any) -> int:
    """What the kernel would have stamped."""
    real_ns = _stamp_of(messages)
    return real_ns + (_offset_ns if real_ns >= _set_ns else _before_ns) if real_ns else 0


if __name__ == "__main__":
    time.time_ns = lambda: _read_ns() + _offset_ns
    time.time = lambda: time.time_ns() / 1e9
    arrival.received_unix_ns = stamp
    signal.signal(signal.SIGUSR1, lambda *_: step(FORWARD_NS))
    signal.signal(signal.SIGUSR2, lambda *_: step(BACK_NS))
    runpy.run_module("netmon.active_probe.vantage", run_name="__main__", alter_sys=True)
