"""The book of alarms: what is told, what is kept when there is no room, and what a restart finds."""

from __future__ import annotations

import pytest

from netmon.alarms.lifecycle import book as book_module
from netmon.alarms.lifecycle.book import Book
from netmon.alarms.model import alarm_id
from netmon.alarms.settings import Flood, Lifecycle
from netmon.inventory.model import Inventory
from netmon.inventory.topology import Topology
from tests.unit.alarms.samples import (
    NOON,
    SECOND,
    book,
    causes,
    fault,
    give,
    kinds,
    numbered,
    observe,
    of,
    port,
    say,
    tick,
)


def resources(alarms: Book) -> list[str]:
    """Of all alarms, by the number of the part."""
    return [alarm.resource.rpartition("/")[2] for alarm in alarms.alarms.values()]


# --- What is told. ---


def test_a_hundred_updates_are_told_as_one() -> None:
    """With the state at the end."""
    alarms = book()
    observe(alarms, *(say(at, severity=("major", "critical")[at % 2]) for at in range(100)))
    taken = alarms.take()

    assert (kinds(taken), len(taken.dirty), taken.changes[0].alarm.severity) == (["raised"], 1, "critical")
    observe(alarms, *(say(at, severity=("major", "critical")[at % 2]) for at in range(100, 200)))
    assert kinds(alarms.take()) == ["updated"]


def test_raise_and_clear_are_both_told() -> None:
    """In the order in which they came last; both with the alarm as it is now."""
    alarms = book()
    observe(alarms, say(0), say(1, cleared=True))
    taken = alarms.take()
    assert (kinds(taken), {change.alarm.is_cleared for change in taken.changes}) == (["raised", "cleared"], {True})

    observe(alarms, say(100), say(101, cleared=True), say(200))
    assert kinds(alarms.take()) == ["cleared", "raised"]


def test_nothing_is_told_twice() -> None:
    """What was taken is taken."""
    alarms = book()
    observe(alarms, say(0))
    alarms.take()
    taken = alarms.take()

    assert (taken.changes, taken.dirty, taken.purged, taken.flood) == ([], [], [], None)


def test_a_new_alarm_has_its_cause_when_it_is_told_first() -> None:
    """So that nobody is called for what its cause tells already."""
    alarms = book()
    observe(alarms, port("core", 1, 0), port("core", 2, 1), fault("siren-hill-0", "no-answer", 2))
    taken = alarms.take()

    assert kinds(taken) == ["raised"] * 6
    assert [change.alarm.resource for change in taken.changes if change.alarm.is_annunciated] == ["risk-group/duct"]


def test_how_many_a_cause_explains_is_told_once_a_second() -> None:
    """It is no reason to refuse a command that was given a moment before: the version stays."""
    alarms = book()
    observe(alarms, port("core", 1, 0))
    tick(alarms, 0)
    version = of(alarms, "line/to-port", "line-down").version
    told = []
    for number in range(20):
        observe(alarms, fault(f"siren-port-{number % 3}", f"fault-{number}", 1 + number / 10))
        alarms.tick(NOON + SECOND + number * SECOND // 10)
        told += [change.alarm.caused for change in alarms.take().changes if change.kind == "cause"]

    assert told == [2, 12]
    assert of(alarms, "line/to-port", "line-down").version == version


# --- Room. ---


def test_what_is_over_leaves_the_list_after_a_day() -> None:
    """Cleared or closed; what is shelved stays as long as the shelf."""
    alarms = book(purge_cleared_s=100)
    observe(alarms, numbered(1), numbered(2), numbered(3), numbered(4))
    observe(alarms, *(numbered(number, 1, cleared=True) for number in (1, 4)))
    give(alarms, "close", 2, key=numbered(2).key)
    give(alarms, "shelve", 2, key=numbered(4).key, until_unix_ns=NOON + 500 * SECOND)
    alarms.take()

    tick(alarms, 100)
    assert resources(alarms) == ["1", "2", "3", "4"]
    taken = tick(alarms, 102)
    assert (kinds(taken), taken.purged) == (["purged", "purged"], [alarm_id(numbered(n).key) for n in (1, 2)])
    assert resources(alarms) == ["3", "4"]
    tick(alarms, 500)
    assert tick(alarms, 600).purged == [alarm_id(numbered(4).key)]


def test_a_full_list_loses_what_is_over_first() -> None:
    """Then what strangers have raised; then nothing, and what is refused is counted."""
    alarms = book(alarms_max=3)
    observe(alarms, numbered(1), numbered(2, source="source/192.0.2.9"), numbered(3), numbered(1, 1, cleared=True))
    observe(alarms, numbered(4, 2))
    alarms.take()
    assert resources(alarms) == ["2", "3", "4"]

    observe(alarms, numbered(5, 3, source="source/192.0.2.9"))
    alarms.take()
    assert (resources(alarms), alarms.counters.refused) == (["2", "3", "4"], 1)

    observe(alarms, numbered(6, 4), numbered(7, 5))
    alarms.take()
    assert (resources(alarms), alarms.counters.refused) == (["3", "4", "6"], 2)


def test_an_alarm_that_leaves_and_comes_back_at_once_has_a_newer_version() -> None:
    """So that a command for what somebody saw before is not done to it."""
    alarms = book(alarms_max=1)
    observe(alarms, numbered(1), numbered(1, 10, cleared=True))
    alarms.take()
    observe(alarms, numbered(2, 11), numbered(2, 12, cleared=True), numbered(1, 13))
    taken = alarms.take()

    assert (kinds(taken)[:2], taken.purged) == (["purged", "raised"], [alarm_id(numbered(2).key)])
    assert alarms.alarms[alarm_id(numbered(1).key)].version == 3


def test_what_netmon_finds_out_always_has_room() -> None:
    """A list that is full of ports must not hide that the line is down."""
    alarms = book(alarms_max=1)
    observe(alarms, port("core", 1, 0))
    alarms.take()

    assert causes(alarms) == {"device/core/interface/1": "line/to-port", "line/to-port": None}


def test_an_alarm_that_was_cleared_and_lost_for_want_of_room_does_not_come_back() -> None:
    """Its clear is still known."""
    alarms = book(alarms_max=1)
    observe(alarms, numbered(1), numbered(1, 10, cleared=True), numbered(2, 11))
    observe(alarms, numbered(2, 12, cleared=True), numbered(1, 5), at_s=13)
    alarms.take()

    assert [(alarm.resource[-1], alarm.is_cleared) for alarm in alarms.alarms.values()] == [("1", True)]


def test_clears_of_nothing_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm of linkUp: the newest are remembered."""
    monkeypatch.setattr(book_module, "CLEARS_MAX", 2)
    alarms = book()
    observe(alarms, *(numbered(number, 10, cleared=True) for number in range(3)))
    observe(alarms, *(numbered(number, 5) for number in range(3)), at_s=11)
    alarms.take()

    assert [alarm.is_cleared for alarm in alarms.alarms.values()] == [False, True, True]


def test_results_of_commands_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the same command is done again, as far as it can be."""
    monkeypatch.setattr(book_module, "RESULTS_MAX", 2)
    alarms = book()
    observe(alarms, say(0))
    outcomes = [give(alarms, "comment", at) for at in (1, 2, 3, 3, 1)]
    alarms.take()

    assert outcomes == ["done"] * 5
    assert len(alarms.alarms[alarm_id(say().key)].comments) == 4


# --- After a restart. ---


def storm() -> Book:
    """A bit of everything."""
    alarms = book()
    observe(
        alarms, port("core", 1, 0), port("core", 2, 1), *(fault(f"siren-hill-{n}", "no-answer", 2) for n in range(3))
    )
    observe(alarms, *(say(at, cleared=bool(at % 2)) for at in range(3, 8)), numbered(1, 8), numbered(2, 9))
    observe(alarms, numbered(2, 10, cleared=True), fault("core", "fan", 10))
    give(alarms, "ack", 11, key=numbered(1).key)
    give(alarms, "shelve", 11, key=fault("core", "fan").key, until_unix_ns=NOON + 900 * SECOND)
    tick(alarms, 12)
    return alarms


def restarted(alarms: Book) -> Book:
    """Another book that begins with what was kept."""
    after = book()
    after.load(alarms.alarms.values())
    return after


def test_a_restart_finds_everything_as_it_was() -> None:
    """And tells nothing again."""
    before = storm()
    after = restarted(before)
    taken = after.take()

    assert (after.alarms, after.counters) == (before.alarms, before.counters)
    assert (kinds(taken), taken.dirty) == ([], [])


def test_life_goes_on_after_a_restart() -> None:
    """Each of the two books does the same with what comes then."""
    before = storm()
    after = restarted(before)
    for alarms in (before, after):
        observe(alarms, port("core", 1, 20, cleared=True), numbered(1, 9), at_s=21)
        for at_s in (22, 60, 400, 1_000):
            tick(alarms, at_s)

    assert (after.alarms, after.counters) == (before.alarms, before.counters)
    assert not any(alarm.flapping or alarm.operator_state == "shelved" for alarm in after.alarms.values())


def test_what_follows_no_more_is_cleared_after_a_restart() -> None:
    """The operator has taken the region's lines out of the inventory; what was derived of them must not stand for ever."""
    before = storm()
    after = Book(Lifecycle(), Flood(), Topology(Inventory()))
    after.load(before.alarms.values())
    after.take()

    assert of(after, "risk-group/duct", "shared-risk-failure").is_cleared is True
    tick(after, 100)
    tick(after, 200)
    assert of(after, "device/siren-hill-0", "no-answer").cause is None
