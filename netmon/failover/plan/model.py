"""What gateways are told, and what they tell.

Pure. What the centre tells is signed (Ed25519) and retained, so that a gateway that was away finds what is wanted of it. `fence` is the number
of the leader that says it; a gateway never obeys a smaller one than the greatest it has seen. Orders of one group are told apart by
`(fence, generation)`, which only grows.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.failover.model import Damping, LineSight, Mode, Phase, Priority, SwitchReason, Timers
from netmon.inventory.probes import AnyProbe, Profile


class PlannedLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the gateway as the agent needs it."""

    line_id: str
    capacity_bps: int = 0
    probes: tuple[AnyProbe, ...] = ()
    """Pinned to the gateway's own interface."""
    profile: Profile
    standby: bool = False
    interface: str = ""
    """By which the gateway reaches it."""
    next_hop: str = ""
    """Literal address; empty: the interface is point to point."""
    next_hop6: str = ""


class Ranking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a class goes when these lines of the gateway have failed, as far as the gateway can tell."""

    failed: tuple[str, ...]
    """Line IDs, sorted."""
    order: tuple[str, ...] = ()
    """Line IDs, the best first; empty: it is shed."""


class PlannedGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One class at the gateway."""

    group_id: str
    class_id: str
    priority: Priority
    working: str
    protections: tuple[str, ...] = ()
    mark: int = 0
    """fwmark of its packets; 0: they are told by `prefixes`."""
    prefixes: tuple[str, ...] = ()
    """Destinations (CIDR)."""
    table: int = 0
    """Number of its routing table; the same for ever for one group of a gateway."""
    bandwidth_bps: int = 0
    both_ways: bool = True
    moves_on_sd: bool = False
    rankings: tuple[Ranking, ...] = ()
    """For each failure that the gateway may meet: all combinations of its lines up to five lines, else those of one and of two."""
    verify: tuple[AnyProbe, ...] = ()
    """What the moved class asks to show that it arrives; empty: the far end of the line that it moved to, with its own mark."""
    timers: Timers = Timers()
    damping: Damping = Damping()
    revertive: bool = True
    mode: Mode = "act"
    """In any other mode the gateway moves nothing by itself."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="plan"):
    """All that one gateway needs to act by itself. Changes seldom."""

    gateway_id: str
    version: int
    """Grows with each change of the plan."""
    fence: int
    made_unix_ns: int
    groups: tuple[PlannedGroup, ...]
    lines: tuple[PlannedLine, ...]
    centre_lost_s: float = 30.0
    """Without a beat of the centre for so long, the gateway also returns by itself; a dead line it leaves at once in any case."""


class DesiredGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the centre wants a class now."""

    group_id: str
    on: str
    """Line ID, or SHED."""
    fence: int
    generation: int
    """Of the order; the pair only grows."""
    phase: Phase = "NR"
    reason: SwitchReason = ""
    forced: bool = False
    locked: bool = False
    """Lockout, freeze or a forced switch: the gateway moves nothing by itself."""
    avoid: tuple[str, ...] = ()
    """Lines that it must not go to by itself: locked out, damped, or dead as the centre sees it."""


class Desired(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="desired"):
    """What the centre wants of a gateway now: a state, never a command, so that it may be told twice and late."""

    gateway_id: str
    fence: int
    version: int
    """Grows with each change under one fence."""
    unix_ns: int
    groups: tuple[DesiredGroup, ...]


class Beat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="beat"):
    """The centre lives. Told every few seconds, not retained."""

    fence: int
    beat: int
    unix_ns: int


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What goes over the wire: the body's octets as they were signed, and the signature over exactly these."""

    body: msgspec.Raw
    """JSON of a Plan, Desired or Beat; its `type` is part of it, so that none passes for another."""
    key: str
    """First 16 hexadecimal digits of SHA-256 of the public key."""
    signature: str
    """128 hexadecimal digits."""


class ReportedGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a class is at the gateway."""

    group_id: str
    on: str
    """As read back from the kernel; or SHED."""
    fence: int = 0
    generation: int = 0
    """Newest order of the centre that it has dealt with."""
    outcome: Literal["", "applied", "verified", "failed", "refused"] = ""
    """What became of that order."""
    detail: str = ""
    phase: Phase = "NR"
    by: Literal["centre", "edge"] = "centre"
    """Who moved it last."""
    reason: SwitchReason = ""
    since_unix_ns: int = 0
    """When it came to be there."""
    phases_s: dict[str, float] = {}
    """Of the last move: `detect`, `hold`, `decide`, `act`, `verify`."""


class Reported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway tells, retained: everything, each time."""

    gateway_id: str
    plan_version: int = 0
    fence: int = 0
    """Greatest that it has seen."""
    beat: int
    started_unix_ns: int
    unix_ns: int
    alone: bool = False
    """It has not heard of the centre for longer than its plan allows."""
    groups: tuple[ReportedGroup, ...] = ()
    lines: tuple[LineSight, ...] = ()
    """As it sees its own lines."""
    refused: int = 0
    """Orders with too small a fence or generation, or a bad signature, since it started."""
    stopped: bool = False
    """It has ended, or (as its last will) is gone from the broker."""
