"""Plans of small regions that can be checked by eye, and laws for any: what a gateway does alone must fit what all others do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.failover.model import Group, LineFacts
from netmon.failover.plan.compute import ALL_CASES_LINES_MAX, Plans, cases, plan_of
from netmon.failover.plan.model import PlannedGroup, PlannedLine, Ranking
from netmon.failover.protection.admission import usable_bps
from netmon.failover.settings import GatewaySettings
from tests.unit.failover.samples import CLASSES, MBPS, group, line

PLENTY = 10_000


def planned(facts: Sequence[LineFacts], *groups: Group, **seen: Any) -> Plans:
    """All gateways of a region, worked out."""
    plans = Plans(facts, groups)
    plans.see(**seen)
    finish(plans)
    return plans


def finish(plans: Plans) -> None:
    """Until no change touches anybody any more; that is after some rounds."""
    for _ in range(20):
        plans.advance()
    assert plans.pending == 0


def orders(plans: Plans, group_id: str) -> dict[str, str]:
    """Lines that have failed, to the order of those that are left."""
    rankings = plans.rankings(group_id.partition("/")[0])[group_id]
    return {" ".join(ranking.failed): " ".join(ranking.order) for ranking in rankings}


TWINS = [line("own", "duct"), line("twin", "duct"), line("apart", "pole", cost_tier=3, medium="5g")]


def test_every_failure_that_a_gateway_with_three_lines_may_meet() -> None:
    """Its line and the twin lie in one duct; that everything has failed is no case, as nothing is left to choose."""
    assert orders(planned(TWINS, group()), "gw/life") == {
        "": "own apart twin",
        "apart": "own twin",
        "own": "apart twin",
        "twin": "own apart",
        "apart own": "twin",
        "apart twin": "own",
        "own twin": "apart",
    }


def test_cases_of_many_lines_are_those_of_one_and_of_two() -> None:
    """Up to five lines it is all of them, but for the last; of very many lines, those of one."""
    assert [len(cases(count)) for count in range(1, 8)] == [0, 2, 6, 14, 30, 6 + 15, 7 + 21]
    assert [len(cases(count)) for count in (16, 17, 64)] == [16 + 120, 17, 64]
    assert all(case.bit_count() <= 2 for case in cases(ALL_CASES_LINES_MAX + 1))


def test_of_many_lines_an_order_goes_on_for_what_matters() -> None:
    """P0 gets all that is left, though two failures are the most that is worked out; P3 only what it was found room for."""
    lines = "a b c d e f"
    facts = [line(line_id) for line_id in lines.split()]

    plans = planned(facts, group("gw/life", lines), group("gw/bulk", lines))

    assert orders(plans, "gw/life")["a"] == "b c d e f"
    assert orders(plans, "gw/bulk")["a"] == "b c"


def test_also_at_the_end_of_an_order_risks_come_last() -> None:
    """When a, b and c do not carry, d is what shares the duct with a."""
    facts = [line("a", "duct"), line("b"), line("c"), line("d", "duct"), line("e", cost_tier=2), line("f", cost_tier=3)]

    assert orders(planned(facts, group("gw/control", "a b c d e f")), "gw/control")["a"] == "b c e f d"


def shared_backup(*risks: str, capacity_mbps: float = 10) -> list[LineFacts]:
    """Two gateways' own lines, which lie in these ducts, and one line behind both, of which 8 Mbit/s are given away."""
    return [line("one", *risks), line("two", *risks), line("small", capacity_bps=round(capacity_mbps * MBPS))]


def at_two_gateways(mbps: dict[str, float], lines: tuple[str, str] = ("one small", "one small")) -> list[Group]:
    """Classes with their rates, at two gateways."""
    return [
        group(f"gw{number}/{class_id}", lines[number], rate) for number in range(2) for class_id, rate in mbps.items()
    ]


def first(plans: Plans, failed: str) -> dict[str, str]:
    """Where each group at the gateways that know this case goes when it happens; empty: it is shed."""
    return {
        group_id: (ranking.order or ("",))[0]
        for gateway_id in ("gw0", "gw1")
        for group_id, rankings in plans.rankings(gateway_id).items()
        for ranking in rankings
        if ranking.failed == tuple(failed.split())
    }


def test_all_gateways_on_a_line_move_at_once_and_what_does_not_fit_is_shed() -> None:
    """Sirens of both, then the camera of one: 2 + 2 + 4 of 8 Mbit/s."""
    plans = planned(shared_backup(), *at_two_gateways({"life": 2, "bulk": 4}))

    assert first(plans, "one") == {"gw0/life": "small", "gw1/life": "small", "gw0/bulk": "small", "gw1/bulk": ""}


def test_lines_that_share_nothing_do_not_fail_at_once() -> None:
    """So the room behind them is there for either."""
    plans = planned(shared_backup(), *at_two_gateways({"life": 2, "bulk": 4}, ("one small", "two small")))

    assert first(plans, "one") | first(plans, "two") == {
        "gw0/life": "small",
        "gw0/bulk": "small",
        "gw1/life": "small",
        "gw1/bulk": "small",
    }


def test_lines_of_one_duct_do() -> None:
    """Neither gateway sees the other one's line: the camera of one stays away in any case."""
    plans = planned(shared_backup("duct"), *at_two_gateways({"life": 2, "bulk": 4}, ("one small", "two small")))

    assert first(plans, "one") | first(plans, "two") == {
        "gw0/life": "small",
        "gw0/bulk": "small",
        "gw1/life": "small",
        "gw1/bulk": "",
    }


def test_life_safety_and_control_do_not_stay_away_for_what_may_be() -> None:
    """If the duct is cut, both pumps are too much for the line; if it is but one line, they are not, and that is certain."""
    plans = planned(shared_backup("duct"), *at_two_gateways({"control": 5}, ("one small", "two small")))

    assert first(plans, "one") | first(plans, "two") == {"gw0/control": "small", "gw1/control": "small"}


def test_life_safety_rather_takes_what_may_be_too_little_than_what_may_fail_as_well() -> None:
    """If the duct is cut, the small line has room for the sirens of one gateway; but the twin hangs on the pole of the line that has failed."""
    facts = [
        line("one", "duct"),
        line("two", "duct", "pole"),
        line("twin", "pole"),
        line("small", capacity_bps=10 * MBPS),
    ]
    groups = group("gw0/life", "one small", 5), group("gw1/life", "two small twin", 5)

    assert orders(planned(facts, *groups), "gw1/life")["two"] == "small twin"


def test_but_they_prefer_a_line_on_which_they_fit_in_any_case() -> None:
    """The second gateway's pumps go to the dearer line."""
    facts = [*shared_backup("duct"), line("dear", cost_tier=5)]
    plans = planned(facts, *at_two_gateways({"control": 5}, ("one small dear", "two small dear")))

    assert first(plans, "one") == {"gw0/control": "small"}
    assert first(plans, "two") == {"gw1/control": "dear"}


@pytest.mark.parametrize(
    ("class_id", "goes"), [("life", "small"), ("control", "small"), ("telemetry", ""), ("bulk", "")]
)
def test_who_is_at_home_makes_room_for_life_safety_and_control_alone(class_id: str, goes: str) -> None:
    """Cameras have always been on the backup line, and fill it."""
    plans = planned(shared_backup(), group("gw0/" + class_id, "one small", 1), group("gw1/bulk", "small two", 8))

    assert first(plans, "one") == {"gw0/" + class_id: goes}


def test_what_was_lost_already_is_reckoned_with() -> None:
    """The first gateway's line is down, and its camera is on the backup line as its plan said: there is no room for another one's."""
    facts, groups = shared_backup(), at_two_gateways({"bulk": 5}, ("one small", "two small"))
    plans = planned(facts, *groups)
    assert first(plans, "two") == {"gw1/bulk": "small"}

    plans.see(failed={"one"})
    finish(plans)
    assert first(plans, "one") | first(plans, "two") == {"gw0/bulk": "small", "gw1/bulk": ""}

    plans.see()
    finish(plans)
    assert first(plans, "one") | first(plans, "two") == {"gw0/bulk": "small", "gw1/bulk": "small"}


def test_a_plan_that_was_gone_by_stays_as_it_is() -> None:
    """Both cameras have left the line that is down, by plans that fit; they are not counted a second time."""
    plans = planned(shared_backup(), *at_two_gateways({"bulk": 3}), group("other/bulk", "two small", 3))
    plans.see(failed={"one"})

    assert "gw0" not in plans.advance()
    assert first(plans, "one") == {"gw0/bulk": "small", "gw1/bulk": "small"}


def test_a_larger_failure_does_not_count_a_class_where_it_would_have_gone_in_a_smaller_one_as_well() -> None:
    """The camera goes to the small line whether `near` has failed, too, or not: 5 of 8 Mbit/s, and not 10."""
    facts = [line("own"), line("small", capacity_bps=10 * MBPS), line("near", cost_tier=2), line("others")]
    other = group("other/bulk", "others small", 5)

    assert orders(planned(facts, group("gw/bulk", "own small near", 5), other), "gw/bulk")["near own"] == "small"


def test_who_is_not_touched_by_a_change_makes_room_for_who_is() -> None:
    """Because of the bridge the pumps would now go to the small line. If the duct is cut, a camera that knows of no bridge would go there, too."""
    facts = [*shared_backup("duct"), line("near", "bridge")]
    plans = planned(facts, group("gw0/control", "one near small", 5), group("gw1/bulk", "two small", 5))
    before = first(plans, "one") | first(plans, "two")
    assert before == {"gw0/control": "near", "gw1/bulk": "small"}

    plans.see(failing={"bridge"})
    assert [plans.advance(), plans.advance(), plans.pending] == [["gw0"], ["gw1"], 0]
    assert first(plans, "one") | first(plans, "two") == {"gw0/control": "small", "gw1/bulk": ""}

    plans.see()
    finish(plans)
    assert first(plans, "one") | first(plans, "two") == before


def test_a_second_line_has_room_when_the_first_one_does_not_carry() -> None:
    """When `own` has failed all go to `near`; a camera has `far` behind it only if that has room when `near` has failed, too."""
    facts = [line("own"), line("near"), line("far", capacity_bps=10 * MBPS, cost_tier=2)]

    plans = planned(facts, group("gw/life", "own near far", 6), group("gw/bulk", "own near far", 4))

    assert (orders(plans, "gw/life")["own"], orders(plans, "gw/bulk")["own"]) == ("near far", "near")


def test_risks_that_fail_elsewhere_turn_orders_round() -> None:
    """And back, when they are mended; who has nothing to do with them is not touched."""
    facts = [line("own"), line("near", "bridge"), line("far", cost_tier=2), line("other")]
    plans = planned(facts, group("gw/life", "own near far"), group("aloof/life", "own other"))

    plans.see(failing={"bridge"})
    assert plans.advance() == ["gw"]
    assert orders(plans, "gw/life")["own"] == "far near"

    plans.see()
    assert plans.advance() == ["gw"]
    assert orders(plans, "gw/life")["own"] == "near far"


def test_a_line_that_is_locked_out_is_in_no_order_of_its_group() -> None:
    """Of others it is."""
    plans = planned(TWINS, group(), group("gw/control"), locked={("gw/life", "apart"), ("gone/life", "apart")})

    assert orders(plans, "gw/life") | {"own": "twin"} == orders(plans, "gw/life")
    assert orders(plans, "gw/control")["own"] == "apart twin"

    plans.see(locked={("gw/life", "apart"), ("gw/life", "own")})
    assert plans.advance() == ["gw"]
    assert orders(plans, "gw/life")["apart"] == "twin"


def test_work_can_be_done_in_parts() -> None:
    """The region has other things to do in between; a gateway without groups has no plan."""
    plans = Plans(TWINS, [group(f"gw{number}/life") for number in range(5)])

    assert [(plans.advance(2), plans.pending) for _ in range(3)] == [
        (["gw0", "gw1"], 3),
        (["gw2", "gw3"], 1),
        (["gw4"], 0),
    ]
    assert plans.advance() == []
    with pytest.raises(KeyError):
        plans.rankings("gw9")


def gateway() -> GatewaySettings:
    """What the controller is told of one."""
    lines = tuple(PlannedLine(line_id=line_id, profile=BUILT_IN["fast"]) for line_id in ("own", "twin", "apart"))
    groups = (
        PlannedGroup(group_id="gw/life", class_id="life", priority=0, working="own", protections=("twin", "apart")),
    )
    return GatewaySettings(gateway_id="gw", actuator="agent", lines=lines, groups=groups)


def test_the_version_of_a_plan_grows_only_when_it_says_something_else() -> None:
    """An unchanged one is the former one, to the octet, whoever leads and whenever it is made."""
    plans = planned(TWINS, group())
    former = plan_of(gateway(), plans.rankings("gw"), None, fence=3, now_unix_ns=1)
    assert (former.version, former.fence, len(former.groups[0].rankings)) == (1, 3, 7)

    again = plan_of(gateway(), planned(TWINS, group()).rankings("gw"), former, fence=4, now_unix_ns=2)
    assert msgspec.json.encode(again) == msgspec.json.encode(former)

    locked = planned(TWINS, group(), locked={("gw/life", "apart")}).rankings("gw")
    changed = plan_of(gateway(), locked, former, fence=4, now_unix_ns=2)
    assert (changed.version, changed.fence, changed.made_unix_ns) == (2, 4, 2)
    assert changed.groups[0].rankings[2] == Ranking(failed=("own",), order=("twin",))


# --- laws

LINES = ("a", "b", "c", "d")


@st.composite
def regions(draw: st.DrawFn) -> tuple[list[LineFacts], list[Group]]:
    """Four lines with little room, which share risks, and gateways with up to four of them."""
    facts = [
        line(
            line_id,
            *draw(st.sets(st.sampled_from(["r", "s", "t"]), max_size=2)),
            capacity_bps=draw(st.sampled_from([5, 10, 20])) * MBPS,
            cost_tier=draw(st.integers(1, 2)),
        )
        for line_id in LINES
    ]
    groups = []
    for number in range(draw(st.integers(1, 5))):
        lines = " ".join(draw(st.permutations(LINES))[: draw(st.integers(2, 4))])
        for class_id in draw(st.sets(st.sampled_from([name for name, _ in CLASSES]), min_size=1)):
            mbps = draw(st.integers(0, 5)) if class_id != "life" else draw(st.sampled_from([0, 0.1]))
            groups.append(group(f"g{number}/{class_id}", lines, mbps))
    return facts, sorted(groups, key=lambda each: each.id)


SEEN = st.fixed_dictionaries(
    {"failed": st.sets(st.sampled_from(LINES), max_size=2), "failing": st.sets(st.sampled_from(["r", "s", "t"]))}
)


def taken(plans: Plans, groups: Sequence[Group], failed: frozenset[str]) -> dict[str, list[Group]]:
    """Line to who is on it when just these lines of the region have failed, and every gateway does what its plan says."""
    found: dict[str, list[Group]] = {}
    for each in groups:
        rankings = {ranking.failed: ranking.order for ranking in plans.rankings(each.gateway_id)[each.id]}
        own = {
            line_id
            for one in groups
            if one.gateway_id == each.gateway_id
            for line_id in (one.working, *one.protections)
        }
        order = rankings.get(tuple(sorted(own & failed)), ()) if own & failed else (each.working,)
        if order:
            found.setdefault(order[0], []).append(each)
    return found


def rate(groups: Sequence[Group], priority_max: int) -> int:
    """What those of this weight or more have been given."""
    return sum(each.bandwidth_bps for each in groups if each.priority <= priority_max)


@settings(max_examples=60, deadline=None)
@given(regions(), st.lists(SEEN, max_size=3))
def test_plans_together_fit_what_is_left(region: tuple[list[LineFacts], list[Group]], history: list[Any]) -> None:
    """Whatever has failed and was mended before: when a line fails, or all that share a risk, P2 and P3 come to no line that is full."""
    facts, groups = region
    plans = planned(facts, *groups)
    for seen in [*history, {}]:
        plans.see(**seen)
        finish(plans)

    shared = [frozenset(fact.line_id for fact in facts if risk in fact.risk_group_ids) for risk in "rst"]
    for failed in [*(frozenset({line_id}) for line_id in LINES), *shared]:
        for line_id, there in taken(plans, groups, failed).items():
            usable = usable_bps(next(fact.capacity_bps for fact in facts if fact.line_id == line_id))
            came = [each for each in there if each.working != line_id]
            if any(each.priority > 1 and each.bandwidth_bps for each in came):
                assert rate(there, 3) <= usable
            if len(failed) == 1 and any(each.priority == 1 and each.bandwidth_bps for each in came):
                assert rate(there, 1) <= usable


@settings(max_examples=60, deadline=None)
@given(regions(), st.lists(SEEN, max_size=3))
def test_every_order_is_one_that_can_be_gone_by(
    region: tuple[list[LineFacts], list[Group]], history: list[Any]
) -> None:
    """Only lines of the group that have not failed, the working one first, each once; P0 avoids shared risks while it can."""
    facts, groups = region
    risks = {fact.line_id: set(fact.risk_group_ids) for fact in facts}
    plans = planned(facts, *groups)
    seen: dict[str, Any] = {"failing": set()}
    for seen in history:
        plans.see(**seen)
        finish(plans)
    failing = seen["failing"]

    for each in groups:
        lines = {each.working, *each.protections}
        for ranking in plans.rankings(each.gateway_id)[each.id]:
            left = lines - set(ranking.failed)
            assert set(ranking.order) <= left
            assert len(set(ranking.order)) == len(ranking.order)
            if each.working in left:
                assert ranking.order[0] == each.working
            elif each.priority == 0 and left:
                hurt = failing.union(*(risks[line_id] for line_id in ranking.failed))
                shares = {line_id: bool(risks[line_id] & hurt) for line_id in left}
                assert set(ranking.order) == left
                assert shares[ranking.order[0]] == all(shares.values())


@settings(max_examples=25, deadline=None)
@given(regions(), SEEN)
def test_plans_do_not_depend_on_the_order_in_which_the_region_is_written(
    region: tuple[list[LineFacts], list[Group]], seen: Any
) -> None:
    """The same region has the same plans, in every process."""
    facts, groups = region

    one, other = planned(facts, *groups, **seen), planned(facts[::-1], *groups[::-1], **seen)

    gateways = {each.gateway_id for each in groups}
    assert {each: one.rankings(each) for each in gateways} == {each: other.rankings(each) for each in gateways}
