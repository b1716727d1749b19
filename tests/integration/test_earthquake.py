"""A disaster played against a whole netmon: from datagrams to the alarms, causes and postures that it implies."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from loadtest import lanes
from loadtest.earthquake import playing
from loadtest.earthquake.state import Outcome, await_verdict
from loadtest.earthquake.story import Story
from loadtest.storm import new_run, run_storm
from loadtest.target import Target
from netmon.inventory import schema
from tests.integration.harness import REPOSITORY, Netmon

COUNT = 20_000
SECONDS = 4.0
TIMEOUT_S = 60.0
REGION = REPOSITORY / "config" / "region.example.yml"
SETTINGS: dict[str, Any] = {
    "region": {"file": str(REGION)},
    "probe": {"enabled": False},  # nobody answers at addresses for documents
    "receiver": {"trusted_relays": ["127.0.0.0/8"]},
    "alarms": {"enabled": True, "lease_s": 1},
    "posture": {"confirm_s": 1},
}


def story_of(seed: int) -> Story:
    """A disaster in the sample region."""
    return playing.story_of(schema.read(REGION), seed)


def play(netmon: Netmon, story: Story) -> None:
    """Sends it."""
    target = Target("127.0.0.1", netmon.port)
    plan = playing.story_plan(story, playing.course(None, SECONDS, COUNT), target=target, run=new_run())
    assert run_storm(plan).count == COUNT


def judged(netmon: Netmon, story: Story) -> Outcome:
    """What came of it, once everything is stored."""
    deployment = lanes.from_config(netmon.config_file)
    drain = lanes.await_drained(deployment, netmon.port, lanes.Totals(), sent=COUNT, timeout_s=TIMEOUT_S)
    assert drain.done
    return await_verdict(deployment, story, timeout_s=TIMEOUT_S)


def test_a_small_earthquake_ends_with_the_alarms_that_it_implies(tmp_path: Path) -> None:
    """Over the sample region, with the rules that ship with netmon, through capture, decode, Redis and the alarm worker."""
    story = story_of(5)
    with Netmon(tmp_path, SETTINGS) as netmon:
        play(netmon, story)
        outcome = judged(netmon, story)

    assert outcome.verdict.differences == []
    assert outcome.faults == []
    assert outcome.verdict.causes == sum(count > 0 for count in story.causes.values())


def test_the_alarms_are_the_same_however_their_notifications_arrive(tmp_path: Path) -> None:
    """Decode falls behind: what is new goes first, what babbles comes last. The alarm worker is killed over it, too."""
    story, shedding = story_of(6), {"backlog_max": 1_000, "source_rate_max": 5.0, "source_burst_max": 20}
    with Netmon(tmp_path, {**SETTINGS, "shedding": shedding}) as netmon:
        with netmon.stopped("decode"):
            play(netmon, story)
        netmon.signal(signal.SIGKILL, "alarms", None)
        outcome = judged(netmon, story)
        ledger = netmon.ledger()

    assert ledger.express > 0
    assert ledger.late["shed"] > 0
    assert outcome.verdict.differences == []
