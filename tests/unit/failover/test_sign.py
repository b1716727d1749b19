"""Signatures: what the centre says is believed, and nothing else is."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.errors import ConfigError
from netmon.failover.plan import sign
from netmon.failover.plan.model import Beat, Desired, DesiredGroup, Plan

PRIVATE = sign.private_key("01" * 32)
PUBLIC = sign.public_key(sign.public_digits(PRIVATE))
OTHER = sign.private_key("02" * 32)

BEAT = Beat(fence=3, beat=4, unix_ns=5)
DESIRED = Desired(
    gateway_id="gw-1",
    fence=3,
    version=7,
    unix_ns=9,
    groups=(DesiredGroup(group_id="gw-1/life", on="fibre", fence=3, generation=2),),
)
PLAN = Plan(gateway_id="gw-1", version=1, fence=3, made_unix_ns=2, groups=(), lines=())


def reason_of(message: bytes, gateway_id: str = "", public: sign.Public = PUBLIC) -> str:
    """Why a message is not believed."""
    with pytest.raises(sign.SignatureError) as caught:
        sign.verify(message, public, gateway_id)
    return caught.value.reason


@pytest.mark.parametrize("told", [BEAT, DESIRED, PLAN], ids=["beat", "desired", "plan"])
def test_what_was_signed_is_believed(told: sign.Told) -> None:
    """By whoever has the public key, and is meant; a beat is meant for all."""
    assert sign.verify(sign.sign(told, PRIVATE), PUBLIC, "gw-1") == told


def test_keys_that_were_made_fit_each_other() -> None:
    """Two pairs are two, and each verifies what it has signed alone."""
    (private, public), (_, other) = sign.generate(), sign.generate()
    message = sign.sign(BEAT, sign.private_key(private))

    assert sign.verify(message, sign.public_key(public)) == BEAT
    assert sign.public_digits(sign.private_key(private)) == public
    assert reason_of(message, public=sign.public_key(other)) == "other_key"


def test_signature_is_what_rfc_8032_says() -> None:
    """Section 7.1, test 2: the key there has this public key."""
    private = sign.private_key("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert sign.public_digits(private) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"


def test_other_key_that_lies_about_its_id() -> None:
    """The ID only says why; what counts is the signature."""
    signed = msgspec.json.decode(sign.sign(DESIRED, OTHER))
    signed["key"] = PUBLIC.key_id
    assert reason_of(msgspec.json.encode(signed)) == "bad_signature"


def test_body_is_verified_octet_by_octet() -> None:
    """The same JSON in other octets was not signed."""
    message = sign.sign(BEAT, PRIVATE)
    assert reason_of(message.replace(b'"fence":3', b'"fence": 3')) == "bad_signature"


def test_one_type_does_not_pass_for_another() -> None:
    """Neither under its own name on the topic of another, nor under a name that was not signed."""
    message = sign.sign(PLAN, PRIVATE)
    with pytest.raises(sign.SignatureError, match="other_type"):
        sign.verify_as(Desired, message, PUBLIC, "gw-1")
    assert sign.verify_as(Plan, message, PUBLIC, "gw-1") == PLAN
    assert reason_of(message.replace(b'"type":"plan"', b'"type":"desired"')) == "bad_signature"


def test_what_is_for_another_gateway_is_not_obeyed() -> None:
    """Although the centre has signed it."""
    assert reason_of(sign.sign(DESIRED, PRIVATE), "gw-2") == "other_gateway"


def test_too_long_is_not_even_looked_at() -> None:
    """Nor is it sent."""
    assert reason_of(b" " * (sign.SIGNED_BYTES_MAX + 1)) == "too_long"
    with pytest.raises(sign.SignatureError, match="too_long"):
        sign.sign(msgspec.structs.replace(PLAN, gateway_id="g" * sign.SIGNED_BYTES_MAX), PRIVATE)


def test_message_cut_anywhere_is_refused() -> None:
    """At every octet."""
    message = sign.sign(BEAT, PRIVATE)
    assert {reason_of(message[:end]) for end in range(len(message))} == {"malformed"}


@given(
    st.binary(max_size=300) | st.recursive(st.integers() | st.text(), st.lists, max_leaves=5).map(msgspec.json.encode)
)
def test_any_octets_are_refused(message: bytes) -> None:
    """With a word of the closed set."""
    assert reason_of(message) in sign.REASONS


@given(st.data())
def test_any_changed_octet_is_noticed(data: st.DataObject) -> None:
    """Wherever it is: in the body, in the key's ID or in the signature."""
    message = bytearray(sign.sign(DESIRED, PRIVATE))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] = data.draw(st.integers(0, 255).filter(lambda octet: octet != message[at]))
    with suppress(sign.SignatureError):
        # A digit of the signature in capitals is the same digit.
        assert sign.verify(bytes(message), PUBLIC) == DESIRED


def test_deep_nesting_is_malformed() -> None:
    """And does not exhaust the stack."""
    body = b"[" * 100_000 + b"]" * 100_000
    signature = PRIVATE.key.sign(body).hex().encode()
    message = b'{"body":%b,"key":"%b","signature":"%b"}' % (body, PUBLIC.key_id.encode(), signature)
    assert reason_of(message) == "malformed"


@pytest.mark.parametrize("digits", ["", "zz" * 32, "00" * 31, "00" * 33, "geheim" * 10])
def test_wrong_key_tells_nothing_of_itself(digits: str) -> None:
    """The message has the place and the cure."""
    for read in (sign.private_key, sign.public_key):
        with pytest.raises(ConfigError) as caught:
            read(digits, "failover.signing_key_file")
        assert caught.value.mistakes == [
            "failover.signing_key_file: expected 64 hexadecimal digits; `netmon failover keys` makes a pair"
        ]
