"""What the streams hold: a decoded notification, or a datagram that was refused, as JSON. Pure."""

from __future__ import annotations

from operator import attrgetter

import msgspec

from netmon.model import LaneSettings, RejectEvent, TrapEvent, Varbind
from netmon.snmp import SNMP_TRAP_COMMUNITY, Notification, mask_community
from netmon.trap_receiver.journal.segment import Record
from netmon.trap_receiver.policy import Policy

REDACTED = "<redacted>"

_INFORMS_MAX = 65_536
"""INFORMs remembered, to recognise their retransmissions; the oldest is forgotten first."""

_encode = msgspec.json.Encoder().encode

_OID = attrgetter("oid")


class EventWriter:
    """Turns what was decoded into the JSON of a stream entry, as the receiver is configured."""

    def __init__(self, settings: LaneSettings, policy: Policy) -> None:
        self._redact = settings.redact_community
        self._policy = policy
        self._informs: dict[tuple[str, int | None, str], int] = {}

    def trap(self, seq: int, record: Record, notification: Notification, trust: str) -> tuple[bytes, int | None]:
        """The entry for an accepted notification (`TrapEvent`), and for a repeated INFORM the seq of its first copy."""
        peer = record.peer
        first_copy = self._first_copy(seq, record, notification) if notification.pdu == "inform" else None
        source = peer
        if notification.trap_address is not None and self._policy.trusts_relay(peer):
            source = notification.trap_address
        # Positional, in the order of the fields: this is made for every trap.
        body = _encode(
            TrapEvent(
                seq,
                record.received_unix_ns,
                record.received_unix_ns,
                "received",
                source,
                peer,
                record.peer_port,
                record.local,
                notification.version,
                notification.pdu,
                trust,
                notification.trap_oid,
                notification.uptime_centis,
                self._shown(notification.varbinds),
                notification.digest,
                notification.request_id,
                None if self._redact else notification.community.decode("utf-8", "backslashreplace"),
                notification.flags,
                first_copy,
                notification.name,
                notification.user,
                notification.engine_id,
                notification.context,
                notification.context_engine_id,
            )
        )
        return body, first_copy

    def _shown(self, varbinds: list[Varbind]) -> list[Varbind]:
        """The varbinds without a community that a proxy has put among them (RFC 3584 section 3.1)."""
        # By map: a generator expression costs three times as much, for every trap.
        if not self._redact or SNMP_TRAP_COMMUNITY not in map(_OID, varbinds):
            return varbinds
        return [
            Varbind(varbind.oid, varbind.type, REDACTED, name=varbind.name)
            if varbind.oid == SNMP_TRAP_COMMUNITY
            else varbind
            for varbind in varbinds
        ]

    def _first_copy(self, seq: int, record: Record, notification: Notification) -> int | None:
        """The seq of the INFORM that this one repeats, None when it is the first."""
        key = (record.peer, notification.request_id, notification.digest)
        if len(self._informs) >= _INFORMS_MAX and key not in self._informs:
            del self._informs[next(iter(self._informs))]
        first = self._informs.setdefault(key, seq)
        return first if first < seq else None

    def reject(self, seq: int, record: Record, reason: str, offset: int) -> bytes:
        """The entry for a datagram that was not accepted (`RejectEvent`)."""
        raw = mask_community(record.payload) if self._redact else record.payload
        return _encode(
            RejectEvent(
                seq=seq,
                received_unix_ns=record.received_unix_ns,
                peer=record.peer,
                peer_port=record.peer_port,
                local=record.local,
                reason=reason,
                offset=offset,
                raw=raw.hex(),
            )
        )
