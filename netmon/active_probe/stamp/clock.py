"""How far the system's clock may be off, by the kernel's own account (adjtimex(2)), as STAMP's error estimate."""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from netmon.active_probe.stamp.packet import Format, error_estimate_of

_TIMEX_BYTES: Final = 208
_MAXERROR_STATUS: Final = struct.Struct("=24xq8xi")
"""In struct timex of linux/timex.h on 64 bits: maxerror, in microseconds, and status."""
_STA_UNSYNC: Final = 0x40
_UNKNOWN_S: Final = 16.0
"""What the kernel itself says while nobody corrects the clock."""


def error_estimate(style: Format = "ntp") -> int:
    """The 16 bits for our own timestamps; S is set while NTP or PTP keeps the clock."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return error_estimate_of(_UNKNOWN_S, style=style)
    error_us, status = _MAXERROR_STATUS.unpack_from(timex)
    return error_estimate_of(error_us / 1e6, synchronised=not status & _STA_UNSYNC, style=style)
