"""What the command line makes of a disaster before it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.earthquake import playing
from loadtest.earthquake.playing import Asked
from loadtest.profile import Profile
from netmon.errors import ConfigError
from netmon.inventory import schema

EXAMPLE = playing.ROOT / "config" / "region.example.yml"


def asked(tmp_path: Path, **changes: object) -> Asked:
    """An earthquake for a netmon with the sample region."""
    config = tmp_path / "netmon.yml"
    config.write_text(f"data_dir: {tmp_path}\nregion: {{file: {EXAMPLE}}}\n")
    return Asked("earthquake", "v2c", config, None, None, None, 1, verify=False)._replace(**changes)


def test_a_disaster_has_a_million_notifications_in_two_minutes() -> None:
    """When nothing else is said."""
    course = playing.course(None, None, None)
    assert (course.total, course.duration_s) == (1_000_000, 120.0)


def test_two_of_rate_duration_and_count_decide() -> None:
    """The third follows; the rate is that of the peak."""
    assert playing.course(None, 10.0, 20_000).total == 20_000
    assert playing.course(1_000.0, 10.0, None) == Profile(shape="earthquake", rate=1_000.0, duration_s=10.0)
    assert playing.course(1_000.0, None, 5_000).total == 5_000


@pytest.mark.parametrize(
    ("asked_for", "told"), [((1.0, 1.0, 1), "at most two"), ((None, 500.0, None), "would take 500 s")]
)
def test_a_course_that_cannot_be_is_refused(
    asked_for: tuple[float | None, float | None, int | None], told: str
) -> None:
    """With what is wrong."""
    with pytest.raises(ConfigError, match=told):
        playing.course(*asked_for)


def test_the_region_is_that_of_the_configuration(tmp_path: Path) -> None:
    """Nothing else has to be said."""
    scene = playing.scene_of(asked(tmp_path))
    assert scene.story is not None
    assert scene.story.seed == 1


def test_without_a_region_a_storm_has_no_story(tmp_path: Path) -> None:
    """As before there were regions."""
    (tmp_path / "plain.yml").write_text(f"data_dir: {tmp_path}\n")
    assert playing.scene_of(asked(tmp_path, config=tmp_path / "plain.yml")).story is None


def test_a_region_that_netmon_does_not_know_is_refused_and_written(tmp_path: Path) -> None:
    """With what to do about it; after that it is played."""
    bigger = tmp_path / "bigger.yml"
    with pytest.raises(ConfigError, match=f"region.file in .* to {bigger}, send netmon a SIGHUP"):
        playing.scene_of(asked(tmp_path, region=bigger, devices=100))
    assert len(schema.read(bigger).devices) == 100
    (tmp_path / "netmon.yml").write_text(f"data_dir: {tmp_path}\nregion: {{file: {bigger}}}\n")
    known = Asked("earthquake", "v2c", tmp_path / "netmon.yml", None, bigger, 100, 1, verify=True)
    assert playing.scene_of(known).story is not None


@pytest.mark.parametrize("other", [{"shape": "step"}, {"version": "inform"}])
def test_a_disaster_is_told_by_one_kind_of_storm(tmp_path: Path, other: dict[str, object]) -> None:
    """Another one has no story, and to ask it for one is a slip that would otherwise go unnoticed."""
    assert playing.scene_of(asked(tmp_path, **other)).story is None
    with pytest.raises(ConfigError, match="expected --profile earthquake"):
        playing.scene_of(asked(tmp_path, verify=True, **other))
