"""Rules and routes as values: what a class needs, and where one is by what stands."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.failover.actuators.layout import Route, Rule, mark_of, mistakes, routes_of, rules_of, where
from netmon.failover.model import SHED
from netmon.failover.plan.model import PlannedGroup, PlannedLine

SIREN: Final = PlannedGroup(group_id="g/siren", class_id="siren", priority=0, working="fibre", mark=0x10, table=1001)
CAMERA: Final = PlannedGroup(
    group_id="g/camera", class_id="camera", priority=3, working="fibre", prefixes=("10.9.0.0/16",), table=1002
)


def line(line_id: str, interface: str, next_hop: str = "", next_hop6: str = "") -> PlannedLine:
    """A line of the gateway."""
    return PlannedLine(
        line_id=line_id, profile=BUILT_IN["fast"], interface=interface, next_hop=next_hop, next_hop6=next_hop6
    )


FIBRE: Final = line("fibre", "eth0", "192.0.2.1", "2001:DB8::1")
COPPER: Final = line("copper", "eth2", "192.0.2.17", "fe80::1%eth2")
RADIO: Final = line("radio", "eth1", "192.0.2.9")
MODEM: Final = line("modem", "wwan0")
LINES: Final = {each.line_id: each for each in (FIBRE, COPPER, RADIO, MODEM)}


def test_marked_class_has_two_rules_in_each_family() -> None:
    """First what main knows better than its default route, then the class's table."""
    assert sorted(rules_of(SIREN, (4,))) == [
        Rule(family=4, preference=20_000, mark=0x10, table=254, is_suppressed=True),
        Rule(family=4, preference=20_001, mark=0x10, table=1001),
    ]
    assert {rule.family for rule in rules_of(SIREN)} == {4, 6}


def test_longer_prefix_goes_before_the_shorter_one() -> None:
    """Both rules of a /24 come before both of a /16; netmon's own mark leads the verification to the same table."""
    near = msgspec.structs.replace(CAMERA, group_id="g/near", prefixes=("10.9.8.0/24",), table=1003)

    order = [rule.table for rule in sorted(rules_of(CAMERA, (4,)) | rules_of(near, (4,))) if rule.prefix]

    assert order == [254, 1003, 254, 1002]
    assert mark_of(CAMERA) == 0x4E4D_03EA
    assert {rule.table for rule in rules_of(CAMERA, (4,)) if rule.mark} == {254, 1002}


def test_line_without_a_family_refuses_its_packets() -> None:
    """A line that has no IPv6 gets no IPv6 route, and no other line carries it instead."""
    assert routes_of(7, RADIO) == [
        Route(family=4, table=7, metric=100, interface="eth1", next_hop="192.0.2.9"),
        Route(family=6, table=7, metric=100),
    ]


def test_next_hop_is_as_the_kernel_tells_it() -> None:
    """Small letters, and no zone."""
    assert [routes_of(7, line)[1].next_hop for line in (FIBRE, COPPER)] == ["2001:db8::1", "fe80::1"]


@pytest.mark.parametrize("line_id", ["fibre", "copper", "radio", "modem"])
def test_where_a_class_is_is_read_from_its_routes(line_id: str) -> None:
    """As the kernel writes addresses, not as the operator did."""
    assert where(routes_of(7, LINES[line_id]), LINES) == line_id


def test_where_a_class_is_that_is_on_no_line() -> None:
    """Refused on purpose; refused by the last resort; on a line that nobody knows; in each family on another."""
    last = Route(family=4, table=7, metric=4_278_198_272)
    strange = Route(family=4, table=7, metric=100, interface="eth9")
    mixed = [routes_of(7, FIBRE)[0], routes_of(7, MODEM)[1]]

    assert where([*routes_of(7, None), last], LINES) == SHED
    assert [where(routes, LINES) for routes in ([last], [], [strange, last], mixed)] == [None] * 4


def test_of_two_lines_by_the_same_way_the_likely_one_is_meant() -> None:
    """Two lines may share an interface and a next hop: a class is where it was put."""
    twin = line("twin", "eth0", "192.0.2.1", "2001:db8::1")

    assert where(routes_of(7, twin), LINES | {"twin": twin}, "twin") == "twin"


def test_plan_without_mistakes() -> None:
    """Marks, prefixes and tables of their own, and an interface for each line."""
    assert mistakes([SIREN, CAMERA], [FIBRE]) == []
