"""One vantage and one line as the verdict process has seen them; and which votes anybody can have meant.

Pure. Times that end in `mono_ns` are of this process' monotonic clock, those in `unix_ns` of its wall clock.
"""

from __future__ import annotations

from typing import Final, Literal

from netmon.active_probe.model import LineState, LineStatus, Reason, VantageHealth, Vote
from netmon.active_probe.settings import JudgedLine
from netmon.active_probe.verdict.quorum import Presence, Verdict

HEARTBEAT_MIN_S: Final = 0.05
HEARTBEAT_MAX_S: Final = 60.0
"""Bounds of what a vantage may say of its own heartbeat: it decides how long its silence is borne."""
TARGETS_MAX: Final = 32
"""Readings of one vote."""
TEXT_MAX: Final = 256
"""Characters of a label or a detail."""

UNIX_NS_MAX: Final = 1 << 62
"""A time that can be: until 2116."""

_S_NS: Final = 1_000_000_000


class SeenVantage:
    """One place that probes, as seen from here."""

    __slots__ = ("health", "lines", "presence", "said", "seen_mono_ns", "stopped")

    def __init__(self, presence: Presence | Literal[""], mono_ns: int) -> None:
        self.presence = presence
        """Empty: not known yet."""
        self.said = presence
        """What was last told of it."""
        self.health: VantageHealth | None = None
        self.seen_mono_ns = mono_ns
        self.stopped = False
        """It has said that it goes."""
        self.lines: list[SeenLine] = []

    def is_new(self, health: VantageHealth) -> bool:
        """Whether this is a sign of life: an old one may be read again."""
        last = self.health
        return last is None or health.started_unix_ns != last.started_unix_ns or health.beat > last.beat

    def silence_max_ns(self, heartbeats: float) -> int:
        """How long it may be silent."""
        told_s = 1.0 if self.health is None else self.health.heartbeat_s
        return int(min(max(told_s, HEARTBEAT_MIN_S), HEARTBEAT_MAX_S) * heartbeats * _S_NS)


class SeenLine:
    """One line."""

    __slots__ = (
        "fall_ns", "heard_told_ns", "heard_unix_ns", "id", "known", "passing_mono_ns", "since_unix_ns", "vantage_ids", "verdict", "voted",
        "votes",
    )  # fmt: skip

    def __init__(self, told: JudgedLine, stored: LineStatus | None, unix_ns: int) -> None:
        self.id = told.line_id
        self.fall_ns = int(told.fall_s * _S_NS)
        self.vantage_ids = told.vantage_ids
        self.votes: dict[str, Vote] = {}
        self.voted: dict[str, int] = {}
        """Vantage to when it last voted, by our monotonic clock."""
        if stored is None:
            self.verdict, self.since_unix_ns = Verdict("unknown", "no_data"), unix_ns
        else:
            self.verdict, self.since_unix_ns = (
                Verdict(stored.state, stored.reason, stored.one_way),
                stored.since_unix_ns,
            )
        self.known: LineState = self.verdict.state
        """The last state but unknown, if there was one."""
        self.passing_mono_ns = 0
        """Since when it would be unknown, if that did not look as if it passed."""
        self.heard_told_ns = self.heard_unix_ns = 0 if stored is None else stored.heard_unix_ns
        """As it was told; and by our clock, if that is earlier."""


def gist(vote: Vote) -> tuple[LineState, Reason, int]:
    """What of a vote the verdict may depend on."""
    return vote.state, vote.reason, vote.first_miss_unix_ns


def is_sane(vote: Vote) -> bool:
    """Whether somebody can have meant this: it goes on to the hash, to alarms and to screens."""
    return (
        len(vote.targets) <= TARGETS_MAX
        and 0 <= vote.since_unix_ns < UNIX_NS_MAX
        and 0 <= vote.first_miss_unix_ns < UNIX_NS_MAX
        and 0 <= vote.unix_ns < UNIX_NS_MAX
        and all(len(target.label) <= TEXT_MAX and len(target.detail) <= TEXT_MAX for target in vote.targets)
    )
