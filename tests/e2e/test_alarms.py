"""`netmon alarms` and what an operator does with them, as a person uses it; without the API, with a worker and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from netmon.alarms.model import Comment, Place, StateChange
from tests.integration.alarms import LINK_UP, Worker, event, fill
from tests.integration.api import NOON, alarm, put
from tests.integration.harness import REPOSITORY
from tests.integration.harness import quick as in_process
from tests.integration.valkey import Valkey, wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    """Of an empty server."""
    client = server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def config(server: Valkey, tmp_path: Path) -> Path:
    """A configuration that names the server."""
    file = tmp_path / "netmon.yml"
    file.write_text(f"data_dir: {tmp_path}\nredis: {{url: '{server.url}'}}\n")
    return file


def environ(lang: str = "C.UTF-8", columns: str = "200") -> dict[str, str]:
    """Of a person with a terminal and a language."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    return {**others, "COLUMNS": columns, "LANG": lang, "TZ": "UTC"}


@pytest.fixture
def run(config: Path) -> Run:
    """Runs a command on that configuration."""

    def run(*arguments: str, **person: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "netmon", *arguments, "-c", str(config)],
            cwd=REPOSITORY,
            env=environ(**person),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def quick(config: Path) -> Run:
    """The same in this process."""

    def quick(*arguments: str, **person: str) -> subprocess.CompletedProcess[str]:
        person_only = {**environ(**person), "LC_ALL": None, "LC_MESSAGES": None}
        return in_process(*arguments, "-c", str(config), environ=person_only)

    return quick


ROOT = alarm(1, severity="critical", root=True, caused=2)


@pytest.fixture
def disaster(client: redis.Redis) -> None:
    """A cause that explains two, one of its own, and what is out of sight."""
    put(client, ROOT, alarm(2, cause=ROOT.id), alarm(3, cause=ROOT.id), alarm(4, severity="minor", flapping=True))
    put(client, alarm(5, operator_state="shelved", operator_by="ito", shelved_until_unix_ns=2**63 - 1))
    put(client, alarm(6, is_cleared=True, cleared_unix_ns=NOON, place=Place(area="yama")))


def test_alarms_are_shown_by_their_causes(disaster: None, run: Run, quick: Run) -> None:
    """Five alarms are two causes, the worst first; with what is explained, with all, in Japanese, of an area."""
    found = run("alarms")
    lines = found.stdout.splitlines()
    assert (found.returncode, lines[0]) == (0, "5 alarms, 2 causes; 1 shelved")
    assert [line.split()[1] for line in lines[2:]] == ["critical", "minor"]
    assert "2  device/r1  Port 1 is down" in lines[2]
    assert "Port 4 is down (flapping)" in lines[3]
    assert found.stderr == "no alarm worker runs: what is shown does not change\n"
    assert [line.split()[0] for line in quick("alarms", "--causes").stdout.splitlines()[3:5]] == [
        alarm(3).id,
        alarm(2).id,
    ]
    everything = run("alarms", "--all").stdout
    assert "shelved by ito until 2262-04-11 23:47:16" in everything
    assert "cleared 2026-01-01 12:00:00" in everything
    assert "device/r1" not in quick("alarms", columns="100").stdout
    assert "ポート1が停止" in quick("alarms", lang="ja_JP.UTF-8").stdout
    assert "ポート1が停止" in quick("alarms", "--lang", "ja").stdout
    assert quick("alarms", "--area", "yama").stdout == "0 alarms, 0 causes\n"
    assert quick("alarms", "--severity", "minor").stdout.splitlines()[0] == "1 alarm, 1 cause"


def test_json_is_that_of_the_api(disaster: None, run: Run) -> None:
    """One object a line, the explained ones too."""
    found = [json.loads(line) for line in run("alarms", "--json").stdout.splitlines()]
    assert [one["resource"] for one in found] == [f"device/r{number}" for number in (1, 5, 3, 2, 4)]
    assert (found[0]["caused"], found[0]["raised_at"]) == (2, "2026-01-01T12:00:01.000000Z")


def test_one_alarm_is_shown_with_its_history(client: redis.Redis, run: Run) -> None:
    """By a part of its ID; what a device or a person wrote obeys nobody."""
    evil = Comment(NOON, "ito\x1b[31m", "look\nout")
    history = (StateChange(NOON, "raised", "major"), StateChange(NOON, "ack", "major", "ito", "on the way"))
    put(client, alarm(1, comments=(evil,), history=history, operator_state="ack", operator_by="ito"))
    found = run("alarms", "show", alarm(1).id[:6])
    assert found.returncode == 0
    assert "history             2026-01-01 12:00:00  ack (major)  ito: on the way" in found.stdout
    assert r"ito\x1b[31m: look\nout" in found.stdout
    assert [one["kind"] for one in json.loads(run("alarms", "show", alarm(1).id, "--json").stdout)["history"]] == [
        "raised",
        "ack",
    ]


def test_what_cannot_be_meant_is_told(disaster: None, quick: Run) -> None:
    """Each with its exit code: 1 there is none, 2 nobody knows what is meant."""
    cases = [
        (("alarms", "show", "zzzzzzzzzzzz"), 1, "there is no such alarm"),
        (("ack", "zzzzzzzzzzzz"), 1, "there is no such alarm"),
        (("alarms", "show", "NO*"), 2, "expected an alarm's ID"),
        (("alarms", "--severity", "bad"), 2, "expected critical, major"),
        (("alarms", "--lang", "fr"), 2, "expected ja or en"),
        (("shelve", ROOT.id, "--reason", "works"), 2, "Expected --for, such as 2h, or --until"),
        (("shelve", ROOT.id, "--reason", "works", "--for", "2h", "--until", "now"), 2, "Expected --for"),
        (("shelve", ROOT.id, "--reason", "works", "--until", "-2h"), 2, "expected 17:00"),
        (("shelve", ROOT.id, "--reason", "works", "--until", "2026-03-01T17:00"), 2, "has passed"),
        (("shelve", ROOT.id, "--reason", "works", "--for", "soon"), 2, "expected a duration"),
        (("shelve", ROOT.id, "--for", "2h"), 2, "--reason"),
    ]
    for arguments, code, text in cases:
        found = quick(*arguments)
        assert (arguments, found.returncode, text in found.stderr) == (arguments, code, True), found.stderr


def test_an_id_that_several_have_is_refused(client: redis.Redis, quick: Run) -> None:
    """Exit code 2, and which they are."""
    client.hset("{netmon:alarms}:state", mapping={"abc1": b"{}", "abc2": b"{}"})
    found = quick("ack", "abc")
    assert (found.returncode, "abc1, abc2" in found.stderr) == (2, True)


def test_an_operator_works_on_an_alarm(
    server: Valkey, client: redis.Redis, run: Run, quick: Run, tmp_path: Path
) -> None:
    """Acknowledged, commented, shelved, brought back, closed; what the state does not allow is exit code 1, in words."""
    fill(client, [event(1)])
    with Worker(tmp_path / "worker", server) as worker:
        worker.wait_done(client)
        alarm_id = json.loads(run("alarms", "--json").stdout)["id"]
        prefix = alarm_id[:8]
        found = run("ack", prefix, "--by", "ito", "--reason", "on the way")
        assert (found.returncode, found.stdout) == (0, f"{alarm_id}: ack. down\n")
        again = quick("unshelve", prefix, "--by", "ito")
        assert (again.returncode, again.stdout != "") == (1, True)
        stale = quick("close", prefix, "--version", "1")
        assert (stale.returncode, "has changed" in stale.stdout) == (1, True)
        assert quick("comment", prefix, "--text", "行ってきます").returncode == 0
        shelved = quick("shelve", prefix, "--for", "2h", "--reason", "works", "--json")
        operator = json.loads(shelved.stdout)["alarm"]["operator"]
        assert (operator["state"], operator["reason"], operator["by"] != "") == ("shelved", "works", True)
        assert quick("alarms").stdout == "1 alarm, 0 causes; 1 shelved\n"
        assert quick("unshelve", prefix, "--by", "ito").stdout == f"{alarm_id}: in sight, nobody works on it. down\n"
        assert quick("close", prefix, "--by", "ito").returncode == 0
        assert quick("alarms").stdout == "0 alarms, 0 causes\n"


def test_changes_are_followed(server: Valkey, client: redis.Redis, config: Path, tmp_path: Path) -> None:
    """What is raised and cleared, as it happens, until somebody ends it."""
    output = tmp_path / "follow.out"
    command = [sys.executable, "-m", "netmon", "alarms", "--follow", "-c", str(config)]
    with Worker(tmp_path / "worker", server) as worker, output.open("wb") as file:
        wait_until(lambda: worker.state() == "leading", "it leads")
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environ(), stdout=file, stderr=file)
        try:
            wait_until(lambda: "0 alarms" in output.read_text("utf-8"), "it follows")
            fill(client, [event(1)])
            wait_until(lambda: "raised     major" in output.read_text("utf-8"), "it is raised")
            fill(client, [event(2, trap_oid=LINK_UP)])
            wait_until(lambda: "cleared    major" in output.read_text("utf-8"), "it is cleared")
            process.terminate()
        finally:
            process.kill()
            process.wait()


def test_without_redis_it_says_so(tmp_path: Path) -> None:
    """Exit code 3, and the cure."""
    file = tmp_path / "netmon.yml"
    file.write_text(f"data_dir: {tmp_path}\n")
    command = [sys.executable, "-m", "netmon", "alarms", "-c", str(file)]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert (found.returncode, "Is netmon running" in found.stderr) == (3, True)
