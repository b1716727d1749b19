"""Reads region.yml, and tells every mistake in it at once.

region = read(Path("config/region.yml"))   # or ConfigError: each mistake as `FILE:LINE: path: found; expected`
"""

from __future__ import annotations

import difflib
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from netmon.config import checked
from netmon.config import source as config_source
from netmon.config.kinds import MIB, Section, shown
from netmon.config.source import Mistake, Source
from netmon.errors import ConfigError
from netmon.inventory import probe_entries, references
from netmon.inventory.entries import (
    KINDS,
    AreaEntry,
    CarrierEntry,
    DeviceEntry,
    GatewayEntry,
    LineEntry,
    ProfileEntry,
    RiskGroupEntry,
    SiteEntry,
    Thing,
    TrafficClassEntry,
    VantageEntry,
)
from netmon.inventory.kinds import id_mistake
from netmon.inventory.model import (
    Area,
    Carrier,
    Device,
    Gateway,
    Interface,
    Inventory,
    Line,
    Port,
    RiskGroup,
    Site,
    TrafficClass,
)
from netmon.inventory.probes import AnyProbe, Vantage

FILE_BYTES_MAX: Final = 64 * MIB
THINGS_MAX: Final = 100_000
"""Of each kind: a prefecture with all its sensors. More are another instance's."""
MISTAKES_MAX: Final = 1_000
"""A file with more of them was made by a program that has one."""
_PROBES: Final = {"lines": "probes", "traffic_classes": "verify", "vantages": "anchors"}
"""Kinds of things that have probes, and under which key."""

_Probes = Mapping[tuple[str, str], tuple[AnyProbe, ...]]
"""Those of each thing, by its kind and ID."""


def read(path: Path) -> Inventory:
    """Read and check a region.

    Raises:
        ConfigError: The file cannot be read, or is wrong; `mistakes` has all there is to say, by line.
    """
    with _no_collector():
        inventory, mistakes = _parse_once(checked.text_of(path, FILE_BYTES_MAX))
    if inventory is None:
        lines = checked.told(path, mistakes)
        rest = len(lines) - MISTAKES_MAX
        raise ConfigError(lines if rest <= 0 else [*lines[:MISTAKES_MAX], f"{path}: and {rest} more mistakes"])
    return inventory


@contextmanager
def _no_collector() -> Iterator[None]:
    """Python's collector of cycles looks at all values again and again while they are made: for 20,000 devices that is most
    of the time, and there are no cycles to be found.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def parse(text: str) -> tuple[Inventory | None, list[Mistake]]:
    """The region in a text, None when there is a mistake in it, and all mistakes in no order."""
    source = config_source.parse(text)
    values = {} if source.values is None else source.values
    if not isinstance(values, dict):
        return None, [*source.mistakes, source.mistake((), f"found {shown(values)}; expected areas, sites, lines, ...")]
    mistakes = list(source.mistakes)
    mistakes.extend(_unknown_keys(source, values))
    written = {kind: _written(source, kind, values.get(kind), mistakes) for kind in KINDS}
    things = {kind: _things(source, kind, written[kind], mistakes) for kind in KINDS}
    probes = dict(_probes(source, written, mistakes))
    misfits = islice(references.mistakes(written, things), MISTAKES_MAX)
    mistakes.extend(source.mistake(path, text) for path, text in misfits)
    if not isinstance(name := values.get("name", ""), str):
        mistakes.append(source.mistake(("name",), f"found {shown(name)}; expected text"))
    return (None, mistakes) if mistakes else (_inventory(str(name), things, probes), [])


_parse_once: Final = lru_cache(maxsize=1)(parse)
"""A reload asks for the region once for each process that is told of it; the text is what it was."""


def _unknown_keys(source: Source, values: dict[str, Any]) -> Iterator[Mistake]:
    known = ["name", *KINDS]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            yield source.mistake((key,), f"unknown setting; {cure}")


def _written(source: Source, kind: str, values: Any, mistakes: list[Mistake]) -> dict[str, Any]:
    """What stands in a section: ID to anything; what is wrong is added to the mistakes."""
    if values is None:
        return {}
    if not isinstance(values, dict):
        mistakes.append(source.mistake((kind,), f"found {_kind(values)}; expected things by their IDs, ID: settings"))
        return {}
    if len(values) > THINGS_MAX:
        mistakes.append(source.mistake((kind,), f"found {len(values):,}; expected at most {THINGS_MAX:,}"))
    return values


def _things(source: Source, kind: str, written: dict[str, Any], mistakes: list[Mistake]) -> dict[str, Section]:
    """The things of a kind that are right in themselves; what is wrong with the others is added to the mistakes."""
    things: dict[str, Section] = {}
    for name, entry in islice(written.items(), THINGS_MAX):
        if (text := id_mistake(name)) is not None:
            mistakes.append(source.mistake((kind, name), text))
        thing, wrong = checked.checked(KINDS[kind], source, {} if entry is None else entry, at=(kind, name))
        mistakes.extend(wrong)
        if thing is not None:
            things[name] = thing
    return things


def _probes(
    source: Source, written: Mapping[str, Mapping[str, Any]], mistakes: list[Mistake]
) -> Iterator[tuple[tuple[str, str], tuple[AnyProbe, ...]]]:
    """Yield the probes of everything that has some; what is wrong with others is added to the mistakes."""
    for kind, key in _PROBES.items():
        for name, entry in islice(written[kind].items(), THINGS_MAX):
            listed = entry.get(key) if isinstance(entry, dict) else None
            if listed:
                found, wrong = probe_entries.read(source, (kind, name, key), listed)
                mistakes.extend(wrong)
                yield (kind, name), found


def _kind(values: Any) -> str:
    return "a list" if isinstance(values, list) else shown(values)


# --- From entries to values. ---


def _inventory(name: str, things: Mapping[str, Mapping[str, Section]], probes: _Probes) -> Inventory:
    return Inventory(
        name=name,
        areas=tuple(_area(i, cast(AreaEntry, each)) for i, each in things["areas"].items()),
        carriers=tuple(_carrier(i, cast(CarrierEntry, each)) for i, each in things["carriers"].items()),
        risk_groups=tuple(_risk_group(i, cast(RiskGroupEntry, each)) for i, each in things["risk_groups"].items()),
        sites=tuple(_site(i, cast(SiteEntry, each)) for i, each in things["sites"].items()),
        lines=tuple(_line(i, cast(LineEntry, each), probes) for i, each in things["lines"].items()),
        devices=tuple(_device(i, cast(DeviceEntry, each)) for i, each in things["devices"].items()),
        traffic_classes=tuple(
            _class(i, cast(TrafficClassEntry, each), probes) for i, each in things["traffic_classes"].items()
        ),
        gateways=tuple(_gateway(i, cast(GatewayEntry, each)) for i, each in things["gateways"].items()),
        vantages=tuple(_vantage(i, cast(VantageEntry, each), probes) for i, each in things["vantages"].items()),
        profiles={i: cast(ProfileEntry, each).merged(i) for i, each in things["profiles"].items()},
    )


def _area(name: str, entry: AreaEntry) -> Area:
    return Area(**_named(name, entry), code=entry.code, jma_codes=entry.jma_codes)


def _carrier(name: str, entry: CarrierEntry) -> Carrier:
    return Carrier(**_named(name, entry), contact=entry.contact)


def _risk_group(name: str, entry: RiskGroupEntry) -> RiskGroup:
    return RiskGroup(**_named(name, entry), kind=entry.kind, geometry=entry.geometry)


def _site(name: str, entry: SiteEntry) -> Site:
    return Site(
        **_named(name, entry),
        area_id=entry.area,
        longitude=entry.longitude,
        latitude=entry.latitude,
        risk_group_ids=entry.risk_groups,
    )


def _line(name: str, entry: LineEntry, probes: _Probes) -> Line:
    return Line(
        **_named(name, entry),
        medium=entry.medium,
        carrier_id=entry.carrier,
        endpoint_site_ids=entry.ends,
        capacity_bps=entry.capacity_bps,
        cost_tier=entry.cost_tier,
        sectors=entry.sectors,
        risk_group_ids=entry.risk_groups,
        geometry=entry.geometry,
        profile=entry.profile,
        standby=entry.standby,
        probes=probes.get(("lines", name), ()),
    )


def _device(name: str, entry: DeviceEntry) -> Device:
    return Device(
        **_named(name, entry),
        site_id=entry.site,
        kind=entry.kind,
        addresses=entry.addresses,
        engine_ids=entry.engine_ids,
        sectors=entry.sectors,
        uplink_line_ids=entry.uplinks,
        interfaces=tuple(Interface(index=port.index, line_id=port.line, name=port.name) for port in entry.interfaces),
        is_power=entry.is_power,
    )


def _class(name: str, entry: TrafficClassEntry, probes: _Probes) -> TrafficClass:
    return TrafficClass(
        **_named(name, entry),
        priority=cast(Any, int(entry.priority[1])),
        sectors=entry.sectors,
        bandwidth_bps=entry.bandwidth_bps,
        delay_ms_max=entry.delay_ms_max,
        mark=entry.mark,
        prefixes=entry.prefixes,
        both_ways=entry.both_ways,
        moves_on_sd=entry.moves_on_sd,
        revertive=entry.revertive,
        hold_off_s=entry.hold_off_s,
        wtr_s=entry.wtr_s,
        verify=probes.get(("traffic_classes", name), ()),
    )


def _gateway(name: str, entry: GatewayEntry) -> Gateway:
    return Gateway(
        **_named(name, entry),
        site_id=entry.site,
        device_id=entry.device,
        line_ids=entry.lines,
        class_ids=entry.classes,
        actuator=entry.actuator,
        webhook=entry.webhook,
        ports={line: Port(**port.model_dump()) for line, port in entry.ports.items()},
        mode=entry.mode,
    )


def _vantage(name: str, entry: VantageEntry, probes: _Probes) -> Vantage:
    anchors = probes.get(("vantages", name), ())
    return Vantage(**_named(name, entry), site_id=entry.site or "", anchors=anchors)


def _named(name: str, entry: Thing) -> dict[str, str]:
    return {"id": name, "name": name if entry.name is None else entry.name, "name_en": entry.name_en}
