"""The alarms in Redis as their worker writes them: one leader at a time, and each flush all or nothing.

A worker leads while it holds the lease. Whoever takes the lease over raises the fence in the same step, and every flush is
a transaction that watches the hash in which the fence stands: what a worker writes that was stopped, or cut off, beyond its
lease is refused as a whole. State, changes, results and positions of one flush are in one transaction, so what Redis holds
is always the effect of exactly the entries up to these positions, each once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import hiredis
import msgspec

from netmon.alarms.model import Alarm
from netmon.buffer.alarm_store import LEASE, META, RESULT_S, STATE, STREAM, result_key
from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.errors import UnavailableError
from netmon.model import RedisSettings

_SCAN_COUNT: Final = 2_000
_TOKEN_BYTES: Final = 8

_MULTI: Final = encode_command("MULTI")
_EXEC: Final = encode_command("EXEC")
_ARM: Final = encode_command("WATCH", META) + encode_command("HGET", META, "leader")
_ARM_REPLIES: Final = 2

_TAKE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, string.len(ARGV[2])) ~= ARGV[2] then return 0 end
local known = redis.call('HEXISTS', KEYS[2], 'fence')
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
local fence = redis.call('HINCRBY', KEYS[2], 'fence', 1)
redis.call('HSET', KEYS[2], 'leader', ARGV[1])
if known == 0 then
  redis.call('XADD', KEYS[3], '*', 'reset', '{"unix_ns":' .. ARGV[4] .. ',"fence":' .. fence .. '}')
end
return fence
"""
"""Takes the lease when it is free or held by an earlier process of the same worker, and raises the fence."""

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

_alarm = msgspec.json.Decoder(Alarm).decode
_encode = msgspec.json.Encoder().encode


class FencedError(UnavailableError):
    """Another worker leads now, or Redis has forgotten us: what is in memory is void, and must be read again."""

    def __init__(self) -> None:
        super().__init__("fenced", "another alarm worker leads, or Redis has lost the alarms")


class Flush(NamedTuple):
    """What one transaction writes."""

    alarms: Sequence[Alarm] = ()
    """As they are now."""
    purged: Sequence[str] = ()
    """IDs that leave the list."""
    told: Sequence[tuple[str, msgspec.Struct]] = ()
    """Entries of the stream, in order: the name of the field, and its value."""
    meta: Mapping[str, bytes | str] = {}
    """Fields of the hash beside the alarms: positions, postures and so on."""
    forgotten: Sequence[str] = ()
    """Fields of that hash that go."""
    results: Sequence[tuple[str, msgspec.Struct]] = ()
    """Command ID and what became of it."""


class AlarmWriter:
    """One worker's hold on the alarms, over one connection that is made when it is needed.

    Every method raises UnavailableError when Redis does not answer or refuses, and FencedError when we do not lead; the
    connection is closed then, and the worker begins anew with `take`.

    Attributes:
        fence: Our number, growing by one with each change of leaders; 0 while we do not lead.
    """

    def __init__(self, settings: RedisSettings, name: str, *, lease_ms: int, stream_entries_max: int) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of this worker, the same after a restart: the caller sees to it that only one of its processes works.
            lease_ms: How long the lease outlives a worker that is silent.
            stream_entries_max: Entries of `netmon:alarms` that are kept.
        """
        self.fence = 0
        self._settings = settings
        self._name = f"{name}/"
        self._token = b""
        self._lease_ms = lease_ms
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None
        self._tell = [b"XADD", STREAM.encode(), b"MAXLEN", b"~", b"%d" % stream_entries_max, b"*"]
        self._sent = 0
        """Commands in the transaction whose replies have not been read; 0: there is none."""

    # -- leading

    def take(self, unix_ns: int) -> bool:
        """Takes the lease if it is free; whether we lead now. A new fence has been raised then."""
        if self._sent:
            self.close()
        token = f"{self._name}{os.urandom(_TOKEN_BYTES).hex()}".encode()
        keys = (LEASE, META, STREAM)
        fence: int = self._command("EVAL", _TAKE, len(keys), *keys, token, self._name, self._lease_ms, unix_ns)
        if not fence:
            return False
        self.fence, self._token = fence, token
        self._arm()
        return True

    def renew(self) -> None:
        """Says that we live, for another lease."""
        self.settle()
        if not self._command("EVAL", _RENEW, 2, LEASE, META, self._token, self._lease_ms):
            self._lost()

    def release(self) -> None:
        """Says that we go: whoever waits need not wait any longer."""
        self.settle()
        self._command("EVAL", _RELEASE, 1, LEASE, self._token)
        self.close()

    def close(self) -> None:
        """Closes the connection; what became of a flush that was not settled is unknown. We do not lead any more."""
        self.fence = 0
        self._sent = 0
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- reading what stands

    def load_alarms(self) -> Iterator[Alarm]:
        """All alarms in the list; one may come twice, and is the same then. Take all of them before anything else."""
        connection = self._ready()
        try:
            connection.send(encode_command("HSCAN", STATE, 0, "COUNT", _SCAN_COUNT))
            while True:
                reply = connection.reply()
                self._raise_refusal(connection, [reply])
                cursor, page = reply
                if cursor != b"0":
                    # Redis looks for the next page while this one is decoded.
                    connection.send(encode_command("HSCAN", STATE, cursor, "COUNT", _SCAN_COUNT))
                yield from map(_alarm, page[1::2])
                if cursor == b"0":
                    return
        except UnavailableError as error:
            self._failed(error)
            raise

    def load_meta(self) -> dict[str, bytes]:
        """The hash beside the alarms."""
        flat = self._command("HGETALL", META)
        return {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}

    def known_results(self, command_ids: Sequence[str]) -> set[str]:
        """Which of these commands have been done already."""
        if not command_ids:
            return set()
        found = self._command("MGET", *map(result_key, command_ids))
        return {name for name, result in zip(command_ids, found, strict=True) if result is not None}

    def memory(self) -> tuple[int, int]:
        """Bytes of memory that Redis uses, and that it may use; 0: it has no limit, or does not tell us."""
        assert not self._sent, "the next reply belongs to a flush"
        connection = self._ready()
        try:
            connection.send(encode_command("INFO", "memory"))
            (reply,) = connection.replies(1)
        except UnavailableError as error:
            self._failed(error)
            raise
        if isinstance(reply, hiredis.ReplyError):
            # A user that may not ask goes without a forecast, not without alarms.
            return 0, 0
        found = dict(line.split(b":", 1) for line in reply.split(b"\r\n") if b":" in line)
        return int(found.get(b"used_memory", b"0")), int(found.get(b"maxmemory", b"0"))

    # -- writing

    def flush(self, flush: Flush) -> None:
        """Sends a transaction; Redis works on it while the caller goes on. `settle` tells what became of it."""
        self.settle()
        commands = self._commands(flush)
        if not commands:
            return
        self._sent = len(commands)
        self._ready().send(b"".join([_MULTI, *commands, _EXEC, _ARM]))

    def settle(self) -> None:
        """Waits for what became of the last flush. On return Redis has all of it; nothing of it after a FencedError."""
        if not self._sent:
            return
        connection = self._ready()
        try:
            # +OK for MULTI, +QUEUED for each command, EXEC, and the two of _ARM.
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

    def _commands(self, flush: Flush) -> list[bytes]:
        commands = []
        if flush.purged:
            commands.append(encode_command("HDEL", STATE, *flush.purged))
        if flush.alarms:
            pairs = [word for alarm in flush.alarms for word in (alarm.id, _encode(alarm))]
            commands.append(encode_command("HSET", STATE, *pairs))
        commands += [encode_command(*self._tell, field, _encode(value)) for field, value in flush.told]
        if flush.meta:
            commands.append(encode_command("HSET", META, *(word for pair in flush.meta.items() for word in pair)))
        if flush.forgotten:
            commands.append(encode_command("HDEL", META, *flush.forgotten))
        commands += [
            encode_command("SET", result_key(name), _encode(value), "EX", RESULT_S) for name, value in flush.results
        ]
        return commands

    # -- the connection

    def _ready(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._settings, self._node)
        return self._connection

    def _arm(self) -> None:
        """Watches the fence: the next transaction is refused if anybody has touched it since this look."""
        connection = self._ready()
        connection.send(_ARM)
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
