"""What an area's disaster posture changes: timers, who may use small lines, how quickly traffic returns, how commands are spread.

Pure. A posture moves nothing by itself. What it changes holds for what is decided from then on: nothing leaves a line because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.model import Group, Priority

URGENT_MAX: Final[Priority] = 1
"""P0 and P1 do not wait, and may use small lines, in a disaster."""
SMALL_LINE_BPS: Final = 20_000_000
"""A line with less is kept for P0 and P1 in a disaster."""
DISASTER_WTR_S: Final = 720.0
"""Wait to restore in a disaster at least (GR-253: 5 to 12 minutes): what has just been mended is shaken again."""


class Effects(NamedTuple):
    """What one posture makes of its area."""

    hold_off_priority_max: int = -1
    """P0 to this one leave at once, whatever their hold-off; -1: none."""
    wtr_min_s: float = 0.0
    small_line_bps: int = 0
    """On lines with less than this ..."""
    small_line_priority_max: int = 3
    """... only P0 to this one come."""
    exercises: bool = True
    """Whether an operator may exercise a group."""
    return_gap_s: float = 1.0
    """Between two groups of the area that return."""
    step_pause_s: float = 5.0
    """Between two steps (10, 30, 60 %) of a class that returns."""
    stagger_max_s: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """P0 to P3: over how long a time commands that can wait are spread."""


_DISASTER: Final = Effects(
    hold_off_priority_max=URGENT_MAX,
    wtr_min_s=DISASTER_WTR_S,
    small_line_bps=SMALL_LINE_BPS,
    small_line_priority_max=URGENT_MAX,
    exercises=False,
    return_gap_s=30.0,
    step_pause_s=60.0,
    stagger_max_s=(0.0, 2.0, 10.0, 60.0),
)
EFFECTS: Final[Mapping[Posture, Effects]] = {
    "normal": Effects(),
    # Something may be coming: whoever tries things out now would be tried himself.
    "suspected": Effects(exercises=False),
    "disaster": _DISASTER,
    # Lines are mended, and fail again: traffic returns as slowly as in the disaster, but small lines are open to all.
    "recovering": _DISASTER._replace(hold_off_priority_max=-1, small_line_bps=0, small_line_priority_max=3),
}


def effective(group: Group, posture: Posture) -> Group:
    """The group with the timers that hold in this posture; the same object when none is different.

    A timer that the operator has made longer than the posture asks for stays as it is.
    """
    effects, timers = EFFECTS[posture], group.timers
    hold_off_s = 0.0 if group.priority <= effects.hold_off_priority_max else timers.hold_off_s
    wtr_s = max(timers.wtr_s, effects.wtr_min_s)
    if (hold_off_s, wtr_s) == (timers.hold_off_s, timers.wtr_s):
        return group
    return msgspec.structs.replace(group, timers=msgspec.structs.replace(timers, hold_off_s=hold_off_s, wtr_s=wtr_s))
