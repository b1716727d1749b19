"""When there are more alarms than a person can read (ANSI/ISA-18.2 section 16.5.2): an alarm flood. Pure.

What counts is what people are told: an alarm that another one explains does not count, and stops counting when it turns out to
be explained. An alarm counts once in a window, however often it comes and goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from netmon.alarms.settings import Flood

NS: Final = 1_000_000_000
UPDATE_S: Final = 10
"""While a flood lasts, its count is told this often."""
CAUSES_MAX: Final = 10
"""Causes that are named."""


class FloodState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether people are told more than they can read. A field of an entry of the stream `netmon:alarms`."""

    active: bool = False
    since_unix_ns: int = 0
    """When the flood began; 0: there is none."""
    count: int = 0
    """Alarms that people were told of in the last window."""
    areas: dict[str, int] = {}
    """Area ID to count, for the areas in which it alone would be a flood."""
    causes: tuple[str, ...] = ()
    """IDs of the active alarms that explain the most others; a good place to begin."""


class FloodWatch:
    """Counts what people are told."""

    def __init__(self, settings: Flood) -> None:
        self._settings = settings
        self._window_ns = int(settings.window_s * NS)
        self._told: dict[str, tuple[int, str]] = {}
        """Alarm ID to when it was told and its area; the oldest first."""
        self._by_area: Counter[str] = Counter()
        self._areas: frozenset[str] = frozenset()
        self._since_unix_ns = 0
        self._updated_unix_ns = 0
        self.state = FloodState()
        """As it was last told."""

    def restore(self, state: FloodState, told: Iterable[tuple[int, str, str]]) -> None:
        """Go on where another one was: with what it told last, and with when people were told, alarm ID and area of what counted."""
        self.state, self._since_unix_ns, self._areas = state, state.since_unix_ns, frozenset(state.areas)
        for unix_ns, alarm_id, area in sorted(told):
            self.add(alarm_id, area, unix_ns)

    def add(self, alarm_id: str, area: str, now_unix_ns: int) -> None:
        """People are told of an alarm."""
        self.discard(alarm_id)
        self._told[alarm_id] = (now_unix_ns, area)
        self._by_area[area] += 1

    def discard(self, alarm_id: str) -> None:
        """It has turned out that another one explains it, or it is no more."""
        told = self._told.pop(alarm_id, None)
        if told is not None:
            self._by_area[told[1]] -= 1
            if not self._by_area[told[1]]:
                del self._by_area[told[1]]

    def step(self, now_unix_ns: int, causes: tuple[str, ...]) -> FloodState | None:
        """Judge. Tell what is new: a flood begins or ends, comes to another area, or goes on with other figures.

        Args:
            now_unix_ns: Time.
            causes: The active alarms that explain the most others, the greatest first.
        """
        while self._told and now_unix_ns - self._told[oldest := next(iter(self._told))][0] > self._window_ns:
            self.discard(oldest)
        is_active = self._is_flood(len(self._told), before=self.state.active)
        self._areas = frozenset(
            area for area, count in self._by_area.items() if area and self._is_flood(count, before=area in self._areas)
        )
        if is_active and not self.state.active:
            self._since_unix_ns = now_unix_ns
        areas = {area: self._by_area[area] for area in sorted(self._areas)}
        state = (
            FloodState(
                active=True, since_unix_ns=self._since_unix_ns, count=len(self._told), areas=areas, causes=causes
            )
            if is_active
            else FloodState()
        )
        is_news = state.active != self.state.active or state.areas.keys() != self.state.areas.keys()
        is_due = state != self.state and now_unix_ns - self._updated_unix_ns >= UPDATE_S * NS
        if not is_news and not is_due:
            return None
        self.state, self._updated_unix_ns = state, now_unix_ns
        return state

    def _is_flood(self, count: int, *, before: bool) -> bool:
        """More than one can read begins it; less than half of that ends it."""
        return count * 2 >= self._settings.raised_max if before else count > self._settings.raised_max
