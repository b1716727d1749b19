"""The probers, one file each. A new one is its file, one line here, and its Struct in `netmon.inventory.probes`.

They are imported when a probe of their kind exists: some need libraries that are large.
"""

from __future__ import annotations

import importlib
from typing import Final, cast

from netmon.active_probe.probers.base import MakeService, OpenChannel
from netmon.inventory.probes import ProberKind

PROBERS: Final[dict[ProberKind, str]] = {
    "stamp": "netmon.active_probe.probers.stamp:open_channel",
    "icmp": "netmon.active_probe.probers.icmp:open_channel",
    "tcp": "netmon.active_probe.probers.tcp:make_service",
    "http": "netmon.active_probe.probers.http:make_service",
    "snmp": "netmon.active_probe.probers.snmp:make_service",
    "mqtt": "netmon.active_probe.probers.mqtt:make_service",
}
"""Kind to module and function; the function's name says whether it is a packet prober or a service prober."""


def is_packet_prober(kind: ProberKind) -> bool:
    """Whether it has channels, which the engine sends by."""
    return PROBERS[kind].endswith(":open_channel")


def load_packet_prober(kind: ProberKind) -> OpenChannel:
    """Imports it. Raises ImportError: what it needs is not installed."""
    return cast(OpenChannel, _load(kind))


def load_service_prober(kind: ProberKind) -> MakeService:
    """Imports it. Raises ImportError: what it needs is not installed."""
    return cast(MakeService, _load(kind))


def _load(kind: ProberKind) -> object:
    module, _, name = PROBERS[kind].partition(":")
    return getattr(importlib.import_module(module), name)
