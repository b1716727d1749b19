"""A consumer beside a storm: reads the streams as they grow, measures when each entry could be read, or looks its number up.

Started as `python -m loadtest.follow` with a `Task` as JSON on standard input. Writes a line when it is in place; on
SIGTERM it reads what is left, writes what it found as JSON and ends. A process of its own, so that it measures netmon and
not the sender's Python.
"""

from __future__ import annotations

import abc
import re
import signal
import subprocess
import sys
import time
from array import array
from typing import Any, Final, Generic, TypeVar

import msgspec

from loadtest.lanes import Deployment
from loadtest.reconcile import Audit, Audited, Quantiles, number_in_entry, quantiles
from netmon.buffer.connection import Connection

_BLOCK_MS: Final = 100
_CHUNK: Final = 2_000
_RECEIVED: Final = re.compile(rb'"received_unix_ns":(\d+)')
_READY: Final = b"ready\n"
_GROUP: Final = "loadtest"
_STOP_TIMEOUT_S: Final = 60.0

_Found = TypeVar("_Found")


class Task(msgspec.Struct, frozen=True):
    """What a consumer is to do."""

    deployment: Deployment
    audit: tuple[int, int] | None = None
    """Run and count of the storm whose numbers are looked up; None: latencies are measured."""


class _Consumer(abc.ABC, Generic[_Found]):
    """The consumer as its parent sees it."""

    def __init__(self, task: Task, found: Any) -> None:
        """Starts it; returns when it is in place."""
        command = [sys.executable, "-m", "loadtest.follow"]
        self._found = found
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(task))
        self._process.stdin.close()
        self._process.stdin = None
        assert self._process.stdout.readline() == _READY, "the consumer did not start"

    def stop(self) -> _Found:
        """Ends it when it has read all that is there; returns what it found."""
        self._process.send_signal(signal.SIGTERM)
        output, _ = self._process.communicate(timeout=_STOP_TIMEOUT_S)
        found: _Found = msgspec.json.decode(output, type=self._found)
        return found


class Follower(_Consumer["Quantiles | None"]):
    """Measures from the kernel's receive time to the moment when a reader has the entry; None when nothing came."""

    def __init__(self, deployment: Deployment) -> None:
        """Starts it at the streams' ends."""
        super().__init__(Task(deployment), Quantiles | None)


class Auditor(_Consumer[Audited]):
    """Looks up every number of a storm while the storm blows.

    It reads as a consumer group, so that netmon keeps what it has not read yet, and trims what it has: the streams stay
    within an ordinary budget, however long the storm.
    """

    def __init__(self, deployment: Deployment, run: int, count: int) -> None:
        """Starts it with a group that begins at the streams' beginnings."""
        super().__init__(Task(deployment, (run, count)), Audited)


def follow(deployment: Deployment) -> Quantiles | None:
    """Reads from the streams' ends until SIGTERM, and measures. Raises UnavailableError."""
    connection, keys = Connection(deployment.redis), _keys(deployment)
    after = dict.fromkeys(keys, b"0-0")
    for key in keys:
        newest = connection.command("XREVRANGE", key, "+", "-", "COUNT", 1)
        after[key] = newest[0][0] if newest else b"0-0"
    latencies_ms = array("d")
    ending = _in_place()
    while True:
        command = ("XREAD", "BLOCK", _BLOCK_MS, "COUNT", _CHUNK, "STREAMS")
        reply: Any = connection.command(*command, *after, *after.values())
        now_unix_ns = time.time_ns()
        if not reply and ending:
            return quantiles(latencies_ms, "follower")
        for key, entries in reply or []:
            after[key] = entries[-1][0]
            for _, fields in entries:
                match = _RECEIVED.search(fields[1])
                if match:
                    latencies_ms.append((now_unix_ns - int(match[1])) / 1e6)


def audit(deployment: Deployment, run: int, count: int) -> Audited:
    """Reads the traps, express and late streams as a consumer group until SIGTERM, and looks numbers up. Raises UnavailableError."""
    connection, keys = Connection(deployment.redis), _keys(deployment)
    for key in keys:
        connection.command("XGROUP", "CREATE", key, _GROUP, "0", "MKSTREAM")
    book = Audit(run, count)
    ending = _in_place()
    while True:
        command = ("XREADGROUP", "GROUP", _GROUP, "1", "COUNT", _CHUNK, "BLOCK", _BLOCK_MS, "NOACK", "STREAMS")
        reply: Any = connection.command(*command, *keys, *([">"] * len(keys)))
        if not reply and ending:
            return book.result()
        for _, entries in reply or []:
            book.add([number_in_entry(fields[1]) for _, fields in entries])


def _keys(deployment: Deployment) -> list[bytes]:
    return [f"{lane.key_prefix}:{kind}".encode() for lane in deployment.lanes for kind in ("traps", "express", "late")]


def _in_place() -> list[int]:
    """Tells the parent; returns a list that is empty until SIGTERM."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    return ending


if __name__ == "__main__":
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    result = audit(told.deployment, *told.audit) if told.audit else follow(told.deployment)
    sys.stdout.buffer.write(msgspec.json.encode(result))
