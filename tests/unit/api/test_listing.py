"""The list of alarms in memory: whatever changes while somebody pages through it, nothing that stood all the time is skipped."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.alarms.model import SEVERITIES
from netmon.api.listing import (
    LOOK_MAX,
    SMALL_MAX,
    SORTS,
    Listing,
    Position,
    Query,
    Row,
    RowPlace,
    RowText,
    Slice,
    key_of,
    matcher,
)

AREAS = ("hama", "yama", "")


def row(number: int, **fields: Any) -> Row:
    """An alarm; each number is another one."""
    defaults: dict[str, Any] = {
        "resource": f"device/r{number}",
        "alarm_type": "link-down",
        "severity": "major",
        "raised_unix_ns": number,
        "place": RowPlace(area="hama", site="hall"),
        "text": RowText(f"Port {number} is down", f"ポート{number}が停止"),
    }
    return Row(id=f"id{number}", **{**defaults, **fields})


def listing_of(*rows: Row) -> Listing:
    """A listing with these."""
    listing = Listing()
    for one in rows:
        listing.put(one, b"{}")
    return listing


def read_all(listing: Listing, query: Query, limit: int = 10) -> list[str]:
    """IDs of all that match, page by page, while nothing changes."""
    found: list[str] = []
    position = Position()
    while True:
        part = listing.look(query, position, limit)
        found += [one.id for one in part.rows]
        position = part.position
        if part.is_last:
            return found


def test_the_worst_come_first_and_of_them_the_newest() -> None:
    """Or the newest of all."""
    listing = listing_of(row(1, severity="critical"), row(2), row(3), row(4, severity="critical"))
    assert read_all(listing, Query()) == ["id4", "id1", "id3", "id2"]
    assert read_all(listing, Query(sort="newest")) == ["id4", "id3", "id2", "id1"]


def test_an_older_version_changes_nothing_and_the_same_one_does() -> None:
    """Versions grow; of the same version, what comes later is newer."""
    listing = listing_of(row(1, version=2))
    listing.put(row(1, version=1, severity="minor"), b"old")
    assert (listing.row("id1"), listing.body("id1")) == (row(1, version=2), b"{}")
    listing.put(row(1, version=2, flapping=True), b"new")
    assert (listing.flapping, listing.body("id1")) == (1, b"new")


def test_what_is_removed_is_gone_from_everywhere() -> None:
    """Also twice, and when it was never there."""
    listing = listing_of(row(1, operator_state="ack", cause="x", flapping=True))
    listing.remove("id1")
    listing.remove("id1")
    listing.remove("other")
    assert (len(listing), read_all(listing, Query(state="all")), +listing.active) == (0, [], {})
    assert listing._by_facet == {}
    assert list(listing._moved) == []


def test_closed_is_neither_active_nor_cleared() -> None:
    """It stands in the list of all."""
    listing = listing_of(row(1, operator_state="closed"), row(2, is_cleared=True), row(3))
    states = {state: read_all(listing, Query(state=state)) for state in ("active", "cleared", "all")}
    assert states == {"active": ["id3"], "cleared": ["id2"], "all": ["id3", "id2", "id1"]}


def test_one_look_is_short_however_many_there_are() -> None:
    """A word that nothing has is sought in slices."""
    listing = listing_of(*(row(number) for number in range(2 * LOOK_MAX + 1)))
    query = Query(q="nothing")
    parts: list[Slice] = []
    while not parts or not parts[-1].is_last:
        parts.append(listing.look(query, parts[-1].position if parts else Position(), 10))
    assert [(part.rows, part.is_last) for part in parts] == [([], False), ([], False), ([], True)]


def test_an_index_is_used_whether_it_is_small_or_large() -> None:
    """The same rows in the same order, on both sides of the bound."""
    rows = [row(number, place=RowPlace(area="yama" if number % 2 else "hama")) for number in range(2 * SMALL_MAX + 20)]
    listing = listing_of(*rows, row(5_000, place=RowPlace(area="small")))
    expected = [one.id for one in sorted(rows, key=lambda one: key_of(one, "severity")) if one.place.area == "yama"]
    assert len(expected) > SMALL_MAX
    assert read_all(listing, Query(area="yama"), 100) == expected
    assert read_all(listing, Query(area="small"), 100) == ["id5000"]


def test_what_overtakes_the_reader_is_told_on_the_next_page() -> None:
    """Read as minor to come, it became critical meanwhile; what is new is not told."""
    listing = listing_of(row(1, severity="minor"), *(row(number) for number in (2, 3, 4)))
    first = listing.look(Query(), Position(), 2)
    listing.put(row(1, severity="critical", version=2), b"{}")
    listing.put(row(9, severity="critical"), b"{}")
    second = listing.look(Query(), first.position, 2)
    assert [one.id for one in (*first.rows, *second.rows)] == ["id4", "id3", "id1", "id2"]
    assert second.is_last


def test_a_list_in_which_something_always_moves_comes_to_its_end() -> None:
    """One alarm changes its place before each page; the others are told meanwhile."""
    listing = listing_of(*(row(number) for number in range(20)))
    part, pages = listing.look(Query(), Position(), 4), 1
    seen = {one.id for one in part.rows}
    while not part.is_last:
        listing.put(row(pages % 3, raised_unix_ns=1_000 + pages, version=pages), b"{}")
        part, pages = listing.look(Query(), part.position, 4), pages + 1
        seen |= {one.id for one in part.rows}
    assert (len(seen), pages <= 10) == (20, True)


changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 30), st.sampled_from(SEVERITIES), st.integers(0, 50)),
        st.tuples(st.just("clear"), st.integers(0, 30), st.just("major"), st.integers(0, 50)),
        st.tuples(st.just("remove"), st.integers(0, 30), st.just("major"), st.integers(0, 50)),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(
    start=st.dictionaries(st.integers(0, 30), st.tuples(st.sampled_from(SEVERITIES), st.integers(0, 50)), max_size=30),
    turns=st.lists(changes, max_size=12),
    limit=st.integers(1, 5),
    sort=st.sampled_from(SORTS),
    area=st.sampled_from([None, "hama"]),
    state=st.sampled_from(["active", "all"]),
)
def test_paging_never_skips_what_matched_all_the_time(
    start: dict[int, tuple[Any, int]], turns: list[Any], limit: int, sort: Any, area: str | None, state: Any
) -> None:
    """Between the pages alarms are raised, moved, cleared and purged at will."""
    query = Query(sort=sort, area=area, state=state)
    matches = matcher(query)
    listing = listing_of(
        *(row(n, severity=s, raised_unix_ns=t, place=RowPlace(area=AREAS[n % 3])) for n, (s, t) in start.items())
    )
    standing = {one.id for n in start if (one := listing.row(f"id{n}")) is not None and matches(one)}
    seen: set[str] = set()
    position, queue = Position(), list(turns)
    while True:
        part = listing.look(query, position, limit)
        assert len(part.rows) <= limit
        seen |= {one.id for one in part.rows}
        if part.is_last:
            break
        position = part.position
        for kind, number, severity, at in queue.pop(0) if queue else []:
            change(listing, kind, number, severity, at)
            known = listing.row(f"id{number}")
            if known is None or not matches(known):
                standing.discard(f"id{number}")
    assert standing - seen == set()


def change(listing: Listing, kind: str, number: int, severity: Any, at: int) -> None:
    """One change of one alarm."""
    known = listing.row(f"id{number}")
    if kind == "remove":
        listing.remove(f"id{number}")
        return
    version = 1 if known is None else known.version + 1
    place = RowPlace(area=AREAS[number % 3])
    cleared = kind == "clear"
    changed = row(number, severity=severity, raised_unix_ns=at, version=version, place=place, is_cleared=cleared)
    listing.put(changed, b"{}")


@settings(max_examples=100, deadline=None)
@given(turns=changes)
def test_counts_are_those_of_the_rows(turns: list[Any]) -> None:
    """However they came about."""
    listing = Listing()
    for kind, number, severity, at in turns:
        change(listing, kind, number, severity, at)
    rows = [one for number in range(31) if (one := listing.row(f"id{number}")) is not None]
    expected: dict[tuple[str, str, str], int] = {}
    for one in rows:
        if one.is_active:
            key = ("area", one.place.area, one.severity)
            expected[key] = expected.get(key, 0) + 1
    assert (+listing.active, +listing.annunciated) == (expected, expected)
    assert sorted(read_all(listing, Query(state="all"))) == sorted(one.id for one in rows)
