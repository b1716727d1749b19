"""Disaster posture of an area as values: what is known, and where that puts the area.

Pure. Posture never moves traffic by itself; it tells people, and others (the prober, the failover controller) how to behave.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Posture = Literal["normal", "suspected", "disaster", "recovering"]
POSTURES: Final[tuple[Posture, ...]] = ("normal", "suspected", "disaster", "recovering")

EvidenceKind = Literal["declared", "jma", "trap_rate", "lines_failing", "on_battery"]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has declared; it alone suffices, and it holds until it is withdrawn or expires."""

    posture: Literal["normal", "suspected", "disaster"]
    by: str
    reason: str
    unix_ns: int
    until_unix_ns: int = 0
    """0: until it is withdrawn."""


class Bulletin(msgspec.Struct, frozen=True, kw_only=True):
    """A telegram of the Japan Meteorological Agency, as far as it matters for one region."""

    id: str
    """EventID, type and serial: the same telegram always has the same."""
    event_id: str
    kind: str
    """VXSE51, VXSE53, VTSE41, VPWW54, ..."""
    serial: int = 0
    """続報番号: decides between two of the same event, kind and minute; 0 where the telegram has none."""
    status: Literal["normal", "drill", "test"]
    """通常, 訓練, 試験: the latter two are shown and change nothing."""
    info: Literal["issued", "corrected", "cancelled"]
    """発表, 訂正, 取消."""
    unix_ns: int
    """When it was reported."""
    headline: str
    areas: dict[str, str] = {}
    """Area ID to what the telegram says of it: an intensity such as `5+`, or a kind of warning."""
    level: Literal["none", "suspected", "disaster"] = "none"
    """What it makes of the areas named, by the operator's thresholds, before drills and cancellations are considered."""
    levels: dict[str, Literal["suspected", "disaster"]] = {}
    """Area ID to level, where they differ from each other: `level` is then that of the areas that are not here."""
    until_unix_ns: int = 0
    """When it stops counting."""


class Reason(msgspec.Struct, frozen=True):
    """One piece of evidence, for people to read."""

    kind: EvidenceKind
    en: str
    ja: str
    since_unix_ns: int
    weight: Literal["suspected", "disaster"]


class AreaPosture(msgspec.Struct, frozen=True, kw_only=True):
    """Where an area stands, and why."""

    area: str
    """Area ID."""
    posture: Posture = "normal"
    since_unix_ns: int = 0
    reasons: tuple[Reason, ...] = ()
    declaration: Declaration | None = None
    drill: str = ""
    """Headline of a drill or test telegram in force: shown as a banner, changes nothing."""


class PostureChange(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the stream `netmon:alarms`, field `posture`."""

    unix_ns: int
    before: Posture
    now: AreaPosture
