"""The lines' states in Redis as the verdict process writes them: one leader at a time, and each flush all or nothing.

States, changes and accounts of one flush are in one fenced transaction (`netmon.buffer.fenced`), so the hash, the stream and the
months never disagree. In a Redis Cluster the stream is in another slot than the rest, and no transaction spans both: there, changes
go into an outbox that is in the transaction, and from it into the stream under the same IDs, which Redis takes only once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from netmon.active_probe.model import LineMonth, LineStatus
from netmon.buffer.connection import encode_command
from netmon.buffer.fenced import FencedWriter
from netmon.buffer.line_store import CHANGES, LEASE, LINES, META, month_key
from netmon.model import RedisSettings

_encode = msgspec.json.Encoder().encode


class LineFlush(NamedTuple):
    """What one transaction writes."""

    statuses: Sequence[LineStatus] = ()
    """As they are now."""
    gone: Sequence[str] = ()
    """IDs of lines that are not judged any more."""
    told: Sequence[tuple[str, msgspec.Struct]] = ()
    """Entries of the stream, in order: the name of the field, and its value."""
    months: Sequence[LineMonth] = ()
    """Accounts as they are now."""
    meta: Mapping[str, bytes | str] = {}
    """Fields of the hash beside the lines."""
    months_dropped: Sequence[str] = ()
    """Months whose accounts go."""


class LineWriter(FencedWriter):
    """One verdict process's hold on the lines; see `FencedWriter` for how it fails."""

    def __init__(self, settings: RedisSettings, name: str, *, lease_ms: int, stream_entries_max: int) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of this process, the same after a restart.
            lease_ms: How long the lease outlives a process that is silent.
            stream_entries_max: Entries of `netmon:line-changes` that are kept.
        """
        super().__init__(settings, name, lease_ms=lease_ms, lease=LEASE, meta=META)
        self._tell = [b"XADD", CHANGES.encode(), b"MAXLEN", b"~", b"%d" % stream_entries_max, b"*"]

    def load_lines(self) -> Iterator[bytes]:
        """JSON of the status of each line that was judged. Take all of them before anything else."""
        return (body for _, body in self._pairs(LINES))

    def load_month(self, month: str) -> Iterator[bytes]:
        """JSON of the accounts of a month (`YYYY-MM`). Take all of them before anything else."""
        return (body for _, body in self._pairs(month_key(month)))

    def flush(self, flush: LineFlush) -> None:
        """Sends a transaction; Redis works on it while the caller goes on. `settle` tells what became of it."""
        commands = [encode_command(*self._tell, field, _encode(value)) for field, value in flush.told]
        if flush.gone:
            commands.append(encode_command("HDEL", LINES, *flush.gone))
        if flush.statuses:
            pairs = [word for status in flush.statuses for word in (status.line_id, _encode(status))]
            commands.append(encode_command("HSET", LINES, *pairs))
        commands += [
            encode_command("HSET", month_key(account.month), account.line_id, _encode(account))
            for account in flush.months
        ]
        if flush.meta:
            commands.append(encode_command("HSET", META, *(word for pair in flush.meta.items() for word in pair)))
        if flush.months_dropped:
            commands.append(encode_command("UNLINK", *map(month_key, flush.months_dropped)))
        self._transact(commands)
