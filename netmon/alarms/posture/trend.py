"""Where a series of numbers is going, if it is clear. Pure.

The slope is the median of the slopes between all pairs of samples (Theil and Sen): a third of the samples may be wrong without
moving it. A trend is clear when nearly all pairs agree about the direction, and when what lies between first and last sample is
a good deal more than what samples scatter around the line. Anything else is no trend, and nothing is said of it.
"""

from __future__ import annotations

from statistics import median
from typing import Final

SAMPLES_MAX: Final = 30
SAMPLES_MIN: Final = 6
AGREE_RATIO: Final = 0.85
"""Of the pairs."""
SCATTER_FACTOR: Final = 4.0
"""Of the median distance from the line."""


class Trend:
    """Samples of one window, newest last."""

    def __init__(self, window_s: float) -> None:
        """A trend needs samples from a third of the window at least."""
        self._window_s = window_s
        self._samples: list[tuple[float, float]] = []
        self._slope: float | None = None
        self._is_known = False

    @property
    def last(self) -> tuple[float, float] | None:
        """Time in seconds and value of the newest sample."""
        return self._samples[-1] if self._samples else None

    def add(self, at_s: float, value: float) -> None:
        """Take a sample; one that is older than the newest is dropped, and one that comes too soon takes its place."""
        samples = self._samples
        if samples and at_s < samples[-1][0]:
            return
        # The first of a step stays in its place, so that steps grow however often somebody samples.
        if len(samples) > 1 and at_s - samples[-2][0] < self._window_s / SAMPLES_MAX:
            samples.pop()
        samples.append((at_s, value))
        self._is_known = False
        while samples[0][0] < at_s - self._window_s or len(samples) > SAMPLES_MAX:
            del samples[0]

    def slope(self) -> float | None:
        """Change a second; None when there is no clear one."""
        if not self._is_known:
            self._slope, self._is_known = self._fitted(), True
        return self._slope

    def _fitted(self) -> float | None:
        samples = self._samples
        if len(samples) < SAMPLES_MIN or samples[-1][0] - samples[0][0] < self._window_s / 3:
            return None
        slopes = [
            (later[1] - earlier[1]) / (later[0] - earlier[0])
            for index, earlier in enumerate(samples)
            for later in samples[index + 1 :]
            if later[0] > earlier[0]
        ]
        slope = median(slopes)
        agreeing = sum(1 for one in slopes if one * slope > 0)
        if agreeing < AGREE_RATIO * len(slopes):
            return None
        base = median(value - slope * at_s for at_s, value in samples)
        scatter = median(abs(value - slope * at_s - base) for at_s, value in samples)
        change = abs(slope) * (samples[-1][0] - samples[0][0])
        return slope if change > SCATTER_FACTOR * scatter else None

    def seconds_until(self, limit: float) -> float | None:
        """From the newest sample until the limit is reached; None when it is not clear that it will be."""
        slope = self.slope()
        if slope is None or self.last is None:
            return None
        seconds = (limit - self.last[1]) / slope
        return seconds if seconds >= 0 else None
