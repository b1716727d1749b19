"""The HTTP side of the API: routes, who may come in, and every error as a problem (RFC 9457).

What is read is served from the mirror, in steps short enough that nobody waits for somebody's long list. What is asked of Redis
itself (one alarm with its newest counts, commands, what a listener has missed) goes over a few threads, with a time limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from netmon import sockets
from netmon.api import guard, problem
from netmon.api.events import Hub
from netmon.api.mirror import Mirror
from netmon.api.problem import Problem, ProblemError, refusal
from netmon.api.settings import ApiSettings
from netmon.api.wish import BODY_BYTES_MAX
from netmon.buffer.alarm_store import AlarmView
from netmon.buffer.line_store import LineView
from netmon.errors import ConfigError, UnavailableError
from netmon.inventory.topology import Topology
from netmon.log import limited

PREFIX: Final = "/api/v1"
BODY_S: Final = 10.0
"""In which the body of a request has to be there."""
REDIS_S: Final = 2.0
"""In which Redis has to answer."""
_THREADS: Final = 8

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Answer = TypeVar("_Answer")
_encode = msgspec.json.Encoder().encode


class Api:
    """What the handlers share.

    Attributes:
        settings: As told.
        store: The alarms in Redis.
        hub: Who listens to /events.
        mirror: The alarms in memory.
        lines: The lines' states in Redis.
        topology: How the region hangs together.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.store = AlarmView(settings.redis)
        self.hub = Hub()
        # A connection of its own: it waits in Redis for most of the time.
        self.mirror = Mirror(AlarmView(settings.redis), self.hub)
        self.lines = LineView(settings.redis)
        self.topology = Topology(settings.inventory)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="redis")

    async def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Asks Redis. Raises ProblemError (503) when it does not answer in time."""
        try:
            async with asyncio.timeout(REDIS_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, question)
        except TimeoutError:
            raise refusal(503, "unavailable", f"Redis has not answered within {REDIS_S:.0f} s") from None
        except UnavailableError as error:
            limited.warning("api.redis_lost", reason=error.reason, detail=error.detail)
            raise refusal(503, "unavailable", "Redis does not answer; nothing was done") from None

    def loaded(self) -> Mirror:
        """The mirror. Raises ProblemError (503) while there is nothing in it."""
        if not self.mirror.is_loaded:
            raise refusal(503, "unavailable", "the alarms are being loaded; ask again in a second")
        return self.mirror

    def close(self) -> None:
        """Ends what runs beside the event loop."""
        self.mirror.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)


API: Final = web.AppKey("api", Api)


def answer(value: object, *, status: int = 200, content_type: str = "application/json") -> web.Response:
    """A value as JSON."""
    return web.Response(body=_encode(value), status=status, content_type=content_type)


async def body_of(request: web.Request) -> bytes:
    """The body of a request that writes. Raises ProblemError."""
    if request.content_type != "application/json":
        # A page of somebody else's may send forms and plain text unasked, but not this.
        raise refusal(415, "unsupported_media_type", "expected Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise refusal(408, "invalid_request", f"the body was not there within {BODY_S:.0f} s") from None


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes a problem of whatever goes wrong."""
    try:
        return await handler(request)
    except ProblemError as error:
        return _problem_answer(error.problem)
    except web.HTTPException as error:
        return _http_problem(error)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        # Ours: the request ends, others go on; the text of it may hold anything, and stays in the log.
        limited.error("api.request_failed", reason=type(error).__name__, path=request.path, detail=str(error))
        return _problem_answer(refusal(500, "internal", "netmon has made a mistake; its log tells more").problem)


def _http_problem(error: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses."""
    if error.status == 404:
        return _problem_answer(refusal(404, "not_found", f"see {PREFIX}/openapi.json for what there is").problem)
    if error.status == 405:
        allowed = error.headers.get("Allow", "")
        found = _problem_answer(refusal(405, "method_not_allowed", f"expected {allowed}").problem)
        found.headers["Allow"] = allowed
        return found
    if error.status == 413:
        detail = f"the body is too large; expected at most {BODY_BYTES_MAX:,} bytes"
        return _problem_answer(refusal(413, "too_large", detail).problem)
    return _problem_answer(refusal(error.status, "invalid_request", error.reason).problem)


def _problem_answer(found: Problem) -> web.Response:
    headers = {}
    if found.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="netmon"'
    if found.status == 503:
        headers["Retry-After"] = "1"
    return web.Response(body=_encode(found), status=found.status, content_type=problem.MEDIA_TYPE, headers=headers)


@web.middleware
async def doorkeeper(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets in who may come in; whether the API lives may be asked by everybody who reaches it."""
    settings = request.app[API].settings
    if settings.token is None:
        guard.check_host(request.headers.get("Host"), request.headers.get("Origin"), settings.hosts)
    elif request.path != f"{PREFIX}/healthz":
        guard.check_token(request.headers.get("Authorization"), settings.token)
    return await handler(request)


async def _about_answers(_request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer: it is of this moment, it is what it says it is, and who made it is nobody's business."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "netmon"


def application(api: Api, routes: list[web.RouteDef]) -> web.Application:
    """The application without a listener."""
    app = web.Application(middlewares=[problems, doorkeeper], client_max_size=BODY_BYTES_MAX)
    app[API] = api
    app.add_routes(routes)
    app.on_response_prepare.append(_about_answers)
    return app


class Server:
    """Serves until `stop`.

    Attributes:
        listen: Where; with port 0 in the settings, the port that the kernel chose.
    """

    def __init__(self, api: Api, routes: list[web.RouteDef]) -> None:
        self.listen = api.settings.listen
        self._api = api
        self._runner = web.AppRunner(
            application(api, routes), access_log=None, handle_signals=False, shutdown_timeout=1.0
        )

    async def start(self) -> None:
        """Listen, and begin to follow Redis.

        Raises:
            ConfigError: The address cannot be bound, or is open to others without a token.
        """
        settings = self._api.settings
        address = sockets.parse_address(settings.listen)
        if settings.token is None and not guard.is_loopback(address.host):
            raise ConfigError([f"api.listen: {settings.listen} is open to others; expected api.token_file beside it"])
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, address.host, address.port).start()
        except OSError as error:
            await self._runner.cleanup()
            cure = "`ss -tlpn` says who listens there"
            raise ConfigError([f"api.listen: {settings.listen}: {error.strerror}; {cure}"]) from None
        host, port = self._runner.addresses[0][:2]
        self.listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._api.mirror.start()

    async def stop(self) -> None:
        """Close the listener and all connections."""
        self._api.hub.close()
        await self._runner.cleanup()
        self._api.close()
