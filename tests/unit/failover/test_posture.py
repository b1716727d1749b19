"""What a disaster posture changes of a group, and what it leaves."""

from __future__ import annotations

import pytest

from netmon.alarms.posture.model import POSTURES, Posture
from netmon.failover.model import Timers
from netmon.failover.protection.posture import EFFECTS, effective
from tests.unit.failover.samples import group


@pytest.mark.parametrize(
    ("posture", "group_id", "hold_off_s", "wtr_s"),
    [
        ("normal", "gw/life", 2.0, 300.0),
        ("suspected", "gw/life", 2.0, 300.0),
        ("disaster", "gw/life", 0.0, 720.0),
        ("disaster", "gw/control", 0.0, 720.0),
        ("disaster", "gw/telemetry", 2.0, 720.0),
        ("recovering", "gw/life", 2.0, 720.0),
    ],
)
def test_timers_in_each_posture(posture: Posture, group_id: str, hold_off_s: float, wtr_s: float) -> None:
    """In a disaster P0 and P1 leave at once, and everybody returns late."""
    of = group(group_id, timers=Timers(hold_off_s=2.0, guard_s=0.7))

    assert effective(of, posture).timers == Timers(hold_off_s=hold_off_s, wtr_s=wtr_s, guard_s=0.7)


def test_a_longer_wait_of_the_operator_stays() -> None:
    """The posture makes no wait to restore shorter."""
    of = group("gw/telemetry", timers=Timers(wtr_s=3600.0))

    assert effective(of, "disaster") is of


def test_every_posture_has_its_effects() -> None:
    """No posture is forgotten, and only what is quiet allows exercises."""
    assert {posture: EFFECTS[posture].exercises for posture in POSTURES} == {
        "normal": True,
        "suspected": False,
        "disaster": False,
        "recovering": False,
    }
