"""What a hostile, clumsy or foreign client of the API gets: a problem in words, each time, and nobody else notices."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import redis
from jsonschema.protocols import Validator

from netmon.alarms.model import CommandKind
from netmon.api import openapi
from netmon.buffer.alarm_store import COMMANDS
from netmon.inventory.model import Area, Carrier, Inventory, Line, Site
from tests.integration.api import Answer, ApiServer, alarm, put
from tests.integration.harness import REPOSITORY
from tests.integration.valkey import Valkey

TOKEN = "a-token-for-tests-0123456789"
ONE = f"/alarms/{alarm(1).id}"
JSON = {"Content-Type": "application/json"}
REGION = Inventory(
    areas=(Area(id="hama", name="浜町", code="302015"),),
    carriers=(Carrier(id="kii", name="紀伊通信"),),
    sites=(
        Site(id="hall", name="役場", area_id="hama", longitude=135.1, latitude=34.2),
        Site(id="port", name="港", area_id="hama", longitude=135.2, latitude=34.3),
    ),
    lines=(
        Line(
            id="to-port",
            name="港線",
            medium="fibre",
            carrier_id="kii",
            endpoint_site_ids=("hall", "port"),
            capacity_bps=1,
        ),
        Line(id="sky", name="衛星", medium="leo", carrier_id="kii", endpoint_site_ids=("port",), capacity_bps=1),
    ),
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server with one alarm."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        with server.client() as client:
            put(client, alarm(1, version=7))
        yield server


@pytest.fixture(scope="module")
def api(own: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API for all, with a small region."""
    with ApiServer(tmp_path_factory.mktemp("api"), own, inventory=REGION) as api:
        yield api
        assert api.events("api.request_failed") == []


def test_every_error_is_a_problem(api: ApiServer, own: Valkey) -> None:
    """Also those that no handler of ours has seen; and a refused wish is no wish."""
    long = {"by": "x" * 20_000}
    cases: list[tuple[Answer, tuple[int, str]]] = [
        (api.get("/nothing"), (404, "not_found")),
        (api.ask("GET", "/../../etc/passwd"), (404, "not_found")),
        (api.ask("DELETE", "/alarms"), (405, "method_not_allowed")),
        (api.ask("OPTIONS", "/alarms"), (405, "method_not_allowed")),
        (api.get(f"{ONE}/ack"), (405, "method_not_allowed")),
        (api.post(f"{ONE}/ack", long), (413, "too_large")),
        (api.post(f"{ONE}/explode", {}), (404, "not_found")),
        (api.ask("POST", f"{ONE}/ack", b"{}"), (415, "unsupported_media_type")),
        (api.ask("POST", f"{ONE}/ack", b"by=ito", {"Content-Type": "text/plain"}), (415, "unsupported_media_type")),
        (api.ask("POST", f"{ONE}/ack", b"{", JSON), (400, "invalid_request")),
        (api.post(f"{ONE}/ack", []), (400, "invalid_request")),
        (api.post(f"{ONE}/ack", {"by": {}}), (400, "invalid_request")),
        (api.post(f"{ONE}/ack?force=1", {"by": "ito"}), (400, "invalid_request")),
        (api.post(f"{ONE}/ack", {"by": "ito"}, If_Match="seven"), (400, "invalid_request")),
        (api.post(f"{ONE}/ack", {"by": "ito"}, If_Match='W/"7"'), (412, "version_changed")),
        (api.post("/alarms/0000/ack", {"by": "ito"}), (404, "not_found")),
        (api.get("/commands/../../x"), (404, "not_found")),
        (api.get("/events", after="yesterday"), (400, "invalid_request")),
        (api.ask("GET", "/events", headers={"Last-Event-ID": "1-0 or so"}), (400, "invalid_request")),
        (api.get("/alarms", limit="ten"), (400, "invalid_request")),
        (api.get("/healthz", x="1"), (400, "invalid_request")),
    ]
    assert [answer.code for answer, _ in cases] == [expected for _, expected in cases]
    assert cases[2][0].headers["allow"] == "GET,HEAD"
    for answer, _ in cases:
        assert (answer.headers["server"], answer.headers["cache-control"]) == ("netmon", "no-store")
        assert len(answer.body) < 4_000
    with own.client() as client:
        assert client.xlen(COMMANDS) == 0


def test_a_body_that_does_not_come_and_a_head_that_does_not_end(api: ApiServer) -> None:
    """Others are served meanwhile; more headers than anybody needs are refused."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as slow:
        head = f"POST /api/v1{ONE}/ack HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert api.get("/alarms").status == 200
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as endless:
        endless.sendall(b"GET /api/v1/alarms HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
        assert b" 400 " in endless.recv(100)
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as chunked:
        chunked.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunked.sendall(b"5000\r\n" + b" " * 0x5000 + b"\r\n0\r\n\r\n")
        assert b" 413 " in chunked.recv(100)
    assert api.get("/alarms").status == 200


def test_a_web_page_of_others_gets_nothing(api: ApiServer) -> None:
    """Neither by a name that it has pointed here, nor by a form; and no page is told that it may read."""
    assert api.ask("GET", "/alarms", headers={"Host": "evil.example"}).code == (421, "misdirected")
    foreign = {**JSON, "Origin": "http://evil.example"}
    assert api.ask("POST", f"{ONE}/ack", b'{"by":"x"}', foreign).code == (403, "forbidden_origin")
    assert "access-control-allow-origin" not in api.get("/alarms").headers


def test_with_a_token_nobody_else_comes_in(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Any name is good then; only health is for everybody."""
    with ApiServer(tmp_path, server, token=TOKEN) as api:
        assert api.get("/alarms").status == 200
        for header in ("", "Bearer wrong", f"Basic {TOKEN}"):
            refused = api.ask("GET", "/alarms", headers={"Authorization": header})
            assert (refused.code, refused.headers["www-authenticate"]) == (
                (401, "unauthorized"),
                'Bearer realm="netmon"',
            )
        assert api.ask("POST", f"{ONE}/ack", b"{}", {**JSON, "Authorization": ""}).code == (401, "unauthorized")
        assert api.ask("GET", "/alarms", headers={"Host": "console.example"}).status == 200
        assert api.ask("GET", "/healthz", headers={"Authorization": ""}).status == 200
        assert TOKEN not in api.log_file.read_text("utf-8")
    assert client.xlen(COMMANDS) == 0


def test_maps_are_geojson(api: ApiServer) -> None:
    """Longitude first; a line without a course is drawn between its sites, one with one end has no geometry."""
    lines = api.get("/lines.geojson")
    assert lines.headers["content-type"] == "application/geo+json"
    assert (lines.json["type"], "crs" in lines.json) == ("FeatureCollection", False)
    shapes = {feature["id"]: feature["geometry"] for feature in lines.json["features"]}
    assert shapes == {"to-port": {"type": "LineString", "coordinates": [[135.1, 34.2], [135.2, 34.3]]}, "sky": None}
    sites = {feature["id"]: feature["properties"] for feature in api.get("/sites.geojson").json["features"]}
    assert (sites["hall"]["state"], sites["hall"]["severity"], sites["hall"]["alarms"]) == ("alarmed", "major", 1)
    assert sites["port"]["state"] == "ok"


# --- The document.


def document() -> Any:
    """The OpenAPI document as it is kept."""
    return json.loads((REPOSITORY / "docs" / "openapi.json").read_text("utf-8"))


def test_the_kept_document_is_the_served_one(api: ApiServer) -> None:
    """GET /api/v1/openapi.json of a running netmon makes it anew."""
    assert api.get("/openapi.json").body == openapi.as_json() == (REPOSITORY / "docs" / "openapi.json").read_bytes()


def validator(path: str, method: str, status: int, media_type: str) -> Validator:
    """Of the answer that the document promises."""
    whole = document()
    answers = whole["paths"][path][method]["responses"]
    answer = answers.get(str(status)) or answers["default"]
    if "$ref" in answer:
        answer = whole["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = {**answer["content"][media_type]["schema"], "components": whole["components"]}
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_answers_are_what_the_document_promises(api: ApiServer) -> None:
    """Each path that can be asked, well and not so well."""
    wish = {"by": "ito", "reason": "works", "for_s": 60}
    asked: list[tuple[str, str, Answer]] = [
        ("/alarms", "get", api.get("/alarms", limit=1)),
        ("/alarms", "get", api.get("/alarms", severity="none")),
        ("/alarms/summary", "get", api.get("/alarms/summary")),
        ("/alarms/{id}", "get", api.get(ONE)),
        ("/alarms/{id}", "get", api.get("/alarms/0000")),
        ("/alarms/{id}/history", "get", api.get(f"{ONE}/history")),
        ("/causes", "get", api.get("/causes")),
        ("/postures", "get", api.get("/postures")),
        ("/lines", "get", api.get("/lines", state="down,up", limit=1)),
        ("/lines", "get", api.get("/lines", state="dead", medium="fibre")),
        ("/lines/{id}", "get", api.get("/lines/0000")),
        ("/vantages", "get", api.get("/vantages")),
        ("/lines.geojson", "get", api.get("/lines.geojson")),
        ("/sites.geojson", "get", api.get("/sites.geojson")),
        ("/inventory", "get", api.get("/inventory")),
        ("/openapi.json", "get", api.get("/openapi.json")),
        ("/healthz", "get", api.get("/healthz")),
        ("/commands/{id}", "get", api.get("/commands/0000")),
        ("/events", "get", api.get("/events", after="x")),
        ("/areas/{id}/posture", "post", api.post("/areas/hama/posture", {**wish, "posture": "disaster"})),
        ("/areas/{id}/posture", "post", api.post("/areas/hama/posture", {})),
        ("/alarms/{id}/shelve", "post", api.post(f"{ONE}/shelve", wish)),
        *((f"/alarms/{{id}}/{kind}", "post", api.post(f"{ONE}/{kind}", {})) for kind in get_args(CommandKind)),
    ]
    for path, method, answer in asked:
        media_type = answer.headers["content-type"].partition(";")[0]
        validator(path, method, answer.status, media_type).validate(answer.json)
    assert {path for path, _, _ in asked} == set(document()["paths"])


def test_the_document_names_every_route_and_every_parameter(api: ApiServer) -> None:
    """What it names exists: nothing that it names is 404 without a body, or 405."""
    for path, methods in document()["paths"].items():
        url = path.replace("{id}", "0000") + ("?after=x" if path == "/events" else "")
        for method in methods:
            answer = api.ask(method.upper(), url, None if method == "get" else b"{}", JSON)
            assert (path, answer.status not in {405, 500}) == (path, True)
    listed = {parameter["name"] for parameter in document()["paths"]["/alarms"]["get"]["parameters"]}
    refused = api.get("/alarms", surprise=1).json["errors"][0]["detail"]
    assert set(refused.removeprefix("unknown; expected ").split(", ")) == listed


def test_a_connection_serves_many_requests(api: ApiServer) -> None:
    """Keep-alive: also after an error."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=5)
    statuses = []
    for path in ("/api/v1/alarms", "/nothing", "/api/v1/healthz"):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 404, 200]
