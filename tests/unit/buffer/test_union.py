"""The union of two receivers: each notification once, whatever the order, and what each has missed."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.buffer import union
from netmon.buffer.union import Comparison, Occurrence, Union
from netmon.model import TrapEvent

SECOND_NS = 1_000_000_000
START_NS = 1_800_000_000 * SECOND_NS
Trust = Literal["v3_auth_priv", "v3_auth", "allow_listed", "other"]
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"


def event(
    what: int,
    second: float = 0.0,
    *,
    source: str = "192.0.2.7",
    engine: str | None = None,
    first: int | None = None,
    trust: Trust = "other",
) -> TrapEvent:
    """A notification that says `what`, received so many seconds after the start."""
    at = START_NS + int(second * SECOND_NS)
    positional = (1, at, at, "received", source, source, 161, "::1", "v2c", "trap", trust, LINK_DOWN, 0, [])
    return TrapEvent(*positional, f"{what:016x}", duplicate_of=first, engine_id=engine)


def told(both: Union, *said: tuple[str, TrapEvent]) -> list[bool]:
    """Whether each was the first to tell it."""
    return [both.tell(path, found) for path, found in said]


def test_the_second_copy_is_not_told() -> None:
    """Whichever path is first."""
    both = Union(["a", "b"])
    said = [("a", event(1)), ("b", event(1, 0.2)), ("b", event(2)), ("a", event(2, -0.2))]

    assert told(both, *said) == [True, False, True, False]
    assert (both.told, both.duplicates, both.waiting) == (2, 2, 0)


def test_who_says_it_twice_is_told_twice() -> None:
    """The first copy goes with the first, the second with the second."""
    both = Union(["a", "b"])
    said = [("a", event(1)), ("a", event(1, 1)), ("b", event(1)), ("b", event(1, 1)), ("b", event(1, 2))]

    assert told(both, *said) == [True, True, False, False, True]


def test_other_devices_and_other_words_are_others() -> None:
    """Only the same words of the same device are the same notification."""
    both = Union(["a", "b"])

    assert told(both, ("a", event(1)), ("b", event(2)), ("b", event(1, source="192.0.2.8"))) == [True, True, True]


def test_a_device_with_an_engine_id_is_known_behind_any_address() -> None:
    """SNMPv3 through a NAT on one of the ways."""
    both = Union(["a", "b"])
    behind_nat = event(1, source="198.51.100.1", engine="8000")

    assert told(both, ("a", event(1, engine="8000")), ("b", behind_nat)) == [True, False]


def test_a_repeated_inform_is_not_told_again() -> None:
    """Nor is it taken for the other path's copy."""
    both = Union(["a", "b"])
    said = [("a", event(1)), ("a", event(1, 5, first=1)), ("b", event(1, 5)), ("b", event(1, 10, first=1))]

    assert told(both, *said) == [True, False, False, False]


@pytest.mark.parametrize(("apart_s", "expected"), [(599.9, False), (600.0, False), (600.1, True)])
@pytest.mark.parametrize("offset_s", [0, 299, 599, 600, 601])
def test_a_copy_beyond_the_window_is_another_notification(offset_s: float, apart_s: float, expected: bool) -> None:
    """Distance decides, not on which side of some round number the times are."""
    both = Union(["a", "b"], window_s=600)
    said = [("a", event(1, offset_s)), ("b", event(1, offset_s + apart_s))]

    assert told(both, *said)[1] is expected


def test_a_path_that_lags_by_hours_is_waited_for() -> None:
    """Receive times are what they were; the order of telling does not matter."""
    both = Union(["a", "b"])
    for lane_path in ("a", "b"):
        found = [both.tell(lane_path, event(hour, hour * 3_600), lane=0) for hour in range(10)]
        assert found == [lane_path == "a"] * 10
    assert both.waiting == 0


def test_what_a_path_has_passed_by_is_given_up() -> None:
    """Then its late copy is told again, and counted."""
    both = Union(["a", "b"], window_s=600)
    both.tell("a", event(1), lane=0)
    for path in ("a", "b"):
        both.tell(path, event(2, 1_300), lane=0)

    assert (both.waiting, both.again) == (0, {"a": 0, "b": 0})
    assert both.tell("b", event(1))
    assert both.again == {"a": 0, "b": 1}


def test_a_slow_lane_holds_its_path_back() -> None:
    """The horizon is where the slowest lane of the slowest path is."""
    both = Union(["a", "b"], window_s=600)
    both.tell("b", event(3), lane=1)
    both.tell("a", event(1), lane=0)
    for path in ("a", "b"):
        both.tell(path, event(2, 9_000), lane=0)

    assert not both.tell("b", event(1), lane=1)


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    """A dead path does not eat the reader's memory."""
    both = Union(["a", "b"], entries_max=3)
    for what in range(5):
        both.tell("a", event(what, what))

    assert both.waiting == 3
    assert [both.tell("b", event(what, what)) for what in range(5)] == [True, True, False, False, False]
    assert both.again == {"a": 0, "b": 2}


def test_one_device_that_repeats_itself_is_bounded_too() -> None:
    """The search for the copy stays short."""
    both = Union(["a", "b"])
    for _ in range(union.SAME_MAX + 5):
        both.tell("a", event(1))

    assert both.waiting == union.SAME_MAX


@pytest.mark.parametrize("paths", [[], ["a", "a"], ["a", "b", "c", "d", "e"]])
def test_paths_are_few_and_named_once(paths: list[str]) -> None:
    """More than four receivers of the same traps have not been thought of."""
    with pytest.raises(ValueError, match="paths"):
        Union(paths)


# --- Laws.

COPIES = st.lists(
    st.tuples(st.integers(0, 5), st.floats(0, 250, width=16), st.sets(st.sampled_from("abc"), min_size=1)), max_size=40
)
"""What is said, when, and which paths have it."""


@given(COPIES, st.sampled_from([["a", "b"], ["a", "b", "c"]]), st.randoms(use_true_random=False))
def test_each_notification_once_for_any_interleaving(
    copies: list[tuple[int, float, set[str]]], paths: list[str], random: object
) -> None:
    """However the copies are mixed: as often as the path that has it most often; two paths make no ambiguity."""
    said = [
        (path, event(what, second + 0.1 * index))
        for what, second, has in copies
        for index, path in enumerate(paths)
        if path in has
    ]
    random.shuffle(said)  # type: ignore[attr-defined]
    both = Union(paths)

    first = [found.digest for (path, found) in said if both.tell(path, found)]

    for what in range(6):
        digest = f"{what:016x}"
        count = {path: sum(p == path and e.digest == digest for p, e in said) for path in paths}
        assert first.count(digest) == max(count.values())
    assert both.told + both.duplicates == len(said)


@given(st.lists(st.sets(st.sampled_from("ab"), min_size=1), max_size=60), st.integers(0, 50))
def test_misses_are_counted_right(has: list[set[str]], lag: int) -> None:
    """Numbered notifications, some withheld from a path, one path behind the other by any lag."""
    comparison = Comparison(["a", "b"], START_NS, START_NS + 10_000 * SECOND_NS)
    both = Union(["a", "b"], settled=comparison.settled)
    order = sorted(
        (number + (lag if path == "b" else 0), path, number) for number, paths in enumerate(has) for path in paths
    )

    first = [number for _, path, number in order if both.tell(path, event(number, number), lane=0)]
    both.finish()

    by_path = {report.path: report for report in comparison.report()}
    assert sorted(first) == list(range(len(has)))
    assert comparison.total == len(has)
    for path in ("a", "b"):
        missed = [number for number, paths in enumerate(has) if path not in paths]
        found = by_path[path]
        assert (found.seen, found.missed) == (len(has) - len(missed), len(missed))
        assert found.only_here == sum(paths == {path} for paths in has)
        assert found.missed_by_source == ({"192.0.2.7": len(missed)} if missed else {})
        assert found.missed_first_unix_ns == (START_NS + missed[0] * SECOND_NS if missed else 0)
        assert found.missed_last_unix_ns == (START_NS + missed[-1] * SECOND_NS if missed else 0)


def test_a_comparison_is_of_its_period() -> None:
    """From its first moment, included, to its last, excluded."""
    comparison = Comparison(["a", "b"], START_NS, START_NS + SECOND_NS)
    for index, second in enumerate([-0.1, 0, 0.9, 1.0]):
        occurrence = Occurrence(index, ("", "", "", False), "192.0.2.7", START_NS + int(second * SECOND_NS), 1)
        comparison.settled(occurrence)

    assert (comparison.total, comparison.report()[1].missed_ratio) == (2, 1.0)


def test_a_forged_copy_does_not_swallow_what_a_key_proves() -> None:
    """It is a notification of its own; the authentic copies of both paths are one."""
    both = Union(["a", "b"])
    said = [event(1, engine="8000"), *(event(1, engine="8000", trust="v3_auth_priv") for _ in range(2))]

    assert told(both, ("b", said[0]), ("a", said[1]), ("b", said[2])) == [True, True, False]


def test_a_copy_of_an_allowed_sender_is_told_too() -> None:
    """Once, where a path whose rules know the sender comes second; the pair stays one notification."""
    both = Union(["a", "b"])
    said = [("b", event(1)), ("a", event(1, trust="allow_listed"))]
    reverse = [("a", event(2, trust="allow_listed")), ("b", event(2))]

    assert told(both, *said, *reverse) == [True, True, True, False]
    assert both.waiting == 0
