"""When something ends that an operator wants: a time of day is the next one, and what is wrong is told with its option."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from netmon.cli.operate import coming, end_of
from netmon.errors import ConfigError

EVENING = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("06:00", datetime(2026, 3, 2, 6, 0, tzinfo=UTC)),
        ("22:00", datetime(2026, 3, 2, 22, 0, tzinfo=UTC)),
        ("23:30", datetime(2026, 3, 1, 23, 30, tzinfo=UTC)),
        ("2026-03-03T06:00+00:00", datetime(2026, 3, 3, 6, 0, tzinfo=UTC)),
    ],
)
def test_a_time_of_day_is_the_next_one(text: str, end: datetime) -> None:
    """At 22:00, 06:00 is tomorrow morning."""
    assert coming(text, EVENING) == int(end.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("lasting", "until", "told"),
    [
        (None, "2020-03-01T09:00", "--until: 2020-03-01T09:00 has passed"),
        (None, "-2h", "--until: found '-2h'; expected 17:00 (the next one), or a day with it: 2026-03-01T17:00"),
        ("soon", None, "--for: found 'soon'; expected a duration such as 90s, 30m, 2h or 1d"),
    ],
)
def test_what_is_no_end_names_its_option(lasting: str | None, until: str | None, told: str) -> None:
    """And offers only what can be used there."""
    with pytest.raises(ConfigError) as caught:
        end_of(lasting, until)

    assert caught.value.mistakes == [told]
