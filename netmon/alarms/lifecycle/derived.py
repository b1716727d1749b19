"""The alarms that follow from others: a line is down, a shared risk has failed. Pure.

What they say, and where they are; when they follow from what is for `netmon.alarms.lifecycle.causes` to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from netmon.alarms.lifecycle import marks as remembered
from netmon.alarms.lifecycle.transitions import Record
from netmon.alarms.model import Evidence, Key, Observation, Place, Probed, Text, Trust
from netmon.buffer.line_store import CHANGES, LINES
from netmon.inventory.topology import Topology

LINE_DOWN: Final = "line-down"
SHARED_RISK_FAILURE: Final = "shared-risk-failure"
DERIVED: Final = Evidence("", "causes")

_ASK_CARRIER: Final = Text(
    "Ask its carrier, and see what else shares its course", "通信事業者に確認し、同じ経路の他の回線も確認してください"
)


def is_own(evidence: Evidence) -> bool:
    """Whether netmon has found it out by itself: it would do so again, and the region bounds how much of it there is."""
    return evidence.key in {"", CHANGES, LINES}


def newest_of(known: Record | None) -> tuple[int, int]:
    """Event times of the newest raise and clear of what is derived; 0: none. What follows now must be no older, to count.

    What it follows from may have been told late, when the derived alarm had long been what something else had made it.
    """
    if known is None:
        return 0, 0
    return remembered.newest(known.marks, raised=True), remembered.newest(known.marks, raised=False)


def line_down(
    topology: Topology, line_id: str, text: Text, unix_ns: int, trust: Trust, evidence: Evidence, *, cleared: bool
) -> Observation:
    """A line is down, or no longer."""
    return Observation(
        key=Key(f"line/{line_id}", LINE_DOWN),
        cleared=cleared,
        severity="major",
        event_type="communicationsAlarm",
        probable_cause="loss_of_signal",
        text=text,
        action=_ASK_CARRIER,
        place=topology.place_of_line(line_id),
        event_unix_ns=unix_ns,
        trust=trust,
        evidence=evidence,
        root=True,
    )


def text_of_line(topology: Topology, line_id: str, probed: Probed | None, raised_unix_ns: Iterable[int]) -> Text:
    """Who says that a line is down.

    Args:
        topology: The region.
        line_id: Of the line.
        probed: What the prober says of it.
        raised_unix_ns: When each of its ends that are down went down; none: the prober alone says so.
    """
    ends, name = list(raised_unix_ns), line_name(topology, line_id)
    if probed is not None and probed.state == "down":
        more = Text("; a port at its end is down, too", "。端のポートも停止しています") if ends else Text("", "")
        return Text(probed.text.en + more.en, probed.text.ja + more.ja)
    if probed is not None and probed.state == "up" and ends and probed.unix_ns >= max(ends):
        return Text(
            f"A port at an end of line {name.en} is down, though probes over the line are answered",
            f"回線「{name.ja}」の端のポートが停止していますが、回線の試験には応答があります",
        )
    return Text(f"Line {name.en} is down", f"回線「{name.ja}」が断線しています")


def line_name(topology: Topology, line_id: str) -> Text:
    """What people call a line; its ID if the region does not know it any more."""
    line = topology.lines.get(line_id)
    return Text(line.name_en or line.name, line.name) if line else Text(line_id, line_id)


def shared_risk(
    topology: Topology, group_id: str, members: tuple[str, ...], unix_ns: int, trust: Trust, *, cleared: bool
) -> Observation:
    """All that depends on a shared risk has failed, or no longer."""
    group = topology.risk_groups.get(group_id)
    is_power = group is not None and group.kind == "power_feeder"
    ja, en = (group.name, group.name_en or group.name) if group else (group_id, group_id)
    return Observation(
        key=Key(f"risk-group/{group_id}", SHARED_RISK_FAILURE),
        cleared=cleared,
        severity="critical",
        event_type="environmentalAlarm" if is_power else "communicationsAlarm",
        probable_cause="commercial_power_failure" if is_power else "unavailable",
        text=Text(
            f"All {len(members)} that depend on {en} have failed",
            f"「{ja}」に依存する{len(members)}件がすべて停止しています",
        ),
        action=Text(f"Have {en} inspected on site", f"「{ja}」の現地を確認してください"),
        place=_place_of_group(topology, members),
        event_unix_ns=unix_ns,
        trust=trust,
        evidence=DERIVED,
        root=True,
    )


def _place_of_group(topology: Topology, members: tuple[str, ...]) -> Place:
    """In the area that all have in common, if they have."""
    names = [member.partition("/") for member in members]
    places = [
        topology.place_of_line(name) if kind == "line" else topology.place_of_site(name) for kind, _, name in names
    ]
    areas = {place.area for place in places}
    sectors = dict.fromkeys(sector for place in places for sector in place.sectors)
    return Place(area=areas.pop() if len(areas) == 1 else "", sectors=tuple(sectors))
