"""What `netmon replay` says while it waits: each thing once in a minute."""

from __future__ import annotations

from netmon.cli.replay import SAY_AGAIN_S, Said


def test_what_lasts_is_said_once_in_a_minute() -> None:
    """A Redis that is away is asked every few seconds, and that is no news; another trouble is."""
    said = Said()
    assert [said.is_news("Redis is away", at_s) for at_s in (5.0, 6.0, 64.9)] == [True, False, False]
    assert said.is_news("the late stream is full", 65.0)
    assert said.is_news("Redis is away", 66.0)
    assert not said.is_news("Redis is away", 66.0 + SAY_AGAIN_S / 2)
    assert said.is_news("Redis is away", 66.0 + SAY_AGAIN_S)
