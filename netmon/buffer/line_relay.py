"""The stream of changes in a Redis Cluster, where it is in another slot than the rest, and no transaction spans both.

Changes stand in an outbox first, which is in the transaction of the states. From there they are copied under the IDs that they have:
Redis refuses an ID that is not greater than the last one, so whoever copies, and however often, each change is in the stream once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import hiredis

from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.line_store import CHANGES
from netmon.model import RedisSettings

_MULTI: Final = encode_command("MULTI")
_EXEC: Final = encode_command("EXEC")
_KNOWN: Final = "ERR The ID specified in XADD is equal or smaller"


class LineRelay:
    """Copies into the stream, over a connection to the node that has it. Every method raises UnavailableError."""

    def __init__(self, settings: RedisSettings, stream_entries_max: int) -> None:
        """Connects to nothing yet."""
        self._settings = settings
        self._tell = ("XADD", CHANGES, "MAXLEN", "~", stream_entries_max)
        self._connection: Connection | None = None

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def last_id(self) -> bytes:
        """ID of the newest change that is in the stream."""
        entries = self._ask("XREVRANGE", CHANGES, "+", "-", "COUNT", 1)
        return entries[0][0] if entries else b"0-0"

    def copy(self, entries: Sequence[tuple[bytes, list[bytes]]]) -> None:
        """Appends changes, all or none; those that are there already are left as they are."""
        commands = [encode_command(*self._tell, entry_id, *fields) for entry_id, fields in entries]
        connection = self._connected()
        connection.send(b"".join([_MULTI, *commands, _EXEC]))
        *_, done = connection.replies(len(commands) + 2)
        for reply in [done] if isinstance(done, hiredis.ReplyError) else done:
            if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith(_KNOWN):
                raise connection.refusal(reply)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._settings)
        return self._connection

    def _ask(self, *words: bytes | str | int) -> Any:
        try:
            return self._connected().command(*words)
        except MovedError as error:
            self._connection = Connection(self._settings, moved_to(error))
            return self._connection.command(*words)
