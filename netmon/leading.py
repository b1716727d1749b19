"""What a process is of which one leads and the others wait: lock, lease, trouble with Redis, a report each second.

A kind of it says what leading is (`_begin_to_lead`) and what it reports (`_now`). It may be killed at any moment: whoever leads next
begins where the last flush stands.
"""

from __future__ import annotations

import gc
import os
import random
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from netmon.buffer.fenced import FencedError, FencedWriter
from netmon.errors import UnavailableError, disk_cure
from netmon.log import limited, log
from netmon.model import LeadState
from netmon.trap_receiver.bell import Bell
from netmon.trap_receiver.late.lock import FileLock

WAIT_S: Final = 0.25
"""Between two looks whether the leader is gone."""
_REPORT_S: Final = 1.0
_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0


class Leader(Protocol):
    """The work of whoever leads. Each method raises UnavailableError: Redis does not answer, or another one leads."""

    def work(self) -> float:
        """Takes what has come and writes what is due; returns how long to sleep, in seconds."""

    def leave(self) -> None:
        """Writes what is left to write, and hands over."""

    def close(self) -> None:
        """Ends its connections."""


_Leader = TypeVar("_Leader", bound=Leader)


def lock_file(directory: Path, name: str) -> Path:
    """Held by the one process of a name in this folder."""
    return directory / f"{name}.lock"


def name_file(directory: Path, name: str) -> Path:
    """Under which name it holds the lease: the same after a restart."""
    return directory / f"{name}.name"


class LeadingRole(ABC, Generic[_Leader]):
    """One process: it leads, or waits until the one that leads is gone."""

    def __init__(self, name: str, directory: Path, report_file: str, writer: FencedWriter) -> None:
        """Prepares.

        Args:
            name: `alarms`, `lines`: of its events in the log, and of its files.
            directory: Where it may write.
            report_file: Name of the report in there.
            writer: That has the lease.
        """
        self._name = name
        self._directory = directory
        self._report_file = report_file
        self._writer = writer
        self._lock = FileLock(lock_file(directory, name))
        self._bell = Bell(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._stopping = False
        self._leader: _Leader | None = None
        self._state: LeadState = "starting"
        self._started_unix_ns = time.time_ns()
        self._report_due_mono = 0.0
        self._retry_s = _RETRY_MIN_S

    def stop(self) -> None:
        """Makes `run` return after the pass at hand. Fit for a signal handler."""
        self._stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Works until `stop`."""
        # Held while we live: the lease of an earlier process of this name is ours, and need not run out.
        while not self._stopping and not self._lock.take():
            self._bell.wait(WAIT_S)
        while not self._stopping:
            try:
                self._bell.wait(self._turn())
            except FencedError as error:
                log.warning(f"{self._name}.lead_lost", detail=error.detail)
                self._count_lead_lost()
                self._drop()
            except UnavailableError as error:
                cure = f"look after the Redis that redis.url names; {self._name} go on where they stand when it is back"
                limited.warning(f"{self._name}.redis_lost", reason=error.reason, detail=error.detail, cure=cure)
                self._count_redis_lost(error)
                self._drop()
                self._state = "unreachable"
                self._wait_for_redis()
        self._hand_over()

    # -- what a kind of it says

    @abstractmethod
    def _begin_to_lead(self) -> _Leader:
        """The lease is ours: loads what Redis has. Raises UnavailableError."""

    @abstractmethod
    def _now(self) -> msgspec.Struct:
        """The report of this moment."""

    def _may_take_lead(self) -> bool:
        """Whether to try at all. Raises UnavailableError."""
        return True

    def _follow(self) -> None:
        """Another one leads."""

    def _count_lead_lost(self) -> None:
        """For the report."""

    def _count_redis_lost(self, error: UnavailableError) -> None:
        """For the report."""

    # -- leading

    def _turn(self) -> float:
        """Leads, or looks whether it may; returns how long to sleep. Raises UnavailableError."""
        if self._leader is None and not self._take_lead():
            self._report()
            return WAIT_S
        assert self._leader is not None
        sleep_s = self._leader.work()
        self._report()
        return sleep_s

    def _take_lead(self) -> bool:
        if not self._may_take_lead() or not self._writer.take(time.time_ns()):
            if self._state != "waiting":
                log.info(f"{self._name}.wait_begun", reason="another process leads")
            self._state = "waiting"
            self._follow()
            return False
        self._leader = self._begin_to_lead()
        # What has been loaded stays; a collector that looked through all of it would stand in the way of what comes.
        gc.freeze()
        self._state = "leading"
        self._retry_s = _RETRY_MIN_S
        return True

    def _drop(self) -> None:
        """Ends our time as the leader."""
        if self._leader is not None:
            self._leader.close()
            self._leader = None
            gc.unfreeze()
        self._writer.close()
        self._state = "starting"

    def _wait_for_redis(self) -> None:
        self._report()
        self._bell.wait(self._retry_s * random.uniform(0.5, 1.0))  # noqa: S311 - a jitter, not a secret
        self._retry_s = min(2 * self._retry_s, _RETRY_MAX_S)

    def _hand_over(self) -> None:
        if self._leader is not None:
            try:
                self._leader.leave()
            except UnavailableError as error:
                log.warning(f"{self._name}.lead_lost", detail=error.detail)
        self._drop()
        self._state = "stopped"
        self._report_due_mono = 0.0
        self._report()

    # -- what it tells

    def _report(self) -> None:
        """Writes the report once in a second."""
        if time.monotonic() < self._report_due_mono:
            return
        self._report_due_mono = time.monotonic() + _REPORT_S
        body = msgspec.json.encode(self._now())
        fresh = self._directory / f"{self._report_file}.new"
        try:
            fresh.write_bytes(body)
            fresh.replace(self._directory / self._report_file)
        except OSError as error:
            limited.warning(f"{self._name}.report_refused", reason=error.strerror, cure=disk_cure(error))


class RememberingRole(LeadingRole[_Leader]):
    """One of which whoever leads knows all that stands in Redis, and writes it again when Redis has forgotten it.

    So after such a loss nobody else takes the lead at once: he would begin with nothing.
    """

    def __init__(self, name: str, directory: Path, report_file: str, writer: FencedWriter, *, lease_s: float) -> None:
        """As `LeadingRole`; `lease_s`: for so long whoever led may come back."""
        super().__init__(name, directory, report_file, writer)
        self._lease_s = lease_s
        self._follows = False
        """Whether another one led when we last looked."""
        self._forgotten_mono = 0.0
        """Since when Redis has known of no leader, while we wait; 0: it does."""

    @abstractmethod
    def _forget(self) -> None:
        """Another one leads: whatever we know, he knows better."""

    def _may_take_lead(self) -> bool:
        """Not at once where somebody led until Redis forgot everything: he knows it all, and gets the time of a lease to come back."""
        if not self._follows or not self._writer.is_forgotten():
            self._forgotten_mono = 0.0
            return True
        self._forgotten_mono = self._forgotten_mono or time.monotonic()
        return time.monotonic() - self._forgotten_mono >= self._lease_s

    def _follow(self) -> None:
        self._follows = True
        self._forget()

    def _turn(self) -> float:
        sleep_s = super()._turn()
        if self._leader is not None:
            self._follows = False
        return sleep_s
