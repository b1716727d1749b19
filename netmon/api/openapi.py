"""The OpenAPI 3.1 document of the API: paths stand here, schemas are made from the values that are sent. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from netmon.active_probe.model import LINE_STATES
from netmon.alarms.lifecycle.transitions import BY_MAX, TEXT_MAX
from netmon.alarms.model import SEVERITIES, CommandKind
from netmon.api import geojson, problem, query, wish
from netmon.api.answers import SCHEMAS, FloodView
from netmon.api.listing import SORTS, STATES
from netmon.api.problem import Problem
from netmon.api.view import ChangeView, PostureChangeView
from netmon.inventory.model import Inventory

Json = dict[str, Any]

API_VERSION: Final = "1.1"
"""Of the API: the second number grows with what is added, the first, with the path, when clients have to change."""

_ABOUT: Final = """Alarms of the region: what stands, what explains it, and what operators do about it.

Times are RFC 3339 in UTC. Every error is `application/problem+json` (RFC 9457). Lists come in pages: follow `next_cursor` until it is
null. What stood all the time is in at least one of the pages; what changed meanwhile may be in two, and the one with the greater
`version` counts. To keep a copy: open /events, read the list, then apply what the events tell, unless its `version` is smaller."""

_FILTER_SCHEMAS: Final[dict[str, tuple[Json, str]]] = {
    "state": (
        {"type": "string", "enum": list(STATES), "default": "active"},
        "active: neither cleared nor closed; cleared: by the network itself",
    ),
    "severity": ({"type": "string"}, f"one or several with commas between them: {', '.join(SEVERITIES)}"),
    "operator_state": ({"type": "string"}, "one or several with commas between them: none, ack, shelved, closed"),
    "area": ({"type": "string"}, "area ID"),
    "site": ({"type": "string"}, "site ID"),
    "line": ({"type": "string"}, "line ID"),
    "device": ({"type": "string"}, "device ID"),
    "sector": ({"type": "string"}, "who shares the line, such as water"),
    "type": ({"type": "string"}, "alarm type, such as link-down"),
    "cause": ({"type": "string"}, "only what the alarm with this ID explains"),
    "flapping": ({"type": "boolean"}, "raised and cleared again and again, or not"),
    "roots_only": ({"type": "boolean", "default": False}, "only what no other alarm explains"),
    "q": (
        {"type": "string", "maxLength": query.VALUE_MAX},
        "words, each of which stands in text, resource, type or qualifier",
    ),
    "sort": (
        {"type": "string", "enum": list(SORTS), "default": "severity"},
        "severity: the worst first, of them the newest; newest: by the last raise",
    ),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": query.LIMIT_MAX, "default": query.LIMIT_DEFAULT},
        "how many on a page",
    ),
    "cursor": ({"type": "string", "maxLength": query.CURSOR_MAX}, "next_cursor of the page before"),
}

_BY: Final = {"type": "string", "minLength": 1, "maxLength": BY_MAX, "description": "who does it"}
_REASON: Final = {"type": "string", "maxLength": TEXT_MAX}
_END: Final = {
    "until": {"type": "string", "format": "date-time", "description": "with its zone"},
    "for_s": {"type": "number", "exclusiveMinimum": 0, "maximum": wish.UNTIL_MAX_S, "description": "seconds from now"},
}
_BODIES: Final[dict[CommandKind, tuple[Json, list[str]]]] = {
    "ack": ({"reason": _REASON}, []),
    "unack": ({"reason": _REASON}, []),
    "shelve": ({"reason": _REASON, **_END}, ["reason"]),
    "unshelve": ({"reason": _REASON}, []),
    "close": ({"reason": _REASON}, []),
    "comment": ({"text": _REASON}, ["text"]),
}
_SUMMARIES: Final[dict[CommandKind, str]] = {
    "ack": "Somebody works on it",
    "unack": "Nobody works on it any more",
    "shelve": "Out of sight until a time",
    "unshelve": "Back in sight",
    "close": "It is over, whatever the network says",
    "comment": "Write something down",
}
_LINE_FILTER_SCHEMAS: Final[dict[str, tuple[Json, str]]] = {
    "state": ({"type": "string"}, f"one or several with commas between them: {', '.join(LINE_STATES)}"),
    "area": ({"type": "string"}, "area ID: lines that end there"),
    "carrier": ({"type": "string"}, "carrier ID"),
    "sector": ({"type": "string"}, "who shares the line, such as water"),
}
_ALARM_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


@functools.cache
def as_json() -> bytes:
    """The document as it is served."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def document() -> Json:
    """The document."""
    _, components = msgspec.json.schema_components(
        [*SCHEMAS, ChangeView, PostureChangeView, FloodView, Problem, Inventory],
        ref_template="#/components/schemas/{name}",
    )
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "netmon",
            "version": API_VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{}, {"token": []}],
        "paths": {**_reads(), **_writes(), "/events": {"get": _events()}},
        "components": {
            "schemas": _named(components),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "when api.token_file is set"}
            },
            "responses": {
                "Problem": {
                    "description": "What went wrong",
                    "content": {problem.MEDIA_TYPE: {"schema": _ref("Problem")}},
                }
            },
        },
    }


def _named(components: Json) -> Json:
    """The schemas by the names of the things themselves: `Alarm` rather than `AlarmView`."""
    found: Json = msgspec.json.decode(msgspec.json.encode(components).replace(b'View"', b'"'))
    return found


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: Json, media_type: str = "application/json") -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _operation(
    name: str, summary: str, answers: Json, *, parameters: Sequence[Json] = (), body: Json | None = None
) -> Json:
    found: Json = {
        "operationId": name,
        "summary": summary,
        "responses": {**answers, "default": {"$ref": "#/components/responses/Problem"}},
    }
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _parameters(names: Sequence[str], schemas: Mapping[str, tuple[Json, str]] = _FILTER_SCHEMAS) -> list[Json]:
    known = {**_FILTER_SCHEMAS, **schemas}
    return [
        {"name": name, "in": "query", "description": known[name][1], "schema": known[name][0]}
        for name in (*names, "limit", "cursor")
    ]


def _reads() -> Json:
    collection = {
        "type": "object",
        "required": ["type", "features"],
        "properties": {"type": {"const": "FeatureCollection"}, "features": {"type": "array"}},
    }
    health = _json("Whether what is shown is of now", _ref("Health"))
    one = _json("The alarm", _ref("Alarm"))
    one["headers"] = {"ETag": {"description": 'its version, such as "7"', "schema": {"type": "string"}}}
    of_alarm = [_ALARM_ID]
    return {
        "/alarms": {
            "get": _operation(
                "listAlarms",
                "Alarms, page by page",
                {"200": _json("A page", _ref("AlarmList"))},
                parameters=_parameters(query.FILTERS),
            )
        },
        "/alarms/summary": {"get": _operation("summarize", "How many", {"200": _json("Counts", _ref("Summary"))})},
        "/alarms/{id}": {"get": _operation("getAlarm", "One alarm, as it is now", {"200": one}, parameters=of_alarm)},
        "/alarms/{id}/history": {
            "get": _operation(
                "getHistory",
                "What happened to it, newest last",
                {"200": _json("Its history", _ref("History"))},
                parameters=of_alarm,
            )
        },
        "/causes": {
            "get": _operation(
                "listCauses",
                "What nothing else explains, page by page",
                {"200": _json("A page", _ref("CauseList"))},
                parameters=_parameters(query.CAUSE_FILTERS),
            )
        },
        "/postures": {"get": _operation("listPostures", "Areas", {"200": _json("All", _ref("PostureList"))})},
        "/lines": {
            "get": _operation(
                "listLines",
                "Lines as the prober judges them, page by page",
                {"200": _json("A page", _ref("LineList"))},
                parameters=_parameters(query.LINE_FILTERS, _LINE_FILTER_SCHEMAS),
            )
        },
        "/lines/{id}": {
            "get": _operation(
                "getLine",
                "One line, and what each vantage point says of it",
                {"200": _json("The line", _ref("LineDetail"))},
                parameters=of_alarm,
            )
        },
        "/vantages": {"get": _operation("listVantages", "Who probes", {"200": _json("All", _ref("VantageList"))})},
        "/lines.geojson": {
            "get": _operation("mapLines", "Lines", {"200": _json("RFC 7946", collection, geojson.MEDIA_TYPE)})
        },
        "/sites.geojson": {
            "get": _operation("mapSites", "Sites", {"200": _json("RFC 7946", collection, geojson.MEDIA_TYPE)})
        },
        "/inventory": {"get": _operation("getInventory", "The region", {"200": _json("All", _ref("Inventory"))})},
        "/openapi.json": {
            "get": _operation("getDocument", "This document", {"200": _json("OpenAPI 3.1", {"type": "object"})})
        },
        "/healthz": {
            "get": {**_operation("getHealth", "How the API is", {"200": health, "503": health}), "security": [{}]}
        },
    }


def _writes() -> Json:
    if_match = {
        "name": "If-Match",
        "in": "header",
        "description": "ETag of the version that was looked at; 412 when it has changed",
        "schema": {"type": "string"},
    }
    done = _json("Carried out", _ref("Outcome"))
    answers = {"200": done, "202": _json("Written down; no worker has answered yet", _ref("Outcome"))}
    paths = {
        f"/alarms/{{id}}/{kind}": {
            "post": _operation(
                kind, _SUMMARIES[kind], answers, parameters=[_ALARM_ID, if_match], body=_body(*_BODIES[kind])
            )
        }
        for kind in _BODIES
    }
    posture = {"enum": [*wish.DECLARED, None], "description": "null withdraws"}
    declared = {
        "200": _json("The area's posture now", _ref("PostureOutcome")),
        "202": _json("Written down", _ref("PostureOutcome")),
    }
    return {
        **paths,
        "/commands/{id}": {
            "get": _operation("getCommand", "What became of a command", {"200": done}, parameters=[_ALARM_ID])
        },
        "/areas/{id}/posture": {
            "post": _operation(
                "declare",
                "Declare an area's posture, or withdraw what was declared",
                declared,
                parameters=[_ALARM_ID],
                body=_body({"posture": posture, "reason": _REASON, **_END}, ["posture"]),
            )
        },
    }


def _body(properties: Json, required: list[str]) -> Json:
    return {
        "type": "object",
        "properties": {"by": _BY, **properties},
        "required": ["by", *required],
        "additionalProperties": False,
    }


def _events() -> Json:
    about = (
        "Server-sent events: `ready` at first, `change` (Change), `posture` (PostureChange), `flood` (Flood), and `reset` "
        "with a reason (slow, missed, reloaded): what is known is void, read the list again."
    )
    after = {"description": "ID of the last event that is known", "schema": {"type": "string"}}
    parameters = [
        {"name": "after", "in": "query", **after},
        {"name": "Last-Event-ID", "in": "header", **after},
    ]
    return _operation(
        "listen",
        "What changes, as it changes",
        {"200": _json(about, {"type": "string"}, "text/event-stream")},
        parameters=parameters,
    )
