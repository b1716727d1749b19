"""What is allowed in a region, and does not do what it is there for."""

from __future__ import annotations

from pathlib import Path

from netmon.inventory import schema
from netmon.inventory.doubts import doubts
from netmon.inventory.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[3]


def doubts_about(text: str) -> list[str]:
    """All doubts about a region that is right."""
    inventory, mistakes = schema.parse(text)
    assert inventory is not None, mistakes
    return list(doubts(Topology(inventory)))


def test_the_sample_needs_no_second_look() -> None:
    """A warning that everybody sees is one that nobody reads."""
    assert doubts_about((REPOSITORY / "config" / "region.example.yml").read_text("utf-8")) == []


def test_what_does_nothing_is_told() -> None:
    """Each with what follows from it."""
    found = doubts_about(
        """
        areas: {east: {code: "131016"}, west: {code: "011002"}}
        carriers: {c: {}}
        risk_groups: {duct: {kind: duct}}
        sites:
          hall: {area: east, latitude: 35, longitude: 139}
          hill: {area: east, latitude: 35, longitude: 139}
        lines: {sat: {medium: leo, carrier: c, ends: [hall], capacity_bps: 1Mbps}}
        devices:
          siren: {site: hill, kind: siren, addresses: [192.0.2.1]}
          sensor: {site: hall, kind: sensor}
        """
    )

    assert [doubt.partition(":")[0] for doubt in found] == [
        "risk_groups.duct",
        "areas.west",
        "lines.sat",
        "devices.siren",
        "devices.sensor",
    ]


PROBED = """
areas: {east: {code: "131016"}}
carriers: {c: {}}
sites: {hall: {area: east, latitude: 35, longitude: 139}}
lines:
  asked: {medium: leo, carrier: c, ends: [hall], capacity_bps: 1Mbps, probes: [
    {icmp: 192.0.2.1, from: [east, west]},
    {icmp: 192.0.2.2, source: 192.0.2.9, from: [east, west]},
    {icmp: 192.0.2.3, source: 192.0.2.9, expect_interface: eth1, from: [west]},
    {http: "http://www.example/", interface: eth1, token_file: t, from: [west]},
    {mqtt: "mqtts://192.0.2.4", mark: 3, password_file: p, from: [west]}]}
  trunk: {medium: fibre, carrier: c, ends: [hall], capacity_bps: 1Mbps, profile: hasty, probes: [
    {icmp: 192.0.2.1, interface: eth2, from: [east]}]}
vantages: {east: , west: {anchors: [{icmp: 192.0.2.8}]}, idle: {anchors: [{icmp: 192.0.2.8}]}}
profiles:
  hasty: {based_on: fibre, interval_s: 10ms, confirm_interval_s: 10ms}
  unused: {based_on: fibre, interval_s: 10s}
devices:
  rt: {site: hall, kind: router, addresses: [192.0.2.5], interfaces: [{index: 1, line: asked}, {index: 2, line: trunk}]}
"""
EXPECTED = [
    "lines.asked.probes[0]: has no pin",
    "lines.asked.probes[1]: is pinned by its source address alone, which chooses no line",
    "lines.asked.probes[3]: looks www.example up",
    "lines.asked.probes[3]: sends its secret unencrypted",
    "lines.trunk.probes: east asks one target alone",
    "vantages.east: no anchors",
    "vantages.idle: asks nothing",
    "profiles.hasty: timeout_s 0.5 is longer than interval_s 0.01",
    "profiles.unused: no line has it",
    "profiles.unused: window_s holds 6 probes",
]


def test_probes_that_do_not_choose_their_line_are_told() -> None:
    """And whatever else makes a verdict worth less than it looks."""
    found = doubts_about(PROBED)

    assert [doubt[: len(start)] for doubt, start in zip(found, EXPECTED, strict=True)] == EXPECTED


def test_more_probes_than_one_vantage_can_send_are_told() -> None:
    """Before it is late with all of them."""
    lines = "\n".join(
        f"  l{number}: {{medium: fibre, profile: fast, carrier: c, ends: [hall], capacity_bps: 1Mbps,"
        f" probes: [{{icmp: 192.0.2.{number % 250}, interface: e}}, {{tcp: '192.0.2.{number % 250}:1', interface: e}}]}}"
        for number in range(251)
    )
    found = doubts_about(
        'areas: {east: {code: "131016"}}\ncarriers: {c: {}}\n'
        f"sites: {{hall: {{area: east, latitude: 35, longitude: 139}}}}\nlines:\n{lines}\n"
    )

    assert [doubt for doubt in found if "a second" in doubt] == [
        "vantages: 10,040 probes a second, and 10,000 are known to go well; share them with others"
    ]


BACKED = """
areas: {east: {code: "131016"}}
carriers: {c: {}}
risk_groups: {duct: {kind: duct}, poles: {kind: pole_route}, feeder: {kind: power_feeder}, far: {kind: power_feeder}}
sites:
  hall: {area: east, latitude: 35, longitude: 139, risk_groups: [feeder]}
  hill: {area: east, latitude: 35, longitude: 139, risk_groups: [far]}
lines:
  fibre: {medium: fibre, carrier: c, ends: [hall], capacity_bps: 10Mbps, risk_groups: [duct, poles], probes: &asked [
    {icmp: 192.0.2.1, interface: e, from: [a]}, {icmp: 192.0.2.2, interface: e, from: [a]}]}
  twin: {medium: fibre, carrier: c, ends: [hall, hill], capacity_bps: 10Mbps, risk_groups: [duct], probes: *asked}
  cousin: {medium: fibre, carrier: c, ends: [hall, hill], capacity_bps: 10Mbps, risk_groups: [poles], probes: *asked}
  geo: {medium: geo, carrier: c, ends: [hall], capacity_bps: 1Mbps, probes: *asked}
  dark: {medium: leo, carrier: c, ends: [hall], capacity_bps: 1Gbps}
devices:
  rt: {site: hall, kind: router, addresses: [192.0.2.5], interfaces: [{index: 1, line: fibre}, {index: 2, line: twin},
    {index: 3, line: cousin}, {index: 4, line: geo}, {index: 5, line: dark}]}
traffic_classes:
  life: {priority: P0, bandwidth_bps: 300kbps}
  hasty: {priority: P1, wtr_s: 10}
  bulk: {priority: P3, bandwidth_bps: 9Mbps}
  idle: {priority: P3}
gateways:
  a: {site: hall, lines: [fibre, twin], classes: [life], actuator: agent, ports: {fibre: {interface: e}, twin: {interface: f}}}
  b: {site: hall, lines: [fibre, twin, cousin], classes: [life]}
  c: {site: hall, lines: [fibre, geo], classes: [life, bulk]}
  d: {site: hall, lines: [twin, geo, dark], classes: [life, hasty]}
  e: {site: hall, lines: [geo], classes: [life]}
  f: {site: hall, lines: [geo]}
"""


def test_backups_that_are_none_are_told() -> None:
    """What fails with what it backs, takes too little, or is asked by nobody; a site that is lost is lost with all of its lines."""
    backed = BACKED.replace("classes: [life], actuator: agent", "classes: [life], mode: act, actuator: agent").replace(
        "life: {priority: P0", 'life: {priority: P0, prefixes: [192.0.2.0/24, "2001:db8::/32"]'
    )
    backed = backed.replace("{interface: f}", "{interface: f, next_hop: 192.0.2.8}")

    assert doubts_about(backed) == [
        "lines.fibre: 3 gateways are at home on it with 9.9 Mbps, and it takes 8 Mbps; who has left it may not get back",
        "lines.geo: 900 kbps of P0 may come to it, and it takes 800 kbps; some of it would have nowhere to go",
        "traffic_classes.hasty: has no bandwidth_bps, so it is taken to need no room, and may fill a line that others need",
        "traffic_classes.hasty: wtr_s is 10 s, and a line that has just come back goes again more often than others; expected 60 s or more",
        "gateways.a: life has prefixes of IPv6, and twin no next_hop6, so they are refused there",
        "gateways.a: all of its lines share duct: when that fails, nothing is left",
        "gateways.b: life is P0, and every other line shares a risk with fibre: duct, poles",
        "gateways.c: its classes need 9.3 Mbps, and its working line fibre takes 8 Mbps; some are always shed",
        "gateways.d: nobody asks over dark, so it is never shown to be good, and nothing is moved to it",
        "gateways.e: geo is its only line, so there is nowhere to go when that fails",
    ]
