"""Rules as values: which notification speaks of which alarm.

Pure. `netmon.alarms.rules.ruleset` reads them from alarms.yml and checks them; `netmon.alarms.rules.matcher` applies them. Templates name
varbinds in braces: `{ifDescr}`, `{ifDescr|text}`, `{index}` (the instance of the varbind that the resource is taken from).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from netmon.alarms.model import EventType, Severity, Text


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """About one varbind; all that is given must hold."""

    oid: str
    """Of the object, without instance."""
    equals: tuple[str | int, ...] = ()
    """Value or label is one of these."""
    unequal: tuple[str | int, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    matches: str | None = None
    """Regular expression, anywhere in the value, its label or its text."""
    is_present: bool | None = None


class ResourceOf(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the sender the alarm is about."""

    kind: Literal["device", "interface", "line", "site", "part"]
    """`line`: the line at that interface, else the interface; `site`: the sender's site; `part`: `device/<id>/<part>/<index>`."""
    part: str = ""
    """For `part`: a word such as `peer`, `sensor`, `outlet`."""
    index_of: str = ""
    """OID of the object whose instance is the index; empty for none."""
    value_of: str = ""
    """OID of the object whose value is the index, instead."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. The first one that matches a notification counts, unless it says `go_on`."""

    id: str
    trap_oids: tuple[str, ...]
    """Of the notification; one that ends in `.` stands for all below it."""
    when: tuple[Condition, ...] = ()
    at_line: bool | None = None
    """Only for a port at which a line of the inventory ends, or only for others."""
    resource: ResourceOf
    alarm_type: str
    """Of the alarm, such as `link-down`; the rule that clears it names the same one."""
    qualifier: str = ""
    """A template."""
    effect: Literal["raise", "clear", "none"] = "raise"
    """`none`: known, and not worth an alarm; it is counted."""
    severity: Severity = "indeterminate"
    event_type: EventType = "communicationsAlarm"
    probable_cause: str = "unknown"
    text: Text = Text("", "")
    """Templates."""
    action: Text = Text("", "")
    root: bool = False
    go_on: bool = False
