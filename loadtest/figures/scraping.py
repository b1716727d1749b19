"""Asks blackbox_exporter as Prometheus does: each target once a second, evenly spread, over connections that are kept.

    python -m loadtest.figures.scraping PORT WARM_S SECONDS TARGET...

Says `begin` when it has warmed up, and at the end how many probes had success since then.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

_CLIENTS: Final = 20
_TRIES_S: Final = 10.0
_SUCCESS: Final = b"\nprobe_success 1\n"


class Scraper:
    """All clients, each with its share of the targets."""

    def __init__(self, port: int, targets: Sequence[str]) -> None:
        self.answered = 0
        self._port = port
        self._lock = threading.Lock()
        self._shares = [targets[number::_CLIENTS] for number in range(_CLIENTS)]

    def run(self) -> None:
        """Starts all clients; they end with the process."""
        for number, share in enumerate(self._shares):
            threading.Thread(target=self._ask, args=(number, share), daemon=True).start()

    def _ask(self, number: int, targets: Sequence[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TRIES_S)
        pause_s = 1.0 / len(targets)
        due_s = time.monotonic() + pause_s * number / _CLIENTS
        while True:
            for target in targets:
                time.sleep(max(0.0, due_s - time.monotonic()))
                due_s += pause_s
                connection.request("GET", f"/probe?module=icmp&target={target}")
                if _SUCCESS in connection.getresponse().read():
                    with self._lock:
                        self.answered += 1


def await_served(port: int) -> None:
    """Until the exporter answers; returns after some seconds if it does not, and the first question then fails."""
    deadline = time.monotonic() + _TRIES_S
    while not _is_served(port) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_served(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def main() -> None:
    """See the module."""
    port, warm_s, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    await_served(port)
    scraper = Scraper(port, sys.argv[4:])
    scraper.run()
    time.sleep(warm_s)
    print("begin", flush=True)
    before = scraper.answered
    time.sleep(seconds)
    print(scraper.answered - before, flush=True)


if __name__ == "__main__":
    main()
