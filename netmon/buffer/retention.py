"""What may leave the streams, and when. Pure.

Within the budget everything stays. Near it, what every consumer group has acknowledged goes; what one of them has not
read stays, and decode waits. With no group at all nobody has asked for the entries yet: the oldest go, and the journal
still has them.
"""

from __future__ import annotations

from typing import NamedTuple

from netmon.buffer.stream import EntryId

TRIM_FROM = 0.75
"""Share of the budget above which the streams are trimmed."""
TRIM_DOWN_TO = 0.6
"""Share of the budget that is left when no group says what may go."""


class NoTrim(NamedTuple):
    """Leave the streams as they are."""


class TrimTo(NamedTuple):
    """Remove everything up to and including an ID."""

    floor: EntryId


class TrimOldest(NamedTuple):
    """Remove the oldest entries."""

    keep_ratio: float
    """Share of the entries that stays."""


def choose_trim(
    usage_bytes: int, budget_bytes: int, floors: list[EntryId], floor: EntryId
) -> NoTrim | TrimTo | TrimOldest:
    """What to trim.

    Args:
        usage_bytes: Redis memory of the lane's streams.
        budget_bytes: What they may use.
        floors: For each consumer group, the ID up to which it has acknowledged everything.
        floor: The ID up to which the streams are trimmed already.
    """
    if usage_bytes < budget_bytes * TRIM_FROM:
        return NoTrim()
    if not floors:
        return TrimOldest(budget_bytes * TRIM_DOWN_TO / usage_bytes)
    return TrimTo(min(floors)) if min(floors) > floor else NoTrim()
