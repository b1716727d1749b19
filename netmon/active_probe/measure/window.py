"""What became of the newest probes to one target: a ring by sequence number, from which loss, round trips and variation are read.

Pure. A probe costs two stores; everything else is computed when somebody wants to know it. Since a slot remembers its probe until the
ring comes round, an answer that arrives late takes its loss back.
"""

from __future__ import annotations

import math
from array import array
from itertools import pairwise
from typing import Final

import msgspec

from netmon.inventory.probes import Profile

SLOTS_MIN: Final = 16
SLOTS_MAX: Final = 4096
"""A minute with 68 probes a second. Each slot takes 13 bytes, 17 where the far end numbers its answers."""
TIMEOUT_MAX_S: Final = 10.0
"""No probe is waited for longer than this, unless its profile says so, whatever round trips were measured."""

# What a slot says. Answers have ANSWERED, and more bits for what was odd about them.
EMPTY: Final = 0
PENDING: Final = 1
LOST: Final = 2
FAILED: Final = 3
LOCAL_ERROR: Final = 4
ANSWERED: Final = 8
REORDERED: Final = 9
"""Answered after a probe that was sent later."""
DUPLICATED: Final = 10
REORDERED_DUPLICATED: Final = 11

# What an answer was.
IN_TIME: Final = 0
LATE: Final = 1
"""It had been given up."""
AGAIN: Final = 2
UNASKED: Final = 3
"""To a probe that was never sent, or so long ago that its slot is another's."""

_TICK_NS: Final = 100
"""Resolution of round trips: 32 bits of it hold 429 s."""
_TICKS_MAX: Final = 2**32 - 1
_SEQUENCE_MASK: Final = 2**32 - 1


class Tally(msgspec.Struct, frozen=True, gc=False):
    """Numbers of decided probes."""

    sent: int
    """Answers, losses and failures."""
    lost: int
    """Losses and failures."""

    @property
    def loss(self) -> float:
        """Share of what was sent; 0 before anything was."""
        return self.lost / self.sent if self.sent else 0.0


def slots_for(profile: Profile) -> int:
    """Slots for all probes of a window at the fastest pace that lasts: each regular one missed and confirmed up to the last chance.

    And for all that can be under way at once, so that no probe loses its slot before it is decided.
    """
    fastest_s = max(min(profile.interval_s, profile.confirm_interval_s), 0.001)
    round_s = profile.interval_s + (profile.fall - 1) * profile.confirm_interval_s
    lasting = profile.window_s * max(profile.fall / max(round_s, 0.001), 1 / max(profile.interval_s, 0.001))
    under_way = max(TIMEOUT_MAX_S, profile.timeout_s) / fastest_s + profile.fall
    return min(max(math.ceil(lasting), math.ceil(under_way), SLOTS_MIN), SLOTS_MAX)


class Window:
    """The ring. Sequence numbers grow, by one or with gaps; times are of one monotonic clock."""

    __slots__ = (
        "_far",
        "_oldest",
        "_rtts",
        "_sent_ns",
        "_slots",
        "_span_ns",
        "_status",
        "answered",
        "answered_ns",
        "newest",
    )

    def __init__(self, slots: int, span_ns: int) -> None:
        self._slots = slots
        self._span_ns = span_ns
        self._status = bytearray(slots)
        self._sent_ns = array("Q", bytes(8 * slots))
        self._rtts = array("I", bytes(4 * slots))
        self._far: array[int] | None = None
        """The far end's own numbers of its answers; only some have them."""
        self._oldest = 0
        self.newest = -1
        """Sequence number that was sent last; -1: none."""
        self.answered = -1
        """Highest sequence number that was answered; -1: none."""
        self.answered_ns = 0
        """When that probe was sent; 0: none."""

    # --- What happens. ---

    def send(self, seq: int, now_ns: int) -> None:
        """A probe goes out. `seq` is higher than all before."""
        if seq != self.newest + 1:
            self._skip_to(seq)
        self.newest = seq
        slot = seq % self._slots
        self._status[slot] = PENDING
        self._sent_ns[slot] = now_ns

    def answer(self, seq: int, rtt_ns: int, far_seq: int | None) -> int:
        """An answer came: IN_TIME, LATE, AGAIN or UNASKED."""
        if not self.newest - self._slots < seq <= self.newest:
            return UNASKED
        slot = seq % self._slots
        status = self._status[slot]
        if status == EMPTY:
            return UNASKED
        if status >= ANSWERED:
            self._status[slot] = status | DUPLICATED
            return AGAIN
        if seq > self.answered:
            self.answered = seq
            self.answered_ns = self._sent_ns[slot]
            self._status[slot] = ANSWERED
        else:
            self._status[slot] = REORDERED
        self._rtts[slot] = min(max(rtt_ns, 0) // _TICK_NS, _TICKS_MAX)
        if far_seq is not None:
            if self._far is None:
                self._far = array("I", bytes(4 * self._slots))
            self._far[slot] = far_seq & _SEQUENCE_MASK
        return IN_TIME if status == PENDING else LATE

    def give_up(self, seq: int, status: int) -> bool:
        """A probe is LOST, FAILED or met a LOCAL_ERROR; False: it was decided before, or is unknown."""
        if not self.newest - self._slots < seq <= self.newest:
            return False
        slot = seq % self._slots
        if self._status[slot] != PENDING:
            return False
        self._status[slot] = status
        return True

    def clear(self) -> None:
        """Forget everything but which numbers were used."""
        self._status[:] = bytes(self._slots)
        self._oldest = self.newest + 1
        self.answered = self.newest

    def _skip_to(self, seq: int) -> None:
        """Numbers before `seq` are not used: what their slots hold is of a former round."""
        assert seq > self.newest, "sequence numbers grow"
        if self.newest < 0 or seq - self.newest > self._slots:
            self._status[:] = bytes(self._slots)
            self._oldest = seq
            return
        for skipped in range(self.newest + 1, seq):
            self._status[skipped % self._slots] = EMPTY

    # --- What is known of it. ---

    def remembers(self, seq: int) -> bool:
        """Whether a probe is in the ring."""
        return self.newest - self._slots < seq <= self.newest and self._status[seq % self._slots] != EMPTY

    def sent_ns(self, seq: int) -> int:
        """When a probe that is in the ring was sent."""
        return self._sent_ns[seq % self._slots]

    def expire(self, now_ns: int) -> None:
        """Forget what was sent longer ago than the window is long."""
        oldest = max(self._oldest, self.newest - self._slots + 1)
        horizon_ns = now_ns - self._span_ns
        while oldest <= self.newest:
            slot = oldest % self._slots
            if self._status[slot] != EMPTY and self._sent_ns[slot] >= horizon_ns:
                break
            self._status[slot] = EMPTY
            oldest += 1
        self._oldest = oldest

    def tally(self) -> Tally:
        """What was decided in the window."""
        return _tally(self._status)

    def tally_after(self, seq: int) -> Tally:
        """What was decided of the probes after this one."""
        first = max(seq + 1, self._oldest, self.newest - self._slots + 1)
        return _tally(self._run(first))

    def tally_between(self, after: int, before: int) -> Tally:
        """What was decided of the probes after the one and before the other."""
        first = max(after + 1, self._oldest, self.newest - self._slots + 1)
        return _tally(bytearray(self._status[seq % self._slots] for seq in range(first, before)))

    def row(self) -> tuple[int, int, int]:
        """Losses and failures since the newest probe that was answered, and when the first and the last of them were sent (0: none)."""
        first = max(self.answered + 1, self._oldest, self.newest - self._slots + 1)
        missed = [first + at for at, status in enumerate(self._run(first)) if status in (LOST, FAILED)]
        return (len(missed), self.sent_ns(missed[0]), self.sent_ns(missed[-1])) if missed else (0, 0, 0)

    def answered_between(self, after_ns: int, until_ns: int) -> bool:
        """Whether a probe was answered that was sent after the one time, and not after the other."""
        for seq in range(self.newest, max(self._oldest, self.newest - self._slots + 1) - 1, -1):
            slot = seq % self._slots
            if self._status[slot] == EMPTY or (sent_ns := self._sent_ns[slot]) > until_ns:
                continue
            if sent_ns <= after_ns:
                return False
            if self._status[slot] >= ANSWERED:
                return True
        return False

    def _run(self, first: int) -> bytearray:
        """What slots say, from sequence number `first` to the newest."""
        if first > self.newest:
            return bytearray()
        begin, end = first % self._slots, self.newest % self._slots
        if begin <= end:
            return self._status[begin : end + 1]
        return self._status[begin:] + self._status[: end + 1]

    @property
    def local_errors(self) -> int:
        """Probes that could not leave."""
        return self._status.count(LOCAL_ERROR)

    @property
    def reordered(self) -> int:
        """Answers that were overtaken (RFC 4737 section 3)."""
        return self._status.count(REORDERED) + self._status.count(REORDERED_DUPLICATED)

    @property
    def duplicates(self) -> int:
        """Probes that were answered more than once."""
        return self._status.count(DUPLICATED) + self._status.count(REORDERED_DUPLICATED)

    def round_trips_ns(self) -> list[int]:
        """Round trips, the shortest first; may be empty."""
        found = [rtt for rtt, status in zip(self._rtts, self._status, strict=True) if status >= ANSWERED]
        found.sort()
        return [ticks * _TICK_NS for ticks in found]

    def variation_ns(self) -> float | None:
        """Mean absolute difference between round trips of neighbours (RFC 3393 section 4); None: no two neighbours were answered."""
        total = count = 0
        before = -1
        for seq in range(max(self._oldest, self.newest - self._slots + 1), self.newest + 1):
            slot = seq % self._slots
            if self._status[slot] < ANSWERED:
                before = -1
                continue
            rtt = self._rtts[slot]
            if before >= 0:
                total += abs(rtt - before)
                count += 1
            before = rtt
        return total / count * _TICK_NS if count else None

    def directions(self) -> tuple[int, int] | None:
        """Losses on the way there and on the way back; None: the far end does not number its answers.

        Between two answers, what the far end counted less than was sent got lost on the way there, and what it counted but did not
        arrive, on the way back. Losses after the newest answer are in neither, nor those around a restart of the far end.
        """
        if self._far is None:
            return None
        there = back = 0
        for before, after in pairwise(self._numbered()):
            sent, answered = after[0] - before[0], (after[1] - before[1]) & _SEQUENCE_MASK
            if 1 <= answered <= sent:
                there += sent - answered
                back += answered - 1
        return there, back

    def _numbered(self) -> list[tuple[int, int]]:
        """Of each answer, oldest first: how many probes had been sent by then, and the far end's number."""
        assert self._far is not None
        found = []
        sent = 0
        for seq in range(max(self._oldest, self.newest - self._slots + 1), self.newest + 1):
            slot = seq % self._slots
            status = self._status[slot]
            # What could not leave is not missed by the far end.
            sent += status not in (EMPTY, LOCAL_ERROR)
            if status >= ANSWERED:
                found.append((sent, self._far[slot]))
        return found


def _tally(status: bytearray) -> Tally:
    """What slots say, counted."""
    lost = status.count(LOST) + status.count(FAILED)
    answers = len(status) - sum(map(status.count, (EMPTY, PENDING, LOST, FAILED, LOCAL_ERROR)))
    return Tally(answers + lost, lost)


def percentile(values: list[int], share: float) -> int:
    """The smallest of these sorted values that `share` of them do not exceed (nearest rank). At least one value."""
    return values[max(math.ceil(share * len(values)) - 1, 0)]
