"""What devices say in a disaster: real notifications, and which alarm each speaks of.

Pure. The OIDs and objects are those of IF-MIB (RFC 2863), SNMPv2-MIB (RFC 3418), OSPF-TRAP-MIB (RFC 4750), BGP4-MIB (RFC 4273),
BFD-STD-MIB (RFC 7331), UPS-MIB (RFC 1628), ENTITY-STATE-MIB (RFC 4268) and BATTERY-MIB (RFC 7577). What each is expected to make
of an alarm stands beside it, written down by hand from docs/alarms.md: an expectation that came from the rules themselves would
agree with any mistake in them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from loadtest.templates import NUMBER_OID, REQUEST_ID_BASE, RUN_MIN, number
from netmon.alarms.model import Key, Severity
from netmon.inventory.model import Device
from netmon.snmp.encode import TypedVarbind, encode_v2c

_TRAPS: Final = "1.3.6.1.6.3.1.1.5."
_IF: Final = "1.3.6.1.2.1.2.2.1."
_OSPF: Final = "1.3.6.1.2.1.14."
_BGP: Final = "1.3.6.1.2.1.15."
_UPS: Final = "1.3.6.1.2.1.33."
_BFD: Final = "1.3.6.1.2.1.222."
_BATTERY: Final = "1.3.6.1.2.1.233."
_ENTITY_STATE: Final = "1.3.6.1.2.1.131."
_TRAP_ADDRESS: Final = "1.3.6.1.6.3.18.1.3.0"
_BFD_EXPIRED: Final = 1
"""controlDetectionTimeExpired."""


class Said(msgspec.Struct, frozen=True):
    """What a notification says about one alarm."""

    key: Key
    severity: Severity | None
    """None: it clears it."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notification, and what must come of it."""

    device_id: str
    address: str
    """Of the device, in snmpTrapAddress.0: so that one machine can speak for all of them."""
    trap_oid: str
    varbinds: tuple[TypedVarbind, ...]
    says: tuple[Said, ...]
    """The alarms that it speaks of; the first one tells which other notifications are about the same thing."""


def datagram(notice: Notice, community: str = "public") -> bytes:
    """The SNMPv2c trap; its last eight octets are its number, to be written over."""
    varbinds: list[TypedVarbind] = [
        *notice.varbinds,
        (_TRAP_ADDRESS, "IpAddress", notice.address),
        (NUMBER_OID, "Counter64", number(RUN_MIN, 0)),
    ]
    return encode_v2c(
        community=community.encode(),
        pdu="trap",
        request_id=REQUEST_ID_BASE,
        uptime_centis=1_000_000,
        trap_oid=notice.trap_oid,
        varbinds=varbinds,
    )


def address_of(device: Device) -> str | None:
    """The first IPv4 address of a device: snmpTrapAddress has room for no other kind; None: it cannot be played."""
    return next((address for address in device.addresses if ":" not in address), None)


def _of(device: Device, trap_oid: str, varbinds: list[TypedVarbind], *says: Said) -> Notice:
    address = address_of(device)
    assert address is not None, f"{device.id} has no IPv4 address"
    return Notice(device_id=device.id, address=address, trap_oid=trap_oid, varbinds=tuple(varbinds), says=says)


def link(device: Device, index: int, *, up: bool) -> Notice:
    """linkDown or linkUp of a port; a port that no line ends at is of less interest."""
    port = next((port for port in device.interfaces if port.index == index), None)
    varbinds: list[TypedVarbind] = [
        (f"{_IF}1.{index}", "Integer32", index),
        (f"{_IF}7.{index}", "Integer32", 1),
        (f"{_IF}8.{index}", "Integer32", 1 if up else 2),
        (f"{_IF}2.{index}", "OctetString", (port and port.name) or f"port {index}"),
    ]
    key = Key(f"device/{device.id}/interface/{index}", "link-down")
    return _of(device, _TRAPS + ("4" if up else "3"), varbinds, Said(key, None if up else "major" if port else "minor"))


def ospf(device: Device, neighbor: str, *, up: bool) -> Notice:
    """ospfNbrStateChange: a neighbour is down, or full again."""
    at = f"{neighbor}.0"
    varbinds: list[TypedVarbind] = [
        (f"{_OSPF}1.1.0", "IpAddress", address_of(device)),
        (f"{_OSPF}10.1.1.{at}", "IpAddress", neighbor),
        (f"{_OSPF}10.1.2.{at}", "Integer32", 0),
        (f"{_OSPF}10.1.3.{at}", "IpAddress", neighbor),
        (f"{_OSPF}10.1.6.{at}", "Integer32", 8 if up else 1),
    ]
    key = Key(f"device/{device.id}/ospf-neighbor/{at}", "ospf-neighbor-down")
    return _of(device, f"{_OSPF}16.2.2", varbinds, Said(key, None if up else "major"))


def bgp(device: Device, peer: str, *, up: bool) -> Notice:
    """bgpEstablishedNotification or bgpBackwardTransNotification."""
    varbinds: list[TypedVarbind] = [
        (f"{_BGP}3.1.7.{peer}", "IpAddress", peer),
        (f"{_BGP}3.1.14.{peer}", "OctetString", b"\0\0" if up else b"\x04\0"),
        (f"{_BGP}3.1.2.{peer}", "Integer32", 6 if up else 1),
    ]
    key = Key(f"device/{device.id}/bgp-peer/{peer}", "bgp-peer-down")
    return _of(device, f"{_BGP}0.{1 if up else 2}", varbinds, Said(key, None if up else "major"))


def bfd(device: Device, session: int) -> Notice:
    """bfdSessDown of one session: a range of sessions, the first of which is the last."""
    diagnostic: TypedVarbind = (f"{_BFD}1.2.1.13.{session}", "Integer32", _BFD_EXPIRED)
    key = Key(f"device/{device.id}/bfd-session/{session}", "bfd-session-down")
    return _of(device, f"{_BFD}0.2", [diagnostic, diagnostic], Said(key, "major"))


def on_battery(device: Device, minutes: int) -> Notice:
    """upsTrapOnBattery, which a UPS sends each minute; with five minutes left it is as good as dark."""
    varbinds: list[TypedVarbind] = [
        (f"{_UPS}1.2.3.0", "Integer32", minutes),
        (f"{_UPS}1.2.2.0", "Integer32", 60),
        (f"{_UPS}1.9.7.0", "Integer32", 2),
    ]
    return _of(device, f"{_UPS}2.1", varbinds, Said(_no_power(device), "critical" if minutes <= 5 else "major"))


def mains_back(device: Device) -> Notice:
    """upsTrapAlarmEntryRemoved with upsAlarmOnBattery."""
    varbinds: list[TypedVarbind] = [
        (f"{_UPS}1.6.2.1.1.2", "Integer32", 2),
        (f"{_UPS}1.6.2.1.2.2", "ObjectIdentifier", f"{_UPS}1.6.3.2"),
    ]
    return _of(device, f"{_UPS}2.4", varbinds, Said(_no_power(device), None))


def ups_battery(device: Device, *, depleted: bool) -> Notice:
    """upsTrapAlarmEntryAdded with upsAlarmLowBattery or upsAlarmDepletedBattery."""
    row, alarm = (4, 4) if depleted else (3, 3)
    varbinds: list[TypedVarbind] = [
        (f"{_UPS}1.6.2.1.1.{row}", "Integer32", row),
        (f"{_UPS}1.6.2.1.2.{row}", "ObjectIdentifier", f"{_UPS}1.6.3.{alarm}"),
    ]
    battery = Said(Key(f"device/{device.id}", "battery-low"), "critical" if depleted else "major")
    return _of(device, f"{_UPS}2.3", varbinds, Said(_no_power(device), "critical"), battery)


def _no_power(ups: Device) -> Key:
    return Key(f"site/{ups.site_id}", "power-failure")


def restarted(device: Device) -> Notice:
    """coldStart: whatever had stopped runs again."""
    resource = f"device/{device.id}"
    stopped = Said(Key(resource, "agent-stopped"), None)
    return _of(device, f"{_TRAPS}1", [], Said(Key(resource, "restarted"), "warning"), stopped)


def unauthentic(device: Device) -> Notice:
    """authenticationFailure: somebody asks with a wrong community, again and again."""
    return _of(device, f"{_TRAPS}5", [], Said(Key(f"device/{device.id}", "authentication-failure"), "warning"))


def component_failed(device: Device, index: int) -> Notice:
    """entStateOperDisabled: a module, a fan, a cooler."""
    varbinds: list[TypedVarbind] = [
        (f"{_ENTITY_STATE}1.1.1.2.{index}", "Integer32", 4),
        (f"{_ENTITY_STATE}1.1.1.5.{index}", "OctetString", b"\x20"),
    ]
    key = Key(f"device/{device.id}/component/{index}", "component-failed")
    return _of(device, f"{_ENTITY_STATE}0.2", varbinds, Said(key, "major"))


def battery_low(device: Device, index: int = 1) -> Notice:
    """batteryLowNotification: of a siren, say."""
    at = f"{_BATTERY}1.1.1."
    varbinds: list[TypedVarbind] = [
        (f"{at}15.{index}", "Gauge32", 900),
        (f"{at}16.{index}", "Gauge32", 11_200),
        (f"{at}25.{index}", "OctetString", ""),
    ]
    return _of(
        device, f"{_BATTERY}0.2", varbinds, Said(Key(f"device/{device.id}/battery/{index}", "battery-low"), "major")
    )
