"""What wants an answer, at a glance; and how many Reports go to whom."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmon.model import V3Settings, V3User
from netmon.snmp.encode import encode_discovery, encode_v2c, encode_v3
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.trap_receiver import inform as module
from netmon.trap_receiver.inform import (
    PEER_REPORTS_RATE_MAX,
    REPORTS_RATE_MAX,
    ReportRate,
    Responder,
    is_question,
    may_want_answer,
)
from netmon.trap_receiver.journal.segment import Record
from tests.unit.trap_receiver.samples import lane_settings

USERS = {
    "noAuthNoPriv": V3User(name="lift"),
    "authNoPriv": V3User(name="lift", auth="sha256", auth_passphrase="a passphrase"),
    "authPriv": V3User(
        name="lift", auth="md5", auth_passphrase="a passphrase", priv="des", priv_passphrase="another one"
    ),
}
VARBINDS = [(f"1.3.6.1.2.1.2.2.1.{column}.7", "Integer32", column) for column in range(1, 9)]


def message_v3(level: str, pdu: str) -> bytes:
    """A linkDown of a user with that level."""
    assert pdu in {"trap", "inform"}
    return encode_v3(
        keys=LocalKeys(UserKeys(USERS[level]), bytes.fromhex("80001f8804aabb")),
        boots=3,
        time_s=4,
        salt=5,
        msg_id=6,
        pdu="inform" if pdu == "inform" else "trap",
        request_id=7,
        uptime_centis=8,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=VARBINDS,
    )


@pytest.mark.parametrize("level", USERS)
def test_an_inform_is_seen_and_a_trap_is_passed_over(level: str) -> None:
    """Encrypted or not: what stands in clear is enough to tell."""
    assert [may_want_answer(message_v3(level, pdu)) for pdu in ("trap", "inform")] == [False, True]


def test_questions_and_v2c_informs_are_seen() -> None:
    """A discovery asks who we are; an InformRequest has its own tag."""
    made = {"community": b"public", "request_id": 1, "uptime_centis": 2, "trap_oid": "1.3.6.1.6.3.1.1.5.3"}
    trap = encode_v2c(pdu="trap", varbinds=VARBINDS, **made)  # type: ignore[arg-type]
    inform = encode_v2c(pdu="inform", varbinds=VARBINDS, **made)  # type: ignore[arg-type]

    assert may_want_answer(encode_discovery(msg_id=1, request_id=1))
    assert (may_want_answer(trap), may_want_answer(inform)) == (False, True)


def admitted(rate: ReportRate, peers: list[str], mono_s: float) -> int:
    """How many Reports to these addresses may be sent at a moment."""
    return sum(rate.admit(peer, mono_s) for peer in peers)


def test_one_address_gets_no_more_than_its_rate() -> None:
    """At once, and in the seconds that follow."""
    rate = ReportRate()

    counts = [admitted(rate, ["192.0.2.1"] * 500, mono_s) for mono_s in (100.0, 101.0, 101.5)]

    assert counts == [PEER_REPORTS_RATE_MAX, PEER_REPORTS_RATE_MAX, PEER_REPORTS_RATE_MAX / 2]


def test_all_together_get_no_more_than_the_rate() -> None:
    """Whoever forges one source forges thousands."""
    rate = ReportRate()
    peers = [f"10.0.{n // 250}.{n % 250}" for n in range(5_000)]

    assert [admitted(rate, peers, mono_s) for mono_s in (100.0, 101.0)] == [REPORTS_RATE_MAX, REPORTS_RATE_MAX]


def test_a_flood_of_one_address_does_not_silence_the_others() -> None:
    """What one address is refused is not taken from all."""
    rate = ReportRate()
    admitted(rate, ["192.0.2.1"] * 100_000, 100.0)

    assert admitted(rate, ["192.0.2.2"], 100.0) == 1


def test_addresses_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asked first is forgotten."""
    monkeypatch.setattr(module, "PEERS_MAX", 8)
    rate = ReportRate()
    admitted(rate, [f"10.0.0.{n}" for n in range(100)], 100.0)

    assert len(rate._peers) == 8


NOW_NS = 1_800_000_000 * 10**9
DISCOVERY = encode_discovery(msg_id=1, request_id=1)


@pytest.fixture
def responder() -> Iterator[Responder]:
    """One whose engine started a second before NOW_NS, and knows no user."""
    settings = lane_settings(
        Path("/nowhere"), snmpv3=V3Settings(engine_id="80001f8804aabb", engine_starts_unix_ns=(NOW_NS - 10**9,))
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield Responder(settings, sock)


def asked(number: int) -> Record:
    """A discovery of one of many addresses of this machine."""
    return Record(NOW_NS, f"127.0.{number // 250}.{number % 250 + 1}", 50_000, "127.0.0.1", DISCOVERY)


def counted(responder: Responder) -> dict[str, int]:
    """What it did."""
    counts: Counter[str] = Counter()
    responder.count_into(counts)
    return dict(counts)


@pytest.mark.parametrize("level", USERS)
def test_a_discovery_is_told_from_an_inform(level: str) -> None:
    """By its header, so that it may wait until INFORMs are answered."""
    assert is_question(DISCOVERY)
    assert [is_question(message_v3(level, pdu)) for pdu in ("trap", "inform")] == [False, False]


def test_questions_beyond_the_rate_cost_no_report(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of forged discoveries: none is opened that will get no Report."""
    made: list[bytes] = []
    report = responder._usm.report
    monkeypatch.setattr(responder._usm, "report", lambda data, *rest: made.append(data) or report(data, *rest))
    monkeypatch.setattr(module, "REPORTS_S_MAX", 60.0)
    for _ in range(3_000):
        responder.defer(asked(0))
    responder.report_due()

    counts = counted(responder)
    assert len(made) < 2 * PEER_REPORTS_RATE_MAX
    assert counts["reports_sent"] == len(made)
    assert counts["reports_withheld"] == 3_000 - len(made)


def test_reports_have_only_so_much_time(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left then gets none, and is counted; the next cycle begins anew."""
    monkeypatch.setattr(module, "REPORTS_S_MAX", 0.0)
    for number in range(10):
        responder.defer(asked(number))
    responder.report_due()
    responder.report_due()

    assert counted(responder) == {"reports_withheld": 10}
