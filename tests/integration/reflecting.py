"""A STAMP reflector (RFC 8762) that loses and delays as it is told: a program without netmon, so what both understand is the standard.

    python reflecting.py PORT SEED ADDRESS...

Each line on its standard input is JSON of `[ADDRESS, share lost, delay in seconds]`, answered by a line. It ends with its input. It is
stateful (section 4.3): the number in an answer counts what this sender has sent here. It says `ready` when it listens.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import selectors
import socket
import struct
import sys
import time
from typing import Any

_QUESTION = struct.Struct("!I8s2sH")  # sequence number, timestamp, error estimate, SSID (RFC 8972) or zeros
_ANSWER = struct.Struct("!IQHHQI8s2sHB3x")
_OCTETS = 44
_ERROR_ESTIMATE = 0x0001
_TTL = 255
_NTP_S = 2_208_988_800
_LOOK_S = 1.0


def ntp(unix_s: float) -> int:
    """Seconds since 1900, and 2^-32 parts of them."""
    return int((unix_s + _NTP_S) * 2**32) & (2**64 - 1)


def answer(question: bytes, count: int, received_s: float) -> bytes:
    """Section 4.3.1; what is longer than the base packet goes back as it came."""
    seq, stamp, error_estimate, ssid = _QUESTION.unpack_from(question)
    head = _ANSWER.pack(
        count, ntp(time.time()), _ERROR_ESTIMATE, ssid, ntp(received_s), seq, stamp, error_estimate, 0, _TTL
    )
    return head + question[_OCTETS:]


class Reflector:
    """All sockets, one for each address."""

    def __init__(self, port: int, seed: int, addresses: list[str]) -> None:
        """Binds them."""
        self._random = random.Random(seed)
        self._faults = dict.fromkeys(addresses, (0.0, 0.0))
        self._counts: dict[Any, int] = {}
        self._order = itertools.count()
        self._later: list[tuple[float, int, socket.socket, bytes, Any]] = []
        self._selector = selectors.DefaultSelector()
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.bind((address, port))
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, address)
        self._selector.register(sys.stdin, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Until the input ends."""
        print("ready", flush=True)
        while True:
            wait_s = self._later[0][0] - time.monotonic() if self._later else _LOOK_S
            for key, _ in self._selector.select(max(0.0, wait_s)):
                if key.data is None:
                    if not self._told():
                        return
                else:
                    self._reflect(key.fileobj, key.data)
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, sock, body, peer = heapq.heappop(self._later)
                sock.sendto(body, peer)

    def _told(self) -> bool:
        line = sys.stdin.readline()
        if line:
            address, loss, delay_s = json.loads(line)
            self._faults[address] = (loss, delay_s)
            print("done", flush=True)
        return bool(line)

    def _reflect(self, sock: Any, address: str) -> None:
        question, peer = sock.recvfrom(2_048)
        received_s = time.time()
        loss, delay_s = self._faults[address]
        if len(question) < _OCTETS or self._random.random() < loss:
            return
        session = (address, peer)
        count = self._counts[session] = self._counts.get(session, -1) + 1
        body = answer(question, count, received_s)
        heapq.heappush(self._later, (time.monotonic() + delay_s, next(self._order), sock, body, peer))


if __name__ == "__main__":
    Reflector(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]).run()
