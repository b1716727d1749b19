"""When what is done: a wheel of bundles of one millisecond, and phases that spread probes evenly over their interval.

Pure. A heap of every event would sift through all lines for each probe; here events of a millisecond share a list, and only
the milliseconds that have one stand in a heap.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

T = TypeVar("T")

BUNDLE_NS: Final = 1_000_000
"""Events this close are done together: as fine as an event loop's timer is."""
GRID_MAX_NS: Final = 4 * BUNDLE_NS
GRID_RATIO: Final = 100
"""What takes long need not be to the millisecond: times of more than so many grids are rounded to a grid, and share a wake."""
CATCH_UP_NS: Final = 8 * BUNDLE_NS
"""So late may a bundle be, and still have all that is due: processes wait for their turn on a processor."""
BUNDLE_LEAST: Final = 16
"""A few may always go out together."""


class Wheel(Generic[T]):
    """Items by when they are due, rounded up to the next bundle.

    Nothing is taken out before its time: who changes his mind recognises by himself what is out of date.
    """

    def __init__(self) -> None:
        self._bundles: defaultdict[int, list[T]] = defaultdict(list)
        self._order: list[int] = []

    def add(self, due_ns: int, item: T) -> int:
        """Puts an item in; returns when its bundle is due, which is up to a millisecond later."""
        number = -(-due_ns // BUNDLE_NS)
        bundle = self._bundles[number]
        if not bundle:
            heappush(self._order, number)
        bundle.append(item)
        return number * BUNDLE_NS

    def next_ns(self) -> int | None:
        """When the first bundle is due; None when there is none."""
        return self._order[0] * BUNDLE_NS if self._order else None

    def take(self, now_ns: int) -> tuple[int, list[T]] | None:
        """Takes out the first bundle and says when it was due; None when none is due yet."""
        if not self._order or self._order[0] * BUNDLE_NS > now_ns:
            return None
        number = heappop(self._order)
        return number * BUNDLE_NS, self._bundles.pop(number)


def phases(keys: Iterable[str], period_ns: int, grid_ns: int = 1) -> dict[str, int]:
    """Where in a period each key has its turn: evenly spread, in an order that looks random but is always the same.

    Neighbours of a list are no neighbours in time, and no bundle has more than its share: drawn phases would have some with twice as
    much as others.
    """
    order = sorted(set(keys), key=_hash)
    places = (rank * period_ns // len(order) for rank in range(len(order)))
    return {key: place - place % grid_ns for key, place in zip(order, places, strict=True)}


def grid_of(period_ns: int, per_second: float) -> int:
    """How coarse turns of this period may be: what shares a wake is cheaper, as long as it is no more than a few.

    Args:
        period_ns: From one turn to the next.
        per_second: Probes that are due on average.
    """
    bundles = int(BUNDLE_LEAST / (per_second * BUNDLE_NS / 1e9)) if per_second else 1
    grid_ns = min(max(bundles, 1) * BUNDLE_NS, GRID_MAX_NS)
    return grid_ns if period_ns >= GRID_RATIO * GRID_MAX_NS else BUNDLE_NS


def on_grid(now_ns: int, wait_ns: int) -> int:
    """When a wait that begins now is over; a long one ends together with others."""
    due_ns = now_ns + wait_ns
    return due_ns if wait_ns < GRID_RATIO * GRID_MAX_NS else due_ns + -due_ns % GRID_MAX_NS


def next_turn(phase_ns: int, period_ns: int, after_ns: int) -> int:
    """The first turn after a moment. Turns stand still while everything is late, so what was evenly spread remains so."""
    return after_ns + period_ns - (after_ns - phase_ns) % period_ns


def bundle_max(per_second: float, elapsed_ns: int) -> int:
    """Most that may be sent in one bundle: twice what is due on average since the last, and never less than a few.

    After a stall, what is due meanwhile goes out in such bundles and not at once: a burst would be lost in the first queue on
    its way, and the line would be blamed.

    Args:
        per_second: Probes that are due on average.
        elapsed_ns: Since the last bundle; of a longer time, CATCH_UP_NS count.
    """
    return max(BUNDLE_LEAST, math.ceil(2 * per_second * min(max(elapsed_ns, BUNDLE_NS), CATCH_UP_NS) / 1e9))


def _hash(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=8).digest()
