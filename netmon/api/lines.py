"""What can be asked of lines and vantage points. It comes from Redis itself, where the verdict process keeps it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from aiohttp import web

from netmon.active_probe.model import LINE_STATES, LineStatus
from netmon.api.answers import LineDetail, LineList, VantageList
from netmon.api.line_view import LineStatusView, is_wanted, line_view, vantage_view, vote_view
from netmon.api.problem import refusal
from netmon.api.query import line_page_of, no_parameters
from netmon.api.server import API, PREFIX, Api, answer
from netmon.inventory.model import Line

_RENDER_STEP: Final = 100
"""Lines that are made ready to be sent before others have their turn: about a millisecond."""


async def lines(request: web.Request) -> web.Response:
    """GET /lines."""
    page = line_page_of(request.query.items())
    api = request.app[API]
    known, has_judge = await api.ask(
        lambda: ({status.line_id: status for status in api.lines.lines()}, api.lines.has_judge())
    )
    views = [view for view in await _views(api, known) if is_wanted(view, page.wanted)]
    counts = Counter(view.state for view in views)
    rest = [view for view in views if view.id > page.after]
    shown = rest[: page.limit]
    return answer(
        LineList(
            lines=shown,
            next_cursor=shown[-1].id if len(rest) > len(shown) else None,
            counts={state: counts[state] for state in LINE_STATES},
            has_judge=has_judge,
        )
    )


async def _views(api: Api, known: dict[str, LineStatus]) -> list[LineStatusView]:
    """All lines of the region that are judged, or should be, by ID."""
    views = []
    for number, line in enumerate(sorted(_judged(api, known), key=lambda line: line.id), 1):
        views.append(line_view(line, known.get(line.id), api.topology))
        if number % _RENDER_STEP == 0:
            await asyncio.sleep(0)
    return views


def _judged(api: Api, known: dict[str, LineStatus]) -> list[Line]:
    return [line for line in api.settings.inventory.lines if line.probes or line.id in known]


async def line(request: web.Request) -> web.Response:
    """GET /lines/{id}."""
    no_parameters(request.query.items())
    api, line_id = request.app[API], request.match_info["id"]
    found = api.topology.lines.get(line_id)
    if found is None:
        raise refusal(404, "not_found", "the region has no line with this ID")
    status = await api.ask(lambda: api.lines.line(line_id))
    votes = () if status is None else status.votes
    return answer(LineDetail(line=line_view(found, status, api.topology), votes=[vote_view(vote) for vote in votes]))


async def vantages(request: web.Request) -> web.Response:
    """GET /vantages."""
    no_parameters(request.query.items())
    api = request.app[API]
    healths, judged = await api.ask(lambda: (api.lines.vantages(), api.lines.judged_vantages()))
    names = sorted({vantage.id for vantage in api.settings.inventory.vantages} | set(healths) | set(judged))
    return answer(VantageList(vantages=[vantage_view(name, healths.get(name), judged.get(name)) for name in names]))


ROUTES: Final = [
    web.get(f"{PREFIX}/lines", lines),
    web.get(f"{PREFIX}/lines/{{id}}", line),
    web.get(f"{PREFIX}/vantages", vantages),
]
