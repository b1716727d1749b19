"""The sections of the alarm service: the region, rules and lifecycle of alarms, posture, API, Alertmanager and JMA.

What a section says reaches a process by `netmon.config.alarm_service`. The files that it names (the region, rules) are read
there; a thorough check reads them, too, and their mistakes are told with those of the configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, field_validator
from pydantic import ValidationInfo as Info

import netmon.alarms
from netmon import sockets
from netmon.config.kinds import (
    Address,
    FilePath,
    PasswordFile,
    Rate,
    SecretFile,
    Section,
    TokenFile,
    WebUrl,
    section_or_defaults,
    shown,
)
from netmon.errors import ConfigError

STANDARD_RULES: Final = Path(netmon.alarms.__file__).parent / "rules" / "standard.yml"
"""The rules that ship with netmon."""
ALERTMANAGERS_MAX: Final = 8
"""Members of a cluster that each get every alert; more than five are not seen in practice."""
FEEDS_MAX: Final = 8

_RUNBOOK = re.compile(r"https?://[!#-;=?-Z\[\]_a-z~%-]{1,2000}", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)

Intensity = Literal["1", "2", "3", "4", "5-", "5+", "6-", "6+", "7"]
"""Seismic intensity as telegrams write it; 5- is 5弱, 5+ is 5強."""
INTENSITIES: Final[tuple[str, ...]] = get_args(Intensity)


# --- Kinds of values. ---


def _told_elsewhere(info: Info, read: Callable[[], object]) -> None:
    """Read what the configuration names, and put its mistakes beside those of the configuration: they have lines of their own."""
    try:
        read()
    except ConfigError as error:
        (info.context or {}).get("elsewhere", []).extend(error.mistakes)


def _region(path: Path, info: Info) -> Path:
    """In a thorough check, read the region, too. A receiver runs without one that is wrong."""
    if (info.context or {}).get("thorough"):
        from netmon.inventory import schema  # noqa: PLC0415 - it reads YAML as this package does, and imports it

        if not path.is_file():
            raise ValueError(f"{path} is no file; expected one with a region")
        _told_elsewhere(info, lambda: schema.read(path))
    return path


def _there(path: Path, info: Info) -> Path:
    """In a thorough check, refuse a folder that cannot be listed."""
    if (info.context or {}).get("thorough") and not (path.is_dir() and os.access(path, os.R_OK | os.X_OK)):
        raise ValueError(f"{path} cannot be listed; expected a folder")
    return path


def _without_end(value: str) -> str:
    """What follows begins with a slash."""
    return value.rstrip("/")


def _runbook_url(value: str) -> str:
    """Accept what a person can open in a browser; `{alarm_type}` is all that is filled in."""
    plain = value.replace("{alarm_type}", "alarm")
    if not _RUNBOOK.fullmatch(plain):
        raise ValueError(
            f"found {shown(value)}; expected http://... or https://..., with {{alarm_type}} in it or without"
        )
    return value


def _at_most(count: int) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        again = next((value for index, value in enumerate(values) if value in values[:index]), None)
        if again is not None:
            raise ValueError(f"found {shown(again)} twice; expected each once")
        if len(values) > count:
            raise ValueError(f"found {len(values)}; expected at most {count}")
        return values

    return check


def _intensity(value: Any) -> Any:
    """4 without quotes is a number to YAML, and means the same."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text not in INTENSITIES:
        raise ValueError(f"found {shown(value)}; expected an intensity: {', '.join(INTENSITIES)}")
    return text


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(f"found {shown(value)}; expected the name of a host, without port")
    return value.lower()


RegionFile = Annotated[FilePath, AfterValidator(_region)]
FolderToRead = Annotated[FilePath, AfterValidator(_there)]
WebAddress = Annotated[WebUrl, AfterValidator(_without_end)]
RunbookUrl = Annotated[str, AfterValidator(_runbook_url)]
Ratio = Annotated[Rate, Field(ge=0, le=1)]
HostName = Annotated[str, AfterValidator(_host_name)]

_DAY_S: Final = 86_400


# --- The sections. ---


class Region(Section):
    """What there is to be watched over."""

    file: RegionFile | None = None
    """Of areas, sites, lines and devices: docs/region.md. Without one, alarms are about addresses, and have no causes."""


class Flood(Section):
    """When there are more alarms than a person can read."""

    raised_max: Annotated[StrictInt, Field(ge=1, le=100_000)] = 10
    """Alarms that a person is told of within `window_s` from which on it is a flood; ISA-18.2 has 10 in 10 minutes."""
    window_s: Annotated[StrictInt, Field(ge=1, le=_DAY_S)] = 600


class Alarms(Section):
    """From notifications to alarms."""

    enabled: StrictBool = True
    """On: a receiver whose traps nobody judges is half of what netmon is for. Off: another consumer does it."""
    rules: tuple[FilePath, ...] = ()
    """Files of rules, tried in this order and before the standard ones."""
    standard_rules: StrictBool = True
    """The rules that ship with netmon, for the notifications that the IETF has standardised."""
    flap_toggles: Annotated[StrictInt, Field(ge=2, le=100)] = 3
    """Raises within `flap_window_s` from which on an alarm is flapping, and shown as one that stands."""
    flap_window_s: Annotated[StrictInt, Field(ge=1, le=3_600)] = 60
    flap_settle_s: Annotated[StrictInt, Field(ge=1, le=_DAY_S)] = 300
    """Without a change for so long, it is no longer flapping."""
    purge_cleared_s: Annotated[StrictInt, Field(ge=1, le=366 * _DAY_S)] = _DAY_S
    """A cleared or closed alarm leaves the list after this time: a day, so that the next shift sees what was."""
    alarms_max: Annotated[StrictInt, Field(ge=1_000, le=5_000_000)] = 200_000
    """Alarms in the list; 200,000 are some 300 MB in the worker and in Redis. Beyond it, old cleared ones go first."""
    late_clear_s: Annotated[StrictInt, Field(ge=0, le=_DAY_S)] = 3_600
    """A clear that overtook its raise is remembered for so long."""
    cause_window_s: Annotated[StrictInt, Field(ge=1, le=_DAY_S)] = 600
    """What was raised so much earlier than its cause may still be explained by it."""
    flood: Annotated[Flood, BeforeValidator(section_or_defaults)] = Flood()
    lease_s: Annotated[StrictInt, Field(ge=1, le=300)] = 5
    """Of two workers, the one that waits takes over when the other has been silent for so long."""
    stream_entries_max: Annotated[StrictInt, Field(ge=1_000, le=100_000_000)] = 100_000
    """Changes of alarms that the stream `netmon:alarms` keeps: some 200 MB."""

    @property
    def rule_files(self) -> list[Path]:
        """All files of rules, in the order that they are tried in."""
        return [*self.rules, *([STANDARD_RULES] if self.standard_rules else [])]


def rules_told(alarms: Alarms, catalogues: Sequence[Path], info: Info) -> None:
    """In a thorough check, read the rules, with the names that they may use. Alarms wait for rules that are right."""
    if (info.context or {}).get("thorough"):
        from netmon.alarms.rules import ruleset  # noqa: PLC0415 - it reads YAML as this package does, and imports it

        _told_elsewhere(info, lambda: ruleset.load(alarms.rule_files, catalogues))


class Posture(Section):
    """From which evidence on an area is suspected to be in, or is in, a disaster."""

    trap_rate_factor: Annotated[Rate, Field(ge=1.5, le=10_000)] = 10.0
    """Of an area's baseline: from there on, suspected."""
    trap_rate_min: Annotated[Rate, Field(ge=0, le=1_000_000)] = 20.0
    """Notifications a second of an area below which their rate says nothing."""
    baseline_s: Annotated[StrictInt, Field(ge=60, le=30 * _DAY_S)] = 3_600
    """Over which the baseline is learned; it stands still while the rate is high."""
    lines_suspected_ratio: Ratio = 0.2
    """Share of an area's lines that fail."""
    lines_disaster_ratio: Ratio = 0.5
    lines_failing_min: Annotated[StrictInt, Field(ge=1, le=100_000)] = 2
    """Fewer failing lines say nothing of an area, whatever their share: of two lines, one is a half."""
    battery_suspected_sites: Annotated[StrictInt, Field(ge=1, le=100_000)] = 2
    """Sites of an area that run on batteries. One is a tripped breaker."""
    battery_disaster_sites: Annotated[StrictInt, Field(ge=1, le=100_000)] = 3
    confirm_s: Annotated[StrictInt, Field(ge=0, le=3_600)] = 5
    """For so long the evidence has to hold."""
    recover_s: Annotated[StrictInt, Field(ge=1, le=7 * _DAY_S)] = 600
    """Without evidence for so long, disaster becomes recovering, and recovering normal."""
    jma_intensity_suspected: Annotated[Intensity, BeforeValidator(_intensity)] = "4"
    jma_intensity_disaster: Annotated[Intensity, BeforeValidator(_intensity)] = "5-"
    """5弱: where furniture falls, and the rules of most municipalities call staff in."""
    jma_warning: Literal["none", "suspected"] = "suspected"
    """What a weather warning (警報) makes of an area. An emergency warning (特別警報) is a disaster, an advisory nothing."""
    jma_hold_s: Annotated[StrictInt, Field(ge=60, le=30 * _DAY_S)] = 21_600
    """A telegram counts for six hours, if it is not cancelled."""

    @field_validator("lines_disaster_ratio", "battery_disaster_sites")
    @classmethod
    def _not_below(cls, value: float, info: Info) -> float:
        """Refuse a disaster that comes before it is suspected."""
        first = str(info.field_name).replace("disaster", "suspected")
        if value < info.data.get(first, 0):
            raise ValueError(f"found {value}; expected at least {info.data[first]}, as {first} has")
        return value

    @field_validator("jma_intensity_disaster")
    @classmethod
    def _not_weaker(cls, value: str, info: Info) -> str:
        first = info.data.get("jma_intensity_suspected", INTENSITIES[0])
        if INTENSITIES.index(value) < INTENSITIES.index(first):
            raise ValueError(f"found {shown(value)}; expected at least {shown(first)}, as jma_intensity_suspected has")
        return value


class Api(Section):
    """/api/v1: alarms for consoles and programs."""

    enabled: StrictBool = True
    """On, and reached from this machine alone until somebody says otherwise."""
    listen: Address = "127.0.0.1:8643"
    """Loopback: TLS and people's names are the business of the web server before it."""
    token_file: TokenFile | None = None
    """File with what whoever asks has to know; needed beyond the loopback. One token is one right: all of it."""
    hosts: tuple[HostName, ...] = ()
    """Names by which it may be called besides localhost, where there is no token: a web page that a member of staff
    happens to open must not be able to talk to it under a name of its own."""

    @field_validator("token_file")
    @classmethod
    def _closed(cls, value: Path | None, info: Info) -> Path | None:
        """Refuse to let everybody on the network acknowledge alarms."""
        listen = info.data.get("listen")
        wanted = info.data.get("enabled") and value is None and listen is not None
        if wanted and not sockets.parse_address(str(listen)).ip.is_loopback:
            raise ValueError(
                f"missing, and {listen} is open to the network; expected a file with a token, or 127.0.0.1"
            )
        return value


class Alertmanager(Section):
    """Alarms pushed to Prometheus Alertmanager."""

    urls: Annotated[tuple[WebAddress, ...], AfterValidator(_at_most(ALERTMANAGERS_MAX))] = ()
    """Every member of the cluster, since each one that is up has to know; empty: none."""
    token_file: TokenFile | None = None
    """File with a bearer token; null sends none."""
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Of HTTP Basic authentication, which is what Alertmanager's own web configuration has."""
    password_file: PasswordFile | None = None
    """Its password, on one line."""
    tls_ca_file: SecretFile | None = None
    """Certificates (PEM) that https:// servers are checked against; null takes the system's."""
    timeout_s: Annotated[StrictInt, Field(ge=1, le=300)] = 10
    resend_s: Annotated[StrictInt, Field(ge=10, le=3_600)] = 60
    """An alarm that stands is told again after this time: a member that was restarted has forgotten it. One that is not
    told again for four times as long ends by itself there."""
    resolved_s: Annotated[StrictInt, Field(ge=60, le=_DAY_S)] = 300
    """For so long the end of an alarm is told again."""
    silences: StrictBool = True
    """An alarm that is acknowledged or shelved here is silenced there."""
    acks_from_silences: StrictBool = False
    """A silence that somebody makes there for one alarm acknowledges it here. Off: whoever may silence there may not
    always acknowledge here."""
    language: Literal["ja", "en"] = "ja"
    """Of what people read in an alert; the languages of one alert would be two alerts' length on a telephone."""
    runbook_url: RunbookUrl | None = None
    """Put into every alert; `{alarm_type}` in it stands for the type of the alarm."""

    @field_validator("password_file")
    @classmethod
    def _one_way_in(cls, value: Path | None, info: Info) -> Path | None:
        """Refuse half of a user, a user beside a token, and a user whose name HTTP cannot tell from the password."""
        username, token_file = info.data.get("username"), info.data.get("token_file")
        if (username is None) != (value is None):
            raise ValueError("expected username and password_file, or neither")
        if username is not None and token_file is not None:
            raise ValueError("expected a token_file, or username and password_file")
        if username is not None and ":" in username:
            raise ValueError("found a colon in username; expected one without (RFC 7617)")
        return value


class Jma(Section):
    """Telegrams of the Japan Meteorological Agency."""

    feed_urls: Annotated[tuple[WebAddress, ...], AfterValidator(_at_most(FEEDS_MAX))] = ()
    """Atom feeds. Empty: netmon talks to nobody on the Internet who was not named."""
    folder: FolderToRead | None = None
    """Where another program puts telegrams, a file each: for networks that reach no feed."""
    poll_s: Annotated[StrictInt, Field(ge=60, le=3_600)] = 60
    """Time between two looks at a feed. The agency asks for no more than one a minute."""
    contact: Annotated[str, Field(max_length=200)] = ""
    """Who runs this, for the User-Agent: an agency that sees trouble can call."""
