"""What a region says of its gateways against what moves their traffic needs to know: marks, ports, names.

Pure. Part of `netmon.inventory.references`: entries in, mistakes out, each where it stands.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from netmon.config.source import Path
from netmon.failover.actuators.layout import MARKS
from netmon.inventory.entries import GatewayEntry, TrafficClassEntry

Found = Iterator[tuple[Path, str]]

LOCAL_ACTUATORS: Final = frozenset({"agent", "routes"})
"""They move routes themselves: they have to know by which port a line leaves, and which packets are a class's."""
_TABLES_FIRST: Final = 0x6E6D_0000
"""Of the numbers of netmon's routing tables: far from 253 to 255, and from the small ones that people choose."""
_NO_PIN: Final = ("interface", "mark", "source", "netns", "expect_interface", "from")


def table_of(class_id: str) -> int:
    """Number of the routing table of a class at every gateway; it depends on its ID alone, so that it is the same for ever."""
    return _TABLES_FIRST | zlib.crc32(class_id.encode()) & 0xFFFF


def class_mistakes(written: Mapping[str, Any], classes: Mapping[str, TrafficClassEntry]) -> Found:
    """Yield what two classes have and one may have, and ways that what a class asks must not be told to go.

    Args:
        written: Class ID to what was written, right or wrong.
        classes: Class ID to entry, of those that are right in themselves.
    """
    marks: dict[int, str] = {}
    prefixes: dict[str, str] = {}
    for name, each in classes.items():
        if each.mark and (first := marks.setdefault(each.mark, name)) != name:
            yield (
                ("traffic_classes", name, "mark"),
                f"found {each.mark}, which is the mark of {first}; expected another",
            )
        if each.mark & ~0xFFFF == MARKS:
            text = f"found {each.mark:#x}; netmon itself uses {MARKS:#x} to {MARKS | 0xFFFF:#x}; expected another"
            yield ("traffic_classes", name, "mark"), text
        if each.mark and each.prefixes:
            text = (
                "found a mark and prefixes; expected one of them: where packets carry a mark, nobody asks where they go"
            )
            yield ("traffic_classes", name, "prefixes"), text
        for index, prefix in enumerate(each.prefixes):
            if (first := prefixes.setdefault(prefix, name)) != name:
                text = f"found {prefix!r}, which is {first}'s; expected that only one class is told by it"
                yield ("traffic_classes", name, "prefixes", index), text
    for name, entry in written.items():
        asked = entry.get("verify") if isinstance(entry, dict) else None
        for index, probe in enumerate(asked if isinstance(asked, list) else ()):
            yield from _pinned(("traffic_classes", name, "verify", index), probe)
    for name, each in classes.items():
        yield from _elsewhere(name, each, written[name])


def _pinned(path: Path, probe: object) -> Found:
    written = probe if isinstance(probe, dict) else {}
    for key in _NO_PIN:
        if key in written:
            text = f"has no meaning here: it leaves as the packets of its class do; expected it without {key}"
            yield (*path, key), text


def _elsewhere(name: str, entry: TrafficClassEntry, written: Mapping[str, Any]) -> Found:
    """What a class without a mark asks at addresses that are not its own would leave by the usual route, and show nothing."""
    if entry.mark or not entry.prefixes:
        return
    networks = [ipaddress.ip_network(prefix) for prefix in entry.prefixes]
    for index, probe in enumerate(written.get("verify") or ()):
        address = _address_of(probe)
        if address is not None and not any(address in network for network in networks):
            text = f"found {address}, which is in none of its prefixes; expected an address of the class, or a mark"
            yield ("traffic_classes", name, "verify", index), text


def _address_of(probe: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The literal that a packet prober goes to; None of URLs, and of what is no probe."""
    values = [probe.get(kind) for kind in ("stamp", "icmp", "tcp", "snmp")] if isinstance(probe, dict) else []
    for text in (value for value in values if isinstance(value, str)):
        for candidate in (text, text.rpartition(":")[0].strip("[]")):
            try:
                return ipaddress.ip_address(candidate)
            except ValueError:
                continue
    return None


def gateway_mistakes(gateways: Mapping[str, GatewayEntry], classes: Mapping[str, TrafficClassEntry]) -> Found:
    """Yield what the actuator of each gateway lacks, or has and cannot use."""
    own: str | None = None
    for name, gateway in gateways.items():
        yield from ((("gateways", name, *path), text) for path, text in _about_ports(gateway))
        yield from ((("gateways", name, *path), text) for path, text in _about_webhook(gateway))
        if gateway.actuator in LOCAL_ACTUATORS:
            yield from ((("gateways", name, *path), text) for path, text in _about_packets(gateway, classes))
        if gateway.actuator == "routes":
            if own is not None:
                text = f"found routes, which {own} has: this machine is one gateway; expected agent"
                yield ("gateways", name, "actuator"), text
            own = own or name


def _about_ports(gateway: GatewayEntry) -> Found:
    ways: dict[tuple[str, str, str], str] = {}
    for line, port in gateway.ports.items():
        if line not in gateway.lines:
            yield ("ports", line), f"found {line!r}, which is none of its lines; expected {' or '.join(gateway.lines)}"
        first = ways.setdefault((port.interface, port.next_hop, port.next_hop6), line)
        if first != line:
            text = f"leaves as {first} does; expected another interface or next hop, for lines are told apart by these"
            yield ("ports", line), text
    missing = [line for line in gateway.lines if line not in gateway.ports]
    if missing and gateway.actuator in LOCAL_ACTUATORS:
        key = ("ports",) if gateway.ports else ("actuator",)
        form = f"ports: {{{missing[0]}: {{interface: eth1}}}}"
        text = f"{gateway.actuator} has to know how to reach {' and '.join(missing)}; expected {form}"
        yield key, text


def _about_webhook(gateway: GatewayEntry) -> Found:
    if gateway.actuator == "webhook" and not gateway.webhook:
        yield ("actuator",), "found webhook, and none is named; expected webhook: NAME, as in failover.webhooks"
    if gateway.webhook and gateway.actuator != "webhook":
        yield ("webhook",), f"has no meaning with actuator: {gateway.actuator}; expected actuator: webhook"


def _about_packets(gateway: GatewayEntry, classes: Mapping[str, TrafficClassEntry]) -> Found:
    tables: dict[int, str] = {}
    for index, name in enumerate(gateway.classes):
        each = classes.get(name)
        if (first := tables.setdefault(table_of(name), name)) != name:
            yield ("classes", index), f"the routing table of {name} would be that of {first}; expected another ID"
        if each is not None and not each.mark and not each.prefixes:
            text = f"nothing tells which packets are of {name}; {gateway.actuator} needs its mark, or prefixes"
            yield ("classes", index), text
