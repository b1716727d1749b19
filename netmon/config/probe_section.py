"""The section `probe`: who asks over the lines of the region, and what is done with the answers.

How each line is asked stands in the region: docs/region.md. What a section says reaches a process by `netmon.config.probe`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, field_validator
from pydantic import ValidationInfo as Info

from netmon.config.kinds import PasswordFile, Rate, SecretFile, Section, section_or_defaults, shown

KEEPALIVE_TOPICS_MAX: Final = 10_000

_ID: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_TOPIC_FILTER: Final = re.compile(r"#|(\+|[^\x00-\x1f+#/]*)(/(\+|[^\x00-\x1f+#/]*))*(/#)?")
_REHEARSED_VANTAGE: Final = "rehearsal"


def _vantage_id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(
            f"found {shown(value)}; expected an ID: 1 to 64 letters, digits, dots, hyphens and underscores"
        )
    return value


def _broker(value: str) -> str:
    """Accept `mqtt://` and `mqtts://` without credentials; a refusal never repeats what may have a password in it."""
    try:
        url = urlsplit(value)
        valid = url.scheme in {"mqtt", "mqtts"} and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if not valid or url.path.strip("/") or url.query or url.fragment:
        raise ValueError("found another URL; expected mqtt://HOST:PORT or mqtts://HOST:PORT")
    if url.username is not None or url.password is not None:
        raise ValueError("found a user or password in the URL; expected username and password_file")
    return value.rstrip("/")


def _topics(value: dict[str, str]) -> dict[str, str]:
    wrong = next((topic for topic in value if not 1 <= len(topic) <= 1_000 or not _TOPIC_FILTER.fullmatch(topic)), None)
    if wrong is not None:
        cure = "expected a topic filter, with + for one level, and # for all below at its end"
        raise ValueError(f"found {shown(wrong)}; {cure}")
    return value


VantageId = Annotated[str, AfterValidator(_vantage_id)]
BrokerUrl = Annotated[str, AfterValidator(_broker)]
Topics = Annotated[dict[str, str], Field(max_length=KEEPALIVE_TOPICS_MAX), AfterValidator(_topics)]


class Keepalives(Section):
    """What devices publish by themselves: a line over which something still arrives is not dead."""

    url: BrokerUrl | None = None
    """A broker, mqtt:// or mqtts://; null: none."""
    topics: Topics = {}  # noqa: RUF012 - pydantic copies it, and the section is frozen
    """Topic filter to the ID of the line that what is published there has come over. Never a topic that may come over two."""
    username: Annotated[str, Field(max_length=256)] = ""
    password_file: PasswordFile | None = None
    """File with the password, on one line; null sends none."""
    tls_ca_file: SecretFile | None = None
    """Certificates (PEM) that an mqtts:// broker is checked against; null takes the system's."""

    @field_validator("tls_ca_file")
    @classmethod
    def _has_tls(cls, value: Path | None, info: Info) -> Path | None:
        if value is not None and not (info.data.get("url") or "mqtts://").startswith("mqtts://"):
            raise ValueError("has no meaning without TLS; expected null, or a url that begins with mqtts://")
        return value


class Probe(Section):
    """Asking over every line of the region. Nothing runs as long as no line there says how it is asked."""

    enabled: StrictBool = True
    """On: a region that says how its lines are asked wants them asked. Off: probe agents and another netmon do it."""
    vantage: VantageId | None = "centre"
    """Which vantage this one is: one of the region's `vantages` or `gateways`, any ID where it names no vantages. null: none; agents ask,
    and it judges."""
    rehearsal: StrictBool = False
    """Instead of the region's probes, ask reflectors on this machine that play every line, and can be told to fail by
    `netmon rehearse`. For trying netmon, never in earnest: it says nothing of the real lines."""
    keepalives: Annotated[Keepalives, BeforeValidator(section_or_defaults)] = Keepalives()
    heard_s: Annotated[Rate, Field(ge=1, le=3_600)] = 10.0
    """What arrived over a line by itself within this time, and after the first miss, speaks against its being dead."""
    lease_s: Annotated[Rate, Field(ge=1, le=300)] = 5.0
    """Of two that judge, the one that waits takes over when the other has been silent for so long."""
    months_kept: Annotated[StrictInt, Field(ge=1, le=120)] = 25
    """Months whose accounts are kept in Redis: two years to compare, and the present one."""
    stream_entries_max: Annotated[StrictInt, Field(ge=1_000, le=100_000_000)] = 100_000
    """Changes of lines that the stream `netmon:line-changes` keeps."""

    @property
    def own(self) -> str | None:
        """The vantage that runs here; a rehearsal has one in any case."""
        return self.vantage or (_REHEARSED_VANTAGE if self.rehearsal else None)
