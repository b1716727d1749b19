"""The figures of the prober: from a silent cut to a line that is told to be down, and that no healthy line is, ever.

Real packets over real interfaces (`loadtest.lab.lines`): netmon's own reflector answers at the far ends, a vantage and the verdict process run
as they do in earnest, and a reader of Redis takes the time. Cuts are by routes of the carrier's router, within a millisecond.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import redis

from loadtest import proc
from loadtest.figures.outcome import Outcome
from loadtest.lab.lines import FAR, GATEWAY, Lab
from loadtest.lab.namespaces import require
from loadtest.lab.prober import REFLECTOR, VANTAGE, VERDICT, Course, Role, judged
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.model import LineStatus
from netmon.active_probe.settings import ProbedLine, VantageSettings, VerdictSettings
from netmon.buffer import embedded
from netmon.inventory.probes import Pin, Profile, StampProbe
from netmon.model import RedisSettings

_FAST: Final = BUILT_IN["fast"]
_WIRED: Final = BUILT_IN["fibre"]
_FAST_BAR_MS: Final = 220.0
_WIRED_BAR_MS: Final = 2_000.0
_START_S: Final = 30.0
_DOWN_S: Final = 10.0
_POLL_S: Final = 0.01
_SEED: Final = 8_762


class Proving:
    """A lab with the prober on it. As a context manager it starts, and all lines are up."""

    def __init__(self, work_dir: Path, profiles: dict[str, Profile]) -> None:
        """`profiles`: line to its profile."""
        work_dir.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="lines-", dir=work_dir))
        self._profiles = profiles
        self._stack = contextlib.ExitStack()
        self.lab = Lab(list(profiles))
        self.vantage: Role
        self.course: Course

    def __enter__(self) -> Self:
        require()
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            stack.enter_context(self.lab)
            settings = start_valkey(self.lab, self._folder)
            listen = [word for line in self.lab.lines.values() for word in ("--listen", f"{line.target}:862")]
            listen += ["--listen", f"{self.lab.anchors[GATEWAY]}:862"]
            stack.enter_context(Role(self.lab[FAR], self._folder / "reflector", [*REFLECTOR, *listen]))
            self.course = stack.enter_context(contextlib.closing(Course(settings.url)))
            vantage = self._vantage(settings)
            verdict = VerdictSettings(
                redis=settings, directory=str(self._folder / "verdict"), lines=judged(vantage.lines, [vantage])
            )
            self.vantage = stack.enter_context(Role(self.lab[GATEWAY], self._folder / GATEWAY, VANTAGE, vantage))
            stack.enter_context(Role(self.lab[GATEWAY], self._folder / "verdict", VERDICT, verdict))
            self.course.await_all("up", list(self._profiles), _START_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, _)

    def _vantage(self, settings: RedisSettings) -> VantageSettings:
        return VantageSettings(
            vantage_id=GATEWAY,
            redis=settings,
            directory=str(self._folder / GATEWAY),
            lines=tuple(
                ProbedLine(
                    line_id=line.line_id,
                    profile=self._profiles[line.line_id],
                    probes=(StampProbe(address=line.target, pin=Pin(interface=line.interface)),),
                )
                for line in self.lab.lines.values()
            ),
            anchors=(StampProbe(address=self.lab.anchors[GATEWAY]),),
            anchor_profile=_WIRED,
        )


def start_valkey(lab: Lab, folder: Path) -> RedisSettings:
    """A server on a Unix socket, which is the same in every namespace; ends with the lab."""
    path = folder / "valkey.sock"
    options = {"port": "0", "unixsocket": str(path), "dir": str(folder), "save": "", "appendonly": "yes"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    lab[GATEWAY].start([str(embedded.find_binary()), *words], stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(path))
    _wait_until(lambda: _answers(client))
    client.close()
    return RedisSettings(url=f"unix://{path}")


def cut(work_dir: Path, quick: bool) -> Outcome:
    """Silent far cuts, each of another line, at random moments: until the vote, and until a reader has the change."""
    fast = [f"fast-{number}" for number in range(4 if quick else 40)]
    wired = [f"wired-{number}" for number in range(2 if quick else 12)]
    profiles = {**dict.fromkeys(fast, _FAST), **dict.fromkeys(wired, _WIRED)}
    moments = random.Random(_SEED)
    with Proving(work_dir, profiles) as proving:
        fast_cuts = [_cut(proving, line_id, moments.uniform(0.1, 0.2)) for line_id in fast]
        wired_cuts = [_cut(proving, line_id, moments.uniform(0.1, 1.1)) for line_id in wired]
        down = {line_id for line_id, status in proving.course.now().items() if status.state == "down"}
        told = [change for change in proving.course.lines() if change.after == "down"]
    faults = []
    if down != set(profiles):
        faults.append(f"of the lines that were cut, these are not down: {sorted(set(profiles) - down)}")
    if len(told) != len(profiles):
        faults.append(f"{len(told)} times it was told that a line is down, {len(profiles)} lines were cut")
    fast_ms, wired_ms = ([one.down_ms for one in cuts] for cuts in (fast_cuts, wired_cuts))
    return Outcome(
        passed=not faults and quantile(fast_ms, 0.95) <= _FAST_BAR_MS and max(wired_ms) <= _WIRED_BAR_MS,
        figures={
            "fast: median ms": statistics.median(fast_ms),
            "fast: p95 ms": quantile(fast_ms, 0.95),
            "fast: most ms": max(fast_ms),
            "fast: until the vote, median ms": statistics.median(one.vote_ms for one in fast_cuts),
            "fast: until the vote, p95 ms": quantile([one.vote_ms for one in fast_cuts], 0.95),
            "fast: cuts": len(fast_cuts),
            "wired: median ms": statistics.median(wired_ms),
            "wired: most ms": max(wired_ms),
            "wired: cuts": len(wired_cuts),
        },
        faults=faults,
        detail={"fast": fast_cuts, "wired": wired_cuts},
    )


class _Cut(msgspec.Struct, frozen=True):
    """One of them, in milliseconds since the command was given."""

    vote_ms: float
    """When the vantage came to `down`, as its vote says."""
    down_ms: float
    """When a reader of `netmon:line-changes` had it."""


def _cut(proving: Proving, line_id: str, after_s: float) -> _Cut:
    """Cuts a line some time from now, and waits until it is told to be down. It stays cut."""
    mark = proving.course.mark()
    time.sleep(after_s)
    began_ns, began_unix_ns = time.monotonic_ns(), time.time_ns()
    proving.lab.cut(line_id)
    seen = proving.course.await_state(line_id, "down", since=mark, timeout_s=_DOWN_S)
    assert seen.told.line is not None
    vote_unix_ns = seen.told.line.status.votes[0].since_unix_ns
    return _Cut((vote_unix_ns - began_unix_ns) / 1e6, (seen.mono_ns - began_ns) / 1e6)


def calm(work_dir: Path, quick: bool) -> Outcome:
    """Healthy lines while every core has a process that never rests: how often one is said to be down."""
    seconds = 10.0 if quick else 600.0
    lines = range(4 if quick else 20)
    profiles = {f"fast-{number}": _FAST for number in lines} | {f"wired-{number}": _WIRED for number in lines}
    cores = os.cpu_count() or 1
    with Proving(work_dir, profiles) as proving:
        mark = proving.course.mark()
        burners = [proving.lab[FAR].start([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
        began, cpu_s = time.monotonic(), proc.cpu_s(proving.vantage.pid)
        proving.course.passes(seconds)
        took_s = time.monotonic() - began
        burnt_s = sum(proc.cpu_s(burner.pid) for burner in burners)
        cpu_s = proc.cpu_s(proving.vantage.pid) - cpu_s
        changes, vantages = proving.course.lines(mark), proving.course.vantages(mark)
        health, now = proving.course.view.vantages()[GATEWAY], proving.course.now()
    downs = [change for change in changes if change.after == "down"]
    others = [change for change in changes if change.after not in {"down", "up"}]
    faults = [f"{change.line_id} was said to be down: {change.status.reason}" for change in downs]
    faults += [f"the vantage was said to be {change.after}: {change.reason}" for change in vantages]
    return Outcome(
        passed=not faults,
        figures={
            "false downs": len(downs),
            "other changes": len(others),
            "minutes": took_s / 60,
            "lines": len(profiles),
            "probes": health.probes_sent,
            "probes lost in the last minute": sum(map(_lost, now.values())),
            "cores that the burners had": burnt_s / took_s,
            "vantage, share of a core": cpu_s / took_s,
        },
        faults=faults,
        detail={"changes": changes, "vantages": vantages},
    )


def _lost(status: LineStatus) -> int:
    return sum(target.lost for vote in status.votes for target in vote.targets)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_START_S} s")
        time.sleep(_POLL_S)
