"""A flood begins when people are told more than they can read, and ends when it is less than half of that."""

from __future__ import annotations

from netmon.alarms.lifecycle.flood import UPDATE_S, FloodState, FloodWatch
from netmon.alarms.settings import Flood
from tests.unit.alarms.samples import NOON, SECOND, TOPOLOGY, book, numbered, observe, of, port, say, tick


def watch() -> FloodWatch:
    """More than 4 in 100 seconds."""
    return FloodWatch(Flood(raised_max=4, window_s=100))


def step(flood: FloodWatch, at_s: int) -> FloodState | None:
    """Judge, with one cause."""
    return flood.step(NOON + at_s * SECOND, ("line",))


def add(flood: FloodWatch, *alarm_ids: str, at_s: int = 0, area: str = "hama") -> None:
    """People are told of these."""
    for alarm_id in alarm_ids:
        flood.add(alarm_id, area, NOON + at_s * SECOND)


def test_a_flood_begins_above_the_limit_and_ends_below_half() -> None:
    """Told when it begins and when it ends."""
    flood = watch()
    add(flood, *"abc")
    add(flood, "d", at_s=50)
    assert step(flood, 50) is None
    add(flood, "e", at_s=60)
    assert step(flood, 60) == FloodState(
        active=True, since_unix_ns=NOON + 60 * SECOND, count=5, areas={"hama": 5}, causes=("line",)
    )

    shown = step(flood, 101)
    assert shown is not None
    assert (shown.active, shown.count, shown.since_unix_ns) == (True, 2, NOON + 60 * SECOND)
    assert step(flood, 151) == FloodState()
    assert step(flood, 152) is None


def test_an_alarm_counts_once() -> None:
    """However often it comes back."""
    flood = watch()
    for at_s in range(50):
        add(flood, "a", at_s=at_s)

    assert step(flood, 50) is None


def test_what_is_explained_does_not_count() -> None:
    """It turned out to be nothing to read."""
    flood = watch()
    add(flood, *"abcdef")
    flood.discard("b")
    flood.discard("c")

    assert step(flood, 1) is None


def test_figures_of_a_flood_are_told_now_and_then() -> None:
    """Not with each alarm."""
    flood = watch()
    add(flood, *"abcde")
    step(flood, 0)
    add(flood, *"fgh", at_s=1)

    assert step(flood, 1) is None
    told = step(flood, UPDATE_S)
    assert told is not None
    assert told.count == 8


def test_areas_are_told_apart() -> None:
    """One that floods is named; alarms outside of any area count for the region only."""
    flood = watch()
    add(flood, *"abc", area="hama")
    add(flood, *"def", area="")
    first = step(flood, 0)
    add(flood, *"ghijk", area="yama")
    second = step(flood, 1)

    assert first is not None
    assert second is not None
    assert (first.areas, second.areas) == ({}, {"yama": 5})


def test_a_flood_outlasts_a_restart() -> None:
    """Nothing is told again, and its end is told, half an hour later."""
    flood = Flood(raised_max=2)
    before = book(flood)
    observe(before, *(numbered(n) for n in range(4)))
    state = tick(before, 1).flood
    assert state is not None
    after = book(flood)
    after.load(before.alarms.values(), state)

    assert tick(after, 2).flood is None
    assert tick(after, 1_800).flood == FloodState()


def test_a_cut_line_is_no_flood() -> None:
    """Whatever its ends say; many alarms that nothing explains are one."""
    alarms = book(Flood(raised_max=2))
    observe(alarms, port("core", 1, 0), port("r-port", 1, 1), port("core", 2, 2))
    assert tick(alarms, 3).flood is None

    observe(alarms, *(say(4, key=say(0).key._replace(qualifier=f"{n}")) for n in range(2)))
    flood = tick(alarms, 5).flood
    assert flood is not None
    assert (flood.active, flood.count, flood.causes) == (
        True,
        3,
        (of(alarms, "risk-group/duct", "shared-risk-failure").id,),
    )
    assert TOPOLOGY.sites["hall"].area_id in flood.areas
