"""`netmon inventory`: the region as netmon has read it, as a map, and whether a file of one is right."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from netmon import config as configuration
from netmon.cli.common import USAGE, AsJson, ConfigFile, LineConsole, config_in_use, exit_codes
from netmon.errors import ConfigError
from netmon.inventory import geojson, schema
from netmon.inventory.doubts import doubts
from netmon.inventory.model import Area, Device, Gateway, Inventory, Line, Named, Port, Site
from netmon.inventory.probes import AnyProbe, label
from netmon.inventory.references import SINGULAR
from netmon.inventory.related import related, things
from netmon.inventory.topology import Topology
from netmon.show import counted, printable

_group = typer.Typer(name="inventory", help="The region: areas, sites, lines, devices.", no_args_is_help=True)

_SHOWN_FIRST: Final = ("areas", "sites", "lines", "devices")
_UNITS: Final = ((10**12, "Tbps"), (10**9, "Gbps"), (10**6, "Mbps"), (10**3, "kbps"))
_COUNTED_FROM: Final = 4
"""Relations of so many in a table are a number there; the thing itself shows them all."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_group)


@_group.command()
def show(
    what: Annotated[
        str | None,
        typer.Argument(metavar="KIND|ID", help="areas, sites, lines, devices, carriers, ..., or the ID of one thing."),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the region that the configuration names: in tables, or one thing with all that hangs on it."""
    with exit_codes():
        topology = Topology(_configured(config))
        kinds = things(topology)
        chosen = list(_chosen(kinds, what))
        if as_json:
            _print_json(topology, chosen)
        elif what is None or _kind_of(kinds, what) is not None:
            _print_tables(topology, chosen, [what] if what else _SHOWN_FIRST)
        else:
            for kind, thing in chosen:
                _print_thing(topology, kind, thing)


@_group.command()
def export(
    file: Annotated[
        Path,
        typer.Option("--geojson", metavar="FILE", help="Write sites, lines and risk groups for a map; - prints it."),
    ],
    config: ConfigFile = None,
) -> None:
    """Write the region as GeoJSON (RFC 7946)."""
    with exit_codes():
        document = msgspec.json.encode(geojson.region(_configured(config))).decode()
        if str(file) == "-":
            print(document)
            return
        try:
            file.write_text(document + "\n", "utf-8")
        except OSError as error:
            raise ConfigError([f"{file} cannot be written: {error.strerror}"]) from None


@_group.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A region, such as config/region.example.yml.")],
    as_json: AsJson = False,
) -> None:
    """Check a region: every mistake at once, with its line and what was expected. Exit 2: there is one."""
    mistakes: list[str] = []
    found: list[str] = []
    counts = ""
    with exit_codes():
        try:
            inventory = schema.read(file)
            counts, found = _counts(inventory), list(doubts(Topology(inventory)))
        except ConfigError as error:
            if not as_json:
                raise
            mistakes = error.mistakes
        if as_json:
            answer = {"file": str(file), "valid": not mistakes, "mistakes": mistakes, "warnings": found}
            print(msgspec.json.encode(answer).decode())
        else:
            for doubt in found:
                print(f"warning: {doubt}", file=sys.stderr)
            print(f"{file}: ok. {counts}")
        raise typer.Exit(USAGE if mistakes else 0)


def _configured(config: Path | None) -> Inventory:
    path = config_in_use(config)
    loaded = configuration.load(path)
    if loaded.region.file is None:
        raise ConfigError([f"{path}: region.file: names no region; config/region.example.yml is one to begin with"])
    return schema.read(loaded.region.file)


def _counts(inventory: Inventory) -> str:
    kinds = ["area", "site", "line", "device", *(["vantage"] if inventory.vantages else [])]
    counts = {kind: counted(len(getattr(inventory, f"{kind}s")), kind) for kind in kinds}
    if asked := sum(bool(line.probes) for line in inventory.lines):
        counts["line"] += f" ({asked:,} probed)"
    return ", ".join(counts.values())


# --- What was asked for. ---


def _kind_of(kinds: Mapping[str, Any], word: str) -> str | None:
    """The kind that a word names: `risk_groups`, `risk-group`, `lines`, `line`."""
    plain = word.replace("-", "_")
    return next((kind for kind in kinds if plain in {kind, SINGULAR[kind].replace(" ", "_")}), None)


def _chosen(kinds: Mapping[str, Mapping[str, Named]], what: str | None) -> Iterator[tuple[str, Named]]:
    """Yield kind and thing of all that was asked for.

    Raises:
        ConfigError: There is nothing of that name.
    """
    kind = None if what is None else _kind_of(kinds, what)
    if what is None or kind is not None:
        for each in [kind] if kind else kinds:
            yield from ((each, thing) for thing in kinds[each].values())
        return
    found = [(each, members[what]) for each, members in kinds.items() if what in members]
    if not found:
        known = [*kinds, *(name for members in kinds.values() for name in members)]
        near = difflib.get_close_matches(what, known, n=1)
        cure = f"did you mean {near[0]}?" if near else f"expected an ID, or one of {', '.join(kinds)}"
        raise ConfigError([f"{printable(what)}: nothing of the region has that name; {cure}"])
    yield from found


# --- As it is printed. ---


def _print_json(topology: Topology, chosen: list[tuple[str, Named]]) -> None:
    for kind, thing in chosen:
        relations = {word.replace(" ", "_").replace(",", ""): ids for word, ids in related(topology, thing).items()}
        print(
            msgspec.json.encode({"type": SINGULAR[kind], **msgspec.to_builtins(thing), "related": relations}).decode()
        )


def _print_tables(topology: Topology, chosen: list[tuple[str, Named]], kinds: Any) -> None:
    console = LineConsole(highlight=False)
    by_kind: dict[str, list[Named]] = {}
    for kind, thing in chosen:
        by_kind.setdefault(kind, []).append(thing)
    for kind, members in by_kind.items():
        if len(kinds) == 1 or kind in kinds:
            console.print(_table(topology, kind, members))
    if not by_kind:
        console.print("none")


def _table(topology: Topology, kind: str, members: list[Named]) -> Table:
    """The columns of a kind, or for those that have none of their own: ID, name and relations."""
    table = Table(title=f"{len(members)} {kind.replace('_', ' ')}", title_justify="left")
    rows = [{"id": each.id, "name": each.name, **_cells(topology, each)} for each in members]
    for column in rows[0]:
        table.add_column(column, no_wrap=column == "id", overflow="fold")
    for row in rows:
        table.add_row(*(printable(row[column]) for column in rows[0]))
    return table


def _cells(topology: Topology, thing: Named) -> dict[str, str]:
    cells = _CELLS.get(type(thing))
    if cells is not None:
        return cells(topology, thing)
    relations = related(topology, thing)
    return {word: _short(relations.get(word, ())) for word in ("lines", "sites", "gateways")}


def _area_cells(topology: Topology, area: Area) -> dict[str, str]:
    sites, lines = topology.sites_of_area(area.id), topology.lines_of_area(area.id)
    return {"code": area.code, "sites": str(len(sites)), "lines": str(len(lines))}


def _site_cells(topology: Topology, site: Site) -> dict[str, str]:
    return {
        "area": site.area_id,
        "lines": _short(topology.lines_of_site(site.id)),
        "devices": str(len(topology.devices_of_site(site.id))),
        "risk groups": ", ".join(site.risk_group_ids),
    }


def _line_cells(_topology: Topology, line: Line) -> dict[str, str]:
    return {
        "medium": line.medium,
        "carrier": line.carrier_id,
        "ends": " - ".join(line.endpoint_site_ids),
        "capacity": _rate(line.capacity_bps),
        "sectors": ", ".join(line.sectors),
        "risk groups": ", ".join(line.risk_group_ids),
    }


def _device_cells(topology: Topology, device: Device) -> dict[str, str]:
    return {
        "kind": device.kind,
        "site": device.site_id,
        "addresses": ", ".join(device.addresses),
        "reached over": _short(topology.uplinks(device.id)),
    }


def _gateway_cells(_topology: Topology, gateway: Gateway) -> dict[str, str]:
    return {"site": gateway.site_id, "lines": ", ".join(gateway.line_ids), "classes": ", ".join(gateway.class_ids)}


_CELLS: Final[dict[type[Named], Callable[[Topology, Any], dict[str, str]]]] = {
    Area: _area_cells,
    Site: _site_cells,
    Line: _line_cells,
    Device: _device_cells,
    Gateway: _gateway_cells,
}


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) < _COUNTED_FROM else str(len(names))


def _rate(bits: int) -> str:
    """Bits a second as region.yml may have them."""
    factor, unit = next((each for each in _UNITS if bits >= each[0]), (1, "bps"))
    return f"{bits / factor:g}{unit}"


def _print_thing(topology: Topology, kind: str, thing: Named) -> None:
    """What was written of it, then what follows from that; a line each, what is of any length last."""
    facts = {
        field.removesuffix("_ids").removesuffix("_id").replace("_", " "): _fact(field, value)
        for field, value in msgspec.structs.asdict(thing).items()
        if field not in {"id", "name", "name_en"} and value not in ((), "", None, {}) and (field, value) != ("mark", 0)
    }
    facts |= {word: ", ".join(ids) for word, ids in related(topology, thing).items() if word not in facts}
    names = " / ".join(filter(None, (thing.name, thing.name_en)))
    width = max(map(len, facts), default=0)
    print(printable(f"{SINGULAR[kind]} {thing.id}: {names}"))
    for word, value in facts.items():
        print(printable(f"  {word:<{width}}  {value}"))


def _fact(field: str, value: Any) -> str:
    if field.endswith("_bps"):
        return _rate(value)
    if field == "geometry":
        return f"{len(value)} points"
    if field in {"probes", "anchors", "verify"}:
        return "; ".join(map(_probe, value))
    if field == "ports":
        return "; ".join(f"{line} by {_port(port)}" for line, port in value.items())
    if field == "mark":
        return f"{value:#x}"
    if field == "interfaces":
        return ", ".join(f"{port.index}{f' ({port.name})' if port.name else ''} {port.line_id}" for port in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _port(port: Port) -> str:
    hops = " and ".join(filter(None, (port.next_hop, port.next_hop6)))
    return f"{port.interface} via {hops}" if hops else port.interface


def _probe(probe: AnyProbe) -> str:
    """What it asks, by which way it leaves, and from where."""
    pin = [f"{name.replace('_', ' ')} {value}" for name, value in msgspec.structs.asdict(probe.pin).items() if value]
    who = [f"from {' '.join(probe.vantage_ids)}"] if probe.vantage_ids else []
    return " ".join([label(probe), *([f"({', '.join([*pin, *who])})"] if pin or who else [])])
