"""What a region may say, and is worth a second look: what is right by itself, and does not do what it is there for.

Pure. A region grows, so none of this is a mistake; `netmon inventory check` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator

from netmon.inventory import backups, probing
from netmon.inventory.topology import Topology


def doubts(topology: Topology) -> Iterator[str]:
    """Yield each as `path: text`, in the order of the file."""
    for group in topology.risk_groups:
        if not topology.lines_of_risk_group(group) and not topology.sites_of_risk_group(group):
            yield f"risk_groups.{group}: nothing is in it, so it is never a cause"
    for area in topology.areas:
        if not topology.sites_of_area(area):
            yield f"areas.{area}: no site is in it, so its posture is what is declared and what JMA says"
    for line in topology.lines:
        if not topology.ends(line):
            yield f"lines.{line}: no device has a port on it, so no notification says that it is down"
    yield from probing.doubts(topology.inventory)
    for device in topology.devices.values():
        yield from (f"devices.{device.id}: {text}" for text in _about(topology, device.id))
    yield from backups.doubts(topology)


def _about(topology: Topology, device_id: str) -> Iterator[str]:
    device = topology.devices[device_id]
    if not device.addresses and not device.engine_ids:
        yield "has neither addresses nor engine_ids, so nothing that it sends is known to be its"
    if not topology.uplinks(device_id):
        yield f"no line leads to {device.site_id}, and it has no uplinks, so it is never known to be cut off"
