"""What readers of Redis have in common: a client that is made when it is needed, and streams that are followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from netmon.buffer import consumer
from netmon.buffer.stream import parse_id
from netmon.errors import UnavailableError
from netmon.model import RedisSettings

READ_MAX: Final = 1_000
"""Entries of one reply."""

_RESULT_POLL_S: Final = 0.01
_SCAN_COUNT: Final = 1_000

_Answer = TypeVar("_Answer")
_Value = TypeVar("_Value")
Entry = tuple[bytes, dict[bytes, bytes]]
"""ID and fields of an entry of a stream."""


class View:
    """One stream, and what stands beside it. May be used by several threads.

    Every method raises UnavailableError when Redis does not answer or refuses; what was connected before is connected again
    by the next call.
    """

    stream: str
    """Key of the stream."""

    def __init__(self, settings: RedisSettings) -> None:
        """Prepares; nothing is connected before the first call."""
        self._settings = settings
        self._client: Any = None

    def close(self) -> None:
        """Closes all connections; the next call makes new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def last_id(self) -> str:
        """ID of the newest entry of the stream; `0-0` when there is none."""
        entries = self._ask(lambda client: client.xrevrange(self.stream, count=1))
        return entries[0][0].decode() if entries else "0-0"

    def entries(self, after: str, *, block_ms: int | None = None, count: int = READ_MAX) -> list[Entry]:
        """What came after an entry, oldest first, as it stands in the stream.

        Args:
            after: ID of the last entry that is known.
            block_ms: Wait so long for something to come; None: do not wait. May come back empty sooner.
            count: At most so many.
        """
        reply = self._ask(lambda client: client.xread({self.stream: after}, count=count, block=block_ms))
        return [entry for _, entries in reply or [] for entry in entries]

    def is_whole_after(self, after: str) -> bool:
        """Whether nothing after an entry may have been trimmed, so that no change is missed; if not, read the list again."""
        if after == "0-0":
            return False
        oldest = self._ask(lambda client: client.xrange(self.stream, count=1))
        known = parse_id(after.encode())
        return bool(oldest) and parse_id(oldest[0][0]) <= known

    # -- for the views of a kind

    def _one(self, key: str, name: str, decode: Callable[[bytes], _Value]) -> _Value | None:
        """One value of a hash; None where there is none, or one that no netmon has written."""
        body = self._ask(lambda client: client.hget(key, name))
        return None if body is None else readable(decode, body)

    def _values(self, key: str, decode: Callable[[bytes], _Value]) -> Iterator[tuple[str, _Value]]:
        """Names and values of a hash; one may come twice, the later one counts. What no netmon has written is left out."""
        for page in self._pages(key):
            for name, body in page.items():
                if (value := readable(decode, body)) is not None:
                    yield name.decode(errors="replace"), value

    def _pages(self, key: str, match: str | None = None) -> Iterator[dict[bytes, bytes]]:
        """A hash, page by page."""
        cursor = 0
        while True:
            cursor, page = self._ask(_page_from(key, cursor, match))
            yield page
            if cursor == 0:
                return

    def _until(self, look: Callable[[], _Answer | None], timeout_s: float) -> _Answer | None:
        """What a look finds, as soon as it finds something; None: nothing in time."""
        deadline = time.monotonic() + timeout_s
        while (found := look()) is None and time.monotonic() < deadline:
            time.sleep(_RESULT_POLL_S)
        return found

    def _ask(self, question: Callable[[Any], _Answer]) -> _Answer:
        client = self._client
        if client is None:
            client = self._client = consumer.open(self._settings)
        try:
            return question(client)
        except consumer.ERRORS as error:
            self.close()
            raise UnavailableError("connection", str(error)) from error


def readable(decode: Callable[[bytes], _Value], body: bytes) -> _Value | None:
    """The value; None for what no netmon has written."""
    try:
        return decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _page_from(key: str, cursor: int, match: str | None) -> Callable[[Any], tuple[int, dict[bytes, bytes]]]:
    return lambda client: client.hscan(key, cursor, match=match, count=_SCAN_COUNT)
