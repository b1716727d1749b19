"""What operators ask of a region, what a coordinator does when clocks and configurations change, and what it shows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netmon.active_probe.model import LineState
from netmon.failover.model import GroupState, LineFacts
from netmon.failover.plan.model import ReportedGroup
from tests.unit.failover.regions import MBIT, Bench, S, crowd, cut_both, group, told


def reported(group_id: str, on: str, **fields: Any) -> ReportedGroup:
    """Where a group is at its gateway."""
    return ReportedGroup(group_id=group_id, on=on, **fields)


# -- operators


def test_a_lockout_holds_a_group_and_its_end_lets_it_go() -> None:
    """Nothing is for ever."""
    bench = Bench([group(1, 0)])
    bench.step()
    assert bench.ask("lockout", "g1/p0", seconds=10.0) == ""
    bench.line("f1", "down")

    decided = bench.step()
    assert ([told(action) for action in decided.actions], decided.due_unix_ns) == ([], bench.now + 10 * S)
    assert bench.core.locked("g1/p0") is True
    assert bench.moves(10.0) == ["g1/p0>f3"]
    assert (bench.core.locked("g1/p0"), dict(bench.core.requests)) == (False, {})


def test_a_line_that_is_locked_out_is_neither_chosen_nor_gone_to_by_the_gateway() -> None:
    """The other lines remain."""
    bench = Bench([group(1, 0)])
    bench.ask("lockout", "g1/p0", "f3")
    bench.step()
    bench.line("f1", "down")

    assert bench.moves() == ["g1/p0>m1"]
    assert bench.core.avoid("g1/p0") == ("f1", "f3")


def test_a_manual_switch_and_its_clear() -> None:
    """It returns after a short wait."""
    bench = Bench([group(1, 0)])
    bench.ask("manual", "g1/p0", "m1")
    assert bench.settle() == ["g1/p0>m1"]
    assert bench.run(5) == []

    assert bench.core.clear("g1/p0", bench.now) == ""

    assert [move.split(": ")[1] for move in bench.run(10)] == ["g1/p0>f1"]


@pytest.mark.parametrize(
    ("kind", "group_id", "line_id", "seconds", "expected"),
    [
        ("forced", "g9/p0", "f2", 9.0, "there is no group g9/p0"),
        ("forced", "g1/p0", "f2", -1.0, "its end has passed"),
        ("forced", "g1/p0", "", 9.0, "it needs a line: one of f1, f2, f3, m1"),
        ("lockout", "g1/p0", "f9", 9.0, "f9 is no line of g1/p0: it has f1, f2, f3, m1"),
        ("exercise", "g1/p0", "f2", 9.0, "area north is in posture disaster: nothing is exercised there now"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(
    kind: str, group_id: str, line_id: str, seconds: float, expected: str
) -> None:
    """And with what could be asked instead."""
    bench = Bench([group(1, 0)])
    bench.core.see_posture("north", "disaster")

    assert bench.ask(kind, group_id, line_id, seconds) == expected


def test_so_many_requests_of_one_group_and_no_more() -> None:
    """The same one twice is one."""
    lines = [f"x{number}" for number in range(18)]
    facts = [LineFacts(line_id=line_id) for line_id in ("f1", *lines)]
    bench = Bench([group(1, 0, protections=tuple(lines))], lines=facts)
    bench.ask("lockout", "g1/p0", "x1")
    bench.ask("lockout", "g1/p0", "x1")
    assert len(bench.core.requests["g1/p0"]) == 1
    for line_id in lines[2:17]:
        assert bench.ask("lockout", "g1/p0", line_id) == ""

    assert bench.ask("lockout", "g1/p0", "x0") == (
        "16 requests of g1/p0 are in force, and no more are taken: clear them first"
    )
    assert bench.ask("lockout", "g1/p0", "x1", seconds=60.0) == "", "it takes the place of another one"


def test_there_has_to_be_something_to_be_cleared() -> None:
    """Somebody may have mistaken the group."""
    bench = Bench([group(1, 0)])
    bench.step()

    assert bench.core.clear("g1/p0", bench.now) == "nothing is asked of g1/p0, and it waits for nothing"
    assert bench.core.clear("g9/p0", bench.now) == "there is no group g9/p0"


def test_a_proposal_waits_for_its_approval() -> None:
    """And for nobody else's."""
    bench = Bench([group(1, 0, mode="advise"), group(2, 0)])
    bench.line("f1", "down")
    generation = bench.step().actions[0].generation
    assert bench.core.approve("g9/p0", 1) == "there is no group g9/p0"
    assert bench.core.approve("g2/p0", 1) == (
        "g2/p0 is in mode act: only in mode advise is there anything to be approved"
    )
    assert bench.core.approve("g1/p0", generation + 1) == f"no proposal {generation + 1} of g1/p0 waits for approval"
    assert bench.core.approve("g1/p0", generation) == ""

    assert bench.moves(1.0) == ["g1/p0>f3"]


# -- clock and due times


def test_it_says_when_to_step_again() -> None:
    """Whoever steps then misses nothing."""
    bench = Bench([group(1, 0, timers=msgspec.structs.replace(group(1, 0).timers, hold_off_s=2.0))])
    bench.line("f1", "down")

    decided = bench.step()

    assert (decided.actions, decided.due_unix_ns) == ([], bench.now + 2 * S)
    assert bench.moves(2.0) == ["g1/p0>f3"]


def test_a_clock_that_goes_back_holds_nobody_up_for_longer_than_a_timer() -> None:
    """WTR begins anew at the worst."""
    bench = Bench([group(1, 0)])
    bench.line("f1", "down")
    bench.settle()
    bench.line("f1", "up")
    bench.settle(1.0)

    bench.now -= 86_400 * S
    bench.line("f1", "up")

    assert [move.split(": ")[1] for move in bench.run(70)] == ["g1/p0>f1"]


def test_one_coordinator_goes_on_where_another_one_ended() -> None:
    """All that it needs of the past is in the states."""
    bench = Bench([group(1, 0)])
    bench.line("f1", "down")
    bench.settle()

    other = Bench([group(1, 0)], bench.core.states.values())
    other.line("f1", "down")
    other.settle()

    assert (other.on("g1/p0"), other.core.states["g1/p0"].generation) == ("f3", bench.core.states["g1/p0"].generation)


def test_states_of_another_configuration_do_not_stop_it() -> None:
    """A line that is no more, and a group that is no more."""
    gone = GroupState(group_id="g1/p0", on="removed", phase="PROTECTING", generation=3)
    bench = Bench([group(1, 0)], [gone, GroupState(group_id="g9/p9", on="f1")])

    assert bench.settle() != []
    assert bench.on("g1/p0") in {"f1", "f2", "f3"}
    assert list(bench.core.states) == ["g1/p0"]


# -- shown


def test_the_evidence_of_an_action_names_lines_risks_and_requests() -> None:
    """For the audit."""
    bench = Bench([group(1, 0), group(2, 0)])
    bench.core.see_posture("north", "disaster")
    bench.step()
    bench.line("f1", "down", reason="no_answer")
    bench.ask("forced", "g2/p0", "m1")
    decided = bench.step(1.0)

    assert bench.core.evidence(decided.actions[0]) == (
        "f1 is down for 1.0 s (no_answer), as the verdict has it",
        "f3 is up for 1001.0 s, as the verdict has it, proven 0.0 s ago",
        "f3 avoids duct-1",
        "area north is in posture disaster",
    )
    assert bench.core.evidence(decided.actions[1])[0] == "forced by suzuki: works"


def test_the_evidence_of_having_no_way_out_names_each_lines_fault() -> None:
    """It is a page to people."""
    bench = Bench([group(1, 0)])
    bench.step()
    for line_id in ("f1", "f2", "f3", "m1"):
        bench.line(line_id, "down")
    page = bench.step().actions[0]

    assert (page.kind, page.text) == ("page", "no_backup")
    assert bench.core.evidence(page)[1:] == ("f2: down", "f3: down", "m1: down")


@pytest.mark.parametrize(
    ("state", "one_way", "refusal"),
    [("down", False, "down"), ("degraded", True, "one_way"), ("unknown", False, "unknown"), ("up", False, "")],
)
def test_explain_says_why_a_line_is_no_candidate(state: LineState, one_way: bool, refusal: str) -> None:
    """By a word of a closed set."""
    bench = Bench([group(1, 0)])
    bench.line("f3", state, one_way=one_way)
    bench.step()
    bench.ask("lockout", "g1/p0", "m1")

    lines = bench.core.explain("g1/p0", bench.now).lines

    assert [(line.line_id, line.refusal) for line in lines] == [
        ("f1", "working"), ("f2", ""), ("f3", refusal), ("m1", "locked_out"),
    ]  # fmt: skip


def test_explain_names_timers_and_who_has_the_room() -> None:
    """What a person needs who asks why."""
    bench = crowd()
    cut_both(bench)
    bench.settle()

    explained = bench.core.explain("g1/p3", bench.now)

    assert explained.lines[-1].refusal == "no_room"
    assert (explained.lines[-1].admitted_bps, explained.lines[-1].usable_bps) == (8 * MBIT, 8 * MBIT)
    assert [timer.name for timer in explained.timers] == ["retry"]
    assert explained.failing_risk_ids == ("duct-1",)
    with pytest.raises(KeyError):
        bench.core.explain("g9/p0", bench.now)


def test_commands_that_can_wait_are_spread_in_a_disaster() -> None:
    """The same way each time; what is urgent is not."""
    bench = Bench([group(1, 3)])
    bench.core.see_posture("north", "disaster")
    bench.line("f1", "down")
    escape = bench.step().actions[0]
    calm = msgspec.structs.replace(escape, urgent=False, reason="revert")

    assert bench.core.delay_s(escape) == 0.0
    assert 0.0 < bench.core.delay_s(calm) == bench.core.delay_s(calm) <= 60.0


def test_two_who_want_each_others_place_do_not_hang_the_region() -> None:
    """A step ends, whatever the room."""
    lines = (
        LineFacts(line_id="a", capacity_bps=10 * MBIT),
        LineFacts(line_id="b", capacity_bps=10 * MBIT),
    )
    groups = [
        group(number, 2, working=own, protections=(other,), bandwidth_bps=6 * MBIT)
        for number, (own, other) in enumerate((("a", "b"), ("b", "a")))
    ]
    states = [
        GroupState(group_id="g0/p2", on="b", phase="PROTECTING"),
        GroupState(group_id="g1/p2", on="a", phase="PROTECTING"),
    ]
    bench = Bench(groups, states, lines=lines)

    bench.run(200)

    assert (bench.on("g0/p2"), bench.on("g1/p2")) == ("a", "b")
