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

from netmon.alarms.lifecycle import derived
from netmon.alarms.lifecycle.derived import DERIVED, LINE_DOWN, SHARED_RISK_FAILURE, is_own, newest_of
from netmon.alarms.lifecycle.transitions import NS, Record
from netmon.alarms.model import Alarm, Evidence, Observation, Place, Probed, Trust
from netmon.alarms.settings import Lifecycle
from netmon.inventory.topology import Topology

HOLD_OFF_S: Final = 30
"""What a cause explained stays explained for so long after it, so that its own clear has time to come."""

LINK_DOWN: Final = "link-down"
POWER_FAILURE: Final = "power-failure"

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
PROBER_TRUST: Final[Trust] = "v3_auth_priv"
"""What the prober says is netmon's own."""

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
        self._probed: dict[str, Probed] = {}
        """Line to what the prober said last of it."""
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
        if level == _LINE:
            self._keep_probed(record)
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
        text, trust = derived.text_of_line(self._topology, line, None, ()), record.alarm.trust
        ends = {True: record.event_unix_ns, False: record.alarm.raised_unix_ns}
        return [
            derived.line_down(self._topology, line, text, unix_ns, trust, DERIVED, cleared=cleared)
            for cleared, unix_ns in ends.items()
        ]

    def probe(self, line_id: str, said: Probed) -> list[Observation]:
        """Take note of what the prober says of a line. What it says last counts: it speaks with one voice, in order.

        Returns:
            What follows for the line's alarm; may be empty.
        """
        known, was_down = self._probed.get(line_id), self._is_down(line_id)
        if known is not None and (known.state, known.unix_ns) == (said.state, said.unix_ns):
            return []
        self._probed[line_id] = said
        record = self._explainers.get(f"line/{line_id}")
        if record is not None:
            self._keep_probed(record)
        # Another reason for being down is no other outage: who has closed the alarm has closed it.
        is_new = said.state == "down" and (known is None or known.state != "down")
        if was_down and not self._is_down(line_id):
            return [self._clear_line(line_id, said.unix_ns, PROBER_TRUST, said.evidence)]
        return self._raise_line(line_id, said.unix_ns if is_new else None, PROBER_TRUST)

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
        if alarm.probed is not None:
            self._probed[alarm.resource.partition("/")[2]] = alarm.probed
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
            if not record.says_raised or not is_own(record.evidence):
                continue
            if alarm.alarm_type == LINE_DOWN and not self._is_down(name):
                observations.append(self._clear_line(name, record.event_unix_ns, alarm.trust, DERIVED))
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
        """A line is down while any of its ends says so, or the prober."""
        line, alarm = record.alarm.place.line, record.alarm
        ends = self._down_ends.get(line, {})
        if is_down == (alarm.id in ends):
            # When an end went down may have changed, and with it whether the prober knew of it.
            return self._raise_line(line, None, alarm.trust) if is_down and line in self._probed else []
        if is_down:
            self._down_ends.setdefault(line, ends)[alarm.id] = record
            return self._raise_line(line, alarm.raised_unix_ns, alarm.trust)
        del ends[alarm.id]
        if not ends:
            del self._down_ends[line]
        if self._is_down(line):
            return self._raise_line(line, None, alarm.trust)
        return [self._clear_line(line, record.event_unix_ns, alarm.trust, DERIVED)]

    def _is_down(self, line_id: str) -> bool:
        probed = self._probed.get(line_id)
        return line_id in self._down_ends or (probed is not None and probed.state == "down")

    def _keep_probed(self, record: Record) -> None:
        """What the prober said goes with the alarm, so that it is known after a restart."""
        probed = self._probed.get(record.alarm.resource.partition("/")[2])
        if probed is not record.alarm.probed:
            record.alarm = replace(record.alarm, probed=probed)

    def _raise_line(self, line_id: str, unix_ns: int | None, trust: Trust) -> list[Observation]:
        """A line that is down is said to be, at a time; None: nobody has said so anew, but others may say so than before."""
        if not self._is_down(line_id):
            return []
        probed, ends = self._probed.get(line_id), self._down_ends.get(line_id, {})
        raised_unix_ns = (end.alarm.raised_unix_ns for end in ends.values())
        text = derived.text_of_line(self._topology, line_id, probed, raised_unix_ns)
        evidence = DERIVED
        if probed is not None and probed.state == "down":
            trust, evidence = PROBER_TRUST, probed.evidence
        known = self._explainers.get(f"line/{line_id}")
        newest_raise, newest_clear = newest_of(known)
        times = [] if unix_ns is None else [max(unix_ns, newest_clear)]
        if known is not None and known.alarm.text != text and max(times, default=0) <= newest_raise:
            # An older raise tells no text; this one is the newest by a hair, and tells what is true now.
            times.append(newest_raise + 1)
        return [
            derived.line_down(self._topology, line_id, text, at_unix_ns, trust, evidence, cleared=False)
            for at_unix_ns in times
        ]

    def _clear_line(self, line_id: str, unix_ns: int, trust: Trust, evidence: Evidence) -> Observation:
        text = derived.text_of_line(self._topology, line_id, None, ())
        newest_raise, _ = newest_of(self._explainers.get(f"line/{line_id}"))
        effective_ns = max(unix_ns, newest_raise + 1)
        return derived.line_down(self._topology, line_id, text, effective_ns, trust, evidence, cleared=True)

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

    def _derive_group(self, group_id: str, by: Record, *, cleared: bool) -> Observation:
        newest_raise, newest_clear = newest_of(self._explainers.get(f"risk-group/{group_id}"))
        unix_ns = max(by.event_unix_ns, newest_raise + 1) if cleared else max(by.alarm.raised_unix_ns, newest_clear)
        members = self._members.get(group_id, ())
        return derived.shared_risk(self._topology, group_id, members, unix_ns, by.alarm.trust, cleared=cleared)


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
