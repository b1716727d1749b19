"""The command line as a person uses it: real commands, real exit codes, and the lines that netmon tells people to type."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from netmon.cli import build
from netmon.trap_receiver.ledger import DECODE_FIELDS, DECODE_STATE
from netmon.trap_receiver.state import StatePage
from tests.integration.harness import REPOSITORY, Netmon, free_port
from tests.integration.valkey import Valkey

APP = build()
GROUPS = {str(group.typer_instance.info.name) for group in APP.registered_groups if group.typer_instance}
COMMANDS = sorted(
    GROUPS
    | {
        command.name or getattr(command.callback, "__name__", "")
        for command in APP.registered_commands
        if not command.hidden
    }
)
WITHOUT_CONFIGURATION = GROUPS | {"canary", "probe-agent", "reflector"}
"""The commands of a group have their own options; a canary is sent, lines are asked and questions answered from any host."""
SHOWN_WITHIN_S = 3.0
"""The promise is one second; a loaded machine may take longer."""


@pytest.fixture
def netmon(tmp_path: Path) -> Iterator[Netmon]:
    """A running netmon."""
    with Netmon(tmp_path) as running:
        yield running


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a `netmon` command from the repository's folder."""
    return subprocess.run(
        [sys.executable, "-m", "netmon", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "200", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Follower:
    """`netmon traps --follow`, or another command, in the background, its output in a file."""

    def __init__(self, netmon: Netmon, *options: str, command: str = "traps") -> None:
        """Start it; it has shown nothing yet."""
        self._netmon = netmon
        self._output = netmon.folder / "follow.out"
        with self._output.open("wb") as output:
            arguments = [command, "--follow", *options, "-c", str(netmon.config_file)]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "netmon", *arguments], cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def lines(self) -> list[str]:
        """What it has shown, whole lines only."""
        return self._output.read_text("utf-8").splitlines()

    def wait_shown(self, text: str, timeout_s: float = SHOWN_WITHIN_S) -> float:
        """Until a line holds the text; returns after how many seconds."""
        begun = time.monotonic()
        self._netmon.wait_until(lambda: any(text in line for line in self.lines()), timeout_s, f"{text!r} is shown")
        return time.monotonic() - begun


def test_help_names_every_command_and_every_command_has_help() -> None:
    """Nobody has to guess."""
    found = command("--help")
    assert (found.returncode, found.stderr) == (0, "")
    listed = re.findall(r"^  ([\w-]+)  +\S", found.stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == COMMANDS
    assert {"run", "receive", "check", "traps", "ledger"} <= set(listed)
    roles = {"capture", "commit", "decode", "late"}
    assert (roles & set(listed), roles <= set(re.findall(r"\w+", found.stdout))) == (set(), True)
    for name in [*listed, *roles]:
        own = CliRunner().invoke(build([name]), [name, "--help"], env={"COLUMNS": "200"})
        assert own.exit_code == 0
        assert ("Commands:" in own.stdout) == (name in GROUPS)
        if name not in WITHOUT_CONFIGURATION:
            assert "--config" in own.stdout
            assert "$NETMON_CONFIG" in own.stdout
    unknown = command("alarm")
    assert (unknown.returncode, "Did you mean 'alarms'" in unknown.stderr) == (2, True)


def test_version_is_told() -> None:
    """For bug reports."""
    found = command("--version")
    assert (found.returncode, bool(re.fullmatch(r"netmon \d+\.\d+\S*\n", found.stdout))) == (0, True)


def test_check_accepts_the_shipped_configuration_and_says_what_it_means() -> None:
    """Exit code 0, by option and by environment."""
    file = "config/netmon.yml"
    by_option, by_environment = command("check", "-c", file), command("check", NETMON_CONFIG=file)
    assert (by_option.returncode, by_option.stdout) == (0, by_environment.stdout)
    assert f"{file}: ok. trap1 listens on [::]:1162" in by_option.stdout
    assert json.loads(command("check", "--json", "-c", file).stdout)["valid"] is True


def test_check_tells_every_mistake_at_once(tmp_path: Path) -> None:
    """Exit code 2; each line has the file, the setting, what was found and what was expected."""
    file = tmp_path / "netmon.yml"
    file.write_text("receiver:\n  name: Not Good\n  listen: [nowhere]\njournal: {sync_interval_ms: 0}\nsurprise: 1\n")
    found = command("check", "-c", str(file))
    assert (found.returncode, found.stdout) == (2, "")
    mistakes = [line for line in found.stderr.splitlines() if line.startswith(str(file))]
    settings = ("receiver.name", "receiver.listen", "journal.sync_interval_ms", "surprise")
    assert [sum(setting in line for line in mistakes) for setting in settings] == [1, 1, 1, 1]
    assert "'nowhere'; expected IP-ADDRESS:PORT" in found.stderr
    assert command("run", "-c", str(file)).returncode == 2
    assert command("check", "-c", str(tmp_path / "missing.yml")).returncode == 2


def test_traps_as_json_are_what_the_stream_holds(netmon: Netmon) -> None:
    """One object a line, the newest ten or as many as are asked for, oldest first."""
    netmon.send(map(netmon.trap, range(1, 31)))
    netmon.wait_settled(captured=30)
    entries = netmon.entries()
    shown = [json.loads(line) for line in netmon.command_line("traps", "--json").stdout.splitlines()]
    assert [trap["id"] for trap in shown] == [entry_id for entry_id, _ in entries[-10:]]
    assert {trap["stream"] for trap in shown} == {netmon.key()}
    assert [trap["varbinds"][0]["value"] for trap in shown] == list(range(21, 31))
    every = netmon.command_line("traps", "--json", "-n", "100")
    assert (every.returncode, len(every.stdout.splitlines())) == (0, 30)
    lines = netmon.command_line("traps", "-n", "2").stdout.splitlines()
    assert [line.split("  ")[-1].rpartition("=")[2] for line in lines] == ["29", "30"]
    assert all("127.0.0.1" in line and "linkDown" in line for line in lines)


def test_following_shows_a_new_trap_at_once_and_survives_a_restart_of_valkey(netmon: Netmon) -> None:
    """Who watches goes on where he was: nothing is shown twice, nothing is left out."""
    netmon.send([netmon.trap(1)])
    with Follower(netmon, "--json") as follower:
        follower.wait_shown('"value":1}', 15)
        netmon.send([netmon.trap(2)])
        follower.wait_shown('"value":2}')
        netmon.wait_restarted("valkey", netmon.signal(signal.SIGKILL, "valkey"))
        netmon.wait_ready()
        netmon.send([netmon.trap(3)])
        follower.wait_shown('"value":3}', 10)
        netmon.send([netmon.trap(4)])
        follower.wait_shown('"value":4}')
        told = [line for line in follower.lines() if line.startswith("{")]
        assert [json.loads(line)["varbinds"][0]["value"] for line in told] == [1, 2, 3, 4]
        away, back = [line for line in follower.lines() if line not in told]
        assert (away.startswith("test cannot be read: "), back) == (True, "test can be read again")
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(5) == 0


def test_traps_say_when_redis_is_away(tmp_path: Path) -> None:
    """Exit code 3 and a sentence, no traceback."""
    found = Netmon(tmp_path).command_line("traps")
    assert (found.returncode, found.stdout, "Traceback" in found.stderr) == (3, "", False)
    assert ("valkey.sock" in found.stderr, "connection:" in found.stderr) == (True, False)


def test_the_ledger_is_told_with_netmon_stopped_and_fails_when_it_does_not_balance(tmp_path: Path) -> None:
    """For people a table, for programs JSON; exit code 1 is for the watchdog that looks at nothing else."""
    with Netmon(tmp_path) as netmon:
        netmon.send([*map(netmon.trap, range(1, 1_235)), b"rubbish"])
        netmon.wait_settled(captured=1_235)
    table = netmon.command_line("ledger")
    assert table.returncode == 0
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in table.stdout.splitlines() if "│" in line]
    named = {row[0]: row[1] for row in rows if row[0]}
    assert (named["delivered"], named["captured"], named["buffered"]) == ("1,235", "1,235", "1,234")
    assert (named["rejected"], named["in flight"], named["balance"]) == ("1", "0", "ok")
    told = json.loads(netmon.command_line("ledger", "--json").stdout)
    assert (told["delivered"], told["captured"], told["buffered"], told["difference"]) == (1_235, 1_235, 1_234, 0)
    assert (told["receiver"], told["lane"], told["listen"]) == ("test", 0, f"127.0.0.1:{netmon.port}")
    page = StatePage(netmon.directory() / DECODE_STATE, DECODE_FIELDS)
    page.values["buffered"] -= 7
    page.publish()
    unbalanced = netmon.command_line("ledger", "--json")
    told = json.loads(unbalanced.stdout)
    assert (unbalanced.returncode, told["balanced"], told["difference"]) == (1, False, 7)
    table = netmon.command_line("ledger")
    assert (table.returncode, "NOT: +7" in table.stdout) == (1, True)


def test_a_role_by_itself_says_what_it_needs(tmp_path: Path) -> None:
    """For those who let systemd supervise: exit code 2 and the cure, instead of a role that runs and does nothing."""
    netmon = Netmon(tmp_path)
    for role in ("commit", "decode"):
        found = netmon.command_line(role)
        assert (found.returncode, "LISTEN_FDS" in found.stderr) == (2, True)
    found = netmon.command_line("capture", "--lane", "9")
    assert (found.returncode, "has the lanes 0 to 0" in found.stderr) == (2, True)


def test_capture_by_itself_fills_the_journal(tmp_path: Path) -> None:
    """It needs neither Redis nor the other roles; SIGTERM ends it with everything written."""
    netmon = Netmon(tmp_path, command="capture")
    netmon.start(ready=False)
    try:
        netmon.wait_until(lambda: netmon.socket_inodes() and netmon.ledger().capture_heartbeat_unix_ns, what="listens")
        netmon.send(map(netmon.trap, range(1, 101)))
        netmon.wait_until(lambda: netmon.ledger().captured == 100, what="captured")
        assert netmon.stop() == 0
        assert (netmon.ledger().captured, netmon.ledger().in_flight) == (100, 100)
    finally:
        netmon.kill()


def try_line(netmon: Netmon) -> str:
    """The `snmptrap` line of the banner."""
    found = re.search(r"^  try +(snmptrap .*)$", netmon.output_file.read_text("utf-8"), re.MULTILINE)
    assert found is not None, netmon.output_file.read_text("utf-8")
    return found[1]


def test_the_line_of_the_banner_works_as_it_stands(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """Copied to a shell, it shows up in `netmon traps --follow`. README has the same line with the default port."""
    require_tool("snmptrap")
    netmon = Netmon(tmp_path)
    netmon.configure({"receiver": {"listen": [f"[::]:{netmon.port}"]}})
    with netmon, Follower(netmon) as follower:
        line = try_line(netmon)
        assert line.replace(str(netmon.port), "1162", 1) in (REPOSITORY / "README.md").read_text("utf-8")
        # The follower may still be starting: what it begins with counts, too.
        subprocess.run(["/bin/sh", "-c", line], check=True, timeout=10)
        follower.wait_shown("linkDown", 15)
        subprocess.run(["/bin/sh", "-c", line.replace("i 7", "i 8")], check=True, timeout=10)
        assert follower.wait_shown("ifIndex.7=8") < SHOWN_WITHIN_S
        assert shlex.split(line)[0] == "snmptrap"


@pytest.mark.parametrize("scheme", ["unix", "redis"])
def test_receive_with_an_operators_redis(tmp_path: Path, scheme: str) -> None:
    """A password from a file, over a Unix socket and over TCP; the password is in no output and in no process list."""
    password = "correct-horse-battery"
    file = tmp_path / "password"
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    port = str(free_port(socket.SOCK_STREAM)) if scheme == "redis" else "0"
    with (
        Valkey(tmp_path / "redis", requirepass=password, port=port) as server,
        contextlib.closing(server.client()) as c,
    ):
        redis = {"url": f"{server.url}/3" if scheme == "redis" else f"{server.url}?db=3", "password_file": str(file)}
        with Netmon(tmp_path / "netmon", {"redis": redis}, command="receive") as netmon:
            assert {role for role, _ in netmon.pids()} == {"capture", "commit", "decode", "late"}
            netmon.send(map(netmon.trap, range(1, 101)))
            netmon.wait_settled(captured=100)
            shown = netmon.command_line("traps", "--json", "-n", "1000")
            traps: list[dict[str, Any]] = [json.loads(line) for line in shown.stdout.splitlines()]
            assert [trap["varbinds"][0]["value"] for trap in traps] == list(range(1, 101))
            said = shown.stderr + netmon.output_file.read_text("utf-8") + netmon.log_file.read_text("utf-8")
            pids = [netmon.supervisor_pid, *netmon.pids().values()]
            seen = [Path(f"/proc/{pid}/{what}").read_bytes() for pid in pids for what in ("cmdline", "environ")]
            assert password not in said
            assert [text for text in seen if password.encode() in text] == []
        c.select(3)
        assert c.xlen(netmon.key()) == 100


def test_the_line_that_watches_finds_the_configuration(netmon: Netmon) -> None:
    """From any folder: with the absolute path of a configuration that would not be found by itself."""
    line = re.search(r"^  watch +(.*)$", netmon.output_file.read_text("utf-8"), re.MULTILINE)
    assert line is not None
    assert line[1].endswith(f"traps --follow -c {netmon.config_file.absolute()}")


def interrupted(netmon: Netmon, *arguments: str, after_s: float) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that gets Ctrl-C after so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "netmon", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "NETMON_CONFIG": str(netmon.config_file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    return process.returncode, output, errors


def test_ctrl_c_is_the_end_of_what_has_none_and_a_failure_of_the_rest(tmp_path: Path) -> None:
    """0 for --watch, whose last line is complete; 130 and what it means for work that was cut off."""
    netmon = Netmon(tmp_path)
    code, output, errors = interrupted(netmon, "ledger", "--watch", after_s=3)
    assert (code, output.endswith("\n"), errors) == (0, True, "")
    pipe = tmp_path / "slow.my"
    pipe.write_text(
        "A-MIB DEFINITIONS ::= BEGIN\n" + "\n".join(f"x{i} OBJECT IDENTIFIER ::= {{ y 1 }}" for i in range(150_000))
    )
    code, _, errors = interrupted(netmon, "mib", "compile", str(pipe), "-o", str(tmp_path / "x.cat"), after_s=3)
    assert (code, errors) == (130, "interrupted; nothing was written\n")
    assert not (tmp_path / "x.cat").exists()


def test_ctrl_c_while_importing_is_no_traceback(tmp_path: Path) -> None:
    """Whatever moment it comes at, in the time that imports take."""
    for after_s in (0.15, 0.3):
        _, _, errors = interrupted(Netmon(tmp_path), "ledger", after_s=after_s)
        assert 'File "' + str(REPOSITORY / "netmon") not in errors


def test_rejects_are_shown_with_reason_and_sender(netmon: Netmon) -> None:
    """Newest last, a summary by reason and source; as JSON with the raw datagram; and as they come."""
    with Follower(netmon, command="rejects") as follower:
        netmon.send([b"rubbish", netmon.trap(1), b"rubbish"])
        netmon.wait_settled(captured=3)
        follower.wait_shown("at byte", 15)
    shown = netmon.command_line("rejects")
    lines = shown.stdout.splitlines()
    assert shown.returncode == 0
    assert sum("127.0.0.1" in line and "at byte" in line for line in lines) == sum(netmon.ledger().rejected.values())
    assert "shown, by reason and source:" in shown.stdout
    told = [json.loads(line) for line in netmon.command_line("rejects", "--json", "-n", "1000").stdout.splitlines()]
    assert [(each["raw"], each["peer"]) for each in told] == [(b"rubbish".hex(), "127.0.0.1")] * 2
    assert {each["stream"] for each in told} == {netmon.key("rejects")}
    assert len(netmon.command_line("rejects", "-n", "1").stdout.partition("\n\n")[0].splitlines()) == 1


def test_options_that_mean_nothing_are_refused(netmon: Netmon) -> None:
    """Exit code 2 and what to leave out; a name that nobody writes under is doubted."""
    for arguments in (
        ["ledger", "--union", "--receiver", "x", "--watch"],
        ["ledger", "--receiver", "x"],
        ["traps", "--receiver", "x"],
    ):
        found = netmon.quick(*arguments)
        assert (found.returncode, "--union" in found.stderr) == (2, True), arguments
    netmon.send([netmon.trap(1)])
    netmon.wait_settled(captured=1)
    found = netmon.command_line("traps", "--union", "--receiver", "nosuch")
    assert (found.returncode, len(found.stdout.splitlines())) == (0, 1)
    assert found.stderr == "nosuch: no receiver of this name has written to its Redis yet\n"
