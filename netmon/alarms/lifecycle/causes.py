"""Which alarms come of which others: "312 alarms, 4 causes". Pure.

Three kinds of alarms explain others: a shared risk that failed, a site without power, a line that is down. The first and the
last are derived here. Each explains only what is on a lower level, so causes never go in a circle. The cost of a notification is
bounded by the neighbourhood of what it is about, and what is not the cause of anything costs a few looks into dictionaries.
docs/alarms.md has the rules as an operator reads them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from netmon.alarms.lifecycle import marks as remembered
from netmon.alarms.lifecycle.transitions import NS, Record
from netmon.alarms.model import Alarm, Evidence, Key, Observation, Place, Text
from netmon.alarms.settings import Lifecycle
from netmon.inventory.topology import Topology

HOLD_OFF_S: Final = 30
"""What a cause explained stays explained for so long after it, so that its own clear has time to come."""

LINK_DOWN: Final = "link-down"
LINE_DOWN: Final = "line-down"
POWER_FAILURE: Final = "power-failure"
SHARED_RISK_FAILURE: Final = "shared-risk-failure"

_SYMPTOM, _LINE, _SITE, _RISK_GROUP = range(4)
_LEVELS: Final = {
    LINE_DOWN: ("line/", _LINE),
    POWER_FAILURE: ("site/", _SITE),
    SHARED_RISK_FAILURE: ("risk-group/", _RISK_GROUP),
}
_OF_POWER: Final = frozenset({"environmentalAlarm", "equipmentAlarm"})
_OF_SECURITY: Final = frozenset(
    {
        "integrityViolation",
        "operationalViolation",
        "physicalViolation",
        "securityService",
        "mechanismViolation",
        "timeDomainViolation",
    }
)
"""X.736: who breaks in while the power is out is not explained by that."""
_DERIVED: Final = Evidence("", "causes")

Records = dict[str, Record]
"""By alarm ID."""


def level_of(alarm: Alarm) -> int:
    """How far up an alarm stands: 0 explains nothing, and each explains only what is on a lower level."""
    prefix, level = _LEVELS.get(alarm.alarm_type, ("", _SYMPTOM))
    return level if alarm.resource.startswith(prefix) and not alarm.qualifier else _SYMPTOM


class Causes:
    """The active alarms of a region, and what explains them."""

    def __init__(self, topology: Topology, lifecycle: Lifecycle) -> None:
        self._topology = topology
        self._window_ns = int(lifecycle.cause_window_s * NS)
        self._reached_by: dict[str, list[str]] = {}
        """Line to the devices that it is an uplink of, or that have a port on it."""
        for device in topology.devices:
            for line in dict.fromkeys((*topology.uplinks(device), *topology.lines_of_device(device))):
                self._reached_by.setdefault(line, []).append(device)
        powered = {device.site_id for device in topology.devices.values() if device.is_power}
        self._members = {
            group: (
                *(f"line/{line}" for line in topology.lines_of_risk_group(group)),
                *(f"site/{site}" for site in topology.sites_of_risk_group(group) if site in powered),
            )
            for group in topology.risk_groups
        }
        self._active: Records = {}
        self._at: dict[tuple[str, str], Records] = {}
        """Active alarms at a line, a site or a device: kind and ID."""
        self._down_ends: dict[str, Records] = {}
        """Line to the alarms of its ends that were last said to be down."""
        self._explainers: Records = {}
        """By resource: all alarms that explain others while they are active."""
        self._explainer_ids: Records = {}
        self._shown: dict[str, tuple[bool, str, int]] = {}
        """What the explanations by an explainer depend on, as it was when its neighbourhood was last looked at."""
        self._marked: tuple[Records, ...] = ({}, {}, {}, {})
        """By level: what has to be looked at."""
        self._explained: dict[str, set[str]] = {}
        """Cause to what it explains."""
        self._recounted: set[str] = set()
        self._held_until: dict[str, int] = {}
        """Active alarms whose cause is gone; the first to be let go comes first."""
        self._overdue: set[str] = set()

    # --- What has changed. ---

    def update(self, record: Record) -> list[Observation]:
        """Take note of an alarm that is new, or has changed its state.

        Returns:
            What follows for the alarms that are derived from it; may be empty.
        """
        alarm, level = record.alarm, level_of(record.alarm)
        if alarm.is_active != (alarm.id in self._active):
            self._index(record)
        self._marked[level][alarm.id] = record
        if level == _SYMPTOM:
            return self._update_end(record, record.says_raised) if _is_end(alarm) else []
        self._explainers[alarm.resource] = self._explainer_ids[alarm.id] = record
        shown = (alarm.is_active, alarm.severity, alarm.raised_unix_ns)
        if self._shown.get(alarm.id) != shown:
            self._shown[alarm.id] = shown
            self._mark_below(record)
        return [] if level == _RISK_GROUP else self._update_groups(record)

    def update_past(self, record: Record) -> list[Observation]:
        """Take note of an alarm that was heard of so late that it is new and cleared: what follows had been, too.

        The clear comes first, so that nobody is told of the raise.
        """
        line = record.alarm.place.line
        if not _is_end(record.alarm) or f"line/{line}" in self._explainers:
            return []
        return [self._derive_line(line, record, cleared=cleared) for cleared in (True, False)]

    def forget(self, record: Record) -> list[Observation]:
        """An alarm leaves the list. What it explained is looked at again, without any hold-off."""
        alarm = record.alarm
        if self._active.pop(alarm.id, None) is not None:
            self._unindex(alarm)
        self._detach(record)
        for marked in self._marked:
            marked.pop(alarm.id, None)
        if level_of(alarm) == _SYMPTOM:
            return self._update_end(record, is_down=False) if _is_end(alarm) else []
        self._mark_below(record)
        self._explainers.pop(alarm.resource, None)
        self._explainer_ids.pop(alarm.id, None)
        self._shown.pop(alarm.id, None)
        self._overdue |= self._explained.get(alarm.id, set())
        for explained in self._explained.get(alarm.id, ()):
            # What is over itself has been marked when it was.
            if explained in self._active:
                self._mark(self._active[explained])
        return [] if level_of(alarm) == _RISK_GROUP else self._update_groups(record)

    def release(self, now_unix_ns: int) -> None:
        """Let go of what has been held for long enough after its cause had gone; `link` does the rest."""
        while self._held_until and self._held_until[alarm_id := next(iter(self._held_until))] <= now_unix_ns:
            del self._held_until[alarm_id]
            self._overdue.add(alarm_id)
            self._mark(self._active[alarm_id])

    def link(self, now_unix_ns: int) -> tuple[Records, Records]:
        """Find the causes of what has changed, and of what that explains.

        Returns:
            Alarms with another cause than before, and those that explain more or fewer than before.
        """
        linked: Records = {}
        for level in (_RISK_GROUP, _SITE, _LINE, _SYMPTOM):
            marked = self._marked[level]
            for alarm_id, record in marked.items():
                before = record.alarm.cause
                self._link(record, now_unix_ns)
                if record.alarm.cause != before:
                    linked[alarm_id] = record
                    if level != _SYMPTOM:
                        self._mark_below(record)
            marked.clear()
        self._overdue.clear()
        return linked, self._recount()

    def restore(self, record: Record) -> None:
        """Take note of an alarm that was kept, with its cause; call `update` for all when all are there."""
        alarm = record.alarm
        if level_of(alarm) != _SYMPTOM:
            self._explainers[alarm.resource] = self._explainer_ids[alarm.id] = record
        if _is_end(alarm) and record.says_raised:
            self._down_ends.setdefault(alarm.place.line, {})[alarm.id] = record
        if alarm.cause is not None:
            self._explained.setdefault(alarm.cause, set()).add(alarm.id)
            self._recounted.add(alarm.cause)

    def outdated(self) -> list[Observation]:
        """Clears for what was derived, and does not follow from the alarms or the inventory any more."""
        observations = []
        for record in self._explainers.values():
            alarm, name = record.alarm, record.alarm.resource.partition("/")[2]
            if not record.says_raised or record.evidence != _DERIVED:
                continue
            if alarm.alarm_type == LINE_DOWN and name not in self._down_ends:
                observations.append(self._derive_line(name, record, cleared=True))
            elif alarm.alarm_type == SHARED_RISK_FAILURE and not self._has_failed(self._members.get(name, ())):
                observations.append(self._derive_group(name, record, cleared=True))
        return observations

    def greatest(self, count: int) -> tuple[str, ...]:
        """IDs of the causes that explain the most others, the greatest first."""
        return tuple(heapq.nlargest(count, self._explained, key=lambda cause: (len(self._explained[cause]), cause)))

    # --- Indexes. ---

    def _index(self, record: Record) -> None:
        alarm = record.alarm
        if not alarm.is_active:
            del self._active[alarm.id]
            self._held_until.pop(alarm.id, None)
            self._unindex(alarm)
            return
        self._active[alarm.id] = record
        for place in _places(alarm.place):
            self._at.setdefault(place, {})[alarm.id] = record

    def _unindex(self, alarm: Alarm) -> None:
        for place in _places(alarm.place):
            del self._at[place][alarm.id]
            if not self._at[place]:
                del self._at[place]

    def _mark(self, record: Record) -> None:
        self._marked[level_of(record.alarm)][record.alarm.id] = record

    def _mark_below(self, record: Record) -> None:
        """Everything that this alarm may explain is to be looked at, also by way of what stands between."""
        level = level_of(record.alarm)
        for other in list(self._neighbours(record.alarm, level)):
            below = level_of(other.alarm)
            if below < level:
                self._marked[below][other.alarm.id] = other
                if below > _SYMPTOM:
                    self._mark_below(other)

    def _neighbours(self, alarm: Alarm, level: int) -> Iterator[Record]:
        name = alarm.resource.partition("/")[2]
        if level == _RISK_GROUP:
            yield from self._standing(self._members.get(name, ()))
        elif level == _SITE:
            yield from self._at.get(("site", name), {}).values()
            yield from self._standing(f"line/{line}" for line in self._topology.lines_of_site(name))
        else:
            yield from self._at.get(("line", name), {}).values()
            for device in self._reached_by.get(name, ()):
                yield from self._at.get(("device", device), {}).values()

    def _standing(self, resources: Iterable[str]) -> Iterator[Record]:
        """The alarms of these resources that explain others now."""
        for resource in resources:
            record = self._explainers.get(resource)
            if record is not None and record.alarm.is_active:
                yield record

    # --- What explains what. ---

    def _link(self, record: Record, now_unix_ns: int) -> None:
        alarm = record.alarm
        if not alarm.is_active:
            self._detach(record)
            return
        root = self._root(record)
        if root is not None:
            self._held_until.pop(alarm.id, None)
            self._attach(record, root.alarm.id)
        elif alarm.cause is None or alarm.flapping or alarm.id in self._overdue:
            self._detach(record)
        else:
            self._held_until.setdefault(alarm.id, now_unix_ns + HOLD_OFF_S * NS)

    def _attach(self, record: Record, cause: str) -> None:
        if record.alarm.cause != cause:
            self._detach(record)
            record.alarm = replace(record.alarm, cause=cause)
            self._explained.setdefault(cause, set()).add(record.alarm.id)
            self._recounted.add(cause)

    def _detach(self, record: Record) -> None:
        self._held_until.pop(record.alarm.id, None)
        cause = record.alarm.cause
        if cause is not None:
            record.alarm = replace(record.alarm, cause=None)
            self._explained[cause].discard(record.alarm.id)
            if not self._explained[cause]:
                del self._explained[cause]
            self._recounted.add(cause)

    def _recount(self) -> Records:
        counted: Records = {}
        for alarm_id in self._recounted:
            record, caused = self._explainer_ids.get(alarm_id), len(self._explained.get(alarm_id, ()))
            if record is not None and record.alarm.caused != caused:
                record.alarm = replace(record.alarm, caused=caused)
                counted[alarm_id] = record
        self._recounted.clear()
        return counted

    def _root(self, record: Record) -> Record | None:
        """The topmost cause; of several that which stands, then the highest, the oldest, the first by name."""
        best: Record | None = None
        best_rank: tuple[bool, int, int, str] | None = None
        for direct in self._directly(record.alarm):
            cause = direct.alarm.cause
            root = direct if cause is None else self._explainer_ids.get(cause, direct)
            alarm = root.alarm
            rank = (not alarm.is_active, -level_of(alarm), alarm.raised_unix_ns, alarm.resource)
            if best_rank is None or rank < best_rank:
                best, best_rank = root, rank
        return best

    def _directly(self, alarm: Alarm) -> list[Record]:
        """What explains an alarm, without asking what explains that."""
        level, earliest_ns = level_of(alarm), alarm.raised_unix_ns + self._window_ns
        if alarm.flapping:
            found = self._own_line(alarm) if alarm.alarm_type == LINK_DOWN else []
        elif level == _SYMPTOM:
            found = self._above_symptom(alarm)
        elif level == _LINE:
            found = self._above_line(alarm.resource.partition("/")[2])
        elif level == _SITE:
            groups = self._topology.risk_groups_of_site(alarm.resource.partition("/")[2])
            found = list(self._standing(f"risk-group/{group}" for group in groups))
        else:
            found = []
        return [record for record in found if record.alarm.raised_unix_ns <= earliest_ns]

    def _above_line(self, line_id: str) -> list[Record]:
        line = self._topology.lines.get(line_id)
        if line is None:
            return []
        groups = self._standing(f"risk-group/{group}" for group in line.risk_group_ids)
        sites = self._standing(f"site/{site}" for site in line.endpoint_site_ids)
        return [*groups, *(record for record in sites if record.alarm.severity == "critical")]

    def _own_line(self, alarm: Alarm) -> list[Record]:
        return list(self._standing((f"line/{alarm.place.line}",))) if alarm.place.line else []

    def _above_symptom(self, alarm: Alarm) -> list[Record]:
        if alarm.event_type in _OF_SECURITY:
            return []
        place, topology = alarm.place, self._topology
        communicates = alarm.event_type == "communicationsAlarm" or alarm.resource.startswith("line/")
        own = self._own_line(alarm) if communicates else []
        if own:
            return own
        found = [
            record
            for record in self._standing((f"site/{place.site}",))
            if record.alarm.severity == "critical" or alarm.event_type in _OF_POWER
        ]
        if not alarm.resource.startswith("device/"):
            return found
        if communicates and not place.line and alarm.alarm_type != LINK_DOWN:
            found += self._standing(f"line/{line}" for line in topology.lines_of_device(place.device))
        uplinks = topology.uplinks(place.device)
        down = list(self._standing(f"line/{line}" for line in uplinks))
        if down and len(down) == len(uplinks):
            # Cut off by the one that failed last.
            found.append(max(down, key=lambda record: (record.alarm.raised_unix_ns, record.alarm.resource)))
        return found

    # --- What is derived. ---

    def _update_end(self, record: Record, is_down: bool) -> list[Observation]:
        """A line is down while any of its ends says so."""
        line = record.alarm.place.line
        ends = self._down_ends.get(line, {})
        if is_down == (record.alarm.id in ends):
            return []
        if is_down:
            self._down_ends.setdefault(line, ends)[record.alarm.id] = record
            return [self._derive_line(line, record, cleared=False)]
        del ends[record.alarm.id]
        if ends:
            return []
        del self._down_ends[line]
        return [self._derive_line(line, record, cleared=True)]

    def _update_groups(self, record: Record) -> list[Observation]:
        """A shared risk has failed while all that depends on it has failed within one window."""
        kind, _, name = record.alarm.resource.partition("/")
        topology = self._topology
        groups = topology.risk_groups_of_line(name) if kind == "line" else topology.risk_groups_of_site(name)
        observations = []
        for group in groups:
            known = self._explainers.get(f"risk-group/{group}")
            has_failed = self._has_failed(self._members[group])
            if has_failed != (known is not None and known.says_raised):
                observations.append(self._derive_group(group, record, cleared=not has_failed))
        return observations

    def _has_failed(self, members: tuple[str, ...]) -> bool:
        if len(members) < 2:
            return False
        raised = []
        for member in members:
            record = self._explainers.get(member)
            if record is None or record.alarm.is_cleared or record.alarm.flapping:
                return False
            raised.append(record.alarm.raised_unix_ns)
        return max(raised) - min(raised) <= self._window_ns

    def _derive_line(self, line_id: str, by: Record, *, cleared: bool) -> Observation:
        line = self._topology.lines.get(line_id)
        name, name_en = (line.name, line.name_en or line.name) if line else (line_id, line_id)
        key = Key(f"line/{line_id}", LINE_DOWN)
        return Observation(
            key=key,
            cleared=cleared,
            severity="major",
            event_type="communicationsAlarm",
            probable_cause="loss_of_signal",
            text=Text(f"Line {name_en} is down", f"回線「{name}」が断線しています"),
            action=Text(
                "Ask its carrier, and see what else shares its course",
                "通信事業者に確認し、同じ経路の他の回線も確認してください",
            ),
            place=self._topology.place_of_line(line_id),
            event_unix_ns=self._effective(key, by, cleared),
            trust=by.alarm.trust,
            evidence=_DERIVED,
            root=True,
        )

    def _derive_group(self, group_id: str, by: Record, *, cleared: bool) -> Observation:
        group, members = self._topology.risk_groups.get(group_id), self._members.get(group_id, ())
        key = Key(f"risk-group/{group_id}", SHARED_RISK_FAILURE)
        is_power = group is not None and group.kind == "power_feeder"
        ja, en = (group.name, group.name_en or group.name) if group else (group_id, group_id)
        return Observation(
            key=key,
            cleared=cleared,
            severity="critical",
            event_type="environmentalAlarm" if is_power else "communicationsAlarm",
            probable_cause="commercial_power_failure" if is_power else "unavailable",
            text=Text(
                f"All {len(members)} that depend on {en} have failed",
                f"「{ja}」に依存する{len(members)}件がすべて停止しています",
            ),
            action=Text(f"Have {en} inspected on site", f"「{ja}」の現地を確認してください"),
            place=self._place_of_group(members),
            event_unix_ns=self._effective(key, by, cleared),
            trust=by.alarm.trust,
            evidence=_DERIVED,
            root=True,
        )

    def _place_of_group(self, members: tuple[str, ...]) -> Place:
        """In the area that all have in common, if they have."""
        names = [member.partition("/") for member in members]
        topology = self._topology
        places = [
            topology.place_of_line(name) if kind == "line" else topology.place_of_site(name) for kind, _, name in names
        ]
        areas = {place.area for place in places}
        sectors = dict.fromkeys(sector for place in places for sector in place.sectors)
        return Place(area=areas.pop() if len(areas) == 1 else "", sectors=tuple(sectors))

    def _effective(self, key: Key, by: Record, cleared: bool) -> int:
        """When a derived alarm changed: when that did which it follows from, but never so early that it would not count.

        What it follows from may have been told late, when the derived alarm had long been what something else had made it.
        """
        known = self._explainers.get(key.resource)
        if cleared:
            newest_raise = 0 if known is None else remembered.newest(known.marks, raised=True)
            return max(by.event_unix_ns, newest_raise + 1)
        newest_clear = 0 if known is None else remembered.newest(known.marks, raised=False)
        return max(by.alarm.raised_unix_ns, newest_clear)


def _is_end(alarm: Alarm) -> bool:
    """Whether it tells that the port at an end of a line is down."""
    return alarm.alarm_type == LINK_DOWN and alarm.place.line != ""


def _places(place: Place) -> Iterator[tuple[str, str]]:
    if place.line:
        yield "line", place.line
    if place.site:
        yield "site", place.site
    if place.device:
        yield "device", place.device
