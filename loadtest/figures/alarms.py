"""The figures of the alarm worker: entries of the streams to alarms that stand in Redis, and its restart.

A worker is stopped (SIGSTOP) while a stream is filled with what decode would write, let go, and timed until the effects of all
of it stand. Neither a sender nor a receiver then takes part.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import redis

from loadtest import proc
from loadtest.earthquake.region import scaled
from loadtest.figures.outcome import Outcome
from loadtest.figures.subject import ROOT, USUAL, Netmon, free_port
from loadtest.profile import for_count
from loadtest.ring import RingPlan
from loadtest.storm import StormPlan, new_run, run_storm
from loadtest.target import Target
from netmon.alarms.settings import AlarmSettings
from netmon.alarms.worker.report import REPORT_FILE, AlarmReport
from netmon.buffer import embedded
from netmon.buffer.alarm_reader import position_field
from netmon.buffer.alarm_store import META, STATE
from netmon.config import load
from netmon.config.alarm_service import rules
from netmon.inventory.schema import read
from netmon.model import RedisSettings, TrapEvent, Varbind

_RECEIVER: Final = "load"
_OWNER: Final = "load"
_PREFIX: Final = f"netmon:{{{_RECEIVER}:0}}"
_TRAPS: Final = f"{_PREFIX}:traps"
_REGION: Final = ROOT / "config" / "region.example.yml"
_CONFIG: Final = ROOT / "config" / "netmon.yml"
_DEVICES: Final = 2_000
_PIPELINE: Final = 2_000
_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 0.002
_ACTIVE: Final = 50_000
_LINK_DOWN: Final = "1.3.6.1.6.3.1.1.5.3"
_RESTARTS: Final = 3
_PROBE_RATE: Final = 50


def repeats(work_dir: Path, quick: bool) -> Outcome:
    """Notifications of alarms that stand already, from 2,000 devices, one worker."""
    return _drain(work_dir, count=30_000 if quick else 600_000, resources=_DEVICES, bar=30_000)


def raises(work_dir: Path, quick: bool) -> Outcome:
    """As many alarms as notifications, each another port of one of 2,000 devices; one worker."""
    count = 5_000 if quick else _ACTIVE
    return _drain(work_dir, count=count, resources=count, bar=5_000)


def _drain(work_dir: Path, *, count: int, resources: int, bar: int) -> Outcome:
    """How fast the worker gets through `count` notifications about `resources` ports."""
    with Bench(work_dir) as bench:
        seqs = itertools.count(1)
        if resources < count:
            bench.fill(bench.events(seqs, resources, resources))
            bench.wait_done()
        bench.signal(signal.SIGSTOP)
        bench.fill(bench.events(seqs, count, resources))
        cpu_s, began = bench.cpu_s(), time.monotonic()
        bench.signal(signal.SIGCONT)
        bench.wait_done()
        seconds, cpu_s = time.monotonic() - began, bench.cpu_s() - cpu_s
        expected, counted = next(seqs) - 1, bench.notifications()
        alarms = bench.client.hlen(STATE)
    faults = [] if counted == expected else [f"{counted} notifications are counted, {expected} were sent"]
    rate = count / seconds
    return Outcome(
        passed=not faults and rate >= bar,
        figures={"notifications/s": rate, "worker CPU µs/notification": cpu_s / count * 1e6, "alarms": alarms},
        faults=faults,
        detail={"seconds": seconds, "count": count},
    )


def restart(work_dir: Path, quick: bool) -> Outcome:
    """kill -9 with many active alarms, and a new process: until the effect of a new notification stands."""
    active = 5_000 if quick else _ACTIVE
    took = []
    with Bench(work_dir) as bench:
        seqs = itertools.count(1)
        bench.fill(bench.events(seqs, active, active))
        bench.wait_done()
        for _ in range(_RESTARTS):
            bench.kill()
            bench.fill(bench.events(seqs, 1, active))
            began = time.monotonic()
            bench.start()
            bench.wait_done()
            took.append(time.monotonic() - began)
        memory = proc.memory(bench.pid)
    return Outcome(
        passed=max(took) <= 2.0,
        figures={
            "s at most": max(took),
            "s at least": min(took),
            "alarms": active,
            "MiB": 0.0 if memory is None else memory.rss / 2**20,
        },
        faults=[],
        detail={"took": took},
    )


def to_api(work_dir: Path, quick: bool) -> Outcome:
    """linkDown traps from 2,000 devices at 2,000/s, of which some are timed: from the wire to the events of the API."""
    rate, seconds = 2_000, 5 if quick else 60
    probes = _PROBE_RATE * seconds
    api_port = free_port(socket.SOCK_STREAM)
    listen = {"enabled": True, "listen": f"127.0.0.1:{api_port}"}
    with Netmon(work_dir, stream_bytes_max=USUAL, alarms={"enabled": True}, api=listen) as netmon:
        _wait_until(lambda: _is_served(api_port))
        words = [str(word) for word in (netmon.port, api_port, probes, _PROBE_RATE)]
        probe = subprocess.Popen(
            [sys.executable, "-m", "loadtest.figures.alarm_probe", *words], cwd=ROOT, stdout=subprocess.PIPE
        )
        ring = RingPlan(target=Target("127.0.0.1", netmon.port), run=new_run(), sources=_DEVICES)
        sent = run_storm(StormPlan(ring=ring, profile=for_count("step", rate, rate * seconds)))
        took = sorted(json.loads(probe.communicate(timeout=_TIMEOUT_S)[0]))
        cpu_s = netmon.cpu_by_role()
    faults = [] if len(took) == probes else [f"{probes - len(took)} of {probes} probes were not seen"]
    p50, p99 = (took[int(len(took) * part)] if took else math.inf for part in (0.5, 0.99))
    return Outcome(
        passed=not faults and p99 <= 100.0,
        figures={"sent/s": sent.rate, "p50 ms": p50, "p99 ms": p99, "max ms": max(took, default=math.inf)},
        faults=faults,
        detail={"sent": sent, "cpu_s": cpu_s},
    )


def _is_served(api_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{api_port}/api/v1/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Bench:
    """A Valkey and a worker by themselves. As a context manager they start, and end."""

    def __init__(self, work_dir: Path) -> None:
        """Chooses a folder."""
        work_dir.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="alarms-", dir=work_dir))
        self._socket = self._folder / "valkey.sock"
        self._inventory = scaled(read(_REGION), _DEVICES)
        self._processes = contextlib.ExitStack()
        self._worker: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(unix_socket_path=str(self._socket))

    def __enter__(self) -> Self:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        server = subprocess.Popen([str(embedded.find_binary()), *words], stdout=subprocess.DEVNULL)
        self._processes.callback(_end, server)
        _wait_until(self._answers)
        self.client.set(f"{_PREFIX}:owner", _OWNER)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            _end(self._worker)
        self.client.close()
        self._processes.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    @property
    def pid(self) -> int:
        """Of the worker."""
        assert self._worker is not None, "not started"
        return self._worker.pid

    def start(self) -> None:
        """Starts the worker; returns when it leads, if it is the first."""
        settings = AlarmSettings(
            receivers=(_RECEIVER,),
            redis=RedisSettings(url=f"unix://{self._socket}"),
            directory=str(self._folder),
            inventory=self._inventory,
            rules=rules(load(_CONFIG)),
            lease_s=_TIMEOUT_S,
        )
        first = self._worker is None
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "netmon.role", "alarms"],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._worker.stdin is not None
        self._worker.stdin.write(msgspec.json.encode(settings))
        self._worker.stdin.close()
        if first:
            _wait_until(lambda: self._state() == "leading")

    def signal(self, number: signal.Signals) -> None:
        """To the worker."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9 of the worker."""
        assert self._worker is not None, "not started"
        _end(self._worker)

    def cpu_s(self) -> float:
        """CPU seconds of the worker."""
        return proc.cpu_s(self.pid)

    def events(self, seqs: Iterator[int], count: int, resources: int) -> Iterator[TrapEvent]:
        """linkDown traps from all devices in turn, about so many ports of theirs together."""
        devices = [device.addresses[0] for device in self._inventory.devices if device.addresses]
        for at, seq in enumerate(itertools.islice(seqs, count)):
            number = at % resources
            yield _link_down(seq, devices[number % len(devices)], 1 + number // len(devices))

    def fill(self, events: Iterable[TrapEvent]) -> None:
        """Appends to the stream of traps, as decode does."""
        pipe = self.client.pipeline(transaction=False)
        for count, event in enumerate(events):
            milliseconds = event.received_unix_ns // 1_000_000
            pipe.xadd(_TRAPS, {"trap": msgspec.json.encode(event)}, id=f"{milliseconds}-{event.seq}")
            if count % _PIPELINE == _PIPELINE - 1:
                pipe.execute()
        pipe.execute()

    def wait_done(self) -> None:
        """Until the effects of all entries stand."""
        newest: Any = self.client.xrevrange(_TRAPS, count=1)
        last = newest[0][0]
        _wait_until(lambda: self.client.hget(META, position_field(_OWNER, _TRAPS)) == last)

    def notifications(self) -> int:
        """How many notifications about ports the alarms have counted."""
        bodies: Any = self.client.hvals(STATE)
        alarms = (msgspec.json.decode(body, type=_Counted) for body in bodies)
        return sum(alarm.notifications for alarm in alarms if alarm.alarm_type.startswith("link-down"))

    def _state(self) -> str:
        try:
            return msgspec.json.decode((self._folder / REPORT_FILE).read_bytes(), type=AlarmReport).state
        except FileNotFoundError:
            return ""


class _Counted(msgspec.Struct):
    """The part of an alarm that matters here."""

    alarm_type: str
    notifications: int = 1


def _link_down(seq: int, source: str, port: int) -> TrapEvent:
    """As decode tells it, names and all; each from the moment at which it is made."""
    unix_ns = time.time_ns()
    index = f"1.3.6.1.2.1.2.2.1.{{}}.{port}"
    return TrapEvent(
        seq=seq,
        received_unix_ns=unix_ns,
        event_unix_ns=unix_ns,
        event_time_from="received",
        source=source,
        peer=source,
        peer_port=50_000,
        local="192.0.2.1",
        version="v2c",
        pdu="trap",
        trust="allow_listed",
        trap_oid=_LINK_DOWN,
        uptime_centis=seq,
        varbinds=[
            Varbind(index.format(1), "Integer32", port, name=f"ifIndex.{port}"),
            Varbind(index.format(7), "Integer32", 1, name=f"ifAdminStatus.{port}", label="up"),
            Varbind(index.format(8), "Integer32", 2, name=f"ifOperStatus.{port}", label="down"),
            Varbind(index.format(2), "OctetString", f"ge-0/0/{port}", name=f"ifDescr.{port}"),
        ],
        digest=f"{seq:016x}",
        request_id=seq,
        name="linkDown",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


def _wait_until(holds: Any) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_TIMEOUT_S} s")
        time.sleep(_POLL_S)
