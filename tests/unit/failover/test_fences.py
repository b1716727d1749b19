"""The greatest fence and the newest orders, on disk: smaller ones are refused, whatever happens to the process or the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.errors import ConfigError
from netmon.failover.actuators.fences import NUMBER_MAX, Fences

NUMBERS = st.tuples(st.integers(0, 5), st.integers(0, 5))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where they are kept."""
    return tmp_path / "fences.json"


@settings(max_examples=40, deadline=None)
@given(orders=st.lists(st.tuples(st.sampled_from("ab"), NUMBERS), max_size=12))
def test_order_is_taken_unless_a_newer_one_was(tmp_path_factory: pytest.TempPathFactory, orders: list) -> None:
    """For each group by itself, and no matter how often the process starts anew."""
    file = tmp_path_factory.mktemp("fences") / "fences.json"
    newest: dict[str, tuple[int, int]] = {}
    for group, number in orders:
        taken = Fences(file).take(group, *number)

        assert taken == (number >= newest.get(group, (0, 0)))
        newest[group] = max(number, newest.get(group, (0, 0)))

    assert {group: Fences(file).newest(group) for group in newest} == newest


def test_only_the_newest_leader_may_speak(file: Path) -> None:
    """The greatest fence that any group has seen counts for all."""
    fences = Fences(file)

    assert fences.take("harbour/siren", 4, 1)
    assert [fences.see(3), fences.see(4), fences.see(6), fences.see(5)] == [False, True, True, False]
    assert Fences(file).greatest == 6


@pytest.mark.parametrize("number", [(-1, 0), (0, -1), (NUMBER_MAX + 1, 0), (0, NUMBER_MAX + 1)])
def test_impossible_number_is_refused(file: Path, number: tuple[int, int]) -> None:
    """A number that no other could follow would end all obedience."""
    assert not Fences(file).take("harbour/siren", *number)
    assert not file.exists()


def test_damaged_file_is_refused_and_kept(file: Path) -> None:
    """Cut anywhere, with any octet changed, or with more behind it: never taken for a file that knows less."""
    Fences(file).take("harbour/siren", 4, 7)
    sound = file.read_bytes()
    damaged = [sound[:end] for end in range(len(sound))]
    damaged += [sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :] for at in range(len(sound))]
    for octets in (*damaged, sound + b"x"):
        file.write_bytes(octets)
        with pytest.raises(ConfigError, match="is damaged, so nobody can tell a stale order"):
            Fences(file)
        assert file.read_bytes() == octets


def test_full_disk_is_told_and_remembered(file: Path) -> None:
    """What cannot be written down counts while the process lives, and is written with the next order."""
    fences = Fences(file)
    blocked = file.with_name("fences.json.new")
    blocked.mkdir()

    with pytest.raises(OSError, match="Is a directory"):
        fences.take("harbour/siren", 4, 7)
    refused = fences.take("harbour/siren", 4, 6)
    blocked.rmdir()
    again = fences.take("harbour/siren", 4, 7)

    assert (refused, again, Fences(file).newest("harbour/siren")) == (False, True, (4, 7))


def test_file_is_for_its_owner_alone(file: Path) -> None:
    """And put in place as a whole: what was there before is not written into."""
    fences = Fences(file)
    fences.take("harbour/siren", 4, 7)
    os.link(file, before := file.with_name("before"))
    fences.take("harbour/siren", 4, 8)

    assert file.stat().st_mode & 0o777 == 0o600
    assert Fences(before).newest("harbour/siren") == (4, 7)
