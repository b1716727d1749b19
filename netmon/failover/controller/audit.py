"""From what changes to the entries of the audit: who moved which class from where to where, why, on what evidence, and what came of it.

Pure. What became of an order is read off the group's state before and after, whichever way it was told: by an actuator, by a gateway's
report, or by nobody in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from netmon.failover.model import Action, ActionResult, Attempt, GroupState, Request
from netmon.failover.plan.model import ReportedGroup
from netmon.failover.record import Audit, AuditKind, Command, CommandResult

TEXT_MAX: Final = 300
"""Letters of each text in an entry."""
EVIDENCE_MAX: Final = 20
"""Texts of evidence in an entry."""
EARLY: Final = "before its time: it was overruled, has failed, or another one took its place"
APPROVAL: Final = "nobody has approved it in time"

_KINDS: Final[dict[str, AuditKind]] = {
    "propose": "proposed",
    "switch": "intent",
    "abandon": "abandoned",
    "page": "page",
}
Told = ActionResult | ReportedGroup


def of_action(
    action: Action, state: GroupState, *, fence: int, unix_ns: int, evidence: tuple[str, ...], request: Request | None
) -> Audit:
    """What is going to be done.

    Args:
        action: It.
        state: Of its group, after the decision.
        fence: The leader's number.
        unix_ns: Now.
        evidence: What was known.
        request: Of the operator that the group follows; None: of none.
    """
    return Audit(
        kind=_KINDS[action.kind],
        unix_ns=unix_ns,
        fence=fence,
        group=action.group_id,
        generation=action.generation,
        before=action.before,
        to=action.to,
        phase=state.phase,
        reason=action.reason,
        by="netmon" if request is None else cut(request.by),
        why="" if request is None else cut(request.why),
        page=action.text,
        ticket="" if request is None else cut(request.ticket),
        evidence=tuple(cut(text) for text in evidence[:EVIDENCE_MAX]),
    )


def of_change(
    before: GroupState, after: GroupState, told: Told | None, *, fence: int, unix_ns: int, phases_s: dict[str, float]
) -> Iterator[Audit]:
    """What became of what had been ordered, and whether the gateway has moved by itself; may be nothing.

    Args:
        before: The group.
        after: The same, after a step.
        told: What was last told of it; None: nothing.
        fence: The leader's number.
        unix_ns: Now.
        phases_s: How long it took before the order was out: `detect`, `hold`, `decide`.
    """
    tried = before.attempt
    is_over = tried is not None and (after.attempt is None or after.attempt.generation != tried.generation)
    if tried is not None and (kind := _outcome(tried, before, after, told, is_over=is_over)) is not None:
        detail = told.detail if told is not None and told.generation == tried.generation else ""
        timed = _timed(tried, told, phases_s, unix_ns) if kind in ("applied", "verified") else {}
        yield Audit(
            kind=kind,
            unix_ns=unix_ns,
            fence=fence,
            group=after.group_id,
            generation=tried.generation,
            before=before.on,
            to=tried.to,
            phase=after.phase,
            reason=tried.reason,
            why=APPROVAL if tried.stage == "proposed" else cut(detail),
            phases_s=timed,
        )
    if after.on != before.on and (tried is None or after.on != tried.to):
        yield _adopted(before, after, told, fence, unix_ns)


def _adopted(before: GroupState, after: GroupState, told: Told | None, fence: int, unix_ns: int) -> Audit:
    by_edge = isinstance(told, ReportedGroup) and told.by == "edge"
    return Audit(
        kind="adopted",
        unix_ns=unix_ns,
        fence=fence,
        group=after.group_id,
        generation=after.generation,
        before=before.on,
        to=after.on,
        phase=after.phase,
        reason=told.reason if isinstance(told, ReportedGroup) and told.reason else after.reason,
        by="edge" if by_edge else "netmon",
        why=cut(told.detail) if told is not None else "",
        phases_s=dict(told.phases_s) if told is not None else {},
    )


def _outcome(
    tried: Attempt, before: GroupState, after: GroupState, told: Told | None, *, is_over: bool
) -> AuditKind | None:
    """What became of an attempt; None: nothing new."""
    if not is_over:
        stage = after.attempt.stage if after.attempt is not None else ""
        if stage == tried.stage:
            return None
        return {"applied": "applied", "refused": "refused"}.get(stage)  # type: ignore[return-value]
    if tried.stage == "proposed":
        # What was approved goes on under its own or another generation, and is told as an intent.
        return "abandoned" if after.attempt is None and after.on == before.on else None
    was_verified = told is not None and told.generation == tried.generation and told.outcome == "verified"
    if after.on == tried.to and (was_verified or after.on != before.on):
        return "verified"
    was_void = told is None or told.generation != tried.generation or told.outcome not in ("failed", "refused")
    if was_void and after.generation != tried.generation and unvoided(after):
        return "abandoned"
    return "failed"


def unvoided(state: GroupState) -> bool:
    """Whether nothing is held against the candidates of a group: what ended an attempt was not that it failed."""
    return not state.tried


def _timed(tried: Attempt, told: Told | None, phases_s: dict[str, float], unix_ns: int) -> dict[str, float]:
    """How long each step took; what the actuator does not tell is the time since the order."""
    own = told.phases_s if told is not None and told.generation == tried.generation else {}
    verify_s = own.get("verify")
    act_s = own.get("act", max(unix_ns - tried.began_unix_ns, 0) / 1e9 - (verify_s or 0.0))
    timed = {**phases_s, "act": act_s}
    if verify_s is not None:
        timed["verify"] = verify_s
    return {name: round(max(seconds, 0.0), 6) for name, seconds in timed.items()}


def of_command(command: Command, result: CommandResult, *, fence: int, unix_ns: int) -> Audit:
    """What an operator wanted, and whether it was done."""
    return Audit(
        kind="command",
        unix_ns=unix_ns,
        fence=fence,
        group=cut(command.group_id),
        generation=command.generation,
        to=cut(command.line_id),
        by=cut(command.by),
        why=cut(command.why),
        ticket=cut(command.ticket),
        command=command.kind,
        command_id=command.id,
        outcome=result.outcome,
        evidence=tuple(text for text in (result.detail, result.cure) if text),
    )


def of_expiry(request: Request, *, fence: int, unix_ns: int) -> Audit:
    """An operator's request has run out."""
    return Audit(
        kind="expired",
        unix_ns=unix_ns,
        fence=fence,
        group=request.group_id,
        to=request.line_id,
        by=cut(request.by),
        why=cut(request.why),
        ticket=cut(request.ticket),
        command=request.kind,
        command_id=request.id,
        evidence=(EARLY,) if request.until_unix_ns > unix_ns else (),
    )


def cut(text: str) -> str:
    """No longer than an entry's texts may be."""
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
