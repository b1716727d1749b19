"""Whom a reflector answers, how often, and its count of each session."""

from __future__ import annotations

import ipaddress

import pytest

from netmon.active_probe.stamp.sessions import SESSION_IDLE_NS, SOURCES_MAX, Allowed, Limits, Sessions

SECOND_NS = 1_000_000_000


def test_each_session_has_a_count_of_its_own() -> None:
    """From 0, by one."""
    sessions = Sessions()

    numbers = [sessions.next_number(session, 0) for session in ("a", "a", "b", "a", "b")]

    assert numbers == [0, 1, 0, 2, 1]


def test_a_full_table_leaves_newcomers_uncounted() -> None:
    """Those that are in use go on: whoever forges sources does not spoil what others measure."""
    sessions = Sessions(sessions_max=2)

    numbers = [sessions.next_number(session, 0) for session in ("a", "b", "c", "a", "c")]

    assert (numbers, len(sessions)) == ([0, 0, None, 1, None], 2)


def test_an_idle_session_makes_room() -> None:
    """The one that was used longest ago; it begins anew when it comes back."""
    sessions = Sessions(sessions_max=2)
    for session, mono_ns in (("a", 0), ("b", 1), ("a", 2)):
        sessions.next_number(session, mono_ns)

    assert sessions.next_number("c", 1 + SESSION_IDLE_NS) == 0
    assert sessions.next_number("a", 1 + SESSION_IDLE_NS) == 2


def test_idle_sessions_are_forgotten() -> None:
    """All of them, and none that is not idle."""
    sessions = Sessions()
    for session, mono_ns in (("a", 0), ("b", 0), ("c", 1)):
        sessions.next_number(session, mono_ns)

    sessions.forget_idle(SESSION_IDLE_NS)

    assert len(sessions) == 1


def test_a_source_has_its_share_of_each_second() -> None:
    """And another has its own."""
    limits = Limits(total_max=100, source_max=2)

    refusals = [limits.refusal(source, 0) for source in ("a", "a", "a", "b")]

    assert refusals == ["", "", "rate_source", ""]
    assert limits.refusal("a", SECOND_NS) == ""


def test_all_sources_together_have_a_limit() -> None:
    """A refused question of one source takes nothing of it."""
    limits = Limits(total_max=3, source_max=2)

    refusals = [limits.refusal(source, 0) for source in ("a", "a", "a", "b", "c")]

    assert refusals == ["", "", "rate_source", "", "rate_total"]


def test_sources_without_number_are_not_remembered() -> None:
    """Those that are known keep their share."""
    limits = Limits(total_max=2 * SOURCES_MAX, source_max=2)
    refusals = [limits.refusal(str(source), 0) for source in range(SOURCES_MAX + 1)]

    assert (refusals[-2:], limits.refusal("0", 0)) == (["", "rate_source"], "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [("192.0.2.7", True), ("192.0.3.7", False), ("2001:db8::1", True), ("2001:db9::1", False)],
)
def test_only_allowed_networks_are_answered(source: str, expected: bool) -> None:
    """Of both families."""
    allowed = Allowed([ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")])

    assert [source in allowed, source in allowed] == [expected, expected]


def test_without_networks_everybody_is_answered() -> None:
    """Whoever wants less says so."""
    assert "203.0.113.9" in Allowed([])


def test_many_sources_are_all_judged_rightly() -> None:
    """Also when the memory of verdicts has been emptied in between."""
    allowed = Allowed([ipaddress.ip_network("10.0.0.0/17")])

    inside = sum(f"10.0.{number >> 8}.{number & 0xFF}" in allowed for number in range(1 << 16))

    assert inside == 1 << 15
