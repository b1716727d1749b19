"""The ring of probes: what is counted, what is taken back, and what is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netmon.active_probe.measure.profiles import BUILT_IN
from netmon.active_probe.measure.window import (
    AGAIN,
    FAILED,
    IN_TIME,
    LATE,
    LOCAL_ERROR,
    LOST,
    SLOTS_MAX,
    UNASKED,
    Tally,
    Window,
    percentile,
    slots_for,
)
from tests.unit.active_probe.samples import MILLI, SECOND


def window(*fates: int | None, slots: int = 16) -> Window:
    """A window in which a probe went out each second: round trips in ms, None for a loss."""
    made = Window(slots, 60 * SECOND)
    for seq, rtt_ms in enumerate(fates):
        made.send(seq, seq * SECOND)
        if rtt_ms is None:
            made.give_up(seq, LOST)
        else:
            made.answer(seq, rtt_ms * MILLI, None)
    return made


def test_losses_are_counted_among_what_is_decided() -> None:
    """A probe under way is not decided, and one that could not leave was not sent."""
    ring = window(1, None, 2)
    for seq, status in ((3, FAILED), (4, LOCAL_ERROR), (5, None)):
        ring.send(seq, seq * SECOND)
        if status is not None:
            ring.give_up(seq, status)

    assert (ring.tally(), ring.local_errors) == (Tally(4, 2), 1)
    assert ring.tally().loss == 0.5


def test_nothing_sent_is_no_loss() -> None:
    """And no division by zero."""
    assert window().tally().loss == 0.0


def test_a_late_answer_takes_its_loss_back() -> None:
    """It is measured as any other."""
    ring = window(1, None)

    assert ring.answer(1, 700 * MILLI, None) == LATE
    assert (ring.tally(), ring.round_trips_ns()) == (Tally(2, 0), [1 * MILLI, 700 * MILLI])


def test_a_second_answer_is_a_duplicate() -> None:
    """Told once for each probe, and the first answer counts."""
    ring = window(1)

    assert [ring.answer(0, 9 * MILLI, None) for _ in range(2)] == [AGAIN, AGAIN]
    assert (ring.tally(), ring.duplicates, ring.round_trips_ns()) == (Tally(1, 0), 1, [1 * MILLI])


def test_an_answer_that_was_overtaken() -> None:
    """Reordered, and if it comes twice, that as well."""
    ring = window()
    for seq in range(3):
        ring.send(seq, seq)

    assert [ring.answer(seq, MILLI, None) for seq in (2, 0, 0, 1)] == [IN_TIME, IN_TIME, AGAIN, IN_TIME]
    assert (ring.reordered, ring.duplicates, ring.answered) == (2, 1, 2)


def test_answers_to_nothing() -> None:
    """Never sent, sent too long ago, or a number of nobody's: none changes anything."""
    ring = window(*[1] * 40)

    assert [ring.answer(seq, MILLI, None) for seq in (-1, 23, 40, 2**40)] == [UNASKED] * 4
    assert ring.tally() == Tally(16, 0)


def test_a_probe_is_decided_once() -> None:
    """Whoever comes later is not believed, but for a late answer."""
    ring = window(1, None)

    assert [ring.give_up(seq, LOST) for seq in (0, 1, 2, -1)] == [False] * 4
    assert ring.tally() == Tally(2, 1)


def test_a_gap_in_the_numbers_leaves_nothing_of_a_former_round() -> None:
    """Whether it is small or larger than the ring."""
    ring = window(*[None] * 16)
    ring.send(20, 16 * SECOND)
    small = ring.tally(), ring.answer(18, MILLI, None)
    ring.send(1_000_000_000, 17 * SECOND)

    assert small == (Tally(11, 11), UNASKED)
    assert (ring.tally(), ring.answer(1_000_000_000, MILLI, None)) == (Tally(0, 0), IN_TIME)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """By the time it was sent, and however long nothing was sent since."""
    ring = window(None, None, 1, 1)
    seen = []
    for now_s in (60, 61, 62, 3_600):
        ring.expire(now_s * SECOND)
        seen.append(ring.tally())

    assert seen == [Tally(4, 2), Tally(3, 1), Tally(2, 0), Tally(0, 0)]
    assert ring.answer(0, MILLI, None) == UNASKED


def test_forgetting_passes_over_gaps() -> None:
    """A number that was not used is not in the way."""
    ring = window(None)
    ring.send(5, 5 * SECOND)
    ring.give_up(5, LOST)
    ring.expire(62 * SECOND)

    assert ring.tally() == Tally(1, 1)


def test_the_row_of_misses() -> None:
    """Those after the newest answer: how many, when the first and when the last was sent."""
    ring = window(1, None, 1, None, None)

    assert ring.row() == (2, 3 * SECOND, 4 * SECOND)
    ring.answer(3, 900 * MILLI, None)
    assert ring.row() == (1, 4 * SECOND, 4 * SECOND)
    ring.answer(4, 900 * MILLI, None)
    assert ring.row() == (0, 0, 0)


def test_what_came_after_a_number() -> None:
    """Also across the seam of the ring."""
    ring = window(*[None] * 14, 1, 1, 1, None)

    assert [ring.tally_after(seq) for seq in (13, 16, 17, -1)] == [Tally(4, 1), Tally(1, 1), Tally(0, 0), Tally(16, 13)]


def test_whether_something_was_answered_between_two_times() -> None:
    """Counted by when it was sent: after the one, and not after the other."""
    ring = window(1, None, 1, None)
    spans = [(0, 1), (0, 2), (2, 9), (1, 3), (-1, 0), (2, 2)]

    assert [ring.answered_between(after * SECOND, until * SECOND) for after, until in spans] == [
        False, True, False, True, True, False,
    ]  # fmt: skip


def test_variation_is_the_mean_difference_of_neighbours() -> None:
    """A loss between two keeps them from being neighbours."""
    assert window(10, 14, 12, None, 50, 53).variation_ns() == 3 * MILLI
    assert window(10, None, 12).variation_ns() is None


def test_directions_by_the_far_ends_numbers() -> None:
    """Of ten probes two do not arrive there, and of the answers to the others, three do not arrive here."""
    ring = Window(16, 60 * SECOND)
    far = 100
    for seq in range(10):
        ring.send(seq, seq * SECOND)
        if seq in (2, 5):
            ring.give_up(seq, LOST)
            continue
        far += 1
        if seq in (3, 6, 7):
            ring.give_up(seq, LOST)
        else:
            ring.answer(seq, MILLI, far)

    assert ring.directions() == (2, 3)


def test_directions_when_the_far_end_begins_anew() -> None:
    """What was lost around its restart is in neither; nor is what could not leave missed by it. Its numbers go round at 32 bits."""
    ring = Window(16, 60 * SECOND)
    for seq, far in enumerate([2**32 - 2, 2**32 - 1, 0, None, 0, 1, None, 2]):
        ring.send(seq, seq * SECOND)
        if far is not None:
            ring.answer(seq, MILLI, far)
        else:
            ring.give_up(seq, LOCAL_ERROR if seq == 6 else LOST)

    assert ring.directions() == (0, 0)


def test_directions_are_unknown_without_numbers() -> None:
    """A stateless reflector, or another kind of probe."""
    assert window(1, None, 1).directions() is None


def test_slots_suffice_for_the_window_and_for_what_is_under_way() -> None:
    """Each profile's, within a limit."""
    for profile in BUILT_IN.values():
        slots = slots_for(profile)
        assert profile.window_s / profile.interval_s <= slots <= SLOTS_MAX
        assert 10 / profile.confirm_interval_s <= slots
    endless = replace(BUILT_IN["fast"], interval_s=0.0001, confirm_interval_s=0.0001)
    assert slots_for(endless) == SLOTS_MAX


def test_a_round_trip_has_its_limits() -> None:
    """What does not fit is the most that does; a negative one, by a clock that was set, is none."""
    ring = window()
    for seq, rtt_ns in enumerate((10**15, -5)):
        ring.send(seq, 0)
        ring.answer(seq, rtt_ns, None)

    assert ring.round_trips_ns() == [0, (2**32 - 1) * 100]


def test_percentiles_are_values_that_were_measured() -> None:
    """By nearest rank."""
    assert [percentile([10, 20, 30, 40], share) for share in (0.0, 0.25, 0.5, 0.51, 0.99, 1.0)] == [
        10,
        10,
        20,
        30,
        40,
        40,
    ]
    assert percentile([7], 0.99) == 7


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 1, 2, 15, 16, 17, 10**9]),
            st.sampled_from([0, 1, 4, 61]),
            st.lists(
                st.tuples(st.integers(-1, 18), st.sampled_from(["answer", "answer", "lost", "failed", "error"])),
                max_size=4,
            ),
        ),
        max_size=40,
    )
)
def test_a_ring_counts_what_a_list_would(steps: list[tuple[int, int, list[tuple[int, str]]]]) -> None:
    """Of the newest 16 numbers, in the newest 60 seconds, whatever happens to them and in which order."""
    ring = Window(16, 60 * SECOND)
    fates: dict[int, str] = {}
    sent_s: dict[int, int] = {}
    seq, now_s, answered = -1, 0, -1
    for gap, wait_s, happens in steps:
        seq, now_s = seq + gap, now_s + wait_s
        ring.send(seq, now_s * SECOND)
        fates[seq], sent_s[seq] = "pending", now_s
        for back, what in happens:
            probe = seq - back
            if probe <= seq - 16 or probe not in fates or fates[probe] == "gone":
                assert ring.answer(probe, MILLI, None) == UNASKED if what == "answer" else not ring.give_up(probe, LOST)
            elif what == "answer":
                ring.answer(probe, MILLI, None)
                fates[probe], answered = "answer", max(answered, probe)
            elif ring.give_up(probe, {"lost": LOST, "failed": FAILED, "error": LOCAL_ERROR}[what]):
                assert fates[probe] == "pending"
                fates[probe] = what
        ring.expire(now_s * SECOND)
        fates.update(dict.fromkeys((old for old in fates if sent_s[old] < now_s - 60 or old <= seq - 16), "gone"))
        missed = [probe for probe, fate in fates.items() if fate in ("lost", "failed")]
        row = [sent_s[probe] * SECOND for probe in missed if probe > answered]
        replies = list(fates.values()).count("answer")
        assert ring.tally() == Tally(replies + len(missed), len(missed))
        assert ring.local_errors == list(fates.values()).count("error")
        assert ring.row() == (len(row), min(row, default=0), max(row, default=0))
        assert len(ring.round_trips_ns()) == replies
