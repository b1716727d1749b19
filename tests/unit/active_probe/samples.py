"""A line under test: the engine in miniature, which asks a track at its own pace, with a clock of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.track import Track
from netmon.active_probe.model import LineState, Reason, TargetReading, Vote
from netmon.inventory.probes import Profile

SECOND = 1_000_000_000
MILLI = 1_000_000
NOON = 1_767_268_800 * SECOND


class Bad(NamedTuple):
    """An answer that is none: `failed` or a local error, after so long."""

    kind: str
    detail: str
    after_s: float = 0.0


Fate = float | Bad | None
"""Of a probe: its round trip in seconds, something else, or nothing ever."""
Far = Callable[[float], Fate]
"""The far end, asked at a time (seconds): what becomes of the probe."""


class Seen(NamedTuple):
    """The track changed."""

    at_s: float
    state: LineState
    reason: Reason


class Asker:
    """Asks a track as the engine does: at once when it becomes undecided, else after its interval; gives up after its timeout."""

    def __init__(self, profile: Profile = BUILT_IN["fibre"], *, standby: bool = False) -> None:
        self.track = Track("stamp 192.0.2.1:862", profile, 0)
        self.now_s = 0.0
        self.seen: list[Seen] = []
        self.asked = 0
        self.asked_ns = 0
        self._standby = standby
        self._far: Far = well
        self._queue: list[tuple[float, int, str, int, Any]] = [(0.0, 0, "turn", 0, None)]
        self._order = 0
        self._turn = 0
        """The turn that counts; others are out of date."""

    def go_on(self, seconds: float, far: Far) -> list[Seen]:
        """Ask for so long; what changed in the meantime."""
        self._far = far
        end_s = self.now_s + seconds
        known = len(self.seen)
        while self._queue[0][0] <= end_s:
            self.now_s, _, what, seq, fate = heapq.heappop(self._queue)
            undecided = self.track.undecided
            self._happen(what, seq, fate)
            if self.track.undecided and not undecided:
                self._plan_turn(0.0)
        self.now_s = end_s
        return self.seen[known:]

    def ask_at_once(self) -> None:
        """Its turn is now."""
        self._plan_turn(0.0)

    @property
    def now_ns(self) -> int:
        """Of the monotonic clock."""
        return round(self.now_s * SECOND)

    @property
    def reading(self) -> TargetReading:
        """Of the track, now."""
        return self.track.reading(self.now_ns)

    def _happen(self, what: str, seq: int, fate: Any) -> None:
        track, now_ns = self.track, self.now_ns
        was = (track.state, track.reason)
        if what == "turn":
            if seq == self._turn:
                self._ask()
        elif what == "reply":
            track.replied(seq, round(fate * SECOND), now_ns)
        elif what == "lost":
            track.lost(seq, now_ns)
        else:
            (track.failed if what == "failed" else track.local_error)(seq, fate.detail, now_ns)
        track.judge(now_ns)
        if was != (track.state, track.reason):
            self.seen.append(Seen(round(self.now_s, 6), track.state, track.reason))

    def _ask(self) -> None:
        seq, self.asked = self.asked, self.asked + 1
        self.asked_ns = self.now_ns
        self.track.sent(seq, self.now_ns)
        fate = self._far(self.now_s)
        if isinstance(fate, Bad):
            self._plan(fate.after_s, fate.kind, seq, fate)
        else:
            self._plan(self.track.timeout_s(), "lost", seq, None)
            if fate is not None:
                self._plan(fate, "reply", seq, fate)
        self._plan_turn(self.track.interval_s(self._standby))

    def _plan_turn(self, after_s: float) -> None:
        self._turn += 1
        self._plan(after_s, "turn", self._turn, None)

    def _plan(self, after_s: float, what: str, seq: int, fate: Any) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now_s + after_s, self._order, what, seq, fate))


def well(at_s: float) -> Fate:
    """2 ms."""
    return 0.002


def cut(at_s: float) -> Fate:
    """Nothing comes back."""
    return None


def vote(vantage: str, state: LineState, reason: Reason = "", *, first_miss_s: float = 0, **more: Any) -> Vote:
    """What a vantage says at noon; times are seconds after it."""
    first_miss_unix_ns = NOON + round(first_miss_s * SECOND) if first_miss_s else 0
    if state == "down" and not reason:
        reason = "no_answer"
    return Vote(
        line_id="fibre-coast",
        vantage_id=vantage,
        state=state,
        reason=reason,
        since_unix_ns=NOON,
        first_miss_unix_ns=first_miss_unix_ns,
        unix_ns=NOON,
        **more,
    )
