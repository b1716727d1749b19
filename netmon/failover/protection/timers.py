"""How long a group waits: its timers in nanoseconds, and the damping of its return.

Pure. Hold-off after ITU-T G.8031 clause 11.12 (steps of 100 ms), damping after RFC 2439 section 4.2: a penalty for each failure, halved with
each half-life. Only the return is damped; an escape never waits.
"""

from __future__ import annotations

from typing import Final

from netmon.failover.model import Damping, GroupState, Timers

NS_PER_S: Final = 1_000_000_000
HOLD_OFF_STEP_NS: Final = 100_000_000
HOLD_OFF_MAX_NS: Final = 10 * NS_PER_S
RETRY_MAX_NS: Final = 60 * NS_PER_S
LOCKOUT_AGE_NS: Final = 4 * 3600 * NS_PER_S
"""A group that is locked out has no protection: people are reminded so often."""


def ns(seconds: float) -> int:
    """Seconds as nanoseconds."""
    return round(seconds * NS_PER_S)


def hold_off_ns(timers: Timers) -> int:
    """From SF to the switch: the nearest step of 100 ms, 10 s at most."""
    return min(round(timers.hold_off_s * 10) * HOLD_OFF_STEP_NS, HOLD_OFF_MAX_NS)


def retry_ns(timers: Timers, rounds: int) -> int:
    """After the given number of rounds (from 1) in which every candidate failed: doubled with each, up to a minute or the timer itself."""
    first = ns(timers.retry_s)
    return min(first << min(max(rounds - 1, 0), 16), max(RETRY_MAX_NS, first))


def penalty(damping: Damping, state: GroupState, now_ns: int) -> float:
    """What failures of the working line have left of their penalties by now."""
    age_ns = now_ns - state.penalty_unix_ns
    if not state.penalty or age_ns <= 0:
        return state.penalty
    return float(state.penalty * 2.0 ** (-age_ns / ns(damping.half_life_s)))


def penalty_max(damping: Damping) -> float:
    """More than this is never counted: from here it takes `suppress_max_s` to decay to `reuse` (RFC 2439 section 4.2, the ceiling)."""
    return float(damping.reuse * 2.0 ** min(damping.suppress_max_s / damping.half_life_s, 64.0))
