"""The disaster: the same by its seed, consistent in itself, and judged by the parts of the alarm service that do no I/O."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from loadtest.earthquake import notices
from loadtest.earthquake import story as earthquake
from loadtest.earthquake.notices import Notice, datagram
from loadtest.earthquake.story import Story
from loadtest.earthquake.verdict import judge
from netmon.alarms.lifecycle.book import Book
from netmon.alarms.model import Evidence, Observation
from netmon.alarms.posture.forecast import Forecaster
from netmon.alarms.rules import ruleset
from netmon.alarms.rules.matcher import Matcher
from netmon.alarms.settings import Flood, Lifecycle
from netmon.inventory import schema
from netmon.inventory.model import Inventory
from netmon.inventory.topology import Topology
from netmon.model import Limits, TrapEvent
from netmon.snmp import decode_notification

REPOSITORY = Path(__file__).resolve().parents[3]
SEEDS = range(1, 9)
START_UNIX_NS = 1_795_000_000_000_000_000
DURATION_NS = 60_000_000_000


@cache
def sample() -> Inventory:
    """The region that ships with netmon."""
    return schema.read(REPOSITORY / "config" / "region.example.yml")


@cache
def matcher() -> Matcher:
    """The rules that ship with netmon, in the sample region."""
    rules = ruleset.load([REPOSITORY / "netmon" / "alarms" / "rules" / "standard.yml"]).rules
    return Matcher(rules, Topology(sample()))


def event_of(notice: Notice, unix_ns: int) -> TrapEvent:
    """A notification that a relay has passed on."""
    found = decode_notification(datagram(notice), Limits())
    return TrapEvent(
        seq=1,
        received_unix_ns=unix_ns,
        event_unix_ns=unix_ns,
        event_time_from="received",
        source=found.trap_address or "",
        peer="127.0.0.1",
        peer_port=162,
        local="127.0.0.1",
        version=found.version,
        pdu=found.pdu,
        trust="other",
        trap_oid=found.trap_oid,
        uptime_centis=found.uptime_centis,
        varbinds=found.varbinds,
        digest=found.digest,
    )


def observed(event: TrapEvent) -> tuple[Observation, ...]:
    """What the rules make of it."""
    return matcher().match(event, Evidence("netmon:{test:0}:traps", "1-1")).observations


def played(story: Story) -> Book:
    """The book after a disaster, step by step."""
    book, forecaster = Book(Lifecycle(), Flood(), Topology(sample())), Forecaster(Topology(sample()))
    for step in story.steps:
        now_unix_ns = START_UNIX_NS + int(step.at * DURATION_NS)
        event = event_of(story.notices[step.notice], now_unix_ns)
        forecaster.hear(event)
        for observation in (*observed(event), *forecaster.step(now_unix_ns)):
            book.observe(observation, now_unix_ns)
        book.tick(now_unix_ns)
    book.tick(START_UNIX_NS + DURATION_NS)
    book.take()
    return book


def expected_postures(story: Story) -> dict[str, str]:
    """Disaster where it must be."""
    return {area: "disaster" if must else "suspected" for area, must in story.disaster.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_alarms_of_the_disaster_are_those_that_it_implies(seed: int) -> None:
    """Rules, lifecycle and causes agree with who broke what."""
    story = earthquake.tell(sample(), seed)
    verdict = judge(story, played(story).alarms.values(), expected_postures(story))
    assert verdict.differences == []


@pytest.mark.parametrize("seed", SEEDS)
def test_each_notification_says_what_the_story_thinks_it_says(seed: int) -> None:
    """Key and severity of every alarm, by the rules that ship with netmon."""
    for notice in earthquake.tell(sample(), seed).notices:
        found = {(each.key, None if each.cleared else each.severity) for each in observed(event_of(notice, 1))}
        assert found == {(said.key, said.severity) for said in notice.says}


def test_a_seed_always_tells_the_same_story() -> None:
    """And another one another."""
    assert earthquake.tell(sample(), 7) == earthquake.tell(sample(), 7)
    assert earthquake.tell(sample(), 7).damage != earthquake.tell(sample(), 8).damage


@pytest.mark.parametrize("seed", SEEDS)
def test_a_story_has_everything_that_happens_in_a_disaster(seed: int) -> None:
    """A cut, a feeder, silence, something that flaps, something that recovers, and an area that is spared."""
    story = earthquake.tell(sample(), seed)
    damage = story.damage
    assert damage.ducts
    assert damage.feeders
    assert damage.silent <= damage.dark
    assert sum(alarm.flapping for alarm in story.alarms) == 1
    assert any(alarm.is_cleared for alarm in story.alarms)
    assert any(story.disaster.values())
    assert not all(story.disaster.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_speaks_after_falling_silent(seed: int) -> None:
    """Neither for the first time nor in the expectation."""
    story = earthquake.tell(sample(), seed)
    silent_from = {device: at for at, device in story.silences}
    late = [step for step in story.steps if step.at >= silent_from.get(story.notices[step.notice].device_id, 1.0)]
    assert late == []


@pytest.mark.parametrize("seed", SEEDS)
def test_the_expectation_is_what_was_said_last(seed: int) -> None:
    """Of each alarm that devices speak of, and that does not flap."""
    story = earthquake.tell(sample(), seed)
    last = {said.key: said for step in story.steps for said in story.notices[step.notice].says}
    expected = {alarm.key: alarm for alarm in story.alarms}
    for key, said in last.items():
        if key in expected and not expected[key].flapping:
            assert (key, expected[key].is_cleared) == (key, said.severity is None)


@pytest.mark.parametrize("seed", SEEDS)
def test_causes_explain_and_are_not_explained(seed: int) -> None:
    """A cause is the topmost one, active, and in the expectation itself."""
    story = earthquake.tell(sample(), seed)
    active = {alarm.key: alarm for alarm in story.alarms if not alarm.is_cleared}
    causes = {alarm.cause for alarm in story.alarms if alarm.cause is not None}
    assert [cause for cause in causes if active[cause].cause is not None] == []
    assert sum(story.causes.values()) == sum(alarm.cause is not None for alarm in story.alarms)


def test_a_region_in_which_nothing_fails_together_is_refused() -> None:
    """With what it would take."""
    with pytest.raises(ValueError, match="it takes a power feeder"):
        earthquake.tell(Inventory(areas=sample().areas, sites=sample().sites), 1)


def test_a_datagram_ends_with_its_number() -> None:
    """Where the sender writes it."""
    device = sample().devices[0]
    body = datagram(notices.link(device, 1, up=False))
    decoded = decode_notification(body[:-8] + (5 << 40 | 3).to_bytes(8, "big"), Limits())
    assert decoded.varbinds[-1].value == 5 << 40 | 3
    assert decoded.trap_address == device.addresses[0]
