"""What the controller believes: lines while those who judge them live, ports while they are trusted, gateways that speak."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netmon.active_probe.model import LineState, LineStatus, VantageHealth, Vote
from netmon.alarms.model import Trust
from netmon.buffer.alarm_reader import Batch
from netmon.failover.controller.intake import FENCE_STEP_MAX, Intake
from netmon.failover.controller.report import Counts
from netmon.failover.model import Group, LineFacts, LineSight
from netmon.failover.plan.model import Reported, ReportedGroup
from netmon.failover.region.coordinator import Coordinator
from netmon.failover.settings import ControllerSettings, GatewaySettings
from netmon.model import RedisSettings

S = 1_000_000_000
NOW = 1_795_000_000 * S
GROUP = Group(
    id="gw/life", gateway_id="gw", class_id="life", area_id="a", priority=0, working="fibre", protections=("radio",)
)


def intake(**settings: Any) -> Intake:
    """It begins at NOW, at second 100 of the monotonic clock, as leader 5."""
    told = ControllerSettings(
        redis=RedisSettings(url="redis://x"),
        directory="x",
        lines=tuple(LineFacts(line_id=line_id, area_ids=("a",)) for line_id in ("fibre", "radio")),
        groups=(GROUP,),
        gateways=(GatewaySettings(gateway_id="gw", actuator="agent"),),
        **{"gateway_silent_s": 30.0, **settings},
    )
    coordinator = Coordinator(told.lines, told.groups, started_unix_ns=NOW)
    return Intake(coordinator, told, Counts(), mono_ns=100 * S, fence=5)


def sight(of: Intake, line_id: str = "radio") -> LineSight:
    """How a line is for the group."""
    lines = of.coordinator.explain(GROUP.id, NOW).lines
    return next(each.sight for each in lines if each.line_id == line_id)


def status(line_id: str, state: LineState, **fields: Any) -> bytes:
    """A verdict of one vantage, ten seconds old."""
    vote = Vote(
        line_id=line_id, vantage_id="v1", state=state, since_unix_ns=NOW - 10 * S, unix_ns=NOW - 10 * S, **fields
    )
    made = LineStatus(
        line_id=line_id, state=state, since_unix_ns=NOW - 10 * S, unix_ns=NOW - 10 * S, votes=(vote,), vantages_live=1
    )
    return msgspec.json.encode(made)


def lines(of: Intake, *bodies: bytes) -> None:
    """They stand in the hash."""
    of.lines(Batch("lines", "", "", [(b"1-1", [b"status", body]) for body in bodies]), NOW)


def pulse(of: Intake, at_s: float, judged_s: float | None, beat: int) -> None:
    """A look at second `at_s` after NOW: when the judge looked, and the vantage's beat."""
    now = NOW + int(at_s * S)
    health = VantageHealth(
        vantage_id="v1", state="live", beat=beat, started_unix_ns=1, unix_ns=NOW - 60 * S, heartbeat_s=1.0
    )
    judged = b"" if judged_s is None else str(NOW + int(judged_s * S)).encode()
    entries = [(b"", [b"health", msgspec.json.encode(health)]), (b"", [b"judged", judged])]
    of.pulse(Batch("pulse", "", "", entries), now, 100 * S + int(at_s * S))


def good_s(of: Intake) -> float:
    """When the radio was last shown to be good, in seconds after NOW."""
    return (sight(of).good_unix_ns - NOW) / S


def test_a_line_that_stays_up_is_known_to_be_up() -> None:
    """As long as its vantage beats and the judge looks, by our own clock."""
    heard = intake()
    lines(heard, status("radio", "up"))
    assert sight(heard).good_unix_ns == 0  # nobody has been seen to live
    pulse(heard, 0, -1, beat=1)
    pulse(heard, 1, 0, beat=2)
    assert good_s(heard) == 1.0
    pulse(heard, 2, 1, beat=2)  # the vantage is silent
    assert good_s(heard) == 1.0
    pulse(heard, 3, 1, beat=3)  # the judge is
    assert good_s(heard) == 2.0
    pulse(heard, 4, 2, beat=4)
    assert good_s(heard) == 4.0


def test_the_first_probe_that_is_missing_ends_the_proof() -> None:
    """A standby line is asked every half minute: two misses, and it is still said to be up."""
    heard = intake()
    lines(heard, status("radio", "up", first_miss_unix_ns=NOW - 40 * S))
    pulse(heard, 0, -1, beat=1)
    pulse(heard, 1, 0, beat=2)
    assert good_s(heard) == -40.0


def test_what_a_dead_judge_has_said_is_not_believed_for_long() -> None:
    """After half a minute nobody knows anything."""
    heard = intake()
    lines(heard, status("radio", "up"), status("fibre", "down"))
    pulse(heard, 0, -1, beat=1)
    for second in range(1, 30):
        pulse(heard, second, -1, beat=1 + second)
    assert (sight(heard).state, sight(heard, "fibre").state) == ("up", "down")
    pulse(heard, 31, -1, beat=40)
    assert (sight(heard).state, sight(heard, "fibre").state) == ("unknown", "unknown")
    pulse(heard, 32, 31, beat=41)
    assert (sight(heard).state, sight(heard, "fibre").state) == ("up", "down")


def test_how_long_it_took_to_find_out() -> None:
    """From the first probe that was missing to the verdict."""
    heard = intake()
    lines(heard, status("fibre", "down", first_miss_unix_ns=NOW - 12 * S), status("radio", "up"))
    found = heard.failed("fibre")
    assert found is not None
    assert (found.since_unix_ns, found.detect_s) == (NOW - 10 * S, 2.0)
    assert (heard.failed("radio"), heard.failed("moon")) == (None, None)


# --- Ports. ---


def port(of: Intake, name: str, trust: Trust, *, up: bool = False, line: str = "fibre", kind: str = "raised") -> None:
    """A port at the end of a line is down, or up."""
    alarm = {"id": name, "event_unix_ns": NOW, "trust": trust, "is_cleared": up, "place": {"line": line}}
    body = msgspec.json.encode({"kind": kind, "alarm": alarm})
    of.alarms(Batch("alarms", "", "", [(b"1-1", [b"change", body])]))


@pytest.mark.parametrize(
    ("least", "trust", "expected"),
    [
        (None, "v3_auth_priv", "unknown"),
        ("v3_auth", "other", "unknown"),
        ("v3_auth", "allow_listed", "unknown"),
        ("v3_auth", "v3_auth", "down"),
        ("v3_auth", "v3_auth_priv", "down"),
        ("other", "other", "down"),
    ],
)
def test_only_whom_the_settings_trust(least: Trust | None, trust: Trust, expected: str) -> None:
    """A port that is down makes its line down only by such a word."""
    heard = intake(trap_trust=least)
    port(heard, "p1", trust)
    assert sight(heard, "fibre").state == expected


def test_a_line_has_failed_while_any_of_its_ports_has() -> None:
    """Until the last one is up again, or is purged, or only strangers still say so."""
    for end in ({"up": True}, {"kind": "purged"}, {"trust": "other"}):
        heard = intake(trap_trust="v3_auth")
        port(heard, "p1", "v3_auth")
        port(heard, "p2", "v3_auth_priv")
        port(heard, "p1", "v3_auth", up=True)
        assert sight(heard, "fibre").state == "down"
        port(heard, "p2", **{"trust": "v3_auth", **end})  # type: ignore[arg-type]
        assert sight(heard, "fibre").state == "unknown"


def test_ports_of_no_line_of_ours_are_nothing() -> None:
    """Nor are alarms that are none."""
    heard = intake(trap_trust="other")
    port(heard, "p1", "v3_auth", line="moon")
    port(heard, "p1", "v3_auth", line="")
    heard.alarms(Batch("alarms", "", "", [(b"1-1", [b"change", b"{"]), (b"1-2", [b"posture", b"[]"])]))
    assert sight(heard, "fibre").state == "unknown"


# --- Gateways. ---


def reported(beat: int, started_s: int = 0, **fields: Any) -> Reported:
    """What the gateway tells."""
    values = {"unix_ns": NOW, "lines": (LineSight(line_id="radio", state="up", good_unix_ns=NOW - S),), **fields}
    return Reported(gateway_id="gw", beat=beat, started_unix_ns=started_s * S + 1, **values)


def test_a_gateway_that_is_silent_for_too_long_is_not_waited_for() -> None:
    """And is heard again as soon as it speaks."""
    heard = intake()
    heard.gateway(reported(1), NOW, 110 * S)
    heard.tend(140 * S)
    assert (heard.silent, sight(heard).state) == (set(), "up")
    heard.tend(140 * S + 1)
    assert (heard.silent, sight(heard).state) == ({"gw"}, "unknown")
    heard.gateway(reported(1), NOW, 141 * S)  # a copy is no sign of life
    assert heard.silent == {"gw"}
    heard.gateway(reported(2), NOW, 142 * S)
    assert (heard.silent, sight(heard).state) == (set(), "up")


def test_its_last_will_is_believed_at_once() -> None:
    """It is gone from the broker."""
    heard = intake()
    heard.gateway(reported(1), NOW, 101 * S)
    heard.gateway(reported(1, stopped=True), NOW, 102 * S)
    assert (heard.silent, sight(heard).state) == ({"gw"}, "unknown")


def test_a_gateway_whose_clock_is_not_set_is_heard() -> None:
    """It has started in 1970, after it had started in 2026. What it told before that is old."""
    heard = intake()
    heard.gateway(reported(7, started_s=1_000), NOW, 101 * S)
    heard.gateway(reported(1, started_s=3), NOW, 102 * S)
    assert heard.gateways["gw"].beat == 1
    heard.gateway(reported(8, started_s=1_000), NOW, 103 * S)
    assert heard.gateways["gw"].beat == 1


def test_what_redis_has_of_a_gateway_tells_where_its_groups_are_not_how_its_lines_are() -> None:
    """That may be long ago. The broker tells it again, if it is still so."""
    heard = intake()
    dead = (LineSight(line_id="radio", state="down", since_unix_ns=NOW - 60 * S),)
    away = (ReportedGroup(group_id="gw/life", on="fibre"),)
    old = reported(7, lines=dead, groups=away)
    heard.remember(old, NOW)
    assert sight(heard).state == "unknown"
    assert heard.reported("gw", "gw/life") == away[0]
    heard.gateway(old, NOW, 101 * S)
    assert sight(heard).state == "down"
    heard.gateway(old, NOW, 102 * S)
    assert heard.gateways["gw"].beat == 7


def test_times_of_a_gateway_are_put_right_by_ours() -> None:
    """An hour behind: of what comes while we listen, it is known. What the broker has kept may be an hour old indeed."""
    heard = intake()
    behind = {
        "unix_ns": NOW - 3_600 * S,
        "lines": (LineSight(line_id="radio", state="up", good_unix_ns=NOW - 3_601 * S),),
    }
    heard.gateway(reported(1, **behind), NOW, 101 * S)
    assert good_s(heard) == -3_601.0
    heard.gateway(reported(2, **behind), NOW, 101 * S)
    assert good_s(heard) == -1.0


def test_what_was_kept_of_a_gateway_whose_clock_is_ahead_does_not_hide_what_is_proven() -> None:
    """Of two hours ahead nobody knows how old it is; the verdict's word is fresh. Once it speaks, its clock is known."""
    heard = intake()
    ahead = {
        "unix_ns": NOW + 7_200 * S,
        "lines": (LineSight(line_id="radio", state="up", good_unix_ns=NOW + 7_199 * S),),
    }
    heard.coordinator.see_line(LineSight(line_id="radio", state="up", good_unix_ns=NOW - 2 * S))
    heard.gateway(reported(1, **ahead), NOW, 101 * S)
    assert good_s(heard) == -2.0
    heard.gateway(reported(2, **ahead), NOW, 101 * S)
    assert good_s(heard) == -1.0


def test_a_greater_number_is_heard_unless_nobody_can_have_meant_it() -> None:
    """In the report, or in what it tells of an order."""
    heard = intake()
    heard.gateway(reported(1, fence=7), NOW, 101 * S)
    assert heard.fence_heard == 7
    heard.gateway(reported(2, groups=(ReportedGroup(group_id="gw/life", on="fibre", fence=9),)), NOW, 101 * S)
    assert heard.fence_heard == 9
    heard.gateway(reported(3, fence=9 + FENCE_STEP_MAX + 1), NOW, 101 * S)
    assert heard.fence_heard == 9
