"""Capture: from the socket's queue to the journal, as fast as the machine can, and nothing else.

It never decodes, never waits for Redis, and takes nothing from the kernel before the journal has room for it: while the
disk is full, datagrams wait in the socket's queue, and what no longer fits there the kernel counts.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from pathlib import Path

from netmon.log import limited as log
from netmon.model import LaneSettings
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.journal.landing import Landing
from netmon.trap_receiver.journal.segment import LAYOUT_IPV4, LAYOUT_IPV6, PREFIX_BYTES, ROOM_BYTES
from netmon.trap_receiver.journal.writer import JournalWriter
from netmon.trap_receiver.ledger import CAPTURE_FIELDS, CAPTURE_STATE, COMMIT_STATE
from netmon.trap_receiver.state import StatePage, read_state

_IDLE_MS = 100
"""Longest sleep without a look at the kernel's counters."""
_LINGER_S = 0.008
"""Pause after a batch that was not full, so that the next one is worth waking three processes for."""
_FULL_BATCH = 256
_HELD_S = 0.1
"""Pause between two tries while the journal cannot grow."""
_DRAIN_S = 2.0
"""Longest time that a capture told to stop goes on emptying the queue."""

_SO_MEMINFO = 55
_SO_COOKIE = 57
_MEMINFO = struct.Struct("=9I")
"""sk_meminfo of linux/sock_diag.h: the first is the queue's memory, the second the buffer's size, the ninth the drops."""


class Capture:
    """One lane's capture: a socket, a landing, a journal and their counters."""

    def __init__(self, settings: LaneSettings, sock: socket.socket, bells: Bells, landing_fd: int) -> None:
        """Takes over where the capture before it stopped or was killed.

        Raises:
            BlockingIOError: Another capture writes this journal.
            OSError: The lane's folder cannot be written.
        """
        directory = Path(settings.directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sock = sock
        self._captured = bells.captured
        self._state = StatePage(directory / CAPTURE_STATE, CAPTURE_FIELDS)
        self._values = self._state.values
        self._journal = JournalWriter(
            directory,
            segment_bytes=settings.segment_bytes,
            bytes_max=settings.journal_bytes_max,
            durable_seq=read_state(directory / COMMIT_STATE).get("seq", 0),
        )
        self._landing = Landing(landing_fd, LAYOUT_IPV6 if sock.family == socket.AF_INET6 else LAYOUT_IPV4)
        self._cookie = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")
        self._held_since_ns = 0
        self._stopping = False
        torn = self._values["captured"] - self._journal.position.seq
        if torn > 0 or self._journal.torn_bytes:
            self._values["torn"] += max(torn, 0)
            log.warning("journal.tail_cut", datagrams=max(torn, 0), bytes=self._journal.torn_bytes)

    def stop(self) -> None:
        """Makes `run` return once the queue is empty, or after 2 s. Fit for a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Captures until `stop`.

        Raises:
            OSError: The socket is not usable.
        """
        self._recover()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        deadline = None
        while True:
            if not self._have_room():
                if self._stopping:
                    break
                time.sleep(_HELD_S)
                continue
            count = self._landing.receive(self._sock, self._journal.position.seq + 1)
            if count:
                self._store(*self._landing.landed())
            self._publish()
            if count:
                self._captured.ring()
            if self._stopping:
                deadline = deadline or time.monotonic() + _DRAIN_S
                if not count or time.monotonic() > deadline:
                    break
            elif not count:
                poll.poll(_IDLE_MS)
            elif count < _FULL_BATCH:
                time.sleep(_LINGER_S)
        self._journal.close()

    def _recover(self) -> None:
        """Brings home what a killed predecessor had taken from the kernel and not yet written."""
        lengths, records = self._landing.landed()
        written = self._journal.position.seq + 1 - self._landing.first_seq
        if not 0 <= written < len(lengths):
            return
        prefix = PREFIX_BYTES[self._landing.layout]
        skip = sum(lengths[:written]) + written * prefix
        self._store(lengths[written:], records[skip:])
        self._values["recovered"] += len(lengths) - written
        log.info("capture.batch_recovered", datagrams=len(lengths) - written)
        self._publish()
        self._captured.ring()

    def _store(self, lengths: list[int], records: bytes) -> None:
        """Writes a batch to the journal, in frames of at most `ROOM_BYTES` or one datagram."""
        if len(records) <= ROOM_BYTES:
            self._append(lengths, records)
            return
        prefix = PREFIX_BYTES[self._landing.layout]
        first = start = end = 0
        for index, length in enumerate(lengths):
            if end + prefix + length - start > ROOM_BYTES and index > first:
                self._append(lengths[first:index], records[start:end])
                first, start = index, end
            end += prefix + length
        self._append(lengths[first:], records[start:])

    def _append(self, lengths: list[int], records: bytes) -> None:
        while True:
            try:
                self._journal.append(self._landing.layout, lengths, records)
                break
            except OSError as error:
                self._hold(error)
                if self._stopping:
                    # The batch stays in the landing, for the next capture.
                    raise
                time.sleep(_HELD_S)
        self._release()
        self._values["captured_bytes"] += sum(lengths)
        self._values["frames"] += 1

    def _have_room(self) -> bool:
        """Whether the journal can take a batch; what the kernel holds is left there while it cannot."""
        try:
            self._journal.ensure_room()
        except OSError as error:
            self._hold(error)
            return False
        self._release()
        return True

    def _hold(self, error: OSError) -> None:
        now = time.monotonic_ns()
        if not self._values["held"]:
            self._values["held_times"] += 1
            log.error("journal.growth_held", error=str(error), policy="hold")
        elif self._held_since_ns:
            self._values["held_ns"] += now - self._held_since_ns
        self._held_since_ns = now
        self._values["held"] = 1
        self._values["write_failures"] += 1
        self._publish()

    def _release(self) -> None:
        if self._values["held"]:
            self._held_since_ns = 0
            self._values["held"] = 0
            log.info("journal.growth_resumed", held_times=self._values["held_times"])

    def _publish(self) -> None:
        values = self._values
        values["segment"], values["offset"], values["captured"] = self._journal.position
        queue, buffer, *_, drops = _MEMINFO.unpack(self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        # The kernel counts 32 bits for each socket; a new socket begins at 0 and shows itself by its cookie.
        before = values["socket_drops"] if self._cookie == values["socket_cookie"] else 0
        values["kernel_drops"] += (drops - before) & 0xFFFF_FFFF
        values["socket_cookie"], values["socket_drops"] = self._cookie, drops
        values["socket_queue_bytes"], values["receive_buffer_bytes"] = queue, buffer
        values["heartbeat_unix_ns"] = time.time_ns()
        self._state.publish()
