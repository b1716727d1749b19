"""What the alarm worker reads: the streams of each lane in a thread of its own, and the stream of commands.

The worker reads behind positions that stand beside the alarms (`netmon.buffer.alarm_writer`), not what a consumer group hands
out: a group would give entries to a worker that has just lost its lease, and nobody would notice that the next one never saw
them. The group `alarms` is kept all the same, set to what has been worked on: it is how retention knows what is still needed,
and how others see how far the alarms are.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import hiredis

from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.stream import parse_id
from netmon.errors import UnavailableError
from netmon.log import limited
from netmon.model import RedisSettings

GROUP: Final = "alarms"
COMMAND: Final = "commands"
"""Kind of batches of commands."""
KINDS: Final = ("express", "traps", "late")
"""In the order in which they are worked on."""

_LANES_MAX: Final = 1_024
_ENTRIES_MAX: Final = 500
"""Of one stream in one reply."""
_ENTRIES_MIN: Final = 10
_REPLY_BYTES: Final = 2 << 20
"""What a reply of one stream shall have at most: entries that are large are read in smaller numbers."""
_AHEAD_MAX: Final = 2
"""Replies of a reader that wait for the worker."""
_BLOCK_MS: Final = 500
_TEND_S: Final = 1.0
"""How often the groups are moved on."""
_HELD_BACK: Final = 2
"""By how many of these moves the groups stay behind: after a fail-over that lost the newest writes, the alarms' server may have
an older position than the lane's server was told, and the entries between must still be there."""
_ABSENT_S: Final = 0.5
"""Between two looks for a lane that has no streams yet."""
_RETRY_MIN_S: Final = 0.2
_RETRY_MAX_S: Final = 5.0

_NO_ID: Final = b"0-0"


class Batch(NamedTuple):
    """Some entries of one stream, in order."""

    kind: str
    """One of KINDS, or `commands`."""
    key: str
    """Of the stream."""
    owner: str
    """Whose stream it is: the identity of the journal; empty for commands."""
    entries: list[tuple[bytes, list[bytes]]]
    """ID, and names and values of the fields in turn."""

    @property
    def position_field(self) -> str:
        """Field of the hash beside the alarms that says how far this stream's effects stand."""
        return position_field(self.owner, self.key)


class Lag(NamedTuple):
    """How far behind a stream we are."""

    entries: int
    """At most so many have not been worked on: others of the lane's streams are counted in."""
    oldest_unix_ms: int
    """When the oldest of them was written, about; 0 when there is none."""


def position_field(owner: str, key: str) -> str:
    """Field of the hash beside the alarms for the position in a stream."""
    return f"position:{owner}:{key}"


class Reader(ABC):
    """A thread that reads ahead of the worker, and connects again whenever it has to.

    Attributes:
        found: Whether there is something to read: its lane exists.
    """

    def __init__(self, settings: RedisSettings, name: str, ring: Callable[[], None]) -> None:
        """`name` is that of the thread, after that of the process; `ring` is called, in it, when there is something to `take`."""
        self.found = False
        self._settings = settings
        self._name = name
        self._ring = ring
        self._ready: queue.Queue[list[Batch]] = queue.Queue(_AHEAD_MAX)
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None

    def start(self) -> None:
        """Begins to read."""
        # Not waited for at the end: it may be in the middle of a time-out.
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Ends it soon; what it has read and nobody took is dropped."""
        self._stopping.set()

    def take(self) -> list[Batch]:
        """What one reply brought; empty when there is nothing now."""
        try:
            return self._ready.get_nowait()
        except queue.Empty:
            return []

    def _run(self) -> None:
        retry_s = _RETRY_MIN_S
        while not self._stopping.is_set():
            try:
                self._connection = Connection(self._settings, self._node)
                while not self._stopping.is_set():
                    self._read(self._connection)
                    retry_s = _RETRY_MIN_S
            except UnavailableError as error:
                self._node = moved_to(error) if isinstance(error, MovedError) else None
                if self._node is None:
                    limited.warning(
                        f"{self._name.partition('.')[0]}.stream_unreadable",
                        reader=self._name,
                        reason=error.reason,
                        detail=error.detail,
                    )
                    self._stopping.wait(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
                    retry_s = min(2 * retry_s, _RETRY_MAX_S)
            finally:
                if self._connection is not None:
                    self._connection.close()

    @abstractmethod
    def _read(self, connection: Connection) -> None:
        """Reads once, waiting for at most a moment. Raises UnavailableError."""

    def _put(self, batches: list[Batch]) -> None:
        while not self._stopping.is_set():
            try:
                self._ready.put(batches, timeout=_BLOCK_MS / 1_000)
            except queue.Full:
                continue
            self._ring()
            return


class CommandReader(Reader):
    """A stream of commands."""

    def __init__(self, settings: RedisSettings, name: str, key: str, position: bytes, ring: Callable[[], None]) -> None:
        """Prepares.

        Args:
            settings: The server.
            name: Of the thread.
            key: Of the stream.
            position: ID of the last command that was done.
            ring: Called when something has come.
        """
        super().__init__(settings, name, ring)
        self.found = True
        self._key, self._position = key, position

    def _read(self, connection: Connection) -> None:
        words = ("XREAD", "COUNT", _ENTRIES_MAX, "BLOCK", _BLOCK_MS, "STREAMS", self._key, self._position)
        for _, entries in connection.command(*words) or []:
            self._position = entries[-1][0]
            self._put([Batch(COMMAND, self._key, "", entries)])


class LaneReader(Reader):
    """The three streams of a lane.

    Attributes:
        lags: Kind of stream to how far we are behind, as of a second ago.
    """

    def __init__(
        self,
        settings: RedisSettings,
        receiver: str,
        lane: int,
        positions: Mapping[str, bytes],
        ring: Callable[[], None],
    ) -> None:
        """`positions`: by `position_field`, of all owners that were ever seen."""
        super().__init__(settings, f"alarms.{receiver}-{lane}", ring)
        self.receiver, self.lane = receiver, lane
        prefix = f"netmon:{{{receiver}:{lane}}}"
        self._owner_key = f"{prefix}:owner"
        self._keys = {f"{prefix}:{kind}": kind for kind in KINDS}
        self._positions = dict(positions)
        self._owner = ""
        """Empty while it is in doubt."""
        self._last_owner = ""
        """If it is the same again after a doubt, reading goes on behind what was read."""
        self._cursors: dict[str, bytes] = {}
        self._done: dict[str, bytes] = {}
        self._held: deque[dict[str, bytes]] = deque(maxlen=_HELD_BACK + 1)
        self.lags: dict[str, Lag] = {}
        self._count = _ENTRIES_MAX
        self._tend_mono = 0.0

    def done(self, key: str, entry_id: bytes) -> None:
        """Tells, from the worker's thread, that the effects of a stream stand up to an entry."""
        if key in self._keys:
            self._done[key] = entry_id

    def _read(self, connection: Connection) -> None:
        if not self._owner and not self._attach(connection):
            self._stopping.wait(_ABSENT_S)
            return
        self._tend(connection)
        words = ("XREAD", "COUNT", self._count, "BLOCK", _BLOCK_MS, "STREAMS")
        after = self._cursors.values()
        connection.send(encode_command(*words, *self._keys, *after) + encode_command("GET", self._owner_key))
        reply, owner = connection.replies(2)
        for answer in (reply, owner):
            if isinstance(answer, hiredis.ReplyError):
                raise connection.refusal(answer)
        if owner is None or owner.decode() != self._owner:
            # Whose entries these are is not certain. What is taken by mistake could not be taken back.
            self._owner = ""
            return
        if reply:
            self._count = min(_fitting(entries) for _, entries in reply)
            self._put([self._batch(key.decode(), entries) for key, entries in reply])

    def _batch(self, key: str, entries: list[Any]) -> Batch:
        self._cursors[key] = entries[-1][0]
        return Batch(self._keys[key], key, self._owner, entries)

    def _attach(self, connection: Connection) -> bool:
        """Learns whose streams these are, and where to go on; False when there are none, or none of theirs yet."""
        owner = connection.command("GET", self._owner_key)
        if owner is None:
            return False
        name = owner.decode()
        for key in self._keys:
            # A receiver with a new journal sets the old one's streams aside just after it has become the owner.
            if any(self._holds(connection, key, position) for position in self._of_others(name, key)):
                return False
        if name != self._last_owner:
            self._cursors = {key: self._positions.get(position_field(name, key), _NO_ID) for key in self._keys}
            self._done = dict(self._cursors)
            self._held.clear()
            self._last_owner = name
        self._owner = name
        self.found = True
        return True

    def _of_others(self, owner: str, key: str) -> list[bytes]:
        """Positions in the streams that former owners had under this key."""
        others = {self._last_owner: self._cursors[key]} if self._last_owner and self._last_owner != owner else {}
        ending = f":{key}"
        for field, position in self._positions.items():
            former = field.removeprefix("position:").removesuffix(ending)
            if field.endswith(ending) and former != owner:
                others.setdefault(former, position)
        return [position for position in others.values() if position != _NO_ID]

    @staticmethod
    def _holds(connection: Connection, key: str, position: bytes) -> bool:
        return bool(connection.command("XRANGE", key, position, position, "COUNT", 1))

    def _tend(self, connection: Connection) -> None:
        """Moves the groups on, makes them where they are missing, as after FLUSHALL, and sees how far we are behind."""
        now = time.monotonic()
        if now - self._tend_mono < _TEND_S:
            return
        self._tend_mono = now
        done = dict(self._done)
        self._held.append(done)
        given_up = self._held[0]
        asked = [encode_command("XGROUP", "SETID", key, GROUP, given_up[key]) for key in done]
        asked += [encode_command("XINFO", "STREAM", key) for key in done]
        connection.send(b"".join(asked))
        replies = connection.replies(len(asked))
        moved, looks = replies[: len(done)], replies[len(done) :]
        missing = [key for key, reply in zip(done, moved, strict=True) if isinstance(reply, hiredis.ReplyError)]
        # A stream that is not there is left to its receiver to make. It will not be trimmed before the next look.
        connection.send(b"".join([encode_command("XGROUP", "CREATE", key, GROUP, given_up[key]) for key in missing]))
        connection.replies(len(missing))
        self.lags = {self._keys[key]: _lag(done[key], look) for key, look in zip(done, looks, strict=True)}


def _fitting(entries: list[Any]) -> int:
    """How many entries like these to ask for."""
    octets = sum(len(fields[1]) for _, fields in entries if len(fields) > 1) // len(entries)
    return min(max(_REPLY_BYTES // max(octets, 1), _ENTRIES_MIN), _ENTRIES_MAX)


def _lag(done: bytes, look: Any) -> Lag:
    """How far we are behind in a stream, from what XINFO says of it."""
    if isinstance(look, hiredis.ReplyError):
        return Lag(0, 0)
    facts = {look[at]: look[at + 1] for at in range(0, len(look), 2)}
    length, first = facts[b"length"], facts[b"first-entry"]
    here, last = parse_id(done), parse_id(facts[b"last-generated-id"])
    if not length or last <= here:
        return Lag(0, 0)
    oldest = max(here, parse_id(first[0]))
    # The second half of an ID counts within the journal, or within a pass of the late stream.
    entries = last.seq - here.seq if last.seq > here.seq else length
    return Lag(min(entries, length), oldest.ms)


def destroy_groups(settings: RedisSettings, receivers: Sequence[str]) -> None:
    """Says that alarms are not made from these receivers' streams any more. Raises UnavailableError."""
    for receiver in receivers:
        for lane in range(_LANES_MAX):
            prefix = f"netmon:{{{receiver}:{lane}}}"
            connection = Connection(settings)
            try:
                known = connection.command("EXISTS", f"{prefix}:owner")
            except MovedError as error:
                connection = Connection(settings, moved_to(error))
                known = connection.command("EXISTS", f"{prefix}:owner")
            if known:
                asked = [encode_command("XGROUP", "DESTROY", f"{prefix}:{kind}", GROUP) for kind in KINDS]
                connection.send(b"".join(asked))
                connection.replies(len(asked))  # an error: there is no such stream
            connection.close()
            if not known:
                break
