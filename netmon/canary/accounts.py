"""The books of the canary: what was sent to one listener, and what became of it. Pure: time comes in.

    sent = stored + lost + unknown + waiting

*late* are those of the lost that came after all. *unknown* are those that waited when the canary was stopped. Nothing
here is taken from the receiver's own ledger: a canary counts as stored when its number was seen in a stream.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final

import msgspec

from netmon.canary.message import KINDS, Kind

BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
"""Upper bounds of the latency histograms; the last bucket is without bound."""
WINDOWS_S: Final = (60, 300)
"""Over which loss is told as a ratio: the shorter for health, the longer for people."""
LATE_NS: Final = 600_000_000_000
"""How long a lost one is looked for."""
WAITING_MAX: Final = 100_000
"""Canaries under way; at one in 100 ms and a time-out of an hour there are 72,000."""

_COUNTS: Final = ("sent", "stored", "lost", "late", "unknown")
_SECOND_NS: Final = 1_000_000_000
_BOUNDS_NS: Final = tuple(bound * 1_000_000 for bound in BOUNDS_MS)


def _histogram(what: str) -> tuple[str, ...]:
    return (*(f"{what}_le_{bound}" for bound in BOUNDS_MS), f"{what}_over", f"{what}_sum_ns")


FIELDS: Final = (
    *(f"{kind}_{count}" for kind in KINDS for count in _COUNTS),
    "inform_answered",
    *(name for what in ("inform_stored", "inform_answered", "trap_stored") for name in _histogram(what)),
    *(f"{kind}_{what}_{window}s" for kind in KINDS for what in ("due", "missing") for window in WINDOWS_S),
    "heartbeat_unix_ns",
)
"""Of the state file of one listener."""


class _Canary:
    __slots__ = ("kind", "missing", "sent_ns", "settled_ns")

    def __init__(self, kind: Kind, sent_ns: int) -> None:
        self.kind: Kind = kind
        self.sent_ns = sent_ns
        self.settled_ns = 0
        self.missing = False


class Accounts:
    """The canaries of one listener.

    Attributes:
        values: By the names in `FIELDS`; the caller publishes them.
    """

    def __init__(self, values: dict[str, int], timeout_s: float) -> None:
        """Args:
        values: What an earlier process had counted; changed in place.
        timeout_s: When one that is not in the stream counts as lost.
        """
        self.values = values
        self._timeout_ns = int(timeout_s * 1e9)
        self._waiting: OrderedDict[int, _Canary] = OrderedDict()
        self._lost: OrderedDict[int, _Canary] = OrderedDict()
        self._unanswered: OrderedDict[int, int] = OrderedDict()
        self._settled: deque[_Canary] = deque()
        for kind in KINDS:
            known = sum(values[f"{kind}_{count}"] for count in ("stored", "lost", "unknown"))
            values[f"{kind}_unknown"] += values[f"{kind}_sent"] - known
        self.count_windows(0)

    @property
    def waiting(self) -> int:
        """Canaries under way."""
        return len(self._waiting)

    @property
    def sought(self) -> bool:
        """Whether any is looked for, also a lost one."""
        return bool(self._waiting or self._lost)

    def sent(self, kind: Kind, number: int, now_ns: int) -> None:
        """One goes on its way.

        Args:
            kind: Of the notification.
            number: Greater than any before.
            now_ns: On a clock that only goes forward, here and below.
        """
        if len(self._waiting) >= WAITING_MAX:
            self._give_up(now_ns)
        self._waiting[number] = _Canary(kind, now_ns)
        self.values[f"{kind}_sent"] += 1
        if kind == "inform":
            self._unanswered[number] = now_ns

    def answered(self, number: int, now_ns: int) -> bool:
        """The INFORM of this number has its answer; whether that was news."""
        sent_ns = self._unanswered.pop(number, None)
        if sent_ns is None:
            return False
        self.values["inform_answered"] += 1
        self._count_latency("inform_answered", now_ns - sent_ns)
        return True

    def stored(self, number: int, now_ns: int) -> bool:
        """The canary of this number stands in a stream; whether that was news."""
        canary = self._waiting.pop(number, None)
        if canary is not None:
            self.values[f"{canary.kind}_stored"] += 1
            self._settle(canary, now_ns)
        else:
            canary = self._lost.pop(number, None)
            if canary is None:
                return False
            canary.missing = False
            self.values[f"{canary.kind}_late"] += 1
        self._count_latency(f"{canary.kind}_stored", now_ns - canary.sent_ns)
        return True

    def advance(self, now_ns: int) -> None:
        """Gives up what has waited too long, and forgets what is old."""
        while self._waiting and now_ns - next(iter(self._waiting.values())).sent_ns >= self._timeout_ns:
            self._give_up(now_ns)
        while self._lost and now_ns - next(iter(self._lost.values())).settled_ns >= LATE_NS:
            self._lost.popitem(last=False)
        while self._unanswered and now_ns - next(iter(self._unanswered.values())) >= self._timeout_ns:
            self._unanswered.popitem(last=False)
        while self._settled and now_ns - self._settled[0].settled_ns >= WINDOWS_S[-1] * _SECOND_NS:
            self._settled.popleft()

    def count_windows(self, now_ns: int) -> None:
        """Brings the figures of the last minutes up to date: how many were due, and how many of them are missing."""
        for kind in KINDS:
            for window_s in WINDOWS_S:
                recent = [x for x in self._settled if x.kind == kind and now_ns - x.settled_ns < window_s * _SECOND_NS]
                self.values[f"{kind}_due_{window_s}s"] = len(recent)
                self.values[f"{kind}_missing_{window_s}s"] = sum(x.missing for x in recent)

    def _give_up(self, now_ns: int) -> None:
        number, canary = self._waiting.popitem(last=False)
        canary.missing = True
        self.values[f"{canary.kind}_lost"] += 1
        self._settle(canary, now_ns)
        self._lost[number] = canary

    def _settle(self, canary: _Canary, now_ns: int) -> None:
        canary.settled_ns = now_ns
        self._settled.append(canary)

    def _count_latency(self, what: str, latency_ns: int) -> None:
        index = bisect_left(_BOUNDS_NS, latency_ns)
        bucket = f"le_{BOUNDS_MS[index]}" if index < len(BOUNDS_MS) else "over"
        self.values[f"{what}_{bucket}"] += 1
        self.values[f"{what}_sum_ns"] += latency_ns


class Latency(msgspec.Struct, frozen=True):
    """A histogram as it is told."""

    counts: list[int]
    """For each of `BOUNDS_MS`, and one beyond."""
    sum_seconds: float


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """The canaries of one kind to one listener, as last published."""

    sent: int
    stored: int
    """Seen in a stream within the time-out."""
    lost: int
    """Not seen in time; only grows."""
    late: int
    """Of the lost, those that came after all."""
    unknown: int
    """Of the sent, those that waited when the canary was stopped."""
    answered: int
    """INFORMs that were answered; 0 for traps."""
    due: dict[int, int]
    """How many were settled in the last so many seconds."""
    missing: dict[int, int]
    """And how many of these are lost and have not come since."""
    stored_latency: Latency
    answered_latency: Latency | None
    """None for traps."""


class CanaryBooks(msgspec.Struct, frozen=True, kw_only=True):
    """The canaries to one listener."""

    kinds: dict[Kind, Book]
    heartbeat_unix_ns: int
    """When they were published; 0: never."""


def books(values: Mapping[str, int]) -> CanaryBooks:
    """What a state file says; all zero for an empty one."""
    return CanaryBooks(
        kinds={kind: _book(kind, values) for kind in KINDS}, heartbeat_unix_ns=values.get("heartbeat_unix_ns", 0)
    )


def _book(kind: Kind, values: Mapping[str, int]) -> Book:
    return Book(
        **{count: values.get(f"{kind}_{count}", 0) for count in (*_COUNTS, "answered")},
        due={window_s: values.get(f"{kind}_due_{window_s}s", 0) for window_s in WINDOWS_S},
        missing={window_s: values.get(f"{kind}_missing_{window_s}s", 0) for window_s in WINDOWS_S},
        stored_latency=_latency(f"{kind}_stored", values),
        answered_latency=_latency("inform_answered", values) if kind == "inform" else None,
    )


def _latency(what: str, values: Mapping[str, int]) -> Latency:
    *counts, sum_ns = (values.get(name, 0) for name in _histogram(what))
    return Latency(counts, sum_ns / 1e9)
