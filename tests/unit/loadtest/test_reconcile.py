"""What became of a storm: numbers found, ranges, quantiles and the verdict."""

from __future__ import annotations

import msgspec
import pytest

from loadtest.reconcile import (
    RANGES_SHOWN_MAX,
    Audit,
    Audited,
    Quantiles,
    Reconciliation,
    faults,
    histogram_quantiles,
    number_in_reject,
    number_in_trap,
    quantiles,
    show_ranges,
)
from loadtest.templates import NUMBER_OID, RUN_MIN, Version, build, number
from netmon.model import RejectEvent, TrapEvent, Varbind

RUN = RUN_MIN
WELL = Reconciliation(
    sent=10,
    backlog_dropped=0,
    kernel_dropped=0,
    captured=10,
    unaccounted=0,
    in_traps=9,
    in_rejects=1,
    repeated=0,
    missing=0,
    missing_ranges=[],
    inversions=0,
    trimmed=0,
    difference=0,
    lost=0,
    drained=True,
    lag_s=0.1,
)


def trap(varbinds: list[Varbind]) -> bytes:
    """The JSON of a stream entry."""
    event = TrapEvent(
        seq=1,
        received_unix_ns=1,
        event_unix_ns=1,
        event_time_from="received",
        source="127.16.0.1",
        peer="127.16.0.1",
        peer_port=4_000,
        local="127.0.0.1",
        version="v2c",
        pdu="trap",
        trust="other",
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        uptime_centis=1,
        varbinds=varbinds,
        digest="0123456789abcdef",
    )
    return msgspec.json.encode(event)


def test_an_audit_finds_what_is_missing_repeated_foreign_and_out_of_order() -> None:
    """Of ten traps 0, 3, 4 and 9 did not arrive, 5 came twice, 7 before 6; two entries are not ours."""
    audit = Audit(RUN, 10)
    audit.add([number(RUN, 1), number(RUN, 2), None, number(RUN, 5), number(RUN + 1, 3)])
    audit.add([number(RUN, 5), number(RUN, 7), number(RUN, 6), number(RUN, 8)])
    assert audit.missing == [(0, 0), (3, 4), (9, 9)]
    assert (audit.found, audit.repeated, audit.foreign, audit.inversions) == (6, 1, 2, 1)


def test_a_number_found_very_often_is_one_repeated_number() -> None:
    """The counter of a number has eight bits."""
    audit = Audit(RUN, 1)
    audit.add([number(RUN, 0)] * 1_000)
    assert (audit.found, audit.repeated, audit.missing) == (1, 1, [])


def test_the_number_is_found_in_a_trap_entry() -> None:
    """As the receiver writes it, for SNMPv2c and for SNMPv1."""
    value = number(RUN, 77)
    assert (
        number_in_trap(trap([Varbind("1.3.6.1.2.1.1.1.0", "Counter64", 5), Varbind(NUMBER_OID, "Counter64", value)]))
        == value
    )
    assert number_in_trap(trap([Varbind(NUMBER_OID, "OctetString", f"{value:016x}")])) == value
    assert number_in_trap(trap([Varbind("1.3.6.1.2.1.1.1.0", "Counter64", 5)])) is None


@pytest.mark.parametrize("version", ["v1", "v2c", "inform"])
def test_the_number_is_found_in_a_reject_entry(version: Version) -> None:
    """In the datagram's hexadecimal."""
    template = build("broken", version, device=1)
    reject = RejectEvent(
        seq=1,
        received_unix_ns=1,
        peer="127.16.0.1",
        peer_port=4_000,
        local="127.0.0.1",
        reason="unknown_version",
        offset=0,
        raw=template.datagram.hex(),
    )
    assert number_in_reject(msgspec.json.encode(reject)) == number(RUN_MIN, 0)


def test_ranges_are_shown_short() -> None:
    """One number by itself, more as first and last."""
    assert show_ranges([(3, 3), (7, 9)]) == "3, 7-9"
    assert show_ranges([]) == ""


def test_quantiles_are_of_the_nearest_rank() -> None:
    """Of 1 to 1,000 milliseconds."""
    assert quantiles([float(i) for i in range(1_000, 0, -1)], "follower") == Quantiles(
        count=1_000, p50_ms=501.0, p90_ms=901.0, p99_ms=991.0, p999_ms=1_000.0, max_ms=1_000.0, source="follower"
    )
    assert quantiles([], "follower") is None


def test_quantiles_of_a_histogram_are_upper_bounds() -> None:
    """Ninety within 1 ms, nine within 2 ms, one beyond 5 ms."""
    assert histogram_quantiles([90, 9, 0, 1], (1, 2, 5)) == Quantiles(
        count=100,
        p50_ms=1,
        p90_ms=2,
        p99_ms=float("inf"),
        p999_ms=float("inf"),
        max_ms=float("inf"),
        source="histogram",
    )
    assert histogram_quantiles([0, 0], (1,)) is None


def test_a_storm_is_well_when_every_trap_is_there_once() -> None:
    """A reject is kept, too, and a repeated INFORM may stand twice."""
    assert faults(WELL) == []
    assert faults(msgspec.structs.replace(WELL, repeated=2, retransmitted=3)) == []
    assert faults(msgspec.structs.replace(WELL, unaccounted=2, backlog_dropped=3)) == []
    assert faults(msgspec.structs.replace(WELL, unaccounted=-4)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"drained": False}, "netmon had not finished when the waiting time was over"),
        ({"missing": 3}, "3 traps are in no stream"),
        (
            {"missing": 3, "trimmed": 3},
            "3 traps are in no stream (netmon trimmed 3 to stay within its memory budget; --follow looks before it does)",
        ),
        ({"repeated": 2, "retransmitted": 1}, "1 traps are in the streams more than once"),
        ({"kernel_dropped": 1_234}, "the kernel dropped 1,234 datagrams at the socket"),
        ({"difference": -1}, "the ledger does not balance: -1"),
        ({"unaccounted": 4}, "4 of those sent never reached the socket"),
        ({"lost": 5}, "the ledger says that 5 were lost from the journal"),
        ({"unanswered": 6}, "6 INFORMs were not answered"),
    ],
)
def test_every_fault_is_told(change: dict[str, int], fault: str) -> None:
    """In a sentence."""
    assert faults(msgspec.structs.replace(WELL, **change)) == [fault]


def test_the_result_of_an_audit_shows_the_first_gaps_only() -> None:
    """A storm that was lost altogether has one gap, one that lost every other trap has a million."""
    audit = Audit(RUN, 100)
    audit.add(number(RUN, position) for position in range(0, 100, 2))
    gaps = [(position, position) for position in range(1, 2 * RANGES_SHOWN_MAX, 2)]
    assert audit.result() == Audited(found=50, repeated=0, missing=gaps, foreign=0, inversions=0)
