"""docs/api.md: each command in it works as it stands there, and it leaves nothing out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from netmon.alarms.model import Key, alarm_id
from netmon.inventory.model import Area, Inventory, Line, Site
from tests.integration.alarms import Worker, event, fill
from tests.integration.api import ApiServer
from tests.integration.harness import REPOSITORY
from tests.integration.valkey import Valkey, wait_until

TEXT = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
ALARM = alarm_id(Key("source/192.0.2.1/interface/1", "link-down"))
HALL = Site(id="hall", name="市役所", area_id="hoshimi", longitude=141.0, latitude=38.3)
COAST = Line(
    id="fibre-coast",
    name="海岸光",
    medium="fibre",
    carrier_id="michishio",
    endpoint_site_ids=("hall",),
    capacity_bps=10**9,
)
REGION = Inventory(areas=(Area(id="hoshimi", name="星見市", code="042986"),), sites=(HALL,), lines=(COAST,))
SENT_TIMED_OUT = 28
"""Exit code of curl when --max-time is over."""


@pytest.fixture
def api(server: Valkey, client: redis.Redis, tmp_path: Path) -> Iterator[ApiServer]:
    """An API and a worker with one alarm."""
    fill(client, [event(1)])
    worker = Worker(tmp_path / "worker", server, inventory=REGION)
    with worker, ApiServer(tmp_path, server, inventory=REGION) as api:
        worker.wait_done(client)
        wait_until(lambda: api.get("/healthz").json["has_worker"], "there is a worker")
        yield api


def test_each_command_works_as_it_stands_there(api: ApiServer, require_tool: Callable[[str], str]) -> None:
    """In its order: with 200, and the alarm goes from hand to hand."""
    require_tool("curl")
    command_id = ""
    for line in COMMANDS:
        words = [
            word.replace("127.0.0.1:8643", f"127.0.0.1:{api.port}")
            .replace("$ID", ALARM)
            .replace("$COMMAND", command_id)
            for word in shlex.split(line)
        ]
        words[1:1] = ["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]
        found = subprocess.run(words, capture_output=True, text=True, check=False)
        body, _, status = found.stdout.rpartition("\n")
        assert (line, status, found.returncode in {0, SENT_TIMED_OUT}) == (line, "200", True), found
        if body.startswith('{"command_id"'):
            command_id = json.loads(body)["command_id"]
    assert api.get(f"/alarms/{ALARM}").json["operator"]["state"] == "closed"


def test_every_path_of_the_api_has_a_command() -> None:
    """And the other way round."""
    document = json.loads((REPOSITORY / "docs" / "openapi.json").read_text("utf-8"))
    shown = {re.sub(r"[?'\"].*", "", line.partition("/api/v1")[2]) for line in COMMANDS}
    shown = {path.replace("$ID", "{id}").replace("$COMMAND", "{id}").replace("/hoshimi/", "/{id}/") for path in shown}
    shown = {path.replace("/fibre-coast", "/{id}") for path in shown}
    assert shown == set(document["paths"])
