"""What operators want of an alarm or an area, read from the body of a request; every mistake is named. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, get_args

import msgspec

from netmon.alarms.lifecycle.transitions import BY_MAX, TEXT_MAX
from netmon.alarms.model import Command, CommandKind
from netmon.alarms.posture.model import Declaration
from netmon.api.problem import Mistake, invalid, shown

BODY_BYTES_MAX: Final = 16_384
UNTIL_MAX_S: Final = 366 * 86_400
"""A shelf or a declaration that is meant for longer wants another look before."""
KINDS: Final[tuple[CommandKind, ...]] = get_args(CommandKind)
DECLARED: Final = ("normal", "suspected", "disaster")

_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, and what turns the direction of writing around."""
_ENDS: Final = ("until", "for_s")
_FIELDS: Final[dict[CommandKind, tuple[str, ...]]] = {
    "ack": ("reason",),
    "unack": ("reason",),
    "shelve": ("reason", *_ENDS),
    "unshelve": ("reason",),
    "close": ("reason",),
    "comment": ("text",),
}
_NEEDED: Final = frozenset({("shelve", "reason"), ("comment", "text")})


class _Body:
    """A JSON object that is read field by field."""

    def __init__(self, body: bytes, known: tuple[str, ...]) -> None:
        self.mistakes: list[Mistake] = []
        self._fields: dict[str, Any] = {}
        try:
            found = msgspec.json.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise invalid([Mistake("body", f"no JSON: {error}")]) from None
        if not isinstance(found, dict):
            raise invalid([Mistake("body", f"expected a JSON object with {', '.join(known)}")])
        for name, value in found.items():
            if name in known:
                self._fields[name] = value
            else:
                self.mistakes.append(Mistake(f"body {shown(name)}", f"unknown; expected {', '.join(known)}"))

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str, length_max: int, *, is_needed: bool) -> str:
        """A string; empty when there is none."""
        value = self._fields.get(name)
        if value is None or value == "":
            if is_needed:
                self.wrong(name, "is missing; expected text")
            return ""
        if not isinstance(value, str):
            self.wrong(name, f"found {shown(value)}; expected text")
        elif len(value) > length_max:
            self.wrong(name, f"found {len(value):,} characters; expected at most {length_max:,}")
        elif _FORBIDDEN.search(value):
            self.wrong(name, "holds control characters; expected text")
        elif not value.strip() and is_needed:
            self.wrong(name, "is blank; expected text")
        else:
            return value.strip()
        return ""

    def end(self, now_unix_ns: int, *, is_needed: bool) -> int:
        """When `until` or `for_s` says that it ends, in nanoseconds since 1970; 0: they say nothing."""
        given = [name for name in _ENDS if self.has(name)]
        if len(given) != 1:
            if given or is_needed:
                self.wrong("until", f"found {len(given)} of until and for_s; expected one of them")
            return 0
        name = given[0]
        read: Callable[[Any], int] = _moment if name == "until" else lambda value: now_unix_ns + _duration(value)
        try:
            end_unix_ns = read(self._fields[name])
        except ValueError as error:
            self.wrong(name, str(error))
            return 0
        if not now_unix_ns < end_unix_ns <= now_unix_ns + UNTIL_MAX_S * 1_000_000_000:
            self.wrong(name, f"found {shown(self._fields[name])}; expected a moment to come, at most a year away")
        return end_unix_ns

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """One of some words, or null; the field has to be there."""
        value = self._fields.get(name)
        if name not in self._fields or (value is not None and value not in choices):
            self.wrong(name, f"found {shown(value)}; expected {', '.join(choices)}, or null to withdraw")
            return None
        return str(value) if value is not None else None

    def wrong(self, name: str, detail: str) -> None:
        """Notes a mistake."""
        self.mistakes.append(Mistake(f"body {name}", detail))

    def check(self) -> None:
        """Raises ProblemError when there were mistakes."""
        if self.mistakes:
            raise invalid(self.mistakes)


def _moment(value: Any) -> int:
    """RFC 3339 with a zone, to nanoseconds. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"found {shown(value)}; expected a time with its zone, such as 2026-03-01T09:00:00+09:00")
    return int(moment.timestamp()) * 1_000_000_000


def _duration(value: Any) -> int:
    """Seconds, to nanoseconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= UNTIL_MAX_S:
        raise ValueError(f"found {shown(value)}; expected seconds, more than 0 and at most a year")
    return int(value * 1_000_000_000)


def command_of(
    body: bytes, kind: CommandKind, *, command_id: str, alarm_id: str, version: int | None, now_unix_ns: int
) -> Command:
    """The command that a body asks for.

    Raises:
        ProblemError: It has mistakes.
    """
    read = _Body(body, ("by", *_FIELDS[kind]))
    text_name = _FIELDS[kind][0]
    by = read.text("by", BY_MAX, is_needed=True)
    text = read.text(text_name, TEXT_MAX, is_needed=(kind, text_name) in _NEEDED)
    until = read.end(now_unix_ns, is_needed=True) if kind == "shelve" else 0
    read.check()
    return Command(
        id=command_id,
        kind=kind,
        alarm_id=alarm_id,
        by=by,
        text=text,
        until_unix_ns=until,
        version=version,
        unix_ns=now_unix_ns,
    )


def declaration_of(body: bytes, now_unix_ns: int) -> tuple[str, Declaration | None]:
    """Who declares what of an area; None withdraws.

    Raises:
        ProblemError: It has mistakes.
    """
    read = _Body(body, ("posture", "by", "reason", *_ENDS))
    posture: Any = read.choice("posture", DECLARED)
    by = read.text("by", BY_MAX, is_needed=True)
    reason = read.text("reason", TEXT_MAX, is_needed=posture is not None)
    until = read.end(now_unix_ns, is_needed=False)
    read.check()
    if posture is None:
        return by, None
    return by, Declaration(posture=posture, by=by, reason=reason, unix_ns=now_unix_ns, until_unix_ns=until)
