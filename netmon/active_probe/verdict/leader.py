"""One verdict process' time as the leader: news comes in, and what follows from it is written at once.

What is known is in a `Judge`, which outlives this object when Redis has only been away: then Redis is brought up to what we know. When
another process has led meanwhile, what it wrote counts, and a new judge begins with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from netmon.active_probe.model import LineMonth, LineStatus, VantageChange, VantageHealth, Vote
from netmon.active_probe.settings import VerdictSettings
from netmon.active_probe.verdict.accounts import month_before, month_of
from netmon.active_probe.verdict.judge import Judge
from netmon.active_probe.verdict.report import Counts, LineReport, line_report
from netmon.buffer.line_store import JUDGED_FIELD, vantage_field, vantage_of_field
from netmon.buffer.line_writer import LineFlush, LineWriter
from netmon.buffer.news_reader import NewsReader
from netmon.log import limited, log

ENTRY_BYTES_MAX: Final = 4 << 20
"""Of one field of the news: some hundred votes with all that their windows show have a tenth of it."""
REFRESH_S: Final = 8.0
"""In which every line is looked at, and written, once."""

_VISIT_NS: Final = 100_000_000
_HEARD_NS: Final = 500_000_000
_BLOCK_MS: Final = 50
_LEASE_SHARE: Final = 5
"""Renewals in the time of a lease."""
_PASS_NS: Final = 100_000_000
"""Of a pass that takes longer, the rest was time in which nobody could be heard: we were stopped, or Redis was."""
_LATE_MAX_NS: Final = 1_000_000_000
"""For so long a delay, more lines are looked at to make up for it."""
_MONTHS_FIELD: Final = "months"

_Value = TypeVar("_Value")
_votes = msgspec.json.Decoder(list[Vote]).decode
_vote = msgspec.json.Decoder(Vote).decode
_health = msgspec.json.Decoder(VantageHealth).decode
_status = msgspec.json.Decoder(LineStatus).decode
_change = msgspec.json.Decoder(VantageChange).decode
_month = msgspec.json.Decoder(LineMonth).decode
_heard = msgspec.json.Decoder(tuple[int, str]).decode
_months = msgspec.json.Decoder(list[str]).decode
_encode = msgspec.json.Encoder().encode


class Leader:
    """The lines while this process leads.

    Attributes:
        judge: What is known.
        shown: The lines as they were last written, for the report.
        lag_s: Largest time between news and what follows from it standing in Redis; whoever reports it sets it back.
    """

    def __init__(self, settings: VerdictSettings, writer: LineWriter, counts: Counts, judge: Judge | None) -> None:
        """Reads everything from Redis. Raises UnavailableError.

        Args:
            settings: Of the process.
            writer: It has just taken the lease.
            counts: Counted up here.
            judge: What we knew when we last led, if nobody else has led since.
        """
        began_mono = time.monotonic()
        self.shown: dict[str, LineReport] = {}
        self.lag_s = 0.0
        self._settings = settings
        self._writer = writer
        self._counts = counts
        self._reader = NewsReader(settings.redis)
        self._line_ids: dict[str, list[str]] = {}
        for line in settings.lines:
            for name in line.vantage_ids:
                self._line_ids.setdefault(name, []).append(line.line_id)
        meta = writer.load_meta()
        self._months = self._load_months(meta)
        stored, rubbish = self._load_lines()
        self._came_ns = time.monotonic_ns()
        self._deaf_ns = 0
        now_unix_ns = time.time_ns()
        if judge is None:
            self.judge = self._begin(meta, stored, self._came_ns, now_unix_ns)
        else:
            self.judge = judge
            judge.forgive(self._came_ns)
            judge.reconcile(stored, now_unix_ns)
        if rubbish:
            writer.flush(LineFlush(gone=rubbish))
        self._reload()
        self._visit_due = self._heard_due = self._came_ns
        self._lease_due = self._came_ns + int(settings.lease_s * 1e9) // _LEASE_SHARE
        log.info(
            "lines.lead_taken",
            fence=writer.fence,
            lines=len(settings.lines),
            stored=len(stored),
            kept=judge is not None,
            load_s=round(time.monotonic() - began_mono, 3),
        )

    def close(self) -> None:
        """Closes the reader's connection."""
        self._reader.close()

    def leave(self) -> None:
        """Brings the accounts up to now, and hands over. Raises UnavailableError."""
        self.judge.account_all(time.time_ns())
        self._flush(time.time_ns())
        self._writer.release()

    def hearing_ns(self) -> int:
        """The clock by which vantages age: the monotonic one, without the time in which nobody could be heard."""
        return time.monotonic_ns() - self._deaf_ns

    @property
    def is_behind(self) -> bool:
        """Whether there is more news than could be read at once."""
        return self._reader.is_behind

    # -- what stood before

    def _begin(self, meta: dict[str, bytes], stored: list[LineStatus], mono_ns: int, unix_ns: int) -> Judge:
        said = {
            name: change
            for field, body in meta.items()
            if (name := vantage_of_field(field)) is not None
            for change in self._readable(_change, [body])
        }
        this = month_of(unix_ns)
        months: list[LineMonth] = []
        for month in (month_before(this, 1), this):
            accounts = self._readable(_month, self._writer.load_month(month))
            months += [account for account in accounts if account.month == month]
        return Judge(self._settings, stored, said, months, mono_ns=mono_ns, unix_ns=unix_ns)

    def _load_lines(self) -> tuple[list[LineStatus], list[bytes]]:
        """What was last written of each line; and the fields of which nobody can tell what they are."""
        stored, rubbish = [], []
        for name, body in self._writer.load_lines():
            status = next(self._readable(_status, [body]), None)
            if status is not None and status.line_id.encode(errors="replace") == name:
                stored.append(status)
            else:
                rubbish.append(name)
        return stored, rubbish

    def _load_months(self, meta: dict[str, bytes]) -> list[str]:
        found = self._readable(_months, [meta[_MONTHS_FIELD]] if _MONTHS_FIELD in meta else [])
        return next(iter(found), [])

    def _reload(self) -> None:
        """Reads what the vantages' hashes hold: all that was said by now."""
        self._reader.begin()
        now_mono_ns, now_unix_ns = self.hearing_ns(), time.time_ns()
        for health in self._readable(_health, self._reader.health(list(self._line_ids))):
            self.judge.remember(health, now_mono_ns, now_unix_ns)
        for name, line_ids in self._line_ids.items():
            for vote in self._readable(_vote, self._reader.votes(name, line_ids)):
                self.judge.recall(vote, now_mono_ns)

    # -- one pass

    def work(self) -> float:
        """Waits a moment for news, and writes what follows from it, or is due; returns 0: whoever calls need not sleep.

        Raises:
            UnavailableError: Redis does not answer, or another process leads: this time as the leader is over.
        """
        news = self._reader.read(_BLOCK_MS)
        came_ns = time.monotonic_ns()
        self._deaf_ns += max(came_ns - self._came_ns - _PASS_NS, 0)
        self._came_ns = came_ns
        if news is None:
            limited.warning(
                "lines.news_missed", cure="none needed: everything is read again; if it is so often, look at load"
            )
            self._counts.reloads += 1
            self._reload()
        mono_ns, unix_ns = came_ns - self._deaf_ns, time.time_ns()
        for field, body in news or ():
            self._take(field, body, mono_ns, unix_ns)
        self._decide(mono_ns, unix_ns)
        if self.judge.is_urgent or came_ns >= self._visit_due:
            self._visit(mono_ns, unix_ns)
            self._flush(unix_ns)
            if news:
                self.lag_s = max(self.lag_s, (time.monotonic_ns() - came_ns) / 1e9)
        if came_ns >= self._lease_due:
            self._lease_due = came_ns + int(self._settings.lease_s * 1e9) // _LEASE_SHARE
            self._writer.renew()
        return 0.0

    def _take(self, field: bytes, body: bytes, mono_ns: int, unix_ns: int) -> None:
        """What one field of the news says."""
        if len(body) > ENTRY_BYTES_MAX or field not in (b"votes", b"health"):
            self._unreadable(f"a field {field[:32]!r} of {len(body)} octets")
        elif field == b"votes":
            for votes in self._readable(_votes, [body]):
                self._counts.votes += len(votes)
                for vote in votes:
                    self.judge.vote(vote, mono_ns)
        else:
            for health in self._readable(_health, [body]):
                self._counts.heartbeats += 1
                self.judge.health(health, mono_ns, unix_ns)

    def _decide(self, mono_ns: int, unix_ns: int) -> None:
        """Judges, knowing what has been heard over lines that may be down."""
        asked = self.judge.suspects()
        if self._came_ns >= self._heard_due:
            self._heard_due = self._came_ns + _HEARD_NS
            asked = self.judge.not_up() + asked
        if asked:
            for line_id, body in self._reader.heard(asked).items():
                for heard_unix_ns, _ in self._readable(_heard, [body]):
                    self.judge.hear(line_id, heard_unix_ns, unix_ns)
        if not self._reader.is_behind:
            self.judge.age(mono_ns, unix_ns)
        self.judge.judge(mono_ns, unix_ns)

    def _visit(self, mono_ns: int, unix_ns: int) -> None:
        """Has some more lines looked at, so that all have been within REFRESH_S."""
        if self._came_ns < self._visit_due:
            return
        late_ns = min(self._came_ns - self._visit_due, _LATE_MAX_NS)
        self._visit_due = self._came_ns + _VISIT_NS
        count = math.ceil(len(self._settings.lines) * (_VISIT_NS + late_ns) / (REFRESH_S * 1e9))
        self.judge.visit(count, mono_ns, unix_ns)

    # -- writing

    def _flush(self, unix_ns: int) -> None:
        """Writes what has changed; on return it stands. Raises UnavailableError."""
        told, statuses, gone = self.judge.take(unix_ns)
        months = self.judge.accounts.take()
        meta = {JUDGED_FIELD: str(unix_ns).encode()}
        meta |= {
            vantage_field(change.vantage_id): _encode(change) for _, change in told if isinstance(change, VantageChange)
        }
        dropped: list[str] = []
        if not {account.month for account in months} <= set(self._months):
            dropped = self._roll({account.month for account in months}, unix_ns)
            meta[_MONTHS_FIELD] = _encode(self._months)
        self._writer.flush(
            LineFlush(statuses=statuses, gone=gone, told=told, months=months, meta=meta, months_dropped=dropped)
        )
        self._counts.flushes += 1
        self._counts.changes = dict(self.judge.changes)
        if self._counts.foreign != self.judge.foreign:
            self._counts.foreign = self.judge.foreign
            limited.warning("lines.vote_ignored", cure="give all vantages and verdict processes the same region")
        self.shown.update((status.line_id, line_report(status)) for status in statuses)

    def _roll(self, new: set[str], unix_ns: int) -> list[str]:
        """Takes new months in; returns those that are too old."""
        oldest = month_before(month_of(unix_ns), self._settings.months_kept - 1)
        known = sorted({*self._months, *new})
        self._months = [month for month in known if month >= oldest]
        return [month for month in known if month < oldest]

    # -- hostile input

    def _readable(self, decode: Callable[[bytes], _Value], bodies: Iterable[bytes]) -> Iterator[_Value]:
        for body in bodies:
            try:
                yield decode(body)
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                self._unreadable(str(error))

    def _unreadable(self, detail: str) -> None:
        self._counts.unreadable += 1
        cure = "see who else writes to keys of {netmon:lines}"
        limited.warning("lines.entry_unreadable", detail=detail[:200], cure=cure)
