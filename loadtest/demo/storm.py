"""The earthquake as devices tell it: a storm of notifications to the receiver of the centre.

    python -m loadtest.demo.storm       settings (`Storm`) on its standard input; it ends when all is sent

Routers lose neighbours, and ports that nobody's line ends at; UPSs of the coast run on batteries and say so again and again. None of it says
anything of the lines that are going to be cut: that is for the probes to find.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from loadtest.earthquake import notices
from netmon.inventory import schema
from netmon.inventory.model import Inventory

SPARE_PORTS: Final = range(11, 40)
"""At which no line ends."""


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and where to."""

    region: str
    """File."""
    to: tuple[str, int]
    rate: float
    """A second."""
    seconds: float


def told(region: Inventory) -> Iterator[notices.Notice]:
    """What is said, in turn, without end: each device of the areas that are struck."""
    devices = {device.id: device for device in region.devices}
    struck = {site.id for site in region.sites if site.area_id == region.areas[0].id}
    routers = [device for device in devices.values() if device.kind == "router" and device.site_id in struck]
    batteries = [device for device in devices.values() if device.is_power]
    for turn in itertools.count():
        for device in batteries:
            yield notices.on_battery(device, 60)
        port = SPARE_PORTS[turn % len(SPARE_PORTS)]
        for device in routers:
            yield notices.link(device, port, up=False)
            yield notices.ospf(device, f"198.51.100.{port}", up=False)
            yield notices.bgp(device, f"203.0.113.{port}", up=False)


def send(storm: Storm) -> int:
    """Sends all of it at its pace; returns how many."""
    region = schema.read(Path(storm.region))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    began = time.monotonic()
    count = 0
    for notice in told(region):
        due = began + count / storm.rate
        if due > began + storm.seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        sock.sendto(notices.datagram(notice), storm.to)
        count += 1
    return count


if __name__ == "__main__":
    print(send(msgspec.json.decode(sys.stdin.buffer.read(), type=Storm)))
