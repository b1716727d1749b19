"""What is seen of the lines of a region: the verdict, trusted traps, and what each gateway tells of its own lines, put together.

Pure. A line of a gateway's group is the worse of the verdict and what that gateway itself tells, while it tells anything. A trap that says that a
line has failed counts until a probe shows the line good later than that: evidence without a probe is never stronger than a probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from netmon.failover.model import LineSight
from netmon.failover.protection.choice import has_failed

By = Literal["nobody", "verdict", "gateway", "trap"]
TRAP: Final = "trap"
"""Reason of a sight that traps alone have made."""

_BADNESS: Final = {"unknown": 0, "up": 1, "degraded": 2, "down": 4}
_ONE_WAY: Final = 3
"""Worse than degraded, better than down."""


class _Trap(NamedTuple):
    failed: bool
    unix_ns: int


def badness(sight: LineSight) -> int:
    """How bad it is; the greater, the worse. Nobody's word is weaker than anybody's: unknown is 0."""
    return _ONE_WAY if sight.one_way and sight.state == "degraded" else _BADNESS[sight.state]


def merged(verdict: LineSight, own: LineSight) -> LineSight:
    """The worse of two looks at one line, proven when either of them proves it."""
    worse, other = (own, verdict) if badness(own) > badness(verdict) else (verdict, own)
    if other.good_unix_ns <= worse.good_unix_ns:
        return worse
    return msgspec.structs.replace(worse, good_unix_ns=other.good_unix_ns)


class Sights:
    """All lines of a region.

    Attributes:
        region: Line ID to what verdict and traps say; for what shares a risk, and for gateways that tell nothing.
        down: IDs of the lines that are down there.
        failed: The same, with those that are one-way: SF for what needs both ways.
    """

    def __init__(self, line_ids: Iterable[str], gateway_lines: Mapping[str, frozenset[str]]) -> None:
        """Nothing has been seen.

        Args:
            line_ids: Of the region; others are not taken.
            gateway_lines: Gateway ID to the lines that it may tell of.
        """
        self._verdicts = {line_id: LineSight(line_id=line_id) for line_id in line_ids}
        self.region: dict[str, LineSight] = dict(self._verdicts)
        self.down: set[str] = set()
        self.failed: set[str] = set()
        self._traps: dict[str, _Trap] = {}
        self._gateway_lines = gateway_lines
        self._own: dict[str, dict[str, LineSight]] = {}
        self._version = 0
        self._merged: dict[str, tuple[int, dict[str, LineSight]]] = {}

    def see(self, sight: LineSight) -> bool:
        """Takes the verdict on a line; tells whether the line is different now, and not merely proven anew."""
        if sight.line_id not in self._verdicts:
            return False
        self._verdicts[sight.line_id] = sight
        return self._place(sight.line_id)

    def see_trap(self, line_id: str, failed: bool, unix_ns: int) -> bool:
        """Takes what a trap says; tells whether the line is different now."""
        known = self._traps.get(line_id)
        if line_id not in self._verdicts or (known is not None and unix_ns < known.unix_ns):
            return False
        self._traps[line_id] = _Trap(failed, unix_ns)
        return self._place(line_id)

    def see_gateway(self, gateway_id: str, sights: Iterable[LineSight]) -> bool:
        """Takes what a gateway tells of its lines, all of them; tells whether one of them is different for it now."""
        mine = self._gateway_lines.get(gateway_id)
        if mine is None:
            return False
        before = self._own.get(gateway_id, {})
        now = {sight.line_id: sight for sight in sights if sight.line_id in mine}
        self._own[gateway_id] = now
        self._merged.pop(gateway_id, None)
        return before.keys() != now.keys() or any(_differs(before[line_id], sight) for line_id, sight in now.items())

    def lose_gateway(self, gateway_id: str) -> bool:
        """Forgets what a gateway told of its lines; tells whether there was anything."""
        self._merged.pop(gateway_id, None)
        return bool(self._own.pop(gateway_id, None))

    def shift(self, by_ns: int) -> None:
        """Our clock was set by so much: what was good a moment ago was so by the new one, too. Since when lines are as they are, others tell."""
        self._verdicts = {line_id: _moved(sight, by_ns) for line_id, sight in self._verdicts.items()}
        self._own = {
            gateway_id: {line_id: _moved(sight, by_ns) for line_id, sight in own.items()}
            for gateway_id, own in self._own.items()
        }
        self._traps = {line_id: _Trap(trap.failed, trap.unix_ns + by_ns) for line_id, trap in self._traps.items()}
        self._merged.clear()
        for line_id in self._verdicts:
            self._place(line_id)

    def of(self, gateway_id: str) -> Mapping[str, LineSight]:
        """How lines are for the groups of a gateway: at least all that it has. Not to be kept: it changes."""
        own = self._own.get(gateway_id)
        if not own:
            return self.region
        version, known = self._merged.get(gateway_id, (-1, {}))
        if version != self._version:
            known = {line_id: self._one(line_id, own) for line_id in self._gateway_lines[gateway_id]}
            self._merged[gateway_id] = self._version, known
        return known

    def by(self, gateway_id: str, line_id: str) -> By:
        """Whose word it is that counts for a line at a gateway."""
        counts = self.of(gateway_id)[line_id]
        if counts.reason == TRAP:
            return "trap"
        own = self._own.get(gateway_id, {}).get(line_id)
        if own is not None and badness(own) > badness(self.region[line_id]):
            return "gateway"
        return "nobody" if counts.state == "unknown" else "verdict"

    def _one(self, line_id: str, own: Mapping[str, LineSight]) -> LineSight:
        mine = own.get(line_id)
        if mine is None:
            return self.region[line_id]
        trap = self._traps.get(line_id)
        # Its own probes contradict a trap as any other probe does.
        disproved = trap is not None and mine.good_unix_ns > trap.unix_ns
        return merged(self._verdicts[line_id] if disproved else self.region[line_id], mine)

    def _place(self, line_id: str) -> bool:
        before, now = self.region[line_id], self._verdicts[line_id]
        trap = self._traps.get(line_id)
        if trap is not None and trap.failed and now.state != "down" and now.good_unix_ns <= trap.unix_ns:
            now = msgspec.structs.replace(now, state="down", one_way=False, since_unix_ns=trap.unix_ns, reason=TRAP)
        self.region[line_id] = now
        for lines, is_in in ((self.down, now.state == "down"), (self.failed, has_failed(now, both_ways=True))):
            (lines.add if is_in else lines.discard)(line_id)
        self._version += 1
        return _differs(before, now)


def _moved(sight: LineSight, by_ns: int) -> LineSight:
    return msgspec.structs.replace(sight, good_unix_ns=sight.good_unix_ns + by_ns) if sight.good_unix_ns else sight


def _differs(before: LineSight, now: LineSight) -> bool:
    return before.state != now.state or before.one_way != now.one_way
