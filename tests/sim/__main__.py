"""Simulated disasters, any number of them: `python -m tests.sim --seeds 1000 --from 0`; `make sim` calls it.

A seed that breaks an invariant is printed with the command that plays it again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.sim.day import Played, Wanted, play

BAR_WIDTH = 40


def main() -> int:
    """Plays the seeds that the command line asks for; 1 if one of them broke an invariant."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description="Simulated disasters against the real core of failover."
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them (default 0)")
    parser.add_argument("--lines", type=int, default=0, help="of each region; 0: 16 to 40, by the seed")
    parser.add_argument("--gateways", type=int, default=0, help="of each region; 0: 10 to 30, by the seed")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)"
    )
    asked = parser.parse_args()
    began = time.monotonic()
    counts: Counter[str] = Counter()
    broken = []
    wanted = [Wanted(seed, asked.lines, asked.gateways) for seed in range(asked.first, asked.first + asked.seeds)]
    for number, played in enumerate(_play_all(wanted, asked.workers), 1):
        counts += played.counts
        if played.fault:
            broken.append(played.seed)
            _show(f"seed {played.seed}: {played.fault}\n")
            size = f" --lines {asked.lines} --gateways {asked.gateways}" if asked.lines else ""
            _show(f"  again: python -m tests.sim --seeds 1 --from {played.seed}{size}\n")
        _progress(number, len(wanted), time.monotonic() - began)
    print()
    for name in sorted(counts):
        print(f"  {counts[name]:>12,}  {name}")
    print(f"{len(wanted)} days, {len(broken)} of them broke an invariant{': ' + str(broken) if broken else ''}")
    return 1 if broken else 0


def _play_all(wanted: list[Wanted], workers: int) -> Iterator[Played]:
    if workers <= 1 or len(wanted) == 1:
        yield from map(play, wanted)
        return
    with multiprocessing.get_context("spawn").Pool(min(workers, len(wanted))) as pool:
        yield from pool.imap_unordered(play, wanted)


def _show(text: str) -> None:
    sys.stdout.write(f"\r{' ' * (BAR_WIDTH + 40)}\r{text}" if sys.stdout.isatty() else text)


def _progress(done: int, total: int, seconds: float) -> None:
    if sys.stdout.isatty():
        full = BAR_WIDTH * done // total
        left = seconds / done * (total - done)
        sys.stdout.write(f"\r[{'#' * full}{'.' * (BAR_WIDTH - full)}] {done}/{total}, {left:.0f} s left ")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
