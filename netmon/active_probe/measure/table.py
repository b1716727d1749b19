"""The state of a line as one target shows it: a table of phases and inputs, and the grades that its window gets.

Pure. Two things call a line down: `fall` misses in a row (a cut), and a window that lost too much (a brownout). Each is left by a rule of
its own, and every threshold that raises has a lower one that clears, so that chance does not flap.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netmon.active_probe.model import LineState, Reason
from netmon.inventory.probes import Profile

Phase = Literal["new", "up", "lossy", "slow", "fallen", "failing", "mute", "astray"]
PHASES: Final[tuple[Phase, ...]] = ("new", "up", "lossy", "slow", "fallen", "failing", "mute", "astray")

Input = Literal[
    "answered",  # a reply, not yet `rise` in a row
    "risen",  # `rise` replies in a row
    "fell",  # `fall` misses in a row
    "silent",  # not one reply in the whole window
    "cannot_send",  # `fall` local errors in a row
    "wrong_interface",  # the same, for answers that came in by another interface
    "well",  # the window: nothing to be said against it
    "lossy",  # loss calls for `degraded`
    "slow",  # round trips do
    "failing",  # loss calls for `down`
]
INPUTS: Final[tuple[Input, ...]] = (
    "answered", "risen", "fell", "silent", "cannot_send", "wrong_interface", "well", "lossy", "slow", "failing",
)  # fmt: skip

MEANING: Final[dict[Phase, tuple[LineState, Reason]]] = {
    "new": ("unknown", "no_data"),
    "up": ("up", ""),
    "lossy": ("degraded", "loss"),
    "slow": ("degraded", "round_trip"),
    "fallen": ("down", "no_answer"),
    "failing": ("down", "loss"),
    "mute": ("unknown", "cannot_send"),
    "astray": ("unknown", "wrong_interface"),
}
"""What a phase is called outside. `fallen` is `bad_answer` if the newest miss was a bad answer."""

_ROWS: Final[dict[Phase, str]] = {
    #           answered risen    fell     silent   cannot_send wrong_if. well     lossy    slow     failing
    "new":     "up       up       fallen   new      mute        astray    new      new      new      new",
    "up":      "up       up       fallen   up       mute        astray    up       lossy    slow     failing",
    "lossy":   "lossy    lossy    fallen   lossy    mute        astray    up       lossy    slow     failing",
    "slow":    "slow     slow     fallen   slow     mute        astray    up       lossy    slow     failing",
    # Back from a cut, the window still shows it: degraded, until that has passed.
    "fallen":  "fallen   lossy    fallen   fallen   mute        astray    fallen   fallen   fallen   fallen",
    # A brownout has rows of misses, too, and rows of replies: only its window ends it. If nothing arrives any more, it is a cut.
    "failing": "failing  failing  failing  fallen   mute        astray    up       lossy    slow     failing",
    # What was known before is old; `rise` replies, as after a failure.
    "mute":    "mute     up       fallen   mute     mute        astray    mute     mute     mute     mute",
    "astray":  "astray   up       fallen   astray   mute        astray    astray   astray   astray   astray",
}  # fmt: skip

TABLE: Final[dict[tuple[Phase, Input], Phase]] = {
    (phase, given): after  # type: ignore[misc]
    for phase, row in _ROWS.items()
    for given, after in zip(INPUTS, row.split(), strict=True)
}

SAMPLES_MIN: Final = 20
"""Decided probes that a window must hold before it raises anything: of fewer, a single loss is more than 5 %."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What the window shows, as far as a grade depends on it."""

    sent: int
    """Decided probes in the window."""
    loss: float
    """Their share that got lost."""
    recent_sent: int
    """Of these, the ones since it last came back from a cut."""
    recent_loss: float
    answers_in_row: int
    rtt_p50_s: float | None = None
    """Median round trip; None: too few."""
    baseline_s: float | None = None
    """What it was when all was well; None: not known yet."""


def grade(quality: Quality, phase: Phase, profile: Profile) -> Input | None:
    """Which input the window gives to a line in this phase; None: it shows too little to say anything.

    Thresholds raise what they exceed. What is raised clears at its lower threshold, which needs no number of samples: a line that is
    seldom probed has to come back as well.
    """
    if not quality.sent:
        return None
    if _is_failing(quality, phase, profile):
        return "failing"
    if _is_lossy(quality, phase, profile):
        return "lossy"
    if _is_slow(quality, phase, profile):
        return "slow"
    if phase in ("lossy", "slow", "failing") or quality.sent >= SAMPLES_MIN:
        return "well"
    return None


def _is_failing(quality: Quality, phase: Phase, profile: Profile) -> bool:
    """Loss calls for `down`. A cut that is over does not: it has been told."""
    recent_loss = quality.recent_loss if quality.recent_sent >= SAMPLES_MIN else 0.0
    if phase == "failing":
        # What raised it has to pass, too, even if the window still shows how good it was before.
        return max(quality.loss, recent_loss) > profile.loss_down_clear or quality.answers_in_row < profile.rise
    return recent_loss > profile.loss_down


def _is_lossy(quality: Quality, phase: Phase, profile: Profile) -> bool:
    """Loss calls for `degraded`."""
    if phase in ("lossy", "failing"):
        return quality.loss > profile.loss_degraded_clear
    return quality.sent >= SAMPLES_MIN and quality.loss > profile.loss_degraded


def _is_slow(quality: Quality, phase: Phase, profile: Profile) -> bool:
    """Round trips call for `degraded`: beside what they were, or by any measure."""
    if quality.rtt_p50_s is None:
        return phase == "slow"
    factor = profile.rtt_factor_clear if phase == "slow" else profile.rtt_factor
    if profile.rtt_cap_s and quality.rtt_p50_s > profile.rtt_cap_s * factor / profile.rtt_factor:
        return True
    if quality.baseline_s is None:
        return False
    return quality.rtt_p50_s > max(factor * quality.baseline_s, profile.rtt_floor_s)
