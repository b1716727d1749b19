"""Control packets of MQTT 5.0 (OASIS standard, 7 March 2019): those of a client at QoS 0. Pure.

Section numbers are the standard's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from netmon.errors import NetmonError

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
SUBSCRIBE: Final = 8
SUBACK: Final = 9
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
"""Section 2.1.2, control packet types."""
FROM_BROKER: Final = frozenset({CONNACK, PUBLISH, SUBACK, PINGRESP, DISCONNECT})
"""What a client at QoS 0 may be sent."""

SUCCESS: Final = 0
FAILURE: Final = 0x80
"""Reason codes from here on are failures (section 2.4)."""

PACKET_BYTES_MAX: Final = 268_435_455
"""Remaining length of the standard (section 1.5.5)."""
LENGTH_OCTETS_MAX: Final = 4

_SERVER_KEEP_ALIVE: Final = 0x13
_MAXIMUM_PACKET_SIZE: Final = 0x27
_REASON_STRING: Final = 0x1F
_NO_RETAINED: Final = 0x20
"""Subscription option, retain handling 2: nothing that was published before (section 3.8.3.1)."""

_TWO: Final = (0x13, 0x21, 0x22, 0x23)
_FOUR: Final = (0x02, 0x11, 0x18, 0x27)
_ONE: Final = (0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A)
_TEXT: Final = (0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F)
_SIZES: Final = {**dict.fromkeys(_ONE, 1), **dict.fromkeys(_TWO, 2), **dict.fromkeys(_FOUR, 4)}
"""Properties by the size of their values (section 2.2.2.2)."""
_SUBSCRIPTION: Final = 0x0B
_PAIR: Final = 0x26

_REASONS: Final = {
    0x01: "speaks no MQTT 5",  # what a broker of version 3.1.1 says
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x84: "speaks no MQTT 5",
    0x85: "client identifier refused",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x93: "receive maximum exceeded",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA2: "wildcard subscriptions not supported",
}
"""Section 2.4."""


class MqttError(NetmonError):
    """The broker refuses, takes leave, or sends what the standard forbids; the message says which."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says first (section 3.1)."""

    client_id: str
    username: str = ""
    password: str = ""
    keep_alive_s: int
    packet_bytes_max: int
    """Longer packets the broker drops before they are sent, and we refuse."""

    def __repr__(self) -> str:
        """Without the password."""
        return f"Hello(client_id={self.client_id!r})"


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker answers to it, if it does not refuse (section 3.2)."""

    keep_alive_s: int | None
    """As the broker wants it; None: as we said."""


class Published(msgspec.Struct, frozen=True, gc=False):
    """A message that arrived (section 3.3)."""

    topic: str
    payload: bytes
    retained: bool
    """It was published some time before."""


def connect(hello: Hello) -> bytes:
    """CONNECT with a clean start: whatever the broker remembers of a session of this name is forgotten."""
    flags = 0x02 | (0x80 if hello.username else 0) | (0x40 if hello.password else 0)
    properties = bytes((_MAXIMUM_PACKET_SIZE,)) + hello.packet_bytes_max.to_bytes(4, "big")
    payload = [hello.client_id, *filter(None, (hello.username, hello.password))]
    return _packet(
        CONNECT,
        0,
        _text("MQTT")
        + bytes((5, flags))
        + hello.keep_alive_s.to_bytes(2, "big")
        + _length(len(properties))
        + properties
        + b"".join(map(_text, payload)),
    )


def subscribe(packet_id: int, filters: Iterable[str]) -> bytes:
    """SUBSCRIBE at QoS 0, without retained messages."""
    wanted = b"".join(_text(each) + bytes((_NO_RETAINED,)) for each in filters)
    return _packet(SUBSCRIBE, 2, packet_id.to_bytes(2, "big") + b"\0" + wanted)


def publish(topic: str, payload: bytes) -> bytes:
    """PUBLISH at QoS 0."""
    return _packet(PUBLISH, 0, _text(topic) + b"\0" + payload)


def pingreq() -> bytes:
    """PINGREQ."""
    return _packet(PINGREQ, 0, b"")


def disconnect() -> bytes:
    """DISCONNECT, normally."""
    return _packet(DISCONNECT, 0, b"")


def read_connack(body: bytes) -> Welcome:
    """Reads CONNACK. Raises MqttError: the broker refuses, or the packet is malformed."""
    if len(body) < 2:
        raise MqttError("a CONNACK that is too short")
    if body[1] != SUCCESS:
        raise MqttError(reason_of(body[1], _reason_string(body, 2)))
    found = dict(_properties(body, 2)[0])
    keep_alive = found.get(_SERVER_KEEP_ALIVE)
    return Welcome(keep_alive_s=None if keep_alive is None else int.from_bytes(keep_alive, "big"))


def read_suback(body: bytes) -> tuple[int, bytes]:
    """Packet identifier and a reason code for each filter of the SUBSCRIBE. Raises MqttError: malformed."""
    if len(body) < 3:
        raise MqttError("a SUBACK that is too short")
    _, pos = _properties(body, 2)
    return int.from_bytes(body[:2], "big"), body[pos:]


def read_publish(flags: int, body: bytes) -> Published:
    """Reads PUBLISH. Raises MqttError: malformed, or not at the QoS 0 that was subscribed to."""
    if flags & 0x06:
        raise MqttError("a message at a QoS that nobody asked for")
    topic, pos = _read_text(body, 0)
    _, pos = _properties(body, pos)
    return Published(topic, body[pos:], bool(flags & 0x01))


def read_disconnect(body: bytes) -> str:
    """Why the broker takes leave."""
    if not body:
        return "the broker has ended the connection"
    return reason_of(body[0], _reason_string(body, 1))


def reason_of(code: int, words: str = "") -> str:
    """A reason code in words, and those of the broker's own."""
    reason = _REASONS.get(code, f"reason 0x{code:02x}")
    return f"{reason}: {words}" if words and words.lower() != reason else reason


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic filter selects a topic (section 4.7); topics that begin with `$` only by their own beginning."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


# --- Data representation (section 1.5). ---


def _packet(kind: int, flags: int, body: bytes) -> bytes:
    return bytes((kind << 4 | flags,)) + _length(len(body)) + body


def _length(value: int) -> bytes:
    assert 0 <= value <= PACKET_BYTES_MAX
    octets = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        octets.append(low | (0x80 if value else 0))
        if not value:
            return bytes(octets)


def _text(value: str) -> bytes:
    octets = value.encode()
    return len(octets).to_bytes(2, "big") + octets


def _read_text(body: bytes, pos: int) -> tuple[str, int]:
    start = pos + 2
    stop = start + int.from_bytes(body[pos:start], "big")
    if stop > len(body):
        raise MqttError("a packet that is cut off")
    try:
        return body[start:stop].decode(), stop
    except UnicodeDecodeError:
        raise MqttError("text that is not UTF-8") from None


def _read_length(body: bytes, pos: int) -> tuple[int, int]:
    value = 0
    for index, octet in enumerate(body[pos : pos + LENGTH_OCTETS_MAX]):
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            return value, pos + index + 1
    raise MqttError("a length that does not end")


def _properties(body: bytes, pos: int) -> tuple[list[tuple[int, bytes]], int]:
    """Properties in their order, and where they end."""
    size, pos = _read_length(body, pos)
    stop = pos + size
    found = []
    while pos < stop:
        kind = body[pos] if pos < len(body) else -1
        end = _end_of_value(body, kind, pos + 1)
        found.append((kind, body[pos + 1 : end]))
        pos = end
    if pos != stop or stop > len(body):
        raise MqttError("properties that do not end where they say")
    return found, stop


def _end_of_value(body: bytes, kind: int, pos: int) -> int:
    if kind in _SIZES:
        return pos + _SIZES[kind]
    if kind in _TEXT:
        return pos + 2 + int.from_bytes(body[pos : pos + 2], "big")
    if kind == _SUBSCRIPTION:
        return _read_length(body, pos)[1]
    if kind == _PAIR:
        return _read_text(body, _read_text(body, pos)[1])[1]
    raise MqttError("a property that the standard does not know")


def _reason_string(body: bytes, pos: int) -> str:
    """The broker's own words, if it has any; a refusal is one even if they are malformed."""
    try:
        found = dict(_properties(body, pos)[0]).get(_REASON_STRING, b"")
    except MqttError:
        return ""
    return found[2:].decode(errors="replace")
