"""The figures of decoding: SNMPv3, names, what goes first in a storm, and replay.

What decode can do is measured by a drain: it is stopped (SIGSTOP) while a storm is captured, let go, and timed until all of
it is in Redis. Neither the sender nor capture then takes part.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtest import lanes, proc, v3
from loadtest.figures.outcome import Outcome
from loadtest.figures.peers import PysnmpV3
from loadtest.figures.subject import ROOT, Netmon
from loadtest.profile import for_count
from loadtest.reconcile import faults, number_in_trap
from loadtest.ring import RingPlan
from loadtest.storm import Sent, StormPlan, default_batch, new_run, run_storm
from loadtest.target import Target
from loadtest.templates import build, number
from netmon.buffer.connection import Connection

_SOURCES: Final = 2_000
_DRAIN_TIMEOUT_S: Final = 900.0
_NEVER_SHED: Final = {"backlog_max": 0}
_POLL_S: Final = 0.005
_PEER_RATE: Final = 150.0
"""Traps a second that pysnmp sustains."""
_PROBE_INTERVAL_S: Final = 0.25
_PROBE_TIMEOUT_S: Final = 10.0
_PROBE_SOURCE: Final = "127.99.{}.{}"
"""Addresses that no storm uses."""


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How fast decode worked a backlog off."""

    count: int
    seconds: float
    cpu_s: float
    """Of decode alone."""

    @property
    def rate(self) -> float:
        """Traps a second, from the journal to what Redis has acknowledged."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Decode's CPU for a trap, microseconds."""
        return self.cpu_s / self.count * 1e6


def drain(netmon: Netmon, fill: Callable[[], Sent]) -> tuple[Sent, Drain]:
    """Fills the journal while decode stands still, then times decode alone.

    Args:
        netmon: With an empty backlog.
        fill: Sends a storm.
    """
    before = netmon.totals()
    with _standing(netmon) as pid:
        sent = fill()
        _await(lambda: netmon.totals().captured - before.captured >= sent.count)
        time.sleep(0.5)  # commit's last trip to the disk
        cpu_s = proc.cpu_s(pid)
    started_s = time.monotonic()
    _await(lambda: netmon.totals().in_flight == 0)
    seconds = time.monotonic() - started_s
    return sent, Drain(count=sent.count, seconds=seconds, cpu_s=proc.cpu_s(pid) - cpu_s)


@contextlib.contextmanager
def _standing(netmon: Netmon) -> Iterator[int]:
    """Keeps decode stopped; yields its pid."""
    pid = next(pid for pid, role in netmon.roles().items() if role == "decode")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def _await(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _DRAIN_TIMEOUT_S
    while not done():
        if time.monotonic() > deadline_s:
            raise TimeoutError("netmon does not get on")
        time.sleep(_POLL_S)


def _storm(netmon: Netmon, count: int, *, run: int | None = None) -> Sent:
    ring = RingPlan(target=Target("127.0.0.1", netmon.port), run=run or new_run(), sources=_SOURCES, gso=8)
    plan = StormPlan(ring=ring, profile=for_count("step", 200_000, count), batch_max=default_batch(8))
    return run_storm(plan)


def snmpv3(work_dir: Path, quick: bool) -> Outcome:
    """SNMPv3 TRAPs, authPriv with SHA-256 and AES-128, from a thousand engines; pysnmp in turn with netmon."""
    rounds, count, peer_count = (1, 10_000, 400) if quick else (3, 200_000, 2_000)
    engines = 50 if quick else v3.ENGINES
    user = v3.write_user(work_dir)
    drains, peer_us, wrong = [], [], []
    for _ in range(rounds):
        with Netmon(work_dir, shedding=_NEVER_SHED, snmpv3={"users": [user]}) as netmon:
            before, run = netmon.totals(), new_run()
            storm = v3.Storm(run, count, engines)
            sent, drained = drain(netmon, functools.partial(storm.send, netmon.port))
            drains.append(drained)
            done = lanes.Drain(True, time.monotonic())
            balance = lanes.reconcile(netmon.deployment, sent, before, done)
            wrong += faults(balance)
            if balance.in_traps != count:
                wrong.append(f"{balance.in_traps:,} of {count:,} are in the traps stream")
        with PysnmpV3(work_dir, engines) as pysnmp:
            cpu_s = pysnmp.cpu_s()
            sent = v3.Storm(new_run(), peer_count, engines).send(pysnmp.port, _PEER_RATE)
            pysnmp.await_drained(sent, _DRAIN_TIMEOUT_S)
            cpu_s = pysnmp.cpu_s() - cpu_s
            stored = pysnmp.stored(sent)
            if stored < peer_count:
                wrong.append(f"pysnmp took {stored:,} of {peer_count:,}")
            peer_us.append(cpu_s / max(stored, 1) * 1e6)
    rate, peer_rate = statistics.median(one.rate for one in drains), 1e6 / statistics.median(peer_us)
    return Outcome(
        passed=not wrong and rate >= 20_000 and rate >= 20 * peer_rate,
        figures={
            "decoded and stored/s": rate,
            "decode CPU µs/trap": statistics.median(one.cpu_us for one in drains),
            "pysnmp/s on a whole core": peer_rate,
            "times pysnmp": rate / peer_rate,
        },
        faults=wrong,
        detail={"drains": drains, "pysnmp_cpu_us": peer_us},
    )


def names(work_dir: Path, quick: bool) -> Outcome:
    """SNMPv2c with names and enumerations resolved, in turn with the same without."""
    rounds, count = (1, 20_000) if quick else (5, 300_000)
    drains: dict[bool, list[Drain]] = {True: [], False: []}
    for turn in range(2 * rounds):
        resolve = turn % 2 == 0
        with Netmon(work_dir, shedding=_NEVER_SHED, mibs={"resolve_names": resolve}) as netmon:
            drain(netmon, functools.partial(_storm, netmon, count // 10))  # fills the caches
            drains[resolve].append(drain(netmon, functools.partial(_storm, netmon, count))[1])
    rates = {resolve: statistics.median(one.rate for one in found) for resolve, found in drains.items()}
    cpu_us = {resolve: statistics.median(one.cpu_us for one in found) for resolve, found in drains.items()}
    return Outcome(
        passed=rates[True] >= 0.8 * rates[False],
        figures={
            "with names/s": rates[True],
            "without/s": rates[False],
            "share %": rates[True] / rates[False] * 100,
            "decode CPU µs/trap with names": cpu_us[True],
            "without": cpu_us[False],
        },
        faults=[],
        detail={"with": drains[True], "without": drains[False]},
    )


def replay(work_dir: Path, quick: bool) -> Outcome:
    """`netmon replay` over a journal, beside the netmon that it belongs to: compared only, sent, and sent once more."""
    # Sent once more, all of it is in Redis twice: more would measure how fast the machine gets new memory.
    count = 30_000 if quick else 500_000
    wrong: list[str] = []
    with Netmon(work_dir, shedding=_NEVER_SHED) as netmon:
        started_s, before = time.time(), netmon.totals()
        _storm(netmon, count)
        _await(lambda: netmon.totals().captured - before.captured >= count and netmon.totals().in_flight == 0)
        told = {
            "compared": _replay(netmon, started_s, "--dry-run"),
            "sent": _replay(netmon, started_s, "--all"),
            "again": _replay(netmon, started_s, "--all"),
        }
        late = sum(
            Connection(netmon.deployment.redis).command("XLEN", f"{lane.key_prefix}:late")
            for lane in netmon.deployment.lanes
        )
    if late != count:
        wrong.append(f"{late:,} of {count:,} are in the late stream after two replays")
    return Outcome(
        passed=not wrong and min(count / seconds for seconds in told.values()) >= 50_000,
        figures={f"{name}, traps/s": count / seconds for name, seconds in told.items()},
        faults=wrong,
        detail=told,
    )


def _replay(netmon: Netmon, since_s: float, *options: str) -> float:
    """Seconds that a replay of everything since a moment takes, from its start to its end."""
    command = [sys.executable, "-m", "netmon", "replay", "-c", str(netmon.config_file), "--json", *options]
    began_s = time.monotonic()
    window = ["--from", f"{since_s:.3f}", "--to", "now"]
    done = subprocess.run([*command, *window], check=False, capture_output=True, text=True, cwd=ROOT)
    seconds = time.monotonic() - began_s
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-2_000:]}")
    return seconds


def first(work_dir: Path, quick: bool) -> Outcome:
    """Traps that say something new, sent while decode has a backlog of two million: when a reader has each of them."""
    count = 100_000 if quick else 2_000_000
    with Netmon(work_dir, shedding={"backlog_max": count // 10}) as netmon:
        before, run = netmon.totals(), new_run()
        with _standing(netmon):
            sent = _storm(netmon, count, run=run)
            _await(lambda: netmon.totals().captured - before.captured >= count)
        probes = _probe(netmon, run + 1, count)
        drained = lanes.await_drained(
            netmon.deployment, netmon.port, before, sent=count + len(probes), timeout_s=_DRAIN_TIMEOUT_S
        )
        balance = lanes.reconcile(netmon.deployment, sent, before, drained)
    wrong = faults(balance)
    if balance.unaccounted != -len(probes):
        wrong.append(f"{-balance.unaccounted:,} instead of {len(probes):,} were captured besides the storm")
    latencies_ms = [probe.latency_ms for probe in probes]
    return Outcome(
        passed=not wrong and max(latencies_ms) <= 1_000.0,
        figures={
            "backlog at the first": probes[0].backlog,
            "backlog at the last": probes[-1].backlog,
            "new ones sent": len(probes),
            "p50 ms": statistics.median(latencies_ms),
            "worst ms": max(latencies_ms),
            "lost": balance.missing,
            "all in the streams after s": drained.mono_s - sent.ended_mono_s,
        },
        faults=wrong,
        detail={"sent": sent, "balance": balance, "probes": probes},
    )


class Probe(msgspec.Struct, frozen=True):
    """One trap that says something new."""

    backlog: int
    """Datagrams between journal and streams when it was sent."""
    latency_ms: float
    """Until a reader had it."""


def _probe(netmon: Netmon, run: int, backlog: int) -> list[Probe]:
    """Sends new traps one by one while there is a backlog, and waits for each in whatever stream it comes."""
    reader = Connection(netmon.deployment.redis)
    prefixes = [lane.key_prefix for lane in netmon.deployment.lanes]
    keys = [f"{prefix}:{kind}".encode() for prefix in prefixes for kind in ("traps", "express", "late")]
    probes: list[Probe] = []
    while backlog > 0:
        after = [_last_id(reader, key) for key in keys]
        began_s = time.monotonic()
        _send_new(netmon.port, run, len(probes))
        _await_number(reader, dict(zip(keys, after, strict=True)), number(run, len(probes)), began_s)
        probes.append(Probe(backlog, (time.monotonic() - began_s) * 1e3))
        time.sleep(max(0.0, began_s + _PROBE_INTERVAL_S - time.monotonic()))
        backlog = netmon.totals().in_flight
    reader.close()
    return probes


def _send_new(port: int, run: int, index: int) -> None:
    """A linkDown of a device that nobody has heard of before."""
    template = build("linkdown", "v2c", device=index)
    datagram = bytearray(template.datagram)
    datagram[template.number_at : template.number_at + 8] = number(run, index).to_bytes(8, "big")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((_PROBE_SOURCE.format(index // 250, 1 + index % 250), 0))
        sock.sendto(datagram, ("127.0.0.1", port))


def _last_id(reader: Connection, key: bytes) -> bytes:
    newest: Any = reader.command("XREVRANGE", key, "+", "-", "COUNT", 1)
    return bytes(newest[0][0]) if newest else b"0-0"


def _await_number(reader: Connection, after: dict[bytes, bytes], wanted: int, began_s: float) -> None:
    """Follows the streams until the number is there."""
    while time.monotonic() < began_s + _PROBE_TIMEOUT_S:
        reply: Any = reader.command("XREAD", "BLOCK", 50, "COUNT", 2_000, "STREAMS", *after, *after.values())
        for key, entries in reply or []:
            after[key] = entries[-1][0]
            if any(fields[0] == b"trap" and number_in_trap(fields[1]) == wanted for _, fields in entries):
                return
    raise TimeoutError(f"a trap is in no stream {_PROBE_TIMEOUT_S:.0f} s after it was sent")
