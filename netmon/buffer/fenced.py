"""A hold on keys in Redis that one process has at a time: a lease, a fence, and transactions that are refused to all others.

A process leads while it holds the lease. Whoever takes the lease over raises the fence in the same step, and every transaction
watches the hash in which the fence stands: what a process writes that was stopped, or cut off, beyond its lease is refused as a
whole.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import hiredis

from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.errors import UnavailableError
from netmon.model import RedisSettings

_SCAN_COUNT: Final = 2_000
_TOKEN_BYTES: Final = 8

_MULTI: Final = encode_command("MULTI")
_EXEC: Final = encode_command("EXEC")
_ARM_REPLIES: Final = 2

_TAKE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, string.len(ARGV[2])) ~= ARGV[2] then return 0 end
local known = redis.call('HEXISTS', KEYS[2], 'fence')
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
local fence = redis.call('HINCRBY', KEYS[2], 'fence', 1)
redis.call('HSET', KEYS[2], 'leader', ARGV[1])
if known == 0 and KEYS[3] then
  redis.call('XADD', KEYS[3], '*', 'reset', '{"unix_ns":' .. ARGV[4] .. ',"fence":' .. fence .. '}')
end
return fence
"""
"""Takes the lease when it is free or held by an earlier process of the same name, and raises the fence; tells the stream of it, if
there is one, when Redis knew of no fence."""

_RENEW: Final = """
if redis.call('HGET', KEYS[2], 'leader') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
"""A lease that ran out, and that nobody has taken, is still ours."""

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


class FencedError(UnavailableError):
    """Another process leads now, or Redis has forgotten us: what is in memory may be void, and must be read again."""

    def __init__(self) -> None:
        super().__init__("fenced", "another process leads, or Redis has lost what was written")


def holder_name(path: Path) -> str:
    """The name under which a process holds: the same after a restart, as long as the file is there, and of this machine only.

    Raises:
        OSError: The file can be neither read nor written.
    """
    try:
        own = path.read_text(encoding="ascii")
    except FileNotFoundError:
        own = os.urandom(_TOKEN_BYTES).hex()
        path.write_text(own, encoding="ascii")
    return f"{socket.gethostname()}/{own}"


class FencedWriter:
    """One process's hold, over one connection that is made when it is needed.

    Every method raises UnavailableError when Redis does not answer or refuses, and FencedError when we do not lead; the
    connection is closed then, and the process begins anew with `take`.

    Attributes:
        fence: Our number, growing by one with each change of leaders; 0 while we do not lead.
    """

    def __init__(
        self, settings: RedisSettings, name: str, *, lease_ms: int, lease: str, meta: str, resets: str | None = None
    ) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of this process, the same after a restart: the caller sees to it that only one of its processes works.
            lease_ms: How long the lease outlives a process that is silent.
            lease: Key of the lease.
            meta: Key of the hash in which the fence stands; in the same slot.
            resets: Key of a stream, in the same slot, that is told when the fence is raised for the first time.
        """
        self.fence = 0
        self._settings = settings
        self._name = f"{name}/"
        self._token = b""
        self._lease_ms = lease_ms
        self._lease, self._meta = lease, meta
        self._told = (lease, meta) if resets is None else (lease, meta, resets)
        self._arming = encode_command("WATCH", meta) + encode_command("HGET", meta, "leader")
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None
        self._sent = 0
        """Commands in the transaction whose replies have not been read; 0: there is none."""

    # -- leading

    def take(self, unix_ns: int) -> bool:
        """Takes the lease if it is free; whether we lead now. A new fence has been raised then."""
        if self._sent:
            self.close()
        token = f"{self._name}{os.urandom(_TOKEN_BYTES).hex()}".encode()
        keys = self._told
        fence: int = self._command("EVAL", _TAKE, len(keys), *keys, token, self._name, self._lease_ms, unix_ns)
        if not fence:
            return False
        self.fence, self._token = fence, token
        self._arm()
        return True

    def is_forgotten(self) -> bool:
        """Whether Redis knows of no leader, not even of a former one: whoever led will notice, and knows what Redis has lost."""
        return not self._command("HEXISTS", self._meta, "fence")

    def renew(self) -> None:
        """Says that we live, for another lease."""
        self.settle()
        if not self._command("EVAL", _RENEW, 2, self._lease, self._meta, self._token, self._lease_ms):
            self._lost()

    def release(self) -> None:
        """Says that we go: whoever waits need not wait any longer."""
        self.settle()
        self._command("EVAL", _RELEASE, 1, self._lease, self._token)
        self.close()

    def close(self) -> None:
        """Closes the connection; what became of a flush that was not settled is unknown. We do not lead any more."""
        self.fence = 0
        self._sent = 0
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- reading what stands

    def load_meta(self) -> dict[str, bytes]:
        """The hash in which the fence stands."""
        flat = self._command("HGETALL", self._meta)
        return {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}

    def _pairs(self, key: str) -> Iterator[tuple[bytes, bytes]]:
        """Fields and values of a hash; one may come twice, and is the same then. Take all of them before anything else."""
        connection = self._ready()
        try:
            connection.send(encode_command("HSCAN", key, 0, "COUNT", _SCAN_COUNT))
            while True:
                reply = connection.reply()
                self._raise_refusal(connection, [reply])
                cursor, page = reply
                if cursor != b"0":
                    # Redis looks for the next page while this one is decoded.
                    connection.send(encode_command("HSCAN", key, cursor, "COUNT", _SCAN_COUNT))
                yield from zip(page[::2], page[1::2], strict=True)
                if cursor == b"0":
                    return
        except UnavailableError as error:
            self._failed(error)
            raise

    # -- writing

    def settle(self) -> None:
        """Waits for what became of the last flush. On return Redis has all of it; nothing of it after a FencedError."""
        if not self._sent:
            return
        connection = self._ready()
        try:
            # +OK for MULTI, +QUEUED for each command, EXEC, and the two of the arming.
            replies = connection.replies(self._sent + 2 + _ARM_REPLIES)
            self._sent = 0
            done = replies[-1 - _ARM_REPLIES]
            self._raise_refusal(connection, replies[:-_ARM_REPLIES])
            if done is None:
                raise FencedError
            self._raise_refusal(connection, done)
            self._check_armed(replies[-1])
        except UnavailableError as error:
            self._failed(error)
            raise

    def _transact(self, commands: Sequence[bytes]) -> None:
        """Sends a transaction; Redis works on it while the caller goes on. `settle` tells what became of it."""
        self.settle()
        if not commands:
            return
        self._sent = len(commands)
        self._ready().send(b"".join([_MULTI, *commands, _EXEC, self._arming]))

    # -- the connection

    def _ready(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._settings, self._node)
        return self._connection

    def _arm(self) -> None:
        """Watches the fence: the next transaction is refused if anybody has touched it since this look."""
        connection = self._ready()
        connection.send(self._arming)
        try:
            replies = connection.replies(_ARM_REPLIES)
            self._raise_refusal(connection, replies)
            self._check_armed(replies[-1])
        except UnavailableError as error:
            self._failed(error)
            raise

    def _check_armed(self, leader: bytes | None) -> None:
        if leader != self._token:
            raise FencedError

    def _lost(self) -> None:
        self.close()
        raise FencedError

    @staticmethod
    def _raise_refusal(connection: Connection, replies: Sequence[Any]) -> None:
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise connection.refusal(reply)

    def _command(self, *words: bytes | str | int) -> Any:
        assert not self._sent, "the next reply belongs to a flush"
        try:
            return self._ready().command(*words)
        except MovedError as error:
            # Before anything was done: Redis Cluster says where the keys are.
            self._failed(error)
            return self._ready().command(*words)
        except UnavailableError as error:
            self._failed(error)
            raise

    def _failed(self, error: UnavailableError) -> None:
        self.close()
        self._node = moved_to(error) if isinstance(error, MovedError) else None
