"""Where a group may go: small regions whose right answer can be seen, and laws for any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netmon.failover.model import Candidate, Group, LineFacts, LineSight, Timers
from netmon.failover.protection.choice import Chooser, Risks, failing_risks
from netmon.failover.region.explain import Refusal
from tests.unit.failover.samples import MBPS, at, down, group, line, names, sight

TWINS = [line("own", "duct"), line("twin", "duct"), line("apart", "pole", cost_tier=3, medium="5g")]
"""The line and its twin lie in one duct; the third one is dearer, and shares nothing."""


def chooser(facts: Sequence[LineFacts], *sights: LineSight) -> tuple[Chooser, dict[str, LineSight]]:
    """The region as it is seen; lines that are not named are up."""
    seen = {fact.line_id: sight(fact.line_id) for fact in facts} | {each.line_id: each for each in sights}
    made = Chooser(facts)
    for each in seen.values():
        made.risks.see(each)
    return made, seen


def ranked(facts: Sequence[LineFacts], *sights: LineSight, of: Group | None = None, **how: Any) -> list[Candidate]:
    """What a group would use at noon."""
    made, seen = chooser(facts, *sights)
    return made.rank(of or group(), seen, at(0), **how)


def test_a_siren_leaves_a_cut_duct_for_the_line_that_is_not_in_it() -> None:
    """Though the twin is cheaper and, as far as anybody knows, up."""
    assert names(ranked(TWINS, down("own"))) == "apart"


def test_a_camera_prefers_that_line_but_would_use_the_twin() -> None:
    """Strict avoidance is for P0 alone."""
    assert names(ranked(TWINS, down("own"), of=group("gw/bulk"))) == "apart twin"


def test_a_siren_uses_the_twin_when_it_has_nothing_else() -> None:
    """Better the same duct than nothing: down, locked out, or tried in vain, the other line is none."""
    assert names(ranked(TWINS, down("own"), down("apart"))) == "twin"
    assert names(ranked(TWINS, down("own"), locked={"apart"})) == "twin"
    assert names(ranked(TWINS, down("own"), avoid={"apart"})) == "twin"
    assert names(ranked(TWINS, down("own"), has_room=lambda line_id: line_id == "twin")) == "twin"


def test_the_twin_does_not_become_safe_by_answering() -> None:
    """It has, since, and the duct is not suspected any more; but it is the duct of the line that has failed."""
    made, lines = chooser(TWINS, down("own", since_s=-60))

    assert made.risks.failing == frozenset()
    assert names(made.rank(group(), lines, at(0))) == "apart"


def test_what_a_gateway_alone_sees_counts_for_its_groups() -> None:
    """The region thinks that the line is up."""
    made, lines = chooser(TWINS)

    assert names(made.rank(group(), lines | {"own": down("own")}, at(0))) == "apart"


def test_while_all_is_well_the_cheap_line_goes_first() -> None:
    """Nothing has failed, so nothing is shared with what has."""
    assert names(ranked(TWINS)) == "twin apart"


def test_a_duct_that_fails_elsewhere_is_avoided() -> None:
    """The group's own line shares nothing with its backup; that lies on the bridge over which another line has just gone."""
    facts = [line("own", "a"), line("near", "bridge"), line("far", "b", cost_tier=2), line("other", "bridge")]

    assert names(ranked(facts, down("own"), down("other"), of=group(lines="own near far"))) == "far"


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        ({"carrier_id": "same"}, {"carrier_id": "other", "cost_tier": 9}, "second"),
        ({"cost_tier": 2}, {"cost_tier": 1, "medium": "5g"}, "second"),
        ({"cost_tier": 1, "medium": "geo"}, {"cost_tier": 5}, "second"),  # a delay that is of no use costs more
        ({"medium": "5g"}, {"medium": "fibre"}, "second"),
        ({"medium": "5g"}, {"medium": "leo"}, "first"),  # one class of round trips: as the operator has listed them
        ({}, {}, "first"),
    ],
)
def test_what_decides_between_lines_that_share_nothing(
    first: dict[str, Any], second: dict[str, Any], better: str
) -> None:
    """Delay that the class cannot use, carrier, cost, class of delay, and in the end the order that the operator wrote."""
    facts = [line("own", carrier_id="same"), line("first", **first), line("second", **second)]

    candidates = ranked(facts, down("own"), of=group(lines="own first second", delay_ms_max=100))

    assert candidates[0].line_id == better


def test_a_measured_round_trip_counts_more_than_what_is_typical_of_a_medium() -> None:
    """A fibre that goes the long way round takes 300 ms each way."""
    facts = [line("own"), line("first"), line("second", cost_tier=4)]

    candidates = ranked(
        facts, down("own"), sight("first", rtt_s=0.6), of=group(lines="own first second", delay_ms_max=100)
    )

    assert names(candidates) == "second first"


def test_a_degraded_line_is_the_last_resort_of_an_escape() -> None:
    """It is used when nothing is up, and never just because it would be better."""
    alone = (down("own"), down("apart"), sight("twin", "degraded"))

    assert names(ranked(TWINS, down("own"), sight("twin", "degraded"), of=group("gw/bulk"))) == "apart"
    assert names(ranked(TWINS, *alone)) == "twin"
    assert names(ranked(TWINS, *alone, escape=False)) == ""
    full = {"has_room": lambda line_id: line_id == "twin"}
    assert names(ranked(TWINS, down("own"), sight("twin", "degraded"), **full)) == "twin"


@pytest.mark.parametrize(
    ("seen", "of", "how", "word"),
    [
        (sight("apart"), group(), {}, ""),
        (sight("apart"), group(), {"locked": {"apart"}}, "locked_out"),
        (down("apart"), group(), {}, "down"),
        (sight("apart", "degraded", one_way=True), group(), {}, "one_way"),
        (sight("apart", "degraded", one_way=True), group(both_ways=False), {}, "degraded"),
        (sight("apart", "unknown"), group(), {}, "unknown"),
        (sight("apart", good_s=-5.1), group(), {}, "unproven"),
        (sight("apart", good_s=-5.0), group(), {}, ""),
        (sight("apart", good_s=1.0), group(), {}, ""),
        (sight("apart", good_s=3600), group(), {}, "unproven"),
        (sight("apart", good_s=-9.0), group(timers=Timers(proven_s=10)), {}, ""),
        (sight("apart"), group(), {"avoid": {"apart"}}, "tried"),
        (sight("apart"), group("gw/bulk"), {"posture": "disaster"}, "small_line"),
        (sight("apart"), group("gw/bulk"), {"posture": "recovering"}, ""),
        (sight("apart"), group("gw/control"), {"posture": "disaster"}, ""),
        (sight("apart", "degraded"), group(), {}, "degraded"),
        (sight("apart"), group(), {"has_room": lambda line_id: line_id != "apart"}, "no_room"),
    ],
)
def test_why_a_line_is_no_candidate(seen: LineSight, of: Group, how: dict[str, Any], word: Refusal) -> None:
    """Every word that `explain` says of a line by itself."""
    made, lines = chooser([line("own"), line("twin"), line("apart", capacity_bps=19 * MBPS)], seen)

    assert made.refusal(of, "apart", lines, at(0), **how) == word


def test_words_for_lines_that_others_put_out_of_the_question() -> None:
    """The working line is no candidate, and for P0 the twin is none while there is another."""
    made, lines = chooser(TWINS, down("own"))

    assert made.refusal(group(), "own", lines, at(0)) == "working"
    assert made.refusal(group(), "twin", lines, at(0)) == "shared_risk"
    assert made.shared(group(), "twin", lines) == ("duct",)


def test_a_standby_line_is_proven_for_as_long_as_its_probes_need() -> None:
    """It is asked every 30 s."""
    facts = [line("own"), line("cold", proven_s=60.0, standby=True)]

    assert names(ranked(facts, down("own"), sight("cold", good_s=-55), of=group(lines="own cold"))) == "cold"


@pytest.mark.parametrize(
    ("seen", "failing"),
    [
        ("a-", "a"),  # nobody else is in it: nothing speaks for it
        ("a- a+", ""),  # the other line in the duct has answered since
        ("a- a=", "a"),  # it has not yet: it may be about to be found dead
        ("a- a?", "a"),  # nobody can say
        ("a- a+ a?", ""),  # of those of whom anything is known, all are well
        ("a- a- a+", "a"),  # two of three: a common cause
        ("a- a1", "a"),  # one-way: it is hurt as well
        ("a- " + "a+ " * 18 + "a-", ""),  # two of an exchange's twenty, the others well: chance
        ("a- " + "a+ " * 17 + "a-", "a"),
        ("ab- b+ a=", "a"),  # the feeder is well, of the duct it is not known
    ],
)
def test_which_risks_are_suspected(seen: str, failing: str) -> None:
    """Each word is a line: the risks it has, and whether it is down (-), has answered since (+), not yet (=), is unknown (?) or one-way (1)."""
    kinds = {
        "-": {"state": "down", "since_s": -1, "good_s": -2},
        "+": {"state": "up", "good_s": -0.5},
        "=": {"state": "up", "good_s": -1.5},
        "?": {"state": "unknown", "good_s": -60},
        "1": {"state": "degraded", "one_way": True, "since_s": -1, "good_s": -2},
    }
    facts = [line(str(number), *word[:-1]) for number, word in enumerate(seen.split())]
    sights = [sight(str(number), **kinds[word[-1]]) for number, word in enumerate(seen.split())]  # type: ignore[arg-type]

    assert failing_risks(facts, sights) == frozenset(failing)


def test_a_sign_of_life_after_the_failure_ends_the_suspicion() -> None:
    """Not the first one that comes, but the last one that was waited for."""
    risks = Risks([line("own", "duct"), line("twin", "duct"), line("third", "duct")])
    suspected = []
    for each in (
        sight("twin", good_s=-1),
        sight("third", good_s=-1),
        down("own"),
        sight("twin", good_s=0.5),
        sight("third", good_s=0.6),
        down("own", since_s=5),
        sight("own", since_s=6, good_s=6),
    ):
        risks.see(each)
        suspected.append(sorted(risks.failing))
        assert risks.settled == frozenset()

    assert suspected == [[], [], ["duct"], ["duct"], [], ["duct"], []]


def test_what_two_lines_have_suffered_together_is_settled_when_the_others_have_answered() -> None:
    """Before that, the duct is avoided, but no plan is made anew for it."""
    risks = Risks([line("own", "duct"), line("twin", "duct"), line("third", "duct")])
    for each in (sight("third", good_s=-1), down("own"), down("twin")):
        risks.see(each)
    assert (risks.failing, risks.settled) == ({"duct"}, frozenset())

    risks.see(sight("third", good_s=1))

    assert (risks.failing, risks.settled) == ({"duct"}, {"duct"})


SIGHTS = st.builds(
    lambda line_id, state, one_way, since_s, good_s: sight(
        line_id, state, one_way=one_way, since_s=since_s, good_s=good_s
    ),
    st.sampled_from("abcde"),
    st.sampled_from(["up", "degraded", "down", "unknown"]),
    st.booleans(),
    st.integers(-9, 0),
    st.integers(-9, 0),
)
FACTS = st.lists(st.sets(st.sampled_from("rstu")), min_size=5, max_size=5).map(
    lambda risks: [line(line_id, *own) for line_id, own in zip("abcde", risks, strict=True)]
)


@settings(max_examples=60, deadline=None)
@example(
    [line(line_id, *own) for line_id, own in zip("abcde", ["r", "r", "", "", ""], strict=True)],
    [sight("a", good_s=0), sight("b", "down", since_s=-1), sight("a", good_s=-1)],
)
@given(FACTS, st.lists(SIGHTS, max_size=20))
def test_what_fails_follows_from_how_lines_are_and_not_from_how_they_came_to_be_so(
    facts: list[LineFacts], sights: list[LineSight]
) -> None:
    """Asked after each change, or at the end: the same risks are suspected."""
    risks = Risks(facts)
    for each in sights:
        risks.see(each)
        assert risks.names(risks.failing_mask) == tuple(sorted(risks.failing))

    assert risks.failing == failing_risks(facts, {each.line_id: each for each in sights}.values())


@settings(max_examples=60, deadline=None)
@given(FACTS, st.lists(SIGHTS, max_size=10), st.sampled_from(["gw/life", "gw/bulk"]), st.booleans())
def test_laws_of_the_choice(facts: list[LineFacts], sights: list[LineSight], group_id: str, escape: bool) -> None:
    """Never a line that is not good and proven; P0 strict; a word for every line that is left out, and for no other."""
    made, seen = chooser(facts, *sights)
    of = group(group_id, "a b c d e")

    candidates = made.rank(of, seen, at(0), escape=escape)

    used = [candidate.line_id for candidate in candidates]
    assert {seen[line_id].state for line_id in used} <= ({"up"}, {"up", "degraded"})[escape]
    assert all(not seen[line_id].one_way and seen[line_id].good_unix_ns >= at(-5) for line_id in used)
    shared = {line_id: len(made.shared(of, line_id, seen)) for line_id in used}
    assert [candidate.rank[0] for candidate in candidates] == sorted(shared.values())
    if of.priority == 0 and 0 in shared.values():
        assert set(shared.values()) == {0}
    words = {line_id: made.refusal(of, line_id, seen, at(0), escape=escape) for line_id in of.protections}
    assert {line_id for line_id, word in words.items() if not word} == set(used)
