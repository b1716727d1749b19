"""One simulated day: a region and its faults from one seed, then peace, and what has to be so at the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.sim import faults, region
from tests.sim.broker import Weather
from tests.sim.faults import Fault
from tests.sim.judges import VANTAGES
from tests.sim.world import World

CALM_S: Final = 60.0
"""Until P0 has to be safe, after the last fault: a lease, a leader that is new, a round of retries."""


class Day:
    """What a seed comes to.

    Attributes:
        world: The region.
        faults: What happens.
        seconds: While they happen.
    """

    def __init__(self, seed: int, lines: int = 0, gateways: int = 0, only: Sequence[str] = ()) -> None:
        """Draws a day.

        Args:
            seed: The same one, the same day.
            lines: Of the region; 0: the seed decides.
            gateways: The same.
            only: Kinds of faults; empty: the seed decides.
        """
        rng = random.Random(seed)
        lines = lines or rng.randint(16, 40)
        gateways = gateways or rng.randint(10, 30)
        self.seconds = rng.choice((60.0, 110.0, 200.0))
        self.faults: list[Fault] = faults.draw(rng, self.seconds, only)
        self.world = World(region.draw(rng, lines, gateways), seed)

    def run(self) -> World:
        """Lets it happen. Raises ViolationError."""
        world = self.world
        faults.apply(world, self.faults)
        world.run(self.seconds + 1.0)
        self._peace()
        world.run(CALM_S)
        world.watch.life_is_safe()
        left_s = self._home_s()
        while left_s > 0 and not world.watch.is_all_home():
            world.run(10.0)
            left_s -= 10.0
        world.watch.all_is_home()
        world.counts["orders refused at gateways"] += sum(gateway.edge.refused for gateway in world.gateways.values())
        world.counts["writes refused by Redis"] += world.redis.fences_refused
        world.counts["messages lost"] += world.broker.lost
        return world

    def _peace(self) -> None:
        """Whatever a fault's end has left: everybody runs, and reaches everybody."""
        world = self.world
        world.broker.weather = Weather()
        for name in VANTAGES:
            world.judges.lie(name, {})
        world.judges.set_presence(VANTAGES, "live")
        # Whoever wanted to lift it while nobody led says so again.
        world.redis.freeze = None
        for gateway in world.gateways.values():
            gateway.breaks = 0
            if not gateway.is_running:
                gateway.start()
            gateway.report()
        for controller in world.controllers:
            if not controller.is_running:
                controller.start()
            if controller.is_stopped:
                controller.go_on()
            controller.obey(world.command("unfreeze"))
            controller.see_vantages()
            for area in world.region.areas:
                controller.see_posture(area, "normal")
        for group_id in world.region.groups:
            asked = [each for each in world.controllers if each.core is not None and each.core.requests.get(group_id)]
            if asked:
                world.clear(group_id, asked)

    def _home_s(self) -> float:
        """Until everybody has to be at home: WTR, damping, and a turn for each."""
        timers = next(iter(self.world.region.groups.values())).timers
        return timers.wtr_s + 120.0 + 1.5 * len(self.world.region.groups) / len(self.world.region.areas)


class Wanted(NamedTuple):
    """One seed, and how large a region."""

    seed: int
    lines: int
    gateways: int


class Played(NamedTuple):
    """What became of one seed."""

    wanted: Wanted
    fault: str
    """What was violated, or what went wrong; empty: nothing."""
    counts: Counter[str]


def play(wanted: Wanted) -> Played:
    """Plays one seed to its end."""
    day = Day(wanted.seed, wanted.lines, wanted.gateways)
    fault = ""
    try:
        day.run()
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    counts = day.world.counts
    counts["events"] = day.world.engine.steps
    counts["checks"] = day.world.watch.checks
    return Played(wanted, fault, counts)
