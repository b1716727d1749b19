"""HTTP: a GET of its own connection, and the status of the answer (RFC 9110, RFC 9112); the rest of the answer is not read.

Nothing is followed, cached, kept or decoded: a probe wants one line of text over one way. The round trip is from the request to the status;
what name, TCP and TLS took is told apart.
"""

from __future__ import annotations

import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from netmon import __version__
from netmon.active_probe.probers.base import Outcome, ServiceContext
from netmon.active_probe.probers.dial import Dialer, tls_context
from netmon.active_probe.probers.service import BadAnswer, Service
from netmon.errors import ConfigError
from netmon.inventory.probes import AnyProbe, HttpProbe, label

HEAD_LINES_MAX: Final = 200
"""Lines of interim answers (RFC 9110 section 15.2) before the final one."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?\r?\n", re.DOTALL)
_KEPT: Final = "/%:@!$&'()*+,;=~-._?"
"""Signs of a path or query that stay as they are."""
_TOKEN: Final = re.compile(r"[!-~]+")


class HttpService(Service):
    """One URL."""

    def __init__(self, probe: HttpProbe, url: SplitResult, token: str) -> None:
        super().__init__()
        secure = url.scheme == "https"
        assert url.hostname is not None
        self._statuses = probe.statuses
        self._request = _request(url, token)
        self._dialer = Dialer(
            url.hostname,
            url.port or (443 if secure else 80),
            probe.pin,
            address=probe.address,
            tls=tls_context(probe.tls_ca_file, label(probe)) if secure else None,
        )

    async def ask(self) -> Outcome:
        """Connects, and asks."""
        reader, writer = await self._dialer.open(self.phases)
        try:
            with self.phases.of("first byte"):
                writer.write(self._request)
                status = await _status(reader)
        finally:
            writer.transport.abort()
        rtt_s = self.phases.seconds["first byte"]
        good = not self._statuses or status in self._statuses
        return Outcome("reply" if good else "failed", rtt_s, f"HTTP {status}")

    async def close(self) -> None:
        """Nothing is kept."""


async def _status(reader: StreamReader) -> int:
    """Status of the final answer. Raises BadAnswer: it is none of HTTP."""
    status, in_head = 0, False
    for _ in range(HEAD_LINES_MAX):
        try:
            line = await reader.readuntil(b"\n")
        except (IncompleteReadError, LimitOverrunError) as error:
            closed = isinstance(error, IncompleteReadError) and not error.partial
            raise BadAnswer("closed without an answer" if closed else "an answer that is no HTTP") from None
        if in_head:
            in_head = bool(line.strip())
            continue
        found = _STATUS.fullmatch(line)
        if found is None:
            raise BadAnswer("an answer that is no HTTP")
        status, in_head = int(found[1]), True
        if status >= 200 or status == 101:
            return status
    raise BadAnswer("interim answers without end")


def _request(url: SplitResult, token: str) -> bytes:
    target = quote(url.path or "/", _KEPT) + (f"?{quote(url.query, _KEPT)}" if url.query else "")
    host = url.netloc.encode("idna").decode() if not url.netloc.isascii() else url.netloc
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", f"User-Agent: netmon/{__version__}", "Accept: */*"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii")


def make_service(probe: AnyProbe, context: ServiceContext, /) -> HttpService:
    """Makes one; see `netmon.active_probe.probers.base.MakeService`."""
    assert isinstance(probe, HttpProbe)
    return HttpService(probe, _checked(probe), _token(probe, context))


def _checked(probe: HttpProbe) -> SplitResult:
    expected = "expected http://HOST[:PORT]/PATH or https://..., without a user"
    try:
        url = urlsplit(probe.url)
        host, _ = url.hostname, url.port
        url.netloc.encode("idna")
    except ValueError as error:
        raise ConfigError([f"{label(probe)}: {error}; {expected}"]) from None
    if (
        url.scheme not in {"http", "https"}
        or not host
        or "@" in url.netloc
        or not probe.url.isprintable()
        or " " in url.netloc
    ):
        raise ConfigError([f"{label(probe)}: {expected}"])
    return url


def _token(probe: HttpProbe, context: ServiceContext) -> str:
    if not probe.token_file:
        return ""
    token = context.secrets.get(probe.token_file, "").strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError([f"{label(probe)}: token_file: {probe.token_file}: expected one word of ASCII signs"])
    return token
