"""Where each class of each gateway goes when lines fail, worked out beforehand for the whole region.

Pure. A gateway that acts alone sees its own lines and nothing else. So what others will do at that moment has to be in its plan already: when a
line fails, all gateways on it move at once, and their plans together must fit what is left. The rules:

1. A *case* is a set of a gateway's own lines that have failed. All gateways that have these lines meet it together; those that have only some
   of them do what their plans say for those.
2. A case may be all that its gateway sees of a whole risk group that has failed. It cannot tell. So the choice for a case has to hold for each
   such risk group, too, with all that move then. Only P0 and P1 do not stay away from a line for that alone: what is certain goes first.
3. P0 is placed first, then P1, P2, P3. P0 counts only P0, P1 counts P0 and P1: what they find on a line has to make room, and the centre sees
   to that. Without the centre, those who are at home there do not learn of it; then the fifth of each line that no plan gives away has to do.
   P2 and P3 come only to what nobody has, neither at home nor by a plan.
4. What the first line of an order is for a case, the second is for the case in which the first has failed as well, and so on. So an order is
   worked out line by line, and whoever goes to the second finds room there, too.

Each change of the region is worked into what stands: the gateways that it touches give back what they have, and choose anew beside all others.
So a failure far away leaves a plan as it is, to the octet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Final

import msgspec

from netmon.failover.model import Group, LineFacts
from netmon.failover.plan.model import Plan, Ranking
from netmon.failover.protection.admission import usable_bps
from netmon.failover.protection.choice import Chooser
from netmon.failover.protection.posture import URGENT_MAX
from netmon.failover.settings import GatewaySettings

ALL_CASES_LINES_MAX: Final = 5
"""A gateway with more lines has a plan for each one and each two of them alone: of six lines there are 62 cases, of ten 1,022."""
PAIRS_LINES_MAX: Final = 16
"""With more lines than this, each one alone: a plan has to fit into a message."""
REMOVES_MAX: Final = 8
"""A change is followed over so many gateways that make room for each other, and no further: it comes to an end in any case."""
NOWHERE: Final = -1

_TIERS: Final = 3
"""What is counted apart: P0; P0 and P1; all."""

_Load = dict[int, list[int]]
"""Line to what comes to it, in bit/s, for each tier."""


@cache
def cases(count: int) -> tuple[int, ...]:
    """The cases of a gateway with so many lines, as bits: the smaller ones first. That all have failed is none: there is nothing to choose."""
    largest = count - 1 if count <= ALL_CASES_LINES_MAX else 2 if count <= PAIRS_LINES_MAX else 1
    return tuple(
        sum(1 << line for line in lines) for size in range(1, largest + 1) for lines in combinations(range(count), size)
    )


class _Member:
    """One group at its gateway. Lines are places in `_Gateway.lines`.

    Attributes:
        keys: Protection line to its rank, but for what it shares with what has failed.
        tier: What it reckons with on a line.
        cases: Number of lines to the cases of so many that its working line is among. In all others it stays where it is.
        first: Case to the line that it goes to, or NOWHERE.
    """

    __slots__ = ("bandwidth", "cases", "first", "group", "keys", "tier", "working")

    def __init__(self, group: Group, working: int, keys: Mapping[int, tuple[int, ...]], cases: Iterable[int]) -> None:
        self.group = group
        self.working = working
        self.keys = keys
        self.bandwidth = group.bandwidth_bps
        self.tier = _tier(group)
        self.cases: dict[int, list[int]] = {}
        for case in cases:
            if case >> working & 1:
                self.cases.setdefault(case.bit_count(), []).append(case)
        self.first: dict[int, int] = {}


class _Gateway:
    """One gateway.

    Attributes:
        lines: Its lines, as numbers of the region's, sorted by ID.
        numbers: Case, as of `cases`, to its lines as numbers of the region's.
        pools: Case of several lines to what those who have all of them do in it, less what they do when each one fails alone.
        risks: Case to what happens when a risk group fails of which the case is all that the gateway sees.
    """

    __slots__ = ("lines", "members", "numbers", "pools", "risks")

    def __init__(self, lines: Sequence[int]) -> None:
        self.lines = lines
        self.numbers = {case: _numbers(lines, case) for case in cases(len(lines))}
        self.members: list[_Member] = []
        self.pools: dict[int, _Load] = {}
        self.risks: dict[int, list[_Load]] = {}


class Plans:
    """The plans of all gateways of a region, kept up with what is seen of it."""

    def __init__(self, lines: Iterable[LineFacts], groups: Iterable[Group]) -> None:
        """All gateways are still to be worked out.

        Args:
            lines: Of the region.
            groups: Of the region; their lines are among `lines`.
        """
        facts = sorted(lines, key=lambda line: line.line_id)
        self._chooser = Chooser(facts)
        self._ids = [line.line_id for line in facts]
        self._numbers = {line_id: number for number, line_id in enumerate(self._ids)}
        self._masks = [self._chooser.risks.masks[line_id] for line_id in self._ids]
        self._risks = [line.risk_group_ids for line in facts]
        self._usable = [usable_bps(line.capacity_bps) for line in facts]
        """0: there is room for all that could ever come."""
        self._home = [[0] * _TIERS for _ in facts]
        self._single: list[_Load] = [{} for _ in facts]
        """Of each line: who goes where when it fails."""
        self._away: _Load = {}
        """Who went where for lines that have failed already."""
        self._failed: frozenset[int] = frozenset()
        self._failing: frozenset[str] = frozenset()
        self._failing_mask = 0
        self._locked: frozenset[tuple[str, str]] = frozenset()
        self._gateways: dict[str, _Gateway] = {}
        self._gateway_of: dict[str, str] = {}
        self._of_line: list[list[str]] = [[] for _ in facts]
        """Of each line: gateways that may use it."""
        self._of_risk: dict[str, list[int]] = {}
        for number, line in enumerate(facts):
            for risk in line.risk_group_ids:
                self._of_risk.setdefault(risk, []).append(number)
        self._enter(sorted(groups, key=lambda group: group.id))
        self._share()
        self._due = dict.fromkeys(self._gateways, 0)
        """Gateways to be worked out, and at how many removes from what has changed."""
        self._altered: set[str] = set()
        """Gateways whose orders may be different though nothing is chosen anew."""

    def see(
        self, *, failed: Collection[str] = (), failing: Collection[str] = (), locked: Collection[tuple[str, str]] = ()
    ) -> None:
        """Takes how the region is; `advance` works it in.

        Args:
            failed: IDs of all lines that are SF.
            failing: Risk groups that are suspected, as `choice.Risks` has them.
            locked: Group ID and line ID of each line that an operator has locked out for a group. That a whole group is locked out is nothing
                that a plan needs to say: the gateway is told not to move it, and what it will need one day stays kept for it.
        """
        now_failed = frozenset(self._numbers[line_id] for line_id in failed if line_id in self._numbers)
        for number in sorted(now_failed ^ self._failed):
            for line, load in self._single[number].items():
                _add(self._away, line, load, 1 if number in now_failed else -1)
                self._touch(self._of_line[line])
        self._failed = now_failed
        now_failing = frozenset(failing)
        for risk in sorted(now_failing ^ self._failing):
            for number in self._of_risk.get(risk, ()):
                self._touch(self._of_line[number])
        self._failing, self._failing_mask = now_failing, self._chooser.risks.mask(now_failing)
        now_locked = frozenset(locked)
        changed = {
            self._gateway_of[group_id] for group_id, _ in now_locked ^ self._locked if group_id in self._gateway_of
        }
        self._locked = now_locked
        self._altered |= changed
        self._touch(sorted(changed))

    @property
    def pending(self) -> int:
        """Gateways that `advance` has still to work out."""
        return len(self._due)

    def advance(self, gateways_max: int | None = None) -> list[str]:
        """Works out gateways that changes have touched.

        Args:
            gateways_max: At most so many, so that others have their turn in between; None: all. At the start, all together is fairer: P0 of all
                gateways goes before P3 of any. What comes of it may touch more of them: until none is `pending`, it is not done.

        Returns:
            IDs of those whose rankings may be different now, sorted.
        """
        chosen = sorted(list(self._due)[:gateways_max])
        gateways = [self._gateways[gateway_id] for gateway_id in chosen]
        before = [[member.first for member in gateway.members] for gateway in gateways]
        remove = 1 + max((self._due.pop(gateway_id) for gateway_id in chosen), default=0)
        for gateway in gateways:
            self._release(gateway)
        self._place(gateways)
        changed = self._altered.intersection(chosen)
        self._altered -= changed
        for gateway_id, gateway, firsts in zip(chosen, gateways, before, strict=True):
            if firsts != [member.first for member in gateway.members] or len(gateway.lines) > ALL_CASES_LINES_MAX:
                changed.add(gateway_id)
                self._pass_on(gateway, firsts, remove)
        return sorted(changed)

    def rankings(self, gateway_id: str) -> dict[str, tuple[Ranking, ...]]:
        """Group ID to its rankings, the smaller cases first; the gateway has been worked out.

        The very first is that in which nothing has failed: for what has to make room, or may come back.

        Raises:
            KeyError: It has no groups.
        """
        gateway = self._gateways[gateway_id]
        names = [(case, tuple(self._ids[line] for line in numbers)) for case, numbers in gateway.numbers.items()]
        names.insert(0, (0, ()))
        lines = [self._ids[line] for line in gateway.lines]
        known: dict[tuple[int, tuple[int, ...]], Ranking] = {}

        def ranking(case: int, failed: tuple[str, ...], order: tuple[int, ...]) -> Ranking:
            # Classes of one gateway mostly go the same ways: in a large region that is most of the memory.
            if (case, order) not in known:
                known[case, order] = Ranking(failed=failed, order=tuple(lines[line] for line in order))
            return known[case, order]

        return {
            member.group.id: tuple(
                ranking(case, failed, tuple(self._order(gateway, member, case))) for case, failed in names
            )
            for member in gateway.members
        }

    # -- what does not change

    def _enter(self, groups: Sequence[Group]) -> None:
        """Makes the gateways with their members."""
        by_gateway: dict[str, list[Group]] = {}
        asked = [0] * len(self._ids)
        for group in groups:
            by_gateway.setdefault(group.gateway_id, []).append(group)
            self._gateway_of[group.id] = group.gateway_id
            home = self._home[self._numbers[group.working]]
            for tier in range(_tier(group), _TIERS):
                home[tier] += group.bandwidth_bps
            for line_id in {group.working, *group.protections}:
                asked[self._numbers[line_id]] += group.bandwidth_bps or 1
        self._usable = [0 if most <= usable else usable for most, usable in zip(asked, self._usable, strict=True)]
        for gateway_id, members in by_gateway.items():
            numbers = sorted({self._numbers[line] for group in members for line in (group.working, *group.protections)})
            places = {self._ids[number]: place for place, number in enumerate(numbers)}
            gateway = self._gateways[gateway_id] = _Gateway(numbers)
            for number in numbers:
                self._of_line[number].append(gateway_id)
            for group in members:
                ranked = enumerate(line_id for line_id in group.protections if line_id != group.working)
                keys = {places[line_id]: (*self._chooser.fixed(group, line_id), order) for order, line_id in ranked}
                gateway.members.append(_Member(group, places[group.working], keys, gateway.numbers))

    def _share(self) -> None:
        """Gives gateways that meet a case together, or as part of the same risk group, the same loads."""
        pools: dict[tuple[int, ...], _Load] = {}
        risks: dict[str, _Load] = {risk: {} for risk, numbers in self._of_risk.items() if len(numbers) > 1}
        for gateway in self._gateways.values():
            for case, numbers in gateway.numbers.items():
                if len(numbers) > 1:
                    gateway.pools[case] = pools.setdefault(numbers, {})
            seen: dict[str, int] = {}
            for place, number in enumerate(gateway.lines):
                for risk in self._risks[number]:
                    seen[risk] = seen.get(risk, 0) | 1 << place
            for risk, case in seen.items():
                if risk in risks:
                    gateway.risks.setdefault(case, []).append(risks[risk])

    # -- what changes

    def _touch(self, gateway_ids: Iterable[str], remove: int = 0) -> None:
        for gateway_id in gateway_ids:
            self._due[gateway_id] = min(remove, self._due.get(gateway_id, remove))

    def _pass_on(self, gateway: _Gateway, before: Sequence[Mapping[int, int]], remove: int) -> None:
        """Has all choose anew that may use a line to which P0 or P1 came, or which they left: those have not asked what others have there."""
        if remove > REMOVES_MAX:
            return
        for member, firsts in zip(gateway.members, before, strict=True):
            if member.group.priority > URGENT_MAX or not member.bandwidth or not firsts:
                continue
            for case, line in member.first.items():
                for place in {line, firsts[case]} - {NOWHERE} if line != firsts[case] else ():
                    if self._usable[gateway.lines[place]]:
                        self._touch(self._of_line[gateway.lines[place]], remove)

    def _release(self, gateway: _Gateway) -> None:
        for member in gateway.members:
            for case, line in member.first.items():
                if line != NOWHERE:
                    self._count(gateway, member, case, line, -1)
            member.first = {}

    def _place(self, gateways: Sequence[_Gateway]) -> None:
        """Chooses for all cases of these: P0 and P1 first, and cases of one line first, since those of several build upon them."""
        members = [
            (member.group.priority, member.group.id, member, gateway)
            for gateway in gateways
            for member in gateway.members
        ]
        members.sort(key=lambda each: each[:2])
        size_max = max((size for *_, member, _ in members for size in member.cases), default=0)
        urgent = [each for each in members if each[0] <= URGENT_MAX]
        for part in (urgent, members[len(urgent) :]):
            for size in range(1, size_max + 1):
                for _, _, member, gateway in part:
                    for case in member.cases.get(size, ()):
                        line = self._choose(gateway, member, case)
                        member.first[case] = line
                        if line != NOWHERE:
                            self._count(gateway, member, case, line, 1)

    def _choose(self, gateway: _Gateway, member: _Member, case: int) -> int:
        """The line for one case, or NOWHERE."""
        ranked = self._ranked(gateway, member, case)
        # Strict for P0: while one that shares nothing has room, no other is looked at.
        apart = sum(not shared for shared, _ in ranked) if member.group.priority == 0 else 0
        for part in (ranked[:apart], ranked[apart:]):
            fitting = [line for _, line in part if self._fits(gateway, member, case, line)]
            safe = (line for line in fitting if self._fits_risks(gateway, member, case, line))
            chosen = next(safe, fitting[0] if fitting and member.group.priority <= URGENT_MAX else NOWHERE)
            if chosen != NOWHERE:
                return chosen
        return NOWHERE

    def _ranked(self, gateway: _Gateway, member: _Member, case: int) -> list[tuple[int, int]]:
        """Protection lines that are left, the best first: how many risks each shares, and which it is."""
        suspected = self._failing_mask
        for number in gateway.numbers.get(case) or _numbers(gateway.lines, case):
            suspected |= self._masks[number]
        left = [
            ((self._masks[gateway.lines[line]] & suspected).bit_count(), key, line)
            for line, key in member.keys.items()
            if not case >> line & 1 and not self._is_locked(gateway, member, line)
        ]
        left.sort()
        return [(shared, line) for shared, _, line in left]

    def _is_locked(self, gateway: _Gateway, member: _Member, line: int) -> bool:
        return bool(self._locked) and (member.group.id, self._ids[gateway.lines[line]]) in self._locked

    def _fits(self, gateway: _Gateway, member: _Member, case: int, line: int) -> bool:
        """Whether the line has room when exactly the case happens, beside what has happened already."""
        number, tier = gateway.lines[line], member.tier
        usable = self._usable[number]
        if not usable:
            return True
        loads = [self._single[own] for own in gateway.numbers[case] if own not in self._failed]
        loads.append(self._away)
        if case in gateway.pools:
            loads.append(gateway.pools[case])
        taken = self._home[number][tier] + sum(load[number][tier] for load in loads if number in load)
        return _has_room(member, taken, usable)

    def _fits_risks(self, gateway: _Gateway, member: _Member, case: int, line: int) -> bool:
        """Whether it also has room if the case is all that the gateway sees of a risk group."""
        number, tier = gateway.lines[line], member.tier
        usable = self._usable[number]
        if not usable:
            return True
        home = self._home[number][tier]
        return all(
            _has_room(member, home + (load[number][tier] if number in load else 0), usable)
            for load in gateway.risks.get(case, ())
        )

    def _count(self, gateway: _Gateway, member: _Member, case: int, line: int, sign: int) -> None:
        """Enters what a choice takes wherever somebody else has to reckon with it, or strikes it out."""
        number = gateway.lines[line]
        if not member.bandwidth or not self._usable[number]:
            return
        load = [member.bandwidth if tier >= member.tier else 0 for tier in range(_TIERS)]
        if case in gateway.pools:
            _add(gateway.pools[case], number, load, sign)
        else:
            (own,) = gateway.numbers[case]
            _add(self._single[own], number, load, sign)
            if own in self._failed:
                _add(self._away, number, load, sign)
            # In a larger case it chooses again: what its line would bring there by itself does not come from it.
            for larger, pool in gateway.pools.items():
                if larger & case and not larger >> line & 1:
                    _add(pool, number, load, -sign)
        for risk in gateway.risks.get(case, ()):
            _add(risk, number, load, sign)

    def _order(self, gateway: _Gateway, member: _Member, case: int) -> list[int]:
        """The whole order of a case: its first line, then that of the case in which this one has failed, too, and so on."""
        order = []
        if not case >> member.working & 1:
            case |= 1 << member.working
            if not self._is_locked(gateway, member, member.working):
                order.append(member.working)
        while (line := member.first.get(case, NOWHERE)) != NOWHERE:
            order.append(line)
            case |= 1 << line
        if case not in member.first and member.group.priority <= URGENT_MAX:
            # More have failed than there is a plan for: whatever is left, if it matters so much.
            order += [line for _, line in self._ranked(gateway, member, case)]
        return order


def plan_of(
    gateway: GatewaySettings,
    rankings: Mapping[str, tuple[Ranking, ...]],
    former: Plan | None,
    *,
    fence: int,
    now_unix_ns: int,
    centre_lost_s: float = 30.0,
) -> Plan:
    """What the gateway is told.

    Args:
        gateway: With its lines, and its groups without rankings.
        rankings: Of `Plans.rankings`.
        former: What it was told last; None: nothing is known of that, and the greater fence makes this the newer one.
        fence: Of the leader that tells it.
        now_unix_ns: Now.
        centre_lost_s: As of Plan.

    Returns:
        The former plan itself, if it says the same; else one of the next version.
    """
    groups = tuple(
        msgspec.structs.replace(group, rankings=rankings.get(group.group_id, ())) for group in gateway.groups
    )
    plan = Plan(
        gateway_id=gateway.gateway_id,
        version=1 if former is None else former.version + 1,
        fence=fence,
        made_unix_ns=now_unix_ns,
        groups=groups,
        lines=gateway.lines,
        centre_lost_s=centre_lost_s,
    )
    if former is None:
        return plan
    same = msgspec.structs.replace(plan, version=former.version, fence=former.fence, made_unix_ns=former.made_unix_ns)
    return former if same == former else plan


def _numbers(lines: Sequence[int], case: int) -> tuple[int, ...]:
    return tuple(number for place, number in enumerate(lines) if case >> place & 1)


def _tier(group: Group) -> int:
    return min(group.priority, _TIERS - 1)


def _add(loads: _Load, line: int, load: Sequence[int], sign: int) -> None:
    known = loads.get(line)
    if known is None:
        known = loads[line] = [0] * _TIERS
    for tier, rate in enumerate(load):
        known[tier] += sign * rate


def _has_room(member: _Member, taken: int, usable: int) -> bool:
    """As `Loads.fits`."""
    if member.bandwidth:
        return taken + member.bandwidth <= usable
    return member.group.priority <= URGENT_MAX or taken < usable
