"""Lines and sites as GeoJSON (RFC 7946) with their present state, for maps. Pure.

WGS 84, longitude before latitude, no `crs` member. A line without a course of its own is drawn straight between its sites; one
with a single end and no course has no geometry, which is `null` (section 3.2).
"""

from __future__ import annotations

from typing import Any, Final

from netmon.alarms.causes import LINE_DOWN, POWER_FAILURE
from netmon.alarms.model import SEVERITIES, Key, alarm_id
from netmon.api.listing import Listing
from netmon.inventory.model import Inventory, Line, Named, Site

MEDIA_TYPE: Final = "application/geo+json"


def lines(inventory: Inventory, listing: Listing) -> dict[str, Any]:
    """All lines as a FeatureCollection."""
    sites = {site.id: site for site in inventory.sites}
    return _collection([_line(line, sites, listing) for line in inventory.lines])


def sites(inventory: Inventory, listing: Listing) -> dict[str, Any]:
    """All sites as a FeatureCollection."""
    return _collection([_site(site, listing) for site in inventory.sites])


def _line(line: Line, sites: dict[str, Site], listing: Listing) -> dict[str, Any]:
    ends = [sites[site_id] for site_id in line.endpoint_site_ids if site_id in sites]
    points = [list(point) for point in line.geometry] or [[site.longitude, site.latitude] for site in ends]
    about = {
        "medium": line.medium,
        "carrier": line.carrier_id,
        "sites": list(line.endpoint_site_ids),
        "capacity_bps": line.capacity_bps,
        "cost_tier": line.cost_tier,
        "sectors": list(line.sectors),
        "risk_groups": list(line.risk_group_ids),
    }
    down = _stands(listing, f"line/{line.id}", LINE_DOWN)
    geometry = {"type": "LineString", "coordinates": points} if len(points) > 1 else None
    return _feature(line, geometry, about, _state("line", line.id, listing, "down" if down else None))


def _site(site: Site, listing: Listing) -> dict[str, Any]:
    about = {"area": site.area_id, "risk_groups": list(site.risk_group_ids)}
    geometry = {"type": "Point", "coordinates": [site.longitude, site.latitude]}
    dark = _stands(listing, f"site/{site.id}", POWER_FAILURE)
    return _feature(site, geometry, about, _state("site", site.id, listing, "power_failure" if dark else None))


def _stands(listing: Listing, resource: str, alarm_type: str) -> bool:
    """Whether this alarm is active."""
    row = listing.row(alarm_id(Key(resource, alarm_type)))
    return row is not None and row.is_active


def _state(kind: str, name: str, listing: Listing, worst: str | None) -> dict[str, Any]:
    """Properties that change: what is known of it, its worst alarm and how many there are."""
    counts = {severity: listing.active[kind, name, severity] for severity in SEVERITIES}
    severity = next((severity for severity in reversed(SEVERITIES) if counts[severity]), None)
    state = worst or ("alarmed" if severity else "ok")
    return {"state": state, "severity": severity, "alarms": sum(counts.values())}


def _feature(
    thing: Named, geometry: dict[str, Any] | None, about: dict[str, Any], state: dict[str, Any]
) -> dict[str, Any]:
    names = {"id": thing.id, "name": thing.name, "name_en": thing.name_en or thing.name}
    return {"type": "Feature", "id": thing.id, "geometry": geometry, "properties": {**names, **about, **state}}


def _collection(features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": features}
