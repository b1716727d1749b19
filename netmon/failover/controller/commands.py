"""What operators want: each command is done, or refused with the reason and what to do about it.

Pure: the coordinator is told, and the answer comes back as a value.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from netmon.failover.model import Freeze, Request, RequestKind
from netmon.failover.protection.freeze import BY as GUARD
from netmon.failover.record import Command, CommandResult
from netmon.failover.region.coordinator import Coordinator

DEFAULT_NS: Final = 8 * 3_600 * 1_000_000_000
"""How long a request holds of which nobody has said when it ends: a shift, so that it is handed over on purpose."""
LONGEST_NS: Final = 31 * 86_400 * 1_000_000_000
"""No request holds for longer: who still wants it asks again."""
TEXT_MAX: Final = 500
"""Letters of each text in a command."""

_ID: Final = re.compile(r"[\x21-\x7e]{1,64}")
_REQUESTS: Final[dict[str, RequestKind]] = {
    "lockout": "lockout",
    "forced": "forced",
    "manual": "manual",
    "exercise": "exercise",
}


class Refusal(NamedTuple):
    """Why something is not done."""

    word: str
    """Of a closed set, for counting."""
    detail: str
    cure: str


class Obeyed(NamedTuple):
    """What became of a command."""

    result: CommandResult
    word: str
    """Why it was refused; empty: it was done."""


def is_readable(command: Command) -> bool:
    """Whether its ID can be part of a key, so that somebody can be told what became of it."""
    return _ID.fullmatch(command.id) is not None


def obey(command: Command, coordinator: Coordinator, now_unix_ns: int) -> Obeyed:
    """Does what an operator wants.

    Args:
        command: `is_readable`.
        coordinator: It is told.
        now_unix_ns: Now.
    """
    until_unix_ns = command.until_unix_ns
    if not until_unix_ns and command.kind in _REQUESTS:
        until_unix_ns = min(command.unix_ns, now_unix_ns) + DEFAULT_NS
    refusal = _unfit(command, until_unix_ns, now_unix_ns) or _do(command, coordinator, until_unix_ns, now_unix_ns)
    if isinstance(refusal, str):
        # An exercise has ended when it has been answered.
        ends_ns = 0 if command.kind == "exercise" else until_unix_ns
        done = CommandResult(command_id=command.id, outcome="done", detail=refusal, until_unix_ns=ends_ns)
        return Obeyed(done, "")
    result = CommandResult(command_id=command.id, outcome="refused", detail=refusal.detail, cure=refusal.cure)
    return Obeyed(result, refusal.word)


def _unfit(command: Command, until_unix_ns: int, now_unix_ns: int) -> Refusal | None:
    """What is wrong with it by itself."""
    texts = (command.by, command.why, command.ticket, command.group_id, command.line_id)
    if max(map(len, texts)) > TEXT_MAX:
        return Refusal("too_long", f"a text has more than {TEXT_MAX} letters", "say it shorter; the ticket has room")
    if not command.by.strip() or not command.why.strip():
        return Refusal("no_reason", "nobody is told who wants it, or why", "say who (by) and why")
    if command.by == GUARD:
        return Refusal("no_reason", f"{GUARD} is no person", "say who wants it (by)")
    if until_unix_ns and until_unix_ns <= now_unix_ns:
        return Refusal("over", "its end has passed", "ask again, with an end that is to come")
    if until_unix_ns > now_unix_ns + LONGEST_NS:
        return Refusal("too_far", "its end is more than 31 days away", "ask for less, and again when it is over")
    return None


def _do(command: Command, coordinator: Coordinator, until_unix_ns: int, now_unix_ns: int) -> Refusal | str:
    """Has it done; what is to be known of it, may be empty."""
    if command.kind == "freeze":
        freeze = Freeze(by=command.by, why=command.why, unix_ns=now_unix_ns, until_unix_ns=until_unix_ns)
        coordinator.freeze(freeze, now_unix_ns)
        return ""
    if command.kind == "unfreeze":
        if coordinator.frozen is None:
            return Refusal("not_frozen", "nothing is frozen", "none needed")
        coordinator.freeze(None, now_unix_ns)
        return ""
    if command.group_id not in coordinator.states:
        cure = "netmon failover status lists the groups: <gateway>/<class>"
        return Refusal("unknown_group", f"there is no group {command.group_id}", cure)
    if command.kind == "clear":
        return _refused(coordinator.clear(command.group_id, now_unix_ns), "none needed, or wait until it comes to rest")
    if command.kind == "approve":
        why = coordinator.approve(command.group_id, command.generation)
        return _refused(why, "look what is proposed now: netmon failover explain says it")
    request = Request(
        id=command.id,
        kind=_REQUESTS[command.kind],
        group_id=command.group_id,
        line_id=command.line_id,
        by=command.by,
        why=command.why,
        ticket=command.ticket,
        unix_ns=now_unix_ns,
        until_unix_ns=until_unix_ns,
    )
    why = coordinator.refusal(request, now_unix_ns)
    outlook = "" if why else coordinator.outlook(request, now_unix_ns)
    why = why or coordinator.ask(request, now_unix_ns)
    return _refused(why, "netmon failover explain says how the group and its lines are") or outlook


def _refused(why: str, cure: str) -> Refusal | Literal[""]:
    return Refusal("not_possible", why, cure) if why else ""
