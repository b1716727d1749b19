"""Lines that break: a gateway that probes them by STAMP, and what is said of each.

One lab for all: each test breaks lines of its own and mends them again, while all others are watched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import msgspec
import pytest

from loadtest.lab.lines import FAR, GATEWAY, Lab, Refusal
from loadtest.lab.prober import REFLECTOR, Role
from netmon.active_probe.model import LineStatus, TargetReading
from netmon.active_probe.settings import ProbedLine
from netmon.inventory.probes import Profile
from tests.integration.lab import FAST, LIMIT_S, PORT, Stage, mended, probe, told

PLAIN: Final = ("calm", "silent", "one-way", "heard", "brownout", "slow", "flapping", "refused", "unplugged", "modem")
PATIENT: Final[Profile] = msgspec.structs.replace(FAST, fall=200, window_s=10.0)
"""Ten seconds without an answer are no reason to worry."""
LONG: Final[Profile] = msgspec.structs.replace(FAST, window_s=4.0)
"""80 probes: chance does not make three losses in ten of a quarter."""
MARK: Final = 7
RESTARTED_PORT: Final = 8_620
"""Of netmon's own reflector, which goes and comes."""


def probed_lines(lab: Lab, near: str, preferred: str) -> list[ProbedLine]:
    """What the gateway asks. `near`, `preferred`: the shared addresses of the far end."""
    fibre, radio = lab.lines["fibre"], lab.lines["radio"]
    probes = {name: probe(lab.lines[name]) for name in PLAIN}
    probes |= {
        "ipv6": probe(lab.lines["ipv6"], address=lab.lines["ipv6"].target6),
        "restarted": probe(lab.lines["restarted"], port=RESTARTED_PORT),
        "patient": probe(lab.lines["restarted"], port=RESTARTED_PORT),
        "fibre": probe(fibre, address=near),
        "radio": probe(radio, address=near),
        "radio-by-mark": probe(radio, address=near, mark=MARK, expect_interface=radio.interface),
        "fibre-by-source": probe(fibre, address=preferred, source=fibre.source),
        "radio-by-source": probe(radio, address=preferred, source=radio.source),
        "radio-expected": probe(radio, address=preferred, source=radio.source, expect_interface=radio.interface),
    }
    profiles = {"patient": PATIENT, "brownout": LONG}
    return [
        ProbedLine(line_id=name, profile=profiles.get(name, FAST), probes=(asked,)) for name, asked in probes.items()
    ]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The lab, the gateway's prober and the verdict process; all lines are up."""
    line_ids = ["fibre", "radio", *PLAIN, "ipv6", "restarted"]
    with Stage(tmp_path_factory.mktemp("lab"), line_ids, share=("fibre", "radio")) as stage:
        radio = stage.lab.lines["radio"]
        stage.lab[GATEWAY].ip(
            f"route add default via 10.64.{radio.number}.2 dev {radio.interface} table {MARK}",
            f"rule add fwmark {MARK} lookup {MARK}",
        )
        restarted = f"{stage.lab.lines['restarted'].target}:{RESTARTED_PORT}"
        stage.run("reflector", Role(stage.lab[FAR], stage.folder / "reflector", [*REFLECTOR, "--listen", restarted]))
        lines = probed_lines(stage.lab, *stage.shared)
        stage.start({GATEWAY: lines})
        stage.course.await_all("up", [line.line_id for line in lines if line.line_id != "radio-expected"], LIMIT_S)
        stage.course.await_state("radio-expected", "unknown", since=0, timeout_s=LIMIT_S)
        yield stage


def fallen(stage: Stage, since: int) -> set[str]:
    """Lines that were told to be down or unknown since a mark, and a little later."""
    stage.course.passes(0.3)
    return {change.line_id for change in stage.course.lines(since) if change.after in {"down", "unknown"}}


def status(stage: Stage, line_id: str) -> LineStatus:
    """As it stands."""
    return stage.course.now()[line_id]


def is_failing(status: LineStatus) -> bool:
    """Down by what it loses, not by a row of misses."""
    return (status.state, status.reason) == ("down", "loss")


def reading(stage: Stage, line_id: str) -> TargetReading:
    """What the window of its probe shows."""
    vote = next(vote for vote in stage.course.view.votes(GATEWAY) if vote.line_id == line_id)
    return vote.targets[0]


def test_silent_cut_takes_down_the_cut_line_alone(stage: Stage) -> None:
    """The far link dies without a word, the near one keeps its light: one line goes down, and comes back."""
    mark = stage.course.mark()

    stage.lab.cut("silent")
    down = told(stage, "silent", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend("silent"), "silent")

    assert (down.reason, [vote.vantage_id for vote in down.votes]) == ("no_answer", [GATEWAY])
    assert down.votes[0].targets[0].misses >= FAST.fall
    assert fell == {"silent"}


@pytest.mark.parametrize("how", ["unreachable", "prohibit", "throw"])
def test_line_whose_router_says_so_is_down(stage: Stage, how: Refusal) -> None:
    """ICMP of a router is no local error: host unreachable, prohibited and net unreachable are the line's fault."""
    mark = stage.course.mark()

    stage.lab.refuse(how, "refused")
    told(stage, "refused", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.accept(how, "refused"), "refused")

    assert fell == {"refused"}


def test_unplugged_far_end_is_down(stage: Stage) -> None:
    """The carrier's router loses the light, the gateway sees nothing but silence."""
    mark = stage.course.mark()

    stage.lab.unplug_far("unplugged")
    told(stage, "unplugged", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.plug_far("unplugged"), "unplugged")

    assert fell == {"unplugged"}


def test_ipv6_line(stage: Stage) -> None:
    """The same over IPv6."""
    mark = stage.course.mark()

    stage.lab.cut("ipv6")
    down = told(stage, "ipv6", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend("ipv6"), "ipv6")

    assert down.votes[0].targets[0].label == f"stamp [{stage.lab.lines['ipv6'].target6}]:{PORT}"
    assert fell == {"ipv6"}


def test_answers_dropped_and_nothing_heard_is_down(stage: Stage) -> None:
    """A cut in one direction looks like any other while nothing else comes over the line."""
    mark = stage.course.mark()

    stage.lab.drop_answers("one-way")
    down = told(stage, "one-way", "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.pass_answers("one-way"), "one-way")

    assert (down.reason, down.one_way) == ("no_answer", False)
    assert fell == {"one-way"}


def test_probes_fail_but_traps_arrive_is_one_way(stage: Stage) -> None:
    """What arrives over the line by itself speaks against its being dead: degraded, not down, until nothing is heard any more."""
    mark = stage.course.mark()

    with stage.evidence("heard"):
        stage.lab.drop_answers("heard")
        degraded = told(stage, "heard", "degraded", mark)
        fell = fallen(stage, mark)
        silence = stage.course.mark()
    told(stage, "heard", "down", silence)
    mended(stage, lambda: stage.lab.pass_answers("heard"), "heard")

    assert (degraded.reason, degraded.one_way, fell) == ("one_way", True, set())
    assert stage.course.states("heard", mark)[:2] == ["degraded", "down"]


def test_brownout_and_long_round_trips_do_not_flap(stage: Stage) -> None:
    """A quarter of one line's probes gets lost, another's take 20 ms more: both get worse, and better only when they are."""
    brownout, slow = stage.lab.lines["brownout"], stage.lab.lines["slow"]
    stage.course.until(lambda: reading(stage, "slow").baseline_s, "it is known how long a round trip takes", LIMIT_S)
    mark = stage.course.mark()

    stage.faults.set(brownout.target, loss=0.25)
    stage.faults.set(slow.target, delay_s=0.02)
    told(stage, "brownout", "down", mark)
    long = told(stage, "slow", "degraded", mark)
    stage.course.until(lambda: is_failing(status(stage, "brownout")), "down by loss", LIMIT_S)
    settled = stage.course.mark()
    stage.course.passes(3.0)
    fell, flaps = fallen(stage, mark), stage.course.states("brownout", settled)
    worse = stage.course.states("brownout", mark)
    loss = reading(stage, "brownout").loss
    stage.faults.set(brownout.target)
    stage.faults.set(slow.target)
    told(stage, "brownout", "up", mark)
    told(stage, "slow", "up", mark)

    assert (fell, flaps, "up" in worse) == ({"brownout"}, [], False)
    assert 0.1 < loss < 0.45
    assert (long.reason, stage.course.states("slow", mark)) == ("round_trip", ["degraded", "up"])


def test_flapping_line_is_told_once_each_way(stage: Stage) -> None:
    """Dead and alive in turn, each for a second at least: with 50 ms between probes, what 20 s are with 1 s."""
    mark = stage.course.mark()

    for _ in range(3):
        began, turn = time.monotonic(), stage.course.mark()
        stage.lab.cut("flapping")
        told(stage, "flapping", "down", turn)
        stage.course.passes(began + 1.0 - time.monotonic())
        began = time.monotonic()
        mended(stage, lambda: stage.lab.mend("flapping"), "flapping")
        stage.course.passes(began + 1.0 - time.monotonic())

    states = [state for state in stage.course.states("flapping", mark) if state != "up"]
    assert states == ["down", "degraded"] * 3
    assert fallen(stage, mark) == {"flapping"}


def test_prober_pinned_by_source_address_alone_loses_both_lines(stage: Stage) -> None:
    """Routing goes by the destination: a source address dies with the preferred line, an interface or a mark does not.

    Whoever says by which interface he expects his answers is told that they come by another, before anything is cut.
    """
    both = {"fibre-by-source", "radio-by-source"}
    expected = status(stage, "radio-expected")
    mark = stage.course.mark()

    stage.lab.cut("fibre")
    for name in {"fibre", *both}:
        told(stage, name, "down", mark)
    fell = fallen(stage, mark)
    mended(stage, lambda: stage.lab.mend("fibre"), "fibre", *both)

    assert (expected.state, expected.reason) == ("unknown", "wrong_interface")
    assert fell - {"radio-expected"} == {"fibre", *both}


def test_modem_that_comes_back_with_another_address(stage: Stage) -> None:
    """Its interface is gone: unknown, not down. Another one by its name, with another address, is used by itself."""
    mark = stage.course.mark()

    stage.lab.remove_modem("modem")
    gone = told(stage, "modem", "unknown", mark)
    fell = fallen(stage, mark)
    states = stage.course.states("modem", mark)
    address = f"10.64.{stage.lab.lines['modem'].number}.5"
    mended(stage, lambda: stage.lab.insert_modem("modem", address), "modem")

    assert (gone.reason, states, fell) == ("cannot_send", ["unknown"], {"modem"})


def test_reflector_that_starts_anew(stage: Stage) -> None:
    """It counts from 0 again: no loss is laid to a direction, a line that waits long enough keeps its state, the other comes back."""
    mark = stage.course.mark()
    since = status(stage, "patient").since_unix_ns

    stage.roles["reflector"].kill()
    told(stage, "restarted", "down", mark)
    mended(stage, stage.roles["reflector"].start, "restarted")
    stage.course.until(lambda: reading(stage, "patient").misses == 0, "the patient line is answered", LIMIT_S)
    stage.course.passes(1.0)
    patient, window = status(stage, "patient"), reading(stage, "patient")

    assert (patient.state, patient.since_unix_ns) == ("up", since)
    assert window.lost >= FAST.fall
    assert (window.lost_forward, window.lost_backward) == (0, 0)


def test_calm_line_was_never_told_of(stage: Stage) -> None:
    """While all this happened beside it."""
    stage.course.mark()

    assert set(stage.course.states("calm", 0)) == {"up"}
