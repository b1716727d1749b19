"""The time window: RFC 3414's in order, and the same verdict whenever a message is judged again."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from netmon.snmp.engines import (
    DRIFT_S,
    ENGINES_MAX,
    EPOCHS_MAX,
    EVICTED_AT_ONCE,
    LATCHED,
    USERS_MAX,
    WINDOW_S,
    EngineTable,
    Verdict,
)
from tests.unit.snmp.usm_samples import OTHER, SECOND, SENDER, T0

HOUR = 3_600
DAY = 86_400
Said = tuple[int, int, int]
"""Boots, engine time in seconds, and when it was received, in nanoseconds."""


def judge(table: EngineTable, boots: int, time_s: int, after_s: float = 0, *, accept_resets: bool = True) -> Verdict:
    """The verdict on a message received so long after T0."""
    unix_ns = T0 + int(after_s * SECOND)
    return table.judge(SENDER, boots, time_s, unix_ns, accept_resets=accept_resets)


def judge_all(table: EngineTable, said: Iterable[Said], *, accept_resets: bool = True) -> list[Verdict]:
    """The verdicts, in this order."""
    return [table.judge(SENDER, *one, accept_resets=accept_resets) for one in said]


def test_the_first_message_is_believed() -> None:
    """RFC 3414 section 2.3: nothing is known of the engine's clock before."""
    table = EngineTable()

    assert judge(table, 0, 0) == "in_time"
    assert judge(table, 0, 10, 10) == "in_time"


def test_the_window_is_150_seconds() -> None:
    """RFC 3414 section 3.2 step 7 b 2: more than 150 s behind what we believe its clock to show."""
    table = EngineTable()
    judge(table, 5, 10_000)

    assert judge(table, 5, 10_000, 150) == "in_time"
    assert judge(table, 5, 10_000, 150.001) == "late"
    assert judge(table, 5, 9_950, 100) == "in_time"
    assert judge(table, 5, 9_949, 100) == "late"
    assert judge(table, 5, 9_850, 0.0) == "in_time"
    assert judge(table, 5, 9_849, 0.0) == "late"


def test_older_boots_are_late_at_once() -> None:
    """However short the time since they were true."""
    table = EngineTable()
    judge(table, 5, 10_000)

    assert judge(table, 6, 0, 30) == "in_time"
    assert judge(table, 5, 10_031, 31) == "late"
    assert judge(table, 6, 1, 31) == "in_time"


def test_latched_boots_are_never_in_time() -> None:
    """RFC 3414 section 2.2.3: such an engine needs new keys; not even its first message is believed."""
    table = EngineTable()

    assert judge(table, LATCHED, 5) == "late"
    assert judge(table, LATCHED - 1, 5) == "in_time"
    assert judge(table, LATCHED, 6, 1) == "late"


def test_what_is_newer_than_all_before_is_in_time() -> None:
    """RFC 3414 section 3.2 step 7 b 1. Our clock was set, or the engine's stood still: it must not be lost for that."""
    table = EngineTable()
    judge(table, 5, 10_000)

    assert judge(table, 5, 10_005, HOUR) == "in_time"
    assert judge(table, 5, 10_005, HOUR + 151) == "late"
    assert judge(table, 5, 10_060, HOUR + 55) == "in_time"
    assert judge(table, 5, 13_000, HOUR + 60) == "in_time"
    assert judge(table, 5, 10_200, HOUR + 195) == "late"


def test_a_slow_clock_is_followed() -> None:
    """One that loses a second in a hundred, for a month."""
    table = EngineTable()

    assert {judge(table, 5, int(n * HOUR * 0.99), n * HOUR) for n in range(30 * 24)} == {"in_time"}
    engine = table.get(SENDER)
    assert engine is not None
    assert len(engine.epochs) == EPOCHS_MAX
    last = 30 * 24 - 1
    assert judge(table, 5, int(last * HOUR * 0.99) - 161, last * HOUR) == "late"


def test_our_clock_set_back() -> None:
    """By a day: nothing is lost, and replays are still found out."""
    table = EngineTable()
    judge(table, 5, 10_000)

    assert judge(table, 5, 10_010, 10 - DAY) == "in_time"
    assert judge(table, 5, 10_300, 300 - DAY) == "in_time"
    assert judge(table, 5, 10_010, 310 - DAY) == "late"


def test_lost_boots_are_a_reset() -> None:
    """Boots that are lower, or an engine time that is, from an engine that started after it was last heard of."""
    for boots in (5, 4, 0):
        table = EngineTable()
        judge(table, 5, 10_000)
        assert judge(table, boots, 20, HOUR) == "reset"
        assert judge(table, boots, 25, HOUR + 5) == "reset"
        assert judge(table, boots, 3_000, 2 * HOUR) == "reset"
        assert judge(table, boots, 20, 2 * HOUR) == "late"


def test_lost_boots_are_late_where_resets_are_rejected() -> None:
    """As RFC 3414 wants it; and nothing is learnt from them."""
    table = EngineTable()
    judge(table, 5, 10_000)
    before = table.to_bytes()

    assert judge(table, 4, 20, HOUR, accept_resets=False) == "late"
    assert judge(table, 5, 20, HOUR, accept_resets=False) == "late"
    assert table.to_bytes() == before


def test_a_reset_that_was_accepted_is_late_once_resets_are_rejected() -> None:
    """The configuration has changed."""
    table = EngineTable()
    judge(table, 5, 10_000)
    judge(table, 4, 20, HOUR)

    assert judge(table, 4, 21, HOUR + 1, accept_resets=False) == "late"


def test_an_engine_that_claims_to_run_since_before_it_was_heard_is_no_reset() -> None:
    """What was recorded while the engine was heard of proves itself false."""
    table = EngineTable()
    judge(table, 4, 50_000)
    judge(table, 5, 10, 60)
    judge(table, 5, HOUR, HOUR + 50)

    assert judge(table, 4, 50_001, HOUR + 60) == "late"
    assert judge(table, 5, 100, HOUR + 60) == "late"
    assert judge(table, 4, 9, HOUR + 60) == "reset"


def test_boots_that_grow_again_stay_a_reset() -> None:
    """Until they are greater than all that were heard: messages of those boots may have been recorded."""
    table = EngineTable()
    judge(table, 5, 10_000)

    assert judge(table, 1, 0, HOUR) == "reset"
    assert judge(table, 2, 0, 2 * HOUR) == "reset"
    assert judge(table, 1, HOUR + 1, 2 * HOUR + 1) == "late"
    assert judge(table, 5, 0, 3 * HOUR) == "reset"
    assert judge(table, 6, 0, 4 * HOUR) == "in_time"
    assert judge(table, 6, 30, 4 * HOUR + 30) == "in_time"


def test_who_replays_a_reset_does_not_lock_the_engine_out() -> None:
    """What was recorded in eight earlier lives is played while the engine is silent; then the engine speaks."""
    table = EngineTable()
    judge(table, 50, 10_000)
    for life in range(2 * EPOCHS_MAX):
        assert judge(table, 10 + life, 5, (life + 1) * HOUR) == "reset"

    assert judge(table, 50, 10_000 + 17 * HOUR, 17 * HOUR) == "in_time"
    assert judge(table, 50, 10_001, 17 * HOUR) == "late"
    assert judge(table, 49, 10_001, 17 * HOUR) == "late"


def test_an_engine_without_any_clock() -> None:
    """Boots and time are always 0 (net-snmp#385): flagged after the window, never lost."""
    table = EngineTable()

    verdicts = [judge(table, 0, 0, n * 60) for n in range(100)]
    assert verdicts[:3] == ["in_time"] * 3
    assert set(verdicts[3:]) == {"reset"}


def test_judged_again_out_of_turn() -> None:
    """Reboots, resets and a replay; then everything again from the last to the first."""
    said: list[Said] = [
        (boots, time_s, T0 + after_s * SECOND)
        for boots, time_s, after_s in (
            (5, 10_000, 0),
            (5, 10_100, 100),
            (6, 0, 130),
            (5, 10_131, 131),
            (6, 500, 630),
            (6, 100, 640),
            (2, 7, 900),
            (2, 107, 1_000),
            (6, 500, 1_001),
            (7, 0, 1_100),
            (2, 220, 1_113),
        )
    ]
    table = EngineTable()
    verdicts = judge_all(table, said)
    after = table.to_bytes()

    assert verdicts == [
        "in_time", "in_time", "in_time", "late", "in_time", "late", "reset", "reset", "late", "in_time", "late",
    ]  # fmt: skip
    assert judge_all(table, said[::-1]) == verdicts[::-1]
    assert table.to_bytes() == after


def test_first_decoded_out_of_turn() -> None:
    """During a storm the newest are decoded first: those before them of the same boots are in time, others are flagged."""
    table = EngineTable()

    assert judge(table, 6, 500, 1_000) == "in_time"
    assert judge(table, 6, 100, 600) == "in_time"
    assert judge(table, 5, 9_000, 100) == "reset"
    assert judge(table, 5, 9_010, 501) == "reset"
    assert judge(table, 6, 1, 502) == "in_time"
    assert judge(table, 5, 9_420, 520) == "late"
    assert judge(table, 4, 10, 50) == "reset"


def test_before_all_that_is_known_a_recording_is_never_in_time() -> None:
    """Our clock was set back by an hour: old boots, or an old time of these, may be recordings; what is newer is not."""
    for boots, time_s, verdict in ((3, 77, "reset"), (9, 4_000, "reset"), (9, 5_700, "in_time"), (10, 1, "in_time")):
        for accept in (True, False):
            table = EngineTable()
            judge(table, 9, 5_000)
            judge(table, 9, 5_600, 600)
            expected = "late" if verdict == "reset" and not accept else verdict
            assert judge(table, boots, time_s, -3_000, accept_resets=accept) == expected


def test_learnt_late_that_boots_were_lost() -> None:
    """Boots 9 were heard before boots 3, but decoded after them: what follows boots 3 is a reset from now on."""
    table = EngineTable()

    assert judge(table, 3, 10, 1_000) == "in_time"
    assert judge(table, 9, 500, 500) == "in_time"
    assert judge(table, 3, 20, 1_010) == "reset"


def test_before_the_history_all_is_late() -> None:
    """What came before the oldest of eight reboots that are remembered cannot be judged any more."""
    table = EngineTable()
    for boots in range(EPOCHS_MAX + 2):
        judge(table, boots, 0, boots * HOUR)

    assert judge(table, 1, 1, HOUR + 1) == "late"
    assert judge(table, 2, 1, 2 * HOUR + 1) == "in_time"


class Rfc3414:
    """Section 3.2 step 7 b by the letter, for messages in the order of their receipt."""

    def __init__(self) -> None:
        self.boots = -1
        self.latest_s = -1
        self.at_ns = 0

    def late_s(self, boots: int, time_s: int, unix_ns: int) -> float:
        """How far behind the notion of its clock a message is; for older boots infinitely."""
        if boots > self.boots or (boots == self.boots and time_s > self.latest_s):
            self.boots, self.latest_s, self.at_ns = boots, time_s, unix_ns
        if boots < self.boots:
            return float("inf")
        return self.latest_s + (unix_ns - self.at_ns) / SECOND - time_s


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 500), st.integers(0, 20), st.booleans()), max_size=40))
def test_in_order_it_is_the_rfc(steps: list[tuple[int, int, int, bool]]) -> None:
    """Messages that are delayed, overtaken or from before a reboot: the RFC's verdict, to the accuracy of an epoch."""
    table, rfc = EngineTable(), Rfc3414()
    now, started, boots = 0, 0, 1
    for pause, delay, dice, reboot in steps:
        now += pause
        if reboot and dice == 0:
            started, boots = now, boots + 1
        time_s = max(0, now - started - delay)
        late_s = rfc.late_s(boots, time_s, T0 + now * SECOND)
        verdict = judge(table, boots, time_s, now, accept_resets=False)
        if abs(late_s - WINDOW_S) > DRIFT_S:
            assert verdict == ("late" if late_s > WINDOW_S else "in_time")


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Said], set[int]]:
    """What is received of an engine that reboots, loses its boots, and is recorded and replayed.

    Returns:
        The messages in order of receipt, and which of them are replays of more than 150 s ago.
    """
    said: list[Said] = []
    replayed: set[int] = set()
    boots, started_s, now_s = draw(st.integers(0, 5)), -draw(st.integers(0, 100_000)), 0
    for _ in range(draw(st.integers(1, 25))):
        now_s += draw(st.integers(2, 600))
        what = draw(st.sampled_from(("says", "says", "says", "reboots", "forgets", "is replayed")))
        if what == "reboots":
            boots, started_s = boots + 1, now_s - 1
        elif what == "forgets":
            boots, started_s = draw(st.integers(0, boots)), now_s - 1
        if what == "is replayed" and said:
            old = draw(st.sampled_from(said))
            last_ns = max(unix_ns for *clock, unix_ns in said if clock == [*old[:2]])
            if T0 + now_s * SECOND - last_ns > (WINDOW_S + DRIFT_S + 1) * SECOND:
                replayed.add(len(said))
            said.append((old[0], old[1], T0 + now_s * SECOND))
        else:
            said.append((boots, now_s - started_s, T0 + now_s * SECOND + draw(st.integers(0, SECOND // 2))))
    return said, replayed


@given(lives(), st.booleans(), st.randoms())
def test_the_verdict_does_not_depend_on_when_it_is_asked(
    life: tuple[list[Said], set[int]], accept_resets: bool, order: random.Random
) -> None:
    """Once in the order of receipt; then in any order, also from what was kept over a restart, and nothing changes."""
    said, _ = life
    table = EngineTable()
    verdicts = judge_all(table, said, accept_resets=accept_resets)
    engine = table.get(SENDER)
    assume(engine is not None and len(engine.epochs) < EPOCHS_MAX)
    kept = table.to_bytes()
    again = list(zip(said, verdicts, strict=True))
    order.shuffle(again)

    for known in (table, EngineTable.from_bytes(kept)):
        assert judge_all(known, [one for one, _ in again], accept_resets=accept_resets) == [was for _, was in again]
        assert known.to_bytes() == kept


@given(lives(), st.booleans())
def test_no_replay_is_in_time(life: tuple[list[Said], set[int]], accept_resets: bool) -> None:
    """Of what was heard before: late, or flagged where resets are accepted."""
    said, replayed = life
    verdicts = judge_all(EngineTable(), said, accept_resets=accept_resets)

    assert {verdicts[n] for n in replayed} <= ({"late", "reset"} if accept_resets else {"late"})


@given(lives())
def test_what_an_engine_says_is_never_lost_where_resets_are_accepted(life: tuple[list[Said], set[int]]) -> None:
    """Whatever happens to its boots, as long as nobody replays."""
    said, _ = life
    heard: list[Said] = []
    for one in said:
        if one[:2] not in {before[:2] for before in heard}:
            heard.append(one)

    table = EngineTable()
    verdicts = judge_all(table, heard)
    engine = table.get(SENDER)
    assert engine is not None
    assert len(engine.epochs) <= EPOCHS_MAX
    assert "late" not in verdicts


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 100_000), st.integers(-(10**6), 10**6)), max_size=60))
def test_any_clocks_keep_the_table_small_and_sorted(said: list[tuple[int, int, int]]) -> None:
    """Also for an engine, or a clock of ours, that jumps at random; and what is kept is what was known."""
    table = EngineTable()
    for boots, time_s, after_s in said:
        judge(table, boots, time_s, after_s)
    engine = table.get(SENDER)
    if engine is not None:
        starts = [epoch.first_seen_unix_ns for epoch in engine.epochs]
        assert starts == sorted(starts)
        assert len(starts) <= EPOCHS_MAX
    assert EngineTable.from_bytes(table.to_bytes()).to_bytes() == table.to_bytes()


@given(st.binary(max_size=200))
def test_garbage_is_an_empty_table(data: bytes) -> None:
    """A file that was damaged must not keep a receiver from starting."""
    table = EngineTable()
    judge(table, 5, 10_000)
    table.prove(SENDER, "lift", 7)
    whole = table.to_bytes()

    for garbage in (data, whole[: len(data)] + data, whole[:17] + data):
        read_back = EngineTable.from_bytes(garbage)
        assert read_back.judge(OTHER, 1, 1, T0, accept_resets=True) == "in_time"
    assert len(EngineTable.from_bytes(data)) == 0


def test_changes_tell_when_to_keep_the_table() -> None:
    """Something new each time; nothing new in what is heard twice."""
    table = EngineTable()
    counts = [table.changes]
    for act in (
        lambda: judge(table, 5, 10_000),
        lambda: judge(table, 5, 10_000),
        lambda: judge(table, 5, 10_001, 1),
        lambda: judge(table, 6, 0, 2),
        lambda: table.prove(SENDER, "lift", 1),
        lambda: table.prove(SENDER, "lift", 1),
        lambda: table.prove(SENDER, "lift", 2),
        lambda: judge(table, 5, 9_000, 3),
    ):
        act()
        counts.append(table.changes)

    assert [after > before for before, after in itertools.pairwise(counts)] == [
        True, False, True, True, True, False, True, False,
    ]  # fmt: skip


def test_the_engine_that_was_not_heard_of_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded."""
    assert ENGINES_MAX > EVICTED_AT_ONCE
    monkeypatch.setattr("netmon.snmp.engines.ENGINES_MAX", 5)
    monkeypatch.setattr("netmon.snmp.engines.EVICTED_AT_ONCE", 2)
    table = EngineTable()
    for n in (0, 1, 2, 3, 4, 0, 5):
        table.judge(bytes([n]), 1, T0 // SECOND, T0 + n + 10 * SECOND * (n == 0), accept_resets=True)

    assert [n for n in range(6) if table.get(bytes([n])) is not None] == [0, 3, 4, 5]


def test_users_of_an_engine_are_bounded() -> None:
    """Whose key was right first is forgotten first."""
    table = EngineTable()
    for n in range(USERS_MAX + 1):
        table.prove(SENDER, f"user{n}", n)

    assert not table.is_proven(SENDER, "user0", 0)
    assert table.is_proven(SENDER, "user1", 1)
    assert not table.is_proven(SENDER, "user1", 2)
    assert not table.is_proven(OTHER, "user1", 1)
