"""XML from a network, as a tree: without a document type or entities, and no larger, deeper or longer than it may be.

Pure. What it raises says where: line, path and what is wrong there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from netmon.errors import DecodeError

DEPTH_MAX: Final = 32
"""Elements within each other; telegrams have 12."""
ELEMENTS_MAX: Final = 200_000


class TelegramError(DecodeError):
    """A telegram that cannot be used: where, and what is wrong there.

    `reason` is one of too_large, malformed, dtd, too_deep, too_many, missing, invalid; `offset` is in bytes.
    """

    def __init__(self, reason: str, offset: int, line: int, path: str, what: str) -> None:
        super().__init__(reason, offset)
        self.where = f"line {line}{f', {path}' if path else ''}"
        self.what = what

    def __str__(self) -> str:
        """For people."""
        return f"{self.where}: {self.what}"


def read(data: bytes, bytes_max: int) -> Node:
    """The outermost element. Raises TelegramError."""
    if len(data) > bytes_max:
        raise TelegramError("too_large", bytes_max, 1, "", f"more than {bytes_max} bytes")
    return _Builder().parse(data)


class Node:
    """An element; `name` is its namespace and its name in it."""

    __slots__ = ("attributes", "children", "line", "name", "offset", "parent", "parts")

    def __init__(
        self, name: tuple[str, str], attributes: dict[str, str], parent: Node | None, offset: int, line: int
    ) -> None:
        self.name, self.attributes, self.parent = name, attributes, parent
        self.offset, self.line = offset, line
        self.children: list[Node] = []
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        """Without the blanks around it."""
        return "".join(self.parts).strip()

    @property
    def path(self) -> str:
        """For people."""
        return self.name[1] if self.parent is None else f"{self.parent.path}/{self.name[1]}"

    def error(self, reason: str, what: str, *below: str) -> TelegramError:
        """About this element, or one that should be below it."""
        return TelegramError(reason, self.offset, self.line, "/".join((self.path, *below)), what)

    def all(self, namespace: str, name: str) -> Iterator[Node]:
        """The children of this name, may be none."""
        return (child for child in self.children if child.name == (namespace, name))

    def maybe(self, namespace: str, *names: str) -> Node | None:
        """The first one on this path; None when there is none."""
        found: Node | None = self
        for name in names:
            found = None if found is None else next(found.all(namespace, name), None)
        return found

    def child(self, namespace: str, *names: str) -> Node:
        """The first one on this path. Raises TelegramError."""
        found = self
        for name in names:
            below = next(found.all(namespace, name), None)
            if below is None:
                other = next((child for child in found.children if child.name[1] == name), None)
                if other is not None:
                    raise other.error("invalid", f"expected it in {namespace}, found {other.name[0] or 'no namespace'}")
                raise found.error("missing", "missing", name)
            found = below
        return found


class _Builder:
    """Makes a tree of what expat tells."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: Node | None = None
        self._depth = self._count = 0
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse

    def parse(self, data: bytes) -> Node:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise self._error("malformed", f"no XML: {expat.ErrorString(error.code)}") from None
        except (LookupError, ValueError) as error:
            raise self._error("malformed", f"no XML: {error}") from None
        finally:
            # Parser and handlers hold each other: without this, each telegram would wait for the collector of circles.
            parser = self._parser
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
            parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = None
        assert self.root is not None
        return self.root

    def _error(self, reason: str, what: str) -> TelegramError:
        path = "" if self._open is None else self._open.path
        return TelegramError(reason, max(0, self._parser.ErrorByteIndex), self._parser.ErrorLineNumber, path, what)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > DEPTH_MAX:
            raise self._error("too_deep", f"more than {DEPTH_MAX} elements within each other")
        if self._count > ELEMENTS_MAX:
            raise self._error("too_many", f"more than {ELEMENTS_MAX} elements")
        namespace, _, local = name.rpartition(" ")
        offset, line = self._parser.CurrentByteIndex, self._parser.CurrentLineNumber
        node = Node((namespace, local), attributes, self._open, offset, line)
        if self._open is None:
            self.root = node
        else:
            self._open.children.append(node)
        self._open = node

    def _end(self, _name: str) -> None:
        self._depth -= 1
        assert self._open is not None
        self._open = self._open.parent

    def _text(self, text: str) -> None:
        if self._open is not None:
            self._open.parts.append(text)

    def _refuse(self, *_about: object) -> None:
        raise self._error("dtd", "a document type or entities, which no telegram has")
