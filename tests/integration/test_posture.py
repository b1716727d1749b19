"""Postures of areas in a real worker on a real Valkey, and the command line that asks for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis
import yaml

from netmon.alarms.posture.model import AreaPosture, Bulletin, Declaration
from netmon.alarms.settings import PostureSettings
from netmon.buffer.alarm_store import META, AlarmView
from netmon.inventory.model import Area, Carrier, Device, Interface, Inventory, Line, Site
from netmon.model import RedisSettings, Varbind
from tests.integration.alarms import LINK_UP, Worker, event, fill, stored
from tests.integration.harness import REPOSITORY
from tests.integration.valkey import Valkey, wait_until

REGION = Inventory(
    areas=(Area(id="minato", name="みなと市", code="992011"), Area(id="yamate", name="やまて市", code="992020")),
    carriers=(Carrier(id="c", name="c"),),
    sites=(Site(id="hall", name="庁舎", area_id="minato", longitude=139.5, latitude=35.5),),
    lines=tuple(
        Line(
            id=f"line-{port}",
            name=f"{port}",
            medium="fibre",
            carrier_id="c",
            endpoint_site_ids=("hall",),
            capacity_bps=1,
        )
        for port in (1, 2)
    ),
    devices=(
        Device(
            id="router",
            name="ルータ",
            site_id="hall",
            kind="router",
            addresses=("192.0.2.1",),
            interfaces=tuple(Interface(index=port, line_id=f"line-{port}") for port in (1, 2)),
        ),
    ),
)
QUICK = PostureSettings(confirm_s=0.5, recover_s=1.0)


def worker_of(folder: Path, server: Valkey) -> Worker:
    """A worker that knows the region, and whose patience is short."""
    return Worker(folder, server, inventory=REGION, posture=QUICK)


def view_of(server: Valkey) -> AlarmView:
    """What everybody else sees."""
    return AlarmView(RedisSettings(url=server.url))


def standing(view: AlarmView, area: str = "minato") -> AreaPosture:
    """Where an area stands."""
    return view.meta().postures.get(area, AreaPosture(area=area))


def wait_for(view: AlarmView, posture: str) -> AreaPosture:
    """Until minato stands there."""
    wait_until(lambda: standing(view).posture == posture, f"minato is {posture}")
    return standing(view)


def declared(posture: Any = "disaster") -> Declaration:
    """By the duty officer."""
    return Declaration(posture=posture, by="tanaka", reason="smoke", unix_ns=time.time_ns())


def bulletin(serial: int, **changes: Any) -> Bulletin:
    """An earthquake in minato, now."""
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000
    given = {"info": "issued", "status": "normal", **changes}
    return Bulletin(
        id=f"e-VXSE53-{serial}-{given['status']}-{given['info']}",
        event_id="e",
        kind="VXSE53",
        serial=serial,
        unix_ns=now,
        headline="地震がありました。",
        areas={"minato": "6-"},
        level="disaster",
        **given,
    )


def test_failing_lines_make_a_disaster_that_recovers(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Both lines of the area, by the notifications of their router; and back, step by step, all of it told in the stream."""
    view = view_of(server)
    with worker_of(tmp_path, server) as worker:
        fill(client, [event(1, port=1), event(2, port=2)])
        shown = wait_for(view, "disaster")
        fill(client, [event(3, port=1, trap_oid=LINK_UP), event(4, port=2, trap_oid=LINK_UP)])
        wait_for(view, "normal")
        wait_until(lambda: posture_in_report(worker) == "normal", "the report says so")
    told = [one.posture.now.posture for one in view.changes("0-0") if one.posture is not None]

    assert [(reason.kind, reason.en) for reason in shown.reasons] == [("lines_failing", "2 of 2 lines are failing")]
    assert [after for before, after in zip(["normal", *told], told, strict=False) if before != after] == [
        "disaster",
        "recovering",
        "normal",
    ]


def posture_in_report(worker: Worker) -> str:
    """What the worker's status file has."""
    report = worker.report()
    return "" if report is None or "minato" not in report.areas else report.areas["minato"].posture


def test_a_telegram_and_a_declaration_outlive_the_worker(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Killed right after both are told; the next one knows them, and takes the cancellation for what it is."""
    view = view_of(server)
    with worker_of(tmp_path, server):
        view.put_bulletin(bulletin(1))
        wait_for(view, "disaster")
        result = view.ask_declare("yamate", declared("suspected"), "first", 10)
    before = client.hgetall(META)
    with worker_of(tmp_path, server):
        view.put_bulletin(bulletin(2, status="drill"))
        wait_until(lambda: standing(view).drill != "", "the drill is shown")
        during = standing(view)
        view.put_bulletin(bulletin(2, info="cancelled"))
        wait_for(view, "normal")

    assert result is not None
    assert result.outcome == "done"
    assert isinstance(before, dict)
    assert {b"posture:minato", b"posture:yamate"} <= set(before)
    assert (during.posture, [reason.en for reason in during.reasons]) == ("disaster", ["JMA: seismic intensity 6-"])
    assert (standing(view, "yamate").posture, standing(view, "minato").reasons) == ("suspected", ())


def test_what_cannot_be_declared_is_answered(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Nobody waits for a time-out to learn that there is no such area; what nobody wrote is left alone."""
    view = view_of(server)
    client.xadd("{netmon:alarms}:commands", {"declaration": "{"})
    client.xadd("{netmon:alarms}:commands", {"bulletin": '{"id": 5}'})
    with worker_of(tmp_path, server) as worker:
        result = view.ask_declare("atlantis", declared(), "id-1", 10)
        wait_until(lambda: unreadable(worker) == 2, "both are counted")

    assert result is not None
    assert (result.outcome, result.detail) == ("not_possible", "the region has no area 'atlantis'")


def unreadable(worker: Worker) -> int:
    """Commands that could not be read, as the report has it."""
    report = worker.report()
    return 0 if report is None else report.counts.commands_unreadable


def test_a_battery_that_runs_out_is_an_alarm_before_it_is_empty(
    server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """Also by a user of Redis that may not ask how much memory there is; the report has when."""
    client.acl_setuser("netmon", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all", "-info"])
    now_ms = time.time_ns() // 1_000_000
    varbinds = [Varbind("1.3.6.1.2.1.33.1.2.3.0", "Integer32", 9), Varbind("1.3.6.1.2.1.33.1.2.2.0", "Integer32", 60)]
    said = msgspec.structs.replace(event(1, trap_oid="1.3.6.1.2.1.33.2.1", event_ms=now_ms), varbinds=varbinds)
    settings = RedisSettings(url=server.url, username="netmon", password="x")
    with Worker(tmp_path, server, inventory=REGION, redis=settings) as worker:
        fill(client, [said], first_ms=now_ms)
        wait_until(lambda: "device/router" in stored(client), "there is an alarm")
        wait_until(lambda: forecasts(worker) != {}, "the report has the forecast")
        left_s = forecasts(worker)["ups_battery"]
    alarm = stored(client)["device/router"]

    assert (alarm.alarm_type, alarm.severity, alarm.place.area) == ("battery-running-out", "warning", "minato")
    assert alarm.text.en == "The batteries are expected to be empty within 10 minutes"
    assert 500 < left_s <= 540


def forecasts(worker: Worker) -> dict[str, float]:
    """What the report says will run out."""
    report = worker.report()
    return {} if report is None else report.forecasts


def test_the_command_line_declares_shows_and_withdraws(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Exit codes: 0 all is normal or done, 1 something is not, 2 it cannot be asked for like this."""
    config = tmp_path / "netmon.yml"
    config.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "redis": {"url": server.url}}))

    def netmon(*arguments: str) -> tuple[int, str]:
        run = subprocess.run(
            [sys.executable, "-m", "netmon", "posture", *arguments, "-c", str(config)],
            cwd=REPOSITORY,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        return run.returncode, run.stdout + run.stderr

    said: Sequence[str] = ("--by", "tanaka", "--reason", "a \x1b[31mred sky")
    with worker_of(tmp_path / "worker", server):
        view = view_of(server)
        wait_until(lambda: "yamate" in view.meta().postures, "the worker leads")
        calm = netmon()
        done = netmon("declare", "minato", "disaster", *said, "--for", "6h")
        table, (_, line) = netmon(), netmon("--json")
        wrong = netmon("declare", "minato", "recovering", *said)
        unknown = netmon("declare", "atlantis", "disaster", *said)
        withdrawn, again = netmon("withdraw", "minato"), netmon("withdraw", "minato")

    assert calm[0] == 0
    assert (done[0], done[1].startswith("minato is disaster, declared until ")) == (0, True)
    assert table[0] == 1
    assert "tanaka declares disaster: a \\x1b[31mred sky" in table[1]
    assert json.loads(line.splitlines()[0])["posture"] == "disaster"
    assert wrong == (2, "found recovering; expected disaster, suspected or normal\n")
    assert unknown == (1, "the region has no area 'atlantis'\n")
    assert withdrawn == (0, "minato is disaster\n")
    assert again == (1, "nothing is declared there\n")
