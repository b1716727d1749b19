"""The late stream of a lane: what was decoded out of its turn, appended exactly once by whoever holds the lane's late log.

Decode makes the claim on the lane's keys and keeps the budget; who writes here joins it. A batch is one transaction, as in
`netmon.buffer.stream`, and begins with a look at what the stream was just before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import hiredis

from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.stream import EntryId, Streams, entry_encoder, parse_id
from netmon.errors import UnavailableError
from netmon.model import RedisSettings

_NO_ID = EntryId(0, 0)
_PAGE = 4_000
"""Entries of one reply of XRANGE: smaller ones wait more often for Redis to be done with a batch."""


class LateFacts(NamedTuple):
    """What Redis says of the late stream; all zero when there is none."""

    length: int
    first: EntryId
    """ID of its oldest entry; 0-0 when it is empty."""
    last: EntryId
    """ID of the last entry that was ever added."""
    deleted: EntryId
    """Greatest ID that was deleted out of the middle (XDEL); trimming does not count."""
    added: int
    """Entries that were ever added to this very stream, which FLUSHALL and DEL end; -1: Redis before 7.0 does not tell."""


_NO_STREAM = LateFacts(0, _NO_ID, _NO_ID, _NO_ID, 0)


class LateStream(Streams):
    """The late stream of one lane, over one connection that is made when it is needed."""

    def __init__(self, settings: RedisSettings, prefix: str, journal_id: str) -> None:
        super().__init__(settings, prefix, journal_id)
        self.key = f"{prefix}:late"
        self._check = encode_command("XINFO", "STREAM", self.key)
        self.encode_late_trap = entry_encoder(self.key, b"trap")
        """Encodes an entry with the field `trap`, for `send`."""
        self.encode_late_reject = entry_encoder(self.key, b"reject")
        """Encodes an entry with the field `reject`, for `send`."""

    def _claim(self, connection: Connection) -> bool:
        """Claims nothing: joins the decode of the same journal."""
        owner = connection.command("GET", self._owner_key)
        if owner is not None and owner.decode() != self._journal_id:
            raise UnavailableError("fenced", f"the streams beside {self.key} are made from another journal")
        return True

    def settle_late(self) -> LateFacts:
        """Reads what became of the oldest batch that was sent. On return Redis has all of it.

        Returns:
            What the stream was just before the batch.

        Raises:
            UnavailableError: Redis has taken nothing of it, or (connection lost) that is unknown.
            IdRefusedError: The stream holds something of it, or something newer.
        """
        return self._settle(1, lambda facts, connection: _late_facts(facts[0], connection))

    def look(self) -> LateFacts:
        """What the stream is. Raises UnavailableError."""
        if not self._command("EXISTS", self.key):
            return _NO_STREAM
        assert self._connection is not None
        return _late_facts(self._command("XINFO", "STREAM", self.key), self._connection)

    def late_memory_bytes(self) -> int:
        """Redis memory of the stream, estimated by Redis from a few samples. Raises UnavailableError."""
        return int(self._command("MEMORY", "USAGE", self.key) or 0)


def _late_facts(reply: Any, connection: Connection) -> LateFacts:
    if isinstance(reply, hiredis.ReplyError):
        if "no such key" in str(reply):
            return _NO_STREAM
        raise connection.refusal(reply)
    found = {reply[i].decode(): reply[i + 1] for i in range(0, len(reply), 2)}
    first = found["first-entry"]
    return LateFacts(
        found["length"],
        parse_id(first[0]) if first else _NO_ID,
        parse_id(found["last-generated-id"]),
        # Redis before 7.0 does not tell.
        parse_id(found.get("max-deleted-entry-id", b"0-0")),
        found.get("entries-added", -1),
    )


class RangeReader:
    """The entries of a stream from one ID to another, oldest first, in pages: ID, and its only field's name and body.

    Asks for the next page while the one before is worked on. Iterating raises UnavailableError: Redis does not answer, or
    refuses.
    """

    def __init__(self, settings: RedisSettings, key: str, first: EntryId, last: EntryId) -> None:
        """Nothing is asked for before the first page is."""
        self._settings = settings
        self._key = key
        self._first = first
        self._last = last
        self._connection: Connection | None = None

    def __iter__(self) -> Iterator[list[Any]]:
        connection = self._connection = _connect(self._settings, self._key)
        try:
            self._ask(connection, str(self._first))
            while page := _reply(connection):
                if len(page) == _PAGE:
                    self._ask(connection, f"({page[-1][0].decode()}")
                yield page
                if len(page) < _PAGE:
                    return
        finally:
            self._connection = None
            connection.close()

    def pump(self) -> None:
        """Takes what Redis has sent meanwhile: a socket holds less than a page, and Redis waits with the rest."""
        if self._connection is not None:
            self._connection.take_in()

    def _ask(self, connection: Connection, start: str) -> None:
        connection.send(encode_command("XRANGE", self._key, start, str(self._last), "COUNT", _PAGE))


def _connect(settings: RedisSettings, key: str) -> Connection:
    """A connection to the node that has the key."""
    connection = Connection(settings)
    try:
        connection.command("EXISTS", key)
    except MovedError as error:
        connection = Connection(settings, moved_to(error))
    return connection


def _reply(connection: Connection) -> list[Any]:
    reply = connection.reply()
    if isinstance(reply, hiredis.ReplyError):
        raise connection.refusal(reply)
    found: list[Any] = reply
    return found
