"""What the alarm worker has to do with the lines: it reads what became of them, and tells when something has come over one.

The stream is read as those of the lanes are: behind a position that stands beside the alarms. Where it does not go on behind that, the
hash of all lines is taken first: it is written before the stream is.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from netmon.buffer.connection import Connection, MovedError, moved_to
from netmon.buffer.following import FollowingReader, values_in
from netmon.buffer.line_store import CHANGES, HEARD, LINES, META, vantage_field
from netmon.errors import UnavailableError
from netmon.log import limited
from netmon.model import RedisSettings

KIND: Final = "lines"
"""Of its batches."""

_RETRY_S: Final = 2.0

Heard = dict[str, tuple[int, str]]
"""Line ID to when something came over it (nanoseconds since 1970 UTC), and what."""


class LineReader(FollowingReader):
    """The stream `netmon:line-changes`, and the hash `netmon:lines` where the stream does not have all."""

    def __init__(
        self, settings: RedisSettings, position: bytes, ring: Callable[[], None], name: str = "alarms.lines"
    ) -> None:
        """`position`: ID of the last entry whose effects stand."""
        super().__init__(settings, name, ring, KIND, CHANGES, position)

    def _stand(self) -> list[list[bytes]]:
        lines = [[b"status", body] for _, body in values_in(self._settings, LINES)]
        if not lines:
            # Nobody has judged them yet, or Redis has lost that: the stream is all there is.
            return []
        prefix = vantage_field("").encode()
        said = [[b"vantage", body] for name, body in values_in(self._settings, META) if name.startswith(prefix)]
        return said + lines


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
