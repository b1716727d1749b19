"""What a request asks for: every mistake is named, and hostile cursors and headers are mistakes like others."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.api.listing import Position, Query
from netmon.api.problem import ERRORS_MAX, Mistake, ProblemError, invalid
from netmon.api.query import LIMIT_DEFAULT, Page, cursor_of, given_once, page_of, wanted_version

EPOCH = "18a"


def refused(*parameters: tuple[str, str], epoch: str = EPOCH) -> dict[str, str]:
    """What is wrong with them: where to what."""
    with pytest.raises(ProblemError) as error:
        page_of(parameters, epoch)
    problem = error.value.problem
    assert (problem.status, problem.code, problem.title) == (400, "invalid_request", "Bad Request")
    return {mistake.where: mistake.detail for mistake in problem.errors}


def test_nothing_asks_for_what_stands() -> None:
    """The worst first, a hundred at a time."""
    assert page_of([], EPOCH) == Page(query=Query(), limit=LIMIT_DEFAULT, position=Position())


def test_every_parameter_is_understood() -> None:
    """Several values of one with commas between them."""
    page = page_of(
        [("state", "all"), ("severity", "critical,major"), ("area", "hama"), ("flapping", "true"), ("limit", "7")],
        EPOCH,
    )
    expected = Query(state="all", severity=("critical", "major"), area="hama", flapping=True)
    assert (page.query, page.limit) == (expected, 7)


def test_all_mistakes_are_named_at_once() -> None:
    """Each with its parameter and what was expected."""
    found = refused(
        ("severity", "major,bad"),
        ("state", "on"),
        ("flapping", "1"),
        ("area", ""),
        ("limit", "0"),
        ("cursor", "???"),
        ("surprise", "1"),
        ("sort", "id"),
        ("sort", "id"),
        ("q", "a b c d e f g h i"),
        ("site", "x" * 201),
    )
    assert found == {
        "parameter severity": "found 'bad'; expected one of indeterminate, warning, minor, major, critical",
        "parameter state": "found 'on'; expected one of active, cleared, all",
        "parameter flapping": "found '1'; expected true or false",
        "parameter area": "found nothing; expected an ID, or leave the parameter out",
        "parameter limit": "found '0'; expected a number from 1 to 500",
        "parameter cursor": "found none of ours; expected next_cursor of the page before",
        "parameter 'surprise'": found["parameter 'surprise'"],
        "parameter sort": found["parameter sort"],
        "parameter q": "found 9 words; expected at most 8",
        "parameter site": "found 201 characters; expected fewer",
    }
    assert found["parameter 'surprise'"].startswith("unknown; expected state, severity, ")


def test_an_answer_about_mistakes_is_short() -> None:
    """Whatever was sent."""
    problem = invalid([Mistake("x", "y")] * 1_000).problem
    assert (len(problem.errors), problem.detail) == (ERRORS_MAX, "the request has 1000 mistakes")
    assert len(next(iter(refused(("x" * 10_000, "1"))))) < 100


def test_a_cursor_comes_back_as_it_went() -> None:
    """Key and moves, for the same query; the limit may differ."""
    page = page_of([("area", "hama")], EPOCH)
    cursor = cursor_of(page, Position((-4, -1_767_268_800_000_000_000, "abc"), 12), EPOCH)
    again = page_of([("area", "hama"), ("limit", "3"), ("cursor", cursor)], EPOCH)
    assert again.position == Position((-4, -1_767_268_800_000_000_000, "abc"), 12)


def test_a_cursor_of_another_list_is_refused() -> None:
    """Other parameters are a mistake; another loading of the list is gone."""
    cursor = cursor_of(page_of([], EPOCH), Position((1, "abc"), 12), EPOCH)
    assert list(refused(("area", "hama"), ("cursor", cursor))) == ["parameter cursor"]
    with pytest.raises(ProblemError) as error:
        page_of([("cursor", cursor)], "other")
    assert (error.value.problem.status, error.value.problem.code) == (410, "cursor_gone")


@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b"[]",
        b"{}",
        b'["18a","x",[],1]',
        b'["18a","x",["a","b"],1]',
        b'["18a","x",[1,2,3,"a"],1]',
        b"[[[[[[[",
        b"\xff",
    ],
)
def test_a_forged_cursor_is_a_mistake(inside: bytes) -> None:
    """Whatever is inside."""
    assert list(refused(("cursor", base64.urlsafe_b64encode(inside).decode()))) == ["parameter cursor"]


@given(st.text(max_size=50))
def test_any_cursor_is_a_mistake_or_one_of_ours(text: str) -> None:
    """Nothing else is raised."""
    assert list(refused(("cursor", text))) == ["parameter cursor"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, None), ("*", None), ('"7"', 7), ('"3", "5"', 5), ('"3", "7"', 7), ('W/"7", "6"', 6), ('"x", "8"', 8)],
)
def test_if_match_names_versions(header: str | None, expected: int | None) -> None:
    """Of several, the one that the alarm has; the alarm has 7."""
    assert wanted_version(header, 7) == expected


@pytest.mark.parametrize(("header", "status"), [("7", 400), ('"7', 400), ("", 400), ('"1",' * 99, 400), ('W/"7"', 412)])
def test_a_bad_if_match_is_told(header: str, status: int) -> None:
    """Malformed is 400; a weak one never matches (RFC 9110 section 13.1.1)."""
    with pytest.raises(ProblemError) as error:
        wanted_version(header, 7)
    assert error.value.problem.status == status


@given(st.text(max_size=30))
def test_any_if_match_is_a_version_or_a_problem(header: str) -> None:
    """Nothing else is raised."""
    try:
        found: Any = wanted_version(header, 7)
    except ProblemError as error:
        found = error.problem.status
    assert found is None or isinstance(found, int)


def test_a_single_parameter_is_read_by_its_name() -> None:
    """Others are refused."""
    assert (given_once([("after", "1-0")], "after"), given_once([], "after")) == ("1-0", None)
    with pytest.raises(ProblemError):
        given_once([("before", "1-0")], "after")
