"""What a canary says and where it is sent: recognised by its own run only, let in from our own addresses only."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.canary.message import TRAP_OID, Kind, encode, number_in, request_id_of_answer
from netmon.canary.settings import admitted, target_of
from netmon.cli.canary import _split, percentiles
from netmon.errors import ConfigError
from netmon.model import AllowRule, LaneSettings, Limits, RedisSettings, TrapEvent, Varbind
from netmon.snmp import decode_notification, encode_response
from netmon.trap_receiver.policy import Policy

RUN = "00112233aabbccdd"
SENT_NS = 1_800_000_000_123_456_789


def body(datagram: bytes, **changes: object) -> bytes:
    """The JSON that decode makes of it, in short."""
    found = decode_notification(datagram, Limits())
    positional = (1, 1, 1, "received", "::1", "::1", 1, "::1", found.version, found.pdu, "other", found.trap_oid)
    event = TrapEvent(*positional, found.uptime_centis, found.varbinds, found.digest)
    return msgspec.json.encode(msgspec.structs.replace(event, **changes))


@pytest.mark.parametrize("kind", ["inform", "trap"])
def test_a_canary_is_found_by_its_run(kind: Kind) -> None:
    """Kind and number come back; another run's is nobody's."""
    datagram = encode(kind, community=b"secret", run=RUN, number=1 << 40, sent_unix_ns=SENT_NS)
    assert number_in(body(datagram), RUN) == (kind, 1 << 40)
    assert number_in(body(datagram), "f" * 16) is None


def test_what_looks_like_a_canary_is_none() -> None:
    """The mark in a text, a number that is text, JSON that is none."""
    datagram = encode("trap", community=b"", run=RUN, number=7, sent_unix_ns=SENT_NS)
    mark = Varbind("1.3.6.1.3.1162.2.2.0", "OctetString", f'"trap_oid":"{TRAP_OID}"')
    assert number_in(body(datagram, trap_oid="1.3.6", varbinds=[mark]), RUN) is None
    run = Varbind("1.3.6.1.3.1162.2.1.0", "OctetString", RUN)
    assert number_in(body(datagram, varbinds=[run, mark]), RUN) is None
    assert number_in(f'"trap_oid":"{TRAP_OID}"'.encode(), RUN) is None


def test_the_answer_has_the_number() -> None:
    """Whatever encoding the receiver chooses for the rest."""
    inform = encode("inform", community=b"c", run=RUN, number=70_000, sent_unix_ns=SENT_NS)
    assert request_id_of_answer(encode_response(inform, Limits())) == 70_000
    assert request_id_of_answer(inform) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_none(datagram: bytes) -> None:
    """A stranger's datagram breaks nothing."""
    assert isinstance(request_id_of_answer(datagram), int | None)


# --- Targets, and who is let in.


@pytest.mark.parametrize(
    ("listen", "ipv6_only", "host"),
    [
        ("[::]:1162", False, "127.0.0.1"),
        ("[::]:1162", True, "::1"),
        ("0.0.0.0:1162", False, "127.0.0.1"),
        ("192.0.2.1:162", False, "192.0.2.1"),
        ("[2001:db8::1]:162", False, "2001:db8::1"),
        ("[fe80::1%eth0]:162", False, "fe80::1%eth0"),
    ],
)
def test_a_canary_goes_to_the_listeners_own_address(listen: str, ipv6_only: bool, host: str) -> None:
    """A wildcard is reached by the loopback."""
    target = target_of(listen, 4_162, [0, 1], ipv6_only=ipv6_only)
    assert (target.listen, target.host, target.port, target.lanes) == (listen, host, 4_162, (0, 1))


def lane(listen: str, *allow: AllowRule) -> LaneSettings:
    """A lane with an allow-list."""
    redis = RedisSettings(url="redis://192.0.2.9")
    return LaneSettings(receiver="trap1", lane=0, listen=listen, directory="/data", redis=redis, allow=allow)


@pytest.mark.parametrize(
    ("listen", "sources"),
    [("[::]:162", ["127.0.0.1", "::1"]), ("192.0.2.1:162", ["192.0.2.1"]), ("[fe80::1%eth0]:162", ["fe80::1"])],
)
def test_an_allow_list_lets_our_own_addresses_in(listen: str, sources: list[str]) -> None:
    """With the secret, and without it as before; from elsewhere the secret is worth nothing."""
    (found,) = admitted([lane(listen, AllowRule(sources=("198.51.100.0/24",)))], "secret")
    policy = Policy(found.allow, ())
    for source in sources:
        assert policy.judge(source, b"secret") == "allow_listed"
        assert policy.judge(source, b"public") == "community_not_allowed"
    assert policy.judge("203.0.113.1", b"secret") == "source_not_allowed"


def test_without_a_list_everybody_is_let_in_as_before() -> None:
    """One rule more would shut all others out."""
    assert admitted([lane("[::]:162")], "secret") == [lane("[::]:162")]


# --- The command.


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("trap.example", ("trap.example", 162)),
        ("192.0.2.1:1162", ("192.0.2.1", 1162)),
        ("2001:db8::1", ("2001:db8::1", 162)),
        ("[2001:db8::1]", ("2001:db8::1", 162)),
        ("[2001:db8::1]:1162", ("2001:db8::1", 1162)),
    ],
)
def test_where_to(to: str, expected: tuple[str, int]) -> None:
    """As one writes it."""
    assert _split(to) == expected


@pytest.mark.parametrize("to", ["", ":162", "host:", "host:snmp", "host:0", "host:65536"])
def test_where_to_is_told_when_wrong(to: str) -> None:
    """With what was expected."""
    with pytest.raises(ConfigError, match="HOST:PORT"):
        _split(to)


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank; nothing of nothing."""
    assert percentiles([float(value) for value in range(200, 0, -1)]) == {
        "p50": 100,
        "p95": 190,
        "p99": 198,
        "max": 200,
    }
    assert percentiles([7.0]) == {"p50": 7, "p95": 7, "p99": 7, "max": 7}
    assert percentiles([]) == {}
