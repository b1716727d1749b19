"""Forty thousand groups in a report that stays small, and decisions in parts that stay whole."""

from __future__ import annotations

import random

import msgspec
import pytest

from netmon.failover.controller.decisions import GROUPS_MAX, parts
from netmon.failover.controller.report import GROUPS_SHOWN_MAX
from netmon.failover.controller.tally import Tally
from netmon.failover.model import PHASES, SHED, Action, Group, GroupState, Priority
from netmon.failover.region.coordinator import Decided

LINES = ("fibre", "radio", SHED)
PRIORITIES: tuple[Priority, ...] = (0, 1, 2, 3)
GROUPS = {
    f"gw-{number}/c{priority}": Group(
        id=f"gw-{number}/c{priority}",
        gateway_id=f"gw-{number}",
        class_id=f"c{priority}",
        priority=priority,
        working="fibre",
        protections=("radio",),
        bandwidth_bps=1_000,
    )
    for number in range(600)
    for priority in PRIORITIES
}


def state(group_id: str, on: str = "fibre", phase: str = "NR", **fields: int) -> GroupState:
    """Where a group stands."""
    return GroupState(group_id=group_id, on=on, phase=phase, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_are_those_of_the_groups(seed: int) -> None:
    """Whatever has changed how often: as if all were counted anew."""
    chance = random.Random(seed)
    tally = Tally(GROUPS, [])
    now = {}
    for _ in range(3_000):
        each = state(chance.choice(list(GROUPS)), chance.choice(LINES), chance.choice(PHASES))
        tally.put(each)
        now[each.group_id] = each
    fresh = Tally(GROUPS, now.values())

    assert (tally.total, tally.phases()) == (len(now), fresh.phases())
    assert sum(sum(four) for four in tally.phases().values()) == len(now)
    assert tally.lines({"fibre": 5}) == fresh.lines({"fibre": 5})
    assert (tally.shed(), tally.admitted_bps()) == (fresh.shed(), fresh.admitted_bps())
    assert sum(tally.shed()[1]) + sum(tally.admitted_bps()) == 1_000 * len(now)
    assert [len(tally.away(0)[0]), tally.away(0)[1]] == [len(fresh.away(0)[0]), fresh.away(0)[1]]


def test_only_who_is_away_is_named_and_no_more_than_a_thousand() -> None:
    """P0 first; the others are counted."""
    tally = Tally(GROUPS, [state(group_id, "radio", "PROTECTING") for group_id in GROUPS])
    named, left_out = tally.away(0)
    assert (len(named), left_out) == (GROUPS_SHOWN_MAX, len(GROUPS) - GROUPS_SHOWN_MAX)
    assert [each.priority for each in named.values()] == [0] * 600 + [1] * 400
    for group_id in GROUPS:
        tally.put(state(group_id))
    assert tally.away(0) == ({}, 0)


def test_how_long_a_group_waits_to_return_and_what_is_held_against_its_line() -> None:
    """As of now."""
    waiting = state("gw-0/c0", "radio", "WTR", due_unix_ns=90_000_000_000, penalty=1_000, penalty_unix_ns=1)
    named, _ = Tally(GROUPS, [waiting]).away(60_000_000_000)
    shown = named["gw-0/c0"]
    assert shown.wtr_remaining_s == 30.0
    assert 900 < shown.penalty < 1_000


@pytest.mark.parametrize("count", [0, 1, GROUPS_MAX, GROUPS_MAX + 1, 3 * GROUPS_MAX - 1])
def test_a_decision_in_parts(count: int) -> None:
    """Everything once, in order; what concerns one group in one part; what needs no order last."""
    names = list(GROUPS)[:count]
    actions = [Action(kind="switch", group_id=name, generation=1, to="radio") for name in names]
    pages = [Action(kind="page", group_id=name, text="no_backup") for name in reversed(names)]
    rest = state("gw-599/c3", "radio", "WTR")
    decided = Decided([*actions, *pages], [*map(state, names), rest], ["gw-1"], 7)

    made = list(parts(decided))

    assert [each.group_id for part in made for each in part.actions if each.kind == "switch"] == names
    assert sorted(map(msgspec.json.encode, (each for part in made for each in part.states))) == sorted(
        map(msgspec.json.encode, decided.states)
    )
    assert [part.gateways for part in made] == [[]] * (len(made) - 1) + [["gw-1"]]
    for part in made[:-1]:
        own = {each.group_id for each in part.states}
        assert {each.group_id for each in part.actions} == own
        assert len(part.actions) == 2 * len(own) <= 2 * GROUPS_MAX
    assert made[-1].states == [rest]
