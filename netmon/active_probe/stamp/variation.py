"""How much the delay in each direction varies, from answer to answer (RFC 3393), smoothed as RTP does it (RFC 3550 section 6.4.1).

Pure. The clocks of both ends need not agree: what one is ahead of the other is in every delay, and falls out of their difference.
"""

from __future__ import annotations

from typing import Final

_GAIN_MIN: Final = 1 / 16
STEP_NS: Final = 10_000_000_000
"""Delays that differ by more are a clock that was set."""


class Variation:
    """Of one session; mean absolute differences of the delays of neighbours, the newer ones weighing more."""

    __slots__ = ("_backward_ns", "_count", "_forward_ns", "_sequence", "backward_s", "forward_s")

    def __init__(self) -> None:
        self.forward_s = 0.0
        self.backward_s = 0.0
        self._count = -1
        self._sequence = -1
        self._forward_ns = 0
        self._backward_ns = 0

    @property
    def known(self) -> bool:
        """Whether two neighbours were answered."""
        return self._count > 0

    def note(self, sequence: int, forward_ns: int, backward_ns: int) -> None:
        """One answer: apparent delays on the way there and back; one that comes again counts once."""
        if sequence == self._sequence:
            return
        there_ns, back_ns = abs(forward_ns - self._forward_ns), abs(backward_ns - self._backward_ns)
        self._sequence, self._forward_ns, self._backward_ns = sequence, forward_ns, backward_ns
        if self._count >= 0 and max(there_ns, back_ns) >= STEP_NS:
            return
        self._count += 1
        if self._count:
            gain = max(_GAIN_MIN, 1 / self._count)
            self.forward_s += (there_ns / 1e9 - self.forward_s) * gain
            self.backward_s += (back_ns / 1e9 - self.backward_s) * gain
