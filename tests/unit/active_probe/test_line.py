"""One vote out of what a line's targets show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.measure.line import vote_of
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.table import MEANING
from netmon.active_probe.measure.track import Track
from netmon.active_probe.model import LineState, Reason, TargetReading

Shows = tuple[LineState, Reason]
UP: Shows = ("up", "")
LOSSY: Shows = ("degraded", "loss")
SLOW: Shows = ("degraded", "round_trip")
DEAD: Shows = ("down", "no_answer")
BAD: Shows = ("down", "bad_answer")
MUTE: Shows = ("unknown", "cannot_send")
ASTRAY: Shows = ("unknown", "wrong_interface")
NEW: Shows = ("unknown", "no_data")


def target(shows: Shows) -> TargetReading:
    """A target that shows this."""
    return TargetReading(label="icmp 192.0.2.1", state=shows[0], reason=shows[1])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([UP], UP),
        ([DEAD], DEAD),
        ([DEAD, UP], UP),
        ([DEAD, LOSSY], LOSSY),
        ([SLOW, LOSSY], LOSSY),
        ([DEAD, DEAD], DEAD),
        ([BAD, DEAD], DEAD),
        ([DEAD, MUTE], DEAD),
        ([UP, MUTE], UP),
        ([MUTE, NEW], MUTE),
        ([MUTE, ASTRAY], ASTRAY),
        ([], NEW),
    ],
)
def test_a_line_is_as_good_as_its_best_target(shown: list[Shows], expected: Shows) -> None:
    """Down only if all say so that can tell; and the same in any order."""
    assert [vote_of(map(target, order)) for order in (shown, shown[::-1])] == [expected] * 2


def test_tracks_vote_as_their_readings_do() -> None:
    """Neither has to be made for the other."""
    track = Track("icmp 192.0.2.1", BUILT_IN["fibre"], 0)

    assert vote_of([track]) == vote_of([track.reading(0)]) == NEW


@given(st.lists(st.sampled_from(sorted(MEANING.values()))), st.sampled_from([UP, LOSSY, SLOW]))
def test_no_line_is_down_while_a_target_answers(others: list[Shows], answering: Shows) -> None:
    """Whatever the others show."""
    assert vote_of(map(target, [*others, answering]))[0] in ("up", "degraded")
