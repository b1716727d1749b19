"""What the verdict process reads: news of the vantages as they come, and what stands in their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from netmon.buffer.connection import Connection, MovedError, moved_to
from netmon.buffer.line_store import HEARD, NEWS, VANTAGES, votes_key
from netmon.buffer.stream import parse_id
from netmon.model import RedisSettings

ENTRIES_MAX: Final = 100
"""Of one reply: each may hold some hundred votes."""

_FIELDS_MAX: Final = 1_000
"""Of a hash in one reply."""


class NewsReader:
    """Reads behind what it has read, over a connection of its own that is made when it is needed.

    Every method raises UnavailableError when Redis does not answer or refuses; the connection is closed then.

    Attributes:
        is_behind: The last reply was as large as one may be: there is more.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Prepares."""
        self.is_behind = False
        self._settings = settings
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None
        self._position = b"0-0"

    def close(self) -> None:
        """Closes the connection; the next call makes another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def begin(self) -> None:
        """From now on `read` tells what comes after; ask for `health` and `votes` then, and nothing falls in between."""
        entries = self._ask("XREVRANGE", NEWS, "+", "-", "COUNT", 1)
        self._position = entries[0][0] if entries else b"0-0"

    def read(self, block_ms: int) -> list[tuple[bytes, bytes]] | None:
        """Name and value of the fields that came since, oldest first; waits for at most so long for something to come.

        Returns:
            None when some of it may have been trimmed before it was read: begin anew.
        """
        reply = self._ask("XREAD", "COUNT", ENTRIES_MAX, "BLOCK", block_ms, "STREAMS", NEWS, self._position)
        entries = reply[0][1] if reply else []
        self.is_behind = len(entries) == ENTRIES_MAX
        if self.is_behind and self._is_trimmed(entries[0][0]):
            return None
        if entries:
            self._position = entries[-1][0]
        return [(fields[at], fields[at + 1]) for _, fields in entries for at in range(0, len(fields), 2)]

    def _is_trimmed(self, first: bytes) -> bool:
        """Whether the first entry that we have not read is the oldest of the stream: there may have been others before it."""
        oldest = self._ask("XRANGE", NEWS, "-", "+", "COUNT", 1)
        return not oldest or parse_id(oldest[0][0]) >= parse_id(first)

    def health(self, vantage_ids: Sequence[str]) -> list[bytes]:
        """JSON of what these vantages last told of themselves, of those that ever have."""
        return list(self._those(VANTAGES, vantage_ids).values())

    def votes(self, vantage_id: str, line_ids: Sequence[str]) -> list[bytes]:
        """JSON of what a vantage last said of these lines, of those of which it ever has."""
        return list(self._those(votes_key(vantage_id), line_ids).values())

    def heard(self, line_ids: Sequence[str]) -> dict[str, bytes]:
        """Line ID to JSON of when something last arrived over it, of those of the lines over which anything ever has."""
        return self._those(HEARD, line_ids)

    def _those(self, key: str, names: Sequence[str]) -> dict[str, bytes]:
        """Of a hash; in parts, and by name: what others may have put there is not asked for."""
        found: dict[str, bytes] = {}
        for at in range(0, len(names), _FIELDS_MAX):
            some = names[at : at + _FIELDS_MAX]
            found |= {name: body for name, body in zip(some, self._ask("HMGET", key, *some), strict=True) if body}
        return found

    def _ask(self, *words: bytes | str | int) -> Any:
        if self._connection is None:
            self._connection = Connection(self._settings, self._node)
        try:
            return self._connection.command(*words)
        except MovedError as error:
            # Redis Cluster says where the keys are.
            self._node = moved_to(error)
            self._connection = Connection(self._settings, self._node)
            return self._connection.command(*words)
