"""A token bucket: so many a second, and so many at once. Pure."""

from __future__ import annotations

from typing import Final

NS: Final = 1_000_000_000


class Bucket:
    """A token bucket that time fills; any clock will do, as long as it is always the same."""

    __slots__ = ("_burst", "_filled_ns", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now_ns: int) -> None:
        """Full at the beginning; `rate` tokens a second, never more than `burst`."""
        self._rate, self._burst = rate, burst
        self._tokens = burst
        self._filled_ns = now_ns

    def take(self, now_ns: int) -> bool:
        """Whether there was a token. Time that stands still or goes back fills nothing."""
        elapsed_ns = now_ns - self._filled_ns
        if elapsed_ns > 0:
            self._filled_ns = now_ns
            self._tokens = min(self._burst, self._tokens + self._rate * elapsed_ns / NS)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give_back(self) -> None:
        """The token that was taken last was not used."""
        self._tokens += 1
