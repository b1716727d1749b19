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
