"""A reader beside a storm: follows the streams with XREAD and measures when each entry could be read.

Started as `python -m loadtest.follow` with a `lanes.Deployment` as JSON on standard input. Writes a line when it is in
place; on SIGTERM it writes a `reconcile.Quantiles` as JSON and ends. A process of its own, so that it measures netmon
and not the sender's Python.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from array import array
from typing import Any, Final

import msgspec

from loadtest.lanes import Deployment
from loadtest.reconcile import Quantiles, quantiles
from netmon.buffer.connection import Connection

_BLOCK_MS: Final = 100
_CHUNK: Final = 1_000
_RECEIVED: Final = re.compile(rb'"received_unix_ns":(\d+)')
_READY: Final = b"ready\n"


class Follower:
    """The reader as its parent sees it."""

    def __init__(self, deployment: Deployment) -> None:
        """Starts it; returns when it stands at the streams' ends."""
        command = [sys.executable, "-m", "loadtest.follow"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(deployment))
        self._process.stdin.close()
        self._process.stdin = None
        assert self._process.stdout.readline() == _READY, "the follower did not start"

    def stop(self) -> Quantiles | None:
        """Ends it; returns what it measured, None when nothing came."""
        self._process.send_signal(signal.SIGTERM)
        output, _ = self._process.communicate(timeout=30)
        return msgspec.json.decode(output, type=Quantiles | None)


def follow(deployment: Deployment) -> Quantiles | None:
    """Reads until SIGTERM.

    Raises:
        UnavailableError: Redis does not answer.
    """
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    connection = Connection(deployment.redis)
    after = {f"{lane.key_prefix}:traps".encode(): b"0-0" for lane in deployment.lanes}
    for key in after:
        newest = connection.command("XREVRANGE", key, "+", "-", "COUNT", 1)
        after[key] = newest[0][0] if newest else b"0-0"
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    latencies_ms = array("d")
    while not ending:
        _read(connection, after, latencies_ms)
    return quantiles(latencies_ms, "follower")


def _read(connection: Connection, after: dict[bytes, bytes], latencies_ms: array[float]) -> None:
    command = ("XREAD", "BLOCK", _BLOCK_MS, "COUNT", _CHUNK, "STREAMS")
    reply: Any = connection.command(*command, *after, *after.values())
    now_unix_ns = time.time_ns()
    for key, entries in reply or []:
        after[key] = entries[-1][0]
        for _, fields in entries:
            match = _RECEIVED.search(fields[1])
            if match:
                latencies_ms.append((now_unix_ns - int(match[1])) / 1e6)


if __name__ == "__main__":
    measured = follow(msgspec.json.decode(sys.stdin.buffer.read(), type=Deployment))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
