"""Notifications that no rule knows: counted by trap OID, so that somebody sees what rules are missing.

Pure. Bounded, whoever sends what: the table keeps the trap OIDs that come most often. What came rarely and long ago makes
room for what is new, and its count goes to `other`: nothing is ever left uncounted.
"""

from __future__ import annotations

import heapq
from typing import Final

import msgspec

from netmon.alarms.rules.template import plain
from netmon.model import TrapEvent

ROWS_MAX: Final = 200
"""Trap OIDs that are shown; twice as many are counted. A network has some dozens; more are forged, and no person reads them."""
OID_LETTERS_MAX: Final = 256
NAME_LETTERS_MAX: Final = 64
ADDRESS_LETTERS_MAX: Final = 64


class Unmatched(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One kind of notification."""

    trap_oid: str
    name: str = ""
    """Empty when no catalogue knows it."""
    count: int
    last_source: str
    """Address of the device that sent the newest."""
    last_unix_ns: int
    """Event time of the newest."""


class UnmatchedReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The table at one moment: JSON in the field `unmatched` of the hash `{netmon:alarms}:meta`."""

    rows: tuple[Unmatched, ...] = ()
    """The most frequent first."""
    other: int = 0
    """Notifications of trap OIDs that are not in `rows` any more."""

    @property
    def total(self) -> int:
        """All notifications that no rule knew."""
        return self.other + sum(row.count for row in self.rows)


class _Row(msgspec.Struct):
    """One row in the making."""

    name: str
    count: int
    last_source: str
    last_unix_ns: int
    touched: int
    """Number of the notification that touched it last."""


class UnmatchedTable:
    """Counts unmatched notifications."""

    def __init__(self, before: UnmatchedReport | None = None, rows_max: int = ROWS_MAX) -> None:
        """Go on from a report of an earlier worker, or from nothing."""
        self._rows_max = rows_max
        self._rows: dict[str, _Row] = {}
        self._other = 0
        self._touched = 0
        if before is not None:
            self._other = before.other + sum(row.count for row in before.rows[rows_max:])
            for row in before.rows[:rows_max]:
                self._rows[row.trap_oid] = _Row(row.name, row.count, row.last_source, row.last_unix_ns, 0)

    def add(self, event: TrapEvent) -> None:
        """Count one notification."""
        self._touched += 1
        oid = plain(event.trap_oid, OID_LETTERS_MAX)
        row = self._rows.get(oid)
        if row is None:
            if len(self._rows) >= 2 * self._rows_max:
                self._make_room()
            row = self._rows[oid] = _Row(plain(event.name or "", NAME_LETTERS_MAX), 0, "", 0, 0)
        row.count += 1
        row.touched = self._touched
        if event.event_unix_ns >= row.last_unix_ns:
            row.last_source, row.last_unix_ns = plain(event.source, ADDRESS_LETTERS_MAX), event.event_unix_ns

    def report(self) -> UnmatchedReport:
        """The table as it is now."""
        rows = [
            Unmatched(
                trap_oid=oid,
                name=row.name,
                count=row.count,
                last_source=row.last_source,
                last_unix_ns=row.last_unix_ns,
            )
            for oid, row in self._rows.items()
        ]
        rows.sort(key=lambda row: (-row.count, row.trap_oid))
        shown, rest = rows[: self._rows_max], rows[self._rows_max :]
        return UnmatchedReport(rows=tuple(shown), other=self._other + sum(row.count for row in rest))

    def _make_room(self) -> None:
        """Drop half of the rows: those that came most rarely, and of equal ones those that are silent for the longest.

        One at a time would cost a look at the whole table for each trap OID that somebody makes up.
        """
        kept = heapq.nlargest(self._rows_max, self._rows.items(), key=lambda item: (item[1].count, item[1].touched))
        self._other += sum(row.count for row in self._rows.values()) - sum(row.count for _, row in kept)
        self._rows = dict(kept)
