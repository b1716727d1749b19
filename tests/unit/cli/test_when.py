"""Times as an operator types them in the middle of the night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.cli.when import parse_time

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOON_NS = 1_772_366_400_000_000_000
CET = timezone(timedelta(hours=1))
HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON_NS),
        ("-2h", NOON_NS - 2 * HOUR_NS),
        ("-1d12h", NOON_NS - 36 * HOUR_NS),
        ("-90s", NOON_NS - 90_000_000_000),
        ("-1.5s", NOON_NS - 1_500_000_000),
        ("2026-03-01T12:00:00Z", NOON_NS),
        ("2026-03-01T12:00+02:00", NOON_NS - 2 * HOUR_NS),
        ("2026-03-01 13:00", NOON_NS),
        ("2026-03-01", NOON_NS - 13 * HOUR_NS),
        ("13:00", NOON_NS),
        ("13:00:00.25", NOON_NS + 250_000_000),
        (" 1772366400 ", NOON_NS),
        ("1772366400.5", NOON_NS + 500_000_000),
        ("1772366400000", NOON_NS),
        ("1772366400000000001", NOON_NS + 1),
    ],
)
def test_a_time_is_understood(text: str, expected: int) -> None:
    """Without a zone it is that of the place, here an hour before Greenwich."""
    assert parse_time(text, NOW, CET) == expected


@pytest.mark.parametrize("text", ["", "-", "yesterday", "25:00", "2026-13-01", "-2 h", "12h", "--1h", "9999999999d"])
def test_what_is_no_time_is_said_with_what_is(text: str) -> None:
    """Nobody is to guess the format."""
    with pytest.raises(ValueError, match="is no time; expected 2026-03-01T09:00"):
        parse_time(text, NOW, CET)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - the zone is under test
def test_every_moment_is_found_again(moment: datetime) -> None:
    """To the microsecond, which is all that a datetime has."""
    expected = round(moment.replace(tzinfo=CET).timestamp()) // 1 * 1_000_000_000
    found = parse_time(moment.isoformat(), NOW, CET)
    assert abs(found - expected) <= 1_000_000_000
    assert found % 1_000_000_000 == moment.microsecond * 1_000
