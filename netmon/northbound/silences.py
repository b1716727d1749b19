"""Acknowledging and silencing are the same wish in two systems: which silences there should be, and which say "acknowledged". Pure.

Nothing is remembered: what is wished here is compared with what is there, as often as it takes. Silences of ours are known by
who made them, and by their one matcher.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from netmon.alarms.model import Alarm, Command
from netmon.northbound.alerts import rfc3339

NS: Final = 1_000_000_000
OURS: Final = " (netmon)"
"""Ending of `createdBy` in silences that netmon makes."""
ACK_S: Final = 4 * 3_600
"""Length of a silence for an acknowledged alarm. It is prolonged while the alarm stays so, and ends if netmon does."""
SLACK_NS: Final = 2 * NS
"""Two times that differ by less are the same."""
WISHES_MAX: Final = 2_000
"""Silences that netmon keeps: people do not acknowledge more one by one, and Alertmanager looks at each for every alert."""
COMMENT_LETTERS_MAX: Final = 500


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm that should be silent."""

    alarm_id: str
    by: str
    comment: str
    until_unix_ns: int = 0
    """0: until it is no longer wished."""


class Matcher(msgspec.Struct, frozen=True, rename="camel"):
    """What an alert's label must be."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True


class _Status(msgspec.Struct, frozen=True):
    state: str


class Silence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One silence as Alertmanager tells of it."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    created_by: str = ""
    comment: str = ""
    status: _Status = _Status("active")

    @property
    def alarm_id(self) -> str:
        """Which alarm it is about; empty when it is about others, too."""
        return next((m.value for m in self.matchers if m.name == "alarm_id" and m.is_equal and not m.is_regex), "")

    @property
    def is_ours(self) -> bool:
        """Whether netmon has made it."""
        return len(self.matchers) == 1 and bool(self.alarm_id) and self.created_by.endswith(OURS)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it silences an alert, by plain equality; one with patterns is nobody's acknowledgement."""
        return all(m.is_equal and not m.is_regex and labels.get(m.name, "") == m.value for m in self.matchers)


class Plan(msgspec.Struct, frozen=True):
    """What to do to have what is wished."""

    create: tuple[dict[str, Any], ...]
    """Bodies for POST /silences; those with an `id` change one that is there."""
    delete: tuple[str, ...]
    """IDs."""


_silences = msgspec.json.Decoder(list[Silence]).decode


def read(body: bytes) -> list[Silence]:
    """Those of GET /silences that are in force and about one alarm. Raises msgspec.MsgspecError."""
    return [silence for silence in _silences(body) if silence.alarm_id and silence.status.state == "active"]


def wish(alarm: Alarm) -> Wish | None:
    """What an alarm's operators wish of it; None: nothing."""
    if not alarm.is_active or alarm.operator_state not in {"ack", "shelved"}:
        return None
    reason = alarm.operator_reason or alarm.operator_state
    return Wish(
        alarm_id=alarm.id,
        by=alarm.operator_by or "operator",
        comment=reason[:COMMENT_LETTERS_MAX],
        until_unix_ns=alarm.shelved_until_unix_ns if alarm.operator_state == "shelved" else 0,
    )


def plan(wishes: Iterable[Wish], present: Iterable[Silence], now_unix_ns: int) -> Plan:
    """From what is wished and what is there."""
    mine: dict[str, list[Silence]] = {}
    for silence in present:
        if silence.is_ours:
            mine.setdefault(silence.alarm_id, []).append(silence)
    create: list[dict[str, Any]] = []
    delete: list[str] = []
    for wished in wishes:
        # Two members that had not heard of each other may each have got one; the longest stays.
        found = sorted(mine.pop(wished.alarm_id, ()), key=lambda silence: (silence.ends_at, silence.id))
        kept = found.pop() if found else None
        delete.extend(silence.id for silence in found)
        body = _wanted(wished, kept, now_unix_ns)
        if body is not None:
            create.append(body)
    delete.extend(silence.id for silences in mine.values() for silence in silences)
    return Plan(tuple(create), tuple(delete))


def _wanted(wished: Wish, kept: Silence | None, now_unix_ns: int) -> dict[str, Any] | None:
    ends_unix_ns = wished.until_unix_ns or now_unix_ns + ACK_S * NS
    if ends_unix_ns <= now_unix_ns:
        return None
    found = {
        "matchers": [Matcher("alarm_id", wished.alarm_id)],
        "startsAt": rfc3339(now_unix_ns),
        "endsAt": rfc3339(ends_unix_ns),
        "createdBy": wished.by + OURS,
        "comment": wished.comment,
    }
    if kept is None:
        return found
    left_ns = int(kept.ends_at.timestamp() * NS) - now_unix_ns
    if wished.until_unix_ns:
        is_enough = abs(left_ns - (wished.until_unix_ns - now_unix_ns)) <= SLACK_NS
    else:
        # Not longer than it would be made either: it may stem from a shelf that was opened.
        is_enough = ACK_S * NS // 2 <= left_ns <= ACK_S * NS + SLACK_NS
    return None if is_enough else {**found, "id": kept.id, "startsAt": kept.starts_at.isoformat()}


def ack(silence: Silence, operator_unix_ns: int, labels: Mapping[str, str], now_unix_ns: int) -> Command | None:
    """The command that a silence amounts to.

    Args:
        silence: In force, about one alarm.
        operator_unix_ns: When somebody last did something to that alarm here; what was done there before does not count.
        labels: Of its alert.
        now_unix_ns: For the command.
    """
    updated_unix_ns = int(silence.updated_at.timestamp() * NS)
    if silence.is_ours or not silence.matches(labels) or updated_unix_ns <= operator_unix_ns:
        return None
    return Command(
        id=f"silence-{silence.id[:64]}-{updated_unix_ns}",
        kind="ack",
        alarm_id=silence.alarm_id,
        by=(silence.created_by or "alertmanager")[:100],
        text=silence.comment[:COMMENT_LETTERS_MAX],
        unix_ns=now_unix_ns,
    )
