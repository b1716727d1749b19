"""How long a group waits: its timers in nanoseconds, and the damping of its return.

Pure. Hold-off after ITU-T G.8031 clause 11.12 (steps of 100 ms), damping after RFC 2439 section 4.2: a penalty for each failure, halved with
each half-life. Only the return is damped; an escape never waits.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from netmon.failover.model import Attempt, Damping, Group, GroupState, Timers

NS_PER_S: Final = 1_000_000_000
HOLD_OFF_STEP_NS: Final = 100_000_000
HOLD_OFF_MAX_NS: Final = 10 * NS_PER_S
RETRY_MAX_NS: Final = 60 * NS_PER_S
LOCKOUT_AGE_NS: Final = 4 * 3600 * NS_PER_S
"""A group that is locked out has no protection: people are reminded so often."""

_MOMENTS: Final = (
    "since_unix_ns", "on_unix_ns", "due_unix_ns", "restore_unix_ns", "left_unix_ns", "guard_until_unix_ns", "penalty_unix_ns", "suppressed_unix_ns",
    "rival_unix_ns",
)  # fmt: skip


def ns(seconds: float) -> int:
    """Seconds as nanoseconds."""
    return round(seconds * NS_PER_S)


def hold_off_ns(timers: Timers) -> int:
    """From SF to the switch: the nearest step of 100 ms, 10 s at most."""
    return min(round(timers.hold_off_s * 10) * HOLD_OFF_STEP_NS, HOLD_OFF_MAX_NS)


def retry_max_ns(timers: Timers) -> int:
    """The longest time between two rounds of attempts."""
    return max(RETRY_MAX_NS, ns(timers.retry_s))


def retry_ns(timers: Timers, rounds: int) -> int:
    """After the given number of rounds (from 1) in which every candidate failed: doubled with each, up to a minute or the timer itself."""
    return min(ns(timers.retry_s) << min(max(rounds - 1, 0), 16), retry_max_ns(timers))


def penalty(damping: Damping, state: GroupState, now_ns: int) -> float:
    """What failures of the working line have left of their penalties by now."""
    age_ns = now_ns - state.penalty_unix_ns
    if not state.penalty or age_ns <= 0:
        return state.penalty
    return float(state.penalty * 2.0 ** (-age_ns / ns(damping.half_life_s)))


def penalty_max(damping: Damping) -> float:
    """More than this is never counted: from here it takes `suppress_max_s` to decay to `reuse` (RFC 2439 section 4.2, the ceiling)."""
    return float(damping.reuse * 2.0 ** min(damping.suppress_max_s / damping.half_life_s, 64.0))


def damped_until_ns(damping: Damping, state: GroupState) -> int:
    """When the return is suppressed no longer, unless the line fails again; 0: it is not suppressed.

    When the penalty has decayed to `reuse`: `suppress_max_s` after the last failure at the latest.
    """
    if not state.suppressed_unix_ns:
        return 0
    if state.penalty <= damping.reuse:
        return state.penalty_unix_ns
    decay_s = damping.half_life_s * math.log2(state.penalty / damping.reuse)
    return state.penalty_unix_ns + ns(min(decay_s, damping.suppress_max_s))


def is_damped(damping: Damping, state: GroupState, now_ns: int) -> bool:
    """Whether the working line has failed too often lately to return to."""
    return bool(state.suppressed_unix_ns) and now_ns < damped_until_ns(damping, state)


def punished(damping: Damping, state: GroupState, now_ns: int) -> GroupState:
    """The same group after one more SF of its working line."""
    total = min(penalty(damping, state, now_ns) + damping.penalty, penalty_max(damping))
    since_ns = state.suppressed_unix_ns if is_damped(damping, state, now_ns) else 0
    return msgspec.structs.replace(
        state,
        working_failed=True,
        penalty=total,
        penalty_unix_ns=now_ns,
        suppressed_unix_ns=since_ns or (now_ns if total >= damping.suppress else 0),
    )


def in_time(group: Group, state: GroupState, now_ns: int) -> GroupState:
    """The same state on a clock that may have gone back: no timer runs for longer than if it began now.

    A timer is kept as the time when it runs out. If the clock goes back by an hour, that would be an hour too late.
    """
    changes: dict[str, Any] = {}
    if state.due_unix_ns > now_ns:
        late_ns = max(state.since_unix_ns - now_ns, 0)
        changes["due_unix_ns"] = min(state.due_unix_ns - late_ns, now_ns + _longest_ns(group, state))
    if state.since_unix_ns > now_ns:
        changes["since_unix_ns"] = now_ns
    if state.on_unix_ns > now_ns:
        changes["on_unix_ns"] = now_ns
    if state.left_unix_ns > now_ns:
        changes["left_unix_ns"] = now_ns
    if state.restore_unix_ns > now_ns:
        changes["restore_unix_ns"] = min(state.restore_unix_ns, now_ns + _wait_max_ns(group))
    if state.guard_until_unix_ns > now_ns:
        changes["guard_until_unix_ns"] = min(state.guard_until_unix_ns, now_ns + ns(group.timers.guard_s))
    if state.penalty_unix_ns > now_ns:
        changes["penalty_unix_ns"] = now_ns
    if state.suppressed_unix_ns > now_ns:
        changes["suppressed_unix_ns"] = now_ns
    if state.rival_unix_ns > now_ns:
        changes["rival_unix_ns"] = now_ns
    if state.attempt is not None:
        changes["attempt"] = _attempt_in_time(group.timers, state.attempt, now_ns)
    if not changes or all(getattr(state, name) == value for name, value in changes.items()):
        return state
    return msgspec.structs.replace(state, **changes)


def shifted(state: GroupState, by_ns: int) -> GroupState:
    """The same on a clock that was set by so much, so that no timer runs out by it; 0 is no moment."""
    moments = {name: at_ns + by_ns for name in _MOMENTS if (at_ns := getattr(state, name))}
    attempt = state.attempt
    if attempt is not None:
        due_ns = attempt.due_unix_ns + by_ns if attempt.due_unix_ns else 0
        attempt = msgspec.structs.replace(attempt, began_unix_ns=attempt.began_unix_ns + by_ns, due_unix_ns=due_ns)
    return msgspec.structs.replace(state, attempt=attempt, **moments)


def _attempt_in_time(timers: Timers, attempt: Attempt, now_ns: int) -> Attempt:
    """The same for an attempt."""
    began_ns = min(attempt.began_unix_ns, now_ns)
    due_ns = attempt.due_unix_ns
    if due_ns > now_ns:
        due_ns -= attempt.began_unix_ns - began_ns
        due_ns = min(due_ns, now_ns + _patience_ns(timers, attempt))
    if (began_ns, due_ns) == (attempt.began_unix_ns, attempt.due_unix_ns):
        return attempt
    return msgspec.structs.replace(attempt, began_unix_ns=began_ns, due_unix_ns=due_ns)


def _longest_ns(group: Group, state: GroupState) -> int:
    """How long the timer of the phase may run."""
    timers = group.timers
    match state.phase:
        case "SF_PENDING":
            return hold_off_ns(timers)
        case "WTR":
            return _wait_max_ns(group)
        case "LO":
            return LOCKOUT_AGE_NS
        case _:
            return retry_max_ns(timers)


def _wait_max_ns(group: Group) -> int:
    """How long a return may be waited for."""
    timers = group.timers
    return max(ns(max(timers.wtr_s, timers.wtb_s, group.damping.suppress_max_s)), retry_max_ns(timers))


def _patience_ns(timers: Timers, attempt: Attempt) -> int:
    """How long an attempt may be waited for."""
    match attempt.stage:
        case "proposed":
            return ns(timers.approval_s)
        case "refused":
            return retry_max_ns(timers)
        case _:
            return ns(timers.verify_s + attempt.delay_s)
