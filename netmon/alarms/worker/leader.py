"""One worker's time as the leader: everything in memory, from what Redis had when it began.

Entries are taken, the book changes, and what has changed is flushed together with the positions. Any failure ends the time: the
object is dropped with all that was not flushed, and the next one begins from what Redis has. So there is no state to mend.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from netmon.alarms.lifecycle.book import Book
from netmon.alarms.lifecycle.flood import FloodState
from netmon.alarms.model import Alarm, Command, CommandResult
from netmon.alarms.posture.situation import News, Situation
from netmon.alarms.rules.matcher import Matcher
from netmon.alarms.rules.unmatched import UnmatchedReport, UnmatchedTable
from netmon.alarms.settings import AlarmSettings
from netmon.alarms.worker.intake import EntryError, Intake
from netmon.alarms.worker.line_intake import LineIntake
from netmon.alarms.worker.passive import PassiveLines
from netmon.alarms.worker.report import Counts
from netmon.buffer.alarm_reader import KINDS, Batch, CommandReader, Lag, LaneReader, position_field
from netmon.buffer.alarm_store import COMMANDS
from netmon.buffer.alarm_writer import AlarmWriter, Flush
from netmon.buffer.line_reader import KIND as LINES
from netmon.buffer.line_reader import HeardWriter, LineReader
from netmon.buffer.line_store import CHANGES
from netmon.inventory.topology import Topology
from netmon.log import limited, log

_TICK_NS: Final = 200_000_000
_REPEATS_NS: Final = 50_000_000
"""How long counts of repeats may wait, for others to be written with them."""
_MEASURE_NS: Final = 10_000_000_000
_HEARD_NS: Final = 1_000_000_000
_LEASE_SHARE: Final = 5
"""Renewals in the time of a lease."""
_LANES_MAX: Final = 1_024

_decode_command = msgspec.json.Decoder(Command).decode


class Leader:
    """The alarms while this worker leads.

    Attributes:
        book: All alarms.
        intake: Where notifications go in.
        lines: Where what the prober says goes in.
        situation: Where the areas stand.
        flooding: Whether there are more alarms than a person can read.
    """

    def __init__(
        self,
        settings: AlarmSettings,
        writer: AlarmWriter,
        *,
        matcher: Matcher,
        topology: Topology,
        counts: Counts,
        left_out: Iterable[tuple[str, bytes]],
        ring: Callable[[], None],
    ) -> None:
        """Reads everything from Redis, and begins to read the streams. Raises UnavailableError.

        Args:
            settings: Of the worker.
            writer: It has just taken the lease.
            matcher: The rules.
            topology: The region.
            counts: Counted up here.
            left_out: Entries that netmon failed at.
            ring: Called by the readers' threads when there is something to work on.
        """
        began_mono = time.monotonic()
        self._meta = writer.load_meta()
        self.book = Book(settings.lifecycle, settings.flood, topology)
        flood = msgspec.json.decode(self._meta["flood"], type=FloodState) if "flood" in self._meta else FloodState()
        self.book.load(list(writer.load_alarms()), flood)
        self._left_out = frozenset(left_out)
        self._unmatched = UnmatchedTable(_unmatched_in(self._meta))
        self.situation = Situation(settings.posture, topology, self._meta, self.book, time.time_ns())
        heard_line_ids = settings.probed_line_ids if settings.passive_evidence else ()
        self.intake = Intake(
            matcher,
            topology,
            counts,
            self.book.observe,
            unmatched=self._unmatched.add,
            hear=self.situation.forecaster.hear,
            left_out=self._left_out,
            passive=PassiveLines(topology, heard_line_ids, settings.own_site_id),
        )
        self.lines = LineIntake(self.book, topology, counts, vantage_ids=settings.vantage_ids, left_out=self._left_out)
        self.lines.give_up(settings.probed_line_ids, time.time_ns())
        self.flooding = flood.active
        self._settings = settings
        self._writer = writer
        self._counts = counts
        self._ring = ring
        self._lanes: list[LaneReader] = []
        done = self._meta.get(position_field("", COMMANDS), b"0-0")
        self._commands = CommandReader(settings.redis, "alarms.commands", COMMANDS, done, ring)
        self._commands.start()
        self._line_changes = LineReader(settings.redis, self._meta.get(position_field("", CHANGES), b"0-0"), ring)
        self._line_changes.start()
        self._heard = HeardWriter(settings.redis)
        self._heard.start()
        self._pending = _Pending(self.book)
        self._settled: list[tuple[str, bytes]] = []
        self._unmatched_told = counts.unmatched
        now = time.monotonic_ns()
        self._tick_due = self._repeats_due = self._measure_due = self._heard_due = now
        self._lease_due = now + int(settings.lease_s * 1e9) // _LEASE_SHARE
        for receiver in settings.receivers:
            self._add_lane(receiver, 0)
        log.info(
            "alarms.lead_taken",
            fence=writer.fence,
            alarms=len(self.book.alarms),
            load_s=round(time.monotonic() - began_mono, 3),
        )

    def close(self) -> None:
        """Ends the readers; what they have read and nobody took comes again."""
        for reader in (*self._lanes, self._commands, self._line_changes):
            reader.stop()
        self._heard.stop()

    def leave(self) -> None:
        """Writes what is left to write, and hands over. Raises UnavailableError."""
        self._pending.collect()
        self._flush()
        self._writer.release()

    # -- one pass

    def work(self) -> float:
        """Takes what has come, and writes what is due; returns how long to sleep, in seconds.

        Raises:
            UnavailableError: Redis does not answer, or another worker leads: this time as the leader is over.
            EntryError: So it is; and an entry is to be left out.
        """
        batches = self._read()
        now_unix_ns = time.time_ns()
        for batch in batches:
            if batch.kind == "commands":
                self._command(batch, now_unix_ns)
            elif batch.kind == LINES:
                self.lines.take(batch, now_unix_ns)
            else:
                self.intake.take(batch, now_unix_ns)
            self._pending.positions[batch.position_field] = (batch.key, batch.entries[-1][0])
        mono_ns = time.monotonic_ns()
        if mono_ns >= self._tick_due:
            self._tick_due = mono_ns + _TICK_NS
            self.book.tick(now_unix_ns)
            self.situation.count(self.intake.area_seconds)
            self.intake.area_seconds.clear()
        if mono_ns >= self._heard_due:
            self._heard_due = mono_ns + _HEARD_NS
            if heard := self.intake.passive.take(now_unix_ns):
                self._heard.put(heard)
        if mono_ns >= self._measure_due:
            self._measure_due = mono_ns + _MEASURE_NS
            self._measure(now_unix_ns)
        self.situation.tick(self.book, self._is_caught_up, now_unix_ns)
        self._pending.add(self.situation.take(now_unix_ns))
        self._write(mono_ns)
        if mono_ns >= self._lease_due:
            self._lease_due = mono_ns + int(self._settings.lease_s * 1e9) // _LEASE_SHARE
            self._writer.renew()
        return 0.0 if batches else self._idle_s(mono_ns)

    def _idle_s(self, mono_ns: int) -> float:
        self._settle()
        due = min(self._tick_due, self._lease_due)
        if not self._pending.is_empty:
            due = min(due, self._repeats_due)
        return max(due - mono_ns, 0) / 1e9

    def _read(self) -> list[Batch]:
        """What the readers have now: commands first, then lines, then all lanes' express streams, traps and late ones."""
        found = self._commands.take() + self._line_changes.take()
        lanes = [batch for lane in self._lanes for batch in lane.take()]
        for kind in KINDS:
            found += [batch for batch in lanes if batch.kind == kind]
        for lane in [lane for lane in self._lanes if lane.found]:
            if lane is self._last_lane(lane.receiver) and lane.lane + 1 < _LANES_MAX:
                self._add_lane(lane.receiver, lane.lane + 1)
        return found

    def _last_lane(self, receiver: str) -> LaneReader:
        return next(lane for lane in reversed(self._lanes) if lane.receiver == receiver)

    def _add_lane(self, receiver: str, number: int) -> None:
        """Looks for a lane; the one after the last is always looked for, since a receiver may get more."""
        lane = LaneReader(self._settings.redis, receiver, number, self._meta, self._ring)
        lane.start()
        self._lanes.append(lane)

    def lags(self) -> dict[str, Lag]:
        """How far behind each kind of stream is: all lanes together, the oldest of them."""
        found = dict.fromkeys(KINDS, Lag(0, 0))
        for lane in self._lanes:
            for kind, lag in lane.lags.items():
                oldest = [ms for ms in (found[kind].oldest_unix_ms, lag.oldest_unix_ms) if ms]
                found[kind] = Lag(found[kind].entries + lag.entries, min(oldest, default=0))
        return found

    def _measure(self, now_unix_ns: int) -> None:
        """Looks at what may run out: the disk under the journal, the memory of Redis."""
        self._settle()
        used, most = self._writer.memory()
        self.situation.forecaster.memory(used, most, now_unix_ns)
        try:
            disk = os.statvfs(self._settings.directory)
        except OSError:
            return
        self.situation.forecaster.disk(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, now_unix_ns)

    def _is_caught_up(self) -> bool:
        lags = self.lags()
        return not any(lags[kind].entries for kind in ("express", "traps"))

    # -- commands

    def _command(self, batch: Batch, now_unix_ns: int) -> None:
        self._settle()
        wanted = [(entry_id, fields) for entry_id, fields in batch.entries if len(fields) == 2]
        self._counts.commands_unreadable += len(batch.entries) - len(wanted)
        commands: dict[str, tuple[bytes, Command]] = {}
        for entry_id, fields in wanted:
            try:
                if not self.situation.command(fields[0], fields[1], now_unix_ns):
                    command = _command_in(fields)
                    commands.setdefault(command.id, (entry_id, command))
            except msgspec.DecodeError as error:
                self._counts.commands_unreadable += 1
                limited.warning("alarms.command_unreadable", entry=entry_id.decode(), detail=str(error))
        done = self._writer.known_results(list(commands)) | {name for name, _ in self._pending.results}
        for name, (entry_id, command) in commands.items():
            if name not in done and (batch.key, entry_id) not in self._left_out:
                self._obey(batch.key, entry_id, command, now_unix_ns)

    def _obey(self, key: str, entry_id: bytes, command: Command, now_unix_ns: int) -> None:
        """Does what an operator wants. Raises EntryError."""
        self._counts.commands += 1
        try:
            result = self.book.command(command, now_unix_ns)
        except Exception as error:
            # As with notifications: one that netmon fails at must not come again for ever.
            raise EntryError(key, entry_id) from error
        self._pending.results.append((command.id, result))

    # -- writing

    def _write(self, mono_ns: int) -> None:
        """Flushes when there is something that somebody waits for, or when counts have waited long enough."""
        pending = self._pending
        if flood := pending.collect():
            self.flooding = flood.active
        if pending.is_urgent or (mono_ns >= self._repeats_due and not pending.is_empty):
            self._repeats_due = mono_ns + _REPEATS_NS
            self._flush()

    def _flush(self) -> None:
        pending = self._pending
        if pending.is_empty:
            return
        if self._unmatched_told != self._counts.unmatched:
            self._unmatched_told = self._counts.unmatched
            pending.meta["unmatched"] = msgspec.json.encode(self._unmatched.report())
        self._settle()
        self._writer.flush(pending.flush())
        self._counts.flushes += 1
        for kind, value in pending.told:
            name = getattr(value, "kind", kind)
            self._counts.changes[name] = self._counts.changes.get(name, 0) + 1
        self._settled = list(pending.positions.values())
        self._pending = _Pending(self.book)

    def _settle(self) -> None:
        """Waits for the last flush; then retention may have what stands."""
        self._writer.settle()
        for key, entry_id in self._settled:
            for lane in self._lanes:
                lane.done(key, entry_id)
        self._settled = []


def _command_in(fields: list[bytes]) -> Command:
    """What an operator wants. Raises msgspec.DecodeError."""
    if fields[0] != b"command":
        raise msgspec.DecodeError(f"field {fields[0].decode(errors='replace')!r} is not known")
    return _decode_command(fields[1])


def _unmatched_in(meta: Mapping[str, bytes]) -> UnmatchedReport | None:
    """What was unmatched before."""
    return msgspec.json.decode(meta["unmatched"], type=UnmatchedReport) if "unmatched" in meta else None


class _Pending:
    """What has changed since the last flush."""

    def __init__(self, book: Book) -> None:
        self.told: list[tuple[str, msgspec.Struct]] = []
        """Entries of the stream: the name of the field, and its value."""
        self.results: list[tuple[str, CommandResult]] = []
        self.positions: dict[str, tuple[str, bytes]] = {}
        """By `position_field`: the stream's key, and the ID of the last entry that was taken."""
        self._book = book
        self._alarms: dict[str, Alarm] = {}
        self.meta: dict[str, bytes] = {}
        """Fields of the hash beside the alarms."""
        self._forgotten: set[str] = set()
        self._purged: set[str] = set()
        self._flood: FloodState | None = None

    def collect(self) -> FloodState | None:
        """Takes what has changed in the book; returns the flood if it has."""
        taken = self._book.take()
        for alarm in taken.dirty:
            self._purged.discard(alarm.id)
            self._alarms[alarm.id] = alarm
        for alarm_id in taken.purged:
            self._alarms.pop(alarm_id, None)
            self._purged.add(alarm_id)
        self.told += [("change", change) for change in taken.changes]
        if taken.flood is not None:
            self._flood = taken.flood
            self.told.append(("flood", taken.flood))
        return taken.flood

    def add(self, news: News | None) -> None:
        """Takes what the areas' situation has to tell."""
        if news is None:
            return
        self.told += [("posture", change) for change in news.told]
        self.results += news.results
        self.meta.update(news.meta)
        self._forgotten = (self._forgotten | set(news.forgotten)) - set(news.meta)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody is to be told."""
        return bool(self.told or self.results)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write, not even a position."""
        return not (
            self.told or self.results or self.positions or self._alarms or self._purged or self.meta or self._forgotten
        )

    def flush(self) -> Flush:
        """All of it as one transaction."""
        meta: dict[str, bytes | str] = {**self.meta}
        meta |= {field: position for field, (_, position) in self.positions.items()}
        if self._flood is not None:
            meta["flood"] = msgspec.json.encode(self._flood)
        return Flush(
            alarms=list(self._alarms.values()),
            purged=list(self._purged),
            told=self.told,
            meta=meta,
            forgotten=list(self._forgotten),
            results=self.results,
        )
