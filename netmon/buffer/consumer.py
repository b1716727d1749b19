"""Reads the trap streams for people and scripts, without a consumer group: nobody waits for this reader."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import redis

from netmon.buffer.stream import EntryId, parse_id
from netmon.errors import UnavailableError
from netmon.model import RedisSettings, TrapEvent

_CHUNK = 1_000
"""Entries of one reply."""
_BLOCK_MS = 1_000
_RECONNECT_S = 0.5

_decode = msgspec.json.Decoder(TrapEvent).decode


def open(settings: RedisSettings) -> redis.Redis:  # noqa: A001 - consumer.open, as in os.open
    """A client for a buffer; it connects with its first command."""
    options: dict[str, Any] = {"protocol": 2}
    if settings.username is not None:
        options["username"] = settings.username
    if settings.password is not None:
        options["password"] = settings.password
    if settings.tls_ca_file is not None:
        options["ssl_ca_certs"] = settings.tls_ca_file
    return redis.Redis.from_url(settings.url, **options)


def tail(
    client: redis.Redis, stream_keys: Sequence[str], last: int, follow: bool
) -> Iterator[tuple[str, str, TrapEvent]]:
    """The newest traps of some streams, oldest first, and then those that come.

    Args:
        client: From `open`.
        stream_keys: Keys of traps streams; one that does not exist yet is waited for.
        last: How many traps to begin with, over all streams.
        follow: Whether to go on for ever.

    Yields:
        Stream key, entry ID, notification.

    Raises:
        UnavailableError: Redis does not answer, or refuses.
    """
    try:
        after = {}
        newest: list[tuple[EntryId, str, TrapEvent]] = []
        for key in stream_keys:
            after[key] = _last_id(client, key)
            newest += [(parse_id(entry_id), key, event) for entry_id, event in _newest(client, key, after[key], last)]
        newest.sort(key=lambda found: found[:2])
        for entry_id, key, event in newest[len(newest) - min(last, len(newest)) :]:
            yield key, str(entry_id), event
    except redis.RedisError as error:
        raise UnavailableError("connection", str(error)) from error
    while follow:
        try:
            yield from _arrived(client, after)
        except (redis.ConnectionError, redis.TimeoutError):
            # Redis restarts, or is moved: whoever watches goes on where he was.
            time.sleep(_RECONNECT_S)
        except redis.RedisError as error:
            raise UnavailableError("refused", str(error)) from error


def _last_id(client: Any, key: str) -> str:
    entries = client.xrevrange(key, count=1)
    return entries[0][0].decode() if entries else "0-0"


def _newest(client: Any, key: str, up_to: str, count: int) -> Iterator[tuple[bytes, TrapEvent]]:
    while count > 0:
        entries = client.xrevrange(key, max=up_to, count=min(count, _CHUNK))
        for entry_id, fields in entries:
            if (event := _event(fields)) is not None:
                yield entry_id, event
        count -= len(entries)
        if len(entries) < _CHUNK:
            return
        up_to = f"({entries[-1][0].decode()}"


def _arrived(client: Any, after: dict[str, str]) -> Iterator[tuple[str, str, TrapEvent]]:
    """What has come to any of the streams since `after`, which it moves on; waits a second for something."""
    for name, entries in client.xread(dict(after), count=_CHUNK, block=_BLOCK_MS) or []:
        key = name.decode()
        for entry_id, fields in entries:
            after[key] = entry_id.decode()
            if (event := _event(fields)) is not None:
                yield key, after[key], event


def _event(fields: dict[bytes, bytes]) -> TrapEvent | None:
    """An entry's notification; None for an entry that is not netmon's, which decode will set aside."""
    try:
        return _decode(fields[b"trap"])
    except (KeyError, msgspec.DecodeError):
        return None
