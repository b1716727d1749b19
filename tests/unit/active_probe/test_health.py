"""A vantage that is cut off itself calls no line down: its anchors, its loop, and the races between them and its lines."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.track import Track
from netmon.active_probe.model import LineState
from netmon.active_probe.settings import ProbedLine
from netmon.active_probe.vantage.engine import stand_ins
from netmon.active_probe.vantage.health import CALM_BEATS, Health, patience_s
from netmon.active_probe.vantage.target import Target
from netmon.inventory.probes import IcmpProbe, Profile
from tests.unit.active_probe.samples import MILLI, SECOND, Asker, Bad, Far, Fate, cut, well

FIBRE = BUILT_IN["fibre"]


def probed(profile: Profile, *, standby: bool = False) -> ProbedLine:
    """A line by its pace."""
    return ProbedLine(line_id="line", profile=profile, standby=standby, probes=())


class Place:
    """A vantage with lines and anchors, which ask at their own pace; the clock goes on by 50 ms."""

    def __init__(self, lines: int = 2, anchors: int = 2) -> None:
        self.lines = [Asker() for _ in range(lines)]
        self.anchors = [Asker() for _ in range(anchors)]
        self.health = Health([anchor.track for anchor in self.anchors], lines, patience_s([probed(FIBRE)]), 0)
        self.said: list[LineState] = ["unknown"] * lines
        self.told: list[tuple[float, str, str]] = []
        """Changes of votes and of the vantage."""
        self.now_s = 0.0
        self._heard = [0] * lines

    def go_on(self, seconds: float, *fars: Far, anchor: Far = well, lag_s: float = 0.0) -> list[tuple[float, str, str]]:
        """Go on for so long; what was told in the meantime."""
        known = len(self.told)
        for _ in range(round(seconds * 20)):
            self.now_s = round(self.now_s + 0.05, 3)
            before = [(line.track.undecided, line.track.fell_ns) for line in self.lines]
            for asker, far in zip([*self.anchors, *self.lines], [anchor] * len(self.anchors) + list(fars), strict=True):
                asker.go_on(self.now_s - asker.now_s, far)
            if before != [(line.track.undecided, line.track.fell_ns) for line in self.lines]:
                for asker in self.anchors:
                    asker.ask_at_once()
                for asker in [] if self.anchors else self.lines:
                    if asker.track.answered_ns == asker.asked_ns:
                        asker.ask_at_once()
            self._look(lag_s)
        return self.told[known:]

    @property
    def now_ns(self) -> int:
        """Of the monotonic clock."""
        return round(self.now_s * SECOND)

    def _look(self, lag_s: float) -> None:
        for number, line in enumerate(self.lines):
            if line.track.answered_ns > self._heard[number]:
                self._heard[number] = line.track.answered_ns
                self.health.heard(line.track.answered_ns)
        is_beat = round(self.now_s * 20) % 20 == 0
        if self.health.beat(lag_s, self.now_ns) if is_beat else self.health.look(self.now_ns):
            self.told.append((self.now_s, "vantage", self.health.reason or self.health.state))
            if self.health.state == "live":
                for line in self.lines:
                    line.track.restart(self.now_ns)
        for number, line in enumerate(self.lines):
            track = line.track
            said = self.health.say(track.state, track.reason, [track], self.said[number], self.now_ns)
            if said and said[0] != self.said[number]:
                self.said[number] = said[0]
                self.told.append((self.now_s, f"line {number}", said[0]))


def states(told: list[tuple[float, str, str]]) -> list[tuple[str, str]]:
    """Without times."""
    return [(who, what) for _, who, what in told]


def healthy(**more: int) -> Place:
    """A vantage where all has been well for a minute."""
    place = Place(**more)
    place.go_on(60, *[well] * len(place.lines))
    return place


# --- Anchors. ---


@pytest.mark.parametrize("part", range(8))
def test_a_line_that_is_cut_is_down_while_an_anchor_answers(part: int) -> None:
    """And not later for it, whenever it happens: within 2 s, and the 50 ms of this test's clock."""
    place = healthy()
    place.go_on(part / 8, well, well)
    begin_s = place.now_s
    told = place.go_on(10, cut, well)

    assert states(told) == [("line 0", "down")]
    assert told[0][0] - begin_s <= 2.0


@pytest.mark.parametrize("part", range(10))
def test_no_line_is_down_while_our_own_uplink_is_cut(part: int) -> None:
    """Nothing answers at all: the vantage is isolated, its lines are unknown; afterwards all is as it was. Whenever it happens."""
    place = healthy()
    place.go_on(part / 10, well, well)
    during = place.go_on(30, cut, cut, anchor=cut)
    after = place.go_on(30, well, well)

    assert sorted(states(during)) == [("line 0", "unknown"), ("line 1", "unknown"), ("vantage", "no_anchor")]
    assert sorted(states(after)) == [("line 0", "up"), ("line 1", "up"), ("vantage", "live")]


@pytest.mark.parametrize("length", range(1, 60))
def test_no_line_is_down_for_a_gap_in_our_own_uplink(length: int) -> None:
    """However short it is: lines that fell in it are not called down because an anchor answers again before they do."""
    place = healthy()
    place.go_on(0.35, well, well)
    told = place.go_on(length / 10, cut, cut, anchor=cut) + place.go_on(60, well, well)

    assert [what for what in states(told) if what[1] == "down"] == []
    assert place.said == ["up", "up"]


@pytest.mark.parametrize("seed", range(5))
def test_no_line_is_down_for_an_uplink_that_loses_half(seed: int) -> None:
    """By chance, for five minutes: the vantage is isolated, and does not come and go."""
    chance = random.Random(seed)

    def lossy(at_s: float) -> Fate:
        return None if chance.random() < 0.5 else 0.002

    place = healthy(lines=1)
    told = states(place.go_on(300, lossy, anchor=lossy))

    assert len([what for what in told if what[0] == "vantage"]) <= 8


def test_a_line_that_was_dead_before_we_were_cut_off_is_dead_afterwards() -> None:
    """Unknown in between: it may have come back."""
    place = healthy()
    told = place.go_on(10, cut, well) + place.go_on(10, cut, cut, anchor=cut) + place.go_on(20, cut, well)

    assert [what for what in states(told) if what[0] == "line 0"] == [
        ("line 0", "down"),
        ("line 0", "unknown"),
        ("line 0", "down"),
    ]


def test_one_anchor_is_enough() -> None:
    """The others may be dead."""
    place = healthy()
    place.anchors[0].track.restart(place.now_ns)
    for seq in range(1_000, 1_003):
        place.anchors[0].track.sent(seq, place.now_ns)
        place.anchors[0].track.lost(seq, place.now_ns)

    assert place.anchors[0].track.state == "down"
    assert (place.health.look(place.now_ns), place.health.state) == (False, "live")


def test_isolated_until_an_anchor_has_answered_as_often_as_its_profile_wants() -> None:
    """Once or twice is not enough: it does not flicker."""
    place = healthy()
    place.go_on(10, cut, cut, anchor=cut)
    blips = place.go_on(30, cut, cut, anchor=lambda at_s: 0.002 if int(at_s) % 6 < 3 else None)

    assert (states(blips), place.health.state) == ([], "isolated")


def test_anchors_that_cannot_be_asked() -> None:
    """The interface is gone: that is the reason."""
    place = healthy()
    gone = Bad("local_error", "ENETDOWN")
    told = states(place.go_on(10, lambda at_s: gone, lambda at_s: gone, anchor=lambda at_s: gone))

    assert ("vantage", "cannot_send") in told
    assert [what for what in told if what[1] == "down"] == []


def test_before_an_anchor_has_answered_nothing_is_down() -> None:
    """At the start, both are unknown: the vote is held, and the vantage is not called isolated."""
    anchor = Track("icmp 192.0.2.9", FIBRE, 0)
    health = Health([anchor], 1, 2.0, 0)

    assert (health.look(SECOND), health.state, health.may_blame(SECOND, 2 * SECOND)) == (False, "live", False)


def test_answers_from_before_or_after_a_row_of_misses_prove_nothing() -> None:
    """Only what was asked between its first and its last."""
    anchor = Track("icmp 192.0.2.9", FIBRE, 0)
    health = Health([anchor], 1, 2.0, 0)
    for seq, at_s in enumerate((1, 3)):
        anchor.sent(seq, at_s * SECOND)
        anchor.replied(seq, MILLI, at_s * SECOND + MILLI)
    rows = [(1, 2), (1, 3), (2, 4), (3, 5)]

    assert [health.may_blame(first * SECOND, 9 * SECOND, last * SECOND) for first, last in rows] == [
        False, True, True, False,
    ]  # fmt: skip


def test_a_late_answer_of_an_anchor_counts_by_when_it_was_asked() -> None:
    """It was on its way while the line missed its probes."""
    anchor = Track("icmp 192.0.2.9", FIBRE, 0)
    health = Health([anchor], 1, 2.0, 0)
    anchor.sent(0, 2 * SECOND)
    before = health.may_blame(SECOND, 3 * SECOND, 3 * SECOND)
    anchor.lost(0, 3 * SECOND)
    anchor.replied(0, 2 * SECOND, 4 * SECOND)

    assert (before, health.may_blame(SECOND, 4 * SECOND, 3 * SECOND)) == (False, True)


def test_an_anchor_has_to_answer_after_the_line_fell_as_well() -> None:
    """By then, our own uplink may be away for a second time."""
    anchor = Track("icmp 192.0.2.9", FIBRE, 0)
    health = Health([anchor], 1, 2.0, 0)
    shown = []
    for seq, at_s in enumerate((2, 4)):
        anchor.sent(seq, at_s * SECOND)
        anchor.replied(seq, MILLI, at_s * SECOND + MILLI)
        shown.append(health.may_blame(SECOND, 5 * SECOND, 4 * SECOND, 3 * SECOND))

    assert shown == [False, True]


def test_a_long_round_trip_that_our_uplink_cut_off_on_its_way_back() -> None:
    """By satellite: asked 0.3 s before our uplink went, while an anchor that was asked 0.2 s before it had answered by then."""
    place = Place(lines=1, anchors=1)
    place.lines = [Asker(BUILT_IN["geo"])]
    place.go_on(300, lambda at_s: 0.6)
    line, anchor = place.lines[0].track, place.anchors[0].track
    sent_ns, seq = place.now_ns, 10_000
    line.sent(seq, sent_ns)
    anchor.sent(seq, sent_ns + 100 * MILLI)
    anchor.replied(seq, MILLI, sent_ns + 101 * MILLI)
    for more in (seq, seq + 1, seq + 2):
        if more > seq:
            line.sent(more, sent_ns + (2 + more - seq) * SECOND)
        line.lost(more, sent_ns + 6 * SECOND)
    anchor.sent(seq + 1, sent_ns + 6 * SECOND)
    anchor.replied(seq + 1, MILLI, sent_ns + 6 * SECOND + MILLI)
    first_miss_ns, last_miss_ns, fell_ns = line.first_miss_ns, line.last_miss_ns, line.fell_ns

    assert (line.state, line.trip_ns, first_miss_ns) == ("down", 600 * MILLI, sent_ns)
    assert place.health.may_blame(first_miss_ns, sent_ns + 7 * SECOND, last_miss_ns, fell_ns) is True
    assert place.health.say("down", "no_answer", [line], "up", sent_ns + 7 * SECOND) is None


def test_what_has_been_said_stands_while_a_line_comes_back() -> None:
    """A line that was called down stays it until it has risen, though its row of misses is over."""
    place = healthy()
    place.go_on(10, cut, well)
    told = place.go_on(3, well, well)

    assert (told, place.said[0], place.lines[0].track.misses) == ([], "down", 0)


def test_a_line_that_is_down_by_loss_needs_no_row() -> None:
    """An anchor that answers is enough."""
    anchor = Track("icmp 192.0.2.9", FIBRE, 0)
    health = Health([anchor], 1, 2.0, 0)
    line = Track("icmp 192.0.2.1", FIBRE, 0)
    line.state, line.reason = "down", "loss"
    held = health.say("down", "loss", [line], "degraded", SECOND)
    anchor.sent(0, SECOND)
    anchor.replied(0, MILLI, SECOND + MILLI)

    assert (held, health.say("down", "loss", [line], "degraded", 2 * SECOND)) == (None, ("down", "loss"))


@pytest.mark.parametrize("anchors", [0, 2])
@pytest.mark.parametrize("part", range(10))
def test_no_line_is_degraded_while_our_own_uplink_is_cut(part: int, anchors: int) -> None:
    """A short window is full of misses long before an anchor has fallen: traffic that minds would leave a line that is well."""
    place = hasty(anchors)
    place.go_on(part / 20, well, well)
    during = place.go_on(10, cut, cut, anchor=cut)

    # That the windows would have said it, had they been believed.
    assert {line.track.reason for line in place.lines} == {"loss"}
    assert sorted(states(during)) == [("line 0", "unknown"), ("line 1", "unknown"), ("vantage", "no_anchor")]
    assert [what for what in states(place.go_on(30, well, well)) if what[1] in {"degraded", "down"}] == []


@pytest.mark.parametrize("anchors", [0, 2])
def test_a_line_that_loses_a_quarter_is_degraded_as_soon_as_an_anchor_has_answered(anchors: int) -> None:
    """Anchors are asked then; without them, what the line itself answers proves as much."""
    place, probes = hasty(anchors), itertools.count()

    def lossy(_: float) -> Fate:
        return None if next(probes) % 4 == 0 else 0.002

    told = place.go_on(5, lossy, well)

    assert states(told) == [("line 0", "degraded")]
    assert told[0][0] - 10 <= 2.5


def hasty(anchors: int) -> Place:
    """A vantage whose lines have windows of four seconds, and fall late; all has been well for ten seconds."""
    place = Place(anchors=anchors)
    profile = msgspec.structs.replace(
        FIBRE, interval_s=0.1, timeout_s=0.3, confirm_interval_s=0.1, confirm_timeout_s=0.3, fall=200, loss_down=1.0, window_s=4.0
    )  # fmt: skip
    place.lines = [Asker(profile) for _ in place.lines]
    place.go_on(10, well, well)
    return place


@given(
    st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), max_size=6),
    st.sampled_from([1, 3]),
    st.sampled_from([0, 2]),
)
@settings(max_examples=40, deadline=None)
def test_no_line_is_down_for_whatever_our_own_uplink_does(
    spells: list[tuple[int, int]], lines: int, anchors: int
) -> None:
    """Cut and back in any rhythm, by 50 ms: whoever has no anchors needs several lines. In the end all is well."""
    place = healthy(lines=lines if anchors else 3, anchors=anchors)
    far = [well] * len(place.lines), [cut] * len(place.lines)
    told = []
    for away, there in spells:
        told += place.go_on(away / 20, *far[1], anchor=cut)
        told += place.go_on(there / 20, *far[0])
    told += place.go_on(120, *far[0])

    assert [what for what in states(told) if what[1] == "down"] == []
    assert set(place.said) == {"up"}


# --- Without anchors. ---


def test_a_single_line_without_anchors_may_be_down() -> None:
    """There is nothing else that could tell."""
    assert states(healthy(lines=1, anchors=0).go_on(10, cut)) == [("line 0", "down")]


def test_without_anchors_another_line_proves_it() -> None:
    """It answers what was asked meanwhile."""
    assert states(healthy(lines=3, anchors=0).go_on(10, cut, well, well)) == [("line 0", "down")]


@pytest.mark.parametrize("part", range(10))
def test_without_anchors_all_lines_at_once_are_our_own_fault(part: int) -> None:
    """Isolated; and back after a few heartbeats with answers."""
    place = healthy(lines=3, anchors=0)
    place.go_on(part / 10, *[well] * 3)
    during = place.go_on(30, cut, cut, cut)
    after = place.go_on(30, well, well, well)

    assert ("vantage", "no_anchor") in states(during)
    assert [what for what in states(during + after) if what[1] == "down"] == []
    assert ("vantage", "live") in states(after)
    assert place.said == ["up"] * 3


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ""),
        ("fibre-1 fibre-1 5g-1", "fibre-1 5g-1"),
        ("5g-1 fibre-1 geo-1 fibre-2 fibre-3 geo-2", "fibre-1 fibre-2 geo-1 geo-2"),
    ],
)
def test_who_is_asked_instead_of_anchors(lines: str, expected: str) -> None:
    """One target each of a few lines: those that are asked most often, and those that are asked most rarely."""
    targets = [
        Target(
            line_id,
            f"icmp {line_id}",
            IcmpProbe(address="192.0.2.1"),
            BUILT_IN[line_id[:-2]],
            standby=False,
            started_ns=0,
        )
        for line_id in lines.split()
    ]

    assert [target.line_id for target in stand_ins(targets)] == expected.split()


def test_without_lines_nothing_is_wrong() -> None:
    """A vantage that has nothing to do."""
    health = Health([], 0, patience_s([]), 0)

    assert (health.beat(0.0, 100 * SECOND), health.state) == (False, "live")


# --- The loop. ---


def test_a_loop_that_was_late_once_says_down_a_heartbeat_later() -> None:
    """Nothing is isolated for it."""
    anchor = Track("icmp 192.0.2.9", FIBRE, 0)
    health = Health([anchor], 1, 2.0, 0)
    anchor.sent(0, SECOND)
    anchor.replied(0, MILLI, SECOND + MILLI)
    shown = []
    for beat, lag_s in enumerate((0.9, 1.0, 0.0), start=2):
        shown.append((health.beat(lag_s, beat * SECOND), health.may_blame(0, beat * SECOND)))

    assert shown == [(False, True), (False, False), (False, True)]


def test_a_loop_that_is_late_all_the_time_is_isolated() -> None:
    """And back after as many heartbeats without."""
    health = Health([], 1, 2.0, 0)
    lags = [2.0] * CALM_BEATS + [0.0] * (CALM_BEATS - 1) + [2.0] + [0.0] * CALM_BEATS
    changes = [
        (beat, health.state, health.reason) for beat, lag_s in enumerate(lags) if health.beat(lag_s, beat * SECOND)
    ]

    assert changes == [(2, "isolated", "late"), (8, "live", "")]


def test_patience_is_that_of_the_slowest_line() -> None:
    """An interval, and its time to fall; that of a line on standby is long."""
    lines = [probed(FIBRE), probed(BUILT_IN["geo"])]

    assert patience_s(lines) == 5 + 3 + 1 + 2
    assert patience_s([*lines, probed(BUILT_IN["5g"], standby=True)]) == 30 + 1 + 0.5 + 1
