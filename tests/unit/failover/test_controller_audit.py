"""What becomes of a group, as the audit tells it: read off its state before and after, whichever way it was told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netmon.failover.controller.audit import APPROVAL, EVIDENCE_MAX, TEXT_MAX, of_action, of_change, of_command
from netmon.failover.controller.report import BUCKETS_S, Counts, Histogram
from netmon.failover.controller.tally import count_audit
from netmon.failover.model import PAGES, Action, ActionResult, Attempt, GroupState, Request
from netmon.failover.plan.model import ReportedGroup
from netmon.failover.record import Audit, Command, CommandResult

S = 1_000_000_000
ORDERED = Attempt(
    generation=3, to="radio", reason="signal_fail", began_unix_ns=10 * S, stage="ordered", due_unix_ns=12 * S
)
TRYING = GroupState(group_id="gw/life", phase="SF_PENDING", on="fibre", attempt=ORDERED, generation=3)
ARRIVED = GroupState(group_id="gw/life", phase="PROTECTING", on="radio", generation=3)


def told(outcome: Any, **fields: Any) -> ActionResult:
    """By an actuator."""
    return ActionResult(group_id="gw/life", generation=3, outcome=outcome, **fields)


def changed(before: GroupState, after: GroupState, result: Any = None, **phases_s: float) -> list[Audit]:
    """What the audit says of it, at second 11, under fence 7."""
    return list(of_change(before, after, result, fence=7, unix_ns=11 * S, phases_s=phases_s))


def kinds(before: GroupState, after: GroupState, result: Any = None) -> list[str]:
    """The same in a word each."""
    return [each.kind for each in changed(before, after, result)]


def with_attempt(state: GroupState, **fields: Any) -> GroupState:
    """The same, with another attempt."""
    return msgspec.structs.replace(state, attempt=msgspec.structs.replace(ORDERED, **fields))


FAILED = GroupState(group_id="gw/life", phase="SF_PENDING", on="fibre", generation=3, tried=("radio",))
NEXT = with_attempt(msgspec.structs.replace(FAILED, generation=4), generation=4, to="modem")
VOID = GroupState(group_id="gw/life", phase="NR", on="fibre", generation=4)
PROPOSED = with_attempt(TRYING, stage="proposed", due_unix_ns=0)


@pytest.mark.parametrize(
    ("before", "after", "result", "expected"),
    [
        (TRYING, TRYING, None, []),
        (TRYING, with_attempt(TRYING, stage="applied"), told("applied"), ["applied"]),
        (TRYING, with_attempt(TRYING, stage="refused"), told("refused"), ["refused"]),
        (TRYING, ARRIVED, told("verified"), ["verified"]),
        (with_attempt(TRYING, stage="applied"), ARRIVED, told("verified"), ["verified"]),
        (TRYING, ARRIVED, None, ["verified"]),  # nobody has answered in time, but it is there
        (TRYING, FAILED, told("failed"), ["failed"]),
        (TRYING, NEXT, told("failed"), ["failed"]),
        (TRYING, FAILED, None, ["failed"]),  # nor has it arrived in time
        (TRYING, VOID, None, ["abandoned"]),
        (TRYING, msgspec.structs.replace(FAILED, on="modem"), None, ["failed", "adopted"]),
        (PROPOSED, TRYING, None, []),  # approved: it is told as an intent
        (PROPOSED, VOID, None, ["abandoned"]),
        (VOID, msgspec.structs.replace(VOID, on="radio"), None, ["adopted"]),
        (VOID, msgspec.structs.replace(VOID, phase="WTR"), None, []),
    ],
)
def test_what_becomes_of_a_group(before: GroupState, after: GroupState, result: Any, expected: list[str]) -> None:
    """Each end of an attempt has its word, and where a gateway has gone by itself is adopted."""
    assert kinds(before, after, result) == expected


def test_an_approval_that_came_too_late() -> None:
    """The audit says so."""
    assert [each.why for each in changed(PROPOSED, VOID)] == [APPROVAL]


def test_how_long_each_step_took() -> None:
    """What was known before the order, what the actuator has measured, and else the time since the order."""
    (entry,) = changed(
        TRYING, ARRIVED, told("verified", phases_s={"act": 0.25, "verify": 0.5}), detect=0.15, decide=0.001
    )
    assert entry.phases_s == {"detect": 0.15, "decide": 0.001, "act": 0.25, "verify": 0.5}
    (entry,) = changed(TRYING, ARRIVED, told("verified"), hold=0.0)
    assert entry.phases_s == {"hold": 0.0, "act": 1.0}


def test_what_a_gateway_has_done_by_itself() -> None:
    """By whom, why, and how long it took there."""
    group = ReportedGroup(group_id="gw/life", on="radio", by="edge", reason="signal_fail", phases_s={"detect": 0.1})
    (entry,) = changed(VOID, msgspec.structs.replace(VOID, on="radio", phase="PROTECTING"), group)
    assert (entry.kind, entry.before, entry.to) == ("adopted", "fibre", "radio")
    assert (entry.by, entry.reason, entry.phases_s) == ("edge", "signal_fail", {"detect": 0.1})


def test_texts_of_strangers_are_cut() -> None:
    """A carrier, an operator or a core that talks too much fills no stream."""
    long = "x" * 10_000
    (entry,) = changed(TRYING, FAILED, told("failed", detail=long))
    action = Action(kind="switch", group_id="gw/life", generation=3, to="radio", before="fibre", reason="signal_fail")
    intent = of_action(action, TRYING, fence=7, unix_ns=1, evidence=(long,) * 100, request=None)
    command = Command(id="c1", kind="forced", group_id=long, line_id=long, by=long, why=long, unix_ns=1)
    wanted = of_command(command, CommandResult(command_id="c1", outcome="refused"), fence=7, unix_ns=1)

    assert len(entry.why) == TEXT_MAX
    assert [len(text) for text in intent.evidence] == [TEXT_MAX] * EVIDENCE_MAX
    assert {len(text) for text in (wanted.group, wanted.to, wanted.by, wanted.why)} == {TEXT_MAX}


@pytest.mark.parametrize("page", PAGES)
def test_an_operators_words_do_not_hide_what_people_are_told(page: str) -> None:
    """The word is what is counted and looked for; his reason and his name stand beside it."""
    action = Action(kind="page", group_id="gw/life", before="fibre", to="radio", text=page)
    asked = Request(
        id="r1",
        kind="forced",
        group_id="gw/life",
        line_id="radio",
        by="suzuki",
        why="works",
        unix_ns=1,
        until_unix_ns=9,
    )
    for request, by, why in ((asked, "suzuki", "works"), (None, "netmon", "")):
        entry = of_action(action, TRYING, fence=7, unix_ns=1, evidence=("seen",), request=request)
        assert (entry.page, entry.to, entry.by, entry.why) == (page, "radio", by, why)


def test_an_entry_is_the_same_after_a_round_over_the_wire() -> None:
    """The line that it leaves is called `from` there."""
    (entry,) = changed(TRYING, ARRIVED, told("verified"))
    body = msgspec.json.encode(entry)
    assert b'"from":"fibre"' in body
    assert msgspec.json.decode(body, type=Audit) == entry


def test_what_is_counted_of_it() -> None:
    """Switches by reason when they were shown to arrive, failures, refusals, and how long it took."""
    counts = Counts()
    for before, after, result in (
        (TRYING, ARRIVED, told("verified", phases_s={"act": 0.02, "verify": 100.0})),
        (TRYING, FAILED, told("failed")),
        (TRYING, with_attempt(TRYING, stage="refused"), told("refused")),
    ):
        for entry in changed(before, after, result):
            count_audit(counts, entry)

    assert (counts.switches, counts.failed, counts.refused) == ({"signal_fail": 1}, {"signal_fail": 1}, {"fence": 1})
    assert counts.fences_rejected == 1
    assert counts.phases["act"].counts[BUCKETS_S.index(0.025)] == 1
    assert counts.phases["verify"].counts[-1] == 1
    assert counts.phases["verify"].sum_s == 100.0
    assert Histogram().counts == [0] * (len(BUCKETS_S) + 1)
