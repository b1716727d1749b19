"""Kinds of values that stand in region.yml: IDs, references, bit rates, times, shares, places. Each tells what it expected instead."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.config.kinds import shown
from netmon.inventory.codes import area_code

ID_LETTERS_MAX: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_SECTOR: Final = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?", re.ASCII)
_JMA_CODE: Final = re.compile(r"((quake|tsunami|weather):)?[0-9]{3,7}", re.ASCII)
_BITS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?([kMGT])bps", re.ASCII)
_UNITS: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?(ms|s|m)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%", re.ASCII)
CAPACITY_MAX: Final = 10**15
_POINTS_MAX: Final = 10_000
LIST_MAX: Final = 1_000

Point = tuple[float, float]


def id_mistake(found: object) -> str | None:
    """Why this is no ID; None when it is one."""
    if isinstance(found, str) and _ID.fullmatch(found):
        return None
    expected = f"1 to {ID_LETTERS_MAX} letters, digits, dots, hyphens and underscores, a letter or digit first and last"
    return f"found {shown(found)}; expected an ID: {expected}"


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
    if not 1 <= value <= CAPACITY_MAX:
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


def each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what is there twice."""
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
References = Annotated[tuple[Reference, ...], Field(max_length=LIST_MAX), AfterValidator(each_once)]
Degrees = Annotated[float, BeforeValidator(_number)]
AreaCode = Annotated[str, BeforeValidator(_code)]
JmaCode = Annotated[str, BeforeValidator(_jma_code)]
BitRateOrNone = Annotated[StrictInt, BeforeValidator(_bits), Field(ge=0, le=CAPACITY_MAX)]
"""0: none."""
BitRate = Annotated[StrictInt, BeforeValidator(_bits), AfterValidator(_in_range)]
Sectors = Annotated[
    tuple[Annotated[str, AfterValidator(_sector)], ...], Field(max_length=LIST_MAX), AfterValidator(each_once)
]
Geometry = Annotated[tuple[Annotated[Point, BeforeValidator(_point)], ...], Field(max_length=_POINTS_MAX)]
SourceAddress = Annotated[str, BeforeValidator(_source_address)]
Duration = Annotated[float, BeforeValidator(duration)]
Share = Annotated[float, BeforeValidator(_share)]
Factor = Annotated[float, BeforeValidator(_factor)]
BuiltInProfile = Annotated[str, AfterValidator(_built_in)]

PROBES_MAX: Final = 16
"""Of one line, anchors of one vantage, and what one class of traffic asks."""
AnyProbes = Annotated[tuple[Any, ...], Field(max_length=PROBES_MAX)]
"""Each is read for itself by `netmon.inventory.probe_entries`: the keys of a probe go by its way of asking."""
