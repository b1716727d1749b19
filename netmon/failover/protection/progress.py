"""What has become of what was under way: answers of the actuator, time that has passed, where the gateway says that it is.

Pure. It comes before the decision of a step: the same decision then follows from what is, whether the answer came, was lost, or was given to
a leader of before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from netmon.failover.model import Action, ActionResult, Attempt, Group, GroupState, LineSight, Phase, Seen, SwitchReason
from netmon.failover.protection import requests, targets, timers
from netmon.failover.protection.targets import Health, health

replace = msgspec.structs.replace


_KEEPS_ROUND: Final[frozenset[Phase]] = frozenset({"SF_PENDING", "WTR", "LO"})
"""Phases whose timer is not that between two rounds of attempts."""


class Settled(NamedTuple):
    """A group before it is decided what should be."""

    state: GroupState
    pages: tuple[Action, ...] = ()
    stray: bool = False
    """An order is out that nobody has answered in time: it has to be taken back, if no other follows."""


def settled(group: Group, state: GroupState, seen: Seen, now_ns: int, working: Health) -> Settled:
    """The group as it is now, with all that was told since the step before, and with the timers that have run out.

    Args:
        group: As configured.
        state: As the step before left it.
        seen: The view.
        now_ns: Since 1970 UTC.
        working: How its working line is.
    """
    state = timers.in_time(group, state, now_ns)
    if working == "down" and not state.working_failed:
        state = timers.punished(group.damping, state, now_ns)
    elif state.working_failed and working in ("up", "degraded"):
        state = replace(state, working_failed=False)
    pages: tuple[Action, ...] = ()
    stray = False
    if state.attempt is not None:
        state, pages, stray = _attempted(group, state, state.attempt, seen, now_ns)
    if seen.reported is not None and seen.reported != state.on:
        state = _adopted(group, state, seen.reported, now_ns)
    if 0 < state.due_unix_ns <= now_ns:
        state = _run_out(state)
    if seen.clear:
        state = _cleared(state)
    state = _of_working_line(group, state, seen, working)
    request = seen.request
    if request is not None and request.id != state.void_request_id:
        used = health(group, seen.sights.get(state.on))
        if requests.is_overruled(group, seen, request, used, working):
            state = replace(state, void_request_id=request.id)
    return Settled(state, pages, stray)


def _of_working_line(group: Group, state: GroupState, seen: Seen, working: Health) -> GroupState:
    """The group without what holds only while its working line is good."""
    if state.left_unix_ns and working not in ("up", "degraded"):
        state = replace(state, left_unix_ns=0)
    if state.restore_unix_ns:
        used = health(group, seen.sights.get(state.on))
        if not targets.is_good_to_return(group, used, working):
            state = replace(state, restore_unix_ns=0)
    return state


def left_out(
    group: Group, state: GroupState, sights: Mapping[str, LineSight], now_ns: int, result: ActionResult | None
) -> tuple[str, ...]:
    """The lines that a step at this time leaves out, because they were tried in vain: whoever ranks candidates for it has to know beforehand.

    Not those of a round that is over, nor those that were tried for something less than an escape, if it has to escape now; but the one of
    which the step will learn that it has failed.

    Args:
        group: As configured.
        state: As the step before left it.
        sights: Of its lines.
        now_ns: When the step will be.
        result: News of its attempt.
    """
    if state.phase not in ("SF_PENDING", "NO_BACKUP") and health(group, sights.get(state.on)) == "down":
        is_over = True
    else:
        is_over = 0 < state.due_unix_ns <= now_ns and state.phase not in _KEEPS_ROUND
    tried = () if is_over else state.tried
    attempt = state.attempt
    if attempt is None or attempt.to in tried or not has_failed(attempt, now_ns, result):
        return tried
    return (*tried, attempt.to)


def has_failed(attempt: Attempt, now_ns: int, result: ActionResult | None) -> bool:
    """Whether a step at this time, with this news of the attempt, finds that it has come to nothing: answered so, or not in time."""
    if result is not None and result.generation == attempt.generation:
        return result.outcome == "failed" and attempt.stage != "proposed"
    return is_late(attempt, now_ns)


def is_late(attempt: Attempt, now_ns: int) -> bool:
    """Whether the answer to an order should have come by now."""
    return attempt.stage in ("ordered", "applied") and 0 < attempt.due_unix_ns <= now_ns


def _attempted(group: Group, state: GroupState, attempt: Attempt, seen: Seen, now_ns: int) -> Settled:
    """What has become of an attempt: answered, late, or still under way."""
    result = seen.result
    if attempt.stage == "proposed":
        return Settled(state)
    if result is not None and result.generation == attempt.generation and result.outcome != attempt.stage:
        return _answered(group, state, attempt, result, seen, now_ns)
    if not attempt.due_unix_ns:
        if not seen.reachable:
            return Settled(state)
        due_ns = now_ns + timers.ns(group.timers.verify_s)
        return Settled(replace(state, attempt=replace(attempt, due_unix_ns=due_ns)))
    if attempt.due_unix_ns > now_ns:
        return Settled(state)
    if attempt.stage == "refused":
        return Settled(replace(state, attempt=None))
    if not seen.reachable:
        return Settled(replace(state, attempt=replace(attempt, due_unix_ns=0)))
    if seen.reported == attempt.to:
        return Settled(_arrived(group, state, attempt.to, attempt.reason, now_ns))
    return Settled(_failed(group, state, attempt, now_ns), (_page(state, attempt),), stray=True)


def _answered(
    group: Group, state: GroupState, attempt: Attempt, result: ActionResult, seen: Seen, now_ns: int
) -> Settled:
    """What the actuator's answer makes of the group."""
    match result.outcome:
        case "applied":
            due_ns = attempt.due_unix_ns
            if due_ns <= now_ns or attempt.stage == "refused":
                due_ns = now_ns + timers.ns(group.timers.verify_s)
            return Settled(replace(state, attempt=replace(attempt, stage="applied", due_unix_ns=due_ns)))
        case "verified":
            on = attempt.to if result.on is None else result.on
            return Settled(_arrived(group, state, on, attempt.reason, now_ns))
        case "unreachable":
            due_ns = now_ns + timers.ns(group.timers.verify_s) if seen.reachable else 0
            return Settled(replace(state, attempt=replace(attempt, stage="ordered", due_unix_ns=due_ns)))
        case "refused":
            rounds = state.rounds + 1
            due_ns = now_ns + timers.retry_ns(group.timers, rounds)
            return Settled(replace(state, rounds=rounds, attempt=replace(attempt, stage="refused", due_unix_ns=due_ns)))
        case "failed":
            # A gateway may have to leave it on a line that did not carry it, if the former one is dead. That is not where it shall stay.
            if result.on is not None and result.on not in (attempt.to, state.on):
                state = replace(state, on=result.on, on_unix_ns=now_ns)
            return Settled(_failed(group, state, attempt, now_ns), (_page(state, attempt),))


def _arrived(group: Group, state: GroupState, on: str, reason: SwitchReason, now_ns: int) -> GroupState:
    """The group on its new line: what was tried is forgotten, and for the guard time nothing is concluded from how lines look."""
    by_operator = reason in ("forced", "manual") and on != group.working
    left_ns = now_ns if state.on == group.working else state.left_unix_ns
    return replace(
        state,
        on=on,
        on_unix_ns=state.on_unix_ns if on == state.on else now_ns,
        left_unix_ns=left_ns if by_operator else 0,
        restore_unix_ns=0,
        reason=reason,
        attempt=None,
        tried=(),
        rounds=0,
        due_unix_ns=state.due_unix_ns if state.phase in ("WTR", "LO") else 0,
        guard_until_unix_ns=now_ns + timers.ns(group.timers.guard_s),
        rival="",
        rival_unix_ns=0,
    )


def _failed(group: Group, state: GroupState, attempt: Attempt, now_ns: int) -> GroupState:
    """The group after an attempt that came to nothing: the next line is tried at once; where it is this one or none, it waits.

    A manual switch is over; a forced one and a return are tried again later.
    """
    tried = state.tried if attempt.to in state.tried else (*state.tried, attempt.to)
    # Where nothing is tried, there is no round.
    tried = () if state.phase in ("LO", "FROZEN") else tried
    state = replace(state, attempt=None, tried=tried, rival="", rival_unix_ns=0)
    if attempt.reason == "manual":
        state = replace(state, void_request_id=state.request_id)
    elif state.phase == "FS":
        state = in_next_round(group, state, now_ns)
    elif state.phase == "WTR":
        state = in_next_round(group, state, now_ns)
        wtr_ns = now_ns + timers.ns(group.timers.wtr_s)
        state = replace(state, due_unix_ns=max(state.due_unix_ns, wtr_ns))
    return state


def in_next_round(group: Group, state: GroupState, now_ns: int) -> GroupState:
    """The group with a timer at whose end a new round of attempts begins."""
    rounds = state.rounds + 1
    return replace(state, rounds=rounds, due_unix_ns=now_ns + timers.retry_ns(group.timers, rounds))


def _page(state: GroupState, attempt: Attempt) -> Action:
    """Tells people that a switch has failed."""
    return Action(
        kind="page",
        group_id=state.group_id,
        generation=attempt.generation,
        to=attempt.to,
        before=state.on,
        reason=attempt.reason,
        text="verify_failed",
    )


def _adopted(group: Group, state: GroupState, reported: str, now_ns: int) -> GroupState:
    """The group where its gateway has put it, unless an order is under way that will tell better."""
    attempt = state.attempt
    if attempt is not None and attempt.stage in ("ordered", "applied"):
        return state
    if attempt is not None and attempt.stage == "refused" and attempt.to == reported:
        return _arrived(group, state, reported, attempt.reason, now_ns)
    return _arrived(group, state, reported, "edge", now_ns)


def _run_out(state: GroupState) -> GroupState:
    """The group once the timer of its phase has run out: a new round of attempts begins, where it was that."""
    if state.phase in _KEEPS_ROUND:
        return replace(state, due_unix_ns=0)
    return replace(state, due_unix_ns=0, tried=())


def _cleared(state: GroupState) -> GroupState:
    """The group after an operator's clear: it waits for nothing any more, and what was held against its working line is forgotten."""
    phase = "WTR" if state.phase == "DNR" else state.phase
    due_ns = state.due_unix_ns if phase in ("SF_PENDING", "LO") else 0
    attempt = state.attempt
    return replace(
        state,
        phase=phase,
        attempt=None if attempt is not None and attempt.stage == "refused" else attempt,
        due_unix_ns=due_ns,
        tried=(),
        rounds=0,
        penalty=0.0,
        suppressed_unix_ns=0,
    )
