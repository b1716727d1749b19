"""The alarms in memory, as Redis has them a moment ago: the list is loaded once, then the stream is followed.

A thread of its own talks to Redis; what it has read it hands to the event loop batch by batch, and waits until that has been taken:
so a storm of changes fills no queue. The loop takes a batch in small steps, between which it serves.

**Nothing falls in between.** The stream's newest ID is read first, then the list, then what the stream has after that ID; what is
told twice changes nothing, since versions only grow. When the stream lacks what we have not read (trimmed, emptied, another
server), the list is loaded anew into a listing of its own, which takes the old one's place when it is whole.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec

from netmon.alarms.lifecycle.flood import FloodState
from netmon.alarms.posture.model import AreaPosture, PostureChange
from netmon.api.events import Hub, event_of, reset_event
from netmon.api.listing import Listing, Row
from netmon.buffer.alarm_store import AlarmView, Meta
from netmon.buffer.view import Entry
from netmon.errors import UnavailableError
from netmon.log import limited, log

ALARMS_MAX: Final = 250_000
"""Alarms in memory, some 3 kB each; the worker keeps fewer. What is beyond is left out, counted, and told by /healthz."""
_BLOCK_MS: Final = 1_000
_BATCH: Final = 500
_STEP: Final = 50
"""Rows that are taken before others have their turn: about a millisecond, two when somebody listens."""
_CHECK_S: Final = 2.0
"""Between two looks whether the stream is still the one that is followed, and whether a worker leads."""
_RECONNECT_S: Final = 0.5
_STALE_S: Final = 5.0

_row = msgspec.json.Decoder(Row).decode


class _Change(msgspec.Struct, gc=False):
    """Of a `Change`, what the list needs."""

    kind: str
    alarm: msgspec.Raw


_change = msgspec.json.Decoder(_Change).decode
_posture = msgspec.json.Decoder(PostureChange).decode
_flood = msgspec.json.Decoder(FloodState).decode


class Mirror:
    """What the API serves.

    Attributes:
        listing: All alarms.
        postures: Area ID to where it stands.
        flood: Whether people are told more than they can read.
        stream_id: ID of the entry up to which all this is complete.
        epoch: Name of the present listing; each reload makes a new one.
        has_worker: Whether a worker leads.
        left_out: Alarms that had no room.
    """

    def __init__(self, store: AlarmView, hub: Hub) -> None:
        """`hub` is told of every change."""
        self.listing = Listing()
        self.postures: dict[str, AreaPosture] = {}
        self.flood = FloodState()
        self.stream_id = "0-0"
        self.epoch = ""
        self.has_worker = False
        self.left_out = 0
        self.trouble = ""
        """Why Redis cannot be read; empty while it can."""
        self._store = store
        self._hub = hub
        self._heard_mono_ns = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether there is anything to serve."""
        return bool(self.epoch)

    @property
    def age_s(self) -> float:
        """How long ago Redis last told that this is all; the changes of a batch that is being taken are not in it yet."""
        return (time.monotonic_ns() - self._heard_mono_ns) / 1e9

    @property
    def is_stale(self) -> bool:
        """Whether the data is older than it should be."""
        return not self.is_loaded or self.age_s > _STALE_S

    def start(self) -> None:
        """Begin to follow; needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; what waits for Redis ends with the process."""
        self._stopping.set()

    # --- The thread: talks to Redis.

    def _run(self) -> None:
        after: str | None = None
        while not self._stopping.is_set():
            try:
                if after is None or not self._store.is_whole_after(after):
                    after = self._load()
                self._hand(self._found(""))
                after = self._follow(after)
            except UnavailableError as error:
                after = self.stream_id if self.is_loaded else None
                self._hand(self._found(error.detail or error.reason))
                self._stopping.wait(_RECONNECT_S)
            except _Stopped:
                return

    def _load(self) -> str:
        begun = time.monotonic()
        after, meta = self._store.last_id(), self._store.meta()
        listing = Listing(moves=time.time_ns())
        for page in self._store.bodies():
            self._hand(self._fill(listing, page))
        self._hand(self._swap(listing, meta, after))
        log.info("mirror.list_loaded", alarms=len(listing), seconds=round(time.monotonic() - begun, 3))
        return after

    def _follow(self, after: str) -> str | None:
        """Hands on what comes; returns the last ID when that should be looked into, None when the list is void."""
        checked = time.monotonic()
        has_worker = self._store.has_worker()
        while not self._stopping.is_set():
            entries = self._store.entries(after, block_ms=_BLOCK_MS, count=_BATCH)
            if entries:
                # Whoever stood still for long (SIGSTOP, a suspended machine) may have been overtaken by the trimming.
                if after != "0-0" and not self._store.is_whole_after(after):
                    return None
                after = entries[-1][0].decode()
                self._hand(self._take(entries))
                if any(b"reset" in fields for _, fields in entries):
                    return None
            if len(entries) < _BATCH:
                self._hand(self._heard(has_worker))
            if time.monotonic() - checked > _CHECK_S:
                checked, has_worker = time.monotonic(), self._store.has_worker()
                if after != "0-0" and not self._store.is_whole_after(after):
                    return None
        return after

    def _hand(self, work: Coroutine[Any, Any, None]) -> None:
        """Has the event loop do it, and waits for that."""
        assert self._loop is not None, "not started"
        if self._stopping.is_set() or self._loop.is_closed():
            work.close()
            raise _Stopped
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # --- The event loop: takes what was read.

    async def _fill(self, listing: Listing, bodies: Sequence[bytes]) -> None:
        for number, body in enumerate(bodies, 1):
            try:
                self._put(listing, _row(body), body)
            except msgspec.MsgspecError as error:
                limited.warning("mirror.alarm_skipped", reason=str(error))
            if number % _STEP == 0:
                await asyncio.sleep(0)

    async def _swap(self, listing: Listing, meta: Meta, stream_id: str) -> None:
        is_first = not self.is_loaded
        self.listing = listing
        self.postures = dict(meta.postures)
        self.flood = FloodState() if meta.flood is None else _flood(meta.flood)
        self.stream_id = stream_id
        self.epoch = f"{time.time_ns():x}"
        self._heard_mono_ns = time.monotonic_ns()
        # A hundred thousand rows that live for long: the collector need not look at them again and again.
        gc.freeze()
        if not is_first:
            self._hub.publish(reset_event(stream_id, "reloaded"))

    async def _take(self, entries: Sequence[Entry]) -> None:
        for number, entry in enumerate(entries, 1):
            self._apply(entry[1])
            self.stream_id = entry[0].decode()
            if len(self._hub) and (event := event_of(entry)) is not None and b"reset" not in entry[1]:
                self._hub.publish(event)
            if number % _STEP == 0:
                await asyncio.sleep(0)

    async def _found(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("mirror.redis_lost", reason=trouble)
        if self.trouble and not trouble:
            log.info("mirror.redis_found")
        self.trouble = trouble
        self.has_worker = self.has_worker and not trouble

    async def _heard(self, has_worker: bool) -> None:
        self._heard_mono_ns = time.monotonic_ns()
        self.has_worker = has_worker

    def _apply(self, fields: dict[bytes, bytes]) -> None:
        try:
            if (body := fields.get(b"change")) is not None:
                self._change(_change(body))
            elif (body := fields.get(b"posture")) is not None:
                now = _posture(body).now
                self.postures[now.area] = now
            elif (body := fields.get(b"flood")) is not None:
                self.flood = _flood(body)
        except msgspec.MsgspecError as error:
            limited.warning("mirror.entry_skipped", reason=str(error))

    def _change(self, change: _Change) -> None:
        body = bytes(change.alarm)
        row = _row(body)
        if change.kind == "purged":
            self.listing.remove(row.id)
        else:
            self._put(self.listing, row, body)

    def _put(self, listing: Listing, row: Row, body: bytes) -> None:
        if len(listing) >= ALARMS_MAX and row.id not in listing:
            self.left_out += 1
            limited.warning("mirror.alarm_left_out", reason=f"there are {ALARMS_MAX:,} already")
            return
        listing.put(row, body)


class _Stopped(Exception):  # noqa: N818 - no error: it ends the thread
    """The mirror is to stop."""
