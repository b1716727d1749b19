"""Canaries by SNMPv3 (RFC 3414), from a host that is an engine of its own for the time of one run. Pure: time comes in.

For a TRAP this engine is authoritative, for an INFORM the receiver's: its ID, boots and time are asked for first, and
again whenever an authentic Report says that ours of them are old.
"""

from __future__ import annotations

from typing import Final

from netmon.canary.message import TRAP_OID, Kind, varbinds_of
from netmon.errors import DecodeError
from netmon.model import V3User
from netmon.snmp.ber import integer
from netmon.snmp.encode import encode_discovery, encode_v3
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.snmp.v3 import Message, read_message, read_scoped_pdu

_RESPONSE: Final = 0xA2
_UINT31: Final = 0x7FFF_FFFF
_UINT64: Final = 0xFFFF_FFFF_FFFF_FFFF


class Voice:
    """One user at one receiver.

    Attributes:
        discovered: Whether the receiver's engine is known; until then no INFORM can be made.
    """

    def __init__(self, user: V3User, engine_id: bytes, salt: int, now_ns: int) -> None:
        """Args:
        user: Who speaks; its level of security is used for all messages.
        engine_id: Ours, of nobody else.
        salt: 64 random bits.
        now_ns: When our engine starts, on the clock of the other calls, which only goes forward.
        """
        self._keys = UserKeys(user)
        self._own = LocalKeys(self._keys, engine_id)
        self._salt = salt
        self._started_ns = now_ns
        self._remote: LocalKeys | None = None
        self._boots = 0
        self._time_s = 0
        self._time_at_ns = 0

    @property
    def discovered(self) -> bool:
        """Whether the receiver's engine is known."""
        return self._remote is not None

    def question(self) -> bytes:
        """The datagram that asks for the receiver's engine."""
        return encode_discovery(msg_id=1, request_id=1)

    def message(self, kind: Kind, *, run: str, number: int, sent_unix_ns: int, now_ns: int) -> bytes:
        """The datagram of a canary; msgID and request-id are its number's low 31 bits. An INFORM needs `discovered`."""
        self._salt = self._salt + 1 & _UINT64
        keys, boots, time_s = self._own, 1, (now_ns - self._started_ns) // 1_000_000_000 + 1
        if kind == "inform":
            assert self._remote is not None, "ask for the receiver's engine first"
            keys, boots = self._remote, self._boots
            time_s = self._time_s + (now_ns - self._time_at_ns) // 1_000_000_000
        return encode_v3(
            keys=keys,
            boots=boots,
            time_s=time_s,
            salt=self._salt,
            msg_id=number & _UINT31,
            pdu=kind,
            request_id=number & _UINT31,
            uptime_centis=sent_unix_ns // 10_000_000 & 0xFFFF_FFFF,
            trap_oid=TRAP_OID,
            varbinds=varbinds_of(run, number, sent_unix_ns),
            context_engine_id=self._own.engine_id,
        )

    def hear(self, datagram: bytes, now_ns: int) -> int | None:
        """Takes what the receiver says; the request-id that an authentic Response answers, None for anything else."""
        try:
            message = read_message(datagram)
            if self._remote is None:
                self._remote = LocalKeys(self._keys, message.engine_id)
                self._learn(message, now_ns)
                return None
            return self._answered(datagram, message, now_ns)
        except (DecodeError, IndexError):
            return None

    def _answered(self, datagram: bytes, message: Message, now_ns: int) -> int | None:
        keys = self._remote
        assert keys is not None
        if message.engine_id != keys.engine_id or not _is_authentic(datagram, message, keys):
            return None
        data, start, stop = datagram, message.data_start, message.data_stop
        if message.salt:
            plain = keys.cipher.decrypt(message.boots, message.time_s, message.salt, data[start:stop])
            if plain is None:
                return None
            data, start, stop = plain, 0, len(plain)
        scoped = read_scoped_pdu(data, start, stop)
        if keys.mac is not None:
            self._learn(message, now_ns)
        if scoped.pdu_tag != _RESPONSE:
            return None
        return integer(data, scoped.pdu_start, scoped.pdu_stop, [])[0]

    def _learn(self, message: Message, now_ns: int) -> None:
        self._boots, self._time_s, self._time_at_ns = message.boots, message.time_s, now_ns


def _is_authentic(datagram: bytes, message: Message, keys: LocalKeys) -> bool:
    """Whether the digest is right; without authentication nothing can be told."""
    if keys.mac is None:
        return True
    digest = datagram[message.mac_start : message.mac_stop]
    return digest == keys.mac.of(datagram, message.mac_start, message.stop)
