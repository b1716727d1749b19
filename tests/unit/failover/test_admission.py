"""What lines have room for, and who makes room for whom: small tables, and laws for any region."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.failover.model import SHED, Candidate, Group, LineFacts
from netmon.failover.protection.admission import Loads
from tests.unit.failover.samples import CLASSES, MBPS, group, line, names

SMALL = line("small", capacity_bps=10 * MBPS)
"""8 Mbit/s of it are given away."""


def loads(*residents: Group, of: Group | None = None, facts: tuple[LineFacts, ...] = (SMALL,)) -> Loads:
    """A ledger with groups that are on their working lines, and one that is nowhere yet."""
    made = Loads([*facts, line("elsewhere", capacity_bps=0)], [*residents, *([of] if of else [])])
    for resident in residents:
        made.place(resident.id, resident.working)
    return made


def on_small(*words: str) -> list[Group]:
    """Groups on the small line: class and Mbit/s, such as `bulk 4`."""
    return [
        group(f"gw{number}/{word.split()[0]}", "small", float(word.split()[1])) for number, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("there", "comes", "leave"),
    [
        ([], "life 8", []),
        ([], "life 8.1", None),  # a fifth of the line is not given away
        (["bulk 4", "bulk 4"], "life 4", [0]),
        (["bulk 4", "bulk 1"], "life 4", [1]),  # the small one is enough
        (["bulk 1", "bulk 2", "bulk 4"], "life 3", [1]),  # the smallest that suffices
        (["bulk 1", "bulk 1", "bulk 1", "bulk 2", "bulk 2"], "life 5", [3, 4]),  # two large ones, not four of them
        (["bulk 1", "bulk 1", "bulk 1", "telemetry 5"], "life 3", [0, 1, 2]),  # three cameras before one that measures
        # The camera alone would not do. When the other one has gone, it may stay.
        (["bulk 1", "telemetry 7"], "life 3", [1]),
        (["bulk 2", "telemetry 6"], "life 8", [0, 1]),
        (["control 4", "control 4"], "life 4", [0]),
        (["control 4", "bulk 4"], "control 4", [1]),
        (["control 4", "control 4"], "control 1", None),  # nobody makes room for his equals
        (["life 8"], "life 1", None),
        (["life 7", "bulk 1"], "life 2", None),  # not even if all who may have left
        (["bulk 8"], "bulk 1", None),
        (["bulk 8"], "life 0", []),  # as little as to need no room
        (["bulk 8"], "control 0", []),
        (["bulk 8"], "telemetry 0", None),  # nobody has said how much: not onto a full line
        (["bulk 7"], "bulk 0", []),
        (["bulk 0", "bulk 8"], "life 1", [1]),  # what takes no room makes none
    ],
)
def test_who_leaves_for_whom(there: list[str], comes: str, leave: list[int] | None) -> None:
    """On a line with 8 Mbit/s to give away: lowest priority first, as few as possible."""
    residents, (of,) = on_small(*there), on_small(comes)
    of = group("new/" + of.class_id, "elsewhere small", of.bandwidth_bps / MBPS)

    victims = loads(*residents, of=of).victims("small", of)

    expected = None if leave is None else [residents[number].id for number in leave]
    assert (None if victims is None else sorted(victims)) == expected


def test_of_equals_that_one_leaves_that_has_somewhere_to_go() -> None:
    """Three cameras, and the third one has another line."""
    cameras, of = on_small("bulk 2", "bulk 2", "bulk 2"), group("new/life", "elsewhere small", 3)

    ledger = loads(*cameras, of=of)

    assert ledger.victims("small", of, lambda group_id: group_id == "gw2/bulk") == ("gw2/bulk",)
    assert ledger.victims("small", of) == ("gw0/bulk",)


def test_who_cannot_be_made_to_leave_makes_no_room() -> None:
    """An operator has put the large camera there; the others are too small without it, or just enough."""
    cameras, of = on_small("bulk 4", "bulk 2", "bulk 2"), group("new/control", "elsewhere small", 4)
    stays: set[str] = set()
    ledger = Loads([SMALL, line("elsewhere")], [*cameras, of], stays)
    for camera in cameras:
        ledger.place(camera.id, "small")
    assert ledger.victims("small", of) == ("gw0/bulk",)

    stays.add("gw0/bulk")
    assert ledger.victims("small", of) == ("gw1/bulk", "gw2/bulk")

    stays.add("gw1/bulk")
    assert (ledger.victims("small", of), ledger.has_room("small", of, evict=True)) == (None, False)


def test_that_others_cannot_be_made_to_leave_keeps_no_sirens_out() -> None:
    """Whoever can leave, leaves; but another line where there is room goes first, and P0 never comes where P0 alone is too much."""
    cameras, stays = on_small("bulk 4", "bulk 2", "bulk 2"), {"gw0/bulk", "gw1/bulk"}
    few, many = group("new/life", "elsewhere small", 8), group("more/life", "elsewhere small", 9)
    ledger = Loads([SMALL, line("elsewhere")], [*cameras, few, many], stays)
    for camera in cameras:
        ledger.place(camera.id, "small")

    assert (ledger.victims("small", few), ledger.victims("small", many)) == (("gw2/bulk",), None)
    worse_rank = Candidate(line_id="elsewhere", rank=(9,) * 6)
    first, last = ledger.order(few, [Candidate(line_id="small", rank=(0,) * 6), worse_rank], evict=True)
    assert (first.line_id, last.line_id) == ("elsewhere", "small")


def test_a_line_that_is_overfull_at_home_sends_nobody_away_until_somebody_comes() -> None:
    """The region gives more away than there is; who has always been there stays, and nothing else fits."""
    residents = on_small("bulk 6", "bulk 6")
    ledger = loads(*residents, of=(of := group("new/control", "elsewhere small", 1)))

    assert [ledger.fits("small", resident) for resident in residents] == [True, True]
    assert not ledger.fits("small", of)
    assert ledger.victims("small", of) == ("gw0/bulk",)


def test_who_came_without_asking_has_others_leave_afterwards() -> None:
    """A gateway has moved its sirens by its plan; the centre finds the line overfull."""
    siren = group("new/life", "elsewhere small", 4)
    ledger = loads(*on_small("bulk 4", "bulk 4"), of=siren)

    ledger.place("new/life", "small")

    assert ledger.victims("small", siren) == ("gw0/bulk",)


def test_a_line_of_unknown_capacity_has_room_for_all() -> None:
    """Nothing is known that could be overfull."""
    of = group("new/bulk", "small elsewhere", 10_000)

    ledger = loads(of=of)

    assert (ledger.fits("elsewhere", of), ledger.victims("elsewhere", of), ledger.usable("elsewhere")) == (True, (), 0)


def test_moving_frees_what_was_taken() -> None:
    """The ledger has every group once."""
    ledger = loads(*on_small("bulk 4", "control 2"))

    ledger.place("gw0/bulk", "elsewhere")
    assert (ledger.admitted("small"), ledger.admitted("elsewhere")) == ((0, 2 * MBPS, 0, 0), (0, 0, 0, 4 * MBPS))
    assert (ledger.groups("small"), ledger.where("gw0/bulk")) == (["gw1/control"], "elsewhere")

    ledger.place("gw0/bulk", SHED)
    assert (ledger.admitted("elsewhere"), ledger.where("gw0/bulk")) == ((0, 0, 0, 0), SHED)


FULL = on_small("bulk 8")[0]


@pytest.mark.parametrize(
    ("of", "ranks", "how", "order"),
    [
        # `small` is full of cameras, `wide` is empty.
        ("new/life", {"small": (0, 0, 0, 1, 0), "wide": (0, 0, 0, 2, 0)}, {}, "wide small"),  # cost drives nobody away
        ("new/life", {"small": (0, 0, 0, 1, 0), "wide": (1, 0, 0, 1, 0)}, {}, "small wide"),  # a shared risk does
        ("new/life", {"small": (0, 0, 0, 1, 0), "wide": (0, 1, 0, 1, 0)}, {}, "small wide"),  # so does its delay
        ("new/control", {"small": (0, 0, 0, 1, 0), "wide": (1, 0, 0, 1, 0)}, {}, "wide small"),  # for P0 alone
        ("new/control", {"small": (0, 0, 0, 1, 0)}, {}, "small"),
        ("new/bulk", {"small": (0, 0, 0, 1, 0), "wide": (1, 0, 0, 1, 0)}, {}, "wide"),
        ("new/life", {"small": (0, 0, 0, 1, 0)}, {"evict": False}, ""),
    ],
)
def test_lines_with_room_in_their_order(
    of: str, ranks: dict[str, tuple[int, ...]], how: dict[str, Any], order: str
) -> None:
    """When somebody has to be driven away, and when the second best line does."""
    comes = group(of, "elsewhere small wide", 2)
    ledger = loads(FULL, of=comes, facts=(SMALL, line("wide")))
    candidates = [Candidate(line_id, rank) for line_id, rank in ranks.items()]

    assert names(ledger.order(comes, candidates, **({"evict": True} | how))) == order


def test_of_lines_of_one_rank_the_emptier_one_goes_first() -> None:
    """In quarters of what it has to give: less makes no difference, and the operator's order holds."""
    of = group("new/life", "elsewhere first second", 1)
    candidates = [Candidate("first", (0, 0)), Candidate("second", (0, 0))]

    def order(resident_mbps: float) -> str:
        facts = (line("first"), line("second"))
        ledger = loads(group("gw/bulk", "first", resident_mbps), of=of, facts=facts)
        return names(ledger.order(of, candidates, evict=False))

    assert (order(0), order(30)) == ("first second", "second first")


LINES = ("a", "b", "c")


@st.composite
def regions(draw: st.DrawFn) -> tuple[list[LineFacts], list[Group], list[int]]:
    """Three lines with little room, some groups that want onto them, and the order in which they come."""
    facts = [line(line_id, capacity_bps=draw(st.sampled_from([0, 5, 10])) * MBPS) for line_id in LINES]
    groups = [
        group(f"g{number}/{draw(st.sampled_from(CLASSES))[0]}", "a b c", draw(st.integers(0, 5)))
        for number in range(draw(st.integers(1, 12)))
    ]
    return facts, groups, draw(st.lists(st.integers(0, len(groups) - 1), max_size=30))


def admit(ledger: Loads, groups: dict[str, Group], group_id: str) -> None:
    """As the region's decision does it: a group goes to the best line that has room, and whoever must leaves it, to go nowhere for now."""
    of = groups[group_id]
    order = ledger.order(of, [Candidate(line_id, (0, 0)) for line_id in LINES], evict=True)
    if not order:
        ledger.place(group_id, SHED)
        return
    for victim in ledger.victims(order[0].line_id, of) or ():
        assert groups[victim].priority > of.priority
        ledger.place(victim, SHED)
    ledger.place(group_id, order[0].line_id)


@settings(max_examples=80, deadline=None)
@given(regions())
def test_laws_of_admission(region: tuple[list[LineFacts], list[Group], list[int]]) -> None:
    """Never more than is usable; no P0 is shed beside anything lower; the same each time; to leave undoes to come."""
    facts, listed, comings = region
    groups = {each.id: each for each in listed}
    ledger, again = Loads(facts, listed), Loads(facts, listed)
    for number in comings:
        admit(ledger, groups, listed[number].id)
        admit(again, groups, listed[number].id)

    came = {listed[number].id for number in comings}
    for line_id in LINES:
        on_it = [each for each in listed if ledger.where(each.id) == line_id]
        assert sorted(ledger.groups(line_id)) == sorted(each.id for each in on_it)
        assert sum(ledger.admitted(line_id)) == sum(each.bandwidth_bps for each in on_it)
        assert not ledger.usable(line_id) or sum(ledger.admitted(line_id)) <= ledger.usable(line_id)
    for shed in (groups[group_id] for group_id in came if ledger.where(group_id) == SHED):
        for line_id in LINES:
            lower = sum(ledger.admitted(line_id)[shed.priority + 1 :])
            used = sum(ledger.admitted(line_id)) - lower
            if shed.priority == 0:
                assert not lower or used + shed.bandwidth_bps > ledger.usable(line_id)
    assert [ledger.where(each.id) for each in listed] == [again.where(each.id) for each in listed]
    for each in listed:
        ledger.place(each.id, SHED)
    assert [ledger.admitted(line_id) for line_id in LINES] == [(0, 0, 0, 0)] * 3


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["life", "control", "telemetry", "bulk"]), max_size=8), st.data())
def test_as_few_leave_as_possible_and_none_for_nothing(classes: list[str], data: st.DataObject) -> None:
    """Against all subsets: room is made, nobody of them could stay, and no smaller number of the lowest priority would do."""
    rates = data.draw(st.lists(st.integers(0, 4), min_size=len(classes), max_size=len(classes)))
    residents = on_small(*(f"{name} {rate}" for name, rate in zip(classes, rates, strict=True)))
    of = group("new/life", "elsewhere small", data.draw(st.integers(1, 8)))
    ledger = loads(*residents, of=of)

    victims = ledger.victims("small", of)

    lower = {each.id: each.bandwidth_bps for each in residents if each.priority > 0}
    need = sum(each.bandwidth_bps for each in residents) + of.bandwidth_bps - 8 * MBPS
    if victims is None:
        assert sum(lower.values()) < need
        return
    made = sum(lower[victim] for victim in victims)
    assert made >= need
    assert all(made - lower[victim] < need for victim in victims)
    bulk = sorted((each.bandwidth_bps for each in residents if each.priority == 3), reverse=True)
    if 0 < need <= sum(bulk):
        assert len(victims) == next(count for count in range(1, 9) if sum(bulk[:count]) >= need)
