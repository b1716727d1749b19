"""The HTTP side of the supervisor: /metrics, /healthz and /readyz of the whole process tree, and / that names them.

One scrape target however many processes there are. Binds to the configured address only, and asks nobody for a
password: keep it on the loopback or behind something that does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from netmon import __version__, sockets
from netmon.errors import ConfigError
from netmon.status import metrics
from netmon.status.health import Snapshot, checks, is_ready

REQUEST_BYTES_MAX: Final = 1_024
COMPRESS_BYTES_MIN: Final = 1 << 20
"""Larger answers are compressed for who takes that: figures of many lines become a fifteenth."""
INDEX: Final = """\
/metrics   figures for Prometheus
/healthz   200 as long as netmon runs
/readyz    each condition of being ready as JSON, and what to do about those that fail; 503 until all are met
"""


class HttpServer:
    """Serves snapshots until `stop`."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._runner: web.AppRunner | None = None
        self.listen = ""

    async def start(self, listen: str) -> None:
        """Listen on `address:port`; with port 0 `self.listen` has the one that the kernel chose.

        Raises:
            ConfigError: The address cannot be bound.
        """
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_get("/", self._index)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_route("*", "/{path:.*}", self._nothing)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        address = sockets.parse_address(listen)
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError([f"http.listen: {listen}: {error.strerror}; `ss -tlpn` says who listens there"]) from None
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Close the listener and its connections; nothing when it was not started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _index(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"netmon {__version__}\n\n{INDEX}")

    async def _nothing(self, request: web.Request) -> web.Response:
        # Not what was asked for: a page that repeats what strangers say is one that they write.
        if request.method not in {"GET", "HEAD"}:
            return web.Response(text="only GET and HEAD are answered\n", status=405, headers={"Allow": "GET, HEAD"})
        return web.Response(text="not found; there are /, /metrics, /healthz and /readyz\n", status=404)

    async def _metrics(self, request: web.Request) -> web.Response:
        """As OpenMetrics to whoever asks for that; Prometheus takes the type for what the header says."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        snapshot = self._take()
        # Of ten thousand lines it takes a second to write, in which the supervisor has other things to do.
        body = await asyncio.to_thread(encode, metrics.registry(lambda: snapshot))
        headers = {"Content-Type": content_type}
        response = web.Response(body=body, headers=headers, zlib_executor_size=COMPRESS_BYTES_MIN)
        if len(body) >= COMPRESS_BYTES_MIN:
            response.enable_compression()
        return response

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        snapshot = self._take()
        found = checks(snapshot)
        ready = is_ready(snapshot, found)
        body = msgspec.json.format(msgspec.json.encode({"ready": ready, "checks": found}), indent=2) + b"\n"
        return web.Response(body=body, status=200 if ready else 503, content_type="application/json")
