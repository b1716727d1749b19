"""Server-sent events: what changes, told to every client that listens, each at its own pace.

Each client has a bounded queue. **Policy for the slow ones: `reset`.** When the queue is full, all of it is thrown away and the
client gets `event: reset` instead: it reads the list again, and is up to date at once, rather than behind for ever. Nobody else
waits for it. A client that takes nothing at all for `STALL_S` is cut off.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Final, Literal

import msgspec

from netmon.alarms.lifecycle.flood import FloodState
from netmon.alarms.model import Change
from netmon.alarms.posture.model import PostureChange
from netmon.api.answers import flood_view
from netmon.api.view import change_view, posture_change_view
from netmon.buffer.view import Entry

CLIENTS_MAX: Final = 64
QUEUE_EVENTS_MAX: Final = 5_000
QUEUE_BYTES_MAX: Final = 8 << 20
RESUME_EVENTS_MAX: Final = 10_000
"""A client that has missed more reads the list again."""
HEARTBEAT_S: Final = 15.0
STALL_S: Final = 30.0
RETRY_MS: Final = 2_000

ENTRY_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

ResetReason = Literal["slow", "reloaded", "missed"]

_change = msgspec.json.Decoder(Change).decode
_posture = msgspec.json.Decoder(PostureChange).decode
_flood = msgspec.json.Decoder(FloodState).decode
_encode = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True):
    """One event, ready to be sent."""

    entry_id: str
    """Of the stream: the client's Last-Event-ID from then on."""
    data: bytes
    """As it goes over the wire."""


def event_bytes(name: str, entry_id: str, body: bytes) -> Event:
    """An event in the format of server-sent events (HTML, section 9.2); JSON has no line breaks."""
    return Event(entry_id, b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), entry_id.encode(), body))


def reset_event(entry_id: str, reason: ResetReason) -> Event:
    """What the client knows is void: it is to read the list again."""
    return event_bytes("reset", entry_id, _encode({"reason": reason}))


def event_of(entry: Entry) -> Event | None:
    """An entry of the stream as an event; None for what clients are not told."""
    entry_id, fields = entry[0].decode(), entry[1]
    try:
        if (body := fields.get(b"change")) is not None:
            return event_bytes("change", entry_id, _encode(change_view(_change(body))))
        if (body := fields.get(b"posture")) is not None:
            return event_bytes("posture", entry_id, _encode(posture_change_view(_posture(body))))
        if (body := fields.get(b"flood")) is not None:
            return event_bytes("flood", entry_id, _encode(flood_view(_flood(body))))
        if b"reset" in fields:
            return reset_event(entry_id, "reloaded")
    except msgspec.MsgspecError:
        return None
    return None


class Client:
    """One listener's queue.

    Attributes:
        is_over: Nothing more will come: the API ends.
    """

    def __init__(self) -> None:
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self.is_over = False

    def put(self, event: Event) -> None:
        """Puts an event into the queue; when it is full, that is all that is left: a reset."""
        if len(self._queue) >= QUEUE_EVENTS_MAX or self._bytes + len(event.data) > QUEUE_BYTES_MAX:
            self._queue.clear()
            self._bytes = 0
            event = reset_event(event.entry_id, "slow")
        self._queue.append(event)
        self._bytes += len(event.data)
        self._arrived.set()

    def close(self) -> None:
        """Nothing more will come."""
        self.is_over = True
        self._arrived.set()

    async def wait(self, timeout_s: float) -> bool:
        """Waits for events; whether there are any."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> list[Event]:
        """All events in the queue, oldest first."""
        events = list(self._queue)
        self._queue.clear()
        self._bytes = 0
        self._arrived.clear()
        return events


class Hub:
    """All listeners."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    def join(self) -> Client | None:
        """A new listener, told of all that is published from now on; None when there are too many."""
        if len(self._clients) >= CLIENTS_MAX:
            return None
        client = Client()
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """It listens no longer."""
        self._clients.discard(client)

    def close(self) -> None:
        """Ends all of them."""
        for client in self._clients:
            client.close()

    def publish(self, event: Event) -> None:
        """Tells all listeners."""
        for client in self._clients:
            client.put(event)
