"""The figures that are shown of a line: one row out of all that its vantages and their probes measured.

Pure. A line is as good as the best of its targets, so the figures are those of the best one; the votes have all of them.
"""

from __future__ import annotations

import msgspec

from netmon.active_probe.model import LINE_STATES, LineStatus, TargetReading


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured in the last window; None: nothing was."""

    loss: float | None = None
    """Share of what was sent."""
    rtt_p50_s: float | None = None
    rtt_p99_s: float | None = None
    ipdv_s: float | None = None
    vantage_id: str = ""
    """Who measured it."""
    label: str = ""
    """By which of its probes."""


def figures_of(status: LineStatus) -> Figures:
    """Those of the target in the best state, of them the one with the least loss; the same whatever the order of votes."""
    candidates = [
        (LINE_STATES.index(target.state), target.loss, vote.vantage_id, target.label, target)
        for vote in status.votes
        for target in vote.targets
        if target.sent
    ]
    if not candidates:
        return Figures()
    _, loss, vantage_id, label, target = min(candidates, key=lambda candidate: candidate[:4])
    return _figures(target, loss, vantage_id, label)


def _figures(target: TargetReading, loss: float, vantage_id: str, label: str) -> Figures:
    return Figures(
        loss=loss,
        rtt_p50_s=target.rtt_p50_s,
        rtt_p99_s=target.rtt_p99_s,
        ipdv_s=target.ipdv_s,
        vantage_id=vantage_id,
        label=label,
    )
