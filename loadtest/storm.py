"""Sends a storm at its pace, and tells exactly what was sent."""

from __future__ import annotations

import random
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from loadtest.earthquake.script_ring import ScriptPlan, ScriptRing
from loadtest.inform import InformWindow, answered_request_id
from loadtest.profile import Pace, Profile, pace
from loadtest.ring import Ring, RingPlan
from loadtest.templates import REQUEST_ID_MASK, RUN_MAX, RUN_MIN

TICK_S: Final = 0.001
"""Sleep when nothing is due; below 1,000/s each trap goes by itself, above it in micro-bursts of a millisecond."""
_PROGRESS_INTERVAL_S: Final = 0.25
Progress = Callable[[int], None]


class StormPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A storm: what, where to, and when."""

    ring: RingPlan | ScriptPlan
    profile: Profile
    batch_max: int = 128
    """Traps of one system call."""
    inform_timeout_s: float = 1.5
    inform_retries: int = 5
    inform_window: int = 4_096


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a storm sent."""

    run: int
    count: int
    """Traps that the kernel took from us, each position from 0 once; retransmitted INFORMs not counted again."""
    started_unix_ns: int
    ended_unix_ns: int
    """Just after the last first transmission."""
    ended_mono_s: float
    """The same moment by time.monotonic of this machine."""
    seconds: float
    rate: float
    """Traps per second over the whole storm."""
    cpu_s: float
    """Of the sender, user and system; on the loopback it contains the kernel's receive path."""
    slipped_s: float
    """By how much the schedule was moved because the sender could not keep up."""
    backlog_dropped: int
    """Packets that this machine's kernel dropped between sender and socket (/proc/net/softnet_stat), all traffic."""
    refused: int = 0
    """ICMP port unreachable answers: nobody listened."""
    answered: int | None = None
    """INFORMs answered without error; None for a storm of traps, as in the following."""
    unanswered: int | None = None
    retransmitted: int | None = None
    unexpected_answers: int | None = None


def new_run() -> int:
    """Returns a number for a storm that no other storm of this stream is likely to have."""
    return random.SystemRandom().randint(RUN_MIN, RUN_MAX)


def run_storm(plan: StormPlan, progress: Progress = lambda _: None) -> Sent:
    """Sends the whole storm; returns when the last trap is sent, for INFORMs when the last is answered or given up.

    Args:
        plan: The storm.
        progress: Called about four times a second with the number of traps sent.

    Raises:
        OSError: The kernel refuses to send.
        ValueError: An unknown kind in the mix.
    """
    return _Run(plan, progress).run()


class _Run:
    """The state of one storm under way."""

    def __init__(self, plan: StormPlan, progress: Progress) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
        self._plan = plan
        self._profile = plan.profile
        self._total = plan.profile.total
        self._progress = progress
        self._ring = Ring(plan.ring) if isinstance(plan.ring, RingPlan) else ScriptRing(plan.ring)
        self._sent = 0
        self._refused = 0
        self._retransmitted = 0
        self._slipped_s = 0.0
        self._window: InformWindow | None = None
        if plan.ring.version == "inform":
            assert plan.ring.gso == 1, "INFORMs are sent one by one"
            self._window = InformWindow(
                size=plan.inform_window, timeout_s=plan.inform_timeout_s, retries=plan.inform_retries
            )

    def run(self) -> Sent:
        backlog_before, cpu_before = backlog_dropped(), time.process_time()
        started_unix_ns, started_s = time.time_ns(), time.monotonic()
        with self._ring.socket:
            self._send_all(started_s)
            ended_unix_ns, ended_s = time.time_ns(), time.monotonic()
            if self._window:
                self._await_answers(self._window)
        window = self._window
        return Sent(
            run=self._plan.ring.run,
            count=self._sent,
            started_unix_ns=started_unix_ns,
            ended_unix_ns=ended_unix_ns,
            ended_mono_s=ended_s,
            seconds=ended_s - started_s,
            rate=self._sent / (ended_s - started_s),
            cpu_s=time.process_time() - cpu_before,
            slipped_s=self._slipped_s,
            backlog_dropped=backlog_dropped() - backlog_before,
            refused=self._refused,
            answered=window.answered if window else None,
            unanswered=len(window.unanswered) if window else None,
            retransmitted=self._retransmitted if window else None,
            unexpected_answers=window.unexpected if window else None,
        )

    def _send_all(self, start_s: float) -> None:
        progress_s = 0.0
        while self._sent < self._total:
            now_s = time.monotonic()
            if now_s >= progress_s:
                self._progress(self._sent)
                progress_s = now_s + _PROGRESS_INTERVAL_S
            if self._window:
                self._serve_window(self._window)
            step = pace(self._profile, elapsed_s=now_s - start_s, sent=self._sent, batch_max=self._plan.batch_max)
            start_s += step.slip_s
            self._slipped_s += step.slip_s
            count = self._whole_messages(step)
            if count:
                self._send(count)
            else:
                time.sleep(TICK_S)
        self._progress(self._sent)

    def _whole_messages(self, step: Pace) -> int:
        """How many of the due traps can go: whole messages, except at the storm's end, and what the window allows."""
        count = step.send
        if self._total - self._sent > count:
            count -= count % self._plan.ring.gso
        return min(count, self._window.room) if self._window else count

    def _send(self, count: int) -> None:
        try:
            taken = self._ring.send(self._sent, count)
        except ConnectionRefusedError:
            self._refused += 1
            return
        if self._window:
            self._window.sent(self._sent, taken, time.monotonic())
        self._sent += taken

    def _serve_window(self, window: InformWindow) -> None:
        """Takes the answers that are there, and sends again what is due again."""
        while True:
            try:
                datagram = self._ring.socket.recv(65_535, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self._refused += 1
                continue
            identifier = answered_request_id(datagram)
            if identifier is not None:
                window.answer(self._position(identifier))
        for position in window.due(time.monotonic()):
            try:
                self._ring.send(position, 1)
            except ConnectionRefusedError:
                self._refused += 1
            self._retransmitted += 1

    def _position(self, identifier: int) -> int:
        """The newest position sent that has this request ID."""
        newest = self._sent - 1
        return newest - (newest - identifier & REQUEST_ID_MASK)

    def _await_answers(self, window: InformWindow) -> None:
        while not window.is_empty:
            self._serve_window(window)
            time.sleep(TICK_S)


def backlog_dropped() -> int:
    """Packets that the kernel dropped since boot because a CPU's input queue was full (net.core.netdev_max_backlog).

    The loopback has such a queue, too, and such a drop is in no socket's count.
    """
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def default_batch(gso: int) -> int:
    """Traps of a system call that use most of the call without making bursts: 128, or 16 messages of `gso`."""
    return max(128, 16 * gso) // gso * gso
