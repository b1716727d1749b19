"""A region is decided: who goes first, who makes room, who returns when, whose word counts."""

from __future__ import annotations

from netmon.failover.model import Freeze, GroupState, LineSight
from tests.unit.failover.regions import MBIT, START, Bench, S, group, reported, told

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


def test_a_gateway_that_leaves_a_dead_line_by_itself_goes_first() -> None:
    """What it tells is adopted; one that tells nothing in time is ordered, one that is silent at once."""
    bench = Bench([group(number, 0, leaves_by_itself=True) for number in (1, 2, 3)])
    for number in (1, 2, 3):
        bench.report(f"g{number}", reported(f"g{number}/p0", "f1"), plan_version=1)
    bench.core.lose_gateway("g3")
    bench.step()

    bench.line("f1", "down", reason="no_answer")
    assert bench.moves() == ["g3/p0>f3"]
    bench.report("g1", reported("g1/p0", "m1"), plan_version=1)

    assert bench.moves(0.2) == []
    assert (bench.on("g1/p0"), bench.phase("g1/p0")) == ("m1", "PROTECTING")
    assert bench.moves(0.1) == ["g2/p0>f3"]


def test_where_a_gateway_is_that_was_never_told_counts_in_the_end() -> None:
    """The order got lost on its way, and the gateway went elsewhere by itself: for a while its word is taken for an old one."""
    bench = Bench([group(1, 0)])
    bench.line("f1", "down", reason="no_answer")
    assert bench.moves() == ["g1/p0>f3"]
    bench.line("f1", "up")
    bench.moves(3.0)

    bench.report("g1", reported("g1/p0", "m1"))
    bench.moves()
    assert bench.on("g1/p0") == "f1"
    bench.moves(31.0)
    bench.report("g1", reported("g1/p0", "m1"))
    bench.moves()

    assert bench.on("g1/p0") == "m1"


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


def test_who_has_left_a_crowded_line_by_itself_is_not_sent_back_to_it() -> None:
    """The same step has it make room there, and hears that its gateway has it elsewhere already, on another line or on none."""
    for elsewhere in ("f3", ""):
        groups = [
            group(1, 0, bandwidth_bps=6 * MBIT),
            group(2, 3, working="m1", protections=("f3",), bandwidth_bps=5 * MBIT),
        ]
        bench = Bench(groups)
        bench.step()
        bench.line("f1", "down")
        bench.report("g1", reported("g1/p0", "m1", by="edge"))
        bench.report("g2", reported("g2/p3", elsewhere, by="edge"))

        assert [move for move in bench.moves() if move.endswith(">m1")] == []
        assert bench.core.loads["m1"].admitted_bps == (6 * MBIT, 0, 0, 0)


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


# -- the clock


def test_a_clock_that_is_set_brings_nobody_home_early_and_makes_no_order_fail() -> None:
    """Two hours ahead, or back: what was waited for is waited for as long as before."""
    for by_s in (7_200, -7_200):
        bench = Bench([group(1, 0), group(2, 0, working="f2", protections=("f3",))])
        bench.line("f1", "down")
        bench.settle()
        bench.line("f1", "up")
        bench.run(20)
        bench.line("f2", "down")
        assert bench.moves() == ["g2/p0>f3"]

        states = bench.core.shift(by_s * S)
        bench.now += by_s * S

        assert {state.group_id for state in states} == {"g1/p0", "g2/p0"}
        assert bench.moves(0.5) == []
        assert bench.core.states["g2/p0"].attempt is not None
        bench.line("f2", "up")
        assert bench.run(60)[-1] == "41: g1/p0>f1"
