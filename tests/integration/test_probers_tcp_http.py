"""The TCP and HTTP probers against real servers: what each answer, silence and refusal is called, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from netmon.active_probe.probers.base import DETAIL_CHARS_MAX, Outcome, ServiceContext
from netmon.active_probe.probers.http import make_service
from netmon.errors import ConfigError
from netmon.inventory.probes import HttpProbe, Pin, TcpProbe
from netmon.sockets import has_ipv6
from tests.integration.services import TIMEOUT_S, Certificate, cancelled, leaving_nothing, prober, refused_port

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SHORT_S = 0.2


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[int]:
    """The port of a TCP server that does this with each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(answer: bytes) -> Handle:
    """Answers a request with this."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return handle


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Says nothing until the other side goes."""
    await reader.read()


async def _hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Says nothing, and goes."""


@asynccontextmanager
async def website(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """The port of a real HTTP server: 200 at /, 503 at /ill, and whoever has the token at /secret."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/secret" and request.headers.get("Authorization") != "Bearer let-me-in":
            return web.Response(status=401)
        return web.Response(status=503 if request.path == "/ill" else 200, text="so be it" * 10_000)

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    assert site._server is not None
    try:
        yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def outcome_of(probe: TcpProbe | HttpProbe, timeout_s: float = TIMEOUT_S, **secrets: str) -> Outcome:
    """What comes of one probe."""
    async with prober(probe, **secrets) as asked:
        return await asked.probe(timeout_s)  # type: ignore[no-any-return]


async def status_of(port: int, path: str = "/", timeout_s: float = TIMEOUT_S, **fields: object) -> Outcome:
    """What comes of one GET."""
    return await outcome_of(HttpProbe(url=f"http://127.0.0.1:{port}{path}", **fields), timeout_s)  # type: ignore[arg-type]


async def test_tcp_connects() -> None:
    """An open port answers, with the kernel's round trip, which is no longer than ours."""
    async with serving(silent) as port, prober(TcpProbe(address="127.0.0.1", port=port)) as asked:
        found = await asked.probe(TIMEOUT_S)

    assert (found.kind, found.detail) == ("reply", "")
    assert 0 < found.rtt_s <= asked.phases.seconds["connect"]


async def test_tcp_refusal_is_an_answer() -> None:
    """The line has brought it there and back."""
    found = await outcome_of(TcpProbe(address="127.0.0.1", port=refused_port()))

    assert (found.kind, found.detail) == ("reply", "refused")
    assert found.rtt_s is not None


@pytest.mark.parametrize("pin", [Pin(interface="no-such-line"), Pin(netns="no-such-space"), Pin(source="192.0.2.77")])
@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_pin_that_cannot_be_had_is_a_local_error(kind: str, pin: Pin) -> None:
    """It says nothing of the line, although the server would be there by another way."""
    async with serving(silent) as port:
        probe = (
            TcpProbe(address="127.0.0.1", port=port, pin=pin)
            if kind == "tcp"
            else HttpProbe(url=f"http://127.0.0.1:{port}/", pin=pin)
        )
        found = await outcome_of(probe)

    assert found.kind == "local_error"
    assert found.detail.startswith("pin to ")


async def test_http_status_is_what_counts() -> None:
    """Any status will do, or those that are asked for; phases are told apart."""
    async with website() as port, prober(HttpProbe(url=f"http://127.0.0.1:{port}/ill?a=b c")) as asked:
        found = await asked.probe(TIMEOUT_S)
        assert (found.kind, found.detail) == ("reply", "HTTP 503")
        assert list(asked.phases.seconds) == ["connect", "first byte"]
        assert found.rtt_s == asked.phases.seconds["first byte"]

        assert (await status_of(port, "/ill", statuses=(200, 204))).kind == "failed"
        assert (await status_of(port, "/", statuses=(200, 204))).kind == "reply"


async def test_http_token_is_sent_and_never_told(tmp_path: Path) -> None:
    """As a bearer token (RFC 6750)."""
    async with website() as port:
        probe = HttpProbe(url=f"http://127.0.0.1:{port}/secret", statuses=(200,), token_file="token")

        assert (await outcome_of(probe, token="let-me-in")).kind == "reply"
        refused = await outcome_of(probe, token="wrong-word")

    assert (refused.kind, refused.detail) == ("failed", "HTTP 401")


async def test_https_needs_the_right_certificate(tmp_path: Path) -> None:
    """Of the named authority, for the URL's host, and not expired; each mistake is told."""
    (tmp_path / "old").mkdir()
    good = Certificate(tmp_path, "monitor.example", "127.0.0.1")
    old = Certificate(tmp_path / "old", "monitor.example", days=-1)
    contexts = []
    for certificate in (good, old):
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(certificate.file, certificate.key_file)
    async with website(contexts[0]) as port, website(contexts[1]) as old_port:

        def probe(host: str, port: int, ca: Path | None) -> HttpProbe:
            return HttpProbe(url=f"https://{host}:{port}/", address="127.0.0.1", tls_ca_file=str(ca or ""))

        async with prober(probe("monitor.example", port, good.file)) as asked:
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
            assert list(asked.phases.seconds) == ["connect", "tls", "first byte"]
        assert (await outcome_of(probe("127.0.0.1", port, good.file))).kind == "reply"
        wrong = await outcome_of(probe("other.example", port, good.file))
        unknown = await outcome_of(probe("monitor.example", port, None))
        expired = await outcome_of(probe("monitor.example", old_port, old.file))

    assert {wrong.kind, unknown.kind, expired.kind} == {"failed"}
    assert wrong.detail.startswith("TLS: certificate verify failed: Hostname mismatch")
    assert unknown.detail.startswith("TLS: certificate verify failed: self-signed certificate")
    assert expired.detail == "TLS: certificate verify failed: certificate has expired"


@pytest.mark.skipif(not has_ipv6(), reason="this kernel has no IPv6")
async def test_ipv6() -> None:
    """As a literal address, in brackets where a URL wants them."""
    async with website(host="::1") as port:
        assert (await outcome_of(TcpProbe(address="::1", port=port))).kind == "reply"
        assert (await outcome_of(HttpProbe(url=f"http://[::1]:{port}/", statuses=(200,)))).kind == "reply"


async def test_https_to_what_speaks_no_tls() -> None:
    """It is an answer, and not a good one."""
    async with website() as port:
        found = await outcome_of(HttpProbe(url=f"https://127.0.0.1:{port}/"))

    assert found.kind == "failed"
    assert found.detail.startswith("TLS: ")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
        (b"HTTP/1.0 200\r\n\r\n", "HTTP 200"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an answer that is no HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "an answer that is no HTTP"),
        (b"HTTP/1.1 200 " + b"a" * 100_000, "an answer that is no HTTP"),
        (b"HTTP/1.1 200", "an answer that is no HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000, "interim answers without end"),
        (b"HTTP/1.1 100 Continue\r\n" + b"a: b\r\n" * 1_000, "interim answers without end"),
        (b"", "closed without an answer"),
    ],
)
async def test_http_answers_of_all_kinds(answer: bytes, detail: str) -> None:
    """Interim answers are passed over, and what is no HTTP is a bad answer, whatever there is of it."""
    async with serving(saying(answer)) as port:
        found = await status_of(port)

    assert (found.kind, found.detail) == ("reply" if detail.startswith("HTTP ") else "failed", detail)


async def test_http_refusal_and_reset_are_bad_answers() -> None:
    """Somebody is there, but not the server that was asked for."""
    refused = await status_of(refused_port())
    async with serving(_hang_up) as port:
        closed = await status_of(port)

    assert (refused.kind, refused.detail) == ("failed", "ECONNREFUSED")
    assert (closed.kind, closed.detail) in {("failed", "closed without an answer"), ("failed", "ECONNRESET")}


async def test_silence_is_lost_in_time() -> None:
    """The deadline is kept, and the phase in which it was silent is told."""
    async with serving(silent) as port, prober(HttpProbe(url=f"http://127.0.0.1:{port}/")) as asked:
        started = time.monotonic()
        found = await asked.probe(SHORT_S)
        took_s = time.monotonic() - started

    assert (found.kind, found.detail) == ("lost", "no answer in time: first byte")
    assert SHORT_S <= took_s < SHORT_S + 1.0


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_late_loop_is_no_loss(kind: str) -> None:
    """The answer is there, and only we have not looked: it is dealt with first, and the time that we were away does not count."""
    loop = asyncio.get_running_loop()
    async with website() as port:
        probe = (
            TcpProbe(address="127.0.0.1", port=port) if kind == "tcp" else HttpProbe(url=f"http://127.0.0.1:{port}/")
        )
        loop.call_later(0.001, time.sleep, 4 * SHORT_S)
        found = await outcome_of(probe, 2 * SHORT_S)

    assert found.kind == "reply"


async def test_name_that_nobody_knows_is_a_local_error() -> None:
    """A name server is no part of the line."""
    found = await outcome_of(HttpProbe(url="http://no-such-host.invalid/"))

    assert found.kind == "local_error"
    assert found.detail.startswith("name no-such-host.invalid: ")


async def test_name_is_looked_up_once() -> None:
    """Its addresses are kept; a literal address in its place is never looked up."""
    async with website() as port:
        async with prober(HttpProbe(url=f"http://localhost:{port}/")) as asked:
            for _ in range(2):
                assert (await asked.probe(TIMEOUT_S)).kind == "reply"
            assert asked.phases.seconds["name"] < asked.phases.seconds["connect"]
        async with prober(HttpProbe(url=f"http://no-such-host.invalid:{port}/", address="127.0.0.1")) as asked:
            assert (await asked.probe(TIMEOUT_S)).kind == "reply"
            assert "name" not in asked.phases.seconds


async def test_nothing_is_left_behind() -> None:
    """Hundreds of probes, answered, lost and cancelled, leave no task and no socket."""
    async with website() as good, serving(silent) as mute:
        urls = [f"http://127.0.0.1:{good}/", f"http://127.0.0.1:{mute}/", f"https://127.0.0.1:{mute}/"]
        async with leaving_nothing():
            for url in urls:
                async with prober(HttpProbe(url=url)) as asked, asyncio.timeout(60):
                    for _ in range(200 if url == urls[0] else 20):
                        await asked.probe(TIMEOUT_S if url == urls[0] else 0.005)
                    await cancelled(asked)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "http://",
        "http://user:word@a/",
        "http://a:port/",
        "http://a b/",
        "http://[::1/",
        "http://a/\r\nX: y",
    ],
)
def test_url_that_is_of_no_use(url: str) -> None:
    """Is a mistake of the configuration, told once, not with each probe."""
    with pytest.raises(ConfigError, match="expected http://HOST"):
        make_service(HttpProbe(url=url), ServiceContext("here", "line", {}))


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX: y"])
def test_token_that_is_of_no_use(token: str) -> None:
    """It could put headers of its own into the request; what it is is not told."""
    with pytest.raises(ConfigError) as caught:
        make_service(
            HttpProbe(url="http://a/", token_file="token.txt"), ServiceContext("here", "line", {"token.txt": token})
        )

    assert str(caught.value) == "http http://a/: token_file: token.txt: expected one word of ASCII signs"


async def test_detail_is_bounded() -> None:
    """However much the far end says."""
    found = await outcome_of(HttpProbe(url=f"http://{'x' * 60}.{'y' * 60}.{'z' * 60}.{'w' * 60}.invalid/"))

    assert len(found.detail) <= DETAIL_CHARS_MAX
