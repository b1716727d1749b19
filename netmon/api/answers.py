"""The bodies of the API's answers as values: what is in the OpenAPI document is made from these. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from netmon.active_probe.model import LineState
from netmon.alarms.lifecycle.flood import FloodState
from netmon.alarms.model import SEVERITIES
from netmon.api.line_view import LineStatusView, VantageHealthView, VoteView
from netmon.api.listing import Listing
from netmon.api.view import AlarmView, BySeverity, HistoryEntry, PostureView, by_severity, time_or_none


class AlarmList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of alarms."""

    alarms: list[AlarmView]
    next_cursor: str | None
    """For the next page; null: this was the last."""
    stream_id: str
    """All changes up to this one are in the page; /events?after=ID tells those that come."""
    age_s: float
    """Seconds since Redis last said that this is all."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that nothing else explains."""

    explains: int
    """Active alarms that it explains."""
    alarm: AlarmView


class CauseList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of causes; the numbers are of the whole list."""

    active: int
    """Alarms that stand."""
    explained: int
    """Those that one of the causes explains."""
    causes: list[Cause]
    next_cursor: str | None
    stream_id: str
    age_s: float


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to an alarm, newest last; the stream has more."""

    id: str
    history: list[HistoryEntry]


class FloodView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether people are told more than they can read (ISA-18.2)."""

    active: bool
    since: str | None
    count: int
    """Alarms that people were told of in the last ten minutes, or what alarms.flood.window_s says."""
    areas: dict[str, int]
    """Area ID to count, where it alone would be a flood."""
    causes: tuple[str, ...]
    """IDs of the alarms that explain most; a good place to begin."""


class AreaSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One area; null is what the inventory does not know."""

    area: str | None
    active: BySeverity
    annunciated: BySeverity
    """Those of them that a person is to be told of: neither shelved nor explained by another one."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are."""

    alarms: int
    """In the list, cleared ones too."""
    active: BySeverity
    annunciated: BySeverity
    explained: int
    flapping: int
    shelved: int
    acknowledged: int
    areas: list[AreaSummary]
    flood: FloodView
    stream_id: str
    age_s: float


class PostureList(msgspec.Struct, frozen=True, kw_only=True):
    """All areas of the inventory."""

    postures: list[PostureView]
    age_s: float


class LineList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of lines, by ID."""

    lines: list[LineStatusView]
    next_cursor: str | None
    """For the next page; null: this was the last."""
    counts: dict[LineState, int]
    """State to how many of all that match, on whatever page."""
    has_judge: bool
    """Whether a verdict process leads; without one, nothing of this moves."""


class LineDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One line with its evidence."""

    line: LineStatusView
    votes: list[VoteView]


class VantageList(msgspec.Struct, frozen=True, kw_only=True):
    """All that probe, or should."""

    vantages: list[VantageHealthView]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wish."""

    command_id: str
    outcome: Literal["done", "pending"]
    """`pending`: no worker has answered yet; it is written down and will be carried out when one works."""
    alarm: AlarmView | None


class PostureOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a declaration."""

    outcome: Literal["done", "pending"]
    posture: PostureView | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the API is."""

    status: Literal["ok", "loading", "stale"]
    """`stale`: Redis does not answer, and what is shown is as old as `age_s` says."""
    age_s: float
    stream_id: str
    alarms: int
    left_out: int
    """Alarms that had no room."""
    has_worker: bool
    """Whether an alarm worker leads; without one, commands wait."""
    clients: int
    """That listen to /events."""


SCHEMAS: Final[tuple[Any, ...]] = (
    AlarmList,
    AlarmView,
    CauseList,
    History,
    Summary,
    PostureList,
    PostureView,
    LineList,
    LineDetail,
    VantageList,
    Outcome,
    PostureOutcome,
    Health,
)


def summary_of(listing: Listing, flood: FloodState, stream_id: str, age_s: float) -> Summary:
    """Counts what is in the list."""
    areas = sorted({area for (kind, area, _), count in listing.active.items() if kind == "area" and count})
    return Summary(
        alarms=len(listing),
        active=by_severity((severity, n) for (kind, _, severity), n in listing.active.items() if kind == "area"),
        annunciated=by_severity((severity, n) for (_, _, severity), n in listing.annunciated.items()),
        explained=listing.explained,
        flapping=listing.flapping,
        shelved=listing.shelved,
        acknowledged=listing.acknowledged,
        areas=[
            AreaSummary(
                area=area or None,
                active=by_severity((s, listing.active["area", area, s]) for s in SEVERITIES),
                annunciated=by_severity((s, listing.annunciated["area", area, s]) for s in SEVERITIES),
            )
            for area in areas
        ],
        flood=flood_view(flood),
        stream_id=stream_id,
        age_s=age_s,
    )


def flood_view(flood: FloodState) -> FloodView:
    """A flood as it is shown."""
    return FloodView(
        active=flood.active,
        since=time_or_none(flood.since_unix_ns),
        count=flood.count,
        areas=flood.areas,
        causes=flood.causes,
    )
