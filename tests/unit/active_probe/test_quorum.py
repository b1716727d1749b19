"""One state of a line out of what all vantage points say: every rule, and the laws that hold for any votes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmon.active_probe.measure.table import MEANING
from netmon.active_probe.model import LineState, Reason, Vote
from netmon.active_probe.verdict.quorum import Presence, Verdict, judge_line
from tests.unit.active_probe.samples import NOON, SECOND, vote

SAYS: dict[str, tuple[LineState, Reason]] = {
    "up": ("up", ""),
    "lossy": ("degraded", "loss"),
    "slow": ("degraded", "round_trip"),
    "down": ("down", "no_answer"),
    "bad": ("down", "bad_answer"),
    "brown": ("down", "loss"),
    "mute": ("unknown", "cannot_send"),
    "astray": ("unknown", "wrong_interface"),
    "cut off": ("unknown", "isolated"),
    "new": ("unknown", "no_data"),
}
FIRST_MISS_S = 1.0


def judge(said: str, *, heard_s: float | None = None, now_s: float = 3.0, presences: str = "") -> Verdict:
    """The verdict on what vantages a, b, c, ... say, separated by commas; they are live, or `presences` says how they are."""
    words = [word.strip() for word in said.split(",") if word.strip()]
    names = "abcdefgh"[: max(len(words), len(presences.split()))]
    votes = {name: says(name, word) for name, word in zip(names, words, strict=False) if word != "-"}
    how = dict(zip(names, presences.split() or ["live"] * len(names), strict=True))
    heard = 0 if heard_s is None else at(heard_s)
    return judge_line(votes, how, heard, at(now_s))  # type: ignore[arg-type]


def says(name: str, word: str) -> Vote:
    """A vote; who misses its probes does so since a second after noon."""
    state, reason = SAYS[word]
    return vote(name, state, reason, first_miss_s=FIRST_MISS_S if word in ("down", "bad") else 0)


def at(seconds: float) -> int:
    """After noon."""
    return NOON + round(seconds * SECOND)


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        # One who can tell is believed.
        ("up", "up", ""),
        ("lossy", "degraded", "loss"),
        ("down", "down", "no_answer"),
        ("brown", "down", "loss"),
        ("down, mute", "down", "no_answer"),
        ("up, mute", "up", ""),
        # Down: at least two, and more than half of those who can tell.
        ("down, down", "down", "no_answer"),
        ("down, bad", "down", "no_answer"),
        ("brown, bad", "down", "bad_answer"),
        ("down, down, up", "down", "no_answer"),
        ("down, down, lossy", "down", "no_answer"),
        ("down, down, up, mute, new", "down", "no_answer"),
        # They differ.
        ("down, up", "degraded", "disagreement"),
        ("down, lossy", "degraded", "disagreement"),
        ("down, up, up", "degraded", "disagreement"),
        ("down, down, up, up", "degraded", "disagreement"),
        # Degraded: at least half.
        ("lossy, up", "degraded", "loss"),
        ("slow, lossy", "degraded", "loss"),
        ("lossy, up, up", "up", ""),
        ("lossy, slow, up, up", "degraded", "loss"),
        # Nobody can tell.
        ("mute", "unknown", "cannot_send"),
        ("mute, new", "unknown", "cannot_send"),
        ("mute, astray", "unknown", "wrong_interface"),
        ("cut off", "unknown", "isolated"),
        ("new", "unknown", "no_data"),
        ("", "unknown", "no_vantage"),
    ],
)
def test_quorum(said: str, state: LineState, reason: Reason) -> None:
    """Of vantages that are all live."""
    assert judge(said) == Verdict(state, reason, one_way=False)


@pytest.mark.parametrize(
    ("said", "presences", "state", "reason"),
    [
        ("down", "isolated", "unknown", "isolated"),
        ("down", "stale", "unknown", "stale"),
        ("down, down", "isolated stale", "unknown", "isolated"),
        ("down, up", "stale live", "up", ""),
        ("down, up", "live isolated", "down", "no_answer"),
        ("down, down, up", "live isolated live", "degraded", "disagreement"),
        ("up", "stale", "unknown", "stale"),
        ("-", "live", "unknown", "no_data"),
        ("-, up", "live stale", "unknown", "no_data"),
        ("-", "stale", "unknown", "stale"),
    ],
)
def test_only_live_vantages_are_heard(said: str, presences: str, state: LineState, reason: Reason) -> None:
    """Whatever the others said last."""
    assert judge(said, presences=presences) == Verdict(state, reason, one_way=False)


def test_a_vantage_that_nobody_knows_is_stale() -> None:
    """It has voted, but never told how it is."""
    assert judge_line({"a": says("a", "down")}, {}, 0, at(3)) == Verdict("unknown", "stale")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # It vetoes a single one: its probes may be filtered.
        ("down", Verdict("degraded", "one_way", one_way=True)),
        ("bad", Verdict("degraded", "one_way", one_way=True)),
        ("down, mute", Verdict("degraded", "one_way", one_way=True)),
        # It does not veto several, but says what is left.
        ("down, down", Verdict("down", "no_answer", one_way=True)),
        # Somebody gets his answers: both directions work.
        ("down, up", Verdict("degraded", "disagreement", one_way=False)),
        ("down, lossy", Verdict("degraded", "disagreement", one_way=False)),
        # A brownout brings some of everything.
        ("brown", Verdict("down", "loss", one_way=False)),
        ("down, brown", Verdict("down", "no_answer", one_way=False)),
        # Nothing is missing.
        ("up", Verdict("up", "", one_way=False)),
        ("lossy", Verdict("degraded", "loss", one_way=False)),
        ("mute", Verdict("unknown", "cannot_send", one_way=False)),
    ],
)
def test_something_still_arrives(said: str, expected: Verdict) -> None:
    """By itself, after the first miss."""
    assert judge(said, heard_s=2.0) == expected


@pytest.mark.parametrize(
    ("heard_s", "now_s", "counts"),
    [
        (0.9, 3, False),
        (FIRST_MISS_S, 3, False),
        (1.1, 3, True),
        (3.0, 13, True),
        (3.0, 13.1, False),
        (5.0, 3, True),
        (20.0, 3, False),
        (None, 3, False),
    ],
)
def test_when_something_that_arrived_counts(heard_s: float | None, now_s: float, counts: bool) -> None:
    """After the first miss, for ten seconds; a clock elsewhere may be a little ahead."""
    assert judge("down", heard_s=heard_s, now_s=now_s).one_way is counts


def test_what_arrived_before_the_last_of_them_missed_something_does_not_count() -> None:
    """The line may have died in between."""
    votes = {name: vote(name, "down", first_miss_s=first_s) for name, first_s in (("a", 1.0), ("b", 2.0))}
    how: dict[str, Presence] = {"a": "live", "b": "live"}

    assert [judge_line(votes, how, at(heard_s), at(3)).one_way for heard_s in (1.5, 2.5)] == [False, True]


def test_a_row_that_is_over_is_not_spoken_against() -> None:
    """A line that comes back is down until it has risen, whatever arrives."""
    assert judge_line({"a": vote("a", "down")}, {"a": "live"}, at(2), at(3)) == Verdict("down", "no_answer")


# --- Laws. ---

VOTES = st.lists(st.sampled_from([*sorted(SAYS), "-"]), max_size=7)
HOW = st.lists(st.sampled_from(["live", "isolated", "stale"]), min_size=7, max_size=7)
HEARD = st.none() | st.sampled_from([0.5, 2.0])


@given(VOTES, HOW, HEARD, st.randoms(use_true_random=False))
def test_the_order_of_votes_does_not_matter(
    said: list[str], how: list[str], heard: float | None, chance: random.Random
) -> None:
    """Nor who says what, if as many say the same."""
    pairs = list(zip(said, how, strict=False))
    shuffled = chance.sample(pairs, len(pairs))

    assert verdict_of(pairs, heard) == verdict_of(shuffled, heard)


@given(
    VOTES,
    HOW,
    HEARD,
    st.lists(st.tuples(st.sampled_from(sorted(SAYS)), st.sampled_from(["isolated", "stale"])), max_size=4),
)
def test_a_vantage_that_is_not_live_makes_no_difference_among_live_ones(
    said: list[str], how: list[str], heard: float | None, others: list[tuple[str, str]]
) -> None:
    """Neither for the worse nor for the better."""
    pairs = list(zip(said, how, strict=False))
    verdict = verdict_of(pairs, heard)

    if any(presence == "live" for _, presence in pairs):
        assert verdict_of([*pairs, *others], heard) == verdict
    assert verdict_of(others, heard).state == "unknown"


@given(VOTES, HOW, HEARD)
def test_down_has_a_reason(said: list[str], how: list[str], heard: float | None) -> None:
    """Somebody live says so; either alone, without anything to the contrary, or with a majority of at least two."""
    pairs = list(zip(said, how, strict=False))
    verdict = verdict_of(pairs, heard)
    telling = [
        SAYS[word][0] for word, presence in pairs if presence == "live" and word != "-" and SAYS[word][0] != "unknown"
    ]
    downs = telling.count("down")

    assert (verdict.state == "unknown") == (not telling)
    if verdict.state == "down":
        assert downs == len(telling) == 1 or (downs >= 2 and 2 * downs > len(telling))
    if verdict.state == "up":
        assert downs == 0
    if verdict.one_way:
        assert downs > 0


@given(VOTES, HOW, HEARD, st.integers(0, 6))
def test_one_who_cannot_tell_any_more_calls_no_line_down_that_several_saw(
    said: list[str], how: list[str], heard: float | None, index: int
) -> None:
    """A vote that turns unknown is as if it had never been cast."""
    pairs = list(zip(said, how, strict=False))
    if index >= len(pairs):
        return
    silenced = [("mute", how_) if at_ == index else (word, how_) for at_, (word, how_) in enumerate(pairs)]
    without = [pair for at_, pair in enumerate(pairs) if at_ != index]
    told = verdict_of(silenced, heard)

    assert (told.state, told.one_way) == (verdict_of(without, heard).state, verdict_of(without, heard).one_way)


@given(st.sampled_from(sorted(MEANING.values())), st.sampled_from(["isolated", "stale"]))
def test_no_vantage_that_is_cut_off_or_silent_calls_a_line_down(
    shows: tuple[LineState, Reason], presence: Presence
) -> None:
    """Whatever it says, alone."""
    assert judge_line({"a": vote("a", *shows)}, {"a": presence}, 0, NOON).state == "unknown"


def verdict_of(pairs: list[tuple[str, str]], heard: float | None) -> Verdict:
    """On what these say who are so; `-` has not voted."""
    names = [f"vantage-{number}" for number in range(len(pairs))]
    votes = {name: says(name, word) for name, (word, _) in zip(names, pairs, strict=True) if word != "-"}
    how = {name: presence for name, (_, presence) in zip(names, pairs, strict=True)}
    return judge_line(votes, how, 0 if heard is None else at(heard), at(3))  # type: ignore[arg-type]
