"""The lines' states in Redis as the verdict process writes them: one leader at a time, and each flush all or nothing.

States, changes and accounts of one flush are in one fenced transaction (`netmon.buffer.fenced`), so the hash, the stream and the
months never disagree. In a Redis Cluster, an outbox is in the transaction instead of the stream (`netmon.buffer.line_relay`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import hiredis
import msgspec

from netmon.active_probe.model import LineMonth, LineStatus
from netmon.buffer.connection import encode_command
from netmon.buffer.fenced import FencedWriter
from netmon.buffer.line_relay import LineRelay
from netmon.buffer.line_store import CHANGES, LEASE, LINES, META, OUTBOX, month_key
from netmon.model import RedisSettings

_FORWARD_MAX: Final = 500
"""Changes of one copy."""

_encode = msgspec.json.Encoder().encode


class LineFlush(NamedTuple):
    """What one transaction writes."""

    statuses: Sequence[LineStatus] = ()
    """As they are now."""
    gone: Sequence[str | bytes] = ()
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
        self._entries_max = stream_entries_max
        self._relay: LineRelay | None = None
        """In a Redis Cluster, while we lead."""
        self._relayed = b"0-0"

    def take(self, unix_ns: int) -> bool:
        """Takes the lease if it is free; whether we lead now."""
        if not super().take(unix_ns):
            return False
        if self._relay is None and self._is_in_cluster():
            self._relay = LineRelay(self._settings, self._entries_max)
            self._relayed = self._relay.last_id()
            self._forward()
        return True

    def close(self) -> None:
        """Closes all connections; what became of a flush that was not settled is unknown. We do not lead any more."""
        super().close()
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def load_lines(self) -> Iterator[tuple[bytes, bytes]]:
        """Line ID and JSON of the status of each line that was judged. Take all of them before anything else."""
        return self._pairs(LINES)

    def load_month(self, month: str) -> Iterator[bytes]:
        """JSON of the accounts of a month (`YYYY-MM`). Take all of them before anything else."""
        return (body for _, body in self._pairs(month_key(month)))

    def flush(self, flush: LineFlush) -> None:
        """Writes a transaction; on return Redis has all of it, and nothing of it after a FencedError."""
        stream = CHANGES if self._relay is None else OUTBOX
        tell = ("XADD", stream, "MAXLEN", "~", self._entries_max, "*")
        commands = [encode_command(*tell, field, _encode(value)) for field, value in flush.told]
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
        # What the socket has not taken yet would wait for as long as the caller waits for news.
        self.settle()
        if flush.told:
            self._forward()

    def _forward(self) -> None:
        """Copies what the outbox has into the stream."""
        while self._relay is not None:
            entries = self._command("XRANGE", OUTBOX, b"(" + self._relayed, "+", "COUNT", _FORWARD_MAX)
            if not entries:
                return
            self._relay.copy(entries)
            self._relayed = entries[-1][0]

    def _is_in_cluster(self) -> bool:
        connection = self._ready()
        connection.send(encode_command("INFO", "cluster"))
        reply = connection.reply()
        # A user that may not ask has no cluster, as far as we can know.
        return not isinstance(reply, hiredis.ReplyError) and b"cluster_enabled:1" in reply
