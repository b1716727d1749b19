"""One state of a line from what all vantage points say of it.

Pure. Only live vantages are heard, and of these, only those that can tell. A line is down if at least two of them and more than half say
so; a vantage that is alone is believed too, since it has tested that it is not cut off itself, unless something still arrives over the line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, NamedTuple

from netmon.active_probe.model import LineState, Reason, Vote

Presence = Literal["live", "isolated", "stale"]
"""What the verdict process knows about a vantage."""

_TELLING_FIRST: Final[tuple[Reason, ...]] = (
    "no_answer", "bad_answer", "loss", "round_trip", "disagreement", "one_way",
    "wrong_interface", "cannot_send", "isolated", "stale", "no_data", "no_vantage",
)  # fmt: skip
"""Of several reasons for the same state, the first of these is told, whoever spoke first."""
_SILENT: Final[tuple[Reason, ...]] = ("no_answer", "bad_answer")
"""Reasons of `down` that something which arrives by itself speaks against. A line that loses much still brings some."""


class Verdict(NamedTuple):
    """State of a line, why, and whether it still brings something this way."""

    state: LineState
    reason: Reason = ""
    one_way: bool = False


def judge_line(
    votes: Mapping[str, Vote],
    vantages: Mapping[str, Presence],
    heard_unix_ns: int,
    now_unix_ns: int,
    heard_s: float = 10.0,
) -> Verdict:
    """Judge one line.

    Args:
        votes: The newest vote of each vantage that should probe the line and has said anything, by vantage.
        vantages: How these vantages are, and those that have said nothing; one that is missing here counts as stale.
        heard_unix_ns: When something last arrived over the line by itself; 0: never.
        now_unix_ns: Now.
        heard_s: For so long that counts.
    """
    told = [vote for vantage, vote in votes.items() if vantages.get(vantage) == "live" and vote.state != "unknown"]
    if not told:
        return Verdict("unknown", _why_unknown(votes, vantages))
    downs = [vote for vote in told if vote.state == "down"]
    if not downs:
        return _judge_quality(told)
    one_way = _is_heard(downs, heard_unix_ns, now_unix_ns, heard_s)
    if len(downs) >= 2 and 2 * len(downs) > len(told):
        return Verdict("down", _most_telling(downs), one_way)
    if len(told) > 1:
        # Somebody gets his answers: both directions work, and one vantage that says otherwise must not move what needs both.
        return Verdict("degraded", "disagreement")
    return Verdict("degraded", "one_way", True) if one_way else Verdict("down", _most_telling(downs))


def _judge_quality(told: Collection[Vote]) -> Verdict:
    """Up, or degraded if at least half say so: with two vantages, one is enough."""
    degraded = [vote for vote in told if vote.state == "degraded"]
    if degraded and 2 * len(degraded) >= len(told):
        return Verdict("degraded", _most_telling(degraded))
    return Verdict("up")


def _is_heard(downs: Collection[Vote], heard_unix_ns: int, now_unix_ns: int, heard_s: float) -> bool:
    """Whether something arrived lately, and since all of these vantages miss their probes."""
    silent = [vote.first_miss_unix_ns for vote in downs if vote.reason in _SILENT and vote.first_miss_unix_ns]
    if len(silent) < len(downs):
        return False
    return max(silent) < heard_unix_ns and abs(now_unix_ns - heard_unix_ns) <= heard_s * 1e9


def _why_unknown(votes: Mapping[str, Vote], vantages: Mapping[str, Presence]) -> Reason:
    """Why nobody can tell: what the live ones say, else how the others are."""
    present = set(vantages.values())
    if "live" in present:
        said = [vote for vantage, vote in votes.items() if vantages.get(vantage) == "live"]
        return _most_telling(said) if said else "no_data"
    if "isolated" in present:
        return "isolated"
    return "stale" if "stale" in present or votes else "no_vantage"


def _most_telling(votes: Collection[Vote]) -> Reason:
    """One reason for all; it does not depend on their order."""
    return min((vote.reason for vote in votes), key=_rank)


def _rank(reason: Reason) -> tuple[int, str]:
    """Its place in the order above; what is not in it comes last."""
    return (_TELLING_FIRST.index(reason) if reason in _TELLING_FIRST else len(_TELLING_FIRST), reason)
