"""What was known when something was decided, in words for the audit; and all that the next decision on a group will look at, for `explain`.

Pure. Made only for what is done or asked about, never while a region is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from netmon.failover.model import SHED, Action, Freeze, GroupState, LineSight, Request
from netmon.failover.protection.admission import Loads
from netmon.failover.protection.choice import Chooser
from netmon.failover.region.asked import Asked
from netmon.failover.region.explain import Explanation, LineExplained, Refusal, Timer
from netmon.failover.region.member import Member
from netmon.failover.region.sights import Sights

TEXTS_MAX: Final = 12
"""Of one action; a group may have dozens of lines."""
RISKS_MAX: Final = 8
"""That one text names."""

_S: Final = 1_000_000_000


class Look(NamedTuple):
    """One group, and the region around it, at one time."""

    member: Member
    sights: Sights
    chooser: Chooser
    loads: Loads
    asked: Asked
    freeze: Freeze | None
    heard_ns: int
    now_ns: int

    def sight(self, line_id: str) -> LineSight:
        """How a line is for the group."""
        return self.sights.of(self.member.group.gateway_id)[line_id]

    def shared(self, line_id: str) -> tuple[str, ...]:
        """Risk groups that a line shares with what has failed, sorted."""
        group = self.member.effective
        return self.chooser.shared(group, line_id, self.sights.of(group.gateway_id))

    def refusal(self, line_id: str) -> Refusal:
        """Why the group cannot go to a line now."""
        group = self.member.effective
        return self.chooser.refusal(
            group,
            line_id,
            self.sights.of(group.gateway_id),
            self.now_ns,
            avoid=self.member.state.tried,
            locked=self.asked.in_force(group.id, self.now_ns).locked,
            posture=self.member.posture,
            has_room=self.has_room,
        )

    def has_room(self, line_id: str) -> bool:
        """Whether a line has room for the group, or would have if others left."""
        return self.loads.has_room(line_id, self.member.effective, evict=True)


# -- for the audit


def texts(action: Action, look: Look) -> tuple[str, ...]:
    """Why an action was decided; the most telling first, never empty."""
    found = []
    for text in _texts(action, look):
        found.append(text)
        if len(found) == TEXTS_MAX:
            break
    return tuple(found)


def _texts(action: Action, look: Look) -> Iterator[str]:
    group, state = look.member.group, look.member.state
    if (request := action.request or look.asked.in_force(group.id, look.now_ns).request) is not None:
        yield _request(request)
    if action.before == SHED:
        yield "it was nowhere: no line had room for it"
    else:
        yield _line(look, action.before)
    if action.kind != "page" and action.to == SHED:
        yield from _refusals(look, action.before)
    elif action.to not in {SHED, action.before}:
        yield _line(look, action.to)
        yield from _risks(look, action.to)
    elif action.kind == "page":
        yield from _refusals(look, action.before)
    if action.reason in {"forced", "manual"} and action.to != SHED and _is_overfull(look, action.to):
        yield crowd(look, action.to)
    if action.reason == "preempted":
        yield f"classes of greater weight than P{group.priority} need the room on {action.before}"
    if state.tried:
        yield f"tried in vain: {', '.join(state.tried)}"
    if look.member.posture != "normal":
        yield f"area {group.area_id} is in posture {look.member.posture}"
    if look.freeze is not None:
        yield f"frozen by {look.freeze.by}: {look.freeze.why}"


def exercised(look: Look, to: str | None, line_id: str) -> str:
    """What an exercise finds: the line that it would go to (None: there is none), of all or of the one that was named."""
    if to is not None:
        return f"exercise: would go to {to}"
    whys = [
        f"{each}: {look.refusal(each) or 'shared_risk'}" for each in look.member.lines if each != look.member.state.on
    ]
    named = [why for why in whys if why.startswith(f"{line_id}: ")] if line_id else whys
    return f"exercise: no line would take it: {', '.join(named[:RISKS_MAX]) or 'it is there already, or has no other'}"


def leaving(look: Look, group_ids: Iterable[str]) -> str:
    """Who makes room for an operator's word."""
    shown = tuple(group_ids)
    return f"room is made: {_groups(look, shown)} {'has' if len(shown) == 1 else 'have'} to leave"


def crowd(look: Look, line_id: str) -> str:
    """That a line has no room for the group, in figures, and who is there: those of no less weight, if there are any."""
    group, loads = look.member.group, look.loads
    total = sum(loads.admitted(line_id)) + (0 if loads.where(group.id) == line_id else group.bandwidth_bps)
    others = [each for each in loads.groups(line_id) if each != group.id]
    others = [each for each in others if loads.priority(each) <= group.priority] or others
    there = f"; {_groups(look, others)} {'is' if len(others) == 1 else 'are'} there" if others else ""
    return f"no room: {total / 1e6:g} of {loads.usable(line_id) / 1e6:g} Mbit/s{there}"


def _groups(look: Look, group_ids: Iterable[str]) -> str:
    shown = [f"{group_id} (P{look.loads.priority(group_id)})" for group_id in group_ids]
    more = len(shown) - RISKS_MAX
    return ", ".join(shown[:RISKS_MAX]) + (f" and {more} more" if more > 0 else "")


def _is_overfull(look: Look, line_id: str) -> bool:
    usable = look.loads.usable(line_id)
    return bool(usable) and sum(look.loads.admitted(line_id)) > usable


def _request(request: Request) -> str:
    ticket = f" ({request.ticket})" if request.ticket else ""
    return f"{request.kind} by {request.by}{ticket}: {request.why}"


def _line(look: Look, line_id: str) -> str:
    """Such as `fibre-3 is down for 2.1 s (no_answer), as the verdict has it`."""
    sight = look.sight(line_id)
    state = f"{sight.state}, one-way" if sight.one_way else sight.state
    since = f" for {max(look.now_ns - sight.since_unix_ns, 0) / _S:.1f} s" if sight.since_unix_ns else ""
    reason = f" ({sight.reason})" if sight.reason else ""
    by = look.sights.by(look.member.group.gateway_id, line_id)
    whose = {"verdict": ", as the verdict has it", "gateway": ", as its gateway sees it", "trap": ", as traps say"}
    proven = ""
    if sight.state in {"up", "degraded"}:
        proven = f", proven {max(look.now_ns - sight.good_unix_ns, 0) / _S:.1f} s ago"
    return f"{line_id} is {state}{since}{reason}{whose.get(by, '')}{proven}"


def _risks(look: Look, line_id: str) -> Iterator[str]:
    """What the target avoids, and what it does not."""
    working = look.member.group.working
    shared = look.shared(line_id)
    avoided = [risk for risk in look.shared(working) if risk not in shared]
    if line_id != working and avoided:
        yield f"{line_id} avoids {_names(avoided)}"
    if line_id != working and shared:
        yield f"{line_id} shares {_names(shared)} with what has failed, and nothing better is left"


def _names(risks: tuple[str, ...] | list[str]) -> str:
    more = len(risks) - RISKS_MAX
    return ", ".join(risks[:RISKS_MAX]) + (f" and {more} more" if more > 0 else "")


def _refusals(look: Look, used: str) -> Iterator[str]:
    """Why it goes to none of its lines."""
    for line_id in look.member.lines:
        word = look.refusal(line_id)
        if line_id != used and word not in {"", "working"}:
            yield f"{line_id}: {word}"


# -- for people who ask


def explanation(look: Look) -> Explanation:
    """All that the next decision on a group will look at."""
    member = look.member
    asked = look.asked.by_group.get(member.group.id, ())
    return Explanation(
        group=member.effective,
        state=member.state,
        lines=tuple(_explained(look)),
        timers=tuple(sorted(_timers(member, member.state), key=lambda timer: timer.due_unix_ns)),
        requests=tuple(asked),
        freeze=look.freeze,
        posture=member.posture,
        reachable=member.reachable,
        heard_unix_ns=look.heard_ns,
        failing_risk_ids=tuple(sorted(look.chooser.risks.failing)),
        shed_for=_shed_for(look),
    )


def _explained(look: Look) -> Iterator[LineExplained]:
    group = look.member.effective
    gateway_id = group.gateway_id
    ranked = look.chooser.rank(
        group,
        look.sights.of(gateway_id),
        look.now_ns,
        avoid=look.member.state.tried,
        locked=look.asked.in_force(group.id, look.now_ns).locked,
        posture=look.member.posture,
        has_room=look.has_room,
    )
    ordered = look.loads.order(group, ranked, evict=True)
    places = {candidate.line_id: place for place, candidate in enumerate(ordered, 1)}
    ranks = {candidate.line_id: candidate.rank for candidate in ranked}
    for line_id in look.member.lines:
        yield LineExplained(
            line_id=line_id,
            sight=look.sight(line_id),
            by=look.sights.by(gateway_id, line_id),
            refusal=look.refusal(line_id),
            place=places.get(line_id, 0),
            rank=ranks.get(line_id, ()),
            shared_risks=look.shared(line_id),
            admitted_bps=sum(look.loads.admitted(line_id)),
            usable_bps=look.loads.usable(line_id),
        )


def _timers(member: Member, state: GroupState) -> Iterator[Timer]:
    names = {"SF_PENDING": "hold_off", "WTR": "wtr", "NO_BACKUP": "retry", "LO": "lockout_age"}
    if state.due_unix_ns:
        yield Timer(name=names.get(state.phase, "retry"), due_unix_ns=state.due_unix_ns)
    if state.guard_until_unix_ns:
        yield Timer(name="guard", due_unix_ns=state.guard_until_unix_ns)
    if state.attempt is not None and state.attempt.due_unix_ns:
        name = "approval" if state.attempt.stage == "proposed" else "attempt"
        yield Timer(name=name, due_unix_ns=state.attempt.due_unix_ns)
    if state.rival:
        better_ns = round(member.effective.timers.better_s * _S)
        yield Timer(name="better", due_unix_ns=state.rival_unix_ns + better_ns)
    if state.suppressed_unix_ns:
        most_ns = round(member.effective.damping.suppress_max_s * _S)
        yield Timer(name="damping", due_unix_ns=state.suppressed_unix_ns + most_ns)


def _shed_for(look: Look) -> tuple[str, ...]:
    """Who takes the room of a group that is nowhere."""
    if look.member.state.on != SHED:
        return ()
    above = {
        group_id
        for line_id in look.member.lines
        if not look.chooser.refusal(
            look.member.effective, line_id, look.sights.of(look.member.group.gateway_id), look.now_ns
        )
        for group_id in look.loads.groups(line_id)
    }
    return tuple(sorted(above))
