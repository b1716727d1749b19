"""What differs between an entry that consumers have and the one that the same datagram makes today. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_COPY: Final = re.compile(rb',"duplicate_of":\d+')
_DUPLICATE: Final = b'"duplicate_of"'
_decode = msgspec.json.decode

UNCHANGED: Final = "unchanged"
CHANGED: Final = "changed"
DECODED: Final = "decoded"
REJECTED: Final = "rejected"
UNREADABLE: Final = "unreadable"
WAITING: Final = "waiting"
GONE: Final = "gone"
CONTROL: Final = "control"
KINDS: Final = (UNCHANGED, CHANGED, DECODED, REJECTED, UNREADABLE, WAITING, GONE, CONTROL)


class Difference(msgspec.Struct):
    """What a replay has found, counted."""

    unchanged: int = 0
    """As consumers have it."""
    changed: int = 0
    decoded: int = 0
    """A notification now, which was rejected or waited."""
    rejected: int = 0
    """Rejected now, which was a notification or waited."""
    unreadable: int = 0
    """Would be parked now, and was not: a key or a user is gone."""
    waiting: int = 0
    """Still waits."""
    gone: int = 0
    """No longer in a stream: what it was, nobody knows."""
    control: int = 0
    """Part of the protocol, and no notification."""
    details: dict[str, Counter[str]] = {}
    """Of the counts above: fields that differ, or reasons."""

    def count(self, kind: str, detail: str, datagrams: int = 1) -> None:
        """Counts datagrams of a kind, for a reason."""
        if datagrams:
            setattr(self, kind, getattr(self, kind) + datagrams)
            self.details.setdefault(kind, Counter())[detail] += datagrams

    def count_changed(self, fields: tuple[str, ...]) -> None:
        """Counts one that differs in these fields."""
        self.changed += 1
        self.details.setdefault(CHANGED, Counter()).update(fields)

    @property
    def looked_at(self) -> int:
        """Datagrams in all."""
        return sum(getattr(self, kind) for kind in KINDS)


def is_same(before: bytes, now: bytes) -> bool:
    """Whether two entries say the same, whichever of their INFORMs was known to repeat another one."""
    if before == now:
        return True
    if _DUPLICATE not in before and _DUPLICATE not in now:
        return False
    return _COPY.sub(b"", before) == _COPY.sub(b"", now)


def changed_fields(before: bytes, now: bytes) -> tuple[str, ...]:
    """Names of the fields that differ, sorted; those of variable bindings as `varbinds.NAME`. `content` when none has a name."""
    try:
        old, new = _decode(before), _decode(now)
    except msgspec.DecodeError:
        return ("content",)
    if not isinstance(old, dict):
        return ("content",)
    found = _differing(old, new) - {"duplicate_of"}
    if "varbinds" in found:
        found = found - {"varbinds"} | _differing_varbinds(old.get("varbinds"), new.get("varbinds"))
    return tuple(sorted(found)) or ("content",)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _differing_varbinds(old: Any, new: Any) -> set[str]:
    if not isinstance(old, list) or len(old) != len(new):
        return {"varbinds"}
    return {f"varbinds.{name}" for a, b in zip(old, new, strict=True) for name in _differing(a, b)}
