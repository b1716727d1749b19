"""The list of alarms in memory, found by what people ask for. Pure.

Each alarm is a `Row` of what filters and orders look at, beside its JSON as the worker wrote it: what is shown is decoded when it
is asked for. A list is read in slices that look at a bounded number of rows, so that nobody waits for somebody's search.

**Paging loses nothing.** A page ends at a *position*: the key of the last row, and the serial number of the last move that was
seen. A row that is moved in front of that key meanwhile (more severe, raised anew) is told on the next page, although its place is
before it; so what matched all the time is told at least once, and what moved perhaps twice. Paging ends when that is so: while more
alarms move between any two pages than half a page holds, there is a next page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import merge, nsmallest
from typing import Any, Final, Literal

import msgspec
from sortedcontainers import SortedList

from netmon.alarms.model import SEVERITIES, OperatorState, Severity

State = Literal["active", "cleared", "all"]
Sort = Literal["severity", "newest"]
STATES: Final[tuple[State, ...]] = ("active", "cleared", "all")
SORTS: Final[tuple[Sort, ...]] = ("severity", "newest")

LOOK_MAX: Final = 500
"""Rows that one slice looks at: half a millisecond, three when words are sought."""
SMALL_MAX: Final = 1_000
"""When an index names no more rows than this, they are sorted rather than sought in the order of all."""

_RANKS: Final = {severity: -rank for rank, severity in enumerate(SEVERITIES)}

Key = tuple[int | str, ...]
"""Of a row in an order; its last part is the alarm's ID."""
Facet = tuple[str, str]


class RowPlace(msgspec.Struct, frozen=True, gc=False):
    """What filters want to know of a place."""

    area: str = ""
    site: str = ""
    line: str = ""
    device: str = ""
    sectors: tuple[str, ...] = ()


class RowText(msgspec.Struct, frozen=True, gc=False):
    """What people search in."""

    en: str = ""
    ja: str = ""


class Row(msgspec.Struct, frozen=True, gc=False):
    """What filters and orders want to know of an alarm; read from the JSON of an `Alarm`, whose field names these are."""

    id: str
    resource: str
    alarm_type: str
    severity: Severity
    raised_unix_ns: int
    qualifier: str = ""
    place: RowPlace = RowPlace()
    text: RowText = RowText()
    is_cleared: bool = False
    version: int = 1
    flapping: bool = False
    operator_state: OperatorState = "none"
    cause: str | None = None

    @property
    def is_active(self) -> bool:
        """As `Alarm.is_active`."""
        return not self.is_cleared and self.operator_state != "closed"

    @property
    def is_annunciated(self) -> bool:
        """As `Alarm.is_annunciated`."""
        return self.is_active and self.operator_state != "shelved" and self.cause is None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for; None asks for nothing in particular. Several values of one field: any of them."""

    state: State = "active"
    severity: tuple[Severity, ...] = ()
    operator_state: tuple[OperatorState, ...] = ()
    area: str | None = None
    site: str | None = None
    line: str | None = None
    device: str | None = None
    sector: str | None = None
    type: str | None = None
    cause: str | None = None
    flapping: bool | None = None
    roots_only: bool = False
    q: str = ""
    """Each of its words has to be in text, resource, type or qualifier; small and capital letters are the same."""
    sort: Sort = "severity"


class Position(msgspec.Struct, frozen=True):
    """How far a reader of the list has come."""

    after: Key | None = None
    """Key of the last row; None: the beginning."""
    moves: int = 0
    """Moves that it has seen."""


class Slice(msgspec.Struct, frozen=True):
    """A part of the list."""

    rows: list[Row]
    position: Position
    is_last: bool
    """Nothing comes after it."""


class _Kept(msgspec.Struct, gc=False):
    """A row in the list."""

    row: Row
    body: bytes
    """The alarm as JSON."""
    created: int
    """When it came into the list, as a number in the sequence of all moves."""
    moved: int
    """When its keys changed last, likewise."""


def key_of(row: Row, sort: Sort) -> Key:
    """Its place in an order; smaller is earlier."""
    if sort == "severity":
        return (_RANKS[row.severity], -row.raised_unix_ns, row.id)
    return (-row.raised_unix_ns, row.id)


class Listing:
    """All alarms.

    Attributes:
        active: Alarms that stand, by kind of place (`area`, `site`, `line`), its ID, and severity.
        annunciated: Those of them that a person is to be told of, likewise by area.
        flapping, shelved, acknowledged, explained: How many of those that stand are so.
    """

    def __init__(self, *, moves: int = 0) -> None:
        """`moves`: where to begin to count; positions of another listing are not to be taken for this one's."""
        self.active: Counter[tuple[str, str, Severity]] = Counter()
        self.annunciated: Counter[tuple[str, str, Severity]] = Counter()
        self.flapping = self.shelved = self.acknowledged = self.explained = 0
        self._kept: dict[str, _Kept] = {}
        self._moves = moves
        self._moved: Any = SortedList()
        self._orders: dict[tuple[Sort, bool], Any] = {
            (sort, is_active): SortedList() for sort in SORTS for is_active in (True, False)
        }
        self._by_facet: dict[Facet, set[str]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, alarm_id: str) -> bool:
        return alarm_id in self._kept

    def row(self, alarm_id: str) -> Row | None:
        """An alarm's row."""
        kept = self._kept.get(alarm_id)
        return None if kept is None else kept.row

    def body(self, alarm_id: str) -> bytes | None:
        """An alarm's JSON."""
        kept = self._kept.get(alarm_id)
        return None if kept is None else kept.body

    # --- Changes.

    def put(self, row: Row, body: bytes) -> None:
        """Takes an alarm, new or changed; an older version than is known changes nothing."""
        kept = self._kept.get(row.id)
        if kept is None:
            self._moves += 1
            self._kept[row.id] = _Kept(row, body, self._moves, self._moves)
            self._moved.add((self._moves, row.id))
            self._enter(row)
        elif row.version >= kept.row.version:
            self._replace(kept, row, body)

    def _replace(self, kept: _Kept, row: Row, body: bytes) -> None:
        former = kept.row
        if _stands(former) != _stands(row):
            self._moved.remove((kept.moved, row.id))
            self._moves += 1
            kept.moved = self._moves
            self._moved.add((self._moves, row.id))
            self._leave(former)
            self._enter(row)
        elif _tags(former) != _tags(row):
            self._count(former, -1)
            self._count(row, 1)
            self._index(former, row)
        kept.row, kept.body = row, body

    def remove(self, alarm_id: str) -> None:
        """Forgets an alarm, if it is known."""
        kept = self._kept.pop(alarm_id, None)
        if kept is not None:
            self._moved.remove((kept.moved, alarm_id))
            self._leave(kept.row)

    def _enter(self, row: Row) -> None:
        for sort in SORTS:
            self._orders[sort, row.is_active].add(key_of(row, sort))
        self._count(row, 1)
        self._index(None, row)

    def _leave(self, row: Row) -> None:
        for sort in SORTS:
            self._orders[sort, row.is_active].remove(key_of(row, sort))
        self._count(row, -1)
        self._index(row, None)

    def _count(self, row: Row, by: int) -> None:
        if not row.is_active:
            return
        place, severity = row.place, row.severity
        self.active["area", place.area, severity] += by
        if place.site:
            self.active["site", place.site, severity] += by
        if place.line:
            self.active["line", place.line, severity] += by
        if row.is_annunciated:
            self.annunciated["area", place.area, severity] += by
        self.flapping += by * row.flapping
        self.shelved += by * (row.operator_state == "shelved")
        self.acknowledged += by * (row.operator_state == "ack")
        self.explained += by * (row.cause is not None)

    def _index(self, former: Row | None, row: Row | None) -> None:
        before = set(_facets(former)) if former else set()
        after = set(_facets(row)) if row else set()
        for facet in before - after:
            found = self._by_facet[facet]
            found.discard(former.id)  # type: ignore[union-attr]  # before is empty without one
            if not found:
                del self._by_facet[facet]
        for facet in after - before:
            self._by_facet.setdefault(facet, set()).add(row.id)  # type: ignore[union-attr]

    # --- Questions.

    def look(self, query: Query, position: Position, limit: int) -> Slice:
        """The next part of the list: up to `limit` rows, found among about `LOOK_MAX`; may be empty and not the last."""
        matches = matcher(query)
        after, moves = position.after, self._moves
        rows: list[Row] = []
        if after is not None:
            # No more than half of a page: what moves does not keep the others from being told.
            rows, moves = self._overtakers(query.sort, matches, after, position.moves, (limit + 1) // 2)
        for looked, row in enumerate(self._candidates(query, after, limit, matches)):
            if looked >= LOOK_MAX or len(rows) >= limit:
                return Slice(rows, Position(after, moves), is_last=False)
            after = key_of(row, query.sort)
            if matches(row):
                rows.append(row)
        return Slice(rows, Position(after, moves), is_last=moves == self._moves)

    def _overtakers(
        self, sort: Sort, matches: Callable[[Row], bool], after: Key, known: int, limit: int
    ) -> tuple[list[Row], int]:
        """Rows that were moved in front of a key since, oldest move first; and up to which move these are all."""
        rows: list[Row] = []
        moves = known
        for looked, (moved, alarm_id) in enumerate(self._moved.irange((known + 1, ""))):
            if looked >= LOOK_MAX:
                return rows, moves
            kept = self._kept[alarm_id]
            # What is new since the last page did not match all the time: it belongs to whoever begins now.
            if kept.created <= known and key_of(kept.row, sort) <= after and matches(kept.row):
                if len(rows) >= limit:
                    return rows, moves
                rows.append(kept.row)
            moves = moved
        return rows, self._moves

    def _candidates(self, query: Query, after: Key | None, limit: int, matches: Callable[[Row], bool]) -> Iterator[Row]:
        """Rows behind a key in the order that is asked for: of a small index, or of all that are in the state."""
        small = min((self._by_facet.get(facet, set()) for facet in _asked(query)), key=len, default=None)
        if small is not None and len(small) <= SMALL_MAX:
            found = [row for alarm_id in small if matches(row := self._kept[alarm_id].row)]
            if after is not None:
                found = [row for row in found if key_of(row, query.sort) > after]
            # One more than is wanted, so that whoever takes them sees whether they were all.
            yield from nsmallest(limit + 1, found, key=lambda row: key_of(row, query.sort))
            return
        states = {"active": (True,), "cleared": (False,), "all": (True, False)}[query.state]
        orders = [self._orders[query.sort, is_active] for is_active in states]
        for key in merge(*(order.irange(after, inclusive=(after is None, True)) for order in orders)):
            yield self._kept[key[-1]].row


def _stands(row: Row) -> tuple[object, ...]:
    """What its places in the orders depend on."""
    return (row.severity, row.raised_unix_ns, row.is_active)


def _tags(row: Row) -> tuple[object, ...]:
    """What may change beside these, and is indexed or counted; the key and the place never do."""
    return (row.operator_state, row.cause, row.flapping)


def _facets(row: Row) -> Iterator[Facet]:
    """What the row can be found by."""
    place = row.place
    yield ("type", row.alarm_type)
    yield ("severity", row.severity)
    for name, value in (("area", place.area), ("site", place.site), ("line", place.line), ("device", place.device)):
        if value:
            yield (name, value)
    for sector in place.sectors:
        yield ("sector", sector)
    if row.cause is not None:
        yield ("cause", row.cause)
    elif row.is_active:
        yield ("root", "")
    if row.operator_state != "none":
        yield ("operator_state", row.operator_state)
    if row.flapping:
        yield ("flapping", "")


def _asked(query: Query) -> Iterator[Facet]:
    """The facets that a row must have."""
    for name in ("area", "site", "line", "device", "sector", "type", "cause"):
        if (value := getattr(query, name)) is not None:
            yield (name, value)
    if len(query.severity) == 1:
        yield ("severity", query.severity[0])
    if len(query.operator_state) == 1 and query.operator_state != ("none",):
        yield ("operator_state", query.operator_state[0])
    if query.flapping:
        yield ("flapping", "")
    if query.roots_only and query.state == "active":
        yield ("root", "")


def matcher(query: Query) -> Callable[[Row], bool]:
    """Whether a row is what somebody asks for."""
    tests: list[Callable[[Row], bool]] = []
    if query.state != "all":
        wanted = query.state
        tests.append(lambda row: row.is_active if wanted == "active" else row.is_cleared)
    if query.severity:
        tests.append(lambda row: row.severity in query.severity)
    if query.operator_state:
        tests.append(lambda row: row.operator_state in query.operator_state)
    tests += _place_tests(query)
    if query.type is not None:
        tests.append(lambda row: row.alarm_type == query.type)
    if query.cause is not None:
        tests.append(lambda row: row.cause == query.cause)
    if query.flapping is not None:
        tests.append(lambda row: row.flapping is query.flapping)
    if query.roots_only:
        tests.append(lambda row: row.cause is None)
    if query.q:
        words = query.q.casefold().split()
        tests.append(lambda row: _has_words(row, words))
    return lambda row: all(test(row) for test in tests)


def _place_tests(query: Query) -> Iterable[Callable[[Row], bool]]:
    if query.area is not None:
        yield lambda row: row.place.area == query.area
    if query.site is not None:
        yield lambda row: row.place.site == query.site
    if query.line is not None:
        yield lambda row: row.place.line == query.line
    if query.device is not None:
        yield lambda row: row.place.device == query.device
    if query.sector is not None:
        yield lambda row: query.sector in row.place.sectors


def _has_words(row: Row, words: list[str]) -> bool:
    text = f"{row.text.en}\n{row.text.ja}\n{row.resource}\n{row.alarm_type}\n{row.qualifier}".casefold()
    return all(word in text for word in words)
