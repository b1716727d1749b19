"""The region as GeoJSON (RFC 7946), for maps.

Pure. WGS 84, longitude before latitude, no `crs` member (section 4). Sites are Points. A line is its course, or straight between its
sites; one with a single end and no course has no geometry, which is `null` (section 3.2). Of risk groups, those that have a
geometry are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netmon.inventory.model import Inventory, Line, Named, RiskGroup, Site

MEDIA_TYPE: Final = "application/geo+json"
"""RFC 7946 section 12."""


def region(inventory: Inventory) -> dict[str, Any]:
    """A FeatureCollection of all that has a place: sites, lines, risk groups. `kind` among the properties tells them apart."""
    sites = {site.id: site for site in inventory.sites}
    return collection(
        [
            *(site_feature(site) for site in inventory.sites),
            *(line_feature(line, sites) for line in inventory.lines),
            *(risk_group_feature(group) for group in inventory.risk_groups if group.geometry),
        ]
    )


def collection(features: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Features as one document."""
    return {"type": "FeatureCollection", "features": list(features)}


def site_feature(site: Site) -> dict[str, Any]:
    """A site: a Point."""
    about = {"area": site.area_id, "risk_groups": list(site.risk_group_ids)}
    return _feature("site", site, _geometry(((site.longitude, site.latitude),)), about)


def line_feature(line: Line, sites: Mapping[str, Site]) -> dict[str, Any]:
    """A line: a LineString, or null.

    Args:
        line: With ends among the sites.
        sites: By their IDs.
    """
    ends = [sites[name] for name in line.endpoint_site_ids]
    points = line.geometry or tuple((site.longitude, site.latitude) for site in ends)
    about = {
        "medium": line.medium,
        "carrier": line.carrier_id,
        "sites": list(line.endpoint_site_ids),
        "capacity_bps": line.capacity_bps,
        "cost_tier": line.cost_tier,
        "sectors": list(line.sectors),
        "risk_groups": list(line.risk_group_ids),
    }
    return _feature("line", line, _geometry(points) if len(points) > 1 else None, about)


def risk_group_feature(group: RiskGroup) -> dict[str, Any]:
    """What fails together: a Point or a LineString."""
    return _feature("risk_group", group, _geometry(group.geometry), {"risk": group.kind})


def _geometry(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    positions = [list(point) for point in points]
    if len(positions) == 1:
        return {"type": "Point", "coordinates": positions[0]}
    return {"type": "LineString", "coordinates": positions}


def _feature(kind: str, thing: Named, geometry: dict[str, Any] | None, about: dict[str, Any]) -> dict[str, Any]:
    """With an `id` that no feature of another kind has: a line and a device may have the same."""
    names = {"kind": kind, "id": thing.id, "name": thing.name, "name_en": thing.name_en or thing.name}
    return {"type": "Feature", "id": f"{kind}/{thing.id}", "geometry": geometry, "properties": {**names, **about}}
