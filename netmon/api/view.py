"""Alarms as the API shows them: every field always there, times in RFC 3339, UTC. Pure.

Nanoseconds since 1970 do not fit into a number of JavaScript; so no time leaves as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from netmon.alarms.model import (
    SEVERITIES,
    Alarm,
    Change,
    ChangeKind,
    Comment,
    EventType,
    OperatorState,
    Severity,
    StateChange,
    Text,
    Trust,
)
from netmon.alarms.posture.model import AreaPosture, Declaration, EvidenceKind, Posture, PostureChange, Reason

_LAST_UNIX_NS: Final = 253_402_300_799_000_000_000
"""The end of the year 9999: later ones have no name in RFC 3339."""


class PlaceView(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the region; null where the inventory does not tell."""

    area: str | None
    site: str | None
    line: str | None
    device: str | None
    sectors: tuple[str, ...]


class OperatorView(msgspec.Struct, frozen=True, kw_only=True):
    """What people did with the alarm."""

    state: OperatorState
    by: str | None
    at: str | None
    reason: str | None
    shelved_until: str | None


class CommentView(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wrote."""

    at: str
    by: str
    text: str


class EvidenceView(msgspec.Struct, frozen=True, kw_only=True):
    """The entry that the newest notification stands in."""

    stream: str
    """Key in Redis; empty for what netmon found out by itself."""
    entry_id: str


class AlarmView(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm."""

    id: str
    resource: str
    alarm_type: str
    qualifier: str
    place: PlaceView
    severity: Severity
    is_active: bool
    """It stands: neither cleared nor closed."""
    is_cleared: bool
    event_type: EventType
    probable_cause: str
    text: Text
    action: Text
    trust: Trust
    root: bool
    """Others may be caused by it."""
    version: int
    """Grows with each change; the ETag of the alarm."""
    created_at: str
    raised_at: str
    cleared_at: str | None
    event_at: str
    changed_at: str
    notifications: int
    raises: int
    flapping: bool
    operator: OperatorView
    comments: tuple[CommentView, ...]
    cause: str | None
    """ID of the alarm that explains this one."""
    caused: int
    """How many active alarms this one explains."""
    evidence: EvidenceView


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change of state."""

    at: str
    kind: ChangeKind
    severity: Severity
    by: str | None
    text: str | None


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """What `event: change` tells."""

    kind: ChangeKind
    at: str
    by: str | None
    command_id: str | None
    alarm: AlarmView


class ReasonView(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of evidence for a posture."""

    kind: EvidenceKind
    text: Text
    since: str
    weight: Literal["suspected", "disaster"]


class DeclarationView(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has declared."""

    posture: Literal["normal", "suspected", "disaster"]
    by: str
    reason: str
    at: str
    until: str | None


class PostureView(msgspec.Struct, frozen=True, kw_only=True):
    """Where an area stands."""

    area: str
    posture: Posture
    since: str | None
    reasons: tuple[ReasonView, ...]
    declaration: DeclarationView | None
    drill: str | None
    """Headline of a drill in force; it changes nothing."""


class PostureChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """What `event: posture` tells."""

    at: str
    before: Posture
    now: PostureView


class BySeverity(msgspec.Struct, frozen=True, kw_only=True):
    """Counts."""

    critical: int = 0
    major: int = 0
    minor: int = 0
    warning: int = 0
    indeterminate: int = 0


def time_text(unix_ns: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    seconds, rest_ns = divmod(min(max(unix_ns, 0), _LAST_UNIX_NS), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest_ns // 1_000:06}Z"


def time_or_none(unix_ns: int) -> str | None:
    """The same; null for 0, which is never."""
    return time_text(unix_ns) if unix_ns else None


def alarm_view(alarm: Alarm) -> AlarmView:
    """An alarm as it is shown."""
    place = alarm.place
    return AlarmView(
        id=alarm.id,
        resource=alarm.resource,
        alarm_type=alarm.alarm_type,
        qualifier=alarm.qualifier,
        place=PlaceView(
            area=place.area or None,
            site=place.site or None,
            line=place.line or None,
            device=place.device or None,
            sectors=place.sectors,
        ),
        severity=alarm.severity,
        is_active=alarm.is_active,
        is_cleared=alarm.is_cleared,
        event_type=alarm.event_type,
        probable_cause=alarm.probable_cause,
        text=alarm.text,
        action=alarm.action,
        trust=alarm.trust,
        root=alarm.root,
        version=alarm.version,
        created_at=time_text(alarm.created_unix_ns),
        raised_at=time_text(alarm.raised_unix_ns),
        cleared_at=time_or_none(alarm.cleared_unix_ns),
        event_at=time_text(alarm.event_unix_ns),
        changed_at=time_text(alarm.changed_unix_ns),
        notifications=alarm.notifications,
        raises=alarm.raises,
        flapping=alarm.flapping,
        operator=_operator_view(alarm),
        comments=tuple(_comment_view(comment) for comment in alarm.comments),
        cause=alarm.cause,
        caused=alarm.caused,
        evidence=EvidenceView(stream=alarm.evidence.key, entry_id=alarm.evidence.entry_id),
    )


def _operator_view(alarm: Alarm) -> OperatorView:
    return OperatorView(
        state=alarm.operator_state,
        by=alarm.operator_by or None,
        at=time_or_none(alarm.operator_unix_ns),
        reason=alarm.operator_reason or None,
        shelved_until=time_or_none(alarm.shelved_until_unix_ns),
    )


def _comment_view(comment: Comment) -> CommentView:
    return CommentView(at=time_text(comment.unix_ns), by=comment.by, text=comment.text)


def history_view(history: Iterable[StateChange]) -> list[HistoryEntry]:
    """The history of an alarm, newest last."""
    return [
        HistoryEntry(
            at=time_text(entry.unix_ns),
            kind=entry.kind,
            severity=entry.severity,
            by=entry.by or None,
            text=entry.text or None,
        )
        for entry in history
    ]


def posture_view(posture: AreaPosture) -> PostureView:
    """A posture as it is shown."""
    return PostureView(
        area=posture.area,
        posture=posture.posture,
        since=time_or_none(posture.since_unix_ns),
        reasons=tuple(_reason_view(reason) for reason in posture.reasons),
        declaration=None if posture.declaration is None else _declaration_view(posture.declaration),
        drill=posture.drill or None,
    )


def _reason_view(reason: Reason) -> ReasonView:
    return ReasonView(
        kind=reason.kind,
        text=Text(reason.en, reason.ja),
        since=time_text(reason.since_unix_ns),
        weight=reason.weight,
    )


def _declaration_view(declaration: Declaration) -> DeclarationView:
    return DeclarationView(
        posture=declaration.posture,
        by=declaration.by,
        reason=declaration.reason,
        at=time_text(declaration.unix_ns),
        until=time_or_none(declaration.until_unix_ns),
    )


def by_severity(counts: Iterable[tuple[Severity, int]]) -> BySeverity:
    """Sums up counts of severities; any may come several times."""
    sums = dict.fromkeys(SEVERITIES, 0)
    for severity, count in counts:
        sums[severity] += count
    return BySeverity(**sums)


def change_view(change: Change) -> ChangeView:
    """A change as it is told."""
    return ChangeView(
        kind=change.kind,
        at=time_text(change.unix_ns),
        by=change.by or None,
        command_id=change.command_id or None,
        alarm=alarm_view(change.alarm),
    )


def posture_change_view(change: PostureChange) -> PostureChangeView:
    """A change of posture as it is told."""
    return PostureChangeView(at=time_text(change.unix_ns), before=change.before, now=posture_view(change.now))
