"""Measures how long a trap takes to be readable over the API: `python -m loadtest.figures.alarm_probe UDP_PORT API_PORT COUNT RATE`.

A process of its own, so that whoever sends a storm meanwhile does not take its processor time. Each probe is a linkDown of a port
of its own, from one address; a thread listens to the API's events. Prints milliseconds as a JSON list, in the order of arrival.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
import urllib.request
from typing import Final

from netmon.snmp.encode import encode_v2c

_LINK_DOWN: Final = "1.3.6.1.6.3.1.1.5.3"
_IF_INDEX: Final = "1.3.6.1.2.1.2.2.1.1"
_FIRST_PORT: Final = 1_000_000
"""No port of a storm's devices."""
_GRACE_S: Final = 10.0
_RESOURCE: Final = re.compile(rb'"resource":"source/127\.0\.0\.1/interface/(\d+)"')


class Probe:
    """Sends, and listens for what it has sent."""

    def __init__(self, udp_port: int, api_port: int) -> None:
        """Connects to the API; from then on nothing is missed. Raises OSError."""
        self._udp_port = udp_port
        self._events = urllib.request.urlopen(f"http://127.0.0.1:{api_port}/api/v1/events", timeout=60)
        while not self._events.readline().startswith(b"event: ready"):
            pass
        self._sent: dict[int, int] = {}
        self._took: dict[int, float] = {}
        threading.Thread(target=self._listen, name="probe.events", daemon=True).start()

    def run(self, count: int, rate: float) -> list[float]:
        """Sends so many, and waits until all are seen, or ten seconds."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._udp_port))
            started = time.monotonic()
            for number in range(count):
                time.sleep(max(started + number / rate - time.monotonic(), 0.0))
                port = _FIRST_PORT + number
                datagram = encode_v2c(
                    community=b"public",
                    pdu="trap",
                    request_id=number + 1,
                    uptime_centis=number,
                    trap_oid=_LINK_DOWN,
                    varbinds=[(f"{_IF_INDEX}.{port}", "Integer32", port)],
                )
                self._sent[port] = time.monotonic_ns()
                sock.send(datagram)
        deadline = time.monotonic() + _GRACE_S
        while len(self._took) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return list(self._took.values())

    def _listen(self) -> None:
        for line in self._events:
            found = _RESOURCE.search(line)
            port = int(found[1]) if found else 0
            if port in self._sent and port not in self._took:
                self._took[port] = (time.monotonic_ns() - self._sent[port]) / 1e6


def main() -> None:
    """Prints what was measured."""
    udp_port, api_port, count = map(int, sys.argv[1:4])
    print(json.dumps(Probe(udp_port, api_port).run(count, float(sys.argv[4]))))


if __name__ == "__main__":
    main()
