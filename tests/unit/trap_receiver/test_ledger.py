"""The ledger's arithmetic: three processes count, one page adds up."""

from __future__ import annotations

from pathlib import Path

from netmon.trap_receiver.ledger import (
    CAPTURE_FIELDS,
    CAPTURE_STATE,
    COMMIT_FIELDS,
    COMMIT_STATE,
    DECODE_FIELDS,
    DECODE_STATE,
    LATE_FIELDS,
    LATE_STATE,
    PARK_REASONS,
    REJECT_REASONS,
    UNAVAILABLE_REASONS,
    LaneLedger,
    read,
)
from netmon.trap_receiver.state import StatePage


def ledger(
    directory: Path,
    capture: dict[str, int],
    decode: dict[str, int],
    commit: dict[str, int] | None = None,
    late: dict[str, int] | None = None,
) -> LaneLedger:
    """The ledger of a lane whose roles have counted this."""
    for name, fields, counts in (
        (CAPTURE_STATE, CAPTURE_FIELDS, capture),
        (COMMIT_STATE, COMMIT_FIELDS, commit or {}),
        (DECODE_STATE, DECODE_FIELDS, decode),
        (LATE_STATE, LATE_FIELDS, late or {}),
    ):
        page = StatePage(directory / name, fields)
        assert counts.keys() <= page.values.keys()
        page.values.update(counts)
        page.publish()
    return read(directory)


def test_a_lane_that_never_ran_is_all_zero(tmp_path: Path) -> None:
    """And balances; every reason is there, so that a metric exists before its first event."""
    found = read(tmp_path / "nowhere")

    assert (found.delivered, found.captured, found.in_flight, found.difference) == (0, 0, 0, 0)
    assert found.balanced
    assert list(found.rejected) == list(REJECT_REASONS)
    assert list(found.parked) == list(PARK_REASONS)
    assert list(found.unavailable) == list(UNAVAILABLE_REASONS)


def test_both_identities(tmp_path: Path) -> None:
    """delivered = drops + captured; captured = buffered + rejected + parked + in flight."""
    found = ledger(
        tmp_path,
        {"captured": 1_000, "kernel_drops": 50},
        {
            "seq": 900,
            "buffered": 700,
            "rejected_truncated": 120,
            "rejected_source_not_allowed": 30,
            "parked_usm_unknown_user": 50,
        },
        {"seq": 950},
    )

    assert (found.delivered, found.durable, found.in_flight) == (1_050, 950, 100)
    assert (sum(found.rejected.values()), sum(found.parked.values())) == (150, 50)
    assert (found.difference, found.balanced) == (0, True)


def test_the_book_of_what_was_parked(tmp_path: Path) -> None:
    """parked = waiting + late + late_rejected + expired, for each reason; express and control are accounts of their own."""
    found = ledger(
        tmp_path,
        {"captured": 1_000},
        {"seq": 900, "buffered": 500, "express": 60, "express_sent": 70, "parked_shed": 320, "parked_usm_wrong_key": 15}
        | {"control_v3_discovery": 5, "shedding": 1, "sheddings": 2, "head_skipped": 3, "express_refused": 4},
        {"seq": 950, "expired_usm_wrong_key": 6},
        {"late_shed": 100, "late_rejected_shed": 20, "late_usm_wrong_key": 2, "replayed": 9},
    )

    assert (found.difference, found.express, found.express_sent, found.shedding) == (0, 60, 70, True)
    assert {reason: count for reason, count in found.waiting.items() if count} == {"shed": 200, "usm_wrong_key": 7}
    assert (found.late["shed"], found.late_rejected["shed"], found.expired["usm_wrong_key"]) == (100, 20, 6)
    assert (found.sheddings, found.express_skipped, found.express_refused, found.replayed) == (2, 3, 4, 9)


def test_what_goes_astray_shows(tmp_path: Path) -> None:
    """A lost datagram is counted by decode, and in no account: the ledger does not balance until somebody has looked."""
    found = ledger(tmp_path, {"captured": 1_000}, {"seq": 1_000, "buffered": 993, "lost": 7})

    assert (found.in_flight, found.lost, found.difference, found.balanced) == (0, 7, 7, False)


def test_what_is_counted_twice_shows(tmp_path: Path) -> None:
    """The difference has a sign."""
    found = ledger(tmp_path, {"captured": 10}, {"seq": 10, "buffered": 11})

    assert (found.difference, found.balanced) == (-1, False)


def test_answers_of_both_roles_are_added(tmp_path: Path) -> None:
    """Commit answers INFORMs or decode does, after the setting, which may have changed."""
    counts = {"informs_answered": 3, "informs_withheld": 2, "inform_send_failures": 1}
    found = ledger(tmp_path, {}, counts, counts)

    assert (found.informs_answered, found.informs_withheld, found.inform_send_failures) == (6, 4, 2)


def test_times_are_seconds_and_states_are_true_or_false(tmp_path: Path) -> None:
    """The pages hold integers."""
    found = ledger(
        tmp_path,
        {"held": 1, "held_ns": 1_500_000_000},
        {"paused": 1, "redis_up": 0, "latency_le_20": 4, "latency_over": 1, "latency_sum_ns": 2_500_000_000},
        {"sync_ns": 250_000_000},
    )

    assert (found.held, found.paused, found.redis_up) == (True, True, False)
    assert (found.held_seconds, found.sync_seconds, found.latency_sum_seconds) == (1.5, 0.25, 2.5)
    assert (found.latency_counts[5], found.latency_counts[-1], sum(found.latency_counts)) == (4, 1, 5)
