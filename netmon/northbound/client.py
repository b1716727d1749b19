"""HTTP as a sink needs it: one request with a time-out, an answer of bounded size, and what that means in a closed set of words.

No redirects: whoever answers for a configured address does not get to say where alarms go. No proxy of the environment either.
"""

from __future__ import annotations

import base64
import ssl
from collections import Counter
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from netmon.northbound.report import OUTCOMES, Outcome
from netmon.northbound.settings import AlertmanagerSettings

ANSWER_BYTES_MAX: Final = 16 << 20
"""Thousands of silences; what is longer is cut, and cannot be read then."""
SHOWN_LETTERS_MAX: Final = 500
"""Of an answer, in the log."""

_REFUSED: Final = frozenset({400, 413, 422})
"""What was sent is not what they take: too large, too old, malformed."""
_TROUBLE: Final = frozenset({408, 425, 429})


class Answer(msgspec.Struct, frozen=True):
    """What became of a request."""

    outcome: Outcome
    detail: str
    """Status and the beginning of the body, or why there is none; for the log."""
    body: bytes = b""


class Client:
    """One server. As an asynchronous context manager it has connections, kept for the next request."""

    def __init__(self, url: str, settings: AlertmanagerSettings) -> None:
        """`url`: without a slash at the end."""
        self.url = url
        self.counts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        connector = aiohttp.TCPConnector(ssl=_tls(self._settings.tls_ca_file))
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=_headers(self._settings))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        assert self._session is not None, "not entered"
        await self._session.close()

    async def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Sends one request and reads the answer; whatever goes wrong is an outcome."""
        answer = await self._ask(method, path, body)
        self.counts[answer.outcome] += 1
        return answer

    async def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        assert self._session is not None, "not entered"
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            request = self._session.request(
                method, f"{self.url}{path}", data=body, headers=headers, allow_redirects=False
            )
            async with request as response:
                found = await _bounded(response.content)
        except TimeoutError:
            return Answer("timeout", f"no answer within {self._settings.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer("failed", f"{type(error).__name__}: {error}"[:SHOWN_LETTERS_MAX])
        shown = found[: 4 * SHOWN_LETTERS_MAX].decode(errors="replace")[:SHOWN_LETTERS_MAX]
        return Answer(outcome_of(response.status), f"{response.status} {shown}".rstrip(), found)


def outcome_of(status: int) -> Outcome:
    """What a status says about whether, and how, it is worth to ask again."""
    if 200 <= status < 300:
        return "ok"
    if status in _REFUSED:
        return "refused"
    return "failed" if status >= 500 or status in _TROUBLE else "denied"


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    found = bytearray()
    while len(found) < ANSWER_BYTES_MAX and (part := await content.read(ANSWER_BYTES_MAX - len(found))):
        found += part
    return bytes(found)


def _headers(settings: AlertmanagerSettings) -> dict[str, str]:
    if settings.token is not None:
        return {"Authorization": f"Bearer {settings.token}"}
    if settings.username is not None:
        pair = f"{settings.username}:{settings.password or ''}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Checks the server's certificate and name, by the system's certificates or the operator's. Raises OSError."""
    return ssl.create_default_context(cafile=ca_file)
