"""What the alarm worker has to do with the lines: it reads what became of them, and tells when something has come over one.

The stream is read as those of the lanes are: behind a position that stands beside the alarms. It may be missing, be trimmed, or be
made anew at any time: the verdict process tells again what stands when Redis has lost it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import hiredis
import msgspec

from netmon.buffer.alarm_reader import Batch, Reader
from netmon.buffer.connection import Connection, MovedError, encode_command, moved_to
from netmon.buffer.line_store import CHANGES, HEARD
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
    """The stream `netmon:line-changes`."""

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
        """Begins anew with a stream that is not the one that was read: its IDs may be smaller, if a clock was wrong."""
        now = time.monotonic()
        if self._position == _NO_ID or now - self._tend_mono < _TEND_S:
            return
        self._tend_mono = now
        connection.send(encode_command("XINFO", "STREAM", CHANGES))
        look = connection.reply()
        if isinstance(look, hiredis.ReplyError):
            if str(look).startswith("MOVED"):
                raise connection.refusal(look)
            self._position = _NO_ID
            return
        facts = {look[at]: look[at + 1] for at in range(0, len(look), 2)}
        if parse_id(facts[b"last-generated-id"]) < parse_id(self._position):
            self._position = _NO_ID


class HeardWriter:
    """A thread that tells of what came over lines by itself; what Redis does not take is not told: there will be more."""

    def __init__(self, settings: RedisSettings) -> None:
        """Prepares."""
        self._settings = settings
        self._ready: queue.Queue[Heard | None] = queue.Queue(1)

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
        connection: Connection | None = None
        node: tuple[str, int] | None = None
        while (heard := self._ready.get()) is not None:
            words = [word for line, told in heard.items() for word in (line, msgspec.json.encode(told))]
            try:
                connection = connection or Connection(self._settings, node)
                connection.command("HSET", HEARD, *words)
            except UnavailableError as error:
                connection, node = None, moved_to(error) if isinstance(error, MovedError) else None
                if node is None:
                    limited.warning("alarms.heard_untold", reason=error.reason, detail=error.detail)
                    time.sleep(_RETRY_S)
        if connection is not None:
            connection.close()
