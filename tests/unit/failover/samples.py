"""Values that a reader can check by eye: lines with what they share, groups, and how lines are seen."""

from __future__ import annotations

from typing import Any

from netmon.active_probe.model import LineState
from netmon.failover.model import Candidate, Group, LineFacts, LineSight, Priority

SECOND = 1_000_000_000
NOON = 1_767_268_800 * SECOND
MBPS = 1_000_000
CLASSES: tuple[tuple[str, Priority], ...] = (("life", 0), ("control", 1), ("telemetry", 2), ("bulk", 3))


def line(line_id: str, *risks: str, **more: Any) -> LineFacts:
    """A fibre of 100 Mbit/s that lies in these ducts."""
    values: dict[str, Any] = {"capacity_bps": 100 * MBPS, "risk_group_ids": tuple(sorted(risks))}
    return LineFacts(line_id=line_id, **{**values, **more})


def group(group_id: str = "gw/life", lines: str = "own twin apart", mbps: float = 0, **more: Any) -> Group:
    """A class of the priority that its name has; its lines are the working one and those to fall back on."""
    gateway_id, class_id = group_id.split("/")
    working, *protections = lines.split()
    values: dict[str, Any] = {"priority": dict(CLASSES)[class_id]}
    return Group(
        id=group_id,
        gateway_id=gateway_id,
        class_id=class_id,
        working=working,
        protections=tuple(protections),
        bandwidth_bps=round(mbps * MBPS),
        **{**values, **more},
    )


def sight(
    line_id: str, state: LineState = "up", *, since_s: float = -3600, good_s: float = 0, **more: Any
) -> LineSight:
    """How a line is seen; seconds after noon."""
    return LineSight(
        line_id=line_id,
        state=state,
        since_unix_ns=at(since_s),
        good_unix_ns=at(good_s),
        **more,
    )


def down(line_id: str, since_s: float = 0) -> LineSight:
    """A line that has failed; it answered last a little before."""
    return sight(line_id, "down", since_s=since_s, good_s=since_s - 0.4)


def at(seconds: float) -> int:
    """After noon."""
    return NOON + round(seconds * SECOND)


def names(candidates: list[Candidate]) -> str:
    """Lines in their order."""
    return " ".join(candidate.line_id for candidate in candidates)
