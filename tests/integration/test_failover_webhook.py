"""Orders by webhook, against a carrier that checks everything: signature, age, keys, fences."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from netmon.errors import ConfigError
from netmon.failover.actuators import Site, make
from netmon.failover.actuators import webhook as webhook_module
from netmon.failover.actuators.base import Order
from netmon.failover.actuators.webhook import Webhooks, idempotency_key, retry_after_s, signature
from netmon.failover.model import ActionResult
from netmon.failover.plan.model import Reported
from netmon.failover.settings import ControllerSettings, GatewaySettings, WebhookSettings
from netmon.model import RedisSettings
from tests.integration.services import Certificate

SECRET = "sehr geheim"
WAIT_S = 20.0
TOO_OLD_S = 300


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour in less time."""
    monkeypatch.setattr(webhook_module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(webhook_module, "LOOK_FIRST_S", 0.02)


class Carrier:
    """A carrier's controller. What is wrong with a request is answered with 4xx, and kept.

    Attributes:
        answers: What to answer before orders are dealt with as they should be, in turn.
        mistakes: What was wrong with requests.
        moved: Group and line of each order that was carried out.
        looks: States to tell whoever looks, in turn; the last one for ever. Empty: an order is carried out at once.
        at_once: The most requests that were under way at a time.
    """

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.mistakes: list[str] = []
        self.moved: list[tuple[str, str]] = []
        self.looks: list[str] = []
        self.seen: Counter[str] = Counter()
        self.bodies: dict[str, bytes] = {}
        self.newest: dict[str, tuple[int, int]] = {}
        self.delay_s = 0.0
        self.at_once = self._now = 0
        self.location = "/orders/1"

    async def take(self, request: web.Request) -> web.Response:
        """An order."""
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            await asyncio.sleep(self.delay_s)
            return await self._take(request)
        finally:
            self._now -= 1

    async def _take(self, request: web.Request) -> web.Response:
        body, key = await request.read(), request.headers["Idempotency-Key"]
        self.seen[key] += 1
        if not self._is_signed(request, body):
            return web.json_response({"state": "failed", "detail": "no"}, status=401)
        if self.bodies.setdefault(key, body) != body:
            self.mistakes.append("one key for two orders")
        order = json.loads(body)
        if request.headers["X-Fencing-Token"] != str(order["fence"]):
            self.mistakes.append("the fencing token is not the order's")
        if self.answers:
            return self.answers.pop(0)
        number = (order["fence"], order["generation"])
        if number < self.newest.get(order["group"], (0, 0)):
            return web.json_response({"state": "refused", "detail": "stale"}, status=409)
        if number > self.newest.get(order["group"], (0, 0)):
            self.newest[order["group"]] = number
            self.moved.append((order["group"], order["line"]))
        if self.looks:
            return web.json_response({"state": "pending"}, status=202, headers={"Location": self.location})
        return web.json_response({"state": "verified", "line": order["line"]})

    async def look(self, request: web.Request) -> web.Response:
        """What became of it."""
        if not self._is_signed(request, b""):
            return web.Response(status=401)
        self.seen["looks"] += 1
        state = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return web.json_response({"state": state, "detail": "as told"})

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        said = request.headers["X-Netmon-Timestamp"]
        digest = hmac.new(SECRET.encode(), said.encode() + b"." + body, hashlib.sha256).hexdigest()
        is_signed = hmac.compare_digest(request.headers["X-Netmon-Signature"], f"sha256={digest}")
        return is_signed and abs(time.time() - int(said)) < TOO_OLD_S


@asynccontextmanager
async def served(carrier: Carrier, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a carrier."""
    app = web.Application()
    app.add_routes([web.post("/route", carrier.take), web.get("/orders/1", carrier.look)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/route"
    finally:
        await runner.cleanup()


class Asked:
    """An actuator with one carrier and some gateways.

    Attributes:
        results: What became of orders.
    """

    def __init__(self, settings: WebhookSettings, gateways: int = 1) -> None:
        self.results: list[ActionResult] = []
        known = tuple(
            GatewaySettings(gateway_id=f"gw-{number}", actuator="webhook", webhook=settings.name)
            for number in range(gateways)
        )
        controller = ControllerSettings(
            redis=RedisSettings(url="redis://none"),
            directory="/none",
            lines=(),
            groups=(),
            gateways=known,
            webhooks=(settings,),
        )
        made = make("webhook", Site(controller, known, 1, _deaf))
        assert isinstance(made, Webhooks)
        self.actuator = made
        self.counts = made.webhooks[settings.name].counts

    def outcomes(self) -> list[tuple[int, str]]:
        """Generations and what became of them."""
        return [(result.generation, result.outcome) for result in self.results]

    async def until(self, *outcomes: tuple[int, str]) -> None:
        """Waits until these were told."""
        async with asyncio.timeout(WAIT_S):
            while not set(outcomes) <= set(self.outcomes()):  # noqa: ASYNC110 - of what is waited for, there is no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def asking(url: str, gateways: int = 1, **fields: Any) -> AsyncIterator[Asked]:
    """An actuator that has begun."""
    asked = Asked(WebhookSettings(**{"name": "carrier", "url": url, "secret": SECRET, **fields}), gateways)
    await asked.actuator.begin(asked.results.append)
    try:
        yield asked
    finally:
        await asked.actuator.close()


def order(generation: int, *, fence: int = 3, gateway: str = "gw-0", on: str = "leo", delay_s: float = 0.0) -> Order:
    """To put life safety onto a line."""
    return Order(
        group_id=f"{gateway}/life",
        gateway_id=gateway,
        class_id="life",
        fence=fence,
        generation=generation,
        on=on,
        phase="PROTECTING",
        reason="signal_fail",
        delay_s=delay_s,
        unix_ns=1,
    )


async def failed(carrier: Carrier, **fields: Any) -> ActionResult:
    """What a carrier makes of an order that it fails."""
    async with served(carrier) as url, asking(url, **fields) as asked:
        asked.actuator.order([order(1)])
        await asked.until((1, "failed"))
    (result,) = asked.results
    return result


async def test_order_is_carried_out_at_once() -> None:
    """With a signature, a key and a fence that the carrier checks; it says where the class is then."""
    carrier = Carrier()
    async with served(carrier) as url, asking(url) as asked:
        asked.actuator.order([order(1)])
        await asked.until((1, "verified"))
        actual = await asked.actuator.actual()

    assert (carrier.moved, carrier.mistakes) == ([("gw-0/life", "leo")], [])
    assert json.loads(carrier.bodies[idempotency_key(order(1))]) == {
        "gateway": "gw-0",
        "traffic_class": "life",
        "group": "gw-0/life",
        "line": "leo",
        "before": "",
        "fence": 3,
        "generation": 1,
        "phase": "PROTECTING",
        "reason": "signal_fail",
        "forced": False,
        "unix_ns": 1,
    }
    assert actual == {"gw-0/life": "leo"}
    assert list(asked.results[0].phases_s) == ["act"]


async def test_order_that_is_accepted_is_looked_after() -> None:
    """202 and a Location: applied, then verified, each told once, with how long it took."""
    carrier = Carrier()
    carrier.looks = ["pending", "applied", "applied", "verified"]
    async with served(carrier) as url, asking(url) as asked:
        asked.actuator.order([order(1)])
        await asked.until((1, "verified"))

    assert asked.outcomes() == [(1, "applied"), (1, "verified")]
    assert carrier.seen["looks"] == 4
    assert list(asked.results[1].phases_s) == ["act", "verify"]
    assert asked.results[1].detail == "as told"


async def test_trouble_is_tried_again_under_the_same_key() -> None:
    """500, 503 with Retry-After, 429: the carrier moves once, and what waits is told as unreachable, once."""
    carrier = Carrier()
    carrier.answers = [
        web.Response(status=500),
        web.Response(status=503, headers={"Retry-After": "0"}),
        web.Response(status=429),
    ]
    async with served(carrier) as url, asking(url) as asked:
        asked.actuator.order([order(1)])
        await asked.until((1, "verified"))
    assert asked.outcomes() == [(1, "unreachable"), (1, "verified")]
    assert asked.results[0].detail == "500 Internal Server Error"
    assert carrier.seen == {idempotency_key(order(1)): 4}
    assert carrier.moved == [("gw-0/life", "leo")]


async def test_answer_that_was_lost_is_asked_for_again() -> None:
    """The carrier has moved, its answer came too late: the same key gets the same answer, and nothing is moved twice."""
    carrier = Carrier()
    carrier.delay_s = 0.6
    async with served(carrier) as url, asking(url, timeout_s=0.3) as asked:
        asked.actuator.order([order(1)])
        await asked.until((1, "unreachable"))
        carrier.delay_s = 0.0
        await asked.until((1, "verified"))

    assert asked.results[0].detail == "no answer within 0.3 s"
    assert len(carrier.moved) == 1


async def test_stale_order_is_refused_and_not_tried_again() -> None:
    """409; a smaller generation is refused without asking anybody."""
    carrier = Carrier()
    carrier.newest["gw-0/life"] = (4, 1)
    async with served(carrier) as url, asking(url) as asked:
        asked.actuator.order([order(7)])
        await asked.until((7, "refused"))
        asked.actuator.order([order(6)])

    assert asked.outcomes() == [(7, "refused"), (6, "refused")]
    assert asked.results[0].detail == "stale"
    assert (carrier.moved, sum(carrier.seen.values())) == ([], 1)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (lambda: web.json_response({"state": "failed", "detail": "no such line"}, status=422), "422 Unprocessable Entity no such line"),
        (lambda: web.Response(status=200, text="<html>Welcome to our wireless network"), "200 OK: expected JSON"),
        (lambda: web.Response(status=204), "204 No Content: expected JSON"),
        (lambda: web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"}), "redirects are not followed"),
        (lambda: web.Response(status=202, headers={"Location": "http://192.0.2.1/x"}), "leads to another host"),
        (lambda: web.Response(status=202, headers={"Location": "//127.0.0.1:99999/x"}), "leads to another host"),
        (lambda: web.Response(status=202), "pending, and no Location to look at"),
        (lambda: web.json_response({"state": "perhaps"}), "expected JSON"),
        (lambda: web.Response(text='{"state": "verified", "detail": "%s"}' % ("x" * (64 << 10))), "expected JSON"),
        (lambda: web.json_response({"state": "failed", "detail": "é" * 500}), "é" * 200),
    ],
    ids=[
        "mistake", "portal", "empty", "redirect", "other host", "no port", "no location", "unknown state", "too long", "long detail",
    ],
)  # fmt: skip
async def test_answer_that_fails(answer: Callable[[], web.Response], detail: str) -> None:
    """Is known, so it is not tried again; nothing that is not the answer passes for it."""
    carrier = Carrier()
    carrier.answers = [answer()]
    result = await failed(carrier)

    assert result.on is None
    assert detail in result.detail
    assert len(result.detail) <= 240
    assert carrier.moved == []


async def test_wrong_secret_moves_nothing_and_is_not_told() -> None:
    """Neither in the result nor in the settings when they are printed."""
    carrier = Carrier()
    result = await failed(carrier, secret="falsch")

    assert result.detail == "401 Unauthorized no"
    assert carrier.moved == []
    assert "falsch" not in repr(WebhookSettings(name="c", url="http://x", secret="falsch"))


async def test_newer_order_takes_the_place_of_what_is_tried() -> None:
    """The carrier is in trouble all the while; when it is well it hears of the newest alone."""
    carrier = Carrier()
    carrier.answers = [web.Response(status=503, headers={"Retry-After": "60"})]
    async with served(carrier) as url, asking(url) as asked:
        asked.actuator.order([order(1, on="geo")])
        await asked.until((1, "unreachable"))
        ways = [asked.actuator.ways()["webhook carrier"]]
        asked.actuator.order([order(2)])
        await asked.until((2, "verified"))
        await asyncio.sleep(0)
        ways.append(asked.actuator.ways()["webhook carrier"])
        under_way = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("webhook")]

    assert carrier.moved == [("gw-0/life", "leo")]
    assert under_way == []
    assert [(way.up, way.why, way.waiting) for way in ways] == [(False, "503 Service Unavailable", 1), (True, "", 0)]


async def test_several_gateways_at_once_but_not_too_many() -> None:
    """Of fifty orders no more are under way than the limit; one that is given again while it is under way is sent once."""
    carrier = Carrier()
    carrier.delay_s = 0.02
    orders = [order(number + 1, gateway=f"gw-{number}") for number in range(50)]
    async with served(carrier) as url, asking(url, gateways=50) as asked:
        asked.actuator.order(orders)
        async with asyncio.timeout(WAIT_S):
            while carrier.at_once < 2:  # noqa: ASYNC110 - see `until`
                await asyncio.sleep(0.001)
        asked.actuator.order(orders)
        await asked.until(*((number + 1, "verified") for number in range(50)))

    assert 2 <= carrier.at_once <= webhook_module.PARALLEL_MAX
    assert set(carrier.seen.values()) == {1}
    assert len(carrier.moved) == 50


async def test_tls_with_the_carriers_own_authority(tmp_path: Path) -> None:
    """Without its file the certificate is not believed, and nothing is sent."""
    certificate = Certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.file, certificate.key_file)
    carrier = Carrier()
    async with served(carrier, context) as url:
        async with asking(url, tls_ca_file=str(certificate.file)) as asked:
            asked.actuator.order([order(1)])
            await asked.until((1, "verified"))
        async with asking(url) as doubting:
            doubting.actuator.order([order(2)])
            await doubting.until((2, "unreachable"))

    assert "CERTIFICATE_VERIFY_FAILED" in doubting.results[0].detail
    assert carrier.newest == {"gw-0/life": (3, 1)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("999999999", 120.0), ("-1", None), ("soon", None), ("", None), ("٣", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds or a date, within limits; anything else is as if it were not there."""
    assert retry_after_s(text) == seconds


def test_signature_is_what_openssl_makes() -> None:
    """`printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key`, as the documentation shows it."""
    assert signature("key", 1_700_000_000, b'{"a":1}') == {
        "X-Netmon-Timestamp": "1700000000",
        "X-Netmon-Signature": "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03",
    }


def test_mistakes_are_told_all_at_once(tmp_path: Path) -> None:
    """With the place and the cure; the secret is in none."""
    with pytest.raises(ConfigError) as caught:
        Asked(WebhookSettings(name="kdx", url="ftp://user@x", secret=""))
    assert caught.value.mistakes == [
        "failover.webhooks.kdx.url: expected https://HOST/PATH, without a user",
        "failover.webhooks.kdx.secret_file: expected a secret; `openssl rand -hex 32` makes one",
    ]
    with pytest.raises(ConfigError, match="tls_ca_file"):
        Asked(WebhookSettings(name="kdx", url="https://x", secret="s", tls_ca_file=str(tmp_path / "none")))


def _deaf(_: Reported) -> None:
    """Carriers tell nothing by themselves."""
