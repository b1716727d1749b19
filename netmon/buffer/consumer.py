"""Reads the trap streams of one or several receivers, without a consumer group: nobody waits for this reader.

    both = Union(["trap1", "trap2"])
    follower = Follower([Path("trap1", RedisSettings(url="redis://192.0.2.1")), Path("trap2", ...)])
    for found in follower.follow():
        if both.tell(found.receiver, found.event, found.in_order_lane):
            ...

A receiver that cannot be reached is tried again for ever, and the others are read meanwhile. All of a receiver's lanes
are read, and of each lane what was decoded in its turn (`traps`), before it (`express`) and after it (`late`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import redis
from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError, RedisClusterException

from netmon.buffer.stream import EntryId, parse_id
from netmon.canary import message
from netmon.errors import UnavailableError
from netmon.model import RedisSettings, TrapEvent

Kind = Literal["traps", "express", "late"]
KINDS: Final[tuple[Kind, ...]] = ("traps", "express", "late")
"""The streams of a lane that hold notifications, as they are named at the end of a key."""

_CHUNK = 1_000
"""Entries of one reply."""
_BLOCK_MS = 1_000
_POLL_S = 0.05
"""Between two looks at several servers: one that blocks would keep the others waiting."""
_RECONNECT_S = 0.5
_DISCOVER_S = 5.0
"""How soon a lane that a receiver has got since is found."""
_LANES_MAX = 1_024
_SKIM_MAX = 100_000
"""Canaries of one stream that are stepped over in search of the newest traps."""
_TIMEOUT_S = 5.0

ERRORS: Final = (redis.RedisError, RedisClusterException)
"""What redis-py raises; those of clusters have no common ancestor with the others."""
_decode = msgspec.json.Decoder(TrapEvent).decode


class Path(msgspec.Struct, frozen=True):
    """One receiver as its readers see it."""

    receiver: str
    """Its `receiver.name`."""
    redis: RedisSettings
    """Where it writes."""
    lanes: int | None = None
    """How many lanes it has; None: found by looking."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """A notification in a stream."""

    receiver: str
    lane: int
    kind: Kind
    key: str
    """Of the stream."""
    entry_id: str
    event: TrapEvent
    known: bool = False
    """The reader had it before it was started again; `Follower` tells it for the sake of a `Union`."""

    @property
    def in_order_lane(self) -> int | None:
        """The lane, where entries come in the order in which they were received; None for those out of turn."""
        return self.lane if self.kind == "traps" else None


class Stream(msgspec.Struct, frozen=True):
    """A stream and whose it is."""

    key: str
    receiver: str
    lane: int
    kind: Kind


def streams_of(receiver: str, lane: int) -> list[Stream]:
    """The streams of a lane that hold notifications."""
    return [Stream(f"netmon:{{{receiver}:{lane}}}:{kind}", receiver, lane, kind) for kind in KINDS]


def open(settings: RedisSettings) -> Any:  # noqa: A001 - consumer.open, as in os.open
    """A client for a buffer: `redis.Redis`, or `redis.cluster.RedisCluster` where the server is a node of a cluster.

    Raises:
        UnavailableError: Redis does not answer, or refuses.
    """
    options: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": _TIMEOUT_S}
    if settings.username is not None:
        options["username"] = settings.username
    if settings.password is not None:
        options["password"] = settings.password
    if settings.tls_ca_file is not None:
        options["ssl_ca_certs"] = settings.tls_ca_file
    client: Any = redis.Redis.from_url(settings.url, **options)
    try:
        if not _is_cluster(client):
            return client
        client.close()
        return RedisCluster.from_url(settings.url, **options)
    except ERRORS as error:
        client.close()
        raise UnavailableError("connection", str(error)) from error


def _is_cluster(client: Any) -> bool:
    try:
        return bool(client.info("cluster").get("cluster_enabled"))
    except NoPermissionError:
        return False


class Follower:
    """Reads what some receivers have told, and what they tell.

    Attributes:
        positions: Stream key to the ID of the last entry that was yielded: save it when you have acted on them.
        unreachable: Receiver to why it cannot be read now.
        unknown: Receivers that had never written to their Redis when `newest` looked: a slip in a name?
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        positions: Mapping[str, str] | None = None,
        warm_up_s: float = 0.0,
        canaries: bool = False,
        say: Callable[[str, str | None], None] = lambda _receiver, _why: None,
    ) -> None:
        """Prepares; nothing is read yet.

        Args:
            paths: The receivers.
            positions: Where an earlier reader was; streams that are not in it are read from now on.
            warm_up_s: With `positions`: how much of what was read before is yielded first, as `known`.
            canaries: Whether to yield netmon's own canaries too.
            say: Told by `follow`, once each time, that a receiver cannot be read and why, or (None) can be again.
        """
        self.positions: dict[str, str] = dict(positions or {})
        self.unreachable: dict[str, str] = {}
        self.unknown: list[str] = []
        self._servers = servers_of(paths, b"" if canaries else message.MARK)
        self._warm_up_s = warm_up_s if positions else 0.0
        self._say = say
        self._start_id = f"{time.time_ns() // 1_000_000}-0"

    def newest(self, last: int) -> list[Found]:
        """The last notifications of all receivers together, oldest first; `follow` goes on behind them.

        Raises:
            UnavailableError: No receiver can be read.
        """
        found: list[tuple[EntryId, Found]] = []
        for server in self._servers:
            try:
                server.connect()
                self.unknown += [receiver for receiver in server.receivers if not server.exists(receiver)]
                for stream in server.streams:
                    up_to = server.last_id(stream.key)
                    self.positions.setdefault(stream.key, up_to)
                    found += [(parse_id(x.entry_id.encode()), x) for x in server.newest(stream, up_to, last)]
            except (UnavailableError, *ERRORS) as error:
                self._failed(server, error)
        self._raise_if_alone()
        found.sort(key=lambda x: (x[0], x[1].key))
        return [x for _, x in found[len(found) - min(last, len(found)) :]]

    def follow(self) -> Iterator[Found]:
        """What comes, for ever, from each stream in its order.

        Raises:
            UnavailableError: A server refuses (not: is away).
        """
        alone = len(self._servers) == 1
        while True:
            count = 0
            for server in self._servers:
                for found in self._arrived(server, alone):
                    count += 1
                    yield found
            if count == 0 and not (alone and self._servers[0].blocks):
                time.sleep(_POLL_S)

    def _arrived(self, server: Server, alone: bool) -> Iterator[Found]:
        if time.monotonic() < server.retry_mono:
            return
        try:
            if not server.connected:
                server.connect()
                yield from self._begin(server)
            server.discover()
            after = {x.key: self.positions.setdefault(x.key, self._start_id) for x in server.streams}
            for found in server.read(after, _BLOCK_MS if alone else None):
                self.positions[found.key] = found.entry_id
                yield found
            self.positions.update(after)
        except (redis.ConnectionError, redis.TimeoutError, UnavailableError, RedisClusterException) as error:
            # Redis restarts, or is moved: whoever watches goes on where he was.
            self._away(server, error)
        except redis.RedisError as error:
            if _is_passing(error):
                self._away(server, error)
                return
            raise UnavailableError("refused", str(error)) from error

    def _begin(self, server: Server) -> Iterator[Found]:
        """After a connection was made: what the reader knows already, the first time."""
        for stream in server.streams:
            if self._warm_up_s and not server.warm and stream.key in self.positions:
                yield from server.known(stream, self.positions[stream.key], self._warm_up_s)
            if not self.unreachable.keys() & server.receivers:
                # By the server's own count; one that was away is read from the time at which it was first asked.
                self.positions.setdefault(stream.key, server.last_id(stream.key))
        server.warm = True
        for receiver in server.receivers:
            if self.unreachable.pop(receiver, None) is not None:
                self._say(receiver, None)

    def _away(self, server: Server, error: Exception) -> None:
        new = [receiver for receiver in server.receivers if receiver not in self.unreachable]
        self._failed(server, error)
        for receiver in new:
            self._say(receiver, self.unreachable[receiver])

    def _failed(self, server: Server, error: Exception) -> None:
        server.close()
        server.retry_mono = time.monotonic() + _RECONNECT_S
        why = error.detail if isinstance(error, UnavailableError) else str(error)
        self.unreachable |= dict.fromkeys(server.receivers, why)

    def _raise_if_alone(self) -> None:
        receivers = {receiver for server in self._servers for receiver in server.receivers}
        if receivers <= self.unreachable.keys():
            raise UnavailableError("connection", "; ".join(dict.fromkeys(self.unreachable.values())))


def _is_passing(error: redis.RedisError) -> bool:
    """Whether a reply says: later."""
    return str(error).split(" ", 1)[0] in {"LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "MOVED", "ASK"}


class Server:
    """One Redis, and the streams of one or several receivers in it. Raises what redis-py raises.

    Attributes:
        receivers: Their names.
        streams: Of all of their lanes, as last looked for.
        retry_mono: When the next try to connect is due.
        warm: Whether the reader has got what it knew before.
    """

    def __init__(self, paths: Sequence[Path], hidden: bytes) -> None:
        """`hidden`: entries whose JSON holds this are left out; empty hides none."""
        self.receivers = [path.receiver for path in paths]
        self.streams: list[Stream] = []
        self.retry_mono = 0.0
        self.warm = False
        self._paths = paths
        self._hidden = hidden
        self._client: Any = None
        self._discovered_mono = 0.0

    @property
    def connected(self) -> bool:
        """Whether there is a connection, which may be broken."""
        return self._client is not None

    @property
    def blocks(self) -> bool:
        """Whether `read` waits for something to come."""
        return self._client is not None and not isinstance(self._client, RedisCluster)

    def connect(self) -> None:
        """Connects anew and finds the lanes. Raises UnavailableError, too."""
        self.close()
        self._client = open(self._paths[0].redis)
        self.discover()

    def close(self) -> None:
        """Gives the connection up; nothing when there is none."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._discovered_mono = 0.0

    def discover(self) -> None:
        """Finds the lanes, now and then: a receiver may be configured to have more."""
        if time.monotonic() - self._discovered_mono < _DISCOVER_S and self._discovered_mono:
            return
        self._discovered_mono = time.monotonic()
        lanes = ((path.receiver, lane) for path in self._paths for lane in range(self._lanes(path)))
        self.streams = [stream for receiver, lane in lanes for stream in streams_of(receiver, lane)]

    def _lanes(self, path: Path) -> int:
        if path.lanes is not None:
            return path.lanes
        for lane in range(_LANES_MAX):
            key = f"netmon:{{{path.receiver}:{lane}}}"
            if not self._client.exists(f"{key}:owner", f"{key}:traps"):
                return max(lane, 1)
        return _LANES_MAX

    def exists(self, receiver: str) -> bool:
        """Whether the receiver has ever written here."""
        key = f"netmon:{{{receiver}:0}}"
        return bool(self._client.exists(f"{key}:owner", f"{key}:traps"))

    def trimmed_to_ms(self, key: str) -> int | None:
        """When the oldest entry that is left was written, milliseconds since 1970 UTC; None: there were no older ones."""
        if not self._client.exists(key):
            return None
        info = self._client.xinfo_stream(key)
        if info.get("entries-added") == info["length"]:
            return None
        oldest = info["first-entry"][0] if info["length"] else info["last-generated-id"]
        return parse_id(oldest).ms

    def bodies(self, stream: Stream, from_ms: int) -> Iterator[bytes]:
        """The JSON of each notification from a time on, oldest first, hidden ones left out."""
        start = f"{from_ms}-0"
        while entries := self._client.xrange(stream.key, min=start, count=_CHUNK):
            for _, fields in entries:
                body = fields.get(b"trap")
                if body is not None and not (self._hidden and self._hidden in body):
                    yield body
            start = f"({entries[-1][0].decode()}"

    def last_id(self, key: str) -> str:
        """ID of the newest entry, 0-0 without any."""
        entries = self._client.xrevrange(key, count=1)
        return entries[0][0].decode() if entries else "0-0"

    def newest(self, stream: Stream, up_to: str, count: int) -> Iterator[Found]:
        """The newest of a stream, newest first, hidden ones left out."""
        skimmed = 0
        while count > 0 and skimmed < _SKIM_MAX:
            entries = self._client.xrevrange(
                stream.key, max=up_to, count=_CHUNK if self._hidden else min(count, _CHUNK)
            )
            skimmed += len(entries)
            for entry_id, fields in entries:
                if count > 0 and (event := self._event(fields)) is not None:
                    count -= 1
                    yield _found(stream, entry_id, event)
            if not entries:
                return
            up_to = f"({entries[-1][0].decode()}"

    def known(self, stream: Stream, up_to: str, seconds: float) -> Iterator[Found]:
        """What a stream has of the last seconds before an ID, oldest first."""
        start = f"{max(parse_id(up_to.encode()).ms - int(seconds * 1_000), 0)}-0"
        while entries := self._client.xrange(stream.key, min=start, max=up_to, count=_CHUNK):
            for entry_id, fields in entries:
                if (event := self._event(fields)) is not None:
                    yield _found(stream, entry_id, event, known=True)
            start = f"({entries[-1][0].decode()}"

    def read(self, after: dict[str, str], block_ms: int | None) -> Iterator[Found]:
        """What came behind `after`, which is moved on over what is hidden."""
        by_key = {stream.key: stream for stream in self.streams}
        if not self.blocks:
            block_ms = None
        for keys in self._groups():
            reply = self._client.xread({key: after[key] for key in keys}, count=_CHUNK, block=block_ms)
            for name, entries in reply or []:
                key = name.decode()
                for entry_id, fields in entries:
                    after[key] = entry_id.decode()
                    if (event := self._event(fields)) is not None:
                        yield _found(by_key[key], entry_id, event)

    def _groups(self) -> list[list[str]]:
        """Keys that one command may name: in a cluster those of one lane, which are in one slot."""
        keys = [stream.key for stream in self.streams]
        if self.blocks:
            return [keys]
        return [keys[at : at + len(KINDS)] for at in range(0, len(keys), len(KINDS))]

    def _event(self, fields: dict[bytes, bytes]) -> TrapEvent | None:
        """An entry's notification; None for a rejection, and for an entry that is hidden or not netmon's."""
        body = fields.get(b"trap")
        if body is None or (self._hidden and self._hidden in body):
            return None
        try:
            return _decode(body)
        except msgspec.DecodeError:
            return None


def _found(stream: Stream, entry_id: bytes, event: TrapEvent, *, known: bool = False) -> Found:
    return Found(stream.receiver, stream.lane, stream.kind, stream.key, entry_id.decode(), event, known)


def servers_of(paths: Sequence[Path], hidden: bytes) -> list[Server]:
    """The receivers by the Redis that they write to."""
    by_redis: dict[RedisSettings, list[Path]] = {}
    for path in paths:
        by_redis.setdefault(path.redis, []).append(path)
    return [Server(group, hidden) for group in by_redis.values()]
