"""How one alarm comes and goes: each rule by example, and the law that the order of arrival does not matter."""

from __future__ import annotations

import itertools
import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.lifecycle.transitions import BY_MAX, TEXT_MAX
from netmon.alarms.model import (
    COMMENTS_MAX,
    HISTORY_MAX,
    SEVERITIES,
    Alarm,
    CommandKind,
    Key,
    Observation,
    OperatorState,
    Text,
    alarm_id,
)
from tests.unit.alarms.samples import NOON, OBSERVATION, SECOND, book, give, kinds, observe, say, tick

DAY = 86_400
ID = alarm_id(OBSERVATION.key)


def down(at_s: float = 0, **changes: object) -> Observation:
    """Raises the alarm."""
    return say(at_s, **changes)


def up(at_s: float = 0, **changes: object) -> Observation:
    """Clears it."""
    return say(at_s, cleared=True, **changes)


def after(*observations: Observation, at_s: float | None = None) -> Alarm:
    """The alarm when these were heard, each when it happened, or all together."""
    alarms = book()
    observe(alarms, *observations, at_s=at_s)
    alarms.take()
    return alarms.alarms[ID]


def seconds(unix_ns: int) -> float:
    """Past noon."""
    return (unix_ns - NOON) / SECOND


# --- Notifications. ---


def test_a_raise_makes_an_alarm() -> None:
    """With all that was said, and the time at which it happened."""
    alarms = book()
    observe(alarms, down(3), at_s=5)
    taken = alarms.take()
    alarm = alarms.alarms[ID]

    assert (kinds(taken), taken.dirty, taken.changes[0].alarm) == (["raised"], [alarm], alarm)
    assert (alarm.resource, alarm.alarm_type, alarm.severity) == ("device/core/interface/9", "link-down", "major")
    assert [seconds(at) for at in (alarm.created_unix_ns, alarm.raised_unix_ns, alarm.changed_unix_ns)] == [3, 3, 5]
    assert (alarm.is_active, alarm.is_annunciated, alarm.version, alarm.cleared_unix_ns) == (True, True, 1, 0)


def test_a_repeat_is_counted_and_not_told() -> None:
    """It is to be kept all the same."""
    alarms = book()
    observe(alarms, down(0))
    alarms.take()
    observe(alarms, down(1), down(2))
    taken = alarms.take()
    alarm = alarms.alarms[ID]

    assert (kinds(taken), taken.dirty) == ([], [alarm])
    assert (alarm.notifications, alarm.raises, alarm.version, seconds(alarm.event_unix_ns)) == (3, 1, 1, 2)
    assert seconds(alarm.raised_unix_ns) == 0


@pytest.mark.parametrize("changes", [{"severity": "critical"}, {"text": Text("Port 9 burns", "ポート9が燃えています")}])
def test_another_severity_or_text_is_an_update(changes: dict[str, object]) -> None:
    """And only that."""
    alarms = book()
    observe(alarms, down(0))
    alarms.take()
    observe(alarms, down(1, **changes))

    assert kinds(alarms.take()) == ["updated"]
    assert [getattr(alarms.alarms[ID], name) for name in changes] == list(changes.values())


def test_a_clear_keeps_the_severity() -> None:
    """How severe it was is another thing than that it is over."""
    alarms = book()
    observe(alarms, down(0, severity="critical"))
    alarms.take()
    observe(alarms, up(4, severity="indeterminate", text=Text("Port 9 is up", "復旧")))
    taken = alarms.take()
    alarm = alarms.alarms[ID]

    assert kinds(taken) == ["cleared"]
    assert (alarm.is_cleared, alarm.severity, alarm.text, seconds(alarm.cleared_unix_ns)) == (
        True, "critical", OBSERVATION.text, 4,
    )  # fmt: skip


def test_a_raise_after_the_clear_is_the_same_alarm_again() -> None:
    """With its history."""
    alarm = after(down(0), up(100), down(200))

    assert (alarm.is_cleared, alarm.raises, seconds(alarm.created_unix_ns), seconds(alarm.raised_unix_ns)) == (
        False, 2, 0, 200,
    )  # fmt: skip
    assert [(line.kind, seconds(line.unix_ns)) for line in alarm.history] == [
        ("raised", 0), ("cleared", 100), ("raised", 200),
    ]  # fmt: skip


def test_a_clear_of_nothing_is_nothing() -> None:
    """A port that comes up has not been reported as down."""
    alarms = book()
    observe(alarms, up(0))

    assert (kinds(alarms.take()), alarms.alarms) == ([], {})


def test_a_text_that_counts_leaves_history_alone() -> None:
    """Each minute another number of minutes that a battery will last; that it became critical is history."""
    counting = [down(at, text=Text(f"{90 - at} minutes left", "残り")) for at in range(1, 30)]
    alarm = after(down(0), *counting, down(30, severity="critical"), down(31, text=Text("1 minute left", "残り")))

    assert [line.kind for line in alarm.history] == ["raised", "updated", "updated"]
    assert [line.severity for line in alarm.history] == ["major", "critical", "major"]


def test_history_and_comments_are_bounded() -> None:
    """The newest are kept."""
    alarms = book()
    observe(alarms, *(say(at * 100, cleared=bool(at % 2)) for at in range(100)))
    for number in range(100):
        give(alarms, "comment", 10_000 + number, text=f"{number}")
    alarms.take()
    alarm = alarms.alarms[ID]

    assert (len(alarm.history), len(alarm.comments)) == (HISTORY_MAX, COMMENTS_MAX)
    assert (alarm.comments[-1].text, alarm.history[-1].kind) == ("99", "comment")


# --- Late, out of order, at the same time. ---


def test_an_older_clear_does_not_clear_a_newer_raise() -> None:
    """It is heard late, and says nothing of now."""
    assert after(down(10), up(5), at_s=11).is_cleared is False


def test_an_older_raise_does_not_resurrect() -> None:
    """Not even one of which nobody had heard; it stands in the history where it belongs."""
    alarm = after(down(0), up(10), down(5, severity="critical"), at_s=11)

    assert (alarm.is_cleared, alarm.severity) == (True, "critical")
    assert seconds(alarm.raised_unix_ns) == 0


def test_a_clear_that_overtook_its_raise_is_remembered() -> None:
    """The alarm comes in as raised and cleared; nobody is told that it stands."""
    alarms = book()
    observe(alarms, up(10), at_s=10)
    observe(alarms, down(5), at_s=20)
    taken = alarms.take()
    alarm = alarms.alarms[ID]

    assert (kinds(taken), alarm.is_cleared, seconds(alarm.cleared_unix_ns)) == (["cleared"], True, 10)
    assert [line.kind for line in alarm.history] == ["raised", "cleared"]


def test_a_clear_is_remembered_only_for_a_while() -> None:
    """After `late_clear_s` nobody knows of it any more."""
    alarms = book(late_clear_s=60)
    observe(alarms, up(10), at_s=10)
    tick(alarms, 71)
    observe(alarms, down(5), at_s=72)

    assert kinds(alarms.take()) == ["raised"]


def test_at_the_same_time_the_raise_and_the_more_severe_count() -> None:
    """Whichever comes first."""
    said = [down(0), up(5), down(5, severity="minor"), down(5, severity="critical"), down(5, severity="warning")]
    ends = {
        (alarm.is_cleared, alarm.severity) for order in itertools.permutations(said) if (alarm := after(*order, at_s=5))
    }

    assert ends == {(False, "critical")}


def test_the_future_is_now() -> None:
    """A clock that was wrong and is set right does not keep an alarm from being cleared."""
    alarms = book()
    alarms.observe(down(3_600), NOON)
    alarms.observe(up(10), NOON + 10 * SECOND)

    alarms.take()
    assert (alarms.alarms[ID].is_cleared, seconds(alarms.alarms[ID].raised_unix_ns)) == (True, 0)


def test_a_clock_that_was_set_back_does_not_freeze_an_alarm() -> None:
    """What was heard before lies in the future then."""
    alarms = book()
    observe(alarms, down(3_600), at_s=3_600)
    observe(alarms, up(10), at_s=10)
    alarms.take()

    assert alarms.alarms[ID].is_cleared is True


STEPS = st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.sampled_from(SEVERITIES)), min_size=1, max_size=9)


@given(STEPS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_the_same(steps: list[tuple[int, bool, str]], chance: random.Random) -> None:
    """What is known in the end does not depend on which notification was the slowest, once nothing flaps."""
    said = [say(at, cleared=cleared, severity=severity) for at, cleared, severity in steps]
    shuffled = list(said)
    chance.shuffle(shuffled)
    ends = []
    for order in (said, shuffled):
        alarms = book()
        observe(alarms, *order, at_s=400)
        tick(alarms, 1_000)
        alarm = alarms.alarms.get(ID)
        ends.append(alarm and (alarm.is_cleared, alarm.severity, alarm.event_unix_ns, alarm.is_active))
    raises = [step for step in steps if not step[1]]
    newest_clear = max((at for at, cleared, _ in steps if cleared), default=-1)

    assert ends[0] == ends[1]
    if raises:
        at, _, severity = max(raises, key=lambda step: (step[0], SEVERITIES.index(step[2])))
        assert ends[0]
        assert ends[0][:2] == (newest_clear > at, severity)


@given(st.sets(st.integers(0, 200), min_size=1, max_size=10), st.lists(st.booleans(), min_size=5, max_size=5))
def test_what_overtakes_its_neighbour_flaps_the_same(times: set[int], overtakes: list[bool]) -> None:
    """Raises and clears in turns: whether they are too fast follows from when they happened."""
    said = [say(at, cleared=bool(number % 2)) for number, at in enumerate(sorted(times))]
    disordered: list[Observation] = []
    for number, overtake in enumerate(overtakes):
        pair = said[2 * number : 2 * number + 2]
        disordered += reversed(pair) if overtake else pair

    one, other = after(*said, at_s=200), after(*disordered, at_s=200)
    assert (one.flapping, one.is_cleared, one.raised_unix_ns, one.toggles_unix_ns) == (
        other.flapping, other.is_cleared, other.raised_unix_ns, other.toggles_unix_ns,
    )  # fmt: skip


# --- Flapping. ---


def test_three_raises_in_a_minute_are_one_alarm_that_stands() -> None:
    """Clears are heard and not believed until it is quiet; then it is what was said last."""
    alarms = book()
    told = []
    for number, at_s in enumerate((0, 10, 20, 30, 40, 50, 59)):
        observe(alarms, say(at_s, cleared=bool(number % 2)))
        told.append(kinds(alarms.take()))

    assert told == [["raised"], ["cleared"], ["raised"], ["cleared"], ["flapping"], [], []]
    observe(alarms, up(65))
    alarms.take()
    alarm = alarms.alarms[ID]
    assert (alarm.flapping, alarm.is_cleared, alarms.counters.flapping) == (True, False, 1)
    assert kinds(tick(alarms, 364)) == []
    assert kinds(tick(alarms, 365)) == ["settled", "cleared"]
    alarm = alarms.alarms[ID]
    assert (alarm.flapping, alarm.is_cleared, seconds(alarm.cleared_unix_ns)) == (False, True, 65)


def test_what_settles_as_raised_stands() -> None:
    """As before, without flapping."""
    alarms = book()
    observe(alarms, down(0), up(1), down(2), up(3), down(4))

    tick(alarms, 5)
    assert kinds(tick(alarms, 304)) == ["settled"]
    assert (alarms.alarms[ID].is_cleared, alarms.alarms[ID].flapping) == (False, False)


def test_slow_toggles_do_not_flap() -> None:
    """Two minutes for three raises."""
    assert after(down(0), up(30), down(60), up(90), down(120)).flapping is False


def test_an_alarm_that_settled_flaps_only_when_it_begins_anew() -> None:
    """What it did before is forgotten."""
    alarms = book(flap_settle_s=10)
    observe(alarms, down(0), up(1), down(2), up(3), down(4), up(5))
    tick(alarms, 15)
    observe(alarms, down(16), up(17))
    alarms.take()

    assert (alarms.alarms[ID].flapping, alarms.alarms[ID].is_cleared) == (False, True)


# --- Operators. ---

STATES: dict[OperatorState, list[CommandKind]] = {
    "none": [],
    "ack": ["ack"],
    "shelved": ["shelve"],
    "closed": ["close"],
}
NEXT = {
    "none": {"ack": "ack", "shelve": "shelved", "close": "closed", "comment": "none"},
    "ack": {"unack": "none", "shelve": "shelved", "close": "closed", "comment": "ack"},
    "shelved": {"shelve": "shelved", "unshelve": "none", "close": "closed", "comment": "shelved"},
    "closed": {"comment": "closed"},
}


@pytest.mark.parametrize("kind", get_args(CommandKind))
@pytest.mark.parametrize("state", STATES)
def test_every_command_in_every_state(state: OperatorState, kind: CommandKind) -> None:
    """Does what the table says, or is refused with a reason and changes nothing."""
    alarms = book()
    observe(alarms, down(0))
    for first in STATES[state]:
        give(alarms, first, 1, until_unix_ns=NOON + DAY * SECOND)
    alarms.take()
    outcome = give(alarms, kind, 2, until_unix_ns=NOON + DAY * SECOND)
    taken = alarms.take()

    expected = NEXT[state].get(kind)
    assert outcome == ("not_possible" if expected is None else "done")
    assert alarms.alarms[ID].operator_state == (expected or state)
    assert len(taken.changes) == (expected is not None)


def test_what_an_operator_did_is_told_with_name_and_command() -> None:
    """Each command by itself, even within one take."""
    alarms = book()
    observe(alarms, down(0))
    alarms.take()
    give(alarms, "ack", 1)
    give(alarms, "comment", 2, text="called the carrier")
    give(alarms, "comment", 3, text="they come")
    taken = alarms.take()
    alarm = alarms.alarms[ID]

    assert [(change.kind, change.by, change.command_id) for change in taken.changes] == [
        ("ack", "ito", "ack-1"), ("comment", "ito", "comment-2"), ("comment", "ito", "comment-3"),
    ]  # fmt: skip
    assert (alarm.operator_by, alarm.operator_reason, seconds(alarm.operator_unix_ns)) == (
        "ito",
        "works on the mast",
        1,
    )
    assert [comment.text for comment in alarm.comments] == ["called the carrier", "they come"]
    assert alarm.version == 4


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ack", {"by": ""}),
        ("ack", {"by": "x" * (BY_MAX + 1)}),
        ("comment", {"text": "  "}),
        ("comment", {"text": "x" * (TEXT_MAX + 1)}),
        ("shelve", {"text": "", "until_unix_ns": NOON + DAY * SECOND}),
        ("shelve", {"until_unix_ns": 0}),
        ("shelve", {"until_unix_ns": NOON}),
    ],
)
def test_what_a_command_needs(kind: CommandKind, fields: dict[str, object]) -> None:
    """A name, a text that is neither empty nor endless, an end of the shelf that is to come."""
    alarms = book()
    observe(alarms, down(0))

    assert give(alarms, kind, 1, **fields) == "not_possible"


def test_a_command_for_another_version_is_not_done() -> None:
    """Whoever gave it has seen something else."""
    alarms = book()
    observe(alarms, down(0), down(1, severity="critical"))

    assert give(alarms, "close", 2, version=1) == "version_changed"
    assert give(alarms, "close", 3, version=2) == "done"
    assert give(alarms, "ack", 4, key=Key("device/core", "no-such")) == "unknown_alarm"


def test_the_same_command_twice_is_done_once() -> None:
    """The second time its result is told again."""
    alarms = book()
    observe(alarms, down(0))

    assert [give(alarms, "comment", 1) for _ in range(2)] == ["done", "done"]
    alarms.take()
    assert len(alarms.alarms[ID].comments) == 1


def test_a_shelf_ends_by_itself() -> None:
    """Whatever happened meanwhile; until then nobody is told."""
    alarms = book()
    observe(alarms, down(0))
    give(alarms, "shelve", 1, until_unix_ns=NOON + 100 * SECOND)
    observe(alarms, up(10), down(80))
    alarms.take()

    assert (alarms.alarms[ID].is_annunciated, alarms.counters.shelved) == (False, 1)
    assert kinds(tick(alarms, 99)) == []
    assert kinds(tick(alarms, 100)) == ["unshelved"]
    assert (alarms.alarms[ID].is_annunciated, alarms.counters.shelved) == (True, 0)


def test_an_acknowledgement_ends_with_the_next_raise() -> None:
    """Somebody has seen that it was down, not that it is down again."""
    alarms = book()
    observe(alarms, down(0))
    give(alarms, "ack", 1)
    observe(alarms, down(2), up(100))
    alarms.take()

    assert alarms.alarms[ID].operator_state == "ack"
    observe(alarms, down(200))
    alarms.take()
    assert alarms.alarms[ID].operator_state == "none"


@pytest.mark.parametrize("is_cleared", [False, True])
def test_a_closed_alarm_is_opened_by_the_next_raise(is_cleared: bool) -> None:
    """Any may be closed; a raise from before the closing is no news."""
    alarms = book()
    observe(alarms, down(0), *([up(5)] if is_cleared else []))
    assert give(alarms, "close", 10) == "done"
    alarms.take()
    observe(alarms, down(4), at_s=11)

    assert (kinds(alarms.take()), alarms.alarms[ID].is_active) == ([], False)
    observe(alarms, down(12))
    assert kinds(alarms.take()) == ["raised"]
    assert (alarms.alarms[ID].is_active, alarms.alarms[ID].operator_state) == (True, "none")


def test_a_raise_that_the_closing_did_not_know_of_opens() -> None:
    """It is older than the closing, and newer than the clear after which the alarm was closed."""
    alarms = book()
    observe(alarms, down(0), up(5))
    give(alarms, "close", 10)
    observe(alarms, down(8), at_s=11)
    alarms.take()

    assert alarms.alarms[ID].is_active is True
