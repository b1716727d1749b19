"""What a protection group does when its lines fail and come back."""

from __future__ import annotations

import pytest

from netmon.failover.model import Damping, LineSight, Timers
from netmon.failover.protection import machine
from tests.unit.failover.groups import HOUR, NOON, SECOND, Play, group, moves, told


def test_a_group_whose_line_is_up_is_left_alone() -> None:
    """The same object comes back, and nothing is to be looked at again."""
    play = Play()
    assert machine.step(play.group, play.state, play.seen(), NOON) == (play.state, (), 0, "")
    assert machine.step(play.group, play.state, play.seen(), NOON).state is play.state


def test_a_dead_line_is_left_at_once() -> None:
    """For the best candidate, urgently; it is there when the actuator has verified it, not before."""
    play = Play()
    play.obeys = False

    asked = play.see(own="down")

    assert told(asked) == [("switch", "near", "signal_fail")]
    assert (asked[0].generation, asked[0].before, asked[0].urgent, asked[0].forced) == (1, "own", True, False)
    assert play.where() == ("SF_PENDING", "own")
    play.answer("applied")
    assert play.where() == ("SF_PENDING", "own")
    play.answer("verified", phases_s={"act": 0.01})
    assert play.where() == ("PROTECTING", "near")
    assert play.state.reason == "signal_fail"


def test_hold_off_runs_from_the_first_sight_of_failure() -> None:
    """In steps of 100 ms; what is still so at its end is acted upon."""
    play = Play(timers=Timers(hold_off_s=2.04))
    assert play.see(own="down") == ()
    assert play.where() == ("SF_PENDING", "own")
    assert play.due_ns == NOON + 2 * SECOND
    assert play.after(1.999) == ()
    assert moves(play.after(0.001)) == [("near", "signal_fail")]


def test_a_blip_within_hold_off_moves_nothing() -> None:
    """It is gone at the end, or was never more than a hand-over of a satellite."""
    play = Play(timers=Timers(hold_off_s=2.0))
    play.see(own="down")
    play.after(1.0)
    assert play.see(own="up") == ()
    assert play.where() == ("SF_PENDING", "own")
    assert play.after(1.0) == ()
    assert play.where() == ("NR", "own")


def test_failing_again_within_hold_off_does_not_begin_it_anew() -> None:
    """A line that flickers faster than hold-off is left all the same."""
    play = Play(timers=Timers(hold_off_s=2.0))
    play.see(own="down")
    play.after(1.0)
    play.see(own="up")
    play.after(0.9)
    play.see(own="down")
    assert moves(play.after(0.1)) == [("near", "signal_fail")]


def test_unknown_moves_nothing() -> None:
    """Neither away, nor back, nor to it."""
    play = Play()
    assert play.see(own="unknown", near="unknown", far="unknown") == ()
    assert play.where() == ("NR", "own")
    play.see(near="up")
    play.fail_over()
    assert play.see(near="unknown") == ()
    assert play.see(own="unknown") == ()
    assert play.after(3_600) == ()
    assert play.where() == ("PROTECTING", "near")


@pytest.mark.parametrize(("both_ways", "phase"), [(True, "PROTECTING"), (False, "NR")])
def test_a_line_that_only_talks_has_failed_for_who_must_listen(both_ways: bool, phase: str) -> None:
    """Sirens need the direction to them; telemetry does not."""
    play = Play(both_ways=both_ways)
    play.see(own=LineSight(line_id="own", state="degraded", one_way=True, reason="one_way"))
    assert play.state.phase == phase


def test_return_waits_until_the_line_has_been_good_for_long_enough() -> None:
    """And then goes home, without haste."""
    play = Play()
    play.fail_over()
    play.after(60)
    assert play.see(own="up") == ()
    assert play.where() == ("WTR", "near")
    assert play.after(299.9) == ()
    asked = play.after(0.1)
    assert told(asked) == [("switch", "own", "revert")]
    assert not asked[0].urgent
    assert play.where() == ("NR", "own")


def test_failure_during_the_wait_begins_it_anew() -> None:
    """The line has to be good without a break; not to be known is a break, too."""
    play = Play()
    play.fail_over()
    play.after(1)
    for how in ("down", "unknown", "degraded"):
        play.see(own="up")
        assert play.state.phase == "WTR"
        play.after(200)
        play.see(own=how)  # type: ignore[arg-type]
        assert play.state.phase == ("DEGRADED" if how == "degraded" else "PROTECTING")
    play.see(own="up")
    assert play.after(299) == ()
    assert moves(play.after(1)) == [("own", "revert")]


def test_a_switch_is_followed_by_a_guard_time() -> None:
    """What is said of the working line just then may be older than the switch."""
    play = Play()
    play.fail_over()
    play.see(own="up")
    assert play.where() == ("PROTECTING", "near")
    assert play.due_ns == NOON + SECOND // 2
    play.after(0.5)
    assert play.where() == ("WTR", "near")
    assert play.due_ns == NOON + SECOND // 2 + 300 * SECOND


@pytest.mark.parametrize(
    ("good_s", "where", "left_s"), [(100, ("WTR", "near"), 200), (299, ("WTR", "near"), 1), (300, ("NR", "own"), None)]
)
def test_failure_while_nobody_looked_begins_the_wait_anew(
    good_s: int, where: tuple[str, str], left_s: int | None
) -> None:
    """A leader that was away for an hour sees that the line has been good for less than that."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.see(own="up")
    play.now_ns += HOUR
    play.lines["own"] = LineSight(line_id="own", state="up", since_unix_ns=play.now_ns - good_s * SECOND)
    play.step()
    assert play.where() == where
    assert play.due_ns == (0 if left_s is None else play.now_ns + left_s * SECOND)


def test_return_waits_for_its_turn() -> None:
    """And says that it would go; the turn may come long after."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.view["may_return"] = False
    play.see(own="up")
    assert play.waiting == ""
    assert play.after(400) == ()
    assert (play.where(), play.waiting, play.due_ns) == (("WTR", "near"), "revert", 0)
    play.view["may_return"] = True
    assert moves(play.step()) == [("own", "revert")]


def test_return_waits_for_room() -> None:
    """Its working line may carry others meanwhile."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.view["working_fits"] = False
    play.see(own="up")
    assert play.after(400) == ()
    play.view["working_fits"] = True
    assert moves(play.step()) == [("own", "revert")]


def test_a_group_that_is_not_revertive_stays() -> None:
    """Until an operator says so."""
    play = Play(revertive=False)
    play.fail_over()
    play.after(1)
    assert play.see(own="up") == ()
    assert play.after(3_600) == ()
    assert play.where() == ("DNR", "near")
    assert moves(play.clear()) == [("own", "revert")]
    assert play.where() == ("NR", "own")


def test_a_group_that_stays_goes_when_its_line_dies() -> None:
    """Home, if that is good."""
    play = Play(revertive=False)
    play.fail_over()
    play.after(1)
    play.see(own="up")
    assert moves(play.see(near="down")) == [("own", "signal_fail")]


def test_flaps_every_twenty_seconds_for_ten_minutes() -> None:
    """Two switches: away, and back when all is calm again. While it goes on there is but one."""
    play = Play(timers=Timers(wtr_s=60.0))
    for _ in range(30):
        play.see(own="down")
        play.after(10)
        play.see(own="up")
        play.after(10)
    assert moves(play.actions) == [("near", "signal_fail")]
    play.after(2 * 3_600)
    assert moves(play.actions) == [("near", "signal_fail"), ("own", "revert")]


def test_flaps_slower_than_the_wait_are_damped() -> None:
    """A line that fails every ten minutes is returned to four times, and then not before it has been good for a long time."""
    play = Play(timers=Timers(wtr_s=60.0), damping=Damping(half_life_s=1_800.0))
    for _ in range(12):
        play.see(own="down")
        play.after(300)
        play.see(own="up")
        play.after(300)
    assert moves(play.actions).count(("own", "revert")) == 4
    play.after(600)
    assert play.where() == ("WTR", "near")
    play.after(3_600)
    assert play.where() == ("NR", "own")


def test_damping_holds_back_no_escape() -> None:
    """With the working line suppressed, its protection line fails, and there is no other: home, at once."""
    play = Play()
    play.set(penalty=9_000.0, penalty_unix_ns=NOON, suppressed_unix_ns=NOON)
    play.fail_over()
    play.see(own="up", far="down")
    assert moves(play.see(near="down")) == [("own", "signal_fail")]


def test_a_damped_line_is_the_last_resort() -> None:
    """Another protection line comes first; a line that is calm would."""
    for penalty, to in ((9_000.0, "far"), (0.0, "own")):
        play = Play()
        play.fail_over()
        play.set(penalty=penalty, penalty_unix_ns=NOON, suppressed_unix_ns=NOON if penalty else 0)
        play.see(own="up")
        assert moves(play.see(near="down")) == [(to, "signal_fail")]


def test_no_line_left() -> None:
    """It stays, tells people once, looks again in growing steps, and takes the first line that comes back at once."""
    play = Play()
    play.see(near="down", far="down")
    assert told(play.see(own="down")) == [("page", "no_backup", "")]
    assert play.where() == ("NO_BACKUP", "own")
    dues = []
    for _ in range(6):
        dues.append((play.due_ns - play.now_ns) // SECOND)
        assert play.after(dues[-1]) == ()
    assert dues == [5, 10, 20, 40, 60, 60]
    play.after(7)
    assert moves(play.see(far="up")) == [("far", "signal_fail")]
    assert play.where() == ("PROTECTING", "far")


def test_no_line_left_and_nothing_known() -> None:
    """Unknown is not well: it stays without a line, and is well when its line is."""
    play = Play()
    play.see(own="down", near="down", far="down")
    play.see(own="unknown")
    assert play.where() == ("NO_BACKUP", "own")
    play.see(own="degraded")
    assert play.where() == ("NR", "own")


def test_a_group_without_protection_lines() -> None:
    """Has nowhere to go, and comes back by itself."""
    play = Play(protections=())
    assert told(play.see(own="down")) == [("page", "no_backup", "")]
    play.after(100)
    play.see(own="up")
    assert play.where() == ("NR", "own")


def test_what_the_gateway_did_by_its_plan_is_taken_over() -> None:
    """It moved by itself while the line was dead; the rest is as if the centre had done it."""
    play = Play()
    play.view["reported"] = "far"
    assert play.see(own="down") == ()
    assert play.where() == ("PROTECTING", "far")
    assert play.state.reason == "edge"


def test_a_gateway_that_has_fallen_back_is_moved_again() -> None:
    """It started anew, and is on the dead line."""
    play = Play()
    play.fail_over()
    assert moves(play.step(reported="own")) == [("near", "signal_fail")]
    assert play.actions[-1].generation == 2


def test_frozen_nothing_moves_by_itself() -> None:
    """What has failed meanwhile is left as soon as it is lifted, without hold-off."""
    play = Play(timers=Timers(hold_off_s=5.0))
    play.view["frozen"] = True
    assert play.see(own="down") == ()
    assert play.after(3_600) == ()
    assert play.where() == ("FROZEN", "own")
    play.view["frozen"] = False
    assert moves(play.step()) == [("near", "signal_fail")]


def test_a_working_line_that_was_renamed_is_gone_to() -> None:
    """The state tells of a line that the group does not have any more: it comes to one that it has, in its turn."""
    play = Play()
    play.set(on="former")
    play.view["may_return"] = False
    assert play.step() == ()
    assert play.waiting == "reconcile"
    play.view["may_return"] = True
    assert moves(play.step()) == [("own", "reconcile")]
    assert play.where() == ("NR", "own")


def test_a_line_that_was_removed_is_kept_while_nothing_else_is_known() -> None:
    """In doubt the present route stays."""
    play = Play()
    play.set(on="former")
    assert play.see(own="unknown", near="unknown", far="unknown") == ()
    assert play.where() == ("PROTECTING", "former")
    assert moves(play.see(near="up")) == [("near", "reconcile")]


@pytest.mark.parametrize("back_s", [1, 100, 299, 301, 86_400 * 365])
def test_a_clock_that_goes_back_makes_no_timer_hang(back_s: int) -> None:
    """Nor run out at once: in the worst case the wait begins anew."""
    play = Play()
    play.fail_over()
    play.after(1)
    play.see(own="up")
    play.after(200)
    play.now_ns -= back_s * SECOND
    play.step()
    assert play.after(90) == ()
    assert moves(play.after(511)) == [("own", "revert")]


def test_a_clock_that_goes_back_does_not_lose_an_order() -> None:
    """It is given up two seconds later, by the clock as it is now."""
    play = Play()
    play.obeys = False
    play.see(own="down")
    play.now_ns -= HOUR
    assert play.step() == ()
    assert play.due_ns == play.now_ns + 2 * SECOND
    assert told(play.after(2)) == [("page", "verify_failed", "near"), ("switch", "far", "verify_failed")]


def test_a_group_is_where_it_belongs_at_first() -> None:
    """As far as anybody knows."""
    assert Play(group()).where() == ("NR", "own")
