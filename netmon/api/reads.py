"""What can be asked: lists, one alarm, counts, postures, maps. All but one alarm and its history come from the mirror alone."""

from __future__ import annotations

import asyncio
import re
from typing import Final, Literal

import msgspec
from aiohttp import web

from netmon.alarms.model import Alarm
from netmon.alarms.posture.model import AreaPosture
from netmon.api import geojson, openapi
from netmon.api.answers import AlarmList, Cause, CauseList, Health, History, PostureList, summary_of
from netmon.api.listing import Query, Row
from netmon.api.mirror import Mirror
from netmon.api.problem import ProblemError, refusal
from netmon.api.query import CAUSE_FILTERS, Page, cursor_of, no_parameters, page_of
from netmon.api.server import API, PREFIX, Api, answer
from netmon.api.view import AlarmView, alarm_view, history_view, posture_view

_ID: Final = re.compile(r"[0-9a-z]{1,32}")
_RENDER_STEP: Final = 50
"""Alarms that are made ready to be sent before others have their turn: about a millisecond."""
_CAUSES: Final = Query(roots_only=True, operator_state=("none", "ack"))

_alarm = msgspec.json.Decoder(Alarm).decode


async def alarms(request: web.Request) -> web.Response:
    """GET /alarms."""
    mirror = request.app[API].loaded()
    page = page_of(request.query.items(), mirror.epoch)
    views, cursor = await _page(mirror, page)
    return answer(
        AlarmList(alarms=views, next_cursor=cursor, stream_id=mirror.stream_id, age_s=_age(mirror)),
    )


async def causes(request: web.Request) -> web.Response:
    """GET /causes."""
    mirror = request.app[API].loaded()
    page = page_of(request.query.items(), mirror.epoch, CAUSE_FILTERS, _CAUSES)
    views, cursor = await _page(mirror, page)
    return answer(
        CauseList(
            active=sum(count for (kind, _, _), count in mirror.listing.active.items() if kind == "area"),
            explained=mirror.listing.explained,
            causes=[Cause(explains=view.caused, alarm=view) for view in views],
            next_cursor=cursor,
            stream_id=mirror.stream_id,
            age_s=_age(mirror),
        )
    )


async def _page(mirror: Mirror, page: Page) -> tuple[list[AlarmView], str | None]:
    """The alarms of a page, and the cursor of the next."""
    listing, epoch, position = mirror.listing, mirror.epoch, page.position
    rows: dict[str, Row] = {}
    cursor: str | None = None
    while True:
        found = listing.look(page.query, position, page.limit - len(rows))
        # One that moves meanwhile comes twice, and counts as it is now.
        rows.update((row.id, row) for row in found.rows)
        position = found.position
        if found.is_last:
            break
        if len(rows) >= page.limit:
            cursor = cursor_of(page, position, epoch)
            break
        await asyncio.sleep(0)
    views: list[AlarmView] = []
    for number, alarm_id in enumerate(rows, 1):
        body = listing.body(alarm_id)
        if body is not None:
            views.append(alarm_view(_alarm(body)))
        if number % _RENDER_STEP == 0:
            await asyncio.sleep(0)
    return views, cursor


def alarm_id_of(request: web.Request) -> str:
    """The alarm's ID in the path. Raises ProblemError (404) for what is none."""
    alarm_id = request.match_info["id"]
    if not _ID.fullmatch(alarm_id):
        raise unknown_alarm()
    return alarm_id


def unknown_alarm() -> ProblemError:
    """404."""
    return refusal(404, "not_found", "no alarm has this ID; a cleared one leaves the list after a while")


async def newest(api: Api, alarm_id: str) -> Alarm:
    """An alarm as Redis has it, with what the mirror is not told (counts of repeats); as the mirror has it when Redis is away.

    Raises:
        ProblemError: There is none.
    """
    try:
        alarm = _mirrored(api, alarm_id) if api.mirror.is_stale else await api.ask(lambda: api.store.alarm(alarm_id))
    except ProblemError:
        alarm = _mirrored(api, alarm_id)
    if alarm is None:
        raise unknown_alarm()
    return alarm


def _mirrored(api: Api, alarm_id: str) -> Alarm | None:
    body = api.loaded().listing.body(alarm_id)
    return None if body is None else _alarm(body)


async def alarm(request: web.Request) -> web.Response:
    """GET /alarms/{id}."""
    no_parameters(request.query.items())
    found = await newest(request.app[API], alarm_id_of(request))
    response = answer(alarm_view(found))
    response.headers["ETag"] = etag(found.version)
    return response


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


async def history(request: web.Request) -> web.Response:
    """GET /alarms/{id}/history."""
    no_parameters(request.query.items())
    found = await newest(request.app[API], alarm_id_of(request))
    return answer(History(id=found.id, history=history_view(found.history)))


async def summary(request: web.Request) -> web.Response:
    """GET /alarms/summary."""
    no_parameters(request.query.items())
    mirror = request.app[API].loaded()
    return answer(summary_of(mirror.listing, mirror.flood, mirror.stream_id, _age(mirror)))


async def postures(request: web.Request) -> web.Response:
    """GET /postures."""
    no_parameters(request.query.items())
    api = request.app[API]
    mirror = api.loaded()
    known = {area.id: AreaPosture(area=area.id) for area in api.settings.inventory.areas} | mirror.postures
    return answer(PostureList(postures=[posture_view(found) for found in known.values()], age_s=_age(mirror)))


async def lines(request: web.Request) -> web.Response:
    """GET /lines.geojson."""
    no_parameters(request.query.items())
    api = request.app[API]
    found = geojson.lines(api.settings.inventory, api.loaded().listing)
    return answer(found, content_type=geojson.MEDIA_TYPE)


async def sites(request: web.Request) -> web.Response:
    """GET /sites.geojson."""
    no_parameters(request.query.items())
    api = request.app[API]
    found = geojson.sites(api.settings.inventory, api.loaded().listing)
    return answer(found, content_type=geojson.MEDIA_TYPE)


async def inventory(request: web.Request) -> web.Response:
    """GET /inventory."""
    no_parameters(request.query.items())
    return answer(request.app[API].settings.inventory)


async def document(request: web.Request) -> web.Response:
    """GET /openapi.json."""
    no_parameters(request.query.items())
    return web.Response(body=openapi.as_json(), content_type="application/json")


async def health(request: web.Request) -> web.Response:
    """GET /healthz: 200 when what is shown is of now."""
    no_parameters(request.query.items())
    api = request.app[API]
    mirror = api.mirror
    status: Literal["ok", "loading", "stale"] = (
        "loading" if not mirror.is_loaded else "stale" if mirror.is_stale else "ok"
    )
    found = Health(
        status=status,
        age_s=_age(mirror),
        stream_id=mirror.stream_id,
        alarms=len(mirror.listing),
        left_out=mirror.left_out,
        has_worker=mirror.has_worker,
        clients=len(api.hub),
    )
    return answer(found, status=200 if status == "ok" else 503)


def _age(mirror: Mirror) -> float:
    return round(mirror.age_s, 3) if mirror.is_loaded else 0.0


ROUTES: Final = [
    web.get(f"{PREFIX}/alarms", alarms),
    web.get(f"{PREFIX}/alarms/summary", summary),
    web.get(f"{PREFIX}/alarms/{{id}}", alarm),
    web.get(f"{PREFIX}/alarms/{{id}}/history", history),
    web.get(f"{PREFIX}/causes", causes),
    web.get(f"{PREFIX}/postures", postures),
    web.get(f"{PREFIX}/lines.geojson", lines),
    web.get(f"{PREFIX}/sites.geojson", sites),
    web.get(f"{PREFIX}/inventory", inventory),
    web.get(f"{PREFIX}/openapi.json", document),
    web.get(f"{PREFIX}/healthz", health),
]
