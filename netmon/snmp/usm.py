"""The User-based Security Model (RFC 3414, with RFC 3826 and RFC 7860): who said it, and whether it is new.

Owns the procedure for incoming messages (RFC 3414 section 3.2), our own engine's clock, the Response to an INFORM and
the Reports that senders of INFORMs need to learn our engine ID and clock (RFC 3412 section 7.1, RFC 3414 section 4).
Pure: the time is always that at which the kernel had the message, so that a message that is read again later is judged
as it was at first.

Which engine is authoritative (RFC 3412 section 7.1.9): for a TRAP its sender, for an INFORM and every other request we
are. A request for an engine that is neither is never accepted: the Report tells its sender who we are. An INFORM among
them counts as `usm_unknown_engine` and waits, since it may be for an engine ID that we shall be configured with; other
requests have nothing to wait for and are `v3_discovery`, like the questions for our engine ID that they amount to. A
TRAP that names our engine as its sender is judged by our clock (RFC 3414 section 3.2 step 7 a).

What cannot be told: an exact copy of a message that comes within 150 s (RFC 3414 section 2.2.3).
"""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections import OrderedDict
from typing import Final, Literal

from netmon.errors import DecodeError
from netmon.model import Limits, V3Settings
from netmon.snmp.ber import OBJECT_IDENTIFIER, SEQUENCE, encode_integer, integer, integer_contents, tlv
from netmon.snmp.engines import ENGINES_MAX, LATCHED, WINDOW_S, EngineTable
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.snmp.message import INFORM_REQUEST
from netmon.snmp.seal import scoped_pdu, seal
from netmon.snmp.v3 import (
    AUTH,
    CONFIRMED,
    PRIV,
    REPORTABLE,
    Message,
    Opened,
    ScopedPdu,
    SecurityLevel,
    read_message,
    read_scoped_pdu,
)

KEYS_MAX: Final = ENGINES_MAX
"""Localised keys that are kept, some 1 KB each. Only those that were right once are, so that whoever makes up engine
IDs drives none out. As many as engines are known: to make one again may cost milliseconds (`aes192c`, `aes256c`)."""
PADDING_OCTETS_MAX: Final = 15
"""Behind a decrypted ScopedPDU: DES pads to 8 octets, and some pad AES, which needs none, to its 16."""

_LEVELS: Final[dict[int, SecurityLevel]] = {0: "noAuthNoPriv", AUTH: "authNoPriv", AUTH | PRIV: "authPriv"}
_SECOND_NS: Final = 10**9
_SALT_MAX: Final = 2**64 - 1
_COUNTER32: Final = 0x41
_COUNTER32_MAX: Final = 2**32 - 1
_REPORT: Final = 0xA8
_NO_ERROR: Final = b"\x02\x01\x00\x02\x01\x00"
_USM_STATS: Final = bytes.fromhex("2b 06 01 06 03 0f 01 01")
"""1.3.6.1.6.3.15.1.1, usmStats (RFC 3414 section 5)."""

Statistic = Literal[
    "unsupportedSecLevels",
    "notInTimeWindows",
    "unknownUserNames",
    "unknownEngineIDs",
    "wrongDigests",
    "decryptionErrors",
]
_ARCS: Final[dict[Statistic, int]] = {
    "unsupportedSecLevels": 1,
    "notInTimeWindows": 2,
    "unknownUserNames": 3,
    "unknownEngineIDs": 4,
    "wrongDigests": 5,
    "decryptionErrors": 6,
}
"""usmStats of these names are the arcs below `_USM_STATS`."""
_STATISTICS: Final[dict[str, Statistic]] = {
    "v3_discovery": "unknownUserNames",
    "usm_unknown_user": "unknownUserNames",
    "usm_unknown_engine": "unknownUserNames",
    "usm_security_level": "unsupportedSecLevels",
    "usm_wrong_key": "wrongDigests",
    "usm_wrong_digest": "wrongDigests",
    "usm_not_in_time_window": "notInTimeWindows",
    "usm_decryption_error": "decryptionErrors",
}
"""What is reported of a message to our engine, by the reason of its refusal. A user who is configured for other engines
only does not exist at ours."""


class Usm:
    """USM of one process: users, localised keys, what is known of remote engines. Not thread-safe.

    Attributes:
        engines: What is known of engines, to be kept over a restart.
        reported: How often each usmStats counter was reported, as far as this process knows.
    """

    def __init__(self, settings: V3Settings, engines: EngineTable | None = None, *, salt: int) -> None:
        """Takes what a process knows.

        Args:
            settings: Users and our own engine.
            engines: What was known before; None for nothing.
            salt: 64 random bits, new in each process: Responses are encrypted with this number and those that follow
                it (RFC 3826 section 3.1.1.1), and no number may come twice with one key, boots and time.
        """
        self.engines = EngineTable() if engines is None else engines
        self.reported: dict[Statistic, int] = dict.fromkeys(_ARCS, 0)
        self._engine_id = bytes.fromhex(settings.engine_id)
        self._starts_unix_ns = settings.engine_starts_unix_ns
        self._boots_first = settings.engine_boots_first
        self._accept_resets = settings.boots_reset == "flag"
        self._contexts = frozenset(context.encode() for context in settings.contexts)
        self._users: dict[bytes, dict[bytes | None, UserKeys]] = {}
        for user in settings.users:
            at = self._users.setdefault(user.name.encode(), {})
            for engine_id in map(bytes.fromhex, user.engine_ids) if user.engine_ids else (None,):
                at.setdefault(engine_id, UserKeys(user))
        self._keys: OrderedDict[tuple[bytes, bytes], LocalKeys] = OrderedDict()
        self._salt = salt & _SALT_MAX

    def open(self, datagram: bytes, received_unix_ns: int, limits: Limits) -> Opened:
        """Verifies and decrypts one SNMPv3 message, in the order of RFC 3414 section 3.2.

        Args:
            datagram: Payload of one UDP datagram, any bytes.
            received_unix_ns: When the kernel had it.
            limits: Beyond them the datagram is rejected.

        Raises:
            DecodeError: With a reason of `netmon.snmp.REASONS`. Nothing else is raised, whatever the bytes.
        """
        if len(datagram) > limits.datagram_bytes_max:
            raise DecodeError("datagram_too_big", limits.datagram_bytes_max)
        try:
            return self._open(datagram, received_unix_ns)
        except IndexError:
            raise DecodeError("truncated", len(datagram)) from None

    def _open(self, data: bytes, received_unix_ns: int) -> Opened:
        message = read_message(data)
        msg_flags = message.msg_flags
        scoped = None if msg_flags & PRIV else read_scoped_pdu(data, message.data_start, message.data_stop)
        self._refuse_questions(message, scoped)
        keys = self._authenticated(data, message)
        flags = message.forgiven
        if keys.mac is None:
            if message.engine_id == self._engine_id and self._clock(received_unix_ns) is None:
                # Without a clock of ours there is no answer to it, whatever its level.
                raise DecodeError("usm_not_in_time_window", 0)
        elif self._in_time(message, received_unix_ns):
            flags = (*flags, "engine_boots_reset")
        if scoped is None:
            data, scoped = _decrypted(data, message, keys)
        if message.engine_id != self._engine_id and scoped.pdu_tag in CONFIRMED:
            raise _not_for_us(scoped)
        if self._contexts and scoped.context not in self._contexts:
            raise DecodeError("v3_unknown_context", 0)
        return Opened(
            user=keys.user.name,
            security_level=_LEVELS[keys.level],
            engine_id=message.engine_id.hex(),
            context_engine_id=scoped.context_engine_id.hex(),
            context=scoped.context.decode(errors="backslashreplace"),
            boots=message.boots,
            time_s=message.time_s,
            msg_id=message.msg_id,
            reportable=bool(msg_flags & REPORTABLE),
            received_unix_ns=received_unix_ns,
            pdu_tag=scoped.pdu_tag,
            scoped=data,
            context_start=scoped.context_start,
            pdu_pos=scoped.pdu_pos,
            pdu_start=scoped.pdu_start,
            pdu_stop=scoped.pdu_stop,
            flags=flags,
        )

    def _refuse_questions(self, message: Message, scoped: ScopedPdu | None) -> None:
        """Raises for what needs a Report and no look at its user: see the module's docstring."""
        if not message.engine_id:
            raise DecodeError("v3_discovery" if message.msg_flags & REPORTABLE else "v3_header_invalid", 0)
        if scoped is None or scoped.pdu_tag not in CONFIRMED:
            return
        if message.engine_id != self._engine_id:
            raise _not_for_us(scoped)
        if not message.user and message.msg_flags & REPORTABLE and scoped.pdu_tag != INFORM_REQUEST:
            raise DecodeError("v3_discovery", 0)

    def _authenticated(self, data: bytes, message: Message) -> LocalKeys:
        """Returns the user at the message's engine, if the message is protected as the user is and by the user's key.

        Raises:
            DecodeError: `usm_unknown_user`, `usm_unknown_engine`, `usm_security_level`, `usm_wrong_key`,
                `usm_wrong_digest`.
        """
        name = (message.user, message.engine_id)
        known = self._keys.get(name)
        keys = known or self._local_keys(message.user, message.engine_id)
        if message.msg_flags & (AUTH | PRIV) != keys.level:
            raise DecodeError("usm_security_level", 0)
        if (mac := keys.mac) is None:
            return keys
        start, stop = message.mac_start, message.mac_stop
        if not hmac.compare_digest(mac.of(data, start, message.stop), data[start:stop]):
            # Many devices speak to our engine: that one of them has the right passphrase says nothing of the others.
            proven = message.engine_id != self._engine_id and (
                known or self.engines.is_proven(message.engine_id, keys.user.name, mac.proof())
            )
            raise DecodeError("usm_wrong_digest" if proven else "usm_wrong_key", start)
        if known is None:
            if message.engine_id != self._engine_id:
                self.engines.prove(message.engine_id, keys.user.name, mac.proof())
            if len(self._keys) >= KEYS_MAX:
                self._keys.popitem(last=False)
            self._keys[name] = keys
        else:
            self._keys.move_to_end(name)
        return keys

    def _local_keys(self, user: bytes, engine_id: bytes) -> LocalKeys:
        engines = self._users.get(user)
        if engines is None:
            raise DecodeError("usm_unknown_user", 0)
        keys = engines.get(engine_id) or engines.get(None)
        if keys is None:
            raise DecodeError("usm_unknown_engine", 0)
        return LocalKeys(keys, engine_id)

    def _in_time(self, message: Message, received_unix_ns: int) -> bool:
        """Returns whether the engine had lost its boots; False for ours.

        Raises:
            DecodeError: `usm_not_in_time_window`.
        """
        if message.engine_id != self._engine_id:
            verdict = self.engines.judge(
                message.engine_id,
                message.boots,
                message.time_s,
                received_unix_ns,
                accept_resets=self._accept_resets,
            )
            if verdict != "late":
                return verdict == "reset"
        elif (clock := self._clock(received_unix_ns)) is not None:
            boots, time_s = clock
            if message.boots == boots < LATCHED and abs(message.time_s - time_s) <= WINDOW_S:
                return False
        raise DecodeError("usm_not_in_time_window", 0)

    def _clock(self, unix_ns: int) -> tuple[int, int] | None:
        """Returns our engine's boots and time at a moment; None before its first start, or when we have no engine."""
        starts = bisect_right(self._starts_unix_ns, unix_ns)
        if not starts or not self._engine_id:
            return None
        boots = min(self._boots_first + starts - 1, LATCHED)
        return boots, min((unix_ns - self._starts_unix_ns[starts - 1]) // _SECOND_NS, LATCHED)

    def respond(self, opened: Opened, pdu: bytes, unix_ns: int | None = None) -> bytes:
        """Returns the message that answers an INFORM, of its user, level, msgID and context (RFC 3414 section 3.1).

        Args:
            opened: What `open` returned for a request to our engine.
            pdu: A whole Response-PDU, such as that of `netmon.snmp.response.response_pdu`.
            unix_ns: Now; None answers as of when the INFORM was received.

        Raises:
            DecodeError: `usm_not_in_time_window`: our engine had not started then.
        """
        engine_id = bytes.fromhex(opened.engine_id)
        clock = self._clock(opened.received_unix_ns if unix_ns is None else unix_ns)
        assert engine_id == self._engine_id, "only our engine answers"
        if clock is None:
            raise DecodeError("usm_not_in_time_window", 0)
        user = opened.user.encode()
        keys = self._keys.get((user, engine_id)) or self._local_keys(user, engine_id)
        return seal(
            user=user,
            engine_id=engine_id,
            keys=keys,
            msg_id=opened.msg_id,
            msg_flags=keys.level,
            boots=clock[0],
            time_s=clock[1],
            scoped=tlv(SEQUENCE, opened.scoped[opened.context_start : opened.pdu_pos] + pdu),
            salt=self._next_salt(),
        )

    def _next_salt(self) -> int:
        salt = self._salt
        self._salt = (salt + 1) & _SALT_MAX
        return salt

    def report(self, datagram: bytes, received_unix_ns: int, limits: Limits) -> bytes | None:
        """Returns the Report that a refused message wants, or None when it wants none or we have no engine.

        Only requests whose sender asked for Reports get one (RFC 3412 section 6.4), never what is known to be a TRAP; of
        what cannot be decrypted, the reportableFlag is believed. Nobody who forges a source address has more than about
        twice his octets sent there. It is not authenticated, but for
        `notInTimeWindows`, which tells a sender with the right key our clock (RFC 3414 section 3.2 step 7 a).
        """
        clock = self._clock(received_unix_ns)
        if clock is None:
            return None
        try:
            self.open(datagram, received_unix_ns, limits)
        except DecodeError as error:
            reason = error.reason
        else:
            return None
        # A context is looked at last: of a request for another engine that would have been said before.
        if reason in ("datagram_too_big", "v3_unknown_context") or (request := _reportable(datagram)) is None:
            return None
        message, request_id = request
        if self._is_trap(datagram, message):
            return None
        ours = message.engine_id == self._engine_id
        statistic = _STATISTICS.get(reason) if ours else "unknownEngineIDs"
        if statistic is None:
            return None
        self.reported[statistic] += 1
        signed = statistic == "notInTimeWindows"
        return seal(
            user=message.user,
            engine_id=self._engine_id,
            keys=self._local_keys(message.user, message.engine_id) if signed else None,
            msg_id=message.msg_id,
            msg_flags=AUTH if signed else 0,
            boots=clock[0],
            time_s=clock[1],
            scoped=scoped_pdu(self._engine_id, b"", _report_pdu(request_id, statistic, self.reported[statistic])),
            salt=0,
        )

    def _is_trap(self, data: bytes, message: Message) -> bool:
        """Whether an encrypted message that is authentic is no request, and its reportableFlag counts for nothing."""
        keys = self._keys.get((message.user, message.engine_id))
        if keys is None or keys.mac is None or keys.level != message.msg_flags & (AUTH | PRIV):
            return False
        start, stop = message.mac_start, message.mac_stop
        if not message.msg_flags & PRIV or keys.mac.of(data, start, message.stop) != data[start:stop]:
            return False
        try:
            return _decrypted(data, message, keys)[1].pdu_tag not in CONFIRMED
        except DecodeError:
            return False


def _decrypted(data: bytes, message: Message, keys: LocalKeys) -> tuple[bytes, ScopedPdu]:
    """Returns the decrypted octets and the ScopedPDU in them.

    Raises:
        DecodeError: `usm_decryption_error`. The digest was right, so the user's privacy passphrase or protocol is not.
    """
    secret = data[message.data_start : message.data_stop]
    plain = keys.cipher.decrypt(message.boots, message.time_s, message.salt, secret)
    if plain is not None:
        try:
            scoped = read_scoped_pdu(plain, 0, len(plain))
        except (DecodeError, IndexError):
            pass
        else:
            if scoped.pdu_stop == scoped.stop and len(plain) - scoped.stop <= PADDING_OCTETS_MAX:
                return plain, scoped
    raise DecodeError("usm_decryption_error", message.data_start)


def _not_for_us(scoped: ScopedPdu) -> DecodeError:
    """Returns the error for a request to an engine that is not ours: see the module's docstring."""
    return DecodeError("usm_unknown_engine" if scoped.pdu_tag == INFORM_REQUEST else "v3_discovery", 0)


def _reportable(datagram: bytes) -> tuple[Message, int] | None:
    """Returns a message whose sender wants to know why it is refused, and its request-id, 0 when that is encrypted.

    What a message's PDU can tell goes before its reportableFlag (RFC 3412 section 6.4).
    """
    try:
        message = read_message(datagram)
        if not message.msg_flags & REPORTABLE:
            return None
        if message.msg_flags & PRIV:
            return message, 0
        scoped = read_scoped_pdu(datagram, message.data_start, message.data_stop)
        if scoped.pdu_tag not in CONFIRMED:
            return None
        return message, integer(datagram, scoped.pdu_start, scoped.pdu_stop, [])[0]
    except (DecodeError, IndexError):
        return None


def _report_pdu(request_id: int, statistic: Statistic, value: int) -> bytes:
    """Returns a Report-PDU (RFC 3416 section 4.2.9) with one usmStats counter."""
    name = tlv(OBJECT_IDENTIFIER, _USM_STATS + bytes((_ARCS[statistic], 0)))
    counter = tlv(_COUNTER32, integer_contents(value & _COUNTER32_MAX))
    varbinds = tlv(SEQUENCE, tlv(SEQUENCE, name + counter))
    return tlv(_REPORT, encode_integer(request_id) + _NO_ERROR + varbinds)
