"""What operators are answered, what becomes of what they wanted before, and what the audit has of it."""

from __future__ import annotations

from typing import Any

import pytest

from netmon.failover.controller import commands
from netmon.failover.controller.audit import EARLY, of_action, of_expiry
from netmon.failover.controller.report import Counts
from netmon.failover.controller.tally import count_audit
from netmon.failover.model import Freeze, LineFacts
from netmon.failover.record import Command, CommandResult
from tests.unit.failover.regions import LINES, MBIT, Bench, S, group, told

KINDS = ("lockout", "forced", "manual", "exercise")
"""The strongest first."""
WEAKER = [(one, other) for place, one in enumerate(KINDS) for other in KINDS[place + 1 :]]


def line_of(kind: str) -> str:
    """What a command of this kind names."""
    return {"forced": "f3", "manual": "m1"}.get(kind, "")


def obey(bench: Bench, kind: Any, line_id: str = "", seconds: float = 0.0, **fields: Any) -> CommandResult:
    """Somebody gives a command; what he is answered."""
    values = {
        "id": f"{kind}-{line_id}-{bench.now}",
        "group_id": "g1/p0",
        "by": "suzuki",
        "why": "works",
        "unix_ns": bench.now,
    }
    until_ns = bench.now + round(seconds * S) if seconds else 0
    command = Command(kind=kind, line_id=line_id, until_unix_ns=until_ns, **{**values, **fields})
    return commands.obey(command, bench.core, bench.now).result


def settled(*groups: Any, lines: tuple[LineFacts, ...] = LINES) -> Bench:
    """Everybody is at home, and known to be."""
    bench = Bench(groups or [group(1, 0)], lines=lines)
    bench.step()
    return bench


# -- one command and another


@pytest.mark.parametrize(("stronger", "weaker"), WEAKER)
def test_a_weaker_command_is_refused_under_a_stronger_one(stronger: str, weaker: str) -> None:
    """It would take effect hours later, when nobody thinks of it any more."""
    bench = settled()
    assert obey(bench, stronger, line_of(stronger), seconds=60.0).outcome == "done"
    if stronger != "exercise":
        bench.settle()
    result = obey(bench, weaker, line_of(weaker))
    name = stronger if stronger == "lockout" else f"{stronger} switch"
    assert result.outcome == "refused"
    assert result.detail == f"a {name} by suzuki until 20:07 JST is in force: clear it first"
    assert [each.kind for each in bench.core.requests["g1/p0"]] == [stronger]


@pytest.mark.parametrize(("stronger", "weaker"), WEAKER)
def test_a_stronger_command_ends_a_weaker_one_for_good(stronger: str, weaker: str) -> None:
    """What was overruled does not come back when the other one ends."""
    bench = settled()
    obey(bench, weaker, line_of(weaker))
    assert obey(bench, stronger, line_of(stronger), seconds=10.0).outcome == "done"
    bench.settle()
    bench.run(80)
    assert (bench.on("g1/p0"), bench.phase("g1/p0"), dict(bench.core.requests)) == ("f1", "NR", {})


def test_of_one_kind_the_newest_stands() -> None:
    """Nothing piles up that would be done one after the other."""
    bench = settled()
    obey(bench, "forced", "f3")
    bench.settle()
    bench.now += S
    obey(bench, "forced", "m1", seconds=10.0)
    assert [told(action) for action in bench.step().actions] == ["g1/p0>m1"]
    assert [each.line_id for each in bench.core.requests["g1/p0"]] == ["m1"]


def test_a_lockout_of_a_line_stands_beside_everything_but_a_switch_to_it() -> None:
    """That one is over; the line would be gone to when the lockout ends."""
    bench = settled()
    obey(bench, "manual", "m1")
    assert obey(bench, "lockout", "f3").outcome == "done"
    assert len(bench.core.requests["g1/p0"]) == 2
    obey(bench, "lockout", "m1", seconds=5.0)
    assert [(each.kind, each.line_id) for each in bench.core.requests["g1/p0"]] == [
        ("lockout", "f3"),
        ("lockout", "m1"),
    ]
    assert obey(bench, "forced", "m1").detail == "a lockout of m1 by suzuki until 20:06 JST is in force: clear it first"


def test_an_end_on_another_day_is_told_with_the_day() -> None:
    """Else nobody would know which one."""
    bench = settled()
    obey(bench, "lockout", seconds=3 * 86_400.0)
    assert obey(bench, "exercise").detail.startswith("a lockout by suzuki until 2026-11-21 20:06 JST is in force")


def test_a_manual_switch_is_not_kept_until_the_region_is_thawed() -> None:
    """It would be done then."""
    bench = settled()
    bench.core.freeze(Freeze(by="suzuki", why="works", unix_ns=bench.now), bench.now)
    bench.step()
    assert obey(bench, "manual", "m1").detail == "the region is frozen: a forced switch is done all the same"


def test_what_ends_before_its_time_is_told_so() -> None:
    """It has not run out."""
    bench = settled()
    obey(bench, "manual", "m1", seconds=10.0)
    (request,) = bench.core.requests["g1/p0"]
    assert of_expiry(request, fence=7, unix_ns=bench.now).evidence == (EARLY,)
    assert of_expiry(request, fence=7, unix_ns=bench.now + 10 * S).evidence == ()


# -- exercises


def test_an_exercise_is_over_once_it_has_told_what_it_found() -> None:
    """Who gave it is answered, the audit has what was found and who asked, and the group is at rest again."""
    bench = settled()
    result = obey(bench, "exercise", why="monthly")
    assert (result.outcome, result.detail, result.until_unix_ns) == ("done", "exercise: would go to f3", 0)
    decided = bench.step()
    assert (bench.phase("g1/p0"), dict(bench.core.requests)) == ("NR", {})
    (page,) = decided.actions
    evidence = bench.core.evidence(page)
    entry = of_action(page, decided.states[0], fence=7, unix_ns=bench.now, evidence=evidence, request=page.request)
    assert (entry.page, entry.to, entry.by, entry.why) == ("exercise_well", "f3", "suzuki", "monthly")
    assert entry.evidence[0] == "exercise by suzuki: monthly"
    assert bench.settle(60.0) == []


def test_an_exercise_that_finds_nothing_says_why_and_is_counted() -> None:
    """That is what it is for."""
    bench = settled()
    for line_id, state in (("f2", "down"), ("f3", "unknown"), ("m1", "down")):
        bench.line(line_id, state)  # type: ignore[arg-type]
    bench.step()
    assert obey(bench, "exercise").detail == "exercise: no line would take it: f2: down, f3: unknown, m1: down"
    (page,) = bench.step().actions
    counts = Counts()
    count_audit(
        counts, of_action(page, bench.core.states["g1/p0"], fence=7, unix_ns=1, evidence=(), request=page.request)
    )
    assert counts.refused == {"exercise_no_target": 1}


def test_an_exercise_counts_on_room_that_others_would_make() -> None:
    """As the escape would."""
    bench = settled(
        group(1, 0, protections=("m1",)), group(2, 3, working="m1", protections=("f3",), bandwidth_bps=8 * MBIT)
    )
    assert obey(bench, "exercise").detail == "exercise: would go to m1"
    assert bench.step().actions[0].text == "exercise_well"
    assert bench.on("g2/p3") == "m1"


def test_a_group_that_is_not_at_rest_is_not_exercised() -> None:
    """Nor later, unannounced."""
    bench = settled()
    bench.line("f1", "down")
    bench.settle()
    expected = "g1/p0 is in PROTECTING, on f3, which is up, and f1 is down: only a group at rest is exercised"
    assert obey(bench, "exercise").detail == expected
    bench.line("f1", "up")
    bench.settle(1.0)
    assert obey(bench, "exercise").detail.startswith("g1/p0 is in WTR, on f3")


def test_a_group_on_its_way_or_frozen_is_not_exercised() -> None:
    """It has other things to do."""
    bench = settled()
    bench.line("f1", "down")
    bench.step()
    assert obey(bench, "exercise").detail == "g1/p0 is on its way to f3: only a group at rest is exercised"
    bench = settled()
    bench.core.freeze(Freeze(by="suzuki", why="works", unix_ns=bench.now), bench.now)
    bench.step()
    assert obey(bench, "exercise").detail == "the region is frozen: exercises are for calm days"


def test_an_exercise_that_is_not_possible_any_more_is_over() -> None:
    """Its line has failed in the same moment."""
    bench = settled()
    obey(bench, "exercise")
    bench.line("f1", "down")
    assert bench.settle() == ["g1/p0>f3"]
    assert dict(bench.core.requests) == {}


# -- room


FULL = (group(1, 0, working="m1", protections=("f1",), bandwidth_bps=7 * MBIT), group(2, 3, bandwidth_bps=3 * MBIT))


def test_an_operators_word_stands_without_room_and_he_is_told() -> None:
    """The siren stays where it is, the camera comes beside it, and the audit has it."""
    bench = settled(*FULL)
    result = obey(bench, "forced", "m1", group_id="g2/p3")
    assert (result.outcome, result.detail) == ("done", "no room: 10 of 8 Mbit/s; g1/p0 (P0) is there")
    decided = bench.step()
    assert [told(action) for action in decided.actions] == ["g2/p3>m1"]
    assert "no room: 10 of 8 Mbit/s; g1/p0 (P0) is there" in bench.core.evidence(decided.actions[0])
    bench.verify(decided)
    bench.run(3)
    assert (bench.on("g1/p0"), bench.on("g2/p3")) == ("m1", "m1")


def test_a_manual_switch_needs_room_that_nobody_has_to_make() -> None:
    """Also on its own line, and for whoever weighs more."""
    bench = settled(*FULL)
    expected = "no room: 10 of 8 Mbit/s; g1/p0 (P0) is there: a forced switch goes there all the same"
    assert obey(bench, "manual", "m1", group_id="g2/p3").detail == expected
    bench = settled(group(1, 0, bandwidth_bps=3 * MBIT), group(2, 3, working="m1", bandwidth_bps=7 * MBIT))
    expected = "no room: 10 of 8 Mbit/s; g2/p3 (P3) is there: a forced switch goes there all the same"
    assert obey(bench, "manual", "m1").detail == expected


def test_who_weighs_less_makes_room_for_a_forced_switch() -> None:
    """As for an escape; even where that is not enough."""
    rates = {2: 4 * MBIT, 3: 4 * MBIT}
    lower = [
        group(2, priority, working="m1", protections=("f3",), bandwidth_bps=rate) for priority, rate in rates.items()
    ]
    bench = settled(group(1, 0, bandwidth_bps=3 * MBIT), *lower)
    assert obey(bench, "forced", "m1").detail == "room is made: g2/p3 (P3) has to leave"
    assert bench.settle() == ["g2/p3>f3", "g1/p0>m1"]

    bench = settled(group(1, 0, bandwidth_bps=9 * MBIT), *lower)
    assert obey(bench, "forced", "m1").detail == "no room: 17 of 8 Mbit/s; g2/p2 (P2), g2/p3 (P3) are there"
    assert sorted(bench.settle()) == ["g1/p0>m1", "g2/p2>f3", "g2/p3>f3"]
