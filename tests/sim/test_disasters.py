"""Two hundred simulated days, each with its own region and its own faults: nothing that must never happen happens, and in the end all is well.

A seed that fails is named in the message; `python -m tests.sim --seeds 1 --from SEED` plays the same day again, to the event.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from tests.sim.day import Played, Wanted, play
from tests.sim.faults import KINDS

SEEDS: Final = 200
PARTS: Final = 8

HAPPENED: Final = (
    *(f"fault {kind}" for kind in sorted(KINDS)),
    "moved by centre", "moved by edge", "moved alone", "shed", "frozen steps", "went on", "fences raised", "messages lost",
    "orders refused at gateways", "writes refused by Redis", "abandon", "propose signal_fail",
    *(f"asked {kind}" for kind in ("lockout", "forced", "manual", "exercise")),
    *(
        f"switch {reason}"
        for reason in (
            "signal_fail", "signal_degrade", "preempted", "admitted", "better", "revert", "forced", "manual", "cleared", "verify_failed",
        )
    ),
    *(f"page {text}" for text in ("no_backup", "verify_failed", "exercise_well")),
    *(f"verdict {state}" for state in ("up", "degraded", "down", "unknown")),
)  # fmt: skip
"""What these days have to bring about, each at least once; else they put nothing to the test."""

OBJECTS: Final = 100_000
"""Between two looks for cycles: a day makes a million objects and hardly a cycle."""

_played: dict[int, Played] = {}


@pytest.fixture(scope="module", autouse=True)
def rare_collections() -> Iterator[None]:
    """What the whole suite has in memory is not looked through again and again."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS, *usual[1:])
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_day_breaks_an_invariant(part: int) -> None:
    """Seeds of one part."""
    for seed in range(part, SEEDS, PARTS):
        _played[seed] = play(Wanted(seed, 0, 0))

    assert {seed: played.fault for seed, played in _played.items() if played.fault} == {}


@pytest.mark.parametrize("seed", [6049, 6572])
def test_no_day_that_once_did_breaks_one(seed: int) -> None:
    """6049: two come to a line at once, one of them by a second order while it was counted elsewhere. 6572: P0 is not where it was thought to be,
    and the line that it could use had been left out of its choice.
    """
    assert play(Wanted(seed, 0, 0)).fault == ""


def test_these_days_put_everything_to_the_test() -> None:
    """Each kind of fault, of switch and of refusal occurs."""
    if len(_played) < SEEDS:
        pytest.skip("only some of the days were played")
    counts = sum((played.counts for played in _played.values()), Counter())

    assert [name for name in HAPPENED if not counts[name]] == []


def test_a_seed_plays_the_same_day_again() -> None:
    """To the event, and to what happened how often."""
    assert play(Wanted(7, 0, 0)) == play(Wanted(7, 0, 0))
