"""That each kind of difference between what must be and what is, is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from loadtest.earthquake import story as earthquake
from loadtest.earthquake.story import Story
from loadtest.earthquake.verdict import ABSENT, Difference, judge
from netmon.alarms.model import Alarm, Key, Text, alarm_id
from tests.unit.loadtest.test_earthquake import expected_postures, sample

STORY = earthquake.tell(sample(), 1)


def as_alarms(story: Story) -> dict[Key, Alarm]:
    """Alarms as the story wants them."""
    return {
        each.key: Alarm(
            id=alarm_id(each.key),
            resource=each.key.resource,
            alarm_type=each.key.alarm_type,
            severity=each.severity,
            is_cleared=each.is_cleared,
            flapping=each.flapping,
            event_type="communicationsAlarm",
            probable_cause="unknown",
            text=Text("", ""),
            created_unix_ns=1,
            raised_unix_ns=1,
            event_unix_ns=1,
            changed_unix_ns=1,
            cause=None if each.cause is None else alarm_id(each.cause),
            caused=story.causes.get(each.key, 0),
        )
        for each in story.alarms
    }


def differences(alarms: dict[Key, Alarm], postures: dict[str, str] | None = None) -> list[Difference]:
    """What the judge finds."""
    return judge(STORY, alarms.values(), postures or expected_postures(STORY)).differences


def test_what_is_as_it_must_be_has_no_differences() -> None:
    """And is counted."""
    verdict = judge(STORY, as_alarms(STORY).values(), expected_postures(STORY))
    assert verdict.differences == []
    assert verdict.alarms == len(STORY.alarms)
    assert verdict.causes == sum(count > 0 for count in STORY.causes.values())
    assert verdict.explained == sum(STORY.causes.values())
    assert verdict.disaster == [area for area, must in STORY.disaster.items() if must]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda alarm: replace(alarm, severity="minor"), "minor, active"),
        (lambda alarm: replace(alarm, is_cleared=True), "major, cleared"),
        (lambda alarm: replace(alarm, flapping=True), "major, flapping"),
        (lambda alarm: replace(alarm, cause=None), "major, active"),
    ],
)
def test_an_alarm_that_is_otherwise_is_told(change: Callable[[Alarm], Alarm], found: str) -> None:
    """By its key, with what must be and what is."""
    alarms = as_alarms(STORY)
    key = next(each.key for each in STORY.alarms if each.severity == "major" and each.cause is not None)
    alarms[key] = change(alarms[key])
    (difference,) = differences(alarms)
    assert difference.what == f"{key.resource} {key.alarm_type}"
    assert difference.expected.startswith("major, active, because of ")
    assert difference.found.startswith(found)


def test_an_alarm_too_few_and_one_too_many_are_told() -> None:
    """Each as absent on one side; what netmon says of itself is no part of the story."""
    alarms = as_alarms(STORY)
    key = next(each.key for each in STORY.alarms if each.cause is None and not STORY.causes.get(each.key))
    gone = alarms.pop(key)
    other = replace(gone, id="other", resource="source/192.0.2.250")
    alarms |= {other.key: other, Key("netmon/disk", "full"): replace(gone, id="own", resource="netmon/disk")}
    assert [(each.expected == ABSENT, each.found == ABSENT) for each in differences(alarms)] == [
        (False, True),
        (True, False),
    ]


def test_a_wrong_count_of_what_a_cause_explains_is_told() -> None:
    """It is what people read first."""
    alarms = as_alarms(STORY)
    key, count = max(STORY.causes.items(), key=lambda each: each[1])
    alarms[key] = replace(alarms[key], caused=count + 1)
    assert [(each.expected, each.found) for each in differences(alarms)] == [
        (f"explains {count}", f"explains {count + 1}")
    ]


def test_a_wrong_posture_is_told() -> None:
    """A disaster too few, and one too many."""
    swapped = {area: "normal" if must else "disaster" for area, must in STORY.disaster.items()}
    assert {(each.expected, each.found) for each in differences(as_alarms(STORY), swapped)} == {
        ("disaster", "normal"),
        ("anything but disaster", "disaster"),
    }
