"""A vantage as it runs in earnest: real packets to a reflector on the loopback, its votes in a real Redis, and faults by name."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pytest
import redis

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.model import LineState, VantageHealth, Vote
from netmon.active_probe.settings import ProbedLine, VantageSettings
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.engine import Engine
from netmon.active_probe.vantage.report import REPORT_FILE, ProbeReport
from netmon.buffer.line_store import VANTAGES, votes_key
from netmon.inventory.probes import IcmpProbe, Pin, StampProbe, TcpProbe
from netmon.model import RedisSettings
from tests.integration.harness import REPOSITORY, free_port
from tests.integration.valkey import Valkey, wait_until

FAST: Final = BUILT_IN["fast"]
LINES: Final = ("east", "west", "north")
ADDRESSES: Final = {"east": "127.44.0.1", "west": "127.44.0.2", "north": "127.44.0.3", "anchor": "127.44.0.9"}
REFRESH_S: Final = 0.5


class Reflector:
    """Answers at all addresses, and loses and delays as it is told."""

    def __init__(self) -> None:
        self.port = free_port(socket.SOCK_DGRAM)
        command = [sys.executable, str(Path(__file__).with_name("reflecting.py")), str(self.port), "1"]
        self._process = subprocess.Popen([*command, *ADDRESSES.values()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._await_answer()

    def _await_answer(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the reflector has ended"

    def set(self, name: str, *, loss: float = 0.0, delay_s: float = 0.0) -> None:
        """From now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([ADDRESSES[name], loss, delay_s]).encode() + b"\n")
        self._process.stdin.flush()
        self._await_answer()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


class Running:
    """A vantage and what it tells. As a context manager it starts, and is killed."""

    def __init__(
        self, folder: Path, server: Valkey, reflector: Reflector, *, shell: str = ":", **settings: Any
    ) -> None:
        """`shell`: what is done before it starts; `settings`: fields of VantageSettings that are others than usual."""
        self._folder = folder
        self._shell = shell
        self._client: redis.Redis = server.client()
        usual = {
            "vantage_id": "hq",
            "redis": RedisSettings(url=server.url),
            "directory": str(folder),
            "lines": [line(name, stamp(reflector, name)) for name in LINES],
            "anchors": (stamp(reflector, "anchor"),),
            "anchor_profile": FAST,
            "refresh_s": REFRESH_S,
            "heartbeat_s": 0.2,
        }
        self.settings = VantageSettings(**{**usual, **settings})

    def __enter__(self) -> Self:
        self._log = (self._folder / "log").open("w+b")
        self.process = subprocess.Popen(
            ["sh", "-c", f"{self._shell}; exec {sys.executable} -m netmon.active_probe.vantage"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(self.settings))
        self.process.stdin.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self._client.close()
        if error is not None:
            error.add_note(self.log())
        self._log.close()

    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text(encoding="utf-8")

    def votes(self) -> dict[str, Vote]:
        """What Redis has."""
        votes: Any = self._client.hgetall(votes_key("hq"))
        return {name.decode(): msgspec.json.decode(body, type=Vote) for name, body in votes.items()}

    def states(self) -> dict[str, LineState]:
        """The same, the states alone."""
        return {name: vote.state for name, vote in self.votes().items()}

    def health(self) -> VantageHealth:
        """What Redis has."""
        body: Any = self._client.hget(VANTAGES, "hq")
        assert body, "it has told of itself"
        return msgspec.json.decode(body, type=VantageHealth)

    def report(self) -> ProbeReport:
        """Its file, as it is now."""
        return msgspec.json.decode((self._folder / REPORT_FILE).read_bytes(), type=ProbeReport)

    def next_report(self) -> ProbeReport:
        """The next one that it writes, and that was begun after now."""
        now_ns = time.time_ns()
        path = self._folder / REPORT_FILE
        wait_until(lambda: path.exists() and self.report().unix_ns > now_ns, "it reports")
        return self.report()

    def await_states(self, **states: LineState) -> None:
        """Until these lines are so."""
        wait_until(lambda: self.states() | states == self.states(), f"the votes are {states}")


def stamp(reflector: Reflector, name: str, **fields: Any) -> StampProbe:
    """The probe of a line."""
    return StampProbe(address=ADDRESSES[name], port=reflector.port, **fields)


def line(name: str, *probes: Any) -> ProbedLine:
    """By the fastest profile."""
    return ProbedLine(line_id=name, profile=FAST, probes=probes)


@pytest.fixture(scope="module")
def reflecting() -> Iterator[Reflector]:
    """One for all tests."""
    reflector = Reflector()
    yield reflector
    reflector.kill()


@pytest.fixture
def reflector(reflecting: Reflector) -> Reflector:
    """All is well at first."""
    for name in ADDRESSES:
        reflecting.set(name)
    return reflecting


@pytest.fixture
def running(tmp_path: Path, server: Valkey, client: redis.Redis, reflector: Reflector) -> Iterator[Running]:
    """A vantage whose lines are all up."""
    with Running(tmp_path, server, reflector) as running:
        running.await_states(**dict.fromkeys(LINES, "up"))
        yield running


def test_line_that_is_cut_is_voted_down_and_back_up(running: Running, reflector: Reflector) -> None:
    """With its evidence; the others stay as they are, and so does the vantage."""
    reflector.set("east", loss=1.0)
    running.await_states(east="down", west="up", north="up")
    vote = running.votes()["east"]
    reflector.set("east")
    wait_until(lambda: running.votes()["east"].state in {"up", "degraded"}, "it is back")

    assert vote.reason == "no_answer"
    assert vote.first_miss_unix_ns < vote.since_unix_ns <= vote.unix_ns
    assert vote.targets[0].label == f"stamp {ADDRESSES['east']}:{reflector.port}"
    assert vote.targets[0].misses >= FAST.fall
    assert running.health().state == "live"


def test_vantage_that_is_cut_off_calls_no_line_down(running: Running, reflector: Reflector) -> None:
    """Nothing answers any more, not even the anchor: it says so of itself, at once, and takes it back when it is over."""
    for name in ADDRESSES:
        reflector.set(name, loss=1.0)
    seen = set()

    def is_isolated() -> bool:
        seen.update(running.states().values())
        return running.health().state == "isolated" and set(running.states().values()) == {"unknown"}

    wait_until(is_isolated, "it is isolated")
    reason = running.health().reason
    for name in ADDRESSES:
        reflector.set(name)
    running.await_states(**dict.fromkeys(LINES, "up"))

    assert reason == "no_anchor"
    assert "down" not in seen
    assert running.health().state == "live"


def test_vantage_that_was_stopped_calls_no_line_down(running: Running) -> None:
    """SIGSTOP for 1.2 s, which is six times what a line needs to fall: nothing is lost, nothing is made up for in a burst."""
    before = running.next_report().counts
    stopped_unix_ns = time.time_ns()
    os.kill(running.process.pid, signal.SIGSTOP)
    time.sleep(1.2)
    os.kill(running.process.pid, signal.SIGCONT)
    beat = running.health().beat
    wait_until(lambda: running.health().beat >= beat + 4, "it goes on")
    report = running.next_report()

    assert running.states() == dict.fromkeys(LINES, "up")
    assert all(vote.since_unix_ns < stopped_unix_ns for vote in running.votes().values())
    assert sum(target.reading.lost for told in report.lines for target in told.targets) == 0
    assert report.counts.stalls >= 1
    # Four targets, 20 times a second: what was missed is not sent afterwards.
    seconds = (report.unix_ns - stopped_unix_ns) / 1e9 + 1.5
    assert report.counts.probes_sent - before.probes_sent <= (seconds - 1.1) * 80 + 20


def test_probing_goes_on_while_redis_stands_still(running: Running, server: Valkey, reflector: Reflector) -> None:
    """And what changed meanwhile is told as soon as it can be."""
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        reflector.set("west", loss=1.0)
        wait_until(
            lambda: {told.line_id: told.state for told in running.report().lines}.get("west") == "down",
            "it is down by the report",
        )
        report = running.next_report()
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
    running.await_states(east="up", west="down", north="up")

    assert report.counts.stalls == 0 or report.health.lag_s < 1.0
    others = [told for told in report.lines if told.line_id != "west"]
    assert sum(target.reading.lost for told in others for target in told.targets) == 0


def test_vantage_says_that_it_leaves(running: Running) -> None:
    """Nobody has to wait for its heartbeat to stay away; its votes stay as they were."""
    running.process.terminate()

    assert running.process.wait(10) == 0
    assert (running.health().state, running.health().reason) == ("isolated", "stopped")
    assert running.states() == dict.fromkeys(LINES, "up")


def test_probe_that_cannot_leave_says_nothing_of_its_line(
    tmp_path: Path, server: Valkey, client: redis.Redis, reflector: Reflector
) -> None:
    """Its interface is not there: unknown, with the cure; another probe of the same line tells the truth."""
    gone = stamp(reflector, "east", pin=Pin(interface="nothere0"))
    lines = [line("east", gone), line("west", gone, stamp(reflector, "west"))]
    with Running(tmp_path, server, reflector, lines=lines) as running:
        running.await_states(east="unknown", west="up")
        vote = running.votes()["east"]
        report = running.next_report()

    assert vote.reason == "cannot_send"
    assert "there is no interface 'nothere0' now" in vote.targets[0].detail
    assert report.counts.local_errors >= 3
    assert report.counts.channels == 1


def test_services_and_packets_are_asked_alike(
    tmp_path: Path, server: Valkey, client: redis.Redis, reflector: Reflector
) -> None:
    """Several probes of one line, by several ways: it is as good as the best of them, and all of them are told."""
    refused = TcpProbe(address="127.0.0.1", port=reflector.port)
    silent = stamp(reflector, "east")
    reflector.set("east", loss=1.0)
    lines = [line("east", silent, refused), line("west", IcmpProbe(address="127.0.0.1"), silent)]
    with Running(tmp_path, server, reflector, lines=lines) as running:
        running.await_states(east="up", west="up")
        wait_until(lambda: [one.state for one in running.votes()["east"].targets] == ["down", "up"], "one is down")

        labels = [one.label.split()[0] for one in running.votes()["west"].targets]

    assert labels == ["icmp", "stamp"]


def test_process_that_may_open_too_few_files_says_what_to_do(
    tmp_path: Path, server: Valkey, client: redis.Redis, reflector: Reflector
) -> None:
    """A socket for each pin; it does not start half."""
    pins = [Pin(source=f"127.45.0.{number}") for number in range(1, 101)]
    lines = [line(f"line-{pin.source}", stamp(reflector, "east", pin=pin)) for pin in pins]
    with Running(tmp_path, server, reflector, shell="ulimit -n 100", lines=lines) as running:
        assert running.process.wait(10) == 1
        assert "need 165 open files" in running.log()
        assert "raise LimitNOFILE=" in running.log()


async def test_loop_that_fails_ends_with_its_fault() -> None:
    """It must not stand still behind a heartbeat that goes on."""

    def fail(now_ns: int, most: int) -> bool:
        raise LookupError("a fault of ours")

    engine = Engine(
        [],
        [],
        Clock(),
        changed=lambda target: None,
        answered=lambda target, sent_ns: None,
        ask_service=lambda target: None,
        work=fail,
    )
    with pytest.raises(LookupError, match="a fault of ours"):
        await asyncio.wait_for(engine.run(), 10)
    engine.close()
