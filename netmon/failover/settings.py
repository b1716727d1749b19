"""What the processes of failover are told: JSON on their standard input, as the roles of a lane are."""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.alarms.model import Trust
from netmon.failover.model import Group, LineFacts
from netmon.failover.plan.model import PlannedGroup, PlannedLine
from netmon.inventory.model import ActuatorKind
from netmon.model import RedisSettings


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The broker between centre and gateways."""

    url: str
    """mqtt://HOST:PORT or mqtts://HOST:PORT."""
    prefix: str = "netmon"
    """What all topics begin with: `<prefix>/gateways/<id>/plan|desired|reported`, `<prefix>/centre`."""
    iota_apikey: str = "netmon"
    """Of edges that speak IoTA-JSON: `/<iota_apikey>/<gateway>/cmd`."""
    username: str = ""
    password: str = ""
    """A secret."""
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""

    def __repr__(self) -> str:
        """Without the password: it may get into a log."""
        return f"MqttSettings(url={self.url!r}, prefix={self.prefix!r})"


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A carrier's controller."""

    name: str
    url: str
    secret: str
    """Of the HMAC; a secret."""
    tls_ca_file: str = ""
    timeout_s: float = 5.0

    def __repr__(self) -> str:
        """Without the secret: it may get into a log."""
        return f"WebhookSettings(name={self.name!r}, url={self.url!r})"


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One gateway as the controller knows it."""

    gateway_id: str
    area_id: str = ""
    actuator: ActuatorKind
    webhook: str = ""
    lines: tuple[PlannedLine, ...] = ()
    groups: tuple[PlannedGroup, ...] = ()
    """Without rankings: the controller computes them."""


class ControllerSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `python -m netmon.failover.controller`."""

    redis: RedisSettings
    directory: str
    """Where its report and its fences go."""
    lines: tuple[LineFacts, ...]
    groups: tuple[Group, ...]
    gateways: tuple[GatewaySettings, ...]
    mqtt: MqttSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    signing_key: str = ""
    """Ed25519 private key, 64 hexadecimal digits; a secret. Empty: no gateway has an agent."""
    secrets: dict[str, str] = {}
    """File name, as a probe of a gateway of actuator `routes` has it, to what is in it."""
    vantage_ids: tuple[str, ...] = ()
    """Whose life the freeze guard counts; empty: all that were ever told of."""
    trap_trust: Trust | None = None
    """Traps of this tier of trust, or a better one, count as evidence of SF where no probe contradicts them; None: none do."""
    centre_lost_s: float = 30.0
    gateway_silent_s: float = 30.0
    """A gateway that has told nothing for so long is not waited for."""
    beat_s: float = 5.0
    lease_s: float = 15.0
    lock_delay_s: float = 15.0
    """A new leader makes no move that can wait before so much time has passed."""
    stream_entries_max: int = 100_000
    log_level: str = "info"
    log_format: Literal["console", "json"] = "json"

    def __repr__(self) -> str:
        """Without the key and the secrets: it may get into a log."""
        return f"ControllerSettings(groups={len(self.groups)}, gateways={len(self.gateways)})"


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `netmon agent`."""

    gateway_id: str
    directory: str
    """Where it keeps the newest plan, what is desired, and the greatest fence."""
    mqtt: MqttSettings | None = None
    """None: it acts by the plan that it has, and tells nobody."""
    verify_key: str
    """Ed25519 public key of the centre, 64 hexadecimal digits."""
    dry_run: bool = False
    """Moves nothing, tells what it would move."""
    protocol: int = 0
    """Number of the routing protocol that its routes carry; 0: netmon's own."""
    secrets: dict[str, str] = {}
    """File name, as a probe of the plan has it, to what is in it."""
    report_s: float = 10.0
    """Tells how all is so often, and at once when something changes."""
    log_level: str = "info"
    log_format: Literal["console", "json"] = "json"

    def __repr__(self) -> str:
        """Without the secrets: it may get into a log."""
        return f"AgentSettings(gateway_id={self.gateway_id!r})"
