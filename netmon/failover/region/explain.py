"""Why a group is where it is, for people: each of its lines with what is seen of it, and the word that says why it is no candidate.

Pure. Nothing is decided here: it is the same look at the region that the next decision takes.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.alarms.posture.model import Posture
from netmon.failover.model import Freeze, Group, GroupState, LineSight, Request

Refusal = Literal[
    "",  # it may be used
    "working",  # it is the working line: traffic returns to it, it is no candidate
    "down",
    "one_way",
    "unknown",
    "unproven",
    "locked_out",
    "tried",  # in vain, in this round
    "shared_risk",  # with what has failed, and P0 has a line that shares none
    "degraded",
    "no_room",
    "small_line",
]
REFUSALS: Final[tuple[Refusal, ...]] = (
    "", "working", "down", "one_way", "unknown", "unproven", "locked_out", "tried", "shared_risk", "degraded", "no_room", "small_line",
)  # fmt: skip
"""Why a line is no candidate of a group: a closed set."""


class LineLoad(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a line carries, by guaranteed rates. Bits per second."""

    line_id: str
    capacity_bps: int
    usable_bps: int
    """What of it is given away; 0: unlimited, as the capacity is not known."""
    admitted_bps: tuple[int, int, int, int]
    """P0 to P3: of groups that are on it, or are being moved to it."""
    shed_bps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """P0 to P3: of groups whose working line it is, and that are nowhere."""


class LineExplained(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a group."""

    line_id: str
    sight: LineSight
    """What counts: the worse of the verdict and what the gateway itself tells."""
    by: Literal["nobody", "verdict", "gateway", "trap"] = "nobody"
    """Whose word that is."""
    refusal: Refusal = ""
    """Why it is no candidate; empty: it is one, or it is in use."""
    place: int = 0
    """Among the candidates, from 1; 0: it is none."""
    rank: tuple[int, ...] = ()
    """Of the candidate, as `Candidate.rank`."""
    shared_risks: tuple[str, ...] = ()
    """Risk groups that it shares with what has failed, sorted."""
    admitted_bps: int = 0
    usable_bps: int = 0


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """What a group waits for."""

    name: str
    """hold_off, wtr (or wtb), retry, lockout_age, guard, attempt, approval, better, damping: then at the latest."""
    due_unix_ns: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All that the next decision on a group will look at."""

    group: Group
    """With its timers as the posture of its area makes them."""
    state: GroupState
    lines: tuple[LineExplained, ...]
    """The working line first, then the protection lines in their configured order."""
    timers: tuple[Timer, ...] = ()
    """The next one first."""
    requests: tuple[Request, ...] = ()
    """Those in force, the strongest first."""
    freeze: Freeze | None = None
    posture: Posture = "normal"
    reachable: bool = True
    heard_unix_ns: int = 0
    """When its gateway last told something; 0: never."""
    failing_risk_ids: tuple[str, ...] = ()
    """Of the whole region, sorted."""
    shed_for: tuple[str, ...] = ()
    """Groups that have the room of its lines, when it is shed; sorted."""
