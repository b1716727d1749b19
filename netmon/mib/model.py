"""What a catalogue knows of MIB modules: names, numbers and kinds, as frozen values.

Pure. Only facts: no description, no text of a module. Small keys do not matter, the file is compressed: see
`netmon.mib.catalogue`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(max_length=255)]
"""RFC 2578 section 3.1 allows 64 characters; vendors take more. Longer ones would make every trap's entry longer."""
Oid = Annotated[str, msgspec.Meta(max_length=1_408)]
"""Dotted decimal; 128 sub-identifiers of 10 digits."""

Kind = Literal["scalar", "column", "table", "notification", "other"]
"""`table` is for tables and their rows; `other` for all that only has a name: identities, groups, compliances."""


class Syntax(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """How the values of an object are written, its textual conventions resolved."""

    base: Literal["INTEGER", "OCTET STRING", "OBJECT IDENTIFIER", "BITS", ""]
    """ASN.1 type below everything; empty: of a module that was missing."""
    convention: Name = ""
    """The type's own name, such as `TruthValue`; when it is made from one that `netmon.snmp.names` treats specially,
    that one's, such as `DateAndTime`. Empty for types without a name."""
    hint: Name = ""
    """DISPLAY-HINT (RFC 2579 section 3.1), empty without."""
    names: dict[int, Name] = {}
    """Of an enumeration's numbers, or of the bits, which count from 0."""


class Node(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """Something with an OID."""

    name: Name
    oid: Oid
    kind: Kind = "other"
    syntax: int = -1
    """Index in `Catalogue.syntaxes`; -1 without."""
    unit: Name = ""
    objects: tuple[Name, ...] = ()
    """Of a notification: the objects that it promises, in order (RFC 2578 section 8.1)."""


class Module(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One MIB module."""

    name: Name
    nodes: tuple[Node, ...]
    """In the order of their OIDs."""
    types: dict[Name, int] = {}
    """Index in `Catalogue.syntaxes` of each type that the module defines: what later modules import."""


class Catalogue(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run of `netmon mib compile` found."""

    modules: tuple[Module, ...]
    """Where two of them name the same OID, the first is right."""
    syntaxes: tuple[Syntax, ...] = ()

    def count(self, *kinds: Kind) -> int:
        """How many nodes are of one of these kinds."""
        return sum(node.kind in kinds for module in self.modules for node in module.nodes)


def sort_key(oid: str) -> tuple[int, ...]:
    """The place of an OID among others: 1.10 comes after 1.9."""
    return tuple(map(int, oid.split(".")))
