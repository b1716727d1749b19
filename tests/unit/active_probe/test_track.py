"""One target of a line, asked as the engine asks it: cuts, brownouts, late answers, local errors, long round trips."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.track import DETAIL_MAX, ROUND_TRIP_BUCKETS_S, WRONG_INTERFACE, Histogram, Track
from tests.unit.active_probe.samples import MILLI, SECOND, Asker, Bad, Far, Fate, Seen, cut, well

FIBRE = BUILT_IN["fibre"]


def healthy(seconds: float = 60.5, profile: str = "fibre", *, standby: bool = False) -> Asker:
    """A line that has been up for so long."""
    asker = Asker(BUILT_IN[profile], standby=standby)
    asker.go_on(seconds, well)
    return asker


def losing(share: float, seed: int) -> Far:
    """A far end that does not hear so many, by chance."""
    chance = random.Random(seed)
    return lambda at_s: None if chance.random() < share else 0.002


def after(rtt_s: float) -> Far:
    """A far end that takes so long."""
    return lambda at_s: rtt_s


def error(at_s: float) -> Fate:
    """It cannot be sent."""
    return Bad("local_error", "ENETUNREACH")


def states(seen: list[Seen]) -> list[str]:
    """Without times and reasons."""
    return [change.state for change in seen]


# --- The beginning. ---


def test_nothing_is_known_at_first() -> None:
    """Unknown, and not undecided: there is no miss."""
    track = Track("icmp 192.0.2.1", FIBRE, 5)

    assert (track.state, track.reason, track.since_ns, track.misses, track.undecided) == (
        "unknown",
        "no_data",
        5,
        0,
        False,
    )
    assert (track.reading(5).sent, track.reading(5).loss, track.answered_ns) == (0, 0.0, 0)


def test_one_answer_is_enough_at_first() -> None:
    """Nothing speaks against the line."""
    assert Asker().go_on(3, well) == [Seen(0.002, "up", "")]


def test_a_line_that_is_dead_at_first() -> None:
    """Found as fast as any."""
    assert Asker().go_on(3, cut) == [Seen(0.9, "down", "no_answer")]


# --- Cuts. ---


def test_a_cut_is_down_after_the_fast_confirmation() -> None:
    """Asked at 61 s, missed at 61.5 s; asked again at once and 0.2 s later."""
    asker = healthy()

    assert asker.go_on(10, cut) == [Seen(61.9, "down", "no_answer")]


def test_the_row_of_misses_goes_on_while_it_is_down() -> None:
    """From the first, however far back; the window remembers only a minute."""
    asker = healthy()
    asker.go_on(600, cut)

    assert (asker.track.first_miss_ns, asker.track.misses > 500) == (61 * SECOND, True)
    assert asker.reading.sent == asker.reading.lost == 60


def test_it_is_undecided_from_the_first_miss_until_it_fell() -> None:
    """Meanwhile it is asked fast, and waited for shortly; after that, as ever."""
    asker = healthy(60.0)
    shown = []
    for at_s in (61.4, 61.6, 62.0):
        asker.go_on(at_s - asker.now_s, cut)
        shown.append((asker.track.undecided, asker.track.interval_s(standby=False), asker.track.timeout_s()))

    assert shown == [(False, 1.0, 0.5), (True, 0.2, 0.2), (False, 1.0, 0.5)]


def test_a_miss_that_is_followed_by_an_answer_is_no_failure() -> None:
    """The confirmation gets through."""
    asker = healthy()
    seen = asker.go_on(20, lambda at_s: None if at_s < 61.2 else 0.002)

    assert (seen, asker.track.undecided, asker.track.first_miss_ns, asker.reading.lost) == ([], False, 0, 1)


def test_back_from_a_cut_it_is_degraded_until_the_window_has_forgotten() -> None:
    """Five answers in a row; then, a minute after the cut was over, nothing of it is left."""
    asker = healthy()
    asker.go_on(30, cut)
    seen = asker.go_on(300, well)

    assert states(seen) == ["degraded", "up"]
    assert seen[0].at_s - 90.5 < 6
    assert seen[1].at_s - 90.5 < 60


def test_back_from_a_cut_that_the_window_hardly_noticed_it_is_up() -> None:
    """A fast line that was away for a second: 2 % of its minute."""
    asker = healthy(profile="fast")
    asker.go_on(1, cut)

    assert states(asker.go_on(10, well)) == ["up"]


def test_answers_that_are_not_in_a_row_bring_nothing_back() -> None:
    """Every fifth is missing."""
    asker = healthy()
    asker.go_on(10, cut)

    assert asker.go_on(30, lambda at_s: None if asker.asked % 5 == 0 else 0.002) == []


def test_flapping_is_told_as_it_is() -> None:
    """Ten seconds away, ten seconds there, for three minutes: each time down, and never up in between."""
    asker = healthy()
    seen = asker.go_on(180, lambda at_s: None if int(at_s / 10) % 2 else 0.002)

    assert states(seen) == [*["down", "degraded"] * 8, "down"]


# --- Loss. ---


@pytest.mark.parametrize("seed", range(8))
def test_a_brownout_is_found_and_does_not_flap(seed: int) -> None:
    """25 % by chance, for ten minutes: degraded or down within a minute, then hardly any change, and never up."""
    asker = healthy()
    seen = asker.go_on(600, losing(0.25, seed))

    assert seen[0].at_s < 60.5 + 60
    assert "up" not in states(seen)
    assert len(seen) <= 20
    assert asker.track.state in ("degraded", "down")
    assert states(asker.go_on(120, well))[-1] == "up"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_lost_now_and_then_is_no_fault(seed: int) -> None:
    """1 % by chance, for an hour."""
    asker = healthy()

    assert asker.go_on(3_600, losing(0.01, seed)) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_share_between_the_thresholds_changes_seldom(seed: int) -> None:
    """8 % by chance, above what clears and below what raises: in an hour, a change a minute at most."""
    assert len(healthy().go_on(3_600, losing(0.08, seed))) <= 60


def test_a_few_losses_of_a_few_probes_say_nothing() -> None:
    """Two of the first ten."""
    asker = Asker()

    assert states(asker.go_on(10, lambda at_s: None if asker.asked in (4, 8) else 0.002)) == ["up"]


def test_a_cut_in_a_brownout_ends_as_a_cut() -> None:
    """It is down by loss, then nothing arrives for longer than the window: five answers bring it back."""
    asker = healthy()
    asker.go_on(300, losing(0.4, 1))
    before = asker.track.reason
    asker.go_on(90, cut)
    during = asker.track.reason
    seen = asker.go_on(8, well)

    assert (before, during, states(seen)) == ("loss", "no_answer", ["degraded"])


# --- Late answers. ---


def test_a_late_answer_takes_back_what_made_it_undecided() -> None:
    """Missed at 61.5 s, answered at 61.6 s."""
    asker = healthy()
    asker.go_on(1.02, after(0.6))
    undecided = asker.track.undecided
    asker.go_on(0.1, after(0.002))

    assert (undecided, asker.track.undecided, asker.track.misses, asker.reading.lost) == (True, False, 0, 0)


def test_a_late_answer_leaves_what_was_missed_after_it() -> None:
    """Of two in a row, the older one was only late."""
    track = Track("icmp 192.0.2.1", FIBRE, 0)
    for seq in range(3):
        track.sent(seq, seq * SECOND)
    track.replied(0, MILLI, MILLI)
    assert [track.lost(1, 2 * SECOND), track.lost(2, 3 * SECOND)] == [True, False]

    assert track.replied(1, 3 * SECOND, 4 * SECOND) is False
    assert (track.misses, track.first_miss_ns, track.undecided) == (1, 2 * SECOND, True)


def test_a_loss_before_the_newest_answer_is_in_no_row() -> None:
    """The line has answered since."""
    track = Track("icmp 192.0.2.1", FIBRE, 0)
    for seq in range(2):
        track.sent(seq, seq)
    track.replied(1, MILLI, MILLI)

    assert track.lost(0, SECOND) is False
    assert (track.misses, track.undecided, track.reading(SECOND).lost) == (0, False, 1)


def test_a_line_that_became_slow_comes_back_by_itself() -> None:
    """1.4 s, where 0.5 s are waited for: down, but what comes late makes it patient."""
    asker = healthy()
    seen = asker.go_on(120, after(1.4))

    assert (seen[0].state, seen[0].reason) == ("down", "no_answer")
    assert (asker.track.state, asker.track.reason) == ("degraded", "round_trip")
    assert asker.track.timeout_s() == pytest.approx(4.2)
    assert seen[-1].at_s < 60.5 + 90


def test_one_straggler_does_not_make_it_patient() -> None:
    """Or a cut would be found later for as long as the window remembers."""
    asker = healthy()
    asker.go_on(1, after(0.45))
    asker.go_on(10, well)

    assert asker.track.timeout_s() == 0.5


def test_patience_has_an_end() -> None:
    """Whatever comes back how late."""
    asker = Asker(replace(FIBRE, timeout_s=8.0))
    asker.go_on(60, after(7.0))

    assert asker.track.timeout_s() == 10.0


def test_an_unasked_answer_is_counted_and_changes_nothing() -> None:
    """Anybody may send one."""
    track = Track("stamp 192.0.2.1:862", FIBRE, 0)

    assert [track.replied(seq, MILLI, SECOND) for seq in (0, 7, 2**63)] == [False] * 3
    assert (track.state, track.unasked, track.histogram.counts[-1]) == ("unknown", 3, 0)


# --- Bad answers, local errors. ---


def test_answers_that_fail() -> None:
    """They are misses, and the reason says which."""
    asker = healthy()
    seen = asker.go_on(3, lambda at_s: Bad("failed", "HTTP 503", 0.01))

    assert [(change.state, change.reason) for change in seen] == [("down", "bad_answer")]
    assert asker.reading.detail == "HTTP 503"


def test_the_reason_stands_while_it_comes_back() -> None:
    """Answers that are not enough change nothing."""
    asker = healthy()
    asker.go_on(10, lambda at_s: Bad("failed", "HTTP 503", 0.01))
    asker.go_on(3, well)

    assert (asker.track.state, asker.track.reason, asker.track.misses) == ("down", "bad_answer", 0)


def test_a_failing_answer_becomes_no_answer() -> None:
    """Also told: the newest miss says why."""
    asker = healthy()
    asker.go_on(5, lambda at_s: Bad("failed", "HTTP 503", 0.01))

    assert [(change.state, change.reason) for change in asker.go_on(5, cut)] == [("down", "no_answer")]


def test_what_cannot_be_sent_is_unknown_and_no_loss() -> None:
    """After three in a row; five answers bring it back."""
    asker = healthy()
    seen = asker.go_on(5, error)
    shown = asker.reading

    assert [(change.state, change.reason) for change in seen] == [("unknown", "cannot_send")]
    assert (shown.lost, shown.local_errors, shown.misses, shown.detail) == (0, 5, 0, "ENETUNREACH")
    assert states(asker.go_on(10, well)) == ["up"]


def test_a_dead_line_that_cannot_be_asked_any_more_is_unknown() -> None:
    """And dead again, when it can."""
    asker = healthy()
    seen = asker.go_on(5, cut) + asker.go_on(5, error) + asker.go_on(5, cut)

    assert [(change.state, change.reason) for change in seen] == [
        ("down", "no_answer"),
        ("unknown", "cannot_send"),
        ("down", "no_answer"),
    ]


def test_what_cannot_be_sent_is_not_tried_faster() -> None:
    """Whatever was missing before: there is nothing to confirm. What is missing afterwards is confirmed as ever."""
    asker = healthy()
    asker.go_on(0.6, cut)
    asker.go_on(5, error)
    during = asker.track.interval_s(standby=False), asker.track.misses
    asker.go_on(0.7, cut)

    assert (during, asker.track.undecided, asker.track.interval_s(standby=False)) == ((1.0, 0), True, 0.2)


def test_answers_by_another_interface() -> None:
    """They are local errors that say so."""
    asker = healthy()
    seen = asker.go_on(5, lambda at_s: Bad("local_error", f"{WRONG_INTERFACE}: eth1 instead of eth0", 0.01))

    assert [(change.state, change.reason) for change in seen] == [("unknown", "wrong_interface")]


def test_local_errors_have_to_be_in_a_row() -> None:
    """Every third gets out."""
    asker = healthy()

    assert asker.go_on(60, lambda at_s: 0.002 if asker.asked % 3 == 0 else error(at_s)) == []


def test_a_detail_is_kept_short_and_for_as_long_as_the_window() -> None:
    """It may come from far away."""
    asker = healthy()
    asker.go_on(1, lambda at_s: Bad("failed", "x" * 10_000, 0.01))
    known = asker.reading.detail
    asker.go_on(70, well)

    assert (known, asker.reading.detail) == ("x" * DETAIL_MAX, "")


# --- Round trips. ---


def test_a_way_around_is_degraded_and_back() -> None:
    """From 2 ms to 12 ms, and after five minutes to 2 ms again."""
    asker = healthy(200)
    seen = asker.go_on(300, after(0.012)) + asker.go_on(300, well)

    assert [(change.state, change.reason) for change in seen] == [("degraded", "round_trip"), ("up", "")]


def test_the_baseline_is_learnt_only_while_all_is_well() -> None:
    """An hour of long round trips does not become what is normal."""
    asker = healthy(200)
    asker.go_on(3_600, after(0.012))

    assert (asker.track.state, asker.reading.baseline_s) == ("degraded", pytest.approx(0.002, rel=0.5))


def test_the_baseline_follows_slowly() -> None:
    """To 3 ms: after ten minutes hardly, after a day quite."""
    asker = healthy(200)
    asker.go_on(600, after(0.003))
    soon = asker.reading.baseline_s
    asker.go_on(36_000, after(0.003))

    assert soon == pytest.approx(0.00214, abs=0.0001)
    assert asker.reading.baseline_s == pytest.approx(0.003, abs=0.0001)


def test_no_round_trip_is_too_long_below_the_floor() -> None:
    """Ten times the baseline, but still 4 ms."""
    asker = Asker()
    asker.go_on(200, after(0.0004))

    assert asker.go_on(300, after(0.004)) == []


def test_a_satellite_is_not_slow() -> None:
    """0.6 s, since ever."""
    assert states(Asker(BUILT_IN["geo"]).go_on(600, after(0.6))) == ["up"]


# --- How it is asked. ---


def test_a_line_on_standby_is_asked_sparingly_only_while_it_is_up() -> None:
    """Thirty seconds, but at the pace of any other while it is undecided, down or not known."""
    asker = Asker(BUILT_IN["5g"], standby=True)
    unknown = asker.track.interval_s(standby=True)
    asker.go_on(300, well)
    calm = asker.asked
    asker.go_on(60, cut)

    assert (unknown, calm, asker.track.state, asker.track.interval_s(standby=True)) == (2.0, 11, "down", 2.0)
    assert states(asker.go_on(60, well))[0] in ("degraded", "up")


def test_a_line_on_standby_that_was_away_is_up_in_the_end() -> None:
    """Its window holds few probes, and still no old loss keeps it degraded."""
    asker = healthy(600, "geo", standby=True)
    asker.go_on(300, cut)

    assert states(asker.go_on(600, well))[-1] == "up"


def test_a_line_that_is_always_asked_seldom_comes_back() -> None:
    """Twice in its window: loss cannot be judged, and does not hold it either."""
    asker = Asker(replace(FIBRE, interval_s=30.0))
    asker.go_on(600, well)
    seen = asker.go_on(300, cut) + asker.go_on(600, well)

    assert states(seen)[0] == "down"
    assert states(seen)[-1] == "up"


# --- What is told. ---


def test_since_is_when_it_came_to_its_state() -> None:
    """Another reason is no other state."""
    asker = healthy()
    asker.go_on(5, lambda at_s: Bad("failed", "HTTP 503", 0.0))
    since_ns = asker.track.since_ns
    asker.go_on(5, cut)

    assert (asker.track.reason, asker.track.since_ns) == ("no_answer", since_ns)


def test_the_histogram_is_cumulative() -> None:
    """Bounds are inclusive, and late answers count as well."""
    track = Track("icmp 192.0.2.1", FIBRE, 0)
    for seq, rtt_ns in enumerate((MILLI, MILLI + 1, 700 * MILLI, 9 * SECOND)):
        track.sent(seq, 0)
        if seq == 2:
            track.lost(seq, SECOND)
        track.replied(seq, rtt_ns, 2 * SECOND)

    expected = {0.0005: 0, 0.001: 1, 0.002: 2, 0.5: 2, 1.0: 3, 5.0: 3}
    counts = dict(zip(ROUND_TRIP_BUCKETS_S, track.histogram.counts, strict=False))
    assert {bound: counts[bound] for bound in expected} == expected
    assert (track.histogram.counts[-1], len(track.histogram.counts)) == (4, len(ROUND_TRIP_BUCKETS_S) + 1)
    assert track.histogram.sum_s == pytest.approx(9.702000001)


def test_the_histogram_is_empty_at_first() -> None:
    """All buckets are there."""
    assert Track("icmp 192.0.2.1", FIBRE, 0).histogram == Histogram((0,) * 16, 0.0)


def test_a_reading_has_all_of_the_window() -> None:
    """As evidence, with what the far end counts."""
    track = Track("stamp 192.0.2.1:862", FIBRE, 0)
    for seq, rtt_ms in enumerate((10, 12, None, 11)):
        track.sent(seq, seq * SECOND)
        if rtt_ms is None:
            track.lost(seq, seq * SECOND + SECOND // 2)
        else:
            track.replied(seq, rtt_ms * MILLI, seq * SECOND + rtt_ms * MILLI, seq)
    shown = track.reading(4 * SECOND)

    assert (shown.sent, shown.lost, shown.rtt_p50_s, shown.rtt_p99_s, shown.ipdv_s) == (4, 1, 0.011, 0.012, 0.002)
    assert (shown.lost_forward, shown.lost_backward) == (0, 1)


def test_a_restart_forgets_what_was_missed_but_not_what_is_normal() -> None:
    """After the vantage was cut off itself: one answer is enough again."""
    asker = healthy(200)
    asker.go_on(30, cut)
    assert asker.track.restart(asker.now_ns) is True

    assert (asker.track.state, asker.track.reason, asker.track.misses) == ("unknown", "no_data", 0)
    assert (asker.reading.sent, asker.reading.baseline_s) == (0, 0.002)
    assert states(asker.go_on(60, well)) == ["up"]


def test_a_restart_of_a_line_that_is_still_dead() -> None:
    """It falls anew."""
    asker = healthy()
    asker.go_on(30, cut)
    asker.track.restart(asker.now_ns)

    assert states(asker.go_on(4, cut)) == ["down"]
