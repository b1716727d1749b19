"""Whom a notification counts for in a storm."""

from __future__ import annotations

from msgspec import structs

from netmon.snmp import Notification, decode_notification
from netmon.snmp.encode import encode_v2c
from netmon.trap_receiver.head import _identity

SAID: Notification = decode_notification(
    encode_v2c(
        community=b"public",
        pdu="trap",
        request_id=1,
        uptime_centis=1,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=[],
    )
)
PROVED = structs.replace(SAID, version="v3", user="ops", engine_id="80001f8804aa")


def test_what_is_proved_counts_for_its_engine_and_user_wherever_it_comes_from() -> None:
    """A device behind another address is the same device; another user or engine is not."""
    here = _identity(PROVED, "v3_auth_priv", "192.0.2.1")

    assert _identity(PROVED, "v3_auth_priv", "192.0.2.2") == here
    assert _identity(structs.replace(PROVED, user="other"), "v3_auth_priv", "192.0.2.1") != here
    assert _identity(structs.replace(PROVED, engine_id="80001f8804bb"), "v3_auth_priv", "192.0.2.1") != here
    assert _identity(PROVED, "v3_auth", "192.0.2.1") != here


def test_what_anybody_can_forge_counts_for_its_address() -> None:
    """Whatever engine and user it claims: it must not spend the share of who proved to be that one."""
    for trust in ("other", "allow_listed"):
        forged = _identity(PROVED, trust, "192.0.2.1")
        assert forged == _identity(SAID, trust, "192.0.2.1")
        assert forged != _identity(PROVED, trust, "192.0.2.2")
        assert forged != _identity(PROVED, "v3_auth_priv", "192.0.2.1")


def test_an_inform_of_which_only_the_user_is_proved_counts_for_its_address() -> None:
    """It is protected with our engine's key, so two devices with one user are told apart by where they send from."""
    inform = structs.replace(PROVED, engine_id=None, pdu="inform")

    assert _identity(inform, "v3_auth", "192.0.2.1") != _identity(inform, "v3_auth", "192.0.2.2")
    assert _identity(inform, "v3_auth", "192.0.2.1") != _identity(SAID, "other", "192.0.2.1")
