"""What the leader feeds to the postures, and what it is given to write."""

from __future__ import annotations

import msgspec
import pytest

from netmon.alarms.lifecycle.book import Book
from netmon.alarms.model import Evidence, Key, Observation, Place, Text
from netmon.alarms.posture.model import AreaPosture, Declaration
from netmon.alarms.posture.situation import SAVE_NS, News, Situation
from netmon.alarms.settings import Flood, Lifecycle, PostureSettings
from netmon.buffer.alarm_store import DeclarationOf
from netmon.inventory.model import Area, Inventory, Site
from netmon.inventory.topology import Topology

NS = 1_000_000_000
T0 = 1_700_000_000
TOPOLOGY = Topology(
    Inventory(
        areas=(Area(id="minato", name="みなと市", code="992011"),),
        sites=tuple(
            Site(id=name, name=name, area_id="minato", longitude=139.5, latitude=35.5) for name in ("hall", "school")
        ),
    )
)


def at(second: float) -> int:
    """As a time."""
    return int((T0 + second) * NS)


def book_with(*failing: str) -> Book:
    """A book in which the power of these sites has failed."""
    book = Book(Lifecycle(), Flood(), TOPOLOGY)
    for site in failing:
        book.observe(
            Observation(
                key=Key(f"site/{site}", "power-failure"),
                cleared=False,
                severity="major",
                event_type="environmentalAlarm",
                probable_cause="commercial_power_failure",
                text=Text("", ""),
                action=Text("", ""),
                place=Place(area="minato", site=site),
                event_unix_ns=at(0),
                trust="other",
                evidence=Evidence("", ""),
                root=True,
            ),
            at(0),
        )
    book.take()
    return book


def begun(book: Book, meta: dict[str, bytes] | None = None, second: float = 0) -> Situation:
    """A leader that has just begun."""
    return Situation(PostureSettings(confirm_s=2.0), TOPOLOGY, meta or {}, book, at(second))


def written(situation: Situation, second: float) -> News:
    """What it has to write now."""
    news = situation.take(at(second))
    assert news is not None
    return news


def test_sites_without_power_are_taken_from_the_book() -> None:
    """Two of them, confirmed after two seconds, told once, and written."""
    book = book_with("hall", "school")
    situation = begun(book)
    for tenth in range(40):
        situation.tick(book, lambda: True, at(tenth / 10))

    news = written(situation, 4)

    assert [(change.before, change.now.posture) for change in news.told] == [("normal", "suspected")]
    assert msgspec.json.decode(news.meta["posture:minato"], type=AreaPosture) == news.told[0].now
    assert situation.take(at(4)) is None


def test_a_rate_is_of_the_time_in_which_notifications_were_received() -> None:
    """An hour's backlog in a second; what is late is of no time that counts."""
    book = book_with()
    situation = begun(book)

    situation.count({("minato", T0 - 3_600): 999, ("minato", T0): 20, ("elsewhere", T0): 5})
    situation.tick(book, lambda: False, at(1))
    now = dict(situation.rates)
    situation.count({("minato", T0 + second): 10 for second in range(1, 3_601)})
    situation.tick(book, lambda: False, at(3_602))

    assert (now, situation.rates) == ({"minato": 20.0}, {"minato": pytest.approx(10.0, rel=0.01)})


def test_a_restart_begins_with_what_stands_and_forgets_lost_areas() -> None:
    """What is written stays as it is; an area that the region has no more leaves the hash."""
    book = book_with("hall", "school")
    first = begun(book)
    for second in range(5):
        first.tick(book, lambda: True, at(second))
    fields = {**written(first, 5).meta, "posture:atlantis": b"{}", "fence": b"3"}

    second_leader = begun(book, fields, 6)
    second_leader.command(b"bulletin", b'{"id":"b","event_id":"e","kind":"VXSE53","status":"normal","info":"issued",'
                                       b'"unix_ns":1,"headline":""}', at(6))  # fmt: skip
    second_leader.tick(book, lambda: True, at(6))
    news = written(second_leader, 6)

    assert (news.told, news.forgotten) == ([], ["posture:atlantis"])
    assert [shown.posture for shown in second_leader.postures] == ["suspected"]


def test_a_declaration_is_answered_with_the_posture_that_comes_of_it() -> None:
    """In the same flush: whoever reads the answer reads the posture, too."""
    book = book_with()
    situation = begun(book)
    wish = DeclarationOf(
        area="minato", id="x", declaration=Declaration(posture="disaster", by="me", reason="why", unix_ns=at(0))
    )

    known = situation.command(b"declaration", msgspec.json.encode(wish), at(0.1))
    situation.tick(book, lambda: True, at(0.1))
    news = written(situation, 0.1)

    assert (known, situation.command(b"command", b"", at(0.1))) == (True, False)
    assert [(name, result.outcome) for name, result in news.results] == [("x", "done")]
    assert [change.now.posture for change in news.told] == ["disaster"]


def test_what_was_learned_is_written_now_and_then() -> None:
    """The baseline moves with each sample; ten seconds of it may be lost."""
    book = book_with()
    situation = begun(book)
    written(situation, 0)
    situation.count({("minato", T0): 5})
    situation.tick(book, lambda: True, at(1))

    assert situation.take(at(1)) is None
    assert list(written(situation, SAVE_NS / NS).meta) == ["posture-learned:minato"]
