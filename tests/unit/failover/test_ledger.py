"""What was ordered and what became of it: numbers decide, and nothing that a former leader wanted is forgotten."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.failover.actuators.base import Order
from netmon.failover.actuators.ledger import Ledger
from netmon.failover.model import ActionResult
from netmon.failover.plan.model import Desired, DesiredGroup, ReportedGroup

LIFE, BULK = "gw-1/life", "gw-1/bulk"


@pytest.fixture
def ledger() -> Ledger:
    """Of a leader with the number 6, and one gateway with two groups."""
    return Ledger({"gw-1": [LIFE, BULK]}, 6)


def order(generation: int, on: str = "leo", *, group_id: str = LIFE, fence: int = 6, locked: bool = False) -> Order:
    """To put a class onto a line."""
    return Order(
        group_id=group_id,
        gateway_id="gw-1",
        class_id=group_id[5:],
        fence=fence,
        generation=generation,
        on=on,
        phase="PROTECTING",
        locked=locked,
        unix_ns=1,
    )


def told(generation: int, outcome: str = "verified", *, fence: int = 6, on: str = "leo") -> ReportedGroup:
    """By the gateway."""
    return ReportedGroup(group_id=LIFE, on=on, fence=fence, generation=generation, outcome=outcome)  # type: ignore[arg-type]


def outcomes(results: list[ActionResult]) -> list[tuple[int, str]]:
    """Generations and what became of them."""
    return [(result.generation, result.outcome) for result in results]


def left_behind(*groups: DesiredGroup, fence: int = 5, version: int = 9) -> Desired:
    """By a former leader."""
    return Desired(gateway_id="gw-1", fence=fence, version=version, unix_ns=1, groups=groups)


def group(group_id: str, generation: int, fence: int = 5) -> DesiredGroup:
    """As it is desired."""
    return DesiredGroup(group_id=group_id, on="5g", fence=fence, generation=generation)


def test_nothing_is_desired_of_whom_nothing_was_ordered(ledger: Ledger) -> None:
    """So nothing is published over what a broker may have."""
    assert ledger.desired("gw-1", 1) is None
    assert ledger.is_behind("gw-1") is False


def test_newest_order_is_what_is_desired(ledger: Ledger) -> None:
    """Of each group; the version grows with each."""
    assert [ledger.order(each) for each in (order(1), order(2, "5g"), order(1, "geo", group_id=BULK))] == [[], [], []]

    desired = ledger.desired("gw-1", 7)
    assert desired is not None
    assert (desired.fence, desired.version, desired.unix_ns) == (6, 3, 7)
    assert [(each.group_id, each.generation, each.on) for each in desired.groups] == [(LIFE, 2, "5g"), (BULK, 1, "geo")]


def test_order_that_is_older_than_another_is_refused(ledger: Ledger) -> None:
    """By its generation, or by its fence whatever its generation."""
    ledger.order(order(3))
    assert outcomes(ledger.order(order(2, "5g"))) == [(2, "refused")]
    assert outcomes(ledger.order(order(4, "5g", fence=5))) == [(4, "refused")]

    desired = ledger.desired("gw-1", 1)
    assert desired is not None
    assert [each.on for each in desired.groups] == ["leo"]


def test_what_became_of_an_order_is_told_once(ledger: Ledger) -> None:
    """Although the gateway tells it with each report."""
    ledger.order(order(1))
    reports = [told(0), told(1, ""), told(1, "applied"), told(1, "applied"), told(1), told(1)]

    assert [outcomes(ledger.report("gw-1", [each])) for each in reports] == [
        [], [], [(1, "applied")], [], [(1, "verified")], [],
    ]  # fmt: skip


def test_result_has_what_the_gateway_tells(ledger: Ledger) -> None:
    """Where the class is, why, and how long it took."""
    ledger.order(order(1))
    failed = msgspec.structs.replace(told(1, "failed", on="fibre"), detail="no route", phases_s={"act": 0.5})

    assert ledger.report("gw-1", [failed]) == [
        ActionResult(
            group_id=LIFE, generation=1, outcome="failed", on="fibre", detail="no route", phases_s={"act": 0.5}
        )
    ]


def test_order_that_is_given_again_is_answered_from_the_last_report(ledger: Ledger) -> None:
    """A controller that was restarted hears what became of it, without the gateway's doing anything."""
    ledger.order(order(1))
    ledger.report("gw-1", [told(1)])

    assert outcomes(ledger.order(order(1))) == [(1, "verified")]
    assert outcomes(ledger.order(order(1, locked=True))) == [(1, "verified")]
    desired = ledger.desired("gw-1", 1)
    assert desired is not None
    assert [each.locked for each in desired.groups] == [True]


def test_gateway_that_has_obeyed_a_newer_order_refuses_ours(ledger: Ledger) -> None:
    """We are the stale leader then."""
    ledger.order(order(4))
    assert outcomes(ledger.report("gw-1", [told(1, fence=7)])) == [(4, "refused")]
    assert outcomes(ledger.report("gw-1", [told(1, fence=7)])) == []


def test_gateway_is_behind_until_it_knows_every_order(ledger: Ledger) -> None:
    """Also what a former leader wanted."""
    ledger.compare(left_behind(group(BULK, 3)))
    ledger.order(order(1))
    seen = [ledger.is_behind("gw-1")]
    ledger.report("gw-1", [told(1, "applied")])
    seen.append(ledger.is_behind("gw-1"))
    ledger.report("gw-1", [told(1), ReportedGroup(group_id=BULK, on="5g", fence=5, generation=3)])
    seen.append(ledger.is_behind("gw-1"))

    assert seen == [True, True, False]
    assert ledger.actual("gw-1") == [(LIFE, "leo"), (BULK, "5g")]


def test_unreachable_is_told_once_and_the_order_stays(ledger: Ledger) -> None:
    """And not of one that was applied: that it is verified is waited for."""
    ledger.order(order(1))
    ledger.order(order(1, group_id=BULK))
    ledger.report("gw-1", [told(1, "applied")])

    assert [(each.group_id, each.detail) for each in ledger.unreachable("gw-1", "silent")] == [(BULK, "silent")]
    assert ledger.unreachable("gw-1", "silent") == []
    assert ledger.waiting() == ["gw-1"]
    assert outcomes(ledger.report("gw-1", [told(1)])) == [(1, "verified")]


def test_what_a_former_leader_wanted_is_told_on_under_its_number(ledger: Ledger) -> None:
    """But for what was ordered anew, and for groups that are no more."""
    ledger.order(order(1))
    found = left_behind(group(LIFE, 8), group(BULK, 3), group("gw-1/gone", 1))

    assert ledger.compare(found) == "older"
    desired = ledger.desired("gw-1", 1)
    assert desired is not None
    assert [(each.group_id, each.fence, each.generation) for each in desired.groups] == [(LIFE, 6, 1), (BULK, 5, 3)]
    assert desired.fence == 6


def test_what_we_have_published_ourselves_is_the_same(ledger: Ledger) -> None:
    """Until we want something else; a version that is there is never used again."""
    ledger.order(order(1))
    ours = ledger.desired("gw-1", 1)
    assert ours is not None
    assert ledger.compare(msgspec.structs.replace(ours, version=40)) == "same"

    ledger.order(order(2))
    assert ledger.compare(ours) == "older"
    desired = ledger.desired("gw-1", 1)
    assert desired is not None
    assert desired.version == 41


def test_later_leader_is_left_alone(ledger: Ledger) -> None:
    """Nothing of his is taken over."""
    ledger.order(order(1))
    assert ledger.compare(left_behind(group(LIFE, 9, fence=7), fence=7)) == "greater"
    desired = ledger.desired("gw-1", 1)
    assert desired is not None
    assert [each.generation for each in desired.groups] == [1]


def test_report_of_a_group_of_another_gateway_is_passed_over(ledger: Ledger) -> None:
    """A gateway speaks for itself alone."""
    ledger.order(order(1))
    assert (
        ledger.report(
            "gw-1", [ReportedGroup(group_id="gw-2/life", on="leo", fence=6, generation=1, outcome="verified")]
        )
        == []
    )
    assert ledger.actual("gw-1") == []


GROUP_IDS = st.sampled_from([LIFE, BULK])
NUMBERS = st.tuples(st.integers(1, 8), st.integers(0, 3))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), GROUP_IDS, NUMBERS),
        st.tuples(st.just("found"), GROUP_IDS, NUMBERS),
        st.tuples(st.just("reported"), GROUP_IDS, NUMBERS),
        st.tuples(st.just("lead"), GROUP_IDS, NUMBERS),
    ),
    max_size=30,
)


@given(STEPS)
def test_what_is_desired_of_a_group_is_never_an_older_order_than_before(
    steps: list[tuple[str, str, tuple[int, int]]],
) -> None:
    """Whatever is ordered, found at the broker, reported, in whatever order; versions grow, and each order ends at most once."""
    ledger = Ledger({"gw-1": [LIFE, BULK]}, 6)
    newest: dict[str, tuple[int, int]] = {}
    version, given_times, ended = 0, Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for kind, group_id, (fence, generation) in steps:
        results: list[ActionResult] = []
        if kind == "order":
            given_times[group_id, generation] += 1
            results = ledger.order(order(generation, group_id=group_id, fence=fence))
        elif kind == "found":
            ledger.compare(left_behind(group(group_id, generation, fence), fence=fence))
        elif kind == "reported":
            became = msgspec.structs.replace(told(generation, fence=fence), group_id=group_id)
            results = ledger.report("gw-1", [became])
        else:
            ledger.fence = max(ledger.fence, fence)
        ended.update((result.group_id, result.generation) for result in results)
        desired = ledger.desired("gw-1", 1)
        for each in desired.groups if desired is not None else ():
            assert newest.get(each.group_id, (0, 0)) <= (each.fence, each.generation)
            newest[each.group_id] = (each.fence, each.generation)
        assert version <= (desired.version if desired is not None else 0)
        version = desired.version if desired is not None else 0
    assert all(count <= given_times[key] for key, count in ended.items())
