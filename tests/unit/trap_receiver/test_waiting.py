"""What waits: whose segment it keeps, and whose marks are written where."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import pytest

from netmon.model import V3Settings, V3User
from netmon.snmp.encode import encode_v3
from netmon.snmp.keys import LocalKeys, UserKeys
from netmon.trap_receiver.decoder import Decoder
from netmon.trap_receiver.journal.marks import (
    ELSEWHERE,
    LATE_MARKS,
    PARKED_AS,
    PARKED_MARKS,
    PENDING_MARKS,
    SHED_TRIED,
    Marks,
)
from netmon.trap_receiver.journal.segment import Record, segment_path, segments
from netmon.trap_receiver.late.feed import Late, LateFeed
from netmon.trap_receiver.late.reread import Reread, last_seq, segment_of
from netmon.trap_receiver.late.waiting import ALL_MARKS, WaitingPass
from netmon.trap_receiver.ledger import PARK_REASONS, SHED
from tests.unit.trap_receiver.samples import NOON_NS, append, lane_settings, open_writer

OPS = V3User(name="ops", auth="sha256", auth_passphrase="maplesyrup1")


def message(time_s: int, user: V3User = OPS) -> bytes:
    """A linkDown that an engine said at this time of its clock."""
    return encode_v3(
        keys=LocalKeys(UserKeys(user), bytes.fromhex("8000000001aaaaaaaa")),
        boots=1,
        time_s=time_s,
        salt=1,
        msg_id=1,
        pdu="trap",
        request_id=1,
        uptime_centis=1,
        trap_oid="1.3.6.1.6.3.1.1.5.3",
        varbinds=[],
    )


class NoFeed:
    """The part of a late feed that a pass needs; what it is given goes nowhere."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.marks = Marks(directory)
        self.batch: list[Late] = []

    def put(self, batch: list[Late]) -> None:
        """Something was found after all."""
        self.batch += batch

    def settle(self) -> None:
        """Nothing is on its way."""

    sync = end_pass = settle


@pytest.mark.parametrize(
    ("mark", "left"),
    [
        (PENDING_MARKS["usm_unknown_user"], PARKED_MARKS["usm_unknown_user"]),
        (PENDING_MARKS[SHED], SHED_TRIED),
        (PARKED_MARKS[SHED], SHED_TRIED),
        (SHED_TRIED, SHED_TRIED),
        (PARKED_MARKS["usm_wrong_key"], PARKED_MARKS["usm_wrong_key"]),
    ],
)
def test_what_cannot_be_read_any_more_keeps_no_segment(tmp_path: Path, mark: int, left: int) -> None:
    """Its user was taken out again after somebody was killed who had begun with it."""
    user = V3User(
        name="ops", auth="sha256", auth_passphrase="maplesyrup1", priv="aes128", priv_passphrase="maplesyrup2"
    )
    limit = append(open_writer(tmp_path), [message(10, user)])
    feed = NoFeed(tmp_path)
    feed.marks.write(1, 1, bytes([mark]))
    settings = lane_settings(tmp_path)
    WaitingPass(cast("LateFeed", feed), Reread(settings)).run(ALL_MARKS, 0, limit, lambda _: True)

    assert feed.marks.read(1, 1, 1) == bytes([left])
    assert Marks(tmp_path).expire(1) is not None


def test_a_gone_datagram_is_in_no_segment(tmp_path: Path) -> None:
    """The segment before it is kept for what waits in it; those between are deleted."""
    writer = open_writer(tmp_path)
    while len(segments(tmp_path)) < 3:
        append(writer, [bytes(1_000)] * 2)
    first, second, third = segments(tmp_path)
    segment_path(tmp_path, second).unlink()
    kept = segments(tmp_path)

    assert last_seq(tmp_path, kept, first) == second - 1
    assert [segment_of(tmp_path, kept, seq) for seq in (0, 1, second - 1, second, third - 1, third, third + 9)] == [
        None,
        first,
        first,
        None,
        None,
        third,
        third,
    ]


def test_what_is_late_says_why_it_had_waited() -> None:
    """Decode counts it once more when a power cut has taken its counters."""
    assert {PARKED_AS[mark] for mark in LATE_MARKS.values()} == set(PARK_REASONS)
    assert PARKED_AS.keys() <= ELSEWHERE


@pytest.mark.parametrize(("learnt", "reason"), [(False, ""), (True, "usm_not_in_time_window")])
def test_a_pass_judges_by_what_decode_has_learnt_since(tmp_path: Path, learnt: bool, reason: str) -> None:
    """The late role lives for weeks: a recorded message is one by the clock of its engine as it is known when the pass begins."""
    before_ms = time.time_ns() // 1_000_000
    limit = append(open_writer(tmp_path), [message(time_s=10)])
    settings = lane_settings(tmp_path, snmpv3=V3Settings(users=(OPS,)))
    feed, reread = NoFeed(tmp_path), Reread(settings)
    feed.marks.write(1, 1, bytes([PARKED_MARKS["usm_unknown_user"]]))
    if learnt:
        decoder = Decoder(settings)
        decoder.decode(Record(NOON_NS, "192.0.2.7", 162, "192.0.2.1", message(time_s=10_000), before_ms))
        decoder.remember(at_once=True)
    WaitingPass(cast("LateFeed", feed), reread).run(ALL_MARKS, 0, limit, lambda _: True)

    assert [(late.seq, late.reading.reason) for late in feed.batch] == [(1, reason)]
