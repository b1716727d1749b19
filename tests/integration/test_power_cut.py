"""A power cut takes of marks, digests and counters what was not brought to the disk. Each trap is in one stream afterwards, once.

What may be left of a file: what it held at its last fdatasync, what it holds now, and any mixture of the two, block by block.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from netmon.buffer.late_stream import LateStream
from netmon.buffer.stream import Streams
from netmon.model import LaneSettings, RedisSettings, SheddingSettings
from netmon.snmp.encode import encode_v2c
from netmon.trap_receiver import decode as decoding
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.decode import Decode
from netmon.trap_receiver.journal.segment import LAYOUT_IPV6, Position
from netmon.trap_receiver.late import waiting
from netmon.trap_receiver.late.feed import LateFeed, decoded_limit
from netmon.trap_receiver.late.reread import Reread
from netmon.trap_receiver.ledger import COMMIT_FIELDS, COMMIT_STATE, DECODE_STATE, LATE_STATE
from netmon.trap_receiver.state import StatePage, read_state
from tests.integration.snmpv3 import ENGINE, KNOWN, Device
from tests.integration.valkey import Valkey
from tests.unit.trap_receiver.samples import NOON_NS, open_writer, record_ipv6

FRAMES, FRAME = 40, 20
COUNT: Final = FRAMES * FRAME
KEYLESS: Final = set(range(30, COUNT + 1, 45))
"""Datagrams of SNMPv3 whose user nobody knows: they wait for ever."""
BLOCK = 16
"""Smaller than on any disk: more mixtures."""
CUTS = 8
"""Moments of a run at which the power is cut."""
STEPS = 250
"""Fewer than a run has."""
STREAMS = ("traps", "express", "late")
FILES = ("*.marks", "*.digests")


class PowerCut(BaseException):
    """Nothing catches it."""


class Machine:
    """A lane whose writes are watched, so that what is on its disk is known, and whose power may be cut before any of them."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.settings = LaneSettings(
            receiver="r",
            lane=0,
            listen="",
            directory=str(directory),
            redis=RedisSettings(url=url),
            shedding=SheddingSettings(backlog_max=100, source_rate_max=1, source_burst_max=20),
        )
        self.steps = 0
        self.cut_at = 0
        self._durable: dict[Path, bytes] = {}
        self._named: set[Path] = set()
        self._states: list[dict[str, bytes]] = []
        self._ends = journal(directory)
        self._commit = StatePage(directory / COMMIT_STATE, COMMIT_FIELDS)
        self._grown = 0
        self.grow(12)

    def grow(self, frames: int) -> bool:
        """More of the journal is durable; whether that was all."""
        self._grown = min(self._grown + frames, FRAMES)
        values = self._commit.values
        values["segment"], values["offset"], values["seq"] = self._ends[self._grown - 1]
        self._commit.publish()
        return self._grown == FRAMES

    def step(self) -> None:
        """A moment at which the power may be cut."""
        self.steps += 1
        self._states.append({name: (self.directory / name).read_bytes() for name in self._kept_states()})
        if self.steps == self.cut_at:
            raise PowerCut

    def _kept_states(self) -> list[str]:
        return [name for name in (DECODE_STATE, LATE_STATE) if (self.directory / name).exists()]

    def synced(self, fd: int) -> None:
        """The content of a file is on the disk; or the names of all files in the folder."""
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.is_dir():
            self._named = {file for pattern in FILES for file in path.glob(pattern)}
        else:
            self._durable[path] = path.read_bytes()

    def boot(self, damage: str, dice: random.Random) -> None:
        """The disk as it may be after the cut."""
        for path in (path for pattern in FILES for path in self.directory.glob(pattern)):
            if damage == "old" and path not in self._named:
                path.unlink()
            else:
                path.write_bytes(damaged(damage, self._durable.get(path, b""), path.read_bytes(), dice))
        if (damage == "old counters" or dice.random() < 0.3) and self._states:
            for name, content in dice.choice(self._states).items():
                (self.directory / name).write_bytes(content)
        self.cut_at = 0


def damaged(damage: str, synced: bytes, now: bytes, dice: random.Random) -> bytes:
    """What may be left of a file."""
    if damage == "old":
        return synced
    if damage == "truncated":
        return now[: dice.randint(len(synced), len(now))]
    if damage == "mixed":
        old = synced.ljust(len(now), b"\0")
        blocks = range(0, len(now), BLOCK)
        return b"".join((old if dice.random() < 0.5 else now)[at : at + BLOCK] for at in blocks)
    return now


def journal(directory: Path) -> list[Position]:
    """A storm: one source that babbles, others that say something new, and datagrams that need a key. The ends of its frames."""
    device, ends = Device(KNOWN, ENGINE), []
    directory.mkdir()
    writer = open_writer(directory, segment_bytes=64 << 10)
    for first in range(1, COUNT + 1, FRAME):
        batch = [device.message() if seq in KEYLESS else trap(seq) for seq in range(first, first + FRAME)]
        sources = [f"::ffff:192.0.2.{1 if seq % 4 else seq % 50 + 2}" for seq in range(first, first + FRAME)]
        raw = [
            record_ipv6(payload, peer=source, unix_ns=NOON_NS + seq * 1_000_000)
            for seq, (payload, source) in enumerate(zip(batch, sources, strict=True), first)
        ]
        writer.append(LAYOUT_IPV6, [len(payload) for payload in batch], b"".join(raw))
        ends.append(writer.position)
    writer.close()
    return ends


def trap(seq: int) -> bytes:
    """Each seventh says something new."""
    oid = f"1.3.6.1.4.1.8072.9999.0.{seq}" if seq % 7 == 0 else "1.3.6.1.6.3.1.1.5.3"
    return encode_v2c(community=b"p", pdu="trap", request_id=seq, uptime_centis=seq, trap_oid=oid, varbinds=[])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Machine]]:
    """Makes new ones, whose Redis, elsewhere, is empty; small batches, so that much lies between them."""
    monkeypatch.setattr(decoding, "_BATCH_MIN", 2 * FRAME)
    monkeypatch.setattr(waiting, "BATCH_ENTRIES", 2 * FRAME)
    with Valkey(tmp_path / "redis") as server, closing(server.client()) as client:
        made: list[Machine] = []

        def make() -> Machine:
            client.flushall()
            made.append(Machine(tmp_path / f"lane{len(made)}", server.url))
            return made[-1]

        yield make


@contextmanager
def watched(machine: Machine) -> Iterator[None]:
    """Each write, each sync and each batch for Redis is a step; the journal grows with the batches."""
    pwrite, fdatasync, fsync = os.pwrite, os.fdatasync, os.fsync

    def write(fd: int, data: bytes, at: int) -> int:
        machine.step()
        return pwrite(fd, data, at)

    def sync(fd: int) -> None:
        machine.step()
        fdatasync(fd)
        machine.synced(fd)

    def sync_folder(fd: int) -> None:
        machine.step()
        fsync(fd)
        machine.synced(fd)

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            machine.step()
            machine.grow(2)
            return call(*arguments)

        return stepped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", write)
        patch.setattr(os, "fdatasync", sync)
        patch.setattr(os, "fsync", sync_folder)
        for owner, name in ((Streams, "send"), (Streams, "settle"), (LateStream, "send"), (LateStream, "settle_late")):
            patch.setattr(owner, name, before(getattr(owner, name)))
        yield


def run(machine: Machine) -> None:
    """Decode from where it was to the journal's end, then what waits; or up to the power cut."""
    with watched(machine), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        decode = Decode(machine.settings, sock, Bells(None, None))
        wait = decode._durable.wait
        decode._durable.wait = lambda s: decode.stop() if machine.grow(2) else wait(s)  # type: ignore[method-assign]
        decode.run()
        late(machine)


def late(machine: Machine) -> None:
    """One pass over what waits."""
    reread = Reread(machine.settings)
    feed = LateFeed(machine.settings, reread)
    feed.open()
    feed.look()
    limit = decoded_limit(machine.directory)
    waiting.WaitingPass(feed, reread).run(waiting.ALL_MARKS, 0, limit, lambda _: True)
    feed.disconnect()
    feed.close()


def places(machine: Machine) -> dict[str, list[int]]:
    """The datagrams that each stream has."""
    with closing(redis.Redis.from_url(machine.settings.redis.url)) as client:
        found: dict[str, Any] = {name: client.xrange(f"{machine.settings.key_prefix}:{name}") for name in STREAMS}
    return {name: [int(entry_id.partition(b"-")[2]) for entry_id, _ in entries] for name, entries in found.items()}


def assert_each_once(machine: Machine) -> None:
    """In one stream, and the books say in which."""
    place = places(machine)
    assert sorted(seq for seqs in place.values() for seq in seqs) == sorted({*range(1, COUNT + 1)} - KEYLESS)
    decode, done = read_state(machine.directory / DECODE_STATE), read_state(machine.directory / LATE_STATE)
    assert decode["parked_usm_unknown_user"] == len(KEYLESS)
    assert (decode["buffered"], decode["express"], decode["parked_shed"], done["late_shed"]) == (
        len(place["traps"]),
        len(place["express"]),
        len(place["late"]),
        len(place["late"]),
    )


def test_a_storm_without_a_power_cut_uses_all_streams(machine: Callable[[], Machine]) -> None:
    """So that the tests below cut something."""
    lane = machine()
    run(lane)
    assert_each_once(lane)
    assert all(len(seqs) > 50 for seqs in places(lane).values()), places(lane)
    assert lane.steps > STEPS


@pytest.mark.parametrize("damage", ["old", "truncated", "mixed", "old counters"])
def test_a_power_cut_loses_no_trap_and_doubles_none(machine: Callable[[], Machine], damage: str) -> None:
    """At any moment, and twice; with any of what the disk may have kept."""
    dice = random.Random(damage)
    for _ in range(CUTS):
        lane = machine()
        for last in (STEPS, STEPS // 2):
            lane.cut_at = lane.steps + dice.randint(1, last)
            try:
                run(lane)
            except PowerCut:
                lane.boot(damage, dice)
        run(lane)
        assert_each_once(lane)
