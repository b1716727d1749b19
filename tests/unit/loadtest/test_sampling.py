"""The arithmetic on samples."""

from __future__ import annotations

import pytest

from loadtest.figures.sampling import Sampler, slope


def test_the_slope_of_a_line_is_its_slope() -> None:
    """Three more for each unit."""
    assert slope([(0.0, 1.0), (1.0, 4.0), (2.0, 7.0)]) == 3.0


def test_no_points_and_one_point_have_no_slope() -> None:
    """Nothing can be said."""
    assert slope([]) == 0.0
    assert slope([(1.0, 5.0), (1.0, 9.0)]) == 0.0


def test_a_sampler_looks_at_least_once() -> None:
    """However short the storm."""
    with Sampler(lambda elapsed_s: elapsed_s >= 0) as sampler:
        pass
    assert [seen for _, seen in sampler.samples] == [True]


def test_an_error_of_the_look_is_raised_at_the_end() -> None:
    """A bench that could not look proves nothing."""

    def look(_: float) -> None:
        raise ValueError("blind")

    with pytest.raises(ValueError, match="blind"), Sampler(look):
        pass
