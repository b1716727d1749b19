"""What a vantage says about a line, from what its targets show.

Pure. A line with several targets is as good as the best of them: a target that fails alone has failed itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from netmon.active_probe.model import LineState, Reason, TargetReading

_BEST_FIRST: Final[tuple[LineState, ...]] = ("up", "degraded", "down", "unknown")
"""unknown last: who cannot tell does not keep the others from telling."""
_TELLING_FIRST: Final[tuple[Reason, ...]] = (
    "no_answer", "bad_answer", "loss", "round_trip", "wrong_interface", "cannot_send", "isolated", "no_data",
)  # fmt: skip


def vote_of(readings: Iterable[TargetReading]) -> tuple[LineState, Reason]:
    """State and reason of a line at this vantage; `down` only if all targets that can tell say so. Without targets: no data."""
    best = min(
        ((_BEST_FIRST.index(reading.state), _rank(reading.reason), reading) for reading in readings),
        key=lambda candidate: candidate[:2],
        default=None,
    )
    return ("unknown", "no_data") if best is None else (best[2].state, best[2].reason)


def _rank(reason: Reason) -> int:
    """Which of several reasons for the same state is told."""
    return _TELLING_FIRST.index(reason) if reason in _TELLING_FIRST else len(_TELLING_FIRST)
