"""Datagrams in any order, each numbered, sent with sendmmsg(2): the ring of a storm that tells a story.

Each message has two parts (iovec): its head, which lies in memory once however often it is sent, and the eight octets of its
number, which every notification of ours ends with. So a batch costs a few array copies in C and one system call.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from loadtest.ring import open_socket, send_messages
from loadtest.target import Target
from loadtest.templates import number

BATCH_MAX: Final = 1_024
"""Datagrams of one system call; Linux takes no more (UIO_MAXIOV)."""
_NUMBER_BYTES: Final = 8
_MMSGHDR: Final = struct.Struct("<QIIQQQQiIII")
_WORDS: Final = 4
"""64-bit words of the two parts of a message: address and length of each."""


class ScriptPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and in which order."""

    target: Target
    run: int
    """Identifies this storm in the numbers."""
    datagrams: Sequence[bytes]
    """Each once; its last eight octets are its number."""
    order: array[int]
    """Which datagram goes at which position."""
    version: Literal["v2c"] = "v2c"
    gso: Literal[1] = 1


class ScriptRing:
    """The datagrams of a script, ready to send."""

    def __init__(self, plan: ScriptPlan) -> None:
        """Lays the datagrams out and opens the socket.

        Raises:
            OSError: No socket.
        """
        self.plan = plan
        self.socket = open_socket(plan.target, sources=1)
        self._fd = self.socket.fileno()
        self._order = plan.order
        heads = [datagram[:-_NUMBER_BYTES] for datagram in plan.datagrams]
        self._heads = array("B", b"".join(heads))
        self._lengths = [len(head) for head in heads]
        self._addresses, at = [], self._heads.buffer_info()[0]
        for length in self._lengths:
            self._addresses.append(at)
            at += length
        # None of these is ever resized, so their addresses stay.
        self._numbers = array("Q", bytes(8 * BATCH_MAX))
        self._vectors = array("Q", bytes(8 * _WORDS * BATCH_MAX))
        self._vectors[2::_WORDS] = array("Q", range(self._numbers.buffer_info()[0], 1 << 64, 8)[:BATCH_MAX])
        self._vectors[3::_WORDS] = array("Q", [_NUMBER_BYTES] * BATCH_MAX)
        first = self._vectors.buffer_info()[0]
        vectors = range(first, first + 8 * _WORDS * BATCH_MAX, 8 * _WORDS)
        self._headers = array("B", b"".join(_MMSGHDR.pack(0, 0, 0, at, 2, 0, 0, 0, 0, 0, 0) for at in vectors))

    def send(self, position: int, count: int) -> int:
        """Sends the datagrams at `position`, `position` + 1, …; at most `count`.

        Returns:
            How many the kernel took.

        Raises:
            OSError: The kernel took none. ECONNREFUSED tells of an earlier one, and may be tried again.
        """
        chosen = self._order[position : position + min(count, BATCH_MAX)]
        end = len(chosen) * _WORDS
        self._vectors[0:end:_WORDS] = array("Q", map(self._addresses.__getitem__, chosen))
        self._vectors[1:end:_WORDS] = array("Q", map(self._lengths.__getitem__, chosen))
        first = number(self.plan.run, position)
        numbers = array("Q", range(first, first + len(chosen)))
        numbers.byteswap()
        self._numbers[: len(chosen)] = numbers
        return send_messages(self._fd, self._headers.buffer_info()[0], len(chosen))
