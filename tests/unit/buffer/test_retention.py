"""What may leave the streams, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.buffer.retention import NoTrim, TrimOldest, TrimTo, choose_trim
from netmon.buffer.stream import EntryId

OLD, MIDDLE, NEW = EntryId(1_000, 1), EntryId(1_000, 2), EntryId(2_000, 3)


@pytest.mark.parametrize(
    ("usage", "floors", "floor", "expected"),
    [
        pytest.param(0, [], OLD, NoTrim(), id="empty"),
        pytest.param(749, [], OLD, NoTrim(), id="below-three-quarters"),
        pytest.param(749, [NEW], OLD, NoTrim(), id="below-three-quarters-whatever-is-acknowledged"),
        pytest.param(750, [], OLD, TrimOldest(0.8), id="nobody-has-asked-for-it"),
        pytest.param(1_200, [], OLD, TrimOldest(0.5), id="above-the-budget"),
        pytest.param(750, [NEW], OLD, TrimTo(NEW), id="one-group"),
        pytest.param(750, [NEW, MIDDLE], OLD, TrimTo(MIDDLE), id="the-slowest-group-decides"),
        pytest.param(750, [MIDDLE], MIDDLE, NoTrim(), id="trimmed-already"),
        pytest.param(2_000, [NEW, OLD], MIDDLE, NoTrim(), id="a-lagging-group-keeps-everything"),
        pytest.param(2_000, [NEW, EntryId(0, 0)], EntryId(0, 0), NoTrim(), id="a-group-that-has-read-nothing"),
    ],
)
def test_choose_trim(usage: int, floors: list[EntryId], floor: EntryId, expected: NoTrim | TrimTo | TrimOldest) -> None:
    """With a budget of 1,000 bytes."""
    assert choose_trim(usage, 1_000, floors, floor) == expected


IDS = st.builds(EntryId, st.integers(0, 3), st.integers(0, 3))


@given(usage=st.integers(0, 5_000), budget=st.integers(1, 2_000), floors=st.lists(IDS, max_size=4), floor=IDS)
def test_nothing_that_a_group_wants_is_trimmed(usage: int, budget: int, floors: list[EntryId], floor: EntryId) -> None:
    """Whatever the pressure: never past the slowest group, never backwards, and never everything."""
    found = choose_trim(usage, budget, floors, floor)

    if isinstance(found, TrimTo):
        assert floor < found.floor
        assert all(found.floor <= group for group in floors)
    if isinstance(found, TrimOldest):
        assert floors == []
        assert 0 < found.keep_ratio <= 0.8
