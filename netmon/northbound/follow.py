"""Follows the alarms in Redis for the sinks: the list first, then every change.

A thread reads, since Redis is waited for; the event loop takes, some alarms at a time, and the thread waits until that is done:
a storm of changes fills no queue. The stream's newest ID is read first, then the list, then what came after that ID; told
twice does no harm, since only the present state counts. When the stream lacks what was not read, the list is read anew.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final

import msgspec

from netmon.alarms.model import Alarm
from netmon.buffer.alarm_store import AlarmView, Told, told_of
from netmon.buffer.view import Entry
from netmon.errors import UnavailableError
from netmon.log import limited, log
from netmon.northbound.sink import Sink

_BLOCK_MS: Final = 1_000
_BATCH: Final = 200
"""Alarms that are taken before others have their turn."""
_BEGINNING: Final = "0-0"
"""Of a stream that had no entry yet: nothing can be missing before it."""
_RETRY_MIN_S: Final = 0.2
_RETRY_MAX_S: Final = 5.0

_alarm = msgspec.json.Decoder(Alarm).decode


class Follower:
    """Keeps sinks up to date.

    Attributes:
        following: Whether Redis answers, and the sinks know all.
    """

    def __init__(self, view: AlarmView, sinks: Iterable[Sink]) -> None:
        """Prepares."""
        self.following = False
        self._view = view
        self._sinks = tuple(sinks)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begins; needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        # Not waited for at the end: it may be in the middle of a time-out.
        threading.Thread(target=self._run, name="northbound.follow", daemon=True).start()

    def stop(self) -> None:
        """Ends it soon."""
        self._stopping.set()

    # --- The thread: talks to Redis.

    def _run(self) -> None:
        after: str | None = None
        retry_s = _RETRY_MIN_S
        while not self._stopping.is_set():
            try:
                if after is None or (after != _BEGINNING and not self._view.is_whole_after(after)):
                    after = self._load()
                self.following = True
                retry_s = _RETRY_MIN_S
                after = self._next(after)
            except UnavailableError as error:
                self.following = False
                limited.warning("northbound.redis_lost", reason=error.reason, detail=error.detail)
                self._stopping.wait(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
                retry_s = min(2 * retry_s, _RETRY_MAX_S)
            except _Stopped:
                return

    def _load(self) -> str:
        after, count = self._view.last_id(), 0
        self._hand(self._begin())
        for page in self._view.bodies():
            alarms = [alarm for body in page if (alarm := _read(body)) is not None]
            count += len(alarms)
            for first in range(0, len(alarms), _BATCH):
                self._hand(self._put(alarms[first : first + _BATCH]))
        self._hand(self._end())
        log.info("northbound.list_loaded", alarms=count)
        return after

    def _next(self, after: str) -> str | None:
        """Hands on what comes; returns the ID of the last entry, None when all that was known is void."""
        entries = self._view.entries(after, block_ms=_BLOCK_MS, count=_BATCH)
        told = [found for entry in entries if (found := _told(entry)) is not None]
        if any(entry.reset is not None for entry in told):
            return None
        if told:
            self._hand(self._take(told))
        return entries[-1][0].decode() if entries else after

    def _hand(self, work: Coroutine[Any, Any, None]) -> None:
        """Has the event loop do it, and waits for that."""
        assert self._loop is not None, "not started"
        if self._stopping.is_set() or self._loop.is_closed():
            work.close()
            raise _Stopped
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # --- The event loop: takes what was read.

    async def _begin(self) -> None:
        for sink in self._sinks:
            sink.begin()

    async def _put(self, alarms: Sequence[Alarm]) -> None:
        for sink in self._sinks:
            for alarm in alarms:
                sink.put(alarm)

    async def _end(self) -> None:
        for sink in self._sinks:
            sink.end()

    async def _take(self, told: Sequence[Told]) -> None:
        changes = [entry.change for entry in told if entry.change is not None]
        for sink in self._sinks:
            for change in changes:
                if change.kind == "purged":
                    sink.drop(change.alarm.id)
                else:
                    sink.put(change.alarm)


class _Stopped(Exception):  # noqa: N818 - no error: it ends the thread
    """The follower is to stop."""


def _read(body: bytes) -> Alarm | None:
    try:
        return _alarm(body)
    except msgspec.MsgspecError as error:
        limited.warning("northbound.alarm_skipped", reason=str(error))
        return None


def _told(entry: Entry) -> Told | None:
    try:
        return told_of(*entry)
    except msgspec.MsgspecError as error:
        limited.warning("northbound.entry_skipped", reason=str(error))
        return None
