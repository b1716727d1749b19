"""A region of any size, made of copies of a small one, and a region as the YAML that netmon reads.

Pure: the same region and number make the same copies, so that a result can be had again. A copy stands beside the others on the
map, has areas, sites, lines, risk groups, devices and gateways of its own, and shares carriers and traffic classes. None of the lines
is asked: nobody would answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
import yaml

from netmon.inventory.codes import check_digit
from netmon.inventory.model import Device, Gateway, Inventory, Line, RiskGroup, Site

_NETWORK: Final = int(ipaddress.IPv4Address("198.18.0.0"))
"""198.18.0.0/15 is for measurements (RFC 2544): 131,072 addresses, which the networks for documents do not have."""
_COLUMNS: Final = 50
_DEGREES: Final = 0.25
"""From one copy to the next: wider than the sample."""

Points = tuple[tuple[float, float], ...]


def scaled(region: Inventory, devices: int) -> Inventory:
    """Copies of a region that have so many devices together; the first is the region itself.

    Args:
        region: With at least one device.
        devices: 1 to 100,000. Of the last copy, what is beyond is left out.
    """
    copies = -(-devices // len(region.devices))
    codes = _free_codes({area.code for area in region.areas})
    parts = [region, *(_copy(region, number, codes) for number in range(1, copies))]
    kept = _joined(part.devices for part in parts)[:devices]
    known = {device.id for device in kept}
    gateways = _joined(part.gateways for part in parts)
    return msgspec.structs.replace(
        region,
        areas=_joined(part.areas for part in parts),
        risk_groups=_joined(part.risk_groups for part in parts),
        sites=_joined(part.sites for part in parts),
        lines=tuple(map(_unasked, _joined(part.lines for part in parts))),
        traffic_classes=tuple(msgspec.structs.replace(each, verify=()) for each in region.traffic_classes),
        vantages=(),
        profiles={},
        devices=kept,
        gateways=tuple(
            msgspec.structs.replace(each, device_id=each.device_id if each.device_id in known else None)
            for each in gateways
        ),
    )


def _joined(parts: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(each for part in parts for each in part)


def _copy(region: Inventory, number: int, codes: Iterator[str]) -> Inventory:
    """One copy, from 1 on."""

    def renamed(name: str) -> str:
        return f"{name}.{number}"

    def shifted(points: Points) -> Points:
        east, north = (number % _COLUMNS) * _DEGREES, (number // _COLUMNS) * _DEGREES
        return tuple((round(longitude + east, 6), round(latitude + north, 6)) for longitude, latitude in points)

    first = (number - 1) * len(region.devices)
    return Inventory(
        areas=tuple(msgspec.structs.replace(each, **_named(each, renamed), code=next(codes)) for each in region.areas),
        risk_groups=tuple(_risk_group(each, renamed, shifted) for each in region.risk_groups),
        sites=tuple(_site(each, renamed, shifted) for each in region.sites),
        lines=tuple(_line(each, renamed, shifted) for each in region.lines),
        devices=tuple(_device(each, renamed, number, first + at) for at, each in enumerate(region.devices)),
        gateways=tuple(_gateway(each, renamed) for each in region.gateways),
    )


_Renamed = Callable[[str], str]
_Shifted = Callable[[Points], Points]


def _free_codes(taken: set[str]) -> Iterator[str]:
    """Codes that the region does not use, the prefectures' last ones first, where the fewest real municipalities are."""
    for prefecture in range(1, 48):
        for number in range(999, -1, -1):
            five = f"{prefecture:02}{number:03}"
            if (code := five + check_digit(five)) not in taken:
                yield code


def _risk_group(group: RiskGroup, renamed: _Renamed, shifted: _Shifted) -> RiskGroup:
    return msgspec.structs.replace(group, **_named(group, renamed), geometry=shifted(group.geometry))


def _site(site: Site, renamed: _Renamed, shifted: _Shifted) -> Site:
    ((longitude, latitude),) = shifted(((site.longitude, site.latitude),))
    return msgspec.structs.replace(
        site,
        **_named(site, renamed),
        area_id=renamed(site.area_id),
        longitude=longitude,
        latitude=latitude,
        risk_group_ids=tuple(map(renamed, site.risk_group_ids)),
    )


def _line(line: Line, renamed: _Renamed, shifted: _Shifted) -> Line:
    return msgspec.structs.replace(
        line,
        **_named(line, renamed),
        endpoint_site_ids=tuple(map(renamed, line.endpoint_site_ids)),
        risk_group_ids=tuple(map(renamed, line.risk_group_ids)),
        geometry=shifted(line.geometry),
    )


def _unasked(line: Line) -> Line:
    return msgspec.structs.replace(line, probes=(), profile="")


def _device(device: Device, renamed: _Renamed, number: int, place: int) -> Device:
    """With addresses and engine IDs of its own."""
    return msgspec.structs.replace(
        device,
        **_named(device, renamed),
        site_id=renamed(device.site_id),
        addresses=tuple(_addresses(device.addresses, number, place)),
        engine_ids=tuple(f"{engine_id}{number:06x}" for engine_id in device.engine_ids),
        uplink_line_ids=tuple(map(renamed, device.uplink_line_ids)),
        interfaces=tuple(msgspec.structs.replace(port, line_id=renamed(port.line_id)) for port in device.interfaces),
    )


def _addresses(addresses: Iterable[str], number: int, place: int) -> Iterable[str]:
    """One of IPv4 whatever the device had, and each of IPv6 in a network of the copy's."""
    yield str(ipaddress.IPv4Address(_NETWORK + place))
    for address in map(ipaddress.ip_address, addresses):
        if isinstance(address, ipaddress.IPv6Address):
            yield str(ipaddress.IPv6Address(int(address) + (number << 64)))


def _gateway(gateway: Gateway, renamed: _Renamed) -> Gateway:
    return msgspec.structs.replace(
        gateway,
        **_named(gateway, renamed),
        site_id=renamed(gateway.site_id),
        device_id=None if gateway.device_id is None else renamed(gateway.device_id),
        line_ids=tuple(map(renamed, gateway.line_ids)),
        ports={renamed(line): port for line, port in gateway.ports.items()},
    )


def _named(thing: Any, renamed: _Renamed) -> dict[str, str]:
    """Names with the copy's number, as the ID has it: two halls of one name could not be told apart on a map."""
    number = renamed("").removeprefix(".")
    return {
        "id": renamed(thing.id),
        "name": f"{thing.name} {number}",
        "name_en": f"{thing.name_en} {number}" if thing.name_en else "",
    }


# --- As YAML. ---

_KEYS: Final = {
    "area_id": "area",
    "carrier_id": "carrier",
    "class_ids": "classes",
    "device_id": "device",
    "endpoint_site_ids": "ends",
    "line_id": "line",
    "line_ids": "lines",
    "risk_group_ids": "risk_groups",
    "site_id": "site",
    "uplink_line_ids": "uplinks",
}
"""What a field of the model is called in region.yml, where that is not the same."""
_TRUE: Final = frozenset({"both_ways", "revertive"})
"""Fields that are true where nothing is written."""


def as_yaml(region: Inventory) -> str:
    """The text that `netmon.inventory.schema` makes this region from; it must be one of `scaled`, which has no probes."""
    plain = msgspec.to_builtins(region)
    sections = {
        kind: {each.pop("id"): _written(each) for each in things}
        for kind, things in plain.items()
        if kind not in {"name", "profiles"}
    }
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump({"name": region.name, **sections}, Dumper=dumper, allow_unicode=True, sort_keys=False))


def _written(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is at its default."""
    if "priority" in fields:
        fields["priority"] = f"P{fields['priority']}"
    if "interfaces" in fields:
        fields["interfaces"] = [_written(port) for port in fields["interfaces"]]
    return {
        _KEYS.get(key, key): value
        for key, value in fields.items()
        if key in _TRUE or value not in ("", [], (), None, False)
    }
