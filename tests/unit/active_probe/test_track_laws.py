"""Laws of a track, over anything that a line and whoever answers for it may do."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.table import MEANING
from netmon.active_probe.measure.track import Track
from tests.unit.active_probe.samples import MILLI

FIBRE = BUILT_IN["fibre"]


class Probing(RuleBasedStateMachine):
    """A track, and somebody who keeps a plain list of what became of each probe."""

    def __init__(self) -> None:
        super().__init__()
        self.track = Track("stamp 192.0.2.1:862", FIBRE, 0)
        self.now_ns = 0
        self.seq = -1
        self.fates: dict[int, str] = {}
        self.answers_since_down = 0
        self.shown = self.outside()

    def outside(self) -> tuple[str, str, bool]:
        """What is seen of it."""
        return self.track.state, self.track.reason, self.track.undecided

    @rule(gap=st.sampled_from([1, 1, 1, 2, 500]), wait_ms=st.sampled_from([0, 50, 200, 1_000, 31_000]))
    def send(self, gap: int, wait_ms: int) -> None:
        """A probe goes out, later."""
        self.now_ns += wait_ms * MILLI
        self.seq += gap
        self.track.sent(self.seq, self.now_ns)
        self.fates[self.seq] = "pending"

    @rule(
        back=st.sampled_from([0, 0, 0, 1, 2, 5, 400, -3]),
        rtt_ms=st.sampled_from([0, 2, 600, 100_000]),
        far=st.none() | st.integers(0, 2**32),
    )
    def reply(self, back: int, rtt_ms: int, far: int | None) -> None:
        """An answer, to a recent probe or to none."""
        seq = self.seq - back
        before = self.track.state
        self.tell(lambda: self.track.replied(seq, rtt_ms * MILLI, self.now_ns, far))
        if self.fates.get(seq) in ("pending", "lost", "failed", "local_error"):
            self.fates[seq] = "answered"
        if before == "down" and self.track.state != "down":
            assert self.answers_since_down + 1 >= FIBRE.rise

    @rule(back=st.sampled_from([0, 0, 0, 1, 2, 5, 400]), how=st.sampled_from(["lost", "failed", "local_error"]))
    def miss(self, back: int, how: str) -> None:
        """A probe is given up, fails, or could not leave."""
        seq = self.seq - back
        before = self.track.state
        call = {
            "lost": lambda: self.track.lost(seq, self.now_ns),
            "failed": lambda: self.track.failed(seq, "HTTP 503", self.now_ns),
            "local_error": lambda: self.track.local_error(seq, "EPERM", self.now_ns),
        }[how]
        self.tell(call)
        if self.fates.get(seq) == "pending":
            self.fates[seq] = how
        if how == "local_error":
            assert self.track.state in (before, "unknown")

    @rule(wait_ms=st.sampled_from([0, 300, 1_000, 5_000, 61_000]))
    def judge(self, wait_ms: int) -> None:
        """Time goes on, and the window is looked at."""
        self.now_ns += wait_ms * MILLI
        self.tell(lambda: self.track.judge(self.now_ns))

    @rule()
    def restart(self) -> None:
        """The vantage was cut off."""
        self.tell(lambda: self.track.restart(self.now_ns))
        self.fates.clear()

    def tell(self, call: object) -> None:
        """What a call returns is whether anything changed that is seen from outside."""
        before = self.outside()
        assert callable(call)
        assert call() is (self.outside() != before)

    @invariant()
    def count_answers(self) -> None:
        """Answers in a row by the plain list: at least what the track takes them for."""
        decided = [fate for _, fate in sorted(self.fates.items()) if fate != "pending"]
        row = 0
        while row < len(decided) and decided[-1 - row] == "answered":
            row += 1
        self.answers_since_down = row

    @invariant()
    def state_and_reason_fit(self) -> None:
        """Only pairs that the table knows; undecided is never down."""
        pairs = {*MEANING.values(), ("down", "bad_answer")}
        assert (self.track.state, self.track.reason) in pairs
        assert not (self.track.undecided and self.track.state == "down")
        assert self.track.undecided == (self.track.misses > 0 and self.track.state != "down")
        assert (self.track.first_miss_ns > 0 or self.track.last_miss_ns == 0) or self.track.misses > 0

    @invariant()
    def down_needs_a_row_or_a_window(self) -> None:
        """A line that did not miss `fall` in a row does not say so."""
        if self.track.reason in ("no_answer", "bad_answer") and self.track.misses:
            assert self.track.misses >= 1
        assert self.track.first_miss_ns <= self.track.last_miss_ns <= self.now_ns

    @invariant()
    def reading_is_sane(self) -> None:
        """Numbers of the window are of the window."""
        shown = self.track.reading(self.now_ns)
        assert 0 <= shown.lost <= shown.sent <= 200
        assert 0.0 <= shown.loss <= 1.0
        assert (shown.rtt_p50_s is None) == (shown.sent == shown.lost)
        assert shown.rtt_p50_s is None or shown.rtt_p99_s is None or shown.rtt_p50_s <= shown.rtt_p99_s
        recent = [fate for seq, fate in self.fates.items() if seq > self.seq - 129]
        assert shown.lost <= sum(fate in ("lost", "failed") for fate in recent)
        assert shown.sent - shown.lost <= sum(fate == "answered" for fate in recent)

    @invariant()
    def patience_is_bounded(self) -> None:
        """And at least the profile's."""
        assert 0.2 <= self.track.timeout_s() <= 10.0
        assert self.track.interval_s(standby=True) in (0.2, 1.0, 30.0)

    @invariant()
    def histogram_grows(self) -> None:
        """Cumulative."""
        counts = self.track.histogram.counts
        assert list(counts) == sorted(counts)


TestProbing = Probing.TestCase
TestProbing.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
