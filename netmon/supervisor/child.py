"""One supervised child process: started, watched, restarted with back-off, stopped in order.

Owns the process's life, not its meaning. Waits by pidfd, so it needs neither threads nor SIGCHLD, and never signals a
process that took over an old pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

from netmon.log import log

RESTART_DELAY_MIN_S: Final = 0.1
RESTART_DELAY_MAX_S: Final = 10.0
HEALTHY_AFTER_S: Final = 30.0
JITTER_RATIO: Final = 0.2

Start = Callable[[], subprocess.Popen[bytes]]


def failures_after(failures: int, lived_s: float) -> int:
    """Failures in a row, counting the one that just happened; a child that was healthy for long starts again at 1."""
    return 1 if lived_s >= HEALTHY_AFTER_S else failures + 1


def restart_delay_s(failures: int, random_ratio: float) -> float:
    """How long to wait before the next start: doubling from 0.1 s to 10 s, up to a fifth shorter by chance.

    Args:
        failures: Failures in a row, from 1.
        random_ratio: 0 to 1; the jitter, so that many children do not start at once. Never makes it longer.
    """
    doublings = min(max(failures, 1) - 1, 10)
    return min(RESTART_DELAY_MIN_S * 2.0**doublings, RESTART_DELAY_MAX_S) * (1 - JITTER_RATIO * random_ratio)


def exit_name(returncode: int) -> str:
    """How a process ended, for logs: `exit 1`, `SIGKILL`."""
    if returncode >= 0:
        return f"exit {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


class Child:
    """A process that shall run until `stop`.

    Attributes:
        name: For logs: `capture`, `valkey`.
        lane: Number of the lane, None for what serves all.
        pid: Of the running process; None while there is none.
        restarts: Starts after the first that nobody asked for.
    """

    def __init__(
        self, name: str, start: Start, *, lane: int | None = None, exited: Callable[[int], None] | None = None
    ) -> None:
        self.name = name
        self.lane = lane
        self.pid: int | None = None
        self.restarts = 0
        self._start = start
        self._exited = exited
        self._pidfd: int | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()
        self._planned = False

    @property
    def up(self) -> bool:
        """Whether the process exists; it may be stopped (SIGSTOP) or not ready yet."""
        return self.pid is not None

    async def keep_running(self) -> None:
        """Run the process until `stop`, restarting it whenever it ends."""
        failures = 0
        while not self._is_stopping():
            started = time.monotonic()
            ended = await self._run_once()
            if self._is_stopping():
                return
            if self._planned:
                self._planned, failures = False, 0
                continue
            failures = failures_after(failures, time.monotonic() - started)
            delay_s = restart_delay_s(failures, random.random())  # noqa: S311 - jitter, no secret
            log.error("supervisor.role_exited", **self._facts, how=ended, restart_in_s=round(delay_s, 2))
            self.restarts += 1
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay_s)

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _run_once(self) -> str:
        try:
            process = self._start()
        except OSError as error:
            return f"not started: {error}"  # no memory, no file descriptors, no processes: worth a retry
        self._pidfd = os.pidfd_open(process.pid)
        self.pid = process.pid
        self._gone.clear()
        log.info("supervisor.role_started", **self._facts, pid=process.pid)
        try:
            await _readable(self._pidfd)
        finally:
            returncode = process.poll()
            os.close(self._pidfd)
            self.pid = self._pidfd = None
            self._gone.set()
        assert returncode is not None, "a pidfd is readable when the process has ended"
        if self._exited is not None:
            self._exited(returncode)
        return exit_name(returncode)

    async def restart(self, grace_s: float) -> None:
        """End the process, as `stop` does, and start it again at once; not counted as a failure."""
        self._planned = self.up
        self._wake.set()
        await self._end(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Ask the process to finish (SIGTERM), and kill it when it has not after `grace_s` seconds."""
        self._stopping = True
        self._wake.set()
        await self._end(grace_s)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process lives."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def _end(self, grace_s: float) -> None:
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # one that somebody stopped could not finish
        try:
            await asyncio.wait_for(self._gone.wait(), grace_s)
        except TimeoutError:
            log.error("supervisor.role_killed", **self._facts, reason="grace_exceeded", grace_s=grace_s)
            self.send(signal.SIGKILL)
            await self._gone.wait()

    @property
    def _facts(self) -> dict[str, object]:
        return {"role": self.name} if self.lane is None else {"role": self.name, "lane": self.lane}


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
