"""The API on a real Valkey: what it shows is what Redis has, however that changes, and whoever asks for what."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
from pathlib import Path

import msgspec
import pytest
import redis

from netmon.active_probe.model import LineStatus, Vote
from netmon.alarms.model import Key, Place, Text, alarm_id
from netmon.buffer.alarm_store import COMMANDS, META, STATE, STREAM
from netmon.buffer.line_store import LINES
from netmon.inventory.model import Area, Inventory, Line, Site
from tests.integration.alarms import Worker, event, fill
from tests.integration.api import NOON, ApiServer, Listener, alarm, ids, lead, put, tell
from tests.integration.harness import Netmon, free_port
from tests.integration.valkey import Valkey, wait_until


@pytest.fixture
def api(server: Valkey, client: redis.Redis, tmp_path: Path) -> ApiServer:
    """An API, not started yet."""
    return ApiServer(tmp_path, server)


def test_what_redis_has_is_shown_and_what_changes_follows(api: ApiServer, client: redis.Redis) -> None:
    """Loaded, raised, cleared, purged; and a change that is older than what is known changes nothing."""
    put(client, alarm(1, version=3), alarm(2))
    with api:
        assert api.resources() == ["device/r2", "device/r1"]
        tell(client, alarm(3, severity="critical"), kind="raised")
        tell(client, alarm(1, version=2, is_cleared=True))
        tell(client, alarm(2, version=2, is_cleared=True), kind="cleared")
        wait_until(lambda: api.resources() == ["device/r3", "device/r1"], "it follows")
        assert api.resources(state="cleared") == ["device/r2"]
        assert api.resources(state="all", sort="newest") == ["device/r3", "device/r2", "device/r1"]
        tell(client, alarm(2, version=3), kind="purged")
        wait_until(lambda: api.resources(state="all") == ["device/r3", "device/r1"], "it is gone")


def test_filters_find_what_they_name(api: ApiServer, client: redis.Redis) -> None:
    """Each filter by itself, and two together."""
    place = Place(area="yama", site="mast", line="to-mast", device="r2", sectors=("sirens",))
    put(
        client,
        alarm(1),
        alarm(2, place=place, severity="minor", alarm_type="cold-start", flapping=True),
        alarm(3, cause=alarm(1).id, operator_state="ack", text=Text("Mast fell", "鉄塔")),
    )
    first, second, third = "device/r1", "device/r2", "device/r3"
    cases = {
        "severity": {"minor": [second], "minor,major": [third, first, second]},
        "area": {"yama": [second], "nowhere": []},
        "site": {"mast": [second]},
        "line": {"to-mast": [second]},
        "device": {"r2": [second]},
        "sector": {"sirens": [second]},
        "type": {"cold-start": [second]},
        "flapping": {"true": [second], "false": [third, first]},
        "operator_state": {"ack": [third], "none": [first, second]},
        "cause": {alarm(1).id: [third]},
        "roots_only": {"true": [first, second]},
        "q": {"mast FELL": [third], "鉄塔": [third], "r2 COLD": [second]},
    }
    with api:
        for name, values in cases.items():
            for value, expected in values.items():
                assert (name, value, api.resources(**{name: value})) == (name, value, expected)
        assert api.resources(area="hama", operator_state="none") == [first]


def test_paging_meets_everything_once_when_nothing_changes(api: ApiServer, client: redis.Redis) -> None:
    """With pages of seven, by index and in the order of all."""
    put(client, *(alarm(number, severity="minor" if number % 3 else "critical") for number in range(100)))
    everything = {f"device/r{number}" for number in range(100)}
    with api:
        for parameters in ({}, {"sort": "newest"}, {"area": "hama"}, {"state": "all"}):
            pages = list(api.walk(limit=7, **parameters))
            found = [one["resource"] for page in pages for one in page]
            assert (len(found), set(found)) == (100, everything)
            assert {len(page) for page in pages[:-1]} == {7}


def test_a_cursor_is_good_for_its_own_list_alone(api: ApiServer, client: redis.Redis) -> None:
    """With other parameters it is a mistake; after the list was loaded anew it is gone."""
    put(client, *(alarm(number) for number in range(5)))
    tell(client, alarm(5), kind="raised")
    with api:
        cursor = api.get("/alarms", limit=2).json["next_cursor"]
        assert api.get("/alarms", limit=3, cursor=cursor).status == 200
        assert api.get("/alarms", limit=2, cursor=cursor, area="hama").wrong == ["parameter cursor"]
        client.xadd(STREAM, {"reset": b'{"unix_ns":1,"fence":2}'})
        wait_until(lambda: len(api.events("mirror.list_loaded")) == 2, "it is loaded anew")
        assert api.get("/alarms", limit=2, cursor=cursor).code == (410, "cursor_gone")


def test_one_alarm_has_its_newest_counts_and_its_version(api: ApiServer, client: redis.Redis) -> None:
    """Repeats make no change, so what is shown of one comes from Redis itself."""
    put(client, alarm(1, version=7))
    with api:
        put(client, alarm(1, version=7, notifications=500))
        found = api.get(f"/alarms/{alarm(1).id}")
        assert (found.headers["etag"], found.json["notifications"]) == ('"7"', 500)
        assert found.json["raised_at"] == "2026-01-01T12:00:01.000000Z"
        history = api.get(f"/alarms/{alarm(1).id}/history").json["history"]
        expected = {
            "at": "2026-01-01T12:00:01.000000Z",
            "kind": "raised",
            "severity": "major",
            "by": None,
            "text": None,
        }
        assert history == [expected]
        assert api.get("/alarms/0123456789ab").code == (404, "not_found")
        assert api.get("/alarms/no%00such").code == (404, "not_found")


def test_causes_and_summary_count(api: ApiServer, client: redis.Redis) -> None:
    """Three alarms, one cause; a shelved one is nobody's cause for concern."""
    root = alarm(1, root=True, caused=2, severity="critical")
    explained = [alarm(number, cause=root.id) for number in (2, 3)]
    put(client, root, *explained, alarm(4, operator_state="shelved"), alarm(5, is_cleared=True))
    with api:
        found = api.get("/causes").json
        assert [(one["explains"], one["alarm"]["resource"]) for one in found["causes"]] == [(2, "device/r1")]
        assert (found["active"], found["explained"], found["next_cursor"]) == (4, 2, None)
        summary = api.get("/alarms/summary").json
        assert (summary["alarms"], summary["shelved"], summary["explained"]) == (5, 1, 2)
        assert (summary["active"]["major"], summary["annunciated"]) == (
            3,
            {"critical": 1, "major": 0, "minor": 0, "warning": 0, "indeterminate": 0},
        )
        assert [area["area"] for area in summary["areas"]] == ["hama"]


def test_the_worker_carries_out_what_the_api_asks(
    api: ApiServer, server: Valkey, client: redis.Redis, tmp_path: Path
) -> None:
    """Each command with its answer; a version that has changed is 412, what cannot be is 409."""
    fill(client, [event(1)])
    name = alarm_id(Key("source/192.0.2.1/interface/1", "link-down"))
    path = f"/alarms/{name}"
    with Worker(tmp_path / "worker", server) as worker, api:
        worker.wait_done(client)
        wait_until(lambda: api.resources() == ["source/192.0.2.1/interface/1"], "it is raised")
        tag = api.get(path).headers["etag"]
        done = api.post(f"{path}/ack", {"by": "ito", "reason": "on the way"}, If_Match=tag)
        assert (done.status, done.json["outcome"]) == (200, "done")
        operator = done.json["alarm"]["operator"]
        assert (operator["state"], operator["by"], operator["reason"]) == ("ack", "ito", "on the way")
        assert api.get(f"/commands/{done.json['command_id']}").json == done.json
        assert api.post(f"{path}/ack", {"by": "ito"}, If_Match=tag).code == (412, "version_changed")
        assert api.post(f"{path}/unshelve", {"by": "ito"}).code == (409, "not_possible")
        assert api.post(f"{path}/comment", {"by": "ito", "text": "行ってきます"}).status == 200
        assert api.post(f"{path}/shelve", {"by": "ito", "reason": "works", "for_s": 600}).status == 200
        assert api.get(path).json["operator"]["shelved_until"] is not None
        assert api.post(f"{path}/unshelve", {"by": "ito"}).status == 200
        assert api.post(f"{path}/close", {"by": "ito", "reason": "scrapped"}).status == 200
        wait_until(lambda: api.resources() == [], "it is closed")
        assert [comment["text"] for comment in api.get(path).json["comments"]] == ["行ってきます"]
        assert api.post("/alarms/0123456789ab/ack", {"by": "ito"}).code == (404, "not_found")


def test_without_a_worker_a_wish_is_written_down(api: ApiServer, client: redis.Redis) -> None:
    """202, and where to ask later; nothing is claimed to be done."""
    put(client, alarm(1))
    with api:
        found = api.post(f"/alarms/{alarm(1).id}/ack", {"by": "ito"})
        assert (found.status, found.json["outcome"], found.json["alarm"]) == (202, "pending", None)
        assert found.headers["location"] == f"/api/v1/commands/{found.json['command_id']}"
        assert client.xlen(COMMANDS) == 1
        assert api.get(f"/commands/{found.json['command_id']}").code == (404, "not_found")
        assert api.get("/healthz").json["has_worker"] is False
        lead(client)
        wait_until(lambda: api.get("/healthz").json["has_worker"], "it notices a worker")


def test_reads_survive_redis_and_writes_say_so(server: Valkey, tmp_path: Path) -> None:
    """Killed: lists and single alarms are still served, as old as they say; a wish is 503. Back and empty: loaded anew."""
    with Valkey(tmp_path / "own") as own, ApiServer(tmp_path, own) as api:
        with own.client() as client:
            tell(client, alarm(1), alarm(2), kind="raised")
        wait_until(lambda: len(api.resources()) == 2, "both are there")
        own.kill()
        path = f"/alarms/{alarm(1).id}"
        assert len(api.resources()) == 2
        assert api.get(path).json["resource"] == "device/r1"
        assert api.post(f"{path}/ack", {"by": "ito"}).code == (503, "unavailable")
        with own, own.client() as client:
            tell(client, alarm(3), kind="raised")
            wait_until(lambda: api.resources() == ["device/r3"], "it is loaded anew")


def test_a_stream_that_was_emptied_is_noticed(api: ApiServer, client: redis.Redis) -> None:
    """FLUSHALL while it follows: the list is loaded anew, by itself."""
    tell(client, alarm(1), kind="raised")
    with api:
        assert api.resources() == ["device/r1"]
        client.flushall()
        put(client, alarm(2))
        wait_until(lambda: api.resources() == ["device/r2"], "it is loaded anew")


def test_whoever_stood_still_while_the_stream_was_trimmed_loads_anew(api: ApiServer, client: redis.Redis) -> None:
    """SIGSTOP; the change that it has not read is gone from the stream, and only the list has it."""
    tell(client, alarm(1), kind="raised")
    with api:
        assert api.process is not None
        wait_until(lambda: api.resources() == ["device/r1"], "it follows")
        api.process.send_signal(signal.SIGSTOP)
        for number in (2, 3, 4):
            tell(client, alarm(number), kind="raised")
        client.xtrim(STREAM, maxlen=1, approximate=False)
        api.process.send_signal(signal.SIGCONT)
        wait_until(lambda: len(api.resources()) == 4, "it has all of them")


def test_events_tell_changes_and_resume_where_a_client_was(api: ApiServer, client: redis.Redis) -> None:
    """Live; then what was missed, once and in order, by header and by parameter."""
    with api:
        with Listener(api) as listener:
            told = tell(client, alarm(1), alarm(2), kind="raised")
            events = listener.take(2)
            assert ids(events) == told
            assert [(name, data["kind"], data["alarm"]["resource"]) for name, _, data in events] == [
                ("change", "raised", "device/r1"),
                ("change", "raised", "device/r2"),
            ]
        missed = tell(client, *(alarm(number) for number in range(3, 1_203)), kind="raised")
        wait_until(lambda: api.get("/healthz").json["stream_id"] == missed[-1], "it has them")
        with Listener(api, last_event_id=told[-1]) as listener:
            assert ids(listener.take(len(missed))) == missed
            live = tell(client, alarm(1, version=2))
            assert ids(listener.take(1)) == live
        with Listener(api, after=missed[-2]) as listener:
            assert ids(listener.take(2)) == [missed[-1], *live]


def test_a_client_that_was_away_for_too_long_reads_the_list_again(api: ApiServer, client: redis.Redis) -> None:
    """What it knew last is trimmed, was never there, or too much has come since."""
    known = tell(client, *(alarm(number) for number in range(10)), kind="raised")
    with api:
        client.xtrim(STREAM, maxlen=5, approximate=False)
        for after in (known[0], "9999999999999-0", "0-0"):
            with Listener(api, after=after) as listener:
                assert listener.next() == ("reset", known[-1], {"reason": "missed"})


def test_a_slow_client_keeps_nobody_waiting_and_is_reset(api: ApiServer, client: redis.Redis) -> None:
    """It takes nothing while thousands of changes come; others have them all, and when it reads again it is told to begin anew."""
    texts = Text("x" * 500, "x" * 500)
    with api, Listener(api) as fast, Listener(api) as slow:
        for _ in range(6):
            told = tell(client, *(alarm(number, text=texts) for number in range(3_000)))
            assert ids(fast.take(3_000)) == told
            assert api.get("/alarms", limit=1).status == 200
        resets = []
        while not resets or resets[-1][1] != told[-1]:
            event_ = slow.next()
            resets += [event_] if event_[0] == "reset" or event_[1] == told[-1] else []
        assert ("reset", {"reason": "slow"}) in [(name, data) for name, _, data in resets]


def test_too_many_listeners_are_refused(api: ApiServer, client: redis.Redis) -> None:
    """The 65th is told to come again; when one leaves there is room."""
    with api, contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(Listener(api)) for _ in range(64)]
        refused = api.get("/events")
        assert (refused.code, refused.headers["retry-after"]) == ((503, "too_many"), "1")
        listeners[0].__exit__()
        tell(client, alarm(1))  # whoever has gone is noticed when something is written
        wait_until(lambda: api.get("/healthz").json["clients"] < 64, "there is room")


def test_postures_of_all_areas_are_shown(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Those that nobody has spoken of are normal; a declaration without a worker waits."""
    region = Inventory(areas=(Area(id="hama", name="浜町", code="302015"), Area(id="yama", name="山町", code="302023")))
    declared = {"posture": "disaster", "by": "mayor", "reason": "津波", "unix_ns": NOON}
    posture = {"area": "hama", "posture": "disaster", "since_unix_ns": NOON, "declaration": declared}
    client.hset(META, "posture:hama", json.dumps(posture))
    with ApiServer(tmp_path, server, inventory=region) as api:
        shown = {one["area"]: one for one in api.get("/postures").json["postures"]}
        assert {area: one["posture"] for area, one in shown.items()} == {"hama": "disaster", "yama": "normal"}
        assert shown["hama"]["declaration"]["reason"] == "津波"
        now = {**posture, "posture": "recovering"}
        client.xadd(STREAM, {"posture": json.dumps({"unix_ns": NOON, "before": "disaster", "now": now})})
        wait_until(lambda: api.get("/postures").json["postures"][0]["posture"] == "recovering", "it follows")
        assert api.post("/areas/nowhere/posture", {"posture": None, "by": "ito"}).code == (404, "not_found")
        wish = {"posture": "disaster", "by": "ito", "reason": "津波", "for_s": 3_600}
        assert api.post("/areas/yama/posture", wish).status == 202
        assert api.post("/areas/yama/posture", {"posture": None, "by": "ito"}).status == 202
        assert client.xlen(COMMANDS) == 2


def test_a_stopped_redis_makes_the_data_stale_and_nobody_hang(server: Valkey, tmp_path: Path) -> None:
    """SIGSTOP: reads go on, health says stale, a wish is refused in time."""
    with Valkey(tmp_path / "own") as own, own.client() as client:
        tell(client, alarm(1), kind="raised")
        with ApiServer(tmp_path, own) as api:
            assert own._process is not None
            own._process.send_signal(signal.SIGSTOP)
            try:
                assert api.post(f"/alarms/{alarm(1).id}/ack", {"by": "ito"}).code == (503, "unavailable")
                assert api.resources() == ["device/r1"]
                wait_until(lambda: api.get("/healthz").json["status"] == "stale", "it says so")
            finally:
                own._process.send_signal(signal.SIGCONT)


def test_what_is_no_alarm_is_left_out(api: ApiServer, client: redis.Redis) -> None:
    """Foreign fields in the hash and the stream cost nothing but themselves."""
    put(client, alarm(1))
    client.hset(STATE, "foreign", b"{}")
    with api:
        client.xadd(STREAM, {"change": b"nonsense"})
        client.xadd(STREAM, {"other": b"1"})
        tell(client, alarm(2), kind="raised")
        wait_until(lambda: api.resources() == ["device/r2", "device/r1"], "it goes on")


def test_what_is_no_http_does_no_harm(api: ApiServer) -> None:
    """Noise is refused, and the next request is served."""
    with api:
        with socket.create_connection(("127.0.0.1", api.port), timeout=5) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00noise\r\n\r\n")
            assert b"400" in sock.recv(4_096)
        assert api.get("/alarms").status == 200


def test_terminated_it_ends_well(api: ApiServer) -> None:
    """SIGTERM, also while somebody listens: exit code 0."""
    with api, Listener(api):
        assert api.process is not None
        api.process.terminate()
        assert api.process.wait(10) == 0


def test_open_to_others_without_a_token_it_does_not_start(server: Valkey, tmp_path: Path) -> None:
    """Whatever told it so."""
    api = ApiServer(tmp_path, server, listen="0.0.0.0:0")
    api.start()
    assert api.process is not None
    assert api.process.wait(10) == 2
    assert "token" in api.events("api.start_failed")[0]["reason"]


def test_a_whole_netmon_shows_what_a_trap_means(tmp_path: Path) -> None:
    """From the wire to the API; after a kill of the API it is back by itself, and the others have noticed nothing."""
    port = free_port(socket.SOCK_STREAM)
    settings = {"api": {"enabled": True, "listen": f"127.0.0.1:{port}"}, "alarms": {"enabled": True}}
    with Netmon(tmp_path, settings) as netmon:

        def resources() -> list[str]:
            with (
                contextlib.suppress(OSError),
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as asked,
            ):
                asked.request("GET", "/api/v1/alarms")
                return [one["resource"] for one in json.loads(asked.getresponse().read()).get("alarms", [])]
            return []

        netmon.send([netmon.trap(1)])
        netmon.wait_until(lambda: len(resources()) == 1, what="the alarm is shown")
        former = netmon.pid("api", None)
        os.kill(former, signal.SIGKILL)
        netmon.wait_until(lambda: netmon.pids().get(("api", None), former) != former, what="it is started again")
        netmon.wait_until(lambda: len(resources()) == 1, what="the alarm is shown again")


def test_sizes_are_bounded(api: ApiServer, client: redis.Redis) -> None:
    """An alarm is never asked to be larger than what a page of them may be."""
    put(client, *(alarm(number) for number in range(600)))
    with api:
        assert len(api.get("/alarms", limit=500).json["alarms"]) == 500
        assert api.get("/alarms", limit=501).wrong == ["parameter limit"]
        assert msgspec.json.decode(api.get("/alarms").body)["next_cursor"] is not None


def test_lines_are_shown_as_they_were_judged(server: Valkey, client: redis.Redis, tmp_path: Path) -> None:
    """Page by page; one with the votes behind it; and who probes."""
    names = ("a", "b", "c")
    region = Inventory(
        areas=(Area(id="hama", name="浜", code="042986"),),
        sites=(Site(id="hall", name="役場", area_id="hama", longitude=0.0, latitude=0.0),),
        lines=tuple(
            Line(id=name, name=name, medium="fibre", carrier_id="x", endpoint_site_ids=("hall",), capacity_bps=1)
            for name in (*names, "not-probed")
        ),
    )
    for name, state in zip(names, ("up", "down", "up"), strict=True):
        vote = Vote(line_id=name, vantage_id="centre", state=state, since_unix_ns=NOON, unix_ns=NOON)
        found = LineStatus(line_id=name, state=state, since_unix_ns=NOON, unix_ns=NOON, votes=(vote,), vantages_live=1)
        client.hset(LINES, name, msgspec.json.encode(found))
    with ApiServer(tmp_path, server, inventory=region) as api:
        first = api.get("/lines", limit=2).json
        second = api.get("/lines", limit=2, cursor=first["next_cursor"]).json
        assert [line["id"] for line in (*first["lines"], *second["lines"])] == list(names)
        assert (first["counts"]["up"], first["has_judge"], second["next_cursor"]) == (2, False, None)
        assert [line["id"] for line in api.get("/lines", state="down,degraded").json["lines"]] == ["b"]
        assert [vote["vantage"] for vote in api.get("/lines/b").json["votes"]] == ["centre"]
        assert (api.get("/lines/not-probed").json["line"]["state"], api.get("/lines/x").status) == ("unknown", 404)
        assert api.get("/vantages").json == {"vantages": []}
