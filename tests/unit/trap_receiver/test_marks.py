"""Marks and digests beside the segments, and when a segment may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from netmon.trap_receiver.journal.marks import (
    EXPRESS,
    LATE_MARKS,
    PARKED_MARKS,
    PENDING_MARKS,
    REASON_OF,
    SHED_TRIED,
    TURN,
    Digests,
    Marks,
    side_files,
)
from netmon.trap_receiver.journal.segment import segment_path
from netmon.trap_receiver.ledger import PARK_REASONS, SHED

SEGMENT = 1_000
PARKED = PARKED_MARKS["usm_unknown_user"]


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Marks of a lane with one segment, without any."""
    segment_path(tmp_path, SEGMENT).touch()
    return Marks(tmp_path)


def test_every_mark_means_one_thing() -> None:
    """One byte each, no two alike, and those of what waits know why."""
    all_marks = [TURN, EXPRESS, SHED_TRIED, *LATE_MARKS.values(), *PARKED_MARKS.values(), *PENDING_MARKS.values()]
    assert len(set(all_marks)) == len(all_marks)
    assert all(0 < mark < 256 for mark in all_marks)
    assert {REASON_OF[mark] for mark in PARKED_MARKS.values()} == set(PARK_REASONS)
    assert (REASON_OF[SHED_TRIED], REASON_OF[PENDING_MARKS["usm_wrong_key"]]) == (SHED, "usm_wrong_key")


def test_what_was_never_marked_is_unseen(marks: Marks) -> None:
    """No file, a hole, or behind its end."""
    assert (marks.has(SEGMENT), marks.read(SEGMENT, SEGMENT, 3), marks.segments()) == (False, bytes(3), [])
    marks.write(SEGMENT, SEGMENT + 5, bytes([PARKED]))
    assert marks.read(SEGMENT, SEGMENT + 4, 4) == bytes([0, PARKED, 0, 0])
    assert (marks.has(SEGMENT), marks.segments()) == (True, [SEGMENT])


def test_marks_are_found_behind_a_position(marks: Marks) -> None:
    """Ascending; others are passed over."""
    marks.write(SEGMENT, SEGMENT, bytes([PARKED, TURN, PARKED, EXPRESS, PARKED]))
    assert list(marks.find(SEGMENT, {PARKED}, SEGMENT)) == [(SEGMENT + 2, PARKED), (SEGMENT + 4, PARKED)]
    assert list(marks.find(SEGMENT, {PARKED, EXPRESS})) == [
        (SEGMENT, PARKED),
        (SEGMENT + 2, PARKED),
        (SEGMENT + 3, EXPRESS),
        (SEGMENT + 4, PARKED),
    ]


def test_what_waits_for_a_configuration_expires_with_its_segment(marks: Marks) -> None:
    """Counted by the reason for which it had been parked."""
    marks.write(SEGMENT, SEGMENT, bytes([PARKED, PARKED, SHED_TRIED, LATE_MARKS[SHED], EXPRESS, TURN]))
    expired = marks.expire(SEGMENT)
    assert expired is not None
    assert +expired == {"usm_unknown_user": 2, SHED: 1}
    marks.forget(SEGMENT)
    assert Marks(marks.directory).expire(SEGMENT + 1) == dict.fromkeys(PARK_REASONS, 0)


@pytest.mark.parametrize("mark", [PARKED_MARKS[SHED], *PENDING_MARKS.values()])
def test_a_segment_stays_while_something_in_it_is_sure_to_come(marks: Marks, mark: int) -> None:
    """Shed, or on its way."""
    marks.write(SEGMENT, SEGMENT + 7, bytes([mark]))
    assert marks.expire(SEGMENT) is None
    marks.write(SEGMENT, SEGMENT + 7, bytes([LATE_MARKS[SHED]]))
    assert marks.expire(SEGMENT) is not None


def test_a_segment_is_not_deleted_while_somebody_decodes_what_waits_in_it(marks: Marks) -> None:
    """And not begun with once it is being deleted, or gone."""
    commit = Marks(marks.directory)
    assert marks.hold(SEGMENT)
    assert commit.expire(SEGMENT) is None
    marks.let_go(SEGMENT)
    assert commit.expire(SEGMENT) is not None
    segment_path(marks.directory, SEGMENT).unlink()
    commit.forget(SEGMENT)
    assert not marks.hold(SEGMENT)
    assert not Marks(marks.directory).hold(SEGMENT)


def test_digests_stand_beside_marks(marks: Marks) -> None:
    """Eight bytes for each datagram; both files go with their segment."""
    digests = Digests(marks.directory)
    digests.write(SEGMENT, SEGMENT + 1, b"12345678abcdefgh")
    assert digests.read(SEGMENT, SEGMENT, 3) == bytes(8) + b"12345678abcdefgh"
    marks.write(SEGMENT, SEGMENT, b"\1")
    assert [path.exists() for path in side_files(marks.directory, SEGMENT)] == [True, True]
