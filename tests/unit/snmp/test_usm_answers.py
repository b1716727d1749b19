"""Responses and Reports: read by pysnmp, which also sends what we answer."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from msgspec import structs
from pyasn1.codec.ber import decoder as ber_decoder
from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import ntfrcv
from pysnmp.proto.api import v2c
from pysnmp.proto.rfc1902 import OctetString

from netmon.model import V3User
from netmon.snmp.encode import encode_discovery
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.snmp.response import response_pdu
from netmon.snmp.usm import Usm
from netmon.snmp.v3 import read_message, read_scoped_pdu
from tests.unit.snmp.test_keys import ORACLE_AUTHS, ORACLE_PRIVS
from tests.unit.snmp.test_usm import PAIRS, user_of
from tests.unit.snmp.usm_samples import (
    LIFT,
    LIMITS,
    NOBODY,
    OTHER,
    OURS,
    SECOND,
    SENDER,
    SIGNER,
    STARTED,
    T0,
    USERS,
    inform,
    local,
    opened,
    question,
    read,
    reason_of,
    trap,
    usm,
)

PEER = ("192.0.2.1", 162)
USM_STATS = "1.3.6.1.6.3.15.1.1"
(
    UNSUPPORTED_SEC_LEVELS,
    NOT_IN_TIME_WINDOWS,
    UNKNOWN_USER_NAMES,
    UNKNOWN_ENGINE_IDS,
    WRONG_DIGESTS,
    DECRYPTION_ERRORS,
) = (f"{USM_STATS}.{arc}.0" for arc in range(1, 7))


class Wire:
    """What pysnmp sends through, and what came of it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_message(self, message: bytes, _domain: object, _address: object) -> None:
        """Keeps it."""
        self.sent.append(bytes(message))

    def get_timer_ticks(self) -> int:
        """No time passes."""
        return 0

    def get_timer_resolution(self) -> float:
        """Of ticks that never come."""
        return 0.5


class Oracle:
    """A pysnmp engine without a socket."""

    def __init__(self, engine_id: bytes) -> None:
        with warnings.catch_warnings():
            # It forgets to close a file of its own.
            warnings.simplefilter("ignore", ResourceWarning)
            self.engine = engine.SnmpEngine(OctetString(engine_id))
        self.wire = self.engine.transport_dispatcher = Wire()
        self.answers: list[tuple[object, Any]] = []
        self.notified: list[dict[str, str]] = []

    def add(self, user: V3User, engine_id: bytes | None = None) -> None:
        """Makes a user known, at this engine or at its own."""
        config.add_v3_user(
            self.engine,
            user.name,
            ORACLE_AUTHS[user.auth] if user.auth else config.USM_AUTH_NONE,
            user.auth_passphrase,
            ORACLE_PRIVS[user.priv] if user.priv else config.USM_PRIV_NONE,
            user.priv_passphrase,
            **({} if engine_id is None else {"securityEngineId": OctetString(engine_id)}),
        )

    def notify(self, user: V3User, pdu: Any) -> bytes:
        """The message in which pysnmp sends a coldStart."""
        v2c.apiTrapPDU.set_defaults(pdu)
        level = 1 + bool(user.auth) + bool(user.priv)
        confirmed = isinstance(pdu, v2c.InformRequestPDU)
        self.engine.message_dispatcher.send_pdu(
            self.engine, udp.DOMAIN_NAME, PEER, 3, 3, OctetString(user.name), level, b"", b"", 1, pdu, confirmed,
            5, self._answered if confirmed else None, None,
        )  # fmt: skip
        return self.wire.sent[-1]

    def _answered(self, *said: Any) -> None:
        self.answers.append((said[9], said[8]))

    def hear(self, datagram: bytes) -> None:
        """Gives pysnmp a message."""
        address = udp.UdpAsyncioTransport.ADDRESS_TYPE(PEER)
        self.engine.message_dispatcher.receive_message(self.engine, udp.DOMAIN_NAME, address, datagram)

    def listen(self) -> None:
        """Receives notifications into `notified`."""
        ntfrcv.NotificationReceiver(self.engine, self._notified)

    def _notified(self, *said: Any) -> None:
        self.notified.append({str(name): value.prettyPrint() for name, value in said[4]})


def respond(model: Usm, datagram: bytes, unix_ns: int = T0) -> bytes:
    """The Response to an INFORM."""
    message = opened(model, datagram, unix_ns)
    return model.respond(message, response_pdu(message.scoped, message.pdu_start, message.pdu_stop))


def reported(model: Usm, datagram: bytes, unix_ns: int = T0) -> tuple[str, int, int]:
    """What a Report says: the counter, its value, the Report's msgFlags; and that its header is ours."""
    report = model.report(datagram, unix_ns, LIMITS)
    assert report is not None
    assert len(report) < 200
    message, asked = read_message(report), read_message(datagram)
    assert (message.engine_id, message.msg_id, message.user) == (OURS, asked.msg_id, asked.user)
    assert (message.boots, message.time_s) == (7, (unix_ns - STARTED) // SECOND)
    scoped = read_scoped_pdu(report, message.data_start, message.data_stop)
    assert (scoped.context_engine_id, scoped.context, scoped.pdu_tag) == (OURS, b"", 0xA8)
    pdu, _ = ber_decoder.decode(report[scoped.pdu_pos : scoped.pdu_stop], asn1Spec=v2c.ReportPDU())
    [(name, value)] = v2c.apiPDU.get_varbinds(pdu)
    return str(name), int(value), message.msg_flags


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """One that is the sender, and hears another sender; it takes a while to make."""
    made = Oracle(SENDER)
    made.listen()
    return made


@pytest.mark.parametrize(("auth", "priv"), PAIRS, ids=[f"{auth}-{priv}" for auth, priv in PAIRS])
def test_pysnmp_understands_us_and_we_it(oracle: Oracle, auth: str, priv: str | None) -> None:
    """It encrypts and we decrypt; we encrypt and it decrypts."""
    user = structs.replace(user_of(auth, priv or "none"), name=f"{auth}-{priv}")
    oracle.add(user)
    oracle.add(user, OTHER)

    notification = read(usm(user), oracle.notify(user, v2c.SNMPv2TrapPDU()))
    oracle.hear(trap(user, engine_id=OTHER))

    assert (notification.trap_oid, notification.engine_id) == ("1.3.6.1.6.3.1.1.5.1", SENDER.hex())
    assert oracle.notified.pop() == {
        "1.3.6.1.2.1.1.3.0": "1000000",
        "1.3.6.1.6.3.1.1.4.1.0": "1.3.6.1.6.3.1.1.5.3",
        "1.3.6.1.2.1.2.2.1.1.7": "7",
        "1.3.6.1.9": "north",
    }
    assert oracle.notified == []


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_pysnmp_discovers_us_and_gets_its_inform_answered(user: V3User) -> None:
    """RFC 3414 section 4: a Report tells our engine ID, boots and time; then the INFORM comes and is answered."""
    oracle, model = Oracle(SENDER), usm()
    oracle.add(user)

    first = oracle.notify(user, v2c.InformRequestPDU())
    assert reason_of(model, first) == "v3_discovery"
    report = model.report(first, T0, LIMITS)
    assert report is not None
    oracle.hear(report)
    second = oracle.notify(user, v2c.InformRequestPDU())
    assert read(model, second).trap_oid == "1.3.6.1.6.3.1.1.5.1"
    oracle.hear(respond(model, second))

    [_, (failure, pdu)] = oracle.answers
    assert failure is None
    assert int(v2c.apiPDU.get_error_status(pdu)) == 0
    assert len(v2c.apiPDU.get_varbinds(pdu)) == 2


def test_pysnmp_learns_our_clock_after_our_restart() -> None:
    """The INFORM that it sends with the boots of before is reported, authenticated; the next one is in time."""
    oracle, model = Oracle(SENDER), usm(engine_starts_unix_ns=(STARTED, T0 + 10 * SECOND))
    oracle.add(LIFT)
    for unix_ns in (T0, T0, T0 + 20 * SECOND):
        datagram = oracle.notify(LIFT, v2c.InformRequestPDU())
        answer = model.report(datagram, unix_ns, LIMITS) or respond(model, datagram, unix_ns)
        oracle.hear(answer)
    assert read_message(answer).msg_flags == 1
    again = oracle.notify(LIFT, v2c.InformRequestPDU())

    assert (read_message(again).boots, read(model, again, T0 + 21 * SECOND).pdu) == (8, "inform")


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_response_whole(user: V3User) -> None:
    """Same user, level, msgID and context, octet for octet; not reportable; our clock of the receipt, or of now."""
    model = usm()
    message = opened(model, inform(user, context=b"\xff1"))
    pdu = response_pdu(message.scoped, message.pdu_start, message.pdu_stop)
    answers = [model.respond(message, pdu), model.respond(message, pdu, T0 + 5 * SECOND)]

    for answer, time_s in zip(answers, (1_000, 1_005), strict=True):
        head = read_message(answer)
        assert (head.engine_id, head.boots, head.time_s) == (OURS, 7, time_s)
        assert (head.msg_id, head.user, head.msg_flags) == (4711, user.name.encode(), local(user).level)
        back = opened(model, answer)
        assert (back.context, back.context_engine_id, back.pdu_tag) == ("\\xff1", OURS.hex(), 0xA2)
        asked = message.scoped[message.pdu_start : message.pdu_stop]
        assert back.scoped[back.pdu_start : back.pdu_stop] == asked


def test_no_salt_twice() -> None:
    """RFC 3826 section 3.1.1.1; and after 2^64 - 1 comes 0."""
    model = usm()
    model._salt = 2**64 - 2

    salts = [read_message(respond(model, inform())).salt.hex() for _ in range(4)]
    assert salts == ["fffffffffffffffe", "ffffffffffffffff", "0000000000000000", "0000000000000001"]


def test_nobody_but_our_engine_answers() -> None:
    """Our own fault, if asked to."""
    model = usm()
    with pytest.raises(AssertionError):
        model.respond(opened(model, trap()), b"\xa2\x00")


def test_discovery() -> None:
    """By an empty engine ID, or that of somebody else; counted, and the count is told."""
    model = usm()

    assert reported(model, encode_discovery(msg_id=9, request_id=2)) == (UNKNOWN_ENGINE_IDS, 1, 0)
    assert reported(model, question(OTHER, b"nobody")) == (UNKNOWN_ENGINE_IDS, 2, 0)
    assert reported(model, inform(LIFT, engine_id=OTHER)) == (UNKNOWN_ENGINE_IDS, 3, 0)
    assert reported(model, inform(NOBODY, engine_id=OTHER)) == (UNKNOWN_ENGINE_IDS, 4, 0)
    assert reported(model, question(OURS)) == (UNKNOWN_USER_NAMES, 1, 0)
    assert model.reported == {
        "unsupportedSecLevels": 0,
        "notInTimeWindows": 0,
        "unknownUserNames": 1,
        "unknownEngineIDs": 4,
        "wrongDigests": 0,
        "decryptionErrors": 0,
    }


def test_reports_of_each_kind() -> None:
    """RFC 3414 section 3.2; only the one about time is authenticated, so that our clock is believed."""
    wrong = structs.replace(LIFT, auth_passphrase="another one")
    elsewhere = usm(structs.replace(LIFT, engine_ids=(OTHER.hex(),)))

    assert reported(usm(NOBODY), inform()) == (UNKNOWN_USER_NAMES, 1, 0)
    assert reported(elsewhere, inform()) == (UNKNOWN_USER_NAMES, 1, 0)
    assert reported(usm(), inform(structs.replace(LIFT, priv=None))) == (UNSUPPORTED_SEC_LEVELS, 1, 0)
    assert reported(usm(), inform(wrong)) == (WRONG_DIGESTS, 1, 0)
    assert reported(usm(), inform(structs.replace(LIFT, priv_passphrase="another one"))) == (DECRYPTION_ERRORS, 1, 0)
    for user in (SIGNER, LIFT):
        assert reported(usm(), inform(user, boots=0, time_s=0)) == (NOT_IN_TIME_WINDOWS, 1, 1)


def test_the_report_about_time_is_authentic() -> None:
    """With the key of the user who asked, at our engine."""
    report = usm().report(inform(LIFT, boots=0, time_s=0), T0, LIMITS)
    assert report is not None
    message = read_message(report)
    mac = LocalKeys(UserKeys(LIFT), OURS).mac
    assert mac is not None

    assert report[message.mac_start : message.mac_stop] == mac.of(report, message.mac_start, len(report))


def test_request_ids_of_reports() -> None:
    """That of the request where it can be read, else 0 (RFC 3412 section 7.1 step 3 b)."""
    for datagram, request_id in ((inform(NOBODY, engine_id=OTHER), 1234), (inform(LIFT, engine_id=OTHER), 0)):
        report = usm().report(datagram, T0, LIMITS)
        assert report is not None
        message = read_message(report)
        scoped = read_scoped_pdu(report, message.data_start, message.data_stop)
        pdu, _ = ber_decoder.decode(report[scoped.pdu_pos : scoped.pdu_stop], asn1Spec=v2c.ReportPDU())
        assert int(v2c.apiPDU.get_request_id(pdu)) == request_id


def test_who_gets_no_report() -> None:
    """TRAPs, whatever their flags; what is accepted; contexts; what is no notification; what is no SNMPv3."""
    model = usm(contexts=("",))
    reportable_trap = trap(NOBODY, boots=0).replace(b"\x04\x01\x00\x02\x01\x03", b"\x04\x01\x04\x02\x01\x03")
    accepted = inform()
    for datagram in (
        trap(structs.replace(LIFT, name="unknown")),
        trap(LIFT)[:-1] + b"\0",
        reportable_trap,
        reportable_trap.replace(b"nobody", b"nobodi"),
        accepted,
        accepted[:-1],
        inform(NOBODY, context=b"unknown"),
        question(OURS, b"nobody"),
        b"",
    ):
        assert model.report(datagram, T0, LIMITS) is None
    assert set(model.reported.values()) == {0}


@pytest.mark.parametrize("late", [False, True])
def test_an_encrypted_trap_gets_no_report_whatever_its_flag(late: bool) -> None:
    """It was decrypted, so it is known to want none; refused for its context, or before that for its time."""
    model = usm(contexts=() if late else ("bridge1",), boots_reset="reject")
    if late:
        model.open(trap(), T0, LIMITS)
    datagram = reportable(trap(time_s=9_000 if late else 10_000))

    assert reason_of(model, datagram) == ("usm_not_in_time_window" if late else "v3_unknown_context")
    assert model.report(datagram, T0, LIMITS) is None


def reportable(datagram: bytes) -> bytes:
    """An encrypted message of LIFT with the reportableFlag, and the digest that fits."""
    message = read_message(datagram)
    changed = datagram.replace(b"\x04\x01\x03\x02\x01\x03", b"\x04\x01\x07\x02\x01\x03", 1)
    mac = LocalKeys(UserKeys(LIFT), SENDER).mac
    assert mac is not None
    digest = mac.of(changed, message.mac_start, message.stop)
    return changed[: message.mac_start] + digest + changed[message.mac_stop :]


def test_without_an_engine_nobody_gets_a_report() -> None:
    """There is nothing to tell; nor before our first start."""
    asked = encode_discovery(msg_id=1, request_id=1)

    assert usm(engine_id="", engine_starts_unix_ns=()).report(asked, T0, LIMITS) is None
    assert usm(engine_starts_unix_ns=()).report(asked, T0, LIMITS) is None
    assert usm().report(asked, STARTED - 1, LIMITS) is None


def test_a_report_is_not_answered() -> None:
    """Two receivers that ask each other must not go on for ever."""
    model = usm()
    report = model.report(encode_discovery(msg_id=1, request_id=1), T0, LIMITS)
    assert report is not None

    assert model.report(report, T0, LIMITS) is None
    assert model.report(respond(model, inform()), T0, LIMITS) is None


def test_a_report_is_hardly_longer_than_the_question() -> None:
    """So that a forged source address is not worth it."""
    asked = encode_discovery(msg_id=1, request_id=1)
    report = usm(engine_id=(b"\x80" + bytes(31)).hex()).report(asked, T0, LIMITS)

    assert report is not None
    assert len(report) < 3 * len(asked)
    assert len(usm().report(asked, T0, LIMITS) or b"") < 2 * len(asked)


def test_a_wrong_digest_at_our_engine_is_always_a_wrong_key() -> None:
    """All senders of INFORMs share it: that one has the right passphrase does not make the others' forgeries."""
    model = usm()
    wrong = inform()[:-1] + b"\0"

    assert reason_of(model, wrong) == "usm_wrong_key"
    read(model, inform())
    assert reason_of(model, wrong) == "usm_wrong_key"
    assert usm(engines=model.engines).engines.get(OURS) is None
    assert local(LIFT, OURS).level == 3
