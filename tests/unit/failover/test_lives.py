"""Which of a gateway's reports are news."""

from __future__ import annotations

import pytest

from netmon.failover.region.lives import Lives


@pytest.mark.parametrize(
    ("told", "news"),
    [
        ("7.1 7.2 7.2 7.1 7.3", "yes yes no no yes"),
        ("7.5 9.1 7.5 7.4 9.2", "yes yes no no yes"),  # copies of the life before
        ("7.5 3.1 3.2", "yes yes yes"),  # its clock was set back meanwhile
        ("7.5 9.1 7.6 9.2 7.7 9.3", "yes yes no yes no yes"),  # the life before speaks late, now and then
        ("9.1 9.2 7.3 9.3 9.4 7.3 9.5", "yes yes yes no yes no yes"),  # an old life was taken for a new one
        ("7.5 8.1 9.1 7.6", "yes yes yes yes"),  # nobody remembers that one; the living one puts it right
    ],
)
def test_what_is_news(told: str, news: str) -> None:
    """`9.2`: the second report of the agent that started at 9."""
    lives, found = Lives(), []
    for each in told.split():
        started, beat = each.split(".")
        lives, is_news = lives.hear(int(started), int(beat))
        found.append("yes" if is_news else "no")

    assert " ".join(found) == news
