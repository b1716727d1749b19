"""The figure of the coordinator: how long a whole region takes to be decided after a regional cut.

Nothing but the pure core, in one process, as the controller calls it: 1,000 lines, 10,000 gateways with four classes each. Seven ducts are cut at
once, a tenth of all lines; measured is the time from when the last verdict was taken in to when all orders are at hand, P0 of the region first.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Final

from loadtest.figures.outcome import Outcome
from netmon.failover.model import Group, LineFacts, LineSight, Priority
from netmon.failover.region.coordinator import Coordinator, Decided

DECIDE_BAR_MS: Final = 200.0
_RUNS: Final = 7
_LINES: Final = 1_000
_GATEWAYS: Final = 10_000
_FIBRES_IN_DUCT: Final = 20
_DUCTS_CUT: Final = 7
_LINES_OF_GATEWAY: Final = 4
_RATES_BPS: Final = (64_000, 500_000, 1_000_000, 4_000_000)
_S: Final = 1_000_000_000
_NOW_NS: Final = 1_795_000_000 * _S


def decide(_work_dir: Path, quick: bool) -> Outcome:
    """Decides the same cut again and again, each time by a coordinator that has seen a calm region before."""
    took_ms, decided = [], Decided([], [], [], 0)
    facts, groups = _facts(), _groups()
    ducts = {f"duct-{number}" for number in range(_DUCTS_CUT)}
    cut = [line.line_id for line in facts if ducts.intersection(line.risk_group_ids)]
    for _ in range(1 if quick else _RUNS):
        took_s, decided = _once(facts, groups, cut)
        took_ms.append(took_s * 1e3)
    on_cut = {group.id for group in groups if group.working in cut}
    moves = [action for action in decided.actions if action.kind == "switch"]
    faults = []
    if {action.group_id for action in moves} != on_cut:
        faults.append(f"{len(on_cut)} groups were on cut lines, {len(moves)} were ordered to leave")
    if any(action.to in cut for action in moves):
        faults.append("somebody was ordered onto a cut line")
    order = [int(action.group_id[-1]) for action in moves]
    if order != sorted(order):
        faults.append("P0 was not first")
    median_ms = statistics.median(took_ms)
    return Outcome(
        passed=not faults and median_ms <= DECIDE_BAR_MS,
        figures={
            "decided ms": median_ms,
            "worst ms": max(took_ms),
            "lines cut": float(len(cut)),
            "groups moved": float(len(moves)),
            "µs/group": median_ms * 1e3 / max(len(moves), 1),
        },
        faults=faults,
        detail={"took_ms": took_ms, "reasons": Counter(action.reason for action in decided.actions)},
    )


def _once(facts: list[LineFacts], groups: list[Group], cut: list[str]) -> tuple[float, Decided]:
    core = Coordinator(facts, groups, started_unix_ns=_NOW_NS)
    _see(core, facts, (), _NOW_NS)
    core.step(_NOW_NS)
    # As the processes do it: what is there now stays.
    gc.collect()
    gc.freeze()
    now_ns = _NOW_NS + _S
    _see(core, facts, cut, now_ns)
    began = time.perf_counter()
    decided = core.step(now_ns)
    took_s = time.perf_counter() - began
    gc.unfreeze()
    return took_s, decided


def _see(core: Coordinator, facts: list[LineFacts], cut: list[str] | tuple[()], now_ns: int) -> None:
    """All lines are told of, the dead ones last."""
    dead = set(cut)
    for line in sorted(facts, key=lambda line: line.line_id in dead):
        if line.line_id in dead:
            sight = LineSight(line_id=line.line_id, state="down", since_unix_ns=now_ns, reason="no_answer")
        else:
            sight = LineSight(line_id=line.line_id, state="up", since_unix_ns=_NOW_NS - 3_600 * _S, good_unix_ns=now_ns)
        core.see_line(sight)


def _facts() -> list[LineFacts]:
    """Seven lines of ten are fibres in ducts, two are 5G, one is LEO."""
    return [
        LineFacts(
            line_id=f"line-{number}",
            medium="fibre" if number % 10 < 7 else "5g" if number % 10 < 9 else "leo",
            carrier_id=f"carrier-{number % 3}",
            area_ids=(f"area-{number % 10}",),
            cost_tier=1 if number % 10 < 7 else 3,
            capacity_bps=1_000_000_000 if number % 10 < 7 else 200_000_000,
            risk_group_ids=(f"duct-{number // _FIBRES_IN_DUCT}", f"feeder-{number // 50}") if number % 10 < 7 else (),
        )
        for number in range(_LINES)
    ]


def _groups() -> list[Group]:
    found = []
    priorities: tuple[Priority, ...] = (0, 1, 2, 3)
    for number in range(_GATEWAYS):
        lines = [f"line-{(number * 7 + place * 331) % _LINES}" for place in range(_LINES_OF_GATEWAY)]
        found += [
            Group(
                id=f"gateway-{number}/p{priority}",
                gateway_id=f"gateway-{number}",
                class_id=f"p{priority}",
                area_id=f"area-{number % 10}",
                priority=priority,
                working=lines[0],
                protections=tuple(lines[1:]),
                bandwidth_bps=_RATES_BPS[priority],
            )
            for priority in priorities
        ]
    return found
