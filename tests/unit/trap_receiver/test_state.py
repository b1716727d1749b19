"""Counters that outlive their process: two banks, upgrades, readers."""

from __future__ import annotations

from pathlib import Path

import pytest

from netmon.trap_receiver.state import StatePage, StateReader, read_state

BANKS = (8_192, 12_288)
"""Where the two banks stand in the file."""


def write(path: Path, *counts: int) -> None:
    """A page with one counter, published with each of these counts."""
    page = StatePage(path, ["traps"])
    for count in counts:
        page.values["traps"] = count
        page.publish()


def tear(path: Path, bank: int) -> None:
    """Flips one bit of a bank's counter, as half a write would."""
    data = bytearray(path.read_bytes())
    data[bank + 8] ^= 1
    path.write_bytes(data)


def test_a_new_page_counts_from_zero(tmp_path: Path) -> None:
    """It is published at once: readers never find an empty file."""
    StatePage(tmp_path / "x.state", ["traps", "drops"])

    assert read_state(tmp_path / "x.state") == {"": 2, "traps": 0, "drops": 0}


def test_only_what_is_published_is_seen(tmp_path: Path) -> None:
    """All counters of one moment, or those of the moment before."""
    page = StatePage(tmp_path / "x.state", ["traps", "drops"])
    page.values["traps"] = 5
    page.publish()
    page.values["traps"] = 6
    page.values["drops"] = 1

    assert read_state(tmp_path / "x.state") == {"": 3, "traps": 5, "drops": 0}


def test_a_missing_file_has_no_counters(tmp_path: Path) -> None:
    """The caller counts from zero."""
    assert read_state(tmp_path / "x.state") == {}
    assert StateReader(tmp_path / "x.state").read() == {}


@pytest.mark.parametrize(("torn", "found"), [((), 8), ((0,), 7), ((1,), 8), ((0, 1), None)])
def test_a_torn_bank_leaves_the_other(tmp_path: Path, torn: tuple[int, ...], found: int | None) -> None:
    """Generation 4 is in the first bank, 3 in the second; with both torn there is nothing to believe."""
    path = tmp_path / "x.state"
    write(path, 7, 8)
    for bank in torn:
        tear(path, BANKS[bank])

    assert read_state(path).get("traps") == found
    assert StateReader(path).read().get("traps") == found


def test_a_writer_goes_on_after_a_torn_bank(tmp_path: Path) -> None:
    """The torn bank is the next to be written; the sound one stays until that is sealed."""
    path = tmp_path / "x.state"
    write(path, 7, 8)
    tear(path, BANKS[0])
    page = StatePage(path, ["traps"])
    taken_over = dict(page.values)
    page.values["traps"] += 1
    page.publish()

    assert taken_over == {"traps": 7}
    assert read_state(path) == {"": 4, "traps": 8}


@pytest.mark.parametrize("size", [0, 100, 8_191, 16_383, 16_385])
def test_a_file_of_another_size_is_no_page(tmp_path: Path, size: int) -> None:
    """A disk that was full in an unlucky moment; the writer makes a new one."""
    path = tmp_path / "x.state"
    write(path, 7)
    path.write_bytes(path.read_bytes().ljust(20_000, b"\0")[:size])
    found = read_state(path)
    page = StatePage(path, ["traps"])

    assert found == {}
    assert page.values == {"traps": 0}


def test_a_restart_keeps_the_file_and_the_counts(tmp_path: Path) -> None:
    """No new file is needed: a role that restarts while the disk is full still starts."""
    path = tmp_path / "x.state"
    write(path, 7)
    inode = path.stat().st_ino
    page = StatePage(path, ["traps"])

    assert (page.values, path.stat().st_ino) == ({"traps": 7}, inode)


def test_an_upgrade_keeps_the_counts_by_name(tmp_path: Path) -> None:
    """A new counter begins at 0, one that is no more is forgotten, the order does not matter."""
    path = tmp_path / "x.state"
    page = StatePage(path, ["traps", "drops", "old"])
    page.values.update(traps=7, drops=8, old=9)
    page.publish()
    upgraded = StatePage(path, ["drops", "new", "traps"])
    reordered = StatePage(path, ["traps", "drops", "new"])

    assert upgraded.values == {"drops": 8, "new": 0, "traps": 7}
    assert read_state(path) == {"": 5, "drops": 8, "new": 0, "traps": 7}
    assert reordered.values == {"drops": 8, "new": 0, "traps": 7}


def test_a_reader_follows_an_upgrade(tmp_path: Path) -> None:
    """The new file comes in place of the old one; the reader notices by itself."""
    path = tmp_path / "x.state"
    write(path, 7)
    reader = StateReader(path)
    before = reader.read()
    page = StatePage(path, ["traps", "drops"])
    page.values["traps"] = 8
    page.publish()

    assert before == {"": 3, "traps": 7}
    assert reader.read() == {"": 6, "traps": 8, "drops": 0}


def test_the_generation_never_goes_back(tmp_path: Path) -> None:
    """Over restarts and upgrades: whoever compares two readings knows which is newer."""
    path = tmp_path / "x.state"
    generations = []
    for fields in (["a"], ["a"], ["a", "b"], ["b"]):
        StatePage(path, fields).publish()
        generations.append(read_state(path)[""])

    assert generations == sorted(set(generations))
