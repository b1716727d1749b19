"""What it costs to ask 1,000 targets by ICMP once a second: netmon's vantage, blackbox_exporter and fping, one after the other.

The targets are addresses of a namespace behind a cable, answered by its kernel. Only the CPU of who asks is counted: of
blackbox_exporter the exporter's, not Prometheus's, which is played by a client that keeps its connections.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtest import proc
from loadtest.figures.lines import start_valkey
from loadtest.figures.outcome import Outcome
from loadtest.figures.subject import ROOT
from loadtest.lab.lines import FAR, GATEWAY, Lab
from loadtest.lab.namespaces import end, require
from loadtest.lab.prober import VANTAGE, Role
from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.settings import ProbedLine, VantageSettings
from netmon.active_probe.vantage.report import REPORT_FILE
from netmon.buffer.line_store import LineView
from netmon.inventory.probes import IcmpProbe
from netmon.model import RedisSettings

_TARGETS: Final = 1_000
_WARM_S: Final = 5.0
_START_S: Final = 30.0
_PORT: Final = 9_115
_MODULES: Final = "modules:\n  icmp:\n    prober: icmp\n    timeout: 1s\n    icmp:\n      preferred_ip_protocol: ip4\n"
_BAR: Final = 0.5
_ANSWERED: Final = 0.99
"""A peer that did not do its work is not compared with."""


class Spent(msgspec.Struct, frozen=True):
    """What one of them needed."""

    cpu_s: float
    answered: int
    """Probes that got their answer in that time."""

    @property
    def per_probe_us(self) -> float:
        """CPU time of one."""
        return self.cpu_s / max(self.answered, 1) * 1e6


def peers(work_dir: Path, quick: bool) -> Outcome:
    """The three of them on the same targets, one after the other."""
    require("prometheus-blackbox-exporter", "fping")
    seconds = 5 if quick else 30
    work_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="icmp-", dir=work_dir))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        lab = stack.enter_context(Lab([]))
        lab[FAR].ip("route add local 10.200.0.0/16 dev lo")
        lab[GATEWAY].ip("route add 10.200.0.0/16 via 10.67.1.2 dev mgmt")
        targets = [f"10.200.{number // 250}.{1 + number % 250}" for number in range(_TARGETS)]
        netmon = _netmon(lab, folder, targets, seconds)
        blackbox = _blackbox(lab, folder, targets, seconds)
        fping = _fping(lab, folder, targets, seconds)
    wanted = _ANSWERED * seconds * _TARGETS
    subjects = {"netmon": netmon, "blackbox_exporter": blackbox, "fping": fping}
    faults = [f"{name}: {spent.answered} answers" for name, spent in subjects.items() if spent.answered < wanted]
    ratio = netmon.per_probe_us / blackbox.per_probe_us if blackbox.cpu_s else 0.0
    return Outcome(
        passed=not faults and ratio <= _BAR,
        figures={
            **{f"{name}: CPU s": spent.cpu_s for name, spent in subjects.items()},
            **{f"{name}: µs/probe": spent.per_probe_us for name, spent in subjects.items()},
            "of blackbox_exporter": ratio,
            "of fping": netmon.per_probe_us / fping.per_probe_us if fping.cpu_s else 0.0,
            "seconds": seconds,
        },
        faults=faults,
        detail=subjects,
    )


def _netmon(lab: Lab, folder: Path, targets: Sequence[str], seconds: float) -> Spent:
    """The vantage process, with everything that it tells Redis; Redis's own CPU is not counted."""
    redis = start_valkey(lab, folder)
    settings = VantageSettings(
        vantage_id=GATEWAY,
        redis=redis,
        directory=str(folder / GATEWAY),
        lines=tuple(
            ProbedLine(line_id=target, profile=BUILT_IN["fibre"], probes=(IcmpProbe(address=target),))
            for target in targets
        ),
        anchor_profile=BUILT_IN["fibre"],
    )
    with Role(lab[GATEWAY], folder / GATEWAY, VANTAGE, settings) as vantage:
        _await_up(redis, targets)
        time.sleep(_WARM_S)
        before, before_s = _next_replies(folder / GATEWAY), proc.cpu_s(vantage.pid)
        time.sleep(seconds)
        after, after_s = _next_replies(folder / GATEWAY), proc.cpu_s(vantage.pid)
    return Spent(after_s - before_s, after - before)


def _await_up(redis: RedisSettings, targets: Sequence[str]) -> None:
    with contextlib.closing(LineView(redis)) as view:
        deadline = time.monotonic() + _START_S
        while sum(vote.state == "up" for vote in view.votes(GATEWAY)) < len(targets):
            if time.monotonic() > deadline:
                raise TimeoutError("netmon does not get answers from all targets")
            time.sleep(0.1)


class _Counts(msgspec.Struct):
    replies: int = 0


class _Report(msgspec.Struct):
    """The part of the vantage's report that matters here."""

    unix_ns: int
    counts: _Counts


def _next_replies(folder: Path) -> int:
    """Answers up to the moment of the next report: reports are a second apart, and the CPU time is read with them."""
    former = found = _report(folder)
    while found.unix_ns == former.unix_ns:
        time.sleep(0.005)
        found = _report(folder)
    return found.counts.replies


def _report(folder: Path) -> _Report:
    return msgspec.json.decode((folder / REPORT_FILE).read_bytes(), type=_Report)


def _blackbox(lab: Lab, folder: Path, targets: Sequence[str], seconds: float) -> Spent:
    """Debian's prometheus-blackbox-exporter, scraped for each target once a second."""
    config = folder / "blackbox.yml"
    config.write_text(_MODULES)
    command = ["prometheus-blackbox-exporter", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{_PORT}"]
    exporter = lab[GATEWAY].start([*command, "--log.level=error"], stderr=subprocess.DEVNULL)
    scraper = lab[GATEWAY].start(
        [sys.executable, "-m", "loadtest.figures.scraping", str(_PORT), str(_WARM_S), str(seconds), *targets],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert scraper.stdout is not None
    if scraper.stdout.readline() != b"begin\n":
        raise RuntimeError("blackbox_exporter does not answer")
    before_s = proc.cpu_s(exporter.pid)
    answered = int(scraper.stdout.readline())
    after_s = proc.cpu_s(exporter.pid)
    for process in (scraper, exporter):
        end(process)
    return Spent(after_s - before_s, answered)


def _fping(lab: Lab, folder: Path, targets: Sequence[str], seconds: int) -> Spent:
    """Debian's fping, all targets in one process, silent until the end."""
    listed = folder / "targets"
    listed.write_text("\n".join(targets))
    options = ["-q", "-c", str(seconds), "-p", "1000", "-i", "0.9", "-f", str(listed)]
    fping = lab[GATEWAY].start(["fping", *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert fping.stderr is not None
    said = fping.stderr.read().decode()
    # Its CPU time stands in /proc until it is waited for.
    os.waitid(os.P_PID, fping.pid, os.WEXITED | os.WNOWAIT)
    cpu_s = proc.cpu_s(fping.pid)
    end(fping)
    return Spent(cpu_s, sum(int(count) for count in re.findall(r"xmt/rcv/%loss = \d+/(\d+)/", said)))
