"""What the alarm worker, the API and the northbound process are told: JSON on their standard input, as the roles of a lane are."""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.alarms.rules.model import Rule
from netmon.inventory.model import Inventory
from netmon.model import RedisSettings


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """How alarms come and go."""

    flap_toggles: int = 3
    """Raises within `flap_window_s` from which on an alarm is flapping (ISA-18.2: chattering)."""
    flap_window_s: float = 60.0
    flap_settle_s: float = 300.0
    """Without a toggle for so long, it is no longer flapping."""
    purge_cleared_s: float = 86_400.0
    """A cleared or closed alarm leaves the list after this time."""
    alarms_max: int = 200_000
    """Alarms in the list; beyond it, the oldest cleared ones are purged, then new ones of unknown sources are refused and counted."""
    late_clear_s: float = 3_600.0
    """A clear that overtook its raise is remembered for so long."""
    cause_window_s: float = 600.0
    """What was raised so much earlier than its cause may still be explained by it."""


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """When there are more alarms than a person can read (ISA-18.2)."""

    raised_max: int = 10
    """Annunciated alarms in `window_s` from which on it is a flood; it ends below half of it."""
    window_s: float = 600.0


class PostureSettings(msgspec.Struct, frozen=True, kw_only=True):
    """From which evidence on an area is suspected to be in, or is in, a disaster."""

    trap_rate_factor: float = 10.0
    """Of the baseline: suspected."""
    trap_rate_min: float = 20.0
    """Notifications a second of an area below which their rate says nothing."""
    baseline_s: float = 3_600.0
    """Over which the baseline is learned; it stands still while the rate is above `trap_rate_factor`."""
    lines_suspected_ratio: float = 0.2
    lines_disaster_ratio: float = 0.5
    lines_failing_min: int = 2
    """So few failing lines say something of an area, whatever their share: one line is not a disaster."""
    battery_suspected_sites: int = 2
    battery_disaster_sites: int = 3
    confirm_s: float = 5.0
    """For so long the evidence has to hold."""
    recover_s: float = 600.0
    """Without evidence for so long, disaster becomes recovering, and recovering normal."""
    jma_intensity_suspected: str = "4"
    jma_intensity_disaster: str = "5-"
    jma_warning: Literal["none", "suspected"] = "suspected"
    """What a weather warning (警報) makes of an area; an emergency warning (特別警報) is a disaster, an advisory (注意報) nothing."""
    jma_hold_s: float = 21_600.0
    """A telegram counts for so long, if it is not cancelled."""


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the alarm worker."""

    receivers: tuple[str, ...]
    """Names of the receivers whose streams are read."""
    redis: RedisSettings
    directory: str
    """For its status file."""
    inventory: Inventory = Inventory()
    rules: tuple[Rule, ...] = ()
    lifecycle: Lifecycle = Lifecycle()
    flood: Flood = Flood()
    posture: PostureSettings = PostureSettings()
    probed_line_ids: tuple[str, ...] = ()
    """Lines that are asked how they are. What was said of others before is over."""
    vantage_ids: tuple[str, ...] = ()
    """Who may ask."""
    own_site_id: str = ""
    """Where netmon itself is: what devices there send has come over no line."""
    passive_evidence: bool = True
    """Whether the prober is told what has come over a line by itself; a line that is only played brings nothing."""
    lease_s: float = 5.0
    """A worker that has been silent for so long is replaced by one that waits."""
    stream_entries_max: int = 100_000
    """Entries of `netmon:alarms` that are kept."""
    log_level: str = "info"
    log_format: Literal["console", "json"] = "json"
