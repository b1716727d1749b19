"""What a vantage says about a line, from what its targets show.

Pure. A line with several targets is as good as the best of them: a target that fails alone has failed itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from netmon.active_probe.model import LineState, Reason

_BEST_FIRST: Final[tuple[LineState, ...]] = ("up", "degraded", "down", "unknown")
"""unknown last: who cannot tell does not keep the others from telling."""
_TELLING_FIRST: Final[tuple[Reason, ...]] = (
    "no_answer", "bad_answer", "loss", "round_trip", "wrong_interface", "cannot_send", "isolated", "no_data",
)  # fmt: skip


class Stated(Protocol):
    """A target's reading, or its track: whatever says a state."""

    @property
    def state(self) -> LineState:
        """See `TargetReading`."""

    @property
    def reason(self) -> Reason:
        """The same."""


class Shown(Protocol):
    """One target: a track, or a reading of it."""

    @property
    def state(self) -> LineState:
        """What it shows."""

    @property
    def reason(self) -> Reason:
        """Why."""


def vote_of(targets: Iterable[Shown]) -> tuple[LineState, Reason]:
    """State and reason of a line at this vantage; `down` only if all targets that can tell say so. Without targets: no data."""
    shown = [(target.state, target.reason) for target in targets]
    return min(shown, key=_rank) if shown else ("unknown", "no_data")


def _rank(shown: tuple[LineState, Reason]) -> tuple[int, int]:
    """The best state first, and of several reasons for it the one that tells most."""
    state, reason = shown
    return _BEST_FIRST.index(state), _TELLING_FIRST.index(reason) if reason in _TELLING_FIRST else len(_TELLING_FIRST)
