"""Fail static: when most lines fail at once while most of the observers are blind, it is the observers that have failed.

Pure. Then nothing moves by itself, until half of the vantages have been live for a minute or an operator lifts it. When the vantages are live, it
is a disaster, and that is what failover is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from netmon.failover.model import Freeze, LineFacts

SHARE: Final = 0.5
"""Of the lines of which anything is known: when more of them fail ..."""
WINDOW_NS: Final = 30_000_000_000
"""... within so much time ..."""
AREAS_MIN: Final = 2
"""... in so many areas (or in the only one that the region has), with less than half of the vantages live."""
LIVE_NS: Final = 60_000_000_000
"""Half of the vantages have to be live for so long before it ends by itself."""
BY: Final = "netmon"


class Guard:
    """Watches how many lines fail, and how many observers live. Times are nanoseconds since 1970 UTC."""

    def __init__(self, facts: Iterable[LineFacts]) -> None:
        """Nothing has been seen; all vantages are thought to live."""
        self._areas = {line.line_id: line.area_ids for line in facts}
        self._areas_min = min(AREAS_MIN, len({area for areas in self._areas.values() for area in areas}))
        self._known: set[str] = set()
        self._failed: dict[str, int] = {}
        self._news: list[tuple[int, str]] = []
        self._live, self._total = 1, 1
        self._live_since_ns = 0
        self._freeze: Freeze | None = None

    @property
    def freeze(self) -> Freeze | None:
        """Why nothing shall move by itself, as of the last step; None: it is not so."""
        return self._freeze

    def see_line(self, line_id: str, *, known: bool, failed: bool, since_unix_ns: int) -> None:
        """Takes how a line is. `since_unix_ns`: from when on; a failure that is old counts for nothing, also after a restart."""
        if line_id not in self._areas:
            return
        if known:
            self._known.add(line_id)
        if not failed:
            self._failed.pop(line_id, None)
        elif line_id not in self._failed:
            self._failed[line_id] = since_unix_ns
            self._news.append((since_unix_ns, line_id))

    def see_vantages(self, live: int, total: int, now_ns: int) -> None:
        """Takes how many vantages live, of all."""
        was_live = self._is_seeing
        self._live, self._total = live, total
        if self._is_seeing and not was_live:
            self._live_since_ns = now_ns

    def resume(self, freeze: Freeze) -> None:
        """Goes on with what a guard before this one has found."""
        self._freeze = freeze

    def lift(self) -> None:
        """An operator says that it is over: what has failed so far freezes nothing again."""
        self._freeze = None
        self._news.clear()

    def step(self, now_ns: int) -> Freeze | None:
        """Brings it up to now; returns the freeze, or None.

        A line that has failed within the window counts even if it is good again: the more does that look like blindness.
        """
        recent = [(ns, line_id) for ns, line_id in self._news if now_ns - WINDOW_NS < ns <= now_ns + WINDOW_NS]
        self._news = recent
        if self._freeze is not None:
            if self._is_seeing and now_ns - self._live_since_ns >= LIVE_NS:
                self.lift()
            return self._freeze
        lines = {line_id for _, line_id in recent}
        areas = {area for line_id in lines for area in self._areas[line_id]}
        if not self._is_seeing and len(lines) > SHARE * len(self._known) and len(areas) >= self._areas_min:
            self._freeze = Freeze(by=BY, why=self._why(len(lines), len(areas)), unix_ns=now_ns)
        return self._freeze

    def due_ns(self, now_ns: int) -> int:
        """When to step again even if nothing happens; 0: need not be."""
        if self._freeze is None or not self._is_seeing:
            return 0
        return max(self._live_since_ns + LIVE_NS, now_ns)

    @property
    def _is_seeing(self) -> bool:
        return 2 * self._live >= self._total

    def _why(self, lines: int, areas: int) -> str:
        return (
            f"{lines} of {len(self._known)} lines in {areas} areas failed within {WINDOW_NS // 10**9} s, "
            f"while {self._live} of {self._total} vantages are live"
        )
