"""Alarms as values (RFC 8632): an alarm is a state, and notifications move it.

Pure. An alarm is keyed by resource, alarm type and qualifier. That it is cleared is told apart from how severe it was, and what
operators did with it (acknowledged, shelved, closed) apart from both. Times are nanoseconds since 1970 UTC.

A resource is a path: `line/<id>`, `site/<id>`, `area/<code>`, `vantage/<id>`, `device/<id>`, `device/<id>/interface/<ifIndex>`
and so on below a device; `source/<address>/...` for a sender that the inventory does not know.

What there are a hundred thousand of says gc=False: it can be part of no cycle, and the collector need not walk through it.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, NamedTuple

import msgspec

Severity = Literal["indeterminate", "warning", "minor", "major", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("indeterminate", "warning", "minor", "major", "critical")
"""Perceived severity (X.733 section 8.1.2.3), ascending."""

EventType = Literal[
    "communicationsAlarm",
    "qualityOfServiceAlarm",
    "processingErrorAlarm",
    "equipmentAlarm",
    "environmentalAlarm",
    "integrityViolation",
    "operationalViolation",
    "physicalViolation",
    "securityService",
    "mechanismViolation",
    "timeDomainViolation",
]
OperatorState = Literal["none", "ack", "shelved", "closed"]
Trust = Literal["v3_auth_priv", "v3_auth", "allow_listed", "other"]

ChangeKind = Literal[
    "raised",  # new, or cleared before
    "updated",  # severity or text
    "cleared",
    "flapping",  # raised and cleared so often that it is shown as one that stands
    "settled",  # no longer flapping
    "cause",  # what it is caused by, or how many it causes
    "ack",
    "unack",
    "shelved",
    "unshelved",
    "closed",
    "comment",
    "purged",  # cleared or closed long ago: it leaves the list
]
CommandKind = Literal["ack", "unack", "shelve", "unshelve", "close", "comment"]

ID_LETTERS: Final = 12
HISTORY_MAX: Final = 20
"""Changes of state that an alarm carries with it, newest last; the stream has all."""
COMMENTS_MAX: Final = 20


class Key(NamedTuple):
    """What makes two notifications speak of the same alarm (RFC 8632 section 3.2)."""

    resource: str
    alarm_type: str
    qualifier: str = ""


def alarm_id(key: Key) -> str:
    """The alarm's ID: letters and digits that follow from its key alone, so that the same alarm always has the same."""
    digest = hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest()
    number, letters = int.from_bytes(digest, "big"), ""
    for _ in range(ID_LETTERS):
        number, rest = divmod(number, 32)
        letters += "0123456789abcdefghjkmnpqrstvwxyz"[rest]
    return letters


class Text(msgspec.Struct, frozen=True, gc=False):
    """What people read."""

    en: str
    ja: str


class Place(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where in the region a resource is; empty strings where the inventory does not tell."""

    area: str = ""
    """Area ID."""
    site: str = ""
    line: str = ""
    device: str = ""
    sectors: tuple[str, ...] = ()


class Evidence(NamedTuple):
    """Which entry of which stream said so."""

    key: str
    """Of the stream; empty for what netmon itself found out (probe, posture, forecast), and `entry_id` is its name then."""
    entry_id: str


class Probed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the prober said last of a line that is, or was, down."""

    state: Literal["up", "degraded", "down", "unknown"]
    """unknown: nobody asks any more."""
    unix_ns: int
    """Since when."""
    text: Text
    """Of `down`: what it has found."""
    evidence: Evidence


class Observation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one notification says about one alarm."""

    key: Key
    cleared: bool
    severity: Severity
    event_type: EventType
    probable_cause: str
    """Name as in X.733 and 3GPP TS 28.111, in small letters with underscores: `loss_of_signal`."""
    text: Text
    action: Text
    """What to do about it."""
    place: Place
    event_unix_ns: int
    trust: Trust
    evidence: Evidence
    root: bool = False
    """Others may be caused by it: a line or a site that is down, rather than somebody who noticed."""


class StateChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of an alarm's history."""

    unix_ns: int
    kind: ChangeKind
    severity: Severity
    by: str = ""
    """Who, for what operators did."""
    text: str = ""


class Comment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What somebody wrote."""

    unix_ns: int
    by: str
    text: str


class Alarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The state of one alarm. `id`, key and place never change; everything else does by `msgspec.structs.replace`."""

    id: str
    resource: str
    alarm_type: str
    qualifier: str = ""
    place: Place = Place()
    severity: Severity
    """Of the last raise; it stays when the alarm is cleared."""
    is_cleared: bool = False
    event_type: EventType
    probable_cause: str
    text: Text
    action: Text = Text("", "")
    trust: Trust = "other"
    root: bool = False
    version: int = 1
    """Grows by one with each change that anybody is told of; the API's ETag."""
    created_unix_ns: int
    """Event time of the first raise."""
    raised_unix_ns: int
    """Event time of the last raise."""
    cleared_unix_ns: int = 0
    """Event time of the last clear; 0: never."""
    event_unix_ns: int
    """Event time of the newest notification that was listened to: older ones change nothing."""
    changed_unix_ns: int
    """When netmon last told a change."""
    notifications: int = 1
    """How many spoke of it."""
    raises: int = 1
    flapping: bool = False
    toggles_unix_ns: tuple[int, ...] = ()
    """Event times of the newest raises, and of the newest clears with a minus in front, in their order; bounded."""
    operator_state: OperatorState = "none"
    operator_by: str = ""
    operator_unix_ns: int = 0
    operator_reason: str = ""
    shelved_until_unix_ns: int = 0
    comments: tuple[Comment, ...] = ()
    history: tuple[StateChange, ...] = ()
    cause: str | None = None
    """ID of the alarm that explains this one."""
    caused: int = 0
    """How many active alarms this one explains."""
    evidence: Evidence = Evidence("", "")
    """The newest."""
    probed: Probed | None = None
    """Of `line-down`, beside what the ports at its ends say; None: the prober has said nothing of it."""

    @property
    def key(self) -> Key:
        """What it is about."""
        return Key(self.resource, self.alarm_type, self.qualifier)

    @property
    def is_active(self) -> bool:
        """Whether it stands: raised, not closed by anybody."""
        return not self.is_cleared and self.operator_state != "closed"

    @property
    def is_annunciated(self) -> bool:
        """Whether a person is to be told: active, neither shelved nor explained by another one."""
        return self.is_active and self.operator_state != "shelved" and self.cause is None


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One entry of the stream `netmon:alarms`: what changed, and the alarm as it is now."""

    kind: ChangeKind
    unix_ns: int
    alarm: Alarm
    by: str = ""
    command_id: str = ""


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator wants of one alarm."""

    id: str
    """Chosen by whoever asks; the same one twice is done once."""
    kind: CommandKind
    alarm_id: str
    by: str
    text: str = ""
    """Reason or comment; a shelf needs one."""
    until_unix_ns: int = 0
    """For `shelve`: when the alarm comes back by itself; needed."""
    version: int | None = None
    """Do it only if the alarm still has this version (If-Match)."""
    unix_ns: int = 0


CommandOutcome = Literal["done", "unknown_alarm", "version_changed", "not_possible"]


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command."""

    command_id: str
    outcome: CommandOutcome
    detail: str = ""
    alarm: Alarm | None = None
