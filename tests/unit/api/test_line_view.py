"""Lines as the API shows them: the best target's figures, names instead of numbers, and nothing left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from netmon.active_probe.figures import Figures, figures_of
from netmon.active_probe.model import LineStatus, TargetReading, VantageChange, VantageHealth, Vote
from netmon.api.line_view import is_wanted, line_view, vantage_view, vote_view
from netmon.api.problem import ProblemError
from netmon.api.query import line_page_of
from netmon.inventory.model import Area, Inventory, Line, Site
from netmon.inventory.topology import Topology

NOON = 1_767_268_800_000_000_000
COAST = Line(
    id="coast",
    name="海岸",
    medium="fibre",
    carrier_id="michishio",
    endpoint_site_ids=("hall", "port"),
    capacity_bps=10**9,
    sectors=("water",),
)
TOPOLOGY = Topology(
    Inventory(
        areas=(Area(id="hama", name="浜", code="042986"), Area(id="yama", name="山", code="044989")),
        sites=tuple(
            Site(id=name, name=name, area_id=area, longitude=0.0, latitude=0.0)
            for name, area in (("hall", "hama"), ("port", "yama"))
        ),
        lines=(COAST,),
    )
)
GOOD = TargetReading(label="stamp a", state="up", sent=100, lost=1, rtt_p50_s=0.01, rtt_p99_s=0.02, ipdv_s=0.001)
BAD = TargetReading(label="icmp b", state="down", reason="no_answer", sent=100, lost=100, misses=3)


def vote(vantage: str, *targets: TargetReading) -> Vote:
    """Of a line that is up."""
    return Vote(line_id="coast", vantage_id=vantage, state="up", since_unix_ns=NOON, unix_ns=NOON, targets=targets)


def status(*votes: Vote) -> LineStatus:
    """A verdict with these votes."""
    return LineStatus(
        line_id="coast", state="up", since_unix_ns=NOON, unix_ns=NOON + 10**9, votes=votes, vantages_live=2
    )


def test_the_figures_are_those_of_the_best_target_in_any_order_of_votes() -> None:
    """A target that fails alone has failed itself."""
    votes = (vote("b", BAD), vote("a", BAD, GOOD))

    expected = Figures(loss=0.01, rtt_p50_s=0.01, rtt_p99_s=0.02, ipdv_s=0.001, vantage_id="a", label="stamp a")
    assert [figures_of(status(*votes)), figures_of(status(*votes[::-1]))] == [expected, expected]


def test_without_a_measurement_there_are_no_figures() -> None:
    """Null, and not zero."""
    assert figures_of(status(vote("a", TargetReading(label="stamp a", state="unknown")))) == Figures()


def test_a_line_is_shown_with_its_places_and_figures() -> None:
    """Both municipalities that it ends in; times have names."""
    view = line_view(COAST, status(vote("a", GOOD)), TOPOLOGY)

    assert (view.areas, view.state, view.since, view.judged_at) == (
        ("hama", "yama"),
        "up",
        "2026-01-01T12:00:00.000000Z",
        "2026-01-01T12:00:01.000000Z",
    )
    assert (view.loss, view.rtt_p99_s, view.availability, view.heard_at) == (0.01, 0.02, None, None)


def test_a_line_that_nobody_judges_is_unknown() -> None:
    """Rather than left out, or up."""
    view = line_view(COAST, None, TOPOLOGY)

    assert (view.state, view.reason, view.judged_at, view.loss) == ("unknown", "no_vantage", None, None)


def test_a_vote_shows_every_target() -> None:
    """With what it measured, or did not."""
    shown = vote_view(vote("a", GOOD, BAD))

    assert (shown.vantage, shown.first_miss_at) == ("a", None)
    assert [(target.label, target.misses, target.rtt_p50_s) for target in shown.targets] == [
        ("stamp a", 0, 0.01),
        ("icmp b", 3, None),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"state": ("down", "up")}, True),
        ({"state": ("down",)}, False),
        ({"area": ("yama",), "sector": ("water",)}, True),
        ({"area": ("yama",), "carrier": ("akebono",)}, False),
    ],
)
def test_a_line_is_wanted_when_it_has_one_of_each(wanted: Mapping[str, tuple[str, ...]], expected: bool) -> None:
    """Values of one filter are alternatives; filters are not."""
    assert is_wanted(line_view(COAST, status(vote("a", GOOD)), TOPOLOGY), wanted) is expected


def test_a_vantage_is_what_is_said_of_it() -> None:
    """Its own word says when it was told; that it is silent, another one says."""
    health = VantageHealth(
        vantage_id="a", state="live", beat=7, started_unix_ns=NOON, unix_ns=NOON, heartbeat_s=1.0, anchors=3, lines=16
    )
    stale = VantageChange(vantage_id="a", before="live", after="stale", unix_ns=NOON + 10**9)

    view = vantage_view("a", health, stale)
    assert (view.state, view.since, view.told_at, view.lines) == (
        "stale",
        "2026-01-01T12:00:01.000000Z",
        "2026-01-01T12:00:00.000000Z",
        16,
    )
    assert vantage_view("b", None, None).state == "unknown"


def test_a_page_of_lines_is_what_the_parameters_ask_for() -> None:
    """States with commas between them, a place to go on from, how many."""
    page = line_page_of([("state", "down,unknown"), ("area", "hama"), ("cursor", "coast"), ("limit", "7")])

    assert (page.wanted, page.after, page.limit) == ({"state": ("down", "unknown"), "area": ("hama",)}, "coast", 7)


def test_every_mistake_of_a_page_is_named() -> None:
    """A misspelt filter must not show everything."""
    given: list[tuple[str, Any]] = [("state", "dead"), ("area", ""), ("limit", "0"), ("medium", "fibre")]
    with pytest.raises(ProblemError) as caught:
        line_page_of(given)

    assert {mistake.where for mistake in caught.value.problem.errors} == {
        "parameter state",
        "parameter area",
        "parameter limit",
        "parameter 'medium'",
    }
