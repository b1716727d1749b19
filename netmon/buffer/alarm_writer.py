"""The alarms in Redis as their worker writes them: one leader at a time, and each flush all or nothing.

State, changes, results and positions of one flush are in one fenced transaction (`netmon.buffer.fenced`), so what Redis holds is
always the effect of exactly the entries up to these positions, each once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import hiredis
import msgspec

from netmon.alarms.model import Alarm
from netmon.buffer.alarm_store import LEASE, META, RESULT_S, STATE, STREAM, result_key
from netmon.buffer.connection import encode_command
from netmon.buffer.fenced import FencedWriter
from netmon.errors import UnavailableError
from netmon.model import RedisSettings

_alarm = msgspec.json.Decoder(Alarm).decode
_encode = msgspec.json.Encoder().encode


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


class AlarmWriter(FencedWriter):
    """One worker's hold on the alarms; see `FencedWriter` for how it fails."""

    def __init__(self, settings: RedisSettings, name: str, *, lease_ms: int, stream_entries_max: int) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of this worker, the same after a restart.
            lease_ms: How long the lease outlives a worker that is silent.
            stream_entries_max: Entries of `netmon:alarms` that are kept.
        """
        super().__init__(settings, name, lease_ms=lease_ms, lease=LEASE, meta=META, resets=STREAM)
        self._tell = [b"XADD", STREAM.encode(), b"MAXLEN", b"~", b"%d" % stream_entries_max, b"*"]

    # -- reading what stands

    def load_alarms(self) -> Iterator[Alarm]:
        """All alarms in the list; one may come twice, and is the same then. Take all of them before anything else."""
        return (_alarm(body) for _, body in self._pairs(STATE))

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
        self._transact(self._commands(flush))

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
