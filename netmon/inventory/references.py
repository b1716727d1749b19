"""Whether what a region says of its parts fits together: references lead somewhere, and nothing is in two places.

Pure. Entries in, mistakes out: where, and what was found and expected. An entry that is wrong in itself is known by its ID all
the same, so that those who refer to it are not told off for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.config.kinds import Section
from netmon.config.source import Path
from netmon.inventory import gateways as of_gateways
from netmon.inventory.entries import (
    AreaEntry,
    DeviceEntry,
    GatewayEntry,
    LineEntry,
    ProfileEntry,
    TrafficClassEntry,
)

Found = Iterator[tuple[Path, str]]
"""Where each mistake is, and its text."""

SINGULAR: Final = {
    "areas": "area",
    "carriers": "carrier",
    "risk_groups": "risk group",
    "sites": "site",
    "lines": "line",
    "devices": "device",
    "traffic_classes": "traffic class",
    "gateways": "gateway",
    "vantages": "vantage",
    "profiles": "profile",
}
"""Kinds of things, and one of them in words."""

_GUESSES_MAX: Final = 1_000
"""Among more IDs, the one that was meant is not looked for: it takes too long."""
_REFERS: Final = {
    "sites": {"area": "areas", "risk_groups": "risk_groups"},
    "lines": {"carrier": "carriers", "ends": "sites", "risk_groups": "risk_groups"},
    "devices": {"site": "sites", "uplinks": "lines"},
    "gateways": {"site": "sites", "device": "devices", "lines": "lines", "classes": "traffic_classes"},
    "vantages": {"site": "sites"},
}
"""Which key of which kind of thing refers to which other kind."""


def mistakes(written: Mapping[str, Mapping[str, Any]], things: Mapping[str, Mapping[str, Section]]) -> Found:
    """Yield everything that does not fit.

    Args:
        written: Kind to ID to what was written, right or wrong.
        things: Kind to ID to entry, of those that are right in themselves.
    """
    for kind, keys in _REFERS.items():
        for name, thing in written[kind].items():
            if isinstance(thing, dict):
                for key, to in keys.items():
                    yield from _unknown((kind, name, key), thing.get(key), to, written[to])
                yield from _unknown_ports((kind, name, "interfaces"), thing.get("interfaces"), written["lines"])
    yield from _unknown_to_probes(written)
    for name, profile in things["profiles"].items():
        assert isinstance(profile, ProfileEntry)
        yield from _misfit_thresholds(name, profile)
    yield from _shared_codes(things["areas"])
    devices = {name: each for name, each in things["devices"].items() if isinstance(each, DeviceEntry)}
    lines = {name: each for name, each in things["lines"].items() if isinstance(each, LineEntry)}
    for key in ("addresses", "engine_ids"):
        yield from _shared(devices, key)
    for name, device in devices.items():
        yield from _misplaced_ports(name, device, lines)
    gateways = {name: each for name, each in things["gateways"].items() if isinstance(each, GatewayEntry)}
    for name, gateway in gateways.items():
        yield from _misplaced_gateway(name, gateway, devices, lines)
    classes = {name: each for name, each in things["traffic_classes"].items() if isinstance(each, TrafficClassEntry)}
    yield from of_gateways.class_mistakes(written["traffic_classes"], classes)
    yield from of_gateways.gateway_mistakes(gateways, classes)


def _unknown(path: Path, value: object, kind: str, ids: Collection[str]) -> Found:
    """References that lead nowhere; what is no text is told by the entry itself."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _unknown((*path, index), each, kind, ids)
    elif isinstance(value, str) and value not in ids:
        yield path, f"found {value!r}; {_known(value, kind, ids)}"


def _unknown_ports(path: Path, value: object, lines: Collection[str]) -> Found:
    for index, port in enumerate(value if isinstance(value, list) else ()):
        if isinstance(port, dict):
            yield from _unknown((*path, index, "line"), port.get("line"), "lines", lines)


def _unknown_to_probes(written: Mapping[str, Mapping[str, Any]]) -> Found:
    """Profiles of lines, which may be built in; and who asks, which may be gateways."""
    profiles = [*written["profiles"], *BUILT_IN]
    who = [*written["vantages"], *written["gateways"]]
    for name, line in written["lines"].items():
        if isinstance(line, dict):
            yield from _unknown(("lines", name, "profile"), line.get("profile") or None, "profiles", profiles)
            yield from _unknown_askers(("lines", name, "probes"), line.get("probes"), who)
    for name, vantage in written["vantages"].items():
        anchors = vantage.get("anchors") if isinstance(vantage, dict) else None
        for index, anchor in enumerate(anchors if isinstance(anchors, list) else ()):
            if isinstance(anchor, dict) and "from" in anchor:
                text = "has no meaning here: an anchor is its own vantage's; expected it without from"
                yield ("vantages", name, "anchors", index, "from"), text


def _unknown_askers(path: Path, probes: object, who: Collection[str]) -> Found:
    for index, probe in enumerate(probes if isinstance(probes, list) else ()):
        if isinstance(probe, dict):
            yield from _unknown((*path, index, "from"), probe.get("from"), "vantages", who)


_NOT_ABOVE: Final = (
    ("loss_degraded_clear", "loss_degraded"),
    ("loss_down_clear", "loss_down"),
    ("loss_degraded", "loss_down"),
    ("rtt_factor_clear", "rtt_factor"),
    ("confirm_interval_s", "interval_s"),
    ("interval_s", "standby_interval_s"),
    ("interval_s", "window_s"),
)
"""Keys of a profile of which the first must not be above the second: what clears would otherwise raise again at once."""


def _misfit_thresholds(name: str, entry: ProfileEntry) -> Found:
    try:
        profile = entry.merged(name)
    except KeyError:
        known = ", ".join(BUILT_IN)
        yield ("profiles", name), f"expected based_on, which is one of {known}: {name!r} is none of them"
        return
    for low, high in _NOT_ABOVE:
        least, most = getattr(profile, low), getattr(profile, high)
        if least > most:
            key = high if getattr(entry, low) is None else low
            yield ("profiles", name, key), f"found {low} {least:g} and {high} {most:g}; expected {low} not above {high}"


def _known(value: str, kind: str, ids: Collection[str]) -> str:
    """What could have been meant."""
    singular = SINGULAR[kind]
    if not ids:
        return f"expected the ID of one of the {kind}, and there are none"
    near = difflib.get_close_matches(value, ids, n=1) if len(ids) <= _GUESSES_MAX else []
    return f"there is no such {singular}; did you mean {near[0]}?" if near else f"expected the ID of a {singular}"


def _shared_codes(areas: Mapping[str, Section]) -> Found:
    owners: dict[str, str] = {}
    for name, area in areas.items():
        assert isinstance(area, AreaEntry)
        first = owners.setdefault(area.code, name)
        if first != name:
            yield ("areas", name, "code"), f"found {area.code!r}, which is the code of {first}; expected another"


def _shared(devices: Mapping[str, DeviceEntry], key: str) -> Found:
    """What two devices claim to be known by."""
    owners: dict[str, str] = {}
    for name, device in devices.items():
        for index, value in enumerate(getattr(device, key)):
            first = owners.setdefault(value, name)
            if first != name:
                text = f"found {value!r}, which is {first}'s; expected that only one device sends by it"
                yield ("devices", name, key, index), text


def _misplaced_ports(name: str, device: DeviceEntry, lines: Mapping[str, LineEntry]) -> Found:
    for index, port in enumerate(device.interfaces):
        line = lines.get(port.line)
        if line is not None and device.site not in line.ends:
            ends = " and ".join(line.ends)
            text = f"found {port.line!r}, which ends at {ends}; expected a line of {device.site}, where it stands"
            yield ("devices", name, "interfaces", index, "line"), text


def _misplaced_gateway(
    name: str, gateway: GatewayEntry, devices: Mapping[str, DeviceEntry], lines: Mapping[str, LineEntry]
) -> Found:
    device = devices.get(gateway.device or "")
    if device is not None and device.site != gateway.site:
        text = f"found {gateway.device!r}, which stands at {device.site}; expected a device of {gateway.site}"
        yield ("gateways", name, "device"), text
    for index, each in enumerate(gateway.lines):
        line = lines.get(each)
        if line is not None and gateway.site not in line.ends:
            text = f"found {each!r}, which ends at {' and '.join(line.ends)}; expected a line of {gateway.site}"
            yield ("gateways", name, "lines", index), text
