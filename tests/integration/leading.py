"""A process of which one leads, as a test starts, stops and kills it; its settings go to its standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from netmon.model import LeadState
from tests.integration.harness import REPOSITORY


class _Report(msgspec.Struct):
    """What all reports have."""

    state: LeadState


_Told = TypeVar("_Told", bound=msgspec.Struct)


class Leading(Generic[_Told]):
    """One process. As a context manager it starts, and ends."""

    environment: Mapping[str, str] = {}
    """Of the process, beside ours."""

    def __init__(
        self, folder: Path, words: tuple[str, ...], settings: msgspec.Struct, report_file: str, report: type[_Told]
    ) -> None:
        """`words` are the module and its arguments; `report` is what its report is read as."""
        self.folder = folder
        self._words = words
        self._settings = msgspec.json.encode(settings)
        self._report_file = folder / report_file
        self._report = report
        self._log = folder / "process.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.send(signal.SIGCONT)
        self.kill()
        if error is not None and self._log.exists():
            error.add_note(self._log.read_text("utf-8", "replace")[-4_000:])

    def start(self) -> None:
        """Starts it."""
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *self._words],
                cwd=REPOSITORY,
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        assert process.stdin is not None
        process.stdin.write(self._settings)
        process.stdin.close()
        self._process = process

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self._process is not None, "not started"
        if self._process.poll() is None:
            self._process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self.send(signal.SIGSTOP)
        assert self._process is not None
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.send(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(20)

    def report(self) -> _Told | None:
        """What it last told of itself."""
        try:
            return msgspec.json.decode(self._report_file.read_bytes(), type=self._report)
        except FileNotFoundError:
            return None

    def state(self) -> str:
        """What it does, as it says."""
        try:
            return msgspec.json.decode(self._report_file.read_bytes(), type=_Report).state
        except FileNotFoundError:
            return ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of an event."""
        lines = self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []
        found = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in found if line["event"] == name]
