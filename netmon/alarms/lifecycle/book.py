"""All alarms of a region: what notifications, operators and time make of them, and what is to be told of it. Pure.

`observe`, `command` and `tick` change the book; `take` tells all that changed since it was last called. A kind of change is told
at most once of each alarm in one `take`, with the alarm as it is at the end; what operators did is always told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from netmon.alarms.lifecycle.causes import Causes
from netmon.alarms.lifecycle.derived import LINE_DOWN, is_own
from netmon.alarms.lifecycle.flood import CAUSES_MAX, FloodState, FloodWatch
from netmon.alarms.lifecycle.transitions import (
    NS,
    Record,
    hear,
    open_alarm,
    operate,
    refusal,
    repeats,
    settle,
    thaw,
    unshelve_expired,
)
from netmon.alarms.model import Alarm, Change, ChangeKind, Command, CommandResult, Key, Observation, Probed
from netmon.alarms.settings import Flood, Lifecycle
from netmon.inventory.topology import Topology

CLEARS_MAX: Final = 65_536
"""Clears of alarms that nobody has raised yet, in case their raises are late; the oldest are forgotten first."""
RESULTS_MAX: Final = 4_096
"""Commands whose results are remembered, so that the same one twice is done once."""
COUNT_TOLD_S: Final = 1
"""How many alarms a cause explains is told this often."""

_STATE_KINDS: Final[frozenset[ChangeKind]] = frozenset({"raised", "cleared", "flapping", "settled", "purged"})
_DETAIL_KINDS: Final[frozenset[ChangeKind]] = frozenset({"updated", "cause"})
"""Need not be told beside one of the former, which carries the same alarm."""


NO_FLOOD: Final = FloodState()


class Counters(msgspec.Struct, kw_only=True):
    """How many there are."""

    active: Counter[str] = msgspec.field(default_factory=Counter)
    """Active alarms by severity."""
    flapping: int = 0
    """Active ones that flap."""
    shelved: int = 0
    explained: int = 0
    """Active alarms with a cause."""
    roots: int = 0
    """Active alarms without one: what is left for a person to read."""
    causes: int = 0
    """Active alarms that explain others."""
    refused: int = 0
    """Notifications since the start that would have made an alarm for which there was no room."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written and told."""

    changes: list[Change]
    """In the order in which they were made."""
    dirty: list[Alarm]
    """Alarms that differ from what was last taken, also where nobody need be told."""
    purged: list[str]
    """IDs of those that have left the list."""
    flood: FloodState | None
    """If it has changed."""


class Book:
    """The alarms of a region."""

    def __init__(self, lifecycle: Lifecycle, flood: Flood, topology: Topology) -> None:
        self.alarms: dict[str, Alarm] = {}
        """By ID, as last taken."""
        self.counters = Counters()
        self._lifecycle = lifecycle
        self._causes = Causes(topology, lifecycle)
        self._flood = FloodWatch(flood)
        self._records: dict[Key, Record] = {}
        self._by_id: dict[str, Record] = {}
        self._dirty: dict[str, Record] = {}
        self._tallied: dict[str, tuple[str, bool, bool, bool, bool]] = {}
        """What each alarm adds to the counters: severity, flapping, shelved, explained, explains; none unless active."""
        self._changes: dict[str, dict[tuple[ChangeKind, str], tuple[int, str]]] = {}
        """Alarm ID, then kind and command ID, to when and by whom; the newest last."""
        self._purged: dict[str, Alarm] = {}
        self._raised: dict[str, None] = {}
        """Alarms that people are to be told of, unless they turn out to be explained."""
        self._counted: dict[str, None] = {}
        """Causes of which it is to be told how many they explain now."""
        self._counted_unix_ns = 0
        self._over: dict[str, int] = {}
        """Alarms that are cleared or closed, not shelved, and since when; the oldest first."""
        self._strangers: dict[str, None] = {}
        """Alarms of sources that the inventory does not know, the oldest first."""
        self._flapping: dict[str, None] = {}
        self._shelved: dict[str, None] = {}
        self._clears: dict[Key, tuple[int, int]] = {}
        """Clears without an alarm: event time, and how long they are remembered."""
        self._results: dict[str, CommandResult] = {}
        self._now_unix_ns = 0
        self._flood_news: FloodState | None = None

    # --- What comes in. ---

    def load(self, alarms: Iterable[Alarm], flood: FloodState = NO_FLOOD) -> None:
        """Begin with what was kept. Causes and counters follow from it again; nothing is told that is told already.

        Args:
            alarms: All of them, in any order.
            flood: As it was told last.
        """
        for alarm in sorted(alarms, key=lambda alarm: alarm.changed_unix_ns):
            record = thaw(alarm)
            self.alarms[alarm.id] = alarm
            self._add(record)
            self._causes.restore(record)
            self._sort_in(record, alarm.changed_unix_ns)
            self._now_unix_ns = alarm.changed_unix_ns
        for record in list(self._records.values()):
            self._observe_all(self._causes.update(record), self._now_unix_ns)
        self._observe_all(self._causes.outdated(), self._now_unix_ns)
        self._link()
        active = [record.alarm for record in self._records.values() if record.alarm.is_annunciated]
        self._flood.restore(flood, ((alarm.raised_unix_ns, alarm.id, alarm.place.area) for alarm in active))

    def observe(self, observation: Observation, now_unix_ns: int) -> None:
        """Take note of what a notification says.

        Args:
            observation: What it says; its event time decides what it changes.
            now_unix_ns: When it is heard of.
        """
        if observation.event_unix_ns > now_unix_ns:
            observation = replace(observation, event_unix_ns=now_unix_ns)
        self._hear(observation, now_unix_ns)

    def follow(self, observation: Observation, now_unix_ns: int) -> None:
        """The same of what has one source, which tells in order: what it says last counts, whatever its clock says."""
        record, event_unix_ns = self._records.get(observation.key), min(observation.event_unix_ns, now_unix_ns)
        if record is None and observation.cleared:
            # Its raise is not late: there was none.
            return
        if record is not None:
            newest_unix_ns = abs(record.marks[-1])
            event_unix_ns = max(event_unix_ns, newest_unix_ns + (record.says_raised and observation.cleared))
        self._hear(replace(observation, event_unix_ns=event_unix_ns), now_unix_ns)

    def probe(self, line_id: str, said: Probed, now_unix_ns: int) -> None:
        """Take note of what the prober says of a line, in the order in which it says so."""
        derived = self._causes.probe(line_id, replace(said, unix_ns=min(said.unix_ns, now_unix_ns)))
        record = self._records.get(Key(f"line/{line_id}", LINE_DOWN))
        if record is not None:
            # Who says that it is down is kept with it, also where nothing follows.
            self._dirty[record.alarm.id] = record
        self._observe_all(derived, now_unix_ns)

    def _hear(self, observation: Observation, now_unix_ns: int) -> None:
        record = self._records.get(observation.key)
        if record is not None and repeats(record, observation):
            self._dirty[record.alarm.id] = record
        else:
            self._observe(observation, now_unix_ns)

    def command(self, command: Command, now_unix_ns: int) -> CommandResult:
        """Do what an operator wants; the same command twice is done once."""
        known = self._results.get(command.id)
        if known is not None:
            return known
        result = self._command(command, now_unix_ns)
        self._results[command.id] = result
        if len(self._results) > RESULTS_MAX:
            del self._results[next(iter(self._results))]
        return result

    def tick(self, now_unix_ns: int) -> None:
        """Let time pass: shelves that end, flapping that settles, hold-offs, purging, flood. Call it at least each second."""
        self._now_unix_ns = max(self._now_unix_ns, now_unix_ns)
        for alarm_id in list(self._shelved):
            record = self._by_id[alarm_id]
            if kinds := unshelve_expired(record, now_unix_ns):
                self._follow(record, kinds, now_unix_ns)
        for alarm_id in list(self._flapping):
            record = self._by_id[alarm_id]
            if kinds := settle(record, self._lifecycle, now_unix_ns):
                self._follow(record, kinds, now_unix_ns)
        self._purge_old(now_unix_ns)
        self._causes.release(now_unix_ns)
        self._link()
        if now_unix_ns - self._counted_unix_ns >= COUNT_TOLD_S * NS:
            self._tell_counts(now_unix_ns)
        self._flood_news = self._flood.step(now_unix_ns, self._causes.greatest(CAUSES_MAX)) or self._flood_news

    def take(self) -> Taken:
        """All that changed since the last take."""
        self._link()
        dirty = [record.freeze() for record in self._dirty.values()]
        for alarm_id in self._purged:
            self.alarms.pop(alarm_id, None)
        self.alarms.update((alarm.id, alarm) for alarm in dirty)
        changes = [change for alarm_id in self._changes for change in self._changes_of(alarm_id)]
        purged = [alarm_id for alarm_id in self._purged if alarm_id not in self._by_id]
        taken = Taken(changes=changes, dirty=dirty, purged=purged, flood=self._flood_news)
        self._dirty, self._changes, self._purged, self._flood_news = {}, {}, {}, None
        return taken

    def _changes_of(self, alarm_id: str) -> Iterator[Change]:
        told, purged, alarm = self._changes[alarm_id], self._purged.get(alarm_id), self.alarms.get(alarm_id)
        is_state_told = any(kind in _STATE_KINDS for kind, _ in told)
        for (kind, command_id), (unix_ns, by) in told.items():
            shown = purged if kind == "purged" else alarm or purged
            if shown is not None and not (is_state_told and kind in _DETAIL_KINDS):
                yield Change(kind=kind, unix_ns=unix_ns, alarm=shown, by=by, command_id=command_id)

    # --- Notifications. ---

    def _observe(self, observation: Observation, now_unix_ns: int) -> None:
        self._now_unix_ns = max(self._now_unix_ns, now_unix_ns)
        record = self._records.get(observation.key)
        if record is not None:
            kinds = hear(record, observation, self._lifecycle, now_unix_ns)
        elif observation.cleared:
            self._remember_clear(observation.key, observation.event_unix_ns, now_unix_ns)
            return
        elif not self._has_room(observation):
            self.counters.refused += 1
            return
        else:
            cleared_unix_ns, _ = self._clears.pop(observation.key, (0, 0))
            record = open_alarm(observation, now_unix_ns, cleared_unix_ns)
            if (purged := self._purged.get(record.alarm.id)) is not None:
                # Back before anybody has heard that it left: its version goes on, too.
                record.alarm = replace(record.alarm, version=purged.version + 1)
            self._add(record)
            kinds = ["raised"]
            if record.alarm.is_cleared:
                kinds = ["cleared"]
                self._observe_all(self._causes.update_past(record), now_unix_ns)
        self._follow(record, kinds, now_unix_ns)

    def _follow(
        self, record: Record, kinds: list[ChangeKind], now_unix_ns: int, by: str = "", command_id: str = ""
    ) -> None:
        """Do all that follows when an alarm was spoken of, even if there is nothing to tell."""
        alarm = record.alarm
        self._dirty[alarm.id] = record
        for kind in kinds:
            self._tell(alarm.id, kind, now_unix_ns, by, command_id)
        self._sort_in(record, now_unix_ns)
        if alarm.is_annunciated and any(kind in ("raised", "flapping", "unshelved") for kind in kinds):
            self._raised[alarm.id] = None
        self._observe_all(self._causes.update(record), now_unix_ns)

    def _observe_all(self, derived: Iterable[Observation], now_unix_ns: int) -> None:
        for observation in derived:
            self._observe(observation, now_unix_ns)

    def _remember_clear(self, key: Key, event_unix_ns: int, now_unix_ns: int) -> None:
        """For its raise, should that be late."""
        known_unix_ns, _ = self._clears.pop(key, (0, 0))
        until_unix_ns = now_unix_ns + int(self._lifecycle.late_clear_s * NS)
        self._clears[key] = (max(known_unix_ns, event_unix_ns), until_unix_ns)
        if len(self._clears) > CLEARS_MAX:
            del self._clears[next(iter(self._clears))]

    # --- The list. ---

    def _add(self, record: Record) -> None:
        alarm = record.alarm
        self._records[alarm.key] = self._by_id[alarm.id] = record
        if _is_stranger(alarm.resource):
            self._strangers[alarm.id] = None

    def _has_room(self, observation: Observation) -> bool:
        """Make room for a new alarm, if need be: of what is over, then, for what the inventory knows, of strangers'.

        What netmon finds out by itself always has room: the inventory bounds it.
        """
        if len(self._records) < self._lifecycle.alarms_max or is_own(observation.evidence):
            return True
        if self._over:
            self._purge(next(iter(self._over)))
            return True
        if self._strangers and not _is_stranger(observation.key.resource):
            self._purge(next(iter(self._strangers)))
            return True
        return False

    def _purge_old(self, now_unix_ns: int) -> None:
        kept_ns = int(self._lifecycle.purge_cleared_s * NS)
        while self._over and now_unix_ns - self._over[oldest := next(iter(self._over))] >= kept_ns:
            self._purge(oldest)
        while self._clears and self._clears[key := next(iter(self._clears))][1] <= now_unix_ns:
            del self._clears[key]

    def _purge(self, alarm_id: str) -> None:
        record = self._by_id.pop(alarm_id)
        alarm, now_unix_ns = record.freeze(), self._now_unix_ns
        del self._records[alarm.key]
        indexes = (self._over, self._strangers, self._flapping, self._shelved, self._dirty, self._counted, self._raised)
        for index in indexes:
            index.pop(alarm_id, None)
        self._flood.discard(alarm_id)
        self._tally(alarm_id, None)
        self._purged[alarm_id] = alarm
        self._tell(alarm_id, "purged", now_unix_ns)
        # What netmon finds out by itself is told in order: its next raise is none that comes late.
        if alarm.is_cleared and alarm.cleared_unix_ns and not is_own(record.evidence):
            self._remember_clear(alarm.key, alarm.cleared_unix_ns, now_unix_ns)
        self._observe_all(self._causes.forget(record), now_unix_ns)

    def _sort_in(self, record: Record, now_unix_ns: int) -> None:
        """Keep the indexes by state."""
        alarm = record.alarm
        # What netmon has found out by itself, and not taken back, it would find out again.
        is_known = is_own(record.evidence) and not alarm.is_cleared
        if alarm.is_active or alarm.operator_state == "shelved" or is_known:
            self._over.pop(alarm.id, None)
        else:
            self._over.setdefault(alarm.id, now_unix_ns)
        _keep(self._flapping, alarm.id, alarm.flapping)
        _keep(self._shelved, alarm.id, alarm.operator_state == "shelved")
        self._tally(alarm.id, alarm)

    def _tally(self, alarm_id: str, alarm: Alarm | None) -> None:
        """Count an alarm as it is now, and no more as it was."""
        before = self._tallied.pop(alarm_id, None)
        if before is not None:
            self._count(before, -1)
        if alarm is not None and alarm.is_active:
            shelved = alarm.operator_state == "shelved"
            now = (alarm.severity, alarm.flapping, shelved, alarm.cause is not None, alarm.caused > 0)
            self._tallied[alarm_id] = now
            self._count(now, 1)

    def _count(self, tallied: tuple[str, bool, bool, bool, bool], sign: int) -> None:
        severity, flapping, shelved, explained, explains = tallied
        counters = self.counters
        counters.active[severity] += sign
        counters.flapping += sign * flapping
        counters.shelved += sign * shelved
        counters.explained += sign * explained
        counters.roots += sign * (not explained)
        counters.causes += sign * explains

    # --- Causes and flood. ---

    def _link(self) -> None:
        now_unix_ns = self._now_unix_ns
        linked, counted = self._causes.link(now_unix_ns)
        for alarm_id, record in linked.items():
            alarm = record.alarm
            record.alarm = replace(alarm, version=alarm.version + 1, changed_unix_ns=now_unix_ns)
            self._tell(alarm_id, "cause", now_unix_ns)
            if alarm.cause is not None:
                self._flood.discard(alarm_id)
            elif alarm.is_annunciated:
                self._raised[alarm_id] = None
        for alarm_id in self._raised:
            alarm = self._by_id[alarm_id].alarm
            if alarm.is_annunciated:
                self._flood.add(alarm_id, alarm.place.area, now_unix_ns)
        self._raised.clear()
        for alarm_id, record in (linked | counted).items():
            self._dirty[alarm_id] = record
            self._tally(alarm_id, record.alarm)
        self._counted.update(dict.fromkeys(counted))

    def _tell_counts(self, now_unix_ns: int) -> None:
        self._counted_unix_ns = now_unix_ns
        for alarm_id in self._counted:
            self._dirty[alarm_id] = self._by_id[alarm_id]
            self._tell(alarm_id, "cause", now_unix_ns)
        self._counted.clear()

    def _tell(self, alarm_id: str, kind: ChangeKind, now_unix_ns: int, by: str = "", command_id: str = "") -> None:
        """Tell a change at the next take."""
        told = self._changes.setdefault(alarm_id, {})
        told.pop((kind, command_id), None)
        told[kind, command_id] = (now_unix_ns, by)

    # --- Operators. ---

    def _command(self, command: Command, now_unix_ns: int) -> CommandResult:
        record = self._by_id.get(command.alarm_id)
        if record is None:
            return CommandResult(command_id=command.id, outcome="unknown_alarm", detail="there is no such alarm")
        alarm = record.freeze()
        if command.version is not None and command.version != alarm.version:
            detail = f"the alarm has changed: it has version {alarm.version} now"
            return CommandResult(command_id=command.id, outcome="version_changed", detail=detail, alarm=alarm)
        why_not = refusal(alarm, command, now_unix_ns)
        if why_not:
            return CommandResult(command_id=command.id, outcome="not_possible", detail=why_not, alarm=alarm)
        self._follow(record, [operate(record, command, now_unix_ns)], now_unix_ns, command.by, command.id)
        return CommandResult(command_id=command.id, outcome="done", alarm=record.freeze())


def _is_stranger(resource: str) -> bool:
    return resource.startswith("source/")


def _keep(index: dict[str, None], alarm_id: str, is_in: bool) -> None:
    if is_in:
        index[alarm_id] = None
    else:
        index.pop(alarm_id, None)
