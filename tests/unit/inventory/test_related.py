"""What hangs on a thing: the answers to what a person asks who has its name in the hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from netmon.inventory import schema
from netmon.inventory.related import dependents, related, things
from netmon.inventory.topology import Topology

TOPOLOGY = Topology(schema.read(Path(__file__).resolve().parents[3] / "config" / "region.example.yml"))


def test_a_line_tells_its_ports_and_who_depends_on_it() -> None:
    """The school has one line, and fails with the mountain trunk that shares its poles."""
    assert related(TOPOLOGY, TOPOLOGY.lines["fibre-school"]) == {
        "ports": ("sw-hall interface 3", "sw-school interface 1"),
        "fails with": ("fibre-mountain",),
        "reached by it alone": ("sw-school", "wifi-school", "siren-school", "ups-school"),
        "reached by others, too": ("rt-hall", "sw-hall", "leo-terminal-hall", "ups-hall"),
    }


def test_uplinks_of_its_own_hide_the_lines_of_the_site() -> None:
    """What is behind the town hall does not carry it."""
    assert "rt-townhall" in dependents(TOPOLOGY, "fibre-coast")
    assert "rt-townhall" not in dependents(TOPOLOGY, "fibre-fishing")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (
            "areas",
            "shiohama",
            {"JMA city code": ("0449800",), "sites": ("townhall", "fishing", "ridge", "river", "reservoir")},
        ),
        ("carriers", "soramichi", {"lines": ("leo-hall", "leo-townhall", "geo-ridge")}),
        ("risk_groups", "feeder-takami", {"sites": ("ridge", "river", "reservoir")}),
        (
            "sites",
            "river",
            {"lines": ("radio-river",), "devices": ("radio-river", "level-river"), "sectors": ("river",)},
        ),
        ("devices", "siren-port", {"reached over": ("fibre-port", "5g-port"), "sectors that notice": ("sirens",)}),
        ("traffic_classes", "bulk", {"gateways": ("gw-port",)}),
        ("gateways", "gw-ridge", {"area": ("shiohama",)}),
    ],
)
def test_every_kind_has_relations(kind: str, name: str, expected: dict[str, tuple[str, ...]]) -> None:
    """Nothing is shown that is empty."""
    found = related(TOPOLOGY, things(TOPOLOGY)[kind][name])

    assert {word: ids for word, ids in found.items() if word in expected} == expected
    assert all(found.values())
