"""Who returns when, and who is told when: traffic comes back in steps, and commands that can wait are spread.

Pure. Nothing is left to chance: what is spread is spread by a hash, so that a second leader spreads it in the same way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final
from zlib import crc32

from netmon.alarms.posture.model import Posture
from netmon.failover.model import Group, Priority
from netmon.failover.protection.posture import EFFECTS

STEPS_PERCENT: Final = (10, 40, 100)
"""Of a class that returns to an area, after the first, second and third step: 10, 30 and 60 %."""
STEPPED_MIN: Final = 10
"""Fewer groups than this return in one step: a tenth of them would be none."""

_S: Final = 1_000_000_000
_LONGEST_NS: Final = round(max(max(each.return_gap_s, each.step_pause_s) for each in EFFECTS.values()) * _S)


def stagger_s(group_id: str, generation: int, priority: Priority, posture: Posture) -> float:
    """How long a command that can wait does wait, in seconds; the same each time it is asked."""
    most = EFFECTS[posture].stagger_max_s[priority]
    return most * crc32(f"{group_id} {generation}".encode()) / (1 << 32)


class _Wave:
    """The groups of one class that return to one area, from the first that may to the last that has."""

    __slots__ = ("open_ns", "returned", "step", "waiting")

    def __init__(self) -> None:
        self.waiting: list[str] = []
        """Group IDs, sorted."""
        self.returned: set[str] = set()
        self.step = 0
        self.open_ns = 0
        """Before this nobody of it returns: a step has ended."""

    def join(self, group_id: str) -> None:
        place = bisect_left(self.waiting, group_id)
        if self.waiting[place : place + 1] == [group_id]:
            return
        if group_id in self.returned:
            self.returned.clear()
            self.step = 0
        self.waiting.insert(place, group_id)

    def quit(self, group_id: str) -> None:
        place = bisect_left(self.waiting, group_id)
        if self.waiting[place : place + 1] == [group_id]:
            del self.waiting[place]

    def pop(self, now_ns: int, pause_ns: int) -> str:
        """Takes the next one; there is one."""
        group_id = self.waiting.pop(0)
        self.returned.add(group_id)
        total = len(self.waiting) + len(self.returned)
        if total >= STEPPED_MIN and len(self.returned) * 100 >= STEPS_PERCENT[self.step] * total:
            self.step = min(self.step + 1, len(STEPS_PERCENT) - 1)
            self.open_ns = now_ns + pause_ns
        return group_id


class _Area:
    """One area: at most one of its groups returns at a time."""

    __slots__ = ("open_ns", "waves")

    def __init__(self) -> None:
        self.waves: dict[tuple[int, str], _Wave] = {}
        """Priority and class ID to the wave."""
        self.open_ns = 0


class Turns:
    """Who may return. Groups whose wait to restore is over `join`; `ready` says whose turn it is.

    At most one group at a time returns to an area, P0 first. A class of ten groups or more returns in steps, with a pause after each: if a
    line fails again under what has returned, the class begins anew with its first step.
    """

    def __init__(self) -> None:
        """Nobody waits."""
        self._areas: dict[str, _Area] = {}

    def join(self, group: Group) -> None:
        """The group would return if it were its turn; saying it again changes nothing."""
        area = self._areas.setdefault(group.area_id, _Area())
        area.waves.setdefault((group.priority, group.class_id), _Wave()).join(group.id)

    def quit(self, group: Group) -> None:
        """The group waits no more: its working line has failed again, or it has returned in another way. It may not have waited at all."""
        area = self._areas.get(group.area_id)
        wave = area.waves.get((group.priority, group.class_id)) if area else None
        if area is None or wave is None:
            return
        wave.quit(group.id)
        if not wave.waiting:
            del area.waves[group.priority, group.class_id]

    def ready(self, now_ns: int, postures: Mapping[str, Posture]) -> list[str]:
        """Whose turn it is now: at most one group of each area, sorted. The turn is taken by that; who does not use it has to join again.

        Args:
            now_ns: Since 1970 UTC. When it has gone back, nobody waits for longer than a gap, or a pause, from now.
            postures: Area ID to its posture; an area that is missing is normal.
        """
        found = []
        for area_id, area in self._areas.items():
            effects = EFFECTS[postures.get(area_id, "normal")]
            gap_ns, pause_ns = round(effects.return_gap_s * _S), round(effects.step_pause_s * _S)
            if not area.waves or now_ns < area.open_ns <= now_ns + gap_ns:
                continue
            for key in sorted(area.waves):
                wave = area.waves[key]
                if now_ns < wave.open_ns <= now_ns + pause_ns:
                    continue
                found.append(wave.pop(now_ns, pause_ns))
                area.open_ns = now_ns + gap_ns
                if not wave.waiting:
                    del area.waves[key]
                break
        return sorted(found)

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much: gaps and pauses go on as if it had not been."""
        for area in self._areas.values():
            area.open_ns += by_ns
            for wave in area.waves.values():
                wave.open_ns += by_ns

    def due_ns(self, now_ns: int) -> int:
        """When to ask `ready` again; 0: nobody waits. Never before now, and soon even if the clock has gone back."""
        dues = [
            min(max(area.open_ns, now_ns, min(wave.open_ns for wave in area.waves.values())), now_ns + _LONGEST_NS)
            for area in self._areas.values()
            if area.waves
        ]
        return min(dues, default=0)
