"""Names that rules are written with, and what they stand for: OIDs of notifications and objects, numbers of labels.

Pure. Rules are resolved when they are read, so that they match whether or not the receiver resolves names, and so that a
misspelt name is a mistake in a file and not a rule that never matches.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from netmon.mib.model import Catalogue, Node, Syntax
from netmon.model import Varbind
from netmon.snmp.names import Names

SUGGESTIONS: Final = 2
LENGTH_DIFFERENCE_MAX: Final = 3
"""Letters that a misspelt name may have too many or too few."""
_OID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_NAMED: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9-]*)::)?([A-Za-z][A-Za-z0-9-]*)((?:\.[0-9]+)*)")
_TYPES: Final = ("Counter32", "Counter64", "Gauge32", "TimeTicks")
_CURE: Final = "; `netmon mib show` looks names up, and mibs.catalogues adds a vendor's"


class MisspeltError(ValueError):
    """What was written means nothing, or cannot be there; the message is the whole text of the mistake."""


class Vocabulary:
    """What some catalogues know, by name; the first that has a name is right."""

    def __init__(self, catalogues: Sequence[Catalogue]) -> None:
        self._named: dict[str, list[tuple[str, Node, Syntax | None]]] = {}
        self._by_oid: dict[str, tuple[Node, Syntax | None]] = {}
        self._names = Names(catalogues)
        for catalogue in catalogues:
            for module in catalogue.modules:
                for node in module.nodes:
                    known = 0 <= node.syntax < len(catalogue.syntaxes)
                    syntax = catalogue.syntaxes[node.syntax] if known else None
                    self._named.setdefault(node.name, []).append((module.name, node, syntax))
                    self._by_oid.setdefault(node.oid, (node, syntax))

    def trap(self, written: Any) -> str:
        """The OID of a notification, or of a subtree: that ends in a dot, as what was written does."""
        if isinstance(written, str) and written.endswith("."):
            return f"{self._resolved(written[:-1], 'a name or an OID', lambda _: True)}."
        return self._resolved(written, "a notification", lambda node: node.kind == "notification")

    def object(self, written: Any) -> str:
        """The OID of an object, without instance."""
        return self._resolved(written, "an object", _is_object)

    def value(self, oid: str, written: Any) -> str | int:
        """What a binding of this object holds when it says what was written: the number of a label, the OID of an identity."""
        if isinstance(written, bool):
            raise MisspeltError(
                f'found {str(written).lower()}; expected a number or a name, words such as "off" in quotes'
            )
        if not isinstance(written, str | int):
            raise MisspeltError(f"found {written!r}; expected a whole number or text")
        syntax = self._syntax(oid)
        if syntax is None or isinstance(written, int):
            return written
        if syntax.base == "OBJECT IDENTIFIER":
            return self._resolved(written, "an identity", lambda _: True, instances=True)
        if syntax.base != "INTEGER" or not syntax.names:
            return written
        number = next((number for number, name in syntax.names.items() if name == written), None)
        if number is None:
            near = _near(written, syntax.names.values())
            raise MisspeltError(f"found {written!r}; expected one of {', '.join(syntax.names.values())}{near}")
        return number

    def varbind(self, name: str, written: Any) -> Varbind:
        """A binding as a device would send it, for examples.

        Args:
            name: `ifIndex.7`, or an OID with its instance.
            written: Its value; `0x…` for octets.
        """
        oid = self._resolved(name, "an object and its instance", _is_object, instances=True)
        value = self.value(self._object_of(oid), written)
        syntax = self._syntax(self._object_of(oid))
        if isinstance(value, int):
            kind = syntax.convention if syntax is not None and syntax.convention in _TYPES else "Integer32"
            kind = "Gauge32" if syntax is not None and syntax.convention == "Unsigned32" else kind
            return self._names.varbind(Varbind(oid, kind, value))
        if syntax is not None and syntax.base == "OBJECT IDENTIFIER":
            return self._names.varbind(Varbind(oid, "ObjectIdentifier", value))
        if syntax is not None and syntax.convention == "IpAddress":
            return self._names.varbind(Varbind(oid, "IpAddress", value))
        return self._names.varbind(_octets(oid, value))

    def name_of_trap(self, oid: str) -> str | None:
        """Name of a notification, None for an unknown one."""
        return self._names.notification(oid)

    def name_of(self, oid: str) -> str:
        """An object's name, else its OID."""
        found = self._by_oid.get(oid)
        return oid if found is None else found[0].name

    def _object_of(self, oid: str) -> str:
        """The object that a binding's OID begins with; the OID itself when none is known."""
        prefix = oid
        while prefix:
            found = self._by_oid.get(prefix)
            if found is not None and _is_object(found[0]):
                return prefix
            prefix = prefix.rpartition(".")[0]
        return oid

    def _syntax(self, oid: str) -> Syntax | None:
        found = self._by_oid.get(oid)
        return None if found is None else found[1]

    def _resolved(self, written: Any, expected: str, fits: Callable[[Node], bool], *, instances: bool = False) -> str:
        if not isinstance(written, str):
            raise MisspeltError(f"found {written!r}; expected {expected}, by name or OID, in quotes if it is a number")
        if _OID.fullmatch(written):
            return written
        named = _NAMED.fullmatch(written)
        if named is None or (named[3] and not instances):
            rest = "" if instances else ", without instance"
            raise MisspeltError(f"found {written!r}; expected {expected}, by name or OID{rest}")
        module, name, instance = named.groups()
        known = [each for each in self._named.get(name, ()) if module in {None, each[0]} and fits(each[1])]
        oids = {node.oid: where for where, node, _ in reversed(known)}
        if not oids:
            names = (name for name, nodes in self._named.items() if any(fits(node) for _, node, _ in nodes))
            raise MisspeltError(f"found {written!r}, which is {expected} of no catalogue{_near(name, names) or _CURE}")
        if len(oids) > 1:
            choice = " or ".join(f"{where}::{name}" for where in oids.values())
            raise MisspeltError(f"found {written!r}, of which there are several; expected {choice}")
        return next(iter(oids)) + instance


def _is_object(node: Node) -> bool:
    return node.kind in {"scalar", "column"}


def _octets(oid: str, value: str) -> Varbind:
    if not value.startswith("0x"):
        return Varbind(oid, "OctetString", value)
    try:
        return Varbind(oid, "OctetString", bytes.fromhex(value[2:]).hex(), "hex")
    except ValueError:
        raise MisspeltError(f"found {value!r}; expected two hexadecimal digits for each octet behind 0x") from None


def _near(name: str, known: Iterable[str]) -> str:
    """A question after the names that may be meant.

    Only those that begin alike and are about as long are compared: a vendor's catalogue has a hundred thousand, and a file
    may have many mistakes.
    """
    alike = [each for each in known if each[:1] == name[:1] and abs(len(each) - len(name)) <= LENGTH_DIFFERENCE_MAX]
    near = difflib.get_close_matches(name, alike, n=SUGGESTIONS)
    return f"; did you mean {' or '.join(near)}?" if near else ""
