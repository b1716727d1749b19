"""Looks at something at a fixed interval while a storm is under way, and the arithmetic on what was seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Sampler(Generic[T]):
    """Calls `look` in a thread of its own; a context manager.

    Attributes:
        samples: (seconds since the start, what was seen), ascending.
    """

    def __init__(self, look: Callable[[float], T], interval_s: float = 1.0) -> None:
        """`look` gets the seconds since the start; an error in it ends the sampling and is raised at the end."""
        self.samples: list[tuple[float, T]] = []
        self._look = look
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def _run(self) -> None:
        start_s = time.monotonic()
        try:
            while True:
                elapsed_s = time.monotonic() - start_s
                self.samples.append((elapsed_s, self._look(elapsed_s)))
                if self._ending.wait(self._interval_s - (time.monotonic() - start_s) % self._interval_s):
                    return
        except Exception as error:
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Returns the slope of the least-squares line through (x, y) points; 0 for fewer than two different x."""
    if not points:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
