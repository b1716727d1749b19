"""The state of all lines in memory: votes, signs of life and evidence go in, changes and statuses to be written come out.

Pure. Times that end in `mono_ns` are of this process' monotonic clock, those in `unix_ns` of its wall clock. A vantage is aged by when its
`beat` last grew, as seen here: what its own clock says is compared with nothing but itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from netmon.active_probe.model import (
    LINE_STATES,
    LineChange,
    LineMonth,
    LineState,
    LineStatus,
    Reason,
    VantageChange,
    VantageHealth,
    Vote,
)
from netmon.active_probe.settings import VerdictSettings
from netmon.active_probe.verdict.accounts import Accounts, minute_of
from netmon.active_probe.verdict.quorum import Presence, Verdict, judge_line
from netmon.active_probe.verdict.seen import TEXT_MAX, UNIX_NS_MAX, SeenLine, SeenVantage, gist, is_sane

VOTE_AGE_MAX_S: Final = 30.0
"""A vote that has not been told again for so long, by a vantage that lives, is nobody's any more: its probe is stuck, or gone."""
PATIENCE_NS: Final = 1_000_000_000
"""How long votes may come behind the first sign of life."""
NO_DATA_NS: Final = 10_000_000_000
"""How long a vantage that lives may have nothing to say of a line, before it is unknown for that: it has just begun."""

_S_NS: Final = 1_000_000_000
_PASSING: Final[tuple[Reason, ...]] = ("no_data", "no_vantage")
"""Why a line may be unknown for a moment only: its vantage begins, or has stopped and may begin again."""

Told = tuple[Literal["line", "vantage"], LineChange | VantageChange]
"""An entry of the stream: the name of its field, and its value."""


class Judge:
    """All lines of a region.

    Attributes:
        accounts: Of the months.
        foreign: Votes and heartbeats of whom or what the region does not know, or that nobody can have meant.
        changes: State to how often a line has come to it.
    """

    def __init__(
        self,
        settings: VerdictSettings,
        stored: Iterable[LineStatus],
        said: Mapping[str, VantageChange],
        months: Iterable[LineMonth],
        *,
        mono_ns: int,
        unix_ns: int,
    ) -> None:
        """Begins where another one ended. What it said stands until every vantage of a line has spoken, or is silent for too long.

        Args:
            settings: Of the process.
            stored: The lines as they were last written.
            said: What was last told of each vantage.
            months: Accounts of this month and the one before.
            mono_ns: Now.
            unix_ns: Now.
        """
        self.accounts = Accounts(months)
        self.foreign = 0
        self.changes: dict[str, int] = dict.fromkeys(LINE_STATES, 0)
        self._settings = settings
        known = {status.line_id: status for status in stored}
        self._lines = {line.line_id: SeenLine(line, known.get(line.line_id), unix_ns) for line in settings.lines}
        names = {name for line in settings.lines for name in line.vantage_ids}
        # One that was silent is so until it speaks; how the others are has to be seen.
        self._vantages = {name: SeenVantage(_silent(said.get(name)), mono_ns) for name in sorted(names)}
        for name, vantage in self._vantages.items():
            vantage.said = said[name].after if name in said else ""
            vantage.lines = [line for line in self._lines.values() if name in line.vantage_ids]
        self._waiting = set(self._lines)
        """Lines whose vantages have not all spoken yet."""
        self._began_mono_ns = mono_ns
        self._new = self._lines.keys() - known.keys()
        """Lines of which nothing has been told yet."""
        self._passing: set[str] = set()
        """Lines that may be about to be unknown."""
        self._evident: set[str] = set()
        """Lines over which something has arrived lately."""
        self._not_up = {line.id for line in self._lines.values() if line.verdict.state != "up"}
        self._dirty: dict[str, None] = dict.fromkeys(self._lines)
        self._told: list[Told] = []
        self._touched: dict[str, None] = dict.fromkeys(self._new)
        self._gone = sorted(known.keys() - self._lines.keys())
        self._round: list[str] = []
        for line_id in self._gone:
            self._tell_gone(known[line_id], unix_ns)
        for line_id in sorted(self._not_up & known.keys()):
            self._tell_line(self._lines[line_id], known[line_id].state, unix_ns, restated=True)
        self._restate_vantages(unix_ns)

    # -- what comes in

    def vote(self, vote: Vote, mono_ns: int) -> None:
        """Takes what a vantage says of a line."""
        line = self._lines.get(vote.line_id)
        if line is None or vote.vantage_id not in line.vantage_ids or not is_sane(vote):
            self.foreign += 1
            return
        before = line.votes.get(vote.vantage_id)
        line.votes[vote.vantage_id] = vote
        line.voted[vote.vantage_id] = mono_ns
        if before is None or gist(before) != gist(vote):
            self._dirty[line.id] = None

    def recall(self, vote: Vote, mono_ns: int) -> None:
        """Takes a vote that was said at some time, unless its vantage has said something later: Redis may have an older copy."""
        line = self._lines.get(vote.line_id)
        known = None if line is None else line.votes.get(vote.vantage_id)
        if known is None or known.unix_ns < vote.unix_ns:
            self.vote(vote, mono_ns)

    def health(self, health: VantageHealth, mono_ns: int, unix_ns: int) -> None:
        """Takes a vantage's sign of life."""
        vantage = self._vantages.get(health.vantage_id)
        if vantage is None or len(health.reason) > TEXT_MAX:
            self.foreign += 1
            return
        if not vantage.is_new(health):
            return
        vantage.health = health
        vantage.seen_mono_ns = mono_ns
        vantage.stopped = health.reason == "stopped"
        self._find(health.vantage_id, vantage, "stale" if vantage.stopped else health.state, health.reason, unix_ns)

    def remember(self, health: VantageHealth, mono_ns: int, unix_ns: int) -> None:
        """Takes what a vantage said at some time. Of one that we have not heard yet, it does not show that it lives."""
        vantage = self._vantages.get(health.vantage_id)
        if vantage is None or vantage.health is not None:
            self.health(health, mono_ns, unix_ns)
        elif len(health.reason) <= TEXT_MAX:
            vantage.health = health
            vantage.stopped = health.reason == "stopped"

    def hear(self, line_id: str, told_unix_ns: int, unix_ns: int) -> None:
        """Takes when something last arrived over a line by itself. If that is to come, by our clock, it was when we first saw it."""
        line = self._lines.get(line_id)
        if line is None or line.heard_told_ns == told_unix_ns or not 0 < told_unix_ns < UNIX_NS_MAX:
            return
        line.heard_told_ns = told_unix_ns
        line.heard_unix_ns = min(told_unix_ns, unix_ns)
        self._dirty[line_id] = None
        self._evident.add(line_id)

    def forgive(self, mono_ns: int) -> None:
        """Begins all ages anew: we, or Redis, were away, and nobody could be heard."""
        self._began_mono_ns = mono_ns
        for vantage in self._vantages.values():
            vantage.seen_mono_ns = mono_ns
        for line in self._lines.values():
            line.voted = dict.fromkeys(line.voted, mono_ns)

    # -- what follows from it

    def suspects(self) -> list[str]:
        """Lines that may be about to go down: whether something was heard over them has to be known first."""
        return [
            line_id
            for line_id in self._dirty
            if any(vote.state == "down" for vote in self._lines[line_id].votes.values())
        ]

    def not_up(self) -> list[str]:
        """Lines for which passive evidence matters."""
        return list(self._not_up)

    def age(self, mono_ns: int, unix_ns: int) -> None:
        """Finds out who has been silent for too long. Call it when everything that has come has been taken."""
        for name, vantage in self._vantages.items():
            if vantage.presence == "stale":
                continue
            if mono_ns - vantage.seen_mono_ns > vantage.silence_max_ns(self._settings.stale_heartbeats):
                self._find(name, vantage, "stale", "silent", unix_ns)
        # Evidence fades, and patience ends, without a word from anybody.
        self._dirty.update(dict.fromkeys(self._evident))
        faded_ns = unix_ns - int((self._settings.heard_s + 1) * _S_NS)
        self._evident = {line_id for line_id in self._evident if self._lines[line_id].heard_unix_ns > faded_ns}
        self._dirty.update(dict.fromkeys(self._passing))
        if self._waiting and not self._is_patient(mono_ns):
            self._dirty.update(dict.fromkeys(self._waiting))

    def judge(self, mono_ns: int, unix_ns: int) -> None:
        """Judges the lines about which something has come."""
        dirty, self._dirty = self._dirty, {}
        for line_id in dirty:
            line = self._lines[line_id]
            if line_id in self._waiting:
                if not self._has_spoken(line) and self._is_patient(mono_ns):
                    continue
                self._waiting.discard(line_id)
                self._touched[line_id] = None
            self._settle(line, mono_ns, unix_ns)

    def _restate_vantages(self, unix_ns: int) -> None:
        """Tells again how the vantages are."""
        for name, vantage in self._vantages.items():
            if vantage.said:
                reason = "" if vantage.health is None else vantage.health.reason
                self._tell_vantage(name, vantage.said, vantage.said, reason, unix_ns, restated=True)

    def _find(self, name: str, vantage: SeenVantage, presence: Presence, reason: str, unix_ns: int) -> None:
        """How a vantage is now."""
        if vantage.presence != presence:
            vantage.presence = presence
            self._dirty.update(dict.fromkeys(line.id for line in vantage.lines))
        if vantage.said != presence:
            self._tell_vantage(name, vantage.said, presence, reason, unix_ns)
            vantage.said = presence

    def _is_patient(self, mono_ns: int) -> bool:
        """Whether all vantages may still speak, and tell their votes."""
        heartbeats = self._settings.stale_heartbeats
        silence = (vantage.silence_max_ns(heartbeats) for vantage in self._vantages.values())
        return mono_ns - self._began_mono_ns <= max(silence, default=0) + PATIENCE_NS

    def _has_spoken(self, line: SeenLine) -> bool:
        """Whether all of its vantages have: they live and have voted, or do not live."""
        return all(
            self._vantages[name].presence in ("stale", "isolated")
            or (self._vantages[name].presence == "live" and name in line.votes)
            for name in line.vantage_ids
        )

    def _settle(self, line: SeenLine, mono_ns: int, unix_ns: int) -> None:
        """Judges one line, and tells what has changed."""
        found, before = self._verdict(line, unix_ns), line.verdict
        if self._may_pass(line, found, mono_ns):
            return
        if found != before:
            line.verdict = found
            self._touched[line.id] = None
            if found.state != before.state:
                self._move(line, before.state, unix_ns)
            self._tell_line(line, before.state, unix_ns)
        elif line.id in self._new:
            self._tell_line(line, before.state, unix_ns, restated=True)
        self._new.discard(line.id)

    def _verdict(self, line: SeenLine, unix_ns: int) -> Verdict:
        present: dict[str, Presence] = {}
        for name in line.vantage_ids:
            vantage = self._vantages[name]
            if vantage.presence and not vantage.stopped:
                present[name] = vantage.presence
        votes = {name: vote for name, vote in line.votes.items() if name in present}
        return judge_line(votes, present, line.heard_unix_ns, unix_ns, self._settings.heard_s)

    def _may_pass(self, line: SeenLine, found: Verdict, mono_ns: int) -> bool:
        """Whether a line is about to be unknown for a reason that may pass, as when its only vantage is started again."""
        if found.state != "unknown" or found.reason not in _PASSING or line.verdict.state == "unknown":
            self._passing.discard(line.id)
            return False
        if line.id not in self._passing:
            self._passing.add(line.id)
            line.passing_mono_ns = mono_ns
        heartbeats = self._settings.stale_heartbeats
        silence = (self._vantages[name].silence_max_ns(heartbeats) for name in line.vantage_ids)
        least_ns = NO_DATA_NS if found.reason == "no_data" else 0
        if mono_ns - line.passing_mono_ns < max(least_ns, line.fall_ns, *silence):
            return True
        self._passing.discard(line.id)
        return False

    def _move(self, line: SeenLine, before: LineState, unix_ns: int) -> None:
        """Brings the account up to a change of state, and begins the new one."""
        self._account(line, before, unix_ns)
        state = line.verdict.state
        if state == "down" and line.known != "down":
            self.accounts.failed(line.id, unix_ns)
        if state != "unknown":
            line.known = state
        line.since_unix_ns = unix_ns
        self.changes[state] += 1
        (self._not_up.discard if state == "up" else self._not_up.add)(line.id)

    def _account(self, line: SeenLine, state: LineState, unix_ns: int) -> None:
        minute = None
        if self.accounts.has_ended(line.id, unix_ns):
            minute = minute_of(state, self._live_votes(line), self._settings.loss_unavailable)
        self.accounts.advance(line.id, state, unix_ns, minute)

    def _live_votes(self, line: SeenLine) -> list[Vote]:
        return [vote for name, vote in line.votes.items() if self._vantages[name].presence == "live"]

    # -- what goes out

    def visit(self, count: int, mono_ns: int, unix_ns: int) -> None:
        """Looks at the next lines of a round over all of them: to be told anew, accounts brought up, votes that are stuck dropped."""
        for _ in range(min(count, len(self._lines))):
            if not self._round:
                self._round = list(reversed(self._lines))
            line = self._lines[self._round.pop()]
            for name in [name for name, voted in line.voted.items() if mono_ns - voted > self._vote_age_max(line)]:
                del line.voted[name], line.votes[name]
                self._dirty[line.id] = None
            if self.accounts.has_ended(line.id, unix_ns):
                self._account(line, line.verdict.state, unix_ns)
            self._touched[line.id] = None

    def account_all(self, unix_ns: int) -> None:
        """Brings all accounts up to now."""
        for line in self._lines.values():
            self._account(line, line.verdict.state, unix_ns)

    def reconcile(self, stored: Iterable[LineStatus], unix_ns: int) -> None:
        """Brings Redis up to what we know, after it was away, or has lost something: all is written, what differs is told."""
        known = {status.line_id: status for status in stored}
        self._gone = sorted(known.keys() - self._lines.keys())
        self._touched = dict.fromkeys(self._lines)
        self.accounts.touch_all()
        for line in self._lines.values():
            there = known.get(line.id)
            if line.id in self._new:
                continue
            if there is not None and there.state != line.verdict.state:
                self._tell_line(line, there.state, unix_ns)
            elif line.verdict.state != "up" or (there is not None and there.since_unix_ns != line.since_unix_ns):
                self._tell_line(line, line.verdict.state, unix_ns, restated=True)
        self._restate_vantages(unix_ns)

    def take(self, unix_ns: int) -> tuple[list[Told], list[LineStatus], list[str]]:
        """What is to be told, the statuses to be written, and the lines that are no more."""
        told, self._told = self._told, []
        touched, self._touched = self._touched, {}
        gone, self._gone = self._gone, []
        return told, [self.status(line_id, unix_ns) for line_id in touched], gone

    @property
    def is_urgent(self) -> bool:
        """Whether somebody is to be told."""
        return bool(self._told)

    def status(self, line_id: str, unix_ns: int) -> LineStatus:
        """The verdict on a line, with its evidence."""
        line = self._lines[line_id]
        present = [self._vantages[name].presence for name in line.vantage_ids]
        return LineStatus(
            line_id=line.id,
            state=line.verdict.state,
            reason=line.verdict.reason,
            since_unix_ns=line.since_unix_ns,
            unix_ns=unix_ns,
            votes=tuple(line.votes[name] for name in sorted(line.votes)),
            vantages_live=present.count("live"),
            vantages_isolated=present.count("isolated"),
            vantages_stale=present.count("stale"),
            one_way=line.verdict.one_way,
            heard_unix_ns=line.heard_unix_ns,
            availability=self.accounts.availability(line.id),
        )

    def states(self) -> dict[LineState, int]:
        """How many lines are in each state."""
        found = dict.fromkeys(LINE_STATES, 0)
        for line in self._lines.values():
            found[line.verdict.state] += 1
        return found

    def vantages(self, mono_ns: int) -> Iterator[tuple[str, Presence | Literal[""], VantageHealth | None, float]]:
        """Each vantage: its ID, how it is, what it last said, and how many seconds ago it last spoke, since we listen."""
        for name, vantage in self._vantages.items():
            yield name, vantage.presence, vantage.health, (mono_ns - vantage.seen_mono_ns) / _S_NS

    def _vote_age_max(self, line: SeenLine) -> int:
        return max(int(VOTE_AGE_MAX_S * _S_NS), 3 * line.fall_ns)

    def _tell_line(self, line: SeenLine, before: LineState, unix_ns: int, *, restated: bool = False) -> None:
        status = self.status(line.id, unix_ns)
        change = LineChange(
            line_id=line.id, before=before, after=status.state, unix_ns=unix_ns, restated=restated, status=status
        )
        self._told.append(("line", change))

    def _tell_gone(self, status: LineStatus, unix_ns: int) -> None:
        """The last word about a line that the region does not have any more, or that nobody asks."""
        after = LineStatus(
            line_id=status.line_id, state="unknown", reason="no_vantage", since_unix_ns=unix_ns, unix_ns=unix_ns
        )
        change = LineChange(line_id=status.line_id, before=status.state, after="unknown", unix_ns=unix_ns, status=after)
        self._told.append(("line", change))

    def _tell_vantage(
        self,
        name: str,
        before: Presence | Literal[""],
        after: Presence,
        reason: str,
        unix_ns: int,
        *,
        restated: bool = False,
    ) -> None:
        change = VantageChange(
            vantage_id=name, before=before, after=after, unix_ns=unix_ns, restated=restated, reason=reason
        )
        self._told.append(("vantage", change))


def _silent(said: VantageChange | None) -> Literal["stale", ""]:
    return "stale" if said is not None and said.after == "stale" else ""
