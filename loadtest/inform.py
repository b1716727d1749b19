"""Which INFORMs are out, answered, due again or given up: the sender's side of RFC 3416 section 4.2.7.

Pure: time comes in. The timeout is constant, so the order of sending is the order of deadlines and a queue is enough.
"""

from __future__ import annotations

from collections import deque

_GET_RESPONSE = 0xA2


class InformWindow:
    """The INFORMs that wait for an answer, never more than `size`."""

    def __init__(self, *, size: int, timeout_s: float, retries: int) -> None:
        """`retries`: how often an INFORM is sent again before it is given up; `size`: most INFORMs out at a time."""
        self._size = size
        self._timeout_s = timeout_s
        self._retries = retries
        self._waiting: dict[int, int] = {}
        self._deadlines: deque[tuple[float, int, int]] = deque()
        self.answered = 0
        self.unexpected = 0
        """Answers to what was not asked, or was answered or given up already."""
        self.unanswered: list[int] = []
        """Positions of those given up."""

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        return self._size - len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether no INFORM waits."""
        return not self._waiting

    def sent(self, first: int, count: int, now_s: float) -> None:
        """Notes positions `first` to `first + count - 1` as sent for the first time."""
        deadline_s = now_s + self._timeout_s
        for position in range(first, first + count):
            self._waiting[position] = self._retries
            self._deadlines.append((deadline_s, position, self._retries))

    def answer(self, position: int) -> None:
        """Notes an answer."""
        if self._waiting.pop(position, None) is None:
            self.unexpected += 1
        else:
            self.answered += 1

    def due(self, now_s: float) -> list[int]:
        """Returns the positions to send again now, oldest first; gives up those that were sent often enough."""
        again = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, position, retries = self._deadlines.popleft()
            if self._waiting.get(position) != retries:
                continue
            if retries == 0:
                del self._waiting[position]
                self.unanswered.append(position)
                continue
            self._waiting[position] = retries - 1
            self._deadlines.append((now_s + self._timeout_s, position, retries - 1))
            again.append(position)
        return again


def answered_request_id(datagram: bytes) -> int | None:
    """Returns the request ID of a Response without error (RFC 3416 section 4.2.4); None for anything else."""
    try:
        _, at, _ = _header(datagram, 0)
        for _ in ("version", "community"):
            _, _, at = _header(datagram, at)
        tag, at, _ = _header(datagram, at)
        _, request_at, status = _header(datagram, at)
        _, status_at, status_end = _header(datagram, status)
    except IndexError:
        return None
    if tag != _GET_RESPONSE or any(datagram[status_at:status_end]):
        return None
    return int.from_bytes(datagram[request_at:status], "big", signed=True)


def _header(datagram: bytes, at: int) -> tuple[int, int, int]:
    """Returns tag, start and end of the contents of the BER value at `at`."""
    tag, length, start = datagram[at], datagram[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(datagram[at + 2 : start], "big")
    return tag, start, start + length
