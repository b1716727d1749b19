"""From what should be to what is ordered: an attempt is begun, kept, replaced by another, or taken back.

Pure. A group has one attempt at a time. One that is under way is not given up because another line has become a little better: of equals, the
first stays. Each order has a generation of its own, so that an actuator can tell the newer.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from netmon.failover.model import SHED, Action, Attempt, Group, GroupState, Seen, SwitchReason
from netmon.failover.protection import targets, timers
from netmon.failover.protection.targets import Health, health

replace = msgspec.structs.replace


class Move(NamedTuple):
    """Where a group should go."""

    to: str
    reason: SwitchReason
    urgent: bool = False
    """It waits for no guard time and no turn."""


class Orders(NamedTuple):
    """What is ordered."""

    state: GroupState
    actions: tuple[Action, ...] = ()
    waiting: SwitchReason = ""
    """What it would move for, if it were its turn."""


def ordered(
    group: Group, state: GroupState, seen: Seen, now_ns: int, used: Health, move: Move | None, stray: bool
) -> Orders:
    """What has to be ordered so that a group comes to be where it should.

    Args:
        group: As configured.
        state: As the decision has left it.
        seen: The view.
        now_ns: Since 1970 UTC.
        used: How the line is that it uses.
        move: Where it should go; None: it should stay.
        stray: Whether an order is out that nobody has answered.
    """
    attempt = state.attempt
    if move is not None and not move.urgent and not (attempt is not None and attempt.to == move.to):
        if now_ns < state.guard_until_unix_ns:
            move = None
        elif not seen.may_return:
            held = _withdrawn(group, state, seen, used, stray)
            return held._replace(waiting=move.reason)
    if move is None:
        return _withdrawn(group, state, seen, used, stray)
    if attempt is None or _is_replaced(group, seen, attempt, move, now_ns):
        return _begun(group, state, seen, now_ns, move)
    if attempt.stage == "proposed" and group.mode == "advise" and seen.approved == attempt.generation:
        return _approved(group, state, seen, now_ns, attempt)
    return Orders(state)


def is_under_way(group: Group, state: GroupState, seen: Seen) -> bool:
    """Whether something was ordered of which something may still come."""
    attempt = state.attempt
    return attempt is not None and attempt.stage in ("ordered", "applied") and _is_usable(group, seen, attempt.to)


def _is_replaced(group: Group, seen: Seen, attempt: Attempt, move: Move, now_ns: int) -> bool:
    """Whether what is under way gives way to this move."""
    if attempt.stage == "proposed":
        waits_for_ever = group.mode == "observe"
        return (
            attempt.to != move.to
            or attempt.reason != move.reason
            or _stage(group, move) != "proposed"
            or waits_for_ever != (not attempt.due_unix_ns)
            or 0 < attempt.due_unix_ns <= now_ns
        )
    if attempt.to == move.to:
        return move.reason == "forced" != attempt.reason
    if attempt.stage == "refused" or move.reason in ("forced", "manual"):
        return True
    return not _is_usable(group, seen, attempt.to)


def _is_usable(group: Group, seen: Seen, line_id: str) -> bool:
    """Whether a line that a group is on its way to may still be gone to; being nowhere is always possible."""
    if line_id == SHED:
        return True
    if line_id in seen.locked or not targets.is_line_of(group, line_id):
        return False
    return health(group, seen.sights.get(line_id)) != "down"


def _stage(group: Group, move: Move) -> Literal["proposed", "ordered"]:
    """Whether a move is ordered, or has to be approved: an operator's own word needs no approval, and where netmon only observes nothing moves."""
    if group.mode == "act" or (group.mode == "advise" and move.reason in ("forced", "manual")):
        return "ordered"
    return "proposed"


def _begun(group: Group, state: GroupState, seen: Seen, now_ns: int, move: Move) -> Orders:
    """A new attempt, with a generation of its own."""
    stage = _stage(group, move)
    if stage == "ordered":
        due_ns = now_ns + timers.ns(group.timers.verify_s) if seen.reachable else 0
    else:
        due_ns = now_ns + timers.ns(group.timers.approval_s) if group.mode == "advise" else 0
    attempt = Attempt(
        generation=state.generation + 1,
        to=move.to,
        reason=move.reason,
        began_unix_ns=now_ns,
        stage=stage,
        due_unix_ns=due_ns,
    )
    action = _action(state, attempt, urgent=move.urgent)
    return Orders(replace(state, attempt=attempt, generation=attempt.generation), (action,))


def _approved(group: Group, state: GroupState, seen: Seen, now_ns: int, attempt: Attempt) -> Orders:
    """An attempt that somebody has approved is ordered, under the generation that he has read."""
    due_ns = now_ns + timers.ns(group.timers.verify_s) if seen.reachable else 0
    attempt = replace(attempt, stage="ordered", began_unix_ns=now_ns, due_unix_ns=due_ns)
    return Orders(replace(state, attempt=attempt), (_action(state, attempt, urgent=True),))


def _action(state: GroupState, attempt: Attempt, *, urgent: bool) -> Action:
    """What asks for an attempt."""
    return Action(
        kind="switch" if attempt.stage == "ordered" else "propose",
        group_id=state.group_id,
        generation=attempt.generation,
        to=attempt.to,
        before=state.on,
        reason=attempt.reason,
        urgent=urgent,
        forced=attempt.reason == "forced",
    )


def _withdrawn(group: Group, state: GroupState, seen: Seen, used: Health, stray: bool) -> Orders:
    """What becomes of an attempt that is wanted no longer.

    A proposal is dropped. An order that is being carried out is let finish: it ends soon, and to turn back half-way helps nobody. One that
    nobody has answered, or that nobody can be told, is taken back; but not if the line that is used has failed: anything may be better.
    """
    attempt = state.attempt
    if attempt is not None:
        if attempt.stage == "proposed":
            return Orders(replace(state, attempt=None))
        if (seen.reachable or used == "down") and is_under_way(group, state, seen):
            return Orders(state)
        state = replace(state, attempt=None)
    elif not stray:
        return Orders(state)
    if used == "down":
        return Orders(state)
    generation = state.generation + 1
    stays = Action(kind="abandon", group_id=state.group_id, generation=generation, to=state.on, before=state.on)
    return Orders(replace(state, generation=generation), (stays,))
