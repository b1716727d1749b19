"""Keys: the vectors of the RFCs, and pysnmp as the oracle for what has none."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from pysnmp.entity import config
from pysnmp.proto.rfc1902 import OctetString

from netmon.model import V3User
from netmon.snmp.keys import _AUTHS, _PRIVS, Aes, LocalKeys, UserKeys, expand, localise

ENGINE_ID = bytes.fromhex("000000000000000000000002")
AUTHS = tuple(_AUTHS)
PRIVS = tuple(_PRIVS)
ORACLE_AUTHS = {
    "md5": config.USM_AUTH_HMAC96_MD5,
    "sha1": config.USM_AUTH_HMAC96_SHA,
    "sha224": config.USM_AUTH_HMAC128_SHA224,
    "sha256": config.USM_AUTH_HMAC192_SHA256,
    "sha384": config.USM_AUTH_HMAC256_SHA384,
    "sha512": config.USM_AUTH_HMAC384_SHA512,
}
ORACLE_PRIVS = {
    "des": config.USM_PRIV_CBC56_DES,
    "aes128": config.USM_PRIV_CFB128_AES,
    "aes192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "aes256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "aes192c": config.USM_PRIV_CFB192_AES,
    "aes256c": config.USM_PRIV_CFB256_AES,
}


@pytest.mark.parametrize(
    ("hash_name", "passphrase", "key", "localised"),
    [
        # RFC 3414 sections A.3.1 and A.3.2
        ("md5", b"maplesyrup", "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
        (
            "sha1",
            b"maplesyrup",
            "9fb5cc0381497b3793528939ff788d5d79145211",
            "6695febc9288e36282235fc7151f128497b38f3f",
        ),
    ],
)
def test_passphrase_to_key(hash_name: str, passphrase: bytes, key: str, localised: str) -> None:
    """The samples of RFC 3414 appendix A."""
    expanded = expand(hash_name, passphrase)

    assert expanded.hex() == key
    assert localise(hash_name, expanded, ENGINE_ID).hex() == localised


@pytest.mark.parametrize(
    ("hash_name", "old", "new", "key_change"),
    [
        # RFC 3414 sections A.5.1 and A.5.2: from maplesyrup to newsyrup, with a random part of zeros
        (
            "md5",
            "526f5eed9fcce26f8964c2930787d82b",
            "87021d7bd9d101ba05ea6e3bf9d9bd4a",
            "00" * 16 + "8805615141676cc9196174e742a32551",
        ),
        (
            "sha1",
            "6695febc9288e36282235fc7151f128497b38f3f",
            "78e2dcce79d59403b58c1bbaa5bff46391f1cd25",
            "00" * 20 + "9c1017f4fd483d2de8d5fadbf84392cb06457051",
        ),
    ],
)
def test_key_change_samples(hash_name: str, old: str, new: str, key_change: str) -> None:
    """The new key of RFC 3414 section A.5 is that of `newsyrup`, and follows from the old one by the octets there."""
    localised = localise(hash_name, expand(hash_name, b"newsyrup"), ENGINE_ID)
    octets = bytes.fromhex(key_change)
    half = len(octets) // 2
    temp = hashlib.new(hash_name, bytes.fromhex(old) + octets[:half]).digest()

    assert localised.hex() == new
    assert bytes(a ^ b for a, b in zip(temp, octets[half:], strict=True)).hex() == new


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("priv", PRIVS)
def test_every_key_is_pysnmps(auth: str, priv: str) -> None:
    """Also those that are lengthened, in both ways."""
    user = V3User(name="lift", auth=auth, auth_passphrase="maplesyrup", priv=priv, priv_passphrase="rhubarb compote")
    cipher = LocalKeys(UserKeys(user), ENGINE_ID).cipher
    service = config.PRIV_SERVICES[ORACLE_PRIVS[priv]]
    master = service.hash_passphrase(ORACLE_AUTHS[auth], OctetString(b"rhubarb compote"))
    expected = bytes(service.localize_key(ORACLE_AUTHS[auth], master, OctetString(ENGINE_ID)))

    if isinstance(cipher, Aes):
        assert cipher._key.key == expected
    else:
        assert (cipher._key.key[:8] + cipher._pre_iv.to_bytes(8, "big")) == expected[:16]


@pytest.mark.parametrize(("auth", "octets"), list(zip(AUTHS, (12, 12, 16, 24, 32, 48), strict=True)))
def test_digest_is_a_truncated_hmac(auth: str, octets: int) -> None:
    """RFC 3414 sections 6.3.1 and 7.3.1, RFC 7860 section 4.2.1: over the message with zeros for the digest."""
    mac = UserKeys(V3User(name="lift", auth=auth, auth_passphrase="maplesyrup")).mac(ENGINE_ID)
    key = localise(auth, expand(auth, b"maplesyrup"), ENGINE_ID)
    message = b"before" + b"x" * octets + b"behind" + b"no part of it"
    stop = len(message) - len(b"no part of it")

    expected = hmac.digest(key, b"before" + bytes(octets) + b"behind", auth)[:octets]
    assert mac.of(message, 6, stop) == expected
    assert len(expected) == octets == mac.octets


def test_proof_differs_by_key_and_is_not_the_key() -> None:
    """32 bits of a digest of fixed text."""
    proofs = {
        UserKeys(V3User(name="lift", auth="sha256", auth_passphrase=phrase)).mac(engine_id).proof()
        for phrase in ("maplesyrup", "newsyrup")
        for engine_id in (b"12345", b"12346")
    }

    assert len(proofs) == 4
    assert max(proofs) < 2**32


@pytest.mark.parametrize("priv", PRIVS)
def test_encryption_comes_back(priv: str) -> None:
    """Whatever the length; DES pads to 8 octets."""
    user = V3User(name="lift", auth="sha256", auth_passphrase="maplesyrup", priv=priv, priv_passphrase="maplesyrup")
    cipher = LocalKeys(UserKeys(user), ENGINE_ID).cipher
    for length in (1, 7, 8, 15, 16, 17, 300):
        plain = bytes(range(256))[:length] + b"z" * max(0, length - 256)
        salt, secret = cipher.encrypt(2**31 - 1, 2**31 - 1, 2**64 - 1, plain)
        back = cipher.decrypt(2**31 - 1, 2**31 - 1, salt, secret)
        assert back is not None
        assert back[:length] == plain
        assert len(secret) == (length + -length % 8 if priv == "des" else length)
        assert cipher.decrypt(2**31 - 1, 2**31 - 1, salt[:-1], secret) is None


def test_des_salt_has_the_boots() -> None:
    """RFC 3414 section 8.1.1.1; RFC 3826 section 3.1.1.1 has a 64-bit number instead."""
    user = V3User(name="lift", auth="md5", auth_passphrase="maplesyrup", priv="des", priv_passphrase="maplesyrup")
    aes = V3User(name="lift", auth="md5", auth_passphrase="maplesyrup", priv="aes128", priv_passphrase="maplesyrup")

    assert LocalKeys(UserKeys(user), ENGINE_ID).cipher.encrypt(5, 9, 0x1122334455667788, b"")[0].hex() == (
        "0000000555667788"
    )
    assert LocalKeys(UserKeys(aes), ENGINE_ID).cipher.encrypt(5, 9, 0x1122334455667788, b"")[0].hex() == (
        "1122334455667788"
    )


def test_des_refuses_half_a_block() -> None:
    """RFC 3414 section 8.3.2."""
    user = V3User(name="lift", auth="md5", auth_passphrase="maplesyrup", priv="des", priv_passphrase="maplesyrup")

    assert LocalKeys(UserKeys(user), ENGINE_ID).cipher.decrypt(1, 1, bytes(8), bytes(12)) is None


def test_nobody_has_privacy_without_authentication() -> None:
    """Our own fault, should the configuration ever let it through: the user must not become one without a level."""
    with pytest.raises(AssertionError):
        LocalKeys(UserKeys(V3User(name="lift", priv="aes128", priv_passphrase="maplesyrup")), ENGINE_ID)


def test_no_secret_is_shown() -> None:
    """Neither by the keys' `repr` nor by their text."""
    user = V3User(name="lift", auth="sha1", auth_passphrase="maplesyrup", priv="aes256c", priv_passphrase="newsyrup")
    keys = UserKeys(user)
    shown = "".join(map(repr, (keys, keys.mac(ENGINE_ID), keys.cipher(ENGINE_ID), LocalKeys(keys, ENGINE_ID))))

    assert "syrup" not in shown
