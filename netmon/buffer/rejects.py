"""Reads what was refused: the rejects streams of a receiver's lanes, and the rejections in their late streams."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from netmon.buffer import consumer
from netmon.buffer.stream import parse_id
from netmon.errors import UnavailableError
from netmon.model import RedisSettings, RejectEvent

_CHUNK: Final = 1_000
"""Entries of one reply."""
_SKIM_MAX: Final = 100_000
"""Entries of a late stream that are looked at in search of rejections."""
_POLL_S: Final = 0.2
_decode = msgspec.json.Decoder(RejectEvent).decode


class Rejected(msgspec.Struct, frozen=True):
    """A rejection in a stream."""

    key: str
    """Of the stream."""
    entry_id: str
    event: RejectEvent

    @property
    def late(self) -> bool:
        """Whether the datagram had been parked before."""
        return self.key.endswith(":late")


class Reader:
    """Reads without a consumer group: nobody waits for it."""

    def __init__(self, settings: RedisSettings, prefixes: Sequence[str]) -> None:
        """`prefixes`: `LaneSettings.key_prefix` of each lane."""
        self._settings = settings
        self._keys = [f"{prefix}:{name}" for prefix in prefixes for name in ("rejects", "late")]
        self._after: dict[str, str] = {}
        self._client: Any = None

    def connect(self) -> None:
        """Connects, anew where there was a connection. Raises UnavailableError."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._client = consumer.open(self._settings)

    def newest(self, last: int) -> list[Rejected]:
        """The last rejections of all lanes, oldest first; `arrived` goes on behind them. Raises UnavailableError."""
        found: list[Rejected] = []
        with _unavailable():
            for key in self._keys:
                found += self._newest(key, last)
        found.sort(key=lambda each: (parse_id(each.entry_id.encode()), each.key))
        return found[len(found) - min(last, len(found)) :]

    def _newest(self, key: str, last: int) -> Iterator[Rejected]:
        newest = self._client.xrevrange(key, count=1)
        up_to = newest[0][0].decode() if newest else "0-0"
        self._after[key] = up_to
        skimmed = 0
        while last > 0 and skimmed < _SKIM_MAX:
            entries = self._client.xrevrange(key, max=up_to, count=min(last, _CHUNK) if skimmed == 0 else _CHUNK)
            if not entries:
                return
            skimmed += len(entries)
            for found in _rejected(key, entries):
                if last > 0:
                    last -= 1
                    yield found
            up_to = f"({entries[-1][0].decode()}"

    def arrived(self) -> Iterator[Rejected]:
        """What has come since; waits a moment when nothing has. Raises UnavailableError."""
        count = 0
        with _unavailable():
            for key in self._keys:
                entries = self._client.xrange(key, min=f"({self._after[key]}", count=_CHUNK)
                yield from _rejected(key, entries)
                if entries:
                    self._after[key] = entries[-1][0].decode()
                    count += len(entries)
        if count == 0:
            time.sleep(_POLL_S)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except consumer.ERRORS as error:
        raise UnavailableError("connection", str(error)) from error


def _rejected(key: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[Rejected]:
    """The rejections among entries; others, and what is not netmon's, are left out."""
    for entry_id, fields in entries:
        body = fields.get(b"reject")
        if body is None:
            continue
        try:
            yield Rejected(key, entry_id.decode(), _decode(body))
        except msgspec.DecodeError:
            continue
