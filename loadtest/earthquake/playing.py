"""Plays a disaster against a running netmon: which region, which pace, and what the command line shows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from loadtest.earthquake import notices, script
from loadtest.earthquake.region import as_yaml, scaled
from loadtest.earthquake.script_ring import BATCH_MAX, ScriptPlan
from loadtest.earthquake.state import Outcome
from loadtest.earthquake.story import DURATION_MAX_S, Story, tell
from loadtest.figures.subject import ROOT
from loadtest.profile import Profile, Shape, area, for_count
from loadtest.storm import StormPlan
from loadtest.target import Target
from loadtest.templates import Version
from netmon import config as configuration
from netmon.alarms.model import Key
from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.model import Inventory

COUNT: Final = 1_000_000
DURATION_S: Final = 120.0
"""At the peak, eight times as many as on average: 68,000 a second."""
SHOWN_MAX: Final = 50
"""Differences that are shown; JSON has all."""
SAMPLE: Final = ROOT / "config" / "sample.yml"
"""What `make run` runs with, and an earthquake strikes when nothing else is said."""


class Asked(NamedTuple):
    """What the command line says of a disaster."""

    shape: Shape
    version: Version
    config: Path | None
    data_dir: Path | None
    region: Path | None
    devices: int | None
    seed: int
    verify: bool


class Scene(NamedTuple):
    """What is played."""

    config: Path | None
    """Of the netmon under test."""
    story: Story | None
    """None: a storm without one."""


def scene_of(asked: Asked) -> Scene:
    """The disaster that was asked for; none where netmon has no region, or for another kind of storm.

    Raises:
        ConfigError: Something is missing, or wrong.
    """
    wants_story = asked.region is not None or asked.devices is not None or asked.verify
    if asked.shape != "earthquake" or asked.version != "v2c":
        if wants_story:
            about = "--region, --devices and --verify are about a disaster"
            raise ConfigError([f"{about}; expected --profile earthquake, and no other --version than v2c"])
        return Scene(asked.config, None)
    file = asked.config or (None if asked.data_dir is not None else _sample())
    config = None if file is None else configuration.load(file)
    known = None if config is None or config.region.file is None else schema.read(config.region.file)
    inventory = _region(asked, known)
    if inventory is None:
        if wants_story:
            raise ConfigError(
                ["--verify: netmon has no region; expected --config FILE that names one, or --region FILE"]
            )
        return Scene(file, None)
    if config is not None and inventory != known:
        other = f"netmon's region is another one ({config.region.file or 'none'}): set region.file in {file} to"
        raise ConfigError([f"{other} {_region_file(asked).absolute()}, send netmon a SIGHUP, and play again"])
    return Scene(file, story_of(inventory, asked.seed))


def _sample() -> Path | None:
    """The configuration of `make run`, if netmon has run with it."""
    return SAMPLE if SAMPLE.is_file() and configuration.load(SAMPLE).data_dir.is_dir() else None


def _region(asked: Asked, known: Inventory | None) -> Inventory | None:
    if asked.devices is None:
        return known if asked.region is None else schema.read(asked.region)
    inventory = scaled(known or schema.read(ROOT / "config" / "region.example.yml"), asked.devices)
    file = _region_file(asked)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_yaml(inventory))
    return inventory


def _region_file(asked: Asked) -> Path:
    """Where the region is, or is put."""
    return asked.region or Path("bench-results") / f"region-{asked.devices}.yml"


def course(rate: float | None, duration_s: float | None, count: int | None) -> Profile:
    """The storm that was asked for, in the shape of an earthquake: by two of the three, or fewer.

    Raises:
        ConfigError: All three, or it takes too long.
    """
    if rate is not None and duration_s is not None and count is not None:
        raise ConfigError(["--rate, --duration and --count: expected at most two of them, the third follows"])
    if rate is not None and duration_s is None:
        profile = for_count("earthquake", rate, count or COUNT)
    else:
        seconds = duration_s or DURATION_S
        peak = (count or COUNT) / (seconds * area("earthquake", 1.0))
        profile = Profile(shape="earthquake", rate=rate or peak, duration_s=seconds)
    if profile.duration_s > DURATION_MAX_S:
        long = (
            f"the storm would take {profile.duration_s:,.0f} s; expected at most {DURATION_MAX_S:,.0f}, since a port "
        )
        raise ConfigError(
            [f"{long}that flaps must not have settled at the end: more --rate, or less --count or --duration"]
        )
    return profile


def story_plan(story: Story, profile: Profile, *, target: Target, run: int, community: str = "public") -> StormPlan:
    """The storm that tells a story.

    Raises:
        ConfigError: The storm is too small for it.
    """
    try:
        order = script.order(story, profile)
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    datagrams = tuple(notices.datagram(notice, community) for notice in story.notices)
    ring = ScriptPlan(target=target, run=run, datagrams=datagrams, order=order)
    return StormPlan(ring=ring, profile=profile, batch_max=BATCH_MAX)


def story_of(inventory: Inventory, seed: int) -> Story:
    """The disaster of a seed.

    Raises:
        ConfigError: The region has not enough that can break.
    """
    try:
        return tell(inventory, seed)
    except ValueError as error:
        raise ConfigError([f"--profile earthquake: {error}"]) from None


def story_rows(story: Story) -> list[list[str]]:
    """What is told, as rows of name and value."""
    causes = {key: count for key, count in story.causes.items() if count}
    active = sum(not alarm.is_cleared for alarm in story.alarms)
    return [
        ["seed", f"{story.seed}"],
        ["different notifications", f"{len(story.notices):,}"],
        ["alarms that must come of it", f"{len(story.alarms):,}, {active:,} of them active"],
        ["true causes", f"{len(causes):,}, of {sum(causes.values()):,} alarms"],
        *([_name(key), f"{count:,} alarms"] for key, count in sorted(causes.items())),
        ["areas in disaster", ", ".join(area for area, must in story.disaster.items() if must)],
    ]


def outcome_rows(outcome: Outcome) -> list[list[str]]:
    """What came of it, as rows of name and value."""
    verdict = outcome.verdict
    return [
        ["alarm worker done after", f"{outcome.done_s:.1f} s"],
        ["all as it must be after", f"{outcome.settled_s:.1f} s more" if not verdict.differences else "-"],
        ["alarms in the list", f"{verdict.alarms:,}, {verdict.active:,} of them active"],
        ["causes", f"{verdict.causes:,}, of {verdict.explained:,} alarms; {verdict.alone:,} alarms stand alone"],
        ["areas in disaster", ", ".join(verdict.disaster)],
        ["verdict", "; ".join(outcome.faults) or "every alarm, cause and posture is as it must be"],
    ]


def difference_rows(outcome: Outcome) -> list[list[str]]:
    """What is not as it must be, at most `SHOWN_MAX` rows."""
    return [[each.what, each.expected, each.found] for each in outcome.verdict.differences[:SHOWN_MAX]]


def _name(key: Key) -> str:
    return f"  {key.resource}, {key.alarm_type}"
