"""The late stream against a Redis that loses it at the worst moment, and another process that finds what is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from netmon.model import LaneSettings, RedisSettings
from netmon.snmp.encode import encode_v2c
from netmon.trap_receiver.feed import StreamChangedError
from netmon.trap_receiver.journal.marks import PARKED_MARKS
from netmon.trap_receiver.journal.segment import Position, Reader, records
from netmon.trap_receiver.late.feed import Late, LateFeed
from netmon.trap_receiver.late.reread import Reread
from netmon.trap_receiver.ledger import DECODE_FIELDS, DECODE_STATE
from netmon.trap_receiver.state import StatePage
from tests.integration.valkey import Valkey
from tests.unit.trap_receiver.samples import append, open_writer

KEY = "netmon:{r:0}:late"
REASON = "usm_unknown_user"
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"


class Lane:
    """30 traps in a journal, on a Valkey of their own."""

    def __init__(self, directory: Path, url: str) -> None:
        self._limit = append(
            open_writer(directory, segment_bytes=1 << 20),
            [
                encode_v2c(community=b"p", pdu="trap", request_id=n, uptime_centis=n, trap_oid=LINK_DOWN, varbinds=[])
                for n in range(30)
            ],
        )
        state = StatePage(directory / DECODE_STATE, DECODE_FIELDS)
        state.values["segment"], state.values["offset"], state.values["seq"] = self._limit
        state.publish()
        self._directory = directory
        self.settings = LaneSettings(
            receiver="r", lane=0, listen="x", directory=str(directory), redis=RedisSettings(url=url)
        )
        self.client = redis.Redis(unix_socket_path=url.removeprefix("unix://"))

    def feed(self) -> LateFeed:
        """As a process has it that was just started."""
        feed = LateFeed(self.settings, Reread(self.settings))
        feed.open()
        return feed

    def put(self, feed: LateFeed, first: int, last: int) -> None:
        """Puts datagrams into the stream as if they had waited."""
        reread, mark = Reread(self.settings), PARKED_MARKS[REASON]
        frame = Reader(self._directory, Position(0, 0, 0)).next(self._limit)
        assert frame is not None
        batch = []
        for seq, record in enumerate(records(frame), frame.first_seq):
            reading = reread.read(seq, record)
            assert not isinstance(reading, str)
            batch.append(Late(seq, mark, reading))
        feed.put(batch[first - 1 : last])


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    """A lane whose journal decode has passed."""
    (tmp_path / "redis").mkdir()
    (tmp_path / "lane").mkdir()
    with Valkey(tmp_path / "redis") as server:
        yield Lane(tmp_path / "lane", server.url)


@pytest.mark.parametrize("fault", ["killed", "stopped", "disconnected"])
def test_flushall_and_then_a_fault_lose_nothing(lane: Lane, fault: str) -> None:
    """A batch on its way begins the stream anew before anybody has looked: it must not pass for one that was trimmed."""
    feed = lane.feed()
    feed.look()
    lane.put(feed, 1, 20)
    feed.settle()
    feed.look()
    lane.client.flushall()
    lane.put(feed, 21, 30)
    deadline = time.monotonic() + 10
    while lane.client.xlen(KEY) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    if fault == "stopped":
        with pytest.raises(StreamChangedError):
            feed.settle()
        feed.close()
    if fault == "disconnected":
        feed.disconnect()
    after = feed if fault == "disconnected" else lane.feed()
    after.look()
    after.look()

    assert lane.client.xlen(KEY) == 30
    assert after.counts()[f"late_{REASON}"] == 30


def test_a_stream_that_was_trimmed_is_left_as_it_is(lane: Lane) -> None:
    """What the groups have acknowledged does not come back with a new process."""
    feed = lane.feed()
    feed.look()
    lane.put(feed, 1, 30)
    feed.settle()
    lane.client.xtrim(KEY, maxlen=5, approximate=False)
    with contextlib.closing(lane.feed()) as after:
        after.look()
        after.look()

    assert lane.client.xlen(KEY) == 5
