"""What operators want: a command is put into the worker's stream, and its result is waited for.

The worker alone changes alarms. When none answers in time the answer is 202: the wish is written down, and the next worker carries it
out; `/commands/{id}` tells whether it has.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from netmon.alarms.model import CommandKind, CommandResult
from netmon.alarms.posture.model import AreaPosture
from netmon.alarms.posture.postures import capped
from netmon.api.answers import Outcome, PostureOutcome
from netmon.api.problem import refusal
from netmon.api.query import no_parameters, wanted_version
from netmon.api.reads import alarm_id_of, etag, newest, unknown_alarm
from netmon.api.server import API, PREFIX, Api, answer, body_of
from netmon.api.view import alarm_view, posture_view
from netmon.api.wish import KINDS, command_of, declaration_of
from netmon.log import log

WAIT_S: Final = 3.0
"""How long the worker has for an answer; with one that works, it takes some 50 ms."""
_WAIT_IN_VAIN_S: Final = 0.5
"""The same when no worker seems to be there; one may have come this moment."""
_POLL_S: Final = 0.02
_COMMAND_ID: Final = re.compile(r"[0-9a-f]{32}")


def _wish(kind: CommandKind) -> Callable[[web.Request], Awaitable[web.Response]]:
    """POST /alarms/{id}/KIND."""

    async def handle(request: web.Request) -> web.Response:
        no_parameters(request.query.items())
        api = request.app[API]
        alarm_id = alarm_id_of(request)
        body = await body_of(request)
        present = await newest(api, alarm_id)
        command = command_of(
            body,
            kind,
            command_id=uuid.uuid4().hex,
            alarm_id=alarm_id,
            version=wanted_version(request.headers.get("If-Match"), present.version),
            now_unix_ns=time.time_ns(),
        )
        await api.ask(lambda: api.store.put(command))
        return _told(command.id, await _result(api, command.id))

    return handle


def _patience_s(api: Api) -> float:
    return WAIT_S if api.mirror.has_worker else _WAIT_IN_VAIN_S


async def _result(api: Api, command_id: str) -> CommandResult | None:
    """What became of a command; None when no worker has answered in time."""
    deadline = time.monotonic() + _patience_s(api)
    while time.monotonic() < deadline:
        found = await api.ask(lambda: api.store.result(command_id))
        if found is not None:
            return found
        await asyncio.sleep(_POLL_S)
    return None


def _told(command_id: str, result: CommandResult | None) -> web.Response:
    if result is None:
        response = answer(Outcome(command_id=command_id, outcome="pending", alarm=None), status=202)
        response.headers["Location"] = f"{PREFIX}/commands/{command_id}"
        return response
    if result.outcome == "unknown_alarm":
        raise unknown_alarm()
    if result.outcome == "version_changed":
        detail = result.detail or "the alarm has changed since; read it again"
        raise refusal(412, "version_changed", detail)
    if result.outcome == "not_possible":
        raise refusal(409, "not_possible", result.detail or "the alarm's state does not allow it")
    alarm = result.alarm
    response = answer(
        Outcome(command_id=command_id, outcome="done", alarm=None if alarm is None else alarm_view(alarm))
    )
    if alarm is not None:
        response.headers["ETag"] = etag(alarm.version)
    return response


async def command(request: web.Request) -> web.Response:
    """GET /commands/{id}: what became of a command, for ten minutes."""
    no_parameters(request.query.items())
    api, command_id = request.app[API], request.match_info["id"]
    result = await api.ask(lambda: api.store.result(command_id)) if _COMMAND_ID.fullmatch(command_id) else None
    if result is None:
        raise refusal(404, "not_found", "no worker has carried out this command; or it was longer ago than ten minutes")
    return _told(command_id, result)


async def declare(request: web.Request) -> web.Response:
    """POST /areas/{id}/posture."""
    no_parameters(request.query.items())
    api, area = request.app[API], request.match_info["id"]
    if area not in {known.id for known in api.settings.inventory.areas}:
        raise refusal(404, "not_found", "no area of the inventory has this ID")
    by, declaration = declaration_of(await body_of(request), time.time_ns())
    if declaration is not None:
        declaration = capped(declaration)
    command_id = uuid.uuid4().hex
    await api.ask(lambda: api.store.declare(area, declaration, command_id))
    log.info("posture.declaration_put", area=area, by=by, posture=declaration.posture if declaration else None)
    result = await _result(api, command_id)
    if result is None:
        return answer(PostureOutcome(outcome="pending", posture=None), status=202)
    if result.outcome != "done":
        raise refusal(409, "not_possible", result.detail or "the area's posture does not allow it")
    posture = (await api.ask(api.store.meta)).postures.get(area, AreaPosture(area=area))
    return answer(PostureOutcome(outcome="done", posture=posture_view(posture)))


ROUTES: Final = [
    *(web.post(f"{PREFIX}/alarms/{{id}}/{kind}", _wish(kind)) for kind in KINDS),
    web.get(f"{PREFIX}/commands/{{id}}", command),
    web.post(f"{PREFIX}/areas/{{id}}/posture", declare),
]
