"""One class at its gateway: where it is, which order it has dealt with, what is under way, and what of it outlives the process.

Pure. Numbers of orders are of two kinds. `(fence, generation)` of the centre's orders tells which of them is the newest. `state.generation`
counts whatever this gateway tells its own actuator, whoever wanted it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.failover.model import ActionResult, Attempt, Group, GroupState, Phase, Request, SwitchReason
from netmon.failover.plan.model import DesiredGroup, PlannedGroup, ReportedGroup
from netmon.failover.protection import timers

Owner = Literal["", "centre", "edge", "local"]
"""Who wants what is under way: nobody, the centre, the plan, or an operator at the gateway."""
Outcome = Literal["", "applied", "verified", "failed", "refused"]

RESTING: Final[frozenset[Phase]] = frozenset({"NR", "PROTECTING", "DEGRADED", "WTR", "DNR", "MS", "FS"})
"""Phases of the centre's that say why a class is where it is; the others say what it waits for."""
DETAIL_MAX: Final = 200
"""Characters of what an actuator says that are kept."""
SPARE_S: Final = 1.0
"""An actuator that has told nothing so long after verification should have ended is not waited for."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one class across restarts."""

    state: GroupState
    fence: int = 0
    generation: int = 0
    """Newest order of the centre that was dealt with."""
    ordered: str = ""
    """Where to."""
    owner: Owner = ""
    """Who wanted what was under way."""
    outcome: Outcome = ""
    detail: str = ""
    by: Literal["centre", "edge"] = "centre"
    since_unix_ns: int = 0
    phases_s: dict[str, float] = {}
    local: Request | None = None
    """Forced switch at the gateway itself."""


class Held:
    """One class.

    Attributes:
        planned: As the plan has it.
        group: The same, as the state machine knows groups.
        state: Of the state machine; `state.attempt` is what the actuator was told and has not ended.
        owner: Whose that attempt is.
        fence, generation, ordered: Newest order of the centre that was dealt with.
        desired: What the centre wants of it; None: it has said nothing.
        actual: Where the kernel has it; None: nowhere that could be told, or it has not been read.
        is_cut_short: The process before was killed while it carried out the newest order, which is dealt with anew.
        is_lost: It has to be put back to where it was before the machine was started anew.
        result: News of an attempt of the plan's, for the state machine.
        due_ns: When to look again; 0: need not be.
    """

    __slots__ = (
        "actual", "by", "desired", "detail", "due_ns", "fence", "generation", "group", "is_cut_short", "is_lost", "local", "ordered", "outcome", "owner",
        "phases_s", "planned", "result", "since_ns", "state",
    )  # fmt: skip

    def __init__(self, planned: PlannedGroup, gateway_id: str, kept: Kept) -> None:
        self.state = kept.state
        self.owner: Owner = ""
        self.fence, self.generation, self.ordered = kept.fence, kept.generation, kept.ordered
        self.outcome, self.detail = kept.outcome, kept.detail
        self.by, self.since_ns = kept.by, kept.since_unix_ns
        self.phases_s = dict(kept.phases_s)
        self.local = kept.local
        self.desired: DesiredGroup | None = None
        self.actual: str | None = None
        self.is_lost = False
        self.is_cut_short = kept.owner == "centre"
        self.result: ActionResult | None = None
        self.due_ns = 0
        self.take_plan(planned, gateway_id)

    def take_plan(self, planned: PlannedGroup, gateway_id: str) -> None:
        """It is planned like this from now on."""
        self.planned = planned
        self.group = Group(
            id=planned.group_id,
            gateway_id=gateway_id,
            class_id=planned.class_id,
            priority=planned.priority,
            working=planned.working,
            protections=planned.protections,
            bandwidth_bps=planned.bandwidth_bps,
            both_ways=planned.both_ways,
            moves_on_sd=planned.moves_on_sd,
            revertive=planned.revertive,
            mode=planned.mode,
            # Whoever moves it takes as long as it may, and tells what came of it afterwards.
            timers=msgspec.structs.replace(planned.timers, verify_s=planned.timers.verify_s + SPARE_S),
            damping=planned.damping,
        )

    # -- what it says

    @property
    def place(self) -> str:
        """Where it is, or is going."""
        return self.state.attempt.to if self.state.attempt else self.state.on

    @property
    def is_locked(self) -> bool:
        """Whether nothing but an order moves it."""
        return self.local is not None or self.group.mode != "act" or (self.desired is not None and self.desired.locked)

    @property
    def order(self) -> DesiredGroup | None:
        """What the centre wants and has not been dealt with.

        A new leader says the same again under its own number: that is no order, and does not undo what was done here since.
        """
        desired = self.desired
        if desired is None or (desired.fence, desired.generation) < (self.fence, self.generation):
            return None
        if (desired.fence, desired.generation) == (self.fence, self.generation):
            return desired if self.is_cut_short else None
        if desired.generation == self.generation and desired.on == self.ordered and not self.is_cut_short:
            self.fence = desired.fence
            return None
        return desired

    def kept(self) -> Kept:
        """For the disk."""
        return Kept(
            state=self.state,
            fence=self.fence,
            generation=self.generation,
            ordered=self.ordered,
            owner="centre" if self.is_cut_short else self.owner,
            outcome=self.outcome,
            detail=self.detail,
            by=self.by,
            since_unix_ns=self.since_ns,
            phases_s=self.phases_s,
            local=self.local,
        )

    def reported(self) -> ReportedGroup:
        """For the centre; what is being verified is there already."""
        attempt, by, reason = self.state.attempt, self.by, self.state.reason
        if attempt is not None and self.actual == attempt.to != self.state.on:
            by, reason = "centre" if self.owner == "centre" else "edge", attempt.reason
        return ReportedGroup(
            group_id=self.group.id,
            on=self.state.on if self.actual is None else self.actual,
            fence=self.fence,
            generation=self.generation,
            outcome=self.outcome,
            detail=self.detail,
            phase=self._phase(),
            by=by,
            reason=reason,
            since_unix_ns=self.since_ns,
            phases_s=dict(self.phases_s),
        )

    def _phase(self) -> Phase:
        if self.local is not None:
            return "FS"
        desired = self.desired
        if desired is None:
            return self.state.phase
        is_as_ordered = self.by == "centre" and desired.on == self.state.on and self.state.phase in RESTING
        return desired.phase if is_as_ordered or self.is_locked else self.state.phase

    def shift(self, by_ns: int) -> None:
        """The clock was set: what was a while ago, or is to come, is as far away as before."""
        self.state = timers.shifted(self.state, by_ns)
        self.since_ns += by_ns

    # -- what becomes of it

    def begin(self, to: str, reason: SwitchReason, owner: Owner, now_ns: int) -> Attempt:
        """Something is under way that the state machine did not ask for; what was under way before is void."""
        attempt = Attempt(
            generation=self.state.generation + 1,
            to=to,
            reason=reason,
            began_unix_ns=now_ns,
            stage="ordered",
            due_unix_ns=now_ns + round(self.group.timers.verify_s * 1e9),
        )
        self.state = msgspec.structs.replace(self.state, attempt=attempt, generation=attempt.generation)
        self.owner, self.result = owner, None
        return attempt

    def applied(self, result: ActionResult) -> None:
        """The kernel has it, and verification runs."""
        assert self.state.attempt is not None, "asked before"
        self.state = msgspec.structs.replace(
            self.state, attempt=msgspec.structs.replace(self.state.attempt, stage="applied")
        )
        if self.owner == "centre":
            self.outcome = "applied"
        self.phases_s |= result.phases_s

    def end(self, result: ActionResult, phase: Phase, now_ns: int) -> None:
        """What was under way has ended, whether well or not.

        Args:
            result: How; `verified`, or anything else: it failed.
            phase: In which it is, if it ended well.
            now_ns: Now.
        """
        attempt = self.state.attempt
        assert attempt is not None, "asked before"
        is_verified = result.outcome == "verified"
        on = attempt.to if is_verified else self.state.on if result.on is None else result.on
        # What was forced stays, even if it does not arrive.
        is_there = on == attempt.to
        # An order that came to nothing, and left it where it was, has not cut short what it waited for.
        due_ns = self.state.due_unix_ns if on == self.state.on and not is_there else 0
        if on != self.state.on:
            self.since_ns = now_ns
        self.state = msgspec.structs.replace(
            self.state,
            on=on,
            attempt=None,
            phase=phase if is_there else self.state.phase,
            reason=attempt.reason if is_there else self.state.reason,
            since_unix_ns=now_ns if is_there else self.state.since_unix_ns,
            on_unix_ns=self.since_ns,
            due_unix_ns=due_ns,
        )
        self.actual = on
        self.phases_s |= result.phases_s
        if self.owner == "centre":
            self.outcome = "verified" if is_verified else "failed"
        self.detail = result.detail[:DETAIL_MAX] if not is_verified else ""
        if is_there:
            self.by = "centre" if self.owner == "centre" else "edge"
        self.owner = ""


def recalled(planned: PlannedGroup, kept: Kept | None, now_ns: int) -> Kept:
    """A class that is new in the plan, with what was kept of it; moments that have not come yet are now."""
    if kept is None:
        state = GroupState(group_id=planned.group_id, on=planned.working, since_unix_ns=now_ns)
        return Kept(state=state, since_unix_ns=now_ns)
    state = kept.state
    latest_ns = now_ns + round(max(planned.timers.wtr_s, planned.timers.retry_s) * 1e9)
    state = msgspec.structs.replace(
        state,
        attempt=None,
        since_unix_ns=min(state.since_unix_ns, now_ns),
        on_unix_ns=min(state.on_unix_ns, now_ns),
        due_unix_ns=min(state.due_unix_ns, latest_ns),
        guard_until_unix_ns=0,
        penalty_unix_ns=min(state.penalty_unix_ns, now_ns),
        suppressed_unix_ns=min(state.suppressed_unix_ns, now_ns),
        rival_unix_ns=min(state.rival_unix_ns, now_ns),
    )
    return msgspec.structs.replace(kept, state=state)
