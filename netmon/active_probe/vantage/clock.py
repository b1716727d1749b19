"""Two clocks: the monotonic one decides everything; the kernel stamps datagrams with the other, which can be set.

Owns how a moment of the one becomes a moment of the other, and how it is noticed that the clock was set (by a person, by NTP's step
after a boot without a battery): a round trip measured across that is absurd, and must make no loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_TRIES: Final = 3
_NARROW_NS: Final = 20_000
"""Two readings of one clock further apart than this had something else between them."""
_STEP_NS: Final = 1_000_000
_SLEW_RATIO: Final = 1_000
"""adjtime(3) moves a clock by 0.5 ms a second at most; twice that is no step yet."""
_TOLD_NS: Final = 10_000_000
"""Moments that are told to others move only when the clock has moved so far: the same moment shall look the same tomorrow."""
SET_NS: Final = 100_000_000
"""Whoever keeps moments of the time of day moves them along when the clock was set by more than this."""


class Clock:
    """Monotonic time, and its distance to the time of day.

    Attributes:
        steps: Times that the clock was seen to be set.
    """

    def __init__(self, mono: Callable[[], int] = time.monotonic_ns, unix: Callable[[], int] = time.time_ns) -> None:
        self.now_ns = mono
        self.steps = 0
        self._unix = unix
        self._offset_ns, self._measured_ns = self._measure()
        self._told_offset_ns = self._offset_ns

    def adjust(self) -> bool:
        """Measures the distance anew; returns whether the clock was set since the last time."""
        offset_ns, now_ns = self._measure()
        moved_ns = abs(offset_ns - self._offset_ns)
        is_step = moved_ns > _STEP_NS + (now_ns - self._measured_ns) // _SLEW_RATIO
        self.steps += is_step
        self._offset_ns, self._measured_ns = offset_ns, now_ns
        if abs(offset_ns - self._told_offset_ns) > _TOLD_NS:
            self._told_offset_ns = offset_ns
        return is_step

    def unix_now_ns(self) -> int:
        """The time of day, as of the last measurement."""
        return self.now_ns() + self._offset_ns

    def unix_of(self, mono_ns: int) -> int:
        """A moment as the time of day, as of the last measurement."""
        return mono_ns + self._offset_ns

    def mono_of(self, unix_ns: int) -> int:
        """When a datagram with this stamp came, on the monotonic clock."""
        return unix_ns - self._offset_ns

    def told(self, mono_ns: int) -> int:
        """A moment as it is told to others: nanoseconds since 1970, the same whenever it is asked."""
        return mono_ns + self._told_offset_ns

    def _measure(self) -> tuple[int, int]:
        """Distance (time of day less monotonic time) and when it was measured: the best of some tries."""
        best_ns, found = 0, (0, 0)
        for attempt in range(_TRIES):
            before_ns = self.now_ns()
            unix_ns = self._unix()
            after_ns = self.now_ns()
            width_ns = after_ns - before_ns
            if attempt == 0 or width_ns < best_ns:
                best_ns, found = width_ns, (unix_ns - (before_ns + after_ns) // 2, after_ns)
            if width_ns <= _NARROW_NS:
                break
        return found
