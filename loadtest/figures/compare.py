"""The same storms for netmon, snmptrapd and pysnmp, in one run on one machine: who keeps how much, at what price."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtest import proc
from loadtest.figures.peers import ComparedNetmon, Peer, Pysnmp, Snmptrapd
from loadtest.profile import for_count
from loadtest.ring import RingPlan
from loadtest.storm import Sent, StormPlan, default_batch, new_run, run_storm
from loadtest.target import Target

RATES: Final = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000)
SECONDS: Final = 10.0
SNMPTRAPD_BUFFER_BYTES: Final = 64 << 20
HOPELESS_LOSS: Final = 0.5
"""A receiver that loses more than this share twice is not asked to go faster."""
_DRAIN_TIMEOUT_S: Final = 180.0
_GSO_RATE_MIN: Final = 200_000.0

RECEIVERS: Final[dict[str, Callable[[Path], Peer]]] = {
    "netmon": ComparedNetmon,
    "snmptrapd": Snmptrapd,
    "snmptrapd-64m": lambda work_dir: Snmptrapd(work_dir, SNMPTRAPD_BUFFER_BYTES),
    "pysnmp": Pysnmp,
}
"""Every receiver by its name in `--receivers`."""


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One receiver at one rate."""

    receiver: str
    offered_rate: float
    """Traps per second that were asked for."""
    sent_rate: float
    sent: int
    stored: int
    kernel_drops: int
    """At the receiver's socket."""
    backlog_dropped: int
    """By the machine's kernel before any socket."""
    cpu_s: float
    """User and system, of the receiver's whole process tree, until it had dealt with everything."""
    lag_s: float
    """From the last trap sent until it had."""
    receive_buffer_bytes: int | None
    """As the kernel books it."""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per stored trap."""
        return self.cpu_s / self.stored * 1e6 if self.stored else float("nan")

    @property
    def lost(self) -> int:
        """Traps sent that the receiver does not have."""
        return self.sent - self.stored

    @property
    def lost_share(self) -> float:
        """Share of the traps sent that the receiver does not have."""
        return self.lost / self.sent


def measure(peer: Peer, rate: float, count: int, *, sources: int, mix: Sequence[str]) -> Rung:
    """Sends one storm to a receiver that runs, and counts what it has; may stop it."""
    run, gso = new_run(), 8 if rate >= _GSO_RATE_MIN else 1
    target = Target("127.0.0.1", peer.port)
    ring = RingPlan(target=target, run=run, sources=sources, mix=tuple(mix), gso=gso)
    plan = StormPlan(ring=ring, profile=for_count("step", rate, count), batch_max=default_batch(gso))
    granted = proc.receive_buffer_bytes(peer.port)
    drops, cpu_s = proc.udp_sockets(peer.port).drops, peer.cpu_s()
    sent = run_storm(plan)
    drained_s = peer.await_drained(sent, _DRAIN_TIMEOUT_S)
    cpu_s = peer.cpu_s() - cpu_s
    drops = proc.udp_sockets(peer.port).drops - drops
    return _rung(peer, rate, sent, granted, drops=drops, cpu_s=cpu_s, lag_s=max(0.0, drained_s - sent.ended_mono_s))


def _rung(peer: Peer, rate: float, sent: Sent, granted: int | None, *, drops: int, cpu_s: float, lag_s: float) -> Rung:
    return Rung(
        receiver=peer.label,
        offered_rate=rate,
        sent_rate=sent.rate,
        sent=sent.count,
        stored=peer.stored(sent),
        kernel_drops=drops,
        backlog_dropped=sent.backlog_dropped,
        cpu_s=cpu_s,
        lag_s=lag_s,
        receive_buffer_bytes=granted,
    )


def climb(
    names: Sequence[str],
    rates: Sequence[float],
    *,
    seconds: float,
    sources: int,
    mix: Sequence[str],
    work_dir: Path,
) -> Iterator[Rung]:
    """Yields every receiver at every rate, each started afresh; rates ascend, receivers take turns at each."""
    failures = dict.fromkeys(names, 0)
    for rate in rates:
        for name in names:
            if failures[name] >= 2:
                continue
            with RECEIVERS[name](work_dir) as peer:
                rung = measure(peer, rate, max(1, round(rate * seconds)), sources=sources, mix=mix)
            failures[name] += rung.lost_share > HOPELESS_LOSS
            yield rung
