"""The region as values: what the operator wrote in region.yml, after it was checked.

Pure. `netmon.inventory.schema` makes it from YAML; a process gets it as JSON among its settings. IDs are the operator's own
and unique in their kind; a field that ends in `_id` or `_ids` refers to one, and has been checked. Coordinates are WGS 84
degrees, longitude before latitude, as GeoJSON has them (RFC 7946 section 3.1.1).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.inventory.probes import AnyProbe, Profile, Vantage

Medium = Literal["fibre", "5g", "leo", "geo", "radio", "copper"]
RiskKind = Literal["duct", "bridge", "pole_route", "power_feeder", "exchange", "site"]
MEDIA: Final[tuple[Medium, ...]] = ("fibre", "5g", "leo", "geo", "radio", "copper")
ActuatorKind = Literal["agent", "iota_json", "routes", "webhook", "dry_run"]
"""Who moves a gateway's traffic: `netmon agent` on it, an edge that speaks IoTA-JSON, this machine's own routes, a carrier's controller, nobody."""
ACTUATOR_KINDS: Final[tuple[ActuatorKind, ...]] = ("agent", "iota_json", "routes", "webhook", "dry_run")
FailoverMode = Literal["observe", "advise", "act"]
FAILOVER_MODES: Final[tuple[FailoverMode, ...]] = ("observe", "advise", "act")
RISK_KINDS: Final[tuple[RiskKind, ...]] = ("duct", "bridge", "pole_route", "power_feeder", "exchange", "site")


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What has an ID and names that people read."""

    id: str
    name: str
    """In Japanese, or whatever staff call it."""
    name_en: str = ""
    """In English; empty: `name`."""


class Area(Named, frozen=True, kw_only=True):
    """A municipality."""

    code: str
    """全国地方公共団体コード: 6 digits with the check digit, a string for the sake of leading zeros."""
    jma_codes: tuple[str, ...] = ()
    """Codes of this area in telegrams of the Japan Meteorological Agency beside its city code: 細分区域, 予報区, 津波予報区, and
    the wards of a large city. `quake:222`, `tsunami:220` and `weather:040010` count in these telegrams alone: regions of
    earthquakes and of tsunamis have the same numbers."""


class Carrier(Named, frozen=True, kw_only=True):
    """Who operates lines."""

    contact: str = ""
    """Whom to call; shown, never sent to."""


class RiskGroup(Named, frozen=True, kw_only=True):
    """What fails together: a duct, a bridge, a pole route, a power feeder, an exchange (shared-risk group, RFC 4202)."""

    kind: RiskKind
    geometry: tuple[tuple[float, float], ...] = ()
    """Points of a line, or one point: (longitude, latitude)."""


class Site(Named, frozen=True, kw_only=True):
    """A place with devices."""

    area_id: str
    longitude: float
    latitude: float
    risk_group_ids: tuple[str, ...] = ()
    """Power feeder, exchange: what takes the whole site down."""


class Line(Named, frozen=True, kw_only=True):
    """A line that sectors share."""

    medium: Medium
    carrier_id: str
    endpoint_site_ids: tuple[str, ...]
    """The sites at its ends, one or two: one for a line into a carrier's network or to a satellite."""
    capacity_bps: int
    cost_tier: int = 1
    """1 is the cheapest; metered media have higher ones."""
    sectors: tuple[str, ...] = ()
    """Who shares it: water, traffic, sirens, ..."""
    risk_group_ids: tuple[str, ...] = ()
    geometry: tuple[tuple[float, float], ...] = ()
    """(longitude, latitude) of its course; empty: straight between its ends."""
    profile: str = ""
    """Name of a probe profile; empty: its medium's."""
    standby: bool = False
    """Without traffic while all is well, and paid for by volume: probed sparingly."""
    probes: tuple[AnyProbe, ...] = ()


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a device that a line ends at."""

    index: int
    """ifIndex."""
    line_id: str
    name: str = ""
    """ifName or ifDescr, if notifications shall be recognised by it, too."""


class Device(Named, frozen=True, kw_only=True):
    """What sends notifications."""

    site_id: str
    kind: str
    """router, switch, ups, radio, siren, sensor, ...: free text for people."""
    addresses: tuple[str, ...] = ()
    """Source addresses, IPv4 or IPv6."""
    engine_ids: tuple[str, ...] = ()
    """SNMPv3 engine IDs in hexadecimal."""
    sectors: tuple[str, ...] = ()
    uplink_line_ids: tuple[str, ...] = ()
    """Lines without which it cannot be reached; empty: it is reached over its site's."""
    interfaces: tuple[Interface, ...] = ()
    is_power: bool = False
    """A UPS or rectifier: what it says of mains power is true of its whole site."""


class TrafficClass(Named, frozen=True, kw_only=True):
    """Traffic that moves together; P0 first."""

    priority: Literal[0, 1, 2, 3]
    sectors: tuple[str, ...] = ()
    bandwidth_bps: int = 0
    """What one gateway's share of it needs."""
    delay_ms_max: int | None = None
    mark: int = 0
    """fwmark of its packets at a gateway; 0: they are told by `prefixes`."""
    prefixes: tuple[str, ...] = ()
    """Destinations (CIDR) of its packets."""
    both_ways: bool = True
    """It needs the direction to the gateway, too (sirens, pumps): a line that is one-way has failed for it."""
    moves_on_sd: bool = False
    """Also leaves a line that is only degraded."""
    revertive: bool = True
    hold_off_s: float | None = None
    """None: what the configuration says for all."""
    wtr_s: float | None = None
    verify: tuple[AnyProbe, ...] = ()
    """What the class asks to show that it arrives after a switch; empty: the far end of the line that it moved to."""


class Port(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a gateway reaches one of its lines."""

    interface: str
    next_hop: str = ""
    """IPv4 address of the next hop; empty: the interface is point to point."""
    next_hop6: str = ""


class Gateway(Named, frozen=True, kw_only=True):
    """Where IoT traffic is put onto lines."""

    site_id: str
    device_id: str | None = None
    line_ids: tuple[str, ...]
    """Lines that it may use, the preferred one first."""
    class_ids: tuple[str, ...] = ()
    actuator: ActuatorKind = "dry_run"
    webhook: str = ""
    """Name of a webhook in netmon.yml, of actuator `webhook`."""
    ports: dict[str, Port] = {}
    """Line ID to how it is reached; needed by actuators `agent` and `routes`."""
    mode: FailoverMode | None = None
    """None: what the configuration says for all."""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """One region."""

    name: str = ""
    areas: tuple[Area, ...] = ()
    carriers: tuple[Carrier, ...] = ()
    risk_groups: tuple[RiskGroup, ...] = ()
    sites: tuple[Site, ...] = ()
    lines: tuple[Line, ...] = ()
    devices: tuple[Device, ...] = ()
    traffic_classes: tuple[TrafficClass, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    vantages: tuple[Vantage, ...] = ()
    profiles: dict[str, Profile] = {}
    """The operator's own, by name; they go before the built-in ones."""
