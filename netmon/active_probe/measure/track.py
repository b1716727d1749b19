"""One probe of one line at this vantage: its window, its state, and how fast and how patiently it is to be asked next.

Pure. Times are nanoseconds of one monotonic clock that the engine chooses. `sent` and `replied` are called for every packet; whatever
takes time is done in `judge`, at most once a second, and in `reading`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

import msgspec

from netmon.active_probe.measure.table import MEANING, SAMPLES_MIN, TABLE, Input, Phase, Quality, grade
from netmon.active_probe.measure.window import (
    AGAIN,
    FAILED,
    IN_TIME,
    LOCAL_ERROR,
    LOST,
    TIMEOUT_MAX_S,
    UNASKED,
    Window,
    percentile,
    slots_for,
)
from netmon.active_probe.model import LineState, Reason, TargetReading
from netmon.inventory.probes import Profile

ROUND_TRIP_BUCKETS_S: Final = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
)  # fmt: skip
"""Upper bounds, inclusive, of the histogram of round trips; above the last there is +Inf."""
WRONG_INTERFACE: Final = "wrong_interface"
"""Local errors whose detail begins with it are answers that came in by another interface than they have to."""

DETAIL_MAX: Final = 200
"""Characters of a detail that are kept."""
TIMEOUT_FACTOR: Final = 3
"""A probe is waited for this many times as long as nearly all round trips take."""

_BOUNDS_NS: Final = tuple(round(bound * 1e9) for bound in ROUND_TRIP_BUCKETS_S)
_JUDGE_NS: Final = 1_000_000_000
_ROUND_TRIPS_NS: Final = 5_000_000_000
"""How often round trips are sorted: a window's median does not move faster."""
_BASELINE_SHARE_UP: Final = 1 / 720
"""The baseline follows a longer median within an hour or so (720 times 5 s) ..."""
_BASELINE_SHARE_DOWN: Final = 1 / 12
"""... and a shorter one within a minute: a line does not get faster than it is."""


class Histogram(msgspec.Struct, frozen=True, gc=False):
    """Round trips since the start, for Prometheus."""

    counts: tuple[int, ...]
    """Cumulative, one for each of ROUND_TRIP_BUCKETS_S, and the last for +Inf: all of them."""
    sum_s: float


class Track:
    """What one target says about one line. Whatever returns a bool returns whether `state`, `reason` or `undecided` changed."""

    __slots__ = (
        "_answers", "_back_seq", "_baseline_ns", "_buckets", "_detail", "_detail_ns", "_errors", "_judge_ns", "_median_ns",
        "_missed_ns", "_newest_failed", "_patience_ns", "_phase", "_profile", "_round_trips_ns", "_row_seq", "_sum_ns", "_window", "fell_ns", "first_miss_ns",
        "label", "last_miss_ns", "misses", "reason", "since_ns", "state", "unasked", "undecided",
    )  # fmt: skip

    def __init__(self, label: str, profile: Profile, started_ns: int) -> None:
        self.label = label
        self.state: LineState = "unknown"
        self.reason: Reason = "no_data"
        self.since_ns = started_ns
        """When it came to this state."""
        self.misses = 0
        """In a row, up to the newest probe that was decided."""
        self.first_miss_ns = 0
        """When the first of them was sent; 0: none."""
        self.last_miss_ns = 0
        """When the last of them was sent; 0: none."""
        self.fell_ns = 0
        """When the newest miss had been sent, of when it last fell, or lost too many."""
        self.undecided = False
        """From the first miss until it has answered or fallen: ask fast."""
        self.unasked = 0
        """Answers to what was never asked, or too long ago."""
        self._profile = profile
        self._window = Window(slots_for(profile), round(profile.window_s * 1e9))
        self._phase: Phase = "new"
        self._answers = 0
        """In a row, since the last miss."""
        self._errors = 0
        """Local errors in a row."""
        self._row_seq = 0
        """The present row of misses, or the last one, began here."""
        self._back_seq = -1
        """Probes after this one are those since it came back from a cut."""
        self._missed_ns = 0
        """When the newest probe that was a miss had been sent, in a row or not."""
        self._newest_failed = False
        self._detail = ""
        self._detail_ns = 0
        self._judge_ns = started_ns
        self._round_trips_ns = started_ns
        self._median_ns: int | None = None
        self._patience_ns = 0
        self._baseline_ns: float | None = None
        self._buckets = array("Q", bytes(8 * (len(_BOUNDS_NS) + 1)))
        self._sum_ns = 0

    # --- What happens. ---

    def sent(self, seq: int, now_ns: int) -> None:
        """A probe goes out. Sequence numbers grow; they may have gaps."""
        self._window.send(seq, now_ns)

    def replied(self, seq: int, rtt_ns: int, now_ns: int, forward_seq: int | None = None) -> bool:
        """It was answered, perhaps late, again, or without having been asked.

        Args:
            seq: Of the probe.
            rtt_ns: Round trip.
            now_ns: When this is said.
            forward_seq: The far end's own number of this answer, if it numbers them (RFC 8762 section 4.3, stateful).
        """
        was = self._window.answer(seq, rtt_ns, forward_seq)
        if was >= AGAIN:
            self.unasked += was == UNASKED
            return False
        self._buckets[bisect_left(_BOUNDS_NS, rtt_ns)] += 1
        self._sum_ns += rtt_ns
        self._errors = 0
        if was == IN_TIME:
            self._answers += 1
            if not self.misses and self._phase in _STEADY:
                return False
        else:
            # Its round trip has to lengthen the patience soon.
            self._round_trips_ns = now_ns
        return self._answered(seq, now_ns)

    def lost(self, seq: int, now_ns: int) -> bool:
        """It was not answered in time."""
        return self._missed(seq, LOST, "", now_ns)

    def failed(self, seq: int, detail: str, now_ns: int) -> bool:
        """It was answered, but not well: a miss. `detail` says how, such as `HTTP 503`."""
        return self._missed(seq, FAILED, detail, now_ns)

    def local_error(self, seq: int, detail: str, now_ns: int) -> bool:
        """It could not leave, which says nothing about the line; or its answer came in by another interface (WRONG_INTERFACE)."""
        if not self._window.give_up(seq, LOCAL_ERROR):
            return False
        self._note(detail, now_ns)
        self._errors += 1
        self._answers = 0
        if self._errors < self._profile.fall:
            return False
        # What it missed before is old by the time it can be asked again, and until then there is nothing to confirm.
        self.misses = self.first_miss_ns = self.last_miss_ns = 0
        return self._step("wrong_interface" if detail.startswith(WRONG_INTERFACE) else "cannot_send", now_ns)

    def judge(self, now_ns: int) -> bool:
        """Look at the window, at most once a second: loss, and round trips beside their baseline."""
        if now_ns < self._judge_ns:
            return False
        return self._judge(now_ns)

    def restart(self, now_ns: int) -> bool:
        """Forget what was measured, but not how long round trips are: the vantage was cut off itself, and is back."""
        self._window.clear()
        self.misses = self.first_miss_ns = self.last_miss_ns = self._answers = self._errors = 0
        self._back_seq = self._window.newest
        return self._enter("new", now_ns)

    # --- How to ask. ---

    def timeout_s(self) -> float:
        """How long to wait for the probe that goes out now."""
        least_s = self._profile.confirm_timeout_s if self.undecided else self._profile.timeout_s
        return max(least_s, min(self._patience_ns / 1e9, TIMEOUT_MAX_S))

    def interval_s(self, standby: bool) -> float:
        """From one probe to the next. The first after `undecided` became true goes out at once.

        Args:
            standby: Whether the line has no traffic and is paid for: while it is up, it is asked sparingly.
        """
        if self.undecided:
            return self._profile.confirm_interval_s
        return self._profile.standby_interval_s if standby and self.state == "up" else self._profile.interval_s

    # --- What to tell. ---

    @property
    def trip_ns(self) -> int:
        """How long nearly all round trips take; 0: not known yet."""
        return self._patience_ns // TIMEOUT_FACTOR

    def sent_ns(self, seq: int) -> int:
        """When a probe went out; 0: it never did, or so long ago that its answer is none any more."""
        return self._window.sent_ns(seq) if self._window.remembers(seq) else 0

    @property
    def answered_ns(self) -> int:
        """When the newest probe that was answered had been sent; 0: none yet."""
        return self._window.answered_ns

    def answered_between(self, after_ns: int, until_ns: int) -> bool:
        """Whether a probe of the window was answered that was sent after the one time, and not after the other."""
        return self._window.answered_between(after_ns, until_ns)

    @property
    def histogram(self) -> Histogram:
        """Round trips since the start."""
        total = 0
        counts = tuple(total := total + count for count in self._buckets)
        return Histogram(counts, self._sum_ns / 1e9)

    def reading(self, now_ns: int) -> TargetReading:
        """The window as it is now."""
        window = self._window
        window.expire(now_ns)
        tally = window.tally()
        trips = window.round_trips_ns()
        variation_ns = window.variation_ns()
        there, back = window.directions() or (None, None)
        return TargetReading(
            label=self.label,
            state=self.state,
            reason=self.reason,
            detail=self._detail if now_ns - self._detail_ns <= self._profile.window_s * 1e9 else "",
            sent=tally.sent,
            lost=tally.lost,
            misses=self.misses,
            local_errors=window.local_errors,
            rtt_p50_s=percentile(trips, 0.5) / 1e9 if trips else None,
            rtt_p99_s=percentile(trips, 0.99) / 1e9 if trips else None,
            baseline_s=None if self._baseline_ns is None else self._baseline_ns / 1e9,
            ipdv_s=None if variation_ns is None else variation_ns / 1e9,
            lost_forward=there,
            lost_backward=back,
            reordered=window.reordered,
            duplicates=window.duplicates,
        )

    # --- The row of misses. ---

    def _answered(self, seq: int, now_ns: int) -> bool:
        """An answer ends the row of misses, or, if later probes are missing, what of it came before."""
        if self.misses:
            self.misses, self.first_miss_ns, self.last_miss_ns = self._window.row()
        if self._answers == 1 and self._phase in _AWAY:
            self._back_seq = self._back_after(seq)
        if self._answers < self._profile.rise:
            return self._step("answered", now_ns)
        was = self._outward()
        self._step("risen", now_ns)
        if self._phase not in _AWAY:
            self._judge(now_ns)
        return was != self._outward()

    def _back_after(self, seq: int) -> int:
        """After which probe the line counts as back, with this answer: the row of misses has been told.

        Unless probes got lost one by one before it as well: then the row was chance, and belongs to a brownout that is not over.
        """
        if self._phase == "fallen":
            since = max(self._row_seq - SAMPLES_MIN - 1, self._back_seq)
            if self._window.tally_between(since, self._row_seq).loss > self._profile.loss_down_clear:
                return since
        return seq - 1

    def _missed(self, seq: int, status: int, detail: str, now_ns: int) -> bool:
        """A miss; it counts in the row only if nothing that was sent after it has been answered."""
        if not self._window.give_up(seq, status):
            return False
        self._note(detail, now_ns)
        self._newest_failed = status == FAILED
        self._errors = self._answers = 0
        sent_ns = self._window.sent_ns(seq)
        self._missed_ns = max(self._missed_ns, sent_ns)
        if seq < self._window.answered:
            return False
        if not self.misses:
            self._row_seq = self._window.answered + 1
        self.misses += 1
        self.first_miss_ns = min(self.first_miss_ns or sent_ns, sent_ns)
        self.last_miss_ns = max(self.last_miss_ns, sent_ns)
        if self.misses >= self._profile.fall:
            return self._step("fell", now_ns)
        return self._settle(now_ns, self._phase, self._outward())

    def _note(self, detail: str, now_ns: int) -> None:
        """Keep what the newest probe that was no reply said."""
        self._detail, self._detail_ns = detail[:DETAIL_MAX], now_ns

    # --- The state. ---

    def _outward(self) -> tuple[LineState, Reason, bool]:
        """What is seen from outside."""
        return self.state, self.reason, self.undecided

    def _step(self, given: Input, now_ns: int) -> bool:
        """One step of the table."""
        return self._enter(TABLE[self._phase, given], now_ns)

    def _enter(self, phase: Phase, now_ns: int) -> bool:
        """Come to a phase, or stay in it."""
        return self._settle(now_ns, phase, self._outward())

    def _settle(self, now_ns: int, phase: Phase, was: tuple[LineState, Reason, bool]) -> bool:
        """Set what is seen from outside; True: it differs from what it was."""
        if phase in _MISSING and phase != self._phase:
            self.fell_ns = self._missed_ns
        self._phase = phase
        state, reason = MEANING[phase]
        if phase == "fallen":
            # The row is over when answers come again, but what it said stands.
            reason = self.reason if not self.misses and self.state == "down" else self._reason_of_row()
        if state != self.state:
            self.since_ns = now_ns
        self.state, self.reason = state, reason
        self.undecided = self.misses > 0 and state != "down"
        return was != self._outward()

    def _reason_of_row(self) -> Reason:
        """Why it has fallen."""
        return "bad_answer" if self._newest_failed else "no_answer"

    # --- Quality. ---

    def _judge(self, now_ns: int) -> bool:
        """Give the window its grade, and take the step that follows."""
        self._judge_ns = now_ns + _JUDGE_NS
        self._window.expire(now_ns)
        if now_ns >= self._round_trips_ns:
            self._measure(now_ns)
        if self._phase == "new":
            return False
        quality = self._quality()
        if self._phase == "failing" and quality.sent and quality.loss == 1.0:
            return self._step("silent", now_ns)
        given = grade(quality, self._phase, self._profile)
        return given is not None and self._step(given, now_ns)

    def _quality(self) -> Quality:
        """What the window shows."""
        tally = self._window.tally()
        recent = self._window.tally_after(self._back_seq) if self._back_seq >= 0 else tally
        return Quality(
            sent=tally.sent,
            loss=tally.loss,
            recent_sent=recent.sent,
            recent_loss=recent.loss,
            answers_in_row=self._answers,
            rtt_p50_s=None if self._median_ns is None else self._median_ns / 1e9,
            baseline_s=None if self._baseline_ns is None else self._baseline_ns / 1e9,
        )

    def _measure(self, now_ns: int) -> None:
        """Sort the round trips: their median, the patience that follows from them, and the baseline."""
        self._round_trips_ns = now_ns + _ROUND_TRIPS_NS
        trips = self._window.round_trips_ns()
        if not trips:
            self._median_ns = None
            return
        # Rounded down, so that one straggler alone does not make every cut be found later for as long as the window remembers it.
        self._patience_ns = TIMEOUT_FACTOR * trips[max(int(0.99 * len(trips)) - 1, 0)]
        self._median_ns = percentile(trips, 0.5) if len(trips) >= SAMPLES_MIN else None
        if self._median_ns is not None and self._phase == "up" and not self.misses:
            self._learn(self._median_ns)

    def _learn(self, median_ns: int) -> None:
        """Move the baseline a little towards a median that was measured while all was well."""
        if self._baseline_ns is None:
            self._baseline_ns = float(median_ns)
            return
        share = _BASELINE_SHARE_UP if median_ns > self._baseline_ns else _BASELINE_SHARE_DOWN
        self._baseline_ns += share * (median_ns - self._baseline_ns)


_STEADY: Final = frozenset({"up", "lossy", "slow", "failing"})
"""Phases that one more answer changes nothing about."""
_MISSING: Final = frozenset({"fallen", "lossy", "failing"})
"""Phases that misses lead to."""
_AWAY: Final = frozenset({"new", "fallen", "mute", "astray"})
"""Phases that only answers end."""
