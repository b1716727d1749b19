"""SNMPv3 against Net-SNMP's own senders: who is believed, and where everything else goes."""

from __future__ import annotations

import signal
import socket
import stat
from collections.abc import Iterator

import msgspec
import pytest

from netmon.snmp.encode import encode_discovery
from netmon.trap_receiver.ledger import CONTROL_REASONS, PARKED
from tests.integration.harness import Netmon
from tests.integration.snmpv3 import (
    AUTHS,
    ENGINE,
    KNOWN,
    LINK_DOWN,
    PRIVS,
    Device,
    Sender,
    counted,
    new_engine,
    newest,
    user,
    user_name,
    with_passphrases,
)

ALL_USERS = [user(None, None), *(user(auth, priv) for auth in AUTHS for priv in PRIVS)]


@pytest.fixture(scope="module")
def netmon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netmon]:
    """A netmon that knows a user for every pair of protocols."""
    folder = with_passphrases(tmp_path_factory.mktemp("snmpv3"))
    with Netmon(folder, {"snmpv3": {"users": ALL_USERS}}) as netmon:
        yield netmon


def trust_of(auth: str | None, priv: str | None) -> str:
    """The tier of what is sent so to a netmon without an allow-list."""
    return "v3_auth_priv" if priv else "v3_auth" if auth else "other"


# --- What is right. ---


@pytest.mark.parametrize("priv", PRIVS, ids=str)
@pytest.mark.parametrize("auth", AUTHS)
def test_a_trap_is_read_with_every_pair_of_protocols(
    netmon: Netmon, sender: Sender, auth: str, priv: str | None
) -> None:
    """The sender's engine is authoritative; nothing was configured for it but the user."""
    before = netmon.wait_settled()

    done = sender.send(netmon, auth, priv)

    assert done.returncode == 0, done.stderr
    after = netmon.wait_settled(before.captured + 1)
    assert after.buffered == before.buffered + 1, netmon.log_tail()
    event = newest(netmon)
    assert (event.version, event.pdu, event.user) == ("v3", "trap", user_name(auth, priv))
    assert (event.trust, event.engine_id, event.context) == (trust_of(auth, priv), ENGINE, None)
    assert (event.trap_oid, event.varbinds[0].value, event.flags) == (LINK_DOWN, 7, ())


@pytest.mark.parametrize("priv", PRIVS, ids=str)
@pytest.mark.parametrize("auth", AUTHS)
def test_an_inform_is_answered_with_every_pair_of_protocols(
    netmon: Netmon, sender: Sender, auth: str, priv: str | None
) -> None:
    """Discovery, then the INFORM to our engine; exit code 0 is an answer that was authentic."""
    before = netmon.wait_settled()

    done = sender.send(netmon, auth, priv, inform=True)

    assert done.returncode == 0, done.stderr
    netmon.wait_until(lambda: netmon.ledger().buffered == before.buffered + 1)
    event = newest(netmon)
    assert (event.version, event.pdu, event.user) == ("v3", "inform", user_name(auth, priv))
    assert (event.trust, event.varbinds[0].value) == (trust_of(auth, priv), 7)
    netmon.wait_until(lambda: netmon.ledger().informs_answered == before.informs_answered + 1)
    assert netmon.wait_settled().control["v3_discovery"] > before.control["v3_discovery"]


@pytest.mark.parametrize("inform", [False, True])
def test_a_user_without_authentication_is_heard_and_not_trusted(netmon: Netmon, sender: Sender, inform: bool) -> None:
    """noAuthNoPriv is no more than a community that everybody knows."""
    before = netmon.wait_settled()

    done = sender.send(netmon, None, None, inform=inform)

    assert done.returncode == 0, done.stderr
    netmon.wait_until(lambda: netmon.ledger().buffered == before.buffered + 1)
    assert (newest(netmon).trust, newest(netmon).user) == ("other", "open-none")


# --- What is wrong. ---


@pytest.mark.parametrize(("auth", "priv"), [("sha256", None), (None, None)])
def test_less_protection_than_configured_is_refused(
    netmon: Netmon, sender: Sender, auth: str | None, priv: str | None
) -> None:
    """Whoever does not know the passphrase must not be able to speak in the user's name by leaving it out."""
    before = netmon.wait_settled()

    assert sender.send(netmon, auth, priv, name="sha256-aes128").returncode == 0

    after = netmon.wait_settled(before.captured + 1)
    assert after.rejected["usm_security_level"] == before.rejected["usm_security_level"] + 1
    assert netmon.rejects()[-1][1].reason == "usm_security_level"


def test_more_protection_than_configured_is_refused(netmon: Netmon, sender: Sender) -> None:
    """A user has exactly one level."""
    before = netmon.wait_settled()

    sender.send(netmon, "sha256", "aes128", name="sha256-none")

    assert (
        netmon.wait_settled(before.captured + 1).rejected["usm_security_level"] > before.rejected["usm_security_level"]
    )


def test_an_inform_with_a_wrong_passphrase_waits_and_is_told_so(netmon: Netmon, sender: Sender) -> None:
    """The sender gets the Report wrongDigests; it is our configuration, or the device's, that is wrong."""
    before = netmon.wait_settled()

    done = sender.send(netmon, "sha512", "aes256", inform=True, auth_phrase="somebody else's")

    assert (done.returncode, "Authentication failure" in done.stderr) == (1, True), done.stderr
    after = netmon.wait_settled(before.captured + 1)
    # The key was right at our engine before, in the tests above, or never.
    assert after.buffered == before.buffered
    reasons = ("usm_wrong_key", "usm_wrong_digest")
    assert sum((after.parked | after.rejected)[x] - (before.parked | before.rejected)[x] for x in reasons) == 1


def test_a_trap_with_a_wrong_passphrase_waits(netmon: Netmon) -> None:
    """At an engine where the key never was right, the passphrase may be configured wrongly here."""
    wrong = Device(msgspec.structs.replace(KNOWN, auth_passphrase="not the passphrase"), new_engine())

    assert counted(netmon, [wrong.message()]) == {"usm_wrong_key": 1}


def test_a_wrong_privacy_passphrase_is_told_apart(netmon: Netmon) -> None:
    """The digest is right, so it is the other passphrase."""
    wrong = Device(msgspec.structs.replace(KNOWN, priv_passphrase="not the passphrase"), new_engine())

    assert counted(netmon, [wrong.message()]) == {"usm_decryption_error": 1}


def test_damage_and_forgery_are_rejected(netmon: Netmon) -> None:
    """One bit of any octet behind the header: the key was right before, so it is not the configuration."""
    device = Device(KNOWN, new_engine())
    assert counted(netmon, [device.message()]) == {"buffered": 1}
    good = device.message()

    forged = [good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :] for at in range(len(good) - 20, len(good))]

    assert counted(netmon, forged) == {"usm_wrong_digest": len(forged)}
    assert counted(netmon, [good]) == {"buffered": 1}


def test_a_message_that_is_replayed_late_is_rejected(netmon: Netmon) -> None:
    """RFC 3414 section 2.2.3: beyond 150 s, and from an earlier life of the engine whatever its time."""
    device = Device(KNOWN, new_engine())
    old = device.message(ago_s=200)
    older = device.message(boots=4)
    assert counted(netmon, [device.message(), device.message(ago_s=100)]) == {"buffered": 2}

    assert counted(netmon, [old, older]) == {"usm_not_in_time_window": 2}
    assert [event.reason for _, event in netmon.rejects()[-2:]] == ["usm_not_in_time_window"] * 2


def test_an_engine_that_has_lost_its_boots_is_heard_and_not_trusted(netmon: Netmon) -> None:
    """A device was replaced in the middle of it all: flagged, and for nobody to act on alone."""
    engine = new_engine()
    assert counted(netmon, [Device(KNOWN, engine, boots=5).message()]) == {"buffered": 1}

    assert counted(netmon, [Device(KNOWN, engine, boots=1, time_s=0).message()]) == {"buffered": 1}

    assert (newest(netmon).trust, newest(netmon).flags) == ("other", ("engine_boots_reset",))


def test_what_decode_knows_of_engines_survives_it(netmon: Netmon) -> None:
    """kill -9: what was too old before is too old afterwards."""
    device = Device(KNOWN, new_engine())
    old = device.message(ago_s=200)
    assert counted(netmon, [device.message()]) == {"buffered": 1}
    file = netmon.directory() / "engines.bin"
    netmon.wait_until(lambda: file.exists() and device.keys.engine_id in file.read_bytes(), what="kept")

    netmon.wait_restarted("decode", netmon.signal(signal.SIGKILL, "decode"))

    assert counted(netmon, [old]) == {"usm_not_in_time_window": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_waits_or_was_answered_is_not_logged_as_refused(netmon: Netmon) -> None:
    """A warning that nobody needs to act upon hides the others."""
    wrong = Device(msgspec.structs.replace(KNOWN, auth_passphrase="not this one"), new_engine())
    assert counted(netmon, [wrong.message()]) == {"usm_wrong_key": 1}
    counted(netmon, [encode_discovery(msg_id=1, request_id=1)])

    netmon.wait_until(lambda: netmon.events("decode.datagram_parked"))
    parked = {event["reason"] for event in netmon.events("decode.datagram_parked")}
    refused = {event["reason"] for event in netmon.events("decode.datagram_refused")}
    assert parked <= set(PARKED)
    assert refused.isdisjoint((*PARKED, *CONTROL_REASONS))


def test_every_reason_is_a_metric(netmon: Netmon) -> None:
    """With the counts of the ledger."""
    found = netmon.wait_settled()
    metrics = netmon.metrics()

    lane = f'lane="0",listener="127.0.0.1:{netmon.port}",'
    labels = f'{lane}reason="{{}}",receiver="test"'
    for name, counts in (("rejected", found.rejected), ("parked", found.parked), ("control", found.control)):
        shown = {reason: metrics[f"netmon_trap_{name}_total{{{labels.format(reason)}}}"] for reason in counts}
        assert shown == counts
    assert metrics[f'netmon_inform_reports_total{{{lane}receiver="test"}}'] == found.reports_sent


def test_reports_are_limited(netmon: Netmon) -> None:
    """Sources can be forged: whoever asks for much gets no more than the limit, and it is counted."""
    before = netmon.wait_settled()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", netmon.port))
        for number in range(1_000):
            sock.send(encode_discovery(msg_id=number, request_id=number))

        after = netmon.wait_settled(before.captured + 1_000)

    netmon.wait_until(
        lambda: (
            netmon.ledger().reports_sent + netmon.ledger().reports_withheld
            == before.reports_sent + before.reports_withheld + 1_000
        )
    )
    assert after.control["v3_discovery"] == before.control["v3_discovery"] + 1_000
    assert netmon.ledger().reports_withheld - before.reports_withheld > 700
