"""Decides for all protection groups of a region: what is seen goes in, at each step what shall be done comes out.

Pure. One object for the controller, the drill, the plans and the simulation; the clock is an argument. It is level-triggered: whatever message
was lost, the next step of a group compares what is with what should be. Only groups to which something happened, or whose timer is due, are
stepped: the region's P0 groups first, then P1 to P3, each with what room those before it left. Times are nanoseconds since 1970 UTC.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from msgspec.structs import replace

from netmon.failover.model import (
    SHED,
    Action,
    Candidate,
    Group,
    GroupState,
    LineFacts,
    LineSight,
    Request,
    Seen,
    Step,
)
from netmon.failover.protection import machine, progress, requests, stepped, targets
from netmon.failover.protection.choice import has_failed
from netmon.failover.protection.requests import InForce
from netmon.failover.protection.stepped import Turns
from netmon.failover.region import evidence
from netmon.failover.region.evidence import Look
from netmon.failover.region.explain import Explanation, LineLoad
from netmon.failover.region.member import Member
from netmon.failover.region.rooms import Rooms
from netmon.failover.region.watched import Watched

STEPS_MAX: Final = 6
"""Of one group in one step of the region: what goes on for longer waits for `AGAIN_NS`, so that a quarrel over room never hangs the region."""
AGAIN_NS: Final = 1_000_000_000
LOOK_NS: Final = 30_000_000_000
"""A group that is not at rest is looked at so often even if nothing is told: that a line is proven no more is told by nobody."""
LOOKS: Final = 64
"""Parts of that time over which these looks are spread."""
BACK_NS: Final = 1_000_000_000
"""If the clock went back by more than this, every timer is looked at anew."""


class Decided(NamedTuple):
    """What a step came to."""

    actions: list[Action]
    """In the order in which they are to be done: those that make room before those that need it, P0 first. `evidence` tells why."""
    states: list[GroupState]
    """That have changed, each once: written before the actions go out."""
    gateways: list[str]
    """IDs of gateways of which `locked` or `avoid` of a group has changed, so that they have to be told even if no action says so; sorted."""
    due_unix_ns: int
    """When to step again even if nothing happens; 0: need not be."""


class _Pass(NamedTuple):
    """A step of the region, while it is made."""

    now_ns: int
    actions: list[tuple[int, Action]]
    """With what they are sorted by."""
    changed: dict[str, GroupState]
    times: dict[int, int]
    """How often each group was stepped."""
    gateways: set[str]


class Coordinator(Watched):
    """All groups of a region, and what becomes of them."""

    def __init__(
        self,
        lines: Sequence[LineFacts],
        groups: Sequence[Group],
        states: Iterable[GroupState] = (),
        *,
        started_unix_ns: int,
        calm_from_unix_ns: int = 0,
    ) -> None:
        """Begins where another one ended; every group is stepped once.

        Args:
            lines: Of the region.
            groups: Of the region; their lines are among `lines`.
            states: As they were last written; those of groups that are no more are left out.
            started_unix_ns: Now.
            calm_from_unix_ns: Before this nothing moves that can wait: the leader is new.
        """
        super().__init__(lines, groups, states, started_unix_ns=started_unix_ns)
        self._calm_from_ns = calm_from_unix_ns
        self._calm_ns = max(calm_from_unix_ns - started_unix_ns, 0)
        self._now_ns = started_unix_ns
        self._was_frozen = False
        self._suspected = 0
        self._turns = Turns()
        self._rooms = Rooms(lines, self._by_id, self._sights, self._stays, self._mark)
        self._loads = self._rooms.loads
        self._timers: list[tuple[int, int]] = []
        """Heap: when, and which group by its order. One that is not the group's `due_unix_ns` any more is void."""

    def shift(self, by_ns: int) -> list[GroupState]:
        """The clock was set by so much: the timers of groups and areas run on as if it had not been.

        What operators want ends when they have said, by the clock on the wall.

        Returns:
            States of groups that are not at rest, as they are now.
        """
        for member in self._members:
            member.shift(by_ns)
            self.states[member.group.id] = member.state
            if member.due_unix_ns:
                self._sleep(member, member.due_unix_ns + by_ns)
            if member.order in self._restless or member.state.attempt is not None or member.state.penalty:
                self._mark(member)
        self._heard_ns = {gateway_id: heard_ns + by_ns for gateway_id, heard_ns in self._heard_ns.items()}
        self._calm_from_ns += by_ns
        self._now_ns += by_ns
        self._turns.shift(by_ns)
        self._sights.shift(by_ns)
        return [self._members[order].state for order in self._todo]

    # -- what operators want

    def refusal(self, request: Request, now_ns: int) -> str:
        """Why a new request cannot be obeyed as things stand; empty: it can. One that was taken stands, whatever becomes of lines."""
        if why := self._asked.refusal(request, now_ns):
            return why
        member, line_id = self._by_id[request.group_id], request.line_id
        seen = self._seen(member, now_ns, wanted=request)
        is_crowded = line_id in member.lines and not self._loads.fits(line_id, member.group)
        crowded = evidence.crowd(self._look(member, now_ns), line_id) if is_crowded else ""
        return requests.refusal(member.effective, member.state, seen, request, now_ns, crowded=crowded)

    def outlook(self, request: Request, now_ns: int) -> str:
        """What is to be known of a request that is not refused: what an exercise finds, that there is no room; may be empty."""
        member, line_id = self._by_id[request.group_id], request.line_id
        look = self._look(member, now_ns)
        if request.kind == "exercise":
            seen = self._seen(member, now_ns, wanted=request)
            return evidence.exercised(look, targets.exercised(member.effective, member.state, seen, line_id), line_id)
        if request.kind != "forced" or self._loads.fits(line_id, member.group):
            return ""
        leavers = self._rooms.leavers(member, line_id)
        return evidence.leaving(look, leavers) if leavers else evidence.crowd(look, line_id)

    # -- decides

    def step(self, now_ns: int) -> Decided:
        """Decides for every group that something happened to, or whose time has come. `now_ns` may go back: no timer runs out early for it."""
        made = _Pass(now_ns, [], {}, {}, set())
        self._look_at_region(now_ns)
        self._wake(now_ns)
        self._give_back(now_ns)
        while self._todo or self._give_turns(now_ns):
            order = heapq.heappop(self._todo)
            self._marked.discard(order)
            member, times = self._members[order], made.times.get(order, 0)
            if times == STEPS_MAX:
                self._sleep(member, now_ns + AGAIN_NS)
                continue
            made.times[order] = times + 1
            self._step_one(member, made)
        for order in self._terms_due:
            self._tell_terms(self._members[order], made)
        self._terms_due.clear()
        made.actions.sort(key=itemgetter(0))
        return Decided(
            [action for _, action in made.actions],
            list(made.changed.values()),
            sorted(made.gateways),
            self._next_due(now_ns),
        )

    def _look_at_region(self, now_ns: int) -> None:
        """What concerns many groups at once."""
        for group_id in self._asked.expire(now_ns):
            self._fix(self._by_id[group_id], now_ns)
        if self._frozen is not None and 0 < self._frozen.until_unix_ns <= now_ns:
            self._frozen = None
        self._guard.step(now_ns)
        is_frozen = self.frozen is not None
        if is_frozen != self._was_frozen:
            self._was_frozen = is_frozen
            for member in self._members:
                self._mark(member)
        suspected = self._chooser.risks.failing_mask
        if suspected != self._suspected:
            changed, self._suspected = suspected ^ self._suspected, suspected
            masks = self._chooser.risks.masks
            for order in self._restless:
                member = self._members[order]
                if any(masks[line_id] & changed for line_id in member.lines):
                    self._mark(member)

    def _wake(self, now_ns: int) -> None:
        """Marks those whose time has come; all that wait, if the clock went back."""
        if now_ns < self._now_ns - BACK_NS:
            self._calm_from_ns = min(self._calm_from_ns, now_ns + self._calm_ns)
            for order in self._restless:
                self._mark(self._members[order])
        self._now_ns = now_ns
        while self._timers and self._timers[0][0] <= now_ns:
            due_ns, order = heapq.heappop(self._timers)
            if self._members[order].due_unix_ns == due_ns:
                self._mark(self._members[order])

    def _give_back(self, now_ns: int) -> None:
        """Counts whose move has come to nothing where it is, before anybody is given the room that it was to leave."""
        for member in [self._members[order] for order in self._todo]:
            attempt = member.state.attempt
            if attempt is not None and progress.has_failed(attempt, now_ns, member.news):
                self._rooms.give_back(member)

    def _give_turns(self, now_ns: int) -> bool:
        """Marks the groups whose turn it is to return; tells whether there are any."""
        if now_ns < self._calm_from_ns:
            return False
        for group_id in self._turns.ready(now_ns, self._postures):
            self._by_id[group_id].has_turn = True
            self._mark(self._by_id[group_id])
        return bool(self._todo)

    def _step_one(self, member: Member, made: _Pass) -> None:
        now_ns = made.now_ns
        if self._is_calm(member, now_ns):
            self._tell_terms(member, made)
            return
        step = self._staggered(machine.step(member.effective, member.counted(), self._seen(member, now_ns), now_ns))
        member.news, member.approved, member.clear, member.has_turn = None, 0, False, False
        if step.state is not member.state:
            if step.state.phase == "NO_BACKUP" and step.state.on != member.state.on:
                # It is not where it was thought to be: what it could choose among was ranked for that place.
                self._mark(member)
            member.state = self.states[member.group.id] = made.changed[member.group.id] = step.state
            if step.state.void_request_id:
                self._asked.drop(member.group.id, step.state.void_request_id)
                self._fix(member, now_ns)
        for action in step.actions:
            self._note(member, action, made)
        self._queue(member, step)
        was_stuck = member.is_stuck
        self._rooms.update(member)
        if member.is_stuck != was_stuck:
            self._fix(member, now_ns)
        self._settle(member, step, made)

    def _staggered(self, step: Step) -> Step:
        """The step with an attempt that is waited for as much longer as its order waits."""
        attempt = step.state.attempt
        waiting = [action for action in step.actions if action.kind == "switch" and not action.urgent]
        if attempt is None or not waiting or not (delay_s := self.delay_s(waiting[-1])):
            return step
        due_ns = attempt.due_unix_ns and attempt.due_unix_ns + round(delay_s * 1e9)
        attempt = replace(attempt, delay_s=delay_s, due_unix_ns=due_ns)
        return step._replace(state=replace(step.state, attempt=attempt))

    def _note(self, member: Member, action: Action, made: _Pass) -> None:
        """Takes an action: who makes room goes first, P3 before the others, since they may go where these were."""
        if action.kind in {"switch", "abandon"}:
            member.ordered, member.ordered_ns = (self.fence, action.generation), made.now_ns
        is_first = action.reason == "preempted" and action.kind == "switch"
        made.actions.append((-member.group.priority if is_first else 1, action))

    def _queue(self, member: Member, step: Step) -> None:
        """Has it wait for its turn, or no longer."""
        if step.waiting:
            self._turns.join(member.group)
        else:
            self._turns.quit(member.group)

    def _settle(self, member: Member, step: Step, made: _Pass) -> None:
        """Notes what it waits for, and what its gateway has to know."""
        state, order = member.state, member.order
        is_nowhere = SHED in {state.on, member.place} or state.phase == "NO_BACKUP"
        self._rooms.wait(member, waits=is_nowhere or bool(step.waiting))
        due_ns = step.due_unix_ns
        if self._is_at_rest(member):
            self._restless.discard(order)
        else:
            self._restless.add(order)
            look_ns = made.now_ns + LOOK_NS + order % LOOKS * LOOK_NS // LOOKS
            due_ns = min(due_ns, look_ns) if due_ns else look_ns
        self._sleep(member, max(due_ns, made.now_ns + 1) if due_ns else 0)
        self._tell_terms(member, made)

    def _is_at_rest(self, member: Member) -> bool:
        """Whether it is at home, and waits for nothing but its line to fail."""
        state = member.state
        is_home = state.phase == "NR" and state.on == member.group.working and state.attempt is None
        return is_home and not (state.tried or state.due_unix_ns or member.evicted_from)

    def _is_calm(self, member: Member, now_ns: int) -> bool:
        """Whether a step would find nothing: it is at home and well. So it is with many of those to which nothing happened but a report."""
        state, reported = member.state, member.reported
        if not self._is_at_rest(member) or member.order in self._restless:
            return False
        if state.working_failed or state.since_unix_ns > now_ns or member.group.id in self._asked.by_group:
            return False
        if self._was_frozen or member.clear:
            return False
        if reported is not None and (reported.on != state.on or reported.generation > state.generation):
            return False
        sight = self._sights.of(member.group.gateway_id)[state.on]
        return sight.state == "up" and not sight.one_way

    def _tell_terms(self, member: Member, made: _Pass) -> None:
        terms = self._terms(member)
        if terms != member.terms:
            member.terms = terms
            made.gateways.add(member.group.gateway_id)

    # -- what one group sees

    def _seen(self, member: Member, now_ns: int, *, wanted: Request | None = None) -> Seen:
        """What a step sees; or what it would see if this request were in force."""
        state, group = member.state, member.effective
        sights = self._sights.of(group.gateway_id)
        asked = self._asked.in_force(group.id, now_ns)
        if wanted is not None and not (wanted.kind == "lockout" and wanted.line_id):
            asked = asked._replace(request=wanted)
        attempt = state.attempt
        # What was not answered in time is told by where its gateway says that it is.
        is_late = attempt is not None and member.news is None and progress.is_late(attempt, now_ns)
        evicted = bool(member.evicted_from) and self._rooms.has_to_leave(member)
        # Where its gateway has put it counts, also before that is adopted.
        is_home = state.on == group.working and state.attempt is None and member.reported_on in {None, group.working}
        sight = sights[group.working]
        is_well = is_home and sight.state == "up" and not (sight.one_way or evicted or asked.request or asked.locked)
        if is_well:
            candidates: tuple[Candidate, ...] = ()
        else:
            candidates = tuple(self._candidates(member, sights, asked, now_ns, evicted=evicted))
        return Seen(
            sights=sights,
            candidates=candidates,
            working_fits=is_home or self._rooms.leavers(member, group.working) is not None,
            evicted=evicted,
            request=asked.request,
            locked=asked.locked,
            clear=member.clear,
            frozen=self._was_frozen,
            posture=member.posture,
            reported=member.told_on if is_late else member.reported_on,
            reachable=member.reachable,
            result=member.news,
            approved=member.approved,
            may_return=member.has_turn,
        )

    def _candidates(
        self, member: Member, sights: Mapping[str, LineSight], asked: InForce, now_ns: int, *, evicted: bool
    ) -> list[Candidate]:
        group, on = member.effective, member.state.on
        escape = evicted or on not in sights or on in asked.locked or has_failed(sights[on], both_ways=group.both_ways)
        # An exercise chooses as if it had to leave.
        escape = escape or (asked.request is not None and asked.request.kind == "exercise")
        ranked = self._chooser.rank(
            group,
            sights,
            now_ns,
            avoid=progress.left_out(group, member.state, sights, now_ns, member.news),
            locked=asked.locked,
            posture=member.posture,
            escape=escape,
            has_room=lambda line_id: self._loads.has_room(line_id, group, evict=escape),
        )
        return self._loads.order(group, ranked, evict=escape)

    # -- the rest

    def _sleep(self, member: Member, due_ns: int) -> None:
        if due_ns != member.due_unix_ns:
            member.due_unix_ns = due_ns
            if due_ns:
                heapq.heappush(self._timers, (due_ns, member.order))

    def _next_due(self, now_ns: int) -> int:
        while self._timers and self._members[self._timers[0][1]].due_unix_ns != self._timers[0][0]:
            heapq.heappop(self._timers)
        turns_ns = self._turns.due_ns(now_ns)
        dues = (
            self._timers[0][0] if self._timers else 0,
            self._asked.due_unix_ns,
            self._frozen.until_unix_ns if self._frozen is not None else 0,
            self._guard.due_ns(now_ns),
            max(turns_ns, self._calm_from_ns) if turns_ns else 0,
        )
        return min((due for due in dues if due), default=0)

    # -- shows

    def evidence(self, action: Action) -> tuple[str, ...]:
        """Why this was decided, as short English texts for the audit: sights, risks avoided, requests. To be asked before more is seen."""
        member = self._by_id[action.group_id]
        return evidence.texts(action, self._look(member, self._now_ns))

    def delay_s(self, action: Action) -> float:
        """How long the order waits, so that not all of a region move at once; 0 for what is urgent. The same each time it is asked."""
        if action.urgent or action.reason == "preempted":
            return 0.0
        member = self._by_id[action.group_id]
        return stepped.stagger_s(action.group_id, action.generation, member.group.priority, member.posture)

    def locked(self, group_id: str) -> bool:
        """Whether its gateway must not move it by itself: locked out, forced, or frozen."""
        return self._terms(self._by_id[group_id])[0]

    def avoid(self, group_id: str) -> tuple[str, ...]:
        """Lines of the group to which its gateway must not go by itself: locked out, damped, or dead as the centre sees it; sorted."""
        return self._terms(self._by_id[group_id])[1]

    def _terms(self, member: Member) -> tuple[bool, tuple[str, ...]]:
        """`locked` and `avoid`: asked of each group that has a line that is different now, so it has to be quick."""
        group = member.group
        failed = self._sights.failed if group.both_ways else self._sights.down
        lines = [line_id for line_id in member.lines if line_id in failed]
        is_locked = self._was_frozen or group.mode != "act"
        if group.id in self._asked.by_group:
            asked = self._asked.in_force(group.id, self._now_ns)
            lines += asked.locked
            is_locked = is_locked or (asked.request is not None and asked.request.kind in {"lockout", "forced"})
        if member.state.suppressed_unix_ns:
            lines.append(group.working)
        return is_locked, tuple(sorted(set(lines))) if len(lines) > 1 else tuple(lines)

    def explain(self, group_id: str, now_ns: int) -> Explanation:
        """Why the group is where it is. Raises KeyError: there is no such group."""
        return evidence.explanation(self._look(self._by_id[group_id], now_ns))

    @property
    def loads(self) -> Mapping[str, LineLoad]:
        """Line ID to what it carries. Made anew each time."""
        shed: dict[str, list[int]] = {}
        for member in self._members:
            if member.state.on == SHED:
                shed.setdefault(member.group.working, [0, 0, 0, 0])[member.group.priority] += member.group.bandwidth_bps
        return {
            line_id: LineLoad(
                line_id=line_id,
                capacity_bps=facts.capacity_bps,
                usable_bps=self._loads.usable(line_id),
                admitted_bps=self._loads.admitted(line_id),
                shed_bps=(rates[0], rates[1], rates[2], rates[3]),
            )
            for line_id, facts in self._facts.items()
            for rates in (shed.get(line_id, [0, 0, 0, 0]),)
        }

    def _look(self, member: Member, now_ns: int) -> Look:
        heard_ns = self._heard_ns.get(member.group.gateway_id, 0)
        return Look(member, self._sights, self._chooser, self._loads, self._asked, self.frozen, heard_ns, now_ns)
