"""What an agent tells of itself on the spot: the file `agent.json` in its directory, and the answer to `netmon agent status`.

Pure.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.failover.plan.model import Reported

REPORT_FILE: Final = "agent.json"

CentreState = Literal["heard", "awaited", "lost", "none"]
"""awaited: not heard since the start, and not given up yet; none: no broker is configured."""


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """Since the start."""

    verified: int = 0
    failed: int = 0
    """A move that was refused by the kernel, or whose class did not arrive."""


class AgentReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One moment of an agent."""

    unix_ns: int
    """When it was written."""
    pid: int
    reported: Reported
    """As the centre is told."""
    centre: CentreState
    heard_unix_ns: int = 0
    """When the centre was last heard; 0: not since the start."""
    connected: bool = False
    """To the broker."""
    why: str = ""
    """Why not."""
    plan_mistakes: tuple[str, ...] = ()
    """Why the plan cannot be carried out on this machine; while there are any, nothing can be moved."""
    isolated: str = ""
    """Why it judges no line at present: no_anchor, when not one of them answers; late."""
    dry_run: bool = False
    local: tuple[str, ...] = ()
    """Groups that an operator has forced here."""
    bad_signatures: dict[str, int] = {}
    """Messages that were dropped, by reason."""
    moves: Moves = Moves()


def encode(report: AgentReport) -> bytes:
    """As it stands in the file."""
    return msgspec.json.encode(report)


def decode(octets: bytes) -> AgentReport:
    """Raises msgspec.MsgspecError: it is no report."""
    return msgspec.json.decode(octets, type=AgentReport)
