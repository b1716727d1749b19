"""The table of what no rule knows: bounded, and nothing is left uncounted."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.rules.examples import Sent, event_of
from netmon.alarms.rules.unmatched import Unmatched, UnmatchedReport, UnmatchedTable
from netmon.model import TrapEvent


def sent(trap: str, at_ns: int = 1, source: str = "192.0.2.1", name: str | None = None) -> TrapEvent:
    """A notification of this kind."""
    return msgspec.structs.replace(event_of(Sent(trap_oid=trap, name=name), at_ns), source=source)


def table(*events: TrapEvent, rows_max: int = 2) -> UnmatchedTable:
    """What has counted these."""
    counting = UnmatchedTable(rows_max=rows_max)
    for event in events:
        counting.add(event)
    return counting


def test_rows_tell_how_often_and_who_was_last() -> None:
    """The most frequent first; the newest is the newest by its own time."""
    report = table(sent("1.2", 5, "192.0.2.5", "sirenLow"), sent("1.2", 3), sent("1.1", 9)).report()

    assert report == UnmatchedReport(
        rows=(
            Unmatched(trap_oid="1.2", name="sirenLow", count=2, last_source="192.0.2.5", last_unix_ns=5),
            Unmatched(trap_oid="1.1", count=1, last_source="192.0.2.1", last_unix_ns=9),
        )
    )


def test_what_is_rare_makes_room() -> None:
    """What comes often stays, whatever is made up; the rest is counted as other."""
    often = [sent("1.9")] * 10
    report = table(*often, *(sent(f"2.{number}") for number in range(50))).report()

    assert (report.rows[0].trap_oid, report.rows[0].count, len(report.rows)) == ("1.9", 10, 2)
    assert (report.total, report.other) == (60, 49)


def test_another_worker_goes_on() -> None:
    """From the report that the one before it has left."""
    before = table(sent("1.1"), sent("1.1")).report()
    after = UnmatchedTable(before)
    after.add(sent("1.1"))

    assert after.report().rows[0].count == 3


def test_hostile_text_is_plain_and_short() -> None:
    """It stands in a terminal later."""
    row = table(sent("1." * 5_000, source="\x1b" * 500, name="x\n" * 500)).report().rows[0]

    assert row.trap_oid.isprintable()
    assert row.last_source.isprintable()
    assert row.name.isprintable()
    assert len(row.trap_oid) + len(row.last_source) + len(row.name) <= 256 + 64 + 64


@given(st.lists(st.integers(0, 20), max_size=200), st.integers(1, 5))
def test_nothing_is_left_uncounted(kinds: list[int], rows_max: int) -> None:
    """Whatever comes in whatever order, the sum is right and the table is small."""
    report = table(*(sent(f"1.{kind}") for kind in kinds), rows_max=rows_max).report()

    assert report.total == len(kinds)
    assert len(report.rows) <= rows_max
