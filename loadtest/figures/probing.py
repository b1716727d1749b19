"""The figure of the vantage: how many lines one process on one core asks once a second, what it loses by itself, how well it keeps time.

Real packets over the loopback to a reflector that answers everything (`loadtest.figures.echoing`) and compares the vantage's idea of when it
asked with the kernel's. Half of the lines share one way, the others have ways of their own: thousands of sockets.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from loadtest import proc
from loadtest.figures.echoing import Kept
from loadtest.figures.outcome import Outcome
from loadtest.figures.subject import ROOT, free_port
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.settings import ProbedLine, VantageSettings
from netmon.active_probe.vantage.report import REPORT_FILE, ProbeReport
from netmon.buffer import embedded
from netmon.inventory.probes import Pin, StampProbe
from netmon.model import RedisSettings

_LINES: Final = 10_000
_RATE_BAR: Final = 0.995
"""Of 10,000 a second: reports are not written to the millisecond."""
_APART_BAR_US: Final = 1_000.0
_START_S: Final = 60.0
_WARM_S: Final = 6.0
_SOURCE: Final = "127.{}.{}.{}"


def rate(work_dir: Path, quick: bool) -> Outcome:
    """10,000 lines at 1 Hz, by one process that may use one core."""
    lines, sockets, seconds = (1_000, 500, 3.0) if quick else (_LINES, _LINES // 2, 60.0)
    work_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="probe-rate-", dir=work_dir))
    port = free_port(socket.SOCK_DGRAM)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = _settings(folder, port, lines, sockets)
        stack.enter_context(_valkey(folder))
        with _echo(port) as echo:
            vantage = stack.enter_context(_vantage(settings))
            _await_report(folder, lambda report: sum(line.state == "up" for line in report.lines) == lines)
            time.sleep(_WARM_S)
            before, before_s = _next_report(folder), proc.cpu_s(vantage.pid)
            time.sleep(seconds)
            after, after_s = _next_report(folder), proc.cpu_s(vantage.pid)
            memory = proc.memory(vantage.pid)
            vantage.terminate()
            vantage.wait()
            kept = _end(echo)
    took_s = (after.unix_ns - before.unix_ns) / 1e9
    replies = after.counts.replies - before.counts.replies
    lost = sum(target.reading.lost for line in after.lines for target in line.targets)
    faults = [f"{lost} probes were taken for lost"] if lost else []
    faults += [f"{line.line_id} is {line.state}: {line.reason}" for line in after.lines if line.state != "up"][:10]
    if after.counts.local_errors:
        faults.append(f"{after.counts.local_errors} probes could not leave")
    per_second = replies / took_s
    apart_us = max(kept.apart_us[3], -kept.apart_us[1])
    # In milliseconds that had a question at all.
    mean = kept.answered / sum(kept.bundles.values())
    return Outcome(
        passed=not faults and per_second >= lines * _RATE_BAR and apart_us <= _APART_BAR_US,
        figures={
            "probes answered/s": per_second,
            "lost by itself": lost,
            "RTT error p99 µs": apart_us,
            "CPU µs/probe": (after_s - before_s) / replies * 1e6,
            "share of a core": (after_s - before_s) / took_s,
            "memory MB": memory.anonymous / 1e6 if memory else 0.0,
            "most in one ms": max(kept.bundles),
            "p99 in one ms": _quantile(kept.bundles, 0.99),
            "mean in one ms": mean,
            "turns let go": after.counts.skipped - before.counts.skipped,
            "sockets": after.counts.channels,
        },
        faults=faults,
        detail={"report": msgspec.structs.replace(after, lines=()), "kept": kept},
    )


def _settings(folder: Path, port: int, lines: int, sockets: int) -> VantageSettings:
    def pin(number: int) -> Pin:
        return Pin(source=_SOURCE.format(50, number >> 8, number & 255)) if 0 < number < sockets else Pin()

    def address(number: int) -> str:
        return _SOURCE.format(100 + (number >> 16), number >> 8 & 255, number & 255)

    profile = BUILT_IN["fibre"]
    return VantageSettings(
        vantage_id="bench",
        redis=RedisSettings(url=f"unix://{folder / 'valkey.sock'}"),
        directory=str(folder / "vantage"),
        lines=tuple(
            ProbedLine(
                line_id=f"line-{number}",
                profile=profile,
                probes=(StampProbe(address=address(number + 1), port=port, pin=pin(number)),),
            )
            for number in range(lines)
        ),
        anchors=(StampProbe(address=_SOURCE.format(99, 0, 1), port=port),),
        anchor_profile=profile,
    )


@contextlib.contextmanager
def _running(words: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _valkey(folder: Path) -> Iterator[None]:
    options = {"port": "0", "unixsocket": str(folder / "valkey.sock"), "dir": str(folder), "save": ""}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with _running([str(embedded.find_binary()), *words], stdout=subprocess.DEVNULL):
        yield


@contextlib.contextmanager
def _echo(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with _running([sys.executable, "-m", "loadtest.figures.echoing", str(port)], stdout=subprocess.PIPE) as echo:
        assert echo.stdout is not None
        echo.stdout.readline()
        yield echo


def _end(echo: subprocess.Popen[bytes]) -> Kept:
    echo.terminate()
    return msgspec.json.decode(echo.communicate()[0], type=Kept)


@contextlib.contextmanager
def _vantage(settings: VantageSettings) -> Iterator[subprocess.Popen[bytes]]:
    """On one core: the highest, whichever these are."""
    core = max(os.sched_getaffinity(0))
    words = ["taskset", "-c", str(core), sys.executable, "-m", "netmon.active_probe.vantage"]
    with _running(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as vantage:
        assert vantage.stdin is not None
        vantage.stdin.write(msgspec.json.encode(settings))
        vantage.stdin.close()
        yield vantage


def _next_report(folder: Path) -> ProbeReport:
    """One that was begun after now."""
    now_ns = time.time_ns()
    return _await_report(folder, lambda report: report.unix_ns > now_ns)


def _await_report(folder: Path, holds: Callable[[ProbeReport], bool]) -> ProbeReport:
    path = folder / "vantage" / REPORT_FILE
    deadline = time.monotonic() + _START_S
    while True:
        if path.exists():
            report = msgspec.json.decode(path.read_bytes(), type=ProbeReport)
            if holds(report):
                return report
        if time.monotonic() > deadline:
            raise TimeoutError("the vantage does not get on")
        time.sleep(0.1)


def _quantile(counts: dict[int, int], share: float) -> int:
    """Of values and how often each was seen."""
    rest = share * sum(counts.values())
    for value, times in sorted(counts.items()):
        rest -= times
        if rest <= 0:
            return value
    return max(counts)
