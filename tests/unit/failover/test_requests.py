"""Which request has the greatest weight, and what is said to an operator who asks for what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.failover.model import LineSight, Request
from netmon.failover.protection.requests import CONDITIONS, refusal, strongest
from netmon.failover.protection.targets import health
from tests.unit.failover.groups import HOUR, NOON, Play, group, request, sights

asked = st.builds(
    lambda kind, line, id_, unix_ns, until: request(kind, line, id=id_, unix_ns=unix_ns, until_unix_ns=until),
    st.sampled_from(["lockout", "forced", "manual", "exercise"]),
    st.sampled_from(["", "own", "near"]),
    st.sampled_from("abcdef"),
    st.sampled_from([NOON, NOON + 1]),
    st.sampled_from([NOON - 1, NOON, NOON + 1, NOON + HOUR]),
)


def test_order_of_weight() -> None:
    """Lockout, forced, manual, exercise; of equals the newer one."""
    exercise, manual, forced = request("exercise"), request("manual", "far"), request("forced", "far")
    newer = request("forced", "near", unix_ns=NOON + 1)
    lockout = request("lockout")
    asked_for: list[Request] = []
    for one in (exercise, manual, forced, newer, lockout):
        asked_for.append(one)
        assert strongest(asked_for, NOON).request == one


def test_lockouts_of_lines_stand_beside() -> None:
    """They do not hide a switch that somebody wants."""
    forced = request("forced", "far")
    locked = [request("lockout", "near"), request("lockout", "own")]
    assert strongest([*locked, forced], NOON) == (forced, frozenset({"near", "own"}))


def test_what_has_ended_has_no_weight() -> None:
    """At the very moment."""
    ended = [request("lockout", until_unix_ns=NOON), request("lockout", "near", until_unix_ns=NOON - 1)]
    assert strongest(ended, NOON) == (None, frozenset())


@given(st.lists(asked, max_size=6, unique_by=lambda one: one.id), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_weight_is_a_total_order(requests: list[Request], random: Any) -> None:
    """In whatever order they are kept; and none of those left out weighs more."""
    shuffled = list(requests)
    random.shuffle(shuffled)
    assert strongest(shuffled, NOON) == strongest(requests, NOON)
    chosen = strongest(requests, NOON).request
    for one in requests:
        assert strongest([one] if chosen is None else [one, chosen], NOON).request == chosen


def test_conditions_are_told_once_each() -> None:
    """In the order of their weight."""
    assert len(set(CONDITIONS)) == len(CONDITIONS) == 15
    assert CONDITIONS[:4] == ("lockout", "forced", "frozen", "used_failed")


@pytest.mark.parametrize(
    ("state", "one_way", "both_ways", "expected"),
    [
        ("up", False, True, "up"),
        ("degraded", False, True, "degraded"),
        ("degraded", True, True, "down"),
        ("degraded", True, False, "degraded"),
        ("up", True, False, "degraded"),
        ("down", True, False, "down"),
        ("unknown", True, True, "unknown"),
    ],
)
def test_how_a_line_is_for_a_group(state: Any, one_way: bool, both_ways: bool, expected: str) -> None:
    """One-way is a failure for who needs both ways; and of what is not known nothing is said."""
    sight = LineSight(line_id="own", state=state, one_way=one_way)
    assert health(group(both_ways=both_ways), sight) == expected


def test_a_line_that_nobody_sees_is_unknown() -> None:
    """Whatever the group."""
    assert health(group(), None) == "unknown"


@pytest.mark.parametrize(
    ("kind", "line", "view", "expected"),
    [
        ("lockout", "", {}, ""),
        ("lockout", "near", {}, ""),
        ("forced", "far", {}, ""),
        ("manual", "far", {}, ""),
        ("manual", "own", {}, ""),
        ("exercise", "", {}, ""),
        ("forced", "former", {}, "former is no line of gw-port/life: it has own, near, far"),
        ("forced", "", {}, "name the line to switch to"),
        ("manual", "near", {"locked": frozenset({"near"})}, "near is locked out: clear that first"),
        ("exercise", "near", {"posture": "disaster"}, "posture is disaster: exercises are for calm days"),
        (
            "manual",
            "near",
            {"candidates": ()},
            "near is not proven or has no room now: a forced switch goes there all the same",
        ),
        (
            "manual",
            "own",
            {"working_fits": False},
            "own is not proven or has no room now: a forced switch goes there all the same",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(kind: Any, line: str, view: dict[str, Any], expected: str) -> None:
    """And with what helps."""
    play = Play()
    play.view.update(view)
    assert refusal(play.group, play.state, play.seen(), request(kind, line), NOON) == expected


@pytest.mark.parametrize(
    ("kind", "lines", "expected"),
    [
        ("forced", {"far": "down"}, "far has failed: there is nothing to be gained"),
        ("forced", {"far": "unknown"}, ""),
        ("forced", {"own": "down"}, ""),
        ("manual", {"far": "unknown"}, "far is unknown: a manual switch needs a healthy line, a forced one does not"),
        ("manual", {"own": "down"}, "own has failed, which overrules a manual switch: use a forced one"),
    ],
)
def test_the_line_has_to_be_fit_for_it(kind: Any, lines: dict[str, Any], expected: str) -> None:
    """More so for a manual than for a forced switch."""
    play = Play()
    play.lines = sights(**lines)
    assert refusal(play.group, play.state, play.seen(), request(kind, "far"), NOON) == expected


def test_where_netmon_only_observes_it_is_not_asked_to_switch() -> None:
    """It would be said to be done, and nothing would move."""
    play = Play(mode="observe")
    expected = "gw-port/life is only observed (mode: observe): netmon moves nothing there"
    assert refusal(play.group, play.state, play.seen(), request("forced", "far"), NOON) == expected


def test_a_command_has_to_end_later() -> None:
    """Else it would never be in force."""
    late = request("lockout", until_unix_ns=NOON)
    play = Play()
    assert refusal(play.group, play.state, play.seen(), late, NOON) == "it ends before it begins: give a later end"
