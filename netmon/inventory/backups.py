"""What a region may say of its gateways, and is worth a second look: a backup that fails with what it backs, or that takes too little.

Pure. Each doubt is `path: text`. Where no gateway carries a class, there is none: nobody has begun.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from netmon.failover.protection.admission import usable_bps
from netmon.inventory.model import Gateway, TrafficClass
from netmon.inventory.topology import Topology

WTR_MIN_S: Final = 60.0
"""ITU-T G.8032 section 10.1.4: 1 to 12 minutes."""


def doubts(topology: Topology) -> Iterator[str]:
    """Yield each, in the order of the file."""
    carrying = [gateway for gateway in topology.inventory.gateways if gateway.class_ids]
    carried = {name for gateway in carrying for name in gateway.class_ids}
    vital, home = _vital(topology, carrying), _home(topology, carrying)
    for line in topology.inventory.lines:
        if (wanted := vital.get(line.id, 0)) > (usable := usable_bps(line.capacity_bps)):
            text = f"{_rate(wanted)} of P0 may come to it, and it takes {_rate(usable)}"
            yield f"lines.{line.id}: {text}; some of it would have nowhere to go"
        # That of one gateway alone is told of the gateway.
        gateways, wanted = home.get(line.id, (0, 0))
        if gateways > 1 and wanted > usable:
            text = f"{gateways} gateways are at home on it with {_rate(wanted)}, and it takes {_rate(usable)}"
            yield f"lines.{line.id}: {text}; who has left it may not get back"
    for each in topology.inventory.traffic_classes:
        if each.id in carried:
            yield from (f"traffic_classes.{each.id}: {text}" for text in _about_class(each))
    for gateway in carrying:
        yield from (f"gateways.{gateway.id}: {text}" for text in _about_gateway(topology, gateway))


def _vital(topology: Topology, carrying: list[Gateway]) -> dict[str, int]:
    """Line ID to what all P0 that may come to it needs."""
    wanted: dict[str, int] = {}
    for gateway in carrying:
        classes = [topology.traffic_classes[name] for name in gateway.class_ids]
        rate = sum(each.bandwidth_bps for each in classes if each.priority == 0)
        for name in gateway.line_ids:
            wanted[name] = wanted.get(name, 0) + rate
    return wanted


def _home(topology: Topology, carrying: list[Gateway]) -> dict[str, tuple[int, int]]:
    """Line ID to how many gateways have it as their working line, and what all their classes need."""
    found: dict[str, tuple[int, int]] = {}
    for gateway in carrying:
        working = gateway.line_ids[0]
        count, rate = found.get(working, (0, 0))
        needs = sum(topology.traffic_classes[name].bandwidth_bps for name in gateway.class_ids)
        found[working] = count + 1, rate + needs
    return found


def _about_class(carried: TrafficClass) -> Iterator[str]:
    if not carried.bandwidth_bps:
        yield "has no bandwidth_bps, so it is taken to need no room, and may fill a line that others need"
    if carried.wtr_s is not None and carried.wtr_s < WTR_MIN_S:
        yield f"wtr_s is {carried.wtr_s:g} s, and a line that has just come back goes again more often than others; expected 60 s or more"


def _about_gateway(topology: Topology, gateway: Gateway) -> Iterator[str]:
    for name in gateway.line_ids:
        if not topology.lines[name].probes:
            yield f"nobody asks over {name}, so it is never shown to be good, and nothing is moved to it"
    yield from _about_families(topology, gateway)
    working, *others = gateway.line_ids
    if not others:
        yield f"{working} is its only line, so there is nowhere to go when that fails"
        return
    yield from _about_risks(topology, gateway)
    wanted = sum(topology.traffic_classes[name].bandwidth_bps for name in gateway.class_ids)
    if wanted > (usable := usable_bps(topology.lines[working].capacity_bps)):
        yield f"its classes need {_rate(wanted)}, and its working line {working} takes {_rate(usable)}; some are always shed"


def _about_families(topology: Topology, gateway: Gateway) -> Iterator[str]:
    """A port that has a next hop of one family does not take the other."""
    for name in gateway.class_ids:
        versions = {ipaddress.ip_network(prefix).version for prefix in topology.traffic_classes[name].prefixes}
        for line, port in gateway.ports.items():
            hops = {4: port.next_hop, 6: port.next_hop6}
            missing = [version for version in sorted(versions) if any(hops.values()) and not hops[version]]
            for version in missing:
                key = {4: "next_hop", 6: "next_hop6"}[version]
                yield f"{name} has prefixes of IPv{version}, and {line} no {key}, so they are refused there"


def _about_risks(topology: Topology, gateway: Gateway) -> Iterator[str]:
    risks = {name: _risks(topology, gateway, name) for name in gateway.line_ids}
    if shared := sorted(frozenset.intersection(*risks.values())):
        yield f"all of its lines share {' and '.join(shared)}: when that fails, nothing is left"
        return
    working, *others = gateway.line_ids
    vital = [name for name in gateway.class_ids if topology.traffic_classes[name].priority == 0]
    if vital and all(risks[working] & risks[name] for name in others):
        common = sorted(risk for name in others for risk in risks[working] & risks[name])
        yield f"{' and '.join(vital)} is P0, and every other line shares a risk with {working}: {', '.join(dict.fromkeys(common))}"


def _risks(topology: Topology, gateway: Gateway, line_id: str) -> frozenset[str]:
    """What takes a line down, but for what takes the gateway's own site down: all of its lines end there."""
    ends = (site for site in topology.lines[line_id].endpoint_site_ids if site != gateway.site_id)
    far = (risk for site in ends for risk in topology.sites[site].risk_group_ids)
    return frozenset({*topology.risk_groups_of_line(line_id), *far})


def _rate(bits: float) -> str:
    """Bits a second as the file writes them."""
    for unit, size in (("Gbps", 1e9), ("Mbps", 1e6), ("kbps", 1e3)):
        if bits >= size:
            return f"{bits / size:.4g} {unit}"
    return f"{bits:.0f} bps"
