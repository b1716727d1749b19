"""What the northbound process is told: JSON on the standard input of `python -m netmon.northbound`. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.alarms.settings import PostureSettings
from netmon.inventory.model import Inventory
from netmon.model import RedisSettings


class AlertmanagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the sink `alertmanager`."""

    urls: tuple[str, ...]
    """Of every member of the cluster, without a slash at the end."""
    token: str | None = None
    """Bearer token."""
    username: str | None = None
    """Of HTTP Basic authentication, if there is no token."""
    password: str | None = None
    tls_ca_file: str | None = None
    timeout_s: float = 10.0
    """Of one request."""
    resend_s: float = 60.0
    resolved_s: float = 300.0
    silences: bool = True
    """Whether what is acknowledged or shelved is silenced there."""
    acks_from_silences: bool = False
    """Whether a silence that somebody makes there for one alarm acknowledges it here."""
    silence_poll_s: float = 30.0
    """Between two looks at the silences there, when nothing changes here."""
    language: Literal["ja", "en"] = "ja"
    """Of what people read."""
    runbook_url: str | None = None
    """Where a person finds out what to do about an alarm; `{alarm_type}` in it stands for the type."""

    def __repr__(self) -> str:
        """Without secrets: it may get into a log."""
        return f"AlertmanagerSettings(urls={self.urls!r})"


class JmaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the feed of telegrams, `netmon.jma.feed`."""

    feed_urls: tuple[str, ...] = ()
    folder: str | None = None
    poll_s: float = 60.0
    contact: str = ""
    directory: str
    """For what it has to remember: which telegrams it has read."""
    inventory: Inventory = Inventory()
    posture: PostureSettings = PostureSettings()


class NorthboundSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process `python -m netmon.northbound` reads from its standard input."""

    redis: RedisSettings
    directory: str
    """For its status file, `northbound.json`."""
    inventory: Inventory = Inventory()
    alertmanager: AlertmanagerSettings | None = None
    """None: no such sink."""
    jma: JmaSettings | None = None
    """None: no feed."""
    log_level: str = "info"
    log_format: Literal["console", "json"] = "console"
