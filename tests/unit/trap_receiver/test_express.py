"""What goes first, what waits and what keeps its turn: examples, and laws over any storm."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.errors import DecodeError
from netmon.model import SheddingSettings
from netmon.snmp import decode_notification
from netmon.snmp.encode import encode_v1, encode_v2c
from netmon.trap_receiver import express
from netmon.trap_receiver.bucket import Bucket
from netmon.trap_receiver.express import SHED, Sorter, glance
from netmon.trap_receiver.journal.marks import EXPRESS, TURN

SECOND = 1_000_000_000
NOON = 1_767_268_800 * SECOND
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1"


def sorter(**settings: object) -> Sorter:
    """A storm that begins at noon."""
    return Sorter(SheddingSettings(**settings), NOON)  # type: ignore[arg-type]


def sort(
    storm: Sorter, source: str, trap_oid: str = LINK_DOWN, resource: str = f"{IF_INDEX}.1", at_s: float = 0
) -> int:
    """What becomes of one notification."""
    return storm.sort(("other", source), trap_oid, resource, NOON + int(at_s * SECOND))


# --- Examples.


def test_the_first_of_each_source_trap_and_resource_goes_first() -> None:
    """A second port, another trap, another device: each is news; the same again is not."""
    storm = sorter()
    resources = [f"{IF_INDEX}.1", f"{IF_INDEX}.2", f"{IF_INDEX}.1"]

    assert [sort(storm, "192.0.2.1", resource=resource) for resource in resources] == [EXPRESS, EXPRESS, TURN]
    assert [sort(storm, "192.0.2.1", trap_oid=oid) for oid in ("1.3.6.1.6.3.1.1.5.4", LINK_DOWN)] == [EXPRESS, TURN]
    assert [sort(storm, source) for source in ("192.0.2.2", "192.0.2.2")] == [EXPRESS, TURN]


def test_what_anybody_can_forge_spends_nothing_of_what_is_proved() -> None:
    """A storm with a device's address, and each of its messages forged before: its authenticated traps go first as ever."""
    storm = sorter()
    forged = [storm.sort(("other", "192.0.2.7"), LINK_DOWN, f"{IF_INDEX}.{n}", NOON) for n in range(3_000)]
    proved = ("v3_auth_priv", "8000000001", "ops")

    assert forged[-1] == SHED
    assert [storm.sort(proved, LINK_DOWN, f"{IF_INDEX}.0", NOON) for _ in range(2)] == [EXPRESS, TURN]


def test_a_source_beyond_its_rate_waits_and_others_keep_their_turn() -> None:
    """10 at once and 2 a second; the first went ahead and took no token."""
    storm = sorter(source_rate_max=2.0, source_burst_max=10)
    babbler = [sort(storm, "192.0.2.1", at_s=0) for _ in range(21)]
    quiet = [sort(storm, "192.0.2.2", at_s=0) for _ in range(11)]
    later = [sort(storm, "192.0.2.1", at_s=1.5) for _ in range(4)]

    assert babbler == [EXPRESS, *[TURN] * 10, *[SHED] * 10]
    assert quiet == [EXPRESS, *[TURN] * 10]
    assert later == [TURN, TURN, TURN, SHED]


def test_what_is_critical_always_goes_first() -> None:
    """By its OID, or by a tree that it is in; a tree is not what only begins with the same digits."""
    storm = sorter(critical=(LINK_DOWN, "1.3.6.1.4.1.9."), source_burst_max=1, source_rate_max=0.1)
    again = [sort(storm, "192.0.2.1") for _ in range(3)]
    below = [sort(storm, "192.0.2.1", trap_oid="1.3.6.1.4.1.9.5") for _ in range(2)]
    beside = [sort(storm, "192.0.2.1", trap_oid="1.3.6.1.4.1.99.5") for _ in range(3)]

    assert (again, below, beside) == ([EXPRESS] * 3, [EXPRESS] * 2, [EXPRESS, TURN, SHED])


def test_beyond_the_rate_of_what_goes_first_it_keeps_its_turn_and_is_still_news() -> None:
    """Two a second may go first; what was refused is tried again when it comes again."""
    storm = sorter(express_rate_max=2.0)
    at_once = [sort(storm, f"192.0.2.{n}") for n in range(4)]
    refused = storm.refused
    later = sort(storm, "192.0.2.3", at_s=0.5)

    assert (at_once, refused, later) == ([EXPRESS, EXPRESS, TURN, TURN], 2, EXPRESS)


def test_with_a_full_express_stream_nothing_goes_first_and_critical_is_not_shed() -> None:
    """What is critical keeps its turn at least."""
    storm = sorter(critical=(LINK_DOWN,), source_burst_max=1, source_rate_max=0.1)
    found = [
        storm.sort(("other", "192.0.2.1"), oid, "", NOON, may_go_first=False)
        for oid in ("1.2", "1.2", LINK_DOWN, LINK_DOWN)
    ]

    assert (found, storm.refused) == ([TURN, SHED, TURN, TURN], 4)


def test_what_must_not_wait_keeps_its_turn() -> None:
    """An INFORM that nobody would answer while it waits."""
    storm = sorter(source_burst_max=1, source_rate_max=0.1)
    found = [storm.sort(("other", "192.0.2.1"), "1.2", "", NOON, may_wait=False) for _ in range(4)]

    assert found == [EXPRESS, TURN, TURN, TURN]


def test_a_device_that_numbers_its_messages_is_news_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each log message of some switches has an OID of its own; they must not use up the table of all others."""
    monkeypatch.setattr(express, "FIRSTS_OF_SOURCE_MAX", 3)
    storm = sorter(source_burst_max=2, source_rate_max=0.1)
    found = [sort(storm, "192.0.2.1", resource=f"1.{n}") for n in range(6)]

    assert found == [EXPRESS, EXPRESS, EXPRESS, TURN, TURN, SHED]
    assert sort(storm, "192.0.2.2") == EXPRESS


def test_full_tables_shed_nothing_new_and_let_nothing_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged sources fill them; from then on everything of others keeps its turn."""
    monkeypatch.setattr(express, "FIRSTS_MAX", 2)
    monkeypatch.setattr(express, "SOURCES_MAX", 2)
    monkeypatch.setattr(express, "REPEATS_MAX", 1)
    storm = sorter(source_burst_max=1, source_rate_max=0.1)
    for n in (1, 2):
        storm.note_repeated(f"192.0.2.{n}", b"same", "other")

    assert [sort(storm, f"192.0.2.{n}") for n in (1, 2, 3, 3, 3)] == [EXPRESS, EXPRESS, TURN, TURN, TURN]
    assert [storm.repeats(f"192.0.2.{n}", b"same") for n in (1, 2)] == ["other", None]


# --- A glance instead of a decoder.


def v2c(
    number: int, *, community: bytes = b"public", trap_oid: str = LINK_DOWN, pdu: str = "trap", index: int = 7
) -> bytes:
    """A trap whose values differ with the number."""
    return encode_v2c(
        community=community,
        pdu=pdu,  # type: ignore[arg-type]
        request_id=number,
        uptime_centis=number,
        trap_oid=trap_oid,
        varbinds=[(f"{IF_INDEX}.{index}", "OctetString", b"x" * (number % 300))],
    )


def test_traps_that_say_the_same_look_the_same() -> None:
    """Whatever their request ID, uptime and values are, however long."""
    assert {glance(v2c(number)) for number in (1, 127, 128, 299, 70_000, 2_000_000_000)} == {glance(v2c(1))}
    assert glance(v2c(1)) is not None


def test_traps_that_say_something_else_look_different() -> None:
    """Community, trap and resource."""
    others = [v2c(1, community=b"secret"), v2c(1, trap_oid="1.3.6.1.6.3.1.1.5.4"), v2c(1, index=8)]

    assert len({glance(v2c(1)), *map(glance, others)}) == 4


def test_a_glance_leaves_to_the_decoder_what_it_does_not_know() -> None:
    """INFORMs, SNMPv1, traps without varbinds, rubbish."""
    v1 = encode_v1(
        community=b"public", enterprise="1.3.6.1.4.1.8072", agent_addr="192.0.2.1", generic=2, specific=0, uptime_centis=1, varbinds=[]
    )  # fmt: skip
    bare = encode_v2c(community=b"public", pdu="trap", request_id=1, uptime_centis=1, trap_oid=LINK_DOWN, varbinds=[])

    assert [glance(datagram) for datagram in (v2c(1, pdu="inform"), v1, bare, b"", b"\x30\x00")] == [None] * 5


@given(st.binary(max_size=80), st.integers(0, 90))
def test_any_bytes_are_glanced_at(data: bytes, cut: int) -> None:
    """Nothing is raised: neither for rubbish nor for a trap that was cut or has rubbish behind its heads."""
    trap = v2c(1)
    for payload in (data, trap[:cut] + data, trap[:cut] + data + trap[cut:]):
        found = glance(payload)
        assert found is None or len(found) < len(payload)


@given(st.integers(0, 90), st.integers(0, 255))
def test_nobody_gets_under_the_allow_list_by_looking_like_another(at: int, octet: int) -> None:
    """Of two datagrams that look the same, both have the same community, if they can be decoded."""
    trap = v2c(1)
    other = trap[:at] + bytes([octet]) + trap[at + 1 :]
    if glance(other) != glance(trap):
        return
    with contextlib.suppress(DecodeError):
        assert (decode_notification(other).community, decode_notification(other).pdu) == (b"public", "trap")


# --- Laws.

SOURCES = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"])
OIDS = st.sampled_from(["1.1", "1.2", "1.3.1"])
STORM = st.lists(st.tuples(SOURCES, OIDS, OIDS, st.integers(0, 200_000_000)), max_size=120)
SETTINGS = st.builds(
    SheddingSettings,
    source_rate_max=st.floats(0.1, 50),
    source_burst_max=st.integers(1, 20),
    critical=st.sampled_from([(), ("1.1",), ("1.3.",), ("1.2", "1.3.")]),
    express_rate_max=st.floats(1, 100),
)


@given(SETTINGS, STORM)
def test_laws_of_a_storm(settings: SheddingSettings, storm: list[tuple[str, str, str, int]]) -> None:
    """Every notification goes one of three ways. What is new or critical is never shed unless too much goes first, and
    critical never; a source within its rate is never shed; no more goes first than may.
    """
    sorting = Sorter(settings, NOON)
    now = NOON
    seen = set()
    ways: Counter[int] = Counter()
    within = {source: Bucket(settings.source_rate_max, settings.source_burst_max, NOON) for source, *_ in storm}
    for source, trap_oid, resource, pause_ns in storm:
        now += pause_ns
        refused = sorting.refused
        way = sorting.sort(("other", source), trap_oid, resource, now)
        ways[way] += 1
        is_new = (source, trap_oid, resource) not in seen
        critical = sorting.is_critical(trap_oid)
        if way == EXPRESS:
            assert is_new or critical
            seen.add((source, trap_oid, resource))
        else:
            assert not (is_new or critical) or sorting.refused == refused + 1
            has_token = critical or within[source].take(now)
            # Its own bucket was made when it was first heard of, and may have one token less time to fill.
            assert way == TURN or not has_token
    assert ways.keys() <= {EXPRESS, TURN, SHED}
    assert sum(ways.values()) == len(storm)
    assert ways[EXPRESS] <= settings.express_rate_max * (1 + (now - NOON) / SECOND) + 1


@given(SETTINGS, STORM)
def test_a_storm_is_sorted_the_same_again(settings: SheddingSettings, storm: list[tuple[str, str, str, int]]) -> None:
    """Nothing but what was received decides."""
    first, second = Sorter(settings, NOON), Sorter(settings, NOON)

    assert [first.sort(("other", x[0]), *x[1:3], NOON + x[3]) for x in storm] == [
        second.sort(("other", x[0]), *x[1:3], NOON + x[3]) for x in storm
    ]
