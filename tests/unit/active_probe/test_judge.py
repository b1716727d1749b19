"""All lines in memory: what is told when vantages speak, fall silent, go, or were never heard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.model import (
    LineChange,
    LineState,
    LineStatus,
    Reason,
    TargetReading,
    VantageChange,
    VantageHealth,
    VantageState,
    Vote,
)
from netmon.active_probe.settings import JudgedLine, VerdictSettings
from netmon.active_probe.verdict.judge import VOTE_AGE_MAX_S, Judge
from netmon.active_probe.verdict.seen import TARGETS_MAX, TEXT_MAX
from netmon.model import RedisSettings

S: Final = 1_000_000_000
UNIX: Final = 1_795_000_020 * S
"""A clock that is not the vantages'."""
THEIRS: Final = 1_600_000_000 * S


class Bench:
    """A judge with two clocks that go together; each method tells what became of it."""

    def __init__(
        self,
        vantages: Sequence[str] = ("v1",),
        lines: Sequence[str] = ("a",),
        stored: Sequence[LineStatus] = (),
        said: Sequence[VantageChange] = (),
    ) -> None:
        judged = tuple(JudgedLine(line_id=line, fall_s=1.9, vantage_ids=tuple(vantages)) for line in lines)
        self.settings = VerdictSettings(redis=RedisSettings(url="unix:///"), directory="/", lines=judged)
        self.mono, self.unix = 100 * S, UNIX
        self.beats = dict.fromkeys(vantages, 0)
        self.judge = Judge(
            self.settings,
            stored,
            {change.vantage_id: change for change in said},
            (),
            mono_ns=self.mono,
            unix_ns=self.unix,
        )

    def vote(self, vantage: str, state: LineState, reason: Reason = "", *, line: str = "a", miss: int = 0) -> list[str]:
        """A vantage votes."""
        self.judge.vote(vote(line, vantage, state, reason, miss), self.mono)
        return self.told()

    def beat(self, vantage: str, state: VantageState = "live", reason: str = "", started: int = 1) -> list[str]:
        """A vantage lives, or says otherwise."""
        self.beats[vantage] += 1
        told = health(vantage, self.beats[vantage], state, reason, started)
        self.judge.health(told, self.mono, self.unix)
        return self.told()

    def live(self, state: LineState = "up", reason: Reason = "") -> Bench:
        """All vantages live and say the same of line a; what is told by then is taken away."""
        for name in self.beats:
            self.beat(name)
            self.vote(name, state, reason)
        return self

    def wait(self, seconds: float, speaking: Sequence[str] = ()) -> list[str]:
        """Lets time pass in half seconds, in which some vantages go on speaking."""
        found = []
        for _ in range(int(seconds * 2)):
            self.mono += S // 2
            self.unix += S // 2
            for name in speaking:
                found += self.beat(name)
            self.judge.age(self.mono, self.unix)
            found += self.told()
        return found

    def told(self) -> list[str]:
        """What follows from all that was said."""
        self.judge.judge(self.mono, self.unix)
        told, _, _ = self.judge.take(self.unix)
        return [_shown(change) for _, change in told]

    def status(self, line: str = "a") -> tuple[LineState, Reason, bool]:
        """State, reason, and whether it is one-way."""
        status = self.judge.status(line, self.unix)
        return status.state, status.reason, status.one_way


def _shown(change: LineChange | VantageChange) -> str:
    again = " again" if change.restated else ""
    if isinstance(change, VantageChange):
        return f"{change.vantage_id}: {change.before}>{change.after} {change.reason}".rstrip() + again
    return f"{change.line_id}: {change.before}>{change.after} {change.status.reason}".rstrip() + again


def vote(line: str, vantage: str, state: LineState, reason: Reason = "", miss: int = 0) -> Vote:
    """Of a minute in which all probes were answered, or none."""
    reading = TargetReading(label="icmp 192.0.2.1", state=state, sent=60, lost=60 if state == "down" else 0)
    return Vote(
        line_id=line,
        vantage_id=vantage,
        state=state,
        reason=reason,
        since_unix_ns=THEIRS,
        first_miss_unix_ns=miss,
        unix_ns=THEIRS,
        targets=(reading,),
    )


def health(vantage: str, beat: int, state: VantageState = "live", reason: str = "", started: int = 1) -> VantageHealth:
    """A sign of life."""
    return VantageHealth(
        vantage_id=vantage,
        state=state,
        reason=reason,
        beat=beat,
        started_unix_ns=started,
        unix_ns=THEIRS,
        heartbeat_s=1.0,
    )


def status(line: str, state: LineState, reason: Reason = "") -> LineStatus:
    """As another judge left it."""
    return LineStatus(line_id=line, state=state, reason=reason, since_unix_ns=UNIX - 3_600 * S, unix_ns=UNIX - S)


def test_a_vote_moves_a_line_at_once() -> None:
    """One vantage, alone: it is believed."""
    bench = Bench()
    assert bench.beat("v1") == ["v1: >live"]
    assert bench.vote("v1", "up") == ["a: unknown>up"]
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == ["a: up>down no_answer"]
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == []
    assert bench.vote("v1", "up") == ["a: down>up"]


@pytest.mark.parametrize(
    ("downs", "vantages", "expected"),
    [
        (1, 2, ("degraded", "disagreement")),
        (2, 2, ("down", "no_answer")),
        (1, 3, ("degraded", "disagreement")),
        (2, 3, ("down", "no_answer")),
        (2, 4, ("degraded", "disagreement")),
        (3, 4, ("down", "no_answer")),
        (2, 5, ("degraded", "disagreement")),
        (3, 5, ("down", "no_answer")),
    ],
)
def test_quorum(downs: int, vantages: int, expected: tuple[str, str]) -> None:
    """More than half of those who live, and at least two."""
    names = [f"v{number}" for number in range(vantages)]
    bench = Bench(names).live()
    for name in names[:downs]:
        bench.vote(name, "down", "no_answer", miss=THEIRS)
    assert bench.status()[:2] == expected


def test_a_silent_vantage_is_unknown_after_three_heartbeats() -> None:
    """Ages are by our clock; what stood goes with who said it."""
    bench = Bench().live()
    assert bench.wait(3) == []
    assert bench.wait(1) == ["v1: live>stale silent", "a: up>unknown stale"]
    assert bench.beat("v1") == ["v1: stale>live", "a: unknown>up"]


def test_a_heartbeat_that_stands_still_is_none() -> None:
    """The same beat again, as of a process that hangs and whose thread goes on telling: it ages all the same."""
    bench = Bench().live()
    found = []
    for _ in range(8):
        bench.judge.health(health("v1", 1), bench.mono, bench.unix)
        found += bench.wait(0.5)
    assert found == ["v1: live>stale silent", "a: up>unknown stale"]


def test_a_vantage_that_was_started_again_counts_from_one() -> None:
    """Its clock may have been set back meanwhile, too."""
    bench = Bench().live()
    bench.wait(2.5)
    bench.beats["v1"] = 0
    bench.beat("v1", started=-5)
    assert bench.wait(3) == []


def test_an_isolated_vantage_leaves_the_line_unknown() -> None:
    """It is cut off itself: no line is down for it, and none is up."""
    bench = Bench().live()
    assert bench.beat("v1", "isolated", "no_anchor") == ["v1: live>isolated no_anchor", "a: up>unknown isolated"]
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == []
    assert bench.beat("v1") == ["v1: isolated>live", "a: unknown>down no_answer"]


def test_of_two_vantages_one_falls_silent() -> None:
    """The other one decides alone."""
    bench = Bench(("v1", "v2")).live()
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == ["a: up>degraded disagreement"]
    found = bench.wait(4, speaking=["v1"])
    assert found == ["v2: live>stale silent", "a: degraded>down no_answer"]


def test_a_vantage_that_says_goodbye_is_not_waited_for() -> None:
    """With others, it counts no longer, at once."""
    bench = Bench(("v1", "v2")).live()
    bench.vote("v1", "down", "no_answer", miss=THEIRS)
    assert bench.beat("v2", reason="stopped") == ["v2: live>stale stopped", "a: degraded>down no_answer"]


def test_a_vantage_that_is_started_again_makes_no_line_unknown() -> None:
    """It says goodbye, comes back, has nothing to say yet, and says the same as before: the line stays as it was."""
    bench = Bench().live("down", "no_answer")
    assert bench.beat("v1", reason="stopped") == ["v1: live>stale stopped"]
    assert bench.wait(1) == []
    bench.beats["v1"] = 0
    assert bench.beat("v1", started=2) == ["v1: stale>live"]
    assert bench.vote("v1", "unknown", "no_data") == []
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == []
    assert bench.status() == ("down", "no_answer", False)


def test_a_vantage_that_lives_and_has_nothing_to_say() -> None:
    """It may take ten seconds until its first probe of a line is answered, and no longer."""
    bench = Bench().live()
    assert bench.vote("v1", "unknown", "no_data") == []
    assert bench.wait(9.5, speaking=["v1"]) == []
    assert bench.wait(1, speaking=["v1"]) == ["a: up>unknown no_data"]


def test_a_vantage_that_does_not_come_back_makes_it_unknown() -> None:
    """Only it takes as long as if it had fallen silent."""
    bench = Bench().live()
    bench.beat("v1", reason="stopped")
    assert bench.wait(5) == ["a: up>unknown no_vantage"]


def test_what_stood_stands_until_the_vantages_have_spoken() -> None:
    """A new judge tells again what is not up, and believes neither old votes nor silence too soon."""
    stored = [status("a", "down", "no_answer"), status("b", "up")]
    bench = Bench(("v1", "v2"), ("a", "b"), stored)
    assert bench.told() == ["a: down>down no_answer again"]
    for line in ("a", "b"):
        for name in ("v1", "v2"):
            bench.judge.vote(vote(line, name, "up"), bench.mono)
    bench.judge.remember(health("v1", 7), bench.mono, bench.unix)
    assert bench.told() == []
    bench.beats["v1"] = 7
    assert bench.beat("v1") == ["v1: >live"]
    assert bench.beat("v2") == ["v2: >live", "a: down>up"]
    assert bench.status("b") == ("up", "", False)


def test_a_vantage_that_died_while_nobody_judged() -> None:
    """Its old votes count as long as it may still speak, and no longer."""
    bench = Bench(("v1", "v2"), stored=[status("a", "up")])
    bench.judge.vote(vote("a", "v2", "up"), bench.mono)
    bench.beat("v1")
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == []
    assert bench.wait(4, speaking=["v1"]) == ["v2: >stale silent", "a: up>down no_answer"]


def test_a_vantage_that_was_silent_before_is_not_waited_for() -> None:
    """A leader that begins knows what the last one had found out."""
    said = VantageChange(vantage_id="v2", before="live", after="stale", unix_ns=UNIX)
    bench = Bench(("v1", "v2"), stored=[status("a", "up")], said=[said])
    assert bench.told() == ["v2: stale>stale again"]
    bench.beat("v1")
    assert bench.vote("v1", "down", "no_answer", miss=THEIRS) == ["a: up>down no_answer"]


def test_a_line_that_nobody_ever_probed() -> None:
    """Patience ends: it is told to be unknown, once."""
    bench = Bench()
    found = bench.wait(10)
    assert found == ["v1: >stale silent", "a: unknown>unknown stale"]


def test_a_line_that_the_region_has_no_more() -> None:
    """It is told to be unknown, and leaves the hash."""
    bench = Bench(stored=[status("a", "up"), status("old", "down", "no_answer")])
    told, _, gone = bench.judge.take(bench.unix)
    assert [_shown(change) for _, change in told] == ["old: down>unknown no_vantage"]
    assert gone == ["old"]


def test_what_was_heard_after_the_first_miss_speaks_for_the_line() -> None:
    """One vantage misses probes, a trap comes: one-way; when no more comes, it is down."""
    bench = Bench().live()
    bench.judge.vote(vote("a", "v1", "down", "no_answer", bench.unix - 2 * S), bench.mono)
    assert bench.judge.suspects() == ["a"]
    bench.judge.hear("a", bench.unix - S, bench.unix)
    assert bench.told() == ["a: up>degraded one_way"]
    assert bench.status() == ("degraded", "one_way", True)
    assert bench.wait(10.5, speaking=["v1"]) == ["a: degraded>down no_answer"]


def test_what_will_be_heard_tomorrow_fades_all_the_same() -> None:
    """A clock that runs ahead, or a lie: it counts from when it was first seen, and not for ever."""
    bench = Bench().live()
    bench.judge.vote(vote("a", "v1", "down", "no_answer", bench.unix - 2 * S), bench.mono)
    bench.judge.hear("a", bench.unix + 86_400 * S, bench.unix)
    assert bench.told() == ["a: up>degraded one_way"]
    found = []
    for _ in range(24):
        bench.judge.hear("a", UNIX + 86_400 * S, bench.unix)
        found += bench.wait(0.5, speaking=["v1"])
    assert found == ["a: degraded>down no_answer"]


def test_a_vote_that_nobody_tells_again_is_dropped() -> None:
    """The vantage lives, and its probe of this line is stuck."""
    bench = Bench(("v1", "v2")).live()
    bench.vote("v2", "down", "no_answer", miss=THEIRS)
    found = []
    for _ in range(int(VOTE_AGE_MAX_S) + 2):
        bench.judge.vote(vote("a", "v1", "up"), bench.mono)
        found += bench.wait(1, speaking=["v1", "v2"])
        bench.judge.visit(1, bench.mono, bench.unix)
    assert [*found, *bench.told()] == ["a: degraded>up"]


def test_nothing_is_silent_after_we_were_away() -> None:
    """Redis was gone for an hour: nobody could be heard."""
    bench = Bench().live()
    bench.mono += 3_600 * S
    bench.unix += 3_600 * S
    bench.judge.forgive(bench.mono)
    assert bench.wait(3) == []
    assert bench.wait(1) == ["v1: live>stale silent", "a: up>unknown stale"]


def test_redis_has_lost_everything() -> None:
    """All is written again; what is not up is told again."""
    bench = Bench(lines=("a", "b")).live("down", "no_answer")
    bench.vote("v1", "up", line="b")
    bench.judge.reconcile([], bench.unix)
    told, statuses, _ = bench.judge.take(bench.unix)
    assert [_shown(change) for _, change in told] == ["a: down>down no_answer again", "v1: live>live again"]
    assert sorted(status.line_id for status in statuses) == ["a", "b"]
    assert [account.line_id for account in bench.judge.accounts.take()] == ["a", "b"]


def test_redis_has_an_older_state() -> None:
    """The newest writes were lost in a fail-over: the change is told as one, once more."""
    bench = Bench().live()
    bench.judge.reconcile([status("a", "down", "no_answer")], bench.unix)
    assert bench.told() == ["a: down>up", "v1: live>live again"]


def test_an_older_copy_in_redis_is_not_believed() -> None:
    """Redis comes back with votes of yesterday: the vantage has said something else since."""
    bench = Bench().live()
    old = msgspec.structs.replace(vote("a", "v1", "down", "no_answer", THEIRS), unix_ns=THEIRS - S)
    bench.judge.recall(old, bench.mono)
    assert bench.told() == []
    bench.judge.recall(msgspec.structs.replace(old, unix_ns=THEIRS + S), bench.mono)
    assert bench.told() == ["a: up>down no_answer"]


@pytest.mark.parametrize(
    "changed",
    [
        {"line_id": "nobody's"},
        {"vantage_id": "nobody"},
        {"targets": (TargetReading(label="x", state="up"),) * (TARGETS_MAX + 1)},
        {"targets": (TargetReading(label="x", state="up", detail="x" * (TEXT_MAX + 1)),)},
        {"since_unix_ns": -1},
        {"first_miss_unix_ns": 1 << 63},
        {"unix_ns": 10**30},
    ],
)
def test_votes_that_nobody_can_have_meant(changed: dict[str, object]) -> None:
    """Counted, and without effect."""
    bench = Bench().live()
    bench.judge.vote(msgspec.structs.replace(vote("a", "v1", "down", "no_answer", THEIRS), **changed), bench.mono)
    assert bench.told() == []
    assert bench.judge.foreign == 1


@pytest.mark.parametrize("heartbeat_s", [0.0, -1.0, 1e300])
def test_a_heartbeat_that_cannot_be_is_bounded(heartbeat_s: float) -> None:
    """Neither for ever alive nor never."""
    bench = Bench().live()
    bench.judge.health(msgspec.structs.replace(health("v1", 99), heartbeat_s=heartbeat_s), bench.mono, bench.unix)
    assert bench.told() == []
    assert bench.wait(200) == ["v1: live>stale silent", "a: up>unknown stale"]


def test_counts_of_states_and_failures() -> None:
    """Down, unknown for a while, and down: one failure, in the account of the month."""
    bench = Bench().live()
    bench.vote("v1", "down", "no_answer", miss=THEIRS)
    bench.wait(10, speaking=["v1"])
    bench.beat("v1", "isolated", "no_anchor")
    bench.beat("v1")
    bench.vote("v1", "up")
    (account,) = bench.judge.accounts.take()
    assert (account.failures, account.down_s) == (1, 10.0)
    assert bench.judge.changes == {"up": 2, "degraded": 0, "down": 2, "unknown": 1}


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from((0.5, 1.0, 4.0))),
    st.tuples(st.just("beat"), st.sampled_from(("v1", "v2", "v3")), st.sampled_from(("live", "isolated", "stopped"))),
    st.tuples(
        st.just("vote"),
        st.sampled_from(("v1", "v2", "v3")),
        st.sampled_from((("up", ""), ("degraded", "loss"), ("down", "no_answer"), ("unknown", "no_data"))),
    ),
    st.tuples(st.just("hear"), st.integers(-20, 20)),
    st.tuples(st.just("forgive")),
    st.tuples(st.just("restart")),
)


@given(st.lists(STEPS, max_size=40), st.sampled_from((1, 2, 3)))
def test_laws(steps: list[tuple[Any, ...]], count: int) -> None:
    """Whatever is said in whatever order: what is told is a chain that ends with the status, whoever goes on with it."""
    names = ("v1", "v2", "v3")[:count]
    bench, state = Bench(names), "unknown"
    for step in steps:
        match step:
            case ("wait", seconds):
                found = bench.wait(seconds)
            case ("beat", name, how) if name in names:
                found = bench.beat(
                    name, "isolated" if how == "isolated" else "live", "stopped" if how == "stopped" else ""
                )
            case ("vote", name, (said, reason)) if name in names:
                found = bench.vote(name, said, reason, miss=bench.unix - S if said == "down" else 0)
            case ("hear", seconds):
                bench.judge.hear("a", bench.unix + seconds * S, bench.unix)
                found = bench.told()
            case ("forgive",):
                bench.judge.forgive(bench.mono)
                found = bench.told()
            case ("restart",):
                before = bench
                bench = Bench(names, stored=[before.judge.status("a", before.unix)])
                bench.beats, bench.unix = before.beats, before.unix
                found = bench.told()
            case _:
                continue
        for before_state, after in (
            re.findall(r"^a: (\w+)>(\w+)", line)[0] for line in found if line.startswith("a: ")
        ):
            assert before_state == state
            state = after
        status = bench.judge.status("a", bench.unix)
        assert status.state == state
        assert status.vantages_live + status.vantages_isolated + status.vantages_stale <= count
