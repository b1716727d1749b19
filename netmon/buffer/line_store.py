"""The lines' states in Redis: the keys, and how everybody but the prober reads them.

    view = LineView(settings)
    after = view.last_id()                     # first where the stream is, then the list: no change falls in between
    lines = {status.line_id: status for status in view.lines()}
    while True:
        for told in view.changes(after, block_ms=1_000):
            after = told.entry_id
            ...

Vantages write votes, health and news (`netmon.buffer.vote_writer`), the verdict process all the rest (`netmon.buffer.line_writer`).
All keys but that of the stream of changes are in one slot of a Redis Cluster: that of `netmon:lines`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from netmon.active_probe.model import LineChange, LineMonth, LineStatus, VantageChange, VantageHealth, Vote
from netmon.buffer.view import READ_MAX, View, readable

LINES: Final = "netmon:lines"
"""Hash: line ID to JSON of the LineStatus; written by the verdict process."""
CHANGES: Final = "netmon:line-changes"
"""Stream: one field, `line` with JSON of a LineChange or `vantage` with that of a VantageChange; by the verdict process."""
VANTAGES: Final = "{netmon:lines}:vantages"
"""Hash: vantage ID to JSON of its VantageHealth; written by each vantage."""
NEWS: Final = "{netmon:lines}:news"
"""Stream: one field, `votes` with JSON of a list of Vote or `health` with that of a VantageHealth; by each vantage."""
NEWS_ENTRIES_MAX: Final = 4_000
"""About so many are kept: minutes of a large region, and 0.3 GB. Who has missed more reads the hashes."""
NEWS_VOTES_MAX: Final = 200
"""Votes of one entry."""
HEARD: Final = "{netmon:lines}:heard"
"""Hash: line ID to JSON of `[unix_ns, what]`: what last arrived over a line by itself; by whoever hears it."""
META: Final = "{netmon:lines}:meta"
"""Hash: whose turn it is to judge, when it last did, and what was last said of each vantage."""
JUDGED_FIELD: Final = "judged"
"""Of META: when whoever leads last looked, in nanoseconds since 1970 UTC: what stands is true as long as this grows."""
OUTBOX: Final = "{netmon:lines}:outbox"
"""Stream: in a Redis Cluster, changes on their way to CHANGES; nobody reads it but the verdict process."""
LEASE: Final = "{netmon:lines}:lease"
"""String: the verdict process that judges, for as long as it says so."""

_VANTAGE_FIELD: Final = "vantage:"

_status = msgspec.json.Decoder(LineStatus).decode
_change = msgspec.json.Decoder(LineChange).decode
_vantage_change = msgspec.json.Decoder(VantageChange).decode
_health = msgspec.json.Decoder(VantageHealth).decode
_vote = msgspec.json.Decoder(Vote).decode
_month = msgspec.json.Decoder(LineMonth).decode
_heard = msgspec.json.Decoder(tuple[int, str]).decode


def votes_key(vantage_id: str) -> str:
    """Hash of what a vantage says: line ID to JSON of the Vote."""
    return f"{{netmon:lines}}:votes:{vantage_id}"


def month_key(month: str) -> str:
    """Hash of the accounts of a month (`YYYY-MM`, UTC): line ID to JSON of the LineMonth."""
    return f"{{netmon:lines}}:month:{month}"


def vantage_field(vantage_id: str) -> str:
    """Field of META with JSON of the last VantageChange."""
    return _VANTAGE_FIELD + vantage_id


def vantage_of_field(field: str) -> str | None:
    """ID of the vantage that a field of META is about; None: it is about something else."""
    return field.removeprefix(_VANTAGE_FIELD) if field.startswith(_VANTAGE_FIELD) else None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `netmon:line-changes`; both None for what this netmon does not know, or nobody can read."""

    entry_id: str
    line: LineChange | None = None
    vantage: VantageChange | None = None


class LineView(View):
    """The lines as the API, the command line and reports see them; see `View` for how it fails.

    What no netmon has written is left out: others may write to these hashes, too.
    """

    stream = CHANGES

    def lines(self) -> Iterator[LineStatus]:
        """All lines that are judged, in no order; one may come twice, the later one counts."""
        return (status for _, status in self._values(LINES, _status))

    def line(self, line_id: str) -> LineStatus | None:
        """One line; None when nothing judges it."""
        return self._one(LINES, line_id, _status)

    def changes(self, after: str, *, block_ms: int | None = None, count: int = READ_MAX) -> list[Told]:
        """What came after an entry, oldest first; arguments as those of `entries`."""
        return [told_of(*entry) for entry in self.entries(after, block_ms=block_ms, count=count)]

    def vantages(self) -> dict[str, VantageHealth]:
        """ID to what each vantage last told of itself, however long ago: `judged_vantages` knows who is silent."""
        return dict(self._values(VANTAGES, _health))

    def judged_vantages(self) -> dict[str, VantageChange]:
        """ID to what the verdict process last said of each vantage: live, isolated or stale, and since when."""
        fields = self._ask(lambda client: client.hgetall(META))
        return {
            vantage_id: change
            for name, body in fields.items()
            if (vantage_id := vantage_of_field(name.decode(errors="replace"))) is not None
            and (change := readable(_vantage_change, body)) is not None
        }

    def votes(self, vantage_id: str) -> Iterator[Vote]:
        """What a vantage last said of each line, with everything that its windows show."""
        return (vote for _, vote in self._values(votes_key(vantage_id), _vote))

    def heard(self) -> dict[str, tuple[int, str]]:
        """Line ID to when something last arrived over it by itself (nanoseconds since 1970 UTC), and what."""
        return dict(self._values(HEARD, _heard))

    def months(self, month: str) -> list[LineMonth]:
        """The accounts of all lines in a month (`YYYY-MM`, UTC), by line ID; empty when nothing was kept of it."""
        accounts = dict(self._values(month_key(month), _month))
        return [accounts[line_id] for line_id in sorted(accounts)]

    def has_judge(self) -> bool:
        """Whether a verdict process leads: without one, nothing of all this moves."""
        return bool(self._ask(lambda client: client.exists(LEASE)))


def told_of(entry_id: bytes, fields: dict[bytes, bytes]) -> Told:
    """An entry of `netmon:line-changes`."""
    name = entry_id.decode()
    if (body := fields.get(b"line")) is not None:
        return Told(entry_id=name, line=readable(_change, body))
    if (body := fields.get(b"vantage")) is not None:
        return Told(entry_id=name, vantage=readable(_vantage_change, body))
    return Told(entry_id=name)
