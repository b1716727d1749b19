"""A region is decided: who goes first, who makes room, who returns when, whose word counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netmon.active_probe.model import LineState
from netmon.failover.model import Freeze, GroupState, LineFacts, LineSight
from netmon.failover.plan.model import ReportedGroup
from tests.unit.failover.regions import LINES, MBIT, START, Bench, S, group, told


def reported(group_id: str, on: str, **fields: Any) -> ReportedGroup:
    """Where a group is at its gateway."""
    return ReportedGroup(group_id=group_id, on=on, **fields)


# -- escapes


def test_a_calm_region_asks_for_nothing() -> None:
    """And need not be looked at again."""
    decided = Bench([group(1, 0), group(1, 3)]).step()

    assert (decided.actions, decided.states, decided.gateways, decided.due_unix_ns) == ([], [], [], 0)


def test_a_dead_line_is_left_for_one_that_shares_no_risk_p0_of_all_gateways_first() -> None:
    """Its twin in the same duct is up still, as far as anybody knows."""
    bench = Bench([group(2, 1), group(1, 1), group(2, 0), group(1, 0)])
    bench.step()

    bench.line("f1", "down", reason="no_answer")

    assert bench.moves(1.0) == ["g1/p0>f3", "g2/p0>f3", "g1/p1>f3", "g2/p1>f3"]
    assert bench.on("g1/p0") == "f1"


def test_where_a_group_is_changes_only_when_it_was_shown_to_arrive() -> None:
    """Ordered is not moved."""
    bench = Bench([group(1, 0)])
    bench.line("f1", "down")
    decided = bench.step()
    assert (bench.on("g1/p0"), bench.phase("g1/p0")) == ("f1", "SF_PENDING")

    after = bench.verify(decided)

    assert (bench.on("g1/p0"), bench.phase("g1/p0")) == ("f3", "PROTECTING")
    assert [state.group_id for state in after.states] == ["g1/p0"]


def test_a_candidate_that_fails_is_followed_by_the_next() -> None:
    """With a generation of its own."""
    bench = Bench([group(1, 1)])
    bench.line("f1", "down")
    first = bench.step().actions[0]

    bench.report("g1", reported("g1/p1", "f1", fence=7, generation=first.generation, outcome="failed"))
    second = next(action for action in bench.step().actions if action.kind == "switch")

    assert (first.to, second.to) == ("f3", "m1")
    assert (second.generation, second.reason) == (first.generation + 1, "verify_failed")


def test_a_line_that_nobody_has_proven_lately_is_no_candidate() -> None:
    """f3 says nothing any more; its last word was good."""
    bench = Bench([group(1, 0)])
    bench.step()
    bench.stale.add("f3")

    bench.step(6.0)
    bench.line("f1", "down")

    assert bench.moves() == ["g1/p0>m1"]


# -- room


def crowd() -> Bench:
    """f1 and its twin are about to die; all classes of a gateway then want what is left: 8 Mbit/s of m1."""
    lines = tuple(line for line in LINES if line.line_id != "f3")
    rates = {0: 3 * MBIT, 1: 3 * MBIT, 2: 2 * MBIT, 3: 5 * MBIT}
    groups = [group(1, priority, protections=("f2", "m1"), bandwidth_bps=rate) for priority, rate in rates.items()]
    bench = Bench(groups, lines=lines)
    bench.step()
    return bench


def cut_both(bench: Bench) -> None:
    """The duct is cut."""
    bench.line("f1", "down")
    bench.line("f2", "down")


def test_what_does_not_fit_stays_where_it_is_and_p0_comes_first() -> None:
    """Its line is dead: it takes no room there."""
    bench = crowd()
    cut_both(bench)

    assert bench.settle() == ["g1/p0>m1", "g1/p1>m1", "g1/p2>m1"]
    assert {name: bench.phase(name) for name in ("g1/p2", "g1/p3")} == {"g1/p2": "PROTECTING", "g1/p3": "NO_BACKUP"}


def test_who_is_in_the_way_is_told_to_leave_before_who_comes() -> None:
    """P3 lives on the small line; P0 of another gateway has no other."""
    groups = [
        group(1, 0, protections=("m1",), bandwidth_bps=4 * MBIT),
        group(2, 3, working="m1", protections=(), bandwidth_bps=6 * MBIT),
    ]
    bench = Bench(groups)
    bench.line("f1", "down")

    decided = bench.step()

    assert [told(action) for action in decided.actions] == ["g2/p3>nowhere", "g1/p0>m1"]
    assert decided.actions[0].reason == "preempted"
    assert [bench.core.delay_s(action) for action in decided.actions] == [0.0, 0.0]
    bench.verify(decided)
    assert (bench.on("g2/p3"), bench.core.loads["m1"].shed_bps) == ("", (0, 0, 0, 6 * MBIT))
    assert bench.core.loads["m1"].admitted_bps == (4 * MBIT, 0, 0, 0)


def test_what_was_shed_is_admitted_when_there_is_room_again() -> None:
    """As soon as whoever took it has returned."""
    bench = Bench(
        [
            group(1, 0, protections=("m1",), bandwidth_bps=4 * MBIT),
            group(2, 3, working="m1", protections=(), bandwidth_bps=6 * MBIT),
        ]
    )
    bench.line("f1", "down")
    bench.settle()
    bench.line("f1", "up")

    moves = bench.run(70)

    assert moves == ["61: g1/p0>f1", "62: g2/p3>m1"]


def test_a_group_that_cannot_be_moved_makes_no_room() -> None:
    """Locked out, only observed, or at a gateway that nobody reaches: whoever comes has to do without its room."""
    groups = [
        group(1, 0, protections=("m1",), bandwidth_bps=4 * MBIT),
        group(2, 3, working="m1", protections=(), bandwidth_bps=3 * MBIT, mode="observe"),
        group(3, 3, working="m1", protections=(), bandwidth_bps=3 * MBIT),
    ]
    bench = Bench(groups)
    bench.ask("lockout", "g3/p3")
    bench.line("f1", "down")

    assert bench.moves() == []
    assert bench.phase("g1/p0") == "NO_BACKUP"
    assert bench.core.clear("g3/p3", bench.now) == ""
    assert bench.settle(60.0) == ["g3/p3>nowhere", "g1/p0>m1"]


# -- returns


def test_groups_return_one_a_second_p0_first_after_the_wait_to_restore() -> None:
    """Not all at once, and not before."""
    bench = Bench([group(number, priority) for number in (1, 2) for priority in (0, 2)])
    bench.line("f1", "down")
    bench.settle()
    bench.line("f1", "up")

    assert bench.run(70) == ["61: g1/p0>f1", "62: g2/p0>f1", "63: g1/p2>f1", "64: g2/p2>f1"]


def test_in_a_disaster_one_group_returns_in_half_a_minute_and_waits_for_longer() -> None:
    """What was just mended is shaken again."""
    bench = Bench([group(1, 0), group(2, 0)])
    bench.core.see_posture("north", "disaster")
    bench.line("f1", "down")
    bench.settle()
    bench.line("f1", "up")

    assert bench.run(760) == ["721: g1/p0>f1", "751: g2/p0>f1"]


def test_a_new_leader_moves_nothing_that_can_wait() -> None:
    """But what has to escape escapes."""
    away = GroupState(
        group_id="g1/p0", phase="WTR", on="f3", since_unix_ns=START - 90 * S, due_unix_ns=START - 30 * S, generation=4
    )
    bench = Bench([group(1, 0), group(2, 0, working="f2")], [away], calm_s=15)
    bench.line("f2", "down")

    assert [move.split(": ")[1] for move in bench.run(14)] == ["g2/p0>f3"]
    bench.line("f2", "up")
    assert bench.run(3)[0] == "1: g1/p0>f1"


def test_a_line_that_failed_again_while_nobody_led_is_waited_for_anew() -> None:
    """The wait to restore that the former leader noted has run out meanwhile, but the line has been good for a moment only."""
    away = GroupState(
        group_id="g1/p0", phase="WTR", on="f3", since_unix_ns=START - 50 * S, due_unix_ns=START + 10 * S, generation=4
    )
    bench = Bench([group(1, 0)], [away])
    bench.line("f1", "up")

    assert bench.run(70) == ["60: g1/p0>f1"]


def test_when_a_command_is_cleared_the_wait_to_restore_is_not_cut_short() -> None:
    """The working line has been good for ten seconds: the short wait after a command is for lines that were well all along."""
    bench = Bench([group(1, 0)])
    bench.line("f1", "down")
    bench.settle()
    bench.line("f1", "up")
    bench.run(5)
    assert bench.ask("manual", "g1/p0", "m1", seconds=5.0) == ""

    assert bench.run(70) == ["1: g1/p0>m1", "55: g1/p0>f1"]


# -- gateways


def test_a_gateways_own_word_moves_its_own_groups_alone() -> None:
    """Its access has failed; the verdict says that the line is up."""
    bench = Bench([group(1, 0), group(2, 0)])
    bench.step()

    bench.report("g1", reported("g1/p0", "f1"), lines=[LineSight(line_id="f1", state="down")])

    assert bench.moves() == ["g1/p0>f3"]


def test_where_a_gateway_has_put_a_group_by_itself_is_adopted() -> None:
    """It was quicker."""
    bench = Bench([group(1, 0)])
    bench.step()
    bench.line("f1", "down")
    bench.report("g1", reported("g1/p0", "m1", by="edge"), lines=[LineSight(line_id="f1", state="down")])

    bench.step()

    assert (bench.on("g1/p0"), bench.core.states["g1/p0"].reason) == ("m1", "edge")


def test_an_adopted_group_that_crowds_a_line_makes_the_lesser_ones_leave() -> None:
    """The gateway could not know what others need there."""
    groups = [
        group(1, 0, bandwidth_bps=6 * MBIT),
        group(2, 3, working="m1", protections=("f3",), bandwidth_bps=5 * MBIT),
    ]
    bench = Bench(groups)
    bench.step()
    bench.line("f1", "down")
    bench.report("g1", reported("g1/p0", "m1", by="edge"))

    assert bench.moves() == ["g2/p3>f3"]


def test_an_answer_to_an_order_under_a_former_leader_is_none_of_ours() -> None:
    """After Redis lost its data, generations begin anew; fences do not."""
    bench = Bench([group(1, 0)])
    bench.line("f1", "down")
    first = bench.step().actions[0]

    bench.report("g1", reported("g1/p0", "m1", fence=6, generation=first.generation, outcome="verified"))
    assert (bench.moves(), bench.on("g1/p0")) == ([], "f1")

    bench.report("g1", reported("g1/p0", "f3", fence=7, generation=first.generation, outcome="verified"))
    bench.step()
    assert bench.on("g1/p0") == "f3"


def test_generations_go_on_from_what_a_gateway_has_seen() -> None:
    """Whoever kept them may have lost the newest; one that nobody can have meant is not believed."""
    bench = Bench([group(1, 0), group(2, 0)])
    bench.report("g1", reported("g1/p0", "f1", fence=6, generation=41))
    bench.report("g2", reported("g2/p0", "f1", fence=6, generation=1 << 60))
    bench.line("f1", "down")

    assert [action.generation for action in bench.step().actions] == [42, 1]


def test_reports_that_are_old_or_there_twice_change_nothing() -> None:
    """Also those of a life before the last."""
    bench = Bench([group(1, 0)])
    bench.step()
    bench.report("g1", reported("g1/p0", "f1"), beat=5)
    bench.report("g1", reported("g1/p0", "m1"), beat=5)
    bench.report("g1", reported("g1/p0", "m1"), beat=4)
    bench.report("g1", reported("g1/p0", "f1"), beat=1, started_unix_ns=2)
    bench.report("g1", reported("g1/p0", "m1"), beat=9)
    bench.step()

    assert bench.on("g1/p0") == "f1"


def test_a_group_on_a_line_that_is_none_of_its_own_is_not_believed() -> None:
    """A gateway cannot invent lines."""
    bench = Bench([group(1, 0)])
    bench.step()
    bench.report("g1", reported("g1/p0", "elsewhere"))
    bench.step()

    assert bench.on("g1/p0") == "f1"


def test_an_order_to_a_silent_gateway_stays_and_no_other_line_is_tried() -> None:
    """It obeys as soon as it hears, or has moved by itself."""
    bench = Bench([group(1, 0)])
    bench.core.lose_gateway("g1")
    bench.line("f1", "down")
    assert bench.moves() == ["g1/p0>f3"]

    assert bench.moves(600.0) == []
    bench.report("g1", reported("g1/p0", "m1", by="edge"))
    attempt = bench.core.states["g1/p0"].attempt
    assert attempt is not None
    assert attempt.to == "f3"


def test_a_gateway_that_stops_is_silent() -> None:
    """Its will says so; what it saw counts no more."""
    bench = Bench([group(1, 0)])
    bench.report("g1", lines=[LineSight(line_id="f1", state="down")])
    bench.report("g1", stopped=True)

    assert bench.moves() == []
    assert bench.core.explain("g1/p0", bench.now).reachable is False


def test_a_stranger_changes_nothing() -> None:
    """Neither a gateway nor a line nor a group that the region does not have."""
    bench = Bench([group(1, 0)])
    bench.step()
    bench.report("g9", lines=[LineSight(line_id="f1", state="down")])
    bench.core.lose_gateway("g9")
    bench.core.see_line(LineSight(line_id="x", state="down"))
    bench.core.see_trap("x", True, bench.now)
    bench.core.see_posture("nowhere", "disaster")

    assert bench.step().states == []


# -- traps


def test_a_trusted_trap_moves_traffic_until_a_probe_disproves_it() -> None:
    """The probe was asked before the cut."""
    bench = Bench([group(1, 0)])
    bench.step()
    bench.stale.add("f1")

    bench.core.see_trap("f1", True, bench.now + S)
    assert bench.moves(2.0) == ["g1/p0>f3"]


def test_traps_move_nothing_off_a_line_that_probes_show_to_be_good() -> None:
    """Ten thousand of them."""
    bench = Bench([group(1, 0)])
    bench.step(10.0)
    for number in range(10_000):
        bench.core.see_trap("f1", True, START + number)

    assert bench.moves() == []


# -- freeze


def fail_all(bench: Bench, *, live: int) -> None:
    """Three lines of four fail, as so many of three vantages see it."""
    bench.step()
    bench.core.see_vantages(live, 3, bench.now)
    for line_id in ("f1", "f2", "f3"):
        bench.line(line_id, "down")


def test_most_lines_failing_at_once_while_most_vantages_are_blind_moves_nothing() -> None:
    """It is the observers that have failed. It is over when they have seen for a minute."""
    bench = Bench([group(1, 0)])
    fail_all(bench, live=1)

    assert bench.moves() == []
    assert bench.core.frozen is not None
    assert (bench.core.frozen.by, bench.phase("g1/p0")) == ("netmon", "FROZEN")
    bench.core.see_vantages(3, 3, bench.now)
    assert bench.moves(59.0) == []
    assert bench.moves(2.0) == ["g1/p0>m1"]


def test_the_same_with_vantages_that_see_is_a_disaster() -> None:
    """That is what failover is for."""
    bench = Bench([group(1, 0)])
    fail_all(bench, live=3)

    assert bench.moves() == ["g1/p0>m1"]


def test_an_operators_freeze_holds_until_its_end_and_forced_switches_go_through_it() -> None:
    """Gateways are told that they are locked, and that they are no longer."""
    bench = Bench([group(1, 0), group(2, 0)])
    bench.step()
    until = bench.now + 100 * S
    bench.core.freeze(Freeze(by="suzuki", why="works", unix_ns=bench.now, until_unix_ns=until), bench.now)
    bench.line("f1", "down")

    decided = bench.step()
    assert (decided.actions, decided.gateways) == ([], ["g1", "g2"])
    assert bench.now < decided.due_unix_ns <= until
    assert bench.ask("forced", "g1/p0", "m1") == ""
    assert bench.settle() == ["g1/p0>m1"]
    decided = bench.step(101.0)
    assert [told(action) for action in decided.actions] == ["g2/p0>f3"]
    assert (decided.gateways, bench.core.frozen) == (["g2"], None)


def test_an_operator_lifts_the_guards_freeze() -> None:
    """He knows better; and it does not freeze again for the same."""
    bench = Bench([group(1, 0)])
    fail_all(bench, live=1)
    bench.step()

    bench.core.freeze(None, bench.now)

    assert bench.core.frozen is None
    assert bench.moves() == ["g1/p0>m1"]


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
    bench = Bench([group(1, 0)])
    bench.ask("lockout", "g1/p0", "f2")
    bench.ask("lockout", "g1/p0", "f2")
    assert len(bench.core.requests["g1/p0"]) == 1
    for number in range(15):
        request = msgspec.structs.replace(bench.core.requests["g1/p0"][0], id=str(number))
        assert bench.core.ask(request, bench.now) == ""

    assert bench.ask("forced", "g1/p0", "f3") == (
        "16 requests of g1/p0 are in force, and no more are taken: clear them first"
    )


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
