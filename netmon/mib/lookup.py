"""What catalogues know of a name or an OID, for a person who asks.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from netmon.mib.model import Catalogue, Kind, Module, Node, Syntax

_OID = re.compile(r"\.?([0-9]+(?:\.[0-9]+)*)")
_NAMED = re.compile(r"(?:([A-Za-z][A-Za-z0-9-]*)::)?([A-Za-z0-9][A-Za-z0-9-]*)((?:\.[0-9]+)*)")

_OBJECTS = ("scalar", "column")


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer."""

    name: str
    """With the instance that was asked for, such as `ifOperStatus.7`."""
    oid: str
    module: str
    kind: Kind
    catalogue: str
    """File that it stands in."""
    syntax: Syntax | None = None
    unit: str = ""
    objects: tuple[str, ...] = ()
    """Of a notification."""


def look_up(catalogues: Mapping[str, Catalogue], asked: str) -> list[Found]:
    """All that the catalogues have under a name or an OID, in order of precedence; empty when they know nothing.

    Args:
        catalogues: By file.
        asked: An OID, or a name, with or without its module and an instance: `IF-MIB::ifOperStatus.7`. Of an OID the
            longest part that is known is found.
    """
    if (oid := _OID.fullmatch(asked)) is not None:
        return _by_oid(catalogues, oid[1])
    named = _NAMED.fullmatch(asked)
    if named is None:
        return []
    module_name, name, instance = named.groups()
    return [
        _found(file, catalogue, module, node, instance)
        for file, catalogue, module, node in _nodes(catalogues)
        if node.name == name and module_name in {None, module.name}
    ]


def _by_oid(catalogues: Mapping[str, Catalogue], oid: str) -> list[Found]:
    prefix = oid
    while prefix:
        hits = [each for each in _nodes(catalogues) if each[3].oid == prefix]
        if hits:
            return [_found(*hit, oid[len(prefix) :]) for hit in hits]
        prefix = prefix.rpartition(".")[0]
    return []


def _nodes(catalogues: Mapping[str, Catalogue]) -> Iterator[tuple[str, Catalogue, Module, Node]]:
    for file, catalogue in catalogues.items():
        for module in catalogue.modules:
            for node in module.nodes:
                yield file, catalogue, module, node


def _found(file: str, catalogue: Catalogue, module: Module, node: Node, instance: str) -> Found:
    syntax = catalogue.syntaxes[node.syntax] if 0 <= node.syntax < len(catalogue.syntaxes) else None
    return Found(
        node.name + instance, node.oid + instance, module.name, node.kind, file, syntax, node.unit, node.objects
    )


class ModuleFound(msgspec.Struct, frozen=True):
    """A module of a catalogue."""

    module: str
    notifications: int
    objects: int
    """Scalars and columns: what has a value."""
    catalogue: str
    """File that it stands in."""


def modules_of(catalogues: Mapping[str, Catalogue]) -> list[ModuleFound]:
    """The modules of all catalogues by name; of equal names, the one that comes first is right."""
    found = [
        ModuleFound(
            module.name,
            sum(node.kind == "notification" for node in module.nodes),
            sum(node.kind in _OBJECTS for node in module.nodes),
            file,
        )
        for file, catalogue in catalogues.items()
        for module in catalogue.modules
    ]
    return sorted(found, key=lambda each: each.module)


def of_module(catalogues: Mapping[str, Catalogue], name: str) -> list[Found] | None:
    """The notifications and then the objects of a module, as the first catalogue that has it knows them.

    None when no catalogue has it; a module that only defines types has nothing to list.
    """
    for file, catalogue in catalogues.items():
        for module in catalogue.modules:
            if module.name == name:
                found = [_found(file, catalogue, module, node, "") for node in module.nodes]
                told = [each for each in found if each.kind == "notification" or each.kind in _OBJECTS]
                return sorted(told, key=lambda each: each.kind != "notification")
    return None
