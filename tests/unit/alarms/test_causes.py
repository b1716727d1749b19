"""Which alarms come of which others: a duct that is cut, a site without power, and what has nothing to do with either."""

from __future__ import annotations

import pytest

from netmon.alarms.lifecycle.causes import HOLD_OFF_S
from netmon.alarms.model import Key
from tests.unit.alarms.samples import (
    NOON,
    SECOND,
    SIRENS,
    book,
    causes,
    fault,
    give,
    kinds,
    observe,
    of,
    port,
    power,
    say,
    tick,
)

DUCT = "risk-group/duct"
PORT_LINE = "line/to-port"
BGP = {"event_type": "communicationsAlarm"}


def sirens(site: str, at_s: float) -> list:  # type: ignore[type-arg]
    """Something is wrong with every siren at a site."""
    return [fault(f"siren-{site}-{n}", "no-answer", at_s) for n in range(SIRENS)]


# --- What is derived. ---


def test_a_line_is_down_while_one_of_its_ends_is() -> None:
    """From the first that says so until the last has taken it back."""
    alarms = book()
    observe(alarms, port("core", 1, 0), port("r-port", 1, 1))
    alarms.take()
    line = of(alarms, PORT_LINE, "line-down")

    assert (line.is_active, line.root, line.severity, line.raised_unix_ns) == (True, True, "major", NOON)
    assert (line.evidence.key, line.text.en, line.text.ja) == (
        "", "Line to-port is down", "回線「to-port線」が断線しています",
    )  # fmt: skip
    observe(alarms, port("core", 1, 100, cleared=True))
    alarms.take()
    assert of(alarms, PORT_LINE, "line-down").is_active is True
    observe(alarms, port("r-port", 1, 101, cleared=True))
    alarms.take()
    assert of(alarms, PORT_LINE, "line-down").is_cleared is True


def test_a_port_without_a_line_is_no_line() -> None:
    """It is its own cause."""
    alarms = book()
    observe(alarms, say(0))
    alarms.take()

    assert causes(alarms) == {"device/core/interface/9": None}


def test_an_end_that_is_told_late_still_makes_the_line_down() -> None:
    """The other end was down and up again meanwhile; the line must not stay cleared because that is newer."""
    alarms = book()
    observe(alarms, port("core", 1, 10), port("core", 1, 20, cleared=True))
    observe(alarms, port("r-port", 1, 15), at_s=21)
    alarms.take()

    assert of(alarms, PORT_LINE, "line-down").is_active is True
    observe(alarms, port("r-port", 1, 18, cleared=True), at_s=22)
    alarms.take()
    assert of(alarms, PORT_LINE, "line-down").is_cleared is True


def test_a_line_of_which_everything_is_told_too_late_has_been_down() -> None:
    """The end's clear came first, then its raise: the line is in the list as cleared, and nobody was told that it is down."""
    alarms = book()
    observe(alarms, port("core", 1, 20, cleared=True), port("core", 1, 10), at_s=21)
    taken = alarms.take()
    line = of(alarms, PORT_LINE, "line-down")

    assert kinds(taken) == ["cleared", "cleared"]
    assert (line.is_cleared, line.raised_unix_ns, line.cleared_unix_ns) == (
        True, NOON + 10 * SECOND, NOON + 20 * SECOND,
    )  # fmt: skip


def test_a_shared_risk_has_failed_when_all_that_depends_on_it_has() -> None:
    """And not when one line is whole again."""
    alarms = book()
    observe(alarms, port("core", 1, 0))
    alarms.take()
    assert all(alarm.alarm_type != "shared-risk-failure" for alarm in alarms.alarms.values())

    observe(alarms, port("core", 2, 30))
    alarms.take()
    duct = of(alarms, DUCT, "shared-risk-failure")
    assert (duct.is_active, duct.severity, duct.place.area, duct.text.en) == (
        True, "critical", "hama", "All 2 that depend on duct under the highway have failed",
    )  # fmt: skip

    observe(alarms, port("core", 2, 300, cleared=True))
    alarms.take()
    assert of(alarms, DUCT, "shared-risk-failure").is_cleared is True


def test_a_power_feeder_has_failed_when_its_sites_have() -> None:
    """Only sites that can tell of their power count."""
    alarms = book()
    observe(alarms, power("port", 0), power("hill", 5))
    alarms.take()

    assert causes(alarms) == {
        "site/port": "risk-group/feeder",
        "site/hill": "risk-group/feeder",
        "risk-group/feeder": None,
    }
    assert of(alarms, "risk-group/feeder", "shared-risk-failure").event_type == "environmentalAlarm"


def test_failures_far_apart_share_nothing() -> None:
    """One line had been down for half an hour."""
    alarms = book(cause_window_s=600)
    observe(alarms, port("core", 1, 0), port("core", 2, 1_800))
    alarms.take()

    assert causes(alarms)["line/to-hill"] is None


def test_a_risk_with_one_member_is_no_cause() -> None:
    """Nothing could be told from it that the line does not tell."""
    alarms = book()
    observe(alarms, port("core", 2, 0))
    alarms.take()

    assert causes(alarms) == {"device/core/interface/2": "line/to-hill", "line/to-hill": None}


# --- Scenarios. ---


def test_a_duct_that_is_cut_is_one_cause() -> None:
    """It takes two lines and all behind them; in whatever order that is heard, and with an alarm that has nothing to do with it."""
    alarms = book()
    observe(
        alarms,
        *sirens("port", 1),
        fault("core", "bgp-down", 2, **BGP),
        port("core", 1, 3),
        fault("core", "fan", 4),
        *sirens("hill", 5),
        port("r-hill", 1, 6),
        port("core", 2, 7),
        port("r-port", 1, 8),
        fault("r-hill", "ospf-down", 9, **BGP),
    )
    tick(alarms, 10)
    found = causes(alarms)
    counters = alarms.counters

    assert {resource for resource, cause in found.items() if cause is None} == {DUCT, "device/core"}
    assert of(alarms, "device/core", "fan").cause is None
    assert of(alarms, "device/core", "bgp-down").cause == of(alarms, DUCT, "shared-risk-failure").id
    assert of(alarms, DUCT, "shared-risk-failure").caused == 14
    assert (counters.roots, counters.explained, counters.causes) == (2, 14, 1)


def test_a_site_on_battery_explains_equipment_and_a_depleted_one_everything() -> None:
    """Also the line that ends there, and the port at its other end."""
    alarms = book()
    observe(
        alarms, fault("siren-port-0", "no-answer", 0), fault("r-port", "fan", 1, event_type="qualityOfServiceAlarm")
    )
    observe(alarms, power("port", 2))
    alarms.take()
    assert causes(alarms) == {"device/siren-port-0": "site/port", "device/r-port": None, "site/port": None}

    observe(alarms, power("port", 4, severity="critical"), port("core", 1, 5))
    alarms.take()
    assert PORT_LINE in causes(alarms)
    assert {resource for resource, cause in causes(alarms).items() if cause is None} == {"site/port"}


def test_a_breach_of_security_is_never_explained() -> None:
    """An open door at a site without power, and a wrong password at a router that is cut off, stay in sight."""
    alarms = book()
    observe(alarms, fault("siren-port-0", "door-open", 0, event_type="physicalViolation"))
    observe(alarms, fault("r-port", "authentication-failure", 1, event_type="securityService"))
    observe(alarms, power("port", 2, severity="critical"), port("core", 1, 3))
    alarms.take()
    found = causes(alarms)
    assert (found["device/siren-port-0"], found["device/r-port"]) == (None, None)
    assert of(alarms, "site/port", "power-failure").caused == 2


def test_a_site_with_two_ways_is_cut_off_by_the_second() -> None:
    """While one of its lines works, what its devices say is their own."""
    alarms = book()
    observe(alarms, port("r-farm", 1, 0), *sirens("farm", 1))
    alarms.take()
    assert causes(alarms)["device/siren-farm-0"] is None

    observe(alarms, port("r-farm", 2, 60))
    alarms.take()
    assert causes(alarms)["device/siren-farm-0"] == "line/sky"
    assert causes(alarms)["device/r-farm/interface/1"] == "line/to-farm"


def test_a_port_is_not_explained_by_another_port() -> None:
    """Though a session over any of them may be."""
    alarms = book()
    observe(alarms, port("core", 1, 0), port("core", 3, 1), say(2), fault("core", "bgp-down", 3, **BGP))
    alarms.take()
    found = causes(alarms)

    assert (found["device/core/interface/9"], found["device/core/interface/3"]) == (None, "line/to-farm")
    assert found["device/core"] == PORT_LINE


def test_what_was_raised_long_before_is_not_explained() -> None:
    """What comes after, at any time while the cause stands, is."""
    alarms = book(cause_window_s=600)
    observe(alarms, fault("siren-port-0", "no-answer", 0), fault("siren-port-1", "no-answer", 100))
    observe(alarms, port("core", 1, 601), fault("siren-port-2", "no-answer", 9_000))
    alarms.take()
    found = causes(alarms)

    assert [found[f"device/siren-port-{n}"] for n in range(3)] == [None, PORT_LINE, PORT_LINE]


def test_what_flaps_is_its_own_cause() -> None:
    """But a port that flaps makes its line flap, and that is one cause."""
    alarms = book()
    flaps = [fault("siren-port-0", "no-answer", at, cleared=bool(at % 2)) for at in range(5)]
    observe(alarms, port("core", 1, 0), *flaps)
    alarms.take()
    assert causes(alarms)["device/siren-port-0"] is None

    observe(alarms, *(port("r-farm", 1, at, cleared=bool(at % 2)) for at in range(10, 15)))
    alarms.take()
    assert causes(alarms)["device/r-farm/interface/1"] == "line/to-farm"
    assert of(alarms, "line/to-farm", "line-down").flapping is True


def test_a_shared_risk_that_left_the_list_fails_anew_at_the_very_moment_it_had_been_well() -> None:
    """The list is full: what is over makes room, site and feeder; that the feeder had been well is no reason to take its raise for a late one."""
    here = book(alarms_max=3)
    said = [
        power("port", 1),
        power("hill", 5),
        power("port", 5, cleared=True),
        fault("r-farm", "no-answer", 5),
        power("port", 5),
    ]
    for observation in said:
        here.observe(observation, NOON + 5 * SECOND)

    here.take()

    assert causes(here)["site/port"] == causes(here)["site/hill"] == "risk-group/feeder"


def test_a_flapping_line_does_not_make_a_shared_risk_fail() -> None:
    """It is not cut. Once it is quiet and down, it counts."""
    alarms = book()
    observe(alarms, *(port("core", 1, at, cleared=bool(at % 2)) for at in range(5)), port("core", 2, 6))
    alarms.take()
    assert causes(alarms)["line/to-hill"] is None

    tick(alarms, 400)
    assert causes(alarms)["line/to-hill"] == causes(alarms)[PORT_LINE] == DUCT


# --- Causes that go. ---


def test_what_a_cause_explained_is_held_for_a_while() -> None:
    """Its own clear may be on the way; then it stands by itself, and everything is told once."""
    alarms = book()
    observe(alarms, port("core", 1, 0), *sirens("port", 1))
    tick(alarms, 2)
    observe(alarms, port("core", 1, 60, cleared=True))

    assert kinds(tick(alarms, 61)) == ["cleared", "cleared"]
    observe(alarms, fault("siren-port-0", "no-answer", 62, cleared=True))
    assert kinds(tick(alarms, 62)) == ["cleared", "cause"]
    assert causes(alarms) == {"device/siren-port-1": PORT_LINE, "device/siren-port-2": PORT_LINE}
    assert kinds(tick(alarms, 60 + HOLD_OFF_S)) == []
    assert kinds(tick(alarms, 62 + HOLD_OFF_S)) == ["cause", "cause", "cause"]
    assert causes(alarms) == {"device/siren-port-1": None, "device/siren-port-2": None}
    assert of(alarms, PORT_LINE, "line-down").caused == 0


def test_a_cause_that_comes_back_in_time_is_the_same() -> None:
    """Nothing is told of what it explains."""
    alarms = book()
    observe(alarms, port("core", 1, 0), *sirens("port", 1))
    tick(alarms, 2)
    observe(alarms, port("core", 1, 60, cleared=True))
    tick(alarms, 61)
    observe(alarms, port("core", 1, 70))

    assert kinds(tick(alarms, 71)) == ["raised", "raised"]
    assert kinds(tick(alarms, 200)) == []


def test_when_one_line_is_repaired_the_other_is_the_cause() -> None:
    """The shared risk is no more; what hangs on the line that is still down moves under it after the hold-off."""
    alarms = book()
    observe(alarms, port("core", 1, 0), port("core", 2, 1), *sirens("hill", 2))
    tick(alarms, 3)
    observe(alarms, port("core", 1, 60, cleared=True))
    tick(alarms, 61)
    assert causes(alarms)["line/to-hill"] == DUCT

    tick(alarms, 62 + HOLD_OFF_S)
    found = causes(alarms)
    assert (found["line/to-hill"], found["device/siren-hill-0"]) == (None, "line/to-hill")


def test_a_closed_cause_explains_nothing() -> None:
    """And a shelved one still does: whoever shelves a line wants to hear nothing of it."""
    alarms = book()
    observe(alarms, port("core", 1, 0), *sirens("port", 1))
    key = Key(PORT_LINE, "line-down")
    give(alarms, "shelve", 2, key=key, until_unix_ns=NOON + 9_000 * SECOND)
    tick(alarms, 100)
    assert causes(alarms)["device/siren-port-0"] == PORT_LINE

    give(alarms, "close", 101, key=key)
    tick(alarms, 102)
    tick(alarms, 103 + HOLD_OFF_S)
    assert causes(alarms)["device/siren-port-0"] is None


def test_a_closed_cause_stays_in_the_list_while_it_is_true() -> None:
    """Else it would be found out again, and what somebody closed would be back the day after."""
    alarms = book(purge_cleared_s=100)
    observe(alarms, port("core", 1, 0))
    give(alarms, "close", 2, key=Key(PORT_LINE, "line-down"))
    tick(alarms, 200)
    observe(alarms, port("r-port", 1, 201))
    tick(alarms, 202)
    assert of(alarms, PORT_LINE, "line-down").operator_state == "none"

    give(alarms, "close", 203, key=Key(PORT_LINE, "line-down"))
    observe(alarms, port("core", 1, 204, cleared=True), port("r-port", 1, 204, cleared=True))
    assert of(alarms, PORT_LINE, "line-down").id in tick(alarms, 400).purged


def test_a_cause_that_leaves_the_list_is_no_cause() -> None:
    """Even before the hold-off is over."""
    alarms = book(alarms_max=4)
    observe(alarms, port("core", 1, 0), fault("siren-port-0", "no-answer", 1))
    tick(alarms, 2)
    observe(alarms, port("core", 1, 60, cleared=True))
    tick(alarms, 61)
    observe(alarms, fault("core", "fan", 62), fault("core", "heat", 63), fault("core", "dust", 64))
    tick(alarms, 65)

    assert causes(alarms)["device/siren-port-0"] is None


@pytest.mark.parametrize("at_once", [True, False])
def test_it_does_not_matter_how_often_is_taken(at_once: bool) -> None:
    """The causes in the end are the same."""
    alarms = book()
    for one in (*sirens("port", 0), port("r-port", 1, 1), port("core", 2, 2), *sirens("hill", 3)):
        observe(alarms, one)
        if not at_once:
            alarms.take()
    alarms.take()

    assert set(causes(alarms).values()) == {None, DUCT}
    assert alarms.counters.roots == 1
