"""Which regular expressions may be asked of what anybody sends: those that cannot be made slow.

Pure. Python's engine goes back and tries again; a repeat within a repeat takes time that doubles with each letter of a
hostile value. Values are bounded (`conditions.MATCHED_LETTERS_MAX`), and what is repeated may only be repeated once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

EXPRESSION_LETTERS_MAX: Final = 256
OPEN_REPEATS_MAX: Final = 2
"""Repeats of no fixed number in one expression: with n letters it takes n steps to the power of one more."""
REPEATED_MAX: Final = 128
"""Of a fixed number of repeats; more than a value's letters cannot match."""


def why_refused(expression: str) -> str | None:
    """What is wrong with an expression, with its cure; None when it may be used."""
    if len(expression) > EXPRESSION_LETTERS_MAX:
        return f"it has {len(expression)} letters; expected at most {EXPRESSION_LETTERS_MAX}"
    try:
        parsed = parser.parse(expression)
        re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        return f"it is no regular expression: {error}"
    repeats = 0
    for code, argument, depth in _walked(parsed, 0):
        if code in {codes.GROUPREF, codes.GROUPREF_EXISTS, codes.ASSERT, codes.ASSERT_NOT}:
            return "it refers back or looks around, which can be slow; expected an expression without it"
        if depth and (code in _REPEATS or code is codes.BRANCH):
            return "it repeats something that repeats or has a choice, which hostile text makes slow; expected [a-z]+ or the like"
        if code not in _REPEATS:
            continue
        low, high, _ = argument
        if min(high, REPEATED_MAX + 1) != low:
            repeats += 1
        if low > REPEATED_MAX:
            return f"it repeats more than {REPEATED_MAX} times; a value is looked at only so far"
    if repeats > OPEN_REPEATS_MAX:
        return f"it has {repeats} repeats of any number, which hostile text makes slow; expected at most {OPEN_REPEATS_MAX}"
    return None


_REPEATS: Final = frozenset((codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT))


def _walked(node: Any, depth: int) -> Iterator[tuple[Any, Any, int]]:
    """Each operation of a parsed expression, its argument, and how many repeats it is in; `?` is none."""
    for code, argument in node:
        yield code, argument, depth
        inner = depth + (code in _REPEATS and argument[1] > 1)
        yield from _below(argument, inner)


def _below(argument: Any, depth: int) -> Iterator[tuple[Any, Any, int]]:
    if isinstance(argument, parser.SubPattern):
        yield from _walked(argument, depth)
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _below(each, depth)
