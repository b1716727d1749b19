"""A USM user's passphrases to keys at an engine, and what is done with keys: sign, verify, encrypt, decrypt.

Owns password-to-key and localisation (RFC 3414 sections 2.6 and A.2), the HMAC protocols (RFC 3414 sections 6 and 7,
RFC 7860), DES in CBC mode (RFC 3414 section 8), AES in CFB mode (RFC 3826; with 192 and 256 bits draft-blumenthal-aes-
usm-04) and both ways to make short keys longer: draft-blumenthal-aes-usm-04 section 3.1.2.1 and, for the protocols that
end in `c`, draft-reeder-snmpv3-usm-3desede-00 section 2.1, which Cisco uses for AES, too. Pure. No message of an error
and no `repr` shows a passphrase or a key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import cached_property
from typing import Final, NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from netmon.model import V3User
from netmon.snmp.v3 import AUTH, PRIV

EXPANDED_OCTETS: Final = 1 << 20
"""A passphrase is repeated to so many octets before it is hashed (RFC 3414 section A.2)."""
SALT_OCTETS: Final = 8
"""msgPrivacyParameters, of DES and AES alike."""
DES_BLOCK_OCTETS: Final = 8
_PROOF: Final = b"netmon: this key was right once"
_PROOF_OCTETS: Final = 4


class _Auth(NamedTuple):
    hash_name: str
    mac_octets: int
    """Of msgAuthenticationParameters."""


_AUTHS: Final = {
    "md5": _Auth("md5", 12),
    "sha1": _Auth("sha1", 12),
    "sha224": _Auth("sha224", 16),
    "sha256": _Auth("sha256", 24),
    "sha384": _Auth("sha384", 32),
    "sha512": _Auth("sha512", 48),
}


def expand(hash_name: str, passphrase: bytes) -> bytes:
    """Returns the key of a passphrase, Ku (RFC 3414 section A.2); costs the hash of 1 MiB.

    Args:
        hash_name: As `hashlib` calls it.
        passphrase: One octet or more; RFC 3414 wants eight, and the configuration asks for them.
    """
    assert passphrase
    times, rest = divmod(EXPANDED_OCTETS, len(passphrase))
    return hashlib.new(hash_name, passphrase * times + passphrase[:rest]).digest()


def localise(hash_name: str, key: bytes, engine_id: bytes) -> bytes:
    """Returns Kul, the key of a user at one engine (RFC 3414 section A.2)."""
    return hashlib.new(hash_name, key + engine_id + key).digest()


def _exact(_hash_name: str, _engine_id: bytes, key: bytes, _octets: int) -> bytes:
    """No protocol of 128 bits needs more than the shortest hash, MD5, has."""
    return key


def _blumenthal(hash_name: str, _engine_id: bytes, key: bytes, octets: int) -> bytes:
    """Lengthens a localised key by the hash of what there is of it (draft-blumenthal-aes-usm-04 section 3.1.2.1)."""
    while len(key) < octets:
        key += hashlib.new(hash_name, key).digest()
    return key


def _reeder(hash_name: str, engine_id: bytes, key: bytes, octets: int) -> bytes:
    """Lengthens a localised key by the one of which it is the passphrase; costs the hash of 1 MiB at each engine."""
    last = key
    while len(key) < octets:
        last = localise(hash_name, expand(hash_name, last), engine_id)
        key += last
    return key


class _Priv(NamedTuple):
    key_octets: int
    lengthen: Callable[[str, bytes, bytes, int], bytes]


_PRIVS: Final = {
    "des": _Priv(16, _exact),
    "aes128": _Priv(16, _exact),
    "aes192": _Priv(24, _blumenthal),
    "aes256": _Priv(32, _blumenthal),
    "aes192c": _Priv(24, _reeder),
    "aes256c": _Priv(32, _reeder),
}


class Mac:
    """An authentication key at one engine.

    Attributes:
        octets: Length of a digest as messages carry it.
    """

    __slots__ = ("_hmac", "_zeros", "octets")

    def __init__(self, auth: _Auth, key: bytes) -> None:
        self.octets = auth.mac_octets
        self._zeros = bytes(auth.mac_octets)
        self._hmac = hmac.new(key, digestmod=auth.hash_name)

    def of(self, message: bytes, start: int, stop: int) -> bytes:
        """Returns the digest of the first `stop` octets, as if those at `start` that hold the digest were zeros.

        To copy a keyed HMAC costs half of what `hmac.digest` costs to key one.
        """
        digest = self._hmac.copy()
        digest.update(message[:start])
        digest.update(self._zeros)
        digest.update(message[start + self.octets : stop])
        return digest.digest()[: self.octets]

    def proof(self) -> int:
        """Returns 32 bits that tell this key from others, and do not tell the key."""
        digest = self._hmac.copy()
        digest.update(_PROOF)
        return int.from_bytes(digest.digest()[:_PROOF_OCTETS], "big")


class Aes:
    """A key for AES in CFB mode with segments of 128 bits (RFC 3826)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key: BlockCipherAlgorithm = AES(key)

    def decrypt(self, boots: int, time_s: int, salt: bytes, secret: bytes) -> bytes | None:
        """Returns as many octets as `secret` has; None when the salt has not 8 octets (RFC 3826 section 3.1.4)."""
        if len(salt) != SALT_OCTETS:
            return None
        return Cipher(self._key, CFB(_aes_iv(boots, time_s, salt))).decryptor().update(secret)

    def encrypt(self, boots: int, time_s: int, salt: int, plain: bytes) -> tuple[bytes, bytes]:
        """Returns msgPrivacyParameters and as many octets as `plain` has; `salt` is a number that never comes twice."""
        octets = salt.to_bytes(SALT_OCTETS, "big")
        return octets, Cipher(self._key, CFB(_aes_iv(boots, time_s, octets))).encryptor().update(plain)


def _aes_iv(boots: int, time_s: int, salt: bytes) -> bytes:
    """RFC 3826 section 3.1.2.1."""
    return ((boots << 32) | time_s).to_bytes(8, "big") + salt


class Des:
    """A key for DES in CBC mode (RFC 3414 section 8). Weak: 56 bits; here because old devices have nothing else."""

    __slots__ = ("_key", "_pre_iv")

    def __init__(self, key: bytes) -> None:
        # Three times the same key is single DES, which `cryptography` does not have under its own name.
        self._key: BlockCipherAlgorithm = TripleDES(key[:8] * 3)
        self._pre_iv = int.from_bytes(key[8:16], "big")

    def decrypt(self, _boots: int, _time_s: int, salt: bytes, secret: bytes) -> bytes | None:
        """Returns the octets with their padding; None for a salt or length that RFC 3414 section 8.1.1 forbids."""
        if len(salt) != SALT_OCTETS or len(secret) % DES_BLOCK_OCTETS:
            return None
        return Cipher(self._key, CBC(self._iv(salt))).decryptor().update(secret)

    def encrypt(self, boots: int, _time_s: int, salt: int, plain: bytes) -> tuple[bytes, bytes]:
        """Returns msgPrivacyParameters, boots and the lower half of `salt`, and the octets, padded with zeros."""
        octets = ((boots << 32) | (salt & 0xFFFFFFFF)).to_bytes(SALT_OCTETS, "big")
        padded = plain + bytes(-len(plain) % DES_BLOCK_OCTETS)
        return octets, Cipher(self._key, CBC(self._iv(octets))).encryptor().update(padded)

    def _iv(self, salt: bytes) -> bytes:
        return (self._pre_iv ^ int.from_bytes(salt, "big")).to_bytes(DES_BLOCK_OCTETS, "big")


class UserKeys:
    """The keys of a user's passphrases before they are localised; each is made when it is first asked for."""

    def __init__(self, user: V3User) -> None:
        self.user = user

    @cached_property
    def _auth_key(self) -> bytes:
        return self._expanded(self.user.auth_passphrase)

    @cached_property
    def _priv_key(self) -> bytes:
        return self._expanded(self.user.priv_passphrase)

    def _expanded(self, passphrase: str | None) -> bytes:
        assert self.user.auth is not None
        assert passphrase is not None
        return expand(_AUTHS[self.user.auth].hash_name, passphrase.encode())

    def mac(self, engine_id: bytes) -> Mac:
        """Returns the user's authentication key at an engine; the user must have one."""
        assert self.user.auth is not None
        auth = _AUTHS[self.user.auth]
        return Mac(auth, localise(auth.hash_name, self._auth_key, engine_id))

    def cipher(self, engine_id: bytes) -> Aes | Des:
        """Returns the user's privacy key at an engine; the user must have one."""
        assert self.user.auth is not None
        assert self.user.priv is not None
        hash_name = _AUTHS[self.user.auth].hash_name
        priv = _PRIVS[self.user.priv]
        localised = localise(hash_name, self._priv_key, engine_id)
        key = priv.lengthen(hash_name, engine_id, localised, priv.key_octets)[: priv.key_octets]
        return Des(key) if self.user.priv == "des" else Aes(key)


class LocalKeys:
    """A user at one engine.

    Attributes:
        user: The user.
        engine_id: The engine.
        level: `AUTH`, `AUTH | PRIV` or 0: the only protection with which the user is listened to.
        mac: The authentication key; None without.
    """

    __slots__ = ("_cipher", "_of", "engine_id", "level", "mac", "user")

    def __init__(self, keys: UserKeys, engine_id: bytes) -> None:
        user = keys.user
        assert user.auth or not user.priv, "privacy without authentication"
        self.user = user
        self.engine_id = engine_id
        self.level = (AUTH if user.auth else 0) | (PRIV if user.auth and user.priv else 0)
        self.mac = keys.mac(engine_id) if user.auth else None
        self._of = keys
        self._cipher: Aes | Des | None = None

    @property
    def cipher(self) -> Aes | Des:
        """The privacy key, made when it is first needed.

        That is after a message was authentic: a key of the `c` kind costs two milliseconds at each engine, which
        somebody who makes up engine IDs must not be able to ask for.
        """
        if self._cipher is None:
            self._cipher = self._of.cipher(self.engine_id)
        return self._cipher
