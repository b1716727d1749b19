"""The supervisor with real roles, a real Valkey and real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from netmon.buffer import embedded
from netmon.status.metrics import DECLARED
from tests.integration.harness import REPOSITORY, Netmon, free_port, is_alive

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"


def test_a_trap_of_a_real_sender_is_in_the_stream(netmon: Netmon, require_tool: Callable[[str], str]) -> None:
    """What `snmptrap` sends is decoded, stored, and in the ledger."""
    command = [require_tool("snmptrap"), "-v2c", "-c", "public", f"127.0.0.1:{netmon.port}", "", LINK_DOWN]
    subprocess.run([*command, "1.3.6.1.2.1.2.2.1.1.7", "i", "7"], check=True, capture_output=True)
    found = netmon.wait_settled(captured=1)
    ((_, event),) = netmon.entries()
    assert (event.source, event.trap_oid, event.varbinds[0].value) == ("127.0.0.1", LINK_DOWN, 7)
    assert (found.captured, found.buffered, found.balanced) == (1, 1, True)


def test_http_tells_life_readiness_and_figures(netmon: Netmon) -> None:
    """All that is declared is served; nothing else is."""
    assert netmon.get("/healthz") == (200, "alive\n")
    assert json.loads(netmon.get("/readyz")[1])["ready"] is True
    text = netmon.get("/metrics")[1]
    served = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert served == {metric.name for metric in DECLARED}
    assert netmon.metrics()['netmon_process_up{lane="0",role="decode"}'] == 1.0


def test_http_says_what_there_is(netmon: Netmon) -> None:
    """Whoever opens the address in a browser, or mistypes a path, is told; what was asked for is not repeated."""
    places = ["/metrics", "/healthz", "/readyz"]
    status, body = netmon.get("/")
    assert (status, [place in body for place in places]) == (200, [True] * 3)
    status, body = netmon.get("/elsewhere?<script>")
    assert (status, [place in body for place in places], "elsewhere" in body) == (404, [True] * 3, False)
    request = urllib.request.Request(f"http://127.0.0.1:{netmon.http_port}/metrics", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=5)


@pytest.mark.parametrize("role", ["capture", "commit", "decode", "late", "valkey"])
def test_a_killed_child_comes_back_and_nothing_is_lost(netmon: Netmon, role: str) -> None:
    """`kill -9` in the middle of traffic: restarted, counted, all traps stored once."""
    netmon.send(map(netmon.trap, range(1, 501)))
    former = netmon.signal(signal.SIGKILL, role)
    netmon.send(map(netmon.trap, range(501, 1_001)))
    netmon.wait_restarted(role, former)
    netmon.wait_settled(captured=1_000)
    netmon.wait_until(lambda: len(netmon.numbers()) >= 1_000)
    assert netmon.numbers() == list(range(1, 1_001))
    lane = "" if role == "valkey" else "0"
    assert netmon.metrics()[f'netmon_process_restarts_total{{lane="{lane}",role="{role}"}}'] == 1.0


def test_a_stopped_valkey_is_not_killed(netmon: Netmon) -> None:
    """It makes netmon not ready; when it goes on, so does netmon, with the same process."""
    pid = netmon.signal(signal.SIGSTOP, "valkey")
    netmon.send(map(netmon.trap, range(1, 101)))
    netmon.wait_until(lambda: not netmon.is_ready(), timeout_s=30)
    netmon.signal(signal.SIGCONT, "valkey")
    netmon.wait_ready()
    netmon.wait_settled(captured=100)
    assert (netmon.pid("valkey"), netmon.numbers()) == (pid, list(range(1, 101)))


def test_a_damaged_append_only_file_is_set_aside_and_refilled(netmon: Netmon) -> None:
    """The journal is the source of truth; Valkey's file is a copy."""
    netmon.send(map(netmon.trap, range(1, 501)))
    netmon.wait_settled(captured=500)
    former = netmon.signal(signal.SIGSTOP, "valkey")
    (file,) = (netmon.data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4_096] = bytes(4_096)  # several commands
    file.write_bytes(content)
    netmon.signal(signal.SIGKILL, "valkey")
    netmon.wait_restarted("valkey", former)
    netmon.wait_until(lambda: netmon.events("valkey.data_set_aside"))
    netmon.wait_ready()
    netmon.wait_until(lambda: len(netmon.numbers()) >= 500)
    assert netmon.numbers() == list(range(1, 501))


def test_a_reload_restarts_roles_but_keeps_the_socket(netmon: Netmon) -> None:
    """Other settings: other role processes, the same socket, nothing lost in between."""
    before, inodes = netmon.pids(), netmon.socket_inodes()
    storm = netmon.start_storm(1, 4_000, rate=2_000)
    netmon.configure({"receiver": {"redact_community": False}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: netmon.events("supervisor.configuration_applied"))
    assert storm.wait(30) == 0
    netmon.wait_settled(captured=4_000)
    after = netmon.pids()
    assert [role for role in before if before[role] == after[role]] == [("valkey", None)]
    assert (netmon.socket_inodes(), netmon.numbers()) == (inodes, list(range(1, 4_001)))


def test_a_reload_without_changes_restarts_nothing(netmon: Netmon) -> None:
    """Only what changed is touched."""
    before = netmon.pids()
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: netmon.events("supervisor.configuration_applied"))
    assert netmon.pids() == before


def test_an_invalid_file_leaves_the_old_one_in_force(netmon: Netmon) -> None:
    """All mistakes are logged; netmon goes on as it was."""
    before, good = netmon.pids(), netmon.config_file.read_text()
    netmon.config_file.write_text("receiver: {listen: [nowhere], lanes_per_listener: 0}\n")
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: netmon.events("supervisor.configuration_refused"))
    netmon.config_file.write_text(good)
    (refused,) = netmon.events("supervisor.configuration_refused")
    assert (len(refused["mistakes"]), netmon.pids(), netmon.is_ready()) == (2, before, True)
    assert netmon.metrics()['netmon_supervisor_reloads_total{result="refused"}'] == 1.0


def test_a_refused_reload_counts_no_start_of_our_engine(netmon: Netmon) -> None:
    """Another engine ID, and an address that somebody has: what is kept of our engine stays as it was."""
    file = netmon.directory().parent / "engine.json"
    before = file.read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        listen = [f"127.0.0.1:{netmon.port}", f"127.0.0.1:{taken.getsockname()[1]}"]
        netmon.configure({"receiver": {"listen": listen}, "snmpv3": {"engine_id": "80001f8804aabbcc"}})
        netmon.signal(signal.SIGHUP)
        netmon.wait_until(lambda: netmon.events("supervisor.configuration_refused"))
    assert file.read_bytes() == before

    netmon.configure({"snmpv3": {"engine_id": "80001f8804aabbcc"}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: netmon.events("supervisor.configuration_applied"))
    assert b"80001f8804aabbcc" in file.read_bytes()


def test_a_reload_binds_new_listeners_and_closes_removed_ones(netmon: Netmon) -> None:
    """The first listener keeps its socket while others come and go."""
    inodes = netmon.socket_inodes()
    second = free_port(socket.SOCK_DGRAM)
    netmon.configure({"receiver": {"listen": [f"127.0.0.1:{netmon.port}", f"127.0.0.1:{second}"]}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: ("decode", 1) in netmon.pids())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(netmon.trap(1), ("127.0.0.1", second))
    netmon.wait_settled(captured=1, lane=1)
    assert netmon.numbers(lane=1) == [1]
    netmon.configure({"receiver": {"listen": [f"127.0.0.1:{netmon.port}"]}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: len(netmon.events("supervisor.configuration_applied")) == 2)
    assert set(netmon.pids()) == {("capture", 0), ("commit", 0), ("decode", 0), ("late", 0), ("valkey", None)}
    assert netmon.socket_inodes() == inodes


def test_more_lanes_share_the_port_of_the_first(netmon: Netmon) -> None:
    """SO_REUSEPORT is switched on for a socket that is bound already, which stays open."""
    inodes = netmon.socket_inodes()
    netmon.configure({"receiver": {"lanes_per_listener": 2}})
    netmon.signal(signal.SIGHUP)
    netmon.wait_until(lambda: ("decode", 1) in netmon.pids())
    assert (len(netmon.socket_inodes()), inodes <= netmon.socket_inodes()) == (2, True)
    for number in range(64):  # from as many ports, which the kernel spreads over the sockets
        netmon.send([netmon.trap(number)])
    netmon.wait_until(lambda: netmon.ledger(0).buffered + netmon.ledger(1).buffered == 64)
    assert sorted([*netmon.numbers(0), *netmon.numbers(1)]) == list(range(64))


def test_an_upgrade_keeps_socket_and_pid_and_loses_nothing(netmon: Netmon) -> None:
    """SIGUSR2 in the middle of traffic: a new image of the supervisor on the same socket."""
    inodes, before = netmon.socket_inodes(), netmon.pids()
    storm = netmon.start_storm(1, 6_000, rate=2_000)
    netmon.signal(signal.SIGUSR2)
    netmon.wait_until(lambda: netmon.pids() and not set(netmon.pids().values()) & set(before.values()), 30, "upgraded")
    assert storm.wait(30) == 0
    netmon.wait_ready()
    netmon.wait_settled(captured=6_000)
    assert (netmon.socket_inodes(), netmon.numbers()) == (inodes, list(range(1, 6_001)))
    assert netmon.ledger().balanced


def test_an_upgrade_that_would_not_start_is_refused(netmon: Netmon) -> None:
    """A broken configuration must not turn a running netmon into a dead one."""
    before, good = netmon.pids(), netmon.config_file.read_text()
    netmon.config_file.write_text("nonsense: true\n")
    netmon.signal(signal.SIGUSR2)
    netmon.wait_until(lambda: netmon.events("supervisor.upgrade_refused"))
    netmon.config_file.write_text(good)
    assert netmon.pids() == before


def test_the_end_is_orderly(tmp_path: Path) -> None:
    """SIGTERM: exit 0, no orphans, everything that had arrived is stored."""
    netmon = Netmon(tmp_path)
    with netmon:
        netmon.send(map(netmon.trap, range(1, 2_001)))
        assert netmon.stop() == 0
        found = netmon.ledger()
    assert (found.captured, found.buffered, found.in_flight, found.balanced) == (2_000, 2_000, 0, True)


def test_a_supervisor_that_was_killed_leaves_no_orphans_and_a_new_one_takes_over(tmp_path: Path) -> None:
    """The new one waits for the children of the old one, and goes on where they ended."""
    with Netmon(tmp_path) as netmon:
        netmon.send(map(netmon.trap, range(1, 501)))
        netmon.wait_settled(captured=500)
        netmon.signal(signal.SIGKILL)
        assert netmon.process is not None
        netmon.process.wait()
        netmon.start()
        netmon.send(map(netmon.trap, range(501, 1_001)))
        netmon.wait_settled(captured=1_000)
        assert netmon.numbers() == list(range(1, 1_001))


def test_two_do_not_share_a_data_directory(netmon: Netmon, tmp_path: Path) -> None:
    """The second one says whose it is, and leaves the first one alone."""
    other = Netmon(tmp_path / "other", {"data_dir": str(netmon.data_dir)})
    found = other.command_line("run")
    assert (found.returncode, f"in use by the netmon with pid {netmon.supervisor_pid}" in found.stderr) == (2, True)
    assert netmon.is_ready()


def test_a_second_signal_ends_it_at_once(netmon: Netmon) -> None:
    """When a role does not finish, nobody has to wait for it."""
    stopped = netmon.signal(signal.SIGSTOP, "commit")
    assert netmon.process is not None
    netmon.send(map(netmon.trap, range(1, 11)))
    netmon.signal(signal.SIGTERM)
    netmon.wait_until(lambda: netmon.events("supervisor.stop_begun"))
    time.sleep(1.1)  # sooner, it would be taken for the same signal
    if netmon.process.poll() is None:
        netmon.signal(signal.SIGTERM)
    netmon.process.wait(5)
    netmon.wait_until(lambda: not is_alive(stopped))


def test_sockets_of_systemd_are_adopted(tmp_path: Path) -> None:
    """LISTEN_FDS: the socket is not bound again; its queue from before our start is read."""
    netmon = Netmon(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unit:
        unit.bind(("127.0.0.1", netmon.port))
        netmon.send([netmon.trap(1)])
        inode = os.fstat(unit.fileno()).st_ino
        launch = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())};"
            "os.execv(sys.executable, [sys.executable, '-m', 'netmon', 'run', '-c', sys.argv[2]])"
        )
        with netmon.log_file.open("ab") as log:
            netmon.process = subprocess.Popen(
                [sys.executable, "-c", launch, str(unit.fileno()), str(netmon.config_file)],
                cwd=REPOSITORY,
                pass_fds=[unit.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
    try:
        netmon.wait_ready()
        netmon.wait_settled(captured=1)
        assert (netmon.socket_inodes(), netmon.numbers()) == ({inode}, [1])
        assert netmon.stop() == 0
    finally:
        netmon.kill()


def test_a_long_path_does_not_stop_the_embedded_server(tmp_path: Path) -> None:
    """Unix sockets have 107 bytes for their path; data directories do not know that."""
    folder = tmp_path / ("d" * 100)
    with Netmon(folder) as netmon:
        netmon.send([netmon.trap(1)])
        netmon.wait_settled(captured=1)
        assert netmon.numbers() == [1]
        private = embedded.socket_path(netmon.data_dir).parent
        assert private.stat().st_mode & 0o777 == 0o700
    assert not private.exists()


def test_receive_needs_a_redis_of_the_operator(tmp_path: Path) -> None:
    """`netmon receive` starts no server of its own."""
    found = Netmon(tmp_path).command_line("receive")
    assert (found.returncode, "redis.url: found embedded" in found.stderr) == (2, True)


def test_the_ledger_is_read_with_everything_down(tmp_path: Path) -> None:
    """The counters are files."""
    with Netmon(tmp_path) as netmon:
        netmon.send(map(netmon.trap, range(1, 11)))
        netmon.wait_settled(captured=10)
    found = netmon.command_line("ledger", "--json")
    lane = json.loads(found.stdout)
    assert (found.returncode, lane["captured"], lane["buffered"], lane["balanced"]) == (0, 10, 10, True)


def test_a_full_command_line_check_tells_every_mistake(tmp_path: Path) -> None:
    """Exit code 2, and JSON for programs."""
    netmon = Netmon(tmp_path, {"receiver": {"lanes_per_listener": 0}, "journal": {"sync_interval_ms": 0}})
    found = netmon.command_line("check", "--json")
    answer = json.loads(found.stdout)
    assert (found.returncode, answer["valid"], len(answer["mistakes"])) == (2, False, 2)
