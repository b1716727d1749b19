"""A story at a pace: which notification goes at which position of a storm.

Pure. The steps of the story come at the positions that are due at their time; all others are repeats that change nothing, of what
was said last about an alarm. Devices that have fallen silent repeat nothing.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from random import Random
from typing import Final

from loadtest.earthquake.story import Story
from loadtest.profile import Profile
from netmon.alarms.model import Key

POSITIONS_A_STEP_MIN: Final = 4
"""A storm has at least so many notifications for each step, so that nothing comes much later than it should."""


def count_min(story: Story) -> int:
    """How many notifications a storm needs to tell a story."""
    return POSITIONS_A_STEP_MIN * len(story.steps)


def order(story: Story, profile: Profile) -> array[int]:
    """For each position of a storm, the index of the notification that goes there.

    Raises:
        ValueError: The storm is too small for the story.
    """
    total = profile.total
    if total < count_min(story):
        raise ValueError(
            f"this disaster needs at least {count_min(story):,} notifications, and the storm has {total:,}"
        )
    positions = array("I")
    pool = _Pool(Random(story.seed))
    silences = list(reversed(story.silences))
    for number, step in enumerate(story.steps):
        left = len(story.steps) - number
        due = min(profile.due(step.at * profile.duration_s), total - left)
        while silences and silences[-1][0] <= step.at:
            pool.repeat(positions, profile.due(silences[-1][0] * profile.duration_s), most=total - left)
            pool.silence(silences.pop()[1])
        pool.repeat(positions, due, most=total - left)
        positions.append(step.notice)
        notice = story.notices[step.notice]
        pool.put(notice.says[0].key, notice.device_id, step.notice, step.weight)
    for _, device in silences:
        pool.silence(device)
    pool.repeat(positions, total, most=total)
    return positions


class _Pool:
    """What may be repeated now."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._now: dict[Key, tuple[str, int, int]] = {}

    def put(self, key: Key, device: str, notice: int, weight: int) -> None:
        """This was said last about an alarm."""
        self._now[key] = (device, notice, weight)

    def silence(self, device: str) -> None:
        """A device repeats nothing any more."""
        self._now = {key: said for key, said in self._now.items() if said[0] != device}

    def repeat(self, positions: array[int], until: int, *, most: int) -> None:
        """Fills the positions up to one."""
        missing = min(until, most) - len(positions)
        if missing <= 0:
            return
        said = [(notice, weight) for _, notice, weight in self._now.values() if weight]
        chosen = [notice for notice, _ in said]
        weights = list(accumulate(weight for _, weight in said))
        positions.extend(self._rng.choices(chosen, cum_weights=weights, k=missing))
