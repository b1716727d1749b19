"""Columns and lines of a terminal, where a Japanese letter takes two."""

from __future__ import annotations

from rich.cells import cell_len

from netmon.cli.columns import table, wrapped


def test_columns_are_two_blanks_apart_and_none_is_at_the_end() -> None:
    """Counted in columns of the terminal, not in letters."""
    assert table(["回線", "WHY"], [["a", ""], ["abcde", "x"]]) == ["回線   WHY", "a", "abcde  x"]


def test_lines_are_broken_at_blanks_and_within_words_only_when_they_must() -> None:
    """Nothing is lost, and nothing is wider than the terminal."""
    english = wrapped("one two three", 9, "  ", "    ")
    japanese = wrapped("予備回線で運用中", 8, "  ")

    assert english == ["  one two", "    three"]
    assert japanese == ["  予備回", "  線で運", "  用中"]
    assert max(map(cell_len, [*english, *japanese])) <= 9
