"""From what pysmi found in modules to a catalogue: types resolved through their imports, names and numbers kept.

Pure. Groups, compliances and texts are left out: no trap refers to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netmon.mib.model import Catalogue, Kind, Module, Node, Syntax, sort_key
from netmon.snmp.names import SPECIAL

Document = Mapping[str, Any]
"""pysmi's JSON of one module: its symbols by name."""

_BASES: Final[dict[str, Syntax]] = {
    "INTEGER": Syntax("INTEGER"),
    "OCTET STRING": Syntax("OCTET STRING"),
    "OBJECT IDENTIFIER": Syntax("OBJECT IDENTIFIER"),
    "Bits": Syntax("BITS"),
}
_UNKNOWN: Final = Syntax("")
_KINDS: Final[dict[str, Kind]] = {"scalar": "scalar", "column": "column", "table": "table", "row": "table"}
_NAMED: Final = frozenset(("objecttype", "notificationtype", "moduleidentity", "objectidentity", "agentcapabilities"))
_NAMES_MAX: Final = 4_096
"""Names of one enumeration."""
_LENGTH_MAX: Final = 255


def build(documents: Mapping[str, Document], known: Sequence[Catalogue]) -> Catalogue:
    """The catalogue of these modules, by name; types may also come from the catalogues that are known.

    The modules of SMIv2 come first: RFC1213-MIB has the same objects as IF-MIB and others, and knows less of them.
    """
    types = _Types(documents, known)
    order = sorted(documents, key=lambda name: (not _has_identity(documents[name]), name))
    modules = tuple(_module(name, documents[name], types) for name in order)
    return Catalogue(modules, tuple(types.syntaxes))


def _has_identity(document: Document) -> bool:
    return any(symbol.get("class") == "moduleidentity" for symbol in document.values())


def _module(name: str, document: Document, types: _Types) -> Module:
    nodes = [
        _node(name, symbol, types)
        for symbol in document.values()
        if symbol.get("class") in _NAMED and len(symbol["name"]) <= _LENGTH_MAX
    ]
    defined = {
        symbol["name"]: types.index(types.of(name, symbol["name"]))
        for symbol in sorted(document.values(), key=lambda symbol: str(symbol.get("name", "")))
        if symbol.get("class") in {"type", "textualconvention"} and "type" in symbol
    }
    return Module(name, tuple(sorted(nodes, key=lambda node: (sort_key(node.oid), node.name))), defined)


def _node(module: str, symbol: Mapping[str, Any], types: _Types) -> Node:
    kind: Kind = "notification" if symbol["class"] == "notificationtype" else "other"
    syntax = -1
    if symbol["class"] == "objecttype":
        kind = _KINDS.get(symbol.get("nodetype", ""), "column")
        if kind != "table" and "syntax" in symbol:
            syntax = types.index(types.refined(module, symbol["syntax"]))
    objects = tuple(each["object"] for each in symbol.get("objects", ()))
    return Node(symbol["name"], symbol["oid"], kind, syntax, str(symbol.get("units", ""))[:_LENGTH_MAX], objects)


class _Types:
    """All types by module and name, and the syntaxes that are in use, each once."""

    def __init__(self, documents: Mapping[str, Document], known: Sequence[Catalogue]) -> None:
        self.syntaxes: list[Syntax] = []
        self._index: dict[tuple[object, ...], int] = {}
        self._documents = documents
        self._imports = {name: _imports(document) for name, document in documents.items()}
        self._resolved = {
            (module.name, name): catalogue.syntaxes[at]
            for catalogue in reversed(known)
            for module in catalogue.modules
            if module.name not in documents
            for name, at in module.types.items()
            if 0 <= at < len(catalogue.syntaxes)
        }

    def index(self, syntax: Syntax) -> int:
        """Where a syntax stands in `syntaxes`."""
        key = (syntax.base, syntax.convention, syntax.hint, *syntax.names.items())
        if key not in self._index:
            self._index[key] = len(self.syntaxes)
            self.syntaxes.append(syntax)
        return self._index[key]

    def of(self, module: str, name: str) -> Syntax:
        """The type that a name means in a module, the chain of its definitions followed to its end."""
        place = (module, name)
        if place not in self._resolved:
            self._resolved[place] = _UNKNOWN  # until it is known: a type that is made from itself ends here
            self._resolved[place] = self._defined(module, name)
        return self._resolved[place]

    def _defined(self, module: str, name: str) -> Syntax:
        symbol = self._documents.get(module, {}).get(name.replace("-", "_"))
        if symbol is None or "type" not in symbol:
            origin = self._imports.get(module, {}).get(name)
            return self.of(origin, name) if origin is not None else _BASES.get(name, _UNKNOWN)
        syntax = self.refined(module, symbol["type"])
        convention = syntax.convention if syntax.convention in SPECIAL else name
        return Syntax(syntax.base, convention[:_LENGTH_MAX], _hint(symbol) or syntax.hint, syntax.names)

    def refined(self, module: str, clause: Mapping[str, Any]) -> Syntax:
        """The type of a SYNTAX clause, with the names that the clause itself gives to numbers or bits."""
        name = clause["type"]
        syntax = _BASES[name] if name in _BASES else self.of(module, name)
        names = clause.get("bits") or clause.get("constraints", {}).get("enumeration")
        if not names:
            return syntax
        limited = sorted((int(number), str(each)[:_LENGTH_MAX]) for each, number in names.items())[:_NAMES_MAX]
        return Syntax(syntax.base, syntax.convention, syntax.hint, dict(limited))


def _imports(document: Document) -> dict[str, str]:
    """The module that each imported name comes from."""
    clause = document.get("imports", {})
    return {name: module for module, names in clause.items() if module != "class" for name in names}


def _hint(symbol: Mapping[str, Any]) -> str:
    hint = str(symbol.get("displayhint") or "")
    return hint if len(hint) <= _LENGTH_MAX else ""
