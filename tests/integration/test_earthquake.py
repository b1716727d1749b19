"""A disaster played against a whole netmon: from datagrams to the alarms, causes and postures that it implies."""

from __future__ import annotations

from pathlib import Path

from loadtest import lanes, playing
from loadtest.alarm_state import await_verdict
from loadtest.storm import new_run, run_storm
from loadtest.target import Target
from netmon.inventory import schema
from tests.integration.harness import REPOSITORY, Netmon

COUNT = 20_000
TIMEOUT_S = 60.0


def test_a_small_earthquake_ends_with_the_alarms_that_it_implies(tmp_path: Path) -> None:
    """Over the sample region, with the rules that ship with netmon, through capture, decode, Redis and the alarm worker."""
    region = REPOSITORY / "config" / "region.example.yml"
    overrides = {
        "region": {"file": str(region)},
        "receiver": {"trusted_relays": ["127.0.0.0/8"]},
        "alarms": {"enabled": True},
        "posture": {"confirm_s": 1},
    }
    story = playing.story_of(schema.read(region), seed=5)
    with Netmon(tmp_path, overrides) as netmon:
        deployment = lanes.from_config(netmon.config_file)
        before = lanes.totals(deployment)
        plan = playing.story_plan(
            story, playing.course(None, 4.0, COUNT), target=Target("127.0.0.1", netmon.port), run=new_run()
        )
        sent = run_storm(plan)
        drain = lanes.await_drained(deployment, netmon.port, before, sent=sent.count, timeout_s=TIMEOUT_S)
        outcome = await_verdict(deployment, story, timeout_s=TIMEOUT_S)

    assert (sent.count, drain.done) == (COUNT, True)
    assert outcome.verdict.differences == []
    assert outcome.faults == []
    assert outcome.verdict.causes == sum(count > 0 for count in story.causes.values())
