"""Times as people write them, to nanoseconds since 1970. Pure."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, tzinfo

_AGO = re.compile(r"-(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_NUMBER = re.compile(r"(\d+)(?:\.(\d{1,9}))?")
_MS_FROM = 100_000_000_000
"""Numbers from here on are milliseconds since 1970: as seconds, they would be in the year 5138."""
_NS_FROM = 100_000_000_000_000_000
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def parse_time(text: str, now: datetime, zone: tzinfo | None = None) -> int:
    """A moment, in nanoseconds since 1970 UTC.

    Args:
        text: ISO 8601 (`2026-03-01T09:00`, `2026-03-01 09:00:00.5+01:00`, `09:00` today), `now`, how long ago (`-2h`, `-1d12h`,
            `-90s`), or a number since 1970: seconds, milliseconds or nanoseconds, by its size.
        now: The present moment, with its zone.
        zone: Of what is written without one; None is the machine's.

    Raises:
        ValueError: It is none of these.
    """
    text = text.strip()
    if text == "now":
        return _unix_ns(now)
    if number := _NUMBER.fullmatch(text):
        return _from_number(int(number[1]), number[2] or "")
    if text != "-" and (ago := _AGO.fullmatch(text)):
        days, hours, minutes, seconds = (float(part or 0) for part in ago.groups())
        return _unix_ns(now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))
    try:
        return _unix_ns(_in_zone(_moment(text, now, zone), zone))
    except (ValueError, OverflowError):
        expected = "expected 2026-03-01T09:00, 09:00, -2h, now, or seconds since 1970"
        raise ValueError(f"{text!r} is no time; {expected}") from None


def _from_number(whole: int, fraction: str) -> int:
    if whole >= _NS_FROM:
        return whole
    unit = 1_000_000 if whole >= _MS_FROM else 1_000_000_000
    return whole * unit + int(fraction.ljust(9, "0")) * unit // 1_000_000_000


def _moment(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    try:
        return datetime.combine(now.astimezone(zone).date(), time.fromisoformat(text))
    except ValueError:
        return datetime.fromisoformat(text)


def _in_zone(moment: datetime, zone: tzinfo | None) -> datetime:
    if moment.tzinfo is not None:
        return moment
    return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)


def _unix_ns(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
