"""Which raises and clears of one alarm are remembered, in the order in which they happened, however they arrived. Pure.

A mark is the event time of a notification in nanoseconds; that of a clear has a minus in front. Marks are sorted by event time.
At the same time a raise counts as the later one: of two that contradict each other, that one is believed which costs a look
rather than an outage. Of several raises in a row only the first and the last are kept, and so of clears: what lies between them
changes nothing, unless the opposite arrives late, and then both halves still have an end.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

MARKS_MIN: Final = 32
"""So many marks of an alarm are remembered, more if the recognition of flapping needs more."""

Marks = list[int]


def _order(mark: int) -> tuple[int, bool]:
    return abs(mark), mark > 0


def insert(marks: Marks, mark: int, marks_max: int) -> None:
    """Remember one more, wherever in time it belongs; the oldest are forgotten when there are too many."""
    at = bisect_left(marks, _order(mark), key=_order)
    if at < len(marks) and marks[at] == mark:
        return
    marks.insert(at, mark)
    # A row of three has its middle one where the new one is, before it, or behind it.
    for middle in (at, at - 1, at + 1):
        if 0 < middle < len(marks) - 1 and (marks[middle - 1] > 0) == (marks[middle] > 0) == (marks[middle + 1] > 0):
            del marks[middle]
            break
    del marks[: max(0, len(marks) - marks_max)]


def end_by(marks: Marks, unix_ns: int) -> None:
    """Move what says that it happened later, because a clock was wrong, to this time, as far as it still counts."""
    newest_mark = marks[-1]
    if abs(newest_mark) > unix_ns:
        past = [mark for mark in marks if abs(mark) < unix_ns]
        marks[:] = [*past, unix_ns if newest_mark > 0 else -unix_ns]


def newest(marks: Marks, *, raised: bool) -> int:
    """Event time of the newest raise or clear; 0: none."""
    if (marks[-1] > 0) == raised:
        return abs(marks[-1])
    return next((abs(mark) for mark in reversed(marks) if (mark > 0) == raised), 0)


def since(marks: Marks, *, raised: bool) -> int:
    """Event time of the first of the newest row of raises or clears; 0: none."""
    found = 0
    for mark in reversed(marks):
        if (mark > 0) == raised:
            found = abs(mark)
        elif found:
            break
    return found


def last_toggle(marks: Marks) -> int:
    """Event time at which the newest notification's state began."""
    return since(marks, raised=marks[-1] > 0)


def toggles_fast(marks: Marks, raises: int, window_ns: int, not_before_ns: int) -> bool:
    """Whether so many raises, each after a clear, fell into one window that ended at this time or later."""
    starts = [mark for at, mark in enumerate(marks) if mark > 0 and (at == 0 or marks[at - 1] < 0)]
    return any(
        last - first <= window_ns and last >= not_before_ns
        for first, last in zip(starts, starts[raises - 1 :], strict=False)
    )


def forget_toggles(marks: Marks) -> None:
    """Keep only the newest row of raises and the newest row of clears."""
    kept_from = min(filter(None, (since(marks, raised=True), since(marks, raised=False))))
    marks[:] = [mark for mark in marks if abs(mark) >= kept_from]
