"""Since when a group is on its line, and what its waits to return count from."""

from __future__ import annotations

from netmon.failover.model import GroupState, LineSight
from tests.unit.failover.groups import NOON, SECOND, Play, moves


def back(play: Play) -> LineSight:
    """The working line, as it is seen when it has just come to be good."""
    return LineSight(line_id="own", state="up", since_unix_ns=play.now_ns)


def waiting() -> Play:
    """Its working line has been good again for 100 s."""
    play = Play()
    play.fail_over()
    play.after(60)
    play.see(own=back(play))
    play.after(100)
    assert play.where() == ("WTR", "near")
    return play


def freeze(play: Play, *, frozen: bool) -> tuple[object, ...]:
    """The region is frozen, or no longer."""
    play.view["frozen"] = frozen
    return play.step()


def test_since_when_it_is_on_its_line_is_not_since_when_it_is_in_its_phase() -> None:
    """Freezing, thawing and how its working line is do not move it."""
    play = waiting()
    freeze(play, frozen=True)
    play.after(3)
    freeze(play, frozen=False)
    play.see(own="down")
    assert play.state.on_unix_ns == play.state.there_unix_ns == NOON
    assert play.state.since_unix_ns == NOON + 163 * SECOND
    play.see(own=back(play))
    play.after(300)
    assert (play.where(), play.state.on_unix_ns) == (("NR", "own"), NOON + 463 * SECOND)


def test_where_a_gateway_has_left_it_after_a_failure_is_where_it_is_since_then() -> None:
    """It is no line that it had before."""
    play = Play()
    play.obeys = False
    play.see(own="down")
    play.now_ns += SECOND
    play.answer("failed", on="far")
    assert (play.state.on, play.state.on_unix_ns) == ("far", NOON + SECOND)


def test_a_state_that_does_not_know_it_says_since_when_it_is_in_its_phase() -> None:
    """Another version has left it."""
    assert GroupState(group_id="g", on="own", since_unix_ns=7).there_unix_ns == 7


def test_a_wait_to_restore_goes_on_after_a_freeze() -> None:
    """With the time that is left: the working line was good all the time."""
    play = waiting()
    freeze(play, frozen=True)
    assert play.after(3) == ()
    assert freeze(play, frozen=False) == ()
    assert play.where() == ("WTR", "near")
    assert play.after(196.9) == ()
    assert moves(play.after(0.1)) == [("own", "revert")]


def test_a_wait_to_restore_that_is_over_when_the_freeze_ends() -> None:
    """It returns at its turn."""
    play = waiting()
    freeze(play, frozen=True)
    play.after(250)
    play.view["may_return"] = False
    freeze(play, frozen=False)
    assert (play.where(), play.waiting) == (("WTR", "near"), "revert")
    play.view["may_return"] = True
    assert moves(play.step()) == [("own", "revert")]


def test_a_wait_to_restore_begins_anew_if_the_line_failed_while_it_was_frozen() -> None:
    """Whether a step has seen that, or nobody led."""
    for seen in (True, False):
        play = waiting()
        freeze(play, frozen=True)
        play.now_ns += SECOND
        if seen:
            play.see(own="down")
        play.lines["own"] = back(play)
        freeze(play, frozen=False)
        assert play.after(299.9) == ()
        assert moves(play.after(0.1)) == [("own", "revert")]


def test_a_line_that_is_first_seen_has_not_come_back() -> None:
    """In the first minutes of netmon: the group was on it until the command, so it waits only to block."""
    play = Play()
    play.see(own="unknown")
    play.after(1)
    play.see(own=back(play))
    play.after(10)
    play.ask("forced", "far")
    play.ask("forced", "near")
    play.after(10)
    play.clear()
    assert play.after(5.4) == ()
    assert moves(play.after(0.1)) == [("own", "cleared")]
    assert play.state.left_unix_ns == 0


def test_a_line_that_only_its_gateway_saw_fail_is_waited_for() -> None:
    """The verdict on it has stood since before the command."""
    play = Play()
    first = back(play)
    play.see(own=first)
    play.ask("forced", "far")
    play.after(10)
    play.see(own="down")
    play.see(own=first)
    play.clear()
    assert play.after(200) == ()
    assert moves(play.after(100)) == [("own", "cleared")]


def test_a_line_that_failed_after_the_command_is_waited_for() -> None:
    """Whether a step has seen that, or nobody led; and also if the group was not on it before the command."""
    for how in ("seen", "unseen", "before"):
        play = Play()
        if how == "before":
            play.fail_over()
            play.see(own=back(play))
            play.after(10)
        play.ask("forced", "far")
        play.after(10)
        if how == "seen":
            play.see(own="down")
        if how != "before":
            play.lines["own"] = back(play)
        play.clear()
        assert play.after(200) == ()
        assert moves(play.after(100)) == [("own", "cleared")]
