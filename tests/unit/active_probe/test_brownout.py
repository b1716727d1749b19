"""A line that loses a quarter of its probes by chance, asked often: rows of misses come within seconds."""

from __future__ import annotations

import random

import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from tests.unit.active_probe.samples import Asker, well


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_misses_by_chance_do_not_flap(seed: int) -> None:
    """They come while the window is full of what was before: told now and then at first, then it is down by its loss and stays so."""
    chance = random.Random(seed)
    asker = Asker(BUILT_IN["fast"])
    asker.go_on(60.5, well)
    states = [seen.state for seen in asker.go_on(60, lambda _: None if chance.random() < 0.25 else 0.002)]
    back = [seen.state for seen in asker.go_on(120, well)]

    assert (states[-1], asker.track.state) == ("down", "up")
    assert len(states) <= 6
    assert "down" not in back
