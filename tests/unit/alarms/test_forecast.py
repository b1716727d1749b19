"""Early warning: what is clear is said in time, and what is not clear is not said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.alarms.lifecycle.book import Book
from netmon.alarms.model import Observation, Text
from netmon.alarms.posture.forecast import Forecast, Forecaster
from netmon.alarms.posture.trend import Trend
from netmon.alarms.settings import Flood, Lifecycle
from netmon.inventory.model import Area, Device, Inventory, Site
from netmon.inventory.topology import Topology
from netmon.model import TrapEvent, Varbind

NS = 1_000_000_000
T0 = 1_700_000_000
TOPOLOGY = Topology(
    Inventory(
        areas=(Area(id="minato", name="みなと市", code="992011"),),
        sites=(Site(id="hall", name="庁舎", area_id="minato", longitude=139.5, latitude=35.5),),
        devices=(Device(id="ups-1", name="UPS", site_id="hall", kind="ups", addresses=("192.0.2.9",), is_power=True),),
    )
)
UPS = "1.3.6.1.2.1.33."
ON_BATTERY, ENTRY_REMOVED = f"{UPS}2.1", f"{UPS}2.4"
GIB = 1 << 30


def event(
    second: float, *said: tuple[str, int | str], trap_oid: str = ON_BATTERY, source: str = "192.0.2.9"
) -> TrapEvent:
    """A notification with these varbinds."""
    unix_ns = int((T0 + second) * NS)
    return TrapEvent(
        seq=1,
        received_unix_ns=unix_ns,
        event_unix_ns=unix_ns,
        event_time_from="received",
        source=source,
        peer=source,
        peer_port=162,
        local="127.0.0.1",
        version="v2c",
        pdu="trap",
        trust="other",
        trap_oid=trap_oid,
        uptime_centis=None,
        varbinds=[Varbind(oid, "Integer32", value) for oid, value in said],
        digest="0" * 16,
    )


def on_battery(second: float, minutes: int, charge: int | None = None) -> TrapEvent:
    """upsTrapOnBattery (RFC 1628)."""
    said = [(f"{UPS}1.2.3.0", minutes), (f"{UPS}1.2.2.0", 30)]
    return event(second, *said, *([] if charge is None else [(f"{UPS}1.2.4.0", charge)]))


def at(second: float) -> int:
    """As a time."""
    return int((T0 + second) * NS)


def brief(forecasts: list[Forecast]) -> list[tuple[str, str, int | None]]:
    """What, of what, and when."""
    return [
        (one.what, one.resource, None if one.seconds_left is None else round(one.seconds_left)) for one in forecasts
    ]


def said(observations: list[Observation]) -> list[tuple[str, bool, str]]:
    """Resource, cleared or not, and the text."""
    return [(one.key.resource, one.cleared, one.text.en) for one in observations]


# --- Batteries. ---


def test_a_ups_knows_best_how_long_it_lasts() -> None:
    """And its word grows old: forty seconds later, it is forty seconds less."""
    forecaster = Forecaster(TOPOLOGY)

    forecaster.hear(on_battery(0, 25))
    forecasts = forecaster.forecasts(at(40))

    assert brief(forecasts) == [("ups_battery", "device/ups-1", 1_460)]
    assert forecasts[0].basis == Text("the UPS says 25 minutes", "UPSの報告では残り25分")


def test_a_charge_that_falls_faster_than_the_ups_says_is_believed() -> None:
    """Two percent a minute from 80: forty minutes, and it says two hours."""
    forecaster = Forecaster(TOPOLOGY)

    for minute in range(15):
        forecaster.hear(on_battery(60 * minute, 120, 80 - 2 * minute))

    assert brief(forecaster.forecasts(at(14 * 60))) == [("ups_battery", "device/ups-1", 52 * 30)]


@pytest.mark.parametrize(
    "over",
    [
        event(60, (f"{UPS}1.2.2.0", 0), trap_oid=f"{UPS}2.3"),
        event(60, (f"{UPS}1.6.2.1.1", 7), (f"{UPS}1.6.2.1.2", f"{UPS}1.6.3.2"), trap_oid=ENTRY_REMOVED),
    ],
)
def test_mains_power_ends_it(over: TrapEvent) -> None:
    """No seconds on battery, or the alarm of being on battery has gone."""
    forecaster = Forecaster(TOPOLOGY)
    forecaster.hear(on_battery(0, 25))

    forecaster.hear(over)

    assert forecaster.forecasts(at(61)) == []


def test_silence_ends_it() -> None:
    """A UPS on battery says so each minute: after five without a word nothing is known."""
    forecaster = Forecaster(TOPOLOGY)
    forecaster.hear(on_battery(0, 25))

    assert (brief(forecaster.forecasts(at(299))) != [], forecaster.forecasts(at(301))) == (True, [])


def test_what_was_said_earlier_changes_nothing() -> None:
    """A notification that was late."""
    forecaster = Forecaster(TOPOLOGY)
    forecaster.hear(on_battery(60, 10))
    forecaster.hear(on_battery(0, 25))

    assert brief(forecaster.forecasts(at(60))) == [("ups_battery", "device/ups-1", 600)]


def test_a_ups_on_mains_power_is_not_spoken_of() -> None:
    """A test that was completed names the minutes, too."""
    forecaster = Forecaster(TOPOLOGY)
    forecaster.hear(event(0, (f"{UPS}1.2.3.0", 25), trap_oid=f"{UPS}2.2"))

    assert forecaster.forecasts(at(1)) == []


# --- What is ours. ---


def test_a_disk_that_fills_is_told_when_little_is_left() -> None:
    """One GiB a minute: of a large free disk nothing is said."""
    forecaster = Forecaster(TOPOLOGY)
    told = {}
    for minute in range(60):
        forecaster.disk((62 - minute) * GIB, 100 * GIB, at(60 * minute))
        told[minute] = brief(forecaster.forecasts(at(60 * minute)))

    assert told[30] == []
    assert told[59] == [("journal_disk", "netmon/disk", 180)]


def test_memory_is_told_when_it_is_nearly_used() -> None:
    """And without a limit there is nothing to run out."""
    forecaster = Forecaster(TOPOLOGY)
    endless = Forecaster(TOPOLOGY)
    for step in range(60):
        forecaster.memory(400 + 10 * step, 1_000, at(10 * step))
        endless.memory(400 + 10 * step, 0, at(10 * step))

    assert brief(forecaster.forecasts(at(600))) == [("redis_memory", "netmon/redis", 10)]
    assert endless.forecasts(at(600)) == []


# --- Errors. ---


def errors(second: float, count: int) -> TrapEvent:
    """A notification with ifInErrors of port 3."""
    return event(second, ("1.3.6.1.2.1.2.2.1.14.3", count), trap_oid="1.3.6.1.4.1.9999.1")


def counted(rates: list[float], first: int = 0) -> Forecaster:
    """Ten minutes of each of these errors a second; the counter has 32 bits."""
    forecaster, count = Forecaster(TOPOLOGY), float(first)
    for step, rate in enumerate(rates):
        forecaster.hear(errors(600 * step, round(count) % (1 << 32)))
        count += 600 * rate
    forecaster.hear(errors(600 * len(rates), round(count) % (1 << 32)))
    return forecaster


@pytest.mark.parametrize("first", [0, (1 << 32) - 1_000])
def test_errors_that_become_more_are_told(first: int) -> None:
    """Also when the counter begins again at 0 on the way."""
    forecaster = counted([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8], first)

    (found,) = forecaster.forecasts(at(4_800))

    assert (found.what, found.resource, found.qualifier) == ("errors", "device/ups-1/interface/3", "ifInErrors")
    assert found.basis.en == "ifInErrors: 12.8 a second and rising"


@pytest.mark.parametrize(
    "rates", [[5.0] * 8, [8, 7, 6, 5, 4, 3, 2, 1], [0, 9, 0, 9, 0, 9, 0, 9], [0.001 * i for i in range(8)]]
)
def test_other_errors_are_not(rates: list[float]) -> None:
    """As many as ever, fewer and fewer, now and then, or next to none."""
    assert counted(rates).forecasts(at(4_800)) == []


def test_a_device_that_started_again_counts_anew() -> None:
    """Its counters are small again, which is no fall and no rise."""
    forecaster = counted([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
    forecaster.hear(errors(4_800, 5))

    assert forecaster.forecasts(at(4_800)) == []


# --- Alarms. ---


def test_an_alarm_comes_in_coarse_words_and_goes_when_the_forecast_does() -> None:
    """Told when it is in another span, and a minute after it was last made."""
    forecaster, told = Forecaster(TOPOLOGY), []
    for minute in range(20):
        forecaster.hear(on_battery(60 * minute, 40 - minute))
        told += said(forecaster.step(at(60 * minute)))
    forecaster.hear(event(1_200, (f"{UPS}1.2.2.0", 0)))
    told += said(forecaster.step(at(1_201))) + said(forecaster.step(at(1_300)))

    assert told == [
        ("device/ups-1", False, "The batteries are expected to be empty within an hour"),
        ("device/ups-1", False, "The batteries are expected to be empty within 30 minutes"),
        ("device/ups-1", True, "The batteries are expected to be empty"),
    ]


def test_what_is_far_away_is_no_alarm() -> None:
    """Three hours of batteries."""
    forecaster = Forecaster(TOPOLOGY)
    forecaster.hear(on_battery(0, 180))

    assert (brief(forecaster.forecasts(at(0))), forecaster.step(at(0))) == (
        [("ups_battery", "device/ups-1", 10_800)],
        [],
    )


def test_alarms_of_before_a_restart_end_unless_they_are_made_again() -> None:
    """In the book as in life: raised, forgotten by a restart, cleared a quarter of an hour later."""
    book = Book(Lifecycle(), Flood(), TOPOLOGY)
    first, second = Forecaster(TOPOLOGY), Forecaster(TOPOLOGY)
    first.hear(on_battery(0, 25))
    for observation in first.step(at(0)):
        book.observe(observation, at(0))
    book.take()
    second.load(book.alarms.values(), at(10))

    early, late = second.step(at(800)), second.step(at(920))
    for observation in late:
        book.observe(observation, at(920))
    book.take()

    (alarm,) = book.alarms.values()
    assert (early, [one.cleared for one in late]) == ([], [True])
    assert (alarm.alarm_type, alarm.severity, alarm.is_cleared, alarm.place.site) == (
        "battery-running-out",
        "warning",
        True,
        "hall",
    )


@given(st.lists(st.tuples(st.sampled_from([f"{UPS}1.2.2.0", f"{UPS}1.2.3.0", f"{UPS}1.2.4.0", "1.3.6.1.2.1.2.2.1.14.3",
                                           "1.3.6.1.2.1.2.2.1.14.", "1.3.6.1.2.1.2.2.1.14.99999999999999", f"{UPS}1.2.9"]),
                          st.integers() | st.text(max_size=5)), max_size=8))  # fmt: skip
def test_no_notification_upsets_it(varbinds: list[tuple[str, int | str]]) -> None:
    """Values that no UPS and no counter has."""
    forecaster = Forecaster(TOPOLOGY)
    for second in range(3):
        forecaster.hear(event(second, *varbinds))

    for observation in forecaster.step(at(3)):
        assert observation.severity == "warning"


# --- Trends. ---


def test_a_third_of_wrong_samples_does_not_move_a_trend() -> None:
    """Ten a second, with outliers of any size."""
    noise, trend = random.Random(7), Trend(300)
    for second in range(0, 300, 10):
        wrong = noise.random() < 0.05
        trend.add(second, 10_000 - 10 * second + (noise.uniform(-50_000, 50_000) if wrong else noise.uniform(-20, 20)))

    found = trend.slope()

    assert found is not None
    assert -10.5 < found < -9.5


@given(st.integers(0, 2**32))
def test_noise_is_no_trend(seed: int) -> None:
    """Nobody is told of a future that dice have made."""
    noise, trend = random.Random(seed), Trend(300)
    for second in range(0, 300, 10):
        trend.add(second, noise.uniform(0, 1_000))

    assert trend.slope() is None


def test_too_short_a_time_is_no_trend() -> None:
    """A minute of a window of five."""
    trend = Trend(300)
    for second in range(60):
        trend.add(second, second)

    assert trend.slope() is None
