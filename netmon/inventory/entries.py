"""What stands in region.yml: each kind of thing, its keys and the kinds of their values. docs/region.md has the tables.

A thing is an ID and its keys, so that an ID cannot be given twice, and a mistake is told at `lines.fibre-1.carrier`. References
are IDs; whether they lead anywhere is checked when all is read, in `netmon.inventory.references`.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, model_validator

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.config.kinds import Section, shown
from netmon.config.snmpv3 import EngineId
from netmon.inventory.codes import area_code
from netmon.inventory.model import Medium, RiskKind
from netmon.inventory.probes import Profile

ID_LETTERS_MAX: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_SECTOR: Final = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?", re.ASCII)
_JMA_CODE: Final = re.compile(r"((quake|tsunami|weather):)?[0-9]{3,7}", re.ASCII)
_BITS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?([kMGT])bps", re.ASCII)
_UNITS: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?(ms|s|m)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%", re.ASCII)
_CAPACITY_MAX: Final = 10**15
_POINTS_MAX: Final = 10_000
_LIST_MAX: Final = 1_000

Point = tuple[float, float]


def id_mistake(found: object) -> str | None:
    """Why this is no ID; None when it is one."""
    if isinstance(found, str) and _ID.fullmatch(found):
        return None
    expected = f"1 to {ID_LETTERS_MAX} letters, digits, dots, hyphens and underscores, a letter or digit first and last"
    return f"found {shown(found)}; expected an ID: {expected}"


# --- Kinds of values. ---


def _reference(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError(f"found {shown(value)}, which is no text to YAML; expected an ID: put it in quotes")  # noqa: TRY004 - pydantic's
    return value


def _code(value: Any) -> str:
    if isinstance(value, int | float):
        cure = 'quote it, as "131016" is, for a number loses its leading zero'
        raise ValueError(f"found the number {shown(value)}; {cure}")  # noqa: TRY004 - pydantic's
    return area_code(str(value))


def _jma_code(value: Any) -> str:
    if isinstance(value, int | float):
        raise ValueError(f"found the number {shown(value)}; quote it, for a number loses its leading zero")  # noqa: TRY004 - pydantic's
    if not _JMA_CODE.fullmatch(str(value)):
        raise ValueError(
            f"found {shown(value)}; expected 3 to 7 digits in quotes, with quake:, tsunami: or weather: before them or not"
        )
    return str(value)


def _number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
        return float(value)
    raise ValueError(f"found {shown(value)}; expected degrees, such as 35.681236")


def _bits(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _BITS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"found {shown(value)}; expected bits a second, such as 100Mbps (kbps, Mbps, Gbps, Tbps)")
    return round(float(found[1]) * _UNITS[found[2]])


def _in_range(value: int) -> int:
    if not 1 <= value <= _CAPACITY_MAX:
        raise ValueError(f"found {value}; expected more than 0, at most 1000Tbps")
    return value


def _sector(value: str) -> str:
    if not _SECTOR.fullmatch(value):
        raise ValueError(f"found {shown(value)}; expected a word in small letters, such as water, traffic or sirens")
    return value


def _source_address(value: Any) -> str:
    """The address as the streams have it; one that nobody can send from is refused."""
    try:
        found = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError(f"found {shown(value)}; expected an IP address, without port or prefix")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_unspecified or found.is_multicast:
        raise ValueError(f"found {shown(value)}, which nobody can send from; expected the address of one device")
    return str(found)


def _point(value: Any) -> Point:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"found {shown(value)}; expected [longitude, latitude]")
    longitude, latitude = (_number(each) for each in value)
    if (mistake := position_mistake(longitude, latitude)) is not None:
        raise ValueError(f"found [{longitude}, {latitude}], {mistake}")
    return longitude, latitude


def position_mistake(longitude: float, latitude: float) -> str | None:
    """What is wrong with a position in degrees, and the cure; None when it is one.

    Japan lies between 122 and 154 degrees east and between 20 and 46 degrees north: the wrong way round, it is always outside
    the world.
    """
    if abs(longitude) <= 180 and abs(latitude) <= 90:
        return None
    if abs(longitude) <= 90 and abs(latitude) <= 180:
        return f"the wrong way round; expected longitude {latitude} and latitude {longitude}"
    return "which is outside the world; expected degrees: longitude -180 to 180, latitude -90 to 90"


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    again = next((value for index, value in enumerate(values) if value in values[:index]), None)
    if again is not None:
        raise ValueError(f"found {shown(again)} twice; expected each once")
    return values


def duration(value: Any) -> float:
    """Seconds, from a number of them or `500ms`, `2s`, `1m`. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"found {shown(value)}; expected a time, such as 500ms, 2s or 1m")
    return float(found[1]) * _SECONDS[found[2]]


def _share(value: Any) -> float:
    """A part of one, from 0.1 or `10%`."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    share = float(found[1]) / 100 if found is not None else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"found {shown(value)}; expected a share, such as 10% or 0.1")
    return float(share)


def _factor(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError(f"found {shown(value)}; expected a number, such as 1.5")


def _built_in(value: str) -> str:
    if value not in BUILT_IN:
        near = difflib.get_close_matches(value, BUILT_IN, n=1)
        cure = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(BUILT_IN)}"
        raise ValueError(f"found {shown(value)}; there is no such built-in profile; {cure}")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200)]
NameEn = Annotated[str, Field(max_length=200)]
Reference = Annotated[str, BeforeValidator(_reference)]
References = Annotated[tuple[Reference, ...], Field(max_length=_LIST_MAX), AfterValidator(_each_once)]
Degrees = Annotated[float, BeforeValidator(_number)]
BitRate = Annotated[StrictInt, BeforeValidator(_bits), AfterValidator(_in_range)]
Sectors = Annotated[
    tuple[Annotated[str, AfterValidator(_sector)], ...], Field(max_length=_LIST_MAX), AfterValidator(_each_once)
]
Geometry = Annotated[tuple[Annotated[Point, BeforeValidator(_point)], ...], Field(max_length=_POINTS_MAX)]
SourceAddress = Annotated[str, BeforeValidator(_source_address)]
Duration = Annotated[float, BeforeValidator(duration)]
Share = Annotated[float, BeforeValidator(_share)]
Factor = Annotated[float, BeforeValidator(_factor)]


# --- The things. ---


class Thing(Section):
    """What all have in common."""

    name: Name | None = None
    """null: its ID."""
    name_en: NameEn = ""


class AreaEntry(Thing):
    """A municipality."""

    code: Annotated[str, BeforeValidator(_code)]
    jma_codes: Annotated[tuple[Annotated[str, BeforeValidator(_jma_code)], ...], AfterValidator(_each_once)] = ()


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


PROBES_MAX: Final = 16
"""Of one line, and anchors of one vantage."""

_AnyProbes = Annotated[tuple[Any, ...], Field(max_length=PROBES_MAX)]
"""Each is read for itself by `netmon.inventory.probe_entries`: the keys of a probe go by its way of asking."""


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
    probes: _AnyProbes = ()


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
    addresses: Annotated[tuple[SourceAddress, ...], Field(max_length=_LIST_MAX), AfterValidator(_each_once)] = ()
    engine_ids: Annotated[tuple[EngineId, ...], Field(max_length=_LIST_MAX), AfterValidator(_each_once)] = ()
    sectors: Sectors = ()
    uplinks: References = ()
    interfaces: Annotated[tuple[InterfaceEntry, ...], Field(max_length=_LIST_MAX), AfterValidator(_ports_once)] = ()
    is_power: StrictBool = False


class TrafficClassEntry(Thing):
    """Traffic that moves together."""

    priority: Literal["P0", "P1", "P2", "P3"]
    sectors: Sectors = ()
    bandwidth_bps: Annotated[StrictInt, BeforeValidator(_bits), Field(ge=0, le=_CAPACITY_MAX)] = 0
    delay_ms_max: Annotated[StrictInt, Field(ge=1, le=60_000)] | None = None


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("found an empty list; expected the lines that it may use, the preferred one first")
    return values


class GatewayEntry(Thing):
    """Where IoT traffic is put onto lines."""

    site: Reference
    device: Reference | None = None
    lines: Annotated[References, AfterValidator(_some)]
    classes: References = ()


class VantageEntry(Thing):
    """A place that probes."""

    site: Reference | None = None
    anchors: _AnyProbes = ()


class ProfileEntry(Section):
    """How often a line is asked, and from when on which state is said of it. What is left out is as in `based_on`."""

    based_on: Annotated[str, AfterValidator(_built_in)] | None = None
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
