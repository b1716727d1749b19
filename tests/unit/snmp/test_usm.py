"""SNMPv3 messages: opened when they are what they claim, refused by the right reason when not, whatever the bytes."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.errors import DecodeError
from netmon.model import Limits, V3User, Varbind
from netmon.snmp import FLAGS, REASONS, Notification, decode_notification, decode_notification_v3, names
from netmon.snmp.ber import tlv
from netmon.snmp.encode import encode_discovery, encode_v2c
from netmon.snmp.engines import EngineTable
from netmon.snmp.keys import _AUTHS, _PRIVS
from netmon.snmp.seal import scoped_pdu
from netmon.snmp.usm import KEYS_MAX, Usm
from netmon.snmp.v3 import REPORTABLE, is_v3, read_message
from tests.unit.snmp.usm_samples import (
    LIFT,
    LIMITS,
    NOBODY,
    OTHER,
    OURS,
    SECOND,
    SENDER,
    SIGNER,
    T0,
    USERS,
    VARBINDS,
    inform,
    local,
    opened,
    question,
    raw,
    read,
    reason_of,
    sealed,
    trap,
    usm,
)

EMPTY_TRAP = scoped_pdu(SENDER, b"", tlv(0xA7, b"\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x00"))

NET_SNMP = Path(__file__).resolve().parents[2] / "data" / "snmpv3" / "net-snmp-traps.txt"
CAPTURED = [line.split() for line in NET_SNMP.read_text().splitlines() if not line.startswith("#")]
PAIRS = [(auth, priv) for auth in _AUTHS for priv in (None, *_PRIVS)]


def user_of(auth: str, priv: str) -> V3User:
    """The user that sent the captured traps."""
    user = {"name": "lift"}
    if auth != "none":
        user |= {"auth": auth, "auth_passphrase": "maplesyrup"}
    if priv != "none":
        user |= {"priv": priv, "priv_passphrase": "maplesyrup2"}
    return msgspec.convert(user, V3User)


def words_of(model: Usm, datagram: bytes) -> set[str]:
    """The flags of a message, or the reason of its refusal."""
    try:
        return set(read(model, datagram).flags)
    except DecodeError as error:
        return {error.reason}


@pytest.mark.parametrize(("auth", "priv", "datagram"), CAPTURED, ids=[f"{auth}-{priv}" for auth, priv, _ in CAPTURED])
def test_traps_of_net_snmp(auth: str, priv: str, datagram: str) -> None:
    """Each pair of protocols that Net-SNMP has."""
    notification = read(usm(user_of(auth, priv)), bytes.fromhex(datagram))

    assert notification.trap_oid == "1.3.6.1.6.3.1.1.5.3"
    assert notification.uptime_centis == 12345678
    assert notification.varbinds == [Varbind("1.3.6.1.2.1.2.2.1.1.7", "Integer32", 7)]
    assert notification.security_level == (
        "noAuthNoPriv" if auth == "none" else "authNoPriv" if priv == "none" else "authPriv"
    )
    assert notification.flags == ()


@pytest.mark.parametrize(("auth", "priv"), PAIRS, ids=[f"{auth}-{priv}" for auth, priv in PAIRS])
def test_every_pair_comes_back(auth: str, priv: str | None) -> None:
    """What `encode_v3` protects is opened, TRAP and INFORM."""
    user = user_of(auth, priv or "none")

    assert read(usm(user), trap(user)).pdu == "trap"
    assert read(usm(user), inform(user)).pdu == "inform"


def test_trap_whole() -> None:
    """Everything that a v3 notification has."""
    datagram = trap(context=b"bridge1", context_engine_id=OTHER)
    v2c = encode_v2c(
        community=b"",
        pdu="trap",
        request_id=1234,
        uptime_centis=1_000_000,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=VARBINDS,
    )

    assert read(usm(), datagram) == Notification(
        version="v3",
        pdu="trap",
        community=b"",
        request_id=1234,
        uptime_centis=1_000_000,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=[
            Varbind("1.3.6.1.2.1.2.2.1.1.7", "Integer32", 7),
            Varbind("1.3.6.1.9", "OctetString", "north"),
        ],
        trap_address=None,
        digest=decode_notification(v2c).digest,
        flags=(),
        user="lift",
        security_level="authPriv",
        engine_id=SENDER.hex(),
        context="bridge1",
        context_engine_id=OTHER.hex(),
    )


def test_who_it_is_follows_from_the_key_alone() -> None:
    """contextEngineID is what anyone with a key may write; an INFORM's key is one at our engine, and names nobody."""
    model = usm()
    said = [read(model, message) for message in (trap(), inform(), inform(context_engine_id=SENDER))]

    assert [(one.engine_id, one.context_engine_id) for one in said] == [
        (SENDER.hex(), None),
        (None, OURS.hex()),
        (None, SENDER.hex()),
    ]


def test_opened_whole() -> None:
    """Both engines, the header's numbers, and where the PDU lies."""
    message = opened(usm(), inform())

    assert (message.user, message.security_level, message.engine_id) == ("lift", "authPriv", OURS.hex())
    assert (message.context_engine_id, message.context) == (OURS.hex(), "")
    assert (message.boots, message.time_s, message.msg_id, message.reportable) == (7, 1_000, 4711, True)
    assert (message.pdu_tag, message.received_unix_ns, message.flags) == (0xA6, T0, ())
    assert message.scoped[message.pdu_pos] == 0xA6
    assert message.scoped[message.pdu_start : message.pdu_stop].startswith(b"\x02\x02\x04\xd2")


def test_names_are_filled_in() -> None:
    """As for the other versions."""
    known = names.Names([])

    assert decode_notification_v3(opened(usm(), trap()), LIMITS, known).trap_oid == "1.3.6.1.6.3.1.1.5.3"


def test_without_context_engine_the_sender_is_meant() -> None:
    """Some devices leave contextEngineID empty."""
    notification = read(usm(), trap(context_engine_id=b""))

    assert (notification.engine_id, notification.context) == (SENDER.hex(), None)


def test_digest_is_that_of_the_bindings() -> None:
    """Two receivers agree, although each TRAP is encrypted anew; and so they do with the same said in SNMPv2c."""
    first = read(usm(), trap(salt=1, msg_id=1, request_id=1))
    second = read(usm(), trap(SIGNER, salt=2, msg_id=2, request_id=2))

    assert first.digest == second.digest


SAMPLES = {
    "authPriv": trap(),
    "authNoPriv": trap(SIGNER),
    "noAuthNoPriv": trap(NOBODY),
    "inform": inform(),
    "discovery": encode_discovery(msg_id=1, request_id=2),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_at_every_byte_is_truncated(name: str) -> None:
    """A message whose end is missing is never anything but `truncated`; and gets no Report."""
    whole = SAMPLES[name]
    model = usm()

    assert {reason_of(model, whole[:length]) for length in range(len(whole))} == {"truncated"}
    assert {model.report(whole[:length], T0, LIMITS) for length in range(len(whole))} == {None}


@pytest.mark.parametrize("name", ["authPriv", "authNoPriv", "inform"])
def test_no_changed_byte_is_accepted(name: str) -> None:
    """Every octet of an authenticated message to every other value that differs in one bit, and to its complement."""
    whole = bytearray(SAMPLES[name])
    model = usm()
    opened(model, bytes(whole))
    for pos, right in enumerate(whole):
        for change in (*(1 << bit for bit in range(8)), 0xFF):
            whole[pos] = right ^ change
            assert reason_of(model, bytes(whole)) in REASONS
        whole[pos] = right


def test_every_byte_changed_to_every_value_without_authentication() -> None:
    """Anything may come of it, but nothing outside of the closed sets; and a Report is short or none."""
    whole = bytearray(SAMPLES["noAuthNoPriv"])
    model = usm()
    for pos, right in enumerate(whole):
        for wrong in range(256):
            whole[pos] = wrong
            assert words_of(model, bytes(whole)) <= {*FLAGS, *REASONS}
            assert len(model.report(bytes(whole), T0, LIMITS) or b"") < 250
        whole[pos] = right


@given(st.binary(max_size=300), st.sampled_from(sorted(SAMPLES)), st.integers(0, 200))
def test_any_bytes(data: bytes, name: str, kept: int) -> None:
    """Alone, or where a message should go on: a DecodeError of the closed set, nothing else."""
    model = usm()
    for datagram in (data, SAMPLES[name][:kept] + data):
        assert words_of(model, datagram) <= {*FLAGS, *REASONS}
        model.report(datagram, T0, LIMITS)
        is_v3(datagram)


@given(st.binary(max_size=120))
def test_any_bytes_that_a_key_signed(pdu: bytes) -> None:
    """A device with the right key may still send nonsense, encrypted or not."""
    for keys in (local(), local(SIGNER)):
        for scoped in (pdu, scoped_pdu(SENDER, b"", pdu), scoped_pdu(SENDER, b"", tlv(0xA7, pdu))):
            datagram = sealed(keys, scoped, time_s=10_000)
            assert words_of(usm(), datagram) <= {*FLAGS, *REASONS}


def test_trailing_bytes_are_flagged_and_not_authenticated() -> None:
    """They are no part of the message, so that its digest holds."""
    assert read(usm(), trap() + b"behind").flags == ("trailing_bytes",)


def test_too_big() -> None:
    """Before anything is read."""
    with pytest.raises(DecodeError, match="datagram_too_big"):
        usm().open(trap(), T0, Limits(datagram_bytes_max=100))
    assert usm().report(inform(boots=1), T0, Limits(datagram_bytes_max=100)) is None


def test_a_users_engines() -> None:
    """A user who names the engine comes before one who names none; who names others does not exist here."""
    here = msgspec.structs.replace(SIGNER, auth_passphrase="only here", engine_ids=(SENDER.hex(), OURS.hex()))
    anywhere = msgspec.structs.replace(SIGNER, auth_passphrase="anywhere")

    assert read(usm(here, anywhere), trap(here)).user == "signer"
    assert read(usm(anywhere, here), trap(here)).user == "signer"
    assert reason_of(usm(anywhere, here), trap(anywhere)) == "usm_wrong_key"
    assert read(usm(here, anywhere), trap(anywhere, engine_id=OTHER)).user == "signer"
    assert reason_of(usm(here), trap(here, engine_id=OTHER)) == "usm_unknown_engine"
    assert reason_of(usm(NOBODY), trap(here)) == "usm_unknown_user"


def test_security_level_is_exactly_the_users() -> None:
    """Less is a downgrade, and more is not what was agreed: telegraf#16222."""
    as_configured = {
        "nobody": NOBODY,
        "signer": msgspec.structs.replace(LIFT, priv=None, priv_passphrase=None),
        "lift": LIFT,
    }
    for configured in as_configured.values():
        for sent in as_configured.values():
            user = msgspec.structs.replace(sent, name="x")
            model = usm(msgspec.structs.replace(configured, name="x"))
            if sent is configured:
                assert read(model, trap(user)).user == "x"
            else:
                assert reason_of(model, trap(user)) == "usm_security_level"
                assert len(model.engines) == 0


def test_stripped_flags_are_a_downgrade() -> None:
    """An authenticated message whose msgFlags somebody has cleared."""
    datagram = trap(SIGNER)
    at = datagram.index(b"\x04\x01\x01\x02\x01\x03") + 2

    assert reason_of(usm(), datagram[:at] + b"\x00" + datagram[at + 1 :]) == "usm_security_level"


def test_wrong_key_until_it_was_right_once() -> None:
    """Parked while our passphrase may be the wrong one; after that it is the sender's fault."""
    model = usm()
    forged = trap(msgspec.structs.replace(LIFT, auth_passphrase="guessed it"))
    damaged = trap()[:-1] + b"\x00"

    assert [reason_of(model, forged), reason_of(model, damaged)] == ["usm_wrong_key"] * 2
    assert read(model, trap()).user == "lift"
    assert [reason_of(model, forged), reason_of(model, damaged)] == ["usm_wrong_digest"] * 2
    assert reason_of(model, trap(msgspec.structs.replace(LIFT, auth_passphrase="guessed it"), engine_id=OTHER)) == (
        "usm_wrong_key"
    )


def test_what_was_right_once_is_remembered_for_this_key_only() -> None:
    """Over a restart; but a passphrase that was changed in the configuration may be mistyped."""
    model = usm()
    read(model, trap())
    kept = EngineTable.from_bytes(model.engines.to_bytes())
    changed = msgspec.structs.replace(LIFT, auth_passphrase="maplesirup")

    assert reason_of(usm(engines=kept), trap()[:-1] + b"\x00") == "usm_wrong_digest"
    assert reason_of(usm(changed, engines=kept), trap()) == "usm_wrong_key"


def test_digest_of_another_length() -> None:
    """A sender with another protocol, or none at all: never right, and never an accident."""
    message = read_message(trap(SIGNER))
    datagram = trap(SIGNER)
    for octets in (0, 1, 11, 13, 24):
        start = datagram[: message.mac_start - 2]
        cut = bytearray(start + tlv(0x04, bytes(octets)) + datagram[message.mac_stop :])
        grown = octets - 12
        cut[2] += grown  # the message, whose length needs one octet more
        at = bytes(cut).index(b"\x02\x01\x03\x04") + 4
        cut[at] += grown
        cut[at + 2] += grown
        assert reason_of(usm(), bytes(cut)) == "usm_wrong_key"


def test_decryption_that_gives_nonsense() -> None:
    """The digest was right: the privacy passphrase differs."""
    wrong = msgspec.structs.replace(LIFT, priv_passphrase="another one")
    model = usm(wrong)

    assert {reason_of(model, trap(salt=salt)) for salt in range(300)} == {"usm_decryption_error"}


@pytest.mark.parametrize("priv", ["des", "aes128"])
def test_salt_of_another_length(priv: str) -> None:
    """RFC 3414 section 8.3.2, RFC 3826 section 3.1.4."""
    user = msgspec.convert({**msgspec.to_builtins(LIFT), "priv": priv}, V3User)
    keys = local(user)
    salt, secret = keys.cipher.encrypt(5, 10_000, 1, scoped_pdu(SENDER, b"", b"\xa7\x00"))
    assert len(salt) == 8
    for octets in (0, 7, 9):
        after = tlv(0x04, bytes(octets)) + tlv(0x04, secret)
        start = b"\x04\x09" + SENDER + b"\x02\x01\x05\x02\x02\x27\x10\x04\x04lift"
        datagram = raw(
            header=b"\x02\x01\x01\x02\x02\x05\xdc\x04\x01\x03\x02\x01\x03",
            parameters=start + tlv(0x04, bytes(24)) + tlv(0x04, bytes(octets)),
            data=tlv(0x04, secret),
        )
        assert keys.mac is not None
        digest = keys.mac.of(datagram, len(datagram) - len(after) - 24, len(datagram))
        signed = datagram[: len(datagram) - len(after) - 24] + digest + after
        assert reason_of(usm(user), signed) == "usm_decryption_error"


def test_aes_with_padding() -> None:
    """Some senders pad although CFB needs none."""
    for padding, fits in ((0, True), (15, True), (16, False)):
        datagram = sealed(local(), EMPTY_TRAP + bytes(padding))
        if fits:
            assert read(usm(), datagram).flags == ("uptime_missing", "trap_oid_missing")
        else:
            assert reason_of(usm(), datagram) == "usm_decryption_error"


def test_contexts() -> None:
    """Only those that are configured, when any are; asked only of who is authentic."""
    some = usm(contexts=("", "bridge1"))

    assert read(some, trap(context=b"bridge1")).context == "bridge1"
    assert read(some, trap()).context is None
    assert reason_of(some, trap(context=b"bridge2")) == "v3_unknown_context"
    assert reason_of(some, trap(context=b"bridge2")[:-1] + b"\0") == "usm_wrong_digest"
    assert reason_of(usm(contexts=("bridge1",)), trap()) == "v3_unknown_context"
    assert read(usm(), trap(context=b"\xff")).context == "\\xff"


def test_discovery_is_no_notification() -> None:
    """Questions for our engine ID, and requests of nobody to it."""
    model = usm()

    assert reason_of(model, encode_discovery(msg_id=1, request_id=2)) == "v3_discovery"
    assert reason_of(model, question(OURS)) == "v3_discovery"
    assert reason_of(model, question(OTHER, b"nobody")) == "v3_discovery"
    assert reason_of(model, question(OURS, b"stranger")) == "usm_unknown_user"
    assert reason_of(model, question(OURS, b"nobody")) == "pdu_not_notification"


def test_informs_to_another_engine() -> None:
    """They wait, in case that engine becomes ours; encrypted or not, whether their sender wants to know or not."""
    for user in USERS:
        assert reason_of(usm(), inform(user, engine_id=OTHER)) == "usm_unknown_engine"
        assert read(usm(engine_id=OTHER.hex()), inform(user, engine_id=OTHER)).pdu == "inform"
    assert reason_of(usm(), raw(data=scoped_pdu(OTHER, b"", b"\xa6\x00"))) == "usm_unknown_engine"


def test_a_trap_whose_sender_wants_to_know_is_a_trap() -> None:
    """Its PDU tells (RFC 3412 section 6.4), reportableFlag or not."""
    for user in (NOBODY, SIGNER, LIFT):
        assert read(usm(), sealed(local(user), EMPTY_TRAP, flags=REPORTABLE)).pdu == "trap"


def test_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that was not heard of for longest goes; made-up ones never come in."""
    assert KEYS_MAX > 0
    monkeypatch.setattr("netmon.snmp.usm.KEYS_MAX", 3)
    model = usm()
    signer = [local(SIGNER, bytes([0x80, 0, 0, 0, n])) for n in range(4)]
    for keys in (*signer[:3], signer[0], signer[3]):
        read(model, trap(keys))
    kept = [engine_id[-1] for _, engine_id in model._keys]
    for n in range(10):
        reason_of(model, trap(SIGNER, engine_id=bytes([0x80, 0, 0, 1, n]))[:-1] + b"\xff")

    assert kept == [2, 0, 3]
    assert [engine_id[-1] for _, engine_id in model._keys] == kept


def test_passphrases_are_hashed_when_they_are_first_needed() -> None:
    """Ten thousand users start as fast as one; and a wrong digest never costs a long key."""
    many = [msgspec.structs.replace(SIGNER, name=f"user{n}") for n in range(10_000)]
    model = usm(*many, msgspec.structs.replace(LIFT, priv="aes256c", auth="sha1"))

    assert reason_of(model, trap(SIGNER)) == "usm_unknown_user"
    assert not any("_auth_key" in vars(keys[None]) for keys in model._users.values())
    assert reason_of(model, trap(LIFT)[:-1] + b"\0") == "usm_wrong_key"
    assert "_priv_key" not in vars(model._users[b"lift"][None])


def test_no_error_shows_a_secret() -> None:
    """Only the reason and the place."""
    with pytest.raises(DecodeError) as caught:
        usm(msgspec.structs.replace(LIFT, auth_passphrase="guessed it")).open(trap(), T0 + SECOND, LIMITS)

    assert str(caught.value).startswith("usm_wrong_key at byte ")


def test_the_digest_of_the_samples_is_blake2b() -> None:
    """Of the list of bindings, octet for octet, as for SNMPv2c."""
    message = opened(usm(), trap(SIGNER))
    pdu = message.scoped[message.pdu_start : message.pdu_stop]
    bindings = pdu[pdu.index(b"\x30") :]

    assert decode_notification_v3(message, LIMITS).digest == blake2b(bindings, digest_size=8).hexdigest()
