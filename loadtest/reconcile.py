"""What became of a storm: every number looked up, and the sums compared.

Pure. A storm is well when each number is in the streams exactly once (as a trap or as a reject), nothing was dropped on
the way, and netmon's own ledger balances.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from loadtest.templates import NUMBER_OID, POSITION_BITS

RANGES_SHOWN_MAX: Final = 20
_TRAP_NUMBER: Final = re.compile(
    rb'"%b","type":"(?:Counter64","value":(\d+)|OctetString","value":"([0-9a-f]{16})")' % re.escape(NUMBER_OID.encode())
)
_REJECT_NUMBER: Final = re.compile(rb"06082b060103890a0100(?:4608([0-9a-f]{16})|0410([0-9a-f]{32}))")
_MISSING: Final = re.compile(rb"\x00+")
_REPEATED: Final = re.compile(rb"[^\x00\x01]")


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit of a run's numbers found."""

    found: int
    """Different numbers found."""
    repeated: int
    """Numbers found more than once."""
    missing: list[tuple[int, int]]
    """The first ranges not found, at most `RANGES_SHOWN_MAX`."""
    foreign: int
    inversions: int


class Audit:
    """Counts how often each number of a run was found."""

    def __init__(self, run: int, count: int) -> None:
        self._base = run << POSITION_BITS
        self._count = count
        self._seen = bytearray(count)
        self.foreign = 0
        """Entries without a number, or with one of another run."""
        self.inversions = 0
        """Entries whose number is lower than that of the entry before: what the network or a lane put out of order."""

    def add(self, numbers: Iterable[int | None]) -> None:
        """Notes the numbers of successive entries; None is an entry without one."""
        base, count, seen, before = self._base, self._count, self._seen, -1
        for found in numbers:
            position = -1 if found is None else found - base
            if not 0 <= position < count:
                self.foreign += 1
                continue
            if seen[position] < 255:
                seen[position] += 1
            self.inversions += position < before
            before = position

    @property
    def found(self) -> int:
        """Different numbers found."""
        return self._count - self._seen.count(0)

    @property
    def repeated(self) -> int:
        """Numbers found more than once."""
        return sum(1 for _ in _REPEATED.finditer(self._seen))

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Positions not found, as (first, last), ascending."""
        return [(gap.start(), gap.end() - 1) for gap in _MISSING.finditer(self._seen)]

    def result(self) -> Audited:
        """All of the above, as a value."""
        return Audited(
            found=self.found,
            repeated=self.repeated,
            missing=self.missing[:RANGES_SHOWN_MAX],
            foreign=self.foreign,
            inversions=self.inversions,
        )


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution of latencies, milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    source: str
    """Who measured: `follower` (a reader's own clock) or `histogram` (netmon's own, upper bounds of its buckets)."""


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """A storm's balance sheet."""

    sent: int
    backlog_dropped: int
    """Dropped by this machine's kernel before the socket, all traffic counted."""
    kernel_dropped: int
    """Dropped at the socket."""
    captured: int
    """By netmon's ledger; retransmitted INFORMs counted each time."""
    unaccounted: int
    """Sent, and neither captured nor dropped at the socket by the ledger; negative when others sent as well: a canary does."""
    in_traps: int
    """Entries of the traps, express and late streams with a number of this storm."""
    in_rejects: int
    repeated: int
    """Numbers found more than once."""
    retransmitted: int = 0
    """INFORMs sent again, each of which may rightly be found once more."""
    missing: int
    missing_ranges: list[tuple[int, int]]
    """The first of them, at most `RANGES_SHOWN_MAX`."""
    inversions: int
    trimmed: int
    """Entries that netmon trimmed from the streams since the storm's start, and cannot be found for that reason."""
    unanswered: int = 0
    """INFORMs given up."""
    difference: int
    """Of netmon's ledger; 0 when it balances."""
    lost: int
    """By netmon's ledger: captured, and gone from the journal before it was decoded."""
    drained: bool
    """Whether socket and journal were empty in time."""
    lag_s: float
    """From the last trap sent to the last trap stored."""
    latency: Quantiles | None = None


def faults(balance: Reconciliation) -> list[str]:
    """Returns what is wrong, a sentence for each; empty when every trap is there exactly once."""
    repeated = balance.repeated - balance.retransmitted
    checks = [
        (not balance.drained, "netmon had not finished when the waiting time was over"),
        (balance.missing, f"{balance.missing:,} traps are in no stream" + _why_missing(balance)),
        (repeated > 0, f"{repeated:,} traps are in the streams more than once"),
        (balance.kernel_dropped, f"the kernel dropped {balance.kernel_dropped:,} datagrams at the socket"),
        (balance.difference, f"the ledger does not balance: {balance.difference:+,}"),
        (
            balance.unaccounted > balance.backlog_dropped,
            f"{balance.unaccounted:,} of those sent never reached the socket",
        ),
        (balance.lost, f"the ledger says that {balance.lost:,} were lost from the journal"),
        (balance.unanswered, f"{balance.unanswered:,} INFORMs were not answered"),
    ]
    return [text for wrong, text in checks if wrong]


def _why_missing(balance: Reconciliation) -> str:
    if not balance.trimmed:
        return ""
    return f" (netmon trimmed {balance.trimmed:,} to stay within its memory budget; --follow looks before it does)"


def number_in_trap(body: bytes) -> int | None:
    """The number in the JSON of a `TrapEvent`, found by its bytes: decoding millions of entries would take minutes."""
    match = _TRAP_NUMBER.search(body)
    if match is None:
        return None
    return int(match[1]) if match[1] else int(match[2], 16)


def number_in_reject(body: bytes) -> int | None:
    """The number in the JSON of a `RejectEvent`, whose datagram is hexadecimal."""
    match = _REJECT_NUMBER.search(body)
    if match is None:
        return None
    return int(match[1] or bytes.fromhex(match[2].decode()), 16)


def number_in_entry(body: bytes) -> int | None:
    """The number in an entry of the late stream, which holds traps and rejects, or of any other."""
    found = number_in_trap(body)
    return number_in_reject(body) if found is None else found


def quantiles(latencies_ms: Iterable[float], source: str) -> Quantiles | None:
    """Returns the quantiles (nearest rank) of measured latencies; None when there are none."""
    ordered = sorted(latencies_ms)
    if not ordered:
        return None

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Quantiles(
        count=len(ordered),
        p50_ms=rank(0.5),
        p90_ms=rank(0.9),
        p99_ms=rank(0.99),
        p999_ms=rank(0.999),
        max_ms=ordered[-1],
        source=source,
    )


def histogram_quantiles(counts: Sequence[int], bounds_ms: Sequence[float]) -> Quantiles | None:
    """Returns the quantiles of a histogram as the upper bounds of the buckets they fall in; None for an empty one.

    Args:
        counts: Of each bucket, and one more for what is beyond the last bound.
        bounds_ms: Ascending upper bounds.
    """
    total = sum(counts)
    if total == 0:
        return None
    bounds = (*bounds_ms, float("inf"))

    def rank(share: float) -> float:
        wanted, below = int(share * total), 0
        for count, bound in zip(counts, bounds, strict=True):
            below += count
            if below > wanted:
                return bound
        return bounds[max(i for i, count in enumerate(counts) if count)]

    return Quantiles(
        count=total,
        p50_ms=rank(0.5),
        p90_ms=rank(0.9),
        p99_ms=rank(0.99),
        p999_ms=rank(0.999),
        max_ms=rank(1.0),
        source="histogram",
    )


def show_ranges(ranges: Sequence[tuple[int, int]]) -> str:
    """Returns ranges as a person writes them: `3, 7-9`."""
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
