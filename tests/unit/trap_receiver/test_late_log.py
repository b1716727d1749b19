"""The late log: intents in order, found by ID, cut where a power cut left them torn."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmon.buffer.stream import EntryId
from netmon.trap_receiver.late.log import REJECT, TRAP, VOID, Intent, LateLog

SIZE = 32


def intent(ms: int, seq: int, *, mark: int = 17, kind: int = TRAP) -> Intent:
    """One entry's intent."""
    return Intent(ms, seq, seq.to_bytes(8, "big"), mark, kind)


INTENTS = [intent(5, 10), intent(5, 12), intent(7, 3, kind=REJECT), intent(7, 11, mark=0)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with four intents of two passes."""
    log = LateLog(tmp_path / "late.log")
    log.append(INTENTS[:3])
    log.append(INTENTS[3:])
    log.close()
    return tmp_path / "late.log"


def test_what_was_written_is_read(path: Path) -> None:
    """By whoever opens it next, in part or whole."""
    log = LateLog(path)
    assert (len(log), log.read(0, 99), log.read(1, 2)) == (4, INTENTS, INTENTS[1:3])
    assert log.read(4, 1) == []


@pytest.mark.parametrize(
    ("entry_id", "index", "has"),
    [
        ((0, 0), 0, False),
        ((5, 10), 1, True),
        ((5, 11), 1, False),
        ((5, 99), 2, False),
        ((7, 11), 4, True),
        ((9, 1), 4, False),
    ],
)
def test_an_entry_is_found_by_its_id(path: Path, entry_id: tuple[int, int], index: int, has: bool) -> None:
    """IDs ascend as Redis compares them: pass first, then position."""
    log = LateLog(path)
    assert (log.after(EntryId(*entry_id)), log.has(EntryId(*entry_id))) == (index, has)


@pytest.mark.parametrize("cut", range(1, SIZE))
def test_a_torn_end_is_cut(path: Path, cut: int) -> None:
    """At every byte of the last record; what comes next takes its place."""
    path.write_bytes(path.read_bytes()[:-cut])
    log = LateLog(path)
    assert log.read(0, 99) == INTENTS[:3]
    log.append([intent(8, 1)])
    assert LateLog(path).read(0, 99) == [*INTENTS[:3], intent(8, 1)]


def test_a_record_that_was_never_written_is_cut(path: Path) -> None:
    """The size may reach the disk before the contents."""
    path.write_bytes(path.read_bytes()[:-SIZE] + bytes(SIZE))
    assert len(LateLog(path)) == 3


def test_an_intent_is_voided_in_its_place(path: Path) -> None:
    """Its ID stays known, so that the order does."""
    log = LateLog(path)
    log.replace(1, INTENTS[1]._replace(kind=VOID))
    assert [found.kind for found in LateLog(path).read(0, 99)] == [TRAP, VOID, REJECT, TRAP]
    assert LateLog(path).has(EntryId(5, 12))


def test_the_front_is_cut_away(path: Path) -> None:
    """Whatever was dropped, what is left is found as before, here and after the next start."""
    log = LateLog(path)
    log.drop_before(2)
    assert (len(log), log.has(EntryId(5, 12)), log.after(EntryId(7, 3))) == (2, False, 1)
    log.append([intent(8, 1)])
    assert LateLog(path).read(0, 99) == [*INTENTS[2:], intent(8, 1)]


@contextlib.contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)


def test_a_disk_with_room_for_a_part_only(tmp_path: Path) -> None:
    """An error that can be dealt with; what was written of it is no intent of whoever opens the log next."""
    path = tmp_path / "late.log"
    log = LateLog(path)
    with full_after(100), pytest.raises(OSError, match="No space left"):
        log.append([Intent(1, seq, bytes(8), 16, TRAP) for seq in range(1, 11)])

    assert len(LateLog(path)) == 0


def test_a_disk_without_room_to_cut_the_front_away(path: Path) -> None:
    """The log is as it was, and nothing of the attempt is left: neither a file nor a descriptor."""
    log, opened = LateLog(path), len(list(Path("/proc/self/fd").iterdir()))
    with full_after(SIZE), pytest.raises(OSError, match="No space left"):
        log.drop_before(1)

    assert (len(log), log.read(0, 99)) == (4, INTENTS)
    assert [file.name for file in path.parent.iterdir()] == ["late.log"]
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
