"""What a gateway makes of what it is told: orders, plans, what was before it was started, and an operator on the spot."""

from __future__ import annotations

import msgspec
import pytest

from netmon.failover.agent.edge import PLAN_GROUPS_MAX, Edge
from netmon.failover.model import SHED, LineSight, Request
from netmon.failover.plan.model import Beat, Plan
from tests.unit.failover.gateways import (
    CONTROL,
    FIBRE,
    FIVE_G,
    GEO,
    LIFE,
    T0,
    Driven,
    S,
    desired,
    group,
    plan,
    wanted,
)

# --- The centre. ---


def test_it_obeys_the_centre_and_tells_what_became_of_it() -> None:
    """An order is carried out once, whatever is told again."""
    gateway = Driven()
    for _ in range(3):
        assert gateway.edge.desired(desired(wanted(FIVE_G, 1, phase="PROTECTING", reason="preempted"))) == ""
        gateway.passes(1)
    told = gateway.group()
    assert (told.on, told.fence, told.generation, told.outcome) == (FIVE_G, 1, 1, "verified")
    assert (told.phase, told.by, told.reason) == ("PROTECTING", "centre", "preempted")
    assert len(gateway.orders) == 1


def test_an_order_that_is_older_than_one_that_was_obeyed_is_refused_and_counted() -> None:
    """A leader that was stopped and goes on moves nothing."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIVE_G, 5, fence=2), fence=2, version=5))
    gateway.passes(1)
    assert gateway.edge.desired(desired(wanted(GEO, 9, fence=1), fence=1, version=9)) == "a newer leader has spoken"
    assert gateway.edge.desired(desired(wanted(GEO, 4, fence=2), fence=2, version=4)) == "there was a newer one"
    assert gateway.edge.desired(desired(wanted(GEO, 4, fence=2), fence=2, version=6)) == ""
    gateway.passes(1)
    assert gateway.places() == {LIFE: FIVE_G}
    assert gateway.edge.refused == 3


def test_what_the_gateway_did_is_not_undone_by_what_the_centre_said_before() -> None:
    """The retained order comes again with each connection, and under the number of each new leader."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIBRE, 3)))
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIBRE, "up")
    gateway.edge.desired(desired(wanted(FIBRE, 3)))
    gateway.passes(1)
    gateway.edge.desired(desired(wanted(FIBRE, 3, fence=2), fence=2))
    gateway.passes(1)
    assert gateway.places() == {LIFE: FIVE_G}
    gateway.edge.desired(desired(wanted(FIBRE, 4, fence=2), fence=2, version=2))
    gateway.passes(1)
    assert gateway.places() == {LIFE: FIBRE}


def test_it_does_not_go_to_a_line_that_it_sees_dead_unless_it_is_forced() -> None:
    """What stands, stands, and the centre is told why."""
    gateway = Driven()
    gateway.see(FIVE_G, "down")
    gateway.edge.desired(desired(wanted(FIVE_G, 1)))
    gateway.passes(1)
    told = gateway.group()
    assert (told.on, told.generation, told.outcome) == (FIBRE, 1, "failed")
    assert told.detail.startswith("down as the gateway sees it")
    gateway.edge.desired(desired(wanted(FIVE_G, 2, forced=True, locked=True, phase="FS"), version=2))
    gateway.passes(1)
    assert (gateway.group().on, gateway.group().phase) == (FIVE_G, "FS")


def test_an_order_to_where_a_class_is_already_moves_nothing() -> None:
    """The centre adopts what the gateway did."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(1)
    gateway.edge.desired(desired(wanted(FIVE_G, 1, phase="PROTECTING", reason="signal_fail")))
    gateway.passes(1)
    assert (gateway.group().generation, gateway.group().outcome, len(gateway.orders)) == (1, "verified", 1)


def test_an_order_to_where_a_class_should_be_and_is_not_moves_it() -> None:
    """Somebody has replaced its route: what the kernel has counts, not what is remembered."""
    gateway = Driven()
    gateway.passes(1)
    gateway.edge.actual({LIFE: FIVE_G})
    gateway.edge.desired(desired(wanted(FIBRE, 1)))
    gateway.passes(1)
    assert [order.on for order in gateway.orders] == [FIBRE]
    assert (gateway.group().on, gateway.group().generation, gateway.group().outcome) == (FIBRE, 1, "verified")


def test_a_class_may_be_ordered_nowhere() -> None:
    """Its packets are refused, so that they take no room from others."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(SHED, 1, phase="NO_BACKUP", reason="preempted")))
    gateway.passes(120)
    assert (gateway.places(), gateway.group().outcome) == ({LIFE: SHED}, "verified")


def test_an_order_to_a_line_that_is_not_in_the_plan_fails() -> None:
    """The plan is on its way, perhaps."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted("copper", 1)))
    gateway.passes(1)
    assert (gateway.group().on, gateway.group().outcome) == (FIBRE, "failed")


def test_a_line_that_dies_while_it_is_verified_is_not_waited_for() -> None:
    """The order has failed, and the class goes where it can."""
    gateway = Driven()
    gateway.step()
    gateway.edge.desired(desired(wanted(FIVE_G, 1)))
    assert [order.on for order in gateway.edge.step(gateway.now_ns).orders] == [FIVE_G]
    gateway.kernel[LIFE] = FIVE_G
    gateway.now_ns += S
    gateway.see(FIVE_G, "down")
    gateway.now_ns += 1
    gateway.step()
    assert gateway.group().outcome == "failed"


def test_an_actuator_that_tells_nothing_is_not_waited_for() -> None:
    """The order has failed after the time for its verification, and some more."""
    gateway = Driven()
    gateway.step()
    gateway.edge.desired(desired(wanted(FIVE_G, 1)))
    gateway.edge.step(gateway.now_ns)
    gateway.now_ns += 3 * S
    gateway.edge.step(gateway.now_ns)
    assert (gateway.group().outcome, gateway.group().detail) == ("failed", "the actuator told nothing")


# --- Plans. ---


def test_plans_that_are_old_foreign_or_too_large_are_refused() -> None:
    """And counted."""
    gateway = Driven(plan(version=3, fence=2))
    many = tuple(group(f"gw/{number}", 3, table=number) for number in range(PLAN_GROUPS_MAX + 1))
    refused = [
        gateway.edge.plan(other, T0)
        for other in (
            plan(version=2, fence=2),
            plan(version=9, fence=1),
            msgspec.structs.replace(plan(version=4, fence=2), gateway_id="other"),
            plan(many, version=4, fence=2),
        )
    ]
    assert refused == [
        "there was a newer one",
        "there was a newer one",
        "it is for another gateway",
        "more than 64 lines or 64 classes",
    ]
    assert (gateway.edge.refused, gateway.edge.reported(T0).plan_version) == (4, 3)


def test_a_new_plan_leaves_classes_where_they_are() -> None:
    """It may have lines and classes that are new."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.edge.plan(plan([group(LIFE, 0), group(CONTROL, 1)], version=2), gateway.now_ns)
    gateway.kernel[CONTROL] = FIBRE
    gateway.step()
    assert gateway.places() == {LIFE: FIVE_G, CONTROL: FIVE_G}


def test_without_a_plan_nothing_is_done() -> None:
    """Whatever is desired or seen."""
    edge = Edge("gw", T0)
    edge.desired(desired(wanted(FIVE_G, 1)))
    edge.sight(LineSight(line_id=FIBRE, state="down", since_unix_ns=T0))
    assert edge.step(T0 + 100 * S).orders == []
    assert not edge.is_alone(T0 + 100 * S)


def test_what_was_desired_before_there_was_a_plan_is_done_when_there_is_one() -> None:
    """Of two retained messages either may come first."""
    edge = Edge("gw", T0)
    edge.desired(desired(wanted(FIVE_G, 1)))
    assert edge.plan(plan(), T0) == ""
    assert [order.on for order in edge.step(T0).orders] == [FIVE_G]


# --- Restarts. ---


def _again(gateway: Driven, the_plan: Plan | None = None) -> Driven:
    """Another process, with what the one before has left on the disk."""
    other = Driven(the_plan, kept=gateway.edge.kept(), fence=gateway.edge.fence)
    other.now_ns = gateway.now_ns
    other.states = dict(gateway.states)
    other.kernel = dict(gateway.kernel)
    return other


def test_after_a_restart_it_goes_on_where_it_stood() -> None:
    """With its fences, its orders and its phases."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIBRE, 4, fence=3), fence=3))
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIBRE, "up")
    other = _again(gateway)
    other.edge.actual(gateway.kernel)
    assert other.edge.desired(desired(wanted(FIBRE, 4, fence=3), fence=3)) == ""
    assert other.edge.desired(desired(wanted(GEO, 9, fence=2), fence=2)) == "a newer leader has spoken"
    other.passes(2)
    assert (other.places(), other.orders) == ({LIFE: FIVE_G}, [])
    assert (other.group().generation, other.group().by) == (4, "edge")


def test_what_a_former_leader_had_wanted_stands_until_the_new_one_says_otherwise() -> None:
    """Also for a process that begins after the new one was heard; whoever tells it again then tells nothing new."""
    gateway = Driven()
    old = desired(wanted(FIBRE, 1, locked=True, phase="LO"))
    gateway.edge.desired(old)
    gateway.passes(1)
    gateway.edge.beat(Beat(fence=2, beat=1, unix_ns=T0), gateway.now_ns)
    other = _again(gateway)
    assert other.edge.desired(old, is_known=True) == ""
    assert (other.edge.desired(old), other.edge.refused, other.edge.fence) == ("", 0, 2)
    other.passes(1)
    other.see(FIBRE, "down")
    other.passes(5)
    assert (other.places(), other.group().phase) == ({LIFE: FIBRE}, "LO")


def test_killed_between_a_switch_and_its_note_it_believes_the_kernel() -> None:
    """It finds the class on another line than it has noted."""
    gateway = Driven()
    gateway.passes(2)
    kept = gateway.edge.kept()
    other = Driven(kept=kept)
    other.states[FIBRE] = "unknown"
    other.edge.actual({LIFE: FIVE_G})
    other.passes(2)
    other.see(FIBRE, "down")
    other.passes(2)
    assert (other.places(), other.orders) == ({LIFE: FIVE_G}, [])


def test_after_the_machine_was_switched_off_every_class_is_put_back() -> None:
    """The kernel knows nothing, and has everything at home."""
    gateway = Driven()
    gateway.edge.desired(desired(wanted(FIVE_G, 1, phase="PROTECTING", reason="preempted")))
    gateway.passes(2)
    other = _again(gateway)
    other.kernel = {LIFE: FIBRE}
    other.edge.actual(other.kernel, is_anew=True)
    other.passes(1)
    assert (other.kernel, other.group().reason) == ({LIFE: FIVE_G}, "preempted")


def test_killed_while_it_carried_out_an_order_it_does_it_anew() -> None:
    """The centre waits for what becomes of it; however often that happens."""
    gateway = Driven()
    gateway.step()
    gateway.edge.desired(desired(wanted(FIVE_G, 1)))
    gateway.edge.step(gateway.now_ns)
    other = _again(_again(gateway))
    other.edge.actual({LIFE: FIBRE})
    other.edge.desired(desired(wanted(FIVE_G, 1)))
    other.passes(1)
    assert (other.group().on, other.group().generation, other.group().outcome) == (FIVE_G, 1, "verified")


def test_a_class_that_somebody_else_has_moved_is_where_it_is() -> None:
    """The kernel is believed, the centre is told, and whoever may have it return does."""
    gateway = Driven()
    gateway.passes(2)
    gateway.edge.actual({LIFE: GEO})
    gateway.passes(2)
    assert (gateway.group().on, gateway.orders) == (GEO, [])
    gateway.is_centre_there = False
    gateway.passes(100)
    assert gateway.places() == {LIFE: FIBRE}


def test_a_line_that_did_not_carry_the_class_is_left_when_another_does() -> None:
    """It stays there as long as there is nothing better than a line that is dead, and is tried on."""
    gateway = Driven()
    gateway.broken = {FIVE_G, GEO}
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.edge.actual({LIFE: FIVE_G})
    gateway.passes(2)
    assert (gateway.group().on, gateway.group().phase) == (FIVE_G, "NO_BACKUP")
    gateway.broken = {FIVE_G}
    gateway.passes(60)
    assert (gateway.group().on, gateway.group().phase) == (GEO, "PROTECTING")


def test_a_clock_that_is_set_moves_nothing() -> None:
    """Three hours forward, as after a start without a battery: neither is the centre lost by it, nor has a wait passed."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(FIBRE, "down")
    gateway.passes(2)
    gateway.see(FIBRE, "up")
    gateway.passes(2)
    gateway.edge.shift(3 * 3_600 * S)
    gateway.now_ns += 3 * 3_600 * S
    assert gateway.edge.sights == ()
    assert not gateway.edge.is_alone(gateway.now_ns)
    gateway.is_centre_there = False
    gateway.passes(40)
    assert gateway.places() == {LIFE: FIVE_G}


# --- An operator at the gateway. ---


def _forced(line_id: str, until_s: float = 3_600.0) -> Request:
    return Request(
        id="r", kind="forced", group_id=LIFE, line_id=line_id, by="sato", why="mast is being moved", unix_ns=T0,
        until_unix_ns=T0 + round(until_s * S),
    )  # fmt: skip


def test_a_forced_switch_at_the_gateway_stands_until_it_is_taken_back() -> None:
    """Against its own probes, against orders of the centre, but not against one that is forced as well."""
    gateway = Driven()
    gateway.passes(2)
    gateway.see(GEO, "down")
    assert gateway.edge.force(_forced(GEO), gateway.now_ns) == ""
    gateway.passes(5)
    assert (gateway.group().on, gateway.group().phase, gateway.edge.forced) == (GEO, "FS", (LIFE,))
    gateway.edge.desired(desired(wanted(FIVE_G, 1)))
    gateway.passes(1)
    assert (gateway.group().outcome, gateway.group().detail) == ("refused", "forced at the gateway by sato")
    gateway.edge.desired(desired(wanted(FIVE_G, 2, forced=True), version=2))
    gateway.passes(1)
    assert (gateway.places(), gateway.edge.forced) == ({LIFE: FIVE_G}, ())


def test_a_forced_switch_at_the_gateway_ends_by_itself() -> None:
    """Then the class leaves the line if it is dead."""
    gateway = Driven()
    gateway.edge.force(_forced(GEO, until_s=20), T0)
    gateway.passes(2)
    gateway.see(GEO, "down")
    gateway.passes(10)
    assert gateway.places() == {LIFE: GEO}
    gateway.passes(15)
    assert gateway.places()[LIFE] != GEO


def test_a_forced_switch_that_is_taken_back_leaves_the_class_where_it_is() -> None:
    """The centre orders it back, or the gateway does when it is alone."""
    gateway = Driven()
    gateway.edge.force(_forced(FIVE_G), T0)
    gateway.passes(2)
    assert gateway.edge.clear(LIFE) == ""
    gateway.passes(100, step_s=5)
    assert gateway.places() == {LIFE: FIVE_G}


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (msgspec.structs.replace(_forced(GEO), group_id="gw/none"), "there is no such class in the plan"),
        (_forced("copper"), "it may not use that line; it may use fibre, five-g, geo"),
        (_forced(GEO, until_s=-1), "its end has passed"),
    ],
)
def test_a_forced_switch_that_cannot_be_is_refused(request_: Request, refused: str) -> None:
    """With the reason, for the person who asked."""
    gateway = Driven()
    assert gateway.edge.force(request_, T0) == refused
    assert gateway.edge.clear(LIFE) == "no forced switch of this gateway is in force for it"


def test_a_forced_switch_at_the_gateway_outlives_the_process() -> None:
    """It is kept with the rest."""
    gateway = Driven()
    gateway.edge.force(_forced(GEO), T0)
    gateway.passes(2)
    other = _again(gateway)
    other.edge.actual(gateway.kernel)
    other.passes(2)
    assert (other.edge.forced, other.places(), other.orders) == ((LIFE,), {LIFE: GEO}, [])
