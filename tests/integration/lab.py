"""A lab for the prober: real lines to be cut, the processes as they run in earnest, a real Valkey, and what comes of it all.

    with Stage(tmp_path, ["fibre", "radio"]) as stage:
        mark = stage.course.mark()
        stage.lab.cut("fibre")
        stage.course.await_state("fibre", "down", since=mark, timeout_s=LIMIT_S)

`loadtest.lab.lines` has the network. Times are short by the profile FAST: 50 ms between probes where a wired line has 1 s, so a second stands for 20.
Its window is short, too: it forgets a cut within 1.5 s.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pytest

from loadtest.lab.gateways import Region
from loadtest.lab.lines import EDGE, FAR, Lab, LabLine
from loadtest.lab.namespaces import end, missing
from loadtest.lab.prober import VANTAGE, VERDICT, Course, Role, judged
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.model import LineState, LineStatus
from netmon.active_probe.settings import ProbedLine, VantageSettings, VerdictSettings
from netmon.buffer.line_store import HEARD
from netmon.inventory.probes import Pin, Profile, StampProbe
from netmon.model import RedisSettings
from tests.integration.valkey import Valkey

LIMIT_S: Final = 20.0
"""For what takes a fraction of a second on a quiet machine."""
FAST: Final[Profile] = msgspec.structs.replace(BUILT_IN["fast"], window_s=1.5)
SEED: Final = 20_110_311

PORT: Final = 862


def probe(line: LabLine, *, port: int = PORT, address: str = "", **pin: Any) -> StampProbe:
    """Of the far end of a line, bound to its interface, or pinned as `pin` says."""
    return StampProbe(address=address or line.target, port=port, pin=Pin(**(pin or {"interface": line.interface})))


class Faults:
    """The reflector of the lab, which loses and delays as it is told."""

    def __init__(self, lab: Lab | Region, addresses: Sequence[str], port: int = PORT, *, space: str = FAR) -> None:
        """In the namespace of the far ends, or in another one."""
        words = [sys.executable, str(Path(__file__).with_name("reflecting.py")), str(port), str(SEED), *addresses]
        self._space = lab[space]
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = self._space.start(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._answer() == b"ready\n"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process is not None
        end(self._process)

    def set(self, address: str, *, loss: float = 0.0, delay_s: float = 0.0) -> None:
        """For one address, in force when this returns; without arguments, all is well again."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([address, loss, delay_s]).encode() + b"\n")
        self._process.stdin.flush()
        assert self._answer() == b"done\n"

    def _answer(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Stage:
    """One lab with everything in it. As a context manager it starts, and every line that is probed is up."""

    def __init__(self, folder: Path, line_ids: Sequence[str], *, share: tuple[str, str] | None = None) -> None:
        """`share`: two lines over which the far end's shared addresses can be reached, the preferred one first."""
        self.folder = folder
        self.server = Valkey(folder / "valkey")
        self.lab = Lab(line_ids)
        self._share = share
        self._stack = contextlib.ExitStack()
        self.shared: tuple[str, ...] = ()
        """Addresses of the far end as `Lab.share` gives them."""
        self.words: dict[str, Sequence[str]] = {}
        """Vantage to what Python is given, if that is not the usual."""
        self._places: dict[str, str] = {}
        self._bare: set[str] = set()
        self.roles: dict[str, Role] = {}
        self.course: Course
        self.faults: Faults

    def __enter__(self) -> Self:
        if reason := missing():
            pytest.skip(reason)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            stack.enter_context(self.lab)
            if self._share:
                self.shared = self.lab.share(*self._share)
            targets = [address for line in self.lab.lines.values() for address in (line.target, line.target6)]
            addresses = [*targets, *self.shared, *self.lab.anchors.values()]
            self.faults = stack.enter_context(Faults(self.lab, addresses))
            self.client = stack.enter_context(contextlib.closing(self.server.client()))
            self.course = stack.enter_context(contextlib.closing(Course(self.server.url)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def start(self, probed: Mapping[str, Sequence[ProbedLine]], **settings: Any) -> None:
        """The vantages, each with its lines, and the verdict process; returns at once.

        Args:
            probed: Vantage to its lines.
            **settings: Of all vantages.
        """
        vantages = [self.vantage(name, lines, **settings) for name, lines in probed.items()]
        for vantage in vantages:
            name = vantage.vantage_id
            self.run(
                name,
                Role(
                    self.lab[self._places.get(name, name)], self.folder / name, self.words.get(name, VANTAGE), vantage
                ),
            )
        lines = judged([line for vantage in vantages for line in vantage.lines], vantages)
        redis = RedisSettings(url=self.server.url)
        verdict = VerdictSettings(redis=redis, directory=str(self.folder / "verdict"), lines=lines, heard_s=2.0)
        self.run("verdict", Role(self.lab[EDGE], self.folder / "verdict", VERDICT, verdict))

    def place(self, vantage_id: str, name: str, *, is_anchored: bool = True) -> None:
        """Has a vantage run where another one is at home, with the anchors that are there or with none."""
        self._places[vantage_id] = name
        if not is_anchored:
            self._bare.add(vantage_id)

    def vantage(self, name: str, lines: Sequence[ProbedLine], **settings: Any) -> VantageSettings:
        """What a vantage of the lab is told."""
        place = self._places.get(name, name)
        defaults = VantageSettings(
            vantage_id=name,
            redis=RedisSettings(url=self.server.url),
            directory=str(self.folder / name),
            lines=tuple(lines),
            anchors=() if name in self._bare else (StampProbe(address=self.lab.anchors[place], port=PORT),),
            anchor_profile=BUILT_IN["fibre"],  # as in earnest, whatever the lines are asked by
            heartbeat_s=0.2,
            refresh_s=0.5,
        )
        return msgspec.structs.replace(defaults, **settings)

    def run(self, name: str, role: Role) -> None:
        """One more process, by its name in `roles`."""
        self.roles[name] = self._stack.enter_context(role)

    @contextlib.contextmanager
    def evidence(self, line_id: str, what: str = "trap from gate-7") -> Iterator[None]:
        """Something arrives over a line by itself all the while, as whoever hears it notes it down."""
        done = threading.Event()

        def hear() -> None:
            while not done.wait(0.1):
                self.client.hset(HEARD, line_id, json.dumps([time.time_ns(), what]))

        thread = threading.Thread(target=hear)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def told(stage: Stage, line_id: str, state: LineState, since: int) -> LineStatus:
    """The status with which it is told to come to this state."""
    change = stage.course.await_state(line_id, state, since=since, timeout_s=LIMIT_S).told.line
    assert change is not None
    return change.status


def mended(stage: Stage, mend: Callable[[], object], *line_ids: str) -> None:
    """Mends lines and waits until they answer again: degraded, while their windows still show the cut, or up."""
    mark = stage.course.mark()
    mend()
    for line_id in line_ids:
        stage.course.await_state(line_id, "degraded", "up", since=mark, timeout_s=LIMIT_S)
