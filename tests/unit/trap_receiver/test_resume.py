"""Every case in which decode may find the streams after a connection was lost."""

from __future__ import annotations

import itertools

import pytest

from netmon.buffer.stream import EntryId, StreamFacts
from netmon.trap_receiver.resume import Known, Plan, Rebuild, Resume, Rewind, last_entry, plan

NOTHING = EntryId(0, 0)
FLOOR = EntryId(1_000, 10)
LOST_TAIL = EntryId(1_000, 20)
SENT = EntryId(2_000, 30)
MORE = EntryId(2_000, 35)

KNOWN = Known(sent=SENT, floor=FLOOR, traps_length=18, rejects_length=2, trimming=False)
NEW = Known(sent=NOTHING, floor=NOTHING, traps_length=0, rejects_length=0, trimming=False)
TRIMMED_ALL = Known(sent=SENT, floor=SENT, traps_length=0, rejects_length=0, trimming=False)
EMPTY = StreamFacts(0, NOTHING)


def traps(length: int, last: EntryId) -> StreamFacts:
    """A traps stream as it is found."""
    return StreamFacts(length, last)


@pytest.mark.parametrize(
    ("known", "found", "made_here", "expected"),
    [
        pytest.param(NEW, EMPTY, True, Resume(NOTHING), id="a-new-lane"),
        pytest.param(NEW, traps(5, MORE), True, Resume(MORE), id="counters-gone-but-our-journal-made-it"),
        pytest.param(NEW, traps(5, MORE), False, Rebuild(set_aside=True), id="a-new-lane-where-others-wrote"),
        pytest.param(KNOWN, traps(18, SENT), True, Resume(SENT), id="as-it-was-left"),
        pytest.param(KNOWN, traps(23, MORE), True, Resume(MORE), id="the-batch-in-flight-was-taken"),
        pytest.param(KNOWN, traps(8, LOST_TAIL), True, Rewind(LOST_TAIL), id="a-fail-over-lost-the-tail"),
        pytest.param(KNOWN, EMPTY, True, Rebuild(set_aside=False), id="flushed-or-deleted"),
        pytest.param(TRIMMED_ALL, EMPTY, True, Rebuild(set_aside=False), id="flushed-when-all-was-trimmed"),
        pytest.param(TRIMMED_ALL, traps(0, SENT), True, Resume(SENT), id="all-was-trimmed"),
        pytest.param(KNOWN, traps(17, SENT), True, Rebuild(set_aside=False), id="an-entry-was-deleted"),
        pytest.param(KNOWN, traps(19, SENT), True, Rebuild(set_aside=False), id="an-entry-was-put-between"),
        pytest.param(KNOWN, traps(18, MORE), False, Rebuild(set_aside=True), id="a-foreign-entry-at-the-end"),
        pytest.param(KNOWN, traps(18, SENT), False, Rebuild(set_aside=True), id="made-from-another-journal"),
        pytest.param(KNOWN._replace(trimming=True), traps(9, SENT), True, Resume(SENT), id="killed-while-trimming"),
        pytest.param(
            KNOWN._replace(trimming=True), traps(5, LOST_TAIL), True, Rewind(LOST_TAIL), id="trimming-and-lost-tail"
        ),
        pytest.param(
            KNOWN._replace(changed=True), traps(18, SENT), True, Rebuild(set_aside=False), id="seen-changed-before"
        ),
        pytest.param(
            KNOWN._replace(changed=True), traps(18, MORE), True, Rebuild(set_aside=False), id="changed-and-more"
        ),
        pytest.param(KNOWN._replace(changed=True), EMPTY, True, Rebuild(set_aside=False), id="changed-and-flushed"),
        pytest.param(
            KNOWN._replace(changed=True), traps(18, SENT), False, Rebuild(set_aside=True), id="changed-and-foreign"
        ),
    ],
)
def test_plan(known: Known, found: StreamFacts, made_here: bool, expected: Plan) -> None:
    """The rejects stream is as it was left."""
    rejects = StreamFacts(known.rejects_length, NOTHING)

    assert plan(known, found, rejects, made_here=made_here) == expected


def test_the_rejects_stream_counts_as_much() -> None:
    """An entry taken out of either stream is found, and the newest entry may be in either."""
    same = traps(18, LOST_TAIL)

    assert plan(KNOWN, same, StreamFacts(2, SENT), made_here=True) == Resume(SENT)
    assert plan(KNOWN, same, StreamFacts(1, SENT), made_here=True) == Rebuild(set_aside=False)
    assert plan(KNOWN, EMPTY, StreamFacts(2, SENT), made_here=True) == Rebuild(set_aside=False)
    assert last_entry(same, StreamFacts(2, SENT)) == SENT


PLACES = [NOTHING, FLOOR, LOST_TAIL, SENT, MORE]
CASES = list(itertools.product(PLACES[:1] + PLACES[3:], [0, 18], PLACES, [0, 17, 18], [True, False], [True, False]))


@pytest.mark.parametrize("made_here", [True, False])
def test_every_case_keeps_the_promises(made_here: bool) -> None:
    """Never past what Redis has; foreign entries are set aside, ours never; and what is seen changed is rebuilt."""
    for sent, length, last, found, trimming, changed in CASES:
        known = Known(sent, min(FLOOR, sent), length, 0, trimming, changed)
        todo = plan(known, traps(found, last), EMPTY, made_here=made_here)
        case = (known, last, found, made_here, todo)
        if isinstance(todo, Rebuild):
            assert not (todo.set_aside and made_here), case
        else:
            assert todo.present == last, case
            assert made_here or last == NOTHING, case
            assert not changed or last == NOTHING, case
            assert isinstance(todo, Rewind) == (last < sent), case
