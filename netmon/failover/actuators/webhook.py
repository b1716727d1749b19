"""A carrier's controller, asked by HTTP: one signed POST for each order, and the answer, or where to look for it.

An order is the same JSON each time it is sent, under the same `Idempotency-Key`; `X-Fencing-Token` is the leader's number. The carrier keeps the
greatest `(fence, generation)` of each group and answers 409 to a smaller one. HMAC-SHA-256 (RFC 2104) goes over time and body, so that neither can be
changed, nor an old request be sent again much later.

What cannot be known is tried again: no answer, 5xx, 408, 425 and 429, after the time that `Retry-After` asks for, or ever longer and at random. What is
known is not: 409 is *refused*, any other 4xx *failed*. A redirect is not followed: whoever answers for a configured address does not get to say
where orders go. An answer that is not the JSON that it should be moves nothing: a portal that answers everything with 200 is no carrier.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import time
from collections import Counter
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from netmon.active_probe.probers.dial import tls_context
from netmon.errors import ConfigError
from netmon.failover.actuators import Site
from netmon.failover.actuators.background import Background
from netmon.failover.actuators.base import Order, Tell, Way
from netmon.failover.actuators.ledger import Number
from netmon.failover.model import ActionResult
from netmon.failover.settings import WebhookSettings
from netmon.log import limited

PARALLEL_MAX: Final = 16
"""Requests to one carrier at once; further ones wait."""
ANSWER_BYTES_MAX: Final = 64 << 10
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 30.0
"""Between attempts; a random half of it at least."""
RETRY_AFTER_MAX_S: Final = 120.0
"""A carrier that wants more time is asked again all the same."""
LOOK_FIRST_S: Final = 0.25
LOOK_MAX_S: Final = 5.0
"""Between looks at what became of an order that was accepted."""
PENDING_MAX_S: Final = 300.0
"""An order that was accepted and has not ended by then has failed."""
SHOWN_LETTERS_MAX: Final = 200
"""Of what a carrier says, in the audit."""

State = Literal["pending", "applied", "verified", "failed", "refused"]
_TROUBLE: Final = frozenset({408, 425, 429})

COUNTS: Final = ("requests", "retries", "verified", "failed", "refused")
"""Of `Webhooks.counts`: requests sent; attempts that have to be made again; orders by how they ended."""


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent; documented for carriers in docs/failover.md."""

    gateway: str
    traffic_class: str
    group: str
    line: str
    before: str
    fence: int
    generation: int
    phase: str
    reason: str
    forced: bool
    unix_ns: int


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier says of an order."""

    state: State
    line: str | None = None
    detail: str = ""


class _Said(NamedTuple):
    """What came of one request."""

    answer: _Answer | None
    """None: try again."""
    detail: str = ""
    after_s: float | None = None
    """When to try or to look again, if the carrier says so."""
    location: str = ""
    """Where to look, if that was said."""


_answer: Final = msgspec.json.Decoder(_Answer)


class Webhook:
    """One carrier's controller.

    Attributes:
        counts: See COUNTS; all there from the start.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        """Raises ConfigError: no such URL, no such file, or no secret."""
        where = f"failover.webhooks.{settings.name}"
        parts = urlsplit(settings.url)
        mistakes = []
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            mistakes.append(f"{where}.url: expected https://HOST/PATH, without a user")
        if not settings.secret:
            mistakes.append(f"{where}.secret_file: expected a secret; `openssl rand -hex 32` makes one")
        if mistakes:
            raise ConfigError(mistakes)
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._settings = settings
        self._tls = tls_context(settings.tls_ca_file, where)
        self._at_once = asyncio.Semaphore(PARALLEL_MAX)
        self._session: aiohttp.ClientSession | None = None
        self._why = ""
        self._under_way = 0

    @property
    def way(self) -> Way:
        """How it is, for a report."""
        return Way(up=not self._why, why=self._why, waiting=self._under_way, counts=dict(self.counts))

    def begin(self) -> None:
        """Makes ready; nothing is sent."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()

    async def carry_out(self, order: Order, tell: Tell) -> None:
        """Sends an order until it is known what becomes of it, and tells that."""
        self._under_way += 1
        try:
            await self._carry_out(order, tell)
        finally:
            self._under_way -= 1

    async def _carry_out(self, order: Order, tell: Tell) -> None:
        began_s = time.monotonic()
        body = msgspec.json.encode(_body(order))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key(order),
            "X-Fencing-Token": str(order.fence),
        }
        said = await self._until_answered(order, tell, "POST", self._settings.url, body, headers)
        told, applied_s = "", 0.0
        while said.answer is not None:
            state = said.answer.state
            is_news = state != told
            if is_news and state != "pending":
                phases = {"act": applied_s or time.monotonic() - began_s}
                if state == "applied":
                    applied_s = phases["act"]
                elif applied_s:
                    phases["verify"] = time.monotonic() - began_s - applied_s
                tell(_result(order, state, said.answer, phases))
                told = state
            if state not in {"pending", "applied"}:
                self.counts[state] += 1
                return
            if not said.location or time.monotonic() - began_s > PENDING_MAX_S:
                why = (
                    f"it has not ended within {PENDING_MAX_S:g} s"
                    if said.location
                    else f"{state}, and no Location to look at"
                )
                said = _failed(why)
                continue
            said = await self._look(order, tell, said, time.monotonic() - began_s)

    async def _look(self, order: Order, tell: Tell, said: _Said, since_s: float) -> _Said:
        """Looks at what became of an order, after a while."""
        wait_s = said.after_s if said.after_s is not None else min(LOOK_FIRST_S + since_s / 4, LOOK_MAX_S)
        await asyncio.sleep(wait_s * random.uniform(0.75, 1.0))  # noqa: S311 - spread
        seen = await self._until_answered(order, tell, "GET", said.location, b"", {})
        return seen if seen.location else seen._replace(location=said.location)

    async def _until_answered(
        self, order: Order, tell: Tell, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> _Said:
        failures = 0
        while True:
            async with self._at_once:
                said = await self._ask(method, url, body, headers)
            self._why = said.detail if said.answer is None else ""
            if said.answer is not None:
                return said
            self.counts["retries"] += 1
            limited.warning("failover.webhook_failed", reason=said.detail, webhook=self._settings.name)
            if not failures:
                tell(
                    ActionResult(
                        group_id=order.group_id, generation=order.generation, outcome="unreachable", detail=said.detail
                    )
                )
            limit_s = min(RETRY_FIRST_S * 2 ** min(failures, 10), RETRY_MAX_S)
            failures += 1
            wait_s = limit_s if said.after_s is None else max(said.after_s, RETRY_FIRST_S)
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0) if said.after_s is None else wait_s)  # noqa: S311 - spread

    async def _ask(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> _Said:
        """One request."""
        assert self._session is not None, "not begun"
        self.counts["requests"] += 1
        signed = headers | signature(self._settings.secret, int(time.time()), body)
        try:
            async with self._session.request(
                method, url, data=body or None, headers=signed, allow_redirects=False
            ) as response:
                found = await _bounded(response)
                return self._read(url, response, found)
        except TimeoutError:
            return _Said(None, f"no answer within {self._settings.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _Said(None, f"{type(error).__name__}: {error}"[:SHOWN_LETTERS_MAX])

    def _read(self, url: str, response: aiohttp.ClientResponse, body: bytes | None) -> _Said:
        status, after_s = response.status, retry_after_s(response.headers.get("Retry-After", ""))
        shown = f"{status} {response.reason or ''}".strip()
        if status >= 500 or status in _TROUBLE:
            return _Said(None, shown, after_s)
        if status == 409:
            return _Said(_Answer(state="refused", detail=_detail(body) or shown))
        if status >= 400 or status < 200:
            return _failed(f"{shown} {_detail(body)}".strip())
        if status >= 300:
            return _failed(f"{shown}: redirects are not followed; give the address itself as url")
        answer = _decoded(body)
        location = urljoin(url, response.headers.get("Location", ""))
        if "Location" not in response.headers:
            location = ""
        elif _origin(location) != _origin(self._settings.url):
            return _failed("Location leads to another host, which is not asked")
        if answer is None and status == 202:
            answer = _Answer(state="pending")
        if answer is None:
            return _failed(f'{shown}: expected JSON {{"state": "verified"}}, or 202 with a Location')
        return _Said(answer, "", after_s, location)


class Webhooks:
    """All gateways that carriers move.

    Attributes:
        webhooks: Name to webhook.
    """

    def __init__(self, site: Site) -> None:
        """Raises ConfigError: a gateway names a webhook that is none, or one of them can never work."""
        settings = {each.name: each for each in site.settings.webhooks}
        used = {gateway.webhook for gateway in site.gateways}
        missing = [
            f"failover.webhooks: expected {name!r}, which a gateway names" for name in sorted(used - settings.keys())
        ]
        if missing:
            raise ConfigError(missing)
        self.webhooks = {name: Webhook(settings[name]) for name in sorted(used)}
        self._of = {gateway.gateway_id: self.webhooks[gateway.webhook] for gateway in site.gateways}
        self._tell: Tell = _nobody
        self._newest: dict[str, Number] = {}
        self._on: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._background = Background()

    async def begin(self, tell: Tell) -> None:
        """Makes ready; nothing is sent."""
        self._tell = tell
        for webhook in self.webhooks.values():
            webhook.begin()

    def order(self, orders: Sequence[Order]) -> None:
        """As an actuator's: what is under way for a group is given up for a newer order of it."""
        for order in orders:
            number, newest = (order.fence, order.generation), self._newest.get(order.group_id, (0, 0))
            under_way = self._tasks.get(order.group_id)
            if number < newest:
                self._take(_result(order, "refused", _Answer(state="refused", detail="a newer order was given"), {}))
            elif number > newest or under_way is None or under_way.done():
                if under_way is not None:
                    under_way.cancel()
                self._newest[order.group_id] = number
                self._tasks[order.group_id] = self._background.begin(
                    self._carry_out(order), f"webhook {order.group_id}"
                )

    async def actual(self) -> dict[str, str]:
        """As carriers have said since we began."""
        return dict(self._on)

    def ways(self) -> dict[str, Way]:
        """See `HasWays`."""
        return {f"webhook {name}": webhook.way for name, webhook in self.webhooks.items()}

    async def close(self) -> None:
        """Ends what is under way; a carrier goes on with what it was told."""
        await self._background.close()
        for webhook in self.webhooks.values():
            await webhook.close()

    async def _carry_out(self, order: Order) -> None:
        await asyncio.sleep(order.delay_s)
        await self._of[order.gateway_id].carry_out(order, self._take)

    def _take(self, result: ActionResult) -> None:
        if result.on is not None:
            self._on[result.group_id] = result.on
        self._tell(result)


def actuator(site: Site) -> Webhooks:
    """The actuator of gateways that carriers move. Raises ConfigError: it can never work."""
    return Webhooks(site)


def signature(secret: str, unix_s: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sends a body, and when: HMAC-SHA-256 over the decimal seconds, a dot, and the body."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (unix_s, body), hashlib.sha256).hexdigest()
    return {"X-Netmon-Timestamp": str(unix_s), "X-Netmon-Signature": f"sha256={digest}"}


def idempotency_key(order: Order) -> str:
    """The same for the same order, however often it is sent, and whoever leads."""
    text = f"{order.group_id}\n{order.fence}\n{order.generation}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _body(order: Order) -> _Body:
    return _Body(
        gateway=order.gateway_id,
        traffic_class=order.class_id,
        group=order.group_id,
        line=order.on,
        before=order.before,
        fence=order.fence,
        generation=order.generation,
        phase=order.phase,
        reason=order.reason,
        forced=order.forced,
        unix_ns=order.unix_ns,
    )


def _result(
    order: Order, state: Literal["applied", "verified", "failed", "refused"], answer: _Answer, phases: dict[str, float]
) -> ActionResult:
    on = answer.line
    if on is None and state in {"applied", "verified"}:
        on = order.on
    return ActionResult(
        group_id=order.group_id,
        generation=order.generation,
        outcome=state,
        on=on,
        detail=answer.detail[:SHOWN_LETTERS_MAX],
        phases_s=phases,
    )


def _failed(why: str) -> _Said:
    return _Said(_Answer(state="failed", detail=why))


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """What it says; None: too much."""
    found = bytearray()
    async for chunk in response.content.iter_chunked(8_192):
        found += chunk
        if len(found) > ANSWER_BYTES_MAX:
            return None
    return bytes(found)


def _decoded(body: bytes | None) -> _Answer | None:
    try:
        return _answer.decode(body or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _detail(body: bytes | None) -> str:
    answer = _decoded(body)
    return answer.detail[:SHOWN_LETTERS_MAX] if answer is not None else ""


def retry_after_s(text: str) -> float | None:
    """How long a `Retry-After` wants to be waited, of seconds or a date (RFC 9110 section 10.2.3), up to a limit; None: it is neither."""
    try:
        seconds = (
            float(text)
            if text.isascii() and text.strip().isdigit()
            else parsedate_to_datetime(text).timestamp() - time.time()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None


def _nobody(_: ActionResult) -> None:
    """Before `begin`."""
