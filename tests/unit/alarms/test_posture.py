"""Postures: what evidence makes of an area, and what it never does."""

from __future__ import annotations

from itertools import permutations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netmon.alarms.posture.model import AreaPosture, Bulletin, Declaration, PostureChange
from netmon.alarms.posture.postures import HOLD_DOWN_MAX_S, PostureBook, Sample
from netmon.alarms.settings import PostureSettings

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
SETTINGS = PostureSettings()
QUIET = Sample(lines=10)
HALF_FAILS = Sample(lines=10, lines_failing=5)
SOME_FAIL = Sample(lines=10, lines_failing=2)


def fresh(settings: PostureSettings = SETTINGS) -> PostureBook:
    """A book of two areas, in which nothing has happened yet."""
    return PostureBook(settings, ["minato", "yamate"])


def play(book: PostureBook, sample: Sample, from_s: int, to_s: int) -> list[PostureChange]:
    """What changes while this is measured in minato, each second."""
    changes = []
    for second in range(from_s, to_s):
        book.feed("minato", sample)
        changes += book.tick(T0 + second * NS)
    return changes


def path(changes: list[PostureChange]) -> list[tuple[int, str]]:
    """Second and posture of each change of posture."""
    return [
        ((change.unix_ns - T0) // NS, change.now.posture) for change in changes if change.before != change.now.posture
    ]


def quake(
    serial: int = 1,
    *,
    level: str = "disaster",
    info: str = "issued",
    status: str = "normal",
    second: int = 0,
    kind: str = "VXSE53",
    event: str = "20240101161010",
) -> Bulletin:
    """A telegram about minato."""
    return msgspec.convert(
        {
            "id": f"{event}-{kind}-{serial}-{info}-{status}-{second}",
            "event_id": event,
            "kind": kind,
            "serial": serial,
            "status": status,
            "info": info,
            "unix_ns": T0 + second * NS,
            "headline": "地震がありました。",
            "areas": {"minato": "5-"},
            "level": level,
            "until_unix_ns": T0 + (second + 21_600) * NS,
        },
        Bulletin,
    )


def declared(posture: str, until_s: int = 0) -> Declaration:
    """What the duty officer says."""
    return msgspec.convert(
        {
            "posture": posture,
            "by": "tanaka",
            "reason": "seen from the window",
            "unix_ns": T0,
            "until_unix_ns": T0 + until_s * NS if until_s else 0,
        },
        Declaration,
    )


def minato(book: PostureBook) -> AreaPosture:
    """Where minato stands."""
    return book.postures()[0]


# --- What is measured. ---


def test_half_of_the_lines_is_a_disaster_after_the_confirmation_and_recovers_in_two_steps() -> None:
    """Each posture in its time: five seconds up, ten minutes for each step down."""
    book = fresh()

    changes = play(book, HALF_FAILS, 0, 100) + play(book, QUIET, 100, 1_400)

    assert path(changes) == [(5, "disaster"), (700, "recovering"), (1_300, "normal")]
    (reason,) = changes[0].now.reasons
    assert (reason.kind, reason.weight, reason.since_unix_ns) == ("lines_failing", "disaster", T0)
    assert reason.en == "5 of 10 lines are failing"
    assert reason.ja == "全10回線のうち5回線が障害中"


def test_a_dip_shorter_than_the_confirmation_changes_nothing() -> None:
    """Four seconds of half the lines, again and again."""
    book = fresh()

    changes = [change for start in range(0, 100, 10) for change in (
        *play(book, HALF_FAILS, start, start + 4), *play(book, QUIET, start + 4, start + 10))]  # fmt: skip

    assert changes == []


def test_one_failing_line_of_two_is_no_disaster() -> None:
    """The share alone would be a half."""
    assert play(fresh(), Sample(lines=2, lines_failing=1), 0, 60) == []


def test_weak_evidence_keeps_a_disaster_and_would_not_make_one() -> None:
    """A fifth of the lines is suspicious, and no reason to end a disaster."""
    book = fresh()

    first = play(fresh(), SOME_FAIL, 0, 60)
    after = play(book, HALF_FAILS, 0, 10) + play(book, SOME_FAIL, 10, 2_000)

    assert path(first) == [(5, "suspected")]
    assert path(after) == [(5, "disaster")]


def test_sites_on_battery_count() -> None:
    """Two are suspicious, three are a disaster."""
    book = fresh()

    changes = play(book, Sample(sites_on_battery=2), 0, 10) + play(book, Sample(sites_on_battery=3), 10, 20)

    assert path(changes) == [(5, "suspected"), (15, "disaster")]
    assert [reason.en for reason in minato(book).reasons] == ["3 sites without mains power"]


def test_a_storm_is_seen_against_what_is_usual_and_is_not_learned() -> None:
    """Four a second are usual: 39 are not ten times as much, 41 are; the baseline stands still meanwhile."""
    book = fresh()
    play(book, Sample(notifications=4), 0, 600)

    below = play(book, Sample(notifications=39), 600, 610)
    usual = book.baseline("minato")
    above = play(book, Sample(notifications=4_000), 610, 4_210)

    assert (path(below), path(above)) == ([], [(615, "suspected")])
    assert book.baseline("minato") == usual
    assert minato(book).reasons[0].ja == "毎秒4000件の通知（平常時は4.6件）"


def test_few_notifications_say_nothing_however_quiet_it_was() -> None:
    """Nineteen a second where there are none usually."""
    book = fresh()
    play(book, QUIET, 0, 600)

    assert play(book, Sample(notifications=19), 600, 700) == []


def test_a_new_netmon_on_a_busy_network_suspects_nothing() -> None:
    """What it sees first is what it takes for usual."""
    assert play(fresh(), Sample(notifications=500), 0, 600) == []


def test_a_backlog_that_is_worked_off_is_no_storm() -> None:
    """An hour's notifications in one second, and it says that they are an hour's."""
    book = fresh()
    play(book, Sample(notifications=4), 0, 600)

    assert play(book, Sample(notifications=14_400, span_s=3_600), 600, 620) == []


def test_numbers_alone_are_told_again_every_half_minute() -> None:
    """Nobody needs a message each second that says 6 instead of 5."""
    book = fresh()
    play(book, HALF_FAILS, 0, 10)

    changes = play(book, Sample(lines=10, lines_failing=6), 10, 100)

    assert [((change.unix_ns - T0) // NS, change.before, change.now.posture) for change in changes] == [
        (35, "disaster", "disaster")
    ]


# --- What JMA says. ---


def test_a_telegram_counts_at_once_and_for_as_long_as_it_holds() -> None:
    """Six hours, and then the two steps down."""
    book = fresh()
    book.bulletin(quake(), T0)

    changes = [change for minute in range(400) for change in book.tick(T0 + minute * 60 * NS)]

    assert path(changes) == [(0, "disaster"), (22_200, "recovering"), (22_800, "normal")]
    assert (changes[0].now.reasons[0].ja, changes[0].now.reasons[0].en) == (
        "気象庁: 震度５弱",
        "JMA: seismic intensity 5-",
    )


def test_drills_and_tests_are_shown_and_change_nothing() -> None:
    """訓練 and 試験, and their cancellation ends the banner."""
    for status in ("drill", "test"):
        book = fresh()

        book.bulletin(quake(status=status), T0)
        changes = book.tick(T0)
        book.bulletin(quake(2, status=status, info="cancelled"), T0)

        assert [(change.now.posture, change.now.drill) for change in changes] == [("normal", "地震がありました。")]
        assert [change.now.drill for change in book.tick(T0 + NS)] == [""]


def test_a_cancelled_drill_leaves_the_earthquake() -> None:
    """Even with the same event ID."""
    book = fresh()
    book.bulletin(quake(1), T0)
    book.bulletin(quake(2, status="drill", info="cancelled"), T0)
    book.tick(T0)

    assert minato(book).posture == "disaster"


def test_a_cancellation_lowers_only_what_it_had_raised() -> None:
    """The lines that fail stay a reason, and another earthquake does."""
    book = fresh()
    play(book, HALF_FAILS, 0, 10)
    book.bulletin(quake(1), T0)
    book.bulletin(quake(1, event="20240101180000"), T0)
    book.bulletin(quake(2, info="cancelled"), T0)
    book.feed("minato", HALF_FAILS)
    book.tick(T0 + 11 * NS)

    assert [reason.kind for reason in minato(book).reasons] == ["lines_failing", "jma"]


def test_a_correction_replaces() -> None:
    """It was a 4 in truth."""
    book = fresh()
    book.bulletin(quake(1), T0)
    book.bulletin(quake(1, info="corrected", level="suspected"), T0)
    book.tick(T0)

    assert minato(book).posture == "suspected"


def test_a_telegram_of_another_area_is_none_of_ours() -> None:
    """minato shakes, yamate does not."""
    book = fresh()
    book.bulletin(quake(), T0)
    book.tick(T0)

    assert [shown.posture for shown in book.postures()] == ["disaster", "normal"]


def test_a_telegram_from_the_future_counts_no_longer_than_others() -> None:
    """A wrong clock, or a lie, must not hold a disaster for years."""
    book = fresh()
    book.bulletin(quake(second=10**9), T0)
    book.tick(T0)
    assert minato(book).posture == "disaster"

    changes = [change for minute in range(400) for change in book.tick(T0 + minute * 60 * NS)]

    assert path(changes) == [(22_200, "recovering"), (22_800, "normal")]


def test_an_old_telegram_does_not_count() -> None:
    """A folder with last year's telegrams."""
    assert not fresh().bulletin(quake(second=-21_600), T0)


telegrams = st.lists(
    st.builds(
        quake,
        st.integers(0, 4),
        level=st.sampled_from(["none", "suspected", "disaster"]),
        info=st.sampled_from(["issued", "corrected", "cancelled"]),
        status=st.sampled_from(["normal", "normal", "drill"]),
        second=st.integers(0, 2),
        kind=st.sampled_from(["VXSE51", "VXSE53"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda bulletin: bulletin.id,
)


@given(telegrams)
def test_the_order_in_which_telegrams_arrive_does_not_matter(found: list[Bulletin]) -> None:
    """Report time, serial and kind decide; and the same one twice is one."""
    ends = set()
    for order in permutations(found):
        book = fresh()
        for bulletin in (*order, order[0]):
            book.bulletin(bulletin, T0 + 10 * NS)
        book.tick(T0 + 10 * NS)
        ends.add(msgspec.json.encode(minato(book)))

    assert len(ends) == 1


# --- What an operator says. ---


def test_a_declaration_alone_suffices_and_holds_until_it_is_withdrawn() -> None:
    """No confirmation, no evidence; withdrawn, it is evidence that is gone."""
    book = fresh()
    assert book.declare("minato", declared("disaster"), T0) == ""

    during = play(book, QUIET, 0, 10_000)
    assert book.declare("minato", None, T0 + 10_000 * NS) == ""
    after = play(book, QUIET, 10_000, 12_000)

    assert path(during) == [(0, "disaster")]
    assert during[0].now.reasons[0].en == "tanaka declares disaster: seen from the window"
    assert path(after) == [(10_600, "recovering"), (11_200, "normal")]


def test_a_declaration_of_normal_shows_evidence_and_holds_it_down_until_it_ends() -> None:
    """Ten minutes of a false alarm that somebody knows about."""
    book = fresh()
    play(book, HALF_FAILS, 0, 10)
    book.declare("minato", declared("normal", until_s=600), T0 + 10 * NS)

    changes = play(book, HALF_FAILS, 10, 700)

    assert path(changes) == [(10, "normal"), (600, "disaster")]
    assert [reason.kind for reason in changes[0].now.reasons] == ["lines_failing"]


def test_what_holds_an_area_down_ends_within_a_day() -> None:
    """Nobody remembers to lift it."""
    book = fresh()
    book.declare("minato", declared("normal"), T0)

    declaration = minato(book).declaration

    assert declaration is not None
    assert declaration.until_unix_ns == T0 + HOLD_DOWN_MAX_S * NS


def test_what_is_declared_to_be_normal_is_learned() -> None:
    """Twice the devices: the operator says that this is what it is like now."""
    book = fresh(PostureSettings(baseline_s=600.0))
    play(book, Sample(notifications=4), 0, 600)
    book.declare("minato", declared("normal"), T0 + 600 * NS)

    play(book, Sample(notifications=100), 600, 4_200)
    book.declare("minato", None, T0 + 4_200 * NS)

    assert play(book, Sample(notifications=100), 4_200, 4_300)[0].now.posture == "normal"
    assert 95 < book.baseline("minato") <= 100


def test_what_cannot_be_declared_says_why() -> None:
    """Each mistake in words."""
    book = fresh()
    nobody = msgspec.structs.replace(declared("disaster"), by=" ")
    no_reason = msgspec.structs.replace(declared("disaster"), reason="")

    assert [
        book.declare("atlantis", declared("disaster"), T0),
        book.declare("minato", None, T0),
        book.declare("minato", nobody, T0),
        book.declare("minato", no_reason, T0),
        book.declare("minato", declared("disaster", until_s=-1), T0),
    ] == [
        "the region has no area 'atlantis'",
        "nothing is declared there",
        "who declares has to be named, in 1 to 100 characters",
        "a declaration needs a reason, in 1 to 1000 characters",
        "a declaration needs a time in the future at which it ends, or none",
    ]


# --- Across a restart. ---


def test_a_restart_forgets_nothing() -> None:
    """Posture, baseline, telegrams, declarations, and how long it has been quiet."""
    book, again = fresh(), fresh()
    play(book, Sample(notifications=4), 0, 600)
    book.bulletin(quake(second=600), T0 + 600 * NS)
    book.declare("yamate", declared("suspected", until_s=5_000), T0 + 600 * NS)
    play(book, HALF_FAILS, 600, 700)
    play(book, QUIET, 700, 900)

    again.load(book.dump(), T0 + 900 * NS)

    assert again.dump() == book.dump()
    assert path(play(again, QUIET, 900, 24_000)) == path(play(book, QUIET, 900, 24_000))


def test_what_cannot_be_read_after_a_restart_does_not_stop_it() -> None:
    """Another version's fields, an area that was taken out of the region."""
    book = fresh()

    book.load({"posture:minato": b"{", "posture-learned:minato": b"[]", "bulletin:x": b"7", "fence": b"3",
               "posture:atlantis": msgspec.json.encode(AreaPosture(area="atlantis"))}, T0)  # fmt: skip

    assert book.dump() == fresh().dump()


# --- Laws. ---


class Postures(RuleBasedStateMachine):
    """Anything may happen in any order, and these laws hold."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.second, self.sample = fresh(PostureSettings(recover_s=20.0)), 0, QUIET
        self.evidence_s = self.declared_s = -1_000
        self.before, self.now = "normal", "normal"

    @rule(
        sample=st.sampled_from([QUIET, SOME_FAIL, HALF_FAILS, Sample(sites_on_battery=3)]), seconds=st.integers(1, 30)
    )
    def measure(self, sample: Sample, seconds: int) -> None:
        """Some seconds of this."""
        self.sample = sample
        for _ in range(seconds):
            self.step()

    @rule(serial=st.integers(0, 3), info=st.sampled_from(["issued", "corrected", "cancelled"]))
    def hear(self, serial: int, info: str) -> None:
        """A telegram."""
        self.book.bulletin(quake(serial, info=info), T0 + self.second * NS)
        self.step()

    @rule(posture=st.sampled_from(["normal", "suspected", "disaster", None]))
    def declare(self, posture: str | None) -> None:
        """A declaration, or its end."""
        self.book.declare("minato", None if posture is None else declared(posture), T0 + self.second * NS)
        self.step()

    @rule()
    def restart(self) -> None:
        """Of the worker."""
        fields = self.book.dump()
        self.book = fresh(PostureSettings(recover_s=20.0))
        self.book.load(fields, T0 + self.second * NS)

    def step(self) -> None:
        """One second."""
        self.book.feed("minato", self.sample)
        self.book.tick(T0 + self.second * NS)
        shown = minato(self.book)
        self.before, self.now = self.now, shown.posture
        if any(reason.kind != "declared" for reason in shown.reasons):
            self.evidence_s = self.second
        if shown.declaration is not None:
            self.declared_s = self.second
        self.check(shown)
        self.second += 1

    def check(self, shown: AreaPosture) -> None:
        """A disaster ends by a declaration, or when nothing has spoken for it for a while; and nothing else declares."""
        if self.before == "disaster" and self.now != "disaster" and shown.declaration is None:
            assert self.second - self.evidence_s >= 20
        if self.before != "recovering" and self.now == "recovering":
            assert self.before == "disaster"
        if self.before == "normal" and self.now != "normal":
            assert shown.reasons != ()

    @invariant()
    def a_declaration_is_what_it_says(self) -> None:
        """Up and down."""
        shown = minato(self.book)
        if shown.declaration is not None and self.declared_s == self.second - 1:
            assert shown.posture == shown.declaration.posture


TestLaws = Postures.TestCase
