"""What a fault of a simulated day is, and what several kinds of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.sim.world import World


class Fault(NamedTuple):
    """One of them."""

    at_s: float
    kind: str
    for_s: float


Fails = Callable[[World, Fault], Callable[[], None]]
"""Begins a fault; returns what ends it."""


def cut_lines(world: World, line_ids: list[str], of: str = "cuts") -> Callable[[], None]:
    """Has one thing be wrong with these lines; what ends it."""

    def bump(by: int) -> None:
        for line_id in line_ids:
            line = world.lines[line_id]
            setattr(line, of, getattr(line, of) + by)
            world.changed(line_id)

    bump(1)
    return lambda: bump(-1)


def used_line(world: World) -> str:
    """Of a working line, so that somebody has to move."""
    return world.engine.rng.choice(list(world.region.gateways.values()))[0]


def any_line(world: World) -> str:
    """One of all lines."""
    return world.engine.rng.choice(sorted(world.lines))


def nothing() -> None:
    """It is over by itself."""
