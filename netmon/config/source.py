"""A YAML text as plain values that remember their lines, and the mistakes made in writing it.

Pure: text in, values out. PyYAML's own loader takes a repeated key in silence and forgets where a value stood; an
operator who is told a line number at three in the morning does not have to search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

DEPTH_MAX: Final = 100
"""Nesting of a text. Ours needs 6; libyaml's composer recurses on the stack of C, where too deep is a crash."""
_REPEATED_MAX: Final = 10_000
"""Values that aliases may repeat on top of the letters of a text: a few lines of them can mean millions."""
_WORDS_BYTES_MAX: Final = 1 << 20
"""PyYAML's own parser has better words for what is wrong, and takes seconds for each of these."""

_Fast: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where PyYAML was built with it: ten times faster."""

Path = tuple[str | int, ...]
"""Where a setting is: `("receiver", "listen", 0)` is written `receiver.listen[0]`."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong; sorted by line."""

    line: int
    """From 1."""
    path: str
    """As `dotted` writes it; empty for the file as a whole."""
    text: str
    """What was found and what was expected."""


@dataclass(frozen=True)
class Source:
    """What was written, and where."""

    values: Any
    """dict, list, str, int, float, bool, None, or what else YAML knows; None for an empty text."""
    lines: dict[Path, int] = field(default_factory=dict)
    """Line of each key and list item, from 1."""
    mistakes: list[Mistake] = field(default_factory=list)

    def mistake(self, path: Path, text: str) -> Mistake:
        """A mistake at `path`, at the line of the nearest enclosing thing that was written down."""
        known = (path[:length] for length in range(len(path), -1, -1) if path[:length] in self.lines)
        return Mistake(self.lines.get(next(known, ()), 1), dotted(path), text)


def dotted(path: Path) -> str:
    """The path as an operator reads it: `receiver.allow[0].sources`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def parse(text: str) -> Source:
    """Read one YAML document; whatever is wrong with it is in `mistakes`, and `values` holds the rest."""
    try:
        node = _compose(text)
        reader = _Reader(values_max=len(text) + _REPEATED_MAX)
        values = None if node is None else reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return Source(None, mistakes=[Mistake(line, "", f"not YAML: {_problem(error)}")])
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return Source(None, mistakes=[Mistake(line, "", f"not YAML: U+{error.character:04X} is not allowed")])
    except RecursionError:
        return Source(None, mistakes=[Mistake(1, "", "nested too deeply")])
    except _TooMuchError as error:
        return Source(None, mistakes=[Mistake(1, "", str(error))])
    return Source(values, reader.lines, reader.mistakes)


class _TooMuchError(Exception):
    """Deeper than DEPTH_MAX, or more values than the text has letters."""


def _compose(text: str) -> yaml.Node | None:
    """PyYAML's nodes, made by libyaml; a text that it refuses goes to PyYAML's own parser for the words.

    Raises:
        yaml.YAMLError: It is not YAML.
        _TooMuchError: It is nested too deeply to be composed.
    """
    try:
        if _depth(text) > DEPTH_MAX:
            raise _TooMuchError("nested too deeply")
        return yaml.compose(text, Loader=_Fast)
    except yaml.YAMLError:
        if len(text) > _WORDS_BYTES_MAX:
            raise
        return yaml.compose(text, Loader=yaml.SafeLoader)


def _depth(text: str) -> int:
    """How deep a text is nested, or the first depth that is too deep."""
    depth = deepest = 0
    for event in yaml.parse(text, Loader=_Fast):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
            if deepest > DEPTH_MAX:
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return deepest


def _problem(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words, and the cure for the one mistake that an IPv6 address leads to."""
    words = ", ".join(filter(None, (error.context, error.problem)))
    mark = error.problem_mark
    near = mark.get_snippet(indent=0) if mark and mark.buffer else None
    if near and "[" in near and "]:" in near:
        return f'{words}; an address in brackets must be quoted: "[::]:1162"'
    return words


class _Reader:
    """Turns PyYAML's nodes into values and notes the line of each."""

    def __init__(self, values_max: int) -> None:
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self._open: list[yaml.Node] = []
        self._values_left = values_max
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._values_left -= 1
        if self._values_left < 0:
            raise _TooMuchError("aliases (*name) repeat too much; expected it to be written out")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if any(node is outer for outer in self._open):
            self._note(node, path, "refers to itself; expected settings that end somewhere")
            return None
        self._open.append(node)
        try:
            return self._value(node, path)
        finally:
            self._open.pop()

    def _value(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._note(node, path, f"found {node.value!r}, which is no {node.tag.rpartition(':')[2]}")
            return None

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        """Yield key and value node of each setting, the first of equal keys only."""
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(key_node, path, "found a key that is not a word; expected `name: value`")
                continue
            key = key_node.value
            if key in seen:
                self._note(key_node, (*path, key), f"written twice, first in line {seen[key]}; expected once")
                continue
            seen[key] = self.lines[*path, key] = line
            yield key, value

    def _note(self, node: yaml.Node, path: Path, text: str) -> None:
        self.mistakes.append(Mistake(node.start_mark.line + 1, dotted(path), text))
