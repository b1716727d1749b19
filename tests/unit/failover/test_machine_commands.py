"""What operators tell a protection group, and what it makes of it."""

from __future__ import annotations

import pytest

from netmon.failover.model import LineSight, Timers
from netmon.failover.protection.timers import LOCKOUT_AGE_NS
from tests.unit.failover.groups import HOUR, NOON, SECOND, Play, moves, told


def test_forced_goes_where_it_is_told() -> None:
    """At once, and the gateway does not ask its own probes; and stays, whatever becomes of the working line."""
    play = Play()
    asked = play.ask("forced", "far")
    assert told(asked) == [("switch", "far", "forced")]
    assert (asked[0].urgent, asked[0].forced) == (True, True)
    assert play.where() == ("FS", "far")
    assert play.see(own="down") == ()
    assert play.see(own="up") == ()
    assert play.after(3_600) == ()
    assert play.where() == ("FS", "far")


def test_forced_obeys_even_to_a_line_of_which_nothing_is_known() -> None:
    """A manual switch does not."""
    play = Play()
    play.see(far="unknown")
    assert play.ask("manual", "far") == ()
    assert moves(play.ask("forced", "far")) == [("far", "forced")]


def test_forced_does_not_obey_to_a_line_that_has_failed() -> None:
    """And that is the end of the command: it does not come back with the line, hours later."""
    play = Play()
    play.see(far="down")
    assert play.ask("forced", "far") == ()
    assert play.where() == ("NR", "own")
    assert play.state.void_request_id == "forced-far"
    play.see(far="up")
    assert play.where() == ("NR", "own")


def test_failure_of_the_line_ends_a_forced_switch() -> None:
    """SF on the protection line has greater weight. Afterwards it is as if it had gone there by itself."""
    play = Play()
    play.ask("forced", "far")
    assert moves(play.see(far="down")) == [("own", "signal_fail")]
    assert play.where() == ("NR", "own")
    play.see(far="up")
    play.after(3_600)
    assert play.where() == ("NR", "own")


def test_forced_back_home_while_the_working_line_is_unknown() -> None:
    """The operator knows more."""
    play = Play()
    play.fail_over()
    play.see(own="unknown")
    assert moves(play.ask("forced", "own")) == [("own", "forced")]
    assert play.where() == ("FS", "own")
    play.clear()
    assert play.where() == ("NR", "own")


def test_a_forced_switch_that_fails_is_tried_again() -> None:
    """In growing steps, and people are told each time; nothing else is tried."""
    play = Play()
    play.obeys = False
    play.ask("forced", "far")
    assert told(play.answer("failed", on="own")) == [("page", "verify_failed", "far")]
    assert play.step() == ()
    assert moves(play.after(5)) == [("far", "forced")]
    play.answer("failed", on="own")
    assert play.after(9.9) == ()
    assert moves(play.after(0.1)) == [("far", "forced")]
    play.answer("verified")
    assert play.where() == ("FS", "far")


def test_a_forced_switch_that_fails_does_not_hold_a_group_on_a_dead_line() -> None:
    """When its line fails, too, it goes wherever it can, and the command is over."""
    play = Play()
    play.obeys = False
    play.ask("forced", "far")
    play.answer("failed", on="own")
    assert moves(play.see(own="down")) == [("near", "signal_fail")]
    assert play.state.void_request_id == "forced-far"


def test_forced_overtakes_what_is_under_way() -> None:
    """Even a switch to the same line: it shall not depend on the gateway's own probes."""
    for line in ("near", "far"):
        play = Play()
        play.obeys = False
        play.see(own="down")
        assert moves(play.ask("forced", line)) == [(line, "forced")]
        assert play.state.generation == 2
        assert play.step() == ()


def test_manual_goes_to_a_healthy_line() -> None:
    """And stays while all is well."""
    play = Play()
    assert moves(play.ask("manual", "far")) == [("far", "manual")]
    assert play.where() == ("MS", "far")
    assert play.after(3_600) == ()


@pytest.mark.parametrize("how", ["degraded", "unknown", "down"])
def test_manual_does_not_go_to_any_other(how: str) -> None:
    """A line has to be up for it."""
    play = Play()
    play.see(far=how)  # type: ignore[arg-type]
    assert play.ask("manual", "far") == ()
    assert play.where() == ("NR", "own")


def test_manual_does_not_go_where_there_is_no_room() -> None:
    """Nor to what is not proven: it is no candidate."""
    play = Play()
    play.view["candidates"] = ()
    assert play.ask("manual", "far") == ()


@pytest.mark.parametrize(
    ("cut", "where"), [("own", ("PROTECTING", "far")), ("far", ("NR", "own")), ("near", ("MS", "far"))]
)
def test_failure_of_a_line_that_matters_ends_a_manual_switch(cut: str, where: tuple[str, str]) -> None:
    """Of the one that it went to, and of the working one; another line's does not."""
    play = Play()
    play.ask("manual", "far")
    play.see(**{cut: "down"})
    assert play.where() == where
    assert play.state.void_request_id == ("" if cut == "near" else "manual-far")


def test_manual_is_void_while_the_working_line_has_failed() -> None:
    """A forced switch is what moves a group then."""
    play = Play()
    play.fail_over()
    assert play.ask("manual", "far") == ()
    assert moves(play.ask("forced", "far")) == [("far", "forced")]


def test_a_manual_switch_that_fails_is_over() -> None:
    """It is where it was, people are told, and it is not tried again."""
    play = Play()
    play.obeys = False
    play.ask("manual", "far")
    assert told(play.answer("failed", on="own")) == [("page", "verify_failed", "far")]
    assert play.after(3_600) == ()
    assert play.where() == ("NR", "own")


@pytest.mark.parametrize("kind", ["forced", "manual"])
def test_clear_waits_only_to_block(kind: str) -> None:
    """5.5 s, not the five minutes of a line that had failed."""
    play = Play()
    play.ask(kind, "far")  # type: ignore[arg-type]
    play.after(60)
    assert play.clear() == ()
    assert play.where() == ("WTR", "far")
    assert play.after(5.4) == ()
    assert moves(play.after(0.1)) == [("own", "cleared")]
    assert play.where() == ("NR", "own")


def test_clear_does_not_return_to_a_line_that_has_just_come_back() -> None:
    """It has to have been good for as long as after any failure; what it has been already counts."""
    play = Play()
    play.ask("forced", "far")
    play.see(own="down")
    play.after(60)
    play.see(own=LineSight(line_id="own", state="up", since_unix_ns=play.now_ns))
    play.after(100)
    play.clear()
    assert play.after(199) == ()
    assert moves(play.after(1)) == [("own", "cleared")]


def test_a_command_that_ends_is_as_if_cleared() -> None:
    """It is not in force any more."""
    play = Play()
    play.ask("forced", "far")
    play.after(60)
    del play.view["request"]
    play.step()
    assert play.where() == ("WTR", "far")
    assert moves(play.after(5.5)) == [("own", "cleared")]


def test_clear_while_the_working_line_has_failed() -> None:
    """Its line is what it would have anyway."""
    play = Play()
    play.ask("forced", "far")
    play.see(own="down")
    play.clear()
    assert play.where() == ("PROTECTING", "far")


def test_clear_of_a_group_that_is_not_revertive() -> None:
    """It stays on the line, until clear is said once more."""
    play = Play(revertive=False)
    play.ask("manual", "far")
    del play.view["request"]
    play.step()
    assert play.after(3_600) == ()
    assert play.where() == ("DNR", "far")
    assert moves(play.clear()) == [("own", "cleared")]


def test_clear_ends_the_wait_to_restore() -> None:
    """And damping."""
    play = Play()
    play.set(penalty=9_000.0, penalty_unix_ns=NOON)
    play.fail_over()
    play.after(1)
    play.see(own="up")
    assert play.state.suppressed_unix_ns == NOON
    assert moves(play.clear()) == [("own", "revert")]
    assert play.state.penalty == 0.0


def test_clear_begins_a_new_round_of_attempts() -> None:
    """What failed a moment ago is tried again now."""
    play = Play()
    play.see(far="down")
    play.obeys = False
    play.see(own="down")
    play.answer("failed", on="own")
    assert play.where() == ("NO_BACKUP", "own")
    play.obeys = True
    assert moves(play.clear()) == [("near", "signal_fail")]


def test_lockout_of_the_group() -> None:
    """Nothing moves it, not even SF, and people are reminded that it has no protection."""
    play = Play()
    assert play.ask("lockout", until_unix_ns=NOON + 100 * HOUR) == ()
    assert play.see(own="down") == ()
    assert play.where() == ("LO", "own")
    assert play.due_ns == NOON + LOCKOUT_AGE_NS
    assert told(play.after(8 * 3_600)) == [("page", "lockout_age", "")] * 2
    assert moves(play.clear()) == [("near", "signal_fail")]


def test_lockout_where_it_is() -> None:
    """It is no way home: what a group is on, it stays on."""
    play = Play()
    play.fail_over()
    play.see(own="up")
    play.ask("lockout")
    assert play.after(3_600) == ()
    assert play.where() == ("LO", "near")
    play.clear()
    assert moves(play.after(300)) == [("own", "revert")]


def test_lockout_of_a_line() -> None:
    """It is not gone to, and who is on it leaves it."""
    play = Play()
    play.fail_over()
    play.view["locked"] = frozenset({"near"})
    assert moves(play.step()) == [("far", "reconcile")]
    assert play.where() == ("PROTECTING", "far")
    play.view["locked"] = frozenset({"near", "far"})
    assert play.step() == ()
    assert play.where() == ("PROTECTING", "far")


def test_lockout_of_the_working_line() -> None:
    """It is left, and not returned to before that is over; then it has to be good for as long as after a failure."""
    play = Play()
    play.view["locked"] = frozenset({"own"})
    assert moves(play.step()) == [("near", "reconcile")]
    assert play.after(3_600) == ()
    play.view["locked"] = frozenset()
    assert play.step() == ()
    assert moves(play.after(300)) == [("own", "revert")]


def test_forced_does_not_obey_to_a_locked_line() -> None:
    """Lockout has the greater weight."""
    play = Play()
    play.view["locked"] = frozenset({"far"})
    assert play.ask("forced", "far") == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ("page", "exercise_well", "near")),
        ("far", ("page", "exercise_well", "far")),
        ("former", ("page", "exercise_no_target", "former")),
    ],
)
def test_exercise_does_everything_but_the_switch(line: str, expected: tuple[str, ...]) -> None:
    """It chooses and checks, and tells once what it would have done."""
    play = Play()
    assert told(play.ask("exercise", line)) == [expected]
    assert play.where() == ("EXER", "own")
    assert play.after(60) == ()
    play.clear()
    assert play.where() == ("NR", "own")


def test_exercise_finds_what_would_not_work() -> None:
    """That is what it is for."""
    play = Play()
    play.see(near="down", far="unknown")
    assert told(play.ask("exercise")) == [("page", "exercise_no_target", "")]


def test_exercise_gives_way_to_anything() -> None:
    """And is not taken up again."""
    play = Play()
    play.ask("exercise")
    assert moves(play.see(own="down")) == [("near", "signal_fail")]
    play.after(1)
    play.see(own="up")
    play.after(300)
    assert play.where() == ("NR", "own")
    assert len(play.actions) == 3


@pytest.mark.parametrize("posture", ["suspected", "disaster", "recovering"])
def test_no_exercise_but_on_calm_days(posture: str) -> None:
    """There is enough to do."""
    play = Play()
    play.view["posture"] = posture
    assert play.ask("exercise") == ()
    assert play.where() == ("NR", "own")


def test_exercise_of_a_group_that_stays_where_it_is() -> None:
    """DNR has less weight."""
    play = Play(revertive=False)
    play.fail_over()
    play.after(1)
    play.see(own="up")
    assert told(play.ask("exercise")) == [("page", "exercise_well", "far")]
    assert play.where() == ("EXER", "near")
    del play.view["request"]
    play.step()
    assert play.where() == ("DNR", "near")


def test_frozen_only_forced_moves() -> None:
    """Lockout still holds, manual and exercise do not move."""
    play = Play()
    play.view["frozen"] = True
    assert play.ask("manual", "far") == ()
    assert play.ask("exercise") == ()
    assert play.where() == ("FROZEN", "own")
    assert moves(play.ask("forced", "far")) == [("far", "forced")]
    assert play.where() == ("FS", "far")
    play.ask("lockout")
    assert play.where() == ("LO", "far")


def test_frozen_or_locked_lets_an_order_finish() -> None:
    """To turn back half-way helps nobody. If it fails, nothing else is tried."""
    for how in ({"frozen": True}, {"request": None}):
        play = Play()
        play.obeys = False
        play.see(own="down")
        play.view.update(how)
        if "request" in how:
            play.ask("lockout")
        assert play.step() == ()
        assert told(play.answer("failed", on="own")) == [("page", "verify_failed", "near")]
        assert play.after(60) == ()
        assert play.state.tried == ()


def test_hold_off_is_not_begun_anew_by_the_posture() -> None:
    """In a disaster it is zero for life safety: what was still waiting goes at once."""
    play = Play(timers=Timers(hold_off_s=5.0))
    play.see(own="down")
    play.after(1)
    play.group = Play(timers=Timers(hold_off_s=0.0)).group
    assert moves(play.step()) == [("near", "signal_fail")]
    assert play.now_ns == NOON + SECOND
