"""What a gateway decides by itself: when it leaves a line, when it returns, and when it does nothing."""

from __future__ import annotations

import msgspec
import pytest

from netmon.active_probe.model import LineState
from netmon.failover.model import SHED, LineSight, Mode
from netmon.failover.plan.model import Beat
from tests.unit.failover.gateways import (
    BULK,
    CONTROL,
    FIBRE,
    FIVE_G,
    GEO,
    LIFE,
    LINES,
    T0,
    Driven,
    S,
    desired,
    group,
    line,
    plan,
    wanted,
)

# --- A line dies. ---


@pytest.mark.parametrize("is_centre_there", [True, False])
def test_a_dead_line_is_left_at_once_whether_the_centre_is_there_or_not(is_centre_there: bool) -> None:
    """By the plan, to the best line that is left, without asking anybody."""
    gateway = Driven()
    gateway.is_centre_there = is_centre_there
    gateway.passes(40)
    gateway.see(FIBRE, "down")
    gateway.step()
    moved = gateway.group()
    assert (moved.on, moved.phase, moved.by, moved.reason) == (FIVE_G, "PROTECTING", "edge", "signal_fail")
    assert [order.on for order in gateway.orders] == [FIVE_G]


def test_a_move_tells_how_long_each_part_of_it_took() -> None:
    """Detection from the first miss, hold-off, and what the actuator tells."""
    held = group(LIFE, 0, timers=msgspec.structs.replace(group(LIFE, 0).timers, hold_off_s=0.5))
    gateway = Driven(plan([held]))
    gateway.passes(1)
    gateway.see(FIBRE, "down")
    gateway.passes(0.5)
    assert gateway.group().phases_s == {"detect": 0.1, "hold": 0.5, "act": 0.001, "verify": 0.002}


def test_a_line_that_dies_as_well_is_left_for_the_next_one() -> None:
    """The plan has a ranking for both failures."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIVE_G, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: GEO}


def test_a_plan_of_many_lines_is_used_as_far_as_it_knows() -> None:
    """Without a ranking for all that has failed, that of the most of it counts, without the rest."""
    known = [each for each in group(LIFE, 0).rankings if len(each.failed) < 2]
    gateway = Driven(plan([group(LIFE, 0, rankings=tuple(known))]))
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.see(FIVE_G, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: GEO}


@pytest.mark.parametrize("state", ["unknown", "degraded"])
def test_doubt_and_bad_quality_move_nothing_while_the_centre_is_heard(state: LineState) -> None:
    """Not even a class that leaves degraded lines: the centre sees more."""
    gateway = Driven(plan([group(LIFE, 0, moves_on_sd=True)]))
    gateway.passes(2)
    gateway.see(FIBRE, state)
    gateway.passes(20)
    assert gateway.orders == []


def test_alone_a_class_that_asks_for_it_leaves_a_degraded_line() -> None:
    """There is nobody else who would."""
    gateway = Driven(plan([group(LIFE, 0, moves_on_sd=True)]))
    gateway.is_centre_there = False
    gateway.passes(31)
    gateway.see(FIBRE, "degraded")
    gateway.passes(2)
    assert gateway.places() == {LIFE: FIVE_G}


def test_when_no_line_is_good_everything_stays_where_it_is() -> None:
    """There is nothing to move to; and when a line answers again, it is used."""
    gateway = Driven()
    gateway.passes(2)
    for line_id in LINES:
        gateway.see(line_id, "down")
    gateway.passes(20)
    assert (gateway.orders, gateway.group().phase) == ([], "NO_BACKUP")
    gateway.see(GEO, "up")
    gateway.passes(60)
    assert gateway.places() == {LIFE: GEO}


def test_a_line_that_is_silent_for_longer_than_it_counts_is_no_candidate() -> None:
    """Up, but not shown to be up lately: its prober has stopped."""
    gateway = Driven()
    gateway.edge.sight(LineSight(line_id=FIVE_G, state="up", since_unix_ns=T0, good_unix_ns=T0))
    gateway.edge.sight(LineSight(line_id=GEO, state="up", since_unix_ns=T0, good_unix_ns=T0 + 9 * S))
    gateway.edge.sight(LineSight(line_id=FIBRE, state="down", since_unix_ns=T0 + 9 * S))
    assert [order.on for order in gateway.edge.step(T0 + 10 * S).orders] == [GEO]


def test_a_line_that_has_answered_since_goes_before_one_that_has_not() -> None:
    """The better line by the plan may lie in the same duct, and not have been asked again yet."""
    gateway = Driven()
    gateway.edge.sight(LineSight(line_id=FIVE_G, state="up", since_unix_ns=T0, good_unix_ns=T0 + 8 * S))
    gateway.edge.sight(LineSight(line_id=GEO, state="up", since_unix_ns=T0, good_unix_ns=T0 + 10 * S))
    gateway.edge.sight(LineSight(line_id=FIBRE, state="down", since_unix_ns=T0 + 10 * S), T0 + 9 * S)
    assert [order.on for order in gateway.edge.step(T0 + 10 * S).orders] == [GEO]


def test_a_line_that_is_up_goes_before_one_that_is_degraded() -> None:
    """Whatever the plan prefers while all is well; but a bad line is better than a dead one, and of bad ones that at home is the best."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIVE_G, "degraded")
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: GEO}
    gateway.see(GEO, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: FIVE_G}
    gateway.see(FIBRE, "degraded")
    gateway.see(FIVE_G, "down")
    gateway.see(GEO, "degraded")
    gateway.passes(2)
    assert gateway.places() == {LIFE: FIBRE}


def test_an_escape_that_nobody_answers_is_taken_back_when_there_is_no_need_for_it_any_more() -> None:
    """Nobody knows whether it was carried out, so the class is ordered to where it is thought to be."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    for line_id, state in gateway.states.items():
        gateway.edge.sight(LineSight(line_id=line_id, state=state, since_unix_ns=T0, good_unix_ns=gateway.now_ns))
    assert [order.on for order in gateway.edge.step(gateway.now_ns).orders] == [FIVE_G]
    gateway.see(FIBRE, "up")
    gateway.passes(4)
    assert [(order.on, order.reason) for order in gateway.orders] == [(FIBRE, "reconcile")]


def test_a_line_that_the_centre_wants_avoided_is_passed_over() -> None:
    """Locked out, damped, or dead as the centre sees it."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIBRE, 0, avoid=(FIVE_G,))))
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: GEO}


def test_a_class_that_is_locked_stays_on_a_dead_line() -> None:
    """Lockout, freeze and forced switches are the word of people."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIBRE, 0, locked=True, phase="LO")))
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(20)
    assert (gateway.orders, gateway.group().phase) == ([], "LO")


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_a_class_that_is_only_watched_is_not_moved_by_its_gateway(mode: Mode) -> None:
    """Whoever has not allowed netmon to act is not surprised by a gateway."""
    gateway = Driven(plan([group(LIFE, 0, mode=mode)]))
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(20)
    assert gateway.orders == []


def test_where_a_class_does_not_arrive_the_next_line_is_tried() -> None:
    """Probes get through, and the class does not: the next candidate."""
    gateway = Driven()
    gateway.broken = {FIVE_G}
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(5)
    assert [order.on for order in gateway.orders] == [FIVE_G, GEO]
    assert gateway.places() == {LIFE: GEO}


# --- Room. ---


def _crowd(capacity_bps: int = 10_000_000) -> Driven:
    """Three classes at home on the fibre, bulk on 5G, which has room for two of them."""
    groups = [
        group(LIFE, 0, bandwidth_bps=4_000_000),
        group(CONTROL, 1, bandwidth_bps=4_000_000),
        group(BULK, 3, bandwidth_bps=4_000_000, working=FIVE_G, protections=(FIBRE,)),
    ]
    lines = (line(FIBRE, capacity_bps=100_000_000), line(FIVE_G, capacity_bps=capacity_bps))
    return Driven(plan(groups, lines=lines))


def test_lower_classes_make_room_for_those_that_have_to_come() -> None:
    """8 of 10 Mbit/s may be used: life safety and control fit, and bulk is refused before they come."""
    gateway = _crowd()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: FIVE_G, CONTROL: FIVE_G, BULK: SHED}
    assert gateway.orders[0].group_id == BULK


def test_the_least_important_of_those_that_come_has_to_stay() -> None:
    """Room for one of them: life safety has it, control stays on its dead line, and takes no room there."""
    gateway = _crowd(6_000_000)
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    assert gateway.places() == {LIFE: FIVE_G, CONTROL: FIBRE, BULK: SHED}


def test_a_line_that_is_overbooked_at_home_is_the_centres_business() -> None:
    """A gateway sheds nothing while nothing has failed."""
    groups = [group(LIFE, 0, bandwidth_bps=8_000_000), group(BULK, 3, bandwidth_bps=8_000_000)]
    gateway = Driven(plan(groups, lines=(line(FIBRE, capacity_bps=10_000_000), line(FIVE_G), line(GEO))))
    gateway.passes(20)
    assert gateway.orders == []


# --- The way back. ---


def test_nothing_returns_while_the_centre_is_heard() -> None:
    """However long its line has been well."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIBRE, "up")
    gateway.passes(600, step_s=5)
    assert gateway.places() == {LIFE: FIVE_G}


def test_alone_it_returns_when_its_line_has_been_well_for_long_enough() -> None:
    """WTR is 60 s here."""
    gateway = Driven()
    gateway.is_centre_there = False
    gateway.passes(40)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIBRE, "up")
    gateway.passes(59)
    assert gateway.places() == {LIFE: FIVE_G}
    gateway.passes(3)
    assert gateway.places() == {LIFE: FIBRE}


def test_an_order_that_fails_does_not_cut_the_wait_short() -> None:
    """It was retained at the broker for a while; where it leads to nothing arrives."""
    gateway = Driven()
    gateway.is_centre_there = False
    gateway.broken = {GEO}
    gateway.passes(40)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIBRE, "up")
    gateway.passes(10)
    gateway.edge.desired(desired(wanted(GEO, 1, reason="signal_fail")))
    gateway.passes(45)
    assert (gateway.group().outcome, gateway.places()) == ("failed", {LIFE: FIVE_G})
    gateway.passes(10)
    assert gateway.places() == {LIFE: FIBRE}


def test_alone_it_takes_a_wait_of_the_centres_for_none_that_is_over() -> None:
    """An order that came while the centre waited to restore, just before it was heard no more: its own wait begins then."""
    gateway = Driven()
    gateway.is_centre_there = False
    gateway.passes(40)
    gateway.edge.desired(desired(wanted(FIVE_G, 1, phase="WTR", reason="signal_fail")))
    gateway.passes(55)
    assert gateway.places() == {LIFE: FIVE_G}
    gateway.passes(10)
    assert gateway.places() == {LIFE: FIBRE}


def test_alone_it_does_not_return_to_a_line_that_the_centre_wanted_avoided() -> None:
    """The last word of the centre stands while nobody can ask it."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIVE_G, 1, avoid=(FIBRE,), phase="PROTECTING")))
    gateway.passes(2)
    gateway.is_centre_there = False
    gateway.passes(300, step_s=5)
    assert gateway.places() == {LIFE: FIVE_G}


def test_alone_it_leaves_a_manual_switch_of_the_centres_operators_alone() -> None:
    """Nobody has taken it back."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIVE_G, 1, phase="MS", reason="manual")))
    gateway.passes(2)
    gateway.is_centre_there = False
    gateway.passes(300, step_s=5)
    assert gateway.group().phase == "MS"
    assert gateway.places() == {LIFE: FIVE_G}


def test_the_centre_is_lost_after_as_long_as_the_plan_says() -> None:
    """And the step that finds it is due then."""
    gateway = Driven()
    gateway.step()
    due_ns = gateway.edge.step(gateway.now_ns).due_unix_ns
    assert (gateway.edge.is_alone(T0 + 30 * S), gateway.edge.is_alone(due_ns)) == (False, True)


def test_a_beat_that_was_heard_before_is_no_sign_of_life() -> None:
    """Somebody may have recorded it."""
    gateway = Driven()
    beat = Beat(fence=1, beat=7, unix_ns=T0)
    assert gateway.edge.beat(beat, T0) == ""
    assert gateway.edge.beat(beat, T0 + 60 * S) == "it was heard before"
    assert gateway.edge.is_alone(T0 + 60 * S)
