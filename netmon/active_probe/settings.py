"""What the processes of the prober are told: JSON on their standard input, as the roles of a lane are."""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.inventory.probes import AnyProbe, Profile
from netmon.model import RedisSettings


class ProbedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line as a vantage has to probe it."""

    line_id: str
    profile: Profile
    standby: bool = False
    """Metered, and no traffic on it: ask sparingly while all is well."""
    probes: tuple[AnyProbe, ...]


class KeepaliveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What devices publish by themselves, and over which line it comes: passive evidence (`{netmon:lines}:heard`)."""

    url: str
    """mqtt://HOST:PORT or mqtts://HOST:PORT."""
    topics: dict[str, str]
    """Topic filter (MQTT 5 section 4.7) to the ID of the line that what is published there has come over."""
    username: str = ""
    password: str = ""
    """A secret."""
    tls_ca_file: str = ""

    def __repr__(self) -> str:
        """Without the password: it may get into a log."""
        return f"KeepaliveSettings(url={self.url!r}, topics={len(self.topics)})"


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked from one place."""

    vantage_id: str
    lines: tuple[ProbedLine, ...]
    anchors: tuple[AnyProbe, ...] = ()
    anchor_profile: Profile
    secrets: dict[str, str] = {}
    """File name, as a probe has it, to what is in it, without the end of the line; of a `user_file`, JSON of `netmon.model.V3User`."""
    heartbeat_s: float = 1.0

    def __repr__(self) -> str:
        """Without the secrets: it may get into a log."""
        return f"{type(self).__name__}(vantage_id={self.vantage_id!r}, lines={len(self.lines)})"


class VantageSettings(Observed, frozen=True, kw_only=True):
    """Of `python -m netmon.active_probe.vantage`."""

    redis: RedisSettings
    directory: str
    """Where its report goes."""
    keepalives: KeepaliveSettings | None = None
    refresh_s: float = 5.0
    """Votes that did not change are told again so often, with what their windows show by then."""
    log_level: str = "info"
    log_format: str = "json"


class JudgedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line as the verdict process knows it."""

    line_id: str
    fall_s: float
    """How long its profile takes from the first miss to down; a vantage that has not said anything for longer than some of it is late."""
    vantage_ids: tuple[str, ...]
    """Who should vote."""


class VerdictSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of `python -m netmon.active_probe.verdict`."""

    redis: RedisSettings
    directory: str
    lines: tuple[JudgedLine, ...]
    heard_s: float = 10.0
    """What arrived over a line by itself within this time, and after the first miss, speaks against its being dead."""
    stale_heartbeats: float = 3.0
    """A vantage that has missed so many is silent, and its votes are unknown."""
    lease_s: float = 5.0
    stream_entries_max: int = 100_000
    months_kept: int = 25
    loss_unavailable: float = 0.20
    """c1 of Y.1540."""
    log_level: str = "info"
    log_format: Literal["console", "json"] = "json"
