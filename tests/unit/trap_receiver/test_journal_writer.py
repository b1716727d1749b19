"""The journal's end, after whatever happened: torn tails, quota, full disks, a second writer."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.trap_receiver.journal.segment import (
    LAYOUT_IPV6,
    SEGMENT_HEADER,
    JournalFullError,
    Position,
    Reader,
    read_segment_header,
    segment_path,
    segments,
)
from netmon.trap_receiver.journal.writer import JournalWriter
from tests.unit.trap_receiver.samples import START, append, end_of, open_writer, read_back, record_ipv6


def three_frames(directory: Path) -> list[Position]:
    """A journal of one segment with three frames of two datagrams; the places behind them."""
    writer = open_writer(directory)
    places = [append(writer, [b"%d" % number, b"x"]) for number in (1, 2, 3)]
    writer.close()
    return places


def append_until_refused(writer: JournalWriter, payload: bytes) -> NoReturn:
    """One frame after the other."""
    while True:
        append(writer, [payload])


def test_a_new_journal_begins_with_1_and_is_for_its_owner_only(tmp_path: Path) -> None:
    """The file is named after its first datagram, allocated in full, and readable by nobody else: it holds secrets."""
    writer = open_writer(tmp_path)
    begun = writer.position
    end = append(writer, [b"x", b"y"])
    writer.close()
    found = segment_path(tmp_path, 1).stat()

    assert begun == Position(0, 0, 0)
    assert end[::2] == (1, 2)
    assert (found.st_size, oct(found.st_mode & 0o777)) == (4_096, "0o600")


def test_it_is_opened_where_it_was_closed(tmp_path: Path) -> None:
    """Nothing is torn, the journal keeps its identity, and the next datagram follows."""
    places = three_frames(tmp_path)
    before = read_segment_header(segment_path(tmp_path, 1))
    writer = open_writer(tmp_path, durable_seq=6)

    assert (writer.position, writer.torn_bytes) == (places[-1], 0)
    assert append(writer, [b"next"]).seq == 7
    assert read_segment_header(segment_path(tmp_path, 1)) == before
    assert [seq for seq, _ in read_back(tmp_path, writer.position)] == [1, 2, 3, 4, 5, 6, 7]
    writer.close()


def test_all_segments_of_a_journal_have_its_identity(tmp_path: Path) -> None:
    """Also those that a later process has made."""
    for number in range(8):
        writer = open_writer(tmp_path, segment_bytes=1_024)
        append(writer, [b"%d" % number * 300])
        writer.close()
    headers = [read_segment_header(segment_path(tmp_path, first)) for first in segments(tmp_path)]

    assert len(headers) > 3
    assert len({header.journal_id for header in headers if header}) == 1


@pytest.mark.parametrize("fill", [b"\0", b"\xa5"], ids=["zeros", "garbage"])
def test_a_tail_torn_at_every_byte_of_the_last_frame_is_cut(tmp_path: Path, fill: bytes) -> None:
    """A file system may leave the size without the data, or other data; two frames stay, the third's seqs are free."""
    _, second, third = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    found = set()
    for cut in range(second.offset, third.offset):
        tail = whole[second.offset : cut] + fill * (third.offset - cut)
        path.write_bytes(whole[: second.offset] + tail + whole[third.offset :])
        writer = open_writer(tmp_path, durable_seq=4)
        found.add((writer.position, writer.torn_bytes == len(tail.rstrip(b"\0"))))
        append(writer, [b"new"])
        found.add(tuple(read_back(tmp_path, writer.position)[3:]))
        writer.close()

    assert found == {(second, True), ((4, b"x"), (5, b"new"))}


def test_a_file_that_ends_at_every_byte_of_the_last_frame_is_cut(tmp_path: Path) -> None:
    """The size may be gone, too."""
    _, second, third = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    found = set()
    for cut in range(second.offset, third.offset):
        path.write_bytes(whole[:cut])
        writer = open_writer(tmp_path, durable_seq=4)
        found.add(writer.position)
        writer.close()

    assert found == {second}
    assert path.stat().st_size == 4_096


def test_nothing_of_a_torn_tail_is_left_behind_the_next_frame(tmp_path: Path) -> None:
    """A longer torn frame must not show its end behind a shorter new one."""
    writer = open_writer(tmp_path)
    first = append(writer, [b"kept"])
    append(writer, [b"\xff" * 1_000])
    writer.close()
    path = segment_path(tmp_path, 1)
    damaged = bytearray(path.read_bytes())
    damaged[first.offset + 40] ^= 1
    path.write_bytes(damaged)
    writer = open_writer(tmp_path, durable_seq=1)
    end = append(writer, [b"new"])
    writer.close()

    assert path.read_bytes()[end.offset :].strip(b"\0") == b""


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 900), min_size=2, max_size=12), durable=st.integers(0, 12), data=st.data())
def test_a_truncated_journal_never_gives_a_durable_seq_twice(
    sizes: list[int], durable: int, data: st.DataObject
) -> None:
    """Wherever the last segment ends, or if it is gone: the next datagram is new to everybody who was told of others."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        writer = open_writer(directory, segment_bytes=2_048)
        limits = [append(writer, [bytes(size)]) for size in sizes]
        writer.close()
        durable = min(durable, len(sizes))
        path = segment_path(directory, segments(directory)[-1])
        cut = data.draw(st.integers(-1, limits[-1].offset))
        if cut < 0:
            path.unlink()
        else:
            os.truncate(path, cut)

        writer = open_writer(directory, segment_bytes=2_048, durable_seq=durable)
        kept = writer.position.seq
        assert kept >= durable
        for expected in range(kept + 1, kept + 4):
            assert append(writer, [b"new"]).seq == expected
        writer.close()
        found = [seq for seq, _ in read_back(directory, writer.position)]
        assert found == sorted(set(found))
        assert found[-3:] == [kept + 1, kept + 2, kept + 3]


def test_a_segment_whose_header_is_not_there_is_removed(tmp_path: Path) -> None:
    """A power cut between its making and its first sync: the one before it is continued."""
    places = three_frames(tmp_path)
    segment_path(tmp_path, 7).write_bytes(bytes(4_096))
    writer = open_writer(tmp_path, durable_seq=6)

    assert writer.position == places[-1]
    assert segments(tmp_path) == [1]
    writer.close()


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    """Two captures must never write one journal; the lock goes with its holder."""
    writer = open_writer(tmp_path)
    with pytest.raises(BlockingIOError):
        open_writer(tmp_path)
    writer.close()

    open_writer(tmp_path).close()


# -- room


def test_a_full_quota_holds_and_goes_on_when_a_segment_is_gone(tmp_path: Path) -> None:
    """Nothing changes by the refusal; the same call succeeds when there is room."""
    writer = open_writer(tmp_path, segment_bytes=4_096, bytes_max=8_192)
    with pytest.raises(JournalFullError) as refused:
        append_until_refused(writer, bytes(1_000))
    held = writer.position
    with pytest.raises(JournalFullError):
        append(writer, [bytes(1_000)])
    unchanged = writer.position
    segment_path(tmp_path, 1).unlink()
    end = append(writer, [bytes(1_000)])
    writer.close()

    assert refused.value.errno == errno.EDQUOT
    assert refused.value.strerror == "the journal uses 7548 of 8192 bytes"
    assert unchanged == held
    assert end[::2] == (held.seq + 1, held.seq + 1)
    assert segments(tmp_path) == [segments(tmp_path)[0], held.seq + 1]


def test_a_frame_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    """A small segment size does not refuse a large datagram."""
    writer = open_writer(tmp_path, segment_bytes=4_096)
    sizes = (10, 65_507, 65_507, 10)
    for size in sizes:
        append(writer, [bytes(size)])
    writer.close()

    assert segments(tmp_path) == [1, 2, 3, 4]
    assert [len(payload) for _, payload in read_back(tmp_path, writer.position)] == list(sizes)


def test_an_empty_segment_is_never_made_again(tmp_path: Path) -> None:
    """A reader has it open already, and would wait for ever in a file that has lost its name."""
    writer = open_writer(tmp_path, segment_bytes=4_096)
    writer.ensure_room()
    inode = segment_path(tmp_path, 1).stat().st_ino
    writer.ensure_room(1 << 20)
    append(writer, [bytes(65_507)])
    writer.close()

    assert segment_path(tmp_path, 1).stat().st_ino == inode
    assert segments(tmp_path) == [1]


def test_a_sealed_segment_gives_back_what_it_had_allocated(tmp_path: Path) -> None:
    """The quota counts what is there."""
    writer = open_writer(tmp_path, segment_bytes=1 << 20)
    end = append(writer, [bytes(60_000)] * 15)
    append(writer, [bytes(60_000)] * 5)
    writer.close()

    assert segment_path(tmp_path, 1).stat().st_size == end.offset
    assert segment_path(tmp_path, 16).stat().st_size == 1 << 20


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], check=False)
    if mounted.returncode != 0:
        pytest.skip("this root may not mount")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def fill(directory: Path) -> Path:
    """A file that takes all that is left."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))
    return filler


def test_a_disk_filled_by_others_does_not_stop_the_open_segment(small_disk: Path) -> None:
    """It was allocated beforehand; the next one is refused, leaves nothing behind, and comes when there is room."""
    writer = open_writer(small_disk, segment_bytes=65_536)
    append(writer, [b"first"])
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left") as refused:
        append_until_refused(writer, bytes(4_000))
    held = writer.position
    names = sorted(path.name for path in small_disk.iterdir())
    filler.unlink()
    end = append(writer, [b"last"])
    writer.close()

    assert refused.value.errno == errno.ENOSPC
    assert held.offset + 65_536 // 4 > 65_536
    assert names == ["00000000000000000001.nmj", "filler", "journal.lock"]
    assert read_back(small_disk, end)[-1] == (held.seq + 1, b"last")


@pytest.mark.parametrize("frames", [0, 1])
def test_a_writer_that_starts_on_a_full_disk_loses_no_reader(small_disk: Path, frames: int) -> None:
    """It cannot get its allocation back; whoever has the open segment open still finds all that comes, in its file."""
    writer = open_writer(small_disk, segment_bytes=65_536)
    writer.ensure_room()
    for _ in range(frames):
        append(writer, [b"before"])
    reader = Reader(small_disk, START)
    for _ in range(frames + 1):
        reader.next(writer.position)
    writer.close()
    # What the open segment had not used, somebody else has taken.
    os.truncate(segment_path(small_disk, 1), writer.position.offset)
    filler = fill(small_disk)
    writer = open_writer(small_disk, segment_bytes=65_536, durable_seq=frames)
    with pytest.raises(OSError, match="No space left"):
        writer.ensure_room()
    filler.unlink()
    end = append(writer, [b"after"])
    writer.close()
    frame = reader.next(end)
    reader.close()

    assert frame is not None
    assert (frame.first_seq, frame.records) == (frames + 1, record_ipv6(b"after"))


def test_ids_do_not_go_back_when_a_journal_is_opened_again(tmp_path: Path) -> None:
    """The last frame says which millisecond was given away, whatever the clock says now."""
    writer = open_writer(tmp_path)
    writer._id_ms = 9_999_999_999_999
    append(writer, [b"from a clock that was wrong"])
    writer.close()
    writer = open_writer(tmp_path)
    append(writer, [b"next"])
    reader = Reader(tmp_path, START)
    frames = [reader.next(writer.position) for _ in range(2)]
    writer.close()
    reader.close()

    assert [frame.id_ms for frame in frames if frame] == [9_999_999_999_999, 9_999_999_999_999]


def test_the_layout_is_kept(tmp_path: Path) -> None:
    """A frame says how its records are to be read."""
    writer = open_writer(tmp_path)
    append(writer, [b"x"])
    reader = Reader(tmp_path, START)
    frame = reader.next(end_of(tmp_path))
    writer.close()
    reader.close()

    assert frame is not None
    assert frame.layout == LAYOUT_IPV6
    assert frame.after.offset > SEGMENT_HEADER.size
