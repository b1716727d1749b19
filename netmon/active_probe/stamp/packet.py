"""STAMP test packets as values and octets: questions of the Session-Sender, answers of the Session-Reflector.

Pure. Owns the layouts of RFC 8762 sections 4.2 and 4.3, without and with authentication, its HMAC (section 4.4), both formats of
timestamps (NTP, and PTP by RFC 8186 section 2.1), the error estimate (RFC 4656 section 4.1.2), the session identifier SSID (RFC 8972
section 3), and what a reflector that knows no extension says to extensions (RFC 8972 section 4).
"""

from __future__ import annotations

import hmac
import struct
from typing import Final, Literal

import msgspec

from netmon.errors import ConfigError, DecodeError

OCTETS: Final = 44
"""Of each packet without authentication; alike in both directions, so that neither weighs more (RFC 8762 section 4.2)."""
AUTHENTICATED_OCTETS: Final = 112
HMAC_OCTETS: Final = 16
"""HMAC-SHA-256, cut to its first 128 bits."""
SIGNED_OCTETS: Final = AUTHENTICATED_OCTETS - HMAC_OCTETS
OCTETS_MAX: Final = 1_472
"""Of a question with extensions: what goes through an Ethernet in one piece."""

KEY_OCTETS_MIN: Final = 16
"""As long as the HMAC, or guessing the key were easier than guessing that."""

REASONS: Final = ("short", "long", "hmac", "error_estimate", "answer")
"""Why a datagram is no question, or no answer."""

Format = Literal["ntp", "ptp"]

QUESTION: Final = struct.Struct("!IQHH28x")
"""Sequence number, timestamp, error estimate, SSID."""
ANSWER: Final = struct.Struct("!IQHHQIQH2xB3x")
"""Sequence number, timestamp, error estimate, SSID, receive timestamp; of the sender: sequence number, timestamp, error estimate, TTL."""
SIGNED_QUESTION: Final = struct.Struct("!I12xQHH68x")
SIGNED_ANSWER: Final = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")
"""With authentication, the same fields stand in blocks of 16 octets, for ciphers; the HMAC follows."""

_ANSWERED_WITHIN_S: Final = 10
_NTP_TO_UNIX_S: Final = 2_208_988_800
_SECOND_NS: Final = 1_000_000_000
_MASK_32: Final = 0xFFFF_FFFF
_MASK_64: Final = 0xFFFF_FFFF_FFFF_FFFF

SYNCHRONISED: Final = 0x8000
"""S of the error estimate: the clock follows UTC."""
PTP: Final = 0x4000
"""Z of the error estimate: timestamps are PTP's (RFC 8186 section 2.1)."""
_MULTIPLIER: Final = 0x00FF

_TLV: Final = struct.Struct("!BBH")
_TLV_UNRECOGNISED: Final = 0x80
_TLV_MALFORMED: Final = 0x40


class Question(msgspec.Struct, frozen=True, gc=False):
    """What a Session-Sender sends."""

    sequence: int
    timestamp: int
    """When it was sent, in the format that the error estimate names."""
    error_estimate: int
    ssid: int
    """Of the session (RFC 8972); 0: the sender knows none."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a Session-Reflector sends back."""

    sequence: int
    """Stateful: of its own count in this session; stateless: the question's."""
    timestamp: int
    error_estimate: int
    ssid: int
    receive_timestamp: int
    sender_sequence: int
    sender_timestamp: int
    sender_error_estimate: int
    sender_ttl: int
    """TTL or hop limit that the question arrived with."""


def key_of(text: str) -> bytes:
    """The key in a file: its text without white space around it, or octets in hexadecimal behind `0x`.

    Raises:
        ConfigError: It is shorter than `KEY_OCTETS_MIN`, or no hexadecimal; shows nothing of it.
    """
    stripped = text.strip()
    try:
        key = bytes.fromhex(stripped[2:]) if stripped[:2] == "0x" else stripped.encode()
    except ValueError:
        raise ConfigError(["STAMP key: what stands behind 0x is not hexadecimal"]) from None
    if len(key) < KEY_OCTETS_MIN:
        raise ConfigError(
            [f"STAMP key: has {len(key)} octets, needs {KEY_OCTETS_MIN}; `openssl rand -hex 32` makes a good one"]
        )
    return key


def encode_question(question: Question, key: bytes | None = None) -> bytes:
    """Returns 44 octets, or 112 with a key."""
    values = (question.sequence, question.timestamp, question.error_estimate, question.ssid)
    return QUESTION.pack(*values) if key is None else signed(SIGNED_QUESTION.pack(*values), key)


def encode_answer(answer: Answer, key: bytes | None = None) -> bytes:
    """Returns 44 octets, or 112 with a key."""
    values = (
        answer.sequence, answer.timestamp, answer.error_estimate, answer.ssid, answer.receive_timestamp,
        answer.sender_sequence, answer.sender_timestamp, answer.sender_error_estimate, answer.sender_ttl,
    )  # fmt: skip
    return ANSWER.pack(*values) if key is None else signed(SIGNED_ANSWER.pack(*values), key)


def decode_question(data: bytes | memoryview, key: bytes | None = None) -> Question:
    """The question in a datagram; extensions behind it are let pass.

    Raises:
        DecodeError: `short`, `long`, `hmac`; `error_estimate`: its multiplier is 0, which RFC 4656 has discarded; `answer`: it is
            an answer, which a reflector that answers it as a question sends round for ever.
    """
    _check(data, key)
    layout = QUESTION if key is None else SIGNED_QUESTION
    question = Question(*layout.unpack_from(data))
    if not question.error_estimate & _MULTIPLIER:
        raise DecodeError("error_estimate", 12 if key is None else 24)
    if _is_answer(data, question, 16 if key is None else 32):
        raise DecodeError("answer", 16 if key is None else 32)
    return question


def _is_answer(data: bytes | memoryview, question: Question, offset: int) -> bool:
    """Whether a receive timestamp stands where a question has zeros, or padding of TWAMP Light: soon before the other timestamp."""
    received_s = int.from_bytes(data[offset : offset + 4], "big")
    return received_s != 0 and 0 <= (question.timestamp >> 32) - received_s < _ANSWERED_WITHIN_S


def decode_answer(data: bytes | memoryview, key: bytes | None = None) -> Answer:
    """The answer in a datagram; extensions behind it are let pass.

    Raises:
        DecodeError: `short`, `long` or `hmac`.
    """
    _check(data, key)
    return Answer(*(ANSWER if key is None else SIGNED_ANSWER).unpack_from(data))


def _check(data: bytes | memoryview, key: bytes | None) -> None:
    if len(data) < (OCTETS if key is None else AUTHENTICATED_OCTETS):
        raise DecodeError("short", len(data))
    if len(data) > OCTETS_MAX:
        raise DecodeError("long", OCTETS_MAX)
    if key is not None and not is_authentic(data, key):
        raise DecodeError("hmac", SIGNED_OCTETS)


def signed(blocks: bytes, key: bytes) -> bytes:
    """The 96 octets with their HMAC behind them."""
    return blocks + hmac.digest(key, blocks, "sha256")[:HMAC_OCTETS]


def is_authentic(data: bytes | memoryview, key: bytes) -> bool:
    """Whether octets 96 to 112 are the HMAC of those before; takes the same time wherever they differ."""
    wanted = hmac.digest(key, data[:SIGNED_OCTETS], "sha256")[:HMAC_OCTETS]
    return hmac.compare_digest(wanted, data[SIGNED_OCTETS:AUTHENTICATED_OCTETS])


def extensions_answered(data: bytes | memoryview) -> bytes:
    """Extensions of a question as they go back from a reflector that recognises none: each marked so (RFC 8972 section 4).

    Args:
        data: What stands behind the question's 44 octets.

    Returns:
        As many octets. One whose length leads beyond the end is marked malformed, and it and all behind it go back as they are.
    """
    answered = bytearray(data)
    offset = 0
    while offset < len(answered):
        if len(answered) - offset < _TLV.size:
            break
        flags, _, length = _TLV.unpack_from(answered, offset)
        if offset + _TLV.size + length > len(answered):
            answered[offset] = flags | _TLV_MALFORMED
            break
        answered[offset] = flags | _TLV_UNRECOGNISED
        offset += _TLV.size + length
    return bytes(answered)


def timestamp_of(unix_ns: int, style: Format = "ntp") -> int:
    """The 64 bits of a timestamp.

    Args:
        unix_ns: Nanoseconds since 1970 UTC.
        style: `ntp`: seconds since 1900 and 2^-32 parts, rounded down; `ptp`: seconds since 1970 and nanoseconds.
    """
    if style == "ntp":
        return (((unix_ns + _NTP_TO_UNIX_S * _SECOND_NS) << 32) // _SECOND_NS) & _MASK_64
    seconds, rest_ns = divmod(unix_ns, _SECOND_NS)
    return (seconds & _MASK_32) << 32 | rest_ns


def unix_ns_of(timestamp: int, error_estimate: int = 0) -> int:
    """Nanoseconds since 1970 UTC of a timestamp; what `timestamp_of` made comes back exactly.

    NTP's seconds begin again in 2036: those below 2^31 are of the new era (RFC 4330 section 3), up to 2104; PTP's last up to 2106.

    Args:
        timestamp: 64 bits, by anybody: the nanoseconds of PTP may be more than a second, and are added as they are.
        error_estimate: Its Z tells the format.
    """
    if error_estimate & PTP:
        return (timestamp >> 32) * _SECOND_NS + (timestamp & _MASK_32)
    era_s = -_NTP_TO_UNIX_S if timestamp >> 63 else (1 << 32) - _NTP_TO_UNIX_S
    return era_s * _SECOND_NS + ((timestamp * _SECOND_NS + _MASK_32) >> 32)


def error_estimate_of(error_s: float, *, synchronised: bool = False, style: Format = "ntp") -> int:
    """The 16 bits that say how wrong a clock may be: at least `error_s`, as near as one octet of precision lets it be.

    Args:
        error_s: More than 2^63 times 255 / 2^32 seconds cannot be said, and less than 2^-32 s is said as that.
        synchronised: To UTC, by something outside of this machine.
        style: Of the timestamps that go with it.
    """
    parts = max(1, -int(-error_s * 2**32 // 1))
    scale = max(0, parts.bit_length() - 8)
    multiplier = -(-parts >> scale)
    if multiplier > _MULTIPLIER:
        scale, multiplier = scale + 1, (multiplier + 1) >> 1
    flags = (SYNCHRONISED if synchronised else 0) | (PTP if style == "ptp" else 0)
    return flags | (min(scale, 63) << 8) | multiplier
