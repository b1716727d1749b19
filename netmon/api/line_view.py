"""Lines and vantage points as the API shows them: every field always there, times in RFC 3339, UTC. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from netmon.active_probe.figures import figures_of
from netmon.active_probe.model import (
    LineState,
    LineStatus,
    Reason,
    TargetReading,
    VantageChange,
    VantageHealth,
    Vote,
)
from netmon.api.view import time_or_none
from netmon.inventory.model import Line, Medium
from netmon.inventory.topology import Topology


class LineStatusView(msgspec.Struct, frozen=True, kw_only=True):
    """One line as the prober judges it."""

    id: str
    name: str
    name_en: str
    medium: Medium
    carrier: str
    areas: tuple[str, ...]
    """Area IDs of its ends."""
    sectors: tuple[str, ...]
    state: LineState
    reason: Reason
    since: str | None
    judged_at: str | None
    """null: nothing judges it, since nobody probes it, or no verdict was ever given."""
    one_way: bool
    """Probes fail, but something still arrives over it."""
    heard_at: str | None
    """When something last arrived over it by itself."""
    availability: float | None
    """Of the month so far, from 0 to 1 (ITU-T Y.1540)."""
    loss: float | None
    rtt_p50_s: float | None
    rtt_p99_s: float | None
    ipdv_s: float | None
    vantages_live: int
    vantages_isolated: int
    vantages_stale: int


class TargetView(msgspec.Struct, frozen=True, kw_only=True):
    """One probe of a line, as its window shows it."""

    label: str
    state: LineState
    reason: Reason
    detail: str
    sent: int
    lost: int
    misses: int
    local_errors: int
    rtt_p50_s: float | None
    rtt_p99_s: float | None
    baseline_s: float | None
    ipdv_s: float | None
    ipdv_forward_s: float | None
    ipdv_backward_s: float | None
    lost_forward: int | None
    lost_backward: int | None
    reordered: int
    duplicates: int


class VoteView(msgspec.Struct, frozen=True, kw_only=True):
    """What one vantage says of a line."""

    vantage: str
    state: LineState
    reason: Reason
    since: str | None
    first_miss_at: str | None
    at: str | None
    targets: list[TargetView]


class VantageHealthView(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage point."""

    id: str
    state: str
    """live, isolated, stale, or unknown as long as nothing was said of it."""
    since: str | None
    reason: str
    told_at: str | None
    """When it last told of itself, by its own clock."""
    anchors: int
    anchors_answering: int
    lines: int
    probes_sent: int
    local_errors: int


def line_view(line: Line, status: LineStatus | None, topology: Topology) -> LineStatusView:
    """A line of the region with what is said of it; None: nothing is."""
    known = status or LineStatus(line_id=line.id, state="unknown", reason="no_vantage", since_unix_ns=0, unix_ns=0)
    figures = figures_of(known)
    return LineStatusView(
        id=line.id,
        name=line.name,
        name_en=line.name_en,
        medium=line.medium,
        carrier=line.carrier_id,
        areas=areas_of(line, topology),
        sectors=line.sectors,
        state=known.state,
        reason=known.reason,
        since=time_or_none(known.since_unix_ns),
        judged_at=time_or_none(known.unix_ns),
        one_way=known.one_way,
        heard_at=time_or_none(known.heard_unix_ns),
        availability=known.availability,
        loss=figures.loss,
        rtt_p50_s=figures.rtt_p50_s,
        rtt_p99_s=figures.rtt_p99_s,
        ipdv_s=figures.ipdv_s,
        vantages_live=known.vantages_live,
        vantages_isolated=known.vantages_isolated,
        vantages_stale=known.vantages_stale,
    )


def areas_of(line: Line, topology: Topology) -> tuple[str, ...]:
    """Area IDs of a line's ends, each once."""
    return tuple(dict.fromkeys(topology.sites[site].area_id for site in line.endpoint_site_ids))


def is_wanted(view: LineStatusView, wanted: Mapping[str, Collection[str]]) -> bool:
    """Whether a line has one of the values of each filter that is given."""
    has: dict[str, tuple[str, ...]] = {
        "state": (view.state,),
        "area": view.areas,
        "carrier": (view.carrier,),
        "sector": view.sectors,
    }
    return all(not set(values).isdisjoint(has[name]) for name, values in wanted.items())


def vote_view(vote: Vote) -> VoteView:
    """A vote as it is shown."""
    return VoteView(
        vantage=vote.vantage_id,
        state=vote.state,
        reason=vote.reason,
        since=time_or_none(vote.since_unix_ns),
        first_miss_at=time_or_none(vote.first_miss_unix_ns),
        at=time_or_none(vote.unix_ns),
        targets=[_target_view(target) for target in vote.targets],
    )


def _target_view(target: TargetReading) -> TargetView:
    return TargetView(**{name: getattr(target, name) for name in TargetView.__struct_fields__})


def vantage_view(name: str, health: VantageHealth | None, judged: VantageChange | None) -> VantageHealthView:
    """A vantage with what it tells of itself, and what is said of it."""
    return VantageHealthView(
        id=name,
        state=judged.after if judged is not None else "unknown",
        since=time_or_none(judged.unix_ns) if judged is not None else None,
        reason=judged.reason if judged is not None else "",
        told_at=time_or_none(health.unix_ns) if health is not None else None,
        anchors=health.anchors if health is not None else 0,
        anchors_answering=health.anchors_answering if health is not None else 0,
        lines=health.lines if health is not None else 0,
        probes_sent=health.probes_sent if health is not None else 0,
        local_errors=health.local_errors if health is not None else 0,
    )
