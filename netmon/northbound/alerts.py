"""From an alarm to an alert of Alertmanager (API v2, POST /alerts), and to its JSON. Pure.

An alert is known by its labels alone, so nothing that changes while an alarm stands is a label: counts, texts and times are
annotations. The one exception is the severity, by which people route; when it changes, one alert ends and another begins.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec

from netmon.alarms.model import Alarm, Place
from netmon.inventory.model import Inventory, Named
from netmon.northbound.severity import PROMETHEUS

SOURCE: Final = "netmon"
"""The label `source` of all our alerts."""
TEXT_LETTERS_MAX: Final = 2_000
"""Of an annotation: a rule's text may hold what a device has sent."""
LABEL_LETTERS_MAX: Final = 500

_WORDS: Final = {
    "ja": {"place": "場所", "caused": "これが原因とみられる警報", "severity": "重大度", "flapping": "発生と回復を繰り返しています", "evidence": "根拠"},
    "en": {"place": "Place", "caused": "Alarms that this one explains", "severity": "Severity", "flapping": "It comes and goes", "evidence": "Evidence"},
}  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Language = Literal["ja", "en"]


class Identity(NamedTuple):
    """What of an alert's labels can differ between two alerts about the same alarm."""

    alarm_id: str
    severity: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, firing or resolved."""

    identity: Identity
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_unix_ns: int
    ended_unix_ns: int = 0
    """0: it is firing."""

    def is_same_news(self, other: Alert) -> bool:
        """Whether the two differ in nothing but what people read."""
        return (self.starts_unix_ns, self.ended_unix_ns, self.labels) == (
            other.starts_unix_ns,
            other.ended_unix_ns,
            other.labels,
        )


class Writer:
    """Writes alerts in one language."""

    def __init__(self, inventory: Inventory, language: Language = "ja", runbook_url: str | None = None) -> None:
        """`runbook_url`: `{alarm_type}` in it is filled in."""
        self._language: Language = language
        self._runbook_url = runbook_url
        self._codes = {area.id: area.code for area in inventory.areas}
        kinds: dict[str, tuple[Named, ...]] = {
            "area": inventory.areas,
            "site": inventory.sites,
            "line": inventory.lines,
            "device": inventory.devices,
        }
        self._names = {kind: {thing.id: self._name(thing) for thing in things} for kind, things in kinds.items()}

    def alert(self, alarm: Alarm, now_unix_ns: int) -> Alert:
        """The alert of an alarm that stands; it begins now at the latest, whatever the device's clock says."""
        severity = PROMETHEUS[alarm.severity]
        place = alarm.place
        labels = {
            "alertname": camel_case(alarm.alarm_type),
            "severity": severity,
            "alarm_id": alarm.id,
            "resource": alarm.resource,
            "region": self._codes.get(place.area, ""),
            "area": place.area,
            "site": place.site,
            "line": place.line,
            "sector": ",".join(sorted(place.sectors)),
            "source": SOURCE,
        }
        return Alert(
            identity=Identity(alarm.id, severity),
            # Alertmanager drops empty labels; without them, what is sent is what is kept.
            labels={name: value[:LABEL_LETTERS_MAX] for name, value in labels.items() if value},
            annotations=self._annotations(alarm),
            starts_unix_ns=min(alarm.raised_unix_ns, now_unix_ns),
        )

    def _annotations(self, alarm: Alarm) -> dict[str, str]:
        words = _WORDS[self._language]
        text, action = getattr(alarm.text, self._language), getattr(alarm.action, self._language)
        place = self._place(alarm.place)
        lines = [
            action,
            f"{words['place']}: {place}" if place else "",
            f"{words['severity']}: {alarm.severity}",
            f"{words['caused']}: {alarm.caused}" if alarm.caused else "",
            words["flapping"] if alarm.flapping else "",
            f"{words['evidence']}: {' '.join(alarm.evidence)}" if alarm.evidence.key else "",
        ]
        found = {"summary": text or alarm.alarm_type, "description": "\n".join(line for line in lines if line)}
        if self._runbook_url is not None:
            found["runbook_url"] = self._runbook_url.replace("{alarm_type}", _url_word(alarm.alarm_type))
        return {name: value[:TEXT_LETTERS_MAX] for name, value in found.items()}

    def _place(self, place: Place) -> str:
        named = ((kind, getattr(place, kind)) for kind in self._names)
        return " / ".join(self._names[kind].get(thing, thing) for kind, thing in named if thing)

    def _name(self, thing: Named) -> str:
        return thing.name_en or thing.name if self._language == "en" else thing.name


def resolved(alert: Alert, ended_unix_ns: int, now_unix_ns: int) -> Alert:
    """The same alert, over. It ended when the alarm did, between its beginning and now."""
    ended = max(min(ended_unix_ns, now_unix_ns), alert.starts_unix_ns)
    return msgspec.structs.replace(alert, ended_unix_ns=ended)


def body(alerts: list[Alert], ends_unix_ns: int) -> bytes:
    """JSON for POST /api/v2/alerts; `ends_unix_ns`: when those that fire end if nobody tells of them again."""
    return msgspec.json.encode([_written(alert, ends_unix_ns) for alert in alerts])


def _written(alert: Alert, ends_unix_ns: int) -> dict[str, Any]:
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.starts_unix_ns),
        "endsAt": rfc3339(alert.ended_unix_ns or ends_unix_ns),
    }


def camel_case(alarm_type: str) -> str:
    """`link-down` as alerts are named: `LinkDown`."""
    words = re.split(r"[^A-Za-z0-9]+", alarm_type)
    return "".join(word[:1].upper() + word[1:] for word in words) or "Alarm"


def rfc3339(unix_ns: int) -> str:
    """A time as JSON has it, to the millisecond."""
    moment = _EPOCH + timedelta(milliseconds=unix_ns // 1_000_000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03}Z"


def _url_word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)
