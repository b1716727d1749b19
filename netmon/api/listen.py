"""GET /events: what changes, as server-sent events; a client that was away gets what it has missed from the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from aiohttp import web

from netmon.api.events import (
    ENTRY_ID,
    HEARTBEAT_S,
    RESUME_EVENTS_MAX,
    RETRY_MS,
    STALL_S,
    Client,
    Event,
    event_bytes,
    event_of,
    reset_event,
)
from netmon.api.problem import Mistake, invalid, refusal, shown
from netmon.api.query import given_once
from netmon.api.server import API, PREFIX, Api
from netmon.buffer.stream import parse_id

_READ: Final = 500
"""Entries that are read at once for a client that was away."""
_WRITE_BYTES: Final = 1 << 16


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events."""
    api = request.app[API]
    mirror = api.loaded()
    after = _after(request)
    client = api.hub.join()
    if client is None:
        raise refusal(503, "too_many", "too many clients listen already")
    # What the mirror has by now is asked of the stream; what comes from now on is in the client's queue.
    up_to = mirror.stream_id
    try:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        outlet = _Outlet(request, response)
        await outlet.write([b"retry: %d\n\n" % RETRY_MS, event_bytes("ready", after or up_to, b"{}").data])
        if after is not None:
            async for batch in _missed(api, after, up_to):
                await outlet.write(event.data for event in batch)
        await _tell(client, outlet)
    finally:
        api.hub.leave(client)
    return response


def _after(request: web.Request) -> str | None:
    """The last entry that the client knows; None: it begins now. The header is of a later time than the URL."""
    parameter = given_once(request.query.items(), "after")
    header = request.headers.get("Last-Event-ID")
    where, value = ("parameter after", parameter) if header is None else ("header Last-Event-ID", header)
    if value is not None and not ENTRY_ID.fullmatch(value):
        raise invalid([Mistake(where, f"found {shown(value)}; expected the ID of an event, such as 1700000000000-0")])
    return value


async def _missed(api: Api, after: str, up_to: str) -> AsyncIterator[list[Event]]:
    """What stands in the stream between two entries; or a reset, when that is too much or gone."""
    end, told = parse_id(up_to.encode()), 0
    is_known = parse_id(after.encode()) <= end and await api.ask(lambda: api.store.is_whole_after(after))
    while is_known and parse_id(after.encode()) < end:
        begin = after
        entries = await api.ask(lambda: api.store.entries(begin, count=_READ))  # noqa: B023 - it is awaited at once
        wanted = [entry for entry in entries if parse_id(entry[0]) <= end]
        told += len(wanted)
        is_known = bool(wanted) and told <= RESUME_EVENTS_MAX
        if is_known:
            after = wanted[-1][0].decode()
            yield [event for entry in wanted if (event := event_of(entry)) is not None]
    if not is_known:
        yield [reset_event(up_to, "missed")]


async def _tell(client: Client, outlet: _Outlet) -> None:
    """Tells what comes, for as long as the client takes it."""
    while not outlet.is_closed and not client.is_over:
        if await client.wait(HEARTBEAT_S):
            await outlet.write(event.data for event in client.take())
        else:
            await outlet.write([b": heartbeat\n\n"])


class _Outlet:
    """Writes to one client, in pieces; one that takes nothing is cut off."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response

    @property
    def is_closed(self) -> bool:
        """Whether the client has gone."""
        return self._request.transport is None or self._request.transport.is_closing()

    async def write(self, parts: Iterable[bytes]) -> None:
        """Writes all parts. Raises ConnectionError when the client is gone, or takes nothing for too long."""
        piece = bytearray()
        for part in parts:
            piece += part
            if len(piece) >= _WRITE_BYTES:
                await self._send(bytes(piece))
                piece.clear()
        if piece:
            await self._send(bytes(piece))

    async def _send(self, piece: bytes) -> None:
        try:
            async with asyncio.timeout(STALL_S):
                await self._response.write(piece)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the client takes nothing") from None


ROUTES: Final = [web.get(f"{PREFIX}/events", events)]
