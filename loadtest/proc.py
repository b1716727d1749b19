"""What the kernel knows about processes and sockets: CPU, memory, drops. Reads /proc, changes nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Memory(msgspec.Struct, frozen=True):
    """Memory of a process (proc_pid_smaps_rollup(5)), bytes."""

    rss: int
    pss: int
    """As `rss`, but what several processes share is divided among them."""
    anonymous: int
    """Its own: heap and stacks, without files and shared memory."""


class UdpSockets(msgspec.Struct, frozen=True):
    """The UDP sockets bound to a port, added up."""

    drops: int
    """Datagrams that the kernel dropped at them since they were made."""
    queue_bytes: int
    """Kernel memory of the datagrams that wait in them."""


def descendants(pid: int) -> list[int]:
    """Returns `pid` and every process below it, in no order; those that end meanwhile may be missing."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, user and system, and of its children that have ended; 0 when it is gone."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND if fields else 0.0


def memory(pid: int) -> Memory | None:
    """The memory of a process; None when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
    return Memory(sizes.get("Rss", 0), sizes.get("Pss", 0), sizes.get("Anonymous", 0))


def command_line(pid: int) -> list[str]:
    """The command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def program(pid: int) -> str:
    """The file name of the program that a process runs, whatever it calls itself; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except (FileNotFoundError, ProcessLookupError):
        return ""


def udp_sockets(port: int) -> UdpSockets:
    """Drops and queue of the sockets bound to a port, over IPv4 and IPv6, from /proc/net/udp and udp6."""
    drops = queue_bytes = 0
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                drops += int(fields[12])
                queue_bytes += int(fields[4].partition(":")[2], 16)
    return UdpSockets(drops, queue_bytes)


def receive_buffer_bytes(port: int) -> int | None:
    """Receive buffer granted to the socket of a port, as the kernel books it; None when `ss` does not tell."""
    try:
        command = ["ss", "-uanmH", f"sport = :{port}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    _, _, rest = shown.partition(",rb")
    return int(rest.partition(",")[0]) if rest else None


def machine() -> dict[str, str]:
    """Facts without which a measurement means nothing."""
    cpu = next((line for line in _lines("/proc/cpuinfo") if line.startswith(("model name", "CPU part"))), "unknown")
    memory_kib = int(next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")).split()[1])
    return {
        "cpu": cpu.partition(":")[2].strip() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kib / (1 << 20):.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version() + ("" if sys.implementation.name == "cpython" else " (not CPython)"),
        "net.core.rmem_max": _lines("/proc/sys/net/core/rmem_max")[0],
        "net.core.netdev_max_backlog": _lines("/proc/sys/net/core/netdev_max_backlog")[0],
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (the state) on: [1] is the parent, [11:15] are the CPU times."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
