"""The figures of the receiver as a whole: bursts, storms, CPU, latency, memory."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest import lanes, proc
from loadtest.figures.compare import Rung, measure
from loadtest.figures.outcome import Outcome
from loadtest.figures.peers import ComparedNetmon, Peer, Pysnmp, Snmptrapd
from loadtest.figures.sampling import Sampler, slope
from loadtest.figures.subject import USUAL, Netmon
from loadtest.follow import Auditor, Follower
from loadtest.profile import for_count
from loadtest.reconcile import faults
from loadtest.ring import RingPlan
from loadtest.storm import Sent, StormPlan, default_batch, new_run, run_storm
from loadtest.target import Target

_SOURCES: Final = 2_000
_DRAIN_TIMEOUT_S: Final = 900.0
_FLAT_BYTES: Final = 32 << 20
"""What a role may grow after the first third and still be called flat: caches that fill, and the allocator's slack."""
_CPU_RATES: Final = {"netmon": 60_000, "snmptrapd": 5_000, "pysnmp": 500}
"""Traps per second that each sustains without loss on two cores, with some reserve."""
_JUDGED_ROLES: Final = ("supervisor", "capture", "commit", "decode", "late")
"""Valkey holds the streams, as much as its budget says; it is shown and not judged."""


def burst(work_dir: Path, quick: bool) -> Outcome:
    """As many traps as fast as the sender can, into capture; then everything is looked up."""
    count = 100_000 if quick else 1_000_000
    with Netmon(work_dir) as netmon:
        before, cpu_s = netmon.totals(), netmon.cpu_by_role()
        sent = _storm(netmon, rate=400_000, count=count, gso=8)
        captured_s = _await_captured(netmon, before, count)
        cpu_s = _difference(cpu_s, netmon.cpu_by_role())
        balance = lanes.reconcile(netmon.deployment, sent, before, _drained(netmon, sent, before))
    wrong = faults(balance)
    return Outcome(
        passed=not wrong and sent.rate >= 300_000,
        figures={
            "sent/s": sent.rate,
            "captured/s": count / (sent.seconds + captured_s - sent.ended_mono_s),
            "lost": balance.missing,
            "kernel drops": balance.kernel_dropped,
            "capture CPU µs/trap": cpu_s.get("capture", 0.0) / count * 1e6,
            "sender CPU µs/trap": sent.cpu_s / count * 1e6,
            "drained after s": balance.lag_s,
        },
        faults=wrong,
        detail={"sent": sent, "balance": balance},
    )


def sustained(work_dir: Path, quick: bool) -> Outcome:
    """End to end at a constant rate: the backlog is watched, while a consumer group looks every number up.

    The streams have the budget that netmon has by default: what the consumer has read is trimmed, as in operation.
    """
    rate, seconds = 61_000, 5 if quick else 120
    with Netmon(work_dir, stream_bytes_max=USUAL) as netmon:
        before, cpu_s, run = netmon.totals(), netmon.cpu_by_role(), new_run()
        auditor = Auditor(netmon.deployment, run, rate * seconds)
        with Sampler(lambda _: netmon.totals().in_flight) as sampler:
            sent = _storm(netmon, rate=rate, count=rate * seconds, gso=8, run=run)
        drain = _drained(netmon, sent, before)
        cpu_s = _difference(cpu_s, netmon.cpu_by_role())
        balance = lanes.reconcile(netmon.deployment, sent, before, drain, audited=auditor.stop())
    growth = slope([(at, float(backlog)) for at, backlog in sampler.samples if at > seconds * 0.1])
    wrong = faults(balance)
    if growth > rate * 0.005:
        wrong.append(f"the backlog grew by {growth:,.0f} traps a second")
    return Outcome(
        passed=not wrong and sent.rate >= 60_000,
        figures={
            "sent and stored/s": sent.rate,
            "lost": balance.missing,
            "backlog growth/s": growth,
            "backlog at most": max(backlog for _, backlog in sampler.samples),
            "lag at the end s": balance.lag_s,
            "CPU µs/trap": sum(cpu_s.values()) / sent.count * 1e6,
            "sender CPU µs/trap": sent.cpu_s / sent.count * 1e6,
        },
        faults=wrong,
        detail={"sent": sent, "balance": balance, "backlog": sampler.samples, "cpu_s": cpu_s},
    )


def cpu(work_dir: Path, quick: bool) -> Outcome:
    """CPU per trap of the three receivers, taking turns, each at a rate that it sustains; netmon at snmptrapd's, too.

    netmon works in batches, so its price of a trap falls as the rate rises: the verdict holds for `_CPU_RATES` only, and
    the ratio at an equal rate stands beside it.
    """
    rounds, seconds = (1, 2) if quick else (3, 10)
    fast, slow = _CPU_RATES["netmon"], _CPU_RATES["snmptrapd"]
    spent: dict[str, list[float]] = {}
    rungs: list[Rung] = []

    def one(peer: Peer, rate: int, name: str) -> Rung:
        rungs.append(measure(peer, rate, rate * seconds, sources=_SOURCES, mix=("linkdown",)))
        spent.setdefault(name, []).append(rungs[-1].cpu_us)
        return rungs[-1]

    for _ in range(rounds):
        for rate in (fast, slow):
            with ComparedNetmon(work_dir) as netmon:
                before = netmon.cpu_by_role()
                stored = one(netmon, rate, f"tree {rate}").stored
                by_role = _difference(before, netmon.spent)
            path_s = sum(by_role.get(role, 0.0) for role in ("capture", "decode", "valkey"))
            spent.setdefault(f"path {rate}", []).append(path_s / stored * 1e6)
        with Snmptrapd(work_dir) as snmptrapd:
            one(snmptrapd, slow, "snmptrapd")
        with Pysnmp(work_dir) as pysnmp:
            one(pysnmp, _CPU_RATES["pysnmp"], "pysnmp")
    wrong = [f"{rung.receiver} lost {rung.lost_share:.1%} at {rung.offered_rate:,.0f}/s" for rung in rungs if rung.lost]
    medians = {name: statistics.median(values) for name, values in spent.items()}
    path, slow_path = medians[f"path {fast}"], medians[f"path {slow}"]
    return Outcome(
        passed=not wrong and path <= medians["snmptrapd"] / 3 and path <= medians["pysnmp"] / 40,
        figures={
            f"capture + decode + Redis at {fast:,}/s, µs/trap": path,
            f"whole netmon at {fast:,}/s, µs/trap": medians[f"tree {fast}"],
            f"capture + decode + Redis at {slow:,}/s, µs/trap": slow_path,
            f"whole netmon at {slow:,}/s, µs/trap": medians[f"tree {slow}"],
            f"snmptrapd at {slow:,}/s, µs/trap": medians["snmptrapd"],
            f"pysnmp at {_CPU_RATES['pysnmp']:,}/s, µs/trap": medians["pysnmp"],
            "times cheaper than snmptrapd": medians["snmptrapd"] / path,
            "times cheaper than pysnmp": medians["pysnmp"] / path,
            f"times cheaper than snmptrapd, both at {slow:,}/s": medians["snmptrapd"] / slow_path,
        },
        faults=wrong,
        detail={"rungs": rungs, "cpu_us": spent},
    )


def latency(work_dir: Path, quick: bool) -> Outcome:
    """From the kernel's receive time to the moment when a reader of the stream has the entry."""
    rate, seconds = 5_000, 3 if quick else 30
    with Netmon(work_dir) as netmon:
        before = netmon.totals()
        follower = Follower(netmon.deployment)
        sent = _storm(netmon, rate=rate, count=rate * seconds)
        drain = _drained(netmon, sent, before)
        seen = follower.stop()
        balance = lanes.reconcile(netmon.deployment, sent, before, drain)
    wrong = faults(balance)
    if seen is None or seen.count != sent.count:
        wrong.append(f"the follower saw {seen.count if seen else 0:,} of {sent.count:,} entries")
    figures = {"sent/s": sent.rate, "lost": float(balance.missing)}
    if seen:
        figures |= {
            "p50 ms": seen.p50_ms,
            "p90 ms": seen.p90_ms,
            "p99 ms": seen.p99_ms,
            "p99.9 ms": seen.p999_ms,
            "max ms": seen.max_ms,
        }
    return Outcome(
        passed=not wrong and seen is not None and seen.p99_ms <= 20.0,
        figures=figures,
        faults=wrong,
        detail={"sent": sent, "balance": balance, "latency": seen},
    )


def memory(work_dir: Path, quick: bool) -> Outcome:
    """A long storm with Redis away for its middle third: frozen first, then killed, so that the supervisor starts it."""
    count, rate = (300_000, 50_000) if quick else (5_000_000, 50_000)
    third_s = count / rate / 3
    with Netmon(work_dir) as netmon:
        before = netmon.totals()
        away = _Away(netmon, third_s)
        with Sampler(away.look, interval_s=0.5 if quick else 1.0) as sampler:
            sent = _storm(netmon, rate=rate, count=count)
            drain = _drained(netmon, sent, before)
        balance = lanes.reconcile(netmon.deployment, sent, before, drain)
    wrong = faults(balance) + ([] if not away.steps else ["Redis was not taken away: the storm was too short"])
    peaks = {role: _peak(sampler.samples, role) for role in (*_JUDGED_ROLES, "valkey")}
    early = {role: _peak([s for s in sampler.samples if s[0] <= third_s], role) for role in _JUDGED_ROLES}
    fat = [role for role in _JUDGED_ROLES if peaks[role] > 150e6]
    wrong += [f"{role} used {peaks[role] / 1e6:,.0f} MB" for role in fat]
    wrong += [f"{role} is not flat" for role in _JUDGED_ROLES if peaks[role] - early[role] > _FLAT_BYTES]
    if balance.inversions:
        wrong.append(f"{balance.inversions:,} entries are out of order")
    figures = {f"{role} peak RSS MB": peak / 1e6 for role, peak in peaks.items()}
    figures |= {f"{role} growth after the first third MB": (peaks[role] - early[role]) / 1e6 for role in _JUDGED_ROLES}
    return Outcome(
        passed=not wrong,
        figures={**figures, "lost": balance.missing, "drained after s": balance.lag_s},
        faults=wrong,
        detail={"sent": sent, "balance": balance, "memory": sampler.samples},
    )


class _Away:
    """Takes Redis away for the middle third, while it samples the memory of every role.

    Attributes:
        steps: (seconds since the start, signal) that Valkey has still to get.
    """

    def __init__(self, netmon: Netmon, third_s: float) -> None:
        self._netmon = netmon
        # Frozen first, so that netmon meets a Redis that does not answer; then killed, so that it meets none.
        self.steps = [(third_s, signal.SIGSTOP), (2 * third_s, signal.SIGKILL)]

    def look(self, elapsed_s: float) -> dict[str, proc.Memory]:
        roles = self._netmon.roles()
        redis = [pid for pid, role in roles.items() if role == "valkey"]
        if redis and self.steps and elapsed_s >= self.steps[0][0]:
            os.kill(redis[0], self.steps.pop(0)[1])
        return {role: found for pid, role in roles.items() if (found := proc.memory(pid))}


def _peak(samples: Sequence[tuple[float, dict[str, proc.Memory]]], role: str) -> int:
    return max((seen[role].rss for _, seen in samples if role in seen), default=0)


def _storm(netmon: Netmon, *, rate: float, count: int, gso: int = 1, run: int | None = None) -> Sent:
    """Sends the bar's trap from many sources."""
    target = Target("127.0.0.1", netmon.port)
    ring = RingPlan(target=target, run=run or new_run(), sources=_SOURCES, gso=gso)
    return run_storm(StormPlan(ring=ring, profile=for_count("step", rate, count), batch_max=default_batch(gso)))


def _drained(netmon: Netmon, sent: Sent, before: lanes.Totals) -> lanes.Drain:
    return lanes.await_drained(netmon.deployment, netmon.port, before, sent=sent.count, timeout_s=_DRAIN_TIMEOUT_S)


def _await_captured(netmon: Netmon, before: lanes.Totals, count: int) -> float:
    """Waits until as many have reached capture or been dropped; returns when (time.monotonic), or after 10 seconds."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        now = netmon.totals()
        if now.captured + now.kernel_drops - before.captured - before.kernel_drops >= count:
            break
        time.sleep(0.005)
    return time.monotonic()


def _difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {role: spent - before.get(role, 0.0) for role, spent in after.items()}
