"""The union of what several receivers say: each notification once, and what each of them has missed. Pure.

Devices send to two sites; each site's receiver is a *path*. The copies of a notification have the same digest and trap
OID and come from the same device, at about the same time: `window_s`. When a device really says the same thing twice,
both paths have it twice: the first copy of one path goes with the first of the other, the second with the second.

What is remembered is what some path still lacks; a notification that all paths have told is forgotten at once. A path
that has passed a notification by has missed it. A path that says nothing is waited for, until memory runs out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from netmon.model import TrapEvent

WINDOW_S: Final = 600.0
"""How far apart the receive times of two copies may be: the difference of two sites' clocks, and an INFORM that reached
one of them only when it was sent again. More is safe: sysUpTime is part of the digest, and moves on."""
ENTRIES_MAX: Final = 200_000
"""Notifications remembered because some path lacks them, about 700 bytes each. Then the oldest are given up, and their
late copies are told again."""
PATHS_MAX: Final = 4
SAME_MAX: Final = 1_000
"""Of these, equal ones: a device that repeats itself does not make the search long."""
_SOURCES_MAX: Final = 1_000
"""Sources that a comparison names; what others said is counted without them."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """Of a `TrapEvent` what tells it from others: for readers that need no more."""

    digest: str
    source: str
    trap_oid: str
    received_unix_ns: int
    engine_id: str | None = None
    trust: str = "other"
    duplicate_of: int | None = None


Key = tuple[str, str, str, bool]
"""Digest, device, trap OID, and whether a key proves it: what anybody can forge is no copy of it."""

_AUTHENTIC: Final = frozenset({"v3_auth_priv", "v3_auth"})


class Occurrence:
    """A notification that somebody lacks."""

    __slots__ = ("is_listed", "key", "paths", "serial", "source", "unix_ns")

    def __init__(
        self, serial: int, key: Key, source: str, unix_ns: int, paths: int, *, is_listed: bool = False
    ) -> None:
        self.serial = serial
        self.key = key
        self.source = source
        self.unix_ns = unix_ns
        """Receive time of the first copy."""
        self.paths = paths
        """Who has it: a bit for each path."""
        self.is_listed = is_listed
        """Whether it has been told by a path that trusts its sender more than any other."""


Settled = Callable[[Occurrence], None]


class Union:
    """What some paths have told, as one.

    Attributes:
        paths: Their names.
        told: Notifications that were told.
        duplicates: Copies that were not told again.
        again: For each path, what it told later than the others' copies were remembered: it may have been told before.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        window_s: float = WINDOW_S,
        entries_max: int = ENTRIES_MAX,
        settled: Settled | None = None,
    ) -> None:
        """Args:
        paths: Names of the receivers, up to 4.
        window_s: How far apart two copies may have been received.
        entries_max: Notifications to remember.
        settled: Called with each notification when all have it, or it is given up: `paths` says who had it.

        Raises:
            ValueError: No path, too many, or one twice.
        """
        if not 0 < len(paths) <= PATHS_MAX or len(set(paths)) != len(paths):
            raise ValueError(f"found {len(paths)} paths; expected 1 to {PATHS_MAX}, each once")
        self.paths = tuple(paths)
        self.told = 0
        self.duplicates = 0
        self.again = dict.fromkeys(paths, 0)
        self._bits = {path: 1 << index for index, path in enumerate(paths)}
        self._all = (1 << len(paths)) - 1
        self._lacking = {bit: [m for m in range(1, self._all) if not m & bit] for bit in self._bits.values()}
        self._window_ns = int(window_s * 1e9)
        self._entries_max = entries_max
        self._settled = settled
        self._serial = 0
        self._waiting: OrderedDict[int, Occurrence] = OrderedDict()
        self._by_key: dict[tuple[Key, int], list[Occurrence]] = {}
        self._passed_ns: dict[int, dict[int, int]] = {bit: {} for bit in self._bits.values()}
        self._given_up_ns = dict.fromkeys(self._bits.values(), 0)

    @property
    def waiting(self) -> int:
        """Notifications that some path lacks, and still may tell."""
        return len(self._waiting)

    def tell(self, path: str, event: TrapEvent | Said, lane: int | None = None) -> bool:
        """Takes a notification that a path has; whether to tell it: the first, or the first that is trusted more. Feed each stream entry once.

        Args:
            path: One of `paths`.
            event: From its stream.
            lane: Of the path's main stream that it stood in; None for what is out of turn (`:express`, `:late`), which
                does not say how far the path has come.
        """
        bit = self._bits[path]
        unix_ns = event.received_unix_ns
        if lane is not None:
            self._move_on(bit, lane, unix_ns)
        if event.duplicate_of is not None:
            # The path itself has told the first copy of this INFORM.
            self.duplicates += 1
            return False
        key = (event.digest, event.engine_id or event.source, event.trap_oid, event.trust in _AUTHENTIC)
        is_listed = event.trust != "other"
        found = self._find(bit, key, unix_ns)
        if found is None:
            self.told += 1
            is_late = unix_ns <= self._given_up_ns[bit]
            self.again[path] += is_late
            self._remember(
                Occurrence(self._serial, key, event.source, unix_ns, bit, is_listed=is_listed), first_to_go=is_late
            )
            self._serial += 1
            return True
        is_raised = is_listed and not found.is_listed
        self.told += is_raised
        self.duplicates += not is_raised
        self._forget(found)
        found.paths |= bit
        found.is_listed |= is_listed
        self._remember(found)
        return is_raised

    def finish(self) -> None:
        """Gives up all that some path lacks: no more copies will come."""
        while self._waiting:
            self._give_up(next(iter(self._waiting.values())))

    def _find(self, bit: int, key: Key, unix_ns: int) -> Occurrence | None:
        """The oldest equal notification near in time that this path lacks."""
        best: Occurrence | None = None
        for paths in self._lacking[bit]:
            for candidate in self._by_key.get((key, paths), ()):
                if abs(candidate.unix_ns - unix_ns) <= self._window_ns:
                    if best is None or candidate.unix_ns < best.unix_ns:
                        best = candidate
                    break
        return best

    def _remember(self, occurrence: Occurrence, *, first_to_go: bool = False) -> None:
        if occurrence.paths == self._all:
            if self._settled is not None:
                self._settled(occurrence)
            return
        same = self._by_key.setdefault((occurrence.key, occurrence.paths), [])
        if len(same) >= SAME_MAX:
            self._give_up(same[0])
            same = self._by_key.setdefault((occurrence.key, occurrence.paths), [])
        same.append(occurrence)
        self._waiting[occurrence.serial] = occurrence
        if first_to_go:
            # The other paths are past it: it must not push out what they still lack.
            self._waiting.move_to_end(occurrence.serial, last=False)
        if len(self._waiting) > self._entries_max:
            self._give_up(next(iter(self._waiting.values())))

    def _forget(self, occurrence: Occurrence) -> None:
        del self._waiting[occurrence.serial]
        same = self._by_key[occurrence.key, occurrence.paths]
        same.remove(occurrence)
        if not same:
            del self._by_key[occurrence.key, occurrence.paths]

    def _give_up(self, occurrence: Occurrence) -> None:
        self._forget(occurrence)
        for bit, given_up_ns in self._given_up_ns.items():
            if not occurrence.paths & bit:
                self._given_up_ns[bit] = max(given_up_ns, occurrence.unix_ns)
        if self._settled is not None:
            self._settled(occurrence)

    def _move_on(self, bit: int, lane: int, unix_ns: int) -> None:
        """A path has come so far; gives up what all that lack it have passed by."""
        passed = self._passed_ns[bit]
        if unix_ns <= passed.get(lane, 0):
            return
        passed[lane] = unix_ns
        # Twice the window: entries may be out of order by as much as copies may be apart.
        horizon = min(min(of.values(), default=0) for of in self._passed_ns.values()) - 2 * self._window_ns
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if oldest.unix_ns >= horizon:
                return
            self._give_up(oldest)


class Missed(msgspec.Struct, kw_only=True):
    """What one path lacks that another one has."""

    count: int = 0
    first_unix_ns: int = 0
    """Receive time of the earliest; 0 without any."""
    last_unix_ns: int = 0
    sources: dict[str, int] = {}
    """By source address; of the first 1,000 sources."""


class PathReport(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a comparison."""

    path: str
    seen: int
    """Of the notifications in the period, those that this path has."""
    only_here: int
    """Those that no other path has."""
    missed: int
    """Those that it lacks."""
    missed_ratio: float
    """Share of all that it lacks; 0 when there are none."""
    missed_first_unix_ns: int
    missed_last_unix_ns: int
    missed_by_source: dict[str, int]
    """Most first."""


class Comparison:
    """What each path has and lacks of a period: `settled` of a `Union`.

    Attributes:
        total: Notifications in the period, each counted once.
    """

    def __init__(self, paths: Sequence[str], start_unix_ns: int, stop_unix_ns: int) -> None:
        """The period is from the first time, included, to the second, excluded."""
        self.total = 0
        self._paths = tuple(paths)
        self._period = (start_unix_ns, stop_unix_ns)
        self._seen = [0] * len(paths)
        self._only = [0] * len(paths)
        self._missed = [Missed(sources={}) for _ in paths]

    def settled(self, occurrence: Occurrence) -> None:
        """Counts a notification, if it is of the period."""
        if not self._period[0] <= occurrence.unix_ns < self._period[1]:
            return
        self.total += 1
        for index, missed in enumerate(self._missed):
            if not occurrence.paths & 1 << index:
                _count(missed, occurrence)
                continue
            self._seen[index] += 1
            self._only[index] += occurrence.paths == 1 << index and len(self._paths) > 1

    def report(self) -> list[PathReport]:
        """What has been counted so far, path by path."""
        return [
            PathReport(
                path=path,
                seen=self._seen[index],
                only_here=self._only[index],
                missed=self._missed[index].count,
                missed_ratio=self._missed[index].count / self.total if self.total else 0.0,
                missed_first_unix_ns=self._missed[index].first_unix_ns,
                missed_last_unix_ns=self._missed[index].last_unix_ns,
                missed_by_source=dict(sorted(self._missed[index].sources.items(), key=lambda x: -x[1])),
            )
            for index, path in enumerate(self._paths)
        ]


def _count(missed: Missed, occurrence: Occurrence) -> None:
    at = occurrence.unix_ns
    missed.first_unix_ns = min(missed.first_unix_ns, at) if missed.count else at
    missed.last_unix_ns = max(missed.last_unix_ns, at)
    missed.count += 1
    if occurrence.source in missed.sources or len(missed.sources) < _SOURCES_MAX:
        missed.sources[occurrence.source] = missed.sources.get(occurrence.source, 0) + 1
