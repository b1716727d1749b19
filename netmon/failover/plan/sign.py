"""Signatures of what the centre tells gateways: Ed25519 (RFC 8032) over the octets of one JSON document.

Pure but for `generate`. The signature is over the body's octets as they travel, so nothing has to be written the same way twice. The body names its own
type and its own gateway: a plan never passes for a desired state, nor what is meant for one gateway for what is meant for another. That it is
new is told by the fence and the numbers in it, which whoever obeys compares with the greatest that he has seen.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from netmon.errors import ConfigError, NetmonError
from netmon.failover.plan.model import Beat, Desired, Plan, Signed

SIGNED_BYTES_MAX: Final = 1 << 20
"""Of a signed message: the plan of a gateway of ten lines and eight classes takes some 150 KiB."""
KEY_DIGITS: Final = 64
"""Hexadecimal digits of a key."""
_KEY_ID_DIGITS: Final = 16
_SIGNATURE_DIGITS: Final = 128

Told = Plan | Desired | Beat
ToldT = TypeVar("ToldT", Plan, Desired, Beat)
Reason = Literal["too_long", "malformed", "other_key", "bad_signature", "other_type", "other_gateway"]
REASONS: Final[tuple[Reason, ...]] = (
    "too_long",
    "malformed",
    "other_key",
    "bad_signature",
    "other_type",
    "other_gateway",
)

_encoder: Final = msgspec.json.Encoder()
_signed: Final = msgspec.json.Decoder(Signed)
_told: Final[msgspec.json.Decoder[Told]] = msgspec.json.Decoder(Told)


class SignatureError(NetmonError):
    """A message that is not to be believed.

    Attributes:
        reason: A word of REASONS, fit for a metric's label. It tells nothing of what is in the message.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Private(NamedTuple):
    """The centre's key."""

    key: Ed25519PrivateKey
    key_id: str
    """As in `Signed.key`."""


class Public(NamedTuple):
    """What a gateway knows the centre by."""

    key: Ed25519PublicKey
    key_id: str


def generate() -> tuple[str, str]:
    """Makes a key pair from the kernel's random numbers: the private key, which is a secret, and the public one; 64 hexadecimal digits each."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return private.hex(), _octets(key.public_key()).hex()


def private_key(digits: str, where: str = "signing key") -> Private:
    """Reads a private key. Raises ConfigError: it is none, with `where` before it and nothing of the key."""
    key = Ed25519PrivateKey.from_private_bytes(_read(digits, where))
    return Private(key, _key_id(key.public_key()))


def public_key(digits: str, where: str = "verify key") -> Public:
    """Reads a public key. Raises ConfigError: it is none, with `where` before it."""
    key = Ed25519PublicKey.from_public_bytes(_read(digits, where))
    return Public(key, _key_id(key))


def public_digits(private: Private) -> str:
    """The public key that belongs to a private one: what gateways are given as `verify_key`."""
    return _octets(private.key.public_key()).hex()


def sign(told: Told, private: Private) -> bytes:
    """The message as it travels.

    Raises:
        SignatureError: `too_long`; no gateway would read it.
    """
    body = _encoder.encode(told)
    signed = Signed(body=msgspec.Raw(body), key=private.key_id, signature=private.key.sign(body).hex())
    message = _encoder.encode(signed)
    if len(message) > SIGNED_BYTES_MAX:
        raise SignatureError("too_long")
    return message


def verify(message: bytes, public: Public, gateway_id: str = "") -> Told:
    """What the centre says in a message.

    Args:
        message: As it came; anything at all.
        public: The centre's key.
        gateway_id: Of whoever reads it; empty: it may be for any gateway. A beat is for all.

    Raises:
        SignatureError: Too long, no such message, or signed by another key (whose ID says so, or whose ID lies); or what it says is for
            another gateway. Nothing of it was looked at before the signature had been found good.
    """
    if len(message) > SIGNED_BYTES_MAX:
        raise SignatureError("too_long")
    try:
        signed = _signed.decode(message)
        signature = bytes.fromhex(signed.signature)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise SignatureError("malformed") from None
    if len(signed.signature) != _SIGNATURE_DIGITS:
        raise SignatureError("malformed")
    if signed.key != public.key_id:
        raise SignatureError("other_key")
    try:
        public.key.verify(signature, bytes(signed.body))
        told = _told.decode(signed.body)
    except InvalidSignature:
        raise SignatureError("bad_signature") from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise SignatureError("malformed") from None
    if gateway_id and not isinstance(told, Beat) and told.gateway_id != gateway_id:
        raise SignatureError("other_gateway")
    return told


def verify_as(kind: type[ToldT], message: bytes, public: Public, gateway_id: str = "") -> ToldT:
    """As `verify`, for a topic that only one type belongs to. Raises SignatureError, `other_type` among its reasons."""
    told = verify(message, public, gateway_id)
    if not isinstance(told, kind):
        raise SignatureError("other_type")
    return told


def _read(digits: str, where: str) -> bytes:
    try:
        octets = bytes.fromhex(digits.strip())
    except ValueError:
        octets = b""
    if len(octets) * 2 != KEY_DIGITS:
        raise ConfigError([f"{where}: expected {KEY_DIGITS} hexadecimal digits; `netmon failover keys` makes a pair"])
    return octets


def _octets(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(_octets(key)).hexdigest()[:_KEY_ID_DIGITS]
