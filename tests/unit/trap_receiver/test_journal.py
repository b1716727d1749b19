"""Frames as bytes, and what a reader makes of a journal in any state."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.trap_receiver.journal.segment import (
    FRAME_HEADER,
    FRAME_MAGIC,
    LAYOUT_IPV4,
    LAYOUT_IPV6,
    SEGMENT_HEADER,
    Frame,
    Position,
    Reader,
    Record,
    SegmentHeader,
    address_text,
    decode_frame,
    encode_frame,
    frame_seed,
    locate,
    read_segment_header,
    records,
    segment_path,
    segments,
)
from tests.unit.trap_receiver.samples import (
    NOON_NS,
    START,
    append,
    end_of,
    open_writer,
    read_back,
    record_ipv4,
    record_ipv6,
)

NOON_MS = NOON_NS // 1_000_000
RECORDS = record_ipv6(b"one") + record_ipv6(b"") + record_ipv6(b"three")
SEED = frame_seed(b"sixteen bytes id")
FRAME = encode_frame(SEED, 7, NOON_MS, LAYOUT_IPV6, [3, 0, 5], RECORDS)

BATCHES = st.lists(st.lists(st.binary(max_size=600), min_size=1, max_size=6), min_size=1, max_size=12)
"""Batches of payloads; in segments of 4 KiB they roll, and some frames are larger than a segment."""


# -- frames


def test_a_whole_frame_is_read() -> None:
    """Every field comes back, and the place behind the frame."""
    assert decode_frame(SEED, FRAME, 0, segment=1, base=500) == Frame(
        7, NOON_MS, LAYOUT_IPV6, (3, 0, 5), RECORDS, Position(1, 500 + len(FRAME), 9)
    )


def test_a_frame_cut_at_every_byte_says_what_it_needs() -> None:
    """First the header, then all of it; never a frame, never more than there is."""
    header = FRAME_HEADER.size

    found = [decode_frame(SEED, FRAME[:cut], 0, 1, 0) for cut in range(len(FRAME))]

    assert found == [header] * header + [len(FRAME)] * (len(FRAME) - header)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_byte_flipped_anywhere_is_no_frame(flip: int) -> None:
    """The CRC covers everything but itself, and a damaged CRC covers nothing."""
    wrong = []
    for at in range(len(FRAME)):
        damaged = bytearray(FRAME)
        damaged[at] ^= flip
        found = decode_frame(SEED, bytes(damaged) + bytes(1_000), 0, 1, 0)
        if isinstance(found, Frame):
            wrong.append(at)

    assert wrong == []


def test_zeros_are_no_frame() -> None:
    """What a segment is allocated with."""
    assert decode_frame(SEED, bytes(1_000), 0, 1, 0) is None


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), head=st.booleans())
def test_any_bytes_are_a_frame_or_none(data: bytes, head: bool) -> None:
    """Nothing is raised, and a frame is only what was encoded."""
    found = decode_frame(SEED, (FRAME_MAGIC if head else b"") + data, 0, 1, 0)

    assert found is None or isinstance(found, int)


def test_a_frame_of_another_journal_is_none() -> None:
    """A datagram may hold any bytes, also those of a frame that its sender has made; the seed is our secret."""
    assert decode_frame(frame_seed(b"another journal."), FRAME, 0, 1, 0) is None


# -- records


def test_records_of_an_ipv6_socket() -> None:
    """Receive time, peer with port, our address and payload, as the kernel wrote them; mapped addresses dotted."""
    raw = record_ipv6(b"trap", peer="::ffff:192.0.2.7", port=50_000, local="::ffff:192.0.2.1", unix_ns=NOON_NS + 1)
    raw += record_ipv6(b"", peer="fe80::7", port=162, local="fe80::1", unix_ns=NOON_NS + 2, scope=3)
    frame = Frame(1, NOON_MS, LAYOUT_IPV6, (4, 0), raw, START)

    assert list(records(frame)) == [
        Record(NOON_NS + 1, "192.0.2.7", 50_000, "192.0.2.1", b"trap", NOON_MS),
        Record(NOON_NS + 2, "fe80::7%3", 162, "fe80::1", b"", NOON_MS),
    ]


def test_records_of_an_ipv4_socket() -> None:
    """The local address is the one that an answer may leave from, not the broadcast address that was written to."""
    raw = record_ipv4(b"trap", peer="192.0.2.7", port=161, local="192.0.2.1", unix_ns=NOON_NS)
    frame = Frame(1, NOON_MS, LAYOUT_IPV4, (4,), raw, START)

    assert list(records(frame)) == [Record(NOON_NS, "192.0.2.7", 161, "192.0.2.1", b"trap", NOON_MS)]


def test_a_record_without_a_time_has_its_frames() -> None:
    """A control message that the kernel did not write reads as 0."""
    frame = Frame(1, NOON_MS + 5, LAYOUT_IPV6, (1,), record_ipv6(b"x", unix_ns=0), START)

    assert [record.received_unix_ns for record in records(frame)] == [NOON_NS + 5_000_000]


@pytest.mark.parametrize(
    ("raw", "scope", "text"),
    [
        ("c0000207", 0, "192.0.2.7"),
        ("00000000000000000000ffffc0000207", 0, "192.0.2.7"),
        ("00000000000000000000ffffc0000207", 2, "192.0.2.7"),
        ("20010db8000000000000000000000007", 0, "2001:db8::7"),
        ("20010db8000000000000000000000007", 2, "2001:db8::7"),
        ("fe800000000000000000000000000007", 2, "fe80::7%2"),
        ("fe800000000000000000000000000007", 0, "fe80::7"),
        ("00000000000000000000000000000001", 0, "::1"),
        ("00000000000000000000000000000000", 0, "::"),
    ],
)
def test_address_text(raw: str, scope: int, text: str) -> None:
    """IPv4 and mapped addresses dotted, IPv6 compressed, a zone only where it says something."""
    assert address_text(bytes.fromhex(raw), scope) == text


# -- segments


def test_segment_header(tmp_path: Path) -> None:
    """Its fields come back; one that is short or damaged is none."""
    writer = open_writer(tmp_path)
    append(writer, [b"x"])
    writer.close()
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()[: SEGMENT_HEADER.size]
    found = read_segment_header(path)
    sound = []
    for at in range(SEGMENT_HEADER.size):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        sound.append(read_segment_header(path))
        path.write_bytes(whole[:at])
        sound.append(read_segment_header(path))

    assert isinstance(found, SegmentHeader)
    assert (found.first_seq, len(found.journal_id)) == (1, 16)
    assert sound == [None] * (2 * SEGMENT_HEADER.size)


def test_segments_are_in_order_and_others_files_are_not_ours(tmp_path: Path) -> None:
    """By number, not by name, and nothing that is not a segment."""
    for name in ("00000000000000000010.nmj", "00000000000000000009.nmj", "segment.new", "copy.nmj", "journal.lock"):
        (tmp_path / name).touch()

    assert segments(tmp_path) == [9, 10]


# -- reading


@settings(max_examples=40, deadline=None)
@given(batches=BATCHES, segment_bytes=st.sampled_from([512, 2_048, 4_096, 65_536]))
def test_what_was_written_is_read_up_to_any_limit_and_from_any_place(
    batches: list[list[bytes]], segment_bytes: int
) -> None:
    """Over segment rolls: from every position that was published to every later one, exactly what lies between."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        writer = open_writer(directory, segment_bytes=segment_bytes)
        places = [START, *(append(writer, batch) for batch in batches)]
        writer.close()
        written = list(enumerate((payload for batch in batches for payload in batch), 1))

        for start in places:
            assert read_back(directory, places[-1], start) == written[start.seq :]
        for limit in places:
            assert read_back(directory, limit) == written[: limit.seq]


def test_reader_follows_a_growing_journal(tmp_path: Path) -> None:
    """It stops at the limit, and goes on from there when the limit has moved, into new segments too."""
    writer = open_writer(tmp_path, segment_bytes=2_048)
    reader = Reader(tmp_path, START)
    seen = []
    for number in range(40):
        limit = append(writer, [b"%d" % number * 50])
        frame = reader.next(limit)
        assert isinstance(frame, Frame)
        seen.append((frame.first_seq, reader.position))
        assert reader.next(limit) is None
        assert reader.position == limit
    writer.close()

    assert [first_seq for first_seq, _ in seen] == list(range(1, 41))
    assert len(segments(tmp_path)) > 3


def three_frames(directory: Path) -> tuple[Position, Position, Position]:
    """A journal of one segment with three frames of two datagrams; the places behind them."""
    writer = open_writer(directory, segment_bytes=65_536)
    places = (
        append(writer, [b"one", b"two"]),
        append(writer, [b"NMJF" * 20, b"four"]),
        append(writer, [b"five", b"six"]),
    )
    writer.close()
    return places


def test_reader_steps_over_a_byte_flipped_anywhere_in_a_frame(tmp_path: Path) -> None:
    """Only the damaged frame is missing, also when it holds what looks like the beginning of a frame."""
    first, second, third = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    found = set()
    for at in range(first.offset, second.offset):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        found.add(tuple(read_back(tmp_path, third)))

    assert found == {((1, b"one"), (2, b"two"), (5, b"five"), (6, b"six"))}


def test_a_frame_inside_a_datagram_is_never_read(tmp_path: Path) -> None:
    """A sender who hopes for damage in front of his datagram could otherwise forge peers, and end the numbers."""
    forged = encode_frame(0, 2**63, 2**62, LAYOUT_IPV6, [4], record_ipv6(b"evil"))
    forged += encode_frame(SEED, 2**63, 2**62, LAYOUT_IPV6, [4], record_ipv6(b"evil"))
    writer = open_writer(tmp_path, segment_bytes=65_536)
    first = append(writer, [b"before"])
    append(writer, [forged])
    end = append(writer, [b"after"])
    writer.close()
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[: first.offset] + bytes(20) + whole[first.offset + 20 :])

    assert read_back(tmp_path, end) == [(1, b"before"), (3, b"after")]


def test_a_segment_with_a_damaged_header_is_read_after_one_before_it(tmp_path: Path) -> None:
    """All segments of a journal have one identity."""
    writer = open_writer(tmp_path, segment_bytes=1_024)
    end = [append(writer, [b"%d" % number * 300]) for number in range(1, 5)][-1]
    writer.close()
    second = segment_path(tmp_path, segments(tmp_path)[1])
    whole = second.read_bytes()
    second.write_bytes(bytes(20) + whole[20:])

    assert [seq for seq, _ in read_back(tmp_path, end)] == [1, 2, 3, 4]


def test_reader_ends_at_the_limit_when_the_last_frame_is_damaged(tmp_path: Path) -> None:
    """The caller sees the loss: the position is at the limit, and its seq is the last that was read."""
    _, second, third = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    whole = bytearray(path.read_bytes())
    whole[second.offset + 50] ^= 1
    path.write_bytes(whole)
    reader = Reader(tmp_path, second)

    assert reader.next(third) is None
    assert reader.position == Position(third.segment, third.offset, second.seq)
    reader.close()


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_reader_steps_over_missing_segments_and_goes_on(tmp_path: Path, missing: int) -> None:
    """A deleted segment is a gap before the next frame, or before the limit; what comes later is read."""
    writer = open_writer(tmp_path, segment_bytes=1_024)
    places = [append(writer, [b"%d" % number * 300]) for number in range(1, 9)]
    kept = segments(tmp_path)
    first = kept[missing]
    after = [*kept, places[-1].seq + 1][missing + 1]
    segment_path(tmp_path, first).unlink()

    assert [seq for seq, _ in read_back(tmp_path, places[-1])] == [*range(1, first), *range(after, 9)]
    writer.close()


def test_reader_stands_at_the_limit_when_everything_is_missing(tmp_path: Path) -> None:
    """Also when the folder is gone: nothing is raised, nothing is read."""
    limit = Position(5, 400, 9)
    reader = Reader(tmp_path / "nowhere", START)

    assert reader.next(limit) is None
    assert reader.position == Position(5, 400, 0)


def test_reader_is_sought_back(tmp_path: Path) -> None:
    """A rewind reads the same frames again."""
    first, _, third = three_frames(tmp_path)
    reader = Reader(tmp_path, START)
    once = [reader.next(third) for _ in range(3)]
    reader.seek(first)

    assert [reader.next(third) for _ in range(2)] == once[1:]
    reader.close()


# -- locating


@settings(max_examples=40, deadline=None)
@given(batches=BATCHES, drop=st.integers(0, 3))
def test_locate_finds_every_datagram_that_is_kept(batches: list[list[bytes]], drop: int) -> None:
    """Reading from there meets the datagram, or the first one kept after it; at most its own frame comes before."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        writer = open_writer(directory)
        limit = [append(writer, batch) for batch in batches][-1]
        writer.close()
        for first in segments(directory)[:-1][:drop]:
            segment_path(directory, first).unlink()
        kept = [seq for seq, _ in read_back(directory, limit)]

        for seq in range(limit.seq + 2):
            place = locate(directory, seq, limit)
            found = [number for number, _ in read_back(directory, limit, place)]
            wanted = [number for number in kept if number >= seq]
            assert found[-len(wanted) :] == wanted if wanted else place == limit
            assert place == limit or place.seq + 1 == found[0]
            assert len(found) - len(wanted) < 6


def test_locate_in_an_empty_folder_is_the_limit(tmp_path: Path) -> None:
    """There is nothing to read."""
    assert locate(tmp_path, 1, Position(0, 0, 0)) == Position(0, 0, 0)


def test_locate_steps_over_damage(tmp_path: Path) -> None:
    """A datagram in a damaged frame is gone; the place is that of the first one after it."""
    first, _, third = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    whole = bytearray(path.read_bytes())
    whole[first.offset + 50] ^= 1
    path.write_bytes(whole)

    assert read_back(tmp_path, third, locate(tmp_path, 3, third)) == [(5, b"five"), (6, b"six")]
    assert read_back(tmp_path, end_of(tmp_path), locate(tmp_path, 2, third))[0] == (1, b"one")
