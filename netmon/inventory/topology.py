"""How the things of a region hang together, for whoever asks with a notification in the hand.

Pure. Everything is worked out once; each question is then a look into a dictionary. An inventory whose references do not
lead anywhere is our own fault here (KeyError): `netmon.inventory.schema` lets none pass. But an ID that is asked for may be
unknown, since alarms outlive what the operator takes out of the region: it is nowhere, and has nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from netmon.alarms.model import Place
from netmon.inventory.model import Device, Gateway, Inventory, Line, Named, Site
from netmon.inventory.probes import Vantage

_NOWHERE: Final = Place()

_N = TypeVar("_N", bound=Named)


class Topology:
    """A region, ready to be asked. Lists come in the order of the inventory, and are empty for an unknown ID."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.areas = _by_id(inventory.areas)
        self.carriers = _by_id(inventory.carriers)
        self.risk_groups = _by_id(inventory.risk_groups)
        self.sites = _by_id(inventory.sites)
        self.lines = _by_id(inventory.lines)
        self.devices = _by_id(inventory.devices)
        self.gateways = _by_id(inventory.gateways)
        vantages: tuple[Gateway | Vantage, ...] = (*inventory.gateways, *inventory.vantages)
        self.vantages = {vantage.id: vantage for vantage in vantages}
        """From where lines are probed: vantages, and gateways that probe."""
        self.traffic_classes = _by_id(inventory.traffic_classes)
        devices, lines, sites = inventory.devices, inventory.lines, inventory.sites
        self._by_address = {address: device for device in devices for address in device.addresses}
        self._by_engine = {engine_id: device for device in devices for engine_id in device.engine_ids}
        ports = [(device.id, port) for device in devices for port in device.interfaces]
        self._line_by_index = {(device, port.index): port.line_id for device, port in ports}
        self._line_by_name = {(device, port.name): port.line_id for device, port in ports if port.name}
        self._ends = _grouped((port.line_id, (device, port.index)) for device, port in ports)
        self._lines_of_device = _grouped((device, port.line_id) for device, port in ports)
        self._lines_of_site = _grouped((site, line.id) for line in lines for site in line.endpoint_site_ids)
        self._devices_of_site = _grouped((device.site_id, device.id) for device in devices)
        self._sites_of_area = _grouped((site.area_id, site.id) for site in sites)
        self._lines_of_area = _grouped((area, line.id) for line in lines for area in self._areas_of(line))
        self._lines_of_risk_group = _grouped((group, line.id) for line in lines for group in line.risk_group_ids)
        self._sites_of_risk_group = _grouped((group, site.id) for site in sites for group in site.risk_group_ids)
        self._site_places = {site.id: self._site_place(site) for site in sites}
        self._line_places = {line.id: self._line_place(line) for line in lines}
        self._device_places = {device.id: self._device_place(device) for device in devices}

    # --- Who and where. ---

    def device_of(self, source: str, engine_id: str | None = None) -> Device | None:
        """Who sent a notification, None for a stranger.

        Args:
            source: Address as the streams have it: canonical text (RFC 5952), IPv4 never mapped into IPv6.
            engine_id: Of an SNMPv3 notification, small hexadecimal letters. It wins over the address, which a
                translation of addresses, or a relay, may have changed.
        """
        if engine_id is not None and (device := self._by_engine.get(engine_id)) is not None:
            return device
        return self._by_address.get(source)

    def place(self, device_id: str) -> Place:
        """Where a device is. Its sectors are its own; without any, those of the lines at its ports; else its site's."""
        return self._device_places.get(device_id, _NOWHERE)

    def place_of_line(self, line_id: str) -> Place:
        """Where a line is: in the area of its first end; at a site only when it has no other end."""
        return self._line_places.get(line_id, _NOWHERE)

    def place_of_site(self, site_id: str) -> Place:
        """Where a site is, with the sectors of its devices and lines."""
        return self._site_places.get(site_id, _NOWHERE)

    def line_at(self, device_id: str, if_index: int | None, if_name: str | None = None) -> str | None:
        """The line that ends at a port, None where none does; `ifIndex` wins over `ifName`."""
        by_index = None if if_index is None else self._line_by_index.get((device_id, if_index))
        if by_index is not None or not if_name:
            return by_index
        return self._line_by_name.get((device_id, if_name))

    # --- What hangs on what. ---

    def ends(self, line_id: str) -> tuple[tuple[str, int], ...]:
        """Device ID and ifIndex of each port that a line ends at."""
        return self._ends.get(line_id, ())

    def lines_of_device(self, device_id: str) -> tuple[str, ...]:
        """Lines that end at a device's ports, each once."""
        return self._lines_of_device.get(device_id, ())

    def uplinks(self, device_id: str) -> tuple[str, ...]:
        """Lines over which a device is reached: it is cut off when all of them are down. Its own, else its site's."""
        device = self.devices.get(device_id)
        if device is None:
            return ()
        return device.uplink_line_ids or self.lines_of_site(device.site_id)

    def lines_of_site(self, site_id: str) -> tuple[str, ...]:
        """Lines with an end at a site."""
        return self._lines_of_site.get(site_id, ())

    def devices_of_site(self, site_id: str) -> tuple[str, ...]:
        """Devices at a site."""
        return self._devices_of_site.get(site_id, ())

    def sites_of_area(self, area_id: str) -> tuple[str, ...]:
        """Sites in an area."""
        return self._sites_of_area.get(area_id, ())

    def lines_of_area(self, area_id: str) -> tuple[str, ...]:
        """Lines with an end in an area, each once; one between two areas is in both."""
        return self._lines_of_area.get(area_id, ())

    def risk_groups_of_line(self, line_id: str) -> tuple[str, ...]:
        """What takes a line down."""
        line = self.lines.get(line_id)
        return () if line is None else line.risk_group_ids

    def risk_groups_of_site(self, site_id: str) -> tuple[str, ...]:
        """What takes a site down."""
        site = self.sites.get(site_id)
        return () if site is None else site.risk_group_ids

    def lines_of_risk_group(self, risk_group_id: str) -> tuple[str, ...]:
        """Lines that go down together."""
        return self._lines_of_risk_group.get(risk_group_id, ())

    def sites_of_risk_group(self, risk_group_id: str) -> tuple[str, ...]:
        """Sites that go down together."""
        return self._sites_of_risk_group.get(risk_group_id, ())

    # --- Places, worked out. ---

    def _areas_of(self, line: Line) -> list[str]:
        return [self.sites[site].area_id for site in line.endpoint_site_ids]

    def _site_place(self, site: Site) -> Place:
        shared = (sector for line in self.lines_of_site(site.id) for sector in self.lines[line].sectors)
        own = (sector for device in self.devices_of_site(site.id) for sector in self.devices[device].sectors)
        return Place(area=site.area_id, site=site.id, sectors=_each_once((*own, *shared)))

    def _line_place(self, line: Line) -> Place:
        ends = line.endpoint_site_ids
        site = ends[0] if len(ends) == 1 else ""
        return Place(area=self.sites[ends[0]].area_id, site=site, line=line.id, sectors=line.sectors)

    def _device_place(self, device: Device) -> Place:
        at_ports = (sector for line in self.lines_of_device(device.id) for sector in self.lines[line].sectors)
        site = self._site_places[device.site_id]
        sectors = device.sectors or _each_once(at_ports) or site.sectors
        return Place(area=site.area, site=site.site, device=device.id, sectors=sectors)


def _by_id(things: Sequence[_N]) -> Mapping[str, _N]:
    return {thing.id: thing for thing in things}


_T = TypeVar("_T")


def _grouped(pairs: Iterable[tuple[str, _T]]) -> dict[str, tuple[_T, ...]]:
    """The second of each pair under the first, each once, in the order that they came in."""
    groups: dict[str, dict[_T, None]] = {}
    for name, member in pairs:
        groups.setdefault(name, {})[member] = None
    return {name: tuple(members) for name, members in groups.items()}


def _each_once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
