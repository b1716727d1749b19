"""Laws of the protection machine: over every phase with every view, and over anything that may happen in a row."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netmon.failover.model import (
    PHASES,
    SHED,
    ActionResult,
    Attempt,
    Group,
    GroupState,
    LineSight,
    Phase,
    Request,
    Seen,
    Step,
    Timers,
)
from netmon.failover.protection import machine, progress, targets, timers
from netmon.failover.protection.requests import refusal
from netmon.failover.protection.targets import health
from tests.unit.failover.groups import HOUR, NOON, SECOND, Play, candidates, group, request, sights

LINES = ("own", "near", "far")
STATES = ("up", "degraded", "down", "unknown")


def check(of: Group, before: GroupState, seen: Seen, now_ns: int) -> Step:
    """A step that breaks no law."""
    step = machine.step(of, before, seen, now_ns)
    after = step.state
    told = (before.on, seen.reported, seen.result and seen.result.on, before.attempt and before.attempt.to)
    assert after.on in told
    assert step.due_unix_ns == 0 or step.due_unix_ns > now_ns
    left_out = progress.left_out(of, before, seen.sights, now_ns, seen.result)
    assert set(after.tried) <= set(left_out)
    check_actions(of, before, seen, now_ns, step)
    ended = before.attempt is not None and before.attempt != step.state.attempt
    check_again(of, seen._replace(reported=None) if ended else seen, now_ns, step)
    check_escape(of, seen, now_ns, step)
    return step


def check_actions(of: Group, before: GroupState, seen: Seen, now_ns: int, step: Step) -> None:
    """What is asked for may be asked for."""
    orders = [action for action in step.actions if action.kind != "page"]
    assert len(orders) <= 1
    assert before.generation <= step.state.generation <= before.generation + 1
    for action in orders:
        approved = before.attempt is not None and before.attempt.stage == "proposed" and seen.approved
        assert action.generation == step.state.generation
        assert action.generation > before.generation or approved
        if action.kind == "abandon":
            assert action.to == step.state.on
            continue
        assert step.state.attempt is not None
        assert step.state.attempt.stage == ("ordered" if action.kind == "switch" else "proposed")
        operators = action.reason in ("forced", "manual")
        assert action.kind == "propose" or of.mode == "act" or (of.mode == "advise" and (operators or approved))
        assert not (seen.request and seen.request.kind == "lockout")
        assert action.forced or not seen.frozen
        check_target(of, seen, action.to, forced=action.forced)
        if action.reason in ("revert", "cleared"):
            waited = before.phase == "FROZEN" and 0 < before.restore_unix_ns <= now_ns
            assert before.phase in ("WTR", "DNR") or of.timers.wtr_s == 0 or waited
            assert seen.may_return or approved or action.kind == "propose"
            assert before.phase != "WTR" or before.due_unix_ns <= now_ns or seen.clear
            assert seen.clear or not timers.is_damped(of.damping, step.state, now_ns)


def check_target(of: Group, seen: Seen, to: str, *, forced: bool) -> None:
    """No line is gone to that has failed, is locked out, or is not proven; an operator may force it to what is not known."""
    if to == SHED:
        return
    assert to not in seen.locked
    at_target = health(of, seen.sights.get(to))
    if forced:
        assert at_target != "down"
    elif to == of.working:
        assert at_target in ("up", "degraded")
        assert seen.working_fits
    else:
        assert at_target in ("up", "degraded")
        assert to in [candidate.line_id for candidate in seen.candidates]


def check_again(of: Group, seen: Seen, now_ns: int, step: Step) -> None:
    """The same view at the same time asks for nothing more, and up to its due time nothing changes."""
    same = seen._replace(result=None, approved=0, clear=False)
    assert machine.step(of, step.state, same, now_ns) == step._replace(actions=())
    if step.due_unix_ns:
        early = machine.step(of, step.state, same, step.due_unix_ns - 1)
        assert early == step._replace(actions=())
        in_time = machine.step(of, step.state, same, step.due_unix_ns)
        assert in_time != step._replace(actions=())


def check_escape(of: Group, seen: Seen, now_ns: int, step: Step) -> None:
    """A dead line is left at once, whatever timers run, if hold-off is zero and there is any way."""
    after = step.state
    held = seen.frozen or (seen.request and seen.request.kind in ("lockout", "forced"))
    if held or of.timers.hold_off_s or health(of, seen.sights.get(after.on)) != "down":
        return
    if targets.way_out(of, after, seen, now_ns) is not None:
        assert after.attempt is not None


def views(of: Group) -> list[dict[str, Any]]:
    """What may be seen beside the lines, of each kind at least once."""
    operators: list[Request | None] = [
        None,
        request("lockout"),
        *(request(kind, line) for kind in ("forced", "manual") for line in (*LINES, "former")),  # type: ignore[arg-type]
        request("exercise", "far"),
    ]
    flags: list[dict[str, Any]] = [
        {},
        {"frozen": True},
        {"evicted": True},
        {"evicted": True, "candidates": (), "working_fits": False},
        {"locked": frozenset({"near"})},
        {"locked": frozenset({"own", "far"})},
        {"may_return": False},
        {"reachable": False},
        {"clear": True},
        {"reported": "far"},
        {"posture": "disaster"},
    ]
    alone = [{"request": asked} for asked in operators]
    return alone + flags[1:] + [{**more, "request": asked} for more in flags[1:3] for asked in operators[1:]]


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_with_every_view(phase: Phase) -> None:
    """Wherever it is, whatever its lines do, and whoever wants something of it."""
    of = group(moves_on_sd=True)
    for on, states in product((*LINES, SHED, "former"), product(STATES, STATES, ("up", "down"))):
        lines = sights(**dict(zip(LINES, states, strict=True)))  # type: ignore[arg-type]
        state = GroupState(group_id=of.id, phase=phase, on=on, since_unix_ns=NOON - HOUR, request_id="forced-far")
        fit = candidates(of, lines)
        for view in VIEWS:
            check(of, state, Seen(**{"sights": lines, "candidates": fit, **view}), NOON)


VIEWS = views(group())


names = st.sampled_from([*LINES, SHED, "former"])
times = st.sampled_from([0, NOON - HOUR, NOON - SECOND, NOON - 1, NOON, NOON + 1, NOON + SECOND, NOON + 24 * HOUR])
attempts = st.builds(
    Attempt,
    generation=st.just(7),
    to=names,
    reason=st.sampled_from(["signal_fail", "revert", "forced", "manual", "preempted", "better", "verify_failed"]),
    began_unix_ns=times,
    stage=st.sampled_from(["proposed", "ordered", "applied", "refused"]),
    due_unix_ns=times,
)
states_of_groups = st.builds(
    GroupState,
    group_id=st.just("gw-port/life"),
    phase=st.sampled_from(PHASES),
    since_unix_ns=times,
    on=names,
    reason=st.sampled_from(["", "signal_fail", "forced"]),
    attempt=st.none() | attempts,
    tried=st.lists(names, max_size=2, unique=True).map(tuple),
    rounds=st.sampled_from([0, 1, 2, 30]),
    on_unix_ns=times,
    due_unix_ns=times,
    restore_unix_ns=times,
    left_unix_ns=times,
    guard_until_unix_ns=times,
    penalty=st.sampled_from([0.0, 1_000.0, 9_000.0]),
    penalty_unix_ns=times,
    suppressed_unix_ns=times,
    working_failed=st.booleans(),
    rival=st.sampled_from(["", "near", "far"]),
    rival_unix_ns=times,
    generation=st.just(7),
    request_id=st.sampled_from(["", "forced-far"]),
)
groups = st.builds(
    group,
    protections=st.sampled_from([(), ("near",), ("near", "far")]),
    moves_on_sd=st.booleans(),
    both_ways=st.booleans(),
    revertive=st.booleans(),
    mode=st.sampled_from(["act", "act", "advise", "observe"]),
    timers=st.sampled_from([Timers(), Timers(hold_off_s=2.0), Timers(wtr_s=0.0, wtb_s=0.0, guard_s=0.0)]),
)
line_sights = st.fixed_dictionaries(
    {},
    optional={
        line: st.builds(
            LineSight,
            line_id=st.just(line),
            state=st.sampled_from(STATES),
            one_way=st.booleans(),
            since_unix_ns=st.sampled_from([0, NOON - HOUR, NOON - SECOND, NOON - 1, NOON]),
        )
        for line in LINES
    },
)
requests = st.builds(
    request,
    st.sampled_from(["lockout", "forced", "manual", "exercise"]),
    st.sampled_from([*LINES, "", "former"]),
)
results = st.builds(
    ActionResult,
    group_id=st.just("gw-port/life"),
    generation=st.sampled_from([6, 7, 8]),
    outcome=st.sampled_from(["applied", "verified", "failed", "refused", "unreachable"]),
    on=st.none() | names,
)


@st.composite
def whole_views(draw: st.DrawFn, of: Group) -> Seen:
    """Anything that may be seen."""
    lines = draw(line_sights)
    fit = candidates(of, {**sights(own="unknown", near="unknown", far="unknown"), **lines})
    return Seen(
        sights=lines,
        candidates=fit[: draw(st.integers(0, 2))],
        working_fits=draw(st.booleans()),
        evicted=draw(st.booleans()),
        request=draw(st.none() | requests),
        locked=frozenset(draw(st.sets(st.sampled_from(LINES), max_size=1))),
        clear=draw(st.booleans()),
        frozen=draw(st.booleans()),
        posture=draw(st.sampled_from(["normal", "disaster"])),
        reported=draw(st.none() | names),
        reachable=draw(st.booleans()),
        result=draw(st.none() | results),
        approved=draw(st.sampled_from([0, 6, 7])),
        may_return=draw(st.booleans()),
    )


@given(st.data(), groups, states_of_groups)
@settings(max_examples=150, deadline=None)
def test_any_state_with_any_view(data: st.DataObject, of: Group, state: GroupState) -> None:
    """Also states of which nobody knows how they could have come about: another version may have left them."""
    check(of, state, data.draw(whole_views(of)), NOON)


@given(groups, states_of_groups)
@settings(max_examples=80, deadline=None)
def test_from_any_state_it_comes_home(of: Group, state: GroupState) -> None:
    """When all is well, and the actuator does what it is told; unless it is a group that stays, or one that others have to approve."""
    of = msgspec.structs.replace(of, mode="act")
    play = Play(of)
    play.state = state
    play.step()
    for _ in range(60):
        if not play.due_ns:
            break
        play.now_ns = play.due_ns
        play.step()
    home = ("NR", "own")
    assert play.where() == home or (not of.revertive and play.state.phase == "DNR")
    assert play.due_ns == 0


@given(groups, states_of_groups)
@settings(max_examples=80, deadline=None)
def test_from_any_state_it_leaves_a_dead_line(of: Group, state: GroupState) -> None:
    """Within a few steps, and without waiting for anything but hold-off and for the end of what was under way."""
    of = msgspec.structs.replace(of, mode="act", protections=("near", "far"))
    play = Play(of)
    play.lines = sights(own="down", far="degraded")
    play.state = state
    end_ns = NOON + 70 * SECOND
    play.step()
    while play.due_ns and play.due_ns < end_ns:
        play.now_ns = play.due_ns
        play.step()
    assert play.state.on in ("near", "far")


class Life(RuleBasedStateMachine):
    """A group, its lines, its gateway and its operators; every step is checked, and so is what it adds up to."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()
        self.play.obeys = False
        self.route = "own"
        self.switches: list[int] = []
        self.generation = 0

    @initialize(
        mode=st.sampled_from(["act", "act", "advise"]), revertive=st.booleans(), hold=st.sampled_from([0.0, 1.0])
    )
    def begin(self, mode: str, revertive: bool, hold: float) -> None:
        """A group is configured."""
        self.play.group = group(mode=mode, revertive=revertive, moves_on_sd=True, timers=Timers(hold_off_s=hold))

    def look(self, **news: Any) -> None:
        """One step."""
        play = self.play
        step = check(play.group, play.state, play.seen(**news), play.now_ns)
        play.take(step)
        for action in step.actions:
            if action.kind == "switch":
                self.switches.append(play.now_ns)
                assert action.generation > self.generation
                self.generation = action.generation

    @rule(line=st.sampled_from(LINES), state=st.sampled_from(STATES))
    def line_changes(self, line: str, state: Any) -> None:
        """A line fails, comes back, is lost sight of."""
        sight = LineSight(line_id=line, state=state, since_unix_ns=self.play.now_ns)
        self.play.lines = {**self.play.lines, line: sight}
        self.look()

    @rule(
        outcome=st.sampled_from(["verified", "verified", "applied", "failed", "refused", "unreachable"]),
        back=st.sampled_from([0, 0, 0, 1]),
    )
    def gateway_answers(self, outcome: Any, back: int) -> None:
        """To the newest order, or to an older one."""
        attempt = self.play.state.attempt
        if attempt is None or attempt.stage == "proposed":
            return
        if outcome == "verified" and not back:
            self.route = attempt.to
        on = {"verified": attempt.to, "failed": self.route}.get(outcome)
        generation = attempt.generation - back
        self.look(result=ActionResult(group_id="gw-port/life", generation=generation, outcome=outcome, on=on))

    @rule(line=st.sampled_from(["near", "far"]))
    def gateway_moves_by_its_plan(self, line: str) -> None:
        """And reports it."""
        self.route = line
        self.look(reported=line)

    @rule(kind=st.sampled_from(["lockout", "forced", "manual", "exercise"]), line=st.sampled_from(LINES))
    def operator_commands(self, kind: Any, line: str) -> None:
        """If it can be obeyed."""
        asked = request(kind, "" if kind == "lockout" else line, id=f"{kind}-{self.play.now_ns}", until_unix_ns=2**62)
        if not refusal(self.play.group, self.play.state, self.play.seen(), asked, self.play.now_ns):
            self.play.view["request"] = asked
            self.look()

    @rule()
    def operator_clears(self) -> None:
        """Whatever is in force."""
        self.play.view.pop("request", None)
        self.look(clear=True)

    @rule()
    def operator_approves(self) -> None:
        """What is proposed."""
        self.look(approved=self.play.state.generation)

    @rule(name=st.sampled_from(["frozen", "evicted", "may_return", "reachable", "working_fits"]), value=st.booleans())
    def world_changes(self, name: str, value: bool) -> None:
        """Freeze, room, turn, reach."""
        self.play.view[name] = value
        self.look()

    @rule(jump_s=st.sampled_from([0.1, 1, 10, 100, 400, 3_600, -1, -100, -7_200]))
    def time_passes(self, jump_s: float) -> None:
        """Or the clock is set back."""
        self.play.now_ns += round(jump_s * SECOND)
        # Whoever tells of lines lives by the same clock: nothing came to be in the future.
        self.play.lines = {
            line: msgspec.structs.replace(sight, since_unix_ns=min(sight.since_unix_ns, self.play.now_ns))
            for line, sight in self.play.lines.items()
        }
        self.look()

    @rule()
    def timer_runs_out(self) -> None:
        """At the time that was asked for."""
        if self.play.due_ns:
            self.play.now_ns = self.play.due_ns
            self.look()

    @invariant()
    def is_on_a_line_of_its_own(self) -> None:
        """Or nowhere, on purpose."""
        assert self.play.state.on in (*LINES, SHED)

    @invariant()
    def stays_small(self) -> None:
        """Whatever happened."""
        assert len(msgspec.json.encode(self.play.state)) < 1_000


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
