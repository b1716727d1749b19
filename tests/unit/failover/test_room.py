"""What a gateway's classes take of its lines, and which ranking of the plan counts."""

from __future__ import annotations

import pytest

from netmon.failover.agent.room import Room, is_proven, ranking
from netmon.failover.model import SHED, LineSight
from netmon.failover.plan.model import PlannedGroup, Ranking
from tests.unit.failover.gateways import FIBRE, FIVE_G, GEO, T0, S, group, line

MBPS = 1_000_000


def room(places: dict[str, str], capacity_bps: int = 10 * MBPS) -> tuple[Room, dict[str, PlannedGroup]]:
    """One line, and a class of each weight that takes 3 Mbit/s; two of the least."""
    groups = {
        name: group(name, weight, bandwidth_bps=3 * MBPS) for name, weight in (("a", 0), ("b", 1), ("c", 3), ("d", 3))
    }
    return Room([line(FIBRE, capacity_bps=capacity_bps)], groups.values(), places), groups


def test_eight_tenths_of_a_line_may_be_taken() -> None:
    """Two classes of 3 Mbit/s fit into 10; three do not."""
    free, groups = room({"a": FIBRE})
    assert free.fits(groups["b"], FIBRE)
    free.put("b", FIBRE)
    assert not free.fits(groups["c"], FIBRE)


def test_those_of_less_weight_take_no_room_from_those_of_more() -> None:
    """They would have to leave."""
    free, groups = room({"c": FIBRE, "d": FIBRE})
    assert free.fits(groups["a"], FIBRE)


def test_of_equal_weight_who_is_there_stays_and_of_two_that_are_there_the_first() -> None:
    """So that exactly one of them leaves."""
    free, groups = room({"a": FIBRE, "c": FIBRE, "d": FIBRE})
    assert [free.fits(groups[name], FIBRE) for name in "cd"] == [True, False]
    free, groups = room({"a": FIBRE, "d": FIBRE})
    assert not free.fits(groups["c"], FIBRE)


@pytest.mark.parametrize(("line_id", "capacity_bps"), [(SHED, 1), (FIVE_G, 1), (FIBRE, 0)])
def test_what_has_no_known_capacity_has_room_for_all(line_id: str, capacity_bps: int) -> None:
    """And so has nowhere."""
    free, groups = room(dict.fromkeys("abcd", FIBRE), capacity_bps)
    assert free.fits(groups["d"], line_id)


def test_a_class_that_needs_no_room_always_fits() -> None:
    """It is as little as that."""
    free, _ = room(dict.fromkeys("abcd", FIBRE))
    assert free.fits(group("e", 3), FIBRE)


def test_the_ranking_that_knows_most_of_what_has_failed_counts() -> None:
    """Without the rest of it; one for more than has failed does not."""
    made = (
        Ranking(failed=(), order=(FIBRE, FIVE_G, GEO)),
        Ranking(failed=(FIBRE,), order=(GEO, FIVE_G)),
        Ranking(failed=(FIBRE, GEO), order=(FIVE_G,)),
    )
    planned = group("a", 0, rankings=made)
    assert ranking(planned, {FIBRE}) == (GEO, FIVE_G)
    assert ranking(planned, {FIVE_G}) == (FIBRE, GEO)
    assert ranking(planned, {FIBRE, FIVE_G}) == (GEO,)
    assert ranking(group("a", 0, rankings=()), set()) == ()


@pytest.mark.parametrize(
    ("sight", "proven"),
    [
        (None, False),
        (LineSight(line_id=FIBRE, state="up", good_unix_ns=T0 - 5 * S), True),
        (LineSight(line_id=FIBRE, state="up", good_unix_ns=T0 - 5 * S - 1), False),
        (LineSight(line_id=FIBRE, state="degraded", good_unix_ns=T0), True),
        (LineSight(line_id=FIBRE, state="unknown", good_unix_ns=T0), False),
        (LineSight(line_id=FIBRE, state="down", good_unix_ns=T0), False),
    ],
)
def test_a_line_is_proven_by_what_it_answered_lately(sight: LineSight | None, proven: bool) -> None:
    """Within the time, and by its state."""
    assert is_proven(sight, 5.0, T0) is proven
