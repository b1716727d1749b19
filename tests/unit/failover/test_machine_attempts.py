"""From a decision to a switch that is verified: what may go wrong on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netmon.failover.model import ActionResult
from netmon.failover.protection import machine, progress
from tests.unit.failover.groups import SECOND, Play, moves, sights, told


@pytest.fixture
def ordered() -> Play:
    """The working line is dead, and the actuator was told to use the better protection line; it says nothing yet."""
    play = Play()
    play.obeys = False
    assert moves(play.see(own="down")) == [("near", "signal_fail")]
    return play


def test_while_an_order_is_under_way_nothing_else_is_asked_for(ordered: Play) -> None:
    """Not even when another line becomes the better one, or the first is no candidate any more."""
    assert ordered.step() == ()
    ordered.view["candidates"] = ordered.seen().candidates[1:]
    assert ordered.step() == ()
    ordered.view["candidates"] = ()
    assert ordered.step() == ()
    assert ordered.where() == ("SF_PENDING", "own")


def test_a_candidate_that_fails_is_followed_by_the_next(ordered: Play) -> None:
    """Under a new generation; when all have failed, people are told, and the round begins anew later."""
    assert told(ordered.answer("failed", on="own")) == [
        ("page", "verify_failed", "near"),
        ("switch", "far", "verify_failed"),
    ]
    assert ordered.state.generation == 2
    assert told(ordered.answer("failed", on="own")) == [("page", "verify_failed", "far"), ("page", "no_backup", "")]
    assert ordered.where() == ("NO_BACKUP", "own")
    assert moves(ordered.after(5)) == [("near", "signal_fail")]
    ordered.answer("failed")
    ordered.answer("failed")
    assert (ordered.due_ns - ordered.now_ns) == 10 * SECOND
    assert moves(ordered.after(10)) == [("near", "signal_fail")]
    ordered.answer("verified")
    assert (ordered.where(), ordered.state.rounds) == (("PROTECTING", "near"), 0)


def test_an_answer_that_never_comes_counts_as_a_failure(ordered: Play) -> None:
    """After the time that was given for it."""
    assert ordered.after(1.9) == ()
    assert told(ordered.after(0.1)) == [("page", "verify_failed", "near"), ("switch", "far", "verify_failed")]


def test_an_answer_that_was_lost_is_found_in_the_report(ordered: Play) -> None:
    """By whichever leader reads the state: the class is where it was sent."""
    successor = msgspec.json.decode(msgspec.json.encode(ordered.state), type=type(ordered.state))
    step = machine.step(ordered.group, successor, ordered.seen(reported="near"), ordered.now_ns + 60 * SECOND)
    assert (step.state.phase, step.state.on, step.state.reason) == ("PROTECTING", "near", "signal_fail")
    assert step.actions == ()


def test_a_report_during_an_order_may_be_older_than_it(ordered: Play) -> None:
    """It is not believed before the time for an answer is over."""
    assert ordered.step(reported="far") == ()
    assert ordered.where() == ("SF_PENDING", "own")
    ordered.view["reported"] = "far"
    ordered.after(2)
    assert ordered.where() == ("PROTECTING", "far")


def test_late_and_strange_answers_change_nothing(ordered: Play) -> None:
    """Of an order that has been replaced, or that nobody here has given."""
    ordered.answer("failed", on="own")
    state = ordered.state
    for generation in (1, 7):
        result = ActionResult(group_id=ordered.group.id, generation=generation, outcome="verified", on="near")
        assert machine.step(ordered.group, state, ordered.seen(result=result), ordered.now_ns).state is state


def test_a_target_that_fails_meanwhile_is_given_up(ordered: Play) -> None:
    """The next one is ordered at once, not when the time is over."""
    assert moves(ordered.see(near="down")) == [("far", "signal_fail")]
    ordered.see(far="down")
    assert ordered.where() == ("NO_BACKUP", "own")
    assert ordered.state.attempt is None


def test_a_target_that_is_locked_out_meanwhile_is_given_up(ordered: Play) -> None:
    """An operator's lockout counts from the next step on."""
    ordered.view["locked"] = frozenset({"near"})
    assert moves(ordered.step()) == [("far", "signal_fail")]


def test_a_working_line_that_fails_the_test_of_arrival() -> None:
    """Home is tried first, and is left out like any other line when it did not carry the class."""
    play = Play()
    play.fail_over()
    play.see(own="up")
    play.obeys = False
    assert moves(play.see(near="down")) == [("own", "signal_fail")]
    assert moves(play.answer("failed", on="near")) == [("far", "verify_failed")]


def test_a_working_line_that_comes_back_meanwhile(ordered: Play) -> None:
    """The order is let finish; then it returns as after any failure."""
    assert ordered.see(own="up") == ()
    ordered.answer("verified")
    assert ordered.state.on == "near"
    ordered.after(0.5)
    assert ordered.where() == ("WTR", "near")


def test_who_cannot_be_reached_is_waited_for() -> None:
    """The order stays; nothing else is tried, however long it takes; once reached it has its time."""
    play = Play()
    play.obeys = False
    play.view["reachable"] = False
    assert moves(play.see(own="down")) == [("near", "signal_fail")]
    play.answer("unreachable")
    assert play.after(3_600) == ()
    assert play.state.attempt is not None
    play.view["reachable"] = True
    assert play.step() == ()
    assert play.due_ns == play.now_ns + 2 * SECOND
    play.answer("verified")
    assert play.where() == ("PROTECTING", "near")


def test_who_cannot_be_reached_on_a_dead_line_keeps_its_order() -> None:
    """Even when its line is no candidate any more: there is nothing better to be told."""
    play = Play()
    play.obeys = False
    play.view["reachable"] = False
    play.see(own="down")
    play.view["candidates"] = ()
    assert play.step() == ()
    assert play.state.attempt is not None
    assert play.where() == ("SF_PENDING", "own")


def test_an_order_that_could_not_be_told_is_taken_back_when_its_reason_is_gone() -> None:
    """It is replaced by the order to stay, which is newer."""
    play = Play()
    play.obeys = False
    play.view["reachable"] = False
    play.see(own="down")
    asked = play.see(own="up")
    assert told(asked) == [("abandon", "own", "")]
    assert asked[0].generation == play.state.generation == 2
    assert play.where() == ("NR", "own")
    assert play.step() == ()


def test_a_lost_order_to_a_dead_line_does_not_hold_up_the_escape() -> None:
    """Nobody can be reached, and the line that was ordered dies: the next one is wanted instead."""
    play = Play()
    play.obeys = False
    play.view["reachable"] = False
    play.see(own="down")
    assert moves(play.see(near="down")) == [("far", "signal_fail")]


def test_a_return_that_fails_is_tried_again_after_the_wait() -> None:
    """And nothing moves until then. Without an answer, the order is taken back."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.see(own="up")
    play.obeys = False
    assert moves(play.after(300)) == [("own", "revert")]
    assert told(play.answer("failed", on="near")) == [("page", "verify_failed", "own")]
    assert play.where() == ("WTR", "near")
    assert moves(play.after(300)) == [("own", "revert")]
    assert told(play.after(2)) == [("page", "verify_failed", "own"), ("abandon", "near", "")]
    assert moves(play.after(300)) == [("own", "revert")]


def test_a_refusal_is_not_the_candidates_fault(ordered: Play) -> None:
    """The actuator has seen a newer order: the same is told again after a while, with a newer generation."""
    assert ordered.answer("refused") == ()
    assert ordered.after(4.9) == ()
    assert moves(ordered.after(0.1)) == [("near", "signal_fail")]
    ordered.answer("refused")
    assert ordered.due_ns == ordered.now_ns + 10 * SECOND
    assert moves(ordered.see(near="down")) == [("far", "signal_fail")]
    assert ordered.state.generation == 3


def test_a_refused_escape_does_not_wait_where_there_is_another_way(ordered: Play) -> None:
    """What was refused is not under way."""
    ordered.answer("refused")
    ordered.view["candidates"] = ordered.seen().candidates[1:]
    assert moves(ordered.step()) == [("far", "signal_fail")]


def test_who_has_refused_may_be_there_already(ordered: Play) -> None:
    """Another leader had ordered the same."""
    ordered.answer("refused")
    ordered.step(reported="near")
    assert ordered.where() == ("PROTECTING", "near")


def test_a_line_that_did_not_carry_it_is_not_where_it_stays(ordered: Play) -> None:
    """The gateway had to leave it there, since what stood before is dead; the next candidate is tried all the same."""
    assert moves(ordered.answer("failed", on="near")) == [("far", "verify_failed")]


def test_a_failed_order_may_tell_of_another_place(ordered: Play) -> None:
    """The gateway had moved by its plan."""
    ordered.answer("failed", on="far")
    assert ordered.where() == ("PROTECTING", "far")


def test_when_even_shedding_fails_it_is_tried_again() -> None:
    """A gateway that cannot refuse packets is asked again, in growing steps."""
    play = Play()
    play.obeys = False
    play.view.update(evicted=True, candidates=())
    assert moves(play.step()) == [("", "preempted")]
    play.answer("failed", on="own")
    assert play.step() == ()
    assert moves(play.after(5)) == [("", "preempted")]
    play.answer("verified")
    assert play.where() == ("PROTECTING", "")


def test_a_move_for_the_better_that_fails() -> None:
    """Its rivals are tried one after the other, then after a while again; an escape has a round of its own."""
    play = Play(moves_on_sd=True)
    play.obeys = False
    play.see(own="degraded")
    assert moves(play.answer("failed", on="own")) == [("far", "signal_degrade")]
    play.answer("failed", on="own")
    assert play.after(4.9) == ()
    assert moves(play.after(0.1)) == [("near", "signal_degrade")]
    play.answer("failed", on="own")
    play.answer("failed", on="own")
    assert moves(play.see(own="down")) == [("near", "signal_fail")]


def test_a_return_to_service_that_fails() -> None:
    """What is shed tries one line after the other, too."""
    play = Play()
    play.obeys = False
    play.set(on="", phase="PROTECTING", reason="preempted")
    assert moves(play.see(own="down")) == [("near", "admitted")]
    assert moves(play.answer("failed", on="")) == [("far", "admitted")]
    play.answer("failed", on="")
    assert play.after(4.9) == ()
    assert moves(play.after(0.1)) == [("near", "admitted")]


def test_mode_observe_orders_nothing() -> None:
    """What it would do is asked for once, as a proposal that nobody can approve, and withdrawn when the reason is gone."""
    play = Play(mode="observe")
    assert told(play.see(own="down")) == [("propose", "near", "signal_fail")]
    assert play.after(3_600) == ()
    assert play.step(approved=1) == ()
    assert play.where() == ("SF_PENDING", "own")
    assert told(play.see(near="down")) == [("propose", "far", "signal_fail")]
    assert play.see(own="up") == ()
    assert (play.where(), play.state.attempt) == (("NR", "own"), None)
    assert told(play.ask("forced", "far")) == [("propose", "far", "forced")]


def test_mode_advise_waits_for_approval() -> None:
    """It is ordered under the generation that was approved."""
    play = Play(mode="advise")
    assert told(play.see(own="down")) == [("propose", "near", "signal_fail")]
    assert play.step(approved=7) == ()
    assert told(play.step(approved=1)) == [("switch", "near", "signal_fail")]
    assert (play.where(), play.state.generation) == (("PROTECTING", "near"), 1)


def test_a_proposal_expires() -> None:
    """While it is still needed there is a fresh one, which the approval of the old one does not approve."""
    play = Play(mode="advise")
    play.see(own="down")
    assert told(play.after(120)) == [("propose", "near", "signal_fail")]
    assert play.state.generation == 2
    assert play.step(approved=1) == ()
    assert play.see(own="up") == ()
    assert play.state.attempt is None
    assert play.step(approved=2) == ()


def test_an_operators_command_is_its_own_approval() -> None:
    """In mode advise; the way back is proposed."""
    play = Play(mode="advise")
    assert moves(play.ask("manual", "far")) == [("far", "manual")]
    play.clear()
    assert told(play.after(5.5)) == [("propose", "own", "cleared")]


def test_modes_may_change_with_a_proposal_open() -> None:
    """Act: it is done. Observe: it never expires any more. Advise: it may be approved."""
    play = Play(mode="observe")
    play.see(own="down")
    play.group = Play(mode="advise").group
    assert told(play.step()) == [("propose", "near", "signal_fail")]
    assert play.due_ns == play.now_ns + 120 * SECOND
    play.group = Play(mode="observe").group
    assert told(play.step()) == [("propose", "near", "signal_fail")]
    assert play.due_ns == 0
    play.group = Play(mode="act").group
    assert moves(play.step()) == [("near", "signal_fail")]


def test_a_line_that_was_removed_while_it_was_ordered() -> None:
    """The new configuration does not have it: the next one."""
    play = Play()
    play.obeys = False
    play.see(own="down")
    play.group = Play(protections=("far",)).group
    assert moves(play.step()) == [("far", "signal_fail")]


def test_what_a_step_will_leave_out_is_known_before() -> None:
    """So that who ranks the candidates for a class that is strict knows which of them are none any more."""
    play = Play(moves_on_sd=True)
    play.obeys = False

    def left_out(**news: Any) -> tuple[str, ...]:
        seen = play.seen(**news)
        return progress.left_out(play.group, play.state, seen.sights, play.now_ns, seen.result)

    play.see(own="degraded")
    failed = ActionResult(group_id=play.group.id, generation=1, outcome="failed")
    assert (left_out(), left_out(result=failed)) == ((), ("near",))
    play.now_ns = play.due_ns
    assert left_out() == ("near",)
    play.step()
    assert left_out() == ("near",)
    play.lines = sights(own="down")
    assert left_out() == ()
    play.lines = sights(own="degraded")
    play.answer("failed")
    assert left_out() == ("near", "far")
    play.now_ns = play.due_ns
    assert left_out() == ()
