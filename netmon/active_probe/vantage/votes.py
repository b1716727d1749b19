"""What this vantage votes of each line: said at once when it changes, and again every few seconds with what the windows show by then.

No I/O: votes go out by a function that is handed in. Lines whose tracks changed wait in a queue and are judged a few at a time, so that
an outage of thousands of lines does not keep the probes waiting.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from netmon.active_probe.measure.line import vote_of
from netmon.active_probe.model import LineState, Reason, TargetReading, Vote
from netmon.active_probe.vantage.clock import Clock
from netmon.active_probe.vantage.health import Health
from netmon.active_probe.vantage.report import LineReport, TargetReport, encode_line
from netmon.active_probe.vantage.target import Target

HELD_NS: Final = 10_000_000
"""How often lines that wait for an anchor are looked at again, while anchors answer."""


class Tell(Protocol):
    """Takes a vote, and whether it is urgent."""

    def __call__(self, vote: Vote, /, *, urgent: bool) -> None:
        """Does not wait."""


class _Line:
    """One line: who is asked about it, and what was last said of it."""

    __slots__ = ("body", "line_id", "reason", "since_ns", "state", "targets", "tracks")

    def __init__(self, line_id: str, targets: tuple[Target, ...], started_ns: int) -> None:
        self.line_id = line_id
        self.targets = targets
        self.tracks = tuple(target.track for target in targets)
        self.state: LineState = "unknown"
        self.reason: Reason = "no_data"
        self.since_ns = started_ns
        self.body = b""
        """As it stands in the report; empty: nothing has been said yet."""

    def first_miss_ns(self) -> int:
        """When the line's row of misses began: when the last of its targets stopped to answer; 0: one of them answers."""
        firsts = [track.first_miss_ns for track in self.tracks if track.state != "unknown"]
        return max(firsts) if firsts and all(firsts) else 0


class Votes:
    """The votes of one vantage.

    Attributes:
        held: Lines that look down or lossy, and wait until an anchor has answered or fallen.
    """

    def __init__(self, vantage_id: str, targets: Iterable[Target], clock: Clock, health: Health, tell: Tell) -> None:
        """Takes the targets of all lines, in any order."""
        self.held: dict[str, None] = {}
        self._vantage_id = vantage_id
        self._clock = clock
        self._health = health
        self._tell = tell
        self._changed: dict[str, None] = {}
        self._held_ns = 0
        started_ns = clock.now_ns()
        by_line: dict[str, list[Target]] = {}
        for target in targets:
            by_line.setdefault(target.line_id, []).append(target)
        self._lines = {name: _Line(name, tuple(those), started_ns) for name, those in by_line.items()}
        self._turn = itertools.cycle(self._lines.values())

    def __len__(self) -> int:
        """How many lines."""
        return len(self._lines)

    # -- what happens

    def touch(self, line_id: str) -> None:
        """A track of the line has changed."""
        self._changed[line_id] = None

    def touch_all(self) -> None:
        """The vantage is isolated, or back: every vote may be another."""
        self._changed = dict.fromkeys(self._lines)

    def hear(self, now_ns: int) -> None:
        """An anchor has answered or fallen: what is held may be said."""
        if self.held and now_ns - self._held_ns >= HELD_NS:
            self._held_ns = now_ns
            self._changed.update(self.held)

    def work(self, now_ns: int, most: int) -> bool:
        """Judges lines that changed, at most so many; whether more of them wait."""
        for line_id in list(itertools.islice(self._changed, most)):
            del self._changed[line_id]
            self._judge(self._lines[line_id], now_ns)
        return bool(self._changed)

    def refresh(self, now_ns: int, count: int, *, settled: bool) -> None:
        """Says again what is known of the next so many lines.

        Args:
            now_ns: Now.
            count: How many lines' turn it is.
            settled: It is long enough after the start that "no data" says something, too: until then, what a former process said stands.
        """
        for line in itertools.islice(self._turn, count):
            if settled or line.reason != "no_data":
                self._say(line, now_ns, urgent=False)

    # -- what is said

    def answered_ns(self, line_id: str) -> int:
        """When the newest probe of a line was sent that was answered; 0: none was yet."""
        return max(track.answered_ns for track in self._lines[line_id].tracks)

    def bodies(self) -> Iterator[bytes]:
        """Lines for the report, as they were when they were last said."""
        return (line.body for line in self._lines.values() if line.body)

    def _judge(self, line: _Line, now_ns: int) -> None:
        state, reason = vote_of(line.tracks)
        said = self._health.say(state, reason, line.tracks, line.state, now_ns)
        if said is None:
            self.held[line.line_id] = None
            return
        self.held.pop(line.line_id, None)
        if said == (line.state, line.reason):
            return
        if said[0] != line.state:
            line.since_ns = now_ns
        line.state, line.reason = said
        self._say(line, now_ns, urgent=True)

    def _say(self, line: _Line, now_ns: int, *, urgent: bool) -> None:
        clock = self._clock
        readings = tuple(target.reading(now_ns) for target in line.targets)
        first_miss_ns = line.first_miss_ns()
        vote = Vote(
            line_id=line.line_id,
            vantage_id=self._vantage_id,
            state=line.state,
            reason=line.reason,
            since_unix_ns=clock.told(line.since_ns),
            first_miss_unix_ns=clock.told(first_miss_ns) if first_miss_ns else 0,
            unix_ns=clock.unix_now_ns(),
            targets=readings,
        )
        self._tell(vote, urgent=urgent)
        line.body = encode_line(
            LineReport(
                line_id=line.line_id,
                state=line.state,
                reason=line.reason,
                since_unix_ns=vote.since_unix_ns,
                unix_ns=vote.unix_ns,
                held=line.line_id in self.held,
                targets=tuple(map(self.target_report, line.targets, readings)),
            )
        )

    def target_report(self, target: Target, reading: TargetReading) -> TargetReport:
        """One target as it stands in the report."""
        return TargetReport(
            reading=reading,
            round_trips=target.track.histogram,
            sent=target.asked,
            asked_unix_ns=self._clock.told(target.asked_ns) if target.asked_ns else 0,
            interval_s=target.track.interval_s(target.standby),
        )
