"""What a new configuration changes: which lanes start, stop or restart, and which socket goes where.

Pure. A socket is kept whenever its `address:port` is still wanted, and so is everything that waits in its queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from netmon.model import LaneSettings

Action = Literal["keep", "restart", "replace", "add"]


class Change(msgspec.Struct, frozen=True):
    """What happens to one lane of the new configuration."""

    action: Action
    """`keep`: nothing. `restart`: role by role, same socket and journal. `replace`: all roles of the old lane of this
    number stop, then the new ones start. `add`: the roles start."""
    settings: LaneSettings
    socket_from: int | None
    """Index of the old lane whose socket it takes; None: a new one is bound."""


class Plan(msgspec.Struct, frozen=True):
    """All that a reload does."""

    changes: tuple[Change, ...]
    """One for each new lane, in order."""
    removed: tuple[int, ...]
    """Indexes of old lanes that have no successor."""
    closed: tuple[int, ...]
    """Indexes of old lanes whose sockets nobody wants any more."""


def plan(old: Sequence[LaneSettings], new: Sequence[LaneSettings]) -> Plan:
    """Compare the lanes that run with those that are wanted; both are numbered from 0."""
    sockets = assign([lane.listen for lane in old], [lane.listen for lane in new])
    changes = tuple(
        Change(_action(old[index] if index < len(old) else None, settings), settings, sockets[index])
        for index, settings in enumerate(new)
    )
    closed = tuple(index for index in range(len(old)) if index not in sockets)
    return Plan(changes, tuple(range(len(new), len(old))), closed)


def _action(old: LaneSettings | None, new: LaneSettings) -> Action:
    if old is None:
        return "add"
    if old == new:
        return "keep"
    return "restart" if (old.directory, old.listen) == (new.directory, new.listen) else "replace"


def assign(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """For each new lane the old lane whose socket it takes: its own if the address is the same, else any that is free."""
    result: list[int | None] = [
        index if index < len(old) and old[index] == listen else None for index, listen in enumerate(new)
    ]
    for index, listen in enumerate(new):
        if result[index] is None:
            free = (i for i, address in enumerate(old) if address == listen and i not in result)
            result[index] = next(free, None)
    return result
