"""What a vantage votes: at once when it changes, never down before an anchor has spoken, and all of it again in turn."""

from __future__ import annotations

import msgspec
import pytest

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.model import LineState, Vote
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.health import Health
from netmon.active_probe.vantage.report import LineReport
from netmon.active_probe.vantage.target import Target
from netmon.active_probe.vantage.votes import Votes
from netmon.inventory.probes import IcmpProbe

MILLI = 1_000_000
NOON = 1_767_268_800_000_000_000
FAST = BUILT_IN["fast"]


class Place:
    """A vantage without a network: who is asked, what came of it, and what was told."""

    def __init__(self, *lines: str) -> None:
        """`lines`: a line for each, which may come twice: it has two targets then."""
        self.now_ms = 0
        self.told: list[tuple[Vote, bool]] = []
        self.targets = [self._target(line_id) for line_id in lines]
        self.anchor = self._target("")
        clock = Clock(lambda: self.now_ms * MILLI, lambda: NOON + self.now_ms * MILLI)
        self.health = Health([self.anchor.track], len(set(lines)), 1.0, 0)
        self.votes = Votes("hq", self.targets, clock, self.health, self._tell)

    def _target(self, line_id: str) -> Target:
        return Target(line_id, f"icmp {line_id}", IcmpProbe(address="192.0.2.1"), FAST, standby=False, started_ns=0)

    def _tell(self, vote: Vote, *, urgent: bool) -> None:
        self.told.append((vote, urgent))

    def ask(self, *answering: Target, is_anchor_asked: bool = True) -> None:
        """Everybody is asked, and given up 50 ms later; these answer within one."""
        asked = [*self.targets, *([self.anchor] if is_anchor_asked else [])]
        numbers = [target.number(self.now_ms * MILLI) for target in asked]
        for target, seq in zip(asked, numbers, strict=True):
            target.track.sent(seq, self.now_ms * MILLI)
            if target in answering:
                self._changed(target, target.track.replied(seq, MILLI, self.now_ms * MILLI + MILLI))
        self.now_ms += 50
        for target, seq in zip(asked, numbers, strict=True):
            self._changed(target, target.track.lost(seq, self.now_ms * MILLI))
        if self.anchor in answering:
            self.votes.hear(self.now_ms * MILLI)
        self.votes.work(self.now_ms * MILLI, 100)

    def _changed(self, target: Target, changed: bool) -> None:
        if changed and target.line_id:
            self.votes.touch(target.line_id)

    def states(self) -> list[tuple[str, LineState]]:
        """What was told at once."""
        return [(vote.line_id, vote.state) for vote, urgent in self.told if urgent]


@pytest.fixture
def place() -> Place:
    """Two lines that are up, `east` with two targets."""
    place = Place("east", "west", "east")
    place.ask(*place.targets, place.anchor)
    assert place.states() == [("east", "up"), ("west", "up")]
    place.told.clear()
    return place


def test_line_is_down_when_none_of_its_targets_answers(place: Place) -> None:
    """One that does is enough; the vote has the row of misses since the last of them fell silent."""
    _, west, other = place.targets
    for _ in range(3):
        place.ask(west, other, place.anchor)
    assert place.states() == []
    silent_ms = place.now_ms
    for _ in range(3):
        place.ask(west, place.anchor)

    assert place.states() == [("east", "down")]
    vote, _ = place.told[0]
    assert vote.first_miss_unix_ns == NOON + silent_ms * MILLI
    assert vote.since_unix_ns == vote.unix_ns == NOON + place.now_ms * MILLI
    assert [target.state for target in vote.targets] == ["down", "down"]


def test_vote_is_held_until_an_anchor_has_answered(place: Place) -> None:
    """Its answer says that the fault is not here; until then, what was said stands."""
    _, west, _ = place.targets
    for _ in range(3):
        place.ask(west, is_anchor_asked=False)
    assert (list(place.votes.held), place.states()) == (["east"], [])
    place.ask(west, place.anchor)

    assert (list(place.votes.held), place.states()) == ([], [("east", "down")])


def test_line_that_answers_again_is_held_no_more(place: Place) -> None:
    """Nothing was said, and nothing need be taken back but what it was held for."""
    _, west, _ = place.targets
    for _ in range(3):
        place.ask(west, is_anchor_asked=False)
    for _ in range(FAST.rise):
        place.ask(*place.targets, place.anchor)

    assert list(place.votes.held) == []
    assert "down" not in [state for _, state in place.states()]


def test_isolated_vantage_says_nothing_of_any_line(place: Place) -> None:
    """Unknown, for all of them; nothing else of it is told as a change."""
    for _ in range(3):
        place.ask()
    place.health.look(place.now_ms * MILLI)
    place.votes.touch_all()
    while place.votes.work(place.now_ms * MILLI, 1):
        pass

    assert sorted(place.states()) == [("east", "unknown"), ("west", "unknown")]
    assert {vote.reason for vote, _ in place.told} == {"isolated"}


def test_lines_that_changed_are_judged_a_few_at_a_time() -> None:
    """What is left is left for the next wake."""
    place = Place(*(f"line-{number}" for number in range(10)))
    for target in place.targets:
        target.track.sent(target.number(0), 0)
        target.track.replied(0, MILLI, MILLI)
        place.votes.touch(target.line_id)

    assert place.votes.work(MILLI, 4) is True
    assert len(place.told) == 4
    assert place.votes.work(MILLI, 6) is False
    assert len(place.told) == 10


def test_everything_is_said_again_in_turn(place: Place) -> None:
    """Not as something urgent, and with what the windows show by then."""
    place.votes.refresh(place.now_ms * MILLI, 1, settled=True)
    place.votes.refresh(place.now_ms * MILLI, 2, settled=True)

    assert [(vote.line_id, urgent) for vote, urgent in place.told] == [
        ("east", False),
        ("west", False),
        ("east", False),
    ]
    lines = [msgspec.json.decode(body, type=LineReport) for body in place.votes.bodies()]
    assert [(line.line_id, line.state, len(line.targets)) for line in lines] == [("east", "up", 2), ("west", "up", 1)]


def test_no_data_is_not_said_at_the_start() -> None:
    """What a former process said stands until this one knows something, or has had its time."""
    place = Place("east")
    place.votes.refresh(0, 1, settled=False)
    assert place.told == []
    place.votes.refresh(0, 1, settled=True)

    assert [(vote.state, vote.reason) for vote, _ in place.told] == [("unknown", "no_data")]
