"""Numbered traps at a rate; as a program, from a process of its own that imports little, so that the test can break things meanwhile.

python -m tests.integration.sending PORT FIRST COUNT RATE [babble]
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final

from netmon.snmp.encode import encode_v2c

NUMBER_OID: Final = "1.3.6.1.4.1.8072.9999.1"
"""Of the varbind that carries a test trap's number; under netSnmpPlaypen."""
LINK_DOWN: Final = "1.3.6.1.6.3.1.1.5.3"
NEW_OID: Final = "1.3.6.1.4.1.8072.9999.0."
SOURCES: Final = 6
_AHEAD_S: Final = 0.002
"""Shorter sleeps cost more than they are long."""


def trap(number: int, trap_oid: str = LINK_DOWN, *, inform: bool = False, community: bytes = b"public") -> bytes:
    """A v2c notification that carries a number; for an INFORM it is the request ID too."""
    return encode_v2c(
        community=community,
        pdu="inform" if inform else "trap",
        request_id=number,
        uptime_centis=number & 0xFFFF_FFFF,
        trap_oid=trap_oid,
        varbinds=[(NUMBER_OID, "Integer32", number)],
    )


def paced(datagrams: Iterable[bytes], rate: float | None) -> Iterator[bytes]:
    """Yields them, at most `rate` a second (None: as fast as they are taken)."""
    started = time.monotonic()
    for count, datagram in enumerate(datagrams, 1):
        if rate is not None and (ahead_s := started + count / rate - time.monotonic()) > _AHEAD_S:
            time.sleep(ahead_s)
        yield datagram


def send(port: int, datagrams: Iterable[bytes], rate: float | None, source: str = "") -> int:
    """Sends them to a port of the loopback; returns how many."""
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if source:
            sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
        for datagram in paced(datagrams, rate):
            sock.send(datagram)
            count += 1
    return count


def babble(port: int, first: int, count: int, rate: float) -> None:
    """Nine of ten from one source of the loopback, the rest from five others; each fiftieth is of a kind of its own."""
    numbers = range(first, first + count)
    datagrams = (trap(number, f"{NEW_OID}{number}" if number % 50 == 0 else LINK_DOWN) for number in numbers)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(SOURCES)]
        for index, sock in enumerate(sockets, 1):
            sock.bind((f"127.0.0.{index}", 0))
            sock.connect(("127.0.0.1", port))
        for number, datagram in zip(numbers, paced(datagrams, rate), strict=True):
            sockets[0 if number % 10 else 1 + number // 10 % (SOURCES - 1)].send(datagram)


def main(port: str, first: str, count: str, rate: str, kind: str = "") -> None:
    """What the arguments say."""
    if kind == "babble":
        babble(int(port), int(first), int(count), float(rate))
    else:
        send(int(port), (trap(number) for number in range(int(first), int(first) + int(count))), float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
