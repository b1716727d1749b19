"""When to send: the shapes of a storm and the arithmetic of pacing.

Pure: time comes in as seconds since the storm's start, a number of traps goes out. A shape is given by its area, the
share of the storm that is due by a moment, because areas add up to the promised count without rounding drift.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Shape = Literal["step", "ramp", "earthquake"]

QUIET_SHARE = 0.1
"""Share of an earthquake storm that passes before the shock."""
QUIET_LEVEL = 0.01
"""Rate before the shock and at the very end, as a share of the peak: what a calm network sends."""
SHOCKS: tuple[tuple[float, float, float], ...] = (
    (QUIET_SHARE, 1 - QUIET_LEVEL, 0.12),
    (0.4, 0.5, 0.04),
    (0.6, 0.25, 0.04),
    (0.8, 0.12, 0.04),
)
"""(moment, height, time constant) of the main shock and its after-shocks, in shares of duration, peak and duration.

Each starts at once and decays exponentially; they add up. The heights halve as after-shock magnitudes fall, the main
shock's rate is exactly the peak."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The course of a storm's rate."""

    shape: Shape
    """`step`: constant. `ramp`: linearly from 0 up to the rate. `earthquake`: quiet, instantly the peak, slow decay
    with after-shocks (`SHOCKS`)."""
    rate: float
    """Traps per second: constant for `step`, the peak for the others."""
    duration_s: float
    """Seconds from the first to the last trap."""

    @property
    def total(self) -> int:
        """Traps of the whole storm."""
        return round(self.rate * self.duration_s * area(self.shape, 1.0))

    def due(self, elapsed_s: float) -> int:
        """Traps that should have been sent `elapsed_s` seconds after the start, never more than `total`."""
        if elapsed_s >= self.duration_s:
            return self.total
        return min(self.total, math.floor(self.rate * self.duration_s * area(self.shape, elapsed_s / self.duration_s)))


def for_count(shape: Shape, rate: float, count: int) -> Profile:
    """Returns the profile that reaches `rate` and sends `count` traps, however long that takes."""
    return Profile(shape=shape, rate=rate, duration_s=count / (rate * area(shape, 1.0)))


def level(shape: Shape, x: float) -> float:
    """The rate at share `x` (0 to 1) of the duration, as a share of the peak rate."""
    if shape == "step":
        return 1.0
    if shape == "ramp":
        return x
    return QUIET_LEVEL + sum(height * math.exp((at - x) / tau) for at, height, tau in SHOCKS if x >= at)


def area(shape: Shape, x: float) -> float:
    """The integral of `level` from 0 to `x`."""
    if shape == "step":
        return x
    if shape == "ramp":
        return x * x / 2
    decayed = sum(height * tau * (1 - math.exp((at - x) / tau)) for at, height, tau in SHOCKS if x >= at)
    return QUIET_LEVEL * x + decayed


class Pace(msgspec.Struct, frozen=True):
    """What the sender should do now."""

    send: int
    """Traps to send at once, 0 to the batch's limit."""
    slip_s: float
    """Seconds by which the schedule's start must move, so that a sender that fell behind does not catch up in a burst
    that nobody asked for; 0 while it keeps up."""


def pace(profile: Profile, *, elapsed_s: float, sent: int, batch_max: int, debt_max_s: float = 0.1) -> Pace:
    """Decides how much is due, with a bound on what a late sender may catch up.

    Args:
        profile: The storm.
        elapsed_s: Seconds since the start, later slips left out.
        sent: Traps sent so far.
        batch_max: Most traps of one call.
        debt_max_s: Seconds of the profile's rate that may be sent faster than the profile says.
    """
    owed = profile.due(elapsed_s) - sent
    if owed <= 0:
        return Pace(0, 0.0)
    # The whole debt is forgiven at once, so that a sender at its limit bisects every `debt_max_s`, not every batch.
    late = profile.due(elapsed_s - debt_max_s) > sent
    return Pace(min(owed, batch_max), _lateness_s(profile, elapsed_s, sent) if late else 0.0)


def _lateness_s(profile: Profile, elapsed_s: float, sent: int) -> float:
    """Seconds between the moment when trap number `sent` was due and now, by bisection."""
    low, high = 0.0, min(elapsed_s, profile.duration_s)
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if profile.due(middle) <= sent else (low, middle)
    return elapsed_s - high
