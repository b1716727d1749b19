"""A stream that is followed behind a position, and what stands beside it, which is taken first where the stream does not have all.

That is so where the stream does not go on behind the position, because it was trimmed, lost, or never read.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis

from netmon.buffer.alarm_reader import Batch, Reader
from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.stream import parse_id
from netmon.model import RedisSettings

_ENTRIES_MAX: Final = 500
_BLOCK_MS: Final = 500
_TEND_S: Final = 1.0
_SCAN_COUNT: Final = 2_000

_NO_ID: Final = b"0-0"

Entries = list[tuple[bytes, list[bytes]]]


class FollowingReader(Reader):
    """One stream. A kind of it says what stands beside it."""

    def __init__(
        self, settings: RedisSettings, name: str, ring: Callable[[], None], kind: str, key: str, position: bytes
    ) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of the thread.
            ring: Called, in the thread, when there is something to `take`.
            kind: Of the batches.
            key: Of the stream.
            position: ID of the last entry whose effects stand.
        """
        super().__init__(settings, name, ring)
        self.found = True
        self._kind = kind
        self._key = key
        self._position = position
        self._tend_mono = 0.0

    @abstractmethod
    def _stand(self) -> list[list[bytes]]:
        """Name and value of fields that tell how all is; empty: the stream is all there is. Raises UnavailableError."""

    def _wanted(self, entries: Entries) -> Entries:
        """Those of the entries that matter to whoever takes them."""
        return entries

    def _read(self, connection: Connection) -> None:
        self._tend(connection)
        words = ("XREAD", "COUNT", _ENTRIES_MAX, "BLOCK", _BLOCK_MS, "STREAMS", self._key, self._position)
        for _, entries in connection.command(*words) or []:
            self._position = entries[-1][0]
            if wanted := self._wanted(entries):
                self._put([Batch(self._kind, self._key, "", wanted)])

    def _tend(self, connection: Connection) -> None:
        """Sees whether the stream goes on behind the position. Else it was trimmed, is another one, or was never read."""
        now = time.monotonic()
        if self._tend_mono and now - self._tend_mono < _TEND_S:
            return
        connection.send(encode_command("XINFO", "STREAM", self._key))
        look = connection.reply()
        if not isinstance(look, hiredis.ReplyError):
            self._look(look)
        elif "no such key" in str(look):
            self._position = _NO_ID
        else:
            raise connection.refusal(look)
        # Only now: what failed half-way is done again with the next connection.
        self._tend_mono = now

    def _look(self, look: Sequence[Any]) -> None:
        facts = {look[at]: look[at + 1] for at in range(0, len(look), 2)}
        newest, oldest, here = facts[b"last-generated-id"], facts[b"first-entry"], parse_id(self._position)
        if parse_id(newest) < here or (oldest is not None and parse_id(oldest[0]) > here):
            self._begin_anew(newest)

    def _begin_anew(self, newest: bytes) -> None:
        """Takes how all is instead of how it came to that. What comes behind the newest entry is not in it yet."""
        found = self._stand()
        if not found:
            self._position = _NO_ID
            return
        while found:
            page, found = found[:_ENTRIES_MAX], found[_ENTRIES_MAX:]
            # The position moves on with the last page: whoever dies in between begins anew once more.
            entry_id = self._position if found else newest
            self._put([Batch(self._kind, self._key, "", [(entry_id, fields) for fields in page])])
        self._position = newest


def values_in(settings: RedisSettings, key: str) -> list[tuple[bytes, bytes]]:
    """Fields and values of a hash, over a connection of its own. Raises UnavailableError."""
    pairs = _at_once(settings, "HGETALL", key)
    return list(zip(pairs[::2], pairs[1::2], strict=True))


def bodies_with(settings: RedisSettings, key: str, mark: bytes) -> list[bytes]:
    """Values of a large hash that contain some octets; one may come twice, the later one counts. Raises UnavailableError."""
    found: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, page = _at_once(settings, "HSCAN", key, cursor, "COUNT", _SCAN_COUNT)
        found += [body for body in page[1::2] if mark in body]
        if cursor == b"0":
            return found


def _at_once(settings: RedisSettings, *words: bytes | str | int) -> Any:
    connection = Connection(settings)
    try:
        try:
            return connection.command(*words)
        except MovedError as error:
            connection = Connection(settings, moved_to(error))
            return connection.command(*words)
    finally:
        connection.close()
