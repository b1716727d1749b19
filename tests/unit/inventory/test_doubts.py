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
