"""What the alarm worker has to do with the lines: it reads what became of them, and tells when something has come over one.

The stream is read as those of the lanes are: behind a position that stands beside the alarms. Where it does not go on behind that,
because it was trimmed, lost, or never read, the hash of all lines is taken first: it is written before the stream is.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import hiredis
import msgspec

from netmon.buffer.alarm_reader import Batch, Reader
from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.line_store import CHANGES, HEARD, LINES, META, vantage_field
from netmon.buffer.stream import parse_id
from netmon.errors import UnavailableError
from netmon.log import limited
from netmon.model import RedisSettings

KIND: Final = "lines"
"""Of its batches."""

_ENTRIES_MAX: Final = 500
_BLOCK_MS: Final = 500
_TEND_S: Final = 1.0
_RETRY_S: Final = 2.0

_NO_ID: Final = b"0-0"

Heard = dict[str, tuple[int, str]]
"""Line ID to when something came over it (nanoseconds since 1970 UTC), and what."""


class LineReader(Reader):
    """The stream `netmon:line-changes`, and the hash `netmon:lines` where the stream does not have all."""

    def __init__(self, settings: RedisSettings, position: bytes, ring: Callable[[], None]) -> None:
        """`position`: ID of the last entry whose effects stand."""
        super().__init__(settings, "alarms.lines", ring)
        self.found = True
        self._position = position
        self._tend_mono = 0.0

    def _read(self, connection: Connection) -> None:
        self._tend(connection)
        words = ("XREAD", "COUNT", _ENTRIES_MAX, "BLOCK", _BLOCK_MS, "STREAMS", CHANGES, self._position)
        for _, entries in connection.command(*words) or []:
            self._position = entries[-1][0]
            self._put([Batch(KIND, CHANGES, "", entries)])

    def _tend(self, connection: Connection) -> None:
        """Sees whether the stream goes on behind the position. Else it was trimmed, is another one, or was never read."""
        now = time.monotonic()
        if self._tend_mono and now - self._tend_mono < _TEND_S:
            return
        connection.send(encode_command("XINFO", "STREAM", CHANGES))
        look = connection.reply()
        if not isinstance(look, hiredis.ReplyError):
            self._look(look)
        elif "no such key" in str(look):
            self._position = _NO_ID
        else:
            raise connection.refusal(look)
        # Only now: what failed half-way is done again with the next connection.
        self._tend_mono = now

    def _look(self, look: list[Any]) -> None:
        facts = {look[at]: look[at + 1] for at in range(0, len(look), 2)}
        newest, oldest, here = facts[b"last-generated-id"], facts[b"first-entry"], parse_id(self._position)
        if parse_id(newest) < here or (oldest is not None and parse_id(oldest[0]) > here):
            self._begin_anew(newest)

    def _begin_anew(self, newest: bytes) -> None:
        """Takes how all lines are instead of how they came to it. What comes behind the newest entry is not in it yet."""
        found = [[b"status", body] for body in _values(self._settings, LINES)]
        if not found:
            # Nobody has judged them yet, or Redis has lost that: the stream is all there is.
            self._position = _NO_ID
            return
        prefix = vantage_field("").encode()
        found += [[b"vantage", body] for body in _values(self._settings, META, prefix)]
        while found:
            page, found = found[:_ENTRIES_MAX], found[_ENTRIES_MAX:]
            # The position moves on with the last page: whoever dies in between begins anew once more.
            entry_id = self._position if found else newest
            self._put([Batch(KIND, CHANGES, "", [(entry_id, fields) for fields in page])])
        self._position = newest


def _values(settings: RedisSettings, key: str, prefix: bytes = b"") -> list[bytes]:
    """What the fields of a hash have whose names begin so. Raises UnavailableError."""
    connection = Connection(settings)
    try:
        try:
            pairs = connection.command("HGETALL", key)
        except MovedError as error:
            connection = Connection(settings, moved_to(error))
            pairs = connection.command("HGETALL", key)
    finally:
        connection.close()
    return [pairs[at + 1] for at in range(0, len(pairs), 2) if pairs[at].startswith(prefix)]


class HeardWriter:
    """A thread that tells of what came over lines by itself; what Redis does not take is not told: there will be more."""

    def __init__(self, settings: RedisSettings) -> None:
        """Prepares."""
        self._settings = settings
        self._ready: queue.Queue[Heard | None] = queue.Queue(1)
        self._connection: Connection | None = None

    def start(self) -> None:
        """Begins."""
        # Not waited for at the end: it may be in the middle of a time-out.
        threading.Thread(target=self._run, name="alarms.heard", daemon=True).start()

    def stop(self) -> None:
        """Ends it soon."""
        self._replace(None)

    def put(self, heard: Mapping[str, tuple[int, str]]) -> None:
        """Tells this soon; what has not been told by the next time is left out."""
        self._replace(dict(heard))

    def _replace(self, heard: Heard | None) -> None:
        while True:
            try:
                self._ready.put_nowait(heard)
            except queue.Full:
                self._drop()
            else:
                return

    def _drop(self) -> None:
        try:
            self._ready.get_nowait()
        except queue.Empty:
            return

    def _run(self) -> None:
        while (heard := self._ready.get()) is not None:
            try:
                self._tell(heard)
            except UnavailableError as error:
                self._connection = None
                limited.warning("lines.heard_untold", reason=error.reason, detail=error.detail)
                time.sleep(_RETRY_S)
        if self._connection is not None:
            self._connection.close()

    def _tell(self, heard: Heard) -> None:
        words = [word for line, told in heard.items() for word in (line, msgspec.json.encode(told))]
        try:
            self._connection = self._connection or Connection(self._settings)
            self._connection.command("HSET", HEARD, *words)
        except MovedError as error:
            self._connection = Connection(self._settings, moved_to(error))
            self._connection.command("HSET", HEARD, *words)
