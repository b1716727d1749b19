"""The figure of the alarm service as a whole: a disaster goes in, and exactly what it implies comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from loadtest import lanes
from loadtest.earthquake import playing
from loadtest.earthquake.region import as_yaml, scaled
from loadtest.earthquake.state import await_verdict
from loadtest.earthquake.story import Story
from loadtest.figures.outcome import Outcome
from loadtest.figures.subject import ROOT, USUAL, Netmon
from loadtest.profile import Profile
from loadtest.storm import new_run, run_storm
from loadtest.target import Target
from netmon.inventory.schema import read

_DEVICES: Final = 2_000
_COUNT: Final = 1_000_000
_DURATION_S: Final = 60.0
_TIMEOUT_S: Final = 600.0
_SEED: Final = 1


def earthquake(work_dir: Path, quick: bool) -> Outcome:
    """A whole netmon with its usual settings, for which all devices of a region speak through one relay."""
    devices, count, seconds = (200, 20_000, 5.0) if quick else (_DEVICES, _COUNT, _DURATION_S)
    region = work_dir / f"region-{devices}.yml"
    inventory = scaled(read(ROOT / "config" / "region.example.yml"), devices)
    work_dir.mkdir(parents=True, exist_ok=True)
    region.write_text(as_yaml(inventory))
    netmon = Netmon(
        work_dir,
        stream_bytes_max=USUAL,
        region={"file": str(region)},
        receiver={"trusted_relays": ["127.0.0.0/8"]},
        alarms={"enabled": True},
    )
    with netmon:
        return _play(netmon, playing.story_of(inventory, _SEED), playing.course(None, seconds, count))


def _play(netmon: Netmon, story: Story, course: Profile) -> Outcome:
    before = netmon.totals()
    plan = playing.story_plan(story, course, target=Target("127.0.0.1", netmon.port), run=new_run())
    sent = run_storm(plan)
    drain = lanes.await_drained(netmon.deployment, netmon.port, before, sent=sent.count, timeout_s=_TIMEOUT_S)
    outcome = await_verdict(netmon.deployment, story, timeout_s=_TIMEOUT_S)
    after, verdict = netmon.totals(), outcome.verdict
    dropped, lost = after.kernel_drops - before.kernel_drops, after.lost - before.lost
    drain_s = max(0.0, drain.mono_s - sent.ended_mono_s)
    checks = [
        (not drain.done, "netmon had not stored everything when the waiting time was over"),
        (dropped, f"the kernel dropped {dropped:,} datagrams at the socket"),
        (lost, f"{lost:,} were lost from the journal"),
    ]
    faults = [*(text for wrong, text in checks if wrong), *outcome.faults]
    return Outcome(
        passed=not faults,
        figures={
            "sent": sent.count,
            "sent/s": sent.rate,
            "all stored after s": drain_s,
            "all judged after s": drain_s + outcome.done_s,
            "all as it must be after s": drain_s + outcome.done_s + outcome.settled_s,
            "alarms": verdict.alarms,
            "active": verdict.active,
            "causes": verdict.causes,
            "explained": verdict.explained,
            "alone": verdict.alone,
            "areas in disaster": len(verdict.disaster),
            "differences": len(verdict.differences),
        },
        faults=faults,
        detail={"sent": sent, "outcome": outcome, "cpu_s": netmon.cpu_by_role()},
    )
