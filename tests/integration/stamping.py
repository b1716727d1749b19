"""STAMP for tests: a reflector in a thread, channels to it, and answers made by hand."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netmon.active_probe.probers.base import PacketProber, Reply
from netmon.active_probe.probers.stamp import StampChannel, open_channel
from netmon.active_probe.stamp.packet import (
    Answer,
    Question,
    error_estimate_of,
    timestamp_of,
)
from netmon.active_probe.stamp.reflector import Reflector, ReflectorSettings
from netmon.inventory.probes import Pin, StampProbe

LIMIT_S = 10.0
KEY = b"0123456789abcdef"
SECRETS = {"key": KEY.decode(), "wrong": KEY.decode()[::-1]}


def replies_of(channel: PacketProber, count: int) -> list[Reply]:
    """The next replies, as soon as there are so many; fewer after a time in which a machine in distress has answered, too."""
    found: list[Reply] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(found) < count and (left_s := deadline_s - time.monotonic()) > 0:
        select.select([channel.fileno()], [], [], left_s)
        found += channel.receive()
    return found


def ask(channel: PacketProber, *seqs: int, target: int = 0) -> list[Reply]:
    """Sends these, and returns as many replies."""
    for seq in seqs:
        channel.send(target, seq, time.time_ns())
    return replies_of(channel, len(seqs))


@contextmanager
def reflecting(*listen: str, **settings: Any) -> Iterator[Reflector]:
    """A reflector at work."""
    reflector = Reflector(ReflectorSettings(listen=listen or ("127.0.0.1:0",), **settings))
    thread = threading.Thread(target=reflector.run)
    thread.start()
    try:
        yield reflector
    finally:
        reflector.stop()
        thread.join()
        reflector.close()


def probe_at(where: str, *, host: str = "", key_file: str = "") -> StampProbe:
    """Of what listens at ADDRESS:PORT."""
    address, _, port = where.rpartition(":")
    return StampProbe(address=host or address.strip("[]"), port=int(port), key_file=key_file)


def channel_to(where: str, *, host: str = "", key_file: str = "", pin: Pin | None = None) -> StampChannel:
    """One target."""
    return open_channel(pin or Pin(), [probe_at(where, host=host, key_file=key_file)], SECRETS)


def answer_to(question: Question) -> Answer:
    """A good one."""
    now = timestamp_of(time.time_ns())
    estimate = error_estimate_of(0.001)
    return Answer(
        9, now, estimate, question.ssid, now, question.sequence, question.timestamp, question.error_estimate, 64
    )
