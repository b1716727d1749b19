"""A region drawn from a seed: lines in ducts, on masts and by satellite, gateways with two to five of them, classes with their rates."""

from __future__ import annotations

import math
import random
from typing import Final, NamedTuple

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.failover.model import Damping, Group, LineFacts, Priority, Timers
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.failover.settings import GatewaySettings
from netmon.inventory.model import FailoverMode, Medium

MBIT: Final = 1_000_000
RATES_BPS: Final = (2 * MBIT, 3 * MBIT, 5 * MBIT, 10 * MBIT)
"""Of a gateway's P0 to P3."""
FIBRE_SHARE: Final = 0.7
FIBRE_MBIT: Final = (60, 100, 200)
USABLE: Final = 0.8
FIBRES_IN_DUCT: Final = 4
HOME_SHARE: Final = 0.6
"""Of what a line can give away, at most so much belongs to groups at home there; the rest is for those that flee."""
CROWDED_SHARE: Final = 0.12
"""Of the regions, so many give more away than there is: nobody has looked at what is at home on a line, and lines are half as large."""


class Region(NamedTuple):
    """What does not change in a simulated day."""

    facts: dict[str, LineFacts]
    groups: dict[str, Group]
    gateways: dict[str, tuple[str, ...]]
    """Gateway ID to its lines, the working one first."""
    ducts: dict[str, tuple[str, ...]]
    """Risk group to its lines."""
    areas: tuple[str, ...]
    settings: dict[str, GatewaySettings]

    def groups_of(self, gateway_id: str) -> list[Group]:
        """Of one gateway."""
        return [group for group in self.groups.values() if group.gateway_id == gateway_id]


def draw(rng: random.Random, lines: int, gateways: int, *, is_calm: bool = False) -> Region:
    """A region with so many lines and gateways.

    Args:
        rng: Of the seed.
        lines: At least 6.
        gateways: At least 1.
        is_calm: With the timers of real life; else they are short, so that an hour's worth happens in minutes.
    """
    areas = tuple(f"area-{number}" for number in range(rng.randint(2, 4)))
    is_crowded = rng.random() < CROWDED_SHARE
    facts = {line.line_id: line for line in _lines(rng, lines, areas, _scale(lines, gateways, is_crowded=is_crowded))}
    ducts: dict[str, list[str]] = {}
    for line in facts.values():
        for risk in line.risk_group_ids:
            ducts.setdefault(risk, []).append(line.line_id)
    timers = _timers(rng, is_calm=is_calm)
    chosen: dict[str, tuple[str, ...]] = {}
    groups: dict[str, Group] = {}
    home = dict.fromkeys(facts, 0)
    for number in range(gateways):
        gateway_id = f"gw-{number}"
        chosen[gateway_id] = _lines_of(rng, facts, home, is_crowded=is_crowded)
        for group in _groups(rng, gateway_id, rng.choice(areas), chosen[gateway_id], timers):
            groups[group.id] = group
            home[group.working] += group.bandwidth_bps
    settings = {
        gateway_id: _settings(
            gateway_id, line_ids, facts, [each for each in groups.values() if each.gateway_id == gateway_id]
        )
        for gateway_id, line_ids in chosen.items()
    }
    in_ducts = {risk: tuple(members) for risk, members in ducts.items()}
    return Region(facts, groups, chosen, in_ducts, areas, settings)


def _scale(lines: int, gateways: int, *, is_crowded: bool) -> float:
    """How much larger the lines are than those of a small region, so that all gateways have a home."""
    homes = FIBRE_SHARE * lines * sum(FIBRE_MBIT) / len(FIBRE_MBIT) * MBIT * USABLE * HOME_SHARE
    scale = max(math.ceil(gateways * sum(RATES_BPS) / homes), 1)
    return scale / 2 if is_crowded else scale


def _lines(rng: random.Random, count: int, areas: tuple[str, ...], scale: float) -> list[LineFacts]:
    found = []
    for number in range(count):
        share = number / count
        medium: Medium = "fibre" if share < FIBRE_SHARE else "5g" if share < 0.9 else "leo"
        capacity = rng.choice(FIBRE_MBIT) if medium == "fibre" else rng.choice((15, 30, 60))
        risks = {f"duct-{number // FIBRES_IN_DUCT}"} if medium == "fibre" else set()
        if medium != "leo" and rng.random() < 0.5:
            risks.add(f"feeder-{rng.randrange(max(count // 8, 1))}")
        found.append(
            LineFacts(
                line_id=f"{medium}-{number}",
                medium=medium,
                carrier_id=f"carrier-{rng.randrange(3)}",
                area_ids=tuple(sorted({rng.choice(areas), rng.choice(areas)})),
                cost_tier={"fibre": 1, "5g": 3}.get(medium, 5),
                capacity_bps=round(capacity * scale) * MBIT,
                risk_group_ids=tuple(sorted(risks)),
            )
        )
    return found


def _timers(rng: random.Random, *, is_calm: bool) -> Timers:
    if is_calm:
        return Timers()
    return Timers(
        hold_off_s=rng.choice((0.0, 0.0, 0.5, 2.0)),
        wtr_s=rng.choice((15.0, 30.0, 60.0)),
        wtb_s=5.5,
        verify_s=2.0,
        retry_s=5.0,
        better_s=30.0,
        approval_s=20.0,
    )


def _lines_of(
    rng: random.Random, facts: dict[str, LineFacts], home: dict[str, int], *, is_crowded: bool
) -> tuple[str, ...]:
    """A fibre with room at home, often its twin in the same duct, and others."""
    fibres = [line_id for line_id, line in facts.items() if line.medium == "fibre"]
    others = [line_id for line_id, line in facts.items() if line.medium != "fibre"]
    rng.shuffle(fibres)
    need = sum(RATES_BPS)
    roomy = (each for each in fibres if home[each] + need <= HOME_SHARE * USABLE * facts[each].capacity_bps)
    working = fibres[0] if is_crowded else next(roomy, fibres[0])
    twins = [
        each
        for each in fibres
        if each != working and set(facts[each].risk_group_ids) & set(facts[working].risk_group_ids)
    ]
    found = [working]
    if twins and rng.random() < 0.5:
        found.append(twins[0])
    more = [each for each in fibres[:3] + rng.sample(others, min(2, len(others))) if each not in found]
    return tuple(found + more[: rng.randint(1, 3)])


def _groups(
    rng: random.Random, gateway_id: str, area_id: str, line_ids: tuple[str, ...], timers: Timers
) -> list[Group]:
    found = []
    priorities: tuple[Priority, ...] = (0, 1, 2, 3)
    for priority in priorities:
        if priority and rng.random() < 0.35:
            continue
        mode: FailoverMode = "act" if rng.random() < 0.96 else rng.choice(("observe", "advise"))
        found.append(
            Group(
                id=f"{gateway_id}/p{priority}",
                gateway_id=gateway_id,
                class_id=f"p{priority}",
                area_id=area_id,
                priority=priority,
                working=line_ids[0],
                protections=line_ids[1:],
                bandwidth_bps=RATES_BPS[priority],
                both_ways=priority < 2 or rng.random() < 0.5,
                moves_on_sd=rng.random() < 0.3,
                revertive=rng.random() < 0.95,
                mode="act" if priority == 0 else mode,
                # Every other gateway is waited for; the others race the centre.
                leaves_by_itself=gateway_id[-1] in "02468",
                timers=timers,
                damping=Damping(half_life_s=20.0, suppress_max_s=80.0) if timers.wtr_s < 300 else Damping(),
            )
        )
    return found


def _settings(
    gateway_id: str, line_ids: tuple[str, ...], facts: dict[str, LineFacts], groups: list[Group]
) -> GatewaySettings:
    return GatewaySettings(
        gateway_id=gateway_id,
        area_id=groups[0].area_id,
        actuator="agent",
        lines=tuple(
            PlannedLine(line_id=line_id, capacity_bps=facts[line_id].capacity_bps, profile=BUILT_IN["fibre"])
            for line_id in line_ids
        ),
        groups=tuple(
            PlannedGroup(
                group_id=group.id,
                class_id=group.class_id,
                priority=group.priority,
                working=group.working,
                protections=group.protections,
                bandwidth_bps=group.bandwidth_bps,
                both_ways=group.both_ways,
                moves_on_sd=group.moves_on_sd,
                timers=group.timers,
                damping=group.damping,
                revertive=group.revertive,
                mode=group.mode,
            )
            for group in groups
        ),
    )
