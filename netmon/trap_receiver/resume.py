"""Where to go on after a connection to Redis was lost, whoever lost what meanwhile. Pure.

What we know is what the last settled batch left behind; what Redis has is asked. The journal made every ID, so it can
tell which entries the streams should hold: all after the floor (what was trimmed on purpose) up to the last one sent.
"""

from __future__ import annotations

from typing import NamedTuple

from netmon.buffer.stream import EntryId, StreamFacts


class Known(NamedTuple):
    """What the last settled batch left behind."""

    sent: EntryId
    """Last entry that Redis has acknowledged."""
    floor: EntryId
    """Entries up to this one are not expected any more."""
    traps_length: int
    rejects_length: int
    trimming: bool
    """A trim had been started whose outcome is unknown: then the lengths say nothing."""
    changed: bool = False
    """The streams have been seen with other lengths than they should have."""


class Resume(NamedTuple):
    """Go on: Redis holds everything up to `present`, which may be more than it had acknowledged."""

    present: EntryId


class Rewind(NamedTuple):
    """Redis has lost its newest entries: send again all after `present`."""

    present: EntryId


class Rebuild(NamedTuple):
    """The streams are not what the journal made: make them anew from the floor."""

    set_aside: bool
    """They hold entries that are not ours: rename them, so that nobody's data is lost."""


Plan = Resume | Rewind | Rebuild


def last_entry(traps: StreamFacts, rejects: StreamFacts) -> EntryId:
    """The newest entry of both streams together."""
    return max(traps.last, rejects.last)


def plan(known: Known, traps: StreamFacts, rejects: StreamFacts, *, made_here: bool) -> Plan:
    """What to do with the streams as they are found.

    Args:
        known: What we left.
        traps: What the traps stream is now.
        rejects: What the rejects stream is now.
        made_here: Whether our journal made the newest entry that Redis has (true when there is none).
    """
    last = last_entry(traps, rejects)
    if last == EntryId(0, 0) and known.sent > last:
        # Not a lost tail: what was trimmed on purpose, up to the floor, must not come back.
        return Rebuild(set_aside=False)
    if not made_here:
        return Rebuild(set_aside=True)
    if known.changed:
        return Rebuild(set_aside=False)
    if last > known.sent:
        return Resume(last)
    if last < known.sent:
        return Rewind(last)
    same = (traps.length, rejects.length) == (known.traps_length, known.rejects_length)
    return Resume(last) if same or known.trimming else Rebuild(set_aside=False)
