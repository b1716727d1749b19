"""Vantages that look at simulated lines, and the verdict on what they say: the real quorum, over votes that may be blind or false."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from netmon.active_probe.model import LineState, Vote
from netmon.active_probe.verdict.quorum import Presence, judge_line
from netmon.failover.model import LineSight
from tests.sim.engine import MS, START_NS, Engine, S

VANTAGES: Final = ("north", "south", "carrier")
FALL_NS: Final = (300 * MS, 2 * S)
"""From a change for the worse to a vantage's vote."""
RISE_NS: Final = (2 * S, 5 * S)
Look = Callable[[str], LineState]
"""How a line is, for one who probes it from far."""


class _Vantage:
    def __init__(self, line_ids: list[str]) -> None:
        self.presence: Presence = "live"
        self.votes: dict[str, LineState] = dict.fromkeys(line_ids, "up")
        self.lies: dict[str, LineState] = {}
        """What it says of lines, whatever they are."""
        self.dark: frozenset[str] = frozenset()
        """Lines over which it gets no answer, because it is cut off itself."""

    def says(self, line_id: str) -> LineState:
        return "down" if line_id in self.dark else self.lies.get(line_id, self.votes[line_id])


class Judges:
    """All vantages, and the verdict process.

    Attributes:
        sights: Line ID to the verdict as it was last told; when it was last good is told by `fresh`.
    """

    def __init__(
        self, engine: Engine, line_ids: list[str], look: Look, hears: Callable[[str], bool], tell: Callable[[str], None]
    ) -> None:
        """All lines are up.

        Args:
            engine: Time.
            line_ids: Of the region.
            look: The truth, for a vantage that is not cut off.
            hears: Whether something still arrives over a line by itself.
            tell: Called with a line of which the verdict is another.
        """
        self.sights = {
            line_id: LineSight(line_id=line_id, state="up", since_unix_ns=START_NS, good_unix_ns=START_NS)
            for line_id in line_ids
        }
        self.bad_ns: dict[tuple[str, bool], int] = {}
        """Line, and whether both ways are needed, to when the verdict last was that it has failed; missing: never."""
        self._engine, self._look, self._hears, self._tell = engine, look, hears, tell
        self._vantages = {name: _Vantage(line_ids) for name in VANTAGES}

    @property
    def live(self) -> int:
        """Vantages that are neither cut off nor silent."""
        return sum(vantage.presence == "live" for vantage in self._vantages.values())

    def fresh(self, line_id: str) -> LineSight:
        """The verdict as it is told now."""
        sight = self.sights[line_id]
        if sight.state not in {"up", "degraded"}:
            return sight
        # The line answered a moment ago.
        return LineSight(
            line_id=line_id, state=sight.state, one_way=sight.one_way, since_unix_ns=sight.since_unix_ns,
            good_unix_ns=self._engine.now_ns - 200 * MS, reason=sight.reason,
        )  # fmt: skip

    def changed(self, line_id: str) -> None:
        """A line is different in truth: each vantage notices in its time."""
        for vantage in self._vantages.values():
            worse = self._look(line_id) == "down"
            self._engine.within(*(FALL_NS if worse else RISE_NS), lambda seen=vantage: self._see(seen, line_id))  # type: ignore[misc]

    def set_presence(self, names: Iterable[str], presence: Presence, dark: Collection[str] = ()) -> None:
        """Vantages are cut off, from these lines, or silent, or back."""
        for name in names:
            self._vantages[name].presence, self._vantages[name].dark = presence, frozenset(dark)
        self.judge_all()

    def lie(self, name: str, lies: dict[str, LineState]) -> None:
        """What a vantage says of some lines from now on, whatever they are."""
        self._vantages[name].lies = lies
        self.judge_all()

    def is_lied_about(self, line_id: str) -> bool:
        """Whether a vantage says something of it that is not so."""
        return any(line_id in vantage.lies for vantage in self._vantages.values())

    def judge_all(self) -> None:
        """Judges every line anew."""
        for line_id in self.sights:
            self.judge(line_id)

    def judge(self, line_id: str) -> None:
        """Judges a line from what is said of it."""
        now_ns, before = self._engine.now_ns, self.sights[line_id]
        votes = {
            name: Vote(
                line_id=line_id, vantage_id=name, state=said, reason="no_answer" if said == "down" else "",
                since_unix_ns=now_ns, first_miss_unix_ns=now_ns - S if said == "down" else 0, unix_ns=now_ns,
            )
            for name, vantage in self._vantages.items()
            if (said := vantage.says(line_id))
        }  # fmt: skip
        presences: dict[str, Presence] = {name: vantage.presence for name, vantage in self._vantages.items()}
        heard_ns = now_ns if self._hears(line_id) else 0
        verdict = judge_line(votes, presences, heard_ns, now_ns)
        if (verdict.state, verdict.one_way) == (before.state, before.one_way):
            return
        was_good = before.state in {"up", "degraded"}
        self.sights[line_id] = LineSight(
            line_id=line_id, state=verdict.state, one_way=verdict.one_way, since_unix_ns=now_ns,
            good_unix_ns=now_ns - 200 * MS if was_good else before.good_unix_ns, reason=verdict.reason,
        )  # fmt: skip
        for both_ways in (False, True):
            if before.state == "down" or (before.one_way and both_ways):
                self.bad_ns[line_id, both_ways] = now_ns
        self._tell(line_id)

    def _see(self, vantage: _Vantage, line_id: str) -> None:
        state = self._look(line_id)
        if vantage.votes[line_id] != state:
            vantage.votes[line_id] = state
            self.judge(line_id)
