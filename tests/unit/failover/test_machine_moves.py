"""When a group that need not escape goes to another line all the same: for a better one, to make room, to be somewhere again."""

from __future__ import annotations

from netmon.failover.model import SHED, Candidate, LineSight
from tests.unit.failover.groups import Play, moves


def test_a_better_line_has_to_be_better_for_a_minute() -> None:
    """By a whole rank; a moment of weakness in between begins the minute anew."""
    play = Play()
    play.see(near="down")
    play.see(own="down")
    assert play.where() == ("PROTECTING", "far")
    play.see(near="up")
    play.after(59)
    play.see(near="down")
    play.see(near="up")
    assert play.after(59.9) == ()
    assert moves(play.after(0.1)) == [("near", "better")]


def test_an_equal_line_is_not_better() -> None:
    """Nobody moves for nothing."""
    play = Play()
    play.see(near="down")
    play.see(own="down")
    play.see(near="up")
    play.view["candidates"] = (Candidate("near", (0, 1)), Candidate("far", (0, 1)))
    assert play.after(3_600) == ()


def test_a_rival_is_not_overtaken_by_another() -> None:
    """The one that has been better for a minute is gone to, even if a still better one has just come back."""
    play = Play(protections=("near", "middle", "far"))
    play.see(near="down", middle="down")
    play.see(own="down")
    play.view["candidates"] = (Candidate("middle", (1,)), Candidate("far", (2,)))
    play.see(middle="up")
    play.after(50)
    play.view["candidates"] = (Candidate("near", (0,)), *play.view["candidates"])
    play.see(near="up")
    assert moves(play.after(10)) == [("middle", "better")]
    assert moves(play.after(60.5)) == [("near", "better")]


def test_candidates_are_not_believed_blindly() -> None:
    """One that is down by what this step sees, or is no line of the group, is none."""
    play = Play()
    play.see(near="down", far="unknown")
    play.view["candidates"] = tuple(Candidate(line, (0,)) for line in ("near", "far", "elsewhere"))
    play.lines["elsewhere"] = LineSight(line_id="elsewhere", state="up")
    play.see(own="down")
    assert play.where() == ("NO_BACKUP", "own")


def test_to_be_unknown_for_a_while_is_no_second_failure() -> None:
    """A line that is lost sight of while it is down is punished once."""
    play = Play()
    for how in ("down", "unknown", "down"):
        play.see(own=how)  # type: ignore[arg-type]
    assert play.state.penalty == 1_000.0


def test_the_wait_goes_on_when_the_gateway_moves_by_itself() -> None:
    """Its working line has been good all the while."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.see(own="up")
    play.after(200)
    play.step(reported="far")
    assert play.where() == ("WTR", "far")
    assert play.after(99) == ()
    assert moves(play.after(1)) == [("own", "revert")]


def test_degraded_is_left_only_by_who_asked_for_it() -> None:
    """And only for a line that is up, and better by 30 % at what fails."""
    lossy = LineSight(line_id="own", state="degraded", loss=0.10, reason="loss")
    assert Play().see(own=lossy) == ()
    for loss, expected in ((0.071, []), (0.069, [("near", "signal_degrade")]), (None, [])):
        play = Play(moves_on_sd=True)
        play.see(near=LineSight(line_id="near", state="up", loss=loss), far="down")
        assert moves(play.see(own=lossy)) == expected


def test_degraded_by_round_trips_is_compared_by_round_trips() -> None:
    """A line without loss but as slow is not better."""
    slow = LineSight(line_id="own", state="degraded", loss=0.2, rtt_s=0.2, reason="round_trip")
    play = Play(moves_on_sd=True)
    play.see(
        near=LineSight(line_id="near", state="up", loss=0.0, rtt_s=0.19),
        far=LineSight(line_id="far", state="up", rtt_s=0.139),
    )
    assert moves(play.see(own=slow)) == [("far", "signal_degrade")]
    assert play.where() == ("DEGRADED", "far")


def test_from_degraded_it_returns_as_from_a_failure() -> None:
    """When the line is up again, after the wait."""
    play = Play(moves_on_sd=True)
    play.see(own="degraded")
    assert play.where() == ("DEGRADED", "near")
    play.after(1)
    play.see(own="up")
    assert moves(play.after(300)) == [("own", "revert")]


def test_degraded_lines_are_not_returned_to_from_good_ones() -> None:
    """But from one that is as bad, by a class that does not mind."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.see(own="degraded")
    assert play.after(3_600) == ()
    assert play.where() == ("DEGRADED", "near")
    play.view["candidates"] = ()
    play.see(near="degraded")
    assert moves(play.after(300)) == [("own", "revert")]


def test_a_class_that_minds_returns_to_no_degraded_line() -> None:
    """Not even from one that is degraded as well."""
    play = Play(moves_on_sd=True)
    play.fail_over()
    play.view["candidates"] = ()
    play.see(own="degraded", near="degraded")
    assert play.after(3_600) == ()
    assert play.where() == ("DEGRADED", "near")


def test_a_degraded_protection_line_is_left_after_a_minute() -> None:
    """If the class minds, and another one is clearly better, though of lower rank."""
    play = Play(moves_on_sd=True)
    play.fail_over()
    play.after(1)
    play.see(near="degraded")
    assert play.after(59) == ()
    assert moves(play.after(1)) == [("far", "signal_degrade")]


def test_making_room_goes_to_another_line() -> None:
    """While there is one."""
    play = Play()
    play.fail_over()
    play.view["evicted"] = True
    assert moves(play._step(play.seen())) == [("far", "preempted")]


def test_making_room_where_there_is_none_is_being_shed() -> None:
    """Nowhere, so that it takes no room; and back to its own line when it fits, before any other."""
    play = Play()
    play.fail_over()
    play.view.update(evicted=True, candidates=())
    assert moves(play.step()) == [(SHED, "preempted")]
    assert play.where() == ("PROTECTING", SHED)
    assert play.step() == ()
    del play.view["candidates"]
    play.view.update(evicted=False, working_fits=False)
    play.see(own="up")
    play.after(0.4)
    assert moves(play.actions[2:]) == []
    play.view["working_fits"] = True
    assert moves(play.after(0.1)) == [("own", "admitted")]
    assert play.where() == ("NR", "own")


def test_what_is_shed_takes_any_line_with_room() -> None:
    """In its turn."""
    play = Play()
    play.set(on=SHED, phase="PROTECTING", reason="preempted")
    play.view["may_return"] = False
    assert play.see(own="down") == ()
    assert play.waiting == "admitted"
    play.view["may_return"] = True
    assert moves(play.step()) == [("near", "admitted")]
    assert play.where() == ("PROTECTING", "near")
