"""The prober's processes in a lab, as they run in earnest, and what a reader of Redis sees of their work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from loadtest.figures.subject import ROOT
from loadtest.lab.namespaces import Namespace, end
from netmon.active_probe.measure.profiles import fall_s
from netmon.active_probe.model import LineChange, LineState, LineStatus, VantageChange
from netmon.active_probe.settings import JudgedLine, ProbedLine, VantageSettings
from netmon.buffer.line_store import LineView, Told
from netmon.errors import UnavailableError
from netmon.model import RedisSettings

VANTAGE: Final = ("-m", "netmon.active_probe.vantage")
VERDICT: Final = ("-m", "netmon.active_probe.verdict")
REFLECTOR: Final = ("-m", "netmon.active_probe.stamp")

_READ_S: Final = 0.2
_LOG_TAIL_CHARS: Final = 4_000


class Role:
    """One process of netmon's in a namespace, told its settings on its standard input. As a context manager it starts, and is killed."""

    def __init__(
        self, space: Namespace, folder: Path, words: Sequence[str], settings: msgspec.Struct | None = None
    ) -> None:
        """`words`: what Python is given; `settings`: None for one that has none."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "output.log"
        self._space = space
        self._words = words
        self._settings = b"" if settings is None else msgspec.json.encode(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"{self.folder.name}: {self.log.read_text('utf-8', 'replace')[-_LOG_TAIL_CHARS:]}")

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Starts it; returns at once."""
        with self.log.open("ab") as output:
            process = self._space.start(
                [sys.executable, *self._words],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        assert process.stdin is not None
        process.stdin.write(self._settings)
        process.stdin.close()
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        """Such as SIGSTOP and SIGCONT."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        if self._process is not None:
            end(self._process)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None


class Seen(msgspec.Struct, frozen=True):
    """An entry of `netmon:line-changes`, and when a reader had it."""

    mono_ns: int
    told: Told


class Course:
    """The stream of changes, followed from now on, and the list of the lines as it stands."""

    def __init__(self, url: str) -> None:
        """From the newest entry on."""
        self.view = LineView(RedisSettings(url=url))
        self.seen: list[Seen] = []
        self._after = self.view.last_id()

    def close(self) -> None:
        """Closes its connections."""
        self.view.close()

    def mark(self) -> int:
        """Where the stream is now: what comes later has a higher place in `seen`."""
        self.read(0)
        return len(self.seen)

    def read(self, wait_s: float) -> None:
        """Takes what came, or waits so long for something to come; nothing while Redis is away."""
        try:
            told = self.view.changes(self._after, block_ms=max(1, int(wait_s * 1_000)))
        except UnavailableError:
            return
        now_ns = time.monotonic_ns()
        for one in told:
            self._after = one.entry_id
            self.seen.append(Seen(now_ns, one))

    def until(self, holds: Callable[[], object], what: str, timeout_s: float) -> None:
        """Reads on until `holds()` is true.

        Raises:
            TimeoutError: It has not become so; says `what`, and what was told meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                newest = [self.brief(seen) for seen in self.seen[-20:]]
                raise TimeoutError(f"not within {timeout_s} s: {what}; the newest changes: {newest}")
            self.read(_READ_S)

    def passes(self, seconds: float) -> None:
        """Reads for so long."""
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            self.read(min(rest, _READ_S))

    def await_state(self, line_id: str, *states: LineState, since: int, timeout_s: float) -> Seen:
        """The first change of a line, from a mark on, to one of these states.

        Raises:
            TimeoutError: None has come.
        """
        self.until(
            lambda: self._first(line_id, states, since) is not None, f"{line_id} {' or '.join(states)}", timeout_s
        )
        found = self._first(line_id, states, since)
        assert found is not None
        return found

    def _first(self, line_id: str, states: Sequence[LineState], since: int) -> Seen | None:
        for seen in self.seen[since:]:
            line = seen.told.line
            if line is not None and line.line_id == line_id and line.after in states:
                return seen
        return None

    def lines(self, since: int = 0, line_id: str = "") -> list[LineChange]:
        """Changes of lines, or of one, from a mark on; without those that are only told again."""
        changes = [seen.told.line for seen in self.seen[since:] if seen.told.line is not None]
        return [change for change in changes if not change.restated and line_id in {"", change.line_id}]

    def states(self, line_id: str, since: int) -> list[LineState]:
        """What a line came to, one after the other, from a mark on."""
        return [change.after for change in self.lines(since, line_id)]

    def vantages(self, since: int = 0) -> list[VantageChange]:
        """Changes of vantages, from a mark on."""
        return [seen.told.vantage for seen in self.seen[since:] if seen.told.vantage is not None]

    def now(self) -> dict[str, LineStatus]:
        """Line ID to its state as it stands."""
        return {status.line_id: status for status in self.view.lines()}

    def await_all(self, state: LineState, line_ids: Sequence[str], timeout_s: float) -> None:
        """Until all these lines are in this state, as the list says."""
        wanted = dict.fromkeys(line_ids, state)
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.now()
            different = {name: now[name].state if name in now else "-" for name in line_ids}
            if different == wanted:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all {state} within {timeout_s} s: {different}")
            self.read(_READ_S)

    @staticmethod
    def brief(seen: Seen) -> str:
        """A change as a failed test shows it."""
        if (line := seen.told.line) is not None:
            return f"{line.line_id} {line.before}>{line.after} {line.status.reason}"
        return f"{seen.told.vantage}"


def judged(lines: Sequence[ProbedLine], vantages: Sequence[VantageSettings]) -> tuple[JudgedLine, ...]:
    """Each line once, with all vantages that probe it."""
    probed = {vantage.vantage_id: {line.line_id for line in vantage.lines} for vantage in vantages}
    return tuple(
        JudgedLine(
            line_id=line.line_id,
            fall_s=fall_s(line.profile),
            vantage_ids=tuple(name for name, ids in probed.items() if line.line_id in ids),
        )
        for line in {line.line_id: line for line in lines}.values()
    )
