"""What stands in region.yml: each kind of thing, its keys and the kinds of their values. docs/region.md has the tables.

A thing is an ID and its keys, so that an ID cannot be given twice, and a mistake is told at `lines.fibre-1.carrier`. References
are IDs; whether they lead anywhere is checked when all is read, in `netmon.inventory.references`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
from pydantic import AfterValidator, Field, StrictBool, StrictInt, model_validator

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.config.kinds import Network, Section, shown
from netmon.config.snmpv3 import EngineId
from netmon.inventory.kinds import (
    LIST_MAX,
    AnyProbes,
    AreaCode,
    BitRate,
    BitRateOrNone,
    BuiltInProfile,
    Degrees,
    Duration,
    Factor,
    Geometry,
    JmaCode,
    Name,
    NameEn,
    Reference,
    References,
    Sectors,
    Share,
    SourceAddress,
    each_once,
    position_mistake,
)
from netmon.inventory.model import ActuatorKind, FailoverMode, Medium, RiskKind
from netmon.inventory.probe_entries import Interface, literal_or_none
from netmon.inventory.probes import Profile


class Thing(Section):
    """What all have in common."""

    name: Name | None = None
    """null: its ID."""
    name_en: NameEn = ""


class AreaEntry(Thing):
    """A municipality."""

    code: AreaCode
    jma_codes: Annotated[tuple[JmaCode, ...], AfterValidator(each_once)] = ()


class CarrierEntry(Thing):
    """Who operates lines."""

    contact: Annotated[str, Field(max_length=500)] = ""


class RiskGroupEntry(Thing):
    """What fails together."""

    kind: RiskKind
    geometry: Geometry = ()


class SiteEntry(Thing):
    """A place with devices."""

    area: Reference
    latitude: Degrees
    longitude: Degrees
    risk_groups: References = ()

    @model_validator(mode="after")
    def _on_earth(self) -> SiteEntry:
        if (mistake := position_mistake(self.longitude, self.latitude)) is not None:
            raise ValueError(f"found longitude {self.longitude} and latitude {self.latitude}, {mistake}")
        return self


def _one_or_two(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) not in {1, 2}:
        raise ValueError(
            f"found {len(values)} ends; expected two sites, or one for a line into a network or to a satellite"
        )
    if len(set(values)) != len(values):
        raise ValueError(f"found {shown(values[0])} at both ends; expected two sites, or one end alone")
    return values


class LineEntry(Thing):
    """A line that sectors share."""

    medium: Medium
    carrier: Reference
    ends: Annotated[tuple[Reference, ...], AfterValidator(_one_or_two)]
    capacity_bps: BitRate
    cost_tier: Annotated[StrictInt, Field(ge=1, le=9)] = 1
    sectors: Sectors = ()
    risk_groups: References = ()
    geometry: Geometry = ()
    profile: Reference = ""
    """Empty: that of its medium."""
    standby: StrictBool = False
    probes: AnyProbes = ()


class InterfaceEntry(Section):
    """A port of a device that a line ends at."""

    index: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
    """InterfaceIndex of RFC 2863."""
    line: Reference
    name: Annotated[str, Field(max_length=255)] = ""


def _ports_once(values: tuple[InterfaceEntry, ...]) -> tuple[InterfaceEntry, ...]:
    for found in ([value.index for value in values], [value.name for value in values if value.name]):
        again = next((each for position, each in enumerate(found) if each in found[:position]), None)
        if again is not None:
            raise ValueError(f"found interface {shown(again)} twice; expected each once")
    return values


class DeviceEntry(Thing):
    """What sends notifications."""

    site: Reference
    kind: Annotated[str, Field(min_length=1, max_length=64)]
    addresses: Annotated[tuple[SourceAddress, ...], Field(max_length=LIST_MAX), AfterValidator(each_once)] = ()
    engine_ids: Annotated[tuple[EngineId, ...], Field(max_length=LIST_MAX), AfterValidator(each_once)] = ()
    sectors: Sectors = ()
    uplinks: References = ()
    interfaces: Annotated[tuple[InterfaceEntry, ...], Field(max_length=LIST_MAX), AfterValidator(_ports_once)] = ()
    is_power: StrictBool = False


def _hop(version: int) -> Callable[[str], str]:
    """Take a literal address of IPv4 or IPv6."""

    def read(value: str) -> str:
        found: str = literal_or_none(value)
        if found and ipaddress.ip_address(found).version != version:
            other = {4: "next_hop6", 6: "next_hop"}[version]
            raise ValueError(f"found {shown(value)}; expected IPv{version}; the other one is {other}")
        return found

    return read


class TrafficClassEntry(Thing):
    """Traffic that moves together."""

    priority: Literal["P0", "P1", "P2", "P3"]
    sectors: Sectors = ()
    bandwidth_bps: BitRateOrNone = 0
    delay_ms_max: Annotated[StrictInt, Field(ge=1, le=60_000)] | None = None
    mark: Annotated[StrictInt, Field(ge=0, le=2**32 - 1)] = 0
    """0: its packets are told by their destinations."""
    prefixes: Annotated[tuple[Network, ...], Field(max_length=LIST_MAX), AfterValidator(each_once)] = ()
    both_ways: StrictBool = True
    moves_on_sd: StrictBool = False
    revertive: StrictBool = True
    hold_off_s: Annotated[Duration, Field(ge=0, le=10)] | None = None
    """null: that of the configuration. ITU-T G.8031 section 11.12: at most 10 s."""
    wtr_s: Annotated[Duration, Field(ge=0, le=86_400)] | None = None
    verify: AnyProbes = ()


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("found an empty list; expected the lines that it may use, the preferred one first")
    return values


class PortEntry(Section):
    """How a gateway reaches one of its lines."""

    interface: Annotated[Interface, Field(min_length=1)]
    next_hop: Annotated[str, AfterValidator(_hop(4))] = ""
    next_hop6: Annotated[str, AfterValidator(_hop(6))] = ""


class GatewayEntry(Thing):
    """Where IoT traffic is put onto lines."""

    site: Reference
    device: Reference | None = None
    lines: Annotated[References, AfterValidator(_some)]
    classes: References = ()
    actuator: ActuatorKind = "dry_run"
    webhook: Reference = ""
    """Name of one of the configuration's."""
    ports: Annotated[dict[str, PortEntry], Field(max_length=LIST_MAX)] = {}  # noqa: RUF012 - pydantic copies it, and the entry is frozen
    mode: FailoverMode | None = None
    """null: that of the configuration."""


class VantageEntry(Thing):
    """A place that probes."""

    site: Reference | None = None
    anchors: AnyProbes = ()


class ProfileEntry(Section):
    """How often a line is asked, and from when on which state is said of it. What is left out is as in `based_on`."""

    based_on: BuiltInProfile | None = None
    """null: the built-in one of the same name."""
    interval_s: Annotated[Duration, Field(ge=0.01, le=3_600)] | None = None
    timeout_s: Annotated[Duration, Field(ge=0.01, le=60)] | None = None
    confirm_interval_s: Annotated[Duration, Field(ge=0.01, le=60)] | None = None
    confirm_timeout_s: Annotated[Duration, Field(ge=0.01, le=60)] | None = None
    standby_interval_s: Annotated[Duration, Field(ge=0.01, le=86_400)] | None = None
    fall: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    rise: Annotated[StrictInt, Field(ge=1, le=1_000)] | None = None
    loss_degraded: Share | None = None
    loss_degraded_clear: Share | None = None
    loss_down: Share | None = None
    loss_down_clear: Share | None = None
    rtt_factor: Annotated[Factor, Field(ge=1, le=1_000)] | None = None
    rtt_factor_clear: Annotated[Factor, Field(ge=1, le=1_000)] | None = None
    rtt_floor_s: Annotated[Duration, Field(ge=0, le=60)] | None = None
    rtt_cap_s: Annotated[Duration, Field(ge=0, le=60)] | None = None
    window_s: Annotated[Duration, Field(ge=1, le=600)] | None = None

    def merged(self, name: str) -> Profile:
        """With what is left out. Raises KeyError: it is based on none, and there is no built-in one of this name."""
        written = self.model_dump(exclude={"based_on"}, exclude_none=True)
        return msgspec.structs.replace(BUILT_IN[self.based_on or name], **written)


KINDS: Final[dict[str, type[Section]]] = {
    "areas": AreaEntry,
    "carriers": CarrierEntry,
    "risk_groups": RiskGroupEntry,
    "sites": SiteEntry,
    "lines": LineEntry,
    "devices": DeviceEntry,
    "traffic_classes": TrafficClassEntry,
    "gateways": GatewayEntry,
    "vantages": VantageEntry,
    "profiles": ProfileEntry,
}
"""The sections of a region, in the order that a person writes them in."""
