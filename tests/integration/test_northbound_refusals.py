"""What a server may answer: refusals, redirects, silence, endless bodies; from a strict server of our own."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from netmon.alarms.model import Alarm, Text
from netmon.inventory.model import Inventory
from netmon.northbound import client, outbox
from netmon.northbound.alertmanager import Alertmanager
from netmon.northbound.client import Client
from netmon.northbound.settings import AlertmanagerSettings

POISON = "device/poison"


def alarm(resource: str, **changes: Any) -> Alarm:
    """One that stands."""
    base = Alarm(
        id=f"id-{resource}",
        resource=resource,
        alarm_type="link-down",
        severity="major",
        event_type="communicationsAlarm",
        probable_cause="loss_of_signal",
        text=Text("down", "断"),
        created_unix_ns=1,
        raised_unix_ns=1,
        event_unix_ns=1,
        changed_unix_ns=1,
    )
    return msgspec.structs.replace(base, **changes)


class Receiver:
    """Takes alerts as Alertmanager does: the good ones of a batch are stored, and one bad one makes the answer a 400."""

    def __init__(self) -> None:
        self.url = ""
        self.batches: list[list[str]] = []
        self.stored: set[str] = set()
        self.headers: list[str] = []
        self.queries: set[str] = set()
        self.answer: Callable[[], web.StreamResponse] | None = None
        """In place of what it usually says."""

    async def post(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v2/alerts."""
        self.queries.add(request.query_string)
        self.headers.append(request.headers.get("Authorization", ""))
        resources = [alert["labels"]["resource"] for alert in await request.json()]
        self.batches.append(resources)
        if self.answer is not None:
            return self.answer()
        self.stored |= {resource for resource in resources if resource != POISON}
        return web.Response(status=400, text='"no such luck"') if POISON in resources else web.Response()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """New alerts do not wait; that is for test_outbox.py."""
    monkeypatch.setattr(outbox, "SETTLE_S", 0)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One that listens on the loopback."""
    found = Receiver()
    app = web.Application()
    app.router.add_post("/api/v2/alerts", found.post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}"
    yield found
    await runner.cleanup()


def sink_to(*urls: str, **settings: Any) -> Alertmanager:
    """A sink without silences."""
    values = {"resend_s": 60.0, "timeout_s": 1.0, "silences": False, **settings}
    return Alertmanager(AlertmanagerSettings(urls=urls, **values), Inventory(), lambda _commands: None)


@asynccontextmanager
async def running(sink: Alertmanager) -> AsyncIterator[Alertmanager]:
    """While the sink works."""
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(predicate: Callable[[], object], what: str) -> None:
    """Look until it is true; fail after 10 s."""
    async with asyncio.timeout(10):
        while not predicate():  # noqa: ASYNC110 - it is a server of its own that makes it true
            await asyncio.sleep(0.01)
    assert predicate(), what


async def test_one_bad_alert_is_found_and_not_sent_again(receiver: Receiver) -> None:
    """A refused batch is halved until the bad one is alone; the others are told, and it waits until it changes."""
    sink = sink_to(receiver.url)
    names = [f"device/{number}" for number in range(20)]
    for name in [*names[:7], POISON, *names[7:]]:
        sink.put(alarm(name))
    async with running(sink):
        await until(lambda: sink.report().refused == 1, "the bad one is known")
        await until(lambda: sink.report().members[0].queue_entries == 0, "all is told")
        requests = len(receiver.batches)
        sink.put(alarm("device/late"))
        await until(lambda: "device/late" in receiver.stored, "life goes on")

        assert receiver.stored == {*names, "device/late"}
        assert requests < 12
        assert receiver.batches[requests:] == [["device/late"]]
        assert sink.report().members[0].requests["failed"] == 0

        sink.put(alarm(POISON, text=Text("better", "改")))
        await until(lambda: [POISON] in receiver.batches[requests:], "a changed one is tried again")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(500, "failed"), (503, "failed"), (429, "failed"), (401, "denied"), (404, "denied"), (302, "denied")],
)
async def test_trouble_is_waited_for(receiver: Receiver, status: int, outcome: str) -> None:
    """Whatever they answer, the alert stays in the queue, and arrives when they take it. Nobody is redirected elsewhere."""
    receiver.answer = lambda: web.Response(status=status, headers={"Location": "/api/v2/alerts?elsewhere"})
    sink = sink_to(receiver.url, token="a-token-of-16-letters")
    sink.put(alarm("device/1"))
    async with running(sink):
        await until(lambda: sink.report().members[0].requests[outcome] > 0, "they answered")
        assert sink.report().members[0].queue_entries == 1
        receiver.answer = None
        await until(lambda: receiver.stored == {"device/1"}, "it has arrived")
    assert receiver.queries == {""}
    assert set(receiver.headers) == {"Bearer a-token-of-16-letters"}


async def test_one_member_that_hangs_holds_up_no_other(receiver: Receiver) -> None:
    """Each has a queue of its own; delivered is what one has."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and nobody reads
        sink = sink_to(f"http://127.0.0.1:{silent.getsockname()[1]}", receiver.url, timeout_s=0.2)
        sink.put(alarm("device/1"))
        async with running(sink):
            await until(lambda: receiver.stored == {"device/1"}, "the other one has it")
            await until(lambda: sink.report().members[0].requests["timeout"] > 0, "the silent one is noticed")
            await until(
                lambda: sink.report().members[1].queue_entries == 0, "the other one has nothing left to be told"
            )
            assert len(receiver.batches) == 1


async def test_an_endless_answer_is_cut(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server fills our memory."""
    monkeypatch.setattr(client, "ANSWER_BYTES_MAX", 1_000)
    receiver.answer = lambda: web.Response(body=b"x" * 100_000)
    settings = AlertmanagerSettings(urls=(receiver.url,))
    async with Client(receiver.url, settings) as one:
        answer = await one.ask("POST", "/api/v2/alerts", b"[]")
    assert (answer.outcome, len(answer.body)) == ("ok", 1_000)


async def test_a_user_is_told_as_rfc_7617_has_it(receiver: Receiver) -> None:
    """And no secret is in what a log may show."""
    settings = AlertmanagerSettings(urls=(receiver.url,), username="netmon", password="päss")
    async with Client(receiver.url, settings) as one:
        await one.ask("POST", "/api/v2/alerts", b"[]")
    expected = base64.b64encode("netmon:päss".encode()).decode()
    assert receiver.headers == [f"Basic {expected}"]
    assert "päss" not in repr(settings)


async def test_without_silences_a_shelved_alarm_ends(receiver: Receiver) -> None:
    """And so does one that turns out to be explained; with silences, what is shelved goes on, silenced."""
    plain, silencing = sink_to(receiver.url), sink_to(receiver.url, silences=True)
    for sink in (plain, silencing):
        for name in ("a", "b", "c"):
            sink.put(alarm(name))
        sink.put(alarm("a", operator_state="shelved", shelved_until_unix_ns=1 << 62))
        sink.put(alarm("b", cause="id-c"))
    assert [sink.report().alerts for sink in (plain, silencing)] == [1, 2]


async def test_a_new_list_ends_what_is_not_in_it(receiver: Receiver) -> None:
    """What was purged while nobody listened; what has just ended is told once more, for a run before this one may have begun it."""
    sink = sink_to(receiver.url)
    sink.put(alarm("gone"))
    sink.put(alarm("stays"))
    async with running(sink):
        await until(lambda: receiver.stored == {"gone", "stays"}, "both are told")
    receiver.stored.clear()
    sink.begin()
    sink.put(alarm("stays"))
    sink.put(alarm("over", is_cleared=True, cleared_unix_ns=5, changed_unix_ns=1 << 62))
    sink.end()
    async with running(sink):
        await until(lambda: receiver.stored == {"gone", "over"}, "their ends are told")
    assert sink.report().alerts == 1
