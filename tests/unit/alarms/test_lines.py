"""What the prober says, as alarms: their texts, what stands while who says so, and what comes of a line over which traps arrive."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.model import LineChange, LineState, LineStatus, Reason, TargetReading, VantageChange, Vote
from netmon.alarms.lifecycle.book import Book
from netmon.alarms.lifecycle.causes import HOLD_OFF_S
from netmon.alarms.model import Alarm, Key
from netmon.alarms.worker.intake import EntryError
from netmon.alarms.worker.line_intake import LineIntake
from netmon.alarms.worker.passive import FRESH_NS, PassiveLines
from netmon.alarms.worker.report import Counts
from netmon.buffer.alarm_reader import Batch
from netmon.buffer.line_store import CHANGES
from netmon.inventory.model import Device, Inventory
from netmon.inventory.probes import Vantage
from netmon.inventory.topology import Topology
from tests.unit.alarms.samples import NO_FLOOD, NOON, REGION, SECOND, book, causes, give, kinds, observe, of, port, tick

PROBED = msgspec.structs.replace(
    REGION,
    vantages=(
        Vantage(id="hall", name="市役所", name_en="City hall", site_id="hall"),
        Vantage(id="pref", name="県庁", name_en="Prefecture"),
    ),
)
TOPOLOGY = Topology(PROBED)
LINE = "line/to-port"
LATE = 1_000
"""Seconds past noon at which all is heard of."""


def vote(vantage: str = "hall", state: LineState = "down", reason: Reason = "no_answer", **target: Any) -> Vote:
    """What a vantage says, with one probe."""
    shown = {"label": "icmp 192.0.2.9", "state": state, "sent": 60, **target}
    return Vote(
        line_id="to-port",
        vantage_id=vantage,
        state=state,
        reason=reason,
        since_unix_ns=NOON,
        unix_ns=NOON,
        targets=(TargetReading(**shown),),
    )


def change(after: LineState, at_s: float = 0, *votes: Vote, line: str = "to-port", **fields: Any) -> LineChange:
    """The verdict on a line."""
    unix_ns = NOON + int(at_s * SECOND)
    status = {name: fields.pop(name) for name in ("reason", "one_way", "heard_unix_ns") if name in fields}
    told = LineStatus(line_id=line, state=after, since_unix_ns=unix_ns, unix_ns=unix_ns, votes=votes, **status)
    before: LineState = fields.pop("before", "up" if after != "up" else "down")
    return LineChange(line_id=line, before=before, after=after, unix_ns=unix_ns, status=told, **fields)


class Prober:
    """Says things to a book, as entries of the stream."""

    def __init__(self, alarms: Book, vantages: tuple[str, ...] = ("hall", "pref")) -> None:
        self.book = alarms
        self.counts = Counts()
        self.intake = LineIntake(alarms, TOPOLOGY, self.counts, vantage_ids=vantages)
        self._numbers = itertools.count(1)

    def say(self, *changes: LineChange | VantageChange, at_s: float = LATE) -> None:
        """Entries, heard of at a time."""
        fields = [[b"line" if isinstance(one, LineChange) else b"vantage", msgspec.json.encode(one)] for one in changes]
        entries = [(b"7-%d" % next(self._numbers), entry) for entry in fields]
        self.intake.take(Batch("lines", CHANGES, "", entries), NOON + int(at_s * SECOND))


def restarted(alarms: Book) -> Book:
    """Another book that has read what was kept."""
    alarms.take()
    after = book()
    after.load(msgspec.json.decode(msgspec.json.encode(list(alarms.alarms.values())), type=list[Alarm]))
    assert after.take().changes == []
    return after


# --- Texts. ---


def test_a_line_that_is_down_says_who_has_found_out_and_how() -> None:
    """In both languages: which vantages, how many probes, since when, and when something last came over it."""
    alarms = book()
    heard = NOON - 3 * SECOND
    votes = (vote(misses=5, lost=6), vote("pref", "unknown", "isolated"))
    Prober(alarms).say(change("down", 0, *votes, heard_unix_ns=heard))
    tick(alarms, LATE)
    line = of(alarms, LINE, "line-down")

    assert (line.severity, line.root, line.event_type, line.trust) == (
        "major", True, "communicationsAlarm", "v3_auth_priv",
    )  # fmt: skip
    assert line.evidence == (CHANGES, "7-1")
    assert line.text.en == (
        "Line to-port is down: City hall: 5 in a row without an answer, 10 % of 60 lost (icmp 192.0.2.9); "
        "Prefecture: cannot tell; since 2026-01-01 21:00:00 JST; something last arrived over it at 2026-01-01 20:59:57 JST"
    )
    assert line.text.ja == (
        "回線「to-port線」が断線しています（市役所：連続5回応答なし、60回中の損失10 %（icmp 192.0.2.9）、"
        "県庁：判定不能、2026-01-01 21:00:00から、最終受信は2026-01-01 20:59:57）"
    )
    assert "carrier" in line.action.en


def test_a_line_that_several_call_down_and_that_still_brings_something_is_down() -> None:
    """Nobody may command anything over it; that it still brings telemetry is said."""
    alarms = book()
    Prober(alarms).say(change("down", 0, vote(), vote("pref"), one_way=True, heard_unix_ns=NOON))
    tick(alarms, LATE)
    assert "in one direction it still works; something last arrived" in of(alarms, LINE, "line-down").text.en


@pytest.mark.parametrize(
    ("said", "severity", "begins", "tells"),
    [
        (
            change("degraded", 0, vote(state="degraded", reason="loss", lost=9), reason="loss"),
            "minor", "Line to-port loses packets", "City hall: 15 % of 60 lost",
        ),
        (
            change(
                "degraded", 0, vote(state="degraded", reason="round_trip", rtt_p50_s=0.0842, baseline_s=0.012),
                reason="round_trip",
            ),
            "minor", "Line to-port is slow", "round trip 84 ms, usually 12 ms",
        ),
        (
            change("degraded", 0, vote(misses=3), vote("pref", "up", ""), reason="disagreement", one_way=True),
            "minor", "Vantages disagree about line to-port", "Prefecture: answered",
        ),
        (
            change("degraded", 0, vote(misses=3), reason="one_way", one_way=True, heard_unix_ns=NOON),
            "major", "Line to-port answers no probes, but something still arrives", "3 in a row without an answer",
        ),
        (
            change("degraded", 0, vote(state="degraded", reason="bad_answer", detail="HTTP\x1b[31m 503")),
            "minor", "Line to-port is degraded", "bad answers, HTTP [31m 503",
        ),
    ],
    ids=["loss", "round-trip", "disagreement", "one-way", "another"],
)  # fmt: skip
def test_a_degraded_line_says_why(said: LineChange, severity: str, begins: str, tells: str) -> None:
    """What was found, and what to do; a line that works in one direction only is as bad as one that is down."""
    alarms = book()
    Prober(alarms).say(said)
    tick(alarms, LATE)
    line = of(alarms, LINE, "line-degraded")

    assert (line.severity, line.event_type, line.root) == (severity, "qualityOfServiceAlarm", False)
    assert line.text.en.startswith(begins)
    assert tells in line.text.en
    assert "to-port線" in line.text.ja
    assert ("sirens" in line.action.en) is (severity == "major")


def test_a_vantage_that_is_cut_off_or_silent_is_told_until_it_is_back() -> None:
    """At its site, and each as an alarm of its own."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(VantageChange(vantage_id="hall", before="live", after="isolated", unix_ns=NOON, reason="no_anchor"))
    tick(alarms, LATE)
    isolated = of(alarms, "vantage/hall", "vantage-isolated")
    assert (isolated.severity, isolated.place.site, isolated.text.en) == (
        "minor", "hall", "Vantage City hall is cut off itself: none of its anchors answers",
    )  # fmt: skip
    assert isolated.text.ja == "観測点「市役所」自身が孤立しています（基準点のいずれからも応答がありません）"

    prober.say(VantageChange(vantage_id="hall", before="isolated", after="stale", unix_ns=NOON + SECOND))
    tick(alarms, LATE)
    assert of(alarms, "vantage/hall", "vantage-isolated").is_cleared is True
    assert of(alarms, "vantage/hall", "vantage-silent").is_active is True

    prober.say(VantageChange(vantage_id="hall", before="stale", after="live", unix_ns=NOON + 2 * SECOND))
    tick(alarms, LATE)
    assert of(alarms, "vantage/hall", "vantage-silent").is_cleared is True


def test_a_vantage_that_was_stopped_is_a_warning() -> None:
    """Somebody has done so, and knows."""
    alarms = book()
    Prober(alarms).say(VantageChange(vantage_id="pref", before="live", after="stale", unix_ns=NOON, reason="stopped"))
    tick(alarms, LATE)
    silent = of(alarms, "vantage/pref", "vantage-silent")
    assert (silent.severity, silent.text.en) == ("warning", "Vantage Prefecture was stopped")


# --- Who says that a line is down. ---


def test_the_prober_alone_raises_and_clears() -> None:
    """One alarm for the line, with the entry that said so."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(change("down", 1))
    assert kinds(tick(alarms, LATE)) == ["raised"]
    prober.say(change("up", 60))
    assert kinds(tick(alarms, LATE)) == ["cleared"]

    line = of(alarms, LINE, "line-down")
    assert (line.raised_unix_ns, line.cleared_unix_ns, line.evidence) == (
        NOON + SECOND, NOON + 60 * SECOND, (CHANGES, "7-2"),
    )  # fmt: skip
    assert len(alarms.alarms) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_a_line_stands_while_anybody_says_so(order: tuple[int, ...]) -> None:
    """The port's trap and the prober's verdict, whichever comes first: one alarm, which ends with the last of them."""
    alarms = book()
    prober = Prober(alarms)
    both = [lambda: observe(alarms, port("r-port", 1, 5), at_s=LATE), lambda: prober.say(change("down", 6, vote()))]
    for at in order:
        both[at]()
        tick(alarms, LATE)
    line = of(alarms, LINE, "line-down")
    assert line.raised_unix_ns == NOON + 5 * SECOND
    assert line.text.en.endswith("since 2026-01-01 21:00:06 JST; a port at its end is down, too")
    assert line.evidence == (CHANGES, "7-1")
    assert causes(alarms)["device/r-port/interface/1"] == LINE

    ends = [
        lambda: observe(alarms, port("r-port", 1, 60, cleared=True), at_s=LATE),
        lambda: prober.say(change("up", 61)),
    ]
    for at in order:
        assert of(alarms, LINE, "line-down").is_active is True
        ends[at]()
        tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").is_cleared is True
    assert [one.alarm_type for one in alarms.alarms.values()].count("line-down") == 1


def test_probes_that_are_answered_again_are_mentioned_while_a_port_is_down() -> None:
    """It stands, and says why; not before the prober has looked again, though."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(change("up", 1))
    observe(alarms, port("r-port", 1, 5), at_s=LATE)
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").text.en == "Line to-port is down"

    prober.say(change("down", 6, vote()), change("up", 60))
    tick(alarms, LATE)
    line = of(alarms, LINE, "line-down")
    assert (line.is_active, line.text.en) == (
        True, "A port at an end of line to-port is down, though probes over the line are answered",
    )  # fmt: skip
    assert line.evidence == ("", "causes")


def test_another_reason_is_told_and_opens_nothing_that_was_closed() -> None:
    """Still the same outage; the next one opens it."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(change("down", 1, vote()))
    tick(alarms, LATE)
    prober.say(change("down", 30, vote(reason="bad_answer", detail="HTTP 503"), before="down"))
    assert kinds(tick(alarms, LATE)) == ["updated"]
    line = of(alarms, LINE, "line-down")
    assert ("HTTP 503" in line.text.en, line.raised_unix_ns) == (True, NOON + SECOND)

    give(alarms, "close", 40, key=Key(LINE, "line-down"))
    prober.say(change("down", 50, vote(), before="down"))
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").operator_state == "closed"
    prober.say(change("up", 60), change("down", 70))
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").operator_state == "none"


def test_that_nobody_knows_changes_nothing() -> None:
    """A line that is down stays down while the vantages are cut off, and a degraded one degraded."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(change("down", 1), change("degraded", 1, line="to-hill", reason="loss"))
    tick(alarms, LATE)
    prober.say(change("unknown", 2, before="down"), change("unknown", 2, line="to-hill", before="degraded"))
    assert kinds(tick(alarms, LATE)) == []
    assert of(alarms, LINE, "line-down").is_active is True
    assert of(alarms, "line/to-hill", "line-degraded").is_active is True


def test_a_line_is_either_down_or_degraded() -> None:
    """What is worse takes the place of what is not as bad."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(change("degraded", 1, reason="loss"), change("down", 2, before="degraded"))
    tick(alarms, LATE)
    assert causes(alarms) == {LINE: None}
    prober.say(change("degraded", 3, before="down", reason="loss"))
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").is_cleared is True
    assert of(alarms, LINE, "line-degraded").is_active is True


def test_told_again_after_a_restart_nothing_is_new() -> None:
    """The verdict process tells what stands when it begins; the alarm is the same, and nobody is called."""
    alarms = book()
    Prober(alarms).say(change("down", 1, vote(misses=3)), change("degraded", 1, line="to-hill", reason="loss"))
    alarms = restarted(alarms)
    prober = Prober(alarms)
    prober.say(change("down", 1, vote(misses=900), vote("pref"), before="unknown", restated=True))
    prober.say(change("degraded", 1, line="to-hill", reason="loss", before="unknown", restated=True))
    assert kinds(tick(alarms, LATE)) == []


@pytest.mark.parametrize("says", ["down", "up"])
def test_a_restart_remembers_who_says_so(says: LineState) -> None:
    """The prober's word is kept with the alarm: after a restart its port's linkUp ends it, or does not."""
    alarms = book()
    prober = Prober(alarms)
    observe(alarms, port("r-port", 1, 5), at_s=LATE)
    prober.say(change("down", 6, vote()), *([change("up", 7)] if says == "up" else []))
    alarms = restarted(alarms)
    observe(alarms, port("r-port", 1, 60, cleared=True), at_s=LATE)
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").is_cleared is (says == "up")


def test_a_clock_that_was_set_back_keeps_no_line_down() -> None:
    """Another judge, whose clock is behind, takes over: what is said last counts."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(change("down", 100), change("degraded", 100, line="to-hill", reason="loss"))
    prober.say(change("up", 40), change("up", 40, line="to-hill", before="degraded"))
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").is_cleared is True
    assert of(alarms, "line/to-hill", "line-degraded").is_cleared is True


def test_a_shared_risk_fails_by_what_the_prober_says() -> None:
    """One line by its port, the other by its probes: the duct, and both have it as their cause."""
    alarms = book()
    observe(alarms, port("r-port", 1, 5), at_s=LATE)
    Prober(alarms).say(change("down", 6, line="to-hill"))
    tick(alarms, LATE)
    found = causes(alarms)
    assert (found["risk-group/duct"], found["line/to-hill"], found[LINE]) == (
        None,
        "risk-group/duct",
        "risk-group/duct",
    )


def test_what_nobody_asks_any_more_is_over() -> None:
    """Lines without probes and vantages that are none; a port that is down stays so, and what is still asked stays, too."""
    alarms = book()
    prober = Prober(alarms)
    observe(alarms, port("r-port", 1, 5), at_s=LATE)
    prober.say(change("down", 6, vote()), change("down", 6, line="to-hill"), change("down", 6, line="to-farm"))
    prober.say(change("degraded", 6, line="sky", reason="loss"))
    prober.say(VantageChange(vantage_id="pref", before="live", after="stale", unix_ns=NOON))
    alarms = restarted(alarms)
    Prober(alarms, vantages=("hall",)).intake.give_up(["to-farm"], NOON + LATE * SECOND)
    tick(alarms, LATE)

    line = of(alarms, LINE, "line-down")
    assert (line.is_active, line.text.en) == (True, "Line to-port is down")
    assert of(alarms, "line/to-hill", "line-down").is_cleared is True
    assert of(alarms, "line/to-farm", "line-down").is_active is True
    assert of(alarms, "line/sky", "line-degraded").is_cleared is True
    assert of(alarms, "vantage/pref", "vantage-silent").is_cleared is True


def test_what_is_said_of_strangers_makes_no_alarm() -> None:
    """Lines and vantages that the region does not have; and what no netmon has written is counted."""
    alarms = book()
    prober = Prober(alarms)
    prober.say(
        change("down", 1, line="elsewhere"), VantageChange(vantage_id="x", before="", after="stale", unix_ns=NOON)
    )
    entries = [(b"8-1", [b"line", b"{"]), (b"8-2", [b"other", b"1"]), (b"8-3", [b"line"])]
    prober.intake.take(Batch("lines", CHANGES, "", entries), NOON)

    assert tick(alarms, LATE).dirty == []
    assert (prober.counts.line_changes, prober.counts.line_changes_unreadable) == (2, 3)


def test_an_entry_that_netmon_fails_at_is_left_out_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with notifications: it must not come again for ever."""
    alarms = book()
    prober = Prober(alarms)
    monkeypatch.setattr(alarms, "probe", lambda *_: 1 // 0)
    with pytest.raises(EntryError) as error:
        prober.say(change("down", 1))
    assert error.value.entry == (CHANGES, b"7-1")

    monkeypatch.undo()
    prober.intake = LineIntake(alarms, TOPOLOGY, prober.counts, vantage_ids=(), left_out=[error.value.entry])
    body = msgspec.json.encode(change("down", 1))
    prober.intake.take(Batch("lines", CHANGES, "", [(b"7-1", [b"line", body])]), NOON)
    assert (prober.counts.failed, tick(alarms, LATE).dirty) == (1, [])


def test_an_alarm_of_the_prober_makes_room_for_itself() -> None:
    """The region bounds how many there are: a list that is full has no less of them."""
    alarms = Book(msgspec.structs.replace(book()._lifecycle, alarms_max=1), NO_FLOOD, TOPOLOGY)
    observe(alarms, port("r-farm", 2, 1), at_s=LATE)
    Prober(alarms).say(change("down", 6), change("degraded", 6, line="to-hill", reason="loss"))
    tick(alarms, LATE)
    assert of(alarms, LINE, "line-down").is_active is True
    assert of(alarms, "line/to-hill", "line-degraded").is_active is True


_AT = st.integers(0, 300)
_END = st.sampled_from([("core", 1), ("r-port", 1), ("core", 2)])
_TRAPS = st.lists(st.tuples(_END, _AT, st.booleans()), max_size=6)
_VERDICTS = st.lists(st.tuples(_AT, st.sampled_from(["up", "degraded", "down"])), max_size=5)


@given(_TRAPS, _VERDICTS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_the_same(
    traps: list[tuple[tuple[str, int], int, bool]], verdicts: list[tuple[int, LineState]], chance: random.Random
) -> None:
    """Traps in any order, what the prober says in its own, and one before the other or the other way round."""
    ends = []
    said = [change(state, at, vote(), reason="loss") for at, state in sorted(verdicts, key=lambda told: told[0])]
    for shuffled in (False, True):
        alarms = book()
        prober = Prober(alarms)
        told = [port(*end, at, cleared=cleared) for end, at, cleared in traps]
        turns = [True] * len(told) + [False] * len(said)
        if shuffled:
            chance.shuffle(told)
            chance.shuffle(turns)
        notifications, changes = iter(told), iter(said)
        for is_trap in turns:
            if is_trap:
                observe(alarms, next(notifications), at_s=400)
            else:
                prober.say(next(changes), at_s=400)
        tick(alarms, 1_000)
        tick(alarms, 1_000 + HOLD_OFF_S)
        stands = {alarm.key: alarm for alarm in alarms.alarms.values() if alarm.is_active}
        ends.append({name: (alarm.text, alarm.severity, alarm.evidence.key) for name, alarm in stands.items()})
    assert ends[0] == ends[1]


# --- What arrives by itself. ---


def _device(name: str, site: str, *uplinks: str) -> Device:
    return Device(id=name, name=name, site_id=site, kind="router", uplink_line_ids=uplinks)


def test_only_who_has_one_way_to_us_shows_that_it_works() -> None:
    """Not who has two, who is next to us, or whose line nobody asks about."""
    devices = (
        _device("by-site", "port"),
        _device("by-word", "farm", "to-farm"),
        _device("two-ways", "farm"),
        _device("own", "hall", "to-port"),
        _device("unasked", "hill", "to-hill"),
    )
    region: Inventory = msgspec.structs.replace(PROBED, devices=devices)
    passive = PassiveLines(Topology(region), ["to-port", "to-farm", "sky"], "hall")
    shown = {device.id: passive.arrival(device.id) for device in devices}
    assert {name: arrival and arrival.line_id for name, arrival in shown.items()} == {
        "by-site": "to-port", "by-word": "to-farm", "two-ways": None, "own": None, "unasked": None,
    }  # fmt: skip


def test_each_arrival_is_told_once_and_only_while_it_is_fresh() -> None:
    """The newest of a line; a backlog says nothing of now, and neither does a clock that is ahead."""
    devices = (_device("a", "port"), _device("b", "port"), _device("c", "farm", "to-farm"))
    passive = PassiveLines(Topology(msgspec.structs.replace(PROBED, devices=devices)), ["to-port", "to-farm"], "")
    arrivals = {device.id: passive.arrival(device.id) for device in devices}
    for name, unix_ns in (("a", NOON - 1), ("b", NOON), ("c", NOON - FRESH_NS - 2 * SECOND)):
        arrival = arrivals[name]
        assert arrival is not None
        arrival.unix_ns = unix_ns

    assert passive.take(NOON - SECOND) == {}
    assert passive.take(NOON) == {"to-port": (NOON, "trap from b")}
    assert passive.take(NOON) == {}
