"""The alarms of a real worker in a real cluster of two Alertmanagers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
import redis

from netmon.alarms.model import Command
from netmon.buffer.alarm_store import STREAM, AlarmView
from netmon.model import RedisSettings
from netmon.northbound.report import REPORT_FILE, NorthboundReport
from netmon.northbound.settings import AlertmanagerSettings, NorthboundSettings
from tests.integration.alarms import LINK_UP, Worker, event, fill, stored
from tests.integration.harness import REPOSITORY
from tests.integration.monitoring import Alertmanager
from tests.integration.valkey import Valkey, wait_until

RESEND_S = 1.0
PORT_1, PORT_2 = (f"source/192.0.2.1/interface/{port}" for port in (1, 2))


class Northbound:
    """One `python -m netmon.northbound`. As a context manager it starts, and ends."""

    def __init__(self, folder: Path, server: Valkey, urls: list[str], **settings: Any) -> None:
        self.folder = folder
        alertmanager = AlertmanagerSettings(
            urls=tuple(urls),
            resend_s=RESEND_S,
            resolved_s=3.0,
            silence_poll_s=0.5,
            acks_from_silences=True,
            timeout_s=2.0,
            language="en",
            **settings,
        )
        redis_settings = RedisSettings(url=server.url)
        self._settings = NorthboundSettings(redis=redis_settings, directory=str(folder), alertmanager=alertmanager)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Starts it."""
        with (self.folder / "northbound.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "netmon.northbound"], cwd=REPOSITORY, stdin=subprocess.PIPE, stderr=output
            )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(self._settings))
        self._process.stdin.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        assert self.stop(signal.SIGKILL if error else signal.SIGTERM) in ({-9} if error else {0})
        if error is not None:
            error.add_note((self.folder / "northbound.log").read_text("utf-8", "replace")[-4_000:])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; returns the exit code."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)
        return self._process.wait(10)

    def loads(self) -> int:
        """How often it has read the list."""
        return (self.folder / "northbound.log").read_text("utf-8", "replace").count("northbound.list_loaded")

    def report(self) -> NorthboundReport:
        """What it last told of itself."""
        return msgspec.json.decode((self.folder / REPORT_FILE).read_bytes(), type=NorthboundReport)


@pytest.fixture
def members(tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[list[Alertmanager]]:
    """A cluster of two."""
    program = require_tool("prometheus-alertmanager")
    with Alertmanager(tmp_path / "am-0", program) as first, Alertmanager(tmp_path / "am-1", program, first) as second:
        yield [first, second]


def firing(members: list[Alertmanager]) -> list[set[str]]:
    """Resources of the alerts that fire, member by member."""
    return [set(member.alerts()) for member in members]


def is_silenced(members: list[Alertmanager], resource: str) -> list[bool]:
    """Whether an alert is silenced, member by member."""
    return [bool(member.alerts().get(resource, {}).get("status", {}).get("silencedBy")) for member in members]


def command(view: AlarmView, kind: Any, alarm_id: str) -> str:
    """Has the worker do something; returns what became of it."""
    one = Command(id=f"{kind}-{time.time_ns()}", kind=kind, alarm_id=alarm_id, by="hanako", text="on my way")
    result = view.ask(one, 10.0)
    return "" if result is None else result.outcome


def test_alarms_reach_every_member_whatever_restarts(
    tmp_path: Path, server: Valkey, client: redis.Redis, members: list[Alertmanager]
) -> None:
    """Raised, told again to a member that was killed, told by a netmon that was killed, cleared: both members agree each time."""
    urls = [member.url for member in members]
    with Worker(tmp_path, server) as worker, Northbound(tmp_path, server, urls) as northbound:
        fill(client, [event(1, port=1), event(2, port=2)])
        wait_until(lambda: firing(members) == [{PORT_1, PORT_2}] * 2, "both members have both alarms")
        labels = members[0].alerts()[PORT_1]["labels"]
        assert labels == {
            "alertname": "LinkDown",
            "severity": "critical",
            "alarm_id": stored(client)[PORT_1].id,
            "resource": PORT_1,
            "source": "netmon",
        }

        members[1].kill()
        fill(client, [event(3, port=1, trap_oid=LINK_UP)])
        wait_until(lambda: firing(members[:1]) == [{PORT_2}], "the other one is told meanwhile")
        wait_until(lambda: northbound.report().sinks["alertmanager"].members[1].queue_entries > 0, "its news wait")
        members[1].start()
        wait_until(lambda: firing(members) == [{PORT_2}] * 2, "what stands is told to who has forgotten it")
        northbound.stop(signal.SIGKILL)
        fill(client, [event(4, port=2, trap_oid=LINK_UP), event(5, port=1)])
        worker.wait_done(client)
        northbound.start()
        wait_until(lambda: firing(members) == [{PORT_1}] * 2, "a new netmon tells what stands, and what has ended")
        wait_until(lambda: northbound.report().sinks["alertmanager"].alerts == 1, "it says so")


def test_acknowledged_is_silenced_and_silenced_is_acknowledged(
    tmp_path: Path, server: Valkey, client: redis.Redis, members: list[Alertmanager]
) -> None:
    """An ack here is a silence there with its name and reason; un-acked it ends; a silence made there is an ack here."""
    urls = [member.url for member in members]
    with (
        Worker(tmp_path, server),
        Northbound(tmp_path, server, urls),
        closing(AlarmView(RedisSettings(url=server.url))) as view,
    ):
        fill(client, [event(1, port=1)])
        wait_until(lambda: firing(members) == [{PORT_1}] * 2, "both members have the alarm")
        alarm_id = stored(client)[PORT_1].id

        assert command(view, "ack", alarm_id) == "done"
        wait_until(lambda: is_silenced(members, PORT_1) == [True, True], "it is silent in both")
        (silence,) = members[0].silences()[:1]
        assert (silence["createdBy"], silence["comment"]) == ("hanako (netmon)", "on my way")
        assert [(m["name"], m["value"], m["isRegex"]) for m in silence["matchers"]] == [("alarm_id", alarm_id, False)]

        assert command(view, "unack", alarm_id) == "done"
        wait_until(lambda: is_silenced(members, PORT_1) == [False, False], "it is heard again")

        now = datetime.now(UTC)
        theirs = {
            "matchers": [{"name": "alarm_id", "value": alarm_id, "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "taro",
            "comment": "known",
        }
        members[1].ask("/api/v2/silences", theirs)
        wait_until(lambda: stored(client)[PORT_1].operator_state == "ack", "it is acknowledged here")
        alarm = stored(client)[PORT_1]
        assert (alarm.operator_by, alarm.operator_reason) == ("taro", "known")


def test_the_list_is_read_once_while_nothing_happens(tmp_path: Path, server: Valkey, client: redis.Redis) -> None:
    """A region without alarms is not read again and again; a list that is void is read anew."""
    with Northbound(tmp_path, server, ["http://127.0.0.1:1"]) as northbound:
        wait_until(lambda: northbound.loads() == 1, "it has read the list")
        time.sleep(2.5)
        assert northbound.loads() == 1
        client.xadd(STREAM, {"reset": b'{"unix_ns":1,"fence":2}'})
        wait_until(lambda: northbound.loads() == 2, "it has read the list anew")
