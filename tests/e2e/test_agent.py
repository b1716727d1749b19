"""`netmon agent`, as the person uses it who installs a gateway, or stands before one at night."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from netmon.cli.main import build
from netmon.failover.agent.local import SOCKET_FILE
from netmon.failover.agent.store import PLAN_FILE
from netmon.failover.plan import sign
from tests.integration.harness import REPOSITORY
from tests.unit.failover.gateways import BULK, LIFE, group, plan

LIMIT_S = 20.0


def agent(*words: str) -> Result:
    """`netmon agent` with these words."""
    return CliRunner().invoke(build(["agent"]), ["agent", *words], env={"COLUMNS": "120"})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway that moves nothing, whose plan has two classes; its broker is down."""
    private, public = sign.generate()
    (tmp_path / "failover.pub").write_text(f"{public}\n")
    (tmp_path / "data").mkdir()
    made = plan([group(LIFE, 0), group(BULK, 3)], version=4)
    (tmp_path / "data" / PLAN_FILE).write_bytes(sign.sign(made, sign.private_key(private)))
    file = tmp_path / "agent.yml"
    file.write_text(
        "gateway: gw\ndata_dir: data\nverify_key_file: failover.pub\ndry_run: true\nmqtt: {url: 'mqtt://127.0.0.1:1'}\n"
    )
    return file


def test_what_is_wrong_is_told_before_it_is_started(config: Path) -> None:
    """All of it, with its lines; and what is right, too, for people and for programs."""
    right = agent("-c", str(config), "--check")
    told = json.loads(agent("-c", str(config), "--check", "--json").stdout)
    assert right.stdout == f"{config}: ok. The agent of gw says what it would move, and listens to mqtt://127.0.0.1:1\n"
    assert told == {"ok": True, "gateway": "gw", "warnings": []}
    config.write_text("gateway: gw\nverify_key_file: none.pub\ndryrun: true\n")
    wrong = agent("-c", str(config), "--check")
    assert (wrong.exit_code, wrong.stderr.count(f"{config}:")) == (2, 2)
    assert "dryrun: unknown setting; did you mean dry_run?" in wrong.stderr


def test_the_command_becomes_the_agent_and_answers_whoever_stands_there(config: Path) -> None:
    """One process, with the command's own pid; what it says of itself, what may be asked of it, and what is left when it has gone."""
    data = config.parent / "data"
    command = [sys.executable, "-m", "netmon", "agent", "-c", str(config)]
    running = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not (data / SOCKET_FILE).exists():
            assert time.monotonic() < deadline, "it answers"
            time.sleep(0.02)
        second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        shown = agent("-c", str(config), "status")
        told = json.loads(agent("-c", str(config), "status", "--json").stdout)
        refused = agent("-c", str(config), "force", "life", "copper", "--why", "x", "--by", "sato")
        nameless = agent("-c", str(config), "force", "life", "geo", "--why", " ", "--by", "sato")
        cleared = agent("-c", str(config), "clear", "life", "--why", "x", "--by", "sato")
        running.send_signal(signal.SIGTERM)
        assert running.wait(LIMIT_S) == 0
    finally:
        running.kill()
        running.wait()
    after = agent("status", "--dir", str(data))

    assert (second.returncode, "is in use by the netmon with pid" in second.stderr) == (1, True)
    assert (told["pid"], told["dry_run"], told["reported"]["plan_version"]) == (running.pid, True, 4)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("gw: plan 4, fence 1, 0 refused; centre not heard yet;")
    assert [line.split()[:3] for line in shown.stdout.splitlines() if line.startswith(("life", "bulk"))] == [
        ["life", "fibre", "NR"],
        ["bulk", "fibre", "NR"],
    ]
    assert (refused.exit_code, "it may use fibre, five-g, geo" in refused.stderr) == (2, True)
    assert (nameless.exit_code, nameless.stderr) == (2, "--why: expected 1 to 200 printable letters\n")
    assert (cleared.exit_code, "no forced switch of this gateway is in force for it" in cleared.stderr) == (2, True)
    assert after.exit_code == 3
    assert "no agent runs; this is how it was when it last wrote" in after.stderr
    assert "life" in after.stdout
