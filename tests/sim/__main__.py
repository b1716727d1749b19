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

from netmon.log import set_up
from tests.sim.day import Played, Wanted, play

BAR_WIDTH = 40
QUIET = "error"
"""Level of the log: each day tells thousands of lines that nobody reads."""
LARGE = (1_000, 10_000)
"""Lines and gateways of a large region."""


def main() -> int:
    """Plays the seeds that the command line asks for; 1 if one of them broke an invariant."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description="Simulated disasters against the real core of failover."
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them (default 0)")
    parser.add_argument(
        "--large",
        type=int,
        default=0,
        help="of these seeds, so many also with 1,000 lines and 10,000 gateways: minutes each",
    )
    parser.add_argument("--lines", type=int, default=0, help="of each other region; 0: 16 to 40, by the seed")
    parser.add_argument("--gateways", type=int, default=0, help="of each other region; 0: 10 to 30, by the seed")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)"
    )
    asked = parser.parse_args()
    began = time.monotonic()
    counts: Counter[str] = Counter()
    broken = []
    # The large ones take the longest: they begin first.
    wanted = [Wanted(seed, *LARGE) for seed in range(asked.first, asked.first + asked.large)]
    wanted += [Wanted(seed, asked.lines, asked.gateways) for seed in range(asked.first, asked.first + asked.seeds)]
    for number, played in enumerate(_play_all(wanted, asked.workers), 1):
        counts += played.counts
        if played.fault:
            day = played.wanted
            broken.append(day.seed)
            _show(f"seed {day.seed}: {played.fault}\n")
            size = f" --lines {day.lines} --gateways {day.gateways}" if day.lines else ""
            _show(f"  again: python -m tests.sim --seeds 1 --from {day.seed}{size}\n")
        _progress(number, len(wanted), time.monotonic() - began)
    print()
    for name in sorted(counts):
        print(f"  {counts[name]:>12,}  {name}")
    print(f"{len(wanted)} days, {len(broken)} of them broke an invariant{': ' + str(broken) if broken else ''}")
    return 1 if broken else 0


def _play_all(wanted: list[Wanted], workers: int) -> Iterator[Played]:
    set_up(QUIET)
    if workers <= 1 or len(wanted) == 1:
        yield from map(play, wanted)
        return
    with multiprocessing.get_context("spawn").Pool(min(workers, len(wanted)), set_up, (QUIET,)) as pool:
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
