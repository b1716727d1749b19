"""What operators ask of a group, and what its lines ask: which of it has the greatest weight.

Pure. The order is that of ITU-T G.8031 clause 11.1: lockout, SF on the protection line that is used, forced switch, SF on the working line,
SD, manual switch, wait to restore, exercise, do not revert, no request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from netmon.failover.model import SHED, Group, GroupState, Request, RequestKind, Seen
from netmon.failover.protection import targets
from netmon.failover.protection.targets import Health, health

Condition = Literal[
    "lockout",  # LO of the group
    "forced",  # FS in force, and its line has not failed
    "frozen",  # fail static
    "used_failed",  # SF on the line that is used
    "shed",  # it is nowhere
    "evicted",  # it has to make room where it is
    "barred",  # the line that is used is locked out, or none of the group's
    "used_degraded",  # SD on the working line, which is used; the class minds, and another line is clearly better
    "manual",  # MS in force, and its line is healthy
    "working_failed",  # on a protection line; the working line has failed or is locked out
    "working_unknown",  # nobody knows how the working line is
    "working_degraded",  # on a protection line; the working line is not good enough to return to
    "exercise",  # EXER in force, and nothing else to be done
    "working_good",  # on a protection line; the working line is good
    "home",  # on the working line, and nothing to be done
]
"""What decides a step. The first in this order that holds."""
CONDITIONS: Final[tuple[Condition, ...]] = (
    "lockout", "forced", "frozen", "used_failed", "shed", "evicted", "barred", "used_degraded", "manual", "working_failed",
    "working_unknown", "working_degraded", "exercise", "working_good", "home",
)  # fmt: skip

_WEIGHTS: Final[dict[RequestKind, int]] = {"lockout": 3, "forced": 2, "manual": 1, "exercise": 0}


class InForce(NamedTuple):
    """What operators want of a group now."""

    request: Request | None
    """Of the greatest weight; for `Seen.request`."""
    locked: frozenset[str]
    """Lines locked out one by one; for `Seen.locked`."""


def strongest(asked: Iterable[Request], now_ns: int) -> InForce:
    """Of all requests for one group those in force, weighed.

    Of equal weight the newest stands, by `unix_ns`, then by ID, so that the order given does not matter.
    """
    best: Request | None = None
    locked: set[str] = set()
    for request in asked:
        if request.until_unix_ns <= now_ns:
            continue
        if request.kind == "lockout" and request.line_id:
            locked.add(request.line_id)
        elif best is None or _weight(request) > _weight(best):
            best = request
    return InForce(best, frozenset(locked))


def _weight(request: Request) -> tuple[int, int, str]:
    """A total order over requests."""
    return _WEIGHTS[request.kind], request.unix_ns, request.id


def outweighs(request: Request, other: Request) -> bool:
    """Whether a request is of greater weight than another one of its group, so that the two cannot stand beside each other.

    A lockout of one line stands beside everything but a switch to that line, or its exercise.
    """
    if request.kind == "lockout" and request.line_id:
        return other.kind != "lockout" and other.line_id == request.line_id
    if other.kind == "lockout" and other.line_id:
        return False
    return _WEIGHTS[request.kind] > _WEIGHTS[other.kind]


def replaces(request: Request, other: Request) -> bool:
    """Whether a newer request of its group takes the place of an older one: of the same kind, or of less weight."""
    is_same = request.kind == other.kind and (request.kind != "lockout" or request.line_id == other.line_id)
    return is_same or outweighs(request, other)


def condition(group: Group, state: GroupState, seen: Seen, used: Health, working: Health) -> Condition:
    """What has the greatest weight now.

    Args:
        group: As configured.
        state: Where it stands.
        seen: The view.
        used: How the line is that it uses; `unknown` where it is nowhere.
        working: How its working line is.
    """
    request = seen.request
    if request is not None:
        if request.kind == "lockout":
            return "lockout"
        # Who has gone there in vain must not stay on a dead line because of it.
        in_vain = used == "down" and state.request_id == request.id and request.line_id in state.tried
        if request.kind == "forced" and not in_vain and _is_followed(group, state, seen, request):
            return "forced"
    if seen.frozen:
        return "frozen"
    if used == "down":
        return "used_failed"
    if state.on == SHED:
        return "shed"
    if seen.evicted:
        return "evicted"
    if state.on in seen.locked or (state.on != group.working and state.on not in group.protections):
        return "barred"
    if used == "degraded" and group.moves_on_sd and state.on == group.working and targets.better(group, state.on, seen):
        return "used_degraded"
    if request is not None and request.kind == "manual" and _is_followed(group, state, seen, request):
        return "manual"
    return _quiet(group, state, seen, used, working)


def _quiet(group: Group, state: GroupState, seen: Seen, used: Health, working: Health) -> Condition:
    """What is left when no line that is used asks for anything, and no operator for a switch."""
    if working == "unknown":
        return "working_unknown"
    if state.on != group.working:
        if working == "down" or group.working in seen.locked:
            return "working_failed"
        if not targets.is_good_to_return(group, used, working):
            return "working_degraded"
    request = seen.request
    at_rest = state.on == group.working or not group.revertive
    if request is not None and request.kind == "exercise" and at_rest:
        has_told = state.phase == "EXER" and state.request_id == request.id
        if has_told or _is_followed(group, state, seen, request):
            return "exercise"
    return "home" if state.on == group.working else "working_good"


def is_overruled(group: Group, seen: Seen, request: Request, used: Health, working: Health) -> bool:
    """Whether SF has ended an operator's command: that of its line a forced switch, any that concerns the group a manual one.

    A command that was overruled is over (G.8031 clause 11.1): it does not come back when the line does.
    """
    if request.kind not in ("forced", "manual"):
        return False
    if health(group, seen.sights.get(request.line_id)) == "down":
        return True
    return request.kind == "manual" and "down" in (used, working)


def _is_followed(group: Group, state: GroupState, seen: Seen, request: Request) -> bool:
    """Whether a command is obeyed: a forced switch even to a line of which nothing is known, a manual one only to a healthy line with room."""
    line_id = request.line_id
    if request.id == state.void_request_id:
        return False
    if request.kind == "exercise":
        return seen.posture == "normal"
    if not targets.is_line_of(group, line_id) or line_id in seen.locked:
        return False
    at_target = health(group, seen.sights.get(line_id))
    if request.kind == "forced" or line_id == state.on:
        return at_target != "down"
    if at_target != "up":
        return False
    return seen.working_fits if line_id == group.working else any(line_id == c.line_id for c in seen.candidates)


def refusal(group: Group, state: GroupState, seen: Seen, request: Request, now_ns: int, *, crowded: str = "") -> str:
    """Why a command cannot be obeyed as things stand, as a sentence for who gives it; empty: it can. A lockout always can.

    Args:
        group: As configured.
        state: Where it stands.
        seen: The view.
        request: What is asked for.
        now_ns: Since 1970 UTC.
        crowded: What to say if its line has no room unless others leave; empty: it has.
    """
    if request.until_unix_ns <= now_ns:
        return "it ends before it begins: give a later end"
    if request.line_id and not targets.is_line_of(group, request.line_id):
        return f"{request.line_id} is no line of {group.id}: it has {', '.join((group.working, *group.protections))}"
    if request.kind == "lockout":
        return ""
    if request.kind == "exercise":
        return _restless(group, state, seen, request)
    if not request.line_id:
        return "name the line to switch to"
    if group.mode == "observe":
        return f"{group.id} is only observed (mode: observe): netmon moves nothing there"
    if request.line_id in seen.locked:
        return f"{request.line_id} is locked out: clear that first"
    return _unfit(group, state, seen, request, crowded)


def _restless(group: Group, state: GroupState, seen: Seen, request: Request) -> str:
    """Why a group cannot be exercised now; empty: it can."""
    if seen.posture != "normal":
        return f"posture is {seen.posture}: exercises are for calm days"
    if seen.frozen:
        return "the region is frozen: exercises are for calm days"
    if state.attempt is not None:
        return f"{group.id} is on its way to {state.attempt.to or 'nowhere'}: only a group at rest is exercised"
    used, working = health(group, seen.sights.get(state.on)), health(group, seen.sights.get(group.working))
    now = seen._replace(request=request)
    if condition(group, state, now, used, working) == "exercise" and state.phase != "SF_PENDING":
        return ""
    where = f"on {state.on}, which is {used}" if state.on != SHED else "nowhere"
    home = f", and {group.working} is {working}" if state.on != group.working else ""
    return f"{group.id} is in {state.phase}, {where}{home}: only a group at rest is exercised"


def _unfit(group: Group, state: GroupState, seen: Seen, request: Request, crowded: str) -> str:
    """Why the line of a forced or manual switch will not do; empty: it will."""
    line_id = request.line_id
    at_target = health(group, seen.sights.get(line_id))
    if at_target == "down":
        return f"{line_id} has failed: there is nothing to be gained"
    if request.kind == "forced":
        return ""
    if at_target != "up":
        return f"{line_id} is {at_target}: a manual switch needs a healthy line, a forced one does not"
    if health(group, seen.sights.get(group.working)) == "down":
        return f"{group.working} has failed, which overrules a manual switch: use a forced one"
    if seen.frozen:
        return "the region is frozen: a forced switch is done all the same"
    if health(group, seen.sights.get(state.on)) == "down":
        return f"{state.on} has failed, which overrules a manual switch: use a forced one"
    if crowded and line_id != state.on:
        return f"{crowded}: a forced switch goes there all the same"
    fits = seen.working_fits if line_id == group.working else any(line_id == c.line_id for c in seen.candidates)
    return "" if fits else f"{line_id} is not proven or has no room now: a forced switch goes there all the same"
