"""What the labs of lines have in common: a line by its number, and namespaces that are built and gone."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

import msgspec

from loadtest.lab.namespaces import Namespace, Namespaces

LINES_MAX: Final = 250
"""Of one lab: a line's number is an octet of its addresses."""


class NumberedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a gateway by its number among all lines of the lab."""

    line_id: str
    number: int

    @property
    def interface(self) -> str:
        """Of the gateway."""
        return f"l{self.number}"

    @property
    def source(self) -> str:
        """Of the gateway, on this line."""
        return f"10.64.{self.number}.1"

    @property
    def next_hop(self) -> str:
        """The carrier's router."""
        return f"10.64.{self.number}.2"

    @property
    def next_hop6(self) -> str:
        """The same in IPv6."""
        return f"fd64:{self.number:x}::2"

    @property
    def target(self) -> str:
        """At its far end."""
        return f"10.66.{self.number}.2"

    @property
    def target6(self) -> str:
        """The same in IPv6."""
        return f"fd66:{self.number:x}::2"


class Built(ABC):
    """Namespaces with lines between them. As a context manager they are built, and gone."""

    def __init__(self, *, rootless: bool | None = None) -> None:
        """Nothing is there yet; `rootless`: see `Namespaces`."""
        self._spaces = Namespaces(rootless=rootless)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._spaces)
            self._build()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Namespace:
        """A namespace by its name."""
        return self._spaces[name]

    @abstractmethod
    def _build(self) -> None:
        """Makes all of it, in namespaces that are there."""
