"""Where a group may go from where it is: out of a line, onto a better one, home.

Pure. Which protection lines may be used at all, and in which order, has been decided before (`Seen.candidates`); here the working line is put
among them, and what has just failed is left out. A line that this group calls failed is never returned, whatever the candidates say.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from netmon.failover.model import Candidate, Group, GroupState, LineSight, Seen, SwitchReason
from netmon.failover.protection import timers

Health = Literal["up", "degraded", "down", "unknown"]
"""How a line is for one group: down is its SF, degraded its SD; unknown is neither, and moves nothing."""

BETTER_SHARE: Final = 0.7
"""A line is left for being degraded only if another has at most so much of what fails there: 30 % better."""


class Rival(NamedTuple):
    """A protection line that is better than the one that is used."""

    line_id: str
    reason: SwitchReason


def health(group: Group, sight: LineSight | None) -> Health:
    """How a line is for this group: one that is one-way has failed for a class that needs both ways, and is degraded for others."""
    if sight is None or sight.state == "unknown":
        return "unknown"
    if sight.state == "down" or (sight.one_way and group.both_ways):
        return "down"
    return "degraded" if sight.one_way else sight.state


def is_line_of(group: Group, line_id: str) -> bool:
    """Whether the group is configured to use it."""
    return line_id == group.working or line_id in group.protections


def is_good_to_return(group: Group, used: Health, working: Health) -> bool:
    """Whether the working line is good enough to come home to.

    Up; or degraded, for a class that does not mind, from a line that is not up either. So nothing leaves a good line for one that is not.
    """
    return working == "up" or (working == "degraded" and not group.moves_on_sd and used != "up")


def way_out(group: Group, state: GroupState, seen: Seen, now_ns: int) -> str | None:
    """The line to go to if the one that is used has to be left, or if it is nowhere; None: there is none.

    The working line first, if it is up and has not failed often; then the protection lines; then the working line all the same.
    """
    working = group.working
    at_home = health(group, seen.sights.get(working))
    may_home = (
        state.on != working
        and at_home in ("up", "degraded")
        and seen.working_fits
        and working not in state.tried
        and working not in seen.locked
    )
    if may_home and at_home == "up" and not timers.is_damped(group.damping, state, now_ns):
        return working
    for candidate in seen.candidates:
        if _is_open(group, state.on, seen, candidate, state.tried):
            return candidate.line_id
    return working if may_home else None


def exercised(group: Group, state: GroupState, seen: Seen, line_id: str) -> str | None:
    """The line that an exercise would switch to: the named one, or the best one; None: it may not be used now, or there is none."""
    fit = [
        candidate.line_id for candidate in seen.candidates if _is_open(group, state.on, seen, candidate, state.tried)
    ]
    if line_id:
        return line_id if line_id in fit else None
    return fit[0] if fit else None


def better(group: Group, on: str, seen: Seen, tried: tuple[str, ...] = ()) -> str | None:
    """The protection line to leave a degraded line for: up, and clearly better at what fails there; None: there is none."""
    used = seen.sights.get(on)
    for candidate in seen.candidates:
        if _is_open(group, on, seen, candidate, tried) and _is_clearly_better(group, seen, candidate, used):
            return candidate.line_id
    return None


def rivals(group: Group, state: GroupState, seen: Seen) -> list[Rival]:
    """Protection lines that are better than the one that is used, by a whole rank or because that one is degraded; the best first."""
    used = seen.sights.get(state.on)
    minds = group.moves_on_sd and health(group, used) == "degraded"
    if not minds and (not seen.candidates or seen.candidates[0].line_id == state.on):
        return []
    rank = next((candidate.rank for candidate in seen.candidates if candidate.line_id == state.on), None)
    found = []
    for candidate in seen.candidates:
        line_id = candidate.line_id
        if (
            not _is_open(group, state.on, seen, candidate, state.tried)
            or health(group, seen.sights.get(line_id)) != "up"
        ):
            continue
        if minds and _is_clearly_better(group, seen, candidate, used):
            found.append(Rival(line_id, "signal_degrade"))
        elif rank is not None and candidate.rank < rank:
            found.append(Rival(line_id, "better"))
    return found


def _is_open(group: Group, on: str, seen: Seen, candidate: Candidate, tried: tuple[str, ...]) -> bool:
    """Whether a candidate is another line of the group, not tried in this round, not locked out, and has not failed."""
    line_id = candidate.line_id
    return (
        line_id != on
        and line_id in group.protections
        and line_id not in tried
        and line_id not in seen.locked
        and health(group, seen.sights.get(line_id)) in ("up", "degraded")
    )


def _is_clearly_better(group: Group, seen: Seen, candidate: Candidate, used: LineSight | None) -> bool:
    """Whether a candidate is up, and has at most BETTER_SHARE of the loss or round trip for which the line that is used is degraded.

    What is not measured is not better. A line that is degraded for neither (vantages disagree) is left for any that is up.
    """
    sight = seen.sights.get(candidate.line_id)
    if sight is None or used is None or health(group, sight) != "up":
        return False
    match used.reason:
        case "loss":
            here, there = used.loss, sight.loss
        case "round_trip":
            here, there = used.rtt_s, sight.rtt_s
        case _:
            return True
    return here is not None and there is not None and there <= BETTER_SHARE * here
