"""What commit believes: only a capture that lives."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from netmon.snmp.encode import encode_v2c
from netmon.trap_receiver.bell import Bells
from netmon.trap_receiver.commit import Commit
from netmon.trap_receiver.journal.marks import LATE_MARKS, PARKED_MARKS, TURN, Digests, Marks
from netmon.trap_receiver.journal.segment import segment_path, segments
from netmon.trap_receiver.ledger import (
    CAPTURE_FIELDS,
    CAPTURE_STATE,
    COMMIT_FIELDS,
    COMMIT_STATE,
    DECODE_FIELDS,
    DECODE_STATE,
)
from netmon.trap_receiver.state import StatePage, read_state
from tests.unit.trap_receiver.samples import append, lane_settings, open_writer, record_ipv6


@pytest.mark.parametrize(("alive", "durable"), [(False, 0), (True, 2)])
def test_only_a_living_capture_says_where_the_journal_ends(tmp_path: Path, alive: bool, durable: int) -> None:
    """After a power cut, what the dead one had counted may be gone; its successor cuts the journal and then speaks."""
    settings = lane_settings(tmp_path)
    writer = open_writer(tmp_path)
    capture = StatePage(tmp_path / CAPTURE_STATE, CAPTURE_FIELDS)
    capture.values["segment"], capture.values["offset"], capture.values["captured"] = append(writer, [b"x", b"y"])
    capture.values["heartbeat_unix_ns"] = 1
    capture.publish()
    writer.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        commit = Commit(settings, sock, Bells(None, None))
        if alive:
            capture.values["heartbeat_unix_ns"] = 2
            capture.publish()
        commit.stop()
        commit.run()

    assert read_state(tmp_path / COMMIT_STATE)["seq"] == durable


def test_an_inform_is_not_answered_when_the_disk_refuses_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fdatasync the kernel may forget what it could not write: decode may have it, nobody is answered."""

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    settings = lane_settings(tmp_path)
    inform = encode_v2c(
        community=b"public", pdu="inform", request_id=7, uptime_centis=1, trap_oid="1.3.6.1.6.3.1.1.5.3", varbinds=[]
    )
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device,
    ):
        ours.bind(("::", 0))
        device.bind(("127.0.0.1", 0))
        device.setblocking(False)
        writer = open_writer(tmp_path)
        capture = StatePage(tmp_path / CAPTURE_STATE, CAPTURE_FIELDS)
        commit = Commit(settings, ours, Bells(None, None))
        monkeypatch.setattr(os, "fdatasync", refuse)
        port = device.getsockname()[1]
        writer.append(
            6, [len(inform)], record_ipv6(inform, peer="::ffff:127.0.0.1", port=port, local="::ffff:127.0.0.1")
        )
        capture.values["segment"], capture.values["offset"], capture.values["captured"] = writer.position
        capture.values["heartbeat_unix_ns"] = 1
        capture.publish()
        commit.stop()
        commit.run()
        writer.close()
        with pytest.raises(BlockingIOError):
            device.recv(65_536)

    state = read_state(tmp_path / COMMIT_STATE)
    assert (state["seq"], state["sync_failures"], state["informs_withheld"], state["informs_answered"]) == (1, 1, 1, 0)


def journal_of_segments(directory: Path, count: int) -> list[int]:
    """A journal with a frame in each of its segments, all of it decoded, and a capture that lives; first seqs."""
    writer = open_writer(directory, segment_bytes=4_096)
    capture = StatePage(directory / CAPTURE_STATE, CAPTURE_FIELDS)
    for _ in range(count):
        end = append(writer, [bytes(1_000)] * 3)
    writer.close()
    capture.values["segment"], capture.values["offset"], capture.values["captured"] = end
    capture.publish()
    decode = StatePage(directory / DECODE_STATE, DECODE_FIELDS)
    decode.values["segment"], decode.values["offset"], decode.values["seq"] = end
    decode.publish()
    return segments(directory)


def keep_house(directory: Path) -> dict[str, int]:
    """One round of a commit that keeps nothing for long; its counters."""
    settings = lane_settings(directory, journal_age_max_s=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        commit = Commit(settings, sock, Bells(None, None))
        capture = StatePage(directory / CAPTURE_STATE, CAPTURE_FIELDS)
        capture.values["heartbeat_unix_ns"] += 1
        capture.publish()
        commit.stop()
        commit.run()
    return read_state(directory / COMMIT_STATE)


def test_a_segment_stays_while_what_was_shed_in_it_waits(tmp_path: Path) -> None:
    """Younger ones without such are deleted before it; what waits for a configuration goes with them, and is counted."""
    first, second, third, last = journal_of_segments(tmp_path, 4)
    marks = Marks(tmp_path)
    marks.write(first, first + 1, bytes([PARKED_MARKS["shed"], TURN]))
    marks.write(
        second, second, bytes([PARKED_MARKS["usm_wrong_key"], LATE_MARKS["shed"], PARKED_MARKS["usm_wrong_key"]])
    )
    counts = keep_house(tmp_path)
    kept = segments(tmp_path)
    marks.write(first, first + 1, bytes([LATE_MARKS["shed"]]))
    (tmp_path / COMMIT_STATE).unlink()
    keep_house(tmp_path)

    assert (kept, segments(tmp_path)) == ([first, last], [last])
    assert (counts["segments_deleted"], counts["expired_usm_wrong_key"], counts["expired_shed"]) == (2, 2, 0)
    assert list(tmp_path.glob("*.marks")) == []
    assert third not in kept


def test_a_segment_that_is_being_decoded_late_stays(tmp_path: Path) -> None:
    """Late holds it; whatever is in it, nobody deletes it under its hands."""
    first, last = journal_of_segments(tmp_path, 2)
    late = Marks(tmp_path)
    late.hold(first)
    late.write(first, first, bytes([PARKED_MARKS["usm_wrong_key"]]))
    keep_house(tmp_path)
    held = segments(tmp_path)
    late.let_go(first)
    (tmp_path / COMMIT_STATE).unlink()
    counts = keep_house(tmp_path)

    assert (held, segments(tmp_path)) == ([first, last], [last])
    assert counts["expired_usm_wrong_key"] == 1


@pytest.mark.parametrize(("counted", "expired"), [(False, 2), (True, 1)], ids=["before counting", "after counting"])
def test_a_commit_killed_while_it_deletes_counts_once(tmp_path: Path, counted: bool, expired: int) -> None:
    """The segment is gone and its marks are there: its successor counts them, unless that had been done."""
    first, last = journal_of_segments(tmp_path, 2)
    segment_path(tmp_path, first).unlink()
    Marks(tmp_path).write(first, first, bytes([PARKED_MARKS["usm_wrong_key"]]) * 2)
    state = StatePage(tmp_path / COMMIT_STATE, COMMIT_FIELDS)
    if counted:
        state.values |= {"expired_usm_wrong_key": 1, "expired_segment": first}
        state.publish()
    counts = keep_house(tmp_path)
    again = keep_house(tmp_path)

    assert segments(tmp_path) == [last]
    assert counts["expired_usm_wrong_key"] == again["expired_usm_wrong_key"] == expired
    assert list(tmp_path.glob("*.marks")) == []


def test_digests_of_a_commit_that_was_killed_go_too(tmp_path: Path) -> None:
    """A replay leaves digests beside segments that have no marks."""
    first, _ = journal_of_segments(tmp_path, 2)
    segment_path(tmp_path, first).unlink()
    Digests(tmp_path).write(first, first, bytes(8))
    keep_house(tmp_path)

    assert list(tmp_path.glob("*.digests")) == []


def test_expired_counts_are_on_the_disk_before_the_marks_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut in between must not take the one and leave neither."""
    first, _ = journal_of_segments(tmp_path, 2)
    Marks(tmp_path).write(first, first, bytes([PARKED_MARKS["usm_wrong_key"]]) * 2)
    fdatasync, seen = os.fdatasync, []

    def watched(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().name == COMMIT_STATE:
            expired = read_state(tmp_path / COMMIT_STATE)["expired_usm_wrong_key"]
            seen.append((expired, len(list(tmp_path.glob("*.marks")))))
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", watched)
    keep_house(tmp_path)

    assert seen == [(2, 1)]
    assert list(tmp_path.glob("*.marks")) == []
