"""What goes first while decode is far behind, what waits until the storm has passed, and what keeps its turn. Pure.

Of what arrives during a storm, the first notification of each source, trap OID and resource goes ahead to the express
stream, and so does what the operator calls critical. A source beyond its rate is shed: it waits raw in the journal.
Everything else keeps its turn. Nothing is dropped, and what does not fit into these tables keeps its turn, too.

Rates are measured by receive time, so that a backlog that is read in one go is not taken for a burst.
"""

from __future__ import annotations

from typing import Final

from netmon.model import SheddingSettings
from netmon.trap_receiver.bucket import Bucket
from netmon.trap_receiver.journal.marks import EXPRESS, PARKED_MARKS, TURN
from netmon.trap_receiver.ledger import SHED as SHED_REASON

AUTHENTIC: Final = frozenset({"v3_auth_priv", "v3_auth"})
"""The trust tiers (`TrapEvent.trust`) of what nobody can forge without a key."""
SHED: Final = PARKED_MARKS[SHED_REASON]

FIRSTS_MAX: Final = 262_144
"""First occurrences that are remembered, some 20 MiB; what comes first beyond them keeps its turn."""
FIRSTS_OF_SOURCE_MAX: Final = 1_024
"""Of these, those of one source: some devices number their messages, and each would be the first of its kind."""
SOURCES_MAX: Final = 65_536
"""Sources whose rate is measured; one beyond them is not shed."""
Source = tuple[str, ...]
"""Who sends, with how far that is trusted in front: an address, or engine and user where a key proves them."""

REPEATS_MAX: Final = 262_144
"""Beginnings of datagrams that are known to say nothing for the first time; beyond them, datagrams are decoded to know."""

_V2C_COMMUNITY: Final = bytes.fromhex("02 01 01 04")
"""Version 1, which is SNMPv2c, and the tag of the community."""
_VERSION_END: Final = 10
"""Byte at which a version has ended, however long the length before it is."""
_TRAP_OID_NAME: Final = bytes.fromhex("06 0a 2b 06 01 06 03 01 01 04 01 00")
"""The name of snmpTrapOID.0; its value follows."""
_LONG: Final = 0x80
_USUAL_TAGS: Final = (0xA7, 0x30, 0x06)
"""SNMPv2-Trap-PDU; the SEQUENCE of a varbind; the OBJECT IDENTIFIER in it."""


class _Source:
    """What is known of one source."""

    __slots__ = ("bucket", "firsts")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.firsts = 0


class Sorter:
    """Sorts the notifications of one storm; a new storm gets a new one."""

    def __init__(self, settings: SheddingSettings, now_unix_ns: int) -> None:
        self._settings = settings
        self._critical = frozenset(oid for oid in settings.critical if not oid.endswith("."))
        self._critical_trees = tuple(oid for oid in settings.critical if oid.endswith("."))
        self._express = Bucket(settings.express_rate_max, max(1.0, settings.express_rate_max), now_unix_ns)
        self._sources: dict[Source, _Source] = {}
        # Hashes instead of what they are made of: a quarter of the memory. Python seeds them, so nobody can aim at a
        # collision; one that happens costs a notification its place in front, no more.
        self._firsts: set[int] = set()
        self._repeats: dict[int, str] = {}
        self.refused = 0
        """Notifications that were worth going first, and did not for want of room or rate."""

    def sort(
        self,
        source: Source,
        trap_oid: str,
        resource: str,
        received_unix_ns: int,
        *,
        may_go_first: bool = True,
        may_wait: bool = True,
    ) -> int:
        """What becomes of a notification: `EXPRESS`, `SHED` or `TURN`.

        Args:
            source: Who sent it.
            trap_oid: snmpTrapOID.0.
            resource: OID of its first varbind, empty when it has none.
            received_unix_ns: When it was received.
            may_go_first: Whether the express stream takes more.
            may_wait: Whether it may be shed.
        """
        known = self._source(source, received_unix_ns)
        critical = self.is_critical(trap_oid)
        if critical or self._is_first(known, source, trap_oid, resource):
            if may_go_first and self._express.take(received_unix_ns):
                self._remember(known, source, trap_oid, resource)
                return EXPRESS
            self.refused += 1
        return TURN if critical else self._wait(known, received_unix_ns, may_wait)

    def sort_repeated(self, source: Source, received_unix_ns: int) -> int:
        """What becomes of one that says nothing for the first time (see `repeats`): `SHED` or `TURN`."""
        return self._wait(self._source(source, received_unix_ns), received_unix_ns, may_wait=True)

    def is_critical(self, trap_oid: str) -> bool:
        """Whether the operator wants this trap to go first, however often it comes."""
        return trap_oid in self._critical or trap_oid.startswith(self._critical_trees)

    def is_repeated(self, source: Source, trap_oid: str, resource: str) -> bool:
        """Whether one of this source, trap OID and resource has gone first, and need not again."""
        return hash((source, trap_oid, resource)) in self._firsts and not self.is_critical(trap_oid)

    def repeats(self, peer: str, beginning: bytes) -> str | None:
        """How far datagrams of this peer that say this (see `glance`) are trusted, if they are known to be no first occurrence."""
        return self._repeats.get(hash((peer, beginning)))

    def note_repeated(self, peer: str, beginning: bytes, trust: str) -> None:
        """From now on, `repeats` knows them."""
        if len(self._repeats) < REPEATS_MAX:
            self._repeats[hash((peer, beginning))] = trust

    def _source(self, source: Source, now_unix_ns: int) -> _Source | None:
        known = self._sources.get(source)
        if known is None and len(self._sources) < SOURCES_MAX:
            settings = self._settings
            known = _Source(Bucket(settings.source_rate_max, settings.source_burst_max, now_unix_ns))
            self._sources[source] = known
        return known

    def _is_first(self, known: _Source | None, *key: Source | str) -> bool:
        if len(self._firsts) >= FIRSTS_MAX or (known is not None and known.firsts >= FIRSTS_OF_SOURCE_MAX):
            return False
        return hash(key) not in self._firsts

    def _remember(self, known: _Source | None, *key: Source | str) -> None:
        if len(self._firsts) < FIRSTS_MAX:
            before = len(self._firsts)
            self._firsts.add(hash(key))
            if known is not None:
                known.firsts += len(self._firsts) - before

    @staticmethod
    def _wait(known: _Source | None, received_unix_ns: int, may_wait: bool) -> int:
        within = known is None or known.bucket.take(received_unix_ns)
        return TURN if within or not may_wait else SHED


def glance(payload: bytes) -> bytes | None:
    """Of an SNMPv2c trap, the octets that say community, trap OID and first varbind's OID, found without decoding.

    Datagrams of one peer with the same octets are sorted alike: so a storm of the same is looked at ten times faster
    than it is decoded. Whoever makes a datagram that deceives this sheds his own.

    Returns:
        None where a decoder has to look: other versions, INFORMs, traps without varbinds, unusual encodings.
    """
    version = payload.find(_V2C_COMMUNITY, 2, _VERSION_END)
    name = payload.find(_TRAP_OID_NAME)
    if version < 0 or name < 0:
        return None
    try:
        pdu = version + 5 + payload[version + 4]
        value = name + len(_TRAP_OID_NAME)
        binding = value + 2 + payload[value + 1]
        length = payload[binding + 1]
        oid = binding + 2 + (length & 0x7F if length >= _LONG else 0)
        end = oid + 2 + payload[oid + 1]
        usual = (payload[pdu], payload[binding], payload[oid]) == _USUAL_TAGS
    except IndexError:
        return None
    if not usual or pdu > name or end > len(payload):
        return None
    return payload[version:pdu] + payload[value:binding] + payload[oid:end]
