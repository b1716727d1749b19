"""Whether the alarms that stand are those that a story implies.

Pure. Alarms are compared by key, whether they are cleared or flap, severity, and the true cause of each that is active.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from loadtest.earthquake.story import Story
from netmon.alarms.model import Alarm, Key

_JUDGED: Final = ("device/", "line/", "risk-group/", "site/", "source/")
"""Resources of the region; what netmon says of itself is no part of the story."""
ABSENT: Final = "absent"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it must be."""

    what: str
    """Resource and type of an alarm, or an area."""
    expected: str
    found: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a story."""

    alarms: int
    """In the list, cleared ones included."""
    active: int
    causes: int
    """Active alarms that explain others."""
    explained: int
    """Active alarms that others explain."""
    alone: int
    """Active alarms that neither explain nor are explained."""
    disaster: list[str]
    """Areas in disaster."""
    differences: list[Difference]


def judge(story: Story, alarms: Iterable[Alarm], postures: Mapping[str, str]) -> Verdict:
    """Compares.

    Args:
        story: What was told.
        alarms: All that are in the list.
        postures: Area ID to posture; an area that is missing is normal.
    """
    found = [alarm for alarm in alarms if alarm.resource.startswith(_JUDGED)]
    keys = {alarm.id: alarm.key for alarm in found}
    shown = {alarm.key: _shown(alarm, keys) for alarm in found}
    expected = {
        alarm.key: _words(alarm.severity, alarm.is_cleared, alarm.flapping, alarm.cause) for alarm in story.alarms
    }
    differences = [
        Difference(what=_name(key), expected=expected.get(key, ABSENT), found=shown.get(key, ABSENT))
        for key in sorted(expected.keys() | shown.keys())
        if expected.get(key) != shown.get(key)
    ]
    caused = {alarm.key: alarm.caused for alarm in found if alarm.is_active}
    for key, count in story.causes.items():
        if key in caused and caused[key] != count:
            counts = f"explains {count}", f"explains {caused[key]}"
            differences.append(Difference(what=_name(key), expected=counts[0], found=counts[1]))
    for area, must in story.disaster.items():
        posture = postures.get(area, "normal")
        if must != (posture == "disaster"):
            wanted = "disaster" if must else "anything but disaster"
            differences.append(Difference(what=f"area {area}", expected=wanted, found=posture))
    active = [alarm for alarm in found if alarm.is_active]
    return Verdict(
        alarms=len(found),
        active=len(active),
        causes=sum(alarm.caused > 0 for alarm in active),
        explained=sum(alarm.cause is not None for alarm in active),
        alone=sum(alarm.caused == 0 and alarm.cause is None for alarm in active),
        disaster=sorted(area for area, posture in postures.items() if posture == "disaster"),
        differences=differences,
    )


def _shown(alarm: Alarm, keys: Mapping[str, Key]) -> str:
    cause = None if alarm.cause is None else keys.get(alarm.cause, Key("an alarm that is not in the list", ""))
    return _words(alarm.severity, alarm.is_cleared, alarm.flapping, None if alarm.is_cleared else cause)


def _words(severity: str, is_cleared: bool, flapping: bool, cause: Key | None) -> str:
    state = "cleared" if is_cleared else "flapping" if flapping else "active"
    return f"{severity}, {state}" + (f", because of {_name(cause)}" if cause is not None else "")


def _name(key: Key) -> str:
    return " ".join(part for part in key if part)
