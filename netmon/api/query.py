"""What a request's parameters and headers ask for; every mistake is named, all at once. Pure.

A cursor is opaque to others: what was asked, how far the answer has come, and of which list. It is signed by nothing, since it
opens nothing: a forged one shows another part of a list that its bearer may read anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from netmon.active_probe.model import LINE_STATES
from netmon.alarms.model import SEVERITIES, OperatorState
from netmon.api.listing import SORTS, STATES, Key, Position, Query
from netmon.api.problem import Mistake, invalid, refusal, shown

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 500
VALUE_MAX: Final = 200
"""Characters of a parameter; a cursor may have more."""
CURSOR_MAX: Final = 1_000
WORDS_MAX: Final = 8
"""Of `q`."""
NUMBER_MAX: Final = 2**63 - 1

_OPERATOR_STATES: Final[tuple[str, ...]] = get_args(OperatorState)
_ETAG: Final = re.compile(r'(W/)?"([^"]{0,40})"')


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list."""

    query: Query
    limit: int
    position: Position


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """What is inside a cursor."""

    epoch: str
    """Of the list: its serial numbers of moves mean nothing in another one."""
    asked: str
    """Fingerprint of the query."""
    after: Key
    moves: int


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"found {shown(text)}; expected one of {', '.join(names)}")
        return text

    return parse


def _some_of(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    parse_one = _one_of(names)

    def parse(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(parse_one(part) for part in text.split(",")))

    return parse


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"found {shown(text)}; expected true or false")
    return text == "true"


def _name(text: str) -> str:
    if not text:
        raise ValueError("found nothing; expected an ID, or leave the parameter out")
    return text


def _words(text: str) -> str:
    if len(text.split()) > WORDS_MAX:
        raise ValueError(f"found {len(text.split())} words; expected at most {WORDS_MAX}")
    return text


_FILTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "state": _one_of(STATES),
    "severity": _some_of(SEVERITIES),
    "operator_state": _some_of(_OPERATOR_STATES),
    "area": _name,
    "site": _name,
    "line": _name,
    "device": _name,
    "sector": _name,
    "type": _name,
    "cause": _name,
    "flapping": _flag,
    "roots_only": _flag,
    "q": _words,
    "sort": _one_of(SORTS),
}
FILTERS: Final[tuple[str, ...]] = tuple(_FILTERS)
CAUSE_FILTERS: Final[tuple[str, ...]] = ("severity", "area", "site", "line", "sector", "type", "q")
"""Of /causes."""
LINE_FILTERS: Final[tuple[str, ...]] = ("state", "area", "carrier", "sector")
"""Of /lines."""
_LINE_STATES: Final = _some_of(LINE_STATES)


def page_of(
    parameters: Iterable[tuple[str, str]], epoch: str, filters: Sequence[str] = FILTERS, base: Query | None = None
) -> Page:
    """What the parameters of a list ask for.

    Args:
        parameters: As they stand in the URL, decoded.
        epoch: Of the present list.
        filters: Those that may be used; `limit` and `cursor` always may.
        base: What is asked for where the parameters say nothing.

    Raises:
        ProblemError: They have mistakes, or the cursor belongs to a list that is gone.
    """
    given, mistakes = _given(parameters, (*filters, "limit", "cursor"))
    fields: dict[str, Any] = {}
    for name, text in given.items():
        if name in {"limit", "cursor"}:
            continue
        try:
            fields[name] = _FILTERS[name](text)
        except ValueError as error:
            mistakes.append(Mistake(f"parameter {name}", str(error)))
    limit = _limit(given.get("limit"), mistakes)
    cursor = _cursor(given.get("cursor"), mistakes)
    if mistakes:
        raise invalid(mistakes)
    query = msgspec.structs.replace(base or Query(), **fields)
    return Page(query=query, limit=limit, position=_position(cursor, query, epoch))


class LinePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of lines, by their IDs."""

    wanted: dict[str, tuple[str, ...]]
    """Filter to the values of which a line has to have one."""
    after: str
    """ID of the last line of the page before; empty: the first page."""
    limit: int


def line_page_of(parameters: Iterable[tuple[str, str]]) -> LinePage:
    """What the parameters of the list of lines ask for. Raises ProblemError: they have mistakes."""
    given, mistakes = _given(parameters, (*LINE_FILTERS, "limit", "cursor"))
    wanted: dict[str, tuple[str, ...]] = {}
    for name in LINE_FILTERS:
        if name not in given:
            continue
        try:
            wanted[name] = _LINE_STATES(given[name]) if name == "state" else (_name(given[name]),)
        except ValueError as error:
            mistakes.append(Mistake(f"parameter {name}", str(error)))
    limit = _limit(given.get("limit"), mistakes)
    if mistakes:
        raise invalid(mistakes)
    return LinePage(wanted=wanted, after=given.get("cursor", ""), limit=limit)


def no_parameters(parameters: Iterable[tuple[str, str]]) -> None:
    """Refuses all of them. Raises ProblemError."""
    _, mistakes = _given(parameters, ())
    if mistakes:
        raise invalid(mistakes)


def given_once(parameters: Iterable[tuple[str, str]], name: str) -> str | None:
    """The only parameter that there may be; None when it is not there. Raises ProblemError."""
    given, mistakes = _given(parameters, (name,))
    if mistakes:
        raise invalid(mistakes)
    return given.get(name)


def _given(parameters: Iterable[tuple[str, str]], known: Sequence[str]) -> tuple[dict[str, str], list[Mistake]]:
    given: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for name, text in parameters:
        where = f"parameter {name if name in known else shown(name)}"
        if name not in known:
            mistakes.append(Mistake(where, f"unknown; expected {', '.join(known) or 'none here'}"))
        elif name in given:
            mistakes.append(Mistake(where, "given twice; expected once"))
        elif len(text) > (CURSOR_MAX if name == "cursor" else VALUE_MAX):
            mistakes.append(Mistake(where, f"found {len(text):,} characters; expected fewer"))
        else:
            given[name] = text
    return given, mistakes


def _limit(text: str | None, mistakes: list[Mistake]) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 0 < int(text) <= LIMIT_MAX:
        mistakes.append(Mistake("parameter limit", f"found {shown(text)}; expected a number from 1 to {LIMIT_MAX}"))
        return LIMIT_DEFAULT
    return int(text)


# --- Cursors.


def cursor_of(page: Page, position: Position, epoch: str) -> str:
    """The cursor for what comes behind a position; the position has a key."""
    assert position.after is not None, "a list that was looked at has a last row"
    inside = _Cursor(epoch, _fingerprint(page.query), position.after, position.moves)
    return base64.urlsafe_b64encode(msgspec.json.encode(inside)).rstrip(b"=").decode()


def _cursor(text: str | None, mistakes: list[Mistake]) -> _Cursor | None:
    if text is None:
        return None
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(packed, type=_Cursor)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        cursor = None
    if cursor is None or not _is_sound(cursor):
        mistakes.append(Mistake("parameter cursor", "found none of ours; expected next_cursor of the page before"))
        return None
    return cursor


def _is_sound(cursor: _Cursor) -> bool:
    """Whether it can be compared with keys, whatever list it belongs to."""
    *numbers, last = cursor.after or (0,)
    is_key = 1 <= len(numbers) <= 2 and isinstance(last, str) and all(isinstance(number, int) for number in numbers)
    return is_key and 0 <= cursor.moves <= NUMBER_MAX


def _position(cursor: _Cursor | None, query: Query, epoch: str) -> Position:
    if cursor is None:
        return Position()
    if cursor.asked != _fingerprint(query):
        detail = "it belongs to a list with other parameters; expected the same ones on each page (limit may differ)"
        raise invalid([Mistake("parameter cursor", detail)])
    if cursor.epoch != epoch:
        raise refusal(410, "cursor_gone", "the list was loaded anew since; begin again without a cursor")
    return Position(cursor.after, cursor.moves)


def _fingerprint(query: Query) -> str:
    return hashlib.blake2b(msgspec.json.encode(query), digest_size=6).hexdigest()


# --- Headers.


def wanted_version(if_match: str | None, present: int | None) -> int | None:
    """The version that the alarm must have for a command to be carried out; None: any.

    Args:
        if_match: Header `If-Match` (RFC 9110 section 13.1.1): `*`, or ETags with commas between them.
        present: The alarm's version as far as is known.

    Raises:
        ProblemError: The header is malformed; or no ETag in it can match, because all are weak or no versions.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [_ETAG.fullmatch(part.strip()) for part in if_match[:VALUE_MAX].split(",")]
    if not all(tags) or len(if_match) > VALUE_MAX:
        expected = 'expected an ETag such as "7", several with commas between them, or *'
        raise invalid([Mistake("header If-Match", f"found {shown(if_match)}; {expected}")])
    strong = [tag[2] for tag in tags if tag is not None and tag[1] is None]
    versions = [int(text) for text in strong if re.fullmatch(r"[1-9][0-9]{0,17}", text)]
    if not versions:
        raise refusal(412, "version_changed", "If-Match names no version that an alarm could have")
    return present if present in versions else versions[-1]
