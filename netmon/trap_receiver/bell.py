"""A bell between two roles of a lane: one has moved on, the other need not look before it rings.

It carries no data: what happened stands in the ringer's state file. So a ring that is lost with a killed process, or
that comes twice, does no harm; the listener looks by itself after a while.
"""

from __future__ import annotations

import contextlib
import os
import select

_UNCONNECTED_WAIT_S = 0.005
"""How long a role sleeps between two looks when nobody can ring: it was started without a bell."""


class Bell:
    """An eventfd(2), shared by inheritance."""

    def __init__(self, fd: int | None) -> None:
        """Takes over a non-blocking eventfd; None makes a bell that only this process can ring."""
        self._connected = fd is not None
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if fd is None else fd
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def ring(self) -> None:
        """Wakes who waits, or lets the next wait return at once. Fit for a signal handler."""
        # A counter at its maximum has been rung often enough.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._fd, 1)

    def wait(self, timeout_s: float) -> None:
        """Returns when the bell has been rung since the last wait, or after the time; earlier than that does no harm.

        Args:
            timeout_s: Seconds, at least 0. Cut short when nobody else has the bell.
        """
        wait_s = timeout_s if self._connected else min(timeout_s, _UNCONNECTED_WAIT_S)
        if self._poll.poll(wait_s * 1_000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._fd)


class Bells:
    """The bells of one lane."""

    def __init__(self, captured_fd: int | None, durable_fd: int | None) -> None:
        self.captured = Bell(captured_fd)
        """Capture rings it for commit: there is more in the journal."""
        self.durable = Bell(durable_fd)
        """Commit rings it for decode: more of the journal is durable."""
