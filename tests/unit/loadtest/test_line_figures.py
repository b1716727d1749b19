"""What the figures of the prober are made of."""

from __future__ import annotations

import pytest

from loadtest.figures.icmp import Spent
from loadtest.figures.lines import quantile
from loadtest.lab.lines import CARRIERS, LabLine
from loadtest.lab.prober import judged
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.settings import JudgedLine, ProbedLine, VantageSettings
from netmon.inventory.probes import IcmpProbe
from netmon.model import RedisSettings

FAST = BUILT_IN["fast"]


@pytest.mark.parametrize(("share", "expected"), [(0.05, 1.0), (0.5, 10.0), (0.95, 19.0), (0.951, 20.0), (1.0, 20.0)])
def test_quantile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    """Nearest rank: of 20 values, the 19th is the 95 % quantile."""
    values = [float(number) for number in range(20, 0, -1)]

    assert quantile(values, share) == expected


def test_line_is_judged_once_by_all_who_probe_it() -> None:
    """Two vantages share a line, and one has another for itself."""
    shared, own = (ProbedLine(line_id=name, profile=FAST, probes=(IcmpProbe(address="192.0.2.1"),)) for name in "ab")
    one, other = (
        VantageSettings(
            vantage_id=name, redis=RedisSettings(url="unix:///x"), directory="", lines=lines, anchor_profile=FAST
        )
        for name, lines in (("one", (shared, own)), ("other", (shared,)))
    )

    assert judged([*one.lines, *other.lines], [one, other]) == (
        JudgedLine(line_id="a", fall_s=pytest.approx(0.15), vantage_ids=("one", "other")),
        JudgedLine(line_id="b", fall_s=pytest.approx(0.15), vantage_ids=("one",)),
    )


def test_lines_go_by_the_carriers_in_turn() -> None:
    """Neighbours share no router."""
    lines = [LabLine(line_id=f"line-{number}", number=number) for number in (16, 17)]

    assert [line.carrier for line in lines] == list(CARRIERS)
    assert [(line.source, line.target, line.target6) for line in lines[:1]] == [
        ("10.64.16.1", "10.66.16.2", "fd66:10::2")
    ]


def test_cost_is_by_answer() -> None:
    """Nobody gets cheaper by asking less."""
    assert Spent(cpu_s=1.5, answered=30_000).per_probe_us == 50.0
