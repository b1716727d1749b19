"""`python -m netmon.active_probe.rehearsal`: stand-ins for the far ends of all lines of a region, with faults that a person plays.

Its settings come as JSON on standard input. One socket, which hears the loopback interface alone, answers STAMP for every line at an
address of its own; what is wrong with which line stands in a file, which is looked at ten times a second. For trying netmon, and for
drills: the prober, the verdict, alarms and reports are the real ones.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import random
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from netmon import log
from netmon.active_probe import arrival
from netmon.active_probe.rehearsed import (
    ANCHORS_MAX,
    FILE_BYTES_MAX,
    Fault,
    Faults,
    RehearsalSettings,
    address_of,
    anchor_address_of,
    port_of,
)
from netmon.active_probe.stamp.packet import OCTETS_MAX
from netmon.active_probe.stamp.reflector import (
    DRAIN_MAX,
    RECEIVE_BUFFER_BYTES,
    Arrived,
    Reflection,
    ReflectorSettings,
    RefusedError,
    Way,
    way_back,
)
from netmon.active_probe.vantage.pinning import SockAddr, make_socket
from netmon.errors import ConfigError, DecodeError
from netmon.inventory.probes import Pin
from netmon.process import begin
from netmon.sockets import set_receive_buffer

LOOK_NS: Final = 100_000_000
"""Between two looks at the file of faults."""
DELAYED_MAX: Final = 65_536
"""Answers that wait for their delay; more are lost."""
NO_FAULT: Final = Fault()

Delayed = tuple[int, int, bytes, SockAddr, Way]
"""When it is due, a number that keeps the order, the answer, where to, from where."""


class FaultFile:
    """The faults as they stand in the file now."""

    def __init__(self, path: Path) -> None:
        self.faults: Faults = {}
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Reads the file if it is another than before; one that is none leaves everything as it is, and is told of once."""
        try:
            found = self._path.stat()
        except OSError:
            self._seen, self.faults = None, {}
            return
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.faults = self._read()
        except (OSError, msgspec.DecodeError) as error:
            log.log.warning("rehearsal.file_refused", file=str(self._path), reason=str(error))
        else:
            log.log.info("rehearsal.faults_changed", lines=sorted(self.faults)[:20], count=len(self.faults))

    def _read(self) -> Faults:
        with self._path.open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Faults)


class Rehearsal:
    """The far ends, and the loop that answers for them."""

    def __init__(self, settings: RehearsalSettings) -> None:
        """Listens.

        Raises:
            ConfigError: Its port is in use; PinError: it cannot be held to the loopback interface.
        """
        self._file = FaultFile(Path(settings.file))
        self._lines = lines_by_address(settings)
        # Whoever asks here is this machine: there is nobody to be limited, and 10,000 lines to be answered.
        self._reflection = Reflection(ReflectorSettings(listen=(), total_max=1_000_000, source_max=1_000_000))
        self._delayed: list[Delayed] = []
        self._numbers = itertools.count()
        self._random = random.Random()  # noqa: S311 - a fault that is played, no secret
        self._stopped = False
        self._socket = _listening(port_of(settings.place))
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._epoll.register(self._socket, select.EPOLLIN)

    def run(self) -> None:
        """Answers until `stop`."""
        look_ns = 0
        while not self._stopped:
            now_ns = time.monotonic_ns()
            if now_ns >= look_ns:
                look_ns = now_ns + LOOK_NS
                self._file.look()
                self._reflection.sessions.forget_idle(now_ns)
            self._send_due(now_ns)
            wake_ns = min(look_ns, self._delayed[0][0]) if self._delayed else look_ns
            if self._epoll.poll(max(0, wake_ns - time.monotonic_ns()) / 1e9):
                self._drain()

    def stop(self) -> None:
        """Makes `run` return soon; may be called from a signal handler or another thread."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Closes its socket."""
        self._socket.close()
        self._epoll.close()
        os.close(self._wake)

    def _drain(self) -> None:
        buffer = bytearray(OCTETS_MAX + 1)
        view = memoryview(buffer)
        for _ in range(DRAIN_MAX):
            try:
                octets, messages, _, sender = self._socket.recvmsg_into([buffer], arrival.ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of a prober that is gone
                continue
            try:
                self._answer(view[:octets], messages, sender)
            except (RefusedError, DecodeError) as error:
                self._reflection.refused[error.reason] += 1

    def _answer(self, data: memoryview, messages: arrival.ControlMessages, sender: SockAddr) -> None:
        way = way_back(messages)
        line_id = self._lines.get(way.where)
        if line_id is None:
            return
        fault = self._file.faults.get(line_id, NO_FAULT)
        chance = self._random.random()
        if fault.cut or chance < fault.loss / 2:
            return
        now_ns = time.monotonic_ns()
        arrived = Arrived(data, sender, way.where, arrival.received_unix_ns(messages), arrival.ttl_of(messages))
        answer = self._reflection.answer(arrived, now_ns)
        if fault.one_way or chance < fault.loss:
            return
        for _ in range(2 if self._random.random() < fault.duplicate else 1):
            if not fault.delay_s:
                self._send(answer, sender, way)
            elif len(self._delayed) < DELAYED_MAX:
                due_ns = now_ns + int(fault.delay_s * 1e9)
                heapq.heappush(self._delayed, (due_ns, next(self._numbers), answer, sender, way))

    def _send_due(self, now_ns: int) -> None:
        while self._delayed and self._delayed[0][0] <= now_ns:
            _, _, answer, sender, way = heapq.heappop(self._delayed)
            self._send(answer, sender, way)

    def _send(self, answer: bytes, sender: SockAddr, way: Way) -> None:
        try:
            self._socket.sendmsg([answer], [way.message], 0, sender)
        except OSError as error:
            log.limited.warning("rehearsal.answer_lost", reason=errno.errorcode.get(error.errno or 0, str(error)))


def lines_by_address(settings: RehearsalSettings) -> dict[bytes, str]:
    """Address in network order to line ID; an anchor has none, so no fault is ever found for it."""
    lines = {
        socket.inet_aton(address_of(index, settings.place)): line_id for index, line_id in enumerate(settings.line_ids)
    }
    anchors = {socket.inet_aton(anchor_address_of(index, settings.place)): "" for index in range(ANCHORS_MAX)}
    return lines | anchors


def _listening(port: int) -> socket.socket:
    # Held to the loopback interface, for the wildcard is the only way to have thousands of addresses on one socket.
    sock = make_socket(Pin(interface="lo"), socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind(("0.0.0.0", port))  # noqa: S104 - see above
    except OSError as error:
        sock.close()
        cure = f"`ss -ulpn 'sport = :{port}'` says by whom; it may be another rehearsal of the same folder"
        raise ConfigError([f"rehearsal: UDP port {port}: {error.strerror}; {cure}"]) from None
    arrival.stamp_arrivals(sock)
    arrival.tell_ttl(sock)
    arrival.tell_interface(sock)
    set_receive_buffer(sock, RECEIVE_BUFFER_BYTES)
    return sock


def main(argv: list[str] | None = None) -> int:
    """Runs until SIGTERM; returns the exit code, 2 when it cannot listen."""
    settings = begin("netmon.active_probe.rehearsal", None, RehearsalSettings, "rehearsal", argv)
    try:
        rehearsal = Rehearsal(settings)
    except (ConfigError, OSError) as error:
        log.log.error("rehearsal.start_failed", reason=str(error))
        return 2
    signal.signal(signal.SIGTERM, lambda *_: rehearsal.stop())
    log.log.info("rehearsal.started", lines=len(settings.line_ids))
    rehearsal.run()
    rehearsal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
