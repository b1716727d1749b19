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
_Object = tuple[str, str | None, _Reader | None]
"""Name, unit, and what reads its values."""
_Found = tuple[str | None, str | None, _Reader | None]
"""The same, the name with the instance."""

_CHANGING: Final = frozenset(("Counter32", "Counter64", "Gauge32", "TimeTicks"))
"""Types whose OIDs come again with other values, so that their names are worth remembering; bindings of other types are
cached as a whole, and an instance of one number is found nearly as fast as remembered."""
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

    __slots__ = ("_catalogues", "_depth", "_found", "_notifications", "_objects", "cache")

    def __init__(self, catalogues: Sequence[Catalogue] = ()) -> None:
        """Take catalogues in order of precedence: the first that knows an OID is right."""
        self.cache: dict[bytes, Varbind] = {}
        self._found: dict[str, _Found] = {}
        self._objects: dict[str, _Object] = {}
        self._catalogues = [(_by_oid(catalogue), catalogue.syntaxes) for catalogue in catalogues]
        self._notifications: dict[str, str] = {}
        self._depth = 0
        for nodes, _ in reversed(self._catalogues):
            self._notifications.update((oid, node.name) for oid, node in nodes.items() if node.kind == "notification")
            self._depth = max(self._depth, *(oid.count(".") for oid in nodes), 0)

    def notification(self, oid: str) -> str | None:
        """Name of the notification with this snmpTrapOID, such as `linkDown`; None when none is known."""
        return self._notifications.get(oid)

    def identity(self, oid: str) -> str | None:
        """Name of what an OID points at: a notification, an identity, or an object and its instance."""
        node, _ = self._node(oid)
        return self._find(oid, remembered=False)[0] if node is None else node.name

    def varbind(self, varbind: Varbind) -> Varbind:
        """The binding with all that is known of it in `name`, `label`, `text` and `unit`; itself when that is nothing."""
        oid, kind, value, encoding = varbind.oid, varbind.type, varbind.value, varbind.encoding
        name, unit, read = self._found.get(oid) or self._find(oid, kind in _CHANGING)
        if kind == "ObjectIdentifier" and encoding is None:
            label = self.identity(str(value))
            return varbind if label is name is None else Varbind(oid, kind, value, encoding, name, label, None, unit)
        if name is None:
            return varbind
        label, text = _NOTHING if read is None else read(varbind)
        return Varbind(oid, kind, value, encoding, name, label, text, unit)

    def _find(self, oid: str, remembered: bool) -> _Found:
        """The longest part of an OID that is an object, the rest being its instance."""
        dot = oid.rfind(".")
        known = self._objects.get(oid[:dot])
        found: _Found
        if known is not None:
            found = known[0] + oid[dot:], known[1], known[2]
            if not remembered:
                return found
        else:
            found = self._found.get(oid) or self._search(oid)
        if len(oid) <= FOUND_LENGTH_MAX:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            self._found[oid] = found
        return found

    def _search(self, oid: str) -> _Found:
        # Never more tries than a catalogue's longest OID has arcs, however long the one asked for is.
        prefix = oid if oid.count(".") <= self._depth else ".".join(oid.split(".", self._depth + 1)[:-1])
        while prefix:
            known = self._objects.get(prefix) or self._object(prefix)
            if known is not None:
                return known[0] + oid[len(prefix) :], known[1], known[2]
            prefix = prefix.rpartition(".")[0]
        return _UNKNOWN

    def _object(self, oid: str) -> _Object | None:
        """The object with this OID, made ready when it is first asked for: most of a catalogue never is."""
        node, syntaxes = self._node(oid)
        if node is None or node.kind not in {"scalar", "column"}:
            return None
        reader = _reader(syntaxes[node.syntax]) if 0 <= node.syntax < len(syntaxes) else None
        self._objects[oid] = found = node.name, node.unit or None, reader
        return found

    def _node(self, oid: str) -> tuple[Node | None, tuple[Syntax, ...]]:
        for nodes, syntaxes in self._catalogues:
            if (node := nodes.get(oid)) is not None:
                return node, syntaxes
        return None, ()


def _by_oid(catalogue: Catalogue) -> dict[str, Node]:
    return {node.oid: node for module in reversed(catalogue.modules) for node in reversed(module.nodes)}


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
