"""The section `failover`: who moves the region's traffic, whether it may, and how gateways and carriers are reached.

What may go where stands in the region: docs/region.md. What a section says reaches a process by `netmon.config.failover`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, field_validator, model_validator
from pydantic import ValidationInfo as Info

from netmon.alarms.model import Trust
from netmon.config.kinds import (
    FilePath,
    PasswordFile,
    Rate,
    SecretFile,
    Section,
    TokenFile,
    WebUrl,
    line_like,
    section_or_defaults,
    shown,
)
from netmon.config.probe_section import BrokerUrl
from netmon.inventory.model import FailoverMode

WEBHOOKS_MAX: Final = 100
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_PREFIX: Final = re.compile(r"[^\x00-\x1f+#$/ ][^\x00-\x1f+# ]{0,198}[^\x00-\x1f+#/ ]|[^\x00-\x1f+#$/ ]")
_PRIVATE_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


# --- Kinds of values. ---


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        cure = (
            "expected the beginning of a topic, such as netmon: without + # and blanks, / not at its ends, $ not first"
        )
        raise ValueError(f"found {shown(value)}; {cure}")
    return value


def _one_level(value: str) -> str:
    if not _PREFIX.fullmatch(value) or "/" in value:
        raise ValueError(
            f"found {shown(value)}; expected a word, such as netmon: without / + # and blanks, $ not first"
        )
    return value


def _names(value: dict[str, Webhook]) -> dict[str, Webhook]:
    wrong = next((name for name in value if not _NAME.fullmatch(name)), None)
    if wrong is not None:
        text = "expected a name: 1 to 64 letters, digits, dots, hyphens and underscores"
        raise ValueError(f"found {shown(wrong)}; {text}")
    return value


TopicPrefix = Annotated[str, AfterValidator(_prefix)]
ApiKey = Annotated[str, AfterValidator(_one_level)]
KeyFile = Annotated[
    FilePath,
    AfterValidator(
        line_like(_PRIVATE_KEY, "has no private key of 64 hexadecimal digits; `netmon failover keys` makes one")
    ),
]


# --- The sections. ---


class Mqtt(Section):
    """The broker between here and the gateways."""

    url: BrokerUrl | None = None
    """mqtt:// or mqtts://; null: none, and no gateway has an agent."""
    prefix: TopicPrefix = "netmon"
    """What all topics begin with."""
    iota_apikey: ApiKey = "netmon"
    """What topics of edges that speak IoTA-JSON begin with: /<iota_apikey>/<gateway>/cmd."""
    username: Annotated[str, Field(max_length=256)] = ""
    password_file: PasswordFile | None = None
    """File with the password, on one line; null sends none."""
    tls_ca_file: SecretFile | None = None
    """Certificates (PEM) that an mqtts:// broker is checked against; null takes the system's."""
    tls_cert_file: SecretFile | None = None
    """Our own certificate (PEM), for a broker that asks for one; null has none."""
    tls_key_file: SecretFile | None = None
    """Its key."""

    @field_validator("tls_ca_file", "tls_cert_file", "tls_key_file")
    @classmethod
    def _has_tls(cls, value: Path | None, info: Info) -> Path | None:
        if value is not None and not (info.data.get("url") or "mqtts://").startswith("mqtts://"):
            raise ValueError("has no meaning without TLS; expected null, or a url that begins with mqtts://")
        return value

    @model_validator(mode="after")
    def _both(self) -> Mqtt:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("found one of tls_cert_file and tls_key_file; expected both, or none")
        return self


class Webhook(Section):
    """A carrier's controller."""

    url: WebUrl
    """Where orders go. No default: there is none that could be right."""
    secret_file: TokenFile
    """What orders are signed with (HMAC-SHA-256), on one line; the carrier has it, too."""
    tls_ca_file: SecretFile | None = None
    """Certificates (PEM) that it is checked against; null takes the system's."""
    timeout_s: Annotated[Rate, Field(ge=0.5, le=60)] = 5.0
    """How long one answer may take."""


class Failover(Section):
    """Moving traffic away from lines that have failed. Nothing runs as long as no gateway of the region carries a class."""

    enabled: StrictBool = True
    """On: a region that says which gateway carries what wants to know where it would go."""
    mode: FailoverMode = "observe"
    """Until somebody has looked at what netmon would do, it says so and touches nothing."""
    mqtt: Annotated[Mqtt, BeforeValidator(section_or_defaults)] = Mqtt()
    webhooks: Annotated[dict[str, Webhook], Field(max_length=WEBHOOKS_MAX), AfterValidator(_names)] = {}  # noqa: RUF012 - pydantic copies it, and the section is frozen
    """By the names that gateways of the region call them."""
    signing_key_file: KeyFile | None = None
    """Private key (Ed25519) of what gateways are told; null: no gateway has an agent."""
    trap_trust: Trust | None = None
    """null: no trap moves traffic. Anybody can send one, and a line that is dead shows in its probes within seconds."""
    hold_off_s: Annotated[Rate, Field(ge=0, le=10)] | None = None
    """null: 0, for the prober has already asked three times; 2 s where the working line is LEO, whose handovers take a second."""
    wtr_s: Annotated[Rate, Field(ge=0, le=86_400)] = 300.0
    """Five minutes, the default of ITU-T G.8032: a line that has just come back goes again more often than others."""
    verify_s: Annotated[Rate, Field(ge=0.1, le=60)] = 2.0
    """Three probes of a GEO line do not fit into it; those of all others do."""
    approval_s: Annotated[Rate, Field(ge=5, le=86_400)] = 120.0
    """Mode advise: a proposal is about the region as it was then."""
    centre_lost_s: Annotated[Rate, Field(ge=5, le=86_400)] = 30.0
    """Six beats of the centre: a new leader has begun to speak by then."""
    gateway_silent_s: Annotated[Rate, Field(ge=5, le=86_400)] = 30.0
    """Three reports of a gateway that has nothing to tell."""
    lease_s: Annotated[Rate, Field(ge=1, le=300)] = 15.0
    """Three times longer than what a busy machine may stop for: two that decide at once are told apart by their fences alone."""
    lock_delay_s: Annotated[Rate, Field(ge=0, le=300)] = 15.0
    """What the leader before had ordered has arrived by then."""
    stream_entries_max: Annotated[StrictInt, Field(ge=1_000, le=100_000_000)] = 100_000
    """Of the audit, in Redis: years of them in a region that has a bad day each month."""
