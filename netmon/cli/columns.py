"""Text in columns and lines of a terminal, where a Japanese letter takes two columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size


def padded(text: str, cells: int) -> str:
    """The text, and blanks up to this width."""
    return text + " " * max(cells - cell_len(text), 0)


def cut(text: str, cells: int) -> str:
    """The text in no more than this width; what is missing is an ellipsis."""
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1) + "…"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Titles and rows in columns, two blanks apart and none at the end."""
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    return ["  ".join(map(padded, row, widths)).rstrip() for row in (titles, *rows)]


def wrapped(text: str, width: int, indent: str = "", beneath: str | None = None) -> list[str]:
    """The text in lines of this width, broken at blanks; within a word only if it is longer than a line, as Japanese is.

    Args:
        text: Without an indent.
        width: Columns of the terminal.
        indent: Before the first line.
        beneath: Before the others; None: the same.
    """
    lines, line, is_empty = [], indent, True
    more = indent if beneath is None else beneath
    for word in text.split(" "):
        rest, gap = word, "" if is_empty else " "
        if not is_empty and cell_len(f"{line}{gap}{word}") > width:
            lines.append(line)
            line, gap = more, ""
        while cell_len(f"{line}{gap}{rest}") > width and (room := width - cell_len(line)) > 1:
            head = _head(rest, room)
            lines.append(f"{line}{head}")
            line, rest = more, rest[len(head) :]
        line, is_empty = f"{line}{gap}{rest}", False
    return [*lines, line]


def _head(text: str, cells: int) -> str:
    """As many letters as fit."""
    used = 0
    for index, letter in enumerate(text):
        used += cell_len(letter)
        if used > cells:
            return text[: max(index, 1)]
    return text
