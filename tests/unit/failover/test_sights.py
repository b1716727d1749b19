"""What is seen of lines, put together from the verdict, traps and gateways."""

from __future__ import annotations

from typing import Final

import pytest

from netmon.active_probe.model import LineState
from netmon.failover.model import LineSight
from netmon.failover.region.sights import Sights, merged

S: Final = 1_000_000_000


def sight(state: LineState, *, line: str = "a", one_way: bool = False, good: int = 0, reason: str = "") -> LineSight:
    """A look at a line."""
    return LineSight(line_id=line, state=state, one_way=one_way, good_unix_ns=good * S, reason=reason)


def region() -> Sights:
    """Lines a and b, and a gateway that has both."""
    return Sights(["a", "b"], {"g": frozenset({"a", "b"})})


@pytest.mark.parametrize(
    ("verdict", "own", "expected"),
    [
        (sight("up", good=5), sight("up", good=7), sight("up", good=7)),
        (sight("up", good=5), sight("down"), sight("down", good=5)),
        (sight("down"), sight("up", good=7), sight("down", good=7)),
        (sight("unknown"), sight("up", good=7), sight("up", good=7)),
        (sight("up", good=5), sight("unknown"), sight("up", good=5)),
        (sight("degraded", one_way=True), sight("degraded"), sight("degraded", one_way=True)),
        (sight("degraded"), sight("down"), sight("down")),
    ],
)
def test_the_worse_of_two_looks_counts_and_either_proves(
    verdict: LineSight, own: LineSight, expected: LineSight
) -> None:
    """Nobody's word is weaker than anybody's."""
    assert merged(verdict, own) == expected


def test_what_a_gateway_tells_counts_for_itself_alone() -> None:
    """Its access may be broken, and the line may be well."""
    sights = region()
    sights.see(sight("up", good=5))

    assert sights.see_gateway("g", [sight("down")]) is True
    assert (sights.of("g")["a"].state, sights.by("g", "a")) == ("down", "gateway")
    assert (sights.of("other")["a"].state, sights.by("other", "a")) == ("up", "verdict")


def test_what_a_silent_gateway_told_is_forgotten() -> None:
    """It may be long over."""
    sights = region()
    sights.see(sight("up", good=5))
    sights.see_gateway("g", [sight("down")])

    assert sights.lose_gateway("g") is True
    assert sights.of("g")["a"].state == "up"
    assert sights.lose_gateway("g") is False


def test_a_new_verdict_is_seen_through_what_a_gateway_told() -> None:
    """What was put together before is not kept."""
    sights = region()
    sights.see_gateway("g", [sight("up", good=5)])
    assert sights.of("g")["a"].state == "up"

    sights.see(sight("down"))

    assert sights.of("g")["a"].state == "down"


def test_lines_that_are_not_a_gateways_own_are_not_taken_from_it() -> None:
    """Nobody says what becomes of others, and memory is bounded."""
    sights = Sights(["a", "b"], {"g": frozenset({"a"})})

    sights.see_gateway("g", [sight("down", line="b"), sight("down", line="x")])

    assert dict(sights.of("g")) == dict(sights.region)
    assert sights.see_gateway("stranger", [sight("down")]) is False


def test_a_trap_counts_until_a_probe_shows_the_line_good_later() -> None:
    """Evidence without a probe is never stronger than a probe."""
    sights = region()
    sights.see(sight("up", good=5))

    assert sights.see_trap("a", True, 8 * S) is True
    assert (sights.region["a"].state, sights.region["a"].reason) == ("down", "trap")
    assert sights.by("g", "a") == "trap"

    assert sights.see(sight("up", good=8)) is False
    assert sights.see(sight("up", good=9)) is True
    assert sights.region["a"] == sight("up", good=9)


def test_a_trap_of_before_the_last_answer_says_nothing() -> None:
    """It was late, or the line is back already."""
    sights = region()
    sights.see(sight("up", good=5))

    assert sights.see_trap("a", True, 4 * S) is False
    assert sights.region["a"].state == "up"


def test_a_trap_is_taken_back_by_another_but_not_by_an_older_one() -> None:
    """Traps overtake each other."""
    sights = region()
    sights.see_trap("a", True, 8 * S)

    assert sights.see_trap("a", False, 7 * S) is False
    assert sights.region["a"].state == "down"
    assert sights.see_trap("a", False, 9 * S) is True
    assert sights.region["a"].state == "unknown"


def test_a_gateways_own_probe_disproves_a_trap_for_it() -> None:
    """For others the trap stands."""
    sights = region()
    sights.see(sight("up", good=5))
    sights.see_trap("a", True, 8 * S)

    sights.see_gateway("g", [sight("up", good=9)])

    assert (sights.of("g")["a"].state, sights.region["a"].state) == ("up", "down")


def test_only_what_differs_is_news() -> None:
    """A line that is proven anew need not be looked at again."""
    sights = region()

    assert sights.see(sight("up", good=1)) is True
    assert sights.see(sight("up", good=2)) is False
    assert sights.see(sight("degraded", good=2)) is True
    assert sights.see(sight("degraded", one_way=True, good=2)) is True
    assert sights.see(sight("up", line="x")) is False
    assert sights.see_gateway("g", [sight("up", good=3)]) is True
    assert sights.see_gateway("g", [sight("up", good=4)]) is False
    assert sights.see_gateway("g", [sight("down", good=4)]) is True
