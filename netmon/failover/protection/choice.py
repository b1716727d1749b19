"""Where a group may go: its lines in the order of what they share with what has failed, of their delay, and of their cost.

Pure. What fails is known from lines that are SF: a *risk group* (RFC 4202) of such a line is suspected, until its other lines are shown to be good
after that. A line never shows itself innocent: of two cables in one duct, the one that was cut a moment later answered a moment ago, too. So
what a candidate shares with the group's own failed lines always counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from netmon.alarms.posture.model import Posture
from netmon.failover.model import Candidate, Group, LineFacts, LineSight
from netmon.failover.protection.posture import EFFECTS
from netmon.failover.region.explain import Refusal
from netmon.inventory.model import Medium

CHANCE_SHARE: Final = 0.1
"""Failed lines of a risk group that are no more than this share of those that are known to be good or not have failed by chance: it is
an exchange with hundreds of lines, and the others are shown to be good."""
TYPICAL_RTT_MS: Final[Mapping[Medium, float]] = {
    "fibre": 10.0, "copper": 20.0, "radio": 20.0, "5g": 40.0, "leo": 60.0, "geo": 600.0,
}  # fmt: skip
"""Round trip of a line of which none was measured."""
RTT_BANDS_MS: Final = (30.0, 120.0, 400.0)
"""Where a class of round trips ends: wired, 5G and LEO, loaded ones, and beyond them GEO. Wide, so that a line is not better for a moment."""
TOO_SLOW: Final = 1
"""Place in `Candidate.rank` of whether its delay is beyond what the class can use."""

_UNKNOWN: Final = LineSight(line_id="")


def has_failed(sight: LineSight, *, both_ways: bool) -> bool:
    """Whether a line is SF: down, or one-way for what needs both ways."""
    return sight.state == "down" or (sight.one_way and both_ways)


class Risks:
    """What fails in the region, kept up with what is seen of its lines."""

    def __init__(self, facts: Iterable[LineFacts]) -> None:
        """Nothing has been seen."""
        self._risks = {line.line_id: line.risk_group_ids for line in facts}
        members: dict[str, list[str]] = {}
        for line_id, risks in self._risks.items():
            for risk in risks:
                members.setdefault(risk, []).append(line_id)
        self._members = members
        self._names = sorted(members)
        self._bits = {risk: 1 << place for place, risk in enumerate(self._names)}
        self.masks = {line_id: self.mask(risks) for line_id, risks in self._risks.items()}
        """Line ID to its risk groups, a bit for each."""
        self._sights: dict[str, LineSight] = {}
        self._waits: dict[str, frozenset[str]] = {}
        self._stale: set[str] = set()
        self._failing: dict[str, None] = {}
        self._failing_mask = 0

    def see(self, sight: LineSight) -> None:
        """Takes how a line is; of one that is not in the region: nothing happens."""
        risks = self._risks.get(sight.line_id)
        if not risks:
            return
        before = self._sights.get(sight.line_id, _UNKNOWN)
        self._sights[sight.line_id] = sight
        # A new judge may know an older proof than the one before.
        if _standing(before) != _standing(sight) or sight.good_unix_ns < before.good_unix_ns:
            self._stale.update(risks)
        elif self._waits and sight.good_unix_ns > before.good_unix_ns:
            self._stale.update(risk for risk in risks if sight.line_id in self._waits.get(risk, ()))

    @property
    def failing(self) -> frozenset[str]:
        """Risk groups that are suspected now."""
        self._judge()
        return frozenset(self._failing)

    @property
    def settled(self) -> frozenset[str]:
        """Those of them of which no sign of life is waited for any more: what is told far and wide is not told twice within a second."""
        self._judge()
        return frozenset(self._failing.keys() - self._waits.keys())

    @property
    def failing_mask(self) -> int:
        """All that are suspected, a bit for each."""
        if self._stale:
            self._judge()
        return self._failing_mask

    def mask(self, risks: Iterable[str]) -> int:
        """A bit for each of these risk groups; those that no line has are left out."""
        return sum(self._bits.get(risk, 0) for risk in set(risks))

    def names(self, mask: int) -> tuple[str, ...]:
        """The risk groups of a mask, sorted."""
        found = []
        while mask:
            lowest = mask & -mask
            found.append(self._names[lowest.bit_length() - 1])
            mask ^= lowest
        return tuple(found)

    def _judge(self) -> None:
        for risk in self._stale:
            suspected, waits = self._judged(risk)
            if waits:
                self._waits[risk] = waits
            else:
                self._waits.pop(risk, None)
            if suspected:
                self._failing[risk] = None
            else:
                self._failing.pop(risk, None)
        self._stale.clear()
        self._failing_mask = self.mask(self._failing)

    def _judged(self, risk: str) -> tuple[bool, frozenset[str]]:
        """Whether it is suspected, and the lines of which a sign of life would tell more."""
        sights = [self._sights[line_id] for line_id in self._members[risk] if line_id in self._sights]
        failed = [sight for sight in sights if has_failed(sight, both_ways=True)]
        if not failed:
            return False, frozenset()
        newest_ns = max(sight.since_unix_ns for sight in failed)
        others = [sight for sight in sights if sight.state in _GOOD and not sight.one_way]
        waits = frozenset(sight.line_id for sight in others if sight.good_unix_ns <= newest_ns)
        if waits or not others:
            return True, waits
        by_chance = len(failed) == 1 or len(failed) <= CHANCE_SHARE * (len(failed) + len(others))
        return not by_chance, waits


_GOOD: Final = frozenset({"up", "degraded"})


def _standing(sight: LineSight) -> tuple[bool, bool, int]:
    """What decides which risk groups have to be judged anew: a new failure, a line that is good again, or of which nothing is known any more."""
    failed = has_failed(sight, both_ways=True)
    return failed, sight.state in _GOOD, sight.since_unix_ns if failed else 0


def failing_risks(facts: Iterable[LineFacts], sights: Iterable[LineSight]) -> frozenset[str]:
    """Risk groups that are suspected, all at once: what `Risks` comes to, however it got there."""
    risks = Risks(facts)
    for sight in sights:
        risks.see(sight)
    return risks.failing


def _anywhere(_: str) -> bool:
    return True


class _Line(NamedTuple):
    """What does not change of a line, as ranking needs it."""

    mask: int
    carrier_id: str
    cost_tier: int
    rtt_ms: float
    proven_ns: float
    capacity_bps: int


class _Asked(NamedTuple):
    """What a group wants to know of each of its lines."""

    both_ways: bool
    now_ns: int
    proven_ns: float
    avoid: Collection[str]
    locked: Collection[str]
    small_bps: int
    """It does not come to a line with less."""


def _asked(group: Group, now_ns: int, avoid: Collection[str], locked: Collection[str], posture: Posture) -> _Asked:
    effects = EFFECTS[posture]
    small_bps = effects.small_line_bps if group.priority > effects.small_line_priority_max else 0
    return _Asked(group.both_ways, now_ns, group.timers.proven_s * 1e9, avoid, locked, small_bps)


class Chooser:
    """Ranks lines for the groups of a region.

    Attributes:
        risks: What fails; `see` it with what is known of lines for the whole region.
    """

    def __init__(self, facts: Iterable[LineFacts]) -> None:
        """Nothing has been seen."""
        lines = list(facts)
        self.risks = Risks(lines)
        self._lines = {
            line.line_id: _Line(
                self.risks.masks[line.line_id],
                line.carrier_id,
                line.cost_tier,
                TYPICAL_RTT_MS[line.medium],
                line.proven_s * 1e9,
                line.capacity_bps,
            )
            for line in lines
        }

    def rank(
        self,
        group: Group,
        sights: Mapping[str, LineSight],
        now_ns: int,
        *,
        avoid: Collection[str] = (),
        locked: Collection[str] = (),
        posture: Posture = "normal",
        escape: bool = True,
        has_room: Callable[[str], bool] = _anywhere,
    ) -> list[Candidate]:
        """Protection lines that may be used now, the best first (lines of one rank: `Loads.order` asks for more); may be empty.

        Those that are up. For an escape, when none is, those that are degraded: a line that loses every tenth packet is better than none.
        For P0, when any of them shares no risk with what has failed, only such ones. What was tried in vain or has no room counts for neither,
        so that the others come up.

        Args:
            group: With its lines.
            sights: How lines are for this group; one that is missing is unknown.
            now_ns: Since 1970 UTC.
            avoid: Lines that were tried in vain in this round.
            locked: Lines that an operator has locked out.
            posture: Of the group's area.
            escape: It has to leave where it is, and does not merely look for something better.
            has_room: Whether a line has room for it.
        """
        asked = _asked(group, now_ns, avoid, locked, posture)
        suspected = self.suspected(group, sights)
        good: list[tuple[tuple[int, ...], int, str]] = []
        degraded: list[tuple[tuple[int, ...], int, str]] = []
        for place, line_id in enumerate(group.protections):
            sight = sights.get(line_id, _UNKNOWN)
            word = self._word(asked, line_id, sight)
            if (word and not (escape and word == "degraded")) or not has_room(line_id):
                continue
            shared = (self._lines[line_id].mask & suspected).bit_count()
            rank = (shared, *self.fixed(group, line_id, sight.rtt_s))
            (degraded if word else good).append((rank, place, line_id))
        found = good or degraded
        found.sort()
        if group.priority == 0 and found and not found[0][0][0]:
            found = [each for each in found if not each[0][0]]
        return [Candidate(line_id, rank) for rank, _, line_id in found]

    def refusal(
        self,
        group: Group,
        line_id: str,
        sights: Mapping[str, LineSight],
        now_ns: int,
        *,
        avoid: Collection[str] = (),
        locked: Collection[str] = (),
        posture: Posture = "normal",
        escape: bool = True,
        has_room: Callable[[str], bool] = _anywhere,
    ) -> Refusal:
        """Why a line of the group is not in `rank` of the same arguments; empty: it is."""
        if line_id == group.working:
            return "working"
        word = self._word(_asked(group, now_ns, avoid, locked, posture), line_id, sights.get(line_id, _UNKNOWN))
        if word and word != "degraded":
            return word
        if not has_room(line_id):
            return "no_room"
        ranked = self.rank(
            group,
            sights,
            now_ns,
            avoid=avoid,
            locked=locked,
            posture=posture,
            escape=escape,
            has_room=has_room,
        )
        if any(candidate.line_id == line_id for candidate in ranked):
            return ""
        return word or "shared_risk"

    def suspected(self, group: Group, sights: Mapping[str, LineSight]) -> int:
        """Mask of what a line of the group had better not share: what fails in the region, and all risks of its own lines that are SF."""
        mask = self.risks.failing_mask
        for line_id in (group.working, *group.protections):
            sight = sights.get(line_id, _UNKNOWN)
            if sight.state == "down" or (sight.one_way and group.both_ways):
                mask |= self._lines[line_id].mask
        return mask

    def shared(self, group: Group, line_id: str, sights: Mapping[str, LineSight]) -> tuple[str, ...]:
        """Risk groups that the line shares with what has failed, sorted."""
        return self.risks.names(self._lines[line_id].mask & self.suspected(group, sights))

    def _word(self, asked: _Asked, line_id: str, sight: LineSight) -> Refusal:
        """Why the line by itself may not be used, the greatest reason first; `degraded` may be, as a last resort."""
        line = self._lines[line_id]
        if line_id in asked.locked:
            return "locked_out"
        if sight.state == "down":
            return "down"
        if sight.one_way and asked.both_ways:
            return "one_way"
        if sight.state == "unknown":
            return "unknown"
        # What is to come by our clock is as old as it is far ahead: a clock that is wrong proves nothing for ever.
        if abs(asked.now_ns - sight.good_unix_ns) > max(line.proven_ns, asked.proven_ns):
            return "unproven"
        if line_id in asked.avoid:
            return "tried"
        if 0 < line.capacity_bps < asked.small_bps:
            return "small_line"
        return "degraded" if sight.state == "degraded" else ""

    def fixed(self, group: Group, line_id: str, rtt_s: float | None = None) -> tuple[int, int, int, int]:
        """The rank of a line of the group, but for the risks: too slow, same carrier, cost tier, class of delay.

        Args:
            group: With its lines.
            line_id: One of them.
            rtt_s: Its round trip; None: what is typical of its medium. Half of it is the delay.
        """
        line = self._lines[line_id]
        rtt_ms = line.rtt_ms if rtt_s is None else rtt_s * 1e3
        is_too_slow = group.delay_ms_max is not None and rtt_ms / 2 > group.delay_ms_max
        is_same_carrier = bool(line.carrier_id) and line.carrier_id == self._lines[group.working].carrier_id
        return int(is_too_slow), int(is_same_carrier), line.cost_tier, bisect_left(RTT_BANDS_MS, rtt_ms)
