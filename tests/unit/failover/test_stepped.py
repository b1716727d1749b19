"""Who returns when: one at a time in each area, P0 first, in steps; and commands are spread without chance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.alarms.posture.model import Posture
from netmon.failover.model import Group
from netmon.failover.protection.stepped import Turns, stagger_s
from tests.unit.failover.samples import at, group


def returns(turns: Turns, *, posture: Posture = "normal", until_s: float = 10_000) -> list[tuple[float, str]]:
    """Who returns when, in seconds after noon, asked at the times that it names."""
    found, now_ns = [], at(0)
    while (due_ns := turns.due_ns(now_ns)) and due_ns <= at(until_s):
        ready = turns.ready(due_ns, {"a": posture, "b": posture})
        assert ready or due_ns > now_ns, "it asks for nothing in vain for ever"
        found += [((due_ns - at(0)) / 1e9, group_id) for group_id in ready]
        now_ns = due_ns
    return found


def crowd(count: int, class_id: str = "bulk", area_id: str = "a") -> list[Group]:
    """Groups of one class in one area."""
    return [group(f"{area_id}{number:02}/{class_id}", area_id=area_id) for number in range(count)]


def waiting(*groups: Group) -> Turns:
    """All of them may return."""
    turns = Turns()
    for each in groups:
        turns.join(each)
    return turns


def test_one_a_second_in_each_area_and_life_safety_first() -> None:
    """However they came."""
    turns = waiting(*crowd(2), *crowd(1, "life"), *crowd(1, area_id="b"))

    assert returns(turns) == [(0, "a00/life"), (0, "b00/bulk"), (1, "a00/bulk"), (2, "a01/bulk")]


@pytest.mark.parametrize("posture", ["disaster", "recovering"])
def test_one_in_half_a_minute_in_a_disaster(posture: Posture) -> None:
    """What has just been mended is shaken again."""
    assert returns(waiting(*crowd(3)), posture=posture) == [(0, "a00/bulk"), (30, "a01/bulk"), (60, "a02/bulk")]


def test_a_class_of_twenty_returns_in_steps() -> None:
    """2, 6 and 12 of them, with 5 s in between."""
    times = [time for time, _ in returns(waiting(*crowd(20)))]

    assert times == [0, 1, *range(6, 12), *range(16, 28)]


def test_while_one_class_pauses_another_one_returns() -> None:
    """A step is of one class."""
    who = returns(waiting(*crowd(10, "life"), *crowd(1)), until_s=6)

    assert who == [(0, "a00/life"), (1, "a00/bulk"), (5, "a01/life"), (6, "a02/life")]


def test_who_fails_again_has_his_class_begin_anew() -> None:
    """The first of twenty has returned, and had to leave again: the next one is the first of a first step."""
    groups = crowd(20)
    turns = waiting(*groups)
    assert len(returns(turns, until_s=12)) == 8

    turns.join(groups[0])

    times = [time for time, _ in returns(turns, until_s=40)]
    # 13 wait now: 2 of them, 4 more, and the rest.
    assert times[:7] == [16, 17, 22, 23, 24, 25, 30]


def test_who_waits_no_more_has_no_turn() -> None:
    """Its working line has failed again; and who never waited may quit."""
    groups = crowd(3)
    turns = waiting(*groups[:2])

    turns.quit(groups[0])
    turns.quit(groups[2])
    turns.quit(group("x/life", area_id="nowhere"))

    assert returns(turns) == [(0, "a01/bulk")]
    assert turns.due_ns(at(0)) == 0


def test_a_turn_is_taken_once_and_joining_twice_changes_nothing() -> None:
    """Who does not use it has to ask again."""
    (only,) = crowd(1)
    turns = waiting(only, only)

    assert [turns.ready(at(second), {}) for second in (0, 5)] == [["a00/bulk"], []]


def test_a_clock_that_goes_back_stops_nobody() -> None:
    """For longer than one gap."""
    turns = waiting(*crowd(3))
    turns.ready(at(3600), {})

    assert turns.due_ns(at(0)) <= at(60)
    assert turns.ready(at(0), {}) == ["a01/bulk"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("jqr"), st.integers(0, 24), st.integers(0, 40)), max_size=60))
def test_everybody_returns_once_and_never_two_of_an_area_within_a_second(steps: list[tuple[str, int, int]]) -> None:
    """Whatever joins, quits and is asked in whatever order."""
    groups = [*crowd(15), *crowd(5, "life"), *crowd(5, area_id="b")]
    turns, waits, last, now_s = Turns(), set(), {"a": -9.0, "b": -9.0}, 0.0
    for kind, number, tenths in steps:
        now_s += tenths / 10
        if kind == "j":
            turns.join(groups[number])
            waits.add(groups[number].id)
        elif kind == "q":
            turns.quit(groups[number])
            waits.discard(groups[number].id)
        else:
            for group_id in turns.ready(at(now_s), {}):
                assert now_s - last[group_id[0]] >= 1
                last[group_id[0]] = now_s
                waits.remove(group_id)
    rest = [group_id for _, group_id in returns(turns)]

    assert sorted(rest) == sorted(waits)


def test_commands_that_can_wait_are_spread_by_class_in_a_disaster() -> None:
    """P0 not at all, P3 over a minute; the same each time, another place for each generation."""
    most = [
        max(stagger_s(f"g{number}/x", 1, priority, "disaster") for number in range(300)) for priority in (0, 1, 2, 3)
    ]

    assert [most[0], *(round(each) for each in most[1:])] == [0.0, 2, 10, 60]
    assert stagger_s("g/bulk", 1, 3, "disaster") == stagger_s("g/bulk", 1, 3, "disaster")
    assert stagger_s("g/bulk", 1, 3, "disaster") != stagger_s("g/bulk", 2, 3, "disaster")
    assert stagger_s("g/bulk", 1, 3, "normal") == 0.0
