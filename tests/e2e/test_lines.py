"""`netmon lines`, `netmon rehearse`, `netmon probe-agent` and `netmon reflector`, as a person uses them who has just come."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner, Result

from netmon.buffer.line_store import LINES, votes_key
from netmon.cli import build
from tests.integration.harness import REPOSITORY, Netmon
from tests.integration.valkey import Valkey, wait_until

ACL = (
    "vantage-east resetkeys ~{netmon:lines}:votes:east ~{netmon:lines}:vantages ~{netmon:lines}:news ~{netmon:lines}:heard "
    "resetchannels -@all +@connection +multi +exec +hset +hdel +hkeys +hlen +hexists +xadd"
)
"""As docs/probing.md has it."""
REGION = """
areas: {a: {code: "131016"}}
carriers: {c: {name: 通信, name_en: Telecom}}
sites: {s: {area: a, latitude: 35, longitude: 139}}
lines:
  coast: {name: 海岸幹線, name_en: Coast trunk, medium: fibre, profile: fast, carrier: c, ends: [s], capacity_bps: 1Gbps}
  ridge: {medium: radio, profile: fast, carrier: c, ends: [s], capacity_bps: 1Mbps, probes: [PROBE]}
"""


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """Rehearses with two lines that are asked 20 times a second."""
    folder = tmp_path_factory.mktemp("netmon")
    (folder / "region.yml").write_text(REGION.replace("PROBE", ""))
    settings = {"region": {"file": "region.yml"}, "probe": {"rehearsal": True}, "alarms": {"enabled": True}}
    with Netmon(folder, settings) as running:
        yield running


def run(netmon: Netmon, *words: str) -> Result:
    """A command on its configuration."""
    return CliRunner().invoke(build(words), [*words, "-c", str(netmon.config_file)])


def lines(netmon: Netmon, *words: str) -> dict[str, dict[str, Any]]:
    """What `netmon lines --json` shows, by ID."""
    shown = run(netmon, "lines", "--json", *words).stdout.splitlines()
    return {line["id"]: line for line in map(json.loads, shown)}


def states(netmon: Netmon) -> dict[str, str]:
    """State of each line, as Redis has it."""
    with netmon.redis() as client:
        told: dict[bytes, bytes] = client.hgetall(LINES)
    return {name.decode(): json.loads(body)["state"] for name, body in told.items()}


def test_a_line_that_is_cut_is_down_and_one_alarm_and_is_mended(netmon: Netmon) -> None:
    """What the README has a newcomer do."""
    netmon.wait_until(lambda: states(netmon) == {"coast": "up", "ridge": "up"}, what="both lines are up")
    well = run(netmon, "lines", "--lang", "en")
    cut = run(netmon, "rehearse", "coast", "--cut")
    netmon.wait_until(lambda: states(netmon) == {"coast": "down", "ridge": "up"}, what="the line is down")
    down = run(netmon, "lines", "--once", "--lang", "en")
    netmon.wait_until(lambda: run(netmon, "alarms", "--json").stdout, what="its alarm stands")
    alarms = run(netmon, "alarms", "--json").stdout.splitlines()
    mended = run(netmon, "rehearse", "--mend")
    netmon.wait_until(lambda: states(netmon)["coast"] != "down", what="the line is back")

    assert (well.exit_code, well.stdout.splitlines()[0]) == (
        0,
        "2 lines: 2 up; vantage: centre live; a rehearsal, not the real lines",
    )
    assert (cut.exit_code, cut.stdout, mended.stdout) == (0, "coast: cut\n", "no line of the rehearsal fails\n")
    assert (down.exit_code, down.stdout.splitlines()[2].split()[:2]) == (1, ["coast", "down"])
    assert "no answer" in down.stdout
    assert [json.loads(alarm)["alarm_type"] for alarm in alarms] == ["line-down"]


def test_filters_choose_and_what_the_region_has_not_is_told(netmon: Netmon) -> None:
    """Exit code 2, each mistake at once."""
    wrong = run(netmon, "lines", "--carrier", "d", "--state", "donw")

    assert set(lines(netmon, "--carrier", "c", "--area", "a")) == {"coast", "ridge"}
    assert (wrong.exit_code, wrong.stderr.splitlines()) == (
        2,
        ["--state: found 'donw'; did you mean down?", "--carrier: found 'd'; expected one of c"],
    )


def test_a_month_without_an_account_is_not_well(netmon: Netmon) -> None:
    """Exit code 1: nothing is known of it."""
    found = run(netmon, "lines", "report", "--month", "2020-01", "--csv")

    assert (found.exit_code, found.stdout.count("\n"), "2020-01" in found.stderr) == (1, 1, True)


def test_the_table_is_drawn_again_on_a_terminal_until_ctrl_c(netmon: Netmon) -> None:
    """Exit code 0: that is how it ends."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "netmon", "lines", "-c", str(netmon.config_file)],
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "LANG": "C.UTF-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = _read_until(ours, lambda text: text.count(b"LINE ") >= 2)
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
    os.close(ours)

    assert (code, b"ridge" in seen, b"\x1b[" in seen) == (0, True, True)


def _read_until(terminal: int, is_enough: Callable[[bytes], bool], timeout_s: float = 20.0) -> bytes:
    seen = b""
    deadline = time.monotonic() + timeout_s
    while not is_enough(seen) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65_536)
    return seen


def test_no_process_asks_where_no_line_says_how(netmon: Netmon) -> None:
    """A region without probes, and no rehearsal: neither a vantage, nor a judge, nor stand-ins."""
    asking = {("probe", None), ("lines", None), ("rehearsal", None)}
    before = set(netmon.pids()) & asking
    netmon.configure({"probe": {"rehearsal": False}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: not set(netmon.pids()) & asking, what="nobody asks")
    shown = run(netmon, "lines")

    assert before == asking
    assert "no line of the region says how it is asked: docs/probing.md" in shown.stderr


@contextmanager
def started(*words: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; killed at the end, if it has not ended."""
    command = [sys.executable, "-m", "netmon", *words]
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def test_an_agent_asks_a_reflector_and_tells_redis(tmp_path: Path) -> None:
    """A vantage and a far end by themselves; SIGHUP reads the region again, SIGTERM ends each."""
    with (
        Valkey(tmp_path / "valkey") as server,
        server.client() as client,
        started("reflector", "--listen", "127.0.0.1:0", "--json", stdout=subprocess.PIPE) as reflector,
    ):
        assert reflector.stdout is not None
        (listening,) = json.loads(reflector.stdout.readline())["listening"]
        region, config = tmp_path / "region.yml", tmp_path / "agent.yml"
        region.write_text(REGION.replace("PROBE", f'{{stamp: "{listening}", interface: lo}}'))
        config.write_text(
            f"vantage: east\ndata_dir: var\nregion: {{file: region.yml}}\nredis: {{url: '{server.url}'}}\n"
        )
        checked = CliRunner().invoke(build(["probe-agent"]), ["probe-agent", "-c", str(config), "--check"])
        with started("probe-agent", "-c", str(config)) as agent:
            wait_until(lambda: said(client, "ridge") == "up", "the agent says that the line is up")
            region.write_text(region.read_text().replace("ridge:", "renamed:"))
            agent.send_signal(signal.SIGHUP)
            wait_until(lambda: said(client, "renamed") == "up", "the agent asks what the region has now")
            for process in (agent, reflector):
                process.send_signal(signal.SIGTERM)
            codes = [process.wait(20) for process in (agent, reflector)]

    assert f"ACL SETUSER {ACL} on >" in (REPOSITORY / "docs" / "probing.md").read_text("utf-8")
    assert checked.stdout == f"{config}: ok. east asks over 1 line(s), with 0 anchor(s)\n"
    assert codes == [0, 0]


def said(client: redis.Redis, line: str) -> str | None:
    """What the vantage says of a line; None: nothing."""
    vote: Any = client.hget(votes_key("east"), line)
    return None if vote is None else str(json.loads(vote)["state"])
