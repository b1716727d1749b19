"""Telegrams of the Japan Meteorological Agency, from Atom feeds and from a folder, to bulletins.

The agency asks its users to look no more than once a minute, and to fetch each telegram once. So a feed is asked for with what
it said of its state the last time (RFC 9110 section 13.1), a little off the full minute, and which telegrams have been read
is remembered across restarts. A feed that does not answer is asked again a minute later, for ever: being offline harms nothing,
and after a disaster nobody is to have to remember to start this again.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp

from netmon import __version__
from netmon.alarms.posture.model import Bulletin
from netmon.errors import NetmonError
from netmon.jma import atom
from netmon.jma import folder as jma_folder
from netmon.jma import telegram as jma
from netmon.jma.markup import TelegramError
from netmon.jma.memory import Memory, Validators
from netmon.log import limited, log
from netmon.northbound.settings import JmaSettings

FOLDER_POLL_S: Final = 2.0
TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=10, sock_read=10)
JITTER_RATIO: Final = 0.1
"""Of the time between two looks, so that not everybody comes at once."""
FETCH_MAX: Final = 50
"""Telegrams of one look; the newest, and the others with the next one."""
TRIES_MAX: Final = 5
"""Looks in which a telegram did not come, until it is given up."""
VALIDATOR_MAX: Final = 200

Put = Callable[[Bulletin], Awaitable[None]]


class FeedError(NetmonError):
    """A feed or a telegram did not come.

    Attributes:
        is_final: It will not come the next time, either.
    """

    def __init__(self, detail: str, *, is_final: bool = False) -> None:
        super().__init__(detail)
        self.is_final = is_final


async def run(settings: JmaSettings, put: Put) -> None:
    """Reads until cancelled.

    Args:
        settings: Which feeds, which folder.
        put: Gets each telegram that is understood, once; returns when it is safe.
    """
    memory = Memory(Path(settings.directory))
    parse = functools.partial(jma.parse, areas=settings.inventory.areas, settings=settings.posture)
    async with asyncio.TaskGroup() as tasks:
        for url in settings.feed_urls:
            feed = Feed(url, settings, memory, parse, put)
            tasks.create_task(feed.run(), name=f"jma.feed.{url}")
        if settings.folder is not None:
            folder = Path(settings.folder)
            tasks.create_task(_watch(folder, memory, parse, put, settings.posture.jma_hold_s), name="jma.folder")


async def _watch(
    folder: Path, memory: Memory, parse: Callable[[bytes], Bulletin | None], put: Put, hold_s: float
) -> None:
    while True:
        for name, bulletin in await asyncio.to_thread(jma_folder.look, folder, memory, parse, hold_s=hold_s):
            if bulletin is not None:
                _tell(bulletin, name)
                await put(bulletin)
            memory.add(name)
        memory.save()
        await asyncio.sleep(FOLDER_POLL_S)


class Feed:
    """One Atom feed."""

    def __init__(
        self, url: str, settings: JmaSettings, memory: Memory, parse: Callable[[bytes], Bulletin | None], put: Put
    ) -> None:
        self._url = url
        self._settings = settings
        self._memory = memory
        self._parse = parse
        self._put = put
        self._prefectures = sorted({area.code[:2] for area in settings.inventory.areas})
        self._tries: dict[str, int] = {}
        contact = "".join(letter for letter in settings.contact if letter.isascii() and letter.isprintable())
        self._headers = {
            "User-Agent": f"netmon/{__version__}{f' ({contact})' if contact else ''}",
            "Accept": "application/atom+xml, application/xml",
            "Accept-Encoding": "gzip",
        }

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        # What comes is unpacked here, up to a limit. A proxy is taken from the environment, as many networks need one.
        async with aiohttp.ClientSession(
            timeout=TIMEOUT,
            auto_decompress=False,
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
        ) as session:
            while True:
                try:
                    await self.look(session)
                except (FeedError, TelegramError) as error:
                    limited.warning("jma.feed_failed", url=self._url, detail=str(error), cure="asked again in a minute")
                spread_s = self._settings.poll_s * JITTER_RATIO
                await asyncio.sleep(self._settings.poll_s + random.uniform(0, spread_s))  # noqa: S311 - a jitter

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Fetches what is new. Raises FeedError and TelegramError."""
        known = self._memory.validators(self._url)
        body, validators = await self._get(session, self._url, atom.FEED_BYTES_MAX, known)
        if body is None:
            return
        listed = await asyncio.to_thread(atom.entries, body, self._url, self._prefectures)
        oldest_unix_ns = time.time_ns() - int(self._settings.posture.jma_hold_s * 1e9)
        wanted = [
            entry
            for entry in listed
            if not self._memory.has(entry.id) and not 0 < entry.updated_unix_ns < oldest_unix_ns
        ]
        is_whole = len(wanted) <= FETCH_MAX
        for entry in wanted[-FETCH_MAX:]:
            is_whole &= await self._read(session, entry)
        self._tries = {name: tries for name, tries in self._tries.items() if not self._memory.has(name)}
        # Only then may the feed tell us the next time that there is nothing new.
        if is_whole:
            self._memory.set_validators(self._url, validators)
        self._memory.save()

    async def _read(self, session: aiohttp.ClientSession, entry: atom.Entry) -> bool:
        """One telegram; whether there is nothing to come back for."""
        try:
            body, _ = await self._get(session, entry.url, jma.TELEGRAM_BYTES_MAX, Validators())
            bulletin = await asyncio.to_thread(self._parse, body or b"")
        except TelegramError as error:
            log.warning("jma.telegram_refused", url=entry.url, reason=error.reason, detail=str(error))
        except FeedError as error:
            limited.warning("jma.telegram_failed", url=entry.url, detail=str(error))
            tries = self._tries[entry.id] = self._tries.get(entry.id, 0) + 1
            if not error.is_final and tries < TRIES_MAX:
                return False
        else:
            if bulletin is not None:
                _tell(bulletin, entry.url)
                await self._put(bulletin)
        self._memory.add(entry.id)
        return True

    async def _get(
        self, session: aiohttp.ClientSession, url: str, bytes_max: int, known: Validators
    ) -> tuple[bytes | None, Validators]:
        """What stands at a URL, None while it is what is known; and what it says of its state. Raises FeedError."""
        headers = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        conditions = {name: value for name, value in headers.items() if value}
        try:
            async with session.get(url, headers=conditions, allow_redirects=False) as response:
                if response.status == 304:
                    return None, known
                if response.status != 200:
                    detail = f"HTTP {response.status}"
                    raise FeedError(detail, is_final=response.status in (404, 410))
                body = await _body(response, bytes_max)
                return body, Validators(
                    etag=_short(response.headers.get("ETag", "")),
                    last_modified=_short(response.headers.get("Last-Modified", "")),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FeedError(str(error) or type(error).__name__) from None


def _short(header: str) -> str:
    return header if len(header) <= VALIDATOR_MAX else ""


async def _body(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """All of it, unpacked. Raises FeedError: it is larger, or packed in another way."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise FeedError(f"Content-Encoding {encoding[:40]}; expected gzip or none", is_final=True)
    unpacker = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    async for chunk in response.content.iter_any():
        try:
            body += chunk if unpacker is None else unpacker.decompress(chunk, bytes_max + 1 - len(body))
        except zlib.error as error:
            raise FeedError(f"no gzip: {error}", is_final=True) from None
        if len(body) > bytes_max:
            raise FeedError(f"more than {bytes_max} bytes", is_final=True)
    if unpacker is not None and not unpacker.eof:
        raise FeedError("gzip ends too soon")
    return bytes(body)


def _tell(bulletin: Bulletin, source: str) -> None:
    if bulletin.areas or bulletin.info == "cancelled":
        log.info(
            "jma.telegram_read",
            id=bulletin.id,
            source=source,
            status=bulletin.status,
            areas=bulletin.areas,
            headline=bulletin.headline,
        )
