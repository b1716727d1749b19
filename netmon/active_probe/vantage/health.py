"""Whether this vantage may judge lines at all: "I am cut off" is a state of its own, and no line is down for it.

Pure. Anchors are what it reaches by other ways than the lines that it judges. Without anchors, the lines are each other's: if all of them
fail at once, it is more likely one thing here than many there. Times are of the engine's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from netmon.active_probe.measure.profiles import fall_s
from netmon.active_probe.measure.track import Track
from netmon.active_probe.model import LineState, Reason, VantageState
from netmon.active_probe.settings import ProbedLine

CALM_BEATS: Final = 3
"""So many heartbeats in a row that were late make it isolated, and so many that were not bring it back."""
LAG_MAX_S: Final = 1.0
"""A loop that is later than this has not measured what it should have, whatever its deadlines were extended by."""

RELAPSE_NS: Final = 60_000_000_000
"""Cut off again so soon after it was back, it has to be well for longer before it is live: at first HOLD_MIN_NS, then twice as long ..."""
HOLD_MIN_NS: Final = 5_000_000_000
HOLD_MAX_NS: Final = 60_000_000_000
"""... each time, up to this."""

_RANK: Final[dict[LineState, int]] = {"unknown": 0, "up": 0, "degraded": 1, "down": 2}
"""How much is said against a line."""
_ANSWERS_MAX: Final = 1024
_ANSWERS_APART_NS: Final = 10_000_000
"""Of what lines answered, one in so much time is remembered: 10 s and more."""


def patience_s(lines: Iterable[ProbedLine]) -> float:
    """Seconds after which these lines, if none of them has answered, are silent together. 0 without lines."""
    return max((_rest_s(line) + fall_s(line.profile) for line in lines), default=0.0)


def _rest_s(line: ProbedLine) -> float:
    """Longest time between two probes of a line."""
    return max(line.profile.interval_s, line.profile.standby_interval_s if line.standby else 0.0)


class Health:
    """Whether the vantage is live or isolated, and whether a line may be called down from here.

    The engine calls `heard` for each answer of a line (if there are no anchors), `look` after each change of an anchor, and `beat` at each
    heartbeat. When it comes back to live, the engine has to `restart` the tracks of all lines: what they missed by then was our own fault.
    """

    def __init__(self, anchors: Sequence[Track], lines: int, patience_s: float, started_ns: int) -> None:
        """
        Args:
            anchors: Their tracks. Each comes back only after `rise` answers in a row, and so does the vantage.
            lines: How many lines it probes.
            patience_s: Of `patience_s`; it counts where there are no anchors.
            started_ns: Now.
        """
        self.state: VantageState = "live"
        self.reason = ""
        """Of `isolated`: no_anchor, cannot_send, late."""
        self.since_ns = started_ns
        self._was_isolated = False
        self._hold_ns = 0
        """How long it has to be well before it is live again."""
        self._well_ns = started_ns
        """Since when it is well, while it is still isolated; 0: it is not."""
        self._anchors = anchors
        self._lines = lines
        self._patience_ns = round(patience_s * 1e9)
        self._heard_ns = started_ns
        self._answers: deque[int] = deque(maxlen=_ANSWERS_MAX)
        self._late = 0
        """Heartbeats in a row that were late ..."""
        self._calm = CALM_BEATS
        """... or not."""
        self._heard_beats = CALM_BEATS
        """Heartbeats in a row by which a line had answered within patience."""

    # --- What happens. ---

    def heard(self, sent_ns: int) -> None:
        """A line answered a probe that was sent then."""
        if sent_ns > self._heard_ns:
            self._heard_ns = sent_ns
            if not self._answers or sent_ns - self._answers[-1] >= _ANSWERS_APART_NS:
                self._answers.append(sent_ns)

    def look(self, now_ns: int) -> bool:
        """Look at the anchors; True: `state` or `reason` changed."""
        reason = self._why_isolated()
        if reason:
            return self._be_isolated(reason, now_ns)
        if self.state == "live":
            return False
        self._well_ns = self._well_ns or now_ns
        if now_ns - self._well_ns < self._hold_ns:
            return False
        self.state, self.reason, self.since_ns = "live", "", now_ns
        return True

    def _be_isolated(self, reason: str, now_ns: int) -> bool:
        """Something is wrong here; True: it was not, or something else was."""
        self._well_ns = 0
        if (self.state, self.reason) == ("isolated", reason):
            return False
        if self.state == "live":
            is_relapse = self._was_isolated and now_ns - self.since_ns < RELAPSE_NS
            self._hold_ns = min(max(2 * self._hold_ns, HOLD_MIN_NS), HOLD_MAX_NS) if is_relapse else 0
            self._was_isolated, self.since_ns = True, now_ns
        self.state, self.reason = "isolated", reason
        return True

    def beat(self, lag_s: float, now_ns: int) -> bool:
        """A heartbeat; True: `state` or `reason` changed.

        Args:
            lag_s: The largest delay of the event loop since the last one.
            now_ns: Now.
        """
        late = lag_s >= LAG_MAX_S
        self._late = self._late + 1 if late else 0
        self._calm = 0 if late else self._calm + 1
        self._heard_beats = self._heard_beats + 1 if now_ns - self._heard_ns <= self._patience_ns else 0
        return self.look(now_ns)

    # --- What it means. ---

    def may_blame(self, first_miss_ns: int, now_ns: int, last_miss_ns: int = 0, fell_ns: int = 0) -> bool:
        """Whether misses are the line's fault: meanwhile something else was reached from here, and it still is.

        An answer to a probe that was sent before the row proves nothing, and neither does one to a probe that was sent after it: our own
        uplink may have been away in between. It may be away again by now, so there has to be one since the line fell, too. While this is
        False, the vote is held; ask again when an anchor has answered or fallen.

        Args:
            first_miss_ns: When the first missed probe was sent; 0: no row, it is said for the line's loss.
            now_ns: Now.
            last_miss_ns: When the last of them was sent; 0: now.
            fell_ns: When the one was sent that was one too many.
        """
        if self.state == "isolated" or self._late:
            return False
        if not self._anchors and self._lines < 2:
            return True
        until_ns = last_miss_ns or now_ns
        if self._anchors:
            meanwhile = any(anchor.answered_between(first_miss_ns, until_ns) for anchor in self._anchors)
            return meanwhile and any(anchor.answered_ns >= fell_ns for anchor in self._anchors)
        meanwhile = next((sent_ns > first_miss_ns for sent_ns in reversed(self._answers) if sent_ns <= until_ns), False)
        return meanwhile and self._heard_ns >= fell_ns

    def say(
        self, state: LineState, reason: Reason, targets: Iterable[Track], said: LineState, now_ns: int
    ) -> tuple[LineState, Reason] | None:
        """What may be said of a line whose targets vote so; None: what was said stands for now, ask again.

        Args:
            state: Of `netmon.active_probe.measure.line.vote_of`.
            reason: Of the same.
            targets: The tracks of the line's targets.
            said: State of the vote that was said last.
            now_ns: Now.
        """
        if self.state == "isolated":
            return "unknown", "isolated"
        if _RANK[state] <= _RANK[said] or reason == "round_trip":
            return state, reason
        missing = [target for target in targets if target.state == state and target.reason != "round_trip"]
        return (state, reason) if all(self._may_blame(target, now_ns) for target in missing) else None

    def _may_blame(self, target: Track, now_ns: int) -> bool:
        """Whether what one target misses is the line's fault. One that fell but answers again by now has not been shown to be down while it was."""
        if target.reason == "loss":
            return self.may_blame(0, now_ns, fell_ns=target.fell_ns)
        # Its first probe may have been on its way back already when our own uplink went, and one that was sent later may have been faster.
        since_ns = target.first_miss_ns + target.trip_ns
        return target.misses > 0 and self.may_blame(since_ns, now_ns, target.last_miss_ns, target.fell_ns)

    # --- Why. ---

    def _why_isolated(self) -> str:
        """Reason, or nothing."""
        if self._late >= CALM_BEATS or (self.reason == "late" and self._calm < CALM_BEATS):
            return "late"
        if self._anchors:
            return self._why_no_anchor()
        return self._why_no_line()

    def _why_no_anchor(self) -> str:
        """Not one anchor answers. At the start, nothing is known yet, and nothing can be said down."""
        if any(anchor.state in ("up", "degraded") or anchor.reason == "no_data" for anchor in self._anchors):
            return ""
        return "cannot_send" if all(anchor.state == "unknown" for anchor in self._anchors) else "no_anchor"

    def _why_no_line(self) -> str:
        """Without anchors: not one of several lines answers any more."""
        if self._lines < 2:
            return ""
        enough = CALM_BEATS if self.state == "isolated" else 1
        return "" if self._heard_beats >= enough else "no_anchor"
