"""Names for what a notification holds: objects, instances, enumerations, bits, times, addresses.

Pure. A name adds to a binding and never changes it: OID, type, value and encoding are what the device sent, so a wrong
MIB costs a wrong name and nothing else. What no catalogue knows keeps its OID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from netmon.mib.model import Catalogue, Node, Syntax
from netmon.model import Varbind
from netmon.snmp import hint

FOUND_MAX: Final = 65_536
"""OIDs whose names are remembered; when it is full it is emptied, not aged, as `netmon.snmp.ber.OID_CACHE`."""
FOUND_LENGTH_MAX: Final = 256
"""Characters of an OID that is remembered, so that a full memory stays below 50 MB whatever is sent."""
BITS_OCTETS_MAX: Final = 128
"""Longer BITS have no label; the longest in a MIB of the IETF has 8."""

_Reading = tuple[str | None, str | None]
"""Label and text of a value."""
_Reader = Callable[[Varbind], _Reading]
_Found = tuple[str | None, str | None, _Reader | None]
"""Name of object and instance, unit, and what reads its values."""

_NOTHING: Final[_Reading] = (None, None)
_UNKNOWN: Final[_Found] = (None, None, None)
SPECIAL: Final[dict[str, Callable[[bytes], str | None]]] = {
    "DateAndTime": hint.date_and_time,
    "InetAddress": hint.inet_address,
    "InetAddressIPv4": hint.inet_address,
    "InetAddressIPv4z": hint.inet_address,
    "InetAddressIPv6": hint.inet_address,
    "InetAddressIPv6z": hint.inet_address,
    "Ipv6Address": hint.inet_address,
}
"""Textual conventions that say more than their DISPLAY-HINT does."""


class Names:
    """What some catalogues know, ready for decoding. Not thread-safe.

    Attributes:
        cache: Whole flawless bindings by their octets, named; filled and bounded by `netmon.snmp.notification`. It is
            here so that two sets of names never share one.
    """

    __slots__ = ("_depth", "_found", "_nodes", "_notifications", "_readers", "_syntaxes", "cache")

    def __init__(self, catalogues: Sequence[Catalogue] = ()) -> None:
        """Take catalogues in order of precedence: the first that knows an OID is right."""
        self.cache: dict[bytes, Varbind] = {}
        self._found: dict[str, _Found] = {}
        self._nodes: dict[str, Node] = {}
        self._syntaxes: dict[str, Syntax] = {}
        self._notifications: dict[str, str] = {}
        self._readers: dict[str, _Reader | None] = {}
        for catalogue in catalogues:
            for module in catalogue.modules:
                for node in module.nodes:
                    if node.oid not in self._nodes:
                        self._add(node, catalogue)
        self._depth = max((oid.count(".") for oid in self._nodes), default=0) + 1

    def _add(self, node: Node, catalogue: Catalogue) -> None:
        self._nodes[node.oid] = node
        if node.kind == "notification":
            self._notifications[node.oid] = node.name
        elif 0 <= node.syntax < len(catalogue.syntaxes):
            self._syntaxes[node.oid] = catalogue.syntaxes[node.syntax]

    def notification(self, oid: str) -> str | None:
        """Name of the notification with this snmpTrapOID, such as `linkDown`; None when none is known."""
        return self._notifications.get(oid)

    def identity(self, oid: str) -> str | None:
        """Name of what an OID points at: a notification, an identity, or an object and its instance."""
        node = self._nodes.get(oid)
        return node.name if node is not None else self._find(oid)[0]

    def varbind(self, varbind: Varbind) -> Varbind:
        """The binding with all that is known of it in `name`, `label`, `text` and `unit`; itself when that is nothing."""
        oid, kind, value, encoding = varbind.oid, varbind.type, varbind.value, varbind.encoding
        found = self._found.get(oid)
        if found is None:
            found = self._find(oid)
        name, unit, read = found
        if kind == "ObjectIdentifier" and encoding is None:
            label = self.identity(str(value))
            return varbind if label is name is None else Varbind(oid, kind, value, encoding, name, label, None, unit)
        if name is None:
            return varbind
        label, text = _NOTHING if read is None else read(varbind)
        return Varbind(oid, kind, value, encoding, name, label, text, unit)

    def _find(self, oid: str) -> _Found:
        """The longest part of an OID that is an object, the rest being its instance."""
        found = self._search(oid)
        if len(oid) <= FOUND_LENGTH_MAX:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            self._found[oid] = found
        return found

    def _search(self, oid: str) -> _Found:
        # Never more tries than a catalogue's longest OID has arcs, however long the one asked for is.
        prefix = ".".join(oid.split(".", self._depth)[: self._depth])
        while prefix:
            node = self._nodes.get(prefix)
            if node is not None:
                if node.kind not in {"scalar", "column"}:
                    return _UNKNOWN
                return node.name + oid[len(prefix) :], node.unit or None, self._reader(prefix)
            prefix = prefix.rpartition(".")[0]
        return _UNKNOWN

    def _reader(self, oid: str) -> _Reader | None:
        if oid not in self._readers:
            syntax = self._syntaxes.get(oid)
            self._readers[oid] = None if syntax is None else _reader(syntax)
        return self._readers[oid]


def _reader(syntax: Syntax) -> _Reader | None:
    """What finds label and text of values of this syntax; None when there is nothing to find."""
    if syntax.base == "INTEGER":
        return _number_reader(syntax)
    if syntax.base == "BITS":
        return lambda varbind: (_bit_names(syntax.names, _octets(varbind)), None)
    if syntax.base != "OCTET STRING":
        return None
    if hint.is_text(syntax.hint):
        return _text_reading
    write = SPECIAL.get(syntax.convention) or hint.octet_writer(syntax.hint)
    return None if write is None else _octet_reader(write)


def _number_reader(syntax: Syntax) -> _Reader | None:
    names, write = syntax.names, hint.integer_writer(syntax.hint)
    if names:
        return lambda varbind: (names.get(varbind.value) if isinstance(varbind.value, int) else None, None)
    if write is None:
        return None
    return lambda varbind: (None, write(varbind.value) if isinstance(varbind.value, int) else None)


def _octet_reader(write: Callable[[bytes], str | None]) -> _Reader:
    def read(varbind: Varbind) -> _Reading:
        octets = _octets(varbind)
        if octets is None or len(octets) > hint.OCTETS_MAX:
            return _NOTHING
        return None, write(octets) or None

    return read


def _text_reading(varbind: Varbind) -> _Reading:
    """Text that is its own value needs no second copy; one with NULs at its end was taken for octets."""
    if varbind.encoding is None:
        return _NOTHING
    octets = _octets(varbind)
    return None, None if octets is None or len(octets) > hint.OCTETS_MAX else hint.text(octets)


def _octets(varbind: Varbind) -> bytes | None:
    """The octets that a device sent as OCTET STRING; None for other types."""
    if varbind.type != "OctetString" or not isinstance(varbind.value, str):
        return None
    try:
        return bytes.fromhex(varbind.value) if varbind.encoding == "hex" else varbind.value.encode()
    except ValueError:
        return None


def _bit_names(names: dict[int, str], octets: bytes | None) -> str | None:
    """The bits that are set, by name or else number, bit 0 being the highest of the first octet (RFC 3417 section 8)."""
    if octets is None or len(octets) > BITS_OCTETS_MAX:
        return None
    bits = (8 * at + bit for at, octet in enumerate(octets) for bit in range(8) if octet & 0x80 >> bit)
    return ",".join(names.get(bit, str(bit)) for bit in bits) or None
