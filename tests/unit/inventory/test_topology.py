"""The region, asked with a notification in the hand."""

from __future__ import annotations

import pytest

from netmon.alarms.model import Place
from netmon.inventory.model import Area, Carrier, Device, Interface, Inventory, Line, RiskGroup, Site
from netmon.inventory.topology import Topology

ROUTER = Device(
    id="rt-1",
    name="ルーター",
    site_id="hall",
    kind="router",
    addresses=("192.0.2.1", "2001:db8::1"),
    engine_ids=("80001f8801",),
    interfaces=(Interface(index=1, line_id="fibre", name="xe-0/0/1"), Interface(index=2, line_id="sat")),
)
SIREN = Device(
    id="siren-1", name="サイレン", site_id="school", kind="siren", sectors=("sirens",), uplink_line_ids=("sat",)
)
UPS = Device(id="ups-1", name="UPS", site_id="hall", kind="ups", addresses=("192.0.2.2",), is_power=True)
REGION = Inventory(
    areas=(Area(id="east", name="東", code="131016"), Area(id="west", name="西", code="011002")),
    carriers=(Carrier(id="ctel", name="C"),),
    risk_groups=(
        RiskGroup(id="bridge", name="橋", kind="bridge"),
        RiskGroup(id="feeder", name="配電", kind="power_feeder"),
    ),
    sites=(
        Site(id="hall", name="庁舎", area_id="east", longitude=139.5, latitude=35.5, risk_group_ids=("feeder",)),
        Site(id="school", name="学校", area_id="west", longitude=139.6, latitude=35.6),
    ),
    lines=(
        Line(
            id="fibre",
            name="光",
            medium="fibre",
            carrier_id="ctel",
            endpoint_site_ids=("hall", "school"),
            capacity_bps=10**9,
            sectors=("water", "sirens"),
            risk_group_ids=("bridge",),
        ),
        Line(
            id="sat",
            name="衛星",
            medium="leo",
            carrier_id="ctel",
            endpoint_site_ids=("hall",),
            capacity_bps=10**8,
            sectors=("traffic",),
        ),
    ),
    devices=(ROUTER, SIREN, UPS),
)
TOPOLOGY = Topology(REGION)


@pytest.mark.parametrize(
    ("source", "engine_id", "expected"),
    [
        ("192.0.2.1", None, ROUTER),
        ("2001:db8::1", None, ROUTER),
        ("192.0.2.2", "80001f8801", ROUTER),
        ("192.0.2.2", "80001f88ff", UPS),
        ("198.51.100.1", None, None),
        ("198.51.100.1", "80001f88ff", None),
    ],
)
def test_a_sender_is_known_by_its_engine_before_its_address(
    source: str, engine_id: str | None, expected: Device | None
) -> None:
    """An address may have been translated on the way; an engine ID stands under a key."""
    assert TOPOLOGY.device_of(source, engine_id) == expected


@pytest.mark.parametrize(
    ("index", "name", "expected"),
    [
        (1, None, "fibre"),
        (2, "xe-0/0/1", "sat"),
        (None, "xe-0/0/1", "fibre"),
        (9, "xe-0/0/1", "fibre"),
        (9, None, None),
        (None, "", None),
        (None, None, None),
    ],
)
def test_a_port_is_known_by_its_index_before_its_name(
    index: int | None, name: str | None, expected: str | None
) -> None:
    """An interface without a name in the region is not found by an empty one."""
    assert TOPOLOGY.line_at("rt-1", index, name) == expected


def test_places_have_the_sectors_that_would_notice() -> None:
    """A device's own; a router's are those of its lines; those of a UPS are all that its site has."""
    assert TOPOLOGY.place("siren-1") == Place(area="west", site="school", device="siren-1", sectors=("sirens",))
    assert TOPOLOGY.place("rt-1").sectors == ("water", "sirens", "traffic")
    assert TOPOLOGY.place("ups-1").sectors == ("water", "sirens", "traffic")
    assert TOPOLOGY.place_of_site("school") == Place(area="west", site="school", sectors=("sirens", "water"))


def test_a_line_is_at_a_site_only_if_it_has_one_end() -> None:
    """A line between two sites is in the area of its first end."""
    assert TOPOLOGY.place_of_line("fibre") == Place(area="east", line="fibre", sectors=("water", "sirens"))
    assert TOPOLOGY.place_of_line("sat") == Place(area="east", site="hall", line="sat", sectors=("traffic",))


def test_what_hangs_on_what() -> None:
    """Ends, uplinks, sites and risk groups, both ways."""
    assert TOPOLOGY.ends("sat") == (("rt-1", 2),)
    assert TOPOLOGY.lines_of_device("rt-1") == ("fibre", "sat")
    assert (TOPOLOGY.uplinks("siren-1"), TOPOLOGY.uplinks("ups-1")) == (("sat",), ("fibre", "sat"))
    assert TOPOLOGY.lines_of_site("school") == ("fibre",)
    assert TOPOLOGY.devices_of_site("hall") == ("rt-1", "ups-1")
    assert (TOPOLOGY.sites_of_area("east"), TOPOLOGY.lines_of_area("west")) == (("hall",), ("fibre",))
    assert (TOPOLOGY.risk_groups_of_line("fibre"), TOPOLOGY.lines_of_risk_group("bridge")) == (("bridge",), ("fibre",))
    assert (TOPOLOGY.risk_groups_of_site("hall"), TOPOLOGY.sites_of_risk_group("feeder")) == (("feeder",), ("hall",))


def test_two_ports_of_one_device_on_a_line_are_two_ends_and_one_line() -> None:
    """A bundle of two fibres is still one line of the device."""
    both = (Interface(index=1, line_id="fibre"), Interface(index=2, line_id="fibre"))
    bundle = Device(id="rt-2", name="R", site_id="hall", kind="router", interfaces=both)
    topology = Topology(Inventory(areas=REGION.areas, sites=REGION.sites, lines=REGION.lines, devices=(bundle,)))

    assert topology.ends("fibre") == (("rt-2", 1), ("rt-2", 2))
    assert topology.lines_of_device("rt-2") == ("fibre",)


def test_what_the_region_no_longer_has_is_nowhere() -> None:
    """An alarm may be about a device that was taken out of the region: nothing fails, nothing is found."""
    ask_for_lists = (
        TOPOLOGY.ends, TOPOLOGY.lines_of_device, TOPOLOGY.uplinks, TOPOLOGY.lines_of_site, TOPOLOGY.devices_of_site,
        TOPOLOGY.sites_of_area, TOPOLOGY.lines_of_area, TOPOLOGY.risk_groups_of_line, TOPOLOGY.risk_groups_of_site,
        TOPOLOGY.lines_of_risk_group, TOPOLOGY.sites_of_risk_group,
    )  # fmt: skip

    assert [ask("gone") for ask in ask_for_lists] == [()] * len(ask_for_lists)
    assert [ask("gone") for ask in (TOPOLOGY.place, TOPOLOGY.place_of_line, TOPOLOGY.place_of_site)] == [Place()] * 3
    assert TOPOLOGY.line_at("gone", 1) is None
