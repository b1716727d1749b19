"""Runs the figures, repeats them, and says pass or miss."""

from __future__ import annotations

import importlib.metadata
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from loadtest import proc
from loadtest.figures.catalogue import FIGURES
from loadtest.figures.outcome import Outcome
from netmon.buffer import embedded


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, measured once or more often."""

    name: str
    title: str
    bar: str
    passed: bool
    """In every run."""
    quick: bool
    """Too short to prove anything."""
    median: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    faults: list[str]
    outcomes: list[Outcome]
    machine: dict[str, str]


def run(names: Sequence[str], *, repeat: int, quick: bool, work_dir: Path) -> Iterator[Result]:
    """Yields each figure when it is done."""
    facts = machine()
    for name in names:
        outcomes = [FIGURES[name].measure(work_dir, quick) for _ in range(repeat)]
        yield summarise(name, outcomes, quick=quick, machine=facts)


def summarise(name: str, outcomes: Sequence[Outcome], *, quick: bool, machine: dict[str, str]) -> Result:
    """Puts the runs of a figure together: median, lowest and highest of everything measured."""
    keys = [key for key in outcomes[0].figures if all(key in outcome.figures for outcome in outcomes)]
    columns = {key: [outcome.figures[key] for outcome in outcomes] for key in keys}
    return Result(
        name=name,
        title=FIGURES[name].title,
        bar=FIGURES[name].bar,
        passed=all(outcome.passed for outcome in outcomes),
        quick=quick,
        median={key: statistics.median(values) for key, values in columns.items()},
        low={key: min(values) for key, values in columns.items()},
        high={key: max(values) for key, values in columns.items()},
        faults=[fault for outcome in outcomes for fault in outcome.faults],
        outcomes=list(outcomes),
        machine=machine,
    )


HEADS = ("what", "bar", "measured", "verdict")


def row(result: Result) -> list[str]:
    """A result as a row of the documentation's table."""
    several = len(result.outcomes) > 1
    measured = "; ".join(
        f"{name} {median}" + (f" ({low} to {high})" if several else "")
        for name, median, low, high in figure_rows(result)
    )
    return [result.title, result.bar, measured, verdict(result)]


def figure_rows(result: Result) -> list[list[str]]:
    """Everything measured as rows of name, median, lowest and highest."""
    return [
        [key, _number(value), _number(result.low[key]), _number(result.high[key])]
        for key, value in result.median.items()
    ]


def verdict(result: Result) -> str:
    """Pass or miss, and why."""
    said = "pass" if result.passed else "miss: " + "; ".join(result.faults or ["below the bar"])
    return said + (" (quick: proves nothing)" if result.quick else "")


def machine() -> dict[str, str]:
    """The facts of `proc.machine`, and the versions of what is measured."""
    return {
        **proc.machine(),
        "valkey": _version(str(embedded.find_binary()), "--version"),
        "snmptrapd": _version("snmptrapd", "-v"),
        "pysnmp": _package("pysnmp"),
    }


def _version(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "absent"
    words = (done.stdout + done.stderr).split()
    return next((word.removeprefix("v=") for word in words if word.removeprefix("v=")[:1].isdigit()), "unknown")


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.3g}"
