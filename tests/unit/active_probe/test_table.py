"""The table of a line's phases, and the grades of its window."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.table import (
    INPUTS,
    MEANING,
    PHASES,
    SAMPLES_MIN,
    TABLE,
    Input,
    Phase,
    Quality,
    grade,
)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "probing.md"
FIBRE = BUILT_IN["fibre"]
AWAY = ("new", "fallen", "mute", "astray")
"""Phases in which nothing is known to work."""


def quality(**more: Any) -> Quality:
    """A window of a minute without a fault, but for what is given."""
    values = {"sent": 60, "loss": 0.0, "rtt_p50_s": 0.002, "baseline_s": 0.002, "answers_in_row": 60, **more}
    return Quality(**{"recent_sent": values["sent"], "recent_loss": values["loss"], **values})


def test_every_pair_is_in_the_table() -> None:
    """And leads to a phase that has a meaning."""
    assert set(TABLE) == set(product(PHASES, INPUTS))
    assert set(TABLE.values()) <= set(PHASES) == set(MEANING)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("error", "after"), [("cannot_send", "mute"), ("wrong_interface", "astray")])
def test_what_could_not_leave_is_never_down(phase: Phase, error: Input, after: Phase) -> None:
    """Whatever was known before."""
    assert (TABLE[phase, error], MEANING[after][0]) == (after, "unknown")


def test_one_answer_alone_ends_no_failure() -> None:
    """Only at the start it is enough: nothing is known against the line."""
    assert [phase for phase in PHASES if phase in AWAY and TABLE[phase, "answered"] != phase] == ["new"]


@pytest.mark.parametrize("given_", ["well", "lossy", "slow", "failing", "silent"])
@pytest.mark.parametrize("phase", AWAY)
def test_no_window_ends_what_only_answers_end(phase: Phase, given_: Input) -> None:
    """A window shows what was; an old one may still look well."""
    assert TABLE[phase, given_] == phase


def test_only_misses_in_a_row_and_loss_call_a_line_down() -> None:
    """No other input leads there from a phase that is not down."""
    down = {phase for phase in PHASES if MEANING[phase][0] == "down"}

    assert {given_ for (phase, given_), after in TABLE.items() if after in down and phase not in down} == {
        "fell",
        "failing",
    }


def test_a_brownout_is_not_ended_by_answers() -> None:
    """Only its window ends it, or that nothing comes any more."""
    assert {given_ for given_ in INPUTS if TABLE["failing", given_] != "failing"} == {
        "silent", "cannot_send", "wrong_interface", "well", "lossy", "slow",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "more", "expected"),
    [
        ("up", {}, "well"),
        ("up", {"loss": 0.10}, "well"),
        ("up", {"loss": 0.11}, "lossy"),
        ("up", {"loss": 0.20}, "lossy"),
        ("up", {"loss": 0.21}, "failing"),
        ("lossy", {"loss": 0.06}, "lossy"),
        ("lossy", {"loss": 0.05}, "well"),
        ("slow", {"loss": 0.10}, "well"),
        ("failing", {"loss": 0.11}, "failing"),
        ("failing", {"loss": 0.10}, "lossy"),
        ("failing", {"loss": 0.10, "answers_in_row": 4}, "failing"),
        ("failing", {"loss": 0.05}, "well"),
        # A cut that is over is still in the window, but the line works.
        ("lossy", {"loss": 0.50, "recent_loss": 0.0, "recent_sent": 30}, "lossy"),
        ("lossy", {"loss": 0.50, "recent_loss": 0.21, "recent_sent": 30}, "failing"),
        ("lossy", {"loss": 0.50, "recent_loss": 0.50, "recent_sent": SAMPLES_MIN - 1}, "lossy"),
        # Round trips.
        ("up", {"rtt_p50_s": 0.0049}, "well"),
        ("up", {"rtt_p50_s": 0.0051}, "slow"),
        ("up", {"rtt_p50_s": 0.02, "baseline_s": 0.01}, "well"),
        ("up", {"rtt_p50_s": 0.021, "baseline_s": 0.01}, "slow"),
        ("slow", {"rtt_p50_s": 0.016, "baseline_s": 0.01}, "slow"),
        ("slow", {"rtt_p50_s": 0.015, "baseline_s": 0.01}, "well"),
        ("up", {"rtt_p50_s": 0.19, "baseline_s": None}, "well"),
        ("up", {"rtt_p50_s": 0.21, "baseline_s": None}, "slow"),
        ("slow", {"rtt_p50_s": 0.16, "baseline_s": 0.19}, "slow"),
        ("slow", {"rtt_p50_s": 0.15, "baseline_s": 0.19}, "well"),
        ("slow", {"rtt_p50_s": None}, "slow"),
        ("up", {"loss": 0.15, "rtt_p50_s": 1.0}, "lossy"),
        # Too little to say anything; what was raised comes back nevertheless.
        ("up", {"sent": SAMPLES_MIN - 1, "loss": 1.0}, None),
        ("lossy", {"sent": 2}, "well"),
        ("lossy", {"sent": 0}, None),
    ],
)  # fmt: skip
def test_grades(phase: Phase, more: dict[str, Any], expected: Input | None) -> None:
    """Thresholds raise what they exceed, and clear at what is lower."""
    assert grade(quality(**more), phase, FIBRE) == expected


@given(
    st.sampled_from(["up", "lossy", "slow", "failing"]),
    st.integers(SAMPLES_MIN, 1_200),
    st.floats(0, 1),
    st.floats(0.0001, 2) | st.none(),
    st.floats(0.0001, 2) | st.none(),
)
def test_a_grade_that_was_given_is_given_again(
    phase: Phase, sent: int, loss: float, rtt_p50_s: float | None, baseline_s: float | None
) -> None:
    """A window that does not change makes nothing flap: one step, and it stays."""
    shown = quality(sent=sent, loss=loss, rtt_p50_s=rtt_p50_s, baseline_s=baseline_s)
    states: list[Phase] = [phase]
    for _ in range(4):
        given_ = grade(shown, states[-1], FIBRE)
        states.append(TABLE[states[-1], given_] if given_ else states[-1])

    assert states[-1] == states[-2] == states[-3]


def test_the_document_has_the_table() -> None:
    """As it is."""
    section = DOCUMENT.read_text().split("\n## How a line is judged\n")[1].split("\n## ")[0]
    written = {
        (phase, given_): after
        for phase, row in re.findall(r"^\| `(\w+)` \|((?: \w+ \|){10})$", section, re.MULTILINE)
        for given_, after in zip(INPUTS, re.findall(r"\w+", row), strict=True)
    }

    assert written == TABLE
