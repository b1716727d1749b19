"""A STAMP reflector on all addresses of the loopback that keeps the time: `python -m loadtest.figures.echoing PORT`.

It answers everything, at once. Of each question it takes the kernel's stamp of its arrival, which on the loopback is the moment at
which the sender's packet left, and compares it with the timestamp that the sender has put in: so late, or early, is the sender's own
idea of when it asked, and thus every round trip that it measures. After SIGTERM it prints one line of JSON.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
from collections import Counter
from typing import Final

import msgspec

from netmon.active_probe.arrival import received_unix_ns
from netmon.active_probe.stamp.packet import ANSWER, QUESTION
from netmon.sockets import IP_PKTINFO, SO_TIMESTAMPNS

_NTP_S: Final = 2_208_988_800
_BUFFER_BYTES: Final = 16 << 20
_LOOK_S: Final = 0.2
_TTL: Final = 255
_INFO: Final = struct.Struct("=i4s4s")
"""in_pktinfo of ip(7): interface, the local address, the address asked."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What it has seen."""

    answered: int
    apart_us: list[float]
    """From the sender's timestamp to the kernel's, sorted: the quantiles 0, 0.01, 0.5, 0.99, 0.999 and 1."""
    bundles: dict[int, int]
    """How many milliseconds had so many questions; those without any are not counted."""


class Echo:
    """The reflector."""

    def __init__(self, port: int) -> None:
        """Binds it."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("0.0.0.0", port))
        self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, _BUFFER_BYTES)  # SO_RCVBUFFORCE
        self._socket.settimeout(_LOOK_S)
        self._apart_ns: list[int] = []
        self._milliseconds: Counter[int] = Counter()
        self._stopping = False

    def stop(self) -> None:
        """Makes `run` return soon."""
        self._stopping = True

    def run(self) -> None:
        """Answers until `stop`."""
        print("ready", flush=True)
        while not self._stopping:
            try:
                self._answer()
            except TimeoutError:
                continue

    def _answer(self) -> None:
        question, messages, _, peer = self._socket.recvmsg(2_048, 256)
        seq, stamp, error_estimate, ssid = QUESTION.unpack(question)
        info = next(data for level, kind, data in messages if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO))
        answer = ANSWER.pack(seq, stamp, error_estimate, ssid, stamp, seq, stamp, error_estimate, _TTL)
        control = (socket.IPPROTO_IP, IP_PKTINFO, _INFO.pack(0, info[8:12], b"\0\0\0\0"))
        self._socket.sendmsg([answer], [control], 0, peer)
        came_ns = received_unix_ns(messages)
        seconds, rest = stamp >> 32, stamp & 0xFFFF_FFFF
        self._apart_ns.append(came_ns - ((seconds - _NTP_S) * 1_000_000_000 + (rest * 1_000_000_000 >> 32)))
        self._milliseconds[came_ns // 1_000_000] += 1

    def kept(self) -> Kept:
        """All of it, in brief."""
        apart = sorted(self._apart_ns)
        return Kept(
            answered=len(apart),
            apart_us=[apart[int(share * (len(apart) - 1))] / 1e3 for share in (0, 0.01, 0.5, 0.99, 0.999, 1)],
            bundles=dict(sorted(Counter(self._milliseconds.values()).items())),
        )


def main() -> int:
    """Returns the exit code."""
    echo = Echo(int(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: echo.stop())
    echo.run()
    print(msgspec.json.encode(echo.kept()).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
