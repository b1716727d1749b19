"""An order that waits, so that not all of a region move at once, is not given up before it has been given."""

from __future__ import annotations

from netmon.active_probe.model import LineState
from netmon.failover.model import ActionResult, Group, LineFacts, LineSight, Timers
from netmon.failover.region.coordinator import Coordinator

S = 1_000_000_000
NOON = 1_767_268_800 * S
BULK = Group(
    id="gw/bulk", gateway_id="gw", class_id="bulk", area_id="a", priority=3, working="fibre", protections=("radio",),
    timers=Timers(wtr_s=1.0, verify_s=2.0),
)  # fmt: skip


def sights(region: Coordinator, now_ns: int, fibre: LineState, since_ns: int) -> None:
    """As the verdict has them."""
    region.see_line(LineSight(line_id="fibre", state=fibre, since_unix_ns=since_ns, good_unix_ns=now_ns))
    region.see_line(LineSight(line_id="radio", state="up", since_unix_ns=NOON, good_unix_ns=now_ns))


def test_a_return_that_waits_its_time_in_a_disaster() -> None:
    """P3 may wait for a minute; the attempt is waited for as long, and its verification on top."""
    region = Coordinator(
        [LineFacts(line_id=line_id, area_ids=("a",)) for line_id in ("fibre", "radio")], [BULK], started_unix_ns=NOON
    )
    region.see_posture("a", "disaster")
    now = NOON
    sights(region, now, "down", now)
    (away,) = region.step(now).actions
    region.result(ActionResult(group_id=BULK.id, generation=away.generation, outcome="verified", on="radio"))
    found = []
    while not found and now < NOON + 3_600 * S:
        now += S
        sights(region, now, "up", NOON + S)
        found = [action for action in region.step(now).actions if action.kind == "switch"]

    (back,) = found
    delay_s = region.delay_s(back)
    attempt = region.states[BULK.id].attempt
    assert attempt is not None
    assert (back.reason, attempt.delay_s) == ("revert", delay_s)
    assert delay_s > BULK.timers.verify_s
    decided = [action.kind for second in range(int(delay_s) + 1) for action in region.step(now + second * S).actions]
    assert decided == []
    assert region.states[BULK.id].attempt == attempt
    region.step(now + round((delay_s + 2.1) * S))
    assert region.states[BULK.id].attempt != attempt
