"""What the tests of SNMPv3 share: a user, an engine of ours, and messages to it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from netmon.errors import DecodeError
from netmon.model import Limits, V3Settings, V3User
from netmon.snmp import Notification, decode_notification_v3
from netmon.snmp.ber import tlv
from netmon.snmp.encode import TypedVarbind, encode_v3
from netmon.snmp.engines import EngineTable
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.snmp.seal import scoped_pdu, seal
from netmon.snmp.usm import Usm
from netmon.snmp.v3 import REPORTABLE, Opened

SECOND = 10**9
T0 = 1_800_000_000 * SECOND
OURS = bytes.fromhex("80001f8805aabbccdd")
SENDER = bytes.fromhex("80001f880401020304")
OTHER = bytes.fromhex("80001f880405060708")
STARTED = T0 - 1_000 * SECOND
LIMITS = Limits()

NOBODY = V3User(name="nobody")
SIGNER = V3User(name="signer", auth="sha1", auth_passphrase="maplesyrup")
LIFT = V3User(
    name="lift", auth="sha256", auth_passphrase="maplesyrup", priv="aes128", priv_passphrase="rhubarb compote"
)
USERS = (NOBODY, SIGNER, LIFT)
GET = b"\xa0\x0b\x02\x01\x05\x02\x01\x00\x02\x01\x00\x30\x00"
"""A GetRequest-PDU with request-id 5 for nothing."""
VARBINDS: list[TypedVarbind] = [("1.3.6.1.2.1.2.2.1.1.7", "Integer32", 7), ("1.3.6.1.9", "OctetString", "north")]


def usm(*users: V3User, engines: EngineTable | None = None, **settings: Any) -> Usm:
    """One that knows these users, or all of the above; our engine runs for 1,000 s at T0, with 7 boots."""
    ours = {"engine_id": OURS.hex(), "engine_starts_unix_ns": (STARTED,), "engine_boots_first": 7}
    return Usm(V3Settings(users=users or USERS, **(ours | settings)), engines, salt=1)


def local(user: V3User = LIFT, engine_id: bytes = SENDER) -> LocalKeys:
    """The user's keys at an engine."""
    return LocalKeys(UserKeys(user), engine_id)


def trap(user: V3User | LocalKeys = LIFT, **change: Any) -> bytes:
    """A linkDown of the sender with boots 5 after 10,000 s."""
    fields: dict[str, Any] = {
        "keys": user if isinstance(user, LocalKeys) else local(user, change.pop("engine_id", SENDER)),
        "boots": 5,
        "time_s": 10_000,
        "salt": 99,
        "msg_id": 4711,
        "pdu": "trap",
        "request_id": 1234,
        "uptime_centis": 1_000_000,
        "trap_oid": "1.3.6.1.6.3.1.1.5.3",
        "varbinds": VARBINDS,
    }
    return encode_v3(**(fields | change))


def inform(user: V3User = LIFT, **change: Any) -> bytes:
    """The same as an INFORM to our engine, with the clock that it has at T0."""
    return trap(user, **({"pdu": "inform", "engine_id": OURS, "boots": 7, "time_s": 1_000} | change))


def opened(model: Usm, datagram: bytes, unix_ns: int = T0) -> Opened:
    """The message, opened."""
    return model.open(datagram, unix_ns, LIMITS)


def read(model: Usm, datagram: bytes, unix_ns: int = T0) -> Notification:
    """The notification in the message."""
    return decode_notification_v3(opened(model, datagram, unix_ns), LIMITS)


def reason_of(model: Usm, datagram: bytes, unix_ns: int = T0) -> str:
    """Why the message is refused."""
    with pytest.raises(DecodeError) as caught:
        decode_notification_v3(model.open(datagram, unix_ns, LIMITS), LIMITS)
    assert 0 <= caught.value.offset <= len(datagram)
    return caught.value.reason


def proven(**settings: Any) -> Usm:
    """One that has heard the trap above at T0."""
    model = usm(**settings)
    model.open(trap(), T0, LIMITS)
    return model


def sealed(keys: LocalKeys, scoped: bytes, *, flags: int = 0, time_s: int = 1) -> bytes:
    """A message around any octets, protected as its user is; `flags` are added to those of the security level."""
    return seal(
        user=keys.user.name.encode(),
        engine_id=SENDER,
        keys=keys,
        msg_id=1,
        msg_flags=keys.level | flags,
        boots=5,
        time_s=time_s,
        scoped=scoped,
        salt=1,
    )


def question(engine_id: bytes = b"", user: bytes = b"") -> bytes:
    """A request without authentication that wants a Report."""
    return seal(
        user=user,
        engine_id=engine_id,
        keys=None,
        msg_id=1,
        msg_flags=REPORTABLE,
        boots=0,
        time_s=0,
        scoped=scoped_pdu(engine_id, b"", GET),
        salt=0,
    )


def raw(
    *,
    header: bytes = b"\x02\x01\x01\x02\x02\x05\xdc\x04\x01\x00\x02\x01\x03",
    parameters: bytes = b"\x04\x05\x80\x00\x00\x00\x01\x02\x01\x01\x02\x01\x01\x04\x06nobody\x04\x00\x04\x00",
    data: bytes = b"\x30\x0c\x04\x00\x04\x00\xa7\x06\x02\x01\x01\x02\x01\x00",
    behind_parameters: bytes = b"",
) -> bytes:
    """A message from parts."""
    octets = tlv(0x04, tlv(0x30, parameters) + behind_parameters)
    return tlv(0x30, b"\x02\x01\x03" + tlv(0x30, header) + octets + data)


REFUSED: dict[str, tuple[Usm, list[bytes]]] = {
    "v3_header_invalid": (usm(), [trap(NOBODY).replace(b"\x04\x01\x00\x02\x01\x03", b"\x04\x01\x02\x02\x01\x03")]),
    "v3_security_model_unknown": (usm(), [trap().replace(b"\x04\x01\x03\x02\x01\x03", b"\x04\x01\x03\x02\x01\x02")]),
    "v3_discovery": (usm(), [question(), question(OURS), question(OTHER, b"nobody")]),
    "usm_unknown_user": (usm(NOBODY), [trap(), inform(), trap(SIGNER)]),
    "usm_unknown_engine": (
        usm(structs.replace(LIFT, engine_ids=(OTHER.hex(),)), NOBODY),
        [trap(), inform(), inform(NOBODY, engine_id=OTHER)],
    ),
    "usm_wrong_key": (usm(), [trap()[:-1] + b"\0", trap(structs.replace(LIFT, auth_passphrase="not this one"))]),
    "usm_wrong_digest": (proven(), [trap()[:-1] + b"\0", trap(structs.replace(LIFT, auth_passphrase="not this one"))]),
    "usm_security_level": (usm(), [trap(structs.replace(LIFT, priv=None)), trap(V3User(name="lift"))]),
    "usm_not_in_time_window": (
        proven(boots_reset="reject"),
        [trap(time_s=9_849), trap(boots=4, time_s=20_000), inform(time_s=849), inform(time_s=1_151), inform(boots=6)],
    ),
    "usm_decryption_error": (usm(), [trap(structs.replace(LIFT, priv_passphrase="not this one"))]),
    "v3_unknown_context": (usm(contexts=("bridge1",)), [trap(), trap(context=b"bridge2"), inform(NOBODY)]),
}
"""For each reason that only SNMPv3 has: who refuses for it, and what."""
