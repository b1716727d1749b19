"""The feed of telegrams against a real server that plays it, and against a folder."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from netmon.alarms.posture.model import Bulletin
from netmon.inventory.model import Area, Inventory
from netmon.jma import atom
from netmon.jma import feed as jma_feed
from netmon.jma import folder as jma_folder
from netmon.northbound.settings import JmaSettings
from tests.integration.harness import REPOSITORY

TELEGRAM = (REPOSITORY / "tests/data/jma/VXSE53.xml").read_text("utf-8")
MINATO = Area(id="minato", name="みなと市", code="992011")


def telegram(event: int) -> bytes:
    """An earthquake of now."""
    now = datetime.now(timezone(timedelta(hours=9))).isoformat(timespec="seconds")
    return TELEGRAM.replace("2024-01-01T16:12:00+09:00", now).replace("20240101161010", f"{event}").encode()


class Agency:
    """A server that plays the agency. `answers` are of telegrams, by name; what is not in it is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], web.StreamResponse]] = {}
        self.feed: Callable[[], web.StreamResponse] | None = None
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.statuses: list[int] = []
        self.url = ""

    def add(self, name: str, body: bytes) -> None:
        """A telegram."""
        self.answers[name] = lambda: web.Response(body=body)

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        self.headers = dict(request.headers)
        response = self._listed(request) if self.feed is None else self.feed()
        self.statuses.append(response.status)
        return response

    def _listed(self, request: web.Request) -> web.Response:
        tag = f'"{len(self.answers)}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304)
        updated = datetime.now(UTC).isoformat(timespec="seconds")
        listed = "".join(
            f"<entry><title>震源・震度に関する情報</title><id>{name}</id><updated>{updated}</updated>"
            f'<link href="/data/{name}"/></entry>'
            for name in self.answers
        )
        body = f'<feed xmlns="http://www.w3.org/2005/Atom">{listed}</feed>'.encode()
        return web.Response(
            body=gzip.compress(body),
            headers={"ETag": tag, "Content-Encoding": "gzip", "Content-Type": "application/xml"},
        )

    async def _telegram(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked[name] += 1
        return self.answers[name]() if name in self.answers else web.Response(status=404)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens."""
        app = web.Application()
        app.add_routes([web.get("/feed.xml", self._feed), web.get("/data/{name}", self._telegram)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/feed.xml"
        try:
            yield
        finally:
            await runner.cleanup()


class Reader:
    """A feed that runs, and what it has read."""

    def __init__(self, state: Path, **settings: Any) -> None:
        self.events: list[str] = []
        self.settings = JmaSettings(
            directory=str(state),
            inventory=Inventory(areas=(MINATO,)),
            poll_s=0.02,
            contact="duty@example.jp",
            **settings,
        )

    async def put(self, bulletin: Bulletin) -> None:
        """Takes a telegram."""
        self.events.append(bulletin.event_id)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads."""
        task = asyncio.create_task(jma_feed.run(self.settings, self.put))
        try:
            yield
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def wait_until(predicate: Callable[[], object]) -> None:
    """Until it is so; fails after 10 s."""
    async with asyncio.timeout(10):
        while not predicate():  # noqa: ASYNC110 - it is no event of ours
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback is reached without the proxy that this machine may have."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


async def test_each_telegram_is_fetched_once_also_across_a_restart(tmp_path: Path) -> None:
    """And a feed that has not changed is not sent again; netmon says who it is."""
    agency = Agency()
    agency.add("1", telegram(1))
    agency.add("2", telegram(2))
    async with agency.running():
        reader = Reader(tmp_path, feed_urls=(agency.url,))
        async with reader.running():
            await wait_until(lambda: agency.statuses.count(304) >= 3)
            agency.add("3", telegram(3))
            await wait_until(lambda: len(reader.events) == 3)
            await wait_until(lambda: agency.statuses[-1] == 304)
        again = Reader(tmp_path, feed_urls=(agency.url,))
        agency.statuses.clear()
        async with again.running():
            await wait_until(lambda: len(agency.statuses) >= 3)

    assert (reader.events, again.events) == (["1", "2", "3"], [])
    assert agency.asked == {"1": 1, "2": 1, "3": 1}
    assert set(agency.statuses) == {304}
    assert agency.headers["User-Agent"].startswith("netmon/")
    assert agency.headers["User-Agent"].endswith("(duty@example.jp)")


async def test_a_telegram_that_does_not_come_is_asked_for_again_and_holds_up_no_other(tmp_path: Path) -> None:
    """500 twice, then it is there; 404 is final; garbage is told and left."""
    agency = Agency()
    broken = iter([web.Response(status=500), web.Response(status=500), web.Response(body=telegram(1))])
    agency.answers = {
        "1": lambda: next(broken),
        "2": lambda: web.Response(status=404),
        "3": lambda: web.Response(body=b"<Report"),
        "4": lambda: web.Response(body=telegram(4)),
    }
    async with agency.running():
        reader = Reader(tmp_path, feed_urls=(agency.url,))
        async with reader.running():
            await wait_until(lambda: agency.statuses[-1:] == [304])

    assert reader.events == ["4", "1"]
    assert agency.asked == {"1": 3, "2": 1, "3": 1, "4": 1}


async def test_a_telegram_that_never_comes_is_given_up(tmp_path: Path) -> None:
    """After five looks."""
    agency = Agency()
    agency.answers = {"1": lambda: web.Response(status=503)}
    async with agency.running(), Reader(tmp_path, feed_urls=(agency.url,)).running():
        await wait_until(lambda: agency.statuses[-1:] == [304])

    assert agency.asked == {"1": jma_feed.TRIES_MAX}


async def test_whatever_a_feed_answers_the_next_look_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors, a page of a proxy, a redirection, what is too large or packed too well, and silence."""
    monkeypatch.setattr(atom, "FEED_BYTES_MAX", 100_000)
    monkeypatch.setattr(jma_feed, "TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    agency = Agency()
    agency.add("1", telegram(1))
    packed = gzip.compress(b" " * 50_000_000)
    bad = [
        lambda: web.Response(status=500),
        lambda: web.Response(text="<html>please log in</html>"),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(body=b"x" * 200_000),
        lambda: web.Response(body=packed, headers={"Content-Encoding": "gzip"}),
        lambda: web.Response(body=packed[:20], headers={"Content-Encoding": "gzip"}),
        lambda: web.Response(body=b"x", headers={"Content-Encoding": "br"}),
        lambda: web.Response(body=b"\xff\x00<"),
    ]
    async with agency.running():
        reader = Reader(tmp_path, feed_urls=(agency.url,))
        async with reader.running():
            for answer in bad:
                agency.feed = answer
                looks = len(agency.statuses)
                await wait_until(lambda looks=looks: len(agency.statuses) >= looks + 2)
            assert reader.events == []
            agency.feed = None
            await wait_until(lambda: reader.events == ["1"])


async def test_silence_is_given_up_and_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing; and one that is not there."""
    monkeypatch.setattr(jma_feed, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    connections = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()
        await writer.wait_closed()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    urls = (f"http://127.0.0.1:{port}/feed.xml", "http://127.0.0.1:1/feed.xml")
    async with Reader(tmp_path, feed_urls=urls).running():
        await wait_until(lambda: connections >= 3)
    silent.close()
    await wait_until(lambda: len(asyncio.all_tasks()) == 1)


async def test_files_of_a_folder_are_read_once_when_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-written ones are tried again; links, old ones and what is no file are left alone; nothing in it is changed."""
    monkeypatch.setattr(jma_feed, "FOLDER_POLL_S", 0.02)
    monkeypatch.setattr(jma_folder, "REST_S", 0.0)
    folder, state = tmp_path / "drop", tmp_path / "state"
    state.mkdir()
    reader = Reader(state, folder=str(folder))
    async with reader.running():
        folder.mkdir()
        (folder / "1.xml").write_bytes(telegram(1))
        (folder / "half.xml").write_bytes(telegram(2)[:500])
        (folder / ".hidden.xml").write_bytes(telegram(3))
        (folder / "note.txt").write_bytes(telegram(4))
        (folder / "link.xml").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(folder / "pipe.xml")
        (folder / "old.xml").write_bytes(telegram(5))
        os.utime(folder / "old.xml", (0, 0))
        await wait_until(lambda: reader.events == ["1"])
        (folder / "half.xml").write_bytes(telegram(2))
        await wait_until(lambda: reader.events == ["1", "2"])
    (folder / "6.xml").write_bytes(telegram(6))
    again = Reader(state, folder=str(folder))
    async with again.running():
        await wait_until(lambda: again.events == ["6"])

    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["1.xml", "half.xml", ".hidden.xml", "note.txt", "link.xml", "pipe.xml", "old.xml", "6.xml"]
    )


async def test_a_file_that_stays_no_telegram_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute without a change it is told, once, and remembered."""
    monkeypatch.setattr(jma_feed, "FOLDER_POLL_S", 0.02)
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "bad.xml").write_bytes(b"<Report")
    past = time.time() - 2 * jma_folder.GIVE_UP_S
    os.utime(folder / "bad.xml", (past, past))
    async with Reader(tmp_path, folder=str(folder)).running():
        await wait_until(lambda: "bad.xml" in remembered(tmp_path))


def remembered(folder: Path) -> str:
    """What stands in the memory's file."""
    file = folder / "jma.json"
    return file.read_text() if file.exists() else ""
