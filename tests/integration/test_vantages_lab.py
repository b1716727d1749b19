"""Vantages that are cut off, killed, stopped, set to another time, or of another opinion: what is said of the lines then.

One lab for all: a gateway with an interface for each line, and a central vantage that reaches all of them by one uplink.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest

from loadtest.lab.lines import CENTRAL, GATEWAY
from netmon.active_probe.settings import ProbedLine
from netmon.active_probe.vantage.report import REPORT_FILE, ProbeReport
from netmon.inventory.probes import StampProbe
from tests.integration.lab import FAST, LIMIT_S, PORT, Stage, mended, probe, told

STEPPED: Final = "stepped"
GATEWAYS: Final = ("calm", "both", "disputed", "own", "stored")
CENTRALS: Final = ("calm", "both", "disputed", "remote")
STEPPEDS: Final = ("timed", "timed-2")
"""The second one is never cut."""
BARE: Final = "bare"
BARES: Final = ("bare-1", "bare-2", "bare-3")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The lab, four vantages (one with a clock that can be set, one without anchors) and the verdict process; all lines are up."""
    with Stage(tmp_path_factory.mktemp("lab"), sorted({*GATEWAYS, *CENTRALS, *STEPPEDS, *BARES})) as stage:
        stage.words[STEPPED] = (str(Path(__file__).with_name("stepped_clock.py")),)
        stage.place(STEPPED, GATEWAY)
        stage.place(BARE, CENTRAL, is_anchored=False)
        stage.start(
            {
                GATEWAY: probed(stage, GATEWAYS, is_pinned=True),
                CENTRAL: probed(stage, CENTRALS, is_pinned=False),
                STEPPED: probed(stage, STEPPEDS, is_pinned=True),
                BARE: probed(stage, BARES, is_pinned=False),
            }
        )
        stage.course.await_all("up", list(stage.lab.lines), LIMIT_S)
        yield stage


def probed(stage: Stage, line_ids: Sequence[str], *, is_pinned: bool) -> list[ProbedLine]:
    """By their own interfaces, or by the one uplink, which chooses the line by its target."""
    lines = [stage.lab.lines[line_id] for line_id in line_ids]
    return [
        ProbedLine(
            line_id=line.line_id,
            profile=FAST,
            probes=(probe(line) if is_pinned else StampProbe(address=line.target, port=PORT),),
        )
        for line in lines
    ]


def await_vantage(stage: Stage, vantage_id: str, state: str, since: int) -> None:
    """Until it is told that a vantage is live, isolated or stale."""
    stage.course.until(
        lambda: any(
            change.vantage_id == vantage_id and change.after == state for change in stage.course.vantages(since)
        ),
        f"{vantage_id} is {state}",
        LIMIT_S,
    )


def fallen(stage: Stage, since: int) -> set[str]:
    """Lines that were told to be down since a mark, and a little later."""
    stage.course.passes(0.3)
    return {change.line_id for change in stage.course.lines(since) if change.after == "down"}


def clock_steps(stage: Stage) -> int:
    """How often the vantage with the other clock has noticed that it was set."""
    body = (stage.folder / STEPPED / REPORT_FILE).read_bytes()
    return msgspec.json.decode(body, type=ProbeReport).counts.clock_steps


def test_both_vantages_see_the_cut(stage: Stage) -> None:
    """A majority of two says down; its evidence has both votes."""
    mark = stage.course.mark()

    stage.lab.cut("both")
    down = told(stage, "both", "down", mark)
    stage.course.until(
        lambda: {vote.state for vote in stage.course.now()["both"].votes} == {"down"}, "both votes say down", LIMIT_S
    )
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend("both"), "both")

    assert {vote.vantage_id for vote in down.votes} == {GATEWAY, CENTRAL}
    assert fell == {"both"}


def test_two_vantages_that_disagree(stage: Stage) -> None:
    """One gets through, one does not: that is no majority, and the line is degraded."""
    mark = stage.course.mark()

    stage.lab.cut_from_gateway("disputed")
    disputed = told(stage, "disputed", "degraded", mark)
    fell = fallen(stage, mark)
    stage.lab.mend_from_gateway("disputed")
    stage.course.until(
        lambda: all(vote.state != "down" for vote in stage.course.now()["disputed"].votes), "both agree again", LIMIT_S
    )

    assert disputed.reason == "disagreement"
    assert {vote.vantage_id: vote.state for vote in disputed.votes} == {GATEWAY: "down", CENTRAL: "up"}
    assert fell == set()


def test_own_uplink_cut(stage: Stage) -> None:
    """Everything that two vantages ask falls silent, anchors too: they are cut off themselves, and no line is down.

    One of them has no anchors: all of its lines at once are more than chance.
    """
    mark = stage.course.mark()

    stage.lab.cut_uplink()
    for vantage_id in (CENTRAL, BARE):
        await_vantage(stage, vantage_id, "isolated", mark)
    remote, bare = told(stage, "remote", "unknown", mark), told(stage, BARES[0], "unknown", mark)
    stage.course.passes(1.0)
    now, fell = stage.course.now(), fallen(stage, mark)
    back = stage.course.mark()
    stage.lab.mend_uplink()
    for vantage_id, line_id in ((CENTRAL, "remote"), (BARE, BARES[0])):
        await_vantage(stage, vantage_id, "live", back)
        told(stage, line_id, "up", back)

    assert [(one.vantages_live, one.vantages_isolated) for one in (remote, bare)] == [(0, 1), (0, 1)]
    assert [now[name].state for name in ("calm", "own", "remote")] == ["up", "up", "unknown"]
    assert (fell, fallen(stage, back)) == (set(), set())


def test_cut_that_a_vantage_without_anchors_sees(stage: Stage) -> None:
    """Its other lines answer, so it is the line."""
    mark = stage.course.mark()

    stage.lab.cut(BARES[0])
    told(stage, BARES[0], "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend(BARES[0]), BARES[0])

    assert fell == {BARES[0]}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_vantage_that_says_nothing_any_more(stage: Stage, number: signal.Signals) -> None:
    """Killed or stopped, its votes are stale: what it alone probes is unknown, what others probe goes by them."""
    mark = stage.course.mark()

    stage.roles[CENTRAL].signal(number)
    await_vantage(stage, CENTRAL, "stale", mark)
    remote = told(stage, "remote", "unknown", mark)
    stage.lab.cut("own")
    told(stage, "own", "down", mark)
    calm, fell = stage.course.now()["calm"], fallen(stage, mark)
    back = stage.course.mark()
    mended(stage, lambda: stage.lab.mend("own"), "own")
    if number == signal.SIGSTOP:
        stage.roles[CENTRAL].signal(signal.SIGCONT)
    else:
        stage.roles[CENTRAL].kill()
        stage.roles[CENTRAL].start()
    await_vantage(stage, CENTRAL, "live", back)
    told(stage, "remote", "up", back)

    assert (remote.vantages_live, remote.vantages_stale) == (0, 1)
    assert (calm.state, fell) == ("up", {"own"})
    assert fallen(stage, back) == set()


def test_redis_that_is_stopped_during_a_cut(stage: Stage) -> None:
    """Nobody can tell anything for a while; then the cut line is down, and nothing else has changed."""
    mark = stage.course.mark()
    redis_pid = stage.client.info("server")["process_id"]

    os.kill(redis_pid, signal.SIGSTOP)
    stage.lab.cut("stored")
    time.sleep(1.5)  # the cut happens while nobody can tell of it
    os.kill(redis_pid, signal.SIGCONT)
    down = told(stage, "stored", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend("stored"), "stored")

    assert fell == {"stored"}
    assert down.votes[0].targets[0].misses >= FAST.fall


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_clock_that_is_set(stage: Stage, number: signal.Signals) -> None:
    """An hour forward, two hours back: nothing is lost, no round trip is an hour long, and a cut is still found."""
    steps = clock_steps(stage)
    mark = stage.course.mark()

    stage.roles[STEPPED].signal(number)
    stage.course.until(lambda: clock_steps(stage) > steps, "the step is noticed", LIMIT_S)
    calm = [change for change in stage.course.lines(mark) if change.line_id in STEPPEDS]
    vantages = stage.course.vantages(mark)
    stage.lab.cut("timed")
    told(stage, "timed", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend("timed"), "timed")
    beside = next(vote.targets[0] for vote in stage.course.view.votes(STEPPED) if vote.line_id == "timed-2")

    assert (calm, vantages) == ([], [])
    assert (beside.state, beside.lost) == ("up", 0)
    assert beside.rtt_p99_s is not None
    assert beside.rtt_p99_s < 1.0
    assert fell == {"timed"}


def test_calm_line_was_never_told_of(stage: Stage) -> None:
    """While all this happened beside it."""
    stage.course.mark()

    assert set(stage.course.states("calm", 0)) == {"up"}
