"""What would become of a region's traffic: who moves where, who goes nowhere, whom nobody reaches, and how all of it comes back."""

from __future__ import annotations

import pytest

from netmon.config import failover
from netmon.config.failover_section import Failover
from netmon.failover.region import drill
from netmon.failover.region.drill import Drill, Failure, Move
from netmon.inventory import schema
from netmon.inventory.topology import Topology

REGION = """
areas: {east: {code: "131016"}, west: {code: "011002"}}
carriers: {c: {}, d: {}}
risk_groups: {duct: {kind: duct}, poles: {kind: pole_route}, feeder: {kind: power_feeder}, exchange: {kind: exchange}}
sites:
  hall: {area: west, latitude: 35, longitude: 139}
  port: {area: east, latitude: 35, longitude: 139}
  hut: {area: east, latitude: 35, longitude: 139, risk_groups: [feeder]}
lines:
  fibre: {medium: fibre, carrier: c, ends: [hall, port], capacity_bps: 100Mbps, risk_groups: [duct]}
  twin: {medium: fibre, carrier: d, ends: [hall, port], capacity_bps: 100Mbps, risk_groups: [duct]}
  mobile: {medium: 5g, carrier: c, ends: [port], capacity_bps: 10Mbps, cost_tier: 3, risk_groups: [exchange]}
  radio: {medium: radio, carrier: c, ends: [port, hut], capacity_bps: 2Mbps}
devices:
  pump: {site: hut, kind: controller, addresses: [192.0.2.1], sectors: [water], uplinks: [radio]}
  rt: {site: port, kind: router, addresses: [192.0.2.2], sectors: [port]}
traffic_classes:
  life: {priority: P0, bandwidth_bps: 1Mbps, sectors: [sirens]}
  bulk: {priority: P3, bandwidth_bps: 9Mbps, sectors: [cameras]}
gateways:
  gw: {site: port, lines: [fibre, twin, mobile], classes: [life, bulk]}
"""


@pytest.fixture
def topology() -> Topology:
    """A port with two fibres in one duct, and a mobile line that does not hold everything."""
    inventory, mistakes = schema.parse(REGION)
    assert inventory is not None, mistakes
    return Topology(inventory)


@pytest.fixture
def drilled(topology: Topology) -> Drill:
    """Everything is well; the groups only observe, which a drill does not mind."""
    return Drill(failover.line_facts(topology), failover.groups(topology, Failover()))


def test_an_earthquake_breaks_what_is_in_the_ground_and_on_poles(topology: Topology) -> None:
    """Of the lines of its area; exchanges and feeders only if it is said so, with all lines of the sites that they feed."""
    assert drill.earthquake(topology, ["east"]) == Failure(
        area_ids=("east",), risk_group_ids=("duct",), line_ids=("fibre", "twin")
    )
    assert drill.earthquake(topology, ["east"], ["feeder", "exchange"]) == Failure(
        area_ids=("east",), risk_group_ids=("exchange", "feeder"), line_ids=("mobile", "radio")
    )
    assert drill.earthquake(topology, ["east"], [], ["twin"]) == Failure(area_ids=("east",), line_ids=("twin",))


def test_life_safety_goes_to_the_line_that_shares_no_risk(drilled: Drill) -> None:
    """The twin in the same duct is dead, too; what does not fit on the small line goes nowhere. Found later, moved later."""
    drilled.fail(["fibre", "twin"], {"fibre": 2.0, "twin": 0.9})
    drilled.run(drill.SETTLE_S)

    assert drilled.moves == [Move(at_s=2.3, group_id="gw/life", before="fibre", to="mobile", reason="signal_fail")]
    assert [group.id for group in drilled.stranded()] == ["gw/bulk"]


def test_whoever_cannot_be_reached_is_told_by_sector(topology: Topology, drilled: Drill) -> None:
    """Sites whose devices no line leads to any more, and groups that go nowhere."""
    drilled.fail(["fibre", "radio", "twin"], {})
    drilled.run(drill.SETTLE_S)

    assert drill.cut_off(topology, drilled.down, drilled.stranded()) == {"cameras": ("gw/bulk",), "water": ("hut",)}


def test_a_region_comes_back_as_it_was(drilled: Drill) -> None:
    """Not before the lines have been good for long enough; in a disaster that is twelve minutes."""
    drilled.see_posture(["east"], "disaster")
    drilled.fail(["fibre", "twin"], {})
    drilled.run(600)
    drilled.mend()
    drilled.run_to_rest()

    last = drilled.moves[-1]
    assert (last.group_id, last.to, last.reason) == ("gw/life", "fibre", "revert")
    assert 1_320 <= last.at_s <= 1_330
    assert (drilled.is_at_rest, drilled.stranded()) == (True, [])


def test_a_drill_ends_where_traffic_waits_for_an_operator(topology: Topology) -> None:
    """A group that does not revert by itself is still where it went."""
    inventory, mistakes = schema.parse(
        REGION.replace("bandwidth_bps: 1Mbps,", "bandwidth_bps: 1Mbps, revertive: false,")
    )
    assert inventory is not None, mistakes
    waiting = Drill(failover.line_facts(topology), failover.groups(Topology(inventory), Failover()))
    waiting.fail(["fibre", "twin"], {})
    waiting.run(60)
    waiting.mend()
    waiting.run(3_600)

    assert (waiting.is_at_rest, waiting.states["gw/life"].on, waiting.states["gw/life"].phase) == (
        False,
        "mobile",
        "DNR",
    )
