"""The peers that netmon is measured against: Debian's snmptrapd, and pysnmp's ntfrcv."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from loadtest import lanes, proc
from loadtest.figures.subject import Netmon, Process
from loadtest.storm import Sent
from loadtest.templates import NUMBER_OID, POSITION_BITS

_IDLE_CPU_SHARE: Final = 0.05
_POLL_S: Final = 0.25


class Peer(Protocol):
    """A receiver that can be compared."""

    label: str
    port: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def cpu_s(self) -> float:
        """CPU seconds of its process tree."""

    def await_drained(self, sent: Sent, timeout_s: float) -> float:
        """Waits until it has dealt with all that reached it; returns when it had (time.monotonic)."""

    def stored(self, sent: Sent) -> int:
        """How many traps of a storm it has; may stop it."""


class ComparedNetmon(Netmon):
    """netmon: stored is what a look into its streams finds."""

    label = "netmon"
    spent: dict[str, float]
    """CPU seconds of each role since its start, as they were before `stored` made Valkey work for the audit."""

    def await_drained(self, sent: Sent, timeout_s: float) -> float:
        """By its ledger, which was empty at its start."""
        nothing = lanes.Totals()
        return lanes.await_drained(self.deployment, self.port, nothing, sent=sent.count, timeout_s=timeout_s).mono_s

    def stored(self, sent: Sent) -> int:
        """Different numbers of the storm in the traps streams."""
        self.spent = self.cpu_by_role()
        audit, _, _ = lanes.audit_streams(self.deployment, sent)
        return audit.found


class Snmptrapd(Process):
    """Net-SNMP's daemon printing to a file, numeric, without MIBs: the cheapest way it has to keep traps."""

    def __init__(self, work_dir: Path, receive_buffer_bytes: int | None = None) -> None:
        """`receive_buffer_bytes`: for its setting `serverRecvBuf`; None leaves the kernel's default."""
        super().__init__(work_dir)
        self._receive_buffer_bytes = receive_buffer_bytes
        size = f", {receive_buffer_bytes >> 20} MiB" if receive_buffer_bytes else ""
        self.label = f"snmptrapd{size}"

    def command(self) -> list[str]:
        """In the foreground, logging to a file."""
        lines = ["disableAuthorization yes", f"snmpTrapdAddr udp:127.0.0.1:{self.port}"]
        if self._receive_buffer_bytes:
            lines = ["[snmp]", f"serverRecvBuf {self._receive_buffer_bytes}", "[snmptrapd]", *lines]
        config = self.folder / "snmptrapd.conf"
        config.write_text("\n".join(lines) + "\n")
        return ["snmptrapd", "-f", "-n", "-On", "-m", "", "-C", "-c", str(config), "-Lf", str(self._traps)]

    @property
    def _traps(self) -> Path:
        return self.folder / "traps.log"

    def await_drained(self, sent: Sent, timeout_s: float) -> float:  # noqa: ARG002
        """By its socket's queue and its CPU."""
        return _await_quiet(self, timeout_s)

    def stored(self, sent: Sent) -> int:
        """Different numbers of the storm in its file."""
        self.stop()
        return len({n for n in numbers_in_print(self._traps) if n >> POSITION_BITS == sent.run})


class Pysnmp(Process):
    """pysnmp's notification receiver, counting callbacks."""

    label = "pysnmp"

    def command(self) -> list[str]:
        """The script beside this file."""
        return [sys.executable, "-m", "loadtest.figures.ntfrcv", str(self.port)]

    def await_drained(self, sent: Sent, timeout_s: float) -> float:  # noqa: ARG002
        """By its socket's queue and its CPU."""
        return _await_quiet(self, timeout_s)

    def stored(self, sent: Sent) -> int:
        """Callbacks, as it says when it ends; never more than were sent."""
        self.stop()
        return min(sent.count, int(json.loads(self.log.read_text().splitlines()[-1])["callbacks"]))


class PysnmpV3(Pysnmp):
    """The same with a user of `loadtest.v3` at each of its engines."""

    def __init__(self, work_dir: Path, engines: int) -> None:
        super().__init__(work_dir)
        self._engines = engines

    def command(self) -> list[str]:
        """Knows all engines from the start."""
        return [*super().command(), str(self._engines)]


def numbers_in_print(path: Path) -> list[int]:
    """The numbers of all traps that snmptrapd printed to a file with `-On`."""
    pattern = re.compile(re.escape(NUMBER_OID) + r" = (?:Counter64: (\d+)|STRING: \"([0-9a-f]{16})\")")
    with path.open(errors="replace") as lines:
        matches = (pattern.search(line) for line in lines)
        return [int(m[1]) if m[1] else int(m[2], 16) for m in matches if m]


def _await_quiet(peer: Peer, timeout_s: float) -> float:
    """Waits until the socket's queue is empty and the process tree uses next to no CPU."""
    deadline_s = time.monotonic() + timeout_s
    busy_s = time.monotonic()
    cpu_s = peer.cpu_s()
    while time.monotonic() < deadline_s:
        start_s = time.monotonic()
        time.sleep(_POLL_S)
        before, cpu_s = cpu_s, peer.cpu_s()
        share = (cpu_s - before) / (time.monotonic() - start_s)
        if proc.udp_sockets(peer.port).queue_bytes == 0 and share < _IDLE_CPU_SHARE:
            return busy_s
        busy_s = time.monotonic()
    return busy_s
