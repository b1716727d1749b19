"""What is kept of failover beside the groups' states, as values: what operators want, what became of it, and the audit.

Pure. Times are nanoseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.failover.model import Phase, RequestKind, SwitchReason
from netmon.failover.region.explain import LineLoad

CommandKind = Literal["lockout", "forced", "manual", "exercise", "clear", "freeze", "unfreeze", "approve"]
COMMAND_KINDS: Final[tuple[CommandKind, ...]] = (
    "lockout", "forced", "manual", "exercise", "clear", "freeze", "unfreeze", "approve",
)  # fmt: skip
REQUEST_KINDS: Final[tuple[RequestKind, ...]] = ("lockout", "forced", "manual", "exercise")
"""Of these commands a request remains, until it is cleared or expires."""

AuditKind = Literal[
    "lead",  # another controller leads from here on
    "proposed",  # what it would do, if somebody approves it in time
    "intent",  # it is going to be ordered; this stands in Redis before the order goes out
    "applied",  # the actuator has done it
    "verified",  # and the class was shown to arrive
    "failed",  # the actuator could not, or the class did not arrive
    "refused",  # the actuator knows of a newer order, or does not believe the signature
    "unreachable",  # the actuator cannot be told now; the order stays
    "abandoned",  # what was ordered is void
    "adopted",  # the gateway moved by itself, and that is where it is now
    "command",  # an operator wanted something; `outcome` says what became of it
    "expired",  # an operator's command ran out
    "freeze",  # nothing moves by itself
    "unfreeze",
    "page",  # tell people
]


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator wants."""

    id: str
    """Chosen by whoever asks; the same one twice is done once."""
    kind: CommandKind
    group_id: str = ""
    """Of all but `freeze` and `unfreeze`."""
    line_id: str = ""
    """Where to, of `forced`, `manual` and `exercise`; of `lockout`: empty, or the one line that shall not be used."""
    by: str
    why: str
    ticket: str = ""
    unix_ns: int
    """When it was asked for."""
    until_unix_ns: int = 0
    """When it ends by itself; 0: 8 hours after it was asked for (a freeze: when it is lifted)."""
    generation: int = 0
    """Of the proposal that `approve` approves."""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command."""

    command_id: str
    outcome: Literal["done", "refused"]
    detail: str = ""
    """Why it is refused; of one that is done what is to be known of it: what an exercise has found, that there is no room."""
    cure: str = ""
    """What to do about that."""
    until_unix_ns: int = 0
    """When what was asked for ends by itself; 0: it has no end."""


class Audit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the audit."""

    kind: AuditKind
    unix_ns: int
    fence: int
    """Of the leader that wrote it."""
    group: str = ""
    """Group ID; empty: it is about the whole region."""
    generation: int = 0
    before: str = msgspec.field(default="", name="from")
    """Line ID, or SHED."""
    to: str = ""
    """Line ID, or SHED."""
    phase: Phase | Literal[""] = ""
    """Of the group, after it."""
    reason: SwitchReason = ""
    by: str = "netmon"
    """Who wanted it: an operator, `netmon`, or `edge` for a gateway that moved by itself."""
    why: str = ""
    """Of an operator: his words; of others what the actuator told."""
    page: str = ""
    """Of `page`: what people are told, of `netmon.failover.model.PAGES`; of an exercise `to` is the line."""
    ticket: str = ""
    command: CommandKind | Literal[""] = ""
    command_id: str = ""
    outcome: Literal["", "done", "refused"] = ""
    """Of `command`."""
    evidence: tuple[str, ...] = ()
    """What was known when it was decided, in words."""
    phases_s: dict[str, float] = {}
    """How long what took: `detect`, `hold`, `decide`, `act`, `verify`."""


class Loads(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all lines carry."""

    unix_ns: int
    lines: tuple[LineLoad, ...] = ()
    """By line ID."""
    shed_bps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Guaranteed rates of the groups that are nowhere: P0, P1, P2, P3."""
