"""Profiles: every medium has one, and each keeps the time that it promises."""

from __future__ import annotations

import pytest

from netmon.active_probe.measure.profiles import BUILT_IN, fall_s, profile_of
from netmon.active_probe.measure.table import SAMPLES_MIN
from netmon.inventory.model import MEDIA, Inventory, Line, Medium
from netmon.inventory.probes import Profile
from tests.unit.active_probe.samples import Asker, cut

OWN = Profile(interval_s=3, timeout_s=1, confirm_interval_s=1, confirm_timeout_s=1, standby_interval_s=60)


def line(medium: Medium, profile: str = "") -> Line:
    """A line of this medium."""
    return Line(
        id="line",
        name="line",
        medium=medium,
        carrier_id="carrier",
        endpoint_site_ids=("site",),
        capacity_bps=1,
        profile=profile,
    )


@pytest.mark.parametrize("medium", MEDIA)
def test_every_medium_has_a_profile(medium: Medium) -> None:
    """A line that names none is probed by its medium's."""
    assert profile_of(line(medium), Inventory()) is BUILT_IN[medium]


def test_a_line_may_name_another_profile() -> None:
    """A built-in one, or the operator's own."""
    inventory = Inventory(profiles={"own": OWN})

    assert [profile_of(line("fibre", name), inventory) for name in ("fast", "own")] == [BUILT_IN["fast"], OWN]


def test_the_operators_own_goes_before_a_built_in_one() -> None:
    """Also for the name of a medium."""
    assert profile_of(line("geo"), Inventory(profiles={"geo": OWN})) == OWN


def test_a_profile_that_does_not_exist() -> None:
    """The check of the region tells it; here, it is our own fault."""
    with pytest.raises(KeyError, match="slow"):
        profile_of(line("geo", "slow"), Inventory())


def test_how_long_a_wired_line_takes_to_fall() -> None:
    """Half a second until the first miss is known, and twice 0.2 s to confirm it."""
    assert fall_s(BUILT_IN["fibre"]) == pytest.approx(0.9)


def test_one_miss_may_be_enough() -> None:
    """Nothing is confirmed then."""
    assert fall_s(Profile(**{**_fields(OWN), "fall": 1})) == 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_cut_is_found_in_time_whenever_it_happens(name: str) -> None:
    """From the cut to `down`: at most an interval, and the time to fall, which for a wired line is within 2 s, and for a fast one 0.22 s."""
    profile = BUILT_IN[name]
    took = []
    for tenth in range(10):
        asker = Asker(profile)
        asker.go_on(30 + profile.interval_s * tenth / 10, lambda at_s: 0.01)
        cut_s = asker.now_s
        fell = asker.go_on(60, cut)
        took.append(fell[0].at_s - cut_s)
        assert [(seen.state, seen.reason) for seen in fell] == [("down", "no_answer")]

    assert max(took) <= profile.interval_s + fall_s(profile) + 1e-6
    assert max(took) <= {"fibre": 2.0, "copper": 2.0, "fast": 0.22}.get(name, 20.0)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_window_holds_enough_to_judge_by(name: str) -> None:
    """Also that of a satellite."""
    assert BUILT_IN[name].window_s / BUILT_IN[name].interval_s >= SAMPLES_MIN


@pytest.mark.parametrize("name", BUILT_IN)
def test_thresholds_that_clear_are_lower(name: str) -> None:
    """Or they would flap."""
    profile = BUILT_IN[name]

    assert profile.loss_degraded_clear < profile.loss_degraded <= profile.loss_down_clear < profile.loss_down
    assert profile.rtt_factor_clear < profile.rtt_factor


def _fields(profile: Profile) -> dict[str, float]:
    return {name: getattr(profile, name) for name in profile.__struct_fields__}
