"""What arrives over a line by itself: a device that has only one way to us has just used it. Pure.

The verdict process weighs it against probes that fail (`netmon.active_probe.verdict`): a line over which something still comes
has failed in one direction at most. It costs each notification one comparison.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from netmon.inventory.topology import Topology

FRESH_NS: Final = 10_000_000_000
"""What was received earlier says nothing of now: a backlog that is worked off."""


class Arrival:
    """When a device was last heard.

    Attributes:
        line_id: Over which line.
        what: What has come, for people.
        unix_ns: When; 0: nothing yet.
    """

    __slots__ = ("line_id", "told_unix_ns", "unix_ns", "what")

    def __init__(self, line_id: str, what: str) -> None:
        self.line_id = line_id
        self.what = what
        self.unix_ns = self.told_unix_ns = 0


class PassiveLines:
    """The devices that are reached by exactly one line each."""

    def __init__(self, topology: Topology, line_ids: Collection[str], own_site_id: str) -> None:
        """Prepares.

        Args:
            topology: The region.
            line_ids: Lines of which somebody wants to know.
            own_site_id: Devices there reach us without any line.
        """
        wanted = frozenset(line_ids)
        self._arrivals: dict[str, Arrival] = {}
        self._heard: dict[str, Arrival] = {}
        """Those of devices that have ever been heard."""
        for device in topology.devices.values():
            uplinks = topology.uplinks(device.id)
            if len(uplinks) == 1 and uplinks[0] in wanted and device.site_id != own_site_id:
                self._arrivals[device.id] = Arrival(uplinks[0], f"trap from {device.id}")

    def arrival(self, device_id: str) -> Arrival | None:
        """What is to be kept up to date whenever the device sends something; None: it shows nothing of any line."""
        arrival = self._arrivals.get(device_id)
        if arrival is not None:
            self._heard[device_id] = arrival
        return arrival

    def take(self, now_unix_ns: int) -> dict[str, tuple[int, str]]:
        """What has come just now and was not taken before: line ID to when, and what; the newest of each line."""
        found: dict[str, tuple[int, str]] = {}
        for arrival in self._heard.values():
            unix_ns = arrival.unix_ns
            if unix_ns == arrival.told_unix_ns or not 0 <= now_unix_ns - unix_ns <= FRESH_NS:
                continue
            arrival.told_unix_ns = unix_ns
            if unix_ns > found.get(arrival.line_id, (0, ""))[0]:
                found[arrival.line_id] = (unix_ns, arrival.what)
        return found
