"""The protection state machine: what one group does next.

Pure. After ITU-T G.8031 clause 11: the condition of the greatest weight decides, and what a phase makes of it stands in one table. It is
level-triggered: each step compares what is with what should be, so that whatever message was lost, the next step puts it right. Stepping
again at the same time with the same view changes nothing and asks for nothing.

A step has three parts: what has become of what was under way (`progress`), what should be (the table and its responses below), and what has
to be ordered so that it comes to be (`orders`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from netmon.failover.model import PHASES, SHED, Action, Group, GroupState, Phase, Seen, Step, SwitchReason
from netmon.failover.protection import orders, progress, targets, timers
from netmon.failover.protection.orders import Move
from netmon.failover.protection.requests import Condition, condition
from netmon.failover.protection.targets import Health, health

replace = msgspec.structs.replace

Response = Literal[
    "rest",  # NR: nothing to be done
    "lock",  # LO: nothing is ordered
    "force",  # FS: to the operator's line
    "freeze",  # FROZEN: nothing is ordered
    "wait",  # SF_PENDING: hold-off, then as `escape`
    "await",  # SF_PENDING: SF has gone before hold-off was over; at its end it is looked again
    "escape",  # SF_PENDING: to the next line; NO_BACKUP if there is none
    "yield",  # PROTECTING: to another line or nowhere, to make room
    "leave",  # phase stays: to another line if there is one
    "admit",  # PROTECTING: to a line that has room again
    "improve",  # NR: to a clearly better line; DEGRADED when it is there
    "manual",  # MS: to the operator's line
    "protect",  # PROTECTING: stays, or goes to a rival that has been better for long enough
    "endure",  # DEGRADED: the same
    "persist",  # NO_BACKUP: nothing is known, nothing moves
    "stay",  # DNR: until an operator says so
    "exercise",  # EXER: everything but the switch
    "restore",  # WTR, or DNR if the group is not revertive: waits, then goes home
    "unblock",  # the same, with the shorter wait after a command
]

_ROWS: Final[dict[Condition, str]] = {
    #                   NR       SF_PENDING PROTECTING DEGRADED WTR      DNR      FS       MS       LO       EXER     NO_BACKUP FROZEN
    "lockout":          "lock     lock       lock       lock     lock     lock     lock     lock     lock     lock     lock      lock",
    "forced":           "force    force      force      force    force    force    force    force    force    force    force     force",
    "frozen":           "freeze   freeze     freeze     freeze   freeze   freeze   freeze   freeze   freeze   freeze   freeze    freeze",
    "used_failed":      "wait     wait       wait       wait     wait     wait     wait     wait     escape   wait     escape    escape",
    "shed":             "admit    admit      admit      admit    admit    admit    admit    admit    admit    admit    admit     admit",
    "evicted":          "yield    yield      yield      yield    yield    yield    yield    yield    yield    yield    yield     yield",
    "barred":           "leave    leave      leave      leave    leave    leave    leave    leave    leave    leave    leave     leave",
    "used_degraded":    "improve  await      improve    improve  improve  improve  improve  improve  improve  improve  improve   improve",
    "manual":           "manual   await      manual     manual   manual   manual   manual   manual   manual   manual   manual    manual",
    "working_failed":   "protect  await      protect    protect  protect  protect  protect  protect  protect  protect  protect   protect",
    "working_unknown":  "protect  await      protect    endure   protect  stay     protect  protect  protect  protect  persist   protect",
    "working_degraded": "endure   await      endure     endure   endure   stay     endure   endure   endure   endure   endure    endure",
    "exercise":         "exercise await      exercise   exercise exercise exercise exercise exercise exercise exercise exercise  exercise",
    "working_good":     "restore  await      restore    restore  restore  stay     unblock  unblock  restore  restore  restore   restore",
    "home":             "rest     await      rest       rest     rest     rest     rest     rest     rest     rest     rest      rest",
}  # fmt: skip

TABLE: Final[dict[tuple[Phase, Condition], Response]] = {
    (phase, given): response  # type: ignore[misc]
    for given, row in _ROWS.items()
    for phase, response in zip(PHASES, row.split(), strict=True)
}


class Case(NamedTuple):
    """One step, once what was under way has been settled."""

    group: Group
    state: GroupState
    seen: Seen
    now_ns: int
    used: Health
    """How the line is that it uses; unknown where it is nowhere."""
    given: Condition
    """What decides it."""


class Outcome(NamedTuple):
    """What a response makes of a case."""

    state: GroupState
    move: Move | None = None
    """What should be ordered, if it is not under way yet."""
    pages: tuple[Action, ...] = ()


def initial(group: Group, now_ns: int) -> GroupState:
    """A group of which nothing is known: it is thought to be on its working line, until something is reported."""
    return GroupState(group_id=group.id, on=group.working, since_unix_ns=now_ns, on_unix_ns=now_ns)


def step(group: Group, state: GroupState, seen: Seen, now_ns: int) -> Step:
    """What a group makes of what is seen now.

    An escape from a line that has failed waits for its hold-off and for nothing else: neither guard, WTR, damping nor `may_return`.

    Args:
        group: As configured; with the posture's timers, if it has changed them.
        state: What the step before has left, or `initial`; of another leader or another configuration, too.
        seen: The view. `result`, `approved` and `clear` are news, each given once; all else is how it is.
        now_ns: Since 1970 UTC; may have gone back since the step before.

    Returns:
        The state to keep (the same object, if nothing has changed); what to do, in this order; when to step again at the latest.
    """
    if _is_calm(group, state, seen, now_ns):
        return Step(state)
    working = health(group, seen.sights.get(group.working))
    now, pages, stray = progress.settled(group, state, seen, now_ns, working)
    used = health(group, seen.sights.get(now.on))
    given = condition(group, now, seen, used, working)
    case = Case(group, now, seen, now_ns, used, given)
    outcome = _RESPONSES[TABLE[now.phase, given]](case)
    after = _overruled(now, outcome.state, seen, given)
    after, actions, waiting = orders.ordered(group, after, seen, now_ns, used, outcome.move, stray)
    if after.tried and outcome.move is None and after.attempt is None and not after.due_unix_ns:
        after = progress.in_next_round(group, after, now_ns)
    guarded = after.on != group.working or used != "up"
    return Step(after, pages + outcome.pages + actions, _due(group, after, now_ns, guarded=guarded), waiting)


def _is_calm(group: Group, state: GroupState, seen: Seen, now_ns: int) -> bool:
    """Whether it is on its working line, which is up, and nobody wants anything: so it is with nearly all groups at nearly all times."""
    if state.phase != "NR" or state.on != group.working or state.attempt is not None or state.since_unix_ns > now_ns:
        return False
    if seen.request is not None or seen.frozen or seen.evicted or seen.locked or seen.clear:
        return False
    if state.working_failed or state.due_unix_ns or state.tried:
        return False
    if seen.reported is not None and seen.reported != state.on:
        return False
    sight = seen.sights.get(state.on)
    return sight is not None and sight.state == "up" and not sight.one_way


def _overruled(before: GroupState, after: GroupState, seen: Seen, given: Condition) -> GroupState:
    """The same state, with the command that it followed marked as over, if something of greater weight has taken its place.

    So is an exercise that cannot be done now: it does not happen later, when nobody thinks of it any more.
    """
    request = seen.request
    if request is not None and request.kind == "exercise" and given != "exercise":
        return after if after.void_request_id == request.id else replace(after, void_request_id=request.id)
    if before.phase not in ("FS", "MS", "EXER") or after.phase == before.phase or request is None:
        return after
    if request.id != before.request_id or request.id == after.request_id:
        return after
    return replace(after, void_request_id=request.id)


def _due(group: Group, state: GroupState, now_ns: int, *, guarded: bool) -> int:
    """When the next timer runs out; 0: none runs. The guard time is one where something may wait for its end."""
    due_ns = state.due_unix_ns
    if guarded and state.guard_until_unix_ns > now_ns:
        due_ns = min(due_ns or state.guard_until_unix_ns, state.guard_until_unix_ns)
    if state.attempt is not None and state.attempt.due_unix_ns:
        due_ns = min(due_ns or state.attempt.due_unix_ns, state.attempt.due_unix_ns)
    if state.rival:
        rival_ns = state.rival_unix_ns + timers.ns(group.timers.better_s)
        if rival_ns > now_ns:
            due_ns = min(due_ns or rival_ns, rival_ns)
    return due_ns


def _in(case: Case, phase: Phase, *, due_ns: int = 0, request_id: str = "") -> GroupState:
    """The state in a phase: as it is, if it was in it; else with nothing tried yet."""
    state = case.state
    if state.phase != phase:
        return replace(
            state,
            phase=phase,
            since_unix_ns=case.now_ns,
            due_unix_ns=due_ns,
            request_id=request_id,
            restore_unix_ns=0,
            tried=(),
            rounds=0,
            rival="",
            rival_unix_ns=0,
        )
    if state.request_id != request_id:
        return replace(state, request_id=request_id, due_unix_ns=0, tried=(), rounds=0)
    return state


def _page(case: Case, text: str, to: str = "") -> Action:
    """Tells people."""
    return Action(kind="page", group_id=case.group.id, to=to, before=case.state.on, text=text)


def _rest(case: Case) -> Outcome:
    return Outcome(_in(case, "NR"))


def _lock(case: Case) -> Outcome:
    due_ns = case.now_ns + timers.LOCKOUT_AGE_NS
    request = case.seen.request
    state = _in(case, "LO", due_ns=due_ns, request_id=request.id if request is not None else "")
    if state.due_unix_ns:
        return Outcome(state)
    aged = case.state.phase == "LO" and case.state.request_id == state.request_id
    return Outcome(replace(state, due_unix_ns=due_ns), pages=(_page(case, "lockout_age"),) if aged else ())


def _freeze(case: Case) -> Outcome:
    """Stays as it is; a wait to restore that runs goes on afterwards, if the working line stays good."""
    state = _in(case, "FROZEN")
    working = health(case.group, case.seen.sights.get(case.group.working))
    if case.state.phase == "WTR" and targets.is_good_to_return(case.group, case.used, working):
        state = replace(state, restore_unix_ns=case.state.due_unix_ns or case.now_ns)
    return Outcome(state)


def _command(case: Case, phase: Phase, reason: SwitchReason) -> Outcome:
    """To the line that an operator has named; after a failure not before the next round."""
    request = case.seen.request
    assert request is not None
    state = _in(case, phase, request_id=request.id)
    if state.on == request.line_id or state.due_unix_ns > case.now_ns:
        return Outcome(state)
    return Outcome(state, Move(request.line_id, reason, urgent=True))


def _force(case: Case) -> Outcome:
    return _command(case, "FS", "forced")


def _manual(case: Case) -> Outcome:
    return _command(case, "MS", "manual")


def _exercise(case: Case) -> Outcome:
    """Chooses and checks as if it had to leave its line, and tells what came of it, once; then it is over."""
    request = case.seen.request
    assert request is not None
    state = _in(case, "EXER", request_id=request.id)
    if case.state.phase == "EXER" and case.state.request_id == request.id:
        return Outcome(state)
    to = targets.exercised(case.group, state, case.seen, request.line_id)
    page = _page(case, "exercise_well", to) if to is not None else _page(case, "exercise_no_target", request.line_id)
    return Outcome(replace(state, void_request_id=request.id), pages=(replace(page, request=request),))


def _wait(case: Case) -> Outcome:
    """Hold-off: from the first sight of SF, whatever the line does meanwhile."""
    hold_ns = timers.hold_off_ns(case.group.timers)
    if case.state.phase != "SF_PENDING" and hold_ns:
        return Outcome(_in(case, "SF_PENDING", due_ns=case.now_ns + hold_ns))
    if case.state.due_unix_ns > case.now_ns and case.state.phase == "SF_PENDING":
        return Outcome(case.state)
    return _escape(case)


def _await(case: Case) -> Outcome:
    """SF has gone: until hold-off is over it may come back, and then it has lasted since it was first seen."""
    if case.state.due_unix_ns > case.now_ns:
        return Outcome(case.state)
    return _RESPONSES[TABLE["PROTECTING", case.given]](case)


def _escape(case: Case) -> Outcome:
    state = case.state if case.state.phase == "NO_BACKUP" else _in(case, "SF_PENDING")
    to = targets.way_out(case.group, state, case.seen, case.now_ns)
    if to is not None:
        return Outcome(state, Move(to, "verify_failed" if state.tried else "signal_fail", urgent=True))
    if orders.is_under_way(case.group, state, case.seen):
        return Outcome(state)
    return _no_backup(case, state)


def _no_backup(case: Case, state: GroupState) -> Outcome:
    """Stays where it is; a new round of attempts begins when the timer runs out, and any line that comes back is taken at once."""
    if state.phase == "NO_BACKUP" and state.due_unix_ns:
        return Outcome(state)
    state = progress.in_next_round(case.group, state, case.now_ns)
    if state.phase == "NO_BACKUP":
        return Outcome(state)
    return Outcome(replace(state, phase="NO_BACKUP", since_unix_ns=case.now_ns), pages=(_page(case, "no_backup"),))


def _yield(case: Case) -> Outcome:
    """Makes room for a class of greater weight: on another line, or else nowhere."""
    state = _in_use(case)
    to = targets.way_out(case.group, state, case.seen, case.now_ns)
    if to is None and SHED not in state.tried:
        to = SHED
    return Outcome(state, Move(to, "preempted", urgent=True) if to is not None else None)


def _in_use(case: Case) -> GroupState:
    """The state in the phase that tells which line is used, and no more."""
    return _in(case, "NR" if case.state.on == case.group.working else "PROTECTING")


def _leave(case: Case) -> Outcome:
    """Leaves a line that it should not be on, if there is another."""
    state = _in_use(case)
    to = targets.way_out(case.group, state, case.seen, case.now_ns)
    return Outcome(state, Move(to, "reconcile", urgent=state.on in case.seen.locked) if to is not None else None)


def _admit(case: Case) -> Outcome:
    """Takes the first line that has room again."""
    state = _in(case, "PROTECTING")
    to = targets.way_out(case.group, state, case.seen, case.now_ns)
    return Outcome(state, Move(to, "admitted") if to is not None else None)


def _improve(case: Case) -> Outcome:
    state = _in(case, "NR")
    to = targets.better(case.group, state.on, case.seen, state.tried)
    return Outcome(state, Move(to, "signal_degrade") if to is not None else None)


def _protect(case: Case) -> Outcome:
    return _watch(case, "PROTECTING")


def _endure(case: Case) -> Outcome:
    return _watch(case, "DEGRADED")


def _watch(case: Case, phase: Phase) -> Outcome:
    """On a protection line: looks whether another one is better, and has been for long enough."""
    if case.state.on == case.group.working:
        return _rest(case)
    state = _in(case, phase)
    found = targets.rivals(case.group, state, case.seen)
    rival = next((rival for rival in found if rival.line_id == state.rival), found[0] if found else None)
    if rival is None:
        return Outcome(replace(state, rival="", rival_unix_ns=0) if state.rival else state)
    if rival.line_id != state.rival:
        return Outcome(replace(state, rival=rival.line_id, rival_unix_ns=case.now_ns))
    if case.now_ns - state.rival_unix_ns < timers.ns(case.group.timers.better_s):
        return Outcome(state)
    return Outcome(state, Move(rival.line_id, rival.reason))


def _persist(case: Case) -> Outcome:
    return Outcome(case.state) if case.used == "unknown" else _protect(case)


def _stay(case: Case) -> Outcome:
    """Until an operator says so; or until the group is configured to be revertive."""
    if case.group.revertive and case.given == "working_good":
        return _restore(case)
    return Outcome(_in(case, "DNR"))


def _restore(case: Case) -> Outcome:
    """The working line is good: wait to restore. What comes just after a switch may be older than it."""
    if case.state.phase != "WTR" and case.now_ns < case.state.guard_until_unix_ns:
        return Outcome(_in(case, "PROTECTING"))
    state, sight = case.state, case.seen.sights.get(case.group.working)
    if state.restore_unix_ns and sight is not None and sight.since_unix_ns <= state.since_unix_ns:
        # It was frozen, and the line was good all the time.
        return _return(case, max(state.restore_unix_ns - case.now_ns, 0))
    return _return(case, timers.ns(case.group.timers.wtr_s))


def _unblock(case: Case) -> Outcome:
    """An operator has taken his command back: wait to block; or to restore, if the working line has come back since it was left, or before.

    A line that was used until the command has not come back because somebody looked at it for the first time just before.
    """
    group, now_ns = case.group, case.now_ns
    sight = case.seen.sights.get(group.working)
    if case.state.left_unix_ns and sight is not None and sight.since_unix_ns <= case.state.left_unix_ns:
        return _return(case, timers.ns(group.timers.wtb_s))
    good_ns = max(now_ns - sight.since_unix_ns, 0) if sight is not None else 0
    return _return(case, max(timers.ns(group.timers.wtb_s), timers.ns(group.timers.wtr_s) - good_ns))


def _return(case: Case, wait_ns: int) -> Outcome:
    """Goes home when the working line has been good for so long, is not damped, and has room."""
    group, now_ns = case.group, case.now_ns
    if case.state.phase != "WTR" and not group.revertive:
        return _stay(case)
    state = _in(case, "WTR", due_ns=now_ns + wait_ns if wait_ns else 0)
    sight = case.seen.sights.get(group.working)
    if sight is not None and state.since_unix_ns < sight.since_unix_ns <= now_ns:
        # It failed, and came back, while nobody stepped the group: the leader was away.
        good_at_ns = sight.since_unix_ns + timers.ns(group.timers.wtr_s)
        state = replace(state, due_unix_ns=good_at_ns if good_at_ns > now_ns else 0, since_unix_ns=now_ns)
    if state.due_unix_ns > now_ns:
        return Outcome(state)
    if timers.is_damped(group.damping, state, now_ns):
        return Outcome(replace(state, due_unix_ns=timers.damped_until_ns(group.damping, state)))
    if not case.seen.working_fits:
        return Outcome(state)
    reason: SwitchReason = "cleared" if state.reason in ("forced", "manual") else "revert"
    return Outcome(state, Move(group.working, reason))


_RESPONSES: Final[dict[Response, Callable[[Case], Outcome]]] = {
    "rest": _rest,
    "lock": _lock,
    "force": _force,
    "freeze": _freeze,
    "wait": _wait,
    "await": _await,
    "escape": _escape,
    "yield": _yield,
    "leave": _leave,
    "admit": _admit,
    "improve": _improve,
    "manual": _manual,
    "protect": _protect,
    "endure": _endure,
    "persist": _persist,
    "stay": _stay,
    "exercise": _exercise,
    "restore": _restore,
    "unblock": _unblock,
}
