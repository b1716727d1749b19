"""Time and chance of a simulated region: events in the order of their time, each drawn from one seed."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Final

S: Final = 1_000_000_000
MS: Final = 1_000_000
START_NS: Final = 1_795_000_000 * S
"""When simulated days begin, on the true clock."""

Event = Callable[[], None]


class Engine:
    """A clock that nobody in the region can see, and what happens when.

    Attributes:
        now_ns: True time.
        rng: For all that is left to chance; the same seed, the same day.
        steps: Events so far.
    """

    def __init__(self, seed: int) -> None:
        """Begins at START_NS."""
        self.now_ns = START_NS
        self.rng = random.Random(seed)
        self.steps = 0
        self._events: list[tuple[int, int, Event]] = []
        self._numbers = itertools.count()

    def after(self, delay_ns: int, event: Event) -> None:
        """Has something happen later; events of one time happen in the order in which they were asked for."""
        heapq.heappush(self._events, (self.now_ns + max(delay_ns, 0), next(self._numbers), event))

    def within(self, least_ns: int, most_ns: int, event: Event) -> None:
        """The same, at a time left to chance."""
        self.after(self.rng.randint(least_ns, most_ns), event)

    def at(self, when_ns: int, event: Event) -> None:
        """The same, at a time; now, if that has passed."""
        self.after(when_ns - self.now_ns, event)

    def chance(self, share: float) -> bool:
        """Whether something that happens so often happens now."""
        return self.rng.random() < share

    def run(self, until_ns: int, after_each: Event) -> None:
        """Lets everything happen up to a time; `after_each` looks at the region after each event."""
        while self._events and self._events[0][0] <= until_ns:
            self.now_ns, _, event = heapq.heappop(self._events)
            self.steps += 1
            event()
            after_each()
        self.now_ns = until_ns
