"""The canary as a process: sends, takes answers, keeps the books and publishes them. `python -m netmon.canary` runs it.

One thread sends and counts; one thread for each lane looks into its streams (`netmon.canary.watch`). It shares nothing
with the roles: what it measures is what a device and a consumer would see.
"""

from __future__ import annotations

import itertools
import os
import queue
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netmon.canary.accounts import FIELDS, Accounts
from netmon.canary.message import KINDS, encode, request_id_of_answer
from netmon.canary.settings import CanarySettings, Target, state_file
from netmon.canary.watch import Sighting, Watch
from netmon.log import limited, log
from netmon.trap_receiver.state import StatePage

SOURCES_MAX: Final = 64
_SOURCES_PER_LANE: Final = 4
"""Sockets, each with a port of its own: the kernel spreads senders over lanes, and all lanes should be tried."""
_DRAIN_S: Final = 1.0
"""How long a stop waits for canaries that are under way."""
_STALL_NS: Final = 2_000_000_000
"""A pass of the main loop takes at most a second; in a longer one the process was stopped, and time did not count."""
_WAIT_MAX_S: Final = 1.0
_DATAGRAM_BYTES: Final = 65_535


class Canary:
    """Runs until it is told to stop."""

    def __init__(self, settings: CanarySettings) -> None:
        """Opens the books. Raises OSError when they cannot be written."""
        self._run = os.urandom(8).hex()
        self._numbers = itertools.count(1)
        self._interval_ns = settings.interval_ms * 1_000_000
        self._found: queue.SimpleQueue[Sighting] = queue.SimpleQueue()
        self._bell_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell_fd, select.POLLIN)
        self._clock = _Clock()
        self._stopping = False
        self._listeners = [_Listener(target, settings, self._poll) for target in settings.targets]
        self._of_lane = {lane: listener for listener in self._listeners for lane in listener.target.lanes}
        self._of_fd = {fd: listener for listener in self._listeners for fd in listener.fds()}
        self._watches = {
            lane: Watch(
                settings.redis, key_prefix(settings.receiver, lane), lane, self._run, self._found, self._bell_fd
            )
            for lane in self._of_lane
        }

    def stop(self) -> None:
        """Makes `run` return soon; called from a signal handler."""
        self._stopping = True
        os.eventfd_write(self._bell_fd, 1)

    def run(self) -> None:
        """Works until `stop`."""
        log.info("canary.run_started", run=self._run, listeners=len(self._listeners))
        due_ns = self._clock.now_ns()
        while not self._stopping:
            now_ns = self._clock.now_ns()
            if now_ns >= due_ns:
                self._send(now_ns)
                # After a stall: go on from now, rather than send all that was left out at once.
                due_ns = max(due_ns + self._interval_ns, now_ns)
            self._wait(due_ns - now_ns)
        deadline_ns = self._clock.now_ns() + int(_DRAIN_S * 1e9)
        while any(x.accounts.waiting for x in self._listeners) and self._clock.now_ns() < deadline_ns:
            self._wait(deadline_ns - self._clock.now_ns())

    def _send(self, now_ns: int) -> None:
        for listener in self._listeners:
            for lane in listener.target.lanes:
                self._watches[lane].begin(time.time_ns() // 1_000_000)
            for kind in KINDS:
                number = next(self._numbers)
                datagram = encode(
                    kind,
                    community=listener.community,
                    run=self._run,
                    number=number,
                    sent_unix_ns=time.time_ns(),
                )
                listener.accounts.sent(kind, number, now_ns)
                listener.send(datagram)

    def _wait(self, timeout_ns: int) -> None:
        """Until something has come, or the time is up; then everything is counted and published."""
        timeout_s = min(max(timeout_ns / 1e9, 0.0), _WAIT_MAX_S)
        for fd, _ in self._poll.poll(timeout_s * 1_000):
            if fd == self._bell_fd:
                os.eventfd_read(fd)
            else:
                for number in self._of_fd[fd].answers(fd):
                    self._of_fd[fd].accounts.answered(number, self._clock.now_ns())
        now_ns = self._clock.now_ns()
        while not self._found.empty():
            sighting = self._found.get()
            at_ns = min(self._clock.of(sighting.mono_ns), now_ns)
            self._of_lane[sighting.lane].accounts.stored(sighting.number, at_ns)
        for listener in self._listeners:
            listener.publish(now_ns)
            if not listener.accounts.sought:
                for lane in listener.target.lanes:
                    self._watches[lane].end()


class _Clock:
    """Monotonic time, without the time in which this process was stopped: nobody looked for canaries then."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self._last_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        mono_ns = time.monotonic_ns()
        gap_ns = mono_ns - self._last_ns
        if gap_ns > _STALL_NS:
            self._offset_ns += gap_ns
        self._last_ns = mono_ns
        return mono_ns - self._offset_ns

    def of(self, mono_ns: int) -> int:
        """Another thread's monotonic time on this clock."""
        return mono_ns - self._offset_ns


class _Listener:
    """One target: its sockets, its books and their file."""

    def __init__(self, target: Target, settings: CanarySettings, poll: select.poll) -> None:
        self.target = target
        self.community = settings.community.encode()
        folder = Path(settings.directory)
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._page = StatePage(folder / state_file(target.listen), FIELDS)
        self.accounts = Accounts(self._page.values, settings.timeout_s)
        self._sockets = _sockets(target, poll)
        self._turn = itertools.cycle(self._sockets.values())
        self._counted_ns = 0

    def fds(self) -> list[int]:
        return list(self._sockets)

    def send(self, datagram: bytes) -> None:
        """Once. What the kernel refuses is lost, as it would be for a device; the books will say so."""
        sock = next(self._turn)
        for _ in range(2):
            try:
                sock.send(datagram)
            except ConnectionRefusedError:
                continue  # that was the answer to the one before
            except OSError as error:
                limited.warning("canary.send_failed", listen=self.target.listen, reason=str(error))
            return

    def answers(self, fd: int) -> Iterator[int]:
        """Numbers of the INFORMs that were answered."""
        while True:
            try:
                datagram = self._sockets[fd].recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier send
            request_id = request_id_of_answer(datagram)
            if request_id is not None:
                yield request_id

    def publish(self, now_ns: int) -> None:
        """Counts what is due, and shows it."""
        lost_before = sum(self._page.values[f"{kind}_lost"] for kind in KINDS)
        self.accounts.advance(now_ns)
        lost = sum(self._page.values[f"{kind}_lost"] for kind in KINDS) - lost_before
        if lost:
            limited.warning("canary.notification_lost", listen=self.target.listen, count=lost, cure="netmon ledger")
        if now_ns - self._counted_ns >= 1_000_000_000:
            self._counted_ns = now_ns
            self.accounts.count_windows(now_ns)
        self._page.values["heartbeat_unix_ns"] = time.time_ns()
        self._page.publish()


def _sockets(target: Target, poll: select.poll) -> dict[int, socket.socket]:
    """Connected sockets by descriptor: only the listener's answers get in."""
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    address = socket.getaddrinfo(target.host, target.port, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4]
    found = {}
    for _ in range(1 if len(target.lanes) == 1 else min(len(target.lanes) * _SOURCES_PER_LANE, SOURCES_MAX)):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(address)
        poll.register(sock, select.POLLIN)
        found[sock.fileno()] = sock
    return found


def key_prefix(receiver: str, lane: int) -> str:
    """As `LaneSettings.key_prefix`."""
    return f"netmon:{{{receiver}:{lane}}}"
