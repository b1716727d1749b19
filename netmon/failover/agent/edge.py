"""What a gateway decides by itself: leave a dead line at once, obey the newest order of the centre, and do nothing when in doubt.

Pure: messages, sights and results come in, orders to the local actuator and what is to be reported come out of `step`; the clock is an
argument. Times are nanoseconds since 1970 UTC; they must not go backwards, whatever the clock of the machine does.

While the centre is heard, the gateway moves a class for one reason alone: the line that it is on has failed, as its own probes show, or a more
important class that had to leave such a line needs the room. It does not return, and does not choose better lines: the centre does, which sees
more. When the centre has not been heard for `centre_lost_s` of the plan, it also returns, by the same state machine as the centre's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from netmon.failover.actuators.base import Order
from netmon.failover.agent.held import RESTING, Held, Kept, recalled
from netmon.failover.agent.room import Room
from netmon.failover.agent.view import View
from netmon.failover.model import SHED, ActionResult, Attempt, LineSight, Phase, Request, Seen
from netmon.failover.plan.model import Beat, Desired, DesiredGroup, Plan, Reported, ReportedGroup
from netmon.failover.protection import machine

_S: Final = 1_000_000_000
_FOR_EVER_NS: Final = 1 << 62
PLAN_LINES_MAX: Final = 64
PLAN_GROUPS_MAX: Final = 64
"""Of one gateway; a plan with more is refused."""


class Turn(NamedTuple):
    """What a step came to."""

    orders: list[Order]
    """For the local actuator, in this order: who makes room before those that need it, P0 first."""
    groups: tuple[ReportedGroup, ...]
    """Where every class is."""
    due_unix_ns: int
    """When to step again even if nothing happens; 0: need not be."""


class Edge:
    """All classes of one gateway.

    Attributes:
        fence: Greatest number of a leader that was seen.
        refused: Orders, plans and beats that were out of date, since the start. Whoever drops a message for its signature adds to it.
    """

    def __init__(self, gateway_id: str, started_unix_ns: int, *, fence: int = 0, kept: Iterable[Kept] = ()) -> None:
        """Begins without a plan: nothing moves until there is one.

        Args:
            gateway_id: Its own.
            started_unix_ns: Now.
            fence: Greatest that was seen before.
            kept: What `kept` returned before; classes that are in no plan any more are forgotten with the next plan.
        """
        self.fence = fence
        self.refused = 0
        self._gateway_id = gateway_id
        self._started_ns = started_unix_ns
        self._heard_ns = started_unix_ns
        self._beat = (fence, -1)
        self._beats = 0
        self._plan: Plan | None = None
        self._desired: Desired | None = None
        self._kept = {each.state.group_id: each for each in kept}
        self._held: dict[str, Held] = {}
        """In order of weight: P0 first."""
        self._view = View()

    # -- what the centre says

    def plan(self, plan: Plan, now_ns: int) -> str:
        """Takes a plan whose signature is good. Classes stay where they are.

        Returns:
            Empty, or why it is refused.
        """
        if plan.gateway_id != self._gateway_id:
            return self._refuse("it is for another gateway")
        if len(plan.lines) > PLAN_LINES_MAX or len(plan.groups) > PLAN_GROUPS_MAX:
            return self._refuse(f"more than {PLAN_LINES_MAX} lines or {PLAN_GROUPS_MAX} classes")
        if self._plan is not None and (plan.fence, plan.version) < (self._plan.fence, self._plan.version):
            return self._refuse("there was a newer one")
        self.fence = max(self.fence, plan.fence)
        self._plan = plan
        self._view = View(plan.lines, self._view.sights)
        former = self._held
        self._held = {}
        for planned in sorted(plan.groups, key=lambda each: (each.priority, each.group_id)):
            held = former.get(planned.group_id)
            if held is None:
                held = Held(planned, self._gateway_id, recalled(planned, self._kept.get(planned.group_id), now_ns))
            held.take_plan(planned, self._gateway_id)
            self._held[planned.group_id] = held
        self._kept = {}
        self._take_desired()
        return ""

    def desired(self, desired: Desired, *, is_known: bool = False) -> str:
        """Takes what the centre wants, whose signature is good. Orders of it are carried out by `step`.

        Args:
            desired: For this gateway.
            is_known: It was taken before, and a newer leader has not said anything else since: it is what was on the disk.

        Returns:
            Empty, or why it is refused.
        """
        if desired == self._desired:
            return ""
        if desired.gateway_id != self._gateway_id:
            return self._refuse("it is for another gateway")
        if len(desired.groups) > PLAN_GROUPS_MAX:
            return self._refuse(f"more than {PLAN_GROUPS_MAX} classes")
        if desired.fence < self.fence and not is_known:
            return self._refuse("a newer leader has spoken")
        former = self._desired
        if former is not None and (desired.fence, desired.version) < (former.fence, former.version):
            return self._refuse("there was a newer one")
        self.fence = max(self.fence, desired.fence)
        self._desired = desired
        self._take_desired()
        return ""

    def beat(self, beat: Beat, now_ns: int) -> str:
        """Takes a sign of life of the centre, whose signature is good; one that was heard before is none.

        Returns:
            Empty, or why it is refused.
        """
        if beat.fence < self.fence:
            return self._refuse("a newer leader has spoken")
        if (beat.fence, beat.beat) <= self._beat:
            return self._refuse("it was heard before")
        self._beat = (beat.fence, beat.beat)
        self.fence = beat.fence
        self._heard_ns = now_ns
        return ""

    def is_alone(self, now_ns: int) -> bool:
        """Whether the centre has not been heard for longer than the plan allows."""
        return self._plan is not None and now_ns - self._heard_ns > self._plan.centre_lost_s * _S

    # -- what is seen here

    def sight(self, sight: LineSight, first_miss_unix_ns: int = 0) -> None:
        """Takes what the gateway's own probes show of a line.

        Args:
            sight: Of a line of the plan; of others nothing is kept.
            first_miss_unix_ns: When the first probe of the present row of misses was sent, for the report; 0: none is missing.
        """
        self._view.take(sight, first_miss_unix_ns)

    def result(self, result: ActionResult, now_ns: int) -> None:
        """Takes what became of an order of `step`; what answers an older one does nothing."""
        held = self._held.get(result.group_id)
        if held is None or held.state.attempt is None or held.state.attempt.generation != result.generation:
            return
        held.actual = result.on
        if result.outcome == "applied":
            held.actual = held.state.attempt.to
            held.applied(result)
        if held.owner == "edge" and not held.is_locked:
            held.result = result
            held.phases_s |= result.phases_s
        elif result.outcome not in {"applied", "unreachable"}:
            self._end(held, result, now_ns)

    def actual(self, places: Mapping[str, str], *, is_anew: bool = False) -> None:
        """Takes where the kernel has every class: it is believed, whoever has put it there.

        Args:
            places: Group ID to line ID or SHED; of one that is missing, nothing is known, or nothing stands.
            is_anew: The machine was started anew, so that the kernel has everything at home: `step` puts all of it where it was left.
        """
        for group_id, held in self._held.items():
            held.actual = places.get(group_id)
            held.is_lost = is_anew and held.actual != held.state.on and held.group.mode != "observe"

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much: all moments move along, so that no timer runs out by it. Sights have to be told anew.

        When it started stays as it was told: by that the centre knows this life of ours from the one before.
        """
        self._heard_ns += by_ns
        self._view.forget()
        for held in self._held.values():
            held.shift(by_ns)

    # -- an operator at the gateway

    def force(self, request: Request, now_ns: int) -> str:
        """Takes a forced switch of somebody who is at the gateway: it stands against the centre's orders, but for those that are forced as well.

        Returns:
            Empty, or why it is refused.
        """
        held = self._held.get(request.group_id)
        if held is None:
            return "there is no such class in the plan"
        if request.line_id not in self._lines_of(held):
            return f"it may not use that line; it may use {', '.join(self._lines_of(held))}"
        if request.until_unix_ns <= now_ns:
            return "its end has passed"
        held.local = request
        return ""

    def clear(self, group_id: str) -> str:
        """Takes a forced switch of `force` back: the class stays where it is until it is ordered, or returns by itself.

        Returns:
            Empty, or why it is refused.
        """
        held = self._held.get(group_id)
        if held is None or held.local is None:
            return "no forced switch of this gateway is in force for it"
        held.local = None
        return ""

    # -- what it shows

    @property
    def sights(self) -> tuple[LineSight, ...]:
        """Of its lines."""
        return self._view.sights

    @property
    def forced(self) -> tuple[str, ...]:
        """Groups for which a forced switch of `force` stands."""
        return tuple(group_id for group_id, held in self._held.items() if held.local is not None)

    def is_down(self, line_id: str) -> bool:
        """Whether the gateway's own probes say so."""
        return self._view.down(line_id) is not None

    # -- what is done

    def step(self, now_ns: int) -> Turn:
        """Compares what is with what should be."""
        places = {group_id: held.place for group_id, held in self._held.items()}
        planned = [held.planned for held in self._held.values()]
        free = Room(self._plan.lines if self._plan else (), planned, places)
        orders = []
        for group_id, held in self._held.items():
            held.due_ns = 0
            order = self._decide(held, free, now_ns)
            if order is not None:
                orders.append(order)
            free.put(group_id, held.place)
        orders.sort(key=lambda order: order.on != SHED)
        dues = [held.due_ns for held in self._held.values() if held.due_ns]
        if self._plan is not None and not self.is_alone(now_ns):
            dues.append(self._heard_ns + round(self._plan.centre_lost_s * _S) + 1)
        return Turn(orders, tuple(held.reported() for held in self._held.values()), min(dues, default=0))

    def reported(self, now_ns: int) -> Reported:
        """All that the centre is to know; its number grows with each call."""
        self._beats += 1
        return Reported(
            gateway_id=self._gateway_id,
            plan_version=self._plan.version if self._plan else 0,
            fence=self.fence,
            beat=self._beats,
            started_unix_ns=self._started_ns,
            unix_ns=now_ns,
            alone=self.is_alone(now_ns),
            groups=tuple(held.reported() for held in self._held.values()),
            lines=self._view.sights,
            refused=self.refused,
        )

    def kept(self) -> tuple[Kept, ...]:
        """What has to be on disk so that another Edge goes on where this one stands."""
        return tuple(held.kept() for held in self._held.values())

    # -- one class

    def _decide(self, held: Held, free: Room, now_ns: int) -> Order | None:
        self._expire(held, now_ns)
        if (wanted := held.order) is not None:
            return self._obey(held, wanted, now_ns)
        self._give_up(held, now_ns)
        attempt = held.state.attempt
        if held.local is not None and held.place != held.local.line_id:
            return self._order(held, held.begin(held.local.line_id, "forced", "local", now_ns), now_ns, forced=True)
        if attempt is not None and (held.owner != "edge" or held.is_locked):
            held.due_ns = attempt.due_unix_ns
            return None
        if attempt is None and held.is_lost:
            held.is_lost = False
            return self._put_back(held, now_ns)
        if held.is_locked:
            held.due_ns = held.local.until_unix_ns if held.local is not None else 0
            return None
        return self._protect(held, free, now_ns)

    def _expire(self, held: Held, now_ns: int) -> None:
        """Ends what has gone on for too long."""
        if held.local is not None and held.local.until_unix_ns <= now_ns:
            held.local = None
        attempt = held.state.attempt
        is_others = held.owner != "edge" or held.is_locked
        if attempt is not None and is_others and attempt.due_unix_ns <= now_ns:
            late = ActionResult(
                group_id=held.group.id,
                generation=attempt.generation,
                outcome="failed",
                detail="the actuator told nothing",
            )
            self._end(held, late, now_ns)

    def _give_up(self, held: Held, now_ns: int) -> None:
        """A line that dies while a class is put onto it by an order, or put back onto it, is not waited for."""
        attempt = held.state.attempt
        if attempt is None or held.owner == "edge" or held.is_locked:
            return
        sight = self._view.down(attempt.to)
        if sight is not None and sight.since_unix_ns > attempt.began_unix_ns:
            failed = ActionResult(
                group_id=held.group.id,
                generation=attempt.generation,
                outcome="failed",
                on=held.actual,
                detail="its line died meanwhile",
            )
            self._end(held, failed, now_ns)

    def _obey(self, held: Held, wanted: DesiredGroup, now_ns: int) -> Order | None:
        """Deals with the newest order of the centre."""
        held.fence, held.generation, held.ordered = wanted.fence, wanted.generation, wanted.on
        held.outcome, held.detail, held.phases_s, held.is_cut_short = "", "", {}, False
        if held.local is not None and not wanted.forced:
            held.outcome, held.detail = "refused", f"forced at the gateway by {held.local.by}"
            return None
        held.local = None
        if wanted.on != SHED and wanted.on not in self._lines_of(held):
            held.outcome, held.detail = "failed", "the plan that the gateway has knows no such line for it"
            return None
        # What the kernel has counts, not what is remembered: somebody may have put it elsewhere.
        if wanted.on == held.place and (held.state.attempt is not None or held.actual in {None, wanted.on}):
            self._stay(held, wanted)
            return None
        sight = self._view.down(wanted.on)
        if sight is not None and not wanted.forced:
            held.outcome, held.detail = "failed", f"down as the gateway sees it: {sight.reason or 'no_answer'}"
            return None
        return self._order(held, held.begin(wanted.on, wanted.reason, "centre", now_ns), now_ns, forced=wanted.forced)

    def _stay(self, held: Held, wanted: DesiredGroup) -> None:
        """It is there, or on its way."""
        if held.state.attempt is not None:
            held.owner, held.result = "centre", None
            return
        held.outcome = "verified"
        held.state = msgspec.structs.replace(
            held.state, phase=self._resting(held, wanted.on), reason=wanted.reason, due_unix_ns=0
        )

    def _put_back(self, held: Held, now_ns: int) -> Order:
        """To the line that it is on for all that is known here; nobody is asked whether that line is good."""
        return self._order(held, held.begin(held.state.on, "reconcile", "local", now_ns), now_ns, forced=True)

    def _end(self, held: Held, result: ActionResult, now_ns: int) -> None:
        attempt, owner = held.state.attempt, held.owner
        assert attempt is not None, "asked before"
        phase: Phase = "FS" if held.local is not None else self._resting(held, attempt.to)
        by, reason = held.by, held.state.reason
        held.end(result, phase, now_ns)
        if attempt.reason == "reconcile":
            held.by, held.state = by, msgspec.structs.replace(held.state, reason=reason)
        if owner == "local" and held.state.on != attempt.to:
            held.local = None

    def _resting(self, held: Held, on: str) -> Phase:
        """The phase of a class that was put there by an order."""
        if on == held.group.working:
            return "NR"
        phase = held.desired.phase if held.desired is not None and held.desired.on == on else "PROTECTING"
        # A wait of the centre's is not ours: alone, we would take it for one that is over.
        return phase if phase in RESTING and phase not in {"NR", "WTR"} else "PROTECTING"

    def _protect(self, held: Held, free: Room, now_ns: int) -> Order | None:
        """One step of the state machine, with what this gateway sees."""
        step = machine.step(held.group, held.state, self._seen(held, free, now_ns), now_ns)
        before, held.result = held.state, None
        held.state, held.due_ns = step.state, step.due_unix_ns
        if before.on != held.state.on:
            held.since_ns, held.by = now_ns, "edge"
        if held.state.attempt is None:
            held.owner = ""
        for action in step.actions:
            if action.kind == "switch" and held.state.attempt is not None:
                held.owner, held.detail = "edge", ""
                held.phases_s = self._view.waited_s(before.on, now_ns)
                return self._order(held, held.state.attempt, now_ns, forced=action.forced)
            if action.kind == "abandon":
                return self._put_back(held, now_ns)
        return None

    def _seen(self, held: Held, free: Room, now_ns: int) -> Seen:
        group, planned, is_alone = held.group, held.planned, self.is_alone(now_ns)
        # Where a class was left on a line that is dead now, it is not settled that it stays where it has come to be.
        reported = None if held.state.on in self._view.failed or held.state.attempt else held.actual
        on = held.state.on if reported is None else reported
        avoid: Collection[str] = held.desired.avoid if held.desired is not None else ()
        # A line that is overbooked while nothing has failed is the centre's business.
        is_evicted = not free.fits(planned, on) and on in self._crowded()
        # While the centre is heard, nothing but these makes a class look for another line.
        may_look = is_alone or is_evicted or on in self._view.failed
        return Seen(
            sights=self._view.of(self._lines_of(held)),
            candidates=self._view.candidates(planned, on, avoid, free, now_ns) if may_look else (),
            working_fits=free.fits(planned, group.working),
            evicted=is_evicted,
            request=self._standing(held),
            reported=reported,
            result=held.result,
            may_return=is_alone and group.working not in avoid,
        )

    def _standing(self, held: Held) -> Request | None:
        """An operator's manual switch that the centre told of stands until the centre says otherwise."""
        desired = held.desired
        if desired is None or desired.phase != "MS" or desired.on != held.state.on:
            return None
        name = f"{desired.fence}-{desired.generation}"
        return Request(
            id=name, kind="manual", group_id=desired.group_id, line_id=desired.on, by="centre", why="", unix_ns=0,
            until_unix_ns=_FOR_EVER_NS,
        )  # fmt: skip

    def _crowded(self) -> set[str]:
        """Lines to which the gateway has moved a class by itself."""
        return {held.place for held in self._held.values() if held.owner == "edge" or held.by == "edge"}

    def _order(self, held: Held, attempt: Attempt, now_ns: int, *, forced: bool = False) -> Order:
        held.due_ns = attempt.due_unix_ns
        desired = held.desired
        return Order(
            group_id=held.group.id,
            gateway_id=self._gateway_id,
            class_id=held.group.class_id,
            fence=self.fence,
            generation=attempt.generation,
            on=attempt.to,
            before=held.state.on,
            phase=held.state.phase,
            reason=attempt.reason,
            forced=forced,
            locked=held.is_locked,
            avoid=desired.avoid if desired is not None else (),
            unix_ns=now_ns,
        )

    # -- the rest

    def _lines_of(self, held: Held) -> tuple[str, ...]:
        return (held.group.working, *held.group.protections)

    def _refuse(self, why: str) -> str:
        self.refused += 1
        return why

    def _take_desired(self) -> None:
        """Hands every class what the centre wants of it; orders that are older than what was dealt with are refused."""
        if self._desired is None:
            return
        for wanted in self._desired.groups:
            held = self._held.get(wanted.group_id)
            if held is None:
                continue
            if (wanted.fence, wanted.generation) < (held.fence, held.generation):
                self.refused += 1
                continue
            held.desired = wanted
