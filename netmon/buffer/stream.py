"""The streams of a lane: appended exactly once, compared with what they should be, trimmed within a budget.

A batch is one transaction, so that Redis takes all of it or nothing, whatever it runs out of in between. An entry's ID is
made from the journal and only grows: what Redis has, it refuses to take again. The last IDs therefore say how far the
journal has come, and the lengths say whether somebody has taken entries out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import hiredis

from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.errors import NetmonError, UnavailableError
from netmon.model import RedisSettings

_LEASE_MS = 15_000
"""How long a receiver's claim on its streams outlives it."""
_FSYNC_WAIT_S = 30.0

_MULTI = encode_command("MULTI")
_EXEC = encode_command("EXEC")

EncodeEntry = Callable[[int, int, bytes], bytes]
"""From ms and seq of an entry's ID and its body to the command that appends it."""

_Looked = TypeVar("_Looked")


class EntryId(NamedTuple):
    """ID of a stream entry; compares as Redis does."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


class StreamFacts(NamedTuple):
    """What Redis says of one stream."""

    length: int
    last: EntryId
    """ID of the last entry that was ever added; 0-0 for a new stream."""


class GroupFacts(NamedTuple):
    """What Redis says of one consumer group."""

    name: str
    floor: EntryId
    """Everything up to this ID has been acknowledged."""


class IdRefusedError(NetmonError):
    """A stream holds an entry with this ID or a newer one: what is there must be compared anew."""


class Streams:
    """The streams of one lane that decode fills, over one connection that is made when it is needed.

    Attributes:
        traps: Key of the stream of accepted notifications, in their turn.
        rejects: Key of the stream of refused datagrams.
        express: Key of the stream of what was decoded before its turn.
        late: Key of the stream of what was decoded after its turn; others append to it.
        encode_trap: Encodes an entry of the traps stream with the field `trap`, for `send`.
        encode_express: The same for the express stream.
        encode_reject: Encodes an entry of the rejects stream with the field `reject`, for `send`.
    """

    def __init__(self, settings: RedisSettings, prefix: str, journal_id: str) -> None:
        """Args:
        settings: The server.
        prefix: `LaneSettings.key_prefix`.
        journal_id: Identity of the journal that the streams are made from.
        """
        self.traps = f"{prefix}:traps"
        self.rejects = f"{prefix}:rejects"
        self.express = f"{prefix}:express"
        self.late = f"{prefix}:late"
        self._settings = settings
        self._owner_key = f"{prefix}:owner"
        self._lease_key = f"{prefix}:lease"
        self._journal_id = journal_id
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None
        self._check = b"".join(encode_command("XLEN", key) for key in (self.traps, self.rejects, self.express))
        self.encode_trap = entry_encoder(self.traps, b"trap")
        self.encode_express = entry_encoder(self.express, b"trap")
        self.encode_reject = entry_encoder(self.rejects, b"reject")
        self._sent: deque[int] = deque()

    # -- the connection

    @property
    def connected(self) -> bool:
        """Whether there is a connection; it may be broken all the same."""
        return self._connection is not None

    def connect(self) -> bool:
        """Connects, and claims the streams for our journal.

        Returns:
            Whether the streams, if there are any, were made from this journal; False: from another one, that is gone.

        Raises:
            UnavailableError: Redis does not answer, or (`fenced`) a living receiver of the same name holds the streams.
        """
        self.close()
        try:
            self._connection = Connection(self._settings, self._node)
            return self._claim(self._connection)
        except UnavailableError as error:
            self._failed(error)
            raise

    def _claim(self, connection: Connection) -> bool:
        owner = connection.command("GET", self._owner_key)
        ours = owner is None or owner.decode() == self._journal_id
        self.renew_lease()
        connection.command("SET", self._owner_key, self._journal_id)
        return ours

    def renew_lease(self) -> None:
        """Says that we live, for the next 15 s.

        Raises:
            UnavailableError: Redis does not answer, or (`fenced`) a living receiver of the same name holds the streams.
        """
        lease = self._command("GET", self._lease_key)
        if lease is not None and lease.decode() != self._journal_id:
            self.close()
            raise UnavailableError(
                "fenced",
                f"another running receiver writes {self.traps}: give each receiver of a Redis its own receiver.name",
            )
        self._command("SET", self._lease_key, self._journal_id, "PX", _LEASE_MS)

    def release_lease(self) -> None:
        """Says that we go; a successor with another journal need not wait. Raises UnavailableError."""
        self._command("DEL", self._lease_key)

    def close(self) -> None:
        """Closes the connection; what it still had to tell is unknown."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._sent.clear()

    def _failed(self, error: UnavailableError) -> None:
        self.close()
        self._node = moved_to(error) if isinstance(error, MovedError) else None

    def _command(self, *words: bytes | str | int, timeout_s: float | None = None) -> Any:
        if self._connection is None:
            raise UnavailableError("connection", "not connected")
        assert not self._sent, "the next reply belongs to a batch"
        try:
            return self._connection.command(*words, timeout_s=timeout_s)
        except UnavailableError as error:
            self._failed(error)
            raise

    # -- appending

    def send(self, commands: list[bytes]) -> int:
        """Writes a transaction that appends; `settle` must follow for each, in order, before anything else.

        Returns:
            Bytes that were sent.

        Raises:
            UnavailableError: The connection is gone; whether Redis has taken the batch is unknown.
        """
        if self._connection is None:
            raise UnavailableError("connection", "not connected")
        data = b"".join([_MULTI, self._check, *commands, _EXEC])
        try:
            self._connection.send(data)
        except UnavailableError as error:
            self._failed(error)
            raise
        self._sent.append(len(commands))
        return len(data)

    def pump(self) -> None:
        """Lets what was sent go on its way, without waiting. Raises UnavailableError."""
        if self._connection is None:
            return
        try:
            self._connection.pump()
        except UnavailableError as error:
            self._failed(error)
            raise

    def settle(self) -> tuple[int, int, int]:
        """Reads what became of the oldest batch that was sent. On return Redis has all of it.

        Returns:
            Lengths of the traps, the rejects and the express stream just before the batch.

        Raises:
            UnavailableError: Redis has taken nothing of it, or (connection lost) that is unknown.
            IdRefusedError: The stream holds something of it, or something newer.
        """
        return self._settle(3, lambda lengths, _: (lengths[0], lengths[1], lengths[2]))

    def _settle(self, looks: int, read: Callable[[list[Any], Connection], _Looked]) -> _Looked:
        """Reads what became of the oldest batch; raises as `settle` does.

        Args:
            looks: Commands that looked at the streams before the batch: those of `_check`.
            read: From their replies to what is returned; may raise UnavailableError.
        """
        if self._connection is None:
            raise UnavailableError("connection", "not connected")
        try:
            # +OK for MULTI, +QUEUED for each command; a refusal there is why EXEC will fail.
            replies = self._connection.replies(self._sent.popleft() + looks + 2)
            if set(map(type, replies)) != {bytes, list}:
                raise self._connection.refusal(next(x for x in replies if isinstance(x, hiredis.ReplyError)))
            found = read(replies[-1][:looks], self._connection)
        except UnavailableError as error:
            self._failed(error)
            raise
        ids = replies[-1][looks:]
        if set(map(type, ids)) - {bytes}:
            self.close()
            raise IdRefusedError(str(next(x for x in ids if isinstance(x, hiredis.ReplyError))))
        return found

    def wait_fsync(self) -> bool:
        """Whether all that was appended is on the server's disk now (WAITAOF). Raises UnavailableError."""
        reply = self._command("WAITAOF", 1, 0, int(_FSYNC_WAIT_S * 900), timeout_s=_FSYNC_WAIT_S)
        return bool(reply[0])

    # -- looking

    def lengths(self) -> tuple[int, int, int]:
        """Entries in the traps, the rejects and the express stream. Raises UnavailableError."""
        return self.length(self.traps), self.length(self.rejects), self.length(self.express)

    def length(self, key: str) -> int:
        """Entries in a stream. Raises UnavailableError."""
        entries: int = self._command("XLEN", key)
        return entries

    def facts(self, key: str) -> StreamFacts:
        """Length and last ID of a stream. Raises UnavailableError."""
        if not self._command("EXISTS", key):
            return StreamFacts(0, EntryId(0, 0))
        found = _pairs(self._command("XINFO", "STREAM", key))
        return StreamFacts(found["length"], parse_id(found["last-generated-id"]))

    def memory_bytes(self, *keys: str) -> int:
        """Redis memory of some streams, estimated by Redis from a few samples. Raises UnavailableError."""
        return sum(self._command("MEMORY", "USAGE", key) or 0 for key in keys)

    def groups(self, key: str) -> list[GroupFacts]:
        """The consumer groups of a stream and how far each has acknowledged; may be empty. Raises UnavailableError."""
        if not self._command("EXISTS", key):
            return []
        found = []
        for reply in self._command("XINFO", "GROUPS", key):
            group = _pairs(reply)
            floor = parse_id(group["last-delivered-id"])
            pending = self._command("XPENDING", key, group["name"]) if group["pending"] else None
            if pending and pending[0]:
                # Just below the oldest entry that some consumer has and has not acknowledged.
                oldest = parse_id(pending[1])
                floor = EntryId(oldest.ms, max(oldest.seq - 1, 0))
            found.append(GroupFacts(group["name"].decode(), floor))
        return found

    # -- trimming and mending

    def trim_up_to(self, key: str, floor: EntryId) -> int:
        """Removes entries up to and including an ID; returns how many. Raises UnavailableError."""
        removed: int = self._command("XTRIM", key, "MINID", EntryId(floor.ms, floor.seq + 1).__str__())
        return removed

    def trim_to_length(self, key: str, length: int) -> int:
        """Removes the oldest entries until about `length` are left; returns how many. Raises UnavailableError."""
        removed: int = self._command("XTRIM", key, "MAXLEN", "~", length)
        return removed

    def first_id(self, key: str, after: EntryId) -> EntryId | None:
        """ID of the oldest entry after an ID, None when there is none. Raises UnavailableError."""
        entries = self._command("XRANGE", key, f"({after}", "+", "COUNT", 1)
        return parse_id(entries[0][0]) if entries else None

    def delete(self, key: str) -> None:
        """Removes a stream, to be made anew. Raises UnavailableError."""
        self._command("UNLINK", key)

    def set_aside(self, key: str, suffix: str) -> str | None:
        """Renames a stream that is not ours to continue; returns its new name, None when there was none.

        Raises UnavailableError.
        """
        if not self._command("EXISTS", key):
            return None
        aside = f"{key}:{suffix}"
        self._command("RENAME", key, aside)
        return aside

    def restore_groups(self, key: str, groups: list[GroupFacts]) -> None:
        """Makes consumer groups anew at what they had acknowledged: they get the rest again, and miss nothing.

        Raises UnavailableError.
        """
        existing = {group.name for group in self.groups(key)}
        for group in groups:
            if group.name not in existing:
                self._command("XGROUP", "CREATE", key, group.name, str(group.floor), "MKSTREAM")


def entry_encoder(key: str, field: bytes) -> EncodeEntry:
    """What encodes the XADD of the entries of a stream, each with this one field."""
    # Runs for every trap: a closure over one template is faster than a method or a partial with the parts of one.
    head = b"*5\r\n$4\r\nXADD\r\n" + _bulk(key.encode())
    template = head.replace(b"%", b"%%") + b"$%d\r\n%b\r\n" + _bulk(field).replace(b"%", b"%%") + b"$%d\r\n%b\r\n"

    def encode(ms: int, seq: int, body: bytes) -> bytes:
        entry_id = b"%d-%d" % (ms, seq)
        return template % (len(entry_id), entry_id, len(body), body)

    return encode


def _bulk(octets: bytes) -> bytes:
    """A bulk string of RESP."""
    return b"$%d\r\n%b\r\n" % (len(octets), octets)


def parse_id(text: bytes) -> EntryId:
    """An entry ID from Redis."""
    ms, _, seq = text.partition(b"-")
    return EntryId(int(ms), int(seq))


def _pairs(flat: list[Any]) -> dict[str, Any]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
