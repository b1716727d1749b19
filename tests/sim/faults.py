"""Faults by name, drawn from a seed: when, of what, for how long. Each world has some kinds of them only, so that each kind also happens alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from tests.sim import line_faults as lines
from tests.sim import process_faults as processes
from tests.sim.engine import S
from tests.sim.fault import Fails, Fault
from tests.sim.world import World


def draw(rng: random.Random, seconds: float, only: Sequence[str] = ()) -> list[Fault]:
    """Faults of a day, the first one first; all of them are over when the day is. `only`: kinds, if the seed shall not choose them."""
    kinds = list(only) or rng.sample(sorted(KINDS), rng.randint(2, 7))
    # Without a dead line nothing has to move, and nothing else is put to the test.
    kinds += [] if only else ["cut", rng.choice(("cut", "duct", "flap"))]
    found = []
    for _ in range(rng.randint(4, 16)):
        for_s = rng.choice((3.0, 12.0, 25.0, 50.0, 90.0))
        at_s = rng.uniform(20.0, max(seconds - for_s - 5.0, 21.0))
        found.append(Fault(at_s, rng.choice(kinds), min(for_s, seconds - at_s)))
    return sorted(found)


def apply(world: World, faults: list[Fault]) -> None:
    """Has them happen in their time."""
    for fault in faults:
        world.engine.after(round(fault.at_s * S), _begins(world, fault))


def _begins(world: World, fault: Fault) -> Callable[[], None]:
    def begin() -> None:
        world.counts[f"fault {fault.kind}"] += 1
        end = KINDS[fault.kind](world, fault)
        world.engine.after(round(fault.for_s * S), end)

    return begin


KINDS: Final[dict[str, Fails]] = {
    each.__name__: each
    for each in (
        lines.cut,
        lines.duct,
        lines.quake,
        lines.one_way,
        lines.brownout,
        lines.flap,
        lines.access,
        lines.liar,
        lines.liars,
        lines.blind,
        lines.half_blind,
        lines.trap,
        lines.spoofed,
        processes.offline,
        processes.restart,
        processes.power,
        processes.mid_switch,
        processes.broken,
        processes.gateway_lies,
        processes.no_broker,
        processes.weather,
        processes.no_redis,
        processes.lost_tail,
        processes.lost_all,
        processes.stopped,
        processes.killed,
        processes.cut_from_redis,
        processes.cut_from_broker,
        processes.clock,
        processes.centre_clock,
        processes.operator,
        processes.frozen,
    )
}
"""All kinds by name."""
