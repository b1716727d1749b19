"""Whether what a condition of a rule asks is so.

Pure. What a device sends is anybody's: an expression sees the beginning of a value only, and a number may come as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, cast

from netmon.alarms.rules.model import Condition
from netmon.alarms.rules.template import finder, shown
from netmon.model import Varbind

MATCHED_LETTERS_MAX: Final = 128
"""Of a value that a regular expression looks at: an expression that is slow takes its time from every notification."""

Test: TypeAlias = Callable[[Sequence[Varbind]], bool]
"""Whether the bindings of a notification fulfil a condition."""


def test_of(condition: Condition) -> Test:
    """What tells whether all that a condition asks is so. A binding that is not there fulfils only `is_present: false`."""
    find = finder(condition.oid)
    asked = [*_asked(condition)]

    def holds(varbinds: Sequence[Varbind]) -> bool:
        varbind = find(varbinds)
        if varbind is None:
            return condition.is_present is False
        return condition.is_present is not False and all(ask(varbind) for ask in asked)

    return holds


def _asked(condition: Condition) -> list[Callable[[Varbind], bool]]:
    asked: list[Callable[[Varbind], bool]] = []
    if condition.equals:
        asked.append(_one_of(condition.equals))
    if condition.unequal:
        one_of = _one_of(condition.unequal)
        asked.append(lambda varbind: not one_of(varbind))
    if condition.at_least is not None or condition.at_most is not None:
        asked.append(_between(condition.at_least, condition.at_most))
    if condition.matches is not None:
        search = re.compile(condition.matches).search
        asked.append(lambda varbind: any(search(text[:MATCHED_LETTERS_MAX]) for text in _texts_of(varbind)))
    return asked


def _texts_of(varbind: Varbind) -> list[str]:
    return [text for text in (shown(varbind, "value"), varbind.label, varbind.text) if text]


def _one_of(wanted: tuple[str | int, ...]) -> Callable[[Varbind], bool]:
    values = frozenset(wanted)
    return lambda varbind: varbind.value in values or varbind.label in values or varbind.text in values


def _between(at_least: float | None, at_most: float | None) -> Callable[[Varbind], bool]:
    low = float("-inf") if at_least is None else at_least
    high = float("inf") if at_most is None else at_most

    def between(varbind: Varbind) -> bool:
        value = varbind.value if isinstance(varbind.value, int) else _number(varbind)
        return value is not None and low <= value <= high

    return between


def _number(varbind: Varbind) -> float | None:
    """A number that a device sent as text."""
    text = cast("str", varbind.value or "")
    if varbind.encoding is not None or len(text) > MATCHED_LETTERS_MAX:
        return None
    try:
        return float(text)
    except ValueError:
        return None
