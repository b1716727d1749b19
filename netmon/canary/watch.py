"""Looks for canaries in the streams of one lane: a thread that sleeps until something is sought.

It reads only from shortly before the first canary that is sought, so that it costs a fraction of what comes: with the
receiver well, a canary is found a few milliseconds after it was sent.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from typing import Any, Final, NamedTuple

from netmon.buffer.connection import Connection, MovedError, moved_to
from netmon.buffer.stream import EntryId, parse_id
from netmon.canary.message import number_in
from netmon.errors import UnavailableError
from netmon.log import limited
from netmon.model import RedisSettings

STREAMS: Final = ("traps", "express", "late")
_CHUNK: Final = 1_000
_BLOCK_MS: Final = 500
_RETRY_S: Final = 0.5
_SLACK_MS: Final = 1_000
"""An entry's ID has the time at which it was captured; clocks may be set by a little."""


class Sighting(NamedTuple):
    """A canary that stands in a stream."""

    lane: int
    number: int
    mono_ns: int


class Watch:
    """The watcher of one lane."""

    def __init__(
        self, redis: RedisSettings, prefix: str, lane: int, run: str, found: queue.SimpleQueue[Sighting], bell_fd: int
    ) -> None:
        """Args:
        redis: Where the streams are.
        prefix: `LaneSettings.key_prefix`.
        lane: Its number.
        run: Whose canaries are sought.
        found: Gets what is found.
        bell_fd: An eventfd that rings then.
        """
        self._redis = redis
        self._lane = lane
        self._run = run
        self._found = found
        self._bell_fd = bell_fd
        self._keys = [f"{prefix}:{stream}" for stream in STREAMS]
        self._cursors = dict.fromkeys(self._keys, EntryId(0, 0))
        self._sought = threading.Event()
        self._from_ms = 0
        self._connection: Connection | None = None
        self._node: tuple[str, int] | None = None
        # Not waited for at the end: it may be in the middle of a time-out.
        threading.Thread(target=self._keep_looking, name=f"canary.watch-{lane}", daemon=True).start()

    def begin(self, sent_unix_ms: int) -> None:
        """Canaries are sought that are sent from now on; nothing when some are sought already."""
        if not self._sought.is_set():
            self._from_ms = sent_unix_ms - _SLACK_MS
            self._sought.set()

    def end(self) -> None:
        """All have been found, or are given up."""
        self._sought.clear()

    def _keep_looking(self) -> None:
        while True:
            self._sought.wait()
            start = EntryId(self._from_ms, 0)
            self._cursors = {key: max(cursor, start) for key, cursor in self._cursors.items()}
            try:
                self._look_while_sought()
            except UnavailableError as error:
                self._connection = None
                self._node = moved_to(error) if isinstance(error, MovedError) else None
                if self._node is None:
                    limited.warning(
                        "canary.stream_unreadable", lane=self._lane, reason=error.reason, detail=error.detail
                    )
                    time.sleep(_RETRY_S)

    def _look_while_sought(self) -> None:
        if self._connection is None:
            self._connection = Connection(self._redis, self._node)
        while self._sought.is_set():
            after = map(str, self._cursors.values())
            reply = self._connection.command(
                "XREAD", "COUNT", _CHUNK, "BLOCK", _BLOCK_MS, "STREAMS", *self._keys, *after
            )
            for key, entries in reply or []:
                self._take(key.decode(), entries)

    def _take(self, key: str, entries: list[Any]) -> None:
        for _, fields in entries:
            # An entry of ours is one field and its value; what somebody else has put there is not looked at.
            found = number_in(fields[1], self._run) if fields and len(fields) == 2 else None
            if found is not None:
                self._found.put(Sighting(self._lane, found[1], time.monotonic_ns()))
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(self._bell_fd, 1)
        self._cursors[key] = parse_id(entries[-1][0])
