"""Lines and sites as GeoJSON (RFC 7946) with their present state, for maps. Pure.

Their geometry and what does not change is `netmon.inventory.geojson`'s; in a collection of one kind, the ID needs no kind before it.
"""

from __future__ import annotations

from typing import Any

from netmon.alarms.lifecycle.causes import POWER_FAILURE
from netmon.alarms.lifecycle.derived import LINE_DOWN
from netmon.alarms.model import SEVERITIES, Key, alarm_id
from netmon.api.listing import Listing
from netmon.inventory.geojson import MEDIA_TYPE, collection, line_feature, site_feature
from netmon.inventory.model import Inventory, Line, Site

__all__ = ["MEDIA_TYPE", "lines", "sites"]


def lines(inventory: Inventory, listing: Listing) -> dict[str, Any]:
    """All lines as a FeatureCollection."""
    sites = {site.id: site for site in inventory.sites}
    return collection([_line(line, sites, listing) for line in inventory.lines])


def sites(inventory: Inventory, listing: Listing) -> dict[str, Any]:
    """All sites as a FeatureCollection."""
    return collection([_site(site, listing) for site in inventory.sites])


def _line(line: Line, sites: dict[str, Site], listing: Listing) -> dict[str, Any]:
    down = _stands(listing, f"line/{line.id}", LINE_DOWN)
    return _with_state(line_feature(line, sites), _state("line", line.id, listing, "down" if down else None))


def _site(site: Site, listing: Listing) -> dict[str, Any]:
    dark = _stands(listing, f"site/{site.id}", POWER_FAILURE)
    return _with_state(site_feature(site), _state("site", site.id, listing, "power_failure" if dark else None))


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


def _with_state(feature: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    properties = feature["properties"]
    return {**feature, "id": properties["id"], "properties": {**properties, **state}}
