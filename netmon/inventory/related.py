"""What a thing of the region has to do with others: what a person wants to know who has its name in the hand.

Pure. A relation is a word and IDs, in the order of the inventory; relations without any are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from netmon.inventory.codes import jma_city_code
from netmon.inventory.model import Area, Carrier, Device, Gateway, Line, Named, RiskGroup, Site, TrafficClass
from netmon.inventory.probes import Vantage
from netmon.inventory.topology import Topology

Relations = dict[str, tuple[str, ...]]


def things(topology: Topology) -> dict[str, Mapping[str, Named]]:
    """Kind to ID to thing, for every kind of thing."""
    return {
        "areas": topology.areas,
        "carriers": topology.carriers,
        "risk_groups": topology.risk_groups,
        "sites": topology.sites,
        "lines": topology.lines,
        "devices": topology.devices,
        "traffic_classes": topology.traffic_classes,
        "gateways": topology.gateways,
        "vantages": {vantage.id: cast(Named, vantage) for vantage in topology.inventory.vantages},
    }


def related(topology: Topology, thing: Named) -> Relations:
    """All relations of one thing."""
    found = _RELATIONS[type(thing)](topology, thing)
    return {word: tuple(dict.fromkeys(ids)) for word, ids in found.items() if ids}


def dependents(topology: Topology, line_id: str) -> tuple[str, ...]:
    """Devices that are reached over a line, alone or beside others."""
    return tuple(device for device in topology.devices if line_id in topology.uplinks(device))


def _of_area(topology: Topology, area: Area) -> dict[str, Iterable[str]]:
    sites = topology.sites_of_area(area.id)
    devices = [device for site in sites for device in topology.devices_of_site(site)]
    return {
        "JMA city code": (jma_city_code(area.code),),
        "sites": sites,
        "lines": topology.lines_of_area(area.id),
        "devices": devices,
    }


def _of_carrier(topology: Topology, carrier: Carrier) -> dict[str, Iterable[str]]:
    return {"lines": [line.id for line in topology.inventory.lines if line.carrier_id == carrier.id]}


def _of_risk_group(topology: Topology, group: RiskGroup) -> dict[str, Iterable[str]]:
    return {"lines": topology.lines_of_risk_group(group.id), "sites": topology.sites_of_risk_group(group.id)}


def _of_site(topology: Topology, site: Site) -> dict[str, Iterable[str]]:
    return {
        "lines": topology.lines_of_site(site.id),
        "devices": topology.devices_of_site(site.id),
        "power told by": [d for d in topology.devices_of_site(site.id) if topology.devices[d].is_power],
        "gateways": [gateway.id for gateway in topology.inventory.gateways if gateway.site_id == site.id],
        "sectors": topology.place_of_site(site.id).sectors,
    }


def _of_line(topology: Topology, line: Line) -> dict[str, Iterable[str]]:
    reached = dependents(topology, line.id)
    beside = [topology.lines_of_risk_group(group) for group in line.risk_group_ids]
    return {
        "ports": [f"{device} interface {index}" for device, index in topology.ends(line.id)],
        "fails with": [other for lines in beside for other in lines if other != line.id],
        "reached by it alone": [device for device in reached if topology.uplinks(device) == (line.id,)],
        "reached by others, too": [device for device in reached if topology.uplinks(device) != (line.id,)],
        "gateways": [gateway.id for gateway in topology.inventory.gateways if line.id in gateway.line_ids],
    }


def _of_device(topology: Topology, device: Device) -> dict[str, Iterable[str]]:
    place = topology.place(device.id)
    return {
        "area": (place.area,),
        "reached over": topology.uplinks(device.id),
        "lines at its ports": topology.lines_of_device(device.id),
        "sectors that notice": place.sectors,
    }


def _of_class(topology: Topology, traffic: TrafficClass) -> dict[str, Iterable[str]]:
    return {"gateways": [gateway.id for gateway in topology.inventory.gateways if traffic.id in gateway.class_ids]}


def _of_gateway(topology: Topology, gateway: Gateway) -> dict[str, Iterable[str]]:
    return {"area": (topology.place_of_site(gateway.site_id).area,)}


def _of_vantage(topology: Topology, vantage: Vantage) -> dict[str, Iterable[str]]:
    lines = (
        line
        for line in topology.inventory.lines
        for probe in line.probes
        if vantage.id in (probe.vantage_ids or (vantage.id,))
    )
    return {"asks over": [line.id for line in lines]}


_RELATIONS: Final[dict[type[Named], Callable[[Topology, Any], dict[str, Iterable[str]]]]] = {
    Area: _of_area,
    Carrier: _of_carrier,
    RiskGroup: _of_risk_group,
    Site: _of_site,
    Line: _of_line,
    Device: _of_device,
    TrafficClass: _of_class,
    Gateway: _of_gateway,
    cast(type[Named], Vantage): _of_vantage,
}
